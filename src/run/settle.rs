//! What a handler gave → what happened.

use std::time::Duration;

use super::decide::{CallKind, Target};
use super::eval;
use super::state::{Node, RunState};
use super::transition::millis;
use crate::base::{ErrorChain, Map, Timestamp, Value, format_duration};
use crate::event::{EventKind, Failure, FailureKind, LogRef};
use crate::language::ExprError;
use crate::model::Effect;
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
    let node = state.node(&finished.target.step)?;
    let step = state.step(state.index.get(&finished.target.step)?);
    if finished.target.call == CallKind::Undo {
        return Some(settle_undo(step, node, finished, now));
    }
    Some(settle_step(state, step, node, finished, now))
}

fn settle_step(
    state: &RunState,
    step: &PlanStep,
    node: &Node,
    finished: Finished,
    now: Timestamp,
) -> EventKind {
    let attempt = node.attempt;
    let duration_ms = duration_ms(node, now);
    let deadline = deadline(node, step.timeout.map(|t| t.0));
    let log = finished.log;
    let fail = |failure| EventKind::StepFailed {
        step: step.id.clone(),
        attempt,
        failure,
        duration_ms,
        log: log.clone(),
    };
    let polled = |outputs, failure| EventKind::StepPolled {
        step: step.id.clone(),
        attempt,
        poll: node.polls,
        outputs,
        failure,
        next_at: now.plus(step.every.0),
    };
    let outputs = match finished.result {
        Ok(outputs) => outputs,
        // An earlier poll was answered, so the reason is its answer and not the poll that was cut off.
        Err(failure)
            if ran_out(&failure, deadline, now) && step.until.is_some() && node.polls > 1 =>
        {
            return fail(never_held(step, node));
        }
        Err(failure) if ran_out(&failure, deadline, now) => {
            return fail(timed_out(step.timeout.map(|t| t.0), failure));
        }
        // A probe that cannot answer yet is what polling is for.
        Err(failure)
            if step.until.is_some()
                && step.action.effect == Effect::Read
                && !matches!(failure.sort, FailureKind::Invalid | FailureKind::Cancelled) =>
        {
            return polled(Value::Null, Some(failure));
        }
        Err(failure) => return fail(failure),
    };
    if let Some(until) = &step.until {
        match eval::holds(
            state,
            until,
            Some((&outputs, state.plan().action_ty(&step.action))),
        ) {
            Ok(true) => {}
            Ok(false) => return polled(outputs, None),
            Err(error) => return fail(expression("until", until, &error)),
        }
    }
    let outputs = match publish(state, step, outputs) {
        Ok(outputs) => outputs,
        Err(failure) => return fail(failure),
    };
    if let Some(verify) = &step.verify {
        let ty = step.outputs_ty(state.plan());
        match eval::holds(state, verify, Some((&outputs, &ty))) {
            Ok(true) => {}
            Ok(false) => return fail(not_verified(verify, &outputs)),
            Err(error) => return fail(expression("verify", verify, &error)),
        }
    }
    EventKind::StepSucceeded {
        step: step.id.clone(),
        attempt,
        outputs,
        duration_ms,
        log,
    }
}

fn settle_undo(step: &PlanStep, node: &Node, finished: Finished, now: Timestamp) -> EventKind {
    let timeout = match &step.rollback {
        Some(PlanRollback::Undo { timeout, .. }) => timeout.map(|t| t.0),
        _ => None,
    };
    let duration_ms = duration_ms(node, now);
    match finished.result {
        Ok(outputs) => EventKind::UndoSucceeded {
            step: step.id.clone(),
            attempt: node.undo_attempt,
            outputs,
            duration_ms,
            log: finished.log,
        },
        Err(failure) => EventKind::UndoFailed {
            step: step.id.clone(),
            attempt: node.undo_attempt,
            failure: if ran_out(&failure, deadline(node, timeout), now) {
                timed_out(timeout, failure)
            } else {
                failure
            },
            duration_ms,
            log: finished.log,
        },
    }
}

/// The action's outputs and those that the step adds.
fn publish(state: &RunState, step: &PlanStep, outputs: Value) -> Result<Value, Failure> {
    if step.outputs.is_empty() {
        return Ok(outputs);
    }
    let mut all = match &outputs {
        Value::Object(map) => map.clone(),
        _ => Map::new(),
    };
    for (name, expr) in &step.outputs {
        let own = Some((&outputs, state.plan().action_ty(&step.action)));
        let value =
            eval::render(state, expr, own).map_err(|error| expression("outputs", name, &error))?;
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
        hint: None,
        log_tail: Vec::new(),
    }
}

fn not_verified(verify: &str, outputs: &Value) -> Failure {
    Failure {
        sort: FailureKind::Verify,
        error: ErrorChain {
            message: format!("`verify` does not hold: `{verify}`"),
            causes: vec![format!("the outputs are {}", clipped(outputs))],
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
