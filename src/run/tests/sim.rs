//! A driver without I/O: a virtual clock, scripted handlers, a seeded choice of who ends next.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};

use crate::base::{Digest, ErrorChain, EventSeq, HumanDuration, RunId, StepId, Timestamp};
use crate::event::{Actor, Ballot, Difference, EventKind, Failure, FailureKind, RunEvent, Vote};
use crate::model::{Backoff, Effect, OnCancel, OnFailure, Risk, StepOnFailure};
use crate::plan::{
    Expr, PLAN_FORMAT, Plan, PlanAction, PlanEnvironment, PlanRetry, PlanRollback, PlanRunbook,
    PlanStep,
};
use crate::run::{CallKind, Command, Finished, Limits, RunState, Target, decide, settle};

pub(super) fn id(text: &str) -> StepId {
    StepId::parse(text).expect("a valid id")
}

pub(crate) fn action(uses: &str, effect: Effect) -> PlanAction {
    PlanAction {
        uses: uses.to_owned(),
        with: Expr::Value(json!({})),
        effect,
    }
}

pub(crate) fn step(name: &str, needs: &[&str]) -> PlanStep {
    PlanStep {
        gate: None,
        id: id(name),
        name: None,
        line: 1,
        action: action("test", Effect::Idempotent),
        needs: needs.iter().map(|n| id(n)).collect(),
        block: None,
        for_each: None,
        unless: None,
        idempotency_key: None,
        when: None,
        until: None,
        every: HumanDuration(Duration::from_secs(1)),
        retry: None,
        timeout: None,
        on_failure: StepOnFailure::Rollback,
        verify: None,
        rollback: None,
        outputs: BTreeMap::new(),
    }
}

pub(super) fn undo() -> Option<PlanRollback> {
    Some(PlanRollback::Undo {
        action: action("undo", Effect::Idempotent),
        retry: None,
        timeout: None,
    })
}

pub(super) fn retry(attempts: u32) -> Option<PlanRetry> {
    Some(PlanRetry {
        attempts,
        delay: HumanDuration(Duration::from_secs(1)),
        backoff: Backoff::Constant,
        max_delay: HumanDuration(Duration::from_secs(60)),
        jitter: 0.0,
        on: vec![],
    })
}

pub(crate) fn gate(name: &str, needs: &[&str]) -> PlanStep {
    PlanStep {
        action: PlanAction {
            with: Expr::Value(json!({ "message": "go on?" })),
            ..action("approval", Effect::Read)
        },
        ..step(name, needs)
    }
}

pub(crate) fn plan(steps: Vec<PlanStep>, finally: Vec<PlanStep>) -> Plan {
    Plan {
        policy: None,
        format: PLAN_FORMAT,
        runbook: PlanRunbook {
            name: "test".into(),
            title: None,
            owner: None,
            file: "test.yaml".into(),
            source: None,
            severity: None,
            risk: Risk::Low,
            rto: None,
            rpo: None,
        },
        environment: PlanEnvironment::default(),
        params: BTreeMap::new(),
        on_failure: OnFailure::Rollback,
        on_cancel: OnCancel::Stop,
        timeout: None,
        steps,
        verify: Vec::new(),
        finally,
        secrets: BTreeMap::new(),
        outputs: BTreeMap::new(),
        action_outputs: BTreeMap::new(),
    }
}

pub(super) fn actor() -> Actor {
    Actor {
        name: "ana".into(),
        host: "h".into(),
        verified: false,
    }
}

pub(super) fn person(name: &str) -> Actor {
    Actor {
        name: name.into(),
        host: "h".into(),
        verified: true,
    }
}

pub(super) fn created() -> EventKind {
    EventKind::RunCreated {
        runbook: "test".into(),
        environment: "local".into(),
        plan_digest: digest(),
        actor: actor(),
        version: "0".into(),
        on_behalf_of: None,
        changed_by: None,
        emergency: None,
    }
}

pub(super) fn digest() -> Digest {
    Digest::of_bytes(b"plan")
}

pub(super) fn failure(sort: FailureKind) -> Failure {
    Failure {
        sort,
        error: ErrorChain::new("scripted"),
        hint: None,
        log_tail: vec![],
    }
}

/// What a scripted handler does, by step and whether its undo is meant.
pub(super) type Script<'a> = dyn Fn(&StepId, bool, u32) -> Result<Value, Failure> + 'a;

/// Chooses which of so many running calls ends next.
pub(super) type Chooser<'a> = dyn FnMut(usize) -> usize + 'a;

pub(super) struct Sim {
    pub(super) state: RunState,
    pub(super) events: Vec<RunEvent>,
    pub(super) now: Timestamp,
    pub(super) limits: Limits,
    pub(super) running: Vec<(Target, bool)>,
    pub(super) most_running: usize,
    /// What reading the files again gives; `None`: what they gave before.
    pub(super) files: Option<Files>,
}

/// What reading the files again gives.
#[derive(Debug, Clone)]
pub(super) struct Files {
    pub(super) plan_digest: Option<Digest>,
    pub(super) differences: Vec<Difference>,
    pub(super) policy: Value,
}

impl Sim {
    pub(super) fn new(plan: Plan, max_parallel: usize) -> Self {
        Self::created(plan, max_parallel, created())
    }

    pub(super) fn created(plan: Plan, max_parallel: usize, first: EventKind) -> Self {
        let mut sim = Self {
            state: RunState::new(Arc::new(plan)).expect("a sound plan"),
            events: vec![],
            now: Timestamp::from_unix_millis(1_000_000),
            limits: Limits { max_parallel },
            running: vec![],
            most_running: 0,
            files: None,
        };
        sim.record(first);
        sim
    }

