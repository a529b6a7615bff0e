//! Steps of the forward part and of `finally`: starts, polls, retries, time limits, gates.

use super::command::{CallKind, Command, Target};
use super::decider::Decider;
use crate::base::{AttemptNo, Timestamp, Value};
use crate::event::{EventKind, Failure, SkipReason};
use crate::model::Effect;
use crate::plan::PlanStep;
use crate::run::eval;
use crate::run::retry;
use crate::run::settle::{deadline, expression, never_held};
use crate::run::state::NodeStatus;
use crate::run::transition::millis;
use crate::run::verdict::{Verdict, verdict};

/// The action that the engine performs itself.
const APPROVAL: &str = "approval";

impl Decider<'_> {
    pub(super) fn forward(&mut self) {
        if self.state.halt.is_some() {
            return self.wind_down();
        }
        if self.run_timed_out() {
            return self.record(EventKind::RunTimedOut);
        }
        self.steps();
    }

    /// The time that gates waited does not count.
    fn run_timed_out(&mut self) -> bool {
        let state = self.state;
        match (state.plan.timeout, state.paused_since) {
            (Some(timeout), None) => {
                let waited = std::time::Duration::from_millis(state.paused_ms);
                state.unsettled > 0 && self.due(state.created_at.plus(timeout.0).plus(waited))
            }
            _ => false,
        }
    }

    /// Steps of the forward part or of `finally`.
    pub(super) fn steps(&mut self) {
        let state = self.state;
        let running = state
            .active
            .iter()
            .filter(|&&i| state.nodes[i].status == NodeStatus::Running)
            .count();
        self.slots = self.slots.saturating_sub(running);
        for &i in &state.active {
            self.active_step(i);
        }
        for &i in &state.ready {
            if self.slots == 0 || self.halting {
                break;
            }
            self.ready_step(i);
        }
        if state.unsettled == 0 {
            self.after_steps();
        }
    }

    fn active_step(&mut self, i: usize) {
        let state = self.state;
        let (node, step) = (&state.nodes[i], state.step(i));
        let timeout = step.timeout.map(|t| t.0);
        match node.status {
            NodeStatus::Running if node.lost => self.lost_step(i),
            NodeStatus::Running => {
                if let Some(at) = deadline(node, timeout)
                    && self.due(at)
                {
                    self.stop(&step.id, CallKind::Action);
                }
            }
            NodeStatus::Polling { next_at } => {
                if let Some(at) = deadline(node, timeout)
                    && self.due(at)
                {
                    let duration = node.started_at.map_or(0, |s| millis(self.now.since(s)));
                    self.record(EventKind::StepFailed {
                        step: step.id.clone(),
                        attempt: node.attempt,
                        failure: never_held(step, node),
                        duration_ms: duration,
                        log: None,
                    });
                } else if self.due(next_at) {
                    self.poll(i, node.polls + 1);
                }
            }
            NodeStatus::Retrying { at: None } => {
                if let (Some(retry), Some(run)) = (&step.retry, state.run) {
                    let wait = retry::delay(retry, run, step.id.as_str(), node.attempt);
                    self.record(EventKind::StepRetryScheduled {
                        step: step.id.clone(),
                        attempt: node.attempt.next(),
                        at: self.now.plus(wait),
                    });
                }
            }
            NodeStatus::Retrying { at: Some(at) } if self.slots > 0 && self.due(at) => {
                self.start(i, node.attempt.next());
            }
            NodeStatus::Gate { expires_at } => self.gate(i, expires_at),
            _ => {}
        }
    }

    /// The engine that ran it is gone. `read` and `idempotent` run again; of `once` only a person knows.
    pub(super) fn lost_step(&mut self, i: usize) {
        let (node, step) = (&self.state.nodes[i], self.state.step(i));
        match step.action.effect {
            Effect::Once => self.record(EventKind::StepInterrupted {
                step: step.id.clone(),
                attempt: node.attempt,
            }),
            Effect::Read | Effect::Idempotent if node.polls > 1 => self.poll(i, node.polls),
            Effect::Read | Effect::Idempotent => self.start(i, node.attempt),
        }
    }

    fn gate(&mut self, i: usize, expires_at: Option<Timestamp>) {
        let step = self.state.step(i).id.clone();
        let judged = match self.state.plan_digest {
            Some(digest) => verdict(&self.state.nodes[i].votes, &digest),
            None => Verdict::Pending,
        };
        match judged {
            Verdict::Approved => self.record(EventKind::GateApproved { step }),
            Verdict::Rejected => self.record(EventKind::GateRejected { step }),
            Verdict::Pending => {
                if let Some(at) = expires_at
                    && self.due(at)
                {
                    self.record(EventKind::GateExpired { step });
                }
            }
        }
    }

    fn ready_step(&mut self, i: usize) {
        let step = self.state.step(i);
        if let Some(when) = &step.when {
            match eval::holds(self.state, when, None) {
                Ok(true) => {}
                Ok(false) => {
                    return self.record(EventKind::StepSkipped {
                        step: step.id.clone(),
                        reason: SkipReason::Condition {
                            condition: when.clone(),
                        },
                    });
                }
                Err(error) => {
                    return self.fail_untried(step, expression("when", when, &error));
                }
            }
        }
        if step.action.uses == APPROVAL {
            self.open_gate(step);
        } else {
            self.start(i, AttemptNo::FIRST);
        }
    }

    fn open_gate(&mut self, step: &PlanStep) {
        match eval::render(self.state, &step.action.with, None) {
            Ok(inputs) => {
                let asked = inputs.get("message").and_then(Value::as_str);
                let asked = asked.unwrap_or_default();
                let message = self.state.plan().gate_message(&step.id, asked);
                self.record(EventKind::GateOpened {
                    step: step.id.clone(),
                    message,
                    expires_at: step.timeout.map(|t| self.now.plus(t.0)),
                });
            }
            Err(error) => self.fail_untried(step, expression("with", "message", &error)),
        }
    }

    fn fail_untried(&mut self, step: &PlanStep, failure: Failure) {
        self.record(EventKind::StepFailed {
            step: step.id.clone(),
            attempt: AttemptNo(0),
            failure,
            duration_ms: 0,
            log: None,
        });
    }

    fn start(&mut self, i: usize, attempt: AttemptNo) {
        let step = self.state.step(i);
        match eval::render(self.state, &step.action.with, None) {
            Ok(inputs) => {
                self.slots = self.slots.saturating_sub(1);
                self.commands.push(Command::Call {
                    target: Target {
                        step: step.id.clone(),
                        call: CallKind::Action,
                    },
                    intent: EventKind::StepStarted {
                        step: step.id.clone(),
                        attempt,
                        inputs: inputs.clone(),
                        idempotency_key: None,
                    },
                    inputs,
                    idempotency_key: None,
                });
            }
            Err(error) => {
                let failure = expression("with", &step.action.uses, &error);
                // The first render can fail; a later one sees the same settled steps and cannot.
                self.fail_untried(step, failure);
            }
        }
    }

    fn poll(&mut self, i: usize, poll: u32) {
        let (node, step) = (&self.state.nodes[i], self.state.step(i));
        self.commands.push(Command::Call {
            target: Target {
                step: step.id.clone(),
                call: CallKind::Action,
            },
            intent: EventKind::StepPollStarted {
                step: step.id.clone(),
                attempt: node.attempt,
                poll,
            },
            inputs: node.inputs.clone(),
            idempotency_key: None,
        });
    }
}
