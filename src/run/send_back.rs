//! Sending a run back: how far that reaches, and what stands against it.

use std::collections::BTreeSet;

use super::node::{Node, NodeStatus, Phase, Stage};
use super::state::RunState;
use crate::base::{AttemptNo, StepId, Timestamp};
use crate::model::{Effect, has_nothing_to_undo};
use crate::plan::PlanRollback;

/// How many steps a refusal names.
const NAMED: usize = 5;

/// A rewind that is under way.
#[derive(Debug, Clone)]
pub(super) struct Rewind {
    /// The gate whose verdict sent the run back.
    pub(super) gate: StepId,
    /// The step to start again from.
    pub(super) to: StepId,
    /// The frame that `to` lies in.
    pub(super) frame: usize,
    /// `to` and all of the same frame that depends on it.
    pub(super) region: BTreeSet<usize>,
    /// Whether running work has ended, so that steps are being undone.
    pub(super) undoing: bool,
    /// When it began.
    pub(super) since: Timestamp,
}

/// What a step had behind it when the run was last sent back to a step before it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Past {
    /// Attempts that were made; the next one has the number after them.
    pub(super) attempts: u32,
    /// Attempts at its undo that were made.
    pub(super) undo_attempts: u32,
    /// How often it was taken back after it had been tried.
    pub(super) times: u32,
}

/// What a rewind takes back: a frame and those of its children.
type Region = (usize, BTreeSet<usize>);

impl Node {
    /// Which try this attempt is since the run was last sent back: what `retry` counts.
    pub(super) fn tries(&self, attempt: AttemptNo) -> AttemptNo {
        AttemptNo(attempt.0.saturating_sub(self.past.attempts))
    }

    /// The same for attempts at its undo.
    pub(super) fn undo_tries(&self, attempt: AttemptNo) -> AttemptNo {
        AttemptNo(attempt.0.saturating_sub(self.past.undo_attempts))
    }
}

impl RunState {
    /// Whether the verdict of this gate may send the run back to the step `to`.
    ///
    /// # Errors
    /// Why not, in words for an operator: no such step, not before the gate, or something that would
    /// have to be undone cannot be.
    pub fn can_send_back(&self, gate: &StepId, to: &StepId) -> Result<(), String> {
        self.region(gate, to).map(|_| ())
    }

    /// What would be undone if the gate sent the run back to `to` now, dependents first; empty when it
    /// may not. What is at work then is undone as well if it succeeds.
    pub fn rewind_steps(&self, gate: &StepId, to: &StepId) -> Vec<StepId> {
        match self.region(gate, to) {
            Ok((frame, region)) => self.ids(&self.undoable_of(frame, &region)),
            Err(_) => Vec::new(),
        }
    }

    /// The gate and the step that the run is being sent back to, while it is.
    pub fn rewinding(&self) -> Option<(&StepId, &StepId)> {
        let rewind = self.rewind.as_ref()?;
        Some((&rewind.gate, &rewind.to))
    }

    pub(super) fn ids(&self, nodes: &[usize]) -> Vec<StepId> {
        nodes.iter().map(|&i| self.nodes[i].id.clone()).collect()
    }

    /// What lies between the step and the end of its frame, if a rewind may take it back.
    pub(super) fn region(&self, gate: &StepId, to: &StepId) -> Result<Region, String> {
        let (frame, from, at) = self.place_of(gate, to)?;
        let Some(body) = self.frames[frame].body else {
            return Err(format!("`{to}` is in no list of steps"));
        };
        let first = self.frames[frame].first;
        let dag = &self.defs.body(body).dag;
        let before = dag.ancestors(at - first);
        if from == at || !before[from - first] {
            let steps = (0..before.len()).filter(|&local| before[local]);
            let steps: Vec<usize> = steps.map(|local| first + local).collect();
            return Err(match self.names(&steps) {
                None => format!("nothing comes before the gate `{gate}`"),
                Some(names) => format!(
                    "`{to}` does not come before the gate `{gate}`; it can be sent back to {names}"
                ),
            });
        }
        let mut region = BTreeSet::new();
        let mut next = vec![from];
        while let Some(i) = next.pop() {
            if region.insert(i) {
                next.extend(dag.dependents(i - first).iter().map(|local| first + local));
            }
        }
        self.nothing_stays(frame, &region)?;
        Ok((frame, region))
    }

    /// The frame that the question is about, the node of `to`, and that of the gate in the frame.
    fn place_of(&self, gate: &StepId, to: &StepId) -> Result<(usize, usize, usize), String> {
        let mut at = self
            .get(gate)
            .ok_or_else(|| format!("the run has no gate `{gate}`"))?;
        if !matches!(self.nodes[at].status, NodeStatus::Gate { .. }) {
            return Err(format!("`{gate}` is not an open gate"));
        }
        if self.rewind.is_some() {
            return Err("the run is being sent back already".to_owned());
        }
        if self.phase != Phase::Forward || self.halt.is_some() || self.cut_of(at).is_some() {
            return Err(format!("what the gate `{gate}` is a part of is ending"));
        }
        let from = self.get(to).ok_or_else(|| match self.defs.find(to) {
            Some(_) => format!("`{to}` has not been reached"),
            None => format!("the plan has no step `{to}`"),
        })?;
        // An instance of a looped gate stands where its loop stands.
        while let (true, Some(parent)) = (self.frame_of(at).is_loop(), self.frame_of(at).node) {
            at = parent;
        }
        let frame = self.nodes[at].frame;
        if self.nodes[from].frame != frame {
            return Err(format!(
                "`{to}` and the gate `{gate}` are not steps of the same runbook"
            ));
        }
        if self.nodes[at].stage != Stage::Steps {
            return Err(format!("the gate `{gate}` is not among the steps"));
        }
        Ok((frame, from, at))
    }

