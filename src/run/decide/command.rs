//! What the core may ask of its driver.

use crate::base::{StepId, Timestamp, Value};
use crate::event::EventKind;

/// Bounds that are not part of the plan.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// How many handlers may be at work at once; at least 1. Polls and gates do not count.
    pub max_parallel: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self { max_parallel: 8 }
    }
}

/// What a handler is called for.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Target {
    /// The step.
    pub step: StepId,
    /// Which of its actions.
    pub call: CallKind,
}

/// Which action of a step is called.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum CallKind {
    /// The probe of `unless`.
    Probe,
    /// What the step does.
    Action,
    /// What undoes it.
    Undo,
}

/// What the driver is to do.
#[derive(Debug, Clone, PartialEq)]
pub enum Command {
    /// Record a fact; nothing else.
    Record(EventKind),
    /// Record the event, and once it is durable call the handler of the target.
    Call {
        /// What for.
        target: Target,
        /// The intent: `StepProbeStarted`, `StepStarted`, `StepPollStarted` or `UndoStarted`.
        intent: EventKind,
        /// The rendered inputs. Secrets are markers.
        inputs: Value,
        /// What tells the other side that two calls are one.
        idempotency_key: Option<String>,
    },
    /// Ask the handler of the target to end in good order. Asking again changes nothing.
    Stop {
        /// Whose handler.
        target: Target,
    },
    /// Decide again at this time, at the latest.
    WakeAt(Timestamp),
}
