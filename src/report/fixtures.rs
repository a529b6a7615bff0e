//! Plans and event streams as the engine would make them, for the tests of this room.

use std::time::Duration;

use serde_json::json;

use crate::base::{
    AttemptNo, Digest, ErrorChain, EventSeq, HumanDuration, Map, RunId, StepId, Timestamp, Value,
};
use crate::event::{
    Actor, EventKind, Failure, FailureKind, LogRef, Outcome, RollbackCause, RollbackResult,
    RunEvent, SkipReason, Vote,
};
use crate::model::{
    Backoff, Effect, Escape, OnCancel, OnFailure, Risk, RunbookSeverity, StepOnFailure, Ty,
};
use crate::plan::{
    Expr, PLAN_FORMAT, Plan, PlanAction, PlanEnvironment, PlanParam, PlanRetry, PlanRollback,
    PlanRunbook, PlanStep,
};
use crate::store::RunRecord;

/// 2026-11-23T03:00:00Z.
pub(crate) const START: i64 = 1_795_402_800_000;

pub(crate) fn id(text: &str) -> StepId {
    StepId::parse(text).expect("a valid id")
}

pub(crate) fn seconds(n: u64) -> HumanDuration {
    HumanDuration(Duration::from_secs(n))
}

pub(crate) fn run_id() -> RunId {
    RunId::from_parts(START as u64, 0x1234_5678_9abc_def0_1234)
}

pub(crate) fn actor() -> Actor {
    Actor {
        name: "maria".to_owned(),
        host: "ops1".to_owned(),
        verified: false,
    }
}

pub(crate) fn template(text: &str) -> Expr {
    Expr::Template {
        text: text.to_owned(),
        escape: Escape::None,
    }
}

pub(crate) fn action(uses: &str, effect: Effect, with: &[(&str, Expr)]) -> PlanAction {
    PlanAction {
        uses: uses.to_owned(),
        with: Expr::Map(
            with.iter()
                .map(|(key, expr)| ((*key).to_owned(), expr.clone()))
                .collect(),
        ),
        effect,
    }
}

pub(crate) fn step(name: &str, uses: &str, needs: &[&str]) -> PlanStep {
    PlanStep {
        gate: None,
        id: id(name),
        name: None,
        line: 1,
        action: action(uses, Effect::Idempotent, &[]),
        needs: needs.iter().map(|need| id(need)).collect(),
        block: None,
        for_each: None,
        unless: None,
        idempotency_key: None,
        when: None,
        until: None,
        every: seconds(1),
        retry: None,
        timeout: None,
        on_failure: StepOnFailure::Rollback,
        verify: None,
        rollback: None,
        outputs: Default::default(),
    }
}

pub(crate) fn plan_of(steps: Vec<PlanStep>) -> Plan {
    Plan {
        policy: None,
        format: PLAN_FORMAT,
        runbook: PlanRunbook {
            name: "demo".to_owned(),
            title: None,
            owner: None,
            file: "runbooks/demo.yaml".to_owned(),
            source: None,
            severity: None,
            risk: Risk::Low,
            rto: None,
            rpo: None,
        },
        environment: PlanEnvironment {
            name: "local".to_owned(),
            ..PlanEnvironment::default()
        },
        params: Default::default(),
        on_failure: OnFailure::Rollback,
        on_cancel: OnCancel::Stop,
        timeout: None,
        steps,
        verify: Vec::new(),
        finally: Vec::new(),
        secrets: Default::default(),
        outputs: Default::default(),
        action_outputs: std::collections::BTreeMap::new(),
    }
}

