//! One row per step: how it stands, and what became of it.

use std::time::Duration;

use crate::base::{StepId, Timestamp, Value};
use crate::event::{Actor, Difference, Failure, LogRef, Vote};
use crate::plan::{Plan, PlanPart, PlanRollback, PlanStep};

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
    /// What it is to bring about was so already.
    AlreadySo,
    /// The run, or what it is a part of, ended before its turn.
    NotRun,
    /// A loop or sub-runbook that was open when the run ended.
    Unfinished,
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
            Self::AlreadySo => "already so",
            Self::NotRun => "not run",
            Self::Unfinished => "not finished",
            Self::Interrupted => "interrupted",
            Self::Approved => "approved",
            Self::Rejected => "rejected",
            Self::Expired => "expired",
        }
    }
}

/// What a row stands for.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum RowKind {
    /// One action.
    #[default]
    Step,
    /// A loop: its instances are the rows below it.
    Loop,
    /// A sub-runbook: its steps are the rows below it.
    Block,
}

/// How the rows below a loop or sub-runbook stand.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Tally {
    /// All of them.
    pub all: usize,
    /// Succeeded, skipped, or already so.
    pub done: usize,
    /// Failed for good, as far as is known.
    pub failed: usize,
    /// At work, or between two attempts.
    pub running: usize,
    /// Waiting for a person.
    pub waiting: usize,
    /// Undone.
    pub undone: usize,
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
    /// Of somebody who sends the run back: where to.
    pub to: Option<StepId>,
    /// Which round of the gate it is of.
    pub round: u32,
}

/// What happened at a gate.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct GateRow {
    /// What the approver was asked when it opened.
    pub message: String,
    /// When it began to wait.
    pub opened_at: Option<Timestamp>,
    /// When the question lapses.
    pub expires_at: Option<Timestamp>,
    /// The votes of all rounds, in order.
    pub votes: Vec<VoteRow>,
    /// The roles that were told that nobody answers, in order.
    pub told: Vec<String>,
    /// What keeps it closed although its votes suffice, and until when.
    pub held: Option<(Option<Timestamp>, String)>,
    /// The times that its votes became void, with what had changed.
    pub voided: Vec<(Timestamp, Vec<Difference>)>,
    /// Whether the question lapsed, and it waits without a limit.
    pub parked: bool,
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
    /// Which list of its own runbook it stands in.
    pub part: PlanPart,
    /// What it stands for.
    pub kind: RowKind,
    /// The sub-runbook that it calls.
    pub calls: Option<String>,
    /// Rows of its instances or steps, in order.
    pub children: Vec<usize>,
    /// The action that undoes it.
    pub undone_by: Option<String>,
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
    /// The condition that decided that it is skipped: a `when` that was false, or an `unless` that held.
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
            part: PlanPart::Steps,
            kind: RowKind::Step,
            calls: None,
            children: Vec::new(),
            undone_by: None,
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

    /// The row of a step of the plan under its full id.
    pub(super) fn planned(id: &StepId, step: &PlanStep, part: PlanPart) -> Self {
        let kind = match (&step.for_each, &step.block) {
            (Some(_), _) if id.key().is_none() => RowKind::Loop,
            (_, Some(_)) => RowKind::Block,
            _ => RowKind::Step,
        };
        Self {
            name: step.name.clone(),
            uses: step.action.uses.clone(),
            max_attempts: step.retry.as_ref().map_or(1, |retry| retry.attempts),
            part,
            kind,
            calls: step.block.as_ref().map(|block| block.runbook.clone()),
            undone_by: match &step.rollback {
                Some(PlanRollback::Undo { action, .. }) => Some(action.uses.clone()),
                _ => None,
            },
            irreversible: match &step.rollback {
                Some(PlanRollback::Irreversible { reason }) => Some(reason.clone()),
                _ => None,
            },
            ..Self::new(id)
        }
    }

    /// The row of a full id, as far as the plan knows it.
    pub(super) fn of(plan: &Plan, id: &StepId) -> Self {
        match plan.step_in_part(id) {
            Some((step, part)) => Self::planned(id, step, part),
            None => Self::new(id),
        }
    }

    /// The id below its parent: `deploy[api]/restart` → `restart`, `restart[api]` → `[api]`.
    pub fn short_id(&self) -> String {
        match self.id.key() {
            Some(key) => format!("[{key}]"),
            None => self.id.last().to_owned(),
        }
    }

    /// Whether its turn is over.
    pub fn is_over(&self) -> bool {
        !matches!(
            self.status,
            StepStatus::Pending
                | StepStatus::Running
                | StepStatus::Retrying
                | StepStatus::Waiting
                | StepStatus::Interrupted
        )
    }

    /// Whether an attempt or an undo is under way or due again, or a gate waits.
    pub fn is_active(&self) -> bool {
        let undoing = matches!(&self.undo, Some(undo) if matches!(undo.status, UndoStatus::Running | UndoStatus::Retrying));
        undoing
            || matches!(
                self.status,
                StepStatus::Running | StepStatus::Retrying | StepStatus::Waiting
            )
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
            Some(millis) if self.attempts <= 1 && self.kind == RowKind::Step => {
                Some(Duration::from_millis(millis))
            }
            _ => self.started_at.map(|start| at.since(start)),
        };
    }

    /// The run is over: what was to come does not come any more.
    pub(super) fn run_over(&mut self) {
        match self.status {
            StepStatus::Pending => self.status = StepStatus::NotRun,
            StepStatus::Retrying => self.status = StepStatus::Failed,
            StepStatus::Running if self.kind != RowKind::Step => {
                self.status = StepStatus::Unfinished;
            }
            _ => {}
        }
        match &mut self.undo {
            Some(undo) if undo.status == UndoStatus::Due => undo.status = UndoStatus::NotTried,
            Some(undo) if undo.status == UndoStatus::Retrying => undo.status = UndoStatus::Failed,
            _ => {}
        }
    }

    /// The run was sent back to before it: it is as if it had not run. What people said of it stays.
    pub(super) fn again(&mut self) {
        self.status = StepStatus::Pending;
        self.attempts = 0;
        self.polls = 0;
        self.started_at = None;
        self.ended_at = None;
        self.duration = None;
        self.next_at = None;
        self.outputs = Value::Null;
        self.failure = None;
        self.skip_condition = None;
        self.undo = None;
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
