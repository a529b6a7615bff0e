//! The durable events. State is their fold; adding one here journals, shows and audits it.

use serde::{Deserialize, Serialize};

use super::status::{Outcome, RollbackResult};
use crate::base::{AttemptNo, Digest, ErrorChain, EventSeq, Map, RunId, StepId, Timestamp, Value};

/// One durable fact about a run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RunEvent {
    /// The run.
    pub run: RunId,
    /// Position in the run; dense from 1.
    pub seq: EventSeq,
    /// When it was recorded.
    pub at: Timestamp,
    /// What happened. On the wire: `"event": {"kind": "...", ...}`.
    pub event: EventKind,
}

/// What happened. The wire form is frozen per format version (golden file of the store).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum EventKind {
    /// The run exists; always the first event.
    RunCreated {
        /// Runbook name.
        runbook: String,
        /// Environment name.
        environment: String,
        /// Digest of the plan that will run.
        plan_digest: Digest,
        /// Who started it.
        actor: Actor,
        /// Version of this program.
        version: String,
    },
    /// Another process took the run over. What was under way then is *lost* until it is settled.
    RunResumed {
        /// Who resumed it.
        actor: Actor,
        /// Version of this program.
        version: String,
    },
    /// A step with `for_each` has its list; its instances exist from here on.
    StepExpanded {
        /// The loop.
        step: StepId,
        /// The instances in the order of the list.
        instances: Vec<LoopInstance>,
    },
    /// The read-only probe of `unless` is about to be called. Durable before the handler is called.
    StepProbeStarted {
        /// The step.
        step: StepId,
        /// The rendered inputs of the probe.
        inputs: Value,
    },
    /// The probe of `unless` says that the step has work to do.
    StepProbed {
        /// The step.
        step: StepId,
        /// What the probe gave.
        outputs: Value,
    },
    /// An attempt is about to be made. Durable before the handler is called. Of a step that calls a
    /// sub-runbook: its steps may start.
    StepStarted {
        /// The step.
        step: StepId,
        /// Which attempt.
        attempt: AttemptNo,
        /// The rendered inputs; of a sub-runbook its parameters. Secrets are markers.
        inputs: Value,
        /// What the step's `idempotency_key` gave, if it has one.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        idempotency_key: Option<String>,
    },
    /// The time of a step that calls a sub-runbook is up: nothing of it starts, what runs is ended.
    StepTimedOut {
        /// The step.
        step: StepId,
    },
    /// The action of a polling step is about to be called again. Durable before the handler is called.
    StepPollStarted {
        /// The step.
        step: StepId,
        /// Which attempt.
        attempt: AttemptNo,
        /// Which call of this attempt; the first call was 1.
        poll: u32,
    },
    /// The action returned, but `until` does not hold yet.
    StepPolled {
        /// The step.
        step: StepId,
        /// Which attempt.
        attempt: AttemptNo,
        /// How often the action was called in this attempt.
        poll: u32,
        /// Outputs of this poll; null when the action failed.
        outputs: Value,
        /// Why the action failed, when it did.
        failure: Option<Failure>,
        /// When the next poll is due.
        next_at: Timestamp,
    },
    /// The step is done and its outputs are published.
    StepSucceeded {
        /// The step.
        step: StepId,
        /// Which attempt.
        attempt: AttemptNo,
        /// All outputs.
        outputs: Value,
        /// Duration of the attempt.
        duration_ms: u64,
        /// Its log, when it printed anything.
        log: Option<LogRef>,
    },
    /// An attempt failed. Attempt 0: the inputs or the condition could not be computed, nothing was tried.
    StepFailed {
        /// The step.
        step: StepId,
        /// Which attempt.
        attempt: AttemptNo,
        /// Why.
        failure: Failure,
        /// Duration of the attempt.
        duration_ms: u64,
        /// Its log, when it printed anything.
        log: Option<LogRef>,
    },
    /// A failed step will be tried again.
    StepRetryScheduled {
        /// The step.
        step: StepId,
        /// The coming attempt.
        attempt: AttemptNo,
        /// When.
        at: Timestamp,
    },
    /// The step will not run.
    StepSkipped {
        /// The step.
        step: StepId,
        /// Why.
        reason: SkipReason,
    },
    /// A `once` step was started by an engine that died; a person must say what is true.
    StepInterrupted {
        /// The step.
        step: StepId,
        /// Which attempt.
        attempt: AttemptNo,
    },
    /// A gate waits for approval.
    GateOpened {
        /// The approval step.
        step: StepId,
        /// What the approver is asked, rendered.
        message: String,
        /// When the question lapses.
        expires_at: Option<Timestamp>,
    },
    /// Somebody voted.
    VoteCast {
        /// The approval step.
        step: StepId,
        /// Yes or no.
        vote: Vote,
        /// Who.
        actor: Actor,
        /// Why.
        comment: Option<String>,
        /// What the voter saw; a vote on another plan does not count.
        plan_digest: Digest,
        /// The request in the store that it came from, so that it is applied once.
        request: Option<u64>,
    },
    /// The gate opened for the run.
    GateApproved {
        /// The approval step.
        step: StepId,
    },
    /// The gate was refused.
    GateRejected {
        /// The approval step.
        step: StepId,
    },
    /// Nobody approved in time. Never an approval.
    GateExpired {
        /// The approval step.
        step: StepId,
    },
    /// Somebody asked the run to end.
    CancelRequested {
        /// Who.
        actor: Actor,
        /// Why.
        reason: Option<String>,
        /// The request in the store that it came from.
        request: Option<u64>,
    },
    /// The run's own timeout passed.
    RunTimedOut,
    /// Undoing begins.
    RollbackStarted {
        /// Why.
        cause: RollbackCause,
        /// What will be undone, in an order that respects the dependencies.
        steps: Vec<StepId>,
    },
    /// An undo is about to be tried. Durable before the handler is called.
    UndoStarted {
        /// The step that is undone.
        step: StepId,
        /// Which attempt at the undo.
        attempt: AttemptNo,
        /// The rendered inputs.
        inputs: Value,
    },
    /// The step is undone.
    UndoSucceeded {
        /// The step that is undone.
        step: StepId,
        /// Which attempt at the undo.
        attempt: AttemptNo,
        /// Outputs of the undoing action.
        outputs: Value,
        /// Duration of the attempt.
        duration_ms: u64,
        /// Its log, when it printed anything.
        log: Option<LogRef>,
    },
    /// An attempt at an undo failed.
    UndoFailed {
        /// The step that was to be undone.
        step: StepId,
        /// Which attempt at the undo.
        attempt: AttemptNo,
        /// Why.
        failure: Failure,
        /// Duration of the attempt.
        duration_ms: u64,
        /// Its log, when it printed anything.
        log: Option<LogRef>,
    },
    /// A failed undo will be tried again.
    UndoRetryScheduled {
        /// The step that is to be undone.
        step: StepId,
        /// The coming attempt.
        attempt: AttemptNo,
        /// When.
        at: Timestamp,
    },
    /// The `finally` steps begin.
    FinallyStarted,
    /// The run is over.
    RunFinished {
        /// How.
        outcome: Outcome,
        /// What became of the rollback.
        rollback: RollbackResult,
        /// The runbook's outputs; empty unless it succeeded.
        outputs: Map<String, Value>,
        /// From `RunCreated` to here.
        duration_ms: u64,
        /// From `RunCreated` to the moment when every step had ended and `verify` held: what the
        /// recovery time objective is held against. `None` when that moment never came.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        recovery_ms: Option<u64>,
    },
}

