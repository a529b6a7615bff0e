//! Why a run could not be started or driven on.

use crate::base::RunId;
use crate::event::Outcome;
use crate::run::IllegalTransition;
use crate::store::{EngineOwner, StoreError};

/// Why a run could not be started or driven on.
#[derive(Debug, thiserror::Error)]
pub enum EngineError {
    /// The journal could not be written or read. Nothing new was started after it.
    #[error("the run's journal failed")]
    Journal(#[from] StoreError),
    /// A step's output could not be kept.
    #[error("cannot keep the output of step `{step}` in `{path}`")]
    Log {
        /// The step.
        step: String,
        /// The log file.
        path: String,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// Another living process drives the run.
    #[error("run {run} is driven by process {} on {}", .owner.pid, .owner.host)]
    Held {
        /// The run.
        run: RunId,
        /// The process.
        owner: EngineOwner,
    },
    /// The run is over.
    #[error("run {run} is over: {outcome}")]
    Finished {
        /// The run.
        run: RunId,
        /// How it ended.
        outcome: Outcome,
    },
    /// There is no such run.
    #[error("there is no run {0}")]
    Unknown(RunId),
    /// The stored plan or journal makes no sense.
    #[error("the record of run {run} is damaged: {reason}")]
    Damaged {
        /// The run.
        run: RunId,
        /// What is wrong.
        reason: String,
    },
    /// The core refused an event of our own making: a bug.
    #[error("the engine tried something impossible")]
    Illegal(#[from] IllegalTransition),
    /// The dispatcher ended without a word: a bug.
    #[error("the engine ended unexpectedly: {0}")]
    Panicked(String),
}
