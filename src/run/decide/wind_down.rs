//! What was ended before its time: running work ends, waiting ends at once, then undo or finish.

use super::command::CallKind;
use super::decider::Decider;
use crate::base::{AttemptNo, ErrorChain};
use crate::event::{EventKind, Failure, FailureKind, RollbackCause, SkipReason};
use crate::model::Effect;
use crate::run::node::{Halt, NodeStatus};
use crate::run::settle::deadline;
use crate::run::transition::millis;

impl Decider<'_> {
    /// The run, or what the step is a part of, was ended.
    pub(super) fn wind_down(&mut self, i: usize) {
        let state = self.state;
        let (node, step) = (&state.nodes[i], state.step(i));
        let part = state.frame_of(i);
        if state.cut_of(i).is_none() {
            return self.hold(i);
        }
        match node.status {
            NodeStatus::Running | NodeStatus::Probing if node.lost => self.lost_at_the_end(i),
            NodeStatus::Running | NodeStatus::Probing => {
                let late = deadline(node, step.timeout.map(|t| t.0)).is_some_and(|at| self.due(at));
                if part.stop || late {
                    let call = match node.status {
                        NodeStatus::Probing => CallKind::Probe,
                        _ => CallKind::Action,
                    };
                    self.stop(&node.id, call);
                }
            }
            NodeStatus::Polling { .. } => {
                self.give_up(
                    i,
                    cancelled("it was ended while it waited for its condition"),
                );
            }
            NodeStatus::Retrying { .. } => {
                let mut failure = cancelled("it was ended before it was tried again");
                if let Some(last) = &node.failure {
                    failure.error.causes.push(last.error.to_string());
                }
                self.give_up(i, failure);
            }
            NodeStatus::Gate { .. } => {
                self.stop_calls_of_gate(i);
                self.record(EventKind::StepSkipped {
                    step: node.id.clone(),
                    reason: if part.run_ends {
                        SkipReason::RunEnded
                    } else {
                        SkipReason::PartEnded
                    },
                });
            }
            _ => {}
        }
    }

    /// Another step's fate is unknown. It may be settled and the run go on, so what waits goes on
    /// waiting, gates stay open, and a call that was lost is made again then.
    fn hold(&mut self, i: usize) {
        let (node, step) = (&self.state.nodes[i], self.state.step(i));
        match node.status {
            NodeStatus::Running if node.lost && step.action.effect == Effect::Once => {
                self.lost_step(i);
            }
            NodeStatus::Running | NodeStatus::Probing
                if !node.lost
                    && deadline(node, step.timeout.map(|t| t.0)).is_some_and(|at| self.due(at)) =>
            {
                let call = match node.status {
                    NodeStatus::Probing => CallKind::Probe,
                    _ => CallKind::Action,
                };
                self.stop(&node.id, call);
            }
            _ => {}
        }
    }

    fn give_up(&mut self, i: usize, failure: Failure) {
        let node = &self.state.nodes[i];
        self.record(EventKind::StepFailed {
            step: node.id.clone(),
            attempt: node.attempt,
            failure,
            duration_ms: node.started_at.map_or(0, |s| millis(self.now.since(s))),
            log: None,
        });
    }

    /// Nothing may start any more, so what cannot be run again to its end has failed.
    fn lost_at_the_end(&mut self, i: usize) {
        let (node, step) = (&self.state.nodes[i], self.state.step(i));
        let is_probe = node.status == NodeStatus::Probing;
        if step.action.effect == Effect::Once && !is_probe {
            return self.lost_step(i);
        }
        self.record(EventKind::StepFailed {
            step: node.id.clone(),
            attempt: if is_probe { AttemptNo(0) } else { node.attempt },
            failure: cancelled("the process that ran it is gone, and it was ended"),
            duration_ms: 0,
            log: None,
        });
    }

    pub(super) fn begin_rollback(&mut self) {
        let state = self.state;
        let cause = match &state.halt {
            Some(Halt::StepFailed { step, .. }) => RollbackCause::StepFailed { step: step.clone() },
            Some(Halt::Rejected { step } | Halt::Expired { step }) => {
                RollbackCause::Gate { step: step.clone() }
            }
            Some(Halt::TimedOut) => RollbackCause::TimedOut,
            Some(Halt::Cancelled | Halt::Interrupted { .. } | Halt::NotUndone { .. }) | None => {
                RollbackCause::Cancelled
            }
        };
        let steps = state
            .undoable()
            .into_iter()
            .map(|i| state.nodes[i].id.clone())
            .collect();
        self.record(EventKind::RollbackStarted { cause, steps });
    }
}

/// The failure of what was ended from outside.
pub(super) fn cancelled(why: &str) -> Failure {
    Failure {
        sort: FailureKind::Cancelled,
        error: ErrorChain::new(why),
        hint: None,
        log_tail: Vec::new(),
    }
}
