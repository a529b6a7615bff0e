//! What watchers of a live run receive.

use std::sync::Arc;

use super::kind::RunEvent;
use crate::base::StepId;

/// Which stream of a step.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Stream {
    /// Standard output.
    Out,
    /// Standard error.
    Err,
}

/// Live progress. Only [`Progress::Event`] is durable; the rest may be dropped.
#[derive(Debug, Clone)]
pub enum Progress {
    /// A durable event, after it was made durable.
    Event(Arc<RunEvent>),
    /// A piece of a step's output, lossy text, at most a few KiB.
    Output {
        /// The step.
        step: StepId,
        /// Which stream.
        stream: Stream,
        /// The text, perhaps not ending at a line end.
        text: String,
    },
    /// Something that a person should know and that is no fact about the run, such as a forged vote.
    Warning {
        /// What, a sentence.
        text: String,
    },
}
