//! Loops, runbooks inside, proofs and secrets in a plan.

use std::collections::BTreeMap;
use std::time::Instant;

use serde_json::json;

use super::{Expr, Given, Plan, build};
use crate::base::{Diagnostics, HumanDuration, Value};
use crate::check::fixture::{catalog, check_texts, environment, line};
use crate::language::marker;
use crate::model::{Effect, Escape, MaxFailures, Risk, StepOnFailure, Ty};

const PARENT: &str = r#"params:
  services: { type: list, items: service, default: [api, worker] }
  token: { type: secret, default: "env:API_TOKEN" }
steps:
  - id: restart
    uses: service.restart
    for_each: "{{ params.services }}"
    max_parallel: 2
    max_failures: 10%
    with: { service: "{{ item }}" }
    unless: { uses: service.health, with: { service: "{{ item }}" }, condition: outputs.healthy }
    idempotency_key: "{{ run.id }}-{{ item }}"
  - id: smoke
    uses: runbook.smoke-test
    with: { target: "{{ steps.restart.outputs[0].pid }}", grace: 90s, token: "{{ params.token }}" }
  - id: load
    uses: shell
    environment: { TOKEN: "{{ params.token }}", DB: "{{ secrets.db }}", REGION: "{{ vars.region }}" }
    with: { run: ./load, environment: { LEVEL: debug } }
    unless: params.services.size() > 3
verify:
  - { id: healthy, uses: service.health, with: { service: api } }
  - { condition: steps.healthy.outputs.healthy, message: It answers }
outputs: { ok: "{{ steps.smoke.outputs.ok }}" }
"#;

const CHILD: &str = r#"risk: high
on_failure: stop
timeout: 3m
params:
  target: { type: int, min: 1 }
  grace: { type: duration, max: 5m }
  level: { type: string, default: low, pattern: "[a-z]+" }
  token: { type: secret }
  own: { type: secret, default: "file:secrets/own" }
steps:
  - { id: pause, name: Wait a little, uses: wait, with: { for: "{{ params.grace }}" } }
  - { id: say, uses: notify, with: { message: "{{ params.level }} in {{ vars.region }}" }, when: params.target > 1 }
  - { id: deep, uses: shell, with: { run: "echo {{ params.target }}" }, environment: { T: "{{ params.token }}", O: "{{ params.own }}" } }
verify:
  - { id: fine, uses: service.health, with: { service: api } }
finally:
  - { id: last, uses: notify, with: { message: done } }
outputs: { ok: "{{ steps.fine.outputs.healthy }}", level: "{{ params.level }}" }
"#;

fn plan_of(texts: &[(&str, &str)], given: &[(&str, &str)]) -> Result<Plan, Vec<String>> {
    let (checked, findings) = check_texts(texts);
    let checked = checked.ok_or_else(|| findings.iter().map(line).collect::<Vec<_>>())?;
    let given: BTreeMap<String, Given> = given
        .iter()
        .map(|(name, value)| ((*name).to_owned(), Given::Text((*value).to_owned())))
        .collect();
    let mut diags = Diagnostics::new();
    build(
        &checked,
        &environment(),
        None,
        &given,
        &catalog(),
        &mut diags,
    )
    .ok_or_else(|| diags.into_sorted().iter().map(line).collect())
}

fn sample() -> Plan {
    plan_of(&[("a", PARENT), ("smoke-test", CHILD)], &[])
        .unwrap_or_else(|found| panic!("{}", found.join("\n")))
}

fn template(text: &str, escape: Escape) -> Expr {
    Expr::Template {
        text: text.to_owned(),
        escape,
    }
}

fn field<'e>(expr: &'e Expr, name: &str) -> &'e Expr {
    match expr {
        Expr::Map(map) => &map[name],
        other => panic!("{other:?} has no parts"),
    }
}

