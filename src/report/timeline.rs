//! Events folded into one row per step: the shared base of every display. Tolerates partial lists.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use super::rows::{GateRow, RowKind, StepRow, StepStatus, Tally, UndoRow, UndoStatus, VoteRow};
use crate::base::{AttemptNo, Digest, Map, RunId, StepId, Timestamp, Value};
use crate::event::{
    Actor, Emergency, EventKind, LastChange, LogRef, Outcome, RollbackCause, RollbackResult,
    RunEvent, SkipReason,
};
use crate::plan::{Plan, PlanPart};

/// The action of a gate.
const GATE: &str = "approval";

/// How the run ended.
#[derive(Debug, Clone, PartialEq)]
pub struct Finish {
    /// When.
    pub at: Timestamp,
    /// How.
    pub outcome: Outcome,
    /// What became of the rollback.
    pub rollback: RollbackResult,
    /// The runbook's outputs.
    pub outputs: Map<String, Value>,
    /// From the first event to here.
    pub duration: Duration,
    /// From the first event until every step had ended and `verify` held, if that moment came.
    pub recovery: Option<Duration>,
}

/// The first event's facts.
#[derive(Debug, Clone, PartialEq)]
pub struct Origin {
    /// When.
    pub at: Timestamp,
    /// Who started it.
    pub actor: Actor,
    /// Digest of the plan.
    pub plan_digest: Digest,
    /// Version of this program.
    pub version: String,
    /// The person that it was started for.
    pub on_behalf_of: Option<String>,
    /// Who changed the runbook's file last.
    pub changed_by: Option<LastChange>,
    /// Why its gates are passed without approval, if they are.
    pub emergency: Option<Emergency>,
}

/// Another process took the run over.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ResumeRow {
    /// When.
    pub at: Timestamp,
    /// Who.
    pub actor: Actor,
}

/// Somebody asked the run to end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CancelRow {
    /// When.
    pub at: Timestamp,
    /// Who.
    pub actor: Actor,
    /// Why.
    pub reason: Option<String>,
}

/// A run's events, folded for display. Each event but the last costs constant work.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Timeline {
    /// The run, once an event named it.
    pub run: Option<RunId>,
    /// The first event's facts.
    pub origin: Option<Origin>,
    /// The latest time seen.
    pub last_at: Option<Timestamp>,
    /// One row per step, in the order in which they became known: the plan's own in file order
    /// (`steps`, `verify`, `finally`), then instances of loops and steps of sub-runbooks as they
    /// begin. [`Timeline::tree`] gives them in the order of the plan.
    pub rows: Vec<StepRow>,
    /// Why and when undoing began.
    pub rollback: Option<(Timestamp, RollbackCause)>,
    /// The times that another process took the run over.
    pub resumes: Vec<ResumeRow>,
    /// Requests to end the run.
    pub cancels: Vec<CancelRow>,
    /// When the run's own timeout passed.
    pub timed_out_at: Option<Timestamp>,
    /// When the `finally` steps began.
    pub finally_at: Option<Timestamp>,
    /// How it ended.
    pub finish: Option<Finish>,
    index: HashMap<StepId, usize>,
    roots: Vec<usize>,
    plan: Option<Arc<Plan>>,
}

impl Timeline {
    /// An empty timeline of a plan.
    pub fn new(plan: &Plan) -> Self {
        let mut timeline = Self::default();
        let lists = [
            (&plan.steps, PlanPart::Steps),
            (&plan.verify, PlanPart::Verify),
            (&plan.finally, PlanPart::Finally),
        ];
        for (list, part) in lists {
            for step in list {
                timeline.insert(StepRow::planned(&step.id, step, part));
            }
        }
        let nested = timeline.rows.iter().any(|row| row.kind != RowKind::Step);
        // Only a plan with something to unfold, or that may be sent back, is needed again.
        let gated = timeline.rows.iter().any(|row| row.uses == GATE);
        timeline.plan = (nested || gated).then(|| Arc::new(plan.clone()));
        timeline
    }

