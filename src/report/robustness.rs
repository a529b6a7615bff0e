//! Every display takes any events, in any order, at any width, and passes no control character on.

use std::sync::{Arc, Mutex};
use std::{io, time::Duration};

use indicatif::{InMemoryTerm, ProgressDrawTarget};
use proptest::prelude::*;
use serde_json::json;

use super::fixtures::{self, START, actor, id, record, restart_plan, run_id, step};
use super::text::is_hostile;
use super::*;
use crate::base::{AttemptNo, Digest, ErrorChain, EventSeq, StepId, Timestamp, Value};
use crate::event::{
    Actor, EventKind, Failure, FailureKind, Outcome, Progress, RollbackCause, RollbackResult,
    RunEvent, SkipReason, Stream, Vote,
};
use crate::model::Effect;
use crate::plan::{Expr, Plan};

const EVIL: &str = "\x1b[2J\x1b]0;x\x07\u{9b}31m\u{202e}\r|<b>`x`\n\u{7f}end";

fn evil_actor() -> Actor {
    Actor {
        name: EVIL.to_owned(),
        host: EVIL.to_owned(),
        verified: true,
    }
}

fn evil_failure() -> Failure {
    Failure {
        sort: FailureKind::Error,
        error: ErrorChain {
            message: EVIL.to_owned(),
            causes: vec![EVIL.to_owned(); 2],
        },
        hint: Some(EVIL.to_owned()),
        log_tail: vec![EVIL.to_owned(); 30],
    }
}

fn evil_plan() -> Plan {
    let mut plan = restart_plan();
    plan.runbook.title = Some(EVIL.to_owned());
    plan.runbook.owner = Some(EVIL.to_owned());
    plan.environment.name = EVIL.to_owned();
    plan.environment.protected = true;
    for step in plan.steps.iter_mut().chain(&mut plan.finally) {
        step.name = Some(EVIL.to_owned());
        step.when = Some(EVIL.to_owned());
    }
    let mut last = step("evil", EVIL, &["go", "before"]);
    last.action = fixtures::action(
        EVIL,
        Effect::Once,
        &[
            (EVIL, Expr::Value(json!({ EVIL: EVIL }))),
            ("t", fixtures::template(EVIL)),
        ],
    );
    plan.steps.push(last);
    plan
}

fn event_kind() -> impl Strategy<Value = EventKind> {
    let names = [
        "before", "go", "drain", "restart", "healthy", "tell", "evil", "unknown",
    ];
    let parts = (
        prop::sample::select(names.to_vec()),
        0u32..5,
        any::<u64>(),
        0u8..22,
    );
    parts.prop_map(|(name, n, ms, which)| kind(id(name), n, ms, which))
}

fn kind(step: StepId, n: u32, duration_ms: u64, which: u8) -> EventKind {
    let attempt = AttemptNo(n);
    let outputs: Value = json!({ EVIL: EVIL });
    let failure = evil_failure();
    let log = None;
    let at = Timestamp::from_unix_millis(duration_ms as i64);
    let vote = if n.is_multiple_of(2) {
        Vote::Approve
    } else {
        Vote::Reject
    };
    let outcome = [
        Outcome::Succeeded,
        Outcome::Stuck,
        Outcome::RolledBack,
        Outcome::Cancelled,
    ][n as usize % 4];
    match which {
        0 => EventKind::RunCreated {
            runbook: EVIL.to_owned(),
            environment: EVIL.to_owned(),
            plan_digest: Digest::of_bytes(b""),
            actor: evil_actor(),
            version: EVIL.to_owned(),
            on_behalf_of: None,
            changed_by: None,
            emergency: None,
        },
        1 | 2 => EventKind::StepStarted {
            step,
            attempt,
            inputs: outputs,
            idempotency_key: None,
        },
        3 => EventKind::StepPolled {
            step,
            attempt,
            poll: n,
            outputs,
            failure: Some(failure),
            next_at: at,
        },
        4 | 5 => EventKind::StepSucceeded {
            step,
            attempt,
            outputs,
            duration_ms,
            log,
        },
        6 => EventKind::StepFailed {
            step,
            attempt,
            failure,
            duration_ms,
            log,
        },
        7 => EventKind::StepRetryScheduled { step, attempt, at },
        8 => EventKind::StepSkipped {
            step,
            reason: SkipReason::Condition {
                condition: EVIL.to_owned(),
            },
        },
        9 => EventKind::StepInterrupted { step, attempt },
        10 => EventKind::GateOpened {
            step,
            message: EVIL.to_owned(),
            expires_at: Some(at),
        },
        11 => EventKind::VoteCast {
            step,
            vote,
            actor: evil_actor(),
            comment: Some(EVIL.to_owned()),
            plan_digest: Digest::of_bytes(b""),
            request: None,
            round: 1,
            to: None,
            inputs: Default::default(),
            id: None,
            signed: None,
        },
        12 => EventKind::GateApproved {
            step,
            confirmed: None,
        },
        13 => EventKind::GateRejected { step },
        14 => EventKind::CancelRequested {
            actor: evil_actor(),
            reason: Some(EVIL.to_owned()),
            request: None,
        },
        15 => EventKind::RollbackStarted {
            cause: RollbackCause::StepFailed { step: step.clone() },
            steps: vec![step],
        },
        16 => EventKind::UndoStarted {
            step,
            attempt,
            inputs: outputs,
        },
        17 => EventKind::UndoSucceeded {
            step,
            attempt,
            outputs,
            duration_ms,
            log,
        },
        18 => EventKind::UndoFailed {
            step,
            attempt,
            failure,
            duration_ms,
            log,
        },
        19 => EventKind::UndoRetryScheduled { step, attempt, at },
        20 => EventKind::FinallyStarted,
        _ => EventKind::RunFinished {
            outcome,
            rollback: RollbackResult::Incomplete,
            outputs: [(EVIL.to_owned(), json!(EVIL))].into_iter().collect(),
            duration_ms,
            recovery_ms: None,
        },
    }
}

