//! Single cases: what is done next, in which order, and how it ends.

use serde_json::{Value, json};

use super::sim::{Sim, failure, gate, id, plan, retry, step, undo};
use crate::base::{AttemptNo, EventSeq, HumanDuration, StepId};
use crate::event::{EventKind, Failure, FailureKind, Outcome, RollbackResult, RunStatus, Vote};
use crate::model::{Effect, OnCancel, StepOnFailure};
use crate::plan::{Plan, PlanStep};
use crate::run::{Halt, NodeStatus};

fn fails(names: &'static [&'static str]) -> impl Fn(&StepId, bool, u32) -> Result<Value, Failure> {
    move |step, undo, _| {
        let name = if undo {
            format!("-{step}")
        } else {
            step.to_string()
        };
        if names.contains(&name.as_str()) {
            Err(failure(FailureKind::Error))
        } else {
            Ok(json!({}))
        }
    }
}

fn played(plan: Plan, failing: &'static [&'static str]) -> Sim {
    let mut sim = Sim::new(plan, 1);
    sim.run(&fails(failing), &mut |_| 0);
    sim
}

fn undoable(name: &str, needs: &[&str]) -> PlanStep {
    PlanStep {
        rollback: undo(),
        ..step(name, needs)
    }
}

fn secs(n: u64) -> HumanDuration {
    HumanDuration(std::time::Duration::from_secs(n))
}

#[test]
fn a_story_for_every_ending() {
    let chain = || vec![undoable("a", &[]), undoable("b", &["a"]), step("c", &["b"])];
    let stop = |mut steps: Vec<PlanStep>| {
        steps[2].on_failure = StepOnFailure::Stop;
        steps
    };
    let tolerate = |mut steps: Vec<PlanStep>| {
        steps[1].on_failure = StepOnFailure::Continue;
        steps
    };
    let last = || vec![step("z", &[])];
    let cases: Vec<(Plan, &[&str], &str)> = vec![
        (plan(chain(), vec![]), &[], "+a +b +c succeeded"),
        (plan(chain(), last()), &[], "+a +b +c +z succeeded"),
        (
            plan(chain(), last()),
            &["c"],
            "+a +b +c -b -a +z rolled_back",
        ),
        (plan(chain(), last()), &["a"], "+a +z rolled_back"),
        (plan(stop(chain()), last()), &["c"], "+a +b +c +z failed"),
        (
            plan(tolerate(chain()), vec![]),
            &["b"],
            "+a +b +c completed_with_exceptions",
        ),
        (
            plan(chain(), last()),
            &["z"],
            "+a +b +c +z completed_with_exceptions",
        ),
        (plan(chain(), last()), &["c", "-b"], "+a +b +c -b +z stuck"),
        (plan(vec![], vec![]), &[], "succeeded"),
    ];
    for (plan, failing, story) in cases {
        let sim = played(plan, failing);
        assert_eq!(sim.story().join(" "), story, "failing: {failing:?}");
        assert_eq!(sim.state.status(), RunStatus::Finished);
    }
}

#[test]
fn a_stuck_run_says_what_is_left_undone() {
    let sim = played(
        plan(
            vec![undoable("a", &[]), undoable("b", &["a"]), step("c", &["b"])],
            vec![],
        ),
        &["c", "-b"],
    );
    assert_eq!(sim.state.rollback_result(), RollbackResult::Incomplete);
    assert_eq!(sim.state.not_undone(), [id("a"), id("b")]);
}

#[test]
fn independent_branches_run_and_are_undone_in_parallel() {
    let mut sim = Sim::new(
        plan(
            vec![
                undoable("a", &[]),
                undoable("b", &[]),
                undoable("c", &["a", "b"]),
                step("d", &["c"]),
            ],
            vec![],
        ),
        8,
    );
    sim.settle_decisions();
    assert_eq!(sim.running.len(), 2);
    sim.run(&fails(&["d"]), &mut |_| 0);
    assert_eq!(sim.story().join(" "), "+a +b +c +d -c -a -b rolled_back");
    let undo_starts: Vec<u64> = sim
        .events
        .iter()
        .filter(|e| matches!(e.event, EventKind::UndoStarted { .. }))
        .map(|e| e.seq.0)
        .collect();
    assert_eq!(undo_starts[2], undo_starts[1] + 1, "a and b start together");
}

