//! What a handler gave → what happened.

use std::time::Duration;

use super::decide::{CallKind, Target};
use super::eval::{self, Place};
use super::node::{Node, NodeStatus, Undo};
use super::state::RunState;
use super::transition::millis;
use crate::base::{AttemptNo, ErrorChain, Map, Timestamp, Value, format_duration};
use crate::event::{EventKind, Failure, FailureKind, LogRef, SkipReason};
use crate::language::ExprError;
use crate::model::{Effect, Ty};
use crate::plan::{PlanRollback, PlanStep};

/// The end of one call of a handler.
#[derive(Debug, Clone, PartialEq)]
pub struct Finished {
    /// What was called.
    pub target: Target,
    /// What it gave.
    pub result: Result<Value, Failure>,
    /// What it printed.
    pub log: Option<LogRef>,
}

/// Turns the end of a handler's call into the event that records it: `until`, the step's own
/// `outputs` and `verify` are judged here.
///
/// Gives `None` when the target is not at work according to the state (its event is already there).
pub fn settle(state: &RunState, finished: Finished, now: Timestamp) -> Option<EventKind> {
    let i = state.get(&finished.target.step)?;
    let node = &state.nodes[i];
    let call = Call {
        state,
        i,
        node,
        step: state.step(i),
        now,
    };
    match finished.target.call {
        CallKind::Undo if node.undo == Undo::Running => Some(call.undo(finished)),
        CallKind::Probe if node.status == NodeStatus::Probing => Some(call.probe(finished)),
        CallKind::Action if node.status == NodeStatus::Running => Some(call.action(finished)),
        CallKind::Read(n) => call.read(n, finished.result),
        CallKind::Notice(level) => call.notice(level, finished.result),
        _ => None,
    }
}

/// A call that ended, and what is known around it.
struct Call<'a> {
    state: &'a RunState,
    i: usize,
    node: &'a Node,
    step: &'a PlanStep,
    now: Timestamp,
}

