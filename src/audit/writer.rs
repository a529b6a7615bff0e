//! The thread that keeps the trail close behind the journal, without ever holding a run up.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use super::error::AuditError;
use super::renderer::ReportRenderer;
use super::ssh::SigningKey;
use super::trail::{AuditTrail, Origin};
use crate::base::{Clock, EventSeq, RunId, Timestamp};
use crate::event::{EventKind, RunStatus};
use crate::store::{RunRecord, RunStore};

/// Between the turns of a run, commits are at least so far apart.
const PAUSE: Duration = Duration::from_secs(1);

/// Where the contents of the trail come from.
#[derive(Clone)]
pub struct AuditSources {
    /// The journal and its cursor.
    pub store: Arc<dyn RunStore>,
    /// The folder that holds a log folder for each run.
    pub logs_root: PathBuf,
    /// Writes `report.md`.
    pub renderer: Arc<dyn ReportRenderer>,
    /// Time, for the pause between commits.
    pub clock: Arc<dyn Clock>,
    /// The key of this host, which signs the commits; `None`: they are not signed.
    pub key: Option<SigningKey>,
    /// Told after commits were made. Must not block.
    pub on_commit: Arc<dyn Fn() + Send + Sync>,
}

/// Writes the trail in a thread of its own. Nothing runs while nothing is notified.
///
/// Dropping it finishes too, but leaves an error unsaid: call [`Self::finish`].
pub struct AuditWriter {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<Result<(), AuditError>>>,
}

#[derive(Default)]
struct Shared {
    signal: Mutex<Signal>,
    changed: Condvar,
}

#[derive(Default, Clone, Copy)]
struct Signal {
    news: bool,
    urgent: bool,
    finish: bool,
}

/// Whether an event is a turn of its run that should be on record at once.
///
/// The start is not one: it is recorded within a second, so a run that is over by then costs one
/// commit instead of two (a commit takes about ten milliseconds of flushing).
pub fn is_urgent(event: &EventKind) -> bool {
    matches!(
        event,
        EventKind::GateOpened { .. }
            | EventKind::GateApproved { .. }
            | EventKind::GateRejected { .. }
            | EventKind::GateExpired { .. }
            | EventKind::GateVoided { .. }
            | EventKind::GateParked { .. }
            | EventKind::RewindStarted { .. }
            | EventKind::RunReviewed { .. }
            | EventKind::CancelRequested { .. }
            | EventKind::RunTimedOut
            | EventKind::StepInterrupted { .. }
            | EventKind::RollbackStarted { .. }
            | EventKind::RunFinished { .. }
    )
}

impl AuditWriter {
    /// Opens (or creates) the trail at `path` and starts the thread, which first catches up with
    /// what an earlier process left.
    ///
    /// # Errors
    /// [`AuditError`] when the trail cannot be opened; then nothing was started.
    pub fn spawn(path: &Path, sources: AuditSources) -> Result<Self, AuditError> {
        let trail = AuditTrail::open(path)?.signed_by(sources.key.clone());
        let shared = Arc::new(Shared::default());
        shared.lock().news = true;
        let worker = Worker {
            shared: Arc::clone(&shared),
            trail,
            sources,
            scanned: HashMap::new(),
            last: None,
        };
        let thread = std::thread::Builder::new()
            .name("audit-writer".to_owned())
            .spawn(move || worker.work())
            .map_err(|error| AuditError::file("start the writer of", path, error))?;
        Ok(Self {
            shared,
            thread: Some(thread),
        })
    }

    /// Says that the journal has news. `urgent`: one of them [`is_urgent`], so do not wait. Cheap,
    /// never blocks for a commit.
    pub fn notify(&self, urgent: bool) {
        let mut signal = self.shared.lock();
        signal.news = true;
        signal.urgent |= urgent;
        drop(signal);
        self.shared.changed.notify_one();
    }

    /// Records all that the journal has of this process's runs and of finished ones, and ends the thread.
    ///
    /// # Errors
    /// [`AuditError`] when something could not be recorded. The journal has it still; the next
    /// process tries again.
    pub fn finish(mut self) -> Result<(), AuditError> {
        self.end()
    }

