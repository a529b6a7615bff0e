//! A run that is sent back: what is undone, what runs again, and what comes in between.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::{Value, json};

use super::sim::{Sim, action, digest, failure, gate, id, plan, retry, step, undo};
use crate::base::{AttemptNo, HumanDuration, StepId};
use crate::event::{Ballot, EventKind, Failure, FailureKind, Outcome, RollbackResult, Vote};
use crate::model::{Effect, MaxFailures, OnCancel, StepOnFailure, Ty};
use crate::plan::{Expr, Plan, PlanBlock, PlanForEach, PlanRollback, PlanStep};
use crate::run::{CallKind, Command, Undo, decide};

pub(super) fn send_back(sim: &mut Sim, gate: &str, to: &str) {
    let open = sim.state.electorate(&id(gate)).expect("an open gate");
    let ballot = Ballot {
        round: open.round,
        to: Some(id(to)),
        ..Ballot::plain(Vote::SendBack, digest(), None)
    };
    sim.cast(gate, "rea", ballot);
}

/// The story with what belongs to a rewind: `<a` back to a, `>` finished, `!a` failed.
fn tale(sim: &Sim) -> String {
    let words: Vec<String> = sim
        .events
        .iter()
        .filter_map(|e| match &e.event {
            EventKind::StepStarted { step, .. } => Some(format!("+{step}")),
            EventKind::StepExpanded { step, .. } => Some(format!("*{step}")),
            EventKind::UndoStarted { step, .. } => Some(format!("-{step}")),
            EventKind::StepSkipped { step, .. } => Some(format!("~{step}")),
            EventKind::StepFailed { step, .. } => Some(format!("!{step}")),
            EventKind::GateOpened { step, .. } => Some(format!("?{step}")),
            EventKind::RewindStarted { to, .. } => Some(format!("<{to}")),
            EventKind::RewindFinished { .. } => Some(">".to_owned()),
            EventKind::RunFinished { outcome, .. } => Some(outcome.as_str().to_owned()),
            _ => None,
        })
        .collect();
    words.join(" ")
}

pub(super) fn undoable(name: &str, needs: &[&str]) -> PlanStep {
    PlanStep {
        rollback: undo(),
        ..step(name, needs)
    }
}

fn polling(name: &str, needs: &[&str]) -> PlanStep {
    PlanStep {
        until: Some("outputs.ok".into()),
        action: action("probe", Effect::Read),
        ..step(name, needs)
    }
}

pub(super) fn block(
    name: &str,
    needs: &[&str],
    steps: Vec<PlanStep>,
    finally: Vec<PlanStep>,
) -> PlanStep {
    PlanStep {
        action: action("runbook.child", Effect::Once),
        block: Some(Box::new(PlanBlock {
            rules: BTreeMap::new(),
            runbook: "child".into(),
            file: "child.yaml".into(),
            params: BTreeMap::new(),
            steps,
            verify: vec![],
            finally,
            outputs: BTreeMap::new(),
        })),
        ..step(name, needs)
    }
}

pub(super) fn looped(step: PlanStep, items: Value) -> PlanStep {
    PlanStep {
        for_each: Some(PlanForEach {
            item: Ty::Any,
            items: Expr::Value(items),
            max_parallel: 2,
            max_failures: MaxFailures::default(),
        }),
        ..step
    }
}

fn well(_: &StepId, _: bool, _: u32) -> Result<Value, Failure> {
    Ok(json!({ "ok": true }))
}

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
            Ok(json!({ "ok": true }))
        }
    }
}

fn open(steps: Vec<PlanStep>) -> Sim {
    opened(plan(steps, vec![]))
}

/// A run that has come to its gates.
fn opened(plan: Plan) -> Sim {
    let mut sim = Sim::new(plan, 1);
    sim.run(&well, &mut |_| 0);
    sim
}

fn chain() -> Vec<PlanStep> {
    vec![
        undoable("a", &[]),
        undoable("b", &["a"]),
        gate("go", &["b"]),
        step("c", &["go"]),
    ]
}

