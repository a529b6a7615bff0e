//! What can be asked of a run's state.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::decide::{CallKind, Target};
use super::frame::Progress;
use super::node::{Halt, Node, NodeStatus, Phase, Stage, Undo};
use super::policy::Hold;
use super::state::RunState;
use crate::base::{Digest, EventSeq, RunId, StepId, Timestamp, Value};
use crate::event::{Emergency, Outcome, RollbackResult, RunStatus};
use crate::model::Risk;
use crate::plan::{Plan, PlanGateInput, PlanRollback, PlanStep};

/// The action that sends the messages of the escalation chain.
const NOTIFY: &str = "notify";

/// An open gate.
#[derive(Debug, Clone, PartialEq)]
pub struct GateView {
    /// The approval step.
    pub step: StepId,
    /// What the approver is asked.
    pub message: String,
    /// When the question lapses.
    pub expires_at: Option<Timestamp>,
    /// Which round of votes it is in, from 1.
    pub round: u32,
    /// Which rule of the policy it is subject to.
    pub risk: Risk,
    /// When it opened.
    pub opened_at: Timestamp,
    /// What is to be filled in, by name.
    pub inputs: BTreeMap<String, PlanGateInput>,
    /// The level of the escalation chain that is told next, its role, and when.
    pub next_escalation: Option<(u32, String, Timestamp)>,
    /// What keeps it closed although its votes suffice.
    pub held: Option<Hold>,
    /// Whether the question lapsed and it waits without a limit.
    pub parked: bool,
}

impl RunState {
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

    /// What is known of a step, by its full id; `None` while what it is a part of is not open yet.
    pub fn node(&self, id: &StepId) -> Option<&Node> {
        self.get(id).map(|i| &self.nodes[i])
    }

    /// A step of the plan or of one of its sub-runbooks by its full id, whether or not it exists in
    /// the run yet.
    pub fn plan_step(&self, id: &StepId) -> Option<&PlanStep> {
        self.defs
            .find(id)
            .map(|def| self.defs.step(&self.plan, def))
    }

    /// The name of the action that a call is of.
    pub fn uses_of(&self, target: &Target) -> Option<&str> {
        let step = self.plan_step(&target.step)?;
        let action = match target.call {
            CallKind::Action => &step.action,
            CallKind::Probe => step.unless.as_ref()?.probe.as_ref()?,
            CallKind::Undo => match &step.rollback {
                Some(PlanRollback::Undo { action, .. }) => action,
                _ => return None,
            },
            CallKind::Read(n) => {
                let read = self.read_of(self.get(&target.step)?, n)?;
                &self.step(read).action
            }
            CallKind::Notice(_) => return Some(NOTIFY),
        };
        Some(&action.uses)
    }

    /// Every step that exists so far with what is known of it: `steps` first, then `verify`, then
    /// `finally`, each followed directly by its own instances or steps.
    pub fn nodes(&self) -> impl Iterator<Item = (&PlanStep, &Node)> {
        let mut rest = vec![self.root().children()];
        std::iter::from_fn(move || {
            loop {
                let Some(i) = rest.last_mut()?.next() else {
                    rest.pop();
                    continue;
                };
                let node = &self.nodes[i];
                rest.extend(node.opened.map(|frame| self.frames[frame].children()));
                return Some((self.step(i), node));
            }
        })
    }

    /// The gates that wait, in the order of their steps.
    pub fn open_gates(&self) -> Vec<GateView> {
        self.active
            .iter()
            .filter_map(|&i| match self.nodes[i].status {
                NodeStatus::Gate { expires_at } => self.gate_view(i, expires_at),
                _ => None,
            })
            .collect()
    }

