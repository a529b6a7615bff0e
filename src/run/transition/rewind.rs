//! A run that is sent back: running work ends, steps are undone, and then they are as if they had
//! never run.

use std::collections::BTreeSet;

use super::apply::Refused;
use crate::base::{StepId, Timestamp};
use crate::event::RollbackCause;
use crate::run::frame::{Cut, Progress};
use crate::run::node::{Doom, Halt, Node, NodeStatus, Phase, Stage, Undo};
use crate::run::policy::Verdict;
use crate::run::send_back::{Past, Rewind};
use crate::run::state::RunState;

impl RunState {
    pub(super) fn rewind_started(
        &mut self,
        step: &StepId,
        to: &StepId,
        steps: &[StepId],
        at: Timestamp,
    ) -> Result<(), Refused> {
        let (frame, region) = self.region(step, to)?;
        let verdict = self.judge(step, at).map(|judgement| judgement.verdict);
        if verdict != Some(Verdict::SentBack { to: to.clone() }) {
            return Err("its votes do not ask for that".to_owned());
        }
        if self.ids(&self.undoable_of(frame, &region)) != steps {
            return Err("these are not the steps that are to be undone".to_owned());
        }
        for &i in &region {
            match (self.nodes[i].status.clone(), self.nodes[i].opened) {
                (NodeStatus::Gate { .. }, _) => {
                    self.close_gate(i, at);
                    self.step_back(i);
                }
                // What is open is closed by events of its own, and cleans up.
                (NodeStatus::Open, Some(below)) => self.cut(below, Cut::Above, false),
                _ => {}
            }
        }
        self.rewind = Some(Rewind {
            gate: step.clone(),
            to: to.clone(),
            frame,
            region,
            undoing: false,
            since: at,
        });
        Ok(())
    }

    /// While running work ends, only that may be started which brings it to its end: a call that was
    /// lost is made again, and what the rewind takes back cleans up.
    pub(super) fn may_start_in_rewind(&self, i: usize) -> bool {
        let is_its_stage = self.frame_of(i).at == Progress::In(self.nodes[i].stage);
        let is_uncut = self.cut_of(i).is_none();
        let below = self.is_below_rewound(i);
        let ends = match self.nodes[i].lost {
            true => is_uncut || below,
            false => is_uncut && below,
        };
        self.is_draining()
            && self.phase == Phase::Forward
            && self.halt.is_none()
            && is_its_stage
            && ends
    }

    /// Whether it waits in a part that is closed because the run is sent back.
    pub(super) fn is_given_up(&self, i: usize) -> bool {
        let waits = matches!(
            self.nodes[i].status,
            NodeStatus::Polling { .. } | NodeStatus::Retrying { .. }
        );
        waits && self.cut_of(i).is_some() && self.is_below_rewound(i)
    }

    /// Brings a rewind as far as it can go without an event of its own.
    pub(super) fn advance_rewind(&mut self) {
        let Some(rewind) = &self.rewind else { return };
        let is_cut = self.frames[rewind.frame].cut.is_some();
        if !rewind.undoing {
            if is_cut {
                // The run, or what the gate is a part of, has ended: there is nowhere to go back to.
                self.rewind = None;
            } else if self.is_drained(&rewind.region) {
                self.begin_undoing();
            }
            return;
        }
        let at_work = |&i: &usize| self.nodes[i].undo == Undo::Running;
        if self.undo_active.iter().any(at_work) || !(is_cut || self.undo_failed) {
            return;
        }
        // An undo that failed, was to be repeated and will not be, leaves its step half undone.
        let half_done = !self.undo_active.is_empty() && !self.wants_rollback();
        if self.undo_failed || half_done {
            self.rewind_stuck();
        } else {
            self.rewind_abandoned();
        }
        self.advance_touched();
    }

    /// Whether nothing runs any more, and everything open that is taken back is closed.
    fn is_drained(&self, region: &BTreeSet<usize>) -> bool {
        let runs = |&i: &usize| {
            matches!(
                self.nodes[i].status,
                NodeStatus::Running | NodeStatus::Probing
            )
        };
        let is_open = |&i: &usize| self.nodes[i].status == NodeStatus::Open;
        self.halt.is_none()
            && self.ending.is_empty()
            && !self.active.iter().any(runs)
            && !region.iter().any(is_open)
    }

    fn begin_undoing(&mut self) {
        let Some(rewind) = &mut self.rewind else {
            return;
        };
        rewind.undoing = true;
        let (frame, region) = (rewind.frame, rewind.region.clone());
        let undoable = self.undoable_of(frame, &region);
        self.undo_left = undoable.len();
        for &i in &undoable {
            self.nodes[i].undo = Undo::Waiting;
            self.mark_path(i);
        }
        self.frames[frame].unreleased = region.len();
        let mut reached = Vec::new();
        let dependents = self.dependents(frame, &region);
        for (i, after) in dependents {
            self.nodes[i].unmet = after;
            if after == 0 {
                reached.push(i);
            }
        }
        self.reach(reached);
    }

    /// How many nodes depend on each of the region: all of them are in it.
    fn dependents(&self, frame: usize, region: &BTreeSet<usize>) -> Vec<(usize, usize)> {
        let Some(body) = self.frames[frame].body else {
            return Vec::new();
        };
        let dag = &self.defs.body(body).dag;
        let first = self.frames[frame].first;
        let count = |&i: &usize| (i, dag.dependents(i - first).len());
        region.iter().map(count).collect()
    }