/// Goes on to the end with a yes at every gate.
fn to_the_end(sim: &mut Sim) {
    for _ in 0..20 {
        sim.run(&well, &mut |_| 0);
        let Some(gate) = sim.state.open_gates().first().cloned() else {
            break;
        };
        sim.vote_of(gate.step.as_str(), "ben", Vote::Approve);
    }
    // Folding again gives the same state.
    let mut again = crate::run::RunState::new(sim.state.plan().clone()).expect("sound");
    for event in &sim.events {
        again.apply(event).expect("legal");
    }
    assert_eq!(
        format!("{:?}", again.nodes().collect::<Vec<_>>()),
        format!("{:?}", sim.state.nodes().collect::<Vec<_>>())
    );
}

#[test]
fn a_story_for_every_way_back() {
    let two = || {
        vec![
            undoable("a", &[]),
            undoable("b", &["a"]),
            undoable("x", &["a"]),
            undoable("side", &[]),
            gate("go", &["b"]),
            undoable("c", &["go"]),
        ]
    };
    let cases: Vec<(Vec<PlanStep>, &str, &str)> = vec![
        (chain(), "b", "+a +b ?go <b -b > +b ?go +c succeeded"),
        (chain(), "a", "+a +b ?go <a -b -a > +a +b ?go +c succeeded"),
        // What depends on the step is undone even when the gate does not need it; the rest stays.
        (
            two(),
            "a",
            "+a +b +x +side ?go <a -b -x -a > +a +b +x ?go +c succeeded",
        ),
        (two(), "b", "+a +b +x +side ?go <b -b > +b ?go +c succeeded"),
        // A gate before the gate asks again.
        (
            vec![
                undoable("a", &[]),
                gate("one", &["a"]),
                undoable("b", &["one"]),
                gate("go", &["b"]),
            ],
            "one",
            "+a ?one +b ?go <one -b > ?one +b ?go succeeded",
        ),
        // What changes nothing needs no undo; a skipped step is judged again.
        (
            vec![
                polling("look", &[]),
                PlanStep {
                    when: Some("1 > 2".into()),
                    ..step("never", &["look"])
                },
                gate("go", &["never"]),
            ],
            "look",
            "+look ~never ?go <look > +look ~never ?go succeeded",
        ),
        // A loop and a sub-runbook are made again.
        (
            vec![
                looped(undoable("l", &[]), json!(["x", "y"])),
                block(
                    "k",
                    &["l"],
                    vec![undoable("i", &[]), undoable("j", &["i"])],
                    vec![step("z", &[])],
                ),
                gate("go", &["k"]),
            ],
            "l",
            "*l +l[x] +l[y] +k +k/i +k/j +k/z ?go <l -k/j -k/i -l[x] -l[y] > \
             *l +l[x] +l[y] +k +k/i +k/j +k/z ?go succeeded",
        ),
    ];
    for (steps, to, expected) in cases {
        let mut sim = open(steps);
        while !sim.state.open_gates().iter().any(|g| g.step == id("go")) {
            let first = sim.state.open_gates()[0].step.clone();
            sim.vote_of(first.as_str(), "ben", Vote::Approve);
            sim.run(&well, &mut |_| 0);
        }
        assert_eq!(sim.state.can_send_back(&id("go"), &id(to)), Ok(()));
        send_back(&mut sim, "go", to);
        to_the_end(&mut sim);
        assert_eq!(tale(&sim), expected, "back to {to}");
    }
}

