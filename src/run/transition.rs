//! How each event changes the state. An event that cannot follow is an error, never ignored.

use super::retry;
use super::state::{Halt, IllegalTransition, Node, NodeStatus, Phase, RunState, Undo};
use super::verdict::CastVote;
use crate::base::{AttemptNo, StepId, Timestamp, Value};
use crate::event::{EventKind, Failure, Outcome, RollbackCause, RunEvent, SkipReason, Vote};
use crate::model::StepOnFailure;
use crate::plan::PlanRollback;

/// Why an event cannot follow, before it is given its position and name.
type Refused = String;

impl RunState {
    /// Folds one event in.
    ///
    /// # Errors
    /// [`IllegalTransition`] when the event cannot follow; the state is then of no use any more.
    pub fn apply(&mut self, event: &RunEvent) -> Result<(), IllegalTransition> {
        let illegal = |reason: String| IllegalTransition {
            seq: event.seq,
            event: event.event.name(),
            step: event.event.step().cloned(),
            reason,
        };
        if event.seq != self.last_seq.next() {
            let expected = self.last_seq.next();
            return Err(illegal(format!("event {expected} was expected")));
        }
        match self.run {
            Some(run) if run != event.run => {
                return Err(illegal(format!("it belongs to run {}", event.run)));
            }
            None => self.run = Some(event.run),
            Some(_) => {}
        }
        self.change(&event.event, event.at).map_err(illegal)?;
        self.last_seq = event.seq;
        Ok(())
    }

    fn change(&mut self, event: &EventKind, at: Timestamp) -> Result<(), Refused> {
        let created = matches!(event, EventKind::RunCreated { .. });
        if created != (self.phase == Phase::New) {
            return Err("a run is created once, first of all".to_owned());
        }
        if self.phase == Phase::Finished {
            return Err("the run is over".to_owned());
        }
        match event {
            EventKind::RunCreated {
                plan_digest, actor, ..
            } => {
                self.plan_digest = Some(*plan_digest);
                self.actor = Some(actor.clone());
                self.created_at = at;
                self.enter_steps(Phase::Forward);
                Ok(())
            }
            EventKind::RunResumed { .. } => {
                self.mark_lost();
                Ok(())
            }
            EventKind::StepStarted {
                step,
                attempt,
                inputs,
            } => self.step_started(step, *attempt, inputs, at),
            EventKind::StepPollStarted {
                step,
                attempt,
                poll,
            } => self.poll_started(step, *attempt, *poll),
            EventKind::StepPolled {
                step,
                attempt,
                outputs,
                failure,
                next_at,
                ..
            } => {
                let node = self.running(step, *attempt)?;
                let node = &mut self.nodes[node];
                node.status = NodeStatus::Polling { next_at: *next_at };
                node.last_poll = outputs.clone();
                node.failure = failure.clone();
                Ok(())
            }
            EventKind::StepSucceeded {
                step,
                attempt,
                outputs,
                duration_ms,
                ..
            } => {
                let i = self.running(step, *attempt)?;
                let node = &mut self.nodes[i];
                node.duration_ms = *duration_ms;
                node.outputs = outputs.clone();
                node.failure = None;
                self.settle_node(i, NodeStatus::Succeeded);
                Ok(())
            }
            EventKind::StepFailed {
                step,
                attempt,
                failure,
                duration_ms,
                ..
            } => self.step_failed(step, *attempt, failure, *duration_ms),
            EventKind::StepRetryScheduled {
                step,
                attempt,
                at: due,
            } => {
                let i = self.find(step)?;
                let node = &mut self.nodes[i];
                if node.status != (NodeStatus::Retrying { at: None })
                    || *attempt != node.attempt.next()
                {
                    return Err("the step has no failed attempt before this one".to_owned());
                }
                node.status = NodeStatus::Retrying { at: Some(*due) };
                Ok(())
            }
            EventKind::StepSkipped { step, reason } => self.step_skipped(step, reason, at),
            EventKind::StepInterrupted { step, attempt } => {
                let i = self.running(step, *attempt)?;
                if !self.nodes[i].lost {
                    return Err("its engine is alive".to_owned());
                }
                self.active.remove(&i);
                self.nodes[i].status = NodeStatus::Interrupted;
                self.set_halt(Halt::Interrupted { step: step.clone() });
                Ok(())
            }
            EventKind::GateOpened {
                step,
                message,
                expires_at,
            } => self.gate_opened(step, message, *expires_at, at),
            EventKind::VoteCast {
                step,
                vote,
                actor,
                comment,
                plan_digest,
                request,
            } => {
                let i = self.gate(step)?;
                self.nodes[i].votes.push(CastVote {
                    vote: *vote,
                    actor: actor.clone(),
                    comment: comment.clone(),
                    plan_digest: *plan_digest,
                    at,
                });
                self.note_request(*request);
                Ok(())
            }
            EventKind::GateApproved { step } => {
                let i = self.gate(step)?;
                self.nodes[i].outputs = gate_outputs(&self.nodes[i], at);
                self.close_gate(i, at);
                self.settle_node(i, NodeStatus::Succeeded);
                Ok(())
            }
            EventKind::GateRejected { step } => {
                self.refuse_gate(step, at, Halt::Rejected { step: step.clone() })
            }
            EventKind::GateExpired { step } => {
                self.refuse_gate(step, at, Halt::Expired { step: step.clone() })
            }
            EventKind::CancelRequested { request, .. } => {
                self.note_request(*request);
                if self.phase == Phase::Forward {
                    self.set_halt(Halt::Cancelled);
                }
                Ok(())
            }
            EventKind::RunTimedOut => {
                if self.phase != Phase::Forward || self.halt.is_some() {
                    return Err("the forward part is over".to_owned());
                }
                self.set_halt(Halt::TimedOut);
                Ok(())
            }
            EventKind::RollbackStarted { cause, .. } => self.rollback_started(cause),
            EventKind::UndoStarted { step, attempt, .. } => self.undo_started(step, *attempt, at),
            EventKind::UndoSucceeded { step, attempt, .. } => {
                let i = self.undoing(step, *attempt)?;
                self.undo_active.remove(&i);
                self.undo_left -= 1;
                self.nodes[i].undo = Undo::Done;
                self.release_needs(i);
                Ok(())
            }
            EventKind::UndoFailed {
                step,
                attempt,
                failure,
                ..
            } => self.undo_attempt_failed(step, *attempt, failure),
            EventKind::UndoRetryScheduled {
                step,
                attempt,
                at: due,
            } => {
                let i = self.find(step)?;
                let node = &mut self.nodes[i];
                if node.undo != (Undo::Retrying { at: None })
                    || *attempt != node.undo_attempt.next()
                {
                    return Err("the undo has no failed attempt before this one".to_owned());
                }
                node.undo = Undo::Retrying { at: Some(*due) };
                Ok(())
            }
            EventKind::FinallyStarted => {
                if !self.main_part_over() {
                    return Err("steps are still at work".to_owned());
                }
                self.enter_steps(Phase::Finally);
                Ok(())
            }
            EventKind::RunFinished { outcome, .. } => self.run_finished(*outcome),
        }
    }

