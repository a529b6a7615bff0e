//! One row per step: how it stands, and what became of it.

use std::time::Duration;

use crate::base::{StepId, Timestamp, Value};
use crate::event::{Actor, Failure, LogRef, Vote};
use crate::plan::{PlanRollback, PlanStep};

/// How a step stands.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum StepStatus {
    /// Its turn has not come.
    #[default]
    Pending,
    /// An attempt is under way.
    Running,
    /// An attempt failed and another is due.
    Retrying,
    /// A gate waits for approval.
    Waiting,
    /// Done.
    Succeeded,
    /// Failed for good, as far as is known.
    Failed,
    /// Its condition did not hold.
    Skipped,
    /// The run ended before its turn.
    NotRun,
    /// Started by an engine that died; its fate is unknown.
    Interrupted,
    /// The gate was approved.
    Approved,
    /// The gate was rejected.
    Rejected,
    /// Nobody approved in time.
    Expired,
}

impl StepStatus {
    /// One or two words.
    pub fn word(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Running => "running",
            Self::Retrying => "waiting to retry",
            Self::Waiting => "waiting",
            Self::Succeeded => "succeeded",
            Self::Failed => "failed",
            Self::Skipped => "skipped",
            Self::NotRun => "not run",
            Self::Interrupted => "interrupted",
            Self::Approved => "approved",
            Self::Rejected => "rejected",
            Self::Expired => "expired",
        }
    }
}

/// How the undo of a step stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum UndoStatus {
    /// It will be undone.
    Due,
    /// An attempt is under way.
    Running,
    /// An attempt failed and another is due.
    Retrying,
    /// Undone.
    Succeeded,
    /// Could not be undone.
    Failed,
    /// The run ended before its turn.
    NotTried,
}

impl UndoStatus {
    /// Two or three words.
    pub fn word(self) -> &'static str {
        match self {
            Self::Due => "to be undone",
            Self::Running => "being undone",
            Self::Retrying => "undo waits to retry",
            Self::Succeeded => "undone",
            Self::Failed => "undo failed",
            Self::NotTried => "not undone",
        }
    }
}

/// The undo of a step.
#[derive(Debug, Clone, PartialEq)]
pub struct UndoRow {
    /// How it stands.
    pub status: UndoStatus,
    /// Attempts so far.
    pub attempts: u32,
    /// When the first attempt began.
    pub started_at: Option<Timestamp>,
    /// From the first attempt's start to the end, when both are known.
    pub duration: Option<Duration>,
    /// Why the last attempt failed.
    pub failure: Option<Failure>,
    /// When the next attempt is due.
    pub next_at: Option<Timestamp>,
}

/// A vote at a gate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VoteRow {
    /// When.
    pub at: Timestamp,
    /// Yes or no.
    pub vote: Vote,
    /// Who.
    pub actor: Actor,
    /// Why.
    pub comment: Option<String>,
}

/// What happened at a gate.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct GateRow {
    /// What the approver is asked.
    pub message: String,
    /// When it began to wait.
    pub opened_at: Option<Timestamp>,
    /// When the question lapses.
    pub expires_at: Option<Timestamp>,
    /// The votes, in order.
    pub votes: Vec<VoteRow>,
}