#[test]
fn a_loop_keeps_its_list_and_its_bounds() {
    let plan = sample();
    let restart = &plan.steps[0];
    let for_each = restart.for_each.as_ref().expect("a loop");
    assert_eq!(for_each.items, Expr::Value(json!(["api", "worker"])));
    assert_eq!(for_each.max_parallel, 2);
    assert_eq!(for_each.max_failures, MaxFailures::Percent(10));
    assert_eq!(
        field(&restart.action.with, "service"),
        &template("{{ item }}", Escape::None)
    );
    let unless = restart.unless.as_ref().expect("unless");
    assert_eq!(unless.condition, "outputs.healthy");
    let probe = unless.probe.as_ref().expect("a probe");
    assert_eq!(
        (probe.uses.as_str(), probe.effect),
        ("service.health", Effect::Read)
    );
    assert!(plan.action_outputs.contains_key("service.health"));
    assert_eq!(
        restart.idempotency_key,
        Some(template("{{ run.id }}-{{ item }}", Escape::None))
    );
    let outputs = restart.ty(&plan).lookup(&["outputs".to_owned()]).cloned();
    assert!(matches!(outputs, Ok(Ty::List(_))), "{outputs:?}");
    let plain = plan.steps[2].unless.as_ref().expect("unless");
    assert_eq!(plain.probe, None);
}

#[test]
fn a_runbook_inside_is_a_block_of_its_step() {
    let plan = sample();
    let smoke = &plan.steps[1];
    assert_eq!(smoke.action.uses, "runbook.smoke-test");
    assert_eq!(smoke.action.effect, Effect::Once);
    assert_eq!(
        smoke.timeout,
        Some(HumanDuration(std::time::Duration::from_secs(180)))
    );
    assert_eq!(smoke.on_failure, StepOnFailure::Rollback);
    let with = &smoke.action.with;
    assert_eq!(
        field(with, "target"),
        &template("{{ steps.restart.outputs[0].pid }}", Escape::None)
    );
    assert_eq!(field(with, "grace"), &Expr::Value(json!("1m30s")));
    assert_eq!(field(with, "level"), &Expr::Value(json!("low")));
    assert_eq!(
        field(with, "token"),
        &template("{{ params.token }}", Escape::None)
    );
    let own = "runbook.smoke-test.params.own";
    assert_eq!(field(with, "own"), &Expr::Value(Value::String(marker(own))));

    let block = smoke.block.as_deref().expect("a block");
    assert_eq!(
        (block.runbook.as_str(), block.file.as_str()),
        ("smoke-test", "runbooks/smoke-test.yaml")
    );
    assert_eq!(block.params["token"], Ty::Secret);
    let ids = |steps: &[super::PlanStep]| -> Vec<String> {
        steps.iter().map(|s| s.id.to_string()).collect()
    };
    assert_eq!(ids(&block.steps), ["pause", "say", "deep"]);
    assert_eq!(
        (ids(&block.verify), ids(&block.finally)),
        (vec!["fine".to_owned()], vec!["last".to_owned()])
    );
    assert_eq!(block.steps[1].needs[0].as_str(), "pause");
    assert_eq!(block.steps[0].line, 13);
    assert!(
        block
            .steps
            .iter()
            .all(|s| s.on_failure == StepOnFailure::Stop)
    );
    // What is known of its parameters is rendered; the rest waits for the run.
    assert_eq!(
        block.steps[0].action.with,
        Expr::Value(json!({"for": "1m30s"}))
    );
    assert_eq!(
        block.steps[1].action.with,
        Expr::Value(json!({"message": "low in eu"}))
    );
    let deep = &block.steps[2].action.with;
    assert_eq!(
        field(deep, "run"),
        &template("echo {{ params.target }}", Escape::Shell)
    );
    assert_eq!(block.outputs["level"], Expr::Value(json!("low")));
    // After the block the caller's own parameters hold again.
    assert_eq!(
        field(field(&plan.steps[2].action.with, "environment"), "TOKEN"),
        &template("{{ params.token }}", Escape::None)
    );
    assert_eq!(plan.runbook.risk, Risk::High);
    let outputs = plan.action_ty(&smoke.action);
    assert_eq!(outputs.lookup(&["ok".to_owned()]), Ok(&Ty::Bool));
}

#[test]
fn variables_are_merged_and_proofs_planned() {
    let plan = sample();
    let with = &plan.steps[2].action.with;
    assert_eq!(field(with, "run"), &Expr::Value(json!("./load")));
    let variables = field(with, "environment");
    assert_eq!(field(variables, "LEVEL"), &Expr::Value(json!("debug")));
    assert_eq!(field(variables, "REGION"), &Expr::Value(json!("eu")));
    assert_eq!(
        field(variables, "DB"),
        &template("{{ secrets.db }}", Escape::None)
    );
    let verify = &plan.verify[1];
    assert_eq!(
        (verify.id.as_str(), verify.name.as_deref()),
        ("verify_2", Some("It answers"))
    );
    assert_eq!(verify.needs[0].as_str(), "healthy");
    assert_eq!(
        verify.verify.as_deref(),
        Some("steps.healthy.outputs.healthy")
    );
    assert_eq!(verify.action.effect, Effect::Read);
}

