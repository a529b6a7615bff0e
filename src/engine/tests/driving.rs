//! One test for each way a driving goes.

use serde_json::json;

use super::support::{World, digest, options, outputs_of, wait_for};
use crate::base::{HumanDuration, StepId};
use crate::engine::{Engine, EngineError, RunEnd};
use crate::event::{Ballot, EventKind, FailureKind, Outcome, Vote};
use crate::model::{Effect, Escape};
use crate::plan::{Expr, Plan, PlanRollback, PlanStep};
use crate::run::testing::{action, gate, plan, step};
use crate::store::{EngineOwner, RequestKind};

pub(super) fn doing(name: &str, needs: &[&str], uses: &str, what: &str) -> PlanStep {
    let effect = match uses {
        "test.read" => Effect::Read,
        "test.once" => Effect::Once,
        _ => Effect::Idempotent,
    };
    let mut made = step(name, needs);
    made.action = action(uses, effect);
    made.action.with = Expr::Value(json!({ "do": what, "value": name }));
    made
}

fn undoable(mut step: PlanStep) -> PlanStep {
    let mut undo = action("test.write", Effect::Idempotent);
    undo.with = Expr::Value(json!({ "do": "echo" }));
    step.rollback = Some(PlanRollback::Undo {
        action: undo,
        retry: None,
        timeout: None,
    });
    step
}

fn gated() -> Plan {
    plan(
        vec![
            gate("ok", &[]),
            doing("after", &["ok"], "test.write", "echo"),
        ],
        vec![],
    )
}

#[tokio::test]
async fn outputs_flow_and_every_event_is_recorded_densely() {
    let world = World::new();
    let mut second = doing("b", &["a"], "test.write", "echo");
    second.action.with = Expr::Map(
        [(
            "value".to_owned(),
            Expr::Template {
                text: "{{ steps.a.outputs.value }}!".to_owned(),
                escape: Escape::None,
            },
        )]
        .into(),
    );
    let handle = world
        .start(
            plan(vec![doing("a", &[], "test.write", "echo"), second], vec![]),
            false,
        )
        .await;
    let run = handle.run;
    assert_eq!(
        handle.join().await.expect("drives"),
        RunEnd::Finished(Outcome::Succeeded)
    );
    let events = world.events(run);
    assert_eq!(outputs_of(&events, "b"), json!({ "value": "a!" }));
    assert!(events.iter().zip(1..).all(|(e, n)| e.seq.0 == n));
    assert_eq!(
        world.kinds(run),
        [
            "run_created",
            "step_started a",
            "step_succeeded a",
            "step_started b",
            "step_succeeded b",
            "run_finished"
        ]
    );
    let record = world
        .parts
        .store
        .run(run)
        .expect("readable")
        .expect("there");
    assert_eq!(record.outcome, Some(Outcome::Succeeded));
    assert_eq!(record.owner, None, "let go of");
}

#[tokio::test]
async fn a_failure_rolls_back_what_was_done() {
    let world = World::new();
    let steps = vec![
        undoable(doing("a", &[], "test.write", "echo")),
        doing("b", &["a"], "test.write", "fail"),
    ];
    let handle = world.start(plan(steps, vec![]), false).await;
    let run = handle.run;
    assert_eq!(
        handle.join().await.expect("drives"),
        RunEnd::Finished(Outcome::RolledBack)
    );
    let kinds = world.kinds(run);
    assert!(kinds.contains(&"undo_succeeded a".to_owned()), "{kinds:?}");
}

#[tokio::test]
async fn a_panic_of_a_handler_fails_its_step_only() {
    let world = World::new();
    let steps = vec![doing("a", &[], "test.write", "panic")];
    let handle = world.start(plan(steps, vec![]), false).await;
    let run = handle.run;
    assert_eq!(
        handle.join().await.expect("drives"),
        RunEnd::Finished(Outcome::RolledBack)
    );
    let told = world.events(run).iter().any(|e| {
        matches!(&e.event, EventKind::StepFailed { failure, .. }
            if failure.error.to_string().contains("scripted panic"))
    });
    assert!(told, "the panic's message is in the journal");
}

#[tokio::test]
async fn an_unknown_action_fails_its_step() {
    let world = World::new();
    let steps = vec![doing("a", &[], "test.nowhere", "echo")];
    let handle = world.start(plan(steps, vec![]), false).await;
    assert_eq!(
        handle.join().await.expect("drives"),
        RunEnd::Finished(Outcome::RolledBack)
    );
}

