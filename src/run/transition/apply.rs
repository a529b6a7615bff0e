//! How each event changes the state. An event that cannot follow is an error, never ignored.

use crate::base::{StepId, Timestamp};
use crate::event::{Actor, EventKind, Outcome, RunEvent};
use crate::run::frame::ROOT;
use crate::run::node::{Halt, NodeStatus, Phase, Stage, Undo};
use crate::run::policy::{CastVote, Hold};
use crate::run::state::{IllegalTransition, RunState};

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
        self.clock = event.at;
        self.change(&event.event, event.at).map_err(illegal)?;
        self.advance_touched();
        self.advance_rewind();
        self.last_seq = event.seq;
        Ok(())
    }

    fn change(&mut self, event: &EventKind, at: Timestamp) -> Result<(), Refused> {
        let created = matches!(event, EventKind::RunCreated { .. });
        if created != (self.phase == Phase::New) {
            return Err("a run is created once, first of all".to_owned());
        }
        if self.phase == Phase::Finished {
            return match event {
                EventKind::RunReviewed { actor, .. } => self.run_reviewed(actor),
                _ => Err("the run is over".to_owned()),
            };
        }
        match event {
            EventKind::RunCreated {
                plan_digest,
                actor,
                on_behalf_of,
                changed_by,
                emergency,
                ..
            } => {
                self.plan_digest = Some(*plan_digest);
                self.actor = Some(actor.clone());
                self.starters.push(actor.name.clone());
                self.starters.extend(on_behalf_of.clone());
                self.author = changed_by.as_ref().and_then(|change| change.person.clone());
                self.emergency.clone_from(emergency);
                self.excluded = self.excluded_by(self.policy());
                self.created_at = at;
                self.phase = Phase::Forward;
                self.enter(ROOT, Stage::Steps);
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
                idempotency_key,
            } => self.step_started(step, *attempt, inputs, idempotency_key.as_deref(), at),
            EventKind::StepExpanded { step, instances } => self.step_expanded(step, instances, at),
            EventKind::StepProbeStarted { step, .. } => self.probe_started(step, at),
            EventKind::StepProbed { step, .. } => {
                let i = self.probing(step)?;
                self.nodes[i].probed = true;
                self.step_back(i);
                Ok(())
            }
            EventKind::StepTimedOut { step } => self.block_timed_out(step),
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
                let i = self.succeeding(step, *attempt)?;
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
                self.leave(i, NodeStatus::Interrupted);
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
                round,
                to,
                inputs,
                id,
                signed: _,
            } => {
                let vote = CastVote {
                    vote: *vote,
                    actor: actor.clone(),
                    comment: comment.clone(),
                    plan_digest: *plan_digest,
                    at,
                    round: *round,
                    to: to.clone(),
                    inputs: inputs.clone(),
                    id: id.clone(),
                };
                self.vote_cast(step, vote)?;
                self.note_request(*request);
                Ok(())
            }
            EventKind::GateApproved { step, .. } => self.gate_approved(step, at),
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
            EventKind::RewindStarted { step, to, steps } => {
                self.rewind_started(step, to, steps, at)
            }
            EventKind::RewindFinished { step, to } => self.rewind_finished(step, to, at),
            EventKind::RollbackStarted { cause, .. } => self.rollback_started(cause),
            EventKind::UndoStarted { step, attempt, .. } => self.undo_started(step, *attempt, at),
            EventKind::UndoSucceeded { step, attempt, .. } => self.undo_succeeded(step, *attempt),
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
                self.active.clear();
                self.ready.clear();
                self.phase = Phase::Finally;
                Ok(())
            }
            EventKind::RunFinished { outcome, .. } => self.run_finished(*outcome),
            EventKind::GateReadStarted { step, read } => self.gate_read_started(step, read, at),
            EventKind::GateRead {
                step,
                read,
                outputs,
                failure,
            } => {
                let found = match failure {
                    Some(failure) => Err(failure.clone()),
                    None => Ok(outputs.clone()),
                };
                self.gate_read(step, read, found)
            }
            EventKind::GateSurveyed {
                step,
                plan_digest,
                differences,
                policy,
            } => self.gate_surveyed(step, *plan_digest, differences, policy),
            EventKind::GateHeld {
                step,
                until,
                reason,
            } => {
                let (until, reason) = (*until, reason.clone());
                self.gate_held(step, Hold { until, reason })
            }
            EventKind::GateVoided { step, differences } => self.gate_voided(step, differences),
            EventKind::GateEscalated {
                step,
                level,
                channel,
                respond_by,
                ..
            } => self.gate_escalated(step, *level, channel.is_some(), *respond_by, at),
            EventKind::GateNotified { step, level, .. } => self.gate_notified(step, *level),
            EventKind::GateParked { step } => self.gate_parked(step, at),
            EventKind::RunReviewed { .. } => Err("it is not its time".to_owned()),
        }
    }

    pub(super) fn find(&self, step: &StepId) -> Result<usize, Refused> {
        self.get(step).ok_or_else(|| {
            match self.plan_step(step) {
                Some(_) => "what it is a part of is not open",
                None => "the plan has no such step",
            }
            .to_owned()
        })
    }

    fn run_finished(&mut self, outcome: Outcome) -> Result<(), Refused> {
        let over = match self.phase {
            Phase::Finally => self.finally_over(),
            _ => !self.owes_finally() && self.main_part_over(),
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

    /// Only of an emergency run, once, and by somebody who did not start it.
    fn run_reviewed(&mut self, reviewer: &Actor) -> Result<(), Refused> {
        if self.emergency.is_none() {
            return Err("it is no emergency run".to_owned());
        }
        if self.reviewed {
            return Err("it is reviewed already".to_owned());
        }
        if self.starters.contains(&reviewer.name) {
            return Err(format!("`{}` started it", reviewer.name));
        }
        self.reviewed = true;
        Ok(())
    }

    fn note_request(&mut self, request: Option<u64>) {
        self.last_request = self.last_request.max(request.unwrap_or(0));
    }

    fn mark_lost(&mut self) {
        let seq = self.last_seq.next();
        for &i in &self.active {
            if let Some(gate) = &mut self.nodes[i].gate {
                gate.lose(seq);
            }
            self.nodes[i].lost = matches!(
                self.nodes[i].status,
                NodeStatus::Running | NodeStatus::Probing
            );
        }
        for &i in &self.undo_active {
            self.nodes[i].lost = self.nodes[i].undo == Undo::Running;
        }
    }
}

pub(in crate::run) fn millis(duration: std::time::Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
