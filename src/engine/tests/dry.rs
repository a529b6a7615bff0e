//! Dry runs: what is performed, what is shown, and how sure it is.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::driving::doing;
use super::support::World;
use crate::base::StepId;
use crate::engine::{DryRunStep, DryRunVerdict, dry_run};
use crate::model::{Escape, MaxFailures};
use crate::plan::{Expr, Plan, PlanBlock, PlanForEach, PlanStep, PlanUnless};
use crate::run::testing::{gate, plan};

fn template(text: &str) -> Expr {
    Expr::Template {
        text: text.to_owned(),
        escape: Escape::None,
    }
}

fn echoing(mut step: PlanStep, value: &str) -> PlanStep {
    step.action.with = Expr::Map([("value".to_owned(), template(value))].into());
    step
}

fn each(mut step: PlanStep, items: Expr) -> PlanStep {
    step.for_each = Some(PlanForEach {
        item: crate::model::Ty::Any,
        items,
        max_parallel: 1,
        max_failures: MaxFailures::default(),
    });
    step
}

fn calling(mut step: PlanStep, with: Expr, block: PlanBlock) -> PlanStep {
    step.action.uses = format!("runbook.{}", block.runbook);
    step.action.with = with;
    step.block = Some(Box::new(block));
    step
}

fn unless(mut step: PlanStep, probe: Option<&str>, condition: &str) -> PlanStep {
    step.unless = Some(PlanUnless {
        probe: probe.map(|value| echoing(doing("x", &[], "test.read", "echo"), value).action),
        condition: condition.to_owned(),
    });
    step
}

/// One line for each finding: id, how sure, words.
fn told(found: &[DryRunStep]) -> Vec<String> {
    let line = |step: &DryRunStep| {
        let now = if step.as_now { " (now)" } else { "" };
        let words = match &step.verdict {
            DryRunVerdict::Performed {
                outputs,
                waits_for: None,
            } => format!("performed {}", outputs["value"]),
            DryRunVerdict::Performed {
                waits_for: Some(until),
                ..
            } => format!("waits for {until}"),
            DryRunVerdict::Unmet { verify, .. } => format!("not so: {verify}"),
            DryRunVerdict::Failed(failure) => format!("failed: {}", failure.error),
            DryRunVerdict::Would(preview) => format!("{}: {}", preview.label(), preview.text()),
            DryRunVerdict::Gate(message) => format!("gate: {message}"),
            DryRunVerdict::Skipped(condition) => format!("skipped: {condition}"),
            DryRunVerdict::AlreadySo { condition, .. } => format!("already so: {condition}"),
            DryRunVerdict::Loop(keys) => format!("each of {}", keys.join(" ")),
            DryRunVerdict::Runbook(name) => format!("runbook {name}"),
        };
        format!("{}{now} {words}", step.step)
    };
    found.iter().map(line).collect()
}

async fn dry(plan: Plan) -> Vec<String> {
    let world = World::new();
    let found = dry_run(&world.parts, plan).await.expect("walks");
    let logs = std::fs::read_dir(world.parts.layout.logs_root());
    assert_eq!(logs.map_or(0, Iterator::count), 0, "nothing of it is kept");
    told(&found)
}