    /// The timeline of a plan after some events.
    pub fn of<'a>(plan: &Plan, events: impl IntoIterator<Item = &'a RunEvent>) -> Self {
        let mut timeline = Self::new(plan);
        for event in events {
            timeline.apply(event);
        }
        timeline
    }

    /// The row of a step.
    pub fn row(&self, step: &StepId) -> Option<&StepRow> {
        self.index.get(step).and_then(|i| self.rows.get(*i))
    }

    /// All rows in the order of the plan, each with how deep it lies: what belongs to a loop or
    /// sub-runbook follows it.
    pub fn tree(&self) -> Vec<(usize, &StepRow)> {
        let mut out = Vec::with_capacity(self.rows.len());
        let mut open: Vec<(usize, usize)> = self.roots.iter().rev().map(|i| (0, *i)).collect();
        while let Some((depth, i)) = open.pop() {
            let Some(row) = self.rows.get(i) else {
                continue;
            };
            out.push((depth, row));
            open.extend(row.children.iter().rev().map(|child| (depth + 1, *child)));
        }
        out
    }

    /// How what belongs to a loop or sub-runbook stands: its instances, or its steps.
    pub fn tally(&self, row: &StepRow) -> Tally {
        let mut tally = Tally::default();
        for child in row.children.iter().filter_map(|i| self.rows.get(*i)) {
            tally.all += 1;
            match child.status {
                StepStatus::Succeeded
                | StepStatus::Approved
                | StepStatus::Skipped
                | StepStatus::AlreadySo => tally.done += 1,
                StepStatus::Failed | StepStatus::Rejected | StepStatus::Expired => {
                    tally.failed += 1;
                }
                StepStatus::Waiting => tally.waiting += 1,
                _ if child.is_active() => tally.running += 1,
                _ => {}
            }
            let undone = matches!(&child.undo, Some(u) if u.status == UndoStatus::Succeeded);
            tally.undone += usize::from(undone);
        }
        tally
    }

    /// The rows of single actions: what counts as a step. A loop or sub-runbook of which nothing is
    /// known yet counts as one.
    pub fn leaves(&self) -> impl Iterator<Item = &StepRow> {
        self.rows.iter().filter(|row| row.children.is_empty())
    }

    /// The gates that wait.
    pub fn open_gates(&self) -> impl Iterator<Item = &StepRow> {
        self.rows
            .iter()
            .filter(|row| row.status == StepStatus::Waiting)
    }

    /// Takes in the next event. Never fails: a display shows what it can.
    pub fn apply(&mut self, event: &RunEvent) {
        self.run.get_or_insert(event.run);
        self.last_at = self.last_at.max(Some(event.at));
        let at = event.at;
        match &event.event {
            EventKind::RunCreated {
                plan_digest,
                actor,
                version,
                on_behalf_of,
                changed_by,
                emergency,
                ..
            } => {
                self.origin = Some(Origin {
                    at,
                    actor: actor.clone(),
                    plan_digest: *plan_digest,
                    version: version.clone(),
                    on_behalf_of: on_behalf_of.clone(),
                    changed_by: changed_by.clone(),
                    emergency: emergency.clone(),
                });
            }
            EventKind::RunResumed { actor, .. } => self.resumes.push(ResumeRow {
                at,
                actor: actor.clone(),
            }),
            EventKind::CancelRequested { actor, reason, .. } => self.cancels.push(CancelRow {
                at,
                actor: actor.clone(),
                reason: reason.clone(),
            }),
            EventKind::RunTimedOut => self.timed_out_at = Some(at),
            EventKind::RollbackStarted { cause, steps } => {
                self.rollback = Some((at, cause.clone()));
                for step in steps {
                    self.row_mut(step).undo();
                }
            }
            EventKind::RewindStarted { steps, .. } => {
                for step in steps {
                    self.row_mut(step).undo();
                }
            }
            EventKind::RewindFinished { to, .. } => self.rewound(to),
            EventKind::FinallyStarted => self.finally_at = Some(at),
            EventKind::RunFinished {
                outcome,
                rollback,
                outputs,
                duration_ms,
                recovery_ms,
            } => {
                self.rows.iter_mut().for_each(StepRow::run_over);
                self.finish = Some(Finish {
                    at,
                    outcome: *outcome,
                    rollback: *rollback,
                    outputs: outputs.clone(),
                    duration: Duration::from_millis(*duration_ms),
                    recovery: recovery_ms.map(Duration::from_millis),
                });
            }
            EventKind::StepExpanded { step, instances } => {
                let loop_row = self.row_mut(step);
                loop_row.start(at);
                loop_row.status = StepStatus::Running;
                for instance in instances {
                    if let Some(id) = step.instance(&instance.key) {
                        self.row_mut(&id);
                    }
                }
            }
            kind => {
                if let Some(step) = kind.step() {
                    apply_to_step(self.row_mut(step), kind, at);
                    if matches!(kind, EventKind::StepStarted { .. }) {
                        self.unfold(step);
                    }
                }
            }
        }
    }

    /// The run starts again from a step: it and what waits for it have not run.
    fn rewound(&mut self, to: &StepId) {
        let Some(plan) = self.plan.clone() else {
            return;
        };
        let after = plan.steps_after(to).into_iter().map(|(id, _)| id);
        let again: Vec<StepId> = after.chain([to.clone()]).collect();
        let is_of = |row: &StepRow| {
            let mut at = Some(row.id.clone());
            while let Some(id) = at {
                if again.contains(&id) {
                    return true;
                }
                at = id.parent();
            }
            false
        };
        for row in self.rows.iter_mut().filter(|row| is_of(row)) {
            row.again();
        }
    }

    /// A sub-runbook has begun: its steps are known from here on.
    fn unfold(&mut self, step: &StepId) {
        if self.row(step).is_none_or(|row| row.kind != RowKind::Block) {
            return;
        }
        let Some(plan) = self.plan.clone() else {
            return;
        };
        let block = plan.step(step).and_then(|planned| planned.block.as_ref());
        for (child, part) in block.iter().flat_map(|block| block.parts()) {
            let id = step.inside(&child.id);
            if !self.index.contains_key(&id) {
                self.insert(StepRow::planned(&id, child, part));
            }
        }
    }

    fn row_mut(&mut self, step: &StepId) -> &mut StepRow {
        let i = match self.index.get(step) {
            Some(i) => *i,
            None => {
                let row = match &self.plan {
                    Some(plan) => StepRow::of(plan, step),
                    None => StepRow::new(step),
                };
                self.insert(row)
            }
        };
        &mut self.rows[i]
    }

    fn insert(&mut self, row: StepRow) -> usize {
        let i = self.rows.len();
        let parent = row.id.parent().and_then(|id| self.index.get(&id).copied());
        self.index.insert(row.id.clone(), i);
        self.rows.push(row);
        match parent.and_then(|parent| self.rows.get_mut(parent)) {
            Some(parent) => parent.children.push(i),
            None => self.roots.push(i),
        }
        i
    }
}