#[derive(Clone, Default)]
struct Buffer(Arc<Mutex<Vec<u8>>>);

impl io::Write for Buffer {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0
            .lock()
            .expect("not poisoned")
            .extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Everything that can be shown of a run after some events.
fn all_texts(plan: &Plan, events: &[RunEvent], style: Style) -> Vec<String> {
    let timeline = Timeline::of(plan, events);
    let places = Places {
        prefix: "01M8".to_owned(),
        audit: Some("a.git".to_owned()),
        logs: Some("logs".to_owned()),
    };
    let mut run = record(&fixtures::waiting());
    run.runbook = EVIL.to_owned();
    run.environment = EVIL.to_owned();
    run.actor = actor();
    let now = Timestamp::from_unix_millis(START);
    let view = RunStatusView {
        run: &run,
        plan,
        timeline: &timeline,
        state: None,
        places: &places,
        now,
        alive: &|_| false,
    };
    let buffer = Buffer::default();
    let options = ViewOptions {
        style,
        height: 50,
        quiet: false,
        places: places.clone(),
    };
    let term = InMemoryTerm::new(50, 120);
    let target = ProgressDrawTarget::term_like(Box::new(term));
    let mut views = [
        RunView::plain(plan, options.clone(), Box::new(buffer.clone())),
        RunView::live(plan, options, target),
    ];
    for event in events {
        let output = Progress::Output {
            step: event.event.step().cloned().unwrap_or_else(|| id("drain")),
            stream: Stream::Err,
            text: EVIL.to_owned(),
        };
        for view in &mut views {
            let progress = Progress::Event(Arc::new(event.clone()));
            view.on(&progress, event.at).expect("written");
            view.on(&output, event.at).expect("written");
        }
    }
    for view in &mut views {
        view.finish(now).expect("written");
    }
    let logged = buffer.0.lock().expect("not poisoned").clone();
    vec![
        summary(plan, &timeline, &places, style),
        status_text(&view, style),
        status_json(&view).to_string(),
        runs_table(
            std::slice::from_ref(&run),
            &[run.id].into(),
            6,
            now,
            &|_| false,
            style,
        ),
        report_markdown(&run, plan, events),
        String::from_utf8(logged).expect("UTF-8"),
        plan_text(plan, &Digest::of_bytes(b""), style),
        graph_text(plan, style),
        graph_dot(plan),
        graph_mermaid(plan),
        graph_svg(plan),
    ]
}

fn at_odd_times(kinds: Vec<EventKind>, jump: i64) -> Vec<RunEvent> {
    kinds
        .into_iter()
        .enumerate()
        .map(|(i, event)| RunEvent {
            run: run_id(),
            seq: EventSeq(i as u64 + 1),
            at: Timestamp::from_unix_millis(START + (i as i64 * jump) % 100_000),
            event,
        })
        .collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn any_events_at_any_width(
        kinds in prop::collection::vec(event_kind(), 0..40),
        jump in -5_000i64..5_000,
        width in 0usize..140,
        unicode in any::<bool>(),
    ) {
        let style = Style { color: false, unicode, width };
        for (i, text) in all_texts(&evil_plan(), &at_odd_times(kinds, jump), style).iter().enumerate() {
            // JSON as a value is made safe when it is written.
            if i != 2 {
                let bad = text.chars().find(|c| is_hostile(*c) && *c != '\n');
                prop_assert_eq!(bad, None, "text {}: {}", i, text);
            }
        }
    }
}

#[test]
fn every_prefix_of_every_story_can_be_shown() {
    let plan = restart_plan();
    for story in [
        fixtures::success(),
        fixtures::rolled_back(),
        fixtures::stuck(),
        fixtures::rejected(),
        fixtures::cancelled(),
    ] {
        for end in 1..=story.events.len() {
            for text in all_texts(&plan, &story.events[..end], Style::plain(80)) {
                assert!(!text.is_empty());
            }
        }
    }
}

#[test]
fn a_gap_in_the_events_does_no_harm() {
    let story = fixtures::stuck();
    let plan = restart_plan();
    for missing in 0..story.events.len() {
        let mut events = story.events.clone();
        events.remove(missing);
        let timeline = Timeline::of(&plan, &events);
        assert_eq!(timeline.rows.len(), 6);
        assert!(
            timeline.last_at
                >= Some(Timestamp::from_unix_millis(START).plus(Duration::from_secs(60)))
        );
    }
}