#[tokio::test]
async fn reads_are_performed_and_the_rest_says_how_sure_it_is() {
    let steps = vec![
        doing("a", &[], "test.read", "echo"),
        echoing(
            doing("b", &["a"], "test.write", "echo"),
            "{{ steps.a.outputs.value }}!",
        ),
        echoing(
            doing("c", &["b"], "test.write", "echo"),
            "{{ steps.b.outputs.value }}",
        ),
        gate("ok", &["c"]),
        PlanStep {
            when: Some("1 > 2".into()),
            ..doing("d", &["ok"], "test.write", "echo")
        },
        PlanStep {
            when: Some("steps.b.outputs.value == 1".into()),
            ..doing("e", &["d"], "test.write", "echo")
        },
        doing("f", &["a"], "test.read", "fail"),
        doing("g", &["e"], "test.read", "fail"),
        echoing(doing("h", &[], "test.write", "echo"), "{{ run.id }}"),
    ];
    let mut book = plan(steps, vec![doing("z", &[], "test.once", "echo")]);
    book.verify = vec![PlanStep {
        verify: Some("outputs.value == 'no'".into()),
        ..doing("proof", &[], "test.read", "echo")
    }];
    let lines = dry(book).await;
    let expected = [
        "a performed \"a\"",
        "b exact: would {\"value\":\"a!\"}",
        "c (now) unknown: depends on `b`, which was not performed",
        "ok (now) gate: go on?",
        "d (now) skipped: 1 > 2",
        "e (now) unknown: whether it runs: depends on `b`, which was not performed \
         (when: steps.b.outputs.value == 1)\nwould {\"do\":\"echo\",\"value\":\"e\"}",
        "f failed: scripted failure",
        "g (now) failed: scripted failure",
    ];
    for line in expected {
        assert!(lines.iter().any(|told| told == line), "{line}\n{lines:#?}");
    }
    let h = lines
        .iter()
        .find(|line| line.starts_with("h "))
        .expect("told");
    assert!(h.starts_with("h predicted: would"), "{h}");
    let end: Vec<&String> = lines.iter().skip(9).collect();
    assert_eq!(end[0], "proof (now) not so: outputs.value == 'no'");
    assert!(end[1].starts_with("z (now) exact: would"), "{end:?}");
}

#[tokio::test]
async fn only_what_a_run_would_meet_too_is_a_failure() {
    let world = World::new();
    let steps = vec![
        doing("a", &[], "test.read", "fail"),
        doing("b", &[], "test.write", "echo"),
        doing("c", &["b"], "test.read", "fail"),
    ];
    let found = dry_run(&world.parts, plan(steps, vec![]))
        .await
        .expect("walks");
    let failed: Vec<&str> = found
        .iter()
        .filter(|step| step.failed())
        .map(|step| step.step.as_str())
        .collect();
    assert_eq!(
        failed,
        ["a"],
        "what `c` sees may be otherwise once `b` was done"
    );
}

#[tokio::test]
async fn what_uses_a_step_that_failed_says_so() {
    let mut proof = doing("proof", &["a"], "test.read", "echo");
    proof.verify = Some("steps.a.outputs.value == 1".to_owned());
    let failing = each(
        doing("a", &[], "test.read", "fail"),
        Expr::Value(json!(["x", "y"])),
    );
    let mut tolerated = failing.clone();
    tolerated.id = StepId::parse("many").expect("an id");
    if let Some(each) = &mut tolerated.for_each {
        each.max_failures = MaxFailures::Count(2);
    }
    let mut count = doing("count", &["many"], "test.read", "echo");
    count.verify = Some("size(steps.many.outputs) == 0".to_owned());
    let lines = dry(plan(vec![failing, proof, tolerated, count], vec![])).await;
    assert!(
        lines.contains(&"proof unknown: `verify` depends on `a`, which failed".to_owned()),
        "{lines:#?}"
    );
    assert!(
        lines.iter().any(|line| line.starts_with("count performed")),
        "{lines:#?}"
    );
}

