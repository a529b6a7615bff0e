//! The thread that keeps a remote up to date and brings the votes that it holds.

use std::collections::HashSet;
use std::path::PathBuf;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use pollster::block_on;

use super::push::{PushReport, push};
use super::transport::{Remote, RemoteError};
use super::votes::fetch_votes;
use crate::audit::error::AuditError;
use crate::audit::ssh::SigningKey;
use crate::base::{Clock, EventSeq, RunId};
use crate::event::{Actor, Ballot, EventKind};
use crate::store::{RequestKind, RunStore};

/// How often a waiting run asks the remote for votes.
pub const LOOK_FOR_VOTES: Duration = Duration::from_secs(5);

/// What the link works with.
#[derive(Clone)]
pub struct LinkParts {
    /// The trail, a bare repository.
    pub trail: PathBuf,
    /// Where it goes.
    pub remote: Remote,
    /// This host.
    pub host: String,
    /// Signs what joins two trails.
    pub key: Option<SigningKey>,
    /// Where votes are left for the engine.
    pub store: Arc<dyn RunStore>,
    /// Time.
    pub clock: Arc<dyn Clock>,
    /// How often votes are looked for while a gate is open: [`LOOK_FOR_VOTES`].
    pub pause: Duration,
}

/// Pushes after commits and fetches votes while a gate is open, in a thread of its own: a slow or dead
/// network holds no run up.
///
/// Dropping it ends the thread without a last push: call [`Self::finish`].
pub struct RemoteLink {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<Result<(), RemoteError>>>,
}

#[derive(Default)]
struct Shared {
    signal: Mutex<Signal>,
    changed: Condvar,
}

