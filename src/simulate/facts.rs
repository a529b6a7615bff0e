//! What the events of a run say, in the words of an expectation. Reads events only, never the core's state.

use std::collections::BTreeSet;

use crate::base::{AttemptNo, Map, StepId, Value};
use crate::event::{EventKind, Outcome, RollbackResult, RunEvent, SkipReason};

/// What became of a run.
#[derive(Debug, Clone, Default)]
pub(super) struct Facts {
    /// Steps by the time of their first start; a loop starts when it has its list.
    pub(super) started: Vec<StepId>,
    /// Skipped because of their condition, or because it was so already.
    pub(super) skipped: BTreeSet<StepId>,
    /// Failed for good, in order.
    pub(super) failed: Vec<StepId>,
    /// Succeeded, in order.
    pub(super) succeeded: Vec<StepId>,
    /// Gates in the order in which they opened.
    pub(super) gates: Vec<StepId>,
    /// Undone, in order.
    pub(super) undone: Vec<StepId>,
    /// The end, once it is there.
    pub(super) finished: Option<Finish>,
}

/// The end of a run.
#[derive(Debug, Clone)]
pub(super) struct Finish {
    pub(super) outcome: Outcome,
    pub(super) rollback: RollbackResult,
    pub(super) outputs: Map<String, Value>,
}

impl Facts {
    pub(super) fn of(events: &[RunEvent]) -> Self {
        let mut facts = Self::default();
        for (at, event) in events.iter().enumerate() {
            facts.add(&event.event, &events[at + 1..]);
        }
        facts
    }

    fn add(&mut self, event: &EventKind, later: &[RunEvent]) {
        match event {
            EventKind::StepStarted { step, .. }
            | EventKind::StepExpanded { step, .. }
            | EventKind::GateOpened { step, .. } => {
                if !self.started.contains(step) {
                    self.started.push(step.clone());
                }
                if matches!(event, EventKind::GateOpened { .. }) {
                    self.gates.push(step.clone());
                }
            }
            EventKind::StepSkipped {
                step,
                reason: SkipReason::Condition { .. } | SkipReason::AlreadyDone { .. },
            } => {
                self.skipped.insert(step.clone());
            }
            EventKind::StepSucceeded { step, .. } | EventKind::GateApproved { step, .. } => {
                self.succeeded.push(step.clone());
            }
            EventKind::StepFailed { step, attempt, .. } if !is_retried(step, *attempt, later) => {
                self.failed.push(step.clone());
            }
            EventKind::GateRejected { step } | EventKind::GateExpired { step } => {
                self.failed.push(step.clone());
            }
            EventKind::UndoSucceeded { step, .. } => self.undone.push(step.clone()),
            EventKind::RunFinished {
                outcome,
                rollback,
                outputs,
                ..
            } => {
                self.finished = Some(Finish {
                    outcome: *outcome,
                    rollback: *rollback,
                    outputs: outputs.clone(),
                });
            }
            _ => {}
        }
    }
}

/// Whether a failed attempt is followed by the next.
pub(super) fn is_retried(step: &StepId, attempt: AttemptNo, later: &[RunEvent]) -> bool {
    attempt.0 > 0
        && later.iter().any(|event| {
            matches!(&event.event, EventKind::StepRetryScheduled { step: again, attempt: next, .. }
                if again == step && *next == attempt.next())
        })
}
