//! Completed steps are undone: dependents first, independent branches side by side.

use super::command::{CallKind, Command, Target};
use super::decider::Decider;
use crate::base::{AttemptNo, ErrorChain};
use crate::event::{EventKind, Failure, FailureKind};
use crate::model::Effect;
use crate::plan::PlanRollback;
use crate::run::eval::{self, Place};
use crate::run::node::Undo;
use crate::run::retry;
use crate::run::settle::{deadline, expression};

impl Decider<'_> {
    pub(super) fn rolling_back(&mut self) {
        let state = self.state;
        if state.main_part_over() {
            return self.after_steps();
        }
        self.undos();
    }

    /// What is due of the steps that are being undone.
    pub(super) fn undos(&mut self) {
        let state = self.state;
        let running = state
            .undo_active
            .iter()
            .filter(|&&i| state.nodes[i].undo == Undo::Running)
            .count();
        self.slots = self.slots.saturating_sub(running);
        for &i in &state.undo_active {
            self.active_undo(i);
        }
        if !state.undo_goes_on() {
            return;
        }
        for &i in &state.undo_ready {
            if self.slots == 0 || self.halting {
                break;
            }
            self.start_undo(i, state.nodes[i].undo_attempt.next());
        }
    }

    fn active_undo(&mut self, i: usize) {
        let state = self.state;
        let (node, step) = (&state.nodes[i], state.step(i));
        let Some(PlanRollback::Undo {
            action,
            retry,
            timeout,
        }) = &step.rollback
        else {
            return;
        };
        match node.undo {
            Undo::Running if node.lost => {
                if action.effect == Effect::Once {
                    self.record(EventKind::UndoFailed {
                        step: node.id.clone(),
                        attempt: node.undo_attempt,
                        failure: lost_undo(),
                        duration_ms: 0,
                        log: None,
                    });
                } else {
                    self.start_undo(i, node.undo_attempt);
                }
            }
            Undo::Running => {
                if let Some(at) = deadline(node, timeout.map(|t| t.0))
                    && self.due(at)
                {
                    self.stop(&node.id, CallKind::Undo);
                }
            }
            Undo::Retrying { at: None } if state.undo_goes_on() => {
                if let (Some(retry), Some(run)) = (retry, state.run) {
                    let name = format!("{}/undo", node.id);
                    let tries = node.undo_tries(node.undo_attempt);
                    let wait = retry::delay(retry, run, &name, tries);
                    self.record(EventKind::UndoRetryScheduled {
                        step: node.id.clone(),
                        attempt: node.undo_attempt.next(),
                        at: self.now.plus(wait),
                    });
                }
            }
            Undo::Retrying { at: Some(at) }
                if state.undo_goes_on() && self.slots > 0 && self.due(at) =>
            {
                self.start_undo(i, node.undo_attempt.next());
            }
            _ => {}
        }
    }

    fn start_undo(&mut self, i: usize, attempt: AttemptNo) {
        let state = self.state;
        let (node, step) = (&state.nodes[i], state.step(i));
        let Some(PlanRollback::Undo { action, .. }) = &step.rollback else {
            return;
        };
        let ty = step.outputs_ty(state.plan());
        match eval::render(
            state,
            Place::of(state, i),
            &action.with,
            Some((&node.outputs, &ty)),
        ) {
            Ok(inputs) => {
                self.slots = self.slots.saturating_sub(1);
                self.commands.push(Command::Call {
                    target: Target {
                        step: node.id.clone(),
                        call: CallKind::Undo,
                    },
                    intent: EventKind::UndoStarted {
                        step: node.id.clone(),
                        attempt,
                        inputs: inputs.clone(),
                    },
                    inputs,
                    idempotency_key: self.key_anew(i, CallKind::Undo),
                });
            }
            Err(error) => self.record(EventKind::UndoFailed {
                step: node.id.clone(),
                attempt: AttemptNo(0),
                failure: expression("rollback", &action.uses, &error),
                duration_ms: 0,
                log: None,
            }),
        }
    }
}

fn lost_undo() -> Failure {
    Failure {
        sort: FailureKind::Error,
        error: ErrorChain::new(
            "the process that ran the undo is gone, and the undo must not be repeated blindly",
        ),
        hint: Some("look at the system, then decide whether it is undone".to_owned()),
        log_tail: Vec::new(),
    }
}
