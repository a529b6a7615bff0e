//! The forward part was ended early: running work ends, waiting ends at once, then undo or finish.

use super::command::CallKind;
use super::decider::Decider;
use crate::base::ErrorChain;
use crate::event::{EventKind, Failure, FailureKind, RollbackCause, SkipReason};
use crate::model::Effect;
use crate::run::settle::deadline;
use crate::run::state::{Halt, NodeStatus};
use crate::run::transition::millis;

impl Decider<'_> {
    /// Something ended the forward part: running work ends, waiting ends at once, then undo or finish.
    pub(super) fn wind_down(&mut self) {
        let state = self.state;
        let stop_running = matches!(state.halt, Some(Halt::Cancelled | Halt::TimedOut));
        let interrupted = matches!(state.halt, Some(Halt::Interrupted { .. }));
        for &i in &state.active {
            let (node, step) = (&state.nodes[i], state.step(i));
            match node.status {
                NodeStatus::Running if node.lost => self.lost_while_winding_down(i),
                NodeStatus::Running => {
                    let late =
                        deadline(node, step.timeout.map(|t| t.0)).is_some_and(|at| self.due(at));
                    if stop_running || late {
                        self.stop(&step.id, CallKind::Action);
                    }
                }
                NodeStatus::Polling { .. } => self.record(EventKind::StepFailed {
                    step: step.id.clone(),
                    attempt: node.attempt,
                    failure: ended_early(),
                    duration_ms: node.started_at.map_or(0, |s| millis(self.now.since(s))),
                    log: None,
                }),
                // An unknown fate may be settled and the run go on, so its gates stay open.
                NodeStatus::Gate { .. } if !interrupted => {
                    self.record(EventKind::StepSkipped {
                        step: step.id.clone(),
                        reason: SkipReason::RunEnded,
                    });
                }
                _ => {}
            }
        }
        if interrupted || state.any_running() || state.open_gates > 0 {
            return;
        }
        if state.wants_rollback() {
            self.begin_rollback();
        } else {
            self.after_steps();
        }
    }

    /// Nothing may start any more, so what cannot be run again to its end has failed.
    fn lost_while_winding_down(&mut self, i: usize) {
        let (node, step) = (&self.state.nodes[i], self.state.step(i));
        if step.action.effect == Effect::Once {
            return self.lost_step(i);
        }
        self.record(EventKind::StepFailed {
            step: step.id.clone(),
            attempt: node.attempt,
            failure: Failure {
                sort: FailureKind::Cancelled,
                error: ErrorChain::new("the process that ran it is gone, and the run had ended"),
                hint: None,
                log_tail: Vec::new(),
            },
            duration_ms: 0,
            log: None,
        });
    }

    fn begin_rollback(&mut self) {
        let state = self.state;
        let cause = match &state.halt {
            Some(Halt::StepFailed { step, .. }) => RollbackCause::StepFailed { step: step.clone() },
            Some(Halt::Rejected { step } | Halt::Expired { step }) => {
                RollbackCause::Gate { step: step.clone() }
            }
            Some(Halt::TimedOut) => RollbackCause::TimedOut,
            Some(Halt::Cancelled | Halt::Interrupted { .. }) | None => RollbackCause::Cancelled,
        };
        let steps = state
            .undoable()
            .into_iter()
            .map(|i| state.step(i).id.clone())
            .collect();
        self.record(EventKind::RollbackStarted { cause, steps });
    }
}

fn ended_early() -> Failure {
    Failure {
        sort: FailureKind::Cancelled,
        error: ErrorChain::new("the run ended while it waited for its condition"),
        hint: None,
        log_tail: Vec::new(),
    }
}
