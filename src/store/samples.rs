//! Sample runs and events for the tests of this room and of the audit trail.

use std::time::Duration;

use serde_json::json;

use super::{EngineOwner, NewRun};
use crate::base::{AttemptNo, Digest, ErrorChain, EventSeq, RunId, StepId, Timestamp, Value};
use crate::event::{
    Actor, Difference, Emergency, EventKind, Failure, FailureKind, LastChange, LogRef,
    LoopInstance, Outcome, ReviewVerdict, RollbackCause, RollbackResult, RunEvent, SignedVote,
    SkipReason, Vote,
};

/// A fixed point in time, so many milliseconds later.
pub(crate) fn at(millis: u64) -> Timestamp {
    Timestamp::from_unix_millis(1_795_402_800_000).plus(Duration::from_millis(millis))
}

/// A run id of that time.
pub(crate) fn run_id(n: u64) -> RunId {
    RunId::from_parts(1_795_402_800_000 + n, u128::from(n) << 8)
}

pub(crate) fn step(id: &str) -> StepId {
    StepId::new(id).expect("a valid step id")
}

pub(crate) fn actor() -> Actor {
    Actor {
        name: "ada".to_owned(),
        host: "box".to_owned(),
        verified: false,
    }
}

pub(crate) fn owner(pid: u32) -> EngineOwner {
    EngineOwner {
        host: "box".to_owned(),
        pid,
        started: 77,
    }
}

pub(crate) fn new_run(id: RunId) -> NewRun {
    NewRun {
        id,
        runbook: "service-restart".to_owned(),
        environment: "local".to_owned(),
        created_at: at(id.unix_millis() - 1_795_402_800_000),
        actor: actor(),
        plan_json: r#"{"format":1}"#.to_owned(),
        plan_digest: Digest::of_bytes(b"plan"),
        source: "runbook: v1\nname: service-restart # ü\n".to_owned(),
    }
}

/// Event `seq` of a run, recorded `seq` milliseconds after the fixed time.
pub(crate) fn event(run: RunId, seq: u64, event: EventKind) -> RunEvent {
    RunEvent {
        run,
        seq: EventSeq(seq),
        at: at(seq),
        event,
    }
}

pub(crate) fn created() -> EventKind {
    EventKind::RunCreated {
        runbook: "service-restart".to_owned(),
        environment: "local".to_owned(),
        plan_digest: Digest::of_bytes(b"plan"),
        actor: actor(),
        version: "0.1.0".to_owned(),
        on_behalf_of: None,
        changed_by: None,
        emergency: None,
    }
}

/// The first event of a run that somebody started as an emergency, for somebody else.
pub(crate) fn created_in_emergency() -> EventKind {
    let EventKind::RunCreated {
        runbook,
        environment,
        plan_digest,
        actor,
        version,
        ..
    } = created()
    else {
        panic!("the first event creates the run");
    };
    EventKind::RunCreated {
        runbook,
        environment,
        plan_digest,
        actor,
        version,
        on_behalf_of: Some("grace".to_owned()),
        changed_by: Some(LastChange {
            commit: Some("0123456789012345678901234567890123456789".to_owned()),
            author: "Ada <ada@example.org>".to_owned(),
            person: Some("ada".to_owned()),
        }),
        emergency: Some(Emergency {
            reason: "everything is down".to_owned(),
            review: "architecture-review".to_owned(),
            review_by: at(90_000_000),
        }),
    }
}

/// The only event that may follow the end of a run.
pub(crate) fn reviewed(verdict: ReviewVerdict) -> EventKind {
    EventKind::RunReviewed {
        actor: actor(),
        verdict,
        comment: "it was on fire".to_owned(),
        signed: None,
    }
}

pub(crate) fn started(id: &str) -> EventKind {
    EventKind::StepStarted {
        step: step(id),
        attempt: AttemptNo::FIRST,
        inputs: json!({"service": "api", "grace": "10s"}),
        idempotency_key: None,
    }
}

pub(crate) fn succeeded(id: &str, log: Option<LogRef>) -> EventKind {
    EventKind::StepSucceeded {
        step: step(id),
        attempt: AttemptNo::FIRST,
        outputs: json!({"pid": 4711, "latency": 0.25, "lines": ["a", "ü"]}),
        duration_ms: 1_250,
        log,
    }
}

