//! Loops and sub-runbooks: opened, timed out, ended; and the probe of `unless`.

use super::apply::Refused;
use crate::base::{AttemptNo, StepId, Timestamp, Value};
use crate::event::LoopInstance;
use crate::plan::MAX_INSTANCES;
use crate::run::frame::{Cut, Progress};
use crate::run::node::{NodeKind, NodeStatus, Stage};
use crate::run::state::RunState;

impl RunState {
    pub(super) fn step_expanded(
        &mut self,
        step: &StepId,
        instances: &[LoopInstance],
        at: Timestamp,
    ) -> Result<(), Refused> {
        let i = self.find(step)?;
        if self.nodes[i].kind != NodeKind::Loop {
            return Err("it is no loop".to_owned());
        }
        self.may_open(i)?;
        if instances.len() > MAX_INSTANCES {
            return Err(format!("a loop has at most {MAX_INSTANCES} instances"));
        }
        let mut items = Vec::with_capacity(instances.len());
        let mut keys = std::collections::HashSet::with_capacity(instances.len());
        for instance in instances {
            let key = &instance.key;
            match step.instance(key) {
                Some(id) if keys.insert(key) => items.push((id, instance.item.clone())),
                Some(_) => return Err(format!("two instances have the key `{key}`")),
                None => return Err(format!("`{key}` is no key of an instance")),
            }
        }
        self.open(i, Value::Null, at);
        let frame = self.add_instances(i, items);
        self.enter(frame, Stage::Steps);
        Ok(())
    }

    pub(super) fn block_started(
        &mut self,
        i: usize,
        attempt: AttemptNo,
        inputs: &Value,
        at: Timestamp,
    ) -> Result<(), Refused> {
        self.may_open(i)?;
        let expected = self.nodes[i].attempt.next();
        if attempt != expected {
            return Err(format!("attempt {expected} was expected"));
        }
        let body = self
            .defs
            .called(self.nodes[i].def)
            .ok_or_else(|| "it calls no runbook".to_owned())?;
        self.open(i, inputs.clone(), at);
        let frame = self.add_body(Some(i), body);
        self.enter(frame, Stage::Steps);
        Ok(())
    }

    fn may_open(&self, i: usize) -> Result<(), Refused> {
        self.may_start(i)?;
        if self.is_ready(i) {
            Ok(())
        } else {
            Err("what it needs is not settled".to_owned())
        }
    }

    fn open(&mut self, i: usize, inputs: Value, at: Timestamp) {
        self.begin(i, NodeStatus::Open);
        let node = &mut self.nodes[i];
        node.attempt = node.attempt.next();
        node.started_at = Some(at);
        node.inputs = inputs;
    }

    pub(super) fn block_timed_out(&mut self, step: &StepId) -> Result<(), Refused> {
        let i = self.find(step)?;
        let node = &self.nodes[i];
        let frame = match (node.kind, node.opened) {
            (NodeKind::Block, Some(frame)) if node.status == NodeStatus::Open => frame,
            _ => return Err("it is no open sub-runbook".to_owned()),
        };
        let runs = matches!(
            self.frames[frame].at,
            Progress::In(Stage::Steps | Stage::Verify)
        );
        if !runs || self.frames[frame].cut.is_some() {
            return Err("its steps have ended already".to_owned());
        }
        self.cut(frame, Cut::TimedOut, true);
        self.doom(i);
        Ok(())
    }

    /// The node of a loop or sub-runbook that has nothing at work any more.
    fn ended(&self, i: usize, attempt: AttemptNo) -> Result<(), Refused> {
        if !self.ending.contains(&i) || attempt != self.nodes[i].attempt {
            return Err("its parts have not ended".to_owned());
        }
        Ok(())
    }

    /// The node that succeeds with this attempt.
    pub(super) fn succeeding(&self, step: &StepId, attempt: AttemptNo) -> Result<usize, Refused> {
        let i = self.find(step)?;
        let Some(frame) = self.nodes[i].opened else {
            return self.running(step, attempt);
        };
        self.ended(i, attempt)?;
        match self.frames[frame].cut {
            None => Ok(i),
            Some(_) => Err("a part of it failed, or it was ended".to_owned()),
        }
    }

    /// A loop or sub-runbook ends badly.
    pub(super) fn container_failed(&mut self, i: usize, attempt: AttemptNo) -> Result<(), Refused> {
        self.ended(i, attempt)?;
        let cut = self.nodes[i].opened.and_then(|at| self.frames[at].cut);
        if cut == Some(Cut::Above) {
            // Not its own fault, so nobody is to bear it.
            self.leave(i, NodeStatus::Failed);
        } else {
            self.fail_for_good(i);
        }
        Ok(())
    }

    pub(super) fn probing(&self, step: &StepId) -> Result<usize, Refused> {
        let i = self.find(step)?;
        match self.nodes[i].status {
            NodeStatus::Probing => Ok(i),
            _ => Err("no probe of it is at work".to_owned()),
        }
    }

    pub(super) fn probe_started(&mut self, step: &StepId, at: Timestamp) -> Result<(), Refused> {
        let i = self.find(step)?;
        self.may_start(i)?;
        let node = &self.nodes[i];
        let again = node.status == NodeStatus::Probing && node.lost;
        if !again && (!self.is_ready(i) || node.probed) {
            return Err("it is not its turn to be probed".to_owned());
        }
        let has_probe = self
            .step(i)
            .unless
            .as_ref()
            .is_some_and(|u| u.probe.is_some());
        if !has_probe || node.kind == NodeKind::Loop {
            return Err("it has no probe".to_owned());
        }
        self.begin(i, NodeStatus::Probing);
        self.nodes[i].started_at = Some(at);
        Ok(())
    }
}