impl EventKind {
    /// The wire name, such as `step_started`.
    pub fn name(&self) -> &'static str {
        match self {
            Self::RunCreated { .. } => "run_created",
            Self::StepExpanded { .. } => "step_expanded",
            Self::StepProbeStarted { .. } => "step_probe_started",
            Self::StepProbed { .. } => "step_probed",
            Self::StepStarted { .. } => "step_started",
            Self::StepTimedOut { .. } => "step_timed_out",
            Self::RunResumed { .. } => "run_resumed",
            Self::StepPollStarted { .. } => "step_poll_started",
            Self::StepPolled { .. } => "step_polled",
            Self::StepSucceeded { .. } => "step_succeeded",
            Self::StepFailed { .. } => "step_failed",
            Self::StepRetryScheduled { .. } => "step_retry_scheduled",
            Self::StepSkipped { .. } => "step_skipped",
            Self::StepInterrupted { .. } => "step_interrupted",
            Self::GateOpened { .. } => "gate_opened",
            Self::VoteCast { .. } => "vote_cast",
            Self::GateApproved { .. } => "gate_approved",
            Self::GateRejected { .. } => "gate_rejected",
            Self::GateExpired { .. } => "gate_expired",
            Self::CancelRequested { .. } => "cancel_requested",
            Self::RunTimedOut => "run_timed_out",
            Self::RollbackStarted { .. } => "rollback_started",
            Self::UndoStarted { .. } => "undo_started",
            Self::UndoSucceeded { .. } => "undo_succeeded",
            Self::UndoFailed { .. } => "undo_failed",
            Self::UndoRetryScheduled { .. } => "undo_retry_scheduled",
            Self::FinallyStarted => "finally_started",
            Self::RunFinished { .. } => "run_finished",
        }
    }

    /// The step it is about, if it is about one.
    pub fn step(&self) -> Option<&StepId> {
        match self {
            Self::StepExpanded { step, .. }
            | Self::StepProbeStarted { step, .. }
            | Self::StepProbed { step, .. }
            | Self::StepStarted { step, .. }
            | Self::StepTimedOut { step }
            | Self::StepPollStarted { step, .. }
            | Self::StepPolled { step, .. }
            | Self::StepSucceeded { step, .. }
            | Self::StepFailed { step, .. }
            | Self::StepRetryScheduled { step, .. }
            | Self::StepSkipped { step, .. }
            | Self::StepInterrupted { step, .. }
            | Self::GateOpened { step, .. }
            | Self::VoteCast { step, .. }
            | Self::GateApproved { step }
            | Self::GateRejected { step }
            | Self::GateExpired { step }
            | Self::UndoStarted { step, .. }
            | Self::UndoSucceeded { step, .. }
            | Self::UndoFailed { step, .. }
            | Self::UndoRetryScheduled { step, .. } => Some(step),
            Self::RunCreated { .. }
            | Self::RunResumed { .. }
            | Self::CancelRequested { .. }
            | Self::RunTimedOut
            | Self::RollbackStarted { .. }
            | Self::FinallyStarted
            | Self::RunFinished { .. } => None,
        }
    }
}

