//! Steps: started, polled, failed, skipped.

use super::apply::Refused;
use crate::base::{AttemptNo, StepId, Timestamp, Value};
use crate::event::{Failure, SkipReason};
use crate::run::node::{NodeKind, NodeStatus};
use crate::run::retry;
use crate::run::state::RunState;

impl RunState {
    pub(super) fn running(&self, step: &StepId, attempt: AttemptNo) -> Result<usize, Refused> {
        let i = self.find(step)?;
        let node = &self.nodes[i];
        if node.status != NodeStatus::Running || node.attempt != attempt {
            return Err(format!("attempt {attempt} is not at work"));
        }
        Ok(i)
    }

    pub(super) fn step_started(
        &mut self,
        step: &StepId,
        attempt: AttemptNo,
        inputs: &Value,
        idempotency_key: Option<&str>,
        at: Timestamp,
    ) -> Result<(), Refused> {
        let i = self.find(step)?;
        match self.nodes[i].kind {
            NodeKind::Block => return self.block_started(i, attempt, inputs, at),
            NodeKind::Loop => return Err("a loop is expanded, not started".to_owned()),
            NodeKind::Step => {}
        }
        self.may_start(i)?;
        if self.lacks_approval(i) {
            return Err("nobody approved what it changes".to_owned());
        }
        let expected = match self.nodes[i].status {
            NodeStatus::Pending if self.is_ready(i) => self.nodes[i].attempt.next(),
            NodeStatus::Retrying { at: Some(_) } => self.nodes[i].attempt.next(),
            NodeStatus::Running if self.nodes[i].lost => self.nodes[i].attempt,
            NodeStatus::Pending => return Err("what it needs is not settled".to_owned()),
            _ => return Err("it is not waiting to start".to_owned()),
        };
        if attempt != expected {
            return Err(format!("attempt {expected} was expected"));
        }
        self.begin(i, NodeStatus::Running);
        let node = &mut self.nodes[i];
        node.attempt = attempt;
        node.polls = 1;
        node.started_at = Some(at);
        node.inputs = inputs.clone();
        node.idempotency_key = idempotency_key.map(str::to_owned);
        Ok(())
    }

    pub(super) fn poll_started(
        &mut self,
        step: &StepId,
        attempt: AttemptNo,
        poll: u32,
    ) -> Result<(), Refused> {
        let i = self.find(step)?;
        self.may_start(i)?;
        let node = &mut self.nodes[i];
        let expected = match node.status {
            NodeStatus::Polling { .. } => node.polls + 1,
            NodeStatus::Running if node.lost && node.polls > 1 => node.polls,
            _ => return Err("it is not between two polls".to_owned()),
        };
        if poll != expected || attempt != node.attempt {
            return Err(format!(
                "poll {expected} of attempt {} was expected",
                node.attempt
            ));
        }
        node.polls = poll;
        self.begin(i, NodeStatus::Running);
        Ok(())
    }

    pub(super) fn step_failed(
        &mut self,
        step: &StepId,
        attempt: AttemptNo,
        failure: &Failure,
        duration_ms: u64,
    ) -> Result<(), Refused> {
        let i = self.find(step)?;
        let node = &mut self.nodes[i];
        if node.status == NodeStatus::Open {
            node.failure = Some(failure.clone());
            node.duration_ms = duration_ms;
            return self.container_failed(i, attempt);
        }
        let untried = attempt.0 == 0 && (node.status == NodeStatus::Probing || self.is_ready(i));
        let node = &self.nodes[i];
        let at_work = node.attempt == attempt
            && match node.status {
                NodeStatus::Running | NodeStatus::Polling { .. } => true,
                // What it is a part of ended before it was tried again.
                NodeStatus::Retrying { .. } => self.cut_of(i).is_some(),
                _ => false,
            };
        if !untried && !at_work {
            return Err(format!("attempt {attempt} is not at work"));
        }
        let given_up = self.is_given_up(i);
        // While the run is being sent back it only waits; that is no reason to count it as the last.
        let again = (self.has_turn(i) || self.is_below_rewound(i))
            && !given_up
            && !matches!(node.status, NodeStatus::Retrying { .. })
            && retry::allowed(self.step(i).retry.as_ref(), node.tries(attempt), failure);
        let node = &mut self.nodes[i];
        node.failure = Some(failure.clone());
        node.duration_ms = duration_ms;
        node.lost = false;
        if again {
            node.status = NodeStatus::Retrying { at: None };
        } else if given_up {
            // Not its own fault, so nobody is to bear it.
            self.leave(i, NodeStatus::Failed);
        } else {
            self.fail_for_good(i);
        }
        Ok(())
    }

    pub(super) fn step_skipped(
        &mut self,
        step: &StepId,
        reason: &SkipReason,
        at: Timestamp,
    ) -> Result<(), Refused> {
        let i = self.find(step)?;
        let is_gate = matches!(self.nodes[i].status, NodeStatus::Gate { .. });
        match reason {
            SkipReason::AlreadyDone { .. } if self.nodes[i].status == NodeStatus::Probing => {
                self.settle_node(i, NodeStatus::Skipped);
            }
            SkipReason::Condition { .. } | SkipReason::AlreadyDone { .. } => {
                self.may_start(i)?;
                if !self.is_ready(i) {
                    return Err("it is not its turn".to_owned());
                }
                self.settle_node(i, NodeStatus::Skipped);
            }
            SkipReason::PartEnded | SkipReason::RunEnded if is_gate => {
                let run_ends = *reason == SkipReason::RunEnded;
                if self.cut_of(i).is_none() || run_ends != self.frame_of(i).run_ends {
                    return Err("what it is a part of goes on".to_owned());
                }
                self.close_gate(i, at);
                self.leave(i, NodeStatus::Skipped);
            }
            SkipReason::PartEnded => {
                let node = &self.nodes[i];
                let swept = self.sweeps.contains(&node.frame) && self.cut_of(i).is_some();
                if !node.waits() || !swept {
                    return Err("its turn may still come".to_owned());
                }
                self.leave(i, NodeStatus::Skipped);
            }
            SkipReason::RunEnded => return Err("it is not an open gate".to_owned()),
            SkipReason::NotApproved => {
                self.may_start(i)?;
                if !self.lacks_approval(i) {
                    return Err("it needs no approval".to_owned());
                }
                if !self.is_ready(i) {
                    return Err("it is not its turn".to_owned());
                }
                self.settle_node(i, NodeStatus::Skipped);
            }
        }
        Ok(())
    }
}
