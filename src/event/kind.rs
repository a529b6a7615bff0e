//! The durable events. State is their fold; adding one here journals, shows and audits it.

use serde::{Deserialize, Serialize};

use super::failure::Failure;
use super::status::{Outcome, RollbackResult};
use super::vote::{
    Actor, Difference, Emergency, LastChange, ReviewVerdict, SignedVote, Vote, first_round,
};
use crate::base::{AttemptNo, Digest, EventSeq, Map, RunId, StepId, Timestamp, Value};

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
        /// The person that `actor`, a bot or a schedule, acts for; as answerable as the actor.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        on_behalf_of: Option<String>,
        /// Who last changed the runbook's file, as far as its Git repository tells.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        changed_by: Option<LastChange>,
        /// Why its gates are passed without approval, if they are.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        emergency: Option<Emergency>,
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
    /// Somebody voted, took a vote back, or sent the run back.
    VoteCast {
        /// The approval step.
        step: StepId,
        /// What was said.
        vote: Vote,
        /// Who.
        actor: Actor,
        /// Why.
        comment: Option<String>,
        /// What the voter saw; a vote on another plan does not count.
        plan_digest: Digest,
        /// The request in the store that it came from, so that it is applied once.
        request: Option<u64>,
        /// Which round of the gate it is about; it counts in no other.
        #[serde(default = "first_round")]
        round: u32,
        /// Of [`Vote::SendBack`]: the step to start again from.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        to: Option<StepId>,
        /// What the gate asked to be filled in, with defaults.
        #[serde(default, skip_serializing_if = "Map::is_empty")]
        inputs: Map<String, Value>,
        /// Made by the voter; a second vote with the same id is the same vote.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        id: Option<String>,
        /// What the voter signed. `actor.verified` says that it was found good when it came in.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        signed: Option<Box<SignedVote>>,
    },
    /// The votes suffice; a `read` step whose values the reviewer saw is about to be asked again.
    /// Durable before the handler is called.
    GateReadStarted {
        /// The approval step.
        step: StepId,
        /// The `read` step.
        read: StepId,
    },
    /// What that `read` step says now.
    GateRead {
        /// The approval step.
        step: StepId,
        /// The `read` step.
        read: StepId,
        /// Its outputs; null when it failed.
        outputs: Value,
        /// Why it failed, if it did.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        failure: Option<Failure>,
    },
    /// The votes suffice; the files were read again and compared with the plan.
    GateSurveyed {
        /// The approval step.
        step: StepId,
        /// Digest of the plan that the files would give now; `None` when they give none.
        plan_digest: Option<Digest>,
        /// What differs from the plan that was voted on; none when nothing does.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        differences: Vec<Difference>,
        /// The policy as it stands now, when it differs from the one in force in the run (the stored
        /// form of a plan's policy).
        #[serde(default, skip_serializing_if = "Value::is_null")]
        policy: Value,
    },
    /// The votes suffice, but a freeze or the hours of change keep the gate closed for now.
    GateHeld {
        /// The approval step.
        step: StepId,
        /// When it may open; `None` when no time is known.
        until: Option<Timestamp>,
        /// What keeps it closed.
        reason: String,
    },
    /// What was approved is not what is there any more: all votes are void, and a new round begins.
    GateVoided {
        /// The approval step.
        step: StepId,
        /// What changed; at least one.
        differences: Vec<Difference>,
    },
    /// Nobody has answered for so long that the next ones are told. Durable before they are.
    GateEscalated {
        /// The approval step.
        step: StepId,
        /// Which level of the chain, from 1.
        level: u32,
        /// Whom it is for.
        role: String,
        /// The channel that the message goes to; none: it is on record only.
        channel: Option<String>,
        /// When the level after it is due, or, after the last one, when the question lapses.
        respond_by: Option<Timestamp>,
    },
    /// The message of an escalation was sent, or could not be.
    GateNotified {
        /// The approval step.
        step: StepId,
        /// Which level of the chain.
        level: u32,
        /// Why it could not be sent.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        failure: Option<Failure>,
    },
    /// Nobody approved in time, and the run is left until somebody does.
    GateParked {
        /// The approval step.
        step: StepId,
    },
    /// The gate opened for the run.
    GateApproved {
        /// The approval step.
        step: StepId,
        /// What the votes were confirmed against at this moment: the plan that the files give now.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        confirmed: Option<Digest>,
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
    /// A reviewer sent the run back. Nothing new starts until the steps named are undone.
    RewindStarted {
        /// The approval step.
        step: StepId,
        /// The step to start again from.
        to: StepId,
        /// What will be undone, in an order that respects the dependencies.
        steps: Vec<StepId>,
    },
    /// Everything from `to` on is as if it had not run; it runs again.
    RewindFinished {
        /// The approval step.
        step: StepId,
        /// The step to start again from.
        to: StepId,
    },
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
    /// Somebody looked at an emergency run afterwards, which closes its obligation. The only event
    /// that may follow [`Self::RunFinished`].
    RunReviewed {
        /// Who.
        actor: Actor,
        /// Whether it was right.
        verdict: ReviewVerdict,
        /// Why.
        comment: String,
        /// What the reviewer signed.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        signed: Option<Box<SignedVote>>,
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
            Self::GateReadStarted { .. } => "gate_read_started",
            Self::GateRead { .. } => "gate_read",
            Self::GateSurveyed { .. } => "gate_surveyed",
            Self::GateHeld { .. } => "gate_held",
            Self::GateVoided { .. } => "gate_voided",
            Self::GateEscalated { .. } => "gate_escalated",
            Self::GateNotified { .. } => "gate_notified",
            Self::GateParked { .. } => "gate_parked",
            Self::GateApproved { .. } => "gate_approved",
            Self::GateRejected { .. } => "gate_rejected",
            Self::GateExpired { .. } => "gate_expired",
            Self::CancelRequested { .. } => "cancel_requested",
            Self::RunTimedOut => "run_timed_out",
            Self::RewindStarted { .. } => "rewind_started",
            Self::RewindFinished { .. } => "rewind_finished",
            Self::RollbackStarted { .. } => "rollback_started",
            Self::UndoStarted { .. } => "undo_started",
            Self::UndoSucceeded { .. } => "undo_succeeded",
            Self::UndoFailed { .. } => "undo_failed",
            Self::UndoRetryScheduled { .. } => "undo_retry_scheduled",
            Self::FinallyStarted => "finally_started",
            Self::RunFinished { .. } => "run_finished",
            Self::RunReviewed { .. } => "run_reviewed",
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
            | Self::GateReadStarted { step, .. }
            | Self::GateRead { step, .. }
            | Self::GateSurveyed { step, .. }
            | Self::GateHeld { step, .. }
            | Self::GateVoided { step, .. }
            | Self::GateEscalated { step, .. }
            | Self::GateNotified { step, .. }
            | Self::GateParked { step }
            | Self::GateApproved { step, .. }
            | Self::GateRejected { step }
            | Self::GateExpired { step }
            | Self::RewindStarted { step, .. }
            | Self::RewindFinished { step, .. }
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
            | Self::RunFinished { .. }
            | Self::RunReviewed { .. } => None,
        }
    }
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
    /// It is a `finally` step that changes something where changes need approval, and no gate of the
    /// run was passed.
    NotApproved,
}

/// One instance of a loop.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LoopInstance {
    /// What tells it from the others in ids: `restart[KEY]`.
    pub key: String,
    /// Its `item`.
    pub item: Value,
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
