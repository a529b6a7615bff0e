//! What the outside may ask of a live run, and how its driving ends.

use std::sync::Arc;

use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use super::error::EngineError;
use super::progress::ProgressReceiver;
use crate::base::{RunId, StepId};
use crate::event::{Actor, Ballot, Outcome, RunEvent};
use crate::plan::Plan;
use crate::run::GateView;

/// How the driving of a run ended. The run itself may not be over.
#[derive(Debug, Clone, PartialEq)]
pub enum RunEnd {
    /// The run is over.
    Finished(Outcome),
    /// It waits at gates and was left, as asked.
    Waiting(Vec<GateView>),
    /// A `once` step may or may not have run; a person must say.
    Interrupted(StepId),
    /// It was killed; it can be resumed.
    Killed,
}

impl RunEnd {
    /// The process exit code (design §5).
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::Finished(outcome) => outcome.exit_code(),
            Self::Waiting(_) => 4,
            Self::Interrupted(_) => 6,
            Self::Killed => 8,
        }
    }
}

/// What is asked of the dispatcher.
#[derive(Debug)]
pub(super) enum Ask {
    Cancel {
        actor: Actor,
        reason: Option<String>,
    },
    Kill,
    Vote {
        step: StepId,
        actor: Actor,
        ballot: Ballot,
    },
}

/// Asks things of a live run. Cheap to clone. Asking a run that has ended does nothing.
#[derive(Debug, Clone)]
pub struct Control(pub(super) mpsc::UnboundedSender<Ask>);

impl Control {
    /// Ends the run in good order: nothing new starts, running steps get TERM and their grace.
    pub fn cancel(&self, actor: Actor, reason: Option<String>) {
        let _ = self.0.send(Ask::Cancel { actor, reason });
    }

    /// Ends everything at once: running steps get KILL, the state is journaled, the run can be resumed.
    pub fn kill(&self) {
        let _ = self.0.send(Ask::Kill);
    }

    /// Votes at an open gate. A vote at a gate that is not open is dropped.
    pub fn vote(&self, step: StepId, actor: Actor, ballot: Ballot) {
        let _ = self.0.send(Ask::Vote {
            step,
            actor,
            ballot,
        });
    }
}

/// A run that is being driven.
#[derive(Debug)]
pub struct RunHandle {
    /// Its id.
    pub run: RunId,
    /// Its plan.
    pub plan: Arc<Plan>,
    /// What had happened before it was resumed; empty for a new run.
    pub history: Vec<RunEvent>,
    /// What happens.
    pub progress: ProgressReceiver,
    /// What may be asked.
    pub control: Control,
    pub(super) task: JoinHandle<Result<RunEnd, EngineError>>,
}

impl RunHandle {
    /// Drops the dispatcher as the death of the process would.
    #[cfg(test)]
    pub(super) fn abort_for_test(self) {
        self.task.abort();
    }

    /// Waits for the end of the driving.
    ///
    /// # Errors
    /// [`EngineError`] when the run could not be driven on; what was journaled stands.
    pub async fn join(self) -> Result<RunEnd, EngineError> {
        match self.task.await {
            Ok(end) => end,
            Err(error) => Err(EngineError::Panicked(error.to_string())),
        }
    }
}
