//! Rollback: which step's turn it is to be undone, and what became of it.

use std::sync::Arc;

use super::apply::Refused;
use crate::base::{AttemptNo, StepId, Timestamp};
use crate::event::{Failure, RollbackCause};
use crate::model::Effect;
use crate::plan::PlanRollback;
use crate::run::frame::ROOT;
use crate::run::node::{NodeStatus, Phase, Stage, Undo};
use crate::run::retry;
use crate::run::state::RunState;

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
        let may = self.phase == Phase::Forward && self.halt.is_some() && !self.waits_for_a_word();
        let undoing = self.rewind.is_some() || self.undo_failed;
        if !may || undoing || !self.forward_over() {
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
            self.mark_path(i);
        }
        self.release_into(ROOT);
        Ok(())
    }

    /// What holds something to be undone must be looked into; everything else is passed over.
    pub(super) fn mark_path(&mut self, i: usize) {
        let mut at = Some(i);
        while let Some(i) = at {
            if std::mem::replace(&mut self.nodes[i].undo_below, true) {
                return;
            }
            at = self.frame_of(i).node;
        }
    }

    /// Leaves that succeeded and say how to be undone, in an order that undoes dependents first.
    pub(in crate::run) fn undoable(&self) -> Vec<usize> {
        let mut found = Vec::new();
        self.leaves_in(ROOT, &mut found);
        found.retain(|&i| self.is_undoable(i));
        found
    }

    fn leaves_in(&self, at: usize, found: &mut Vec<usize>) {
        let frame = &self.frames[at];
        match frame.body {
            None => {
                for i in frame.children().rev() {
                    self.leaves_at(i, found);
                }
            }
            Some(body) => {
                let steps = self.defs.body(body).stage(Stage::Steps);
                for &local in self.defs.body(body).dag.order().iter().rev() {
                    if steps.contains(&local) {
                        self.leaves_at(frame.first + local, found);
                    }
                }
            }
        }
    }

    /// What a step consists of, itself or the steps below it, whether or not they ran.
    pub(in crate::run) fn leaves_at(&self, i: usize, found: &mut Vec<usize>) {
        match self.nodes[i].opened {
            Some(below) => self.leaves_in(below, found),
            None => found.push(i),
        }
    }

    pub(in crate::run) fn is_undoable(&self, i: usize) -> bool {
        let node = &self.nodes[i];
        node.opened.is_none()
            && node.status == NodeStatus::Succeeded
            && node.undo != Undo::Done
            && matches!(self.step(i).rollback, Some(PlanRollback::Undo { .. }))
    }

    /// The turn of a frame has come: what nothing in it comes after is reached first.
    fn release_into(&mut self, at: usize) {
        let mut reached = Vec::new();
        self.begin_release(at, &mut reached);
        self.reach(reached);
    }

    fn begin_release(&mut self, at: usize, reached: &mut Vec<usize>) {
        let frame = &self.frames[at];
        let first = frame.first;
        match frame.body {
            Some(body) => {
                let defs = Arc::clone(&self.defs);
                let steps = defs.body(body).stage(Stage::Steps);
                self.frames[at].unreleased = steps.len();
                for local in steps {
                    let after = defs.body(body).dag.dependents(local).len();
                    self.nodes[first + local].unmet = after;
                    if after == 0 {
                        reached.push(first + local);
                    }
                }
            }
            None => {
                let for_each = frame
                    .node
                    .and_then(|node| self.step(node).for_each.as_ref());
                let most = for_each.map_or(1, |f| f.max_parallel as usize).max(1);
                let frame = &mut self.frames[at];
                frame.unreleased = frame.len;
                reached.extend((0..most.min(frame.len)).map(|n| first + frame.len - 1 - n));
                // From here on: instances whose turn has not come.
                frame.launched = frame.len.saturating_sub(most);
            }
        }
    }

    /// Everything after these is released: they may be undone, or are released themselves.
    pub(super) fn reach(&mut self, mut reached: Vec<usize>) {
        while let Some(i) = reached.pop() {
            if self.nodes[i].undo == Undo::Waiting {
                self.undo_ready.insert(i);
                continue;
            }
            match self.nodes[i].opened {
                Some(below) if self.nodes[i].undo_below => self.begin_release(below, &mut reached),
                _ => self.release(i, &mut reached),
            }
        }
    }

    /// A node has nothing left to be undone, so what it came after is reached.
    fn release(&mut self, first: usize, reached: &mut Vec<usize>) {
        let mut i = first;
        loop {
            let at = self.nodes[i].frame;
            let ends_here = self.rewound_in(at).is_some();
            let frame = &mut self.frames[at];
            frame.unreleased -= 1;
            let is_last = frame.unreleased == 0 && !ends_here;
            let (begin, parent) = (frame.first, frame.node.filter(|_| is_last));
            match frame.body {
                Some(body) => {
                    let defs = Arc::clone(&self.defs);
                    for &need in defs.body(body).dag.needs(i - begin) {
                        let need = begin + need;
                        // What lies before the step that the run is sent back to stays as it is.
                        if self.rewound_in(at).is_some_and(|all| !all.contains(&need)) {
                            continue;
                        }
                        self.nodes[need].unmet -= 1;
                        if self.nodes[need].unmet == 0 {
                            reached.push(need);
                        }
                    }
                }
                None if frame.launched > 0 => {
                    frame.launched -= 1;
                    reached.push(begin + frame.launched);
                }
                None => {}
            }
            match parent {
                Some(parent) => i = parent,
                None => return,
            }
        }
    }

    pub(super) fn undo_succeeded(
        &mut self,
        step: &StepId,
        attempt: AttemptNo,
    ) -> Result<(), Refused> {
        let i = self.undoing(step, attempt)?;
        self.undo_active.remove(&i);
        self.undo_left -= 1;
        self.nodes[i].undo = Undo::Done;
        let mut reached = Vec::new();
        self.release(i, &mut reached);
        self.reach(reached);
        Ok(())
    }

    /// Whether the rollback has come to its end, complete or not.
    pub(super) fn undo_over(&self) -> bool {
        let at_rest = || {
            self.undo_active
                .iter()
                .all(|&i| self.nodes[i].undo != Undo::Running)
        };
        self.undo_left == 0 || (self.undo_failed && at_rest())
    }

    pub(super) fn undo_started(
        &mut self,
        step: &StepId,
        attempt: AttemptNo,
        at: Timestamp,
    ) -> Result<(), Refused> {
        let i = self.find(step)?;
        let rewinds = self.rewind.as_ref().is_some_and(|r| r.undoing);
        if self.phase != Phase::RollingBack && !rewinds {
            return Err("no rollback is under way".to_owned());
        }
        let goes_on = self.undo_goes_on();
        let node = &self.nodes[i];
        let expected = match node.undo {
            Undo::Waiting if self.undo_ready.contains(&i) && goes_on => node.undo_attempt.next(),
            Undo::Retrying { at: Some(_) } if goes_on => node.undo_attempt.next(),
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
        let (policy, once) = match &self.step(i).rollback {
            Some(PlanRollback::Undo { retry, action, .. }) => {
                (retry.clone(), action.effect == Effect::Once)
            }
            _ => (None, false),
        };
        // `retry` is about answers; of a lost call nobody knows what it did.
        let tries = self.nodes[i].undo_tries(attempt);
        let unknown = once && self.nodes[i].lost;
        let again =
            !self.undo_failed && !unknown && retry::allowed(policy.as_ref(), tries, failure);
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
