//! The end of a part of the run: `finally`, or the end of it all.

use super::command::Command;
use super::decider::Decider;
use crate::base::{Map, Value};
use crate::event::EventKind;
use crate::run::eval;
use crate::run::state::Phase;
use crate::run::transition::millis;

impl Decider<'_> {
    /// Forward part and rollback, or `finally`, are over.
    pub(super) fn after_steps(&mut self) {
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
            recovery_ms: None,
        });
    }
}
