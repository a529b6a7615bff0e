//! How each event changes the state. An event that cannot follow is an error, never ignored.

use super::gates::gate_outputs;
use crate::base::{StepId, Timestamp};
use crate::event::{EventKind, Outcome, RunEvent};
use crate::run::state::{Halt, IllegalTransition, NodeStatus, Phase, RunState, Undo};
use crate::run::verdict::CastVote;

/// Why an event cannot follow, before it is given its position and name.
pub(super) type Refused = String;

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
                ..
            } => self.step_started(step, *attempt, inputs, at),
            EventKind::StepExpanded { .. }
            | EventKind::StepProbeStarted { .. }
            | EventKind::StepProbed { .. }
            | EventKind::StepTimedOut { .. } => Err("loops are not driven yet".to_owned()),
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
                self.interrupted.insert(i);
                if self.phase == Phase::Forward {
                    self.set_halt(Halt::Interrupted { step: step.clone() });
                }
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

    pub(super) fn find(&self, step: &StepId) -> Result<usize, Refused> {
        self.index
            .get(step)
            .ok_or_else(|| "the plan has no such step".to_owned())
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
    pub(in crate::run) fn main_part_over(&self) -> bool {
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
    pub(in crate::run) fn wants_rollback(&self) -> bool {
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

    pub(super) fn set_halt(&mut self, halt: Halt) {
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
}

pub(in crate::run) fn millis(duration: std::time::Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
