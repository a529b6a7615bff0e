//! What is to be done next. Pure: equal state, limits and time give equal commands.

use serde_json::Value;

use super::eval;
use super::retry;
use super::settle::{deadline, expression, never_held};
use super::state::{Halt, NodeStatus, Phase, RunState, Undo};
use super::transition::millis;
use super::verdict::{Verdict, verdict};
use crate::base::{AttemptNo, ErrorChain, Map, StepId, Timestamp};
use crate::event::{EventKind, Failure, FailureKind, RollbackCause, SkipReason};
use crate::plan::{PlanRollback, PlanStep};

/// The action that the engine performs itself.
const APPROVAL: &str = "approval";

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
    /// Whether its undo is meant.
    pub undo: bool,
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
        /// The intent: `StepStarted`, `StepPollStarted` or `UndoStarted`.
        intent: EventKind,
        /// The rendered inputs.
        inputs: Value,
    },
    /// Ask the handler of the target to end in good order. Asking again changes nothing.
    Stop {
        /// Whose handler.
        target: Target,
    },
    /// Decide again at this time, at the latest.
    WakeAt(Timestamp),
}

/// What is to be done next.
///
/// The driver records every `Record` and intent in order, applies them, and asks again until neither
/// `Record` nor `Call` is among the commands; only then is the time to wake complete.
pub fn decide(state: &RunState, limits: Limits, now: Timestamp) -> Vec<Command> {
    let mut decider = Decider {
        state,
        now,
        slots: limits.max_parallel.max(1),
        wake: None,
        halting: false,
        commands: Vec::new(),
    };
    match state.phase() {
        Phase::New | Phase::Finished => {}
        Phase::Forward => decider.forward(),
        Phase::RollingBack => decider.rolling_back(),
        Phase::Finally => decider.steps(),
    }
    if decider.halting {
        // What was to be called may not be any more; the driver asks again.
        decider
            .commands
            .retain(|c| !matches!(c, Command::Call { .. }));
    }
    if let Some(at) = decider.wake {
        decider.commands.push(Command::WakeAt(at));
    }
    decider.commands
}

struct Decider<'a> {
    state: &'a RunState,
    now: Timestamp,
    slots: usize,
    wake: Option<Timestamp>,
    /// Whether a recorded event may keep what would follow it from starting.
    halting: bool,
    commands: Vec<Command>,
}