#[test]
fn attempts_rounds_and_keys_go_on_and_retries_count_anew() {
    let mut steps = chain();
    steps[1].retry = retry(2);
    steps[1].idempotency_key = Some(Expr::Value(json!("mine")));
    let mut sim = open(steps);
    send_back(&mut sim, "go", "a");
    let mut keys = Vec::new();
    for _ in 0..100 {
        if sim.state.open_gates().iter().any(|gate| gate.round == 2) {
            break;
        }
        for command in decide(&sim.state, sim.limits, sim.now) {
            match command {
                Command::Record(event) => sim.record(event),
                Command::Call {
                    target,
                    intent,
                    idempotency_key,
                    ..
                } => {
                    let is_undo = target.call == CallKind::Undo;
                    keys.push((target.step.to_string(), is_undo, idempotency_key));
                    sim.record(intent);
                    sim.running.push((target, false));
                }
                _ => {}
            }
        }
        let Some((target, _)) = sim.running.first().cloned() else {
            sim.advance(5);
            continue;
        };
        let attempt = sim.state.node(&target.step).expect("known").attempt;
        let ends_badly = target.step == id("b") && target.call == CallKind::Action && attempt.0 < 3;
        sim.finish(
            0,
            if ends_badly {
                Err(failure(FailureKind::Error))
            } else {
                Ok(json!({}))
            },
        );
    }
    let run = crate::base::RunId::from_parts(1, 1);
    let key = |step: &str, is_undo, key: Option<String>| (step.to_owned(), is_undo, key);
    assert_eq!(
        keys,
        [
            key("b", true, None),
            key("a", true, None),
            key("a", false, Some(format!("{run}/a/again-1"))),
            key("b", false, Some("mine/again-1".to_owned())),
            key("b", false, Some("mine/again-1".to_owned())),
        ]
    );
    let attempts: Vec<u32> = sim
        .events
        .iter()
        .filter_map(|e| match &e.event {
            EventKind::StepStarted { step, attempt, .. } if *step == id("b") => Some(attempt.0),
            _ => None,
        })
        .collect();
    assert_eq!(
        attempts,
        [1, 2, 3],
        "attempt 2 failed and was repeated as the first of two"
    );
    assert_eq!(sim.state.open_gates()[0].round, 2);
    send_back(&mut sim, "go", "b");
    sim.run(&well, &mut |_| 0);
    assert_eq!(sim.state.open_gates()[0].round, 3);
    let undos: Vec<u32> = sim
        .events
        .iter()
        .filter_map(|e| match &e.event {
            EventKind::UndoStarted { step, attempt, .. } if *step == id("b") => Some(attempt.0),
            _ => None,
        })
        .collect();
    assert_eq!(undos, [1, 2]);
}

#[test]
fn why_a_run_cannot_be_sent_back() {
    let mut steps = vec![
        undoable("a", &[]),
        PlanStep {
            rollback: Some(PlanRollback::Irreversible {
                reason: "the mail is out".into(),
            }),
            ..step("mail", &["a"])
        },
        step("bare", &["mail"]),
        undoable("b", &["bare"]),
        undoable("side", &[]),
        gate("go", &["b"]),
        undoable("c", &["go"]),
        block("k", &["go"], vec![step("i", &[])], vec![]),
    ];
    steps.push(looped(undoable("l", &[]), json!(["x"])));
    let mut sim = open(steps);
    assert_eq!(sim.state.can_send_back(&id("go"), &id("b")), Ok(()));
    assert_eq!(sim.state.rewind_steps(&id("go"), &id("b")), [id("b")]);
    for (gate, to, expected) in [
        ("go", "nope", "the plan has no step `nope`"),
        ("nope", "a", "the run has no gate `nope`"),
        ("a", "a", "`a` is not an open gate"),
        ("go", "k/i", "`k/i` has not been reached"),
        (
            "go",
            "l[x]",
            "`l[x]` and the gate `go` are not steps of the same runbook",
        ),
        (
            "go",
            "side",
            "`side` does not come before the gate `go`; it can be sent back to `a`, `mail`, `bare`, `b`",
        ),
        (
            "go",
            "go",
            "`go` does not come before the gate `go`; it can be sent back to `a`, `mail`, `bare`, `b`",
        ),
        (
            "go",
            "a",
            "`mail` cannot be undone: the mail is out; `bare` cannot be undone: it has no `rollback`",
        ),
        (
            "go",
            "bare",
            "`bare` cannot be undone: it has no `rollback`",
        ),
    ] {
        let (gate_id, to_id) = (id(gate), id(to));
        assert_eq!(
            sim.state
                .can_send_back(&gate_id, &to_id)
                .expect_err("refused"),
            expected
        );
        assert_eq!(sim.state.rewind_steps(&gate_id, &to_id), []);
    }
    // Such a vote counts for nothing, and keeps nobody else from opening the gate.
    send_back(&mut sim, "go", "a");
    sim.run(&well, &mut |_| 0);
    assert!(!tale(&sim).contains('<'), "{}", tale(&sim));
    assert_eq!(sim.state.open_gates().len(), 1);
    let judged = sim.state.judge(&id("go"), sim.now).expect("a gate");
    assert!(
        judged.ignored[0].1.contains("`mail` cannot be undone"),
        "{judged:?}"
    );
    sim.vote_of("go", "ben", Vote::Approve);
    sim.run(&well, &mut |_| 0);
    assert!(tale(&sim).ends_with("succeeded"), "{}", tale(&sim));
    let over = sim.state.can_send_back(&id("go"), &id("b"));
    assert_eq!(over, Err("`go` is not an open gate".to_owned()));
}