    /// An undo failed for good: nothing else is tried, and the run ends with what is left on record.
    fn rewind_stuck(&mut self) {
        let Some(rewind) = self.rewind.take() else {
            return;
        };
        for i in std::mem::take(&mut self.undo_active) {
            self.nodes[i].undo = Undo::Failed;
        }
        self.undo_ready.clear();
        self.undo_failed = true;
        let failed = |i: &usize| self.nodes[*i].undo == Undo::Failed;
        let step = (0..self.nodes.len()).find(failed);
        self.rollback_cause = Some(RollbackCause::Gate {
            step: rewind.gate.clone(),
        });
        self.set_halt(Halt::NotUndone {
            step: step.map_or(rewind.gate, |i| self.nodes[i].id.clone()),
        });
    }

    /// The run ends meanwhile: what is undone is undone, and the rest is as it was.
    fn rewind_abandoned(&mut self) {
        self.rewind = None;
        for node in &mut self.nodes {
            if matches!(node.undo, Undo::Waiting | Undo::Retrying { .. }) {
                node.undo = Undo::None;
            }
        }
        self.clear_undo();
    }

    fn clear_undo(&mut self) {
        for node in &mut self.nodes {
            node.undo_below = false;
        }
        self.undo_left = 0;
        self.undo_ready.clear();
        self.undo_active.clear();
    }

    pub(super) fn rewind_finished(
        &mut self,
        step: &StepId,
        to: &StepId,
        at: Timestamp,
    ) -> Result<(), Refused> {
        let is_it = |r: &Rewind| r.undoing && r.gate == *step && r.to == *to;
        let rewind = match self.rewind.take() {
            Some(rewind) if is_it(&rewind) => rewind,
            _ => return Err("the run is not being sent back so".to_owned()),
        };
        if self.undo_left > 0 || self.undo_failed || self.frames[rewind.frame].cut.is_some() {
            return Err("there are steps left to be undone".to_owned());
        }
        self.clear_undo();
        for &i in &rewind.region {
            self.reset(i);
        }
        for &i in &rewind.region {
            self.count_needs(i);
        }
        let tolerated = |(_, node): (_, &Node)| node.doom == Doom::Tolerated;
        let exceptions = self.nodes().any(tolerated);
        self.exceptions = exceptions;
        self.make_up_for_time(&rewind, at);
        Ok(())
    }

    /// A node of the region is as if it had never run.
    fn reset(&mut self, i: usize) {
        if let Some(below) = self.nodes[i].opened {
            self.forget(below);
        }
        self.remember(i);
        let key = self.ready_key(i);
        self.ready.remove(&key);
        self.active.remove(&i);
        let old = &self.nodes[i];
        let at_work = matches!(
            old.status,
            NodeStatus::Polling { .. } | NodeStatus::Retrying { .. }
        );
        let is_settled = matches!(
            old.status,
            NodeStatus::Succeeded | NodeStatus::Skipped | NodeStatus::Tolerated
        );
        let has_begun = !old.waits();
        let node = self.recall(Node {
            id: old.id.clone(),
            stage: old.stage,
            ..self.blank(old.frame, old.def, self.step(i))
        });
        let frame = &mut self.frames[node.frame];
        frame.at_work -= usize::from(at_work);
        frame.waiting += usize::from(has_begun);
        frame.settled -= usize::from(is_settled);
        frame.unsettled += usize::from(is_settled);
        self.nodes[i] = node;
    }

    /// What lay in a loop or sub-runbook is gone; opened again, it is made anew.
    fn forget(&mut self, frame: usize) {
        self.sweeps.remove(&frame);
        self.owed.remove(&frame);
        for i in self.frames[frame].children() {
            if let Some(below) = self.nodes[i].opened {
                self.forget(below);
            }
            self.remember(i);
            let id = self.nodes[i].id.clone();
            self.nested.remove(&id);
            let key = self.ready_key(i);
            self.ready.remove(&key);
        }
    }

    fn remember(&mut self, i: usize) {
        let node = &self.nodes[i];
        let tried = node.attempt.0 > node.past.attempts;
        if tried {
            let past = Past {
                attempts: node.attempt.0,
                undo_attempts: node.undo_attempt.0,
                times: node.past.times + 1,
            };
            self.past.insert(node.id.clone(), past);
        }
    }

    /// What it needs is settled where the rewind did not reach.
    fn count_needs(&mut self, i: usize) {
        let frame = self.frame_of(i);
        let first = frame.first;
        let Some(body) = frame.body else { return };
        let is_open = |local: &&usize| {
            !matches!(
                self.nodes[first + **local].status,
                NodeStatus::Succeeded | NodeStatus::Skipped | NodeStatus::Tolerated
            )
        };
        let needs = self.defs.body(body).dag.needs(i - first);
        let unmet = needs.iter().filter(is_open).count();
        self.nodes[i].unmet = unmet;
        if unmet == 0 && self.frame_of(i).at == Progress::In(Stage::Steps) {
            let key = self.ready_key(i);
            self.ready.insert(key);
        }
    }

    /// What waited elsewhere had to stand still, so that time does not count for it.
    fn make_up_for_time(&mut self, rewind: &Rewind, at: Timestamp) {
        let lost = at.since(rewind.since);
        let mut around = BTreeSet::new();
        let mut next = self.frames[rewind.frame].node;
        while let Some(i) = next {
            around.insert(i);
            next = self.frame_of(i).node;
        }
        let polls = |&i: &usize| matches!(self.nodes[i].status, NodeStatus::Polling { .. });
        let waiting: Vec<usize> = self.active.iter().copied().filter(polls).collect();
        let open = self.open.difference(&around).copied();
        for i in waiting.into_iter().chain(open.collect::<Vec<_>>()) {
            let begun = &mut self.nodes[i].started_at;
            *begun = begun.map(|begun| begun.plus(lost));
        }
    }
}
