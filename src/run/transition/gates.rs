//! Gates: opened, closed, refused.

use super::apply::{Refused, millis};
use crate::base::{AttemptNo, StepId, Timestamp, Value};
use crate::event::Vote;
use crate::run::node::{Halt, Node, NodeStatus, Stage};
use crate::run::policy::CastVote;
use crate::run::state::RunState;

impl RunState {
    pub(super) fn gate(&self, step: &StepId) -> Result<usize, Refused> {
        let i = self.find(step)?;
        match self.nodes[i].status {
            NodeStatus::Gate { .. } => Ok(i),
            _ => Err("it is not an open gate".to_owned()),
        }
    }

    pub(super) fn gate_opened(
        &mut self,
        step: &StepId,
        message: &str,
        expires_at: Option<Timestamp>,
        at: Timestamp,
    ) -> Result<(), Refused> {
        let i = self.find(step)?;
        self.may_start(i)?;
        if !self.is_ready(i) {
            return Err("what it needs is not settled".to_owned());
        }
        self.begin(i, NodeStatus::Gate { expires_at });
        if self.open_gates == 0 {
            self.paused_since = Some(at);
        }
        self.open_gates += 1;
        let node = &mut self.nodes[i];
        node.attempt = AttemptNo::FIRST;
        node.started_at = Some(at);
        node.inputs = serde_json::json!({ "message": message });
        Ok(())
    }

    pub(super) fn close_gate(&mut self, i: usize, at: Timestamp) {
        self.open_gates -= 1;
        if self.open_gates == 0
            && let Some(since) = self.paused_since.take()
        {
            self.paused_ms += millis(at.since(since));
        }
        let node = &mut self.nodes[i];
        node.duration_ms = node.started_at.map_or(0, |since| millis(at.since(since)));
    }

    /// Whether a node is part of some `finally`.
    fn is_cleanup(&self, i: usize) -> bool {
        let mut at = Some(i);
        while let Some(i) = at {
            if self.nodes[i].stage == Stage::Finally {
                return true;
            }
            at = self.frame_of(i).node;
        }
        false
    }

    pub(super) fn refuse_gate(
        &mut self,
        step: &StepId,
        at: Timestamp,
        halt: Halt,
    ) -> Result<(), Refused> {
        let i = self.gate(step)?;
        self.close_gate(i, at);
        if self.is_cleanup(i) {
            self.fail_for_good(i);
        } else {
            // A person's no, or nobody's yes, ends the run wherever the gate stands.
            self.set_halt(halt);
            self.leave(i, NodeStatus::Failed);
        }
        Ok(())
    }
}

/// What the steps after a gate may refer to.
pub(super) fn gate_outputs(node: &Node, at: Timestamp) -> Value {
    let yes: Vec<&CastVote> = node
        .votes
        .iter()
        .filter(|v| v.vote == Vote::Approve)
        .collect();
    let comment = yes.iter().rev().find_map(|v| v.comment.clone());
    serde_json::json!({
        "approved_by": yes.iter().map(|v| v.actor.name.clone()).collect::<Vec<_>>(),
        "comment": comment,
        "approved_at": at.to_string(),
    })
}