/// Two at a time: `a`, then the gate, and beside them what the test adds.
fn wide(more: Vec<PlanStep>) -> Plan {
    let mut steps = vec![undoable("a", &[]), gate("go", &["a"])];
    steps.extend(more);
    plan(steps, vec![step("z", &[])])
}

/// The run when `a` has ended and the gate is open, with what is at work beside it.
fn at_work(plan: Plan) -> Sim {
    let mut sim = Sim::new(plan, 3);
    sim.settle_decisions();
    let a = sim
        .running
        .iter()
        .position(|(target, _)| target.step == id("a"));
    sim.finish(a.expect("a runs"), Ok(json!({})));
    sim.settle_decisions();
    sim
}

#[test]
fn what_runs_comes_to_its_end_and_is_undone_with_the_rest() {
    let more = vec![
        undoable("b", &["a"]),
        undoable("side", &[]),
        undoable("late", &["side"]),
    ];
    let mut sim = at_work(wide(more));
    send_back(&mut sim, "go", "a");
    sim.settle_decisions();
    assert_eq!(
        sim.running.len(),
        2,
        "b and side go on, late does not start"
    );
    assert!(sim.running.iter().all(|(_, stopped)| !stopped));
    assert!(sim.state.open_gates().is_empty());
    assert_eq!(sim.state.rewinding(), Some((&id("go"), &id("a"))));
    assert!(!sim.state.waits_only_for_gates());
    to_the_end(&mut sim);
    assert_eq!(
        tale(&sim),
        "+a +side ?go +b <a -b -a > +a +late ?go +b +z succeeded"
    );
}

#[test]
fn a_failure_before_the_undo_began_is_a_failure_as_ever() {
    let mut sim = at_work(wide(vec![undoable("b", &["a"]), undoable("side", &[])]));
    send_back(&mut sim, "go", "a");
    sim.run(&fails(&["side"]), &mut |_| 0);
    assert_eq!(tale(&sim), "+a +side ?go +b <a !side -b -a +z rolled_back");
    assert_eq!(sim.state.rewinding(), None);
}

#[test]
fn a_retry_in_the_way_back_is_dropped_and_one_beside_it_waits() {
    let again = |name: &str, needs: &[&str]| PlanStep {
        retry: retry(3),
        ..undoable(name, needs)
    };
    let mut sim = at_work(wide(vec![again("b", &["a"]), again("side", &[])]));
    for _ in 0..2 {
        sim.finish(0, Err(failure(FailureKind::Error)));
    }
    sim.settle_decisions();
    send_back(&mut sim, "go", "a");
    sim.settle_decisions();
    sim.advance(60);
    sim.settle_decisions();
    let at_work: Vec<_> = sim
        .running
        .iter()
        .map(|(t, _)| (t.step.as_str(), t.call))
        .collect();
    assert_eq!(
        at_work,
        [("a", CallKind::Undo)],
        "b was never done, side may wait"
    );
    to_the_end(&mut sim);
    assert_eq!(
        tale(&sim),
        "+a +side ?go +b !side !b <a -a > +side +a ?go +b +z succeeded"
    );
    assert_eq!(
        sim.state.node(&id("b")).expect("known").attempt,
        AttemptNo(2)
    );
}

