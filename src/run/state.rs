//! The state of a run: the fold of its events. How each event changes it is in `transition`, what can
//! be asked of it in `view`.

use std::cmp::Reverse;
use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use super::defs::{self, Defs};
use super::frame::{Cut, Frame, Progress, ROOT};
use super::node::{Doom, Halt, Node, NodeKind, NodeStatus, Phase, Stage, Undo};
use super::send_back::{Past, Rewind};
use crate::base::{AttemptNo, Digest, EventSeq, RunId, StepId, Timestamp, Value};
use crate::event::{Actor, Emergency, Outcome, RollbackCause};
use crate::model::Risk;
use crate::plan::{Plan, PlanPolicy, PlanStep};

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

/// The state of a run. Equal event lists give equal states.
///
/// The nodes of the run's own runbook are there from the start; those of a loop or of a sub-runbook
/// come when it is opened.
#[derive(Debug, Clone)]
pub struct RunState {
    pub(super) plan: Arc<Plan>,
    pub(super) defs: Arc<Defs>,
    pub(super) run: Option<RunId>,
    pub(super) last_seq: EventSeq,
    pub(super) plan_digest: Option<Digest>,
    pub(super) actor: Option<Actor>,
    /// Who started it, and whom it was started for.
    pub(super) starters: Vec<String>,
    /// The person who changed the runbook last.
    pub(super) author: Option<String>,
    pub(super) emergency: Option<Emergency>,
    /// Whether somebody looked at the emergency run afterwards.
    pub(super) reviewed: bool,
    /// The policy that replaced the plan's.
    pub(super) later_policy: Option<Box<PlanPolicy>>,
    /// How often the policy in force was replaced.
    pub(super) policies: u32,
    /// Whom the policy in force does not let vote.
    pub(super) excluded: BTreeSet<String>,
    /// The last round of every gate that was ever open, so that a gate that opens again begins a new one.
    pub(super) rounds: HashMap<StepId, u32>,
    /// The highest risk of the gates that were approved.
    pub(super) approved: Option<Risk>,
    pub(super) created_at: Timestamp,
    /// When the event that is being applied was recorded.
    pub(super) clock: Timestamp,
    pub(super) phase: Phase,
    pub(super) halt: Option<Halt>,
    pub(super) nodes: Vec<Node>,
    /// Nodes below the first level, by id; those of the first level are where their definition is.
    pub(super) nested: HashMap<StepId, usize>,
    pub(super) frames: Vec<Frame>,
    /// Nodes whose turn has come: the deepest first, so that what is open ends before more is opened.
    pub(super) ready: BTreeSet<(Reverse<usize>, usize)>,
    /// Nodes that run, poll, wait to be tried again or wait as gates.
    pub(super) active: BTreeSet<usize>,
    /// Loops and sub-runbooks that are open.
    pub(super) open: BTreeSet<usize>,
    /// Those of them whose children have all ended, so that their own end is to be recorded.
    pub(super) ending: BTreeSet<usize>,
    /// Frames that failed and hold children whose turn will not come any more.
    pub(super) sweeps: BTreeSet<usize>,
    /// Frames to be looked at when the event is folded in.
    pub(super) touched: Vec<usize>,
    /// Frames whose `finally` must still run at the end, in the order of opening.
    pub(super) owed: BTreeSet<usize>,
    /// Of them, the one whose `finally` runs now.
    pub(super) cleaning: Option<usize>,
    pub(super) undo_ready: BTreeSet<usize>,
    pub(super) undo_active: BTreeSet<usize>,
    pub(super) undo_left: usize,
    pub(super) undo_failed: bool,
    pub(super) rollback_cause: Option<RollbackCause>,
    pub(super) exceptions: bool,
    /// The rewind that is under way.
    pub(super) rewind: Option<Rewind>,
    /// Of steps that a rewind took back, by id: those in loops and sub-runbooks are made again.
    pub(super) past: HashMap<StepId, Past>,
    pub(super) open_gates: usize,
    pub(super) paused_since: Option<Timestamp>,
    pub(super) paused_ms: u64,
    pub(super) last_request: u64,
    /// Nodes whose fate is unknown.
    pub(super) interrupted: BTreeSet<usize>,
    /// When everything of `steps` and `verify` had ended.
    pub(super) recovered_at: Option<Timestamp>,
    pub(super) outcome: Option<Outcome>,
}

impl RunState {
    /// The state before the first event.
    ///
    /// # Errors
    /// `None` when the plan is damaged (a cycle, an unknown need, an id twice), which no checked plan is.
    pub fn new(plan: Arc<Plan>) -> Option<Self> {
        let start = Timestamp::from_unix_millis(0);
        let mut state = Self {
            defs: Arc::new(Defs::new(&plan)?),
            plan,
            run: None,
            last_seq: EventSeq(0),
            plan_digest: None,
            actor: None,
            starters: Vec::new(),
            author: None,
            emergency: None,
            reviewed: false,
            later_policy: None,
            policies: 0,
            excluded: BTreeSet::new(),
            rounds: HashMap::new(),
            approved: None,
            created_at: start,
            clock: start,
            phase: Phase::New,
            halt: None,
            nodes: Vec::new(),
            nested: HashMap::new(),
            frames: Vec::new(),
            ready: BTreeSet::new(),
            active: BTreeSet::new(),
            open: BTreeSet::new(),
            ending: BTreeSet::new(),
            sweeps: BTreeSet::new(),
            touched: Vec::new(),
            owed: BTreeSet::new(),
            cleaning: None,
            undo_ready: BTreeSet::new(),
            undo_active: BTreeSet::new(),
            undo_left: 0,
            undo_failed: false,
            rollback_cause: None,
            exceptions: false,
            rewind: None,
            past: HashMap::new(),
            open_gates: 0,
            paused_since: None,
            paused_ms: 0,
            last_request: 0,
            interrupted: BTreeSet::new(),
            recovered_at: None,
            outcome: None,
        };
        state.add_body(None, defs::ROOT);
        Some(state)
    }