impl Call<'_> {
    fn place(&self) -> Place {
        Place::of(self.state, self.i)
    }

    fn duration_ms(&self) -> u64 {
        duration_ms(self.node, self.now)
    }

    fn failed(&self, failure: Failure, log: Option<LogRef>) -> EventKind {
        EventKind::StepFailed {
            step: self.node.id.clone(),
            attempt: self.node.attempt,
            failure,
            duration_ms: self.duration_ms(),
            log,
        }
    }

    fn polled(&self, outputs: Value, failure: Option<Failure>) -> EventKind {
        EventKind::StepPolled {
            step: self.node.id.clone(),
            attempt: self.node.attempt,
            poll: self.node.polls,
            outputs,
            failure,
            next_at: self.now.plus(self.step.every.0),
        }
    }

    fn action(&self, finished: Finished) -> EventKind {
        let (state, step, node, now) = (self.state, self.step, self.node, self.now);
        let deadline = deadline(node, step.timeout.map(|t| t.0));
        let log = finished.log;
        let outputs = match finished.result {
            Ok(outputs) => outputs,
            // An earlier poll was answered, so the reason is its answer and not the poll that was cut off.
            Err(failure)
                if ran_out(&failure, deadline, now) && step.until.is_some() && node.polls > 1 =>
            {
                return self.failed(never_held(step, node), log);
            }
            Err(failure) if ran_out(&failure, deadline, now) => {
                return self.failed(timed_out(step.timeout.map(|t| t.0), failure), log);
            }
            // A probe that cannot answer yet is what polling is for.
            Err(failure)
                if step.until.is_some()
                    && step.action.effect == Effect::Read
                    && !matches!(failure.sort, FailureKind::Invalid | FailureKind::Cancelled) =>
            {
                return self.polled(Value::Null, Some(failure));
            }
            Err(failure) => return self.failed(failure, log),
        };
        if let Some(until) = &step.until {
            let own = Some((&outputs, state.plan().action_ty(&step.action)));
            match eval::holds(state, self.place(), until, own) {
                Ok(true) => {}
                Ok(false) => return self.polled(outputs, None),
                Err(error) => return self.failed(expression("until", until, &error), log),
            }
        }
        match published(state, self.i, outputs) {
            Ok(outputs) => EventKind::StepSucceeded {
                step: node.id.clone(),
                attempt: node.attempt,
                outputs,
                duration_ms: self.duration_ms(),
                log,
            },
            Err(failure) => self.failed(failure, log),
        }
    }

    /// A `read` step of an open gate was asked again: what it publishes now.
    fn read(&self, n: u32, result: Result<Value, Failure>) -> Option<EventKind> {
        let gate = self.node.gate.as_deref()?;
        let (_, begun) = gate.reading().find(|(at, _)| u32::try_from(*at) == Ok(n))?;
        let read = self.state.read_of(self.i, n)?;
        let limit = self.state.step(read).timeout.map(|t| t.0);
        let result = match result {
            Ok(outputs) => published(self.state, read, outputs),
            Err(failure) if ran_out(&failure, limit.map(|t| begun.plus(t)), self.now) => {
                Err(timed_out(limit, failure))
            }
            Err(failure) => Err(failure),
        };
        let (outputs, failure) = match result {
            Ok(outputs) => (outputs, None),
            Err(failure) => (Value::Null, Some(failure)),
        };
        Some(EventKind::GateRead {
            step: self.node.id.clone(),
            read: self.state.nodes[read].id.clone(),
            outputs,
            failure,
        })
    }

    /// A level of the escalation chain was told, or not.
    fn notice(&self, level: u32, result: Result<Value, Failure>) -> Option<EventKind> {
        let notice = self.node.gate.as_deref()?.notices.get(&level)?;
        (!notice.lost).then(|| EventKind::GateNotified {
            step: self.node.id.clone(),
            level,
            failure: result.err(),
        })
    }

    /// The probe of `unless`: done already, or something to do.
    fn probe(&self, finished: Finished) -> EventKind {
        let failed = |failure| EventKind::StepFailed {
            step: self.node.id.clone(),
            attempt: AttemptNo(0),
            failure,
            duration_ms: self.duration_ms(),
            log: finished.log.clone(),
        };
        let Some(unless) = &self.step.unless else {
            return failed(of_unless(FailureKind::Invalid, Vec::new()));
        };
        let limit = self.step.timeout.map(|t| t.0);
        let outputs = match finished.result {
            Ok(outputs) => outputs,
            Err(failure) => {
                let failure = if ran_out(&failure, deadline(self.node, limit), self.now) {
                    timed_out(limit, failure)
                } else {
                    failure
                };
                let mut causes = vec![failure.error.message];
                causes.extend(failure.error.causes);
                return failed(Failure {
                    hint: failure.hint,
                    log_tail: failure.log_tail,
                    ..of_unless(failure.sort, causes)
                });
            }
        };
        let ty = match &unless.probe {
            Some(probe) => self.state.plan().action_ty(probe),
            None => &Ty::Any,
        };
        let condition = &unless.condition;
        match eval::holds(self.state, self.place(), condition, Some((&outputs, ty))) {
            Ok(true) => EventKind::StepSkipped {
                step: self.node.id.clone(),
                reason: SkipReason::AlreadyDone {
                    condition: condition.clone(),
                    outputs,
                },
            },
            Ok(false) => EventKind::StepProbed {
                step: self.node.id.clone(),
                outputs,
            },
            Err(error) => failed(expression("unless", condition, &error)),
        }
    }

    fn undo(&self, finished: Finished) -> EventKind {
        let timeout = match &self.step.rollback {
            Some(PlanRollback::Undo { timeout, .. }) => timeout.map(|t| t.0),
            _ => None,
        };
        let (step, attempt) = (self.node.id.clone(), self.node.undo_attempt);
        let (duration_ms, log) = (self.duration_ms(), finished.log);
        match finished.result {
            Ok(outputs) => EventKind::UndoSucceeded {
                step,
                attempt,
                outputs,
                duration_ms,
                log,
            },
            Err(failure) => EventKind::UndoFailed {
                step,
                attempt,
                failure: if ran_out(&failure, deadline(self.node, timeout), self.now) {
                    timed_out(timeout, failure)
                } else {
                    failure
                },
                duration_ms,
                log,
            },
        }
    }
}

/// What a step publishes: what its action or sub-runbook gave, and what it adds; `verify` must hold.
pub(super) fn published(state: &RunState, i: usize, own: Value) -> Result<Value, Failure> {
    let step = state.step(i);
    let outputs = add_outputs(state, i, own)?;
    if let Some(verify) = &step.verify {
        let ty = step.outputs_ty(state.plan());
        match eval::holds(state, Place::of(state, i), verify, Some((&outputs, &ty))) {
            Ok(true) => {}
            Ok(false) => {
                let own = Some((&outputs, &ty));
                let seen = eval::looked_at(state, Place::of(state, i), verify, own);
                return Err(not_verified(verify, &seen));
            }
            Err(error) => return Err(expression("verify", verify, &error)),
        }
    }
    Ok(outputs)
}