#[test]
fn dependence_through_a_step_without_an_undo_still_orders_the_rollback() {
    let sim = played(
        plan(
            vec![
                undoable("a", &[]),
                step("between", &["a"]),
                undoable("b", &["between"]),
                step("bad", &["b"]),
            ],
            vec![],
        ),
        &["bad"],
    );
    assert_eq!(
        sim.story().join(" "),
        "+a +between +b +bad -b -a rolled_back"
    );
}

#[test]
fn after_a_failure_running_steps_end_and_nothing_new_starts() {
    let mut sim = Sim::new(
        plan(
            vec![undoable("a", &[]), step("bad", &[]), step("after", &["a"])],
            vec![],
        ),
        8,
    );
    sim.settle_decisions();
    sim.finish(1, Err(failure(FailureKind::Error)));
    sim.settle_decisions();
    assert_eq!(sim.state.status(), RunStatus::Stopping);
    assert_eq!(sim.running.len(), 1, "a may end");
    sim.finish(0, Ok(json!({})));
    sim.run(&fails(&[]), &mut |_| 0);
    assert_eq!(sim.story().join(" "), "+a +bad -a rolled_back");
}

#[test]
fn retries_wait_and_stop_at_the_limit() {
    let flaky = PlanStep {
        retry: retry(3),
        ..step("a", &[])
    };
    let mut sim = Sim::new(plan(vec![flaky.clone()], vec![]), 1);
    let start = sim.now;
    sim.run(
        &|_, _, attempt| {
            if attempt < 3 {
                Err(failure(FailureKind::Unavailable))
            } else {
                Ok(json!({}))
            }
        },
        &mut |_| 0,
    );
    assert_eq!(sim.story().join(" "), "+a +a +a succeeded");
    assert_eq!(sim.now.since(start).as_secs(), 2);
    let sim = played(plan(vec![flaky], vec![]), &["a"]);
    assert_eq!(sim.story().join(" "), "+a +a +a rolled_back");
}

