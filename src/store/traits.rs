//! The store as traits: SQLite for real, memory for simulation, a projection for a distributed backend.

use serde::{Deserialize, Serialize};

use crate::base::{Digest, EventSeq, RunId, Timestamp};
use crate::event::{Actor, Ballot, Outcome, ReviewVerdict, RunEvent, RunStatus};
use crate::handler::BoxFuture;

/// Why the store could not do it. Nothing was half done: a failed append stored nothing.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The state directory cannot be created, opened or written.
    #[error("cannot {action} `{path}`")]
    Unavailable {
        /// What was tried, such as `open` or `write to`.
        action: &'static str,
        /// The file.
        path: String,
        /// Why.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The store was written by a newer version of this program.
    #[error("`{path}` has format {found}, this program knows up to {known}")]
    TooNew {
        /// The file.
        path: String,
        /// Its format.
        found: u32,
        /// The newest known.
        known: u32,
    },
    /// An event's position is not the next one: another process writes the same run.
    #[error("event {seq} of run {run} is not the next one; another process drives this run")]
    Conflict {
        /// The run.
        run: RunId,
        /// The position that was refused.
        seq: EventSeq,
    },
    /// There is no such run.
    #[error("no run {0} is recorded")]
    UnknownRun(RunId),
    /// Stored data cannot be understood.
    #[error("{what} is damaged")]
    Corrupt {
        /// What is damaged.
        what: String,
        /// Why.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The writer has ended.
    #[error("the store is closed")]
    Closed,
}

/// Why a run could not be found by what the user typed.
#[derive(Debug, thiserror::Error)]
pub enum FindRunError {
    /// No run has this prefix.
    #[error("no run has an id that starts with `{0}`")]
    Unknown(String),
    /// There is no run at all, so no `latest`.
    #[error("no run has been recorded yet")]
    Empty,
    /// Several runs have this prefix.
    #[error("`{prefix}` is the start of several run ids")]
    Ambiguous {
        /// What was typed.
        prefix: String,
        /// Some of the runs, newest first.
        matches: Vec<RunId>,
    },
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// A run to be created.
#[derive(Debug, Clone)]
pub struct NewRun {
    /// Its id.
    pub id: RunId,
    /// Runbook name.
    pub runbook: String,
    /// Environment name.
    pub environment: String,
    /// When.
    pub created_at: Timestamp,
    /// Who.
    pub actor: Actor,
    /// Canonical JSON of the plan.
    pub plan_json: String,
    /// Digest of the plan.
    pub plan_digest: Digest,
    /// The runbook file, byte for byte.
    pub source: String,
}

/// A run as the index knows it. `status`, `outcome` and `last_seq` are a cache of the events.
#[derive(Debug, Clone, PartialEq)]
pub struct RunRecord {
    /// Id.
    pub id: RunId,
    /// Runbook name.
    pub runbook: String,
    /// Environment name.
    pub environment: String,
    /// When it was created.
    pub created_at: Timestamp,
    /// Who started it.
    pub actor: Actor,
    /// Digest of the plan.
    pub plan_digest: Digest,
    /// How it stands.
    pub status: RunStatus,
    /// How it ended, if it has.
    pub outcome: Option<Outcome>,
    /// When it ended.
    pub finished_at: Option<Timestamp>,
    /// The last event.
    pub last_seq: EventSeq,
    /// The process that drives it, if one said so and did not take it back.
    pub owner: Option<EngineOwner>,
    /// Up to which event the audit trail has it.
    pub audited_seq: EventSeq,
}

/// The process that drives a run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct EngineOwner {
    /// Host name.
    pub host: String,
    /// Process id on that host.
    pub pid: u32,
    /// Start time of the process in clock ticks since boot (`/proc/PID/stat`, field 22), so that a
    /// recycled pid is not taken for it.
    pub started: u64,
}

/// Which runs to list.
#[derive(Debug, Clone, Default)]
pub struct RunFilter {
    /// Only of this runbook.
    pub runbook: Option<String>,
    /// Only in this environment.
    pub environment: Option<String>,
    /// Only those that have not finished.
    pub unfinished: bool,
    /// At most so many, newest first.
    pub limit: Option<u32>,
}

/// Something another process asks of the engine that drives a run.
#[derive(Debug, Clone, PartialEq)]
pub struct Request {
    /// Rises with every request of the store; an event that carries it proves that it was applied.
    pub id: u64,
    /// The run.
    pub run: RunId,
    /// When it was asked.
    pub at: Timestamp,
    /// Who asks.
    pub actor: Actor,
    /// What is asked.
    pub kind: RequestKind,
}

/// What is asked.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum RequestKind {
    /// A vote at a gate.
    Vote {
        /// The approval step; `None`: the only gate that is open.
        gate: Option<crate::base::StepId>,
        /// What is said.
        ballot: Ballot,
    },
    /// End the run.
    Cancel {
        /// Why.
        reason: Option<String>,
    },
}

/// A review that an emergency run owes. It follows from the run's events.
#[derive(Debug, Clone, PartialEq)]
pub struct Obligation {
    /// The run.
    pub run: RunId,
    /// Runbook name.
    pub runbook: String,
    /// Environment name.
    pub environment: String,
    /// Who started it.
    pub actor: Actor,
    /// Why it was an emergency.
    pub reason: String,
    /// The role whose members may review it.
    pub review: String,
    /// When the run was created.
    pub opened_at: Timestamp,
    /// Until when it is to be reviewed.
    pub due_at: Timestamp,
    /// When it was reviewed and what the review said, once it was.
    pub closed: Option<(Timestamp, ReviewVerdict)>,
}