    fn find(&self, step: &StepId) -> Result<usize, Refused> {
        self.index
            .get(step)
            .ok_or_else(|| "the plan has no such step".to_owned())
    }

    fn running(&self, step: &StepId, attempt: AttemptNo) -> Result<usize, Refused> {
        let i = self.find(step)?;
        let node = &self.nodes[i];
        if node.status != NodeStatus::Running || node.attempt != attempt {
            return Err(format!("attempt {attempt} is not at work"));
        }
        Ok(i)
    }

    fn gate(&self, step: &StepId) -> Result<usize, Refused> {
        let i = self.find(step)?;
        match self.nodes[i].status {
            NodeStatus::Gate { .. } => Ok(i),
            _ => Err("it is not an open gate".to_owned()),
        }
    }

    fn undoing(&self, step: &StepId, attempt: AttemptNo) -> Result<usize, Refused> {
        let i = self.find(step)?;
        let node = &self.nodes[i];
        if node.undo != Undo::Running || node.undo_attempt != attempt {
            return Err(format!("attempt {attempt} at its undo is not at work"));
        }
        Ok(i)
    }

    /// Whether a node may start something in the present phase.
    fn may_start(&self, node: usize) -> Result<(), Refused> {
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

    fn step_started(
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

    fn poll_started(
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

    fn step_failed(
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
    fn halt_allows_retry(&self, node: usize) -> bool {
        self.index.is_finally(node) || self.halt.is_none()
    }

    fn fail_for_good(&mut self, i: usize) {
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

    fn step_skipped(
        &mut self,
        step: &StepId,
        reason: &SkipReason,
        at: Timestamp,
    ) -> Result<(), Refused> {
        let i = self.find(step)?;
        match reason {
            SkipReason::Condition { .. } => {
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

    fn gate_opened(
        &mut self,
        step: &StepId,
        message: &str,
        expires_at: Option<Timestamp>,
        at: Timestamp,
    ) -> Result<(), Refused> {
        let i = self.find(step)?;
        self.may_start(i)?;
        if !self.ready.remove(&i) {
            return Err("what it needs is not settled".to_owned());
        }
        self.active.insert(i);
        if self.open_gates == 0 {
            self.paused_since = Some(at);
        }
        self.open_gates += 1;
        let node = &mut self.nodes[i];
        node.status = NodeStatus::Gate { expires_at };
        node.attempt = AttemptNo::FIRST;
        node.started_at = Some(at);
        node.inputs = serde_json::json!({ "message": message });
        Ok(())
    }

    fn close_gate(&mut self, i: usize, at: Timestamp) {
        self.open_gates -= 1;
        if self.open_gates == 0
            && let Some(since) = self.paused_since.take()
        {
            self.paused_ms += millis(at.since(since));
        }
        let node = &mut self.nodes[i];
        node.duration_ms = node.started_at.map_or(0, |since| millis(at.since(since)));
    }

    fn refuse_gate(&mut self, step: &StepId, at: Timestamp, halt: Halt) -> Result<(), Refused> {
        let i = self.gate(step)?;
        self.close_gate(i, at);
        self.active.remove(&i);
        self.nodes[i].status = NodeStatus::Failed;
        self.set_halt(halt);
        Ok(())
    }

    fn rollback_started(&mut self, cause: &RollbackCause) -> Result<(), Refused> {
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
    fn reach_for_undo(&mut self, start: usize) {
        let mut stack = vec![start];
        while let Some(i) = stack.pop() {
            if self.nodes[i].undo == Undo::Waiting {
                self.undo_ready.insert(i);
                continue;
            }
            let index = std::sync::Arc::clone(&self.index);
            for &need in index.dag.needs(i) {
                self.unmet[need] -= 1;
                if self.unmet[need] == 0 {
                    stack.push(need);
                }
            }
        }
    }

    fn release_needs(&mut self, i: usize) {
        let index = std::sync::Arc::clone(&self.index);
        for &need in index.dag.needs(i) {
            self.unmet[need] -= 1;
            if self.unmet[need] == 0 {
                self.reach_for_undo(need);
            }
        }
    }

    fn undo_started(
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

    fn undo_attempt_failed(
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

    fn run_finished(&mut self, outcome: Outcome) -> Result<(), Refused> {
        let over = match self.phase {
            Phase::Finally => self.unsettled == 0,
            _ => self.plan.finally.is_empty() && self.main_part_over(),
        };
        if !over {
            return Err("the run is not over yet".to_owned());
        }
        let expected = self.prospective_outcome();
        if outcome != expected {
            return Err(format!("it ended `{}`", expected.as_str()));
        }
        self.phase = Phase::Finished;
        self.outcome = Some(outcome);
        Ok(())
    }

    /// Whether forward part and rollback are over.
    pub(super) fn main_part_over(&self) -> bool {
        match self.phase {
            Phase::Forward => match &self.halt {
                None => self.unsettled == 0,
                Some(Halt::Interrupted { .. }) => false,
                Some(_) => !self.any_running() && self.open_gates == 0 && !self.wants_rollback(),
            },
            Phase::RollingBack => {
                self.undo_left == 0
                    || (self.undo_failed
                        && self
                            .undo_active
                            .iter()
                            .all(|&i| self.nodes[i].undo != Undo::Running))
            }
            Phase::New | Phase::Finally | Phase::Finished => false,
        }
    }

    /// Whether the cause of the halt asks for a rollback.
    pub(super) fn wants_rollback(&self) -> bool {
        use crate::model::{OnCancel, OnFailure};
        match &self.halt {
            None | Some(Halt::Interrupted { .. }) => false,
            Some(Halt::StepFailed { rollback, .. }) => *rollback,
            Some(Halt::Rejected { .. } | Halt::Expired { .. } | Halt::TimedOut) => {
                self.plan.on_failure == OnFailure::Rollback
            }
            Some(Halt::Cancelled) => self.plan.on_cancel == OnCancel::Rollback,
        }
    }

    fn set_halt(&mut self, halt: Halt) {
        // The first cause decides. An unknown fate outranks it: nothing may be undone over it.
        if self.halt.is_none() || matches!(halt, Halt::Interrupted { .. }) {
            self.halt = Some(halt);
        }
    }

    fn note_request(&mut self, request: Option<u64>) {
        self.last_request = self.last_request.max(request.unwrap_or(0));
    }

    fn mark_lost(&mut self) {
        for &i in &self.active {
            self.nodes[i].lost = self.nodes[i].status == NodeStatus::Running;
        }
        for &i in &self.undo_active {
            self.nodes[i].lost = self.nodes[i].undo == Undo::Running;
        }
    }

    fn enter_steps(&mut self, phase: Phase) {
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

    /// Gives a node an end that lets what comes after it start.
    fn settle_node(&mut self, i: usize, status: NodeStatus) {
        self.ready.remove(&i);
        self.active.remove(&i);
        self.nodes[i].status = status;
        self.unsettled -= 1;
        let index = std::sync::Arc::clone(&self.index);
        for &next in index.dag.dependents(i) {
            self.unmet[next] -= 1;
            if self.unmet[next] == 0 {
                self.ready.insert(next);
            }
        }
    }
}

fn gate_outputs(node: &Node, at: Timestamp) -> Value {
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

pub(super) fn millis(duration: std::time::Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