    fn end(&mut self) -> Result<(), AuditError> {
        self.shared.lock().finish = true;
        self.shared.changed.notify_one();
        match self.thread.take() {
            Some(thread) => thread.join().unwrap_or(Err(AuditError::WriterDied)),
            None => Ok(()),
        }
    }
}

impl Drop for AuditWriter {
    fn drop(&mut self) {
        // Nobody is left to be told; the cursor tells the next process what is missing.
        let _ = self.end();
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Signal> {
        self.signal.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Sleeps until there is news, takes it, and says whether it was asked to finish.
    fn wait(&self, pause: impl Fn() -> Duration) -> bool {
        let mut signal = self.lock();
        while !signal.news && !signal.finish {
            signal = self
                .changed
                .wait(signal)
                .unwrap_or_else(PoisonError::into_inner);
        }
        let pause = pause();
        if !pause.is_zero() && !signal.urgent && !signal.finish {
            let waited = self
                .changed
                .wait_timeout_while(signal, pause, |signal| !signal.urgent && !signal.finish);
            signal = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
        let finish = signal.finish;
        *signal = Signal {
            finish,
            ..Signal::default()
        };
        finish
    }
}

struct Worker {
    shared: Arc<Shared>,
    trail: AuditTrail,
    sources: AuditSources,
    /// Up to where a run's events were looked at for urgent ones.
    scanned: HashMap<RunId, EventSeq>,
    last: Option<Timestamp>,
}

impl Worker {
    fn work(mut self) -> Result<(), AuditError> {
        loop {
            let finish = self.shared.wait(|| self.pause());
            let passed = self.pass(finish);
            self.last = Some(self.sources.clock.now());
            if finish {
                return passed;
            }
            // Not lost: the cursor did not move, so the next pass tries again, and the last one tells.
        }
    }

    fn pause(&self) -> Duration {
        match self.last {
            Some(last) => PAUSE.saturating_sub(self.sources.clock.now().since(last)),
            None => Duration::ZERO,
        }
    }

    fn pass(&mut self, finish: bool) -> Result<(), AuditError> {
        let Self {
            trail,
            sources,
            scanned,
            ..
        } = self;
        let origin = Origin {
            store: sources.store.as_ref(),
            logs_root: &sources.logs_root,
            renderer: sources.renderer.as_ref(),
        };
        let store = Arc::clone(&sources.store);
        trail
            .catch_up_where(&origin, |run| {
                let wanted = is_due(run)
                    || (finish && is_ours(run))
                    || has_turn(store.as_ref(), run, scanned)?;
                if wanted {
                    // Should the commit fail, the next pass looks at these events again.
                    scanned.remove(&run.id);
                }
                Ok(wanted)
            })
            .map(|commits| {
                if commits > 0 {
                    (sources.on_commit)();
                }
            })
    }
}

/// Whether an event of a run that was not looked at yet [`is_urgent`].
fn has_turn(
    store: &dyn RunStore,
    run: &RunRecord,
    scanned: &mut HashMap<RunId, EventSeq>,
) -> Result<bool, AuditError> {
    let after = scanned
        .get(&run.id)
        .map_or(run.audited_seq, |seq| run.audited_seq.max(*seq));
    let news = store.events_after(run.id, after)?;
    scanned.insert(run.id, news.last().map_or(after, |event| event.seq));
    Ok(news.iter().any(|event| is_urgent(&event.event)))
}

/// Whether enough is new for a commit by itself. Each commit writes the whole `events.jsonl` again, so
/// it must at least grow fourfold: then all commits of a run together write a third more than its end.
fn is_due(run: &RunRecord) -> bool {
    let recorded = run.audited_seq.0;
    run.last_seq.0.saturating_sub(recorded) >= recorded.saturating_mul(3)
}

/// Whether no other process is going to record the rest of it. Another process's run in mid-flow is
/// left to that process, or many short runs would write a long one again and again.
fn is_ours(run: &RunRecord) -> bool {
    run.status == RunStatus::Finished
        || run
            .owner
            .as_ref()
            .is_none_or(|owner| owner.pid == std::process::id())
}
