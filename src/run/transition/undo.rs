//! Rollback: which step's turn it is to be undone, and what became of it.

use std::sync::Arc;

use super::apply::Refused;
use crate::base::{AttemptNo, StepId, Timestamp};
use crate::event::{Failure, RollbackCause};
use crate::plan::PlanRollback;
use crate::run::retry;
use crate::run::state::{Phase, RunState, Undo};

impl RunState {
    pub(super) fn undoing(&self, step: &StepId, attempt: AttemptNo) -> Result<usize, Refused> {
        let i = self.find(step)?;
        let node = &self.nodes[i];
        if node.undo != Undo::Running || node.undo_attempt != attempt {
            return Err(format!("attempt {attempt} at its undo is not at work"));
        }
        Ok(i)
    }

    pub(super) fn rollback_started(&mut self, cause: &RollbackCause) -> Result<(), Refused> {
        if self.phase != Phase::Forward || self.halt.is_none() || self.any_running() {
            return Err("steps are still at work, or nothing failed".to_owned());
        }
        self.phase = Phase::RollingBack;
        self.rollback_cause = Some(cause.clone());
        self.active.clear();
        self.ready.clear();
        let undoable = self.undoable();
        self.undo_left = undoable.len();
        for &i in &undoable {
            self.nodes[i].undo = Undo::Waiting;
        }
        // Release from the leaves: a node is released when everything after it is.
        for i in 0..self.index.main {
            self.unmet[i] = self.index.dag.dependents(i).len();
        }
        let leaves: Vec<usize> = (0..self.index.main)
            .filter(|&i| self.unmet[i] == 0)
            .collect();
        for i in leaves {
            self.reach_for_undo(i);
        }
        Ok(())
    }

    /// Everything after `start` is released: it may be undone, or is released itself.
    pub(super) fn reach_for_undo(&mut self, start: usize) {
        let mut stack = vec![start];
        while let Some(i) = stack.pop() {
            if self.nodes[i].undo == Undo::Waiting {
                self.undo_ready.insert(i);
                continue;
            }
            let index = Arc::clone(&self.index);
            for &need in index.dag.needs(i) {
                self.unmet[need] -= 1;
                if self.unmet[need] == 0 {
                    stack.push(need);
                }
            }
        }
    }

    pub(super) fn release_needs(&mut self, i: usize) {
        let index = Arc::clone(&self.index);
        for &need in index.dag.needs(i) {
            self.unmet[need] -= 1;
            if self.unmet[need] == 0 {
                self.reach_for_undo(need);
            }
        }
    }

    pub(super) fn undo_started(
        &mut self,
        step: &StepId,
        attempt: AttemptNo,
        at: Timestamp,
    ) -> Result<(), Refused> {
        let i = self.find(step)?;
        if self.phase != Phase::RollingBack {
            return Err("no rollback is under way".to_owned());
        }
        let node = &self.nodes[i];
        let expected = match node.undo {
            Undo::Waiting if self.undo_ready.contains(&i) && !self.undo_failed => AttemptNo::FIRST,
            Undo::Retrying { at: Some(_) } if !self.undo_failed => node.undo_attempt.next(),
            Undo::Running if node.lost => node.undo_attempt,
            _ => return Err("it is not its turn to be undone".to_owned()),
        };
        if attempt != expected {
            return Err(format!("attempt {expected} was expected"));
        }
        self.undo_ready.remove(&i);
        self.undo_active.insert(i);
        let node = &mut self.nodes[i];
        node.undo = Undo::Running;
        node.undo_attempt = attempt;
        node.started_at = Some(at);
        node.lost = false;
        Ok(())
    }

    pub(super) fn undo_attempt_failed(
        &mut self,
        step: &StepId,
        attempt: AttemptNo,
        failure: &Failure,
    ) -> Result<(), Refused> {
        let i = self.find(step)?;
        let untried = attempt.0 == 0 && self.undo_ready.contains(&i) && !self.undo_failed;
        if !untried {
            self.undoing(step, attempt)?;
        }
        let policy = match &self.step(i).rollback {
            Some(PlanRollback::Undo { retry, .. }) => retry.clone(),
            _ => None,
        };
        let again = !self.undo_failed && retry::allowed(policy.as_ref(), attempt, failure);
        self.undo_ready.remove(&i);
        let node = &mut self.nodes[i];
        node.failure = Some(failure.clone());
        node.lost = false;
        if again {
            node.undo = Undo::Retrying { at: None };
        } else {
            node.undo = Undo::Failed;
            self.undo_active.remove(&i);
            self.undo_failed = true;
        }
        Ok(())
    }
}