#[test]
fn a_plan_names_the_sources_of_secrets_and_nothing_else() {
    let plan = sample();
    let sources: Vec<(String, String)> = plan
        .secrets
        .iter()
        .map(|(name, source)| (name.clone(), source.to_string()))
        .collect();
    let expected = [
        ("db", "env:DB"),
        ("params.token", "env:API_TOKEN"),
        ("runbook.smoke-test.params.own", "file:secrets/own"),
    ];
    assert_eq!(sources, expected.map(|(n, s)| (n.to_owned(), s.to_owned())));
    assert_eq!(
        plan.params["token"].value,
        Value::String(marker("params.token"))
    );
    let scope = plan.scope();
    let path = ["secrets".to_owned(), "db".to_owned()];
    assert_eq!(scope.lookup(&path), Some(&Value::String(marker("db"))));

    let texts = [("a", PARENT), ("smoke-test", CHILD)];
    let plan = plan_of(&texts, &[("token", "vault:secret/api#token")]).expect("builds");
    assert_eq!(
        plan.secrets["params.token"].to_string(),
        "vault:secret/api#token"
    );
    let found = plan_of(&texts, &[("token", "hunter2")]).expect_err("no source");
    assert_eq!(found.len(), 1, "{found:?}");
    assert!(
        found[0].starts_with("RB0406 token | the parameter `token` wants the source of a secret: ")
    );
    assert!(!found[0].contains("hunter2"), "{found:?}");
}

#[test]
fn a_value_cannot_pretend_to_be_a_secret() {
    let text = "params: { a: { type: list, items: string, default: [] } }\nsteps:\n  - { id: a, uses: notify, with: { message: \"<{{ params.a }}>\" } }\n";
    let mark = format!("x,{}", marker("db"));
    let found = plan_of(&[("a", text)], &[("a", &mark)]).expect_err("a mark");
    assert_eq!(found.len(), 1, "{found:?}");
    assert!(
        found[0].contains("RB0406 a | ") && found[0].contains("the invisible mark"),
        "{found:?}"
    );
}

#[test]
fn a_known_item_is_held_against_the_schema() {
    let text = "params: { names: { type: list, items: string, default: [api, aip] } }\nsteps:\n  - { id: a, uses: service.restart, for_each: \"{{ params.names }}\", with: { service: \"{{ item }}\" } }\n";
    let found = plan_of(&[("a", text)], &[]).expect_err("an unknown service");
    assert_eq!(
        found,
        [
            "RB0402 \"{{ item }}\" | the environment `local` has no service `aip` | did you mean `api`?"
        ]
    );
    assert!(plan_of(&[("a", text)], &[("names", "api,worker")]).is_ok());
    for part in [
        "rollback: { uses: service.restart, with: { service: \"{{ item }}\" } }",
        "unless: { uses: service.health, with: { service: \"{{ item }}\" }, condition: outputs.healthy }",
    ] {
        let other = text.replace(
            "with: { service: \"{{ item }}\" }",
            &format!("with: {{ service: api }}, {part}"),
        );
        let found = plan_of(&[("a", &other)], &[]).expect_err(part);
        assert_eq!(found.len(), 1, "{found:?}");
        assert!(
            found[0].starts_with("RB0402 \"{{ item }}\" | "),
            "{found:?}"
        );
    }
    let many: Vec<&str> = vec!["api"; 1001];
    let found = plan_of(&[("a", text)], &[("names", &many.join(","))]).expect_err("too many");
    assert_eq!(found.len(), 1, "{found:?}");
    assert!(found[0].starts_with("RB0309 \"{{ params.names }}\" | this loop has 1001 items"));
}