#[tokio::test]
async fn when_the_journal_fails_nothing_new_starts() {
    // The first append holds the start of `a`, the second its end and the start of `b`.
    let world = World::failing_from(1);
    let steps = vec![
        doing("a", &[], "test.write", "print"),
        doing("b", &["a"], "test.write", "print"),
    ];
    let handle = world.start(plan(steps, vec![]), false).await;
    let run = handle.run;
    let error = handle.join().await.expect_err("cannot go on");
    assert!(matches!(error, EngineError::Journal(_)), "{error}");
    let logs = world.parts.layout.run_logs(run);
    assert!(logs.join("a.log").exists());
    assert!(
        !logs.join("b.log").exists(),
        "b was called without a durable intent"
    );
    assert_eq!(world.kinds(run), ["run_created", "step_started a"]);
}

#[tokio::test]
async fn output_that_cannot_be_kept_stops_the_run_after_recording_the_outcome() {
    let world = World::new();
    let logs = world.dir.path().join("state/logs");
    std::fs::create_dir_all(logs.parent().expect("a parent")).expect("made");
    std::fs::write(&logs, "in the way").expect("written");
    let steps = vec![
        doing("a", &[], "test.write", "print"),
        doing("b", &["a"], "test.write", "echo"),
    ];
    let handle = world.start(plan(steps, vec![]), false).await;
    let run = handle.run;
    let error = handle.join().await.expect_err("cannot go on");
    assert!(matches!(error, EngineError::Log { .. }), "{error}");
    assert_eq!(
        world.kinds(run),
        ["run_created", "step_started a", "step_succeeded a"]
    );
}

#[tokio::test]
async fn cancel_ends_running_steps_and_then_the_run() {
    let world = World::new();
    let steps = vec![doing("a", &[], "test.write", "hang")];
    let mut handle = world.start(plan(steps, vec![]), false).await;
    wait_for(&mut handle, "step_started", "a").await;
    handle.control.cancel(world.parts.actor.clone(), None);
    assert_eq!(
        handle.join().await.expect("drives"),
        RunEnd::Finished(Outcome::Cancelled)
    );
}

#[tokio::test]
async fn cancel_from_another_process_is_seen_while_a_step_runs() {
    let world = World::new();
    let steps = vec![doing("a", &[], "test.write", "hang")];
    let mut handle = world.start(plan(steps, vec![]), false).await;
    wait_for(&mut handle, "step_started", "a").await;
    world
        .ask(handle.run, RequestKind::Cancel { reason: None })
        .await;
    assert_eq!(
        handle.join().await.expect("drives"),
        RunEnd::Finished(Outcome::Cancelled)
    );
}

#[tokio::test(start_paused = true)]
async fn a_handler_that_does_not_listen_is_dropped_after_its_grace() {
    let world = World::new();
    let mut deaf = doing("a", &[], "test.write", "deaf");
    deaf.timeout = Some(HumanDuration(std::time::Duration::from_millis(5)));
    let handle = world.start(plan(vec![deaf], vec![]), false).await;
    let run = handle.run;
    assert_eq!(
        handle.join().await.expect("drives"),
        RunEnd::Finished(Outcome::RolledBack)
    );
    let timed_out = world.events(run).iter().any(|e| {
        matches!(&e.event, EventKind::StepFailed { failure, .. }
            if failure.sort == FailureKind::Timeout)
    });
    assert!(timed_out);
}

#[tokio::test]
async fn a_killed_run_is_resumed_to_its_end() {
    let world = World::new();
    let steps = vec![undoable(doing("a", &[], "test.write", "echo")), {
        doing("b", &["a"], "test.write", "hang")
    }];
    let mut handle = world.start(plan(steps, vec![]), false).await;
    let run = handle.run;
    wait_for(&mut handle, "step_started", "b").await;
    handle.control.kill();
    assert_eq!(handle.join().await.expect("drives"), RunEnd::Killed);
    let resumed = Engine::new(world.parts.clone())
        .resume(run, options(false))
        .await
        .expect("resumes");
    assert_eq!(
        resumed.join().await.expect("drives"),
        RunEnd::Finished(Outcome::RolledBack)
    );
}