#[tokio::test]
async fn a_loop_shows_its_instances_or_where_its_list_comes_from() {
    let known = Expr::Value(json!(["api", "db"]));
    let steps = vec![
        each(
            echoing(
                doing("look", &[], "test.read", "echo"),
                "{{ item }}-{{ index }}",
            ),
            known.clone(),
        ),
        each(
            PlanStep {
                when: Some("item != 'db'".into()),
                ..echoing(
                    doing("fix", &["look"], "test.write", "echo"),
                    "{{ item }} {{ steps.look.outputs }}",
                )
            },
            known.clone(),
        ),
        each(
            doing("late", &["fix"], "test.write", "echo"),
            template("{{ steps.fix.outputs }}"),
        ),
        each(
            doing("wrong", &[], "test.write", "echo"),
            Expr::Value(json!(3)),
        ),
        each(
            doing("none", &[], "test.write", "echo"),
            Expr::Value(json!([])),
        ),
    ];
    let lines = dry(plan(steps, vec![])).await;
    assert!(
        lines.contains(&"look[api] performed \"api-0\"".to_owned()),
        "{lines:#?}"
    );
    assert!(
        lines.contains(&"fix[db] skipped: item != 'db'".to_owned()),
        "{lines:#?}"
    );
    let fix = lines.iter().find(|line| line.starts_with("fix[api]"));
    assert!(fix.is_some_and(|line| line.contains("db-1")), "{lines:#?}");
    let late = "late (now) unknown: the list comes from `steps.fix.outputs`: depends on `fix`, \
                which was not performed";
    assert!(lines.contains(&late.to_owned()), "{lines:#?}");
    let wrong = lines.iter().find(|line| line.starts_with("wrong failed"));
    assert!(
        wrong.is_some_and(|line| line.contains("it is no list")),
        "{lines:#?}"
    );
    assert!(lines.contains(&"none each of ".to_owned()), "{lines:#?}");
}

#[tokio::test]
async fn a_sub_runbook_sees_its_own_names_and_gives_its_outputs() {
    let block = |value: &str, outputs: &[(&str, &str)]| PlanBlock {
        rules: Default::default(),
        runbook: "child".to_owned(),
        file: "runbooks/child.yaml".to_owned(),
        params: BTreeMap::new(),
        steps: vec![
            echoing(doing("read", &[], "test.read", "echo"), value),
            echoing(
                doing("write", &["read"], "test.write", "echo"),
                "{{ steps.read.outputs.value }}",
            ),
        ],
        verify: vec![doing("proof", &[], "test.read", "echo")],
        finally: Vec::new(),
        outputs: outputs
            .iter()
            .map(|(name, text)| ((*name).to_owned(), template(text)))
            .collect(),
    };
    let with = |text: &str| Expr::Map([("p".to_owned(), template(text))].into());
    let steps = vec![
        each(
            calling(
                doing("call", &[], "test.write", "echo"),
                with("{{ item }}"),
                block(
                    "{{ params.p }}",
                    &[("got", "{{ steps.read.outputs.value }}")],
                ),
            ),
            Expr::Value(json!([1, 2])),
        ),
        echoing(
            doing("use", &["call"], "test.write", "echo"),
            "{{ steps.call.outputs }}",
        ),
    ];
    let lines = dry(plan(steps, vec![])).await;
    let expected = [
        "call each of 1 2",
        "call[1] runbook child",
        "call[1]/read performed 1",
        "call[1]/write exact: would {\"value\":1}",
        "call[1]/proof (now) performed \"proof\"",
        "call[2] runbook child",
        "call[2]/read performed 2",
        "call[2]/write exact: would {\"value\":2}",
        "call[2]/proof (now) performed \"proof\"",
    ];
    assert_eq!(lines[..9], expected);
    let used: Value = json!({ "value": [{ "got": 1 }, { "got": 2 }] });
    assert_eq!(lines[9], format!("use (now) predicted: would {used}"));
}

#[tokio::test]
async fn unless_is_asked_for_real() {
    let so = "outputs.value == 'up'";
    let steps = vec![
        unless(doing("a", &[], "test.write", "echo"), Some("up"), so),
        unless(doing("b", &[], "test.write", "echo"), Some("down"), so),
        unless(doing("c", &[], "test.write", "echo"), None, "1 < 2"),
        unless(
            doing("d", &["b"], "test.write", "echo"),
            None,
            "steps.b.outputs.value == 1",
        ),
    ];
    let lines = dry(plan(steps, vec![])).await;
    assert_eq!(lines[0], format!("a already so: {so}"));
    assert!(lines[1].starts_with("b exact: would"), "{lines:#?}");
    assert_eq!(lines[2], "c already so: 1 < 2");
    assert!(
        lines[3].starts_with("d (now) unknown: whether it is so already: depends on `b`"),
        "{lines:#?}"
    );
}