#[test]
fn the_time_of_a_rewind_does_not_count_for_what_waits_beside_it() {
    let side = PlanStep {
        timeout: Some(HumanDuration(Duration::from_secs(10))),
        ..polling("side", &[])
    };
    let mut sim = at_work(wide(vec![side]));
    sim.finish(0, Ok(json!({ "ok": false })));
    sim.settle_decisions();
    send_back(&mut sim, "go", "a");
    sim.settle_decisions();
    sim.advance(60);
    sim.settle_decisions();
    assert_eq!(sim.running.len(), 1, "only the undo");
    to_the_end(&mut sim);
    assert_eq!(tale(&sim), "+a +side ?go <a -a > +a ?go +z succeeded");
}

#[test]
fn an_undo_that_fails_for_good_leaves_the_run_stuck() {
    let mut sim = opened(plan(chain(), vec![step("z", &[])]));
    send_back(&mut sim, "go", "a");
    sim.run(&fails(&["-b"]), &mut |_| 0);
    assert_eq!(tale(&sim), "+a +b ?go <a -b +z stuck");
    assert_eq!(sim.state.not_undone(), [id("a"), id("b")]);
    assert_eq!(sim.state.rollback_result(), RollbackResult::Incomplete);
}

#[test]
fn an_undo_is_tried_again_as_its_policy_says() {
    let mut steps = chain();
    steps[1].rollback = Some(PlanRollback::Undo {
        action: action("undo", Effect::Idempotent),
        retry: retry(2),
        timeout: None,
    });
    let mut sim = open(steps);
    for round in 0..2 {
        send_back(&mut sim, "go", "b");
        sim.run(
            &|_, undo, attempt| match undo && attempt % 2 == 1 {
                true => Err(failure(FailureKind::Error)),
                false => Ok(json!({})),
            },
            &mut |_| 0,
        );
        assert_eq!(sim.state.open_gates().len(), 1, "round {round}");
    }
    assert_eq!(tale(&sim), "+a +b ?go <b -b -b > +b ?go <b -b -b > +b ?go");
}

#[test]
fn whoever_ends_the_run_meanwhile_waits_for_the_undo_under_way() {
    for (rollback, timeout, expected, undone) in [
        (false, false, "+a +b ?go <a -b +z cancelled", vec![id("b")]),
        (
            true,
            false,
            "+a +b ?go <a -b -a +z cancelled",
            vec![id("a"), id("b")],
        ),
        (
            true,
            true,
            "+a +b ?go <a -b -a +z rolled_back",
            vec![id("a"), id("b")],
        ),
    ] {
        let mut plan = plan(chain(), vec![step("z", &[])]);
        if rollback {
            plan.on_cancel = OnCancel::Rollback;
        }
        if timeout {
            plan.timeout = Some(HumanDuration(Duration::from_secs(60)));
        }
        let mut sim = opened(plan);
        send_back(&mut sim, "go", "a");
        sim.settle_decisions();
        if timeout {
            sim.advance(61);
        } else {
            sim.cancel();
        }
        sim.settle_decisions();
        assert_eq!(sim.running.len(), 1, "the undo goes on");
        assert!(!sim.running[0].1, "and is not stopped");
        to_the_end(&mut sim);
        assert_eq!(tale(&sim), expected);
        let nodes = sim.state.nodes();
        let done: Vec<StepId> = nodes
            .filter(|(_, n)| n.undo == Undo::Done)
            .map(|(_, n)| n.id.clone())
            .collect();
        assert_eq!(done, undone);
        assert_eq!(sim.state.not_undone(), []);
    }
}

#[test]
fn a_cancel_before_the_undo_began_is_a_cancel_as_ever() {
    let mut sim = at_work(wide(vec![undoable("b", &["a"])]));
    send_back(&mut sim, "go", "a");
    sim.settle_decisions();
    sim.cancel();
    to_the_end(&mut sim);
    assert_eq!(tale(&sim), "+a ?go +b <a !b +z cancelled");
}