#[test]
fn polling_repeats_until_it_holds_or_time_runs_out() {
    let poll = PlanStep {
        until: Some("outputs.ok".into()),
        timeout: Some(secs(5)),
        action: super::sim::action("probe", Effect::Read),
        ..step("a", &[])
    };
    let mut sim = Sim::new(plan(vec![poll.clone()], vec![]), 1);
    let polls = std::cell::Cell::new(0);
    sim.run(
        &|_, _, _| {
            polls.set(polls.get() + 1);
            match polls.get() {
                1 => Err(failure(FailureKind::Unavailable)),
                2 => Ok(json!({ "ok": false })),
                _ => Ok(json!({ "ok": true })),
            }
        },
        &mut |_| 0,
    );
    assert_eq!(sim.story().join(" "), "+a succeeded");
    assert_eq!(polls.get(), 3);
    let mut sim = Sim::new(plan(vec![poll], vec![]), 1);
    sim.run(&|_, _, _| Ok(json!({ "ok": false })), &mut |_| 0);
    assert_eq!(sim.story().join(" "), "+a rolled_back");
    let node = sim.state.node(&id("a")).expect("there");
    let failure = node.failure.clone().expect("failed");
    assert_eq!(failure.sort, FailureKind::Timeout);
    assert!(failure.error.to_string().contains(r#"{"ok":false}"#));
}

#[test]
fn time_that_runs_out_during_a_poll_tells_what_the_poll_before_it_gave() {
    let poll = PlanStep {
        until: Some("outputs.ok".into()),
        timeout: Some(secs(5)),
        action: super::sim::action("probe", Effect::Read),
        ..step("a", &[])
    };
    for (answers, words) in [
        (
            vec![Ok(json!({ "ok": false }))],
            r#"`outputs.ok` did not hold within 5s (2 polls): the last poll gave {"ok":false}"#,
        ),
        (vec![], "took longer than its timeout of 5s"),
    ] {
        let mut sim = Sim::new(plan(vec![poll.clone()], vec![]), 1);
        sim.settle_decisions();
        for answer in answers {
            sim.finish(0, answer);
            sim.settle_decisions();
            sim.advance(1);
            sim.settle_decisions();
        }
        assert_eq!(sim.running.len(), 1, "a poll is under way");
        sim.advance(5);
        sim.settle_decisions();
        assert!(sim.running[0].1, "asked to end");
        sim.finish(0, Ok(json!({})));
        let failure = sim.state.node(&id("a")).and_then(|n| n.failure.clone());
        let failure = failure.expect("failed");
        assert_eq!(failure.sort, FailureKind::Timeout);
        assert_eq!(failure.error.to_string(), words);
    }
}

#[test]
fn a_step_that_takes_too_long_is_stopped_and_says_so() {
    let slow = PlanStep {
        timeout: Some(secs(5)),
        ..step("a", &[])
    };
    let mut sim = Sim::new(plan(vec![slow], vec![]), 1);
    assert_eq!(sim.settle_decisions(), Some(sim.now.plus(secs(5).0)));
    sim.advance(5);
    sim.settle_decisions();
    assert!(sim.running[0].1, "asked to end");
    sim.finish(0, Ok(json!({})));
    let failure = sim.state.node(&id("a")).and_then(|n| n.failure.clone());
    assert_eq!(failure.expect("failed").sort, FailureKind::Timeout);
}

#[test]
fn the_run_timeout_stops_steps_but_does_not_count_waiting_at_gates() {
    let mut timed = plan(vec![gate("ok", &[]), step("a", &["ok"])], vec![]);
    timed.timeout = Some(secs(10));
    let mut sim = Sim::new(timed, 1);
    sim.settle_decisions();
    sim.advance(3_600);
    assert_eq!(sim.settle_decisions(), None);
    sim.vote("ok", Vote::Approve);
    sim.settle_decisions();
    assert_eq!(sim.running.len(), 1);
    sim.advance(10);
    sim.settle_decisions();
    assert_eq!(sim.state.halt(), Some(&Halt::TimedOut));
    sim.run(&fails(&[]), &mut |_| 0);
    assert_eq!(sim.state.outcome(), Some(Outcome::RolledBack));
}

#[test]
fn gates_hold_only_what_comes_after_them() {
    let steps = || {
        vec![
            gate("ok", &[]),
            undoable("free", &[]),
            step("held", &["ok"]),
        ]
    };
    for (vote, story) in [
        (Some(Vote::Approve), "?ok +free +held succeeded"),
        (Some(Vote::Reject), "?ok +free -free rejected"),
        (None, "?ok +free"),
    ] {
        let mut sim = Sim::new(plan(steps(), vec![]), 1);
        sim.run(&fails(&[]), &mut |_| 0);
        assert!(sim.state.waits_only_for_gates());
        assert_eq!(sim.state.status(), RunStatus::Waiting);
        if let Some(vote) = vote {
            sim.vote("ok", vote);
            sim.run(&fails(&[]), &mut |_| 0);
        }
        assert_eq!(sim.story().join(" "), story);
    }
}

#[test]
fn a_gate_expires_and_never_approves() {
    let asked = PlanStep {
        timeout: Some(secs(60)),
        ..gate("ok", &[])
    };
    let sim = played(plan(vec![asked, step("a", &["ok"])], vec![]), &[]);
    assert_eq!(sim.story().join(" "), "?ok expired");
}

#[test]
fn cancel_stops_running_steps_and_waiting_ones() {
    for (on_cancel, story) in [
        (OnCancel::Stop, "+a +b ?ok ~ok +z cancelled"),
        (OnCancel::Rollback, "+a +b ?ok ~ok -a +z cancelled"),
    ] {
        let mut cancelled = plan(
            vec![
                undoable("a", &[]),
                step("b", &["a"]),
                gate("ok", &["a"]),
                step("c", &["b", "ok"]),
            ],
            vec![step("z", &[])],
        );
        cancelled.on_cancel = on_cancel;
        let mut sim = Sim::new(cancelled, 8);
        sim.settle_decisions();
        sim.finish(0, Ok(json!({})));
        sim.settle_decisions();
        sim.cancel();
        sim.settle_decisions();
        assert!(sim.running[0].1, "b is asked to end");
        sim.run(&fails(&[]), &mut |_| 0);
        assert_eq!(sim.story().join(" "), story);
    }
}

#[test]
fn conditions_skip_and_what_follows_still_runs() {
    let skipped = PlanStep {
        when: Some("1 > 2".into()),
        ..step("a", &[])
    };
    let sim = played(plan(vec![skipped, step("b", &["a"])], vec![]), &[]);
    assert_eq!(sim.story().join(" "), "~a +b succeeded");
    let broken = PlanStep {
        when: Some("steps.nowhere.outputs.x > 2".into()),
        ..step("a", &[])
    };
    let sim = played(plan(vec![broken], vec![]), &[]);
    assert_eq!(sim.story().join(" "), "rolled_back");
}

#[test]
fn verify_makes_a_success_a_failure() {
    let proved = PlanStep {
        verify: Some("outputs.ok".into()),
        ..step("a", &[])
    };
    let mut sim = Sim::new(plan(vec![proved], vec![]), 1);
    sim.run(&|_, _, _| Ok(json!({ "ok": false })), &mut |_| 0);
    let failure = sim.state.node(&id("a")).and_then(|n| n.failure.clone());
    assert_eq!(failure.expect("failed").sort, FailureKind::Verify);
    assert_eq!(sim.state.outcome(), Some(Outcome::RolledBack));
}

#[test]
fn after_a_crash_idempotent_work_runs_again_and_once_is_asked_about() {
    for (effect, expected) in [
        (Effect::Read, "+a +a succeeded"),
        (Effect::Idempotent, "+a +a succeeded"),
        (Effect::Once, "+a"),
    ] {
        let lost = PlanStep {
            action: super::sim::action("test", effect),
            ..step("a", &[])
        };
        let mut sim = Sim::new(plan(vec![lost], vec![]), 1);
        sim.settle_decisions();
        sim.running.clear();
        sim.record(EventKind::RunResumed {
            actor: super::sim::actor(),
            version: "0".into(),
        });
        sim.run(&fails(&[]), &mut |_| 0);
        assert_eq!(sim.story().join(" "), expected);
        assert_eq!(sim.state.interrupted().is_some(), effect == Effect::Once);
    }
}

#[test]
fn an_unknown_fate_at_the_end_lets_the_other_final_steps_run_and_then_asks() {
    let once = |name, needs: &[&str]| PlanStep {
        action: super::sim::action("test", Effect::Once),
        ..step(name, needs)
    };
    let finally = vec![once("y", &[]), step("z", &[])];
    let mut sim = Sim::new(plan(vec![step("bad", &[])], finally), 1);
    sim.settle_decisions();
    sim.finish(0, Err(failure(FailureKind::Error)));
    sim.settle_decisions();
    assert_eq!(sim.running[0].0.step, id("y"));
    sim.running.clear();
    sim.record(EventKind::RunResumed {
        actor: super::sim::actor(),
        version: "0".into(),
    });
    sim.run(&fails(&[]), &mut |_| 0);
    assert_eq!(sim.story().join(" "), "+bad +y +z");
    assert_eq!(sim.state.interrupted(), Some(&id("y")));
    assert_eq!(sim.state.prospective_outcome(), Outcome::Stuck);
    assert!(matches!(sim.state.halt(), Some(Halt::StepFailed { .. })));
}

#[test]
fn what_cannot_follow_is_refused() {
    let event = |kind: EventKind, seq: u64, sim: &Sim| crate::event::RunEvent {
        run: sim.events[0].run,
        seq: EventSeq(seq),
        at: sim.now,
        event: kind,
    };
    let started = |name: &str, attempt| EventKind::StepStarted {
        step: id(name),
        attempt: AttemptNo(attempt),
        inputs: Value::Null,
        idempotency_key: None,
    };
    let cases: Vec<(EventKind, u64, &str)> = vec![
        (started("a", 1), 5, "event 2 was expected"),
        (started("b", 1), 2, "not settled"),
        (started("a", 2), 2, "attempt 1 was expected"),
        (started("nowhere", 1), 2, "no such step"),
        (started("z", 1), 2, "nothing of its part"),
        (
            EventKind::GateApproved {
                step: id("a"),
                confirmed: None,
            },
            2,
            "not an open gate",
        ),
        (EventKind::FinallyStarted, 2, "still at work"),
        (
            EventKind::RunFinished {
                outcome: Outcome::Succeeded,
                rollback: RollbackResult::None,
                outputs: crate::base::Map::new(),
                duration_ms: 0,
                recovery_ms: None,
            },
            2,
            "not over yet",
        ),
    ];
    for (kind, seq, reason) in cases {
        let sim = Sim::new(
            plan(
                vec![step("a", &[]), step("b", &["a"])],
                vec![step("z", &[])],
            ),
            1,
        );
        let refused = sim
            .state
            .clone()
            .apply(&event(kind, seq, &sim))
            .expect_err(reason);
        assert!(refused.to_string().contains(reason), "{refused}");
        let ready = sim.state.node(&id("a")).expect("there");
        assert_eq!(ready.status, NodeStatus::Pending);
    }
}

#[test]
fn max_parallel_bounds_the_running_steps() {
    let wide = (0..20)
        .map(|i| step(&format!("s{i}"), &[]))
        .collect::<Vec<_>>();
    let mut sim = Sim::new(plan(wide, vec![]), 3);
    sim.run(&fails(&[]), &mut |n| n - 1);
    assert_eq!(sim.most_running, 3);
    assert_eq!(sim.state.outcome(), Some(Outcome::Succeeded));
}