    /// Refuses when something that is done, or may get done, would stay.
    fn nothing_stays(&self, frame: usize, region: &BTreeSet<usize>) -> Result<(), String> {
        let stays = |&i: &usize| {
            let (node, step) = (&self.nodes[i], self.step(i));
            let changes =
                step.action.effect != Effect::Read && !has_nothing_to_undo(&step.action.uses);
            matches!(node.status, NodeStatus::Succeeded | NodeStatus::Running)
                && changes
                && !matches!(step.rollback, Some(PlanRollback::Undo { .. }))
        };
        let leaves = self.leaves_of(frame, region);
        let reasons: Vec<String> = leaves
            .into_iter()
            .rev()
            .filter(stays)
            .map(|i| {
                let id = &self.nodes[i].id;
                match &self.step(i).rollback {
                    Some(PlanRollback::Irreversible { reason }) => {
                        format!("`{id}` cannot be undone: {reason}")
                    }
                    _ => format!("`{id}` cannot be undone: it has no `rollback`"),
                }
            })
            .collect();
        match reasons.len() {
            0 => Ok(()),
            n if n > NAMED => Err(format!(
                "{}; and {} more",
                reasons[..NAMED].join("; "),
                n - NAMED
            )),
            _ => Err(reasons.join("; ")),
        }
    }

    fn names(&self, nodes: &[usize]) -> Option<String> {
        let ids = self.ids(nodes);
        let shown: Vec<String> = ids.iter().take(NAMED).map(|id| format!("`{id}`")).collect();
        let more = if ids.len() > NAMED { ", …" } else { "" };
        (!ids.is_empty()).then(|| format!("{}{more}", shown.join(", ")))
    }

    /// The leaves of some children of a frame in an order that undoes dependents first.
    fn leaves_of(&self, frame: usize, region: &BTreeSet<usize>) -> Vec<usize> {
        let mut found = Vec::new();
        if let Some(body) = self.frames[frame].body {
            for &local in self.defs.body(body).dag.order().iter().rev() {
                let i = self.frames[frame].first + local;
                if region.contains(&i) {
                    self.leaves_at(i, &mut found);
                }
            }
        }
        found
    }

    /// Of them, those that are done and can be undone.
    pub(super) fn undoable_of(&self, frame: usize, region: &BTreeSet<usize>) -> Vec<usize> {
        let mut found = self.leaves_of(frame, region);
        found.retain(|&i| self.is_undoable(i));
        found
    }

    /// Whether a node is taken back by the rewind that is under way, itself or with what it lies in.
    pub(super) fn is_rewound(&self, node: usize) -> bool {
        let Some(rewind) = &self.rewind else {
            return false;
        };
        let mut i = node;
        loop {
            if rewind.region.contains(&i) {
                return true;
            }
            match self.frame_of(i).node {
                Some(parent) => i = parent,
                None => return false,
            }
        }
    }

    /// Whether it lies inside of a loop or sub-runbook that the rewind takes back.
    pub(super) fn is_below_rewound(&self, node: usize) -> bool {
        self.frame_of(node)
            .node
            .is_some_and(|parent| self.is_rewound(parent))
    }

    /// Whether `frame` is where the rewind that is under way ends: nothing around it is undone.
    pub(super) fn rewound_in(&self, frame: usize) -> Option<&BTreeSet<usize>> {
        let rewind = self.rewind.as_ref()?;
        (rewind.frame == frame).then_some(&rewind.region)
    }

    /// Whether nothing but running work and its consequences is dealt with for now.
    pub(super) fn is_draining(&self) -> bool {
        self.rewind.as_ref().is_some_and(|rewind| !rewind.undoing)
    }

    /// Whether another undo may begin: none has failed for good, and a rewind was not overtaken by
    /// the end of what it is in.
    pub(super) fn undo_goes_on(&self) -> bool {
        let is_cut = |rewind: &Rewind| self.frames[rewind.frame].cut.is_some();
        !self.undo_failed && !self.rewind.as_ref().is_some_and(is_cut)
    }

    /// The attempt numbers go on where they were: the step is tried anew, which is not a repetition.
    pub(super) fn recall(&self, mut node: Node) -> Node {
        if let Some(&past) = self.past.get(&node.id) {
            node.past = past;
            node.attempt = AttemptNo(past.attempts);
            node.undo_attempt = AttemptNo(past.undo_attempts);
        }
        node
    }
}