#[test]
fn an_undo_half_done_when_the_run_was_cancelled_is_not_passed_over() {
    let mut steps = chain();
    steps[1].rollback = Some(PlanRollback::Undo {
        action: action("undo", Effect::Idempotent),
        retry: retry(3),
        timeout: None,
    });
    let mut sim = open(steps);
    send_back(&mut sim, "go", "a");
    sim.settle_decisions();
    sim.cancel();
    sim.finish(0, Err(failure(FailureKind::Error)));
    to_the_end(&mut sim);
    assert_eq!(tale(&sim), "+a +b ?go <a -b stuck");
    assert_eq!(sim.state.not_undone(), [id("a"), id("b")]);
}

#[test]
fn a_tolerated_failure_that_is_taken_back_is_no_exception() {
    let mut steps = chain();
    steps[1].on_failure = StepOnFailure::Continue;
    let mut sim = Sim::new(plan(steps, vec![]), 1);
    sim.run(&fails(&["b"]), &mut |_| 0);
    assert_eq!(
        sim.state.prospective_outcome(),
        Outcome::CompletedWithExceptions
    );
    send_back(&mut sim, "go", "b");
    to_the_end(&mut sim);
    assert_eq!(tale(&sim), "+a +b !b ?go <b > +b ?go +c succeeded");
}

#[test]
fn what_is_open_on_the_way_back_is_closed_and_cleans_up() {
    let inside = vec![
        undoable("i", &[]),
        polling("p", &["i"]),
        PlanStep {
            retry: retry(2),
            ..undoable("r", &["i"])
        },
        gate("ask", &["i"]),
        undoable("n", &["ask"]),
    ];
    let mut sim = at_work(wide(vec![block(
        "k",
        &["a"],
        inside,
        vec![step("clean", &[])],
    )]));
    sim.finish(0, Ok(json!({})));
    sim.settle_decisions();
    sim.finish(0, Ok(json!({ "ok": false })));
    sim.settle_decisions();
    assert_eq!(sim.state.open_gates().len(), 2);
    send_back(&mut sim, "go", "a");
    sim.settle_decisions();
    assert!(sim.state.open_gates().is_empty());
    // It has tries left, but is not tried again here; that is no failure of the run.
    sim.finish(0, Err(failure(FailureKind::Error)));
    to_the_end(&mut sim);
    assert_eq!(
        tale(&sim),
        "+a ?go +k +k/i +k/p +k/r ?k/ask <a !k/p ~k/ask !k/r !k/r +k/clean !k -k/i -a > \
         +a ?go +k +k/i +k/p +k/r ?k/ask +k/n +k/clean +z succeeded"
    );
}

#[test]
fn one_instance_goes_back_and_the_others_stay() {
    let inside = vec![undoable("i", &[]), gate("ask", &["i"])];
    let mut sim = open(vec![looped(
        block("k", &[], inside, vec![]),
        json!(["x", "y"]),
    )]);
    send_back(&mut sim, "k[y]/ask", "k[y]/i");
    sim.run(&well, &mut |_| 0);
    let rounds: Vec<u32> = sim
        .state
        .open_gates()
        .iter()
        .map(|gate| gate.round)
        .collect();
    assert_eq!(rounds, [1, 2]);
    to_the_end(&mut sim);
    assert_eq!(
        tale(&sim),
        "*k +k[x] +k[y] +k[x]/i ?k[x]/ask +k[y]/i ?k[y]/ask <k[y]/i -k[y]/i > \
         +k[y]/i ?k[y]/ask succeeded"
    );
}

#[test]
fn a_gate_with_instances_goes_back_to_a_step_before_its_loop() {
    let mut sim = open(vec![
        undoable("a", &[]),
        looped(gate("go", &["a"]), json!(["x", "y"])),
    ]);
    send_back(&mut sim, "go[y]", "a");
    to_the_end(&mut sim);
    assert_eq!(
        tale(&sim),
        "+a *go ?go[x] ?go[y] <a ~go[x] ~go[y] !go -a > +a *go ?go[x] ?go[y] succeeded"
    );
}

