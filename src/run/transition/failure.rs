//! How far a failure reaches, and how what it reaches is ended.

use super::apply::Refused;
use crate::model::{OnCancel, OnFailure, StepOnFailure};
use crate::run::frame::{Cut, Progress, ROOT};
use crate::run::node::{Doom, Halt, NodeStatus, Phase, Stage};
use crate::run::state::RunState;

impl RunState {
    /// A step has failed for good.
    pub(super) fn fail_for_good(&mut self, i: usize) {
        self.doom(i);
        match (self.nodes[i].stage, self.nodes[i].doom) {
            (Stage::Finally, _) => self.settle_node(i, NodeStatus::Failed),
            (_, Doom::Tolerated) => self.settle_node(i, NodeStatus::Tolerated),
            _ => self.leave(i, NodeStatus::Failed),
        }
    }

    /// The failure of a node is certain: finds what bears it, and ends everything up to there.
    ///
    /// Each node is doomed once, so that a failed instance whose `finally` still runs is counted
    /// when it fails, and not again when it ends.
    pub(super) fn doom(&mut self, first: usize) {
        let mut i = first;
        while self.nodes[i].doom == Doom::Open {
            let at = self.nodes[i].frame;
            self.nodes[i].doom = Doom::Tolerated;
            if self.nodes[i].stage == Stage::Finally {
                // Cleanup failures cannot keep what they clean up from ending.
                self.exceptions = true;
                return;
            }
            if self.frames[at].is_loop() {
                self.exceptions = true;
                self.frames[at].failures += 1;
                if self.frames[at].failures <= self.may_fail(at) {
                    return;
                }
            } else if self.step(i).on_failure == StepOnFailure::Continue {
                self.exceptions = true;
                return;
            }
            self.nodes[i].doom = Doom::Passed;
            match self.frames[at].node {
                Some(parent) => {
                    self.cut(at, Cut::Failed(i), false);
                    i = parent;
                }
                None => {
                    return self.set_halt(Halt::StepFailed {
                        step: self.nodes[first].id.clone(),
                        rollback: self.step(i).on_failure == StepOnFailure::Rollback,
                    });
                }
            }
        }
    }

    /// How many instances of a loop may fail.
    fn may_fail(&self, at: usize) -> usize {
        let frame = &self.frames[at];
        let for_each = frame
            .node
            .and_then(|node| self.step(node).for_each.as_ref());
        for_each.map_or(0, |f| f.max_failures.allowed(frame.len))
    }

    /// Nothing of `steps` and `verify` of a frame and of what is open below it starts any more.
    pub(super) fn cut(&mut self, at: usize, cut: Cut, stop: bool) {
        self.cut_one(at, cut, stop);
        let open: Vec<usize> = self.open.iter().copied().collect();
        for node in open {
            if let Some(below) = self.nodes[node].opened
                && self.reaches(at, node)
            {
                self.cut_one(below, Cut::Above, stop);
                self.frames[below].run_ends |= self.frames[at].run_ends;
            }
        }
        let mut ready = std::mem::take(&mut self.ready);
        ready.retain(|&(_, i)| self.cut_of(i).is_none());
        self.ready = ready;
    }

    fn cut_one(&mut self, at: usize, cut: Cut, stop: bool) {
        let frame = &mut self.frames[at];
        let begun = matches!(frame.at, Progress::In(Stage::Steps | Stage::Verify));
        if !begun {
            return;
        }
        frame.cut.get_or_insert(cut);
        frame.stop |= stop;
        self.touched.push(at);
        self.note_sweep(at);
    }

    /// Those whose turn will not come are told so, unless the run itself ends.
    pub(super) fn note_sweep(&mut self, at: usize) {
        let frame = &self.frames[at];
        let failed = matches!(frame.cut, Some(Cut::Failed(_) | Cut::TimedOut));
        if failed && at != ROOT && frame.waiting > 0 {
            self.sweeps.insert(at);
        }
    }

    /// Whether the end of a frame reaches what a node opened: not past a `finally` that runs.
    fn reaches(&self, at: usize, node: usize) -> bool {
        let mut i = node;
        loop {
            let node = &self.nodes[i];
            if node.stage == Stage::Finally {
                return false;
            }
            if node.frame == at {
                return true;
            }
            match self.frames[node.frame].node {
                Some(parent) => i = parent,
                None => return false,
            }
        }
    }

    pub(super) fn set_halt(&mut self, halt: Halt) {
        // The first cause decides. An unknown fate outranks it: nothing may be undone over it.
        let is_unknown = matches!(halt, Halt::Interrupted { .. });
        if self.halt.is_some() && !is_unknown {
            return;
        }
        let stop = matches!(halt, Halt::Cancelled | Halt::TimedOut);
        self.halt = Some(halt);
        // A fate may become known and the run go on, so then nothing is cut off.
        if !is_unknown {
            self.frames[ROOT].run_ends = true;
            self.cut(ROOT, Cut::Above, stop);
        }
    }

    /// Whether the cause of the halt asks for a rollback.
    pub(in crate::run) fn wants_rollback(&self) -> bool {
        match &self.halt {
            _ if self.undo_failed => false,
            None | Some(Halt::Interrupted { .. } | Halt::NotUndone { .. }) => false,
            Some(Halt::StepFailed { rollback, .. }) => *rollback,
            Some(Halt::Rejected { .. } | Halt::Expired { .. } | Halt::TimedOut) => {
                self.plan.on_failure == OnFailure::Rollback
            }
            Some(Halt::Cancelled) => self.plan.on_cancel == OnCancel::Rollback,
        }
    }

    /// Whether a node may start something now.
    pub(super) fn may_start(&self, i: usize) -> Result<(), Refused> {
        let may = match &self.rewind {
            None => self.has_turn(i),
            Some(_) => self.may_start_in_rewind(i),
        };
        if may {
            Ok(())
        } else {
            Err("nothing of its part may start now".to_owned())
        }
    }

    /// Whether a node may start something, unless the run is being sent back.
    pub(super) fn has_turn(&self, i: usize) -> bool {
        let runs = matches!(self.phase, Phase::Forward | Phase::Finally);
        let is_its_stage = self.frame_of(i).at == Progress::In(self.nodes[i].stage);
        runs && is_its_stage && self.cut_of(i).is_none() && !self.waits_for_a_word()
    }
}
