//! What the core may ask of its driver.

use std::fmt;

use crate::base::{RunId, StepId, Timestamp, Value};
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
    /// Of a gate: its read step at this position of `gate.reads`, asked again.
    Read(u32),
    /// Of a gate: the message of this level of the escalation chain.
    Notice(u32),
}

impl CallKind {
    /// What tells it from the step's action in names of files and keys; `None` for the action.
    pub fn tag(self) -> Option<String> {
        match self {
            Self::Action => None,
            Self::Probe => Some("unless".to_owned()),
            Self::Undo => Some("undo".to_owned()),
            Self::Read(n) => Some(format!("read-{n}")),
            Self::Notice(level) => Some(format!("notice-{level}")),
        }
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let step = &self.step;
        match self.call {
            CallKind::Action => write!(f, "`{step}`"),
            CallKind::Probe => write!(f, "the probe of `{step}`"),
            CallKind::Undo => write!(f, "the undo of `{step}`"),
            CallKind::Read(_) => write!(f, "a second look for `{step}`"),
            CallKind::Notice(level) => write!(f, "the message of level {level} of `{step}`"),
        }
    }
}

/// What tells the other side that two calls are one, unless the step says so itself: run, step, and
/// which of its actions. The same for every attempt and after a crash.
///
/// A step that runs again because the run was sent back means a new change, and the other side must
/// not take it for the one that was undone: `times` is how often that happened, mostly 0.
pub fn idempotency_key(run: RunId, target: &Target, times: u32) -> String {
    let mut key = anew(format!("{run}/{}", target.step), times);
    if let Some(tag) = target.call.tag() {
        key.push('/');
        key.push_str(&tag);
    }
    key
}

/// A key of a step that was taken back so many times.
pub(super) fn anew(key: String, times: u32) -> String {
    match times {
        0 => key,
        n => format!("{key}/again-{n}"),
    }
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
        /// The intent: `StepProbeStarted`, `StepStarted`, `StepPollStarted`, `UndoStarted`,
        /// `GateReadStarted` or `GateEscalated`.
        intent: EventKind,
        /// The rendered inputs. Secrets are markers.
        inputs: Value,
        /// What tells the other side that two calls are one; `None`: [`idempotency_key`] of a step
        /// that was never taken back.
        idempotency_key: Option<String>,
    },
    /// Ask the handler of the target to end in good order. Asking again changes nothing.
    Stop {
        /// Whose handler.
        target: Target,
    },
    /// Read the files again, compare the plan that they give now with the run's plan, and record
    /// `GateSurveyed`. Asked again until that is recorded.
    Survey {
        /// The gate whose votes suffice.
        gate: StepId,
    },
    /// Decide again at this time, at the latest.
    WakeAt(Timestamp),
}