/// One step and what became of it.
#[derive(Debug, Clone, PartialEq)]
pub struct StepRow {
    /// Id.
    pub id: StepId,
    /// Name for people.
    pub name: Option<String>,
    /// Action; empty when the plan does not know the step.
    pub uses: String,
    /// Tries permitted in all.
    pub max_attempts: u32,
    /// Whether it is a `finally` step.
    pub finally: bool,
    /// Whether it has an undoing action.
    pub undoable: bool,
    /// Why it cannot be undone, when the runbook says so.
    pub irreversible: Option<String>,
    /// How it stands.
    pub status: StepStatus,
    /// Attempts so far.
    pub attempts: u32,
    /// Polls of `until` in the present attempt.
    pub polls: u32,
    /// When the first attempt began, or the gate opened.
    pub started_at: Option<Timestamp>,
    /// When it came to its present end.
    pub ended_at: Option<Timestamp>,
    /// Duration: of the attempt when there was one, else from the first start to the end.
    pub duration: Option<Duration>,
    /// When the next attempt or poll is due.
    pub next_at: Option<Timestamp>,
    /// Outputs; null until it succeeded.
    pub outputs: Value,
    /// Why the last attempt failed; cleared by success.
    pub failure: Option<Failure>,
    /// The log of the last attempt that printed anything.
    pub log: Option<LogRef>,
    /// The condition that was false.
    pub skip_condition: Option<String>,
    /// The gate, when it is one.
    pub gate: Option<GateRow>,
    /// The undo, when one is due or was tried.
    pub undo: Option<UndoRow>,
}

impl StepRow {
    pub(super) fn new(id: &StepId) -> Self {
        Self {
            id: id.clone(),
            name: None,
            uses: String::new(),
            max_attempts: 1,
            finally: false,
            undoable: false,
            irreversible: None,
            status: StepStatus::Pending,
            attempts: 0,
            polls: 0,
            started_at: None,
            ended_at: None,
            duration: None,
            next_at: None,
            outputs: Value::Null,
            failure: None,
            log: None,
            skip_condition: None,
            gate: None,
            undo: None,
        }
    }

    pub(super) fn planned(step: &PlanStep, finally: bool) -> Self {
        Self {
            name: step.name.clone(),
            uses: step.action.uses.clone(),
            max_attempts: step.retry.as_ref().map_or(1, |retry| retry.attempts),
            finally,
            undoable: matches!(step.rollback, Some(PlanRollback::Undo { .. })),
            irreversible: match &step.rollback {
                Some(PlanRollback::Irreversible { reason }) => Some(reason.clone()),
                _ => None,
            },
            ..Self::new(&step.id)
        }
    }

    /// The name for people, or nothing.
    pub fn title(&self) -> &str {
        self.name.as_deref().unwrap_or_default()
    }

    /// Whether its effect stands: it succeeded, and was not undone.
    pub fn stands(&self) -> bool {
        self.status == StepStatus::Succeeded
            && !matches!(&self.undo, Some(undo) if undo.status == UndoStatus::Succeeded)
    }

    pub(super) fn start(&mut self, at: Timestamp) {
        self.started_at.get_or_insert(at);
        self.ended_at = None;
        self.next_at = None;
    }

    pub(super) fn end(&mut self, at: Timestamp, status: StepStatus, attempt_ms: Option<u64>) {
        self.status = status;
        self.ended_at = Some(at);
        self.next_at = None;
        self.duration = match attempt_ms {
            Some(millis) if self.attempts <= 1 => Some(Duration::from_millis(millis)),
            _ => self.started_at.map(|start| at.since(start)),
        };
    }

    /// The run is over: what was to come does not come any more.
    pub(super) fn run_over(&mut self) {
        match self.status {
            StepStatus::Pending => self.status = StepStatus::NotRun,
            StepStatus::Retrying => self.status = StepStatus::Failed,
            _ => {}
        }
        match &mut self.undo {
            Some(undo) if undo.status == UndoStatus::Due => undo.status = UndoStatus::NotTried,
            Some(undo) if undo.status == UndoStatus::Retrying => undo.status = UndoStatus::Failed,
            _ => {}
        }
    }

    pub(super) fn undo(&mut self) -> &mut UndoRow {
        self.undo.get_or_insert(UndoRow {
            status: UndoStatus::Due,
            attempts: 0,
            started_at: None,
            duration: None,
            failure: None,
            next_at: None,
        })
    }

    pub(super) fn gate(&mut self) -> &mut GateRow {
        self.gate.get_or_insert_default()
    }
}
