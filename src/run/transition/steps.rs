//! Steps: started, polled, failed, settled.

use std::sync::Arc;

use super::apply::Refused;
use crate::base::{AttemptNo, StepId, Timestamp, Value};
use crate::event::{Failure, SkipReason};
use crate::model::StepOnFailure;
use crate::run::retry;
use crate::run::state::{Halt, NodeStatus, Phase, RunState};

impl RunState {
    pub(super) fn running(&self, step: &StepId, attempt: AttemptNo) -> Result<usize, Refused> {
        let i = self.find(step)?;
        let node = &self.nodes[i];
        if node.status != NodeStatus::Running || node.attempt != attempt {
            return Err(format!("attempt {attempt} is not at work"));
        }
        Ok(i)
    }

    /// Whether a node may start something in the present phase.
    pub(super) fn may_start(&self, node: usize) -> Result<(), Refused> {
        let open = if self.index.is_finally(node) {
            self.phase == Phase::Finally
        } else {
            self.phase == Phase::Forward && self.halt.is_none()
        };
        if open {
            Ok(())
        } else {
            Err("nothing of its part may start now".to_owned())
        }
    }

    pub(super) fn step_started(
        &mut self,
        step: &StepId,
        attempt: AttemptNo,
        inputs: &Value,
        at: Timestamp,
    ) -> Result<(), Refused> {
        let i = self.find(step)?;
        self.may_start(i)?;
        let expected = match self.nodes[i].status {
            NodeStatus::Pending if self.ready.contains(&i) => AttemptNo::FIRST,
            NodeStatus::Retrying { at: Some(_) } => self.nodes[i].attempt.next(),
            NodeStatus::Running if self.nodes[i].lost => self.nodes[i].attempt,
            NodeStatus::Pending => return Err("what it needs is not settled".to_owned()),
            _ => return Err("it is not waiting to start".to_owned()),
        };
        if attempt != expected {
            return Err(format!("attempt {expected} was expected"));
        }
        self.ready.remove(&i);
        self.active.insert(i);
        let node = &mut self.nodes[i];
        node.status = NodeStatus::Running;
        node.attempt = attempt;
        node.polls = 1;
        node.started_at = Some(at);
        node.inputs = inputs.clone();
        node.lost = false;
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
        node.status = NodeStatus::Running;
        node.polls = poll;
        node.lost = false;
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
        let node = &self.nodes[i];
        let untried = attempt.0 == 0 && self.ready.contains(&i);
        let at_work = matches!(
            node.status,
            NodeStatus::Running | NodeStatus::Polling { .. }
        ) && node.attempt == attempt;
        if !untried && !at_work {
            return Err(format!("attempt {attempt} is not at work"));
        }
        let again = self.halt_allows_retry(i)
            && retry::allowed(self.step(i).retry.as_ref(), attempt, failure);
        let node = &mut self.nodes[i];
        node.failure = Some(failure.clone());
        node.duration_ms = duration_ms;
        node.lost = false;
        if again {
            node.status = NodeStatus::Retrying { at: None };
        } else {
            self.fail_for_good(i);
        }
        Ok(())
    }

    /// After a halt no step of the forward part is tried again; `finally` steps are.
    pub(super) fn halt_allows_retry(&self, node: usize) -> bool {
        self.index.is_finally(node) || self.halt.is_none()
    }

    pub(super) fn fail_for_good(&mut self, i: usize) {
        let on_failure = self.step(i).on_failure;
        if self.index.is_finally(i) {
            // Cleanup failures have their own status and cannot keep the run from finishing.
            self.exceptions = true;
            self.settle_node(i, NodeStatus::Failed);
        } else if on_failure == StepOnFailure::Continue {
            self.exceptions = true;
            self.settle_node(i, NodeStatus::Tolerated);
        } else {
            self.ready.remove(&i);
            self.active.remove(&i);
            self.nodes[i].status = NodeStatus::Failed;
            let step = self.step(i).id.clone();
            self.set_halt(Halt::StepFailed {
                step,
                rollback: on_failure == StepOnFailure::Rollback,
            });
        }
    }

    pub(super) fn step_skipped(
        &mut self,
        step: &StepId,
        reason: &SkipReason,
        at: Timestamp,
    ) -> Result<(), Refused> {
        let i = self.find(step)?;
        match reason {
            SkipReason::Condition { .. }
            | SkipReason::AlreadyDone { .. }
            | SkipReason::PartEnded => {
                self.may_start(i)?;
                if !self.ready.contains(&i) {
                    return Err("it is not its turn".to_owned());
                }
                self.settle_node(i, NodeStatus::Skipped);
            }
            SkipReason::RunEnded => {
                let i = self.gate(step)?;
                if self.halt.is_none() {
                    return Err("the run goes on".to_owned());
                }
                self.close_gate(i, at);
                self.active.remove(&i);
                self.nodes[i].status = NodeStatus::Skipped;
            }
        }
        Ok(())
    }

    /// Gives a node an end that lets what comes after it start.
    pub(super) fn settle_node(&mut self, i: usize, status: NodeStatus) {
        self.ready.remove(&i);
        self.active.remove(&i);
        self.nodes[i].status = status;
        self.unsettled -= 1;
        let index = Arc::clone(&self.index);
        for &next in index.dag.dependents(i) {
            self.unmet[next] -= 1;
            if self.unmet[next] == 0 {
                self.ready.insert(next);
            }
        }
    }

    pub(super) fn enter_steps(&mut self, phase: Phase) {
        let range = if phase == Phase::Finally {
            self.index.main..self.index.len()
        } else {
            0..self.index.main
        };
        self.active.clear();
        self.unsettled = range.len();
        self.ready = range.filter(|&i| self.unmet[i] == 0).collect();
        self.phase = phase;
    }
}