/// A person or program that did something.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Actor {
    /// Login name.
    pub name: String,
    /// Host it acted from.
    pub host: String,
    /// Whether a signature proved who it is. The operating system's word alone is `false`.
    pub verified: bool,
}

/// Yes or no.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Vote {
    /// Go on.
    Approve,
    /// Do not.
    Reject,
}

/// Why a step will not run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "why", rename_all = "snake_case")]
pub enum SkipReason {
    /// Its `when` is false.
    Condition {
        /// The condition's text.
        condition: String,
    },
    /// Its `unless` holds: what it is to bring about is so already.
    AlreadyDone {
        /// The condition's text.
        condition: String,
        /// What the probe gave; null without a probe.
        #[serde(default, skip_serializing_if = "Value::is_null")]
        outputs: Value,
    },
    /// The loop or sub-runbook that it is a part of failed before its turn.
    PartEnded,
    /// The run ended before its turn.
    RunEnded,
}

/// One instance of a loop.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LoopInstance {
    /// What tells it from the others in ids: `restart[KEY]`.
    pub key: String,
    /// Its `item`.
    pub item: Value,
}

/// Why an attempt failed, as data.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failure {
    /// Which sort, for `retry.on`.
    pub sort: FailureKind,
    /// What and why.
    pub error: ErrorChain,
    /// What the operator may do about it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hint: Option<String>,
    /// The last lines of what the step or its service printed.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub log_tail: Vec<String>,
}

/// Sorts of failure; the names are those of `retry.on`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FailureKind {
    /// The action failed.
    Error,
    /// A program ended with an exit code that does not mean success.
    Exit,
    /// The other side did not answer (refused, unreachable, 5xx).
    Unavailable,
    /// It took longer than `timeout`.
    Timeout,
    /// A service is not healthy.
    Unhealthy,
    /// `verify` or `assert` did not hold.
    Verify,
    /// The inputs or the configuration are wrong; trying again cannot help.
    Invalid,
    /// A person or the run's end stopped it.
    Cancelled,
}

impl FailureKind {
    /// Every kind, in order of declaration.
    pub const ALL: [Self; 8] = [
        Self::Error,
        Self::Exit,
        Self::Unavailable,
        Self::Timeout,
        Self::Unhealthy,
        Self::Verify,
        Self::Invalid,
        Self::Cancelled,
    ];

    /// The name in `retry.on`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Error => "error",
            Self::Exit => "exit",
            Self::Unavailable => "unavailable",
            Self::Timeout => "timeout",
            Self::Unhealthy => "unhealthy",
            Self::Verify => "verify",
            Self::Invalid => "invalid",
            Self::Cancelled => "cancelled",
        }
    }
}

/// Why undoing begins.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "why", rename_all = "snake_case")]
pub enum RollbackCause {
    /// A step failed for good.
    StepFailed {
        /// The step.
        step: StepId,
    },
    /// A gate was rejected or expired.
    Gate {
        /// The approval step.
        step: StepId,
    },
    /// The run was cancelled with `on_cancel: rollback`.
    Cancelled,
    /// The run's timeout passed.
    TimedOut,
}

/// The log of one attempt.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogRef {
    /// File name below the run's log folder.
    pub file: String,
    /// Bytes of this attempt.
    pub bytes: u64,
    /// SHA-256 of the bytes of this attempt.
    pub digest: Digest,
}
