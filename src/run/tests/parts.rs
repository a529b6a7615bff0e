//! Single cases of loops, sub-runbooks, `unless`, `verify`, keys and secrets.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::sim::{Sim, action, failure, gate, id, plan, step, undo};
use crate::base::{HumanDuration, StepId};
use crate::event::{EventKind, Failure, FailureKind, Outcome, SkipReason, Vote};
use crate::model::{Effect, Escape, MaxFailures, SecretSource, StepOnFailure, Ty};
use crate::plan::{Expr, PlanBlock, PlanForEach, PlanParamRule, PlanStep, PlanUnless};
use crate::run::{NodeStatus, Undo};

fn template(text: &str) -> Expr {
    Expr::Template {
        text: text.into(),
        escape: Escape::None,
    }
}

fn looped(name: &str, needs: &[&str], items: Value, max_parallel: u32) -> PlanStep {
    PlanStep {
        for_each: Some(PlanForEach {
            item: Ty::Any,
            items: Expr::Value(items),
            max_parallel,
            max_failures: MaxFailures::default(),
        }),
        rollback: undo(),
        ..step(name, needs)
    }
}

fn block(name: &str, needs: &[&str], steps: Vec<PlanStep>, finally: Vec<PlanStep>) -> PlanStep {
    PlanStep {
        action: action("runbook.child", Effect::Once),
        block: Some(Box::new(PlanBlock {
            rules: Default::default(),
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

fn undoable(name: &str, needs: &[&str]) -> PlanStep {
    PlanStep {
        rollback: undo(),
        ..step(name, needs)
    }
}

fn fails(names: &'static [&'static str]) -> impl Fn(&StepId, bool, u32) -> Result<Value, Failure> {
    move |step, undo, _| {
        if !undo && names.contains(&step.as_str()) {
            Err(failure(FailureKind::Error))
        } else {
            Ok(json!({ "id": step.as_str() }))
        }
    }
}

fn played(steps: Vec<PlanStep>, finally: Vec<PlanStep>, failing: &'static [&'static str]) -> Sim {
    let mut sim = Sim::new(plan(steps, finally), 1);
    sim.run(&fails(failing), &mut |_| 0);
    sim
}

#[test]
fn a_story_for_every_way_through_loops_and_sub_runbooks() {
    let services = || json!(["api", "db", "web"]);
    let child = || vec![undoable("x", &[]), step("y", &["x"])];
    let tolerant = |step: PlanStep| PlanStep {
        on_failure: StepOnFailure::Continue,
        ..step
    };
    let one_may_fail = |mut step: PlanStep| {
        if let Some(for_each) = &mut step.for_each {
            for_each.max_failures = MaxFailures::Percent(34);
        }
        step
    };
    let last = || vec![step("z", &[])];
    let cases: Vec<(Vec<PlanStep>, &[&str], &str)> = vec![
        (
            vec![looped("a", &[], services(), 1), step("b", &["a"])],
            &[],
            "+a[api] +a[db] +a[web] +b +z succeeded",
        ),
        (
            vec![looped("a", &[], services(), 1), step("b", &["a"])],
            &["b"],
            "+a[api] +a[db] +a[web] +b -a[web] -a[db] -a[api] +z rolled_back",
        ),
        (
            vec![looped("a", &[], services(), 1)],
            &["a[db]"],
            "+a[api] +a[db] ~a[web] -a[api] +z rolled_back",
        ),
        (
            vec![
                one_may_fail(looped("a", &[], services(), 1)),
                step("b", &["a"]),
            ],
            &["a[db]"],
            "+a[api] +a[db] +a[web] +b +z completed_with_exceptions",
        ),
        (
            vec![tolerant(looped("a", &[], services(), 1)), step("b", &["a"])],
            &["a[api]"],
            "+a[api] ~a[db] ~a[web] +b +z completed_with_exceptions",
        ),
        (
            vec![looped("a", &[], json!([]), 1), step("b", &["a"])],
            &[],
            "+b +z succeeded",
        ),
        (
            vec![looped("a", &[], json!(["x y", "z"]), 1)],
            &[],
            "+a[0] +a[1] +z succeeded",
        ),
        (
            vec![looped("a", &[], json!([1, 1]), 1)],
            &[],
            "+a[0] +a[1] +z succeeded",
        ),
        (
            vec![block("a", &[], child(), last()), step("b", &["a"])],
            &[],
            "+a +a/x +a/y +a/z +b +z succeeded",
        ),
        // The whole run ends: what the sub-runbook owes is done after the rollback.
        (
            vec![block("a", &[], child(), last()), step("b", &["a"])],
            &["a/y"],
            "+a +a/x +a/y -a/x +a/z +z rolled_back",
        ),
        // The run goes on: it is done at once.
        (
            vec![
                tolerant(block("a", &[], child(), last())),
                step("b", &["a"]),
            ],
            &["a/x"],
            "+a +a/x ~a/y +a/z +b +z completed_with_exceptions",
        ),
        (
            vec![block("a", &[], child(), last()), step("b", &["a"])],
            &["b"],
            "+a +a/x +a/y +a/z +b -a/x +z rolled_back",
        ),
        // Innermost first.
        (
            vec![block(
                "a",
                &[],
                vec![block("c", &[], child(), last())],
                last(),
            )],
            &["a/c/y"],
            "+a +a/c +a/c/x +a/c/y -a/c/x +a/c/z +a/z +z rolled_back",
        ),
    ];
    for (steps, failing, story) in cases {
        let sim = played(steps, last(), failing);
        assert_eq!(sim.story().join(" "), story, "failing: {failing:?}");
    }
}

#[test]
fn instances_see_their_item_and_give_a_list() {
    let mut a = looped("a", &[], json!(["api", "db"]), 2);
    a.action.with = Expr::Map(BTreeMap::from([(
        "text".into(),
        template("{{ index }}:{{ item }}"),
    )]));
    a.when = Some("item != 'db' || index > 5".into());
    a.idempotency_key = Some(template("{{ run.runbook }}-{{ item }}"));
    let mut b = step("b", &["a"]);
    b.action.with = template("{{ steps.a.outputs }}");
    let sim = played(vec![a, b], vec![], &[]);
    assert_eq!(sim.story().join(" "), "+a[api] ~a[db] +b succeeded");
    let api = sim.state.node(&id("a[api]")).expect("there");
    assert_eq!(api.inputs, json!({ "text": "0:api" }));
    assert_eq!(api.idempotency_key.as_deref(), Some("test-api"));
    assert_eq!(
        sim.state.node(&id("b")).expect("there").inputs,
        json!([{ "id": "a[api]" }])
    );
}

#[test]
fn a_list_that_is_none_or_too_long_fails_the_loop_before_anything_starts() {
    let long: Vec<Value> = (0..1_001).map(|n| json!(n)).collect();
    for (items, words) in [
        (json!("api"), "must give a list, but it gives text"),
        (Value::Array(long), "gives 1001 items"),
    ] {
        let sim = played(vec![looped("a", &[], items, 1)], vec![], &[]);
        assert_eq!(sim.story().join(" "), "rolled_back");
        let failure = sim.state.node(&id("a")).and_then(|n| n.failure.clone());
        let failure = failure.expect("failed");
        assert_eq!(failure.sort, FailureKind::Invalid);
        assert!(
            failure.error.to_string().contains(words),
            "{}",
            failure.error
        );
    }
}

#[test]
fn a_sub_runbook_sees_its_own_parameters_and_gives_outputs() {
    let mut x = step("x", &[]);
    x.action.with = template("{{ params.target }}");
    let mut call = block("a", &[], vec![x], vec![]);
    call.action.with = Expr::Map(BTreeMap::from([(
        "target".into(),
        template("{{ run.runbook }}"),
    )]));
    call.verify = Some("outputs.who == 'a/x'".into());
    if let Some(block) = &mut call.block {
        block.params.insert("target".into(), Ty::String);
        block
            .outputs
            .insert("who".into(), template("{{ steps.x.outputs.id }}"));
    }
    let sim = played(vec![call], vec![], &[]);
    assert_eq!(sim.state.outcome(), Some(Outcome::Succeeded));
    assert_eq!(
        sim.state.node(&id("a/x")).expect("there").inputs,
        json!("test")
    );
    assert_eq!(
        sim.state.node(&id("a")).expect("there").outputs,
        json!({ "who": "a/x" })
    );
}

#[test]
fn secrets_are_markers_and_those_of_parameters_are_not_listed() {
    let mut a = step("a", &[]);
    a.action.with = template("{{ secrets.db }}");
    let mut with_secrets = plan(vec![a], vec![]);
    for name in ["db", "params.token"] {
        let source = SecretSource::Env("X".into());
        with_secrets.secrets.insert(name.into(), source);
    }
    let mut sim = Sim::new(with_secrets, 1);
    sim.run(&fails(&[]), &mut |_| 0);
    let inputs = &sim.state.node(&id("a")).expect("there").inputs;
    assert_eq!(inputs, &json!("\u{2063}[secret db]\u{2063}"));
}

#[test]
fn the_time_of_a_sub_runbook_ends_what_runs_in_it_and_then_it_cleans_up() {
    let mut a = block(
        "a",
        &[],
        vec![undoable("x", &[]), step("y", &["x"])],
        vec![step("z", &[])],
    );
    a.timeout = Some(HumanDuration(std::time::Duration::from_secs(10)));
    a.on_failure = StepOnFailure::Continue;
    let mut sim = Sim::new(plan(vec![a, step("b", &["a"])], vec![]), 4);
    sim.settle_decisions();
    sim.advance(10);
    sim.settle_decisions();
    assert!(sim.running[0].1, "asked to end");
    sim.run(&fails(&[]), &mut |_| 0);
    assert_eq!(
        sim.story().join(" "),
        "+a +a/x ~a/y +a/z +b completed_with_exceptions"
    );
    let node = sim.state.node(&id("a")).expect("there");
    assert_eq!(node.status, NodeStatus::Tolerated);
    assert_eq!(
        node.failure.as_ref().map(|f| f.sort),
        Some(FailureKind::Timeout)
    );
}

#[test]
fn a_gate_in_an_instance_stops_the_clock_of_its_sub_runbook_and_can_refuse_the_run() {
    let mut a = block("a", &[], vec![gate("ok", &[]), step("x", &["ok"])], vec![]);
    a.for_each = Some(PlanForEach {
        item: Ty::Any,
        items: Expr::Value(json!(["api", "db"])),
        max_parallel: 1,
        max_failures: MaxFailures::Count(1),
    });
    a.timeout = Some(HumanDuration(std::time::Duration::from_secs(10)));
    let mut sim = Sim::new(plan(vec![a], vec![]), 4);
    sim.settle_decisions();
    assert!(sim.state.waits_only_for_gates());
    sim.advance(3_600);
    sim.settle_decisions();
    sim.vote("a[api]/ok", Vote::Approve);
    sim.run(&fails(&[]), &mut |_| 0);
    sim.vote("a[db]/ok", Vote::Reject);
    sim.run(&fails(&[]), &mut |_| 0);
    assert_eq!(
        sim.story().join(" "),
        "+a[api] ?a[api]/ok +a[api]/x +a[db] ?a[db]/ok rejected"
    );
}

#[test]
fn the_probe_of_unless_skips_starts_or_fails_and_a_lost_one_is_asked_again() {
    let probed = || PlanStep {
        unless: Some(PlanUnless {
            probe: Some(action("probe", Effect::Read)),
            condition: "outputs.done".into(),
        }),
        ..step("a", &[])
    };
    for (answer, story) in [
        (Ok(json!({ "done": true })), "~a succeeded"),
        (Ok(json!({ "done": false })), "+a succeeded"),
        (Ok(json!({})), "rolled_back"),
        (Err(failure(FailureKind::Unavailable)), "rolled_back"),
    ] {
        let mut sim = Sim::new(plan(vec![probed()], vec![]), 1);
        sim.settle_decisions();
        // The process dies while the probe is at work.
        sim.running.clear();
        sim.record(EventKind::RunResumed {
            actor: super::sim::actor(),
            version: "0".into(),
        });
        sim.settle_decisions();
        assert_eq!(sim.running.len(), 1);
        sim.finish(0, answer);
        sim.run(&fails(&[]), &mut |_| 0);
        assert_eq!(sim.story().join(" "), story);
        if let Some(why) = &sim.state.node(&id("a")).expect("there").failure {
            assert!(why.error.to_string().contains("unless"), "{}", why.error);
        }
    }
    let known = PlanStep {
        unless: Some(PlanUnless {
            probe: None,
            condition: "run.runbook == 'test'".into(),
        }),
        ..step("a", &[])
    };
    let sim = played(vec![known], vec![], &[]);
    let done = sim.events.iter().any(|e| {
        let skipped = |r: &SkipReason| matches!(r, SkipReason::AlreadyDone { .. });
        matches!(&e.event, EventKind::StepSkipped { reason, .. } if skipped(reason))
    });
    assert!(done);
}

#[test]
fn verify_follows_all_steps_and_stops_the_recovery_clock() {
    for (failing, story) in [
        (&[][..], "+b +a +v +z succeeded"),
        (&["v"][..], "+b +a +v -b +z rolled_back"),
        (&["z"][..], "+b +a +v +z completed_with_exceptions"),
    ] {
        let mut proved = plan(
            vec![undoable("b", &[]), step("a", &[])],
            vec![step("z", &[])],
        );
        proved.verify = vec![step("v", &[])];
        let mut sim = Sim::new(proved, 1);
        sim.settle_decisions();
        for _ in 0..3 {
            sim.advance(7);
            let at = sim.running[0].0.step.clone();
            let answer = fails(if failing.contains(&"v") { &["v"] } else { &[] })(&at, false, 1);
            sim.finish(0, answer);
            sim.settle_decisions();
        }
        sim.advance(100);
        let z_fails = failing.contains(&"z");
        sim.run(&fails(if z_fails { &["z"] } else { &[] }), &mut |_| 0);
        assert_eq!(sim.story().join(" "), story);
        let Some(EventKind::RunFinished {
            recovery_ms,
            duration_ms,
            ..
        }) = sim.events.last().map(|e| &e.event)
        else {
            panic!("not over");
        };
        let halted = failing.contains(&"v");
        assert_eq!(*recovery_ms, (!halted).then_some(21_000));
        assert!(*duration_ms >= 121_000);
    }
}

#[test]
fn what_cannot_follow_in_a_part_is_refused() {
    let started = |name: &str| EventKind::StepStarted {
        step: id(name),
        attempt: crate::base::AttemptNo(1),
        inputs: json!({}),
        idempotency_key: None,
    };
    let instance = |key: &str| crate::event::LoopInstance {
        key: key.into(),
        item: Value::Null,
    };
    let expanded = |name: &str, keys: &[&str]| EventKind::StepExpanded {
        step: id(name),
        instances: keys.iter().map(|k| instance(k)).collect(),
    };
    let cases = [
        (started("l"), "a loop is expanded"),
        (started("l[x]"), "not open"),
        (started("b/x"), "not open"),
        (started("b/nowhere"), "no such step"),
        (expanded("b", &[]), "no loop"),
        (expanded("l", &["x", "x"]), "two instances"),
        (expanded("l", &["x/y"]), "no key"),
        (EventKind::StepTimedOut { step: id("b") }, "no open"),
        (
            EventKind::StepProbed {
                step: id("l"),
                outputs: Value::Null,
            },
            "no probe",
        ),
        (
            EventKind::StepSkipped {
                step: id("b"),
                reason: SkipReason::PartEnded,
            },
            "may still come",
        ),
    ];
    for (kind, reason) in cases {
        let steps = vec![
            looped("l", &[], json!([]), 1),
            block("b", &[], vec![step("x", &[])], vec![]),
        ];
        let sim = Sim::new(plan(steps, vec![]), 1);
        let event = crate::event::RunEvent {
            run: sim.events[0].run,
            seq: crate::base::EventSeq(2),
            at: sim.now,
            event: kind,
        };
        let refused = sim.state.clone().apply(&event).expect_err(reason);
        assert!(refused.to_string().contains(reason), "{refused}");
    }
}

#[test]
fn a_failed_undo_in_a_part_leaves_the_run_stuck_and_names_what_is_left() {
    let steps = vec![looped("a", &[], json!(["x", "y"]), 1), step("b", &["a"])];
    let mut sim = Sim::new(plan(steps, vec![]), 1);
    sim.run(
        &|step, undo, _| match (step.as_str(), undo) {
            ("b", _) | ("a[y]", true) => Err(failure(FailureKind::Error)),
            _ => Ok(json!({})),
        },
        &mut |_| 0,
    );
    assert_eq!(sim.state.outcome(), Some(Outcome::Stuck));
    assert_eq!(sim.state.not_undone(), [id("a[x]"), id("a[y]")]);
    let waiting = &sim.state.node(&id("a[x]")).expect("there").undo;
    assert_eq!(*waiting, Undo::Waiting);
}

#[test]
fn a_verify_that_does_not_hold_says_what_it_looked_at() {
    let mut proof = step("proof", &["a"]);
    proof.verify = Some("steps.a.outputs.id == 'b' && outputs.id != steps.a.outputs.id".into());
    let sim = played(vec![step("a", &[]), proof], vec![], &[]);
    let failure = sim.state.node(&id("proof")).expect("there");
    let failure = failure.failure.as_ref().expect("it failed");
    assert_eq!(
        failure.error.causes,
        ["`steps.a.outputs.id` is \"a\", `outputs.id` is \"proof\""]
    );
}

#[test]
fn conditions_see_items_in_the_type_that_is_declared() {
    let mut a = looped("a", &[], json!(["90s", "2m"]), 1);
    if let Some(for_each) = &mut a.for_each {
        for_each.item = Ty::Duration;
    }
    a.when = Some("item > duration(\"100s\")".into());
    let sim = played(vec![a], vec![], &[]);
    assert_eq!(sim.story().join(" "), "~a[90s] +a[2m] succeeded");
}

#[test]
fn what_only_the_run_gives_to_a_sub_runbook_is_checked_before_anything_of_it_starts() {
    let rule = |pattern: Option<&str>, min: Option<Value>| PlanParamRule {
        pattern: pattern.map(str::to_owned),
        min,
        max: None,
    };
    let cases = [
        (
            Ty::String,
            rule(Some("[a-z]+"), None),
            json!("S3CRET"),
            "text that it does not permit: it must match the pattern `[a-z]+`",
        ),
        (
            Ty::Int,
            rule(None, Some(json!(3))),
            json!(2),
            "a number that it does not permit: it must be at least 3",
        ),
        (
            Ty::Int,
            rule(None, None),
            json!("S3CRET"),
            "text that it does not permit: it must be of type int",
        ),
        (
            Ty::Enum(vec!["a".into()]),
            rule(None, None),
            json!("S3CRET"),
            "text that it does not permit: it must be of type one of a",
        ),
        (
            Ty::Service,
            rule(None, None),
            json!("S3CRET"),
            "text that it does not permit: it must name a service of ``",
        ),
        (
            Ty::Duration,
            rule(None, Some(json!("2m"))),
            json!("90s"),
            "text that it does not permit: it must be at least 2m",
        ),
    ];
    for (ty, rule, value, message) in cases {
        let mut b = block("b", &["a"], vec![step("x", &[])], vec![step("z", &[])]);
        b.action.with = Expr::Map([("p".to_owned(), template("{{ steps.a.outputs.v }}"))].into());
        if let Some(block) = &mut b.block {
            block.params = [("p".to_owned(), ty.clone())].into();
            block.rules = [("p".to_owned(), rule)].into();
        }
        let mut sim = Sim::new(plan(vec![step("a", &[]), b], vec![]), 1);
        sim.run(&|_, _, _| Ok(json!({ "v": value })), &mut |_| 0);
        assert_eq!(sim.story().join(" "), "+a rolled_back", "{ty}");
        let failure = sim.state.node(&id("b")).and_then(|n| n.failure.clone());
        let failure = failure.expect("it failed");
        assert_eq!(failure.sort, FailureKind::Invalid);
        assert!(
            failure.error.message.ends_with(message),
            "{}",
            failure.error.message
        );
        assert!(!failure.error.to_string().contains("S3CRET"));
    }
}

#[test]
fn what_the_run_gives_to_a_sub_runbook_takes_the_form_of_its_type() {
    let mut b = block("b", &["a"], vec![step("x", &[])], vec![]);
    b.action.with = Expr::Map([("p".to_owned(), template("{{ steps.a.outputs.v }}"))].into());
    if let Some(block) = &mut b.block {
        block.params = [("p".to_owned(), Ty::Size)].into();
        block.steps[0].when = Some("params.p > 1000".into());
    }
    let mut sim = Sim::new(plan(vec![step("a", &[]), b], vec![]), 1);
    sim.run(&|_, _, _| Ok(json!({ "v": "2KiB" })), &mut |_| 0);
    assert_eq!(sim.story().join(" "), "+a +b +b/x succeeded");
}

#[test]
fn the_finally_of_a_sub_runbook_sees_how_the_run_would_end_now() {
    for (failing, on_failure, outcome) in [
        (&[][..], StepOnFailure::Rollback, "succeeded"),
        (
            &["a/x"],
            StepOnFailure::Continue,
            "completed_with_exceptions",
        ),
        (&["a/x"], StepOnFailure::Rollback, "rolled_back"),
    ] {
        let mut z = step("z", &[]);
        z.action.with = Expr::Map([("m".to_owned(), template("{{ run.outcome }}"))].into());
        let mut a = block("a", &[], vec![step("x", &[])], vec![z]);
        a.on_failure = on_failure;
        let sim = played(vec![a], vec![], failing);
        let z = sim.state.node(&id("a/z")).expect("it ran");
        assert_eq!(z.inputs, json!({ "m": outcome }));
    }
}

#[test]
fn a_condition_on_the_outputs_of_a_skipped_step_says_how_to_ask_for_them() {
    let mut a = step("a", &[]);
    a.when = Some("1 > 2".into());
    let with = |when: &str| {
        let mut b = step("b", &["a"]);
        b.when = Some(when.into());
        played(vec![a.clone(), b], vec![], &[])
    };
    let sim = with("steps.a.outputs.x > 1");
    let failure = sim.state.node(&id("b")).and_then(|n| n.failure.clone());
    let hint = failure.and_then(|f| f.hint).expect("advice");
    assert!(hint.contains("has(steps.a.outputs) &&"), "{hint}");
    let sim = with("has(steps.a.outputs) && steps.a.outputs.x > 1");
    assert_eq!(sim.story().join(" "), "~a ~b succeeded");
}