    fn gate_view(&self, i: usize, expires_at: Option<Timestamp>) -> Option<GateView> {
        let node = &self.nodes[i];
        let gate = node.gate.as_deref()?;
        let message = node.inputs.get("message").and_then(Value::as_str);
        let next = || {
            let level = gate.level as usize;
            let chain = &self.policy()?.escalation;
            let at = match (gate.late, gate.parked) {
                (_, true) => return None,
                (true, _) => gate.respond_by?,
                _ => *gate.due.get(level)?,
            };
            Some((gate.level + 1, chain.get(level)?.role.clone(), at))
        };
        Some(GateView {
            step: node.id.clone(),
            message: message.unwrap_or_default().to_owned(),
            expires_at,
            round: gate.round,
            risk: self.risk_of(i),
            opened_at: gate.opened_at,
            inputs: self
                .asks(i)
                .map_or_else(BTreeMap::new, |ask| ask.inputs.clone()),
            next_escalation: next(),
            held: gate.held.clone(),
            parked: gate.parked,
        })
    }

    /// How many `read` steps are being asked again.
    pub(super) fn reads_under_way(&self) -> usize {
        if self.open_gates == 0 {
            return 0;
        }
        let gates = self
            .active
            .iter()
            .filter_map(|&i| self.nodes[i].gate.as_deref());
        gates.map(|gate| gate.reading().count()).sum()
    }

    /// Who answers for the run: who started it, and whom it was started for.
    pub fn starters(&self) -> impl Iterator<Item = &str> {
        self.starters.iter().map(String::as_str)
    }

    /// Why its gates are passed without approval, if they are.
    pub fn emergency(&self) -> Option<&Emergency> {
        self.emergency.as_ref()
    }

    /// Whether somebody looked at the emergency run afterwards.
    pub fn is_reviewed(&self) -> bool {
        self.reviewed
    }

    /// Whether nothing can happen but by a vote or by time: only gates are open, nothing is due to
    /// start, and nothing is being asked or sent for them. As of the last event.
    pub fn waits_only_for_gates(&self) -> bool {
        self.phase == Phase::Forward
            && self.halt.is_none()
            && self.rewind.is_none()
            && self.open_gates > 0
            && self.open_gates == self.active.len()
            && self.ready.is_empty()
            && self.active.iter().all(|&i| self.is_gate_quiet(i))
    }

    /// The step whose fate only a person can tell, when nothing else is at work or due: a `once` step
    /// that was under way when its engine died.
    pub fn interrupted(&self) -> Option<&StepId> {
        let first = *self.interrupted.first()?;
        let at_rest = match self.phase {
            Phase::Finally => self.is_still(),
            _ => !self.any_running(),
        };
        at_rest.then(|| &self.nodes[first].id)
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

    /// Steps whose undoing failed or was not tried, in the order of [`Self::nodes`].
    pub fn not_undone(&self) -> Vec<StepId> {
        self.nodes()
            .filter(|(_, node)| !matches!(node.undo, Undo::None | Undo::Done))
            .map(|(_, node)| node.id.clone())
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
            Some(Halt::Interrupted { .. } | Halt::NotUndone { .. }) => Outcome::Stuck,
            Some(Halt::StepFailed { .. } | Halt::TimedOut) => match self.rollback_result() {
                RollbackResult::None => Outcome::Failed,
                _ => Outcome::RolledBack,
            },
        }
    }

    /// From the run's creation to the moment when `steps` and `verify` had ended; `None` while they
    /// have not, and when the run was ended before.
    pub fn recovery(&self) -> Option<std::time::Duration> {
        match self.halt {
            None => Some(self.recovered_at?.since(self.created_at)),
            Some(_) => None,
        }
    }

    /// Whether a handler is at work for a step of the present phase.
    pub(super) fn any_running(&self) -> bool {
        self.active.iter().any(|&i| {
            let node = &self.nodes[i];
            let calls = matches!(node.status, NodeStatus::Running | NodeStatus::Probing);
            calls && !node.lost
        })
    }

    /// Whether nothing is at work or due, so that only an unknown fate can hold the run up.
    pub(super) fn is_still(&self) -> bool {
        self.active.is_empty() && self.ready.is_empty() && self.ending.is_empty()
    }

    /// Whether everything of `steps` and `verify` has ended, or was ended.
    pub(super) fn forward_over(&self) -> bool {
        !matches!(
            self.root().at,
            Progress::In(Stage::Steps) | Progress::In(Stage::Verify)
        )
    }
}
