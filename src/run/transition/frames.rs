//! Frames: how a run, a loop or a sub-runbook goes from stage to stage and ends.

use std::sync::Arc;

use crate::run::frame::{Progress, ROOT};
use crate::run::node::{Halt, NodeStatus, Phase, Stage};
use crate::run::state::RunState;

impl RunState {
    /// The children of a frame begin.
    pub(super) fn enter(&mut self, frame: usize, stage: Stage) {
        let Some(body) = self.frames[frame].body else {
            // A loop has one stage, and its instances are launched in order.
            let loops = &mut self.frames[frame];
            loops.at = Progress::In(Stage::Steps);
            loops.unsettled = loops.len;
            return self.touched.push(frame);
        };
        let defs = Arc::clone(&self.defs);
        let range = defs.body(body).stage(stage);
        let first = self.frames[frame].first;
        self.frames[frame].at = Progress::In(stage);
        self.frames[frame].unsettled = range.len();
        for local in range {
            if self.nodes[first + local].unmet == 0 {
                let key = self.ready_key(first + local);
                self.ready.insert(key);
            }
        }
        self.touched.push(frame);
    }

    /// Brings every frame that an event touched as far as it can go.
    pub(super) fn advance_touched(&mut self) {
        while let Some(frame) = self.touched.pop() {
            self.advance(frame);
        }
        self.next_finally();
    }

    fn advance(&mut self, at: usize) {
        let frame = &self.frames[at];
        let Progress::In(stage) = frame.at else {
            return;
        };
        if frame.is_loop() && frame.cut.is_none() {
            self.launch(at);
        }
        let frame = &self.frames[at];
        let is_over = match frame.cut {
            Some(_) if stage != Stage::Finally => frame.at_work == 0,
            _ => frame.unsettled == 0,
        };
        // Nothing is undone or given up over an unknown fate.
        if !is_over || self.waits_for_a_word() {
            return;
        }
        if at == ROOT {
            return self.advance_root(stage);
        }
        let has_finally = frame
            .body
            .is_some_and(|body| !self.defs.body(body).stage(Stage::Finally).is_empty());
        match stage {
            Stage::Steps if frame.cut.is_none() && !frame.is_loop() => {
                self.enter(at, Stage::Verify);
            }
            Stage::Steps | Stage::Verify if has_finally && frame.run_ends => {
                self.owed.insert(at);
                self.end_frame(at, Progress::Owing);
            }
            Stage::Steps | Stage::Verify if has_finally => self.enter(at, Stage::Finally),
            _ => self.end_frame(at, Progress::Over),
        }
    }

    fn advance_root(&mut self, stage: Stage) {
        let is_cut = self.root().cut.is_some();
        match stage {
            Stage::Steps if !is_cut => self.enter(ROOT, Stage::Verify),
            Stage::Steps | Stage::Verify => {
                self.frames[ROOT].at = Progress::Owing;
                if !is_cut {
                    self.recovered_at = Some(self.clock);
                }
            }
            Stage::Finally => self.frames[ROOT].at = Progress::Over,
        }
    }

    fn end_frame(&mut self, at: usize, end: Progress) {
        self.frames[at].at = end;
        if let Some(node) = self.frames[at].node
            && self.nodes[node].status == NodeStatus::Open
        {
            self.ending.insert(node);
        }
    }

    /// Gives the next instances of a loop their turn.
    fn launch(&mut self, at: usize) {
        let frame = &self.frames[at];
        let most = match frame
            .node
            .and_then(|node| self.step(node).for_each.as_ref())
        {
            Some(for_each) => (for_each.max_parallel as usize).max(1),
            None => 1,
        };
        let free = (frame.settled + most)
            .min(frame.len)
            .saturating_sub(frame.launched);
        for _ in 0..free {
            let next = self.frames[at].first + self.frames[at].launched;
            self.frames[at].launched += 1;
            let key = self.ready_key(next);
            self.ready.insert(key);
        }
    }