#[test]
fn known_parameters_of_a_runbook_inside_are_checked() {
    let call = |with: &str| {
        format!(
            "params: {{ t: {{ type: secret, default: \"env:T\" }}, n: {{ type: int, default: 0 }} }}\nsteps:\n  - {{ id: x, uses: runbook.smoke-test, with: {{ token: \"{{{{ params.t }}}}\", {with} }} }}\n  - {{ id: y, uses: notify, with: {{ message: \"{{{{ params.n }}}}\" }} }}\n"
        )
    };
    for (with, expected) in [
        (
            "target: 0, grace: 1s",
            "RB0406 0 | the parameter `target` cannot have this value: 0 is less than 1",
        ),
        (
            "target: \"{{ params.n }}\", grace: 1s",
            "RB0406 \"{{ params.n }}\" | the parameter `target` cannot have this value: 0 is less than 1",
        ),
        (
            "target: 1, grace: 10m",
            "RB0406 10m | the parameter `grace` cannot have this value: 10m is more than 5m",
        ),
        (
            "target: 1, grace: 1s, level: \"{{ vars.region }}1\"",
            "RB0406 \"{{ vars.region }}1\" | the parameter `level` cannot have this value: `eu1` does not match",
        ),
    ] {
        let text = call(with);
        let found = plan_of(&[("a", &text), ("smoke-test", CHILD)], &[]).expect_err(expected);
        assert_eq!(found.len(), 1, "{found:?}");
        assert!(
            found[0].starts_with(expected),
            "{}\nnot {expected}",
            found[0]
        );
    }
    let text = "params: { t: { type: secret, default: \"env:T\" } }\nsteps:\n  - { id: x, uses: runbook.smoke-test, for_each: [1, 0], with: { token: \"{{ params.t }}\", grace: 1s, target: \"{{ item }}\" } }\n";
    let found = plan_of(&[("a", text), ("smoke-test", CHILD)], &[]).expect_err("out of range");
    assert_eq!(found.len(), 1, "{found:?}");
    assert!(
        found[0].starts_with("RB0406 \"{{ item }}\" | "),
        "{found:?}"
    );
}

#[test]
fn the_digest_leaves_out_what_only_describes_at_every_depth() {
    let plan = sample();
    let child = CHILD
        .replace("Wait a little", "Pause")
        .replace("risk: high", "# a comment\nrisk: high");
    let moved = plan_of(&[("a", PARENT), ("smoke-test", &child)], &[]).expect("builds");
    assert_eq!(moved.digest(), plan.digest());
    assert_ne!(moved.canonical_json(), plan.canonical_json());
    let parent = PARENT.replace("It answers", "It speaks");
    let moved = plan_of(&[("a", &parent), ("smoke-test", CHILD)], &[]).expect("builds");
    assert_eq!(moved.digest(), plan.digest());
    for (from, to) in [
        ("message: done", "message: over"),
        ("default: low", "default: high"),
        ("file:secrets/own", "file:secrets/other"),
        ("service: api", "service: worker"),
    ] {
        let child = CHILD.replace(from, to);
        let changed = plan_of(&[("a", PARENT), ("smoke-test", &child)], &[]).expect(from);
        assert_ne!(changed.digest(), plan.digest(), "{from}");
    }
    let back = Plan::from_json(&plan.canonical_json()).expect("reads back");
    assert_eq!(back, plan);
}

#[test]
fn loops_in_loops_are_counted_before_they_are_planned() {
    let items: Vec<String> = (0..1000).map(|n| n.to_string()).collect();
    let each = |uses: &str| {
        format!(
            "steps:\n  - {{ id: x, uses: {uses}, for_each: [{}] }}\n",
            items.join(",")
        )
    };
    let started = Instant::now();
    let leaf = "steps:\n  - { id: x, uses: wait, with: { for: 1s } }\n";
    let found = plan_of(
        &[
            ("a", &each("runbook.b")),
            ("b", &each("runbook.c")),
            ("c", leaf),
        ],
        &[],
    )
    .expect_err("a million steps");
    assert_eq!(found.len(), 1, "{found:?}");
    assert!(found[0].starts_with("RB0313 "), "{found:?}");
    assert!(started.elapsed().as_secs() < 60, "{:?}", started.elapsed());
    assert!(plan_of(&[("a", &each("runbook.c")), ("c", leaf)], &[]).is_ok());
}

#[test]
fn a_loop_keeps_the_declared_type_of_its_items() {
    let text = "params: { waits: { type: list, items: duration, default: [90s, 2m] } }\nsteps:\n  - { id: x, uses: wait, for_each: \"{{ params.waits }}\", with: { for: \"{{ item }}\" }, when: item > duration(\"100s\") }\n  - { id: y, uses: wait, for_each: [1s], with: { for: \"{{ item }}\" } }\n";
    let plan = plan_of(&[("a", text)], &[]).expect("a plan");
    let item = |at: usize| {
        plan.steps[at]
            .for_each
            .as_ref()
            .expect("a loop")
            .item
            .clone()
    };
    assert_eq!((item(0), item(1)), (Ty::Duration, Ty::String));
}