pub(crate) fn finished(outcome: Outcome) -> EventKind {
    EventKind::RunFinished {
        outcome,
        rollback: RollbackResult::None,
        outputs: [("healthy_after".to_owned(), Value::from("2.5s"))]
            .into_iter()
            .collect(),
        duration_ms: 4_200,
        recovery_ms: None,
    }
}

pub(crate) fn log_ref(file: &str, bytes: &[u8]) -> LogRef {
    LogRef {
        file: file.to_owned(),
        bytes: bytes.len() as u64,
        digest: Digest::of_bytes(bytes),
    }
}

pub(crate) fn failure() -> Failure {
    Failure {
        sort: FailureKind::Exit,
        error: ErrorChain {
            message: "the program ended with exit code 3".to_owned(),
            causes: vec!["no such file".to_owned()],
        },
        hint: Some("look at the log".to_owned()),
        log_tail: vec!["last line".to_owned()],
    }
}

/// Every kind of event at least once, with every optional field both there and missing.
pub(crate) fn every_event(run: RunId) -> Vec<RunEvent> {
    let attempt = AttemptNo(2);
    let log = Some(log_ref("restart.log", b"hello\n"));
    let kinds = vec![
        created(),
        started("before"),
        EventKind::StepPolled {
            step: step("before"),
            attempt,
            poll: 1,
            outputs: Value::Null,
            failure: Some(failure()),
            next_at: at(5_000),
        },
        EventKind::StepPolled {
            step: step("before"),
            attempt,
            poll: 2,
            outputs: json!({"healthy": false}),
            failure: None,
            next_at: at(6_000),
        },
        succeeded("before", log.clone()),
        succeeded("drain", None),
        EventKind::StepFailed {
            step: step("restart"),
            attempt,
            failure: failure(),
            duration_ms: 12,
            log: log.clone(),
        },
        EventKind::StepFailed {
            step: step("restart"),
            attempt: AttemptNo(0),
            failure: Failure {
                sort: FailureKind::Invalid,
                error: ErrorChain::new("no such output"),
                hint: None,
                log_tail: Vec::new(),
            },
            duration_ms: 0,
            log: None,
        },
        EventKind::StepRetryScheduled {
            step: step("restart"),
            attempt,
            at: at(9_000),
        },
        EventKind::StepSkipped {
            step: step("maybe"),
            reason: SkipReason::Condition {
                condition: "params.force".to_owned(),
            },
        },
        EventKind::StepSkipped {
            step: step("later"),
            reason: SkipReason::RunEnded,
        },
        EventKind::StepInterrupted {
            step: step("pay"),
            attempt,
        },
        EventKind::GateOpened {
            step: step("go"),
            message: "Restart api?".to_owned(),
            expires_at: Some(at(60_000)),
        },
        EventKind::GateOpened {
            step: step("go2"),
            message: "Sure?".to_owned(),
            expires_at: None,
        },
        EventKind::VoteCast {
            step: step("go"),
            vote: Vote::Approve,
            actor: actor(),
            comment: Some("go on".to_owned()),
            plan_digest: Digest::of_bytes(b"plan"),
            request: Some(7),
            round: 1,
            to: None,
            inputs: Default::default(),
            id: None,
            signed: None,
        },
        EventKind::VoteCast {
            step: step("go2"),
            vote: Vote::Reject,
            actor: Actor {
                verified: true,
                ..actor()
            },
            comment: None,
            plan_digest: Digest::of_bytes(b"plan"),
            request: None,
            round: 2,
            to: Some(step("pay")),
            inputs: [("grace".to_owned(), json!("5s"))].into_iter().collect(),
            id: Some("01M835H6W10000000000000001".to_owned()),
            signed: Some(Box::new(SignedVote {
                statement: "{}\n".to_owned(),
                signature: "-----BEGIN SSH SIGNATURE-----\n".to_owned(),
            })),
        },
        EventKind::GateApproved {
            step: step("go"),
            confirmed: None,
        },
        EventKind::GateRejected { step: step("go2") },
        EventKind::GateExpired { step: step("go3") },
        EventKind::CancelRequested {
            actor: actor(),
            reason: Some("wrong window".to_owned()),
            request: Some(8),
        },
        EventKind::CancelRequested {
            actor: actor(),
            reason: None,
            request: None,
        },
        EventKind::RunTimedOut,
    ];
    let rollbacks = [
        RollbackCause::StepFailed {
            step: step("restart"),
        },
        RollbackCause::Gate { step: step("go2") },
        RollbackCause::Cancelled,
        RollbackCause::TimedOut,
    ]
    .map(|cause| EventKind::RollbackStarted {
        cause,
        steps: vec![step("restart"), step("drain")],
    });
    let undoing = [
        EventKind::UndoStarted {
            step: step("restart"),
            attempt: AttemptNo::FIRST,
            inputs: json!({"service": "api"}),
        },
        EventKind::UndoFailed {
            step: step("restart"),
            attempt: AttemptNo::FIRST,
            failure: failure(),
            duration_ms: 3,
            log,
        },
        EventKind::UndoRetryScheduled {
            step: step("restart"),
            attempt,
            at: at(9_500),
        },
        EventKind::UndoSucceeded {
            step: step("restart"),
            attempt,
            outputs: json!({}),
            duration_ms: 30,
            log: None,
        },
        EventKind::FinallyStarted,
        EventKind::RunFinished {
            outcome: Outcome::RolledBack,
            rollback: RollbackResult::Complete,
            outputs: crate::base::Map::new(),
            duration_ms: 10_000,
            recovery_ms: None,
        },
    ];
    let taken_over = [
        EventKind::RunResumed {
            actor: actor(),
            version: "0.1.0".to_owned(),
        },
        EventKind::StepPollStarted {
            step: step("healthy"),
            attempt: AttemptNo::FIRST,
            poll: 2,
        },
    ];
    let parts = [
        EventKind::StepExpanded {
            step: step("restart"),
            instances: vec![LoopInstance {
                key: "api".to_owned(),
                item: json!("api"),
            }],
        },
        EventKind::StepProbeStarted {
            step: StepId::parse("restart[api]").expect("valid"),
            inputs: json!({"service": "api"}),
        },
        EventKind::StepProbed {
            step: StepId::parse("restart[api]").expect("valid"),
            outputs: json!({"healthy": false}),
        },
        EventKind::StepTimedOut {
            step: step("restart"),
        },
        EventKind::StepSkipped {
            step: StepId::parse("restart[api]").expect("valid"),
            reason: SkipReason::AlreadyDone {
                condition: "outputs.healthy".to_owned(),
                outputs: json!({"healthy": true}),
            },
        },
        EventKind::StepSkipped {
            step: StepId::parse("deploy[eu]/restart").expect("valid"),
            reason: SkipReason::PartEnded,
        },
    ];
    kinds
        .into_iter()
        .chain(rollbacks)
        .chain(undoing)
        .chain(taken_over)
        .chain(parts)
        .chain(at_gates())
        .zip(1..)
        .map(|(kind, seq)| event(run, seq, kind))
        .collect()
}

