//! The state of a run: the fold of its events. How each event changes it is in `transition`.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::index::{Index, step_at};
use super::verdict::CastVote;
use crate::base::{AttemptNo, Digest, EventSeq, RunId, StepId, Timestamp, Value};
use crate::event::{Actor, Failure, Outcome, RollbackCause, RollbackResult, RunStatus};
use crate::plan::{Plan, PlanRollback, PlanStep};

/// An event that cannot follow the events before it: the journal is damaged, or there is a bug.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("event {seq} `{event}`{} cannot happen here: {reason}", .step.as_ref().map(|s| format!(" of step `{s}`")).unwrap_or_default())]
pub struct IllegalTransition {
    /// Its position.
    pub seq: EventSeq,
    /// Its kind.
    pub event: &'static str,
    /// Its step.
    pub step: Option<StepId>,
    /// Why not.
    pub reason: String,
}

/// Which part of its life a run is in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    /// Not created yet.
    New,
    /// `steps` run; after a halt, running work ends.
    Forward,
    /// Completed steps are undone.
    RollingBack,
    /// `finally` steps run.
    Finally,
    /// Over.
    Finished,
}

/// Why nothing new starts in the forward part. The first cause decides what follows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Halt {
    /// A step failed for good.
    StepFailed {
        /// The step.
        step: StepId,
        /// Whether it asks for a rollback.
        rollback: bool,
    },
    /// A gate was rejected.
    Rejected {
        /// The approval step.
        step: StepId,
    },
    /// A gate was not approved in time.
    Expired {
        /// The approval step.
        step: StepId,
    },
    /// Somebody ended the run.
    Cancelled,
    /// The run's timeout passed.
    TimedOut,
    /// A `once` step may or may not have run; only a person can say.
    Interrupted {
        /// The step.
        step: StepId,
    },
}

/// How a step stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NodeStatus {
    /// Not its turn yet.
    Pending,
    /// Its handler is at work.
    Running,
    /// Between two polls of `until`.
    Polling {
        /// When the next poll is due.
        next_at: Timestamp,
    },
    /// Failed, to be tried again.
    Retrying {
        /// When; `None` until that is recorded.
        at: Option<Timestamp>,
    },
    /// A gate that waits.
    Gate {
        /// When the question lapses.
        expires_at: Option<Timestamp>,
    },
    /// Done.
    Succeeded,
    /// Will not run.
    Skipped,
    /// Failed for good.
    Failed,
    /// Failed for good, and the runbook tolerates it.
    Tolerated,
    /// May or may not have run.
    Interrupted,
}

/// How the undoing of a step stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Undo {
    /// Not to be undone.
    None,
    /// Its turn will come.
    Waiting,
    /// The undoing action is at work.
    Running,
    /// Failed, to be tried again.
    Retrying {
        /// When; `None` until that is recorded.
        at: Option<Timestamp>,
    },
    /// Undone.
    Done,
    /// Could not be undone.
    Failed,
}

/// All that is known of a step in a run.
#[derive(Debug, Clone, PartialEq)]
pub struct Node {
    /// How it stands.
    pub status: NodeStatus,
    /// The last attempt; 0 before the first.
    pub attempt: AttemptNo,
    /// How often the action was called in the last attempt.
    pub polls: u32,
    /// When the last attempt (or undo attempt) began.
    pub started_at: Option<Timestamp>,
    /// The rendered inputs of the last attempt.
    pub inputs: Value,
    /// Published outputs; null unless it succeeded.
    pub outputs: Value,
    /// Outputs of the last poll, for the message when time runs out.
    pub last_poll: Value,
    /// Duration of the last attempt in milliseconds.
    pub duration_ms: u64,
    /// Why the last attempt failed.
    pub failure: Option<Failure>,
    /// How its undoing stands.
    pub undo: Undo,
    /// The last attempt at the undo; 0 before the first.
    pub undo_attempt: AttemptNo,
    /// Whether the engine that ran it is gone.
    pub lost: bool,
    /// Votes, if it is a gate.
    pub votes: Vec<CastVote>,
}

/// An open gate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GateView {
    /// The approval step.
    pub step: StepId,
    /// What the approver is asked.
    pub message: String,
    /// When the question lapses.
    pub expires_at: Option<Timestamp>,
}