    /// Makes the children of the run or of a calling step.
    pub(super) fn add_body(&mut self, caller: Option<usize>, body: usize) -> usize {
        let defs = Arc::clone(&self.defs);
        let plan = Arc::clone(&self.plan);
        let shape = defs.body(body);
        let frame = self.add_frame(caller, Some(body), shape.len());
        self.frames[frame].waiting = shape.stage(Stage::Finally).start;
        self.nodes.reserve(shape.len());
        for local in 0..shape.len() {
            let def = shape.first + local;
            let step = defs.step(&plan, def);
            let mut node = self.blank(frame, def, step);
            node.stage = shape.stage_of(local);
            node.unmet = shape.dag.needs(local).len();
            if let Some(caller) = caller {
                node.id = self.nodes[caller].id.inside(&step.id);
                self.nested.insert(node.id.clone(), self.nodes.len());
            }
            let node = self.recall(node);
            self.nodes.push(node);
        }
        frame
    }

    /// Makes the instances of a loop; their ids are spelled well and differ.
    pub(super) fn add_instances(&mut self, node: usize, items: Vec<(StepId, Value)>) -> usize {
        let frame = self.add_frame(Some(node), None, items.len());
        self.frames[frame].waiting = items.len();
        let plan = Arc::clone(&self.plan);
        let defs = Arc::clone(&self.defs);
        let def = self.nodes[node].def;
        let step = defs.step(&plan, def);
        for (index, (id, item)) in items.into_iter().enumerate() {
            let instance = Node {
                kind: match step.block {
                    Some(_) => NodeKind::Block,
                    None => NodeKind::Step,
                },
                item: Some((index, item)),
                id,
                ..self.blank(frame, def, step)
            };
            self.nested.insert(instance.id.clone(), self.nodes.len());
            let instance = self.recall(instance);
            self.nodes.push(instance);
        }
        frame
    }

    fn add_frame(&mut self, node: Option<usize>, body: Option<usize>, len: usize) -> usize {
        let now = match self.paused_since {
            Some(since) => super::transition::millis(self.clock.since(since)),
            None => 0,
        };
        let frame = self.frames.len();
        self.frames.push(Frame {
            node,
            first: self.nodes.len(),
            len,
            body,
            at: Progress::Over,
            unsettled: 0,
            at_work: 0,
            waiting: 0,
            cut: None,
            stop: false,
            run_ends: false,
            launched: 0,
            settled: 0,
            failures: 0,
            unreleased: 0,
            paused_before: self.paused_ms + now,
        });
        if let Some(node) = node {
            self.nodes[node].opened = Some(frame);
        }
        frame
    }

    pub(super) fn blank(&self, frame: usize, def: usize, step: &PlanStep) -> Node {
        let depth = match self.frames[frame].node {
            Some(parent) => self.nodes[parent].depth + 1,
            None => 0,
        };
        Node {
            id: step.id.clone(),
            kind: match (&step.for_each, &step.block) {
                (Some(_), _) => NodeKind::Loop,
                (None, Some(_)) => NodeKind::Block,
                (None, None) => NodeKind::Step,
            },
            stage: Stage::Steps,
            depth,
            item: None,
            status: NodeStatus::Pending,
            probed: false,
            attempt: AttemptNo(0),
            polls: 0,
            started_at: None,
            inputs: Value::Null,
            idempotency_key: None,
            outputs: Value::Null,
            last_poll: Value::Null,
            duration_ms: 0,
            failure: None,
            undo: Undo::None,
            undo_attempt: AttemptNo(0),
            lost: false,
            votes: Vec::new(),
            gate: None,
            past: Past::default(),
            def,
            frame,
            opened: None,
            unmet: 0,
            doom: Doom::Open,
            undo_below: false,
        }
    }

    /// The node of a step that exists in the run.
    pub(super) fn get(&self, id: &StepId) -> Option<usize> {
        match self.nested.get(id) {
            Some(&node) => Some(node),
            None => self.defs.body(defs::ROOT).get(id.as_str()),
        }
    }

    pub(super) fn step(&self, node: usize) -> &PlanStep {
        self.defs.step(&self.plan, self.nodes[node].def)
    }

    pub(super) fn frame_of(&self, node: usize) -> &Frame {
        &self.frames[self.nodes[node].frame]
    }

    pub(super) fn ready_key(&self, node: usize) -> (Reverse<usize>, usize) {
        (Reverse(self.nodes[node].depth), node)
    }

    pub(super) fn is_ready(&self, node: usize) -> bool {
        self.ready.contains(&self.ready_key(node))
    }

    pub(super) fn root(&self) -> &Frame {
        &self.frames[ROOT]
    }

    /// Why a step may not start anything any more, if what it is a part of was ended. A `finally` that
    /// has begun runs to its end whatever happens.
    pub(super) fn cut_of(&self, node: usize) -> Option<Cut> {
        match self.nodes[node].stage {
            Stage::Finally => None,
            Stage::Steps | Stage::Verify => self.frame_of(node).cut,
        }
    }

    /// Whether nothing may be started because a step's fate is unknown. At the end the other
    /// `finally` steps may.
    pub(super) fn waits_for_a_word(&self) -> bool {
        self.phase == Phase::Forward && matches!(self.halt, Some(Halt::Interrupted { .. }))
    }
}
