//! What is known of one step in a run, and the words for how it stands.

use super::gate::Gate;
use super::policy::CastVote;
use super::send_back::Past;
use crate::base::{AttemptNo, StepId, Timestamp, Value};
use crate::event::Failure;

/// Which part of its life a run is in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    /// Not created yet.
    New,
    /// `steps` and then `verify` run; after a halt, running work ends.
    Forward,
    /// Completed steps are undone.
    RollingBack,
    /// `finally` steps run.
    Finally,
    /// Over.
    Finished,
}

/// Why nothing new starts in the forward part. The first cause decides what follows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Halt {
    /// A step failed for good, and nothing that it is a part of tolerates it.
    StepFailed {
        /// The step that failed first of all.
        step: StepId,
        /// Whether what it is a part of asks for a rollback.
        rollback: bool,
    },
    /// A gate was rejected.
    Rejected {
        /// The approval step.
        step: StepId,
    },
    /// A gate was not approved in time.
    Expired {
        /// The approval step.
        step: StepId,
    },
    /// Somebody ended the run.
    Cancelled,
    /// The run's timeout passed.
    TimedOut,
    /// The run was sent back, and a step on the way could not be undone.
    NotUndone {
        /// The step.
        step: StepId,
    },
    /// A `once` step may or may not have run; only a person can say.
    Interrupted {
        /// The step.
        step: StepId,
    },
}

/// The part of its runbook that a step belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Stage {
    /// `steps`.
    Steps,
    /// `verify`.
    Verify,
    /// `finally`.
    Finally,
}

/// What a step consists of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NodeKind {
    /// One call of a handler, or a gate.
    Step,
    /// A step with `for_each`: one instance for each item.
    Loop,
    /// A call of a sub-runbook.
    Block,
}

/// How a step stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NodeStatus {
    /// Not its turn yet.
    Pending,
    /// The probe of its `unless` is at work.
    Probing,
    /// Its handler is at work.
    Running,
    /// A loop or sub-runbook whose steps run.
    Open,
    /// Between two polls of `until`.
    Polling {
        /// When the next poll is due.
        next_at: Timestamp,
    },
    /// Failed, to be tried again.
    Retrying {
        /// When; `None` until that is recorded.
        at: Option<Timestamp>,
    },
    /// A gate that waits.
    Gate {
        /// When the question lapses.
        expires_at: Option<Timestamp>,
    },
    /// Done.
    Succeeded,
    /// Will not run.
    Skipped,
    /// Failed for good.
    Failed,
    /// Failed for good, and that is tolerated.
    Tolerated,
    /// May or may not have run.
    Interrupted,
}

/// How the undoing of a step stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Undo {
    /// Not to be undone.
    None,
    /// Its turn will come.
    Waiting,
    /// The undoing action is at work.
    Running,
    /// Failed, to be tried again.
    Retrying {
        /// When; `None` until that is recorded.
        at: Option<Timestamp>,
    },
    /// Undone.
    Done,
    /// Could not be undone.
    Failed,
}

/// Whether a step's failure is certain, and who bears it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Doom {
    /// It may still succeed.
    Open,
    /// What it is a part of goes on all the same.
    Tolerated,
    /// It takes what it is a part of with it.
    Passed,
}

/// All that is known of a step in a run.
#[derive(Debug, Clone, PartialEq)]
pub struct Node {
    /// Its full id: a path below what it is a part of.
    pub id: StepId,
    /// What it consists of.
    pub kind: NodeKind,
    /// Which part of its own runbook it belongs to.
    pub stage: Stage,
    /// How deep it lies below the steps of the run's own runbook; 0 for those.
    pub depth: usize,
    /// Of an instance of a loop: its position in the list and its item.
    pub item: Option<(usize, Value)>,
    /// How it stands.
    pub status: NodeStatus,
    /// Whether its `unless` was asked and said that there is work to do.
    pub probed: bool,
    /// The last attempt; 0 before the first. The numbers go on rising when the run was sent back.
    pub attempt: AttemptNo,
    /// How often the action was called in the last attempt.
    pub polls: u32,
    /// When the last attempt, undo attempt or probe began.
    pub started_at: Option<Timestamp>,
    /// The rendered inputs of the last attempt; of a sub-runbook its parameters.
    pub inputs: Value,
    /// What tells the other side that two calls are one, when the step says so itself.
    pub idempotency_key: Option<String>,
    /// Published outputs; null unless it succeeded. Of a loop: those of its instances, a list.
    pub outputs: Value,
    /// Outputs of the last poll, for the message when time runs out.
    pub last_poll: Value,
    /// Duration of the last attempt in milliseconds.
    pub duration_ms: u64,
    /// Why the last attempt failed.
    pub failure: Option<Failure>,
    /// How its undoing stands.
    pub undo: Undo,
    /// The last attempt at the undo; 0 before the first. Goes on rising as well.
    pub undo_attempt: AttemptNo,
    /// Whether the engine that ran it is gone.
    pub lost: bool,
    /// Votes, if it is a gate, of all rounds.
    pub votes: Vec<CastVote>,
    /// What else is known of it, if it is a gate that is or was open.
    pub(super) gate: Option<Box<Gate>>,
    /// What it had behind it when the run was last sent back.
    pub(super) past: Past,
    /// Its definition.
    pub(super) def: usize,
    /// The frame that it lies in, and the one that it opened.
    pub(super) frame: usize,
    pub(super) opened: Option<usize>,
    /// Needs that are not settled; in a rollback, dependents that are not released.
    pub(super) unmet: usize,
    pub(super) doom: Doom,
    /// In a rollback: whether something below it is to be undone.
    pub(super) undo_below: bool,
}

impl Node {
    /// The id of the loop or of the calling step that it is a part of.
    pub fn parent(&self) -> Option<StepId> {
        self.id.parent()
    }

    /// Whether it has not begun, and has not been passed over either.
    pub(super) fn waits(&self) -> bool {
        self.status == NodeStatus::Pending
    }
}
