//! Secrets on their way through a run: put in at the last moment, taken out of everything.

use serde_json::json;

use super::driving::doing;
use super::support::{World, outputs_of};
use crate::engine::RunEnd;
use crate::event::{EventKind, Outcome, Progress};
use crate::language::marker;
use crate::model::{Escape, StepOnFailure};
use crate::plan::{Expr, Plan, PlanConnection, PlanStep};
use crate::run::testing::plan;

const VALUE: &str = "hunter2-and-more";

fn using(name: &str, what: &str, value: &str) -> PlanStep {
    let mut step = doing(name, &[], "test.write", what);
    step.action.with = Expr::Value(json!({ "do": what, "value": value, "on": "db" }));
    step
}

fn with_token(steps: Vec<PlanStep>) -> Plan {
    let mut plan = plan(steps, vec![]);
    plan.secrets = [
        ("token".to_owned(), "env:TOKEN".parse().expect("a source")),
        ("gone".to_owned(), "env:NOT_SET".parse().expect("a source")),
    ]
    .into();
    let connection = |secret: &str| PlanConnection {
        kind: "test".to_owned(),
        config: json!({ "password": marker(secret) }),
    };
    plan.environment.connections = [
        ("db".to_owned(), connection("token")),
        ("unused".to_owned(), connection("gone")),
    ]
    .into();
    plan
}

#[tokio::test]
async fn a_value_reaches_the_handler_and_nothing_else() {
    let world = World::new();
    let mut later = doing("later", &["tell"], "test.write", "tell");
    later.action.with = Expr::Map(
        [
            ("do".to_owned(), Expr::Value(json!("tell"))),
            (
                "value".to_owned(),
                Expr::Template {
                    text: "{{ steps.tell.outputs.made }}".to_owned(),
                    escape: Escape::None,
                },
            ),
        ]
        .into(),
    );
    let told = format!("it is {}!", marker("token"));
    let mut handle = world
        .start(with_token(vec![using("tell", "tell", &told), later]), false)
        .await;
    let run = handle.run;
    let mut shown = String::new();
    while let Some(progress) = handle.progress.recv().await {
        match progress {
            Progress::Output { text, .. } | Progress::Warning { text } => shown.push_str(&text),
            Progress::Event(event) => shown.push_str(&format!("{event:?}")),
        }
    }
    assert_eq!(
        handle.join().await.expect("drives"),
        RunEnd::Finished(Outcome::Succeeded)
    );
    let events = world.events(run);
    assert_eq!(
        outputs_of(&events, "tell"),
        json!({
            "value": "it is [redacted token]!",
            "config": { "password": "[redacted token]" },
            "made": "[secret token]",
        })
    );
    // What looked like a marker pulled nothing in.
    assert_eq!(outputs_of(&events, "later")["value"], "[secret token]");
    let log = world.parts.layout.run_logs(run).join("tell.log");
    let log = std::fs::read_to_string(log).expect("written");
    assert_eq!(log, "it is [redacted token]!");
    let recorded = serde_json::to_string(&events).expect("JSON");
    for text in [shown, log, recorded] {
        assert!(!text.contains("hunter2"), "{text}");
    }
}

#[tokio::test]
async fn failures_are_clean_and_a_secret_that_is_not_there_fails_its_step_only() {
    let world = World::new();
    let tolerated = |mut step: PlanStep| {
        step.on_failure = StepOnFailure::Continue;
        step
    };
    let handle = world
        .start(
            with_token(vec![
                tolerated(using("complain", "complain", &marker("token"))),
                tolerated(using("missing", "tell", &marker("gone"))),
            ]),
            false,
        )
        .await;
    let run = handle.run;
    handle.join().await.expect("drives");
    let mut failures = Vec::new();
    for event in world.events(run) {
        if let EventKind::StepFailed { failure, .. } = event.event {
            failures.push((
                failure.error.to_string(),
                failure.hint.clone().unwrap_or_default(),
            ));
        }
    }
    failures.sort();
    assert_eq!(
        failures,
        [
            (
                "refused \"[redacted token]\"".to_owned(),
                String::new()
            ),
            (
                "the secret `gone` cannot be had, so nothing was done: the environment variable `NOT_SET` is not set, or is empty".to_owned(),
                "set it before the run: export NOT_SET=...".to_owned()
            ),
        ]
    );
    assert!(!format!("{failures:?}").contains(VALUE));
}