impl Decider<'_> {
    fn record(&mut self, event: EventKind) {
        self.halting |= matches!(
            event,
            EventKind::StepFailed { .. }
                | EventKind::UndoFailed { .. }
                | EventKind::StepInterrupted { .. }
                | EventKind::GateRejected { .. }
                | EventKind::GateExpired { .. }
                | EventKind::RunTimedOut
        );
        self.commands.push(Command::Record(event));
    }

    fn wake_at(&mut self, at: Timestamp) {
        self.wake = Some(self.wake.map_or(at, |w| w.min(at)));
    }

    fn stop(&mut self, step: &StepId, undo: bool) {
        self.commands.push(Command::Stop {
            target: Target {
                step: step.clone(),
                undo,
            },
        });
    }

    /// True once `at` has come; else makes sure that we look again then.
    fn due(&mut self, at: Timestamp) -> bool {
        if self.now < at {
            self.wake_at(at);
        }
        self.now >= at
    }

    fn forward(&mut self) {
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
    fn steps(&mut self) {
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
                    self.stop(&step.id, false);
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
            NodeStatus::Retrying { at: Some(at) } => {
                if self.slots > 0 && self.due(at) {
                    self.start(i, node.attempt.next());
                }
            }
            NodeStatus::Gate { expires_at } => self.gate(i, expires_at),
            _ => {}
        }
    }

    /// The engine that ran it is gone. `read` and `idempotent` run again; of `once` only a person knows.
    fn lost_step(&mut self, i: usize) {
        use crate::model::Effect;
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
                let message = inputs.get("message").and_then(Value::as_str);
                self.record(EventKind::GateOpened {
                    step: step.id.clone(),
                    message: message.unwrap_or_default().to_owned(),
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
                        undo: false,
                    },
                    intent: EventKind::StepStarted {
                        step: step.id.clone(),
                        attempt,
                        inputs: inputs.clone(),
                    },
                    inputs,
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
                undo: false,
            },
            intent: EventKind::StepPollStarted {
                step: step.id.clone(),
                attempt: node.attempt,
                poll,
            },
            inputs: node.inputs.clone(),
        });
    }

    /// Something ended the forward part: running work ends, waiting ends at once, then undo or finish.
    fn wind_down(&mut self) {
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
                        self.stop(&step.id, false);
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
        use crate::model::Effect;
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

    fn rolling_back(&mut self) {
        let state = self.state;
        if state.main_part_over() {
            return self.after_steps();
        }
        let running = state
            .undo_active
            .iter()
            .filter(|&&i| state.nodes[i].undo == Undo::Running)
            .count();
        self.slots = self.slots.saturating_sub(running);
        for &i in &state.undo_active {
            self.active_undo(i);
        }
        if state.undo_failed {
            return;
        }
        for &i in &state.undo_ready {
            if self.slots == 0 || self.halting {
                break;
            }
            self.start_undo(i, AttemptNo::FIRST);
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
                use crate::model::Effect;
                if action.effect == Effect::Once {
                    self.record(EventKind::UndoFailed {
                        step: step.id.clone(),
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
                    self.stop(&step.id, true);
                }
            }
            Undo::Retrying { at: None } if !state.undo_failed => {
                if let (Some(retry), Some(run)) = (retry, state.run) {
                    let name = format!("{}/undo", step.id);
                    let wait = retry::delay(retry, run, &name, node.undo_attempt);
                    self.record(EventKind::UndoRetryScheduled {
                        step: step.id.clone(),
                        attempt: node.undo_attempt.next(),
                        at: self.now.plus(wait),
                    });
                }
            }
            Undo::Retrying { at: Some(at) } if !state.undo_failed => {
                if self.slots > 0 && self.due(at) {
                    self.start_undo(i, node.undo_attempt.next());
                }
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
        let ty = eval::outputs_ty(step);
        match eval::render(state, &action.with, Some((&node.outputs, &ty))) {
            Ok(inputs) => {
                self.slots = self.slots.saturating_sub(1);
                self.commands.push(Command::Call {
                    target: Target {
                        step: step.id.clone(),
                        undo: true,
                    },
                    intent: EventKind::UndoStarted {
                        step: step.id.clone(),
                        attempt,
                        inputs: inputs.clone(),
                    },
                    inputs,
                });
            }
            Err(error) => self.record(EventKind::UndoFailed {
                step: step.id.clone(),
                attempt: AttemptNo(0),
                failure: expression("rollback", &action.uses, &error),
                duration_ms: 0,
                log: None,
            }),
        }
    }

    /// Forward part and rollback, or `finally`, are over.
    fn after_steps(&mut self) {
        let state = self.state;
        // Records of this very decision may still change the picture; the driver asks again.
        if self
            .commands
            .iter()
            .any(|c| matches!(c, Command::Record(_)))
        {
            return;
        }
        if state.phase() != Phase::Finally && !state.plan.finally.is_empty() {
            return self.record(EventKind::FinallyStarted);
        }
        let outcome = state.prospective_outcome();
        let mut outputs = Map::new();
        if state.halt.is_none() {
            for (name, expr) in &state.plan.outputs {
                // An output of a step that was skipped has no value.
                let value = eval::render(state, expr, None).unwrap_or(Value::Null);
                outputs.insert(name.clone(), value);
            }
        }
        self.record(EventKind::RunFinished {
            outcome,
            rollback: state.rollback_result(),
            outputs,
            duration_ms: millis(self.now.since(state.created_at)),
        });
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