    /// A node leaves the ranks of those that wait and is at work.
    pub(super) fn begin(&mut self, i: usize, status: NodeStatus) {
        let key = self.ready_key(i);
        self.ready.remove(&key);
        if status == NodeStatus::Open {
            self.open.insert(i);
        } else {
            self.active.insert(i);
        }
        if self.nodes[i].waits() {
            let frame = self.nodes[i].frame;
            self.frames[frame].at_work += 1;
            if self.nodes[i].stage != Stage::Finally {
                self.frames[frame].waiting -= 1;
            }
        }
        self.nodes[i].status = status;
        self.nodes[i].lost = false;
    }

    /// The probe of `unless` ended, and the node waits again.
    pub(super) fn step_back(&mut self, i: usize) {
        let frame = self.nodes[i].frame;
        self.active.remove(&i);
        self.frames[frame].at_work -= 1;
        if self.nodes[i].stage != Stage::Finally {
            self.frames[frame].waiting += 1;
        }
        self.nodes[i].status = NodeStatus::Pending;
        if self.cut_of(i).is_none() {
            let key = self.ready_key(i);
            self.ready.insert(key);
        }
        self.note_sweep(frame);
        self.touched.push(frame);
    }

    /// Gives a node an end that lets what comes after it start.
    pub(super) fn settle_node(&mut self, i: usize, status: NodeStatus) {
        self.leave(i, status);
        let node = &self.nodes[i];
        let (at, stage) = (node.frame, node.stage);
        let frame = &mut self.frames[at];
        frame.settled += 1;
        if frame.at == Progress::In(stage) {
            frame.unsettled -= 1;
        }
        let Some(body) = frame.body else { return };
        let first = frame.first;
        if self.cut_of(i).is_some() {
            return;
        }
        let defs = Arc::clone(&self.defs);
        for &next in defs.body(body).dag.dependents(i - first) {
            let next = first + next;
            self.nodes[next].unmet -= 1;
            if self.nodes[next].unmet == 0 {
                let key = self.ready_key(next);
                self.ready.insert(key);
            }
        }
    }

    /// Gives a node an end.
    pub(super) fn leave(&mut self, i: usize, status: NodeStatus) {
        let key = self.ready_key(i);
        self.ready.remove(&key);
        self.active.remove(&i);
        self.open.remove(&i);
        self.ending.remove(&i);
        let at = self.nodes[i].frame;
        let frame = &mut self.frames[at];
        if !self.nodes[i].waits() {
            frame.at_work -= 1;
        } else if self.nodes[i].stage != Stage::Finally {
            frame.waiting -= 1;
            if frame.waiting == 0 {
                self.sweeps.remove(&at);
            }
        }
        self.nodes[i].status = status;
        self.nodes[i].lost = false;
        self.touched.push(at);
    }

    /// At the end: the `finally` of every sub-runbook that was cut off, the latest first, and then
    /// the run's own.
    pub(super) fn next_finally(&mut self) {
        while self.phase == Phase::Finally {
            let done = match self.cleaning {
                // An unknown fate holds up its own `finally` only.
                Some(frame) => {
                    self.frames[frame].at == Progress::Over
                        || (!self.interrupted.is_empty() && self.is_still())
                }
                None => true,
            };
            if !done || self.cleaning == Some(ROOT) {
                return;
            }
            let next = self.owed.pop_last().unwrap_or(ROOT);
            self.cleaning = Some(next);
            self.enter(next, Stage::Finally);
            while let Some(frame) = self.touched.pop() {
                self.advance(frame);
            }
        }
    }

    /// Whether every `finally` has ended.
    pub(in crate::run) fn finally_over(&self) -> bool {
        self.phase == Phase::Finally
            && self.interrupted.is_empty()
            && self.root().at == Progress::Over
    }

    /// Whether some `finally` must run at the end.
    pub(in crate::run) fn owes_finally(&self) -> bool {
        !self.plan.finally.is_empty() || !self.owed.is_empty()
    }

    /// Whether forward part and rollback are over.
    pub(in crate::run) fn main_part_over(&self) -> bool {
        match self.phase {
            _ if self.rewind.is_some() => false,
            Phase::Forward => match &self.halt {
                None => self.forward_over(),
                Some(Halt::Interrupted { .. }) => false,
                Some(_) => self.forward_over() && !self.wants_rollback(),
            },
            Phase::RollingBack => self.undo_over(),
            Phase::New | Phase::Finally | Phase::Finished => false,
        }
    }
}