fn apply_to_step(row: &mut StepRow, kind: &EventKind, at: Timestamp) {
    match kind {
        EventKind::StepStarted { attempt, .. } => {
            row.start(at);
            row.status = StepStatus::Running;
            row.attempts = attempt.0;
            row.polls = 0;
        }
        EventKind::StepProbeStarted { .. } => {
            row.start(at);
            row.status = StepStatus::Running;
        }
        EventKind::StepPolled { poll, next_at, .. } => {
            row.polls = *poll;
            row.next_at = Some(*next_at);
        }
        EventKind::StepPollStarted { .. } => row.next_at = None,
        EventKind::StepSucceeded {
            attempt,
            outputs,
            duration_ms,
            log,
            ..
        } => {
            row.attempts = attempt.0;
            row.outputs = outputs.clone();
            row.failure = None;
            keep_log(row, log);
            row.end(at, StepStatus::Succeeded, Some(*duration_ms));
        }
        EventKind::StepFailed {
            attempt,
            failure,
            duration_ms,
            log,
            ..
        } => {
            row.attempts = attempt.0;
            row.failure = Some(failure.clone());
            keep_log(row, log);
            row.end(at, StepStatus::Failed, Some(*duration_ms));
        }
        EventKind::StepRetryScheduled { at: next, .. } => {
            row.status = StepStatus::Retrying;
            row.next_at = Some(*next);
            row.ended_at = None;
        }
        EventKind::StepSkipped { reason, .. } => match reason {
            SkipReason::Condition { condition } => {
                row.skip_condition = Some(condition.clone());
                row.status = StepStatus::Skipped;
            }
            SkipReason::AlreadyDone { condition, .. } => {
                row.skip_condition = Some(condition.clone());
                row.status = StepStatus::AlreadySo;
            }
            SkipReason::PartEnded | SkipReason::RunEnded | SkipReason::NotApproved => {
                row.status = StepStatus::NotRun;
            }
        },
        EventKind::StepInterrupted { .. } => row.end(at, StepStatus::Interrupted, None),
        gate @ (EventKind::GateOpened { .. }
        | EventKind::VoteCast { .. }
        | EventKind::GateHeld { .. }
        | EventKind::GateVoided { .. }
        | EventKind::GateEscalated { .. }
        | EventKind::GateParked { .. }
        | EventKind::GateApproved { .. }
        | EventKind::GateRejected { .. }
        | EventKind::GateExpired { .. }) => apply_to_gate(row, gate, at),
        undo @ (EventKind::UndoStarted { .. }
        | EventKind::UndoSucceeded { .. }
        | EventKind::UndoFailed { .. }
        | EventKind::UndoRetryScheduled { .. }) => apply_to_undo(row, undo, at),
        _ => {}
    }
}