/// The example of the language: restart a service and prove it healthy.
pub(crate) fn restart_plan() -> Plan {
    let service = || Expr::Value(json!("api"));
    let mut before = step("before", "service.status", &[]);
    before.name = Some("Record the state before touching it".to_owned());
    before.action = action("service.status", Effect::Read, &[("service", service())]);
    let mut go = step("go", "approval", &["before"]);
    go.action = action(
        "approval",
        Effect::Read,
        &[(
            "message",
            template("Restart api (up since {{ steps.before.outputs.started_at }})"),
        )],
    );
    go.timeout = Some(seconds(3600));
    let mut drain = step("drain", "service.drain", &["go"]);
    drain.name = Some("Let open requests end".to_owned());
    drain.when = Some("steps.before.outputs.running".to_owned());
    drain.on_failure = StepOnFailure::Continue;
    drain.action = action(
        "service.drain",
        Effect::Idempotent,
        &[("service", service())],
    );
    let mut restart = step("restart", "service.restart", &["drain"]);
    restart.name = Some("Restart the service".to_owned());
    restart.action = action(
        "service.restart",
        Effect::Idempotent,
        &[("service", service()), ("grace", Expr::Value(json!("10s")))],
    );
    restart.timeout = Some(seconds(120));
    restart.retry = Some(PlanRetry {
        attempts: 3,
        delay: seconds(2),
        backoff: Backoff::Exponential,
        max_delay: seconds(30),
        jitter: 0.0,
        on: Vec::new(),
    });
    restart.rollback = Some(PlanRollback::Undo {
        action: action(
            "service.start",
            Effect::Idempotent,
            &[("service", service())],
        ),
        retry: None,
        timeout: None,
    });
    let mut healthy = step("healthy", "service.health", &["restart"]);
    healthy.name = Some("Wait until it answers".to_owned());
    healthy.action = action("service.health", Effect::Read, &[("service", service())]);
    healthy.until = Some("outputs.healthy && outputs.latency < duration(\"2s\")".to_owned());
    healthy.timeout = Some(seconds(60));
    let mut tell = step("tell", "notify", &[]);
    tell.action = action(
        "notify",
        Effect::Once,
        &[
            ("channel", Expr::Value(json!("ops"))),
            ("message", template("{{ run.runbook }}: {{ run.outcome }}")),
        ],
    );
    tell.rollback = Some(PlanRollback::Irreversible {
        reason: "a message cannot be unsent".to_owned(),
    });
    let mut plan = plan_of(vec![before, go, drain, restart, healthy]);
    plan.runbook.name = "service-restart".to_owned();
    plan.runbook.title = Some("Restart a service and prove it healthy".to_owned());
    plan.runbook.owner = Some("platform-team".to_owned());
    plan.runbook.severity = Some(RunbookSeverity::P2);
    plan.runbook.risk = Risk::Medium;
    plan.runbook.rto = Some(seconds(300));
    plan.timeout = Some(seconds(900));
    plan.finally = vec![tell];
    plan.params = [
        (
            "service".to_owned(),
            PlanParam {
                ty: Ty::Service,
                value: json!("api"),
            },
        ),
        (
            "grace".to_owned(),
            PlanParam {
                ty: Ty::Duration,
                value: json!("10s"),
            },
        ),
    ]
    .into();
    plan.outputs = [(
        "healthy_after".to_owned(),
        template("{{ steps.healthy.duration }}"),
    )]
    .into();
    plan
}

/// A writer of event streams: each event a given time after the one before.
pub(crate) struct Story {
    pub(crate) events: Vec<RunEvent>,
    at: Timestamp,
}

impl Story {
    pub(crate) fn begin() -> Self {
        let mut story = Self {
            events: Vec::new(),
            at: Timestamp::from_unix_millis(START),
        };
        story.then(
            0,
            EventKind::RunCreated {
                runbook: "service-restart".to_owned(),
                environment: "local".to_owned(),
                plan_digest: Digest::of_bytes(b"plan"),
                actor: actor(),
                version: "0.1.0".to_owned(),
                on_behalf_of: None,
                changed_by: None,
                emergency: None,
            },
        );
        story
    }

    pub(crate) fn now(&self) -> Timestamp {
        self.at
    }

    pub(crate) fn then(&mut self, millis: u64, event: EventKind) -> &mut Self {
        self.at = self.at.plus(Duration::from_millis(millis));
        self.events.push(RunEvent {
            run: run_id(),
            seq: EventSeq(self.events.len() as u64 + 1),
            at: self.at,
            event,
        });
        self
    }

    pub(crate) fn started(&mut self, step: &str, attempt: u32) -> &mut Self {
        self.then(
            2,
            EventKind::StepStarted {
                step: id(step),
                attempt: AttemptNo(attempt),
                inputs: json!({ "service": "api" }),
                idempotency_key: None,
            },
        )
    }

    pub(crate) fn succeeded(&mut self, step: &str, attempt: u32, millis: u64) -> &mut Self {
        self.then(
            millis,
            EventKind::StepSucceeded {
                step: id(step),
                attempt: AttemptNo(attempt),
                outputs: json!({ "pid": 4321 }),
                duration_ms: millis,
                log: log(step),
            },
        )
    }

    pub(crate) fn failed(&mut self, step: &str, attempt: u32, millis: u64) -> &mut Self {
        self.then(
            millis,
            EventKind::StepFailed {
                step: id(step),
                attempt: AttemptNo(attempt),
                failure: failure(),
                duration_ms: millis,
                log: log(step),
            },
        )
    }

    pub(crate) fn retry(&mut self, step: &str, attempt: u32, seconds: u64) -> &mut Self {
        let at = self.at.plus(Duration::from_secs(seconds));
        self.then(
            0,
            EventKind::StepRetryScheduled {
                step: id(step),
                attempt: AttemptNo(attempt),
                at,
            },
        )
    }

