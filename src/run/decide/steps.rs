//! Steps: starts, polls, retries, time limits, gates, and the probe of `unless`.

use super::command::{CallKind, Command, Target, anew, idempotency_key};
use super::decider::Decider;
use crate::base::{AttemptNo, Value};
use crate::event::{EventKind, Failure, SkipReason};
use crate::language::ExprError;
use crate::model::Effect;
use crate::plan::{PlanAction, PlanStep};
use crate::run::eval::{self, Place};
use crate::run::node::{NodeKind, NodeStatus, Phase};
use crate::run::retry;
use crate::run::settle::{deadline, expression, never_held};
use crate::run::transition::millis;

/// The action that the engine performs itself.
const APPROVAL: &str = "approval";

impl Decider<'_> {
    pub(super) fn forward(&mut self) {
        if self.state.halt.is_none() && self.run_timed_out() {
            return self.record(EventKind::RunTimedOut);
        }
        if self.state.waits_for_a_word() {
            return self.steps();
        }
        if self.state.rewind.is_some() {
            self.rewinding();
        } else if !self.send_back() {
            self.steps();
        }
    }

    /// The time that gates waited does not count.
    fn run_timed_out(&mut self) -> bool {
        let state = self.state;
        match (state.plan.timeout, state.paused_since) {
            (Some(timeout), None) => {
                let waited = std::time::Duration::from_millis(state.paused_ms);
                !state.forward_over() && self.due(state.created_at.plus(timeout.0).plus(waited))
            }
            _ => false,
        }
    }

    /// Steps of the forward part or of `finally`.
    pub(super) fn steps(&mut self) {
        let state = self.state;
        let is_running = |i: &&usize| {
            matches!(
                state.nodes[**i].status,
                NodeStatus::Running | NodeStatus::Probing
            )
        };
        let running = state.active.iter().filter(is_running).count();
        self.slots = self.slots.saturating_sub(running + state.reads_under_way());
        let waits = state.waits_for_a_word();
        if !waits {
            self.parts();
        }
        for &i in &state.active {
            if self.again {
                return;
            }
            if waits || state.cut_of(i).is_some() {
                self.wind_down(i);
            } else {
                self.active_step(i);
            }
        }
        if waits {
            return;
        }
        for &(_, i) in &state.ready {
            if self.slots == 0 || self.halting {
                break;
            }
            self.ready_step(i);
        }
        match state.phase() {
            Phase::Finally if state.finally_over() => self.after_steps(),
            Phase::Forward if !state.forward_over() => {}
            Phase::Forward if state.wants_rollback() => self.begin_rollback(),
            Phase::Forward => self.after_steps(),
            _ => {}
        }
    }

    pub(super) fn active_step(&mut self, i: usize) {
        let state = self.state;
        let (node, step) = (&state.nodes[i], state.step(i));
        let timeout = step.timeout.map(|t| t.0);
        match node.status {
            NodeStatus::Running if node.lost => self.lost_step(i),
            NodeStatus::Probing if node.lost => self.probe(i),
            NodeStatus::Running | NodeStatus::Probing => {
                if let Some(at) = deadline(node, timeout)
                    && self.due(at)
                {
                    let call = match node.status {
                        NodeStatus::Probing => CallKind::Probe,
                        _ => CallKind::Action,
                    };
                    self.stop(&node.id, call);
                }
            }
            NodeStatus::Polling { next_at } => {
                if let Some(at) = deadline(node, timeout)
                    && self.due(at)
                {
                    let duration = node.started_at.map_or(0, |s| millis(self.now.since(s)));
                    self.record(EventKind::StepFailed {
                        step: node.id.clone(),
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
                    let tries = node.tries(node.attempt);
                    let wait = retry::delay(retry, run, node.id.as_str(), tries);
                    self.record(EventKind::StepRetryScheduled {
                        step: node.id.clone(),
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
                step: node.id.clone(),
                attempt: node.attempt,
            }),
            Effect::Read | Effect::Idempotent if node.polls > 1 => self.poll(i, node.polls),
            Effect::Read | Effect::Idempotent => self.start(i, node.attempt),
        }
    }

    pub(super) fn ready_step(&mut self, i: usize) {
        let state = self.state;
        let node = &state.nodes[i];
        if state.lacks_approval(i) {
            return self.skip(i, SkipReason::NotApproved);
        }
        if !node.probed && self.is_needless(i) {
            return;
        }
        match node.kind {
            NodeKind::Loop => self.expand(i),
            NodeKind::Block => self.open_block(i),
            NodeKind::Step if state.step(i).action.uses == APPROVAL => self.open_gate(i),
            NodeKind::Step => self.start(i, node.attempt.next()),
        }
    }

    /// Judges `when` and `unless`; true when the step is dealt with, or its probe must be asked first.
    fn is_needless(&mut self, i: usize) -> bool {
        let state = self.state;
        let (node, step) = (&state.nodes[i], state.step(i));
        let place = Place::of(state, i);
        if let Some(when) = &step.when
            // A condition on the item is for each instance to judge, any other for the loop.
            && (step.for_each.is_none()
                || eval::is_about_item(when) == (node.kind != NodeKind::Loop))
        {
            match eval::holds(state, place, when, None) {
                Ok(true) => {}
                Ok(false) => {
                    self.skip(
                        i,
                        SkipReason::Condition {
                            condition: when.clone(),
                        },
                    );
                    return true;
                }
                Err(error) => {
                    self.fail_untried(i, expression("when", when, &error));
                    return true;
                }
            }
        }
        match &step.unless {
            None => false,
            Some(_) if node.kind == NodeKind::Loop => false,
            Some(unless) if unless.probe.is_some() => {
                self.probe(i);
                true
            }
            Some(unless) => {
                let condition = unless.condition.clone();
                match eval::holds(state, place, &condition, None) {
                    Ok(true) => self.skip(
                        i,
                        SkipReason::AlreadyDone {
                            condition,
                            outputs: Value::Null,
                        },
                    ),
                    Ok(false) => return false,
                    Err(error) => {
                        self.fail_untried(i, expression("unless", &condition, &error));
                    }
                }
                true
            }
        }
    }

    fn skip(&mut self, i: usize, reason: SkipReason) {
        self.record(EventKind::StepSkipped {
            step: self.state.nodes[i].id.clone(),
            reason,
        });
    }

    /// Asks the probe of `unless`; a lost one is simply asked again.
    fn probe(&mut self, i: usize) {
        let Some(probe) = probe_of(self.state.step(i)) else {
            return;
        };
        match eval::render(self.state, Place::of(self.state, i), &probe.with, None) {
            Ok(inputs) => {
                let step = self.state.nodes[i].id.clone();
                self.call(
                    i,
                    CallKind::Probe,
                    EventKind::StepProbeStarted {
                        step,
                        inputs: inputs.clone(),
                    },
                    inputs,
                    None,
                );
            }
            Err(error) => self.fail_untried(i, expression("unless", &probe.uses, &error)),
        }
    }

    pub(super) fn call(
        &mut self,
        i: usize,
        call: CallKind,
        intent: EventKind,
        inputs: Value,
        idempotency_key: Option<String>,
    ) {
        self.slots = self.slots.saturating_sub(1);
        self.commands.push(Command::Call {
            target: Target {
                step: self.state.nodes[i].id.clone(),
                call,
            },
            intent,
            inputs,
            idempotency_key,
        });
    }

    pub(super) fn fail_untried(&mut self, i: usize, failure: Failure) {
        self.record(EventKind::StepFailed {
            step: self.state.nodes[i].id.clone(),
            attempt: AttemptNo(0),
            failure,
            duration_ms: 0,
            log: None,
        });
    }

    pub(super) fn inputs(&self, i: usize) -> Result<Value, ExprError> {
        let with = &self.state.step(i).action.with;
        eval::render(self.state, Place::of(self.state, i), with, None)
    }

    /// The step's own key, as it was when the step was first tried.
    fn idempotency_key(&self, i: usize) -> Result<Option<String>, Failure> {
        let (node, step) = (&self.state.nodes[i], self.state.step(i));
        let Some(expr) = &step.idempotency_key else {
            return Ok(None);
        };
        if node.idempotency_key.is_some() {
            return Ok(node.idempotency_key.clone());
        }
        match eval::render(self.state, Place::of(self.state, i), expr, None) {
            Ok(Value::String(key)) => Ok(Some(anew(key, node.past.times))),
            Ok(other) => Ok(Some(anew(other.to_string(), node.past.times))),
            Err(error) => Err(expression("idempotency_key", &step.action.uses, &error)),
        }
    }

    /// The key of a step without its own, if it was taken back before.
    pub(super) fn key_anew(&self, i: usize, call: CallKind) -> Option<String> {
        let node = &self.state.nodes[i];
        let (run, times) = (self.state.run?, node.past.times);
        let step = node.id.clone();
        (times > 0).then(|| idempotency_key(run, &Target { step, call }, times))
    }

    fn start(&mut self, i: usize, attempt: AttemptNo) {
        let step = self.state.step(i);
        let prepared = self
            .inputs(i)
            .map_err(|error| expression("with", &step.action.uses, &error))
            .and_then(|inputs| Ok((inputs, self.idempotency_key(i)?)));
        match prepared {
            Ok((inputs, key)) => {
                let intent = EventKind::StepStarted {
                    step: self.state.nodes[i].id.clone(),
                    attempt,
                    inputs: inputs.clone(),
                    idempotency_key: key.clone(),
                };
                let key = key.or_else(|| self.key_anew(i, CallKind::Action));
                self.call(i, CallKind::Action, intent, inputs, key);
            }
            // The first render can fail; a later one sees the same settled steps and cannot.
            Err(failure) => self.fail_untried(i, failure),
        }
    }

    fn poll(&mut self, i: usize, poll: u32) {
        let node = &self.state.nodes[i];
        self.commands.push(Command::Call {
            target: Target {
                step: node.id.clone(),
                call: CallKind::Action,
            },
            intent: EventKind::StepPollStarted {
                step: node.id.clone(),
                attempt: node.attempt,
                poll,
            },
            inputs: node.inputs.clone(),
            idempotency_key: node
                .idempotency_key
                .clone()
                .or_else(|| self.key_anew(i, CallKind::Action)),
        });
    }
}

fn probe_of(step: &PlanStep) -> Option<&PlanAction> {
    step.unless.as_ref()?.probe.as_ref()
}