/// Where events are appended durably.
pub trait Journal: Send + Sync {
    /// Appends events of one run, all or nothing, and caches `status`. When the future is done, they are on disk.
    ///
    /// Appends of several runs share one flush (group commit). The call itself takes the append into
    /// the queue, in the order of the calls; the future only waits for the answer. No events: nothing to do.
    ///
    /// # Errors
    /// [`StoreError::Conflict`] unless the first event's `seq` is the one after the run's last, and
    /// the rest follow densely; [`StoreError::UnknownRun`] unless the run was created.
    fn append(
        &self,
        events: Vec<RunEvent>,
        status: RunStatus,
    ) -> BoxFuture<'static, Result<(), StoreError>>;

    /// The events of a run after a position, in order.
    ///
    /// # Errors
    /// [`StoreError`] when they cannot be read.
    fn events_after(&self, run: RunId, after: EventSeq) -> Result<Vec<RunEvent>, StoreError>;
}

/// The journal with its index of runs and its inbox of requests.
pub trait RunStore: Journal {
    /// Creates a run together with its first event (`seq` 1), all or nothing, driven by `owner`.
    ///
    /// # Errors
    /// [`StoreError::Conflict`] when the id is taken or `first` is not its first event; any
    /// [`StoreError`]: the run does not exist.
    fn create_run(
        &self,
        run: NewRun,
        first: RunEvent,
        owner: EngineOwner,
    ) -> BoxFuture<'static, Result<(), StoreError>>;

    /// Puts a run back that was on record elsewhere, with all of its events, all or nothing. Nobody
    /// drives it, and the audit trail has all of it. Requests made from now on have ids after those
    /// that its events name.
    ///
    /// # Errors
    /// [`StoreError::Conflict`] when the id is taken or the events are not dense from 1.
    fn import_run(
        &self,
        run: NewRun,
        events: Vec<RunEvent>,
        status: RunStatus,
    ) -> BoxFuture<'static, Result<(), StoreError>>;

    /// A run by its id.
    ///
    /// # Errors
    /// [`StoreError`] when it cannot be read.
    fn run(&self, id: RunId) -> Result<Option<RunRecord>, StoreError>;

    /// Canonical JSON of a run's plan.
    ///
    /// # Errors
    /// [`StoreError::UnknownRun`], or another when it cannot be read.
    fn plan_json(&self, id: RunId) -> Result<String, StoreError>;

    /// The runbook file of a run, byte for byte.
    ///
    /// # Errors
    /// [`StoreError::UnknownRun`], or another when it cannot be read.
    fn source(&self, id: RunId) -> Result<String, StoreError>;

    /// The run that a person means: a full id, a unique prefix in any case, or `latest`.
    ///
    /// # Errors
    /// [`FindRunError`] when none or several are meant.
    fn find_run(&self, text: &str) -> Result<RunId, FindRunError>;

    /// The length of the shortest prefix (at least 4) that tells these runs from every other run.
    ///
    /// # Errors
    /// [`StoreError`] when it cannot be read.
    fn prefix_len(&self, runs: &[RunId]) -> Result<usize, StoreError>;

    /// Runs, newest first.
    ///
    /// # Errors
    /// [`StoreError`] when they cannot be read.
    fn runs(&self, filter: &RunFilter) -> Result<Vec<RunRecord>, StoreError>;

    /// Leaves a request for the engine that drives (or will drive) the run.
    ///
    /// # Errors
    /// [`StoreError`] when it could not be made durable.
    fn add_request(
        &self,
        run: RunId,
        at: Timestamp,
        actor: Actor,
        kind: RequestKind,
    ) -> BoxFuture<'static, Result<u64, StoreError>>;

    /// The requests of a run after an id, in order.
    ///
    /// # Errors
    /// [`StoreError`] when they cannot be read.
    fn requests_after(&self, run: RunId, after: u64) -> Result<Vec<Request>, StoreError>;

    /// A number that changes when anybody wrote to the store, this process included; cheap enough
    /// to ask every 50 ms. Only a comparison with an earlier answer of the same store means something.
    ///
    /// # Errors
    /// [`StoreError`] when it cannot be read.
    fn data_version(&self) -> Result<u64, StoreError>;

    /// Makes `owner` the driver of a run if it has none, or `replace` is its present one.
    /// Returns the driver after the call: equal to `owner` when it was granted.
    ///
    /// # Errors
    /// [`StoreError`] when it could not be made durable.
    fn claim_run(
        &self,
        run: RunId,
        owner: EngineOwner,
        replace: Option<EngineOwner>,
    ) -> BoxFuture<'static, Result<EngineOwner, StoreError>>;

    /// Takes the driver's name away, if it is `owner`.
    ///
    /// # Errors
    /// [`StoreError`] when it could not be made durable.
    fn release_run(
        &self,
        run: RunId,
        owner: EngineOwner,
    ) -> BoxFuture<'static, Result<(), StoreError>>;

    /// Records up to which event the audit trail has a run. May go back, when a trail was lost.
    ///
    /// # Errors
    /// [`StoreError`] when it could not be made durable.
    fn set_audited(&self, run: RunId, seq: EventSeq) -> BoxFuture<'static, Result<(), StoreError>>;

    /// Runs whose last event is after their `audited_seq`, oldest first.
    ///
    /// # Errors
    /// [`StoreError`] when they cannot be read.
    fn runs_to_audit(&self) -> Result<Vec<RunRecord>, StoreError>;

    /// The reviews that emergency runs owe (`open_only`), or owed as well; the one that is due first
    /// comes first. Appending the events that open and close one changes it in the same transaction.
    ///
    /// # Errors
    /// [`StoreError`] when they cannot be read.
    fn obligations(&self, open_only: bool) -> Result<Vec<Obligation>, StoreError>;
}