    pub(crate) fn skipped(&mut self, step: &str, reason: SkipReason) -> &mut Self {
        self.then(
            1,
            EventKind::StepSkipped {
                step: id(step),
                reason,
            },
        )
    }

    pub(crate) fn gate_opened(&mut self) -> &mut Self {
        let expires = self.at.plus(Duration::from_secs(3600));
        self.then(
            3,
            EventKind::GateOpened {
                step: id("go"),
                message: "Restart api (up since 02:12)".to_owned(),
                expires_at: Some(expires),
            },
        )
    }

    pub(crate) fn vote(&mut self, vote: Vote, comment: &str) -> &mut Self {
        self.then(
            41_000,
            EventKind::VoteCast {
                step: id("go"),
                vote,
                actor: actor(),
                comment: Some(comment.to_owned()),
                plan_digest: Digest::of_bytes(b"plan"),
                request: None,
                round: 1,
                to: None,
                inputs: Default::default(),
                id: None,
                signed: None,
            },
        );
        let step = id("go");
        self.then(
            0,
            match vote {
                Vote::Approve => EventKind::GateApproved {
                    step,
                    confirmed: None,
                },
                _ => EventKind::GateRejected { step },
            },
        )
    }

    pub(crate) fn rollback(&mut self, cause: RollbackCause, steps: &[&str]) -> &mut Self {
        self.then(
            1,
            EventKind::RollbackStarted {
                cause,
                steps: steps.iter().map(|step| id(step)).collect(),
            },
        )
    }

    pub(crate) fn undo_started(&mut self, step: &str) -> &mut Self {
        self.then(
            2,
            EventKind::UndoStarted {
                step: id(step),
                attempt: AttemptNo::FIRST,
                inputs: json!({}),
            },
        )
    }

    pub(crate) fn finished(&mut self, outcome: Outcome, rollback: RollbackResult) -> &mut Self {
        let outputs: Map<String, Value> = if outcome == Outcome::Succeeded {
            [("healthy_after".to_owned(), json!("2.1s"))]
                .into_iter()
                .collect()
        } else {
            Map::new()
        };
        let duration_ms = (self.at.unix_millis() - START) as u64;
        self.then(
            0,
            EventKind::RunFinished {
                outcome,
                rollback,
                outputs,
                duration_ms,
                recovery_ms: None,
            },
        )
    }

    fn tell(&mut self) -> &mut Self {
        self.then(1, EventKind::FinallyStarted)
            .started("tell", 1)
            .succeeded("tell", 1, 12)
    }
}

fn log(step: &str) -> Option<LogRef> {
    Some(LogRef {
        file: format!("{}.log", id(step).file_stem()),
        bytes: 120,
        digest: Digest::of_bytes(b"log"),
    })
}

pub(crate) fn failure() -> Failure {
    Failure {
        sort: FailureKind::Unhealthy,
        error: ErrorChain {
            message: "service `api` did not become healthy".to_owned(),
            causes: vec![
                "GET http://127.0.0.1:8000/health failed".to_owned(),
                "connection refused (os error 111)".to_owned(),
            ],
        },
        hint: Some("see why it died: runbook logs latest restart".to_owned()),
        log_tail: vec![
            "starting on 127.0.0.1:8000".to_owned(),
            "\x1b[31mpanic\x1b[0m: port in use".to_owned(),
        ],
    }
}

/// Succeeds: a gate approved, a step skipped, one retried, one polled.
pub(crate) fn success() -> Story {
    let mut story = Story::begin();
    story
        .started("before", 1)
        .succeeded("before", 1, 35)
        .gate_opened()
        .vote(Vote::Approve, "traffic is low")
        .skipped(
            "drain",
            SkipReason::Condition {
                condition: "steps.before.outputs.running".to_owned(),
            },
        )
        .started("restart", 1)
        .failed("restart", 1, 800)
        .retry("restart", 2, 2)
        .then(
            2_000,
            EventKind::StepStarted {
                step: id("restart"),
                attempt: AttemptNo(2),
                inputs: json!({}),
                idempotency_key: None,
            },
        )
        .succeeded("restart", 2, 1_240)
        .started("healthy", 1);
    let next_at = story.now().plus(Duration::from_secs(1));
    story
        .then(
            20,
            EventKind::StepPolled {
                step: id("healthy"),
                attempt: AttemptNo::FIRST,
                poll: 1,
                outputs: json!({ "healthy": false }),
                failure: None,
                next_at,
            },
        )
        .then(
            0,
            EventKind::StepPollStarted {
                step: id("healthy"),
                attempt: AttemptNo::FIRST,
                poll: 2,
            },
        )
        .succeeded("healthy", 1, 2_100)
        .tell()
        .finished(Outcome::Succeeded, RollbackResult::None);
    story
}

