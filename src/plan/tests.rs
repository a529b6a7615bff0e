//! From text to plan: parameters, partial evaluation, digest, stored form.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use serde_json::json;

use super::{Expr, Given, Plan, PlanError, build, graph};
use crate::base::{Diagnostics, HumanDuration, Value};
use crate::check::fixture::{catalog, check_text, environment, line};
use crate::language::Scope;
use crate::model::{Effect, Escape, StepOnFailure, Ty};

const SAMPLE: &str = r#"title: A sample
owner: team
on_failure: stop
params:
  service: { type: service }
  grace: { type: duration, default: 90s }
  limit: { type: size, default: 64MiB }
  port: { type: int, default: 8000 }
  files: { type: list, items: string, default: [a b, c] }
steps:
  - { id: before, name: Look, uses: service.health, with: { service: "{{ params.service }}" } }
  - id: restart
    uses: service.restart
    with: { service: "{{ params.service }}", grace: "{{ params.grace }}" }
    effect: { is: once, reason: the service is fragile }
    retry: { attempts: 3, delay: 2s }
    on_failure: rollback
    outputs: { process: "{{ outputs.pid }}", fixed: "{{ vars.region }}" }
    rollback: { uses: shell, with: { run: "kill {{ outputs.pid }} {{ sh params.files }}" } }
  - id: script
    uses: shell
    needs: [before]
    with: { run: "echo {{ params.service }} {{ steps.before.status }}", environment: { PORT: "{{ params.port }}", PID: "x" } }
  - id: tell
    uses: notify
    needs: [restart, script]
    with:
      message: "{{ steps.restart.outputs.pid }}"
      limit: "{{ params.limit }}"
      target: { kind: web, url: "{{ vars.url }}/{{ params.service }}/x" }
finally:
  - { id: last, uses: wait, with: { for: 1s } }
  - { id: after, uses: wait, with: { for: "{{ params.grace }}" } }
outputs: { pid: "{{ steps.restart.outputs.pid }}", where: "{{ vars.region }}" }
"#;