fn keep_log(row: &mut StepRow, log: &Option<LogRef>) {
    if log.is_some() {
        row.log.clone_from(log);
    }
}

fn apply_to_gate(row: &mut StepRow, kind: &EventKind, at: Timestamp) {
    match kind {
        EventKind::GateOpened {
            message,
            expires_at,
            ..
        } => {
            row.start(at);
            row.status = StepStatus::Waiting;
            // A gate opens again when the run was sent back; what was said before stays on the page.
            let gate = row.gate();
            let votes = std::mem::take(&mut gate.votes);
            let voided = std::mem::take(&mut gate.voided);
            *gate = GateRow {
                message: message.clone(),
                opened_at: Some(at),
                expires_at: *expires_at,
                votes,
                voided,
                ..GateRow::default()
            };
        }
        EventKind::VoteCast {
            vote,
            actor,
            comment,
            to,
            round,
            ..
        } => {
            let gate = row.gate();
            gate.held = None;
            gate.votes.push(VoteRow {
                at,
                vote: *vote,
                actor: actor.clone(),
                comment: comment.clone(),
                to: to.clone(),
                round: *round,
            });
        }
        EventKind::GateHeld { until, reason, .. } => {
            row.gate().held = Some((*until, reason.clone()));
        }
        EventKind::GateVoided { differences, .. } => {
            let gate = row.gate();
            gate.held = None;
            gate.voided.push((at, differences.clone()));
        }
        EventKind::GateEscalated { role, .. } => row.gate().told.push(role.clone()),
        EventKind::GateParked { .. } => {
            let gate = row.gate();
            gate.parked = true;
            gate.expires_at = None;
        }
        EventKind::GateApproved { .. } => row.end(at, StepStatus::Approved, None),
        EventKind::GateRejected { .. } => row.end(at, StepStatus::Rejected, None),
        _ => row.end(at, StepStatus::Expired, None),
    }
}