/// Fails at `healthy`, `restart` is undone.
pub(crate) fn rolled_back() -> Story {
    let mut story = failing();
    story
        .undo_started("restart")
        .then(
            900,
            EventKind::UndoSucceeded {
                step: id("restart"),
                attempt: AttemptNo::FIRST,
                outputs: json!({}),
                duration_ms: 900,
                log: None,
            },
        )
        .tell()
        .finished(Outcome::RolledBack, RollbackResult::Complete);
    story
}

/// Fails at `healthy`, and the undo of `restart` fails too.
pub(crate) fn stuck() -> Story {
    let mut story = failing();
    story
        .undo_started("restart")
        .then(
            900,
            EventKind::UndoFailed {
                step: id("restart"),
                attempt: AttemptNo::FIRST,
                failure: failure(),
                duration_ms: 900,
                log: log("restart"),
            },
        )
        .tell()
        .finished(Outcome::Stuck, RollbackResult::Incomplete);
    story
}

fn failing() -> Story {
    let mut story = Story::begin();
    story
        .started("before", 1)
        .succeeded("before", 1, 35)
        .gate_opened()
        .vote(Vote::Approve, "go")
        .started("drain", 1)
        .succeeded("drain", 1, 310)
        .started("restart", 1)
        .succeeded("restart", 1, 1_240)
        .started("healthy", 1)
        .failed("healthy", 1, 60_000)
        .rollback(
            RollbackCause::StepFailed {
                step: id("healthy"),
            },
            &["restart"],
        );
    story
}

/// Rejected at the gate.
pub(crate) fn rejected() -> Story {
    let mut story = Story::begin();
    story
        .started("before", 1)
        .succeeded("before", 1, 35)
        .gate_opened()
        .vote(Vote::Reject, "not during the sale")
        .skipped("drain", SkipReason::RunEnded)
        .skipped("restart", SkipReason::RunEnded)
        .skipped("healthy", SkipReason::RunEnded)
        .finished(Outcome::Rejected, RollbackResult::None);
    story
}

/// Waits at the gate.
pub(crate) fn waiting() -> Story {
    let mut story = Story::begin();
    story
        .started("before", 1)
        .succeeded("before", 1, 35)
        .gate_opened();
    story
}

/// Left at the gate, then taken over by another process, which polls once.
pub(crate) fn resumed() -> Story {
    let mut story = waiting();
    story
        .then(
            60_000,
            EventKind::RunResumed {
                actor: actor(),
                version: "0.1.0".to_owned(),
            },
        )
        .vote(Vote::Approve, "go")
        .started("healthy", 1)
        .then(
            1_000,
            EventKind::StepPollStarted {
                step: id("healthy"),
                attempt: AttemptNo::FIRST,
                poll: 2,
            },
        )
        .succeeded("healthy", 1, 2_100);
    story
}

/// Cancelled while `drain` runs.
pub(crate) fn cancelled() -> Story {
    let mut story = Story::begin();
    story
        .started("before", 1)
        .succeeded("before", 1, 35)
        .gate_opened()
        .vote(Vote::Approve, "go")
        .started("drain", 1)
        .then(
            500,
            EventKind::CancelRequested {
                actor: actor(),
                reason: Some("wrong service".to_owned()),
                request: None,
            },
        )
        .then(
            100,
            EventKind::StepFailed {
                step: id("drain"),
                attempt: AttemptNo::FIRST,
                failure: Failure {
                    sort: FailureKind::Cancelled,
                    error: ErrorChain::new("stopped on request"),
                    hint: None,
                    log_tail: Vec::new(),
                },
                duration_ms: 600,
                log: None,
            },
        )
        .skipped("restart", SkipReason::RunEnded)
        .skipped("healthy", SkipReason::RunEnded)
        .tell()
        .finished(Outcome::Cancelled, RollbackResult::None);
    story
}

/// The index entry of a story.
pub(crate) fn record(story: &Story) -> RunRecord {
    let (outcome, finished_at) = story
        .events
        .iter()
        .find_map(|event| match &event.event {
            EventKind::RunFinished { outcome, .. } => Some((*outcome, event.at)),
            _ => None,
        })
        .unzip();
    RunRecord {
        id: run_id(),
        runbook: "service-restart".to_owned(),
        environment: "local".to_owned(),
        created_at: Timestamp::from_unix_millis(START),
        actor: actor(),
        plan_digest: Digest::of_bytes(b"plan"),
        status: match outcome {
            Some(_) => crate::event::RunStatus::Finished,
            None => crate::event::RunStatus::Waiting,
        },
        outcome,
        finished_at,
        last_seq: EventSeq(story.events.len() as u64),
        owner: None,
        audited_seq: EventSeq(0),
    }
}