/// The state of a run. Equal event lists give equal states.
#[derive(Debug, Clone)]
pub struct RunState {
    pub(super) plan: Arc<Plan>,
    pub(super) index: Arc<Index>,
    pub(super) run: Option<RunId>,
    pub(super) last_seq: EventSeq,
    pub(super) plan_digest: Option<Digest>,
    pub(super) actor: Option<Actor>,
    pub(super) created_at: Timestamp,
    pub(super) phase: Phase,
    pub(super) halt: Option<Halt>,
    pub(super) nodes: Vec<Node>,
    /// Needs of a node that are not settled; in a rollback, dependents that are not released.
    pub(super) unmet: Vec<usize>,
    /// Pending nodes whose needs are settled.
    pub(super) ready: BTreeSet<usize>,
    /// Nodes that run, poll, wait to be retried or wait as gates.
    pub(super) active: BTreeSet<usize>,
    /// Nodes of the present phase that are not settled.
    pub(super) unsettled: usize,
    pub(super) undo_ready: BTreeSet<usize>,
    pub(super) undo_active: BTreeSet<usize>,
    pub(super) undo_left: usize,
    pub(super) undo_failed: bool,
    pub(super) rollback_cause: Option<RollbackCause>,
    pub(super) exceptions: bool,
    pub(super) open_gates: usize,
    pub(super) paused_since: Option<Timestamp>,
    pub(super) paused_ms: u64,
    pub(super) last_request: u64,
    /// Nodes whose fate is unknown.
    pub(super) interrupted: BTreeSet<usize>,
    pub(super) outcome: Option<Outcome>,
}

impl RunState {
    /// The state before the first event.
    ///
    /// # Errors
    /// `None` when the plan is damaged (a cycle, an unknown need, an id twice), which no checked plan is.
    pub fn new(plan: Arc<Plan>) -> Option<Self> {
        let index = Index::new(&plan)?;
        let node = Node {
            status: NodeStatus::Pending,
            attempt: AttemptNo(0),
            polls: 0,
            started_at: None,
            inputs: Value::Null,
            outputs: Value::Null,
            last_poll: Value::Null,
            duration_ms: 0,
            failure: None,
            undo: Undo::None,
            undo_attempt: AttemptNo(0),
            lost: false,
            votes: Vec::new(),
        };
        Some(Self {
            nodes: vec![node; index.len()],
            unmet: (0..index.len()).map(|n| index.dag.needs(n).len()).collect(),
            unsettled: index.main,
            plan,
            index: Arc::new(index),
            run: None,
            last_seq: EventSeq(0),
            plan_digest: None,
            actor: None,
            created_at: Timestamp::from_unix_millis(0),
            phase: Phase::New,
            halt: None,
            ready: BTreeSet::new(),
            active: BTreeSet::new(),
            undo_ready: BTreeSet::new(),
            undo_active: BTreeSet::new(),
            undo_left: 0,
            undo_failed: false,
            rollback_cause: None,
            exceptions: false,
            open_gates: 0,
            paused_since: None,
            paused_ms: 0,
            last_request: 0,
            interrupted: BTreeSet::new(),
            outcome: None,
        })
    }

    /// The plan it belongs to.
    pub fn plan(&self) -> &Arc<Plan> {
        &self.plan
    }

    /// The run's id; `None` before the first event.
    pub fn run(&self) -> Option<RunId> {
        self.run
    }

    /// The position of the last event.
    pub fn last_seq(&self) -> EventSeq {
        self.last_seq
    }

    /// When the run was created.
    pub fn created_at(&self) -> Timestamp {
        self.created_at
    }

    /// The plan's digest as the run recorded it.
    pub fn plan_digest(&self) -> Option<Digest> {
        self.plan_digest
    }

    /// Which part of its life it is in.
    pub fn phase(&self) -> Phase {
        self.phase
    }

    /// Why nothing new starts, if so.
    pub fn halt(&self) -> Option<&Halt> {
        self.halt.as_ref()
    }

    /// How it ended, once it has.
    pub fn outcome(&self) -> Option<Outcome> {
        self.outcome
    }

    /// The last request of the store that was applied.
    pub fn last_request(&self) -> u64 {
        self.last_request
    }

    /// What is known of a step.
    pub fn node(&self, id: &StepId) -> Option<&Node> {
        self.index.get(id).map(|i| &self.nodes[i])
    }

    /// A step of the plan, of `steps` or `finally`.
    pub fn plan_step(&self, id: &StepId) -> Option<&PlanStep> {
        self.index.get(id).map(|i| self.step(i))
    }