#[derive(Default)]
struct Signal {
    news: bool,
    run: Option<RunId>,
    finish: bool,
    abandoned: bool,
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Signal> {
        self.signal.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl RemoteLink {
    /// Starts the thread.
    ///
    /// # Errors
    /// [`RemoteError::Audit`] when the system has no thread for it.
    pub fn spawn(parts: LinkParts) -> Result<Self, RemoteError> {
        let shared = Arc::new(Shared::default());
        let trail = parts.trail.clone();
        let worker = Worker {
            shared: Arc::clone(&shared),
            votes: Votes::new(parts.clone()),
            parts,
        };
        let thread = std::thread::Builder::new()
            .name("audit-remote".to_owned())
            .spawn(move || worker.work())
            .map_err(|error| AuditError::file("start the thread that pushes", &trail, error))?;
        Ok(Self {
            shared,
            thread: Some(thread),
        })
    }

    /// Says that the trail has new commits. Never blocks.
    pub fn committed(&self) {
        self.shared.lock().news = true;
        self.shared.changed.notify_one();
    }

    /// Brings the votes about this run from now on.
    pub fn watch(&self, run: RunId) {
        self.shared.lock().run = Some(run);
        self.shared.changed.notify_one();
    }

    /// Pushes what is left and ends the thread.
    ///
    /// # Errors
    /// [`RemoteError`] when the last push failed; the trail has everything still, and a later push
    /// sends it.
    pub fn finish(mut self) -> Result<(), RemoteError> {
        self.shared.lock().finish = true;
        self.shared.changed.notify_one();
        match self.thread.take() {
            Some(thread) => thread
                .join()
                .unwrap_or(Err(RemoteError::Audit(AuditError::WriterDied))),
            None => Ok(()),
        }
    }
}

impl Drop for RemoteLink {
    fn drop(&mut self) {
        let mut signal = self.shared.lock();
        signal.finish = true;
        signal.abandoned = true;
        drop(signal);
        self.shared.changed.notify_one();
    }
}

struct Worker {
    shared: Arc<Shared>,
    parts: LinkParts,
    votes: Votes,
}

impl Worker {
    fn work(mut self) -> Result<(), RemoteError> {
        loop {
            let (news, run, finish) = self.wait();
            let pushed = match (news || finish) && !self.shared.lock().abandoned {
                true => self.push().map(drop),
                false => Ok(()),
            };
            if finish {
                return pushed;
            }
            if pushed.is_err() {
                // The network may come back; the last push tells if it does not.
                self.shared.lock().news = true;
            }
            if let Some(run) = run {
                // As above: the next look tries again.
                let _ = self.votes.bring(run);
            }
        }
    }

    fn push(&self) -> Result<PushReport, RemoteError> {
        let LinkParts {
            trail,
            remote,
            host,
            key,
            ..
        } = &self.parts;
        push(trail, remote, host, key.as_ref())
    }

    /// Sleeps until there is news, or until it is time to look for votes.
    fn wait(&self) -> (bool, Option<RunId>, bool) {
        let idle = |signal: &mut Signal| !signal.finish && (signal.run.is_none() && !signal.news);
        let signal = self
            .shared
            .changed
            .wait_while(self.shared.lock(), idle)
            .unwrap_or_else(PoisonError::into_inner);
        let mut signal = self
            .shared
            .changed
            .wait_timeout_while(signal, self.parts.pause, |signal| !signal.finish)
            .unwrap_or_else(PoisonError::into_inner)
            .0;
        (std::mem::take(&mut signal.news), signal.run, signal.finish)
    }
}

/// The votes about a run, each brought once.
pub struct Votes {
    parts: LinkParts,
    run: Option<RunId>,
    looked_at: EventSeq,
    open_gates: usize,
    known: HashSet<String>,
}

impl Votes {
    /// Nothing was brought yet.
    pub fn new(parts: LinkParts) -> Self {
        Self {
            parts,
            run: None,
            looked_at: EventSeq(0),
            open_gates: 0,
            known: HashSet::new(),
        }
    }

    /// Leaves the new votes about a run that the remote has as requests in the store, if a gate of
    /// the run is open. Says how many there were.
    ///
    /// # Errors
    /// [`RemoteError`] when remote or store could not be asked.
    pub fn bring(&mut self, run: RunId) -> Result<usize, RemoteError> {
        if self.run.replace(run) != Some(run) {
            (self.looked_at, self.open_gates) = (EventSeq(0), 0);
            self.known = requested(self.parts.store.as_ref(), run)?;
        }
        if !self.gate_is_open(run)? {
            return Ok(0);
        }
        let LinkParts {
            trail,
            remote,
            store,
            clock,
            ..
        } = &self.parts;
        let votes = fetch_votes(trail, remote, run, |id| self.known.contains(id))?;
        let mut brought = 0;
        for vote in votes {
            let actor = Actor {
                name: vote.statement.voter.clone(),
                host: "remote".to_owned(),
                verified: false,
            };
            self.known.insert(vote.statement.id.clone());
            let Some((gate, ballot)) = Ballot::of_statement(vote.statement, vote.signed) else {
                continue;
            };
            let kind = RequestKind::Vote {
                gate: Some(gate),
                ballot,
            };
            let left = store.add_request(run, clock.now(), actor, kind);
            block_on(left).map_err(AuditError::from)?;
            brought += 1;
        }
        Ok(brought)
    }

    fn gate_is_open(&mut self, run: RunId) -> Result<bool, RemoteError> {
        let news = self.parts.store.events_after(run, self.looked_at);
        for event in news.map_err(AuditError::from)? {
            self.looked_at = event.seq;
            match event.event {
                EventKind::GateOpened { .. } => self.open_gates += 1,
                EventKind::GateApproved { .. }
                | EventKind::GateRejected { .. }
                | EventKind::GateExpired { .. } => {
                    self.open_gates = self.open_gates.saturating_sub(1);
                }
                // A gate that closed with what it is a part of is looked for in vain until the end.
                EventKind::RunFinished { .. } => self.open_gates = 0,
                _ => {}
            }
        }
        Ok(self.open_gates > 0)
    }
}

/// The ids of the votes about a run that were left already.
fn requested(store: &dyn RunStore, run: RunId) -> Result<HashSet<String>, RemoteError> {
    let requests = store.requests_after(run, 0).map_err(AuditError::from)?;
    let ids = requests
        .into_iter()
        .filter_map(|request| match request.kind {
            RequestKind::Vote { ballot, .. } => ballot.id,
            RequestKind::Cancel { .. } => None,
        });
    Ok(ids.collect())
}