fn add_outputs(state: &RunState, i: usize, outputs: Value) -> Result<Value, Failure> {
    let step = state.step(i);
    if step.outputs.is_empty() {
        return Ok(outputs);
    }
    let mut all = match &outputs {
        Value::Object(map) => map.clone(),
        _ => Map::new(),
    };
    let ty = step.own_ty(state.plan());
    for (name, expr) in &step.outputs {
        let own = Some((&outputs, ty.as_ref()));
        let value = eval::render(state, Place::of(state, i), expr, own)
            .map_err(|error| expression("outputs", name, &error))?;
        all.insert(name.clone(), value);
    }
    Ok(Value::Object(all))
}

/// When the present attempt must be over.
pub(super) fn deadline(node: &Node, timeout: Option<Duration>) -> Option<Timestamp> {
    Some(node.started_at?.plus(timeout?))
}

/// A handler that was stopped because its time was up reports that it was cancelled.
fn ran_out(failure: &Failure, deadline: Option<Timestamp>, now: Timestamp) -> bool {
    failure.sort == FailureKind::Cancelled && deadline.is_some_and(|d| now >= d)
}

/// The failure of an attempt that took too long.
pub(super) fn timed_out(timeout: Option<Duration>, cause: Failure) -> Failure {
    let limit = format_duration(timeout.unwrap_or_default());
    let mut error = ErrorChain::new(format!("took longer than its timeout of {limit}"));
    if cause.sort != FailureKind::Cancelled {
        error.causes.push(cause.error.message);
        error.causes.extend(cause.error.causes);
    }
    Failure {
        sort: FailureKind::Timeout,
        error,
        hint: cause.hint,
        log_tail: cause.log_tail,
    }
}

/// The failure of a step whose `until` did not hold in time.
pub(super) fn never_held(step: &PlanStep, node: &Node) -> Failure {
    let limit = format_duration(step.timeout.map(|t| t.0).unwrap_or_default());
    let until = step.until.as_deref().unwrap_or_default();
    let mut failure = Failure {
        sort: FailureKind::Timeout,
        error: ErrorChain::new(format!(
            "`{until}` did not hold within {limit} ({} polls)",
            node.polls
        )),
        hint: None,
        log_tail: Vec::new(),
    };
    match &node.failure {
        Some(last) => {
            failure.error.causes.push(last.error.to_string());
            failure.hint.clone_from(&last.hint);
            failure.log_tail.clone_from(&last.log_tail);
        }
        None => failure
            .error
            .causes
            .push(format!("the last poll gave {}", clipped(&node.last_poll))),
    }
    failure
}

/// The failure of an expression that has no value.
pub(super) fn expression(place: &str, text: &str, error: &ExprError) -> Failure {
    Failure {
        sort: FailureKind::Invalid,
        error: ErrorChain {
            message: format!("`{place}` cannot be computed: `{text}`"),
            causes: vec![error.message.clone()],
        },
        hint: error.help.clone(),
        log_tail: Vec::new(),
    }
}

/// The failure of a probe: nothing was tried, because it is not known whether there is work to do.
fn of_unless(sort: FailureKind, causes: Vec<String>) -> Failure {
    Failure {
        sort,
        error: ErrorChain {
            message: "the probe of `unless` failed, so the step was not tried".to_owned(),
            causes,
        },
        hint: None,
        log_tail: Vec::new(),
    }
}

fn not_verified(verify: &str, seen: &[(String, Value)]) -> Failure {
    let is = |(name, value): &(String, Value)| format!("`{name}` is {}", clipped(value));
    let seen: Vec<String> = seen.iter().map(is).collect();
    let causes = match seen.is_empty() {
        true => Vec::new(),
        false => vec![seen.join(", ")],
    };
    Failure {
        sort: FailureKind::Verify,
        error: ErrorChain {
            message: format!("`verify` does not hold: `{verify}`"),
            causes,
        },
        hint: None,
        log_tail: Vec::new(),
    }
}

fn clipped(value: &Value) -> String {
    const MOST: usize = 400;
    let text = value.to_string();
    match text.char_indices().nth(MOST) {
        None => text,
        Some((end, _)) => format!("{}…", &text[..end]),
    }
}

fn duration_ms(node: &Node, now: Timestamp) -> u64 {
    node.started_at.map_or(0, |since| millis(now.since(since)))
}
