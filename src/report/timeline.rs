//! Events folded into one row per step: the shared base of every display. Tolerates partial lists.

use std::collections::HashMap;
use std::time::Duration;

use super::rows::{GateRow, StepRow, StepStatus, UndoRow, UndoStatus, VoteRow};
use crate::base::{AttemptNo, Digest, Map, RunId, StepId, Timestamp, Value};
use crate::event::{
    Actor, EventKind, LogRef, Outcome, RollbackCause, RollbackResult, RunEvent, SkipReason,
};
use crate::plan::Plan;

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
    /// One row per step: the plan's in file order, then `finally`, then any the plan does not know.
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
}

impl Timeline {
    /// An empty timeline of a plan.
    pub fn new(plan: &Plan) -> Self {
        let main = plan.steps.iter().map(|step| StepRow::planned(step, false));
        let finally = plan.finally.iter().map(|step| StepRow::planned(step, true));
        let rows: Vec<StepRow> = main.chain(finally).collect();
        let index = rows
            .iter()
            .enumerate()
            .map(|(i, row)| (row.id.clone(), i))
            .collect();
        Self {
            rows,
            index,
            ..Self::default()
        }
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
                ..
            } => {
                self.origin = Some(Origin {
                    at,
                    actor: actor.clone(),
                    plan_digest: *plan_digest,
                    version: version.clone(),
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
            EventKind::FinallyStarted => self.finally_at = Some(at),
            EventKind::RunFinished {
                outcome,
                rollback,
                outputs,
                duration_ms,
                ..
            } => {
                self.rows.iter_mut().for_each(StepRow::run_over);
                self.finish = Some(Finish {
                    at,
                    outcome: *outcome,
                    rollback: *rollback,
                    outputs: outputs.clone(),
                    duration: Duration::from_millis(*duration_ms),
                });
            }
            kind => {
                if let Some(step) = kind.step() {
                    apply_to_step(self.row_mut(step), kind, at);
                }
            }
        }
    }

    fn row_mut(&mut self, step: &StepId) -> &mut StepRow {
        let i = match self.index.get(step) {
            Some(i) => *i,
            None => {
                self.rows.push(StepRow::new(step));
                self.index.insert(step.clone(), self.rows.len() - 1);
                self.rows.len() - 1
            }
        };
        &mut self.rows[i]
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
                row.status = StepStatus::Skipped;
            }
            SkipReason::PartEnded | SkipReason::RunEnded => row.status = StepStatus::NotRun,
        },
        EventKind::StepInterrupted { .. } => row.end(at, StepStatus::Interrupted, None),
        gate @ (EventKind::GateOpened { .. }
        | EventKind::VoteCast { .. }
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
            *row.gate() = GateRow {
                message: message.clone(),
                opened_at: Some(at),
                expires_at: *expires_at,
                votes: Vec::new(),
            };
        }
        EventKind::VoteCast {
            vote,
            actor,
            comment,
            ..
        } => row.gate().votes.push(VoteRow {
            at,
            vote: *vote,
            actor: actor.clone(),
            comment: comment.clone(),
        }),
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
