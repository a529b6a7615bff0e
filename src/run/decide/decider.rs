//! The frame of a decision: what has been asked for so far, and when to look again.

use super::command::{CallKind, Command, Limits, Target};
use crate::base::{StepId, Timestamp};
use crate::event::EventKind;
use crate::run::node::Phase;
use crate::run::state::RunState;

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
        again: false,
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
            .retain(|c| !matches!(c, Command::Call { .. } | Command::Survey { .. }));
    }
    if let Some(at) = decider.wake {
        decider.commands.push(Command::WakeAt(at));
    }
    decider.commands
}

pub(super) struct Decider<'a> {
    pub(super) state: &'a RunState,
    pub(super) now: Timestamp,
    pub(super) slots: usize,
    pub(super) wake: Option<Timestamp>,
    /// Whether a recorded event may keep what would follow it from starting.
    pub(super) halting: bool,
    /// Whether a recorded event changes the rules, so that nothing more is decided before it is applied.
    pub(super) again: bool,
    pub(super) commands: Vec<Command>,
}

impl Decider<'_> {
    pub(super) fn record(&mut self, event: EventKind) {
        self.halting |= matches!(
            event,
            EventKind::StepFailed { .. }
                | EventKind::UndoFailed { .. }
                | EventKind::StepInterrupted { .. }
                | EventKind::GateRejected { .. }
                | EventKind::GateExpired { .. }
                | EventKind::RunTimedOut
                | EventKind::RewindStarted { .. }
                | EventKind::StepTimedOut { .. }
        );
        self.commands.push(Command::Record(event));
    }

    pub(super) fn wake_at(&mut self, at: Timestamp) {
        self.wake = Some(self.wake.map_or(at, |w| w.min(at)));
    }

    pub(super) fn stop(&mut self, step: &StepId, call: CallKind) {
        self.commands.push(Command::Stop {
            target: Target {
                step: step.clone(),
                call,
            },
        });
    }

    /// True once `at` has come; else makes sure that we look again then.
    pub(super) fn due(&mut self, at: Timestamp) -> bool {
        if self.now < at {
            self.wake_at(at);
        }
        self.now >= at
    }
}