/// What happens at a gate beside opening, votes and its end, and around a run.
fn at_gates() -> Vec<EventKind> {
    let go = || step("go");
    let difference = || Difference {
        what: "policy: rules.high.quorum".to_owned(),
        before: "1 of dba".to_owned(),
        after: "2 of dba".to_owned(),
    };
    let failure = || Failure {
        sort: FailureKind::Unavailable,
        error: ErrorChain::new("refused"),
        hint: None,
        log_tail: Vec::new(),
    };
    vec![
        EventKind::GateReadStarted {
            step: go(),
            read: step("before"),
        },
        EventKind::GateRead {
            step: go(),
            read: step("before"),
            outputs: json!({"pid": 7}),
            failure: None,
        },
        EventKind::GateRead {
            step: go(),
            read: step("before"),
            outputs: Value::Null,
            failure: Some(failure()),
        },
        EventKind::GateSurveyed {
            step: go(),
            plan_digest: Some(Digest::of_bytes(b"plan")),
            differences: vec![],
            policy: Value::Null,
        },
        EventKind::GateSurveyed {
            step: go(),
            plan_digest: None,
            differences: vec![difference()],
            policy: json!({"file": "policy.yaml"}),
        },
        EventKind::GateHeld {
            step: go(),
            until: Some(at(90_000)),
            reason: "freeze \"year end\"".to_owned(),
        },
        EventKind::GateVoided {
            step: go(),
            differences: vec![difference()],
        },
        EventKind::GateEscalated {
            step: go(),
            level: 1,
            role: "team-lead".to_owned(),
            channel: Some("ops".to_owned()),
            respond_by: Some(at(60_000)),
        },
        EventKind::GateNotified {
            step: go(),
            level: 1,
            failure: None,
        },
        EventKind::GateNotified {
            step: go(),
            level: 2,
            failure: Some(failure()),
        },
        EventKind::GateParked { step: go() },
        EventKind::GateApproved {
            step: go(),
            confirmed: Some(Digest::of_bytes(b"plan")),
        },
        EventKind::RewindStarted {
            step: go(),
            to: step("pay"),
            steps: vec![step("pay")],
        },
        EventKind::RewindFinished {
            step: go(),
            to: step("pay"),
        },
        EventKind::StepSkipped {
            step: step("clean"),
            reason: SkipReason::NotApproved,
        },
        reviewed(ReviewVerdict::Accept),
    ]
}