pub(super) fn plan_of(text: &str, given: &[(&str, Given)]) -> Result<Plan, Vec<String>> {
    let (checked, findings) = check_text(text);
    let checked = checked.ok_or_else(|| findings.iter().map(line).collect::<Vec<_>>())?;
    let given: BTreeMap<String, Given> = given
        .iter()
        .map(|(name, value)| ((*name).to_owned(), value.clone()))
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

fn text(value: &str) -> Given {
    Given::Text(value.to_owned())
}

fn sample() -> Plan {
    plan_of(SAMPLE, &[("service", text("api"))]).unwrap_or_else(|f| panic!("{}", f.join("\n")))
}

#[test]
fn what_is_known_is_a_value_and_the_rest_a_template() {
    let plan = sample();
    let step = |id: &str| plan.steps.iter().find(|s| s.id.as_str() == id).expect(id);
    assert_eq!(plan.params["grace"].value, json!("1m30s"));
    assert_eq!(plan.params["limit"].value, json!(67_108_864));
    assert_eq!(
        step("before").action.with,
        Expr::Value(json!({"service": "api"}))
    );
    assert_eq!(
        step("restart").action.with,
        Expr::Value(json!({"service": "api", "grace": "1m30s"}))
    );
    let template = |text: &str, escape| Expr::Template {
        text: text.to_owned(),
        escape,
    };
    assert_eq!(
        step("script").action.with,
        Expr::Map(BTreeMap::from([
            (
                "run".to_owned(),
                template(
                    "echo {{ params.service }} {{ steps.before.status }}",
                    Escape::Shell
                )
            ),
            (
                "environment".to_owned(),
                Expr::Value(json!({"PORT": "8000", "PID": "x"}))
            ),
        ]))
    );
    let Expr::Map(tell) = &step("tell").action.with else {
        panic!("{:?}", step("tell").action.with);
    };
    // A number for an input that wants text is written as text, also at run time.
    assert_eq!(
        tell["message"],
        template("{{!text}}{{ steps.restart.outputs.pid }}", Escape::None)
    );
    let mut scope = Scope::new();
    scope.set(
        "steps",
        json!({"restart": {"outputs": {"pid": 7}}}),
        Ty::Any,
    );
    assert_eq!(tell["message"].render(&scope), Ok(json!("7")));
    assert_eq!(tell["limit"], Expr::Value(json!(67_108_864)));
    assert_eq!(
        tell["target"],
        Expr::Value(json!({"kind": "web", "url": "http://127.0.0.1:8000/api/x"}))
    );
    assert_eq!(
        step("restart").outputs["process"],
        template("{{ outputs.pid }}", Escape::None)
    );
    assert_eq!(step("restart").outputs["fixed"], Expr::Value(json!("eu")));
    assert_eq!(plan.outputs["where"], Expr::Value(json!("eu")));
}

#[test]
fn steps_are_resolved() {
    let plan = sample();
    let needs = |list: &[super::PlanStep]| -> Vec<Vec<String>> {
        list.iter()
            .map(|s| s.needs.iter().map(ToString::to_string).collect())
            .collect()
    };
    assert_eq!(
        needs(&plan.steps),
        [
            vec![],
            vec!["before"],
            vec!["before"],
            vec!["restart", "script"]
        ]
    );
    assert_eq!(needs(&plan.finally), [vec![], vec!["last"]]);
    let effects: Vec<Effect> = plan.steps.iter().map(|s| s.action.effect).collect();
    assert_eq!(
        effects,
        [Effect::Read, Effect::Once, Effect::Once, Effect::Once]
    );
    let on_failure: Vec<StepOnFailure> = plan.steps.iter().map(|s| s.on_failure).collect();
    assert_eq!(
        on_failure[..2],
        [StepOnFailure::Stop, StepOnFailure::Rollback]
    );
    assert_eq!(plan.steps[0].every, HumanDuration(Duration::from_secs(1)));
    assert_eq!(plan.steps[0].line, 13);
    assert_eq!(plan.steps[1].line, 14);
    let dag = graph(&plan.steps);
    assert_eq!(dag.needs(3), [1, 2]);
    assert_eq!(dag.order(), [0, 1, 2, 3]);
}

#[test]
fn parameters_are_checked() {
    let service = ("service", text("api"));
    for (given, expected) in [
        (
            vec![],
            "RB0404 service | the parameter `service` has no value | give it: --param service=VALUE",
        ),
        (
            vec![("service", text("aip"))],
            "RB0402 service | the environment `local` has no service `aip` | did you mean `api`?",
        ),
        (
            vec![service.clone(), ("servcie", text("api"))],
            "RB0405 sample | the runbook `sample` has no parameter `servcie` | did you mean `service`?",
        ),
        (
            vec![service.clone(), ("grace", text("10"))],
            "RB0406 grace | the parameter `grace` cannot have this value: `10` has no unit",
        ),
        (
            vec![service.clone(), ("port", Given::Value(json!("x")))],
            "RB0406 port | ",
        ),
        (
            vec![service, ("grace", Given::Value(json!(10)))],
            "RB0406 grace | ",
        ),
    ] {
        let findings = plan_of(SAMPLE, &given).expect_err(expected);
        assert_eq!(findings.len(), 1, "{findings:?}");
        assert!(
            findings[0].starts_with(expected),
            "{findings:?}\nnot {expected}"
        );
    }
    let plan = plan_of(
        SAMPLE,
        &[("service", text("worker")), ("files", text("x,y"))],
    )
    .expect("builds");
    assert_eq!(plan.params["files"].value, json!(["x", "y"]));
}

#[test]
fn known_values_are_held_against_the_schema() {
    let text_of = |param: &str, with: &str| {
        format!("params: {{ x: {{ {param} }} }}\nsteps:\n  - {{ id: a, uses: {with} }}\n")
    };
    for (param, with, value, expected) in [
        (
            "type: string, default: 5s",
            "wait, with: { for: \"{{ params.x }}\" }",
            "5 parsecs",
            "RB0505 \"{{ params.x }}\" | the input `for` cannot have this value: ` parsecs`",
        ),
        (
            "type: string, default: ops",
            "notify, with: { message: a, channel: \"{{ params.x }}\" }",
            "ospp",
            "RB0505 \"{{ params.x }}\" | the input `channel` cannot have this value: did you mean `ops`?",
        ),
        (
            "type: int, default: 1",
            "notify, with: { message: a, retries: \"{{ params.x }}\" }",
            "0",
            "RB0505 \"{{ params.x }}\" | the input `retries` cannot have this value: it must be at least 1",
        ),
        (
            "type: string, default: api",
            "service.health, with: { service: \"{{ params.x }}\" }",
            "aip",
            "RB0402 \"{{ params.x }}\" | the environment `local` has no service `aip`",
        ),
        (
            "type: string, default: a",
            "shell, with: { run: \"echo {{ params.x }}\" }",
            "a\0b",
            "RB0505 params.x | `params.x` cannot be used here: a shell word cannot hold a NUL byte",
        ),
    ] {
        let runbook = text_of(param, with);
        assert!(plan_of(&runbook, &[]).is_ok(), "{runbook}");
        let findings = plan_of(&runbook, &[("x", text(value))]).expect_err(expected);
        assert_eq!(findings.len(), 1, "{findings:?}");
        assert!(
            findings[0].starts_with(expected),
            "{findings:?}\nnot {expected}"
        );
    }
    // A value is never read as a template.
    let plan = plan_of(
        &text_of(
            "type: string, default: a",
            "notify, with: { message: \"<{{ params.x }}>\" }",
        ),
        &[("x", text("{{ run.id }}"))],
    )
    .expect("builds");
    assert_eq!(
        plan.steps[0].action.with,
        Expr::Value(json!({"message": "<{{ run.id }}>"}))
    );
}

#[test]
fn the_digest_is_fixed_and_ignores_what_only_describes() {
    let plan = sample();
    // Changing this constant breaks every vote and plan in the field: raise PLAN_FORMAT with it.
    assert_eq!(
        plan.digest().to_string(),
        "sha256:7b91f18c41095e43a737f1a16ff2e692fb240d18fc4384d466bfa34d2c0c17e7"
    );
    let moved = SAMPLE
        .replace("A sample", "Another title")
        .replace("owner: team", "# a comment\nowner: others")
        .replace("name: Look", "name: See");
    let moved = plan_of(&moved, &[("service", text("api"))]).expect("builds");
    assert_eq!(moved.digest(), plan.digest());
    assert_ne!(moved.canonical_json(), plan.canonical_json());
    for (from, to) in [
        ("attempts: 3", "attempts: 4"),
        ("on_failure: stop", "on_failure: rollback"),
        ("echo {{ params.service }}", "echo  {{ params.service }}"),
        ("default: 90s", "default: 91s"),
    ] {
        let changed = plan_of(&SAMPLE.replace(from, to), &[("service", text("api"))]).expect(from);
        assert_ne!(changed.digest(), plan.digest(), "{from}");
    }
    // `{ b: 1, a: 2 }` and `{ a: 2, b: 1 }` are one plan.
    let swapped = SAMPLE.replace(
        "{ PORT: \"{{ params.port }}\", PID: \"x\" }",
        "{ PID: \"x\", PORT: \"{{ params.port }}\" }",
    );
    assert_ne!(swapped, SAMPLE);
    let swapped = plan_of(&swapped, &[("service", text("api"))]).expect("builds");
    assert_eq!(swapped.digest(), plan.digest());
}

#[test]
fn a_stored_plan_reads_back() {
    let plan = sample();
    let stored = plan.canonical_json();
    let back = Plan::from_json(&stored).expect("reads back");
    assert_eq!(back, plan);
    assert_eq!(back.digest(), plan.digest());
    let newer = stored.replace("\"format\":1", "\"format\":2");
    assert!(matches!(
        Plan::from_json(&newer),
        Err(PlanError::Newer { found: 2 })
    ));
    assert!(matches!(Plan::from_json("{}"), Err(PlanError::NoFormat)));
    assert!(matches!(Plan::from_json("["), Err(PlanError::Json(_))));
}

/// A chain of steps, each of which refers to the one before and to a far one.
fn long_runbook(count: usize) -> String {
    let mut text = "params: { service: { type: service, default: api } }\nsteps:\n".to_owned();
    for i in 0..count {
        let (near, far) = (i.saturating_sub(1), i / 2);
        text.push_str(&if i == 0 {
            "  - { id: s0, uses: service.health, with: { service: \"{{ params.service }}\" } }\n".to_owned()
        } else {
            format!("  - {{ id: s{i}, uses: service.health, with: {{ service: \"{{{{ params.service }}}}\" }}, when: \"steps.s{far}.outputs.healthy\", outputs: {{ x: \"{{{{ outputs.latency }}}} {{{{ steps.s{near}.outputs.latency }}}}\" }} }}\n")
        });
    }
    text
}

#[test]
fn ten_thousand_steps_are_no_problem() {
    let text = long_runbook(10_000);
    let started = Instant::now();
    let (checked, findings) = check_text(&text);
    let checked = checked.unwrap_or_else(|| panic!("{:?}", findings.first().map(line)));
    let checked_after = started.elapsed();
    let mut diags = Diagnostics::new();
    let plan = build(
        &checked,
        &environment(),
        None,
        &BTreeMap::new(),
        &catalog(),
        &mut diags,
    );
    let built_after = started.elapsed() - checked_after;
    let plan: Plan = plan.expect("builds");
    assert_eq!(plan.steps.len(), 10_000);
    let _: Value = serde_json::from_str(&plan.canonical_json()).expect("is JSON");
    println!(
        "decode + check {checked_after:?}, build {built_after:?}, all {:?}",
        started.elapsed()
    );
    // Unoptimised and on a busy machine; quadratic behaviour would take minutes.
    assert!(
        started.elapsed() < Duration::from_secs(60),
        "{:?}",
        started.elapsed()
    );
}

#[test]
fn a_running_plan_compares_like_with_like() {
    let plan = plan_of(
        "params: { grace: { type: duration, default: 90s } }\nsteps:\n  - { id: a, uses: service.health, with: { service: api }, outputs: { slow: \"{{ outputs.latency }}\", said: \"it is {{ outputs.latency }}\" } }\n  - { id: b, uses: wait, with: { for: 1s }, when: \"steps.a.outputs.slow < params.grace && steps.a.duration > duration('1s') && run.started_at > timestamp('2026-01-01T00:00:00Z') && vars.port == 8000 && steps.a.outputs.said == 'it is 1s'\" }\n",
        &[],
    )
    .unwrap_or_else(|f| panic!("{}", f.join("\n")));
    let mut scope = plan.scope();
    let steps = json!({"a": {"outputs": {"latency": "1s", "slow": "1s", "said": "it is 1s"}, "duration": "2s"}});
    let ty = Ty::Map(Box::new(plan.steps[0].ty(&plan)));
    scope.set("steps", steps, ty);
    scope.set(
        "run",
        json!({"started_at": "2026-11-23T03:00:00Z"}),
        super::run_ty(),
    );
    let when = plan.steps[1].when.as_deref().expect("has a condition");
    let condition = crate::language::Condition::parse(when).expect("was checked");
    assert_eq!(condition.holds(&scope), Ok(true));
}

#[test]
fn what_was_checked_without_an_environment_is_checked_now() {
    let text = crate::check::fixture::whole(
        "steps:\n  - { id: a, uses: notify, with: { message: \"in {{ vars.regoin }}\" } }\n  - { id: b, uses: service.health, with: { service: aip } }\n",
    );
    let source = crate::base::SourceFile::new("runbooks/sample.yaml", text);
    let mut diags = Diagnostics::new();
    let runbook = crate::language::decode_runbook(&source, &mut diags).expect("decodes");
    let checked = crate::check::check(runbook, None, &catalog(), &mut diags).expect("no findings");
    let plan = build(
        &checked,
        &environment(),
        None,
        &BTreeMap::new(),
        &catalog(),
        &mut diags,
    );
    assert!(plan.is_none());
    let lines: Vec<String> = diags.into_sorted().iter().map(line).collect();
    assert_eq!(
        lines,
        [
            "RB0205 vars.regoin | `vars.regoin` has no value | did you mean `vars.region`?",
            "RB0402 aip | the environment `local` has no service `aip` | did you mean `api`?",
        ]
    );
}