#[tokio::test]
async fn a_waiting_run_is_left_and_goes_on_after_a_vote() {
    let world = World::new();
    let made = gated();
    let handle = world.start(made.clone(), true).await;
    let run = handle.run;
    match handle.join().await.expect("drives") {
        RunEnd::Waiting(gates) => assert_eq!(gates[0].message, "go on? (no way back after: after)"),
        other => panic!("{other:?}"),
    }
    world
        .ask(
            run,
            RequestKind::Vote {
                gate: StepId::new("ok").ok(),
                ballot: Ballot::plain(Vote::Approve, digest(&made), Some("fine".into())),
            },
        )
        .await;
    let engine = Engine::new(world.parts.clone());
    let resumed = engine.resume(run, options(true)).await.expect("resumes");
    assert_eq!(
        resumed.join().await.expect("drives"),
        RunEnd::Finished(Outcome::Succeeded)
    );
    let again = engine
        .resume(run, options(true))
        .await
        .expect_err("is over");
    assert!(matches!(again, EngineError::Finished { .. }));
}

#[tokio::test]
async fn a_vote_from_another_process_reaches_a_waiting_engine_and_a_stale_one_does_not_count() {
    let world = World::new();
    let made = gated();
    let mut handle = world.start(made.clone(), false).await;
    wait_for(&mut handle, "gate_opened", "ok").await;
    let vote = |vote, plan_digest| RequestKind::Vote {
        gate: StepId::new("ok").ok(),
        ballot: Ballot::plain(vote, plan_digest, None),
    };
    let other = crate::base::Digest::of_bytes(b"another plan");
    world.ask(handle.run, vote(Vote::Reject, other)).await;
    wait_for(&mut handle, "vote_cast", "ok").await;
    world
        .ask(handle.run, vote(Vote::Approve, digest(&made)))
        .await;
    assert_eq!(
        handle.join().await.expect("drives"),
        RunEnd::Finished(Outcome::Succeeded)
    );
}

#[tokio::test]
async fn a_run_of_a_living_process_is_not_taken_over_and_a_dead_ones_is() {
    let world = World::new();
    let mut handle = world.start(gated(), false).await;
    wait_for(&mut handle, "gate_opened", "ok").await;
    let run = handle.run;
    let mut other = world.parts.clone();
    other.owner = EngineOwner {
        pid: other.owner.pid + 1,
        ..other.owner
    };
    let held = Engine::new(other.clone()).resume(run, options(true)).await;
    assert!(matches!(held, Err(EngineError::Held { .. })));
    handle.control.cancel(world.parts.actor.clone(), None);
    handle.join().await.expect("drives");

    let left = world.start(gated(), true).await;
    let run = left.run;
    left.join().await.expect("drives");
    let gone = EngineOwner {
        started: 1,
        ..world.parts.owner.clone()
    };
    world
        .parts
        .store
        .claim_run(run, gone, None)
        .await
        .expect("durable");
    let resumed = Engine::new(other)
        .resume(run, options(true))
        .await
        .expect("takes over");
    assert!(matches!(
        resumed.join().await.expect("drives"),
        RunEnd::Waiting(_)
    ));
}

#[tokio::test]
async fn an_interrupted_once_step_is_never_run_again_silently() {
    let world = World::new();
    let steps = vec![doing("a", &[], "test.once", "deaf")];
    let mut handle = world.start(plan(steps, vec![]), false).await;
    wait_for(&mut handle, "step_started", "a").await;
    let run = handle.run;
    // The process dies: its dispatcher is dropped, nothing is released.
    handle.abort_for_test();
    let gone = EngineOwner {
        started: 1,
        ..world.parts.owner.clone()
    };
    let me = world.parts.owner.clone();
    world
        .parts
        .store
        .release_run(run, me)
        .await
        .expect("durable");
    world
        .parts
        .store
        .claim_run(run, gone, None)
        .await
        .expect("durable");
    let resumed = Engine::new(world.parts.clone())
        .resume(run, options(false))
        .await
        .expect("resumes");
    let end = resumed.join().await.expect("drives");
    assert_eq!(end, RunEnd::Interrupted(StepId::new("a").expect("valid")));
    assert_eq!(end.exit_code(), 6);
    let starts = world
        .kinds(run)
        .iter()
        .filter(|k| *k == "step_started a")
        .count();
    assert_eq!(starts, 1);
}