/// A number for each kind. It has no default arm, so a new kind does not compile until it is here,
/// and then the test below asks for a sample of it.
fn number(kind: &EventKind) -> usize {
    match kind {
        EventKind::RunCreated { .. } => 0,
        EventKind::StepStarted { .. } => 1,
        EventKind::StepPolled { .. } => 2,
        EventKind::StepSucceeded { .. } => 3,
        EventKind::StepFailed { .. } => 4,
        EventKind::StepRetryScheduled { .. } => 5,
        EventKind::StepSkipped { .. } => 6,
        EventKind::StepInterrupted { .. } => 7,
        EventKind::GateOpened { .. } => 8,
        EventKind::VoteCast { .. } => 9,
        EventKind::GateApproved { .. } => 10,
        EventKind::GateRejected { .. } => 11,
        EventKind::GateExpired { .. } => 12,
        EventKind::CancelRequested { .. } => 13,
        EventKind::RunTimedOut => 14,
        EventKind::RollbackStarted { .. } => 15,
        EventKind::UndoStarted { .. } => 16,
        EventKind::UndoSucceeded { .. } => 17,
        EventKind::UndoFailed { .. } => 18,
        EventKind::UndoRetryScheduled { .. } => 19,
        EventKind::FinallyStarted => 20,
        EventKind::RunFinished { .. } => 21,
        EventKind::RunResumed { .. } => 22,
        EventKind::StepPollStarted { .. } => 23,
        EventKind::StepExpanded { .. } => 24,
        EventKind::StepProbeStarted { .. } => 25,
        EventKind::StepProbed { .. } => 26,
        EventKind::StepTimedOut { .. } => 27,
        EventKind::GateReadStarted { .. } => 28,
        EventKind::GateRead { .. } => 29,
        EventKind::GateSurveyed { .. } => 30,
        EventKind::GateHeld { .. } => 31,
        EventKind::GateVoided { .. } => 32,
        EventKind::GateEscalated { .. } => 33,
        EventKind::GateNotified { .. } => 34,
        EventKind::GateParked { .. } => 35,
        EventKind::RewindStarted { .. } => 36,
        EventKind::RewindFinished { .. } => 37,
        EventKind::RunReviewed { .. } => 38,
    }
}

#[test]
fn there_is_a_sample_of_every_kind_of_event() {
    let mut seen = [false; 39];
    for event in every_event(run_id(1)) {
        seen[number(&event.event)] = true;
    }
    assert!(seen.iter().all(|seen| *seen), "{seen:?}");
}

/// Runs an ignored test of this binary as another process, which the caller may kill. It is told
/// `first_line` on its standard input.
pub(crate) fn another_process(test: &str, first_line: &str) -> std::process::Child {
    use std::io::Write;
    use std::process::{Command, Stdio};
    let mut child = Command::new(std::env::current_exe().expect("a path"))
        .args(["--exact", test, "--ignored", "--nocapture"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("starts");
    let mut input = child.stdin.take().expect("piped");
    writeln!(input, "{first_line}").expect("writes");
    child
}

/// The numbers that the other process prints, one a line, after `done `.
pub(crate) fn numbers_of(child: &mut std::process::Child) -> impl Iterator<Item = u64> + use<> {
    use std::io::BufRead;
    let output = child.stdout.take().expect("piped");
    std::io::BufReader::new(output)
        .lines()
        .map_while(Result::ok)
        .filter_map(|line| line.strip_prefix("done ")?.parse().ok())
}

/// The line that [`another_process`] was given; `None` when a person runs the ignored tests.
pub(crate) fn first_line() -> Option<String> {
    use std::io::IsTerminal;
    let mut line = String::new();
    if !std::io::stdin().is_terminal() {
        std::io::stdin().read_line(&mut line).expect("reads");
    }
    Some(line.trim_end().to_owned()).filter(|line| !line.is_empty())
}