    /// The run as another process finds it after a crash: only these events are known.
    pub(super) fn resumed(plan: Plan, max_parallel: usize, events: &[RunEvent]) -> Self {
        let mut sim = Self {
            state: RunState::new(Arc::new(plan)).expect("a sound plan"),
            events: events.to_vec(),
            now: events.last().expect("created").at,
            limits: Limits { max_parallel },
            running: vec![],
            most_running: 0,
            files: None,
        };
        for event in events {
            sim.state.apply(event).expect("a legal event");
        }
        sim.record(EventKind::RunResumed {
            actor: actor(),
            version: "0".into(),
        });
        sim
    }

    pub(super) fn record(&mut self, event: EventKind) {
        let event = RunEvent {
            run: RunId::from_parts(1, 1),
            seq: EventSeq(self.events.len() as u64 + 1),
            at: self.now,
            event,
        };
        self.state.apply(&event).expect("a legal event");
        self.events.push(event);
    }

    pub(super) fn vote(&mut self, step: &str, vote: Vote) {
        let ballot = Ballot::plain(vote, digest(), None);
        self.record(ballot.cast(id(step), actor(), None));
    }

    /// A vote of a verified person in the present round.
    pub(super) fn vote_of(&mut self, step: &str, who: &str, vote: Vote) {
        let open = self.state.electorate(&id(step)).expect("an open gate");
        let ballot = Ballot {
            round: open.round,
            ..Ballot::plain(vote, digest(), None)
        };
        self.cast(step, who, ballot);
    }

    pub(super) fn cast(&mut self, step: &str, who: &str, ballot: Ballot) {
        self.record(ballot.cast(id(step), person(who), None));
    }

    pub(super) fn cancel(&mut self) {
        self.record(EventKind::CancelRequested {
            actor: actor(),
            reason: None,
            request: None,
        });
    }

    /// Decides to the fixpoint, as the driver does. Gives the time to wake.
    pub(super) fn settle_decisions(&mut self) -> Option<Timestamp> {
        loop {
            let mut wake = None;
            let mut recorded = false;
            for command in decide(&self.state, self.limits, self.now) {
                match command {
                    Command::Record(event) => {
                        self.record(event);
                        recorded = true;
                    }
                    Command::Call { target, intent, .. } => {
                        self.record(intent);
                        recorded = true;
                        self.running.push((target, false));
                    }
                    Command::Stop { target } => {
                        for (running, stopped) in &mut self.running {
                            *stopped |= *running == target;
                        }
                    }
                    Command::Survey { gate } => {
                        let files = self.files.clone().unwrap_or(Files {
                            plan_digest: Some(digest()),
                            differences: vec![],
                            policy: Value::Null,
                        });
                        self.record(EventKind::GateSurveyed {
                            step: gate,
                            plan_digest: files.plan_digest,
                            differences: files.differences,
                            policy: files.policy,
                        });
                        recorded = true;
                    }
                    Command::WakeAt(at) => wake = Some(at),
                }
            }
            self.most_running = self.most_running.max(self.running.len());
            if !recorded {
                return wake;
            }
        }
    }

    pub(super) fn finish(&mut self, at: usize, result: Result<Value, Failure>) {
        let (target, stopped) = self.running.remove(at);
        let result = if stopped {
            Err(failure(FailureKind::Cancelled))
        } else {
            result
        };
        // What was asked for a gate is of no interest any more when the gate is closed.
        let for_gate = matches!(target.call, CallKind::Read(_) | CallKind::Notice(_));
        let finished = Finished {
            target,
            result,
            log: None,
        };
        match settle(&self.state, finished, self.now) {
            Some(event) => self.record(event),
            None => assert!(for_gate, "not at work"),
        }
    }

    pub(super) fn advance(&mut self, seconds: u64) {
        self.now = self.now.plus(Duration::from_secs(seconds));
    }

    /// Runs until nothing moves any more without a vote.
    pub(super) fn run(&mut self, script: &Script<'_>, choose: &mut Chooser<'_>) {
        for _ in 0..10_000 {
            let wake = self.settle_decisions();
            if !self.running.is_empty() {
                let at = choose(self.running.len());
                let (target, _) = &self.running[at];
                let node = self.state.node(&target.step).expect("known");
                let attempt = if target.call == CallKind::Undo {
                    node.undo_attempt.0
                } else {
                    node.attempt.0
                };
                let result = script(&target.step, target.call == CallKind::Undo, attempt);
                self.finish(at, result);
            } else if let Some(wake) = wake {
                self.now = wake;
            } else {
                return;
            }
        }
        panic!("the run does not end");
    }

    /// The story in short words: `+a` started, `-a` undo started, `~a` skipped, `?a` gate.
    pub(super) fn story(&self) -> Vec<String> {
        self.events
            .iter()
            .filter_map(|e| match &e.event {
                EventKind::StepStarted { step, .. } => Some(format!("+{step}")),
                EventKind::UndoStarted { step, .. } => Some(format!("-{step}")),
                EventKind::StepSkipped { step, .. } => Some(format!("~{step}")),
                EventKind::GateOpened { step, .. } => Some(format!("?{step}")),
                EventKind::RunFinished { outcome, .. } => Some(outcome.as_str().to_owned()),
                _ => None,
            })
            .collect()
    }
}