#[test]
fn gates_beside_the_way_back_stay_open_and_the_clock_stands_still_for_them() {
    let mut sim = at_work(wide(vec![gate("other", &[]), gate("next", &["a"])]));
    assert_eq!(sim.state.open_gates().len(), 3);
    send_back(&mut sim, "go", "a");
    sim.settle_decisions();
    assert_eq!(sim.state.open_gates().len(), 1);
    assert!(sim.state.paused_since.is_some());
    sim.vote_of("other", "ben", Vote::Approve);
    sim.settle_decisions();
    assert_eq!(
        sim.state.open_gates().len(),
        1,
        "it opens when the rewind is over"
    );
    sim.finish(0, Ok(json!({})));
    sim.settle_decisions();
    assert!(sim.state.open_gates().is_empty());
    assert!(sim.state.paused_since.is_none());
    to_the_end(&mut sim);
    assert_eq!(
        tale(&sim),
        "+a ?other ?go ?next <a -a > +a ?go ?next +z succeeded"
    );
}

#[test]
fn a_lost_once_step_on_the_way_back_waits_for_a_word_and_others_are_made_again() {
    for (effect, waits) in [(Effect::Once, true), (Effect::Idempotent, false)] {
        let b = PlanStep {
            action: action("test", effect),
            ..undoable("b", &["a"])
        };
        let plan = wide(vec![b]);
        let mut sim = at_work(plan.clone());
        send_back(&mut sim, "go", "a");
        sim.settle_decisions();
        let mut sim = Sim::resumed(plan, 3, &sim.events);
        to_the_end(&mut sim);
        if waits {
            assert_eq!(sim.state.interrupted(), Some(&id("b")));
            assert_eq!(tale(&sim), "+a ?go +b <a");
        } else {
            assert_eq!(tale(&sim), "+a ?go +b <a +b -b -a > +a ?go +b +z succeeded");
        }
    }
}

#[test]
fn a_lost_undo_is_made_again_unless_it_must_happen_once() {
    for (effect, expected) in [
        (
            Effect::Idempotent,
            "+a +b ?go <b -b -b > +b ?go +c succeeded",
        ),
        (Effect::Once, "+a +b ?go <b -b stuck"),
    ] {
        let mut steps = chain();
        steps[1].rollback = Some(PlanRollback::Undo {
            action: action("undo", effect),
            retry: retry(3),
            timeout: None,
        });
        let mut sim = open(steps.clone());
        send_back(&mut sim, "go", "b");
        sim.settle_decisions();
        let mut sim = Sim::resumed(plan(steps, vec![]), 1, &sim.events);
        to_the_end(&mut sim);
        assert_eq!(tale(&sim), expected);
    }
}

#[test]
fn what_cannot_follow_is_refused() {
    let refused = |sim: &Sim, event: EventKind| {
        let event = crate::event::RunEvent {
            run: crate::base::RunId::from_parts(1, 1),
            seq: crate::base::EventSeq(sim.events.len() as u64 + 1),
            at: sim.now,
            event,
        };
        sim.state.clone().apply(&event).expect_err("refused").reason
    };
    let started = |steps: &[&str]| EventKind::RewindStarted {
        step: id("go"),
        to: id("a"),
        steps: steps.iter().map(|step| id(step)).collect(),
    };
    let finished = || EventKind::RewindFinished {
        step: id("go"),
        to: id("a"),
    };
    let mut sim = open(chain());
    assert_eq!(
        refused(&sim, started(&["b", "a"])),
        "its votes do not ask for that"
    );
    assert_eq!(
        refused(&sim, finished()),
        "the run is not being sent back so"
    );
    send_back(&mut sim, "go", "a");
    assert_eq!(
        refused(&sim, started(&["a", "b"])),
        "these are not the steps that are to be undone"
    );
    sim.record(started(&["b", "a"]));
    assert_eq!(
        refused(&sim, started(&["b", "a"])),
        "`go` is not an open gate"
    );
    assert_eq!(
        refused(&sim, finished()),
        "there are steps left to be undone"
    );
    let undo = |step: &str, attempt| EventKind::UndoStarted {
        step: id(step),
        attempt: AttemptNo(attempt),
        inputs: json!({}),
    };
    assert_eq!(
        refused(&sim, undo("a", 1)),
        "it is not its turn to be undone"
    );
    assert_eq!(refused(&sim, undo("b", 2)), "attempt 1 was expected");
    to_the_end(&mut sim);
    assert!(tale(&sim).ends_with("succeeded"));
}
