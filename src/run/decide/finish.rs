//! The end of a part of the run: `finally`, or the end of it all.

use std::collections::BTreeMap;

use super::command::Command;
use super::decider::Decider;
use crate::base::{Map, Value};
use crate::event::EventKind;
use crate::plan::Expr;
use crate::run::eval::{self, Place};
use crate::run::node::Phase;
use crate::run::state::RunState;
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
        if state.phase() != Phase::Finally && state.owes_finally() {
            return self.record(EventKind::FinallyStarted);
        }
        let mut outputs = Map::new();
        if state.halt.is_none() {
            outputs = block_outputs(state, Place::root(), &state.plan.outputs);
        }
        self.record(EventKind::RunFinished {
            outcome: state.prospective_outcome(),
            rollback: state.rollback_result(),
            outputs,
            duration_ms: millis(self.now.since(state.created_at)),
            recovery_ms: state.recovery().map(millis),
        });
    }
}

/// The outputs of a runbook. One of a step that was skipped has no value.
pub(super) fn block_outputs(
    state: &RunState,
    place: Place,
    outputs: &BTreeMap<String, Expr>,
) -> Map<String, Value> {
    outputs
        .iter()
        .map(|(name, expr)| {
            let value = eval::render(state, place, expr, None).unwrap_or(Value::Null);
            (name.clone(), value)
        })
        .collect()
}