fn apply_to_undo(row: &mut StepRow, kind: &EventKind, at: Timestamp) {
    let undo = row.undo();
    match kind {
        EventKind::UndoStarted { attempt, .. } => {
            undo.started_at.get_or_insert(at);
            undo.status = UndoStatus::Running;
            undo.attempts = attempt.0;
            undo.next_at = None;
        }
        EventKind::UndoSucceeded {
            attempt,
            duration_ms,
            ..
        } => {
            undo.failure = None;
            undo_end(undo, UndoStatus::Succeeded, *attempt, at, *duration_ms);
        }
        EventKind::UndoFailed {
            attempt,
            failure,
            duration_ms,
            ..
        } => {
            undo.failure = Some(failure.clone());
            undo_end(undo, UndoStatus::Failed, *attempt, at, *duration_ms);
        }
        EventKind::UndoRetryScheduled { at: next, .. } => {
            undo.status = UndoStatus::Retrying;
            undo.next_at = Some(*next);
        }
        _ => {}
    }
}

fn undo_end(undo: &mut UndoRow, status: UndoStatus, attempt: AttemptNo, at: Timestamp, ms: u64) {
    undo.status = status;
    undo.attempts = attempt.0;
    undo.duration = match undo.started_at {
        Some(start) if attempt.0 > 1 => Some(at.since(start)),
        _ => Some(Duration::from_millis(ms)),
    };
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::EventSeq;
    use crate::event::{Ballot, Vote};
    use crate::run::testing::{gate, plan, step};

    #[test]
    fn after_a_rewind_what_was_done_since_is_to_come_again_and_the_votes_stay_on_the_page() {
        let id = |text: &str| StepId::new(text).expect("valid");
        let (first, put, go) = (id("first"), id("put"), id("go"));
        let steps = vec![
            step("first", &[]),
            step("put", &["first"]),
            gate("go", &["put"]),
        ];
        let plan = plan(steps, vec![]);
        let done = |step: &StepId| EventKind::StepSucceeded {
            step: step.clone(),
            attempt: AttemptNo(1),
            outputs: Value::Null,
            duration_ms: 1,
            log: None,
        };
        let opened = EventKind::GateOpened {
            step: go.clone(),
            message: "Go?".to_owned(),
            expires_at: None,
        };
        let actor = Actor {
            name: "ada".to_owned(),
            host: "desk".to_owned(),
            verified: false,
        };
        let mut back = Ballot::plain(Vote::SendBack, plan.digest(), None);
        back.to = Some(put.clone());
        let told = [
            done(&first),
            done(&put),
            opened.clone(),
            back.cast(go.clone(), actor, None),
            EventKind::RewindStarted {
                step: go.clone(),
                to: put.clone(),
                steps: vec![put.clone()],
            },
            EventKind::RewindFinished {
                step: go.clone(),
                to: put.clone(),
            },
        ];
        let mut timeline = Timeline::new(&plan);
        let event = |seq, event| RunEvent {
            run: RunId::from_parts(1, 1),
            seq: EventSeq(seq),
            at: Timestamp::from_unix_millis(1),
            event,
        };
        for (seq, kind) in (1..).zip(told) {
            timeline.apply(&event(seq, kind));
        }
        let status = |timeline: &Timeline, id| timeline.row(id).map(|row| row.status);
        assert_eq!(status(&timeline, &first), Some(StepStatus::Succeeded));
        assert_eq!(status(&timeline, &put), Some(StepStatus::Pending));
        assert_eq!(status(&timeline, &go), Some(StepStatus::Pending));
        assert!(timeline.row(&put).is_some_and(|row| row.undo.is_none()));
        timeline.apply(&event(7, opened));
        assert_eq!(status(&timeline, &go), Some(StepStatus::Waiting));
        let votes = timeline.row(&go).and_then(|row| row.gate.as_ref());
        assert_eq!(votes.map(|gate| gate.votes.len()), Some(1));
    }
}