    /// Every step of the plan with what is known of it, `steps` first, then `finally`.
    pub fn nodes(&self) -> impl Iterator<Item = (&PlanStep, &Node)> {
        self.nodes
            .iter()
            .enumerate()
            .map(|(i, node)| (step_at(&self.plan, i), node))
    }

    /// The gates that wait, in file order.
    pub fn open_gates(&self) -> Vec<GateView> {
        self.active
            .iter()
            .filter_map(|&i| match self.nodes[i].status {
                NodeStatus::Gate { expires_at } => Some(GateView {
                    step: step_at(&self.plan, i).id.clone(),
                    message: self.nodes[i]
                        .inputs
                        .get("message")
                        .and_then(Value::as_str)
                        .unwrap_or_default()
                        .to_owned(),
                    expires_at,
                }),
                _ => None,
            })
            .collect()
    }

    /// Whether nothing can happen but by a vote or by time: only gates are open, and nothing is due to start.
    pub fn waits_only_for_gates(&self) -> bool {
        self.phase == Phase::Forward
            && self.halt.is_none()
            && self.open_gates > 0
            && self.open_gates == self.active.len()
            && self.ready.is_empty()
    }

    /// The step whose fate only a person can tell, when nothing else is at work or due: a `once` step
    /// that was under way when its engine died.
    pub fn interrupted(&self) -> Option<&StepId> {
        let first = *self.interrupted.first()?;
        let at_rest = !self.any_running()
            && match self.phase {
                Phase::Finally => self.active.is_empty() && self.ready.is_empty(),
                _ => true,
            };
        at_rest.then(|| &self.step(first).id)
    }

    /// Its standing, for lists.
    pub fn status(&self) -> RunStatus {
        match self.phase {
            Phase::New | Phase::Forward if self.halt.is_some() => RunStatus::Stopping,
            Phase::New | Phase::Forward if self.waits_only_for_gates() => RunStatus::Waiting,
            Phase::New | Phase::Forward => RunStatus::Running,
            Phase::RollingBack => RunStatus::RollingBack,
            Phase::Finally => RunStatus::Finishing,
            Phase::Finished => RunStatus::Finished,
        }
    }

    /// Steps whose undoing failed or was not tried, in file order.
    pub fn not_undone(&self) -> Vec<StepId> {
        self.nodes()
            .filter(|(_, node)| !matches!(node.undo, Undo::None | Undo::Done))
            .map(|(step, _)| step.id.clone())
            .collect()
    }

    /// What became of the rollback so far.
    pub fn rollback_result(&self) -> RollbackResult {
        match (&self.rollback_cause, self.undo_left) {
            (None, _) => RollbackResult::None,
            (Some(_), 0) => RollbackResult::Complete,
            (Some(_), _) => RollbackResult::Incomplete,
        }
    }

    /// How the run would end if it ended now.
    pub fn prospective_outcome(&self) -> Outcome {
        if self.rollback_result() == RollbackResult::Incomplete || !self.interrupted.is_empty() {
            return Outcome::Stuck;
        }
        match &self.halt {
            None if self.exceptions => Outcome::CompletedWithExceptions,
            None => Outcome::Succeeded,
            Some(Halt::Cancelled) => Outcome::Cancelled,
            Some(Halt::Rejected { .. }) => Outcome::Rejected,
            Some(Halt::Expired { .. }) => Outcome::Expired,
            Some(Halt::Interrupted { .. }) => Outcome::Stuck,
            Some(Halt::StepFailed { .. } | Halt::TimedOut) => match self.rollback_result() {
                RollbackResult::None => Outcome::Failed,
                _ => Outcome::RolledBack,
            },
        }
    }

    pub(super) fn step(&self, node: usize) -> &PlanStep {
        step_at(&self.plan, node)
    }

    /// Whether a handler is at work for a step of the present phase, or a poll is under way.
    pub(super) fn any_running(&self) -> bool {
        self.active.iter().any(|&i| {
            matches!(
                self.nodes[i].status,
                NodeStatus::Running | NodeStatus::Polling { .. }
            )
        })
    }

    /// Nodes that succeeded and say how to be undone, in an order that undoes dependents first.
    pub(super) fn undoable(&self) -> Vec<usize> {
        let mut order: Vec<usize> = self
            .index
            .dag
            .order()
            .iter()
            .copied()
            .filter(|&i| {
                !self.index.is_finally(i)
                    && self.nodes[i].status == NodeStatus::Succeeded
                    && matches!(self.step(i).rollback, Some(PlanRollback::Undo { .. }))
            })
            .collect();
        order.reverse();
        order
    }
}
