use std::time::Duration;

use proptest::prelude::*;
use serde_json::json;

use super::{decode_environment, decode_policy, decode_runbook};
use crate::base::{Code, Diagnostic, Diagnostics, SourceFile};
use crate::language::codes;
use crate::model::{
    Backoff, Effect, Environment, Needs, OnCancel, OnFailure, Policy, Risk, Rollback, Runbook,
    RunbookSeverity, StepOnFailure, Ty,
};

fn runbook(text: &str) -> (Option<Runbook>, Vec<Diagnostic>) {
    let source = SourceFile::new("runbooks/a.yaml", text);
    let mut diags = Diagnostics::new();
    (decode_runbook(&source, &mut diags), diags.into_sorted())
}

fn environment(text: &str) -> (Option<Environment>, Vec<Diagnostic>) {
    let source = SourceFile::new("runbooks/environments/a.yaml", text);
    let mut diags = Diagnostics::new();
    (decode_environment(&source, &mut diags), diags.into_sorted())
}

fn policy(text: &str) -> (Option<Policy>, Vec<Diagnostic>) {
    let source = SourceFile::new("runbooks/policy.yaml", text);
    let mut diags = Diagnostics::new();
    (decode_policy(&source, &mut diags), diags.into_sorted())
}

const FULL: &str = r#"# yaml-language-server: $schema=../schemas/runbook.schema.json
runbook: v1
name: a
title: Restart a service
description: |
  Several lines.
  More.
owner: platform-team
severity: P2
risk: medium
reviewed: 2026-11-01
objectives: { rto: 5m, rpo: 1h }
params:
  service: { type: service, default: api, description: Service to restart }
  grace: { type: duration, default: 10s, min: 1s, max: 1h }
  mode: { type: enum, values: [fast, slow] }
  hosts: { type: list, items: string, default: [a, b] }
  ports: { type: map, items: int, default: { http: 80 } }
  tag: { type: string, pattern: "[a-z]+" }
on_failure: stop
on_cancel: rollback
timeout: 15m
steps:
  - id: before
    name: Record the state
    uses: service.status
    with: { service: "{{ params.service }}" }
  - id: restart
    uses: service.restart
    with:
      service: "{{ params.service }}"
      grace: "{{ params.grace }}"
    needs: [before]
    when: params.mode == "fast"
    timeout: 2m
    retry: { attempts: 3, delay: 2s, backoff: linear, max_delay: 30s, jitter: 0.5, on: [timeout, exit] }
    on_failure: continue
    verify: outputs.pid > 0
    rollback:
      uses: service.start
      with: { service: api }
      retry: { attempts: 2 }
      timeout: 10s
    outputs:
      pid: "{{ outputs.pid }}"
    effect: { is: once, reason: it pages people }
    template: false
  - id: healthy
    uses: service.health
    needs: []
    until: outputs.healthy
    every: 500ms
    rollback: { irreversible: true, reason: nothing to undo }
finally:
  - id: tell
    uses: notify
    when: true
outputs:
  pid: "{{ steps.restart.outputs.pid }}"
"#;

#[test]
fn a_whole_runbook_is_read() {
    let (book, diags) = runbook(FULL);
    assert_eq!(diags, []);
    let book = book.expect("a runbook");
    assert_eq!(book.name.value, "a");
    assert_eq!(book.severity.expect("severity").value, RunbookSeverity::P2);
    assert_eq!(book.risk.value, Risk::Medium);
    assert_eq!(book.reviewed.expect("reviewed").to_string(), "2026-11-01");
    assert_eq!(
        book.objectives.rto.expect("rto").value,
        Duration::from_secs(300)
    );
    assert_eq!(book.on_failure.value, OnFailure::Stop);
    assert_eq!(book.on_cancel.value, OnCancel::Rollback);
    assert_eq!(
        book.timeout.expect("timeout").value,
        Duration::from_secs(900)
    );
    assert_eq!(
        book.params["mode"].ty.value,
        Ty::Enum(vec!["fast".into(), "slow".into()])
    );
    assert_eq!(book.params["ports"].ty.value, Ty::Map(Box::new(Ty::Int)));
    assert_eq!(
        book.params.keys().next_back().map(String::as_str),
        Some("tag")
    );
    let [before, restart, healthy] = &book.steps[..] else {
        panic!("three steps");
    };
    assert_eq!(before.needs, Needs::Above);
    assert!(before.template);
    assert_eq!(healthy.needs, Needs::Listed(vec![]));
    assert_eq!(
        healthy.every.as_ref().expect("every").value,
        Duration::from_millis(500)
    );
    assert!(
        matches!(&healthy.rollback.as_ref().expect("rollback").value,
        Rollback::Irreversible { reason } if reason == "nothing to undo")
    );
    let retry = &restart.retry.as_ref().expect("retry").value;
    assert_eq!(
        (retry.attempts, retry.backoff, retry.jitter),
        (3, Backoff::Linear, 0.5)
    );
    assert_eq!(retry.on, ["timeout", "exit"]);
    assert_eq!(
        restart.on_failure.as_ref().expect("on_failure").value,
        StepOnFailure::Continue
    );
    assert_eq!(
        restart.effect.as_ref().expect("effect").effect,
        Effect::Once
    );
    assert!(!restart.template);
    assert_eq!(
        restart.action.with.to_json(),
        json!({"service": "{{ params.service }}", "grace": "{{ params.grace }}"})
    );
    let Rollback::Undo {
        action,
        retry,
        timeout,
    } = &restart.rollback.as_ref().expect("rollback").value
    else {
        panic!("an undo");
    };
    assert_eq!(action.uses.value, "service.start");
    assert_eq!(retry.as_ref().expect("retry").delay, Duration::from_secs(1));
    assert_eq!(*timeout, Some(Duration::from_secs(10)));
    assert_eq!(book.finally[0].when.as_ref().expect("when").value, "true");
    let span = restart.span;
    assert_eq!(&book.source.text[span.start..span.end()], "id: restart");
}

fn with_step(keys: &str) -> String {
    format!("runbook: v1\nname: a\nsteps:\n  - id: a\n    uses: wait\n{keys}")
}

/// The one finding of a runbook whose step has these lines.
#[track_caller]
fn finding(keys: &str) -> (Diagnostic, String, String) {
    let (_, mut diags) = runbook(&with_step(keys));
    assert_eq!(diags.len(), 1, "{diags:#?}");
    let diag = diags.remove(0);
    let label = &diag.labels[0];
    let place = label.source.text[label.span.start..label.span.end()].to_owned();
    let help = diag.help.clone().unwrap_or_default();
    (diag, place, help)
}

#[test]
fn a_finding_says_what_where_and_what_to_do() {
    for (keys, code, message, place, help) in [
        (
            "    time_out: 5s\n",
            codes::UNKNOWN_KEY,
            "a step has no key `time_out`",
            "time_out",
            "did you mean `timeout`? Permitted here: id, name, uses, with, needs",
        ),
        (
            "    replicas: 3\n",
            codes::UNKNOWN_KEY,
            "a step has no key `replicas`",
            "replicas",
            "permitted here: id",
        ),
        (
            "    run_on: pool\n",
            codes::NOT_YET,
            "`run_on` in a step is not supported yet",
            "run_on",
            "take it out",
        ),
        (
            "    timeout: 30\n",
            codes::WRONG_TYPE,
            "`timeout` wants a duration, found the number `30`",
            "30",
            "write the unit: `30s` or `30m`",
        ),
        (
            "    timeout: 5 minutes\n",
            codes::BAD_VALUE,
            "`timeout` is no duration",
            "5 minutes",
            "write e.g. `timeout: 2m`",
        ),
        (
            "    name: 2024\n",
            codes::WRONG_TYPE,
            "`name` wants text, found the number `2024`",
            "2024",
            "`name: \"2024\"`",
        ),
        (
            "    template: no\n",
            codes::WRONG_TYPE,
            "`template` wants a boolean, found the text \"no\"",
            "no",
            "write `true` or `false`",
        ),
        (
            "    on_failure: contniue\n",
            codes::BAD_VALUE,
            "`on_failure` cannot be `contniue`",
            "contniue",
            "did you mean `continue`? Permitted: stop, rollback, continue",
        ),
        (
            "    retry: 3\n",
            codes::WRONG_TYPE,
            "`retry` wants a map, found the number `3`",
            "3",
            "`retry: { attempts: 3, delay: 2s }`",
        ),
        (
            "    retry: { attempts: 2, on: [timeuot] }\n",
            codes::BAD_VALUE,
            "`on` cannot be `timeuot`",
            "timeuot",
            "did you mean `timeout`?",
        ),
        (
            "    needs: b\n",
            codes::WRONG_TYPE,
            "`needs` wants a list of step ids, found the text \"b\"",
            "b",
            "`needs: [b]`",
        ),
        (
            "    needs: [check-health]\n",
            codes::BAD_NAME,
            "`check-health` cannot be a step id: a hyphen would be a minus",
            "check-health",
            "write e.g. `check_health`",
        ),
        (
            "    every: 1s\n",
            codes::KEY_CONFLICT,
            "`every` has no meaning without `until`",
            "every",
            "add `until:`",
        ),
        (
            "    retry: { delay: 1s }\n",
            codes::MISSING_KEY,
            "`retry` needs the key `attempts`",
            "delay",
            "add e.g. `attempts: 3`",
        ),
        (
            "    rollback:\n      irreversible: true\n",
            codes::MISSING_KEY,
            "`irreversible` needs the key `reason`",
            "irreversible",
            "people read it before they approve",
        ),
        (
            "    with:\n      - a\n      - b\n",
            codes::WRONG_TYPE,
            "`with` wants a map, found a list",
            "- a",
            "`with: { service: api }`",
        ),
    ] {
        let (diag, found, found_help) = finding(keys);
        assert_eq!(diag.code, code, "{keys}");
        assert!(diag.message.contains(message), "{keys}: {}", diag.message);
        assert_eq!(found, place, "{keys}");
        assert!(found_help.contains(help), "{keys}: {found_help}");
    }
}

#[test]
fn two_steps_with_one_id_are_shown_at_both_places() {
    let text = "runbook: v1\nname: a\nsteps:\n  - { id: x, uses: a }\n  - { id: y, uses: a }\nfinally:\n  - { id: x, uses: a }\n";
    let (_, diags) = runbook(text);
    let [diag] = &diags[..] else {
        panic!("one finding: {diags:#?}");
    };
    assert_eq!(diag.code, codes::DUPLICATE_STEP);
    let lines: Vec<usize> = diag
        .labels
        .iter()
        .map(|label| label.source.line_column(label.span.start).0)
        .collect();
    assert_eq!(lines, [7, 4]);
}

#[test]
fn a_runbook_with_small_mistakes_can_still_be_checked() {
    for keys in [
        "    time_out: 5s\n",
        "    timeout: 5\n",
        "    run_on: pool\n",
    ] {
        let (book, diags) = runbook(&with_step(keys));
        assert_eq!(diags.len(), 1, "{keys}");
        assert_eq!(book.expect("a runbook").steps.len(), 1, "{keys}");
    }
    // Without these, references to them would look wrong although they are not.
    for keys in [
        "    needs: a\n",
        "    outputs: { a-b: c }\n",
        "    with: 5\n",
    ] {
        assert!(runbook(&with_step(keys)).0.is_none(), "{keys}");
    }
}

#[test]
fn the_first_line_is_judged_first() {
    let first = |text: &str| {
        let (_, diags) = runbook(text);
        (
            diags[0].code,
            diags[0].message.clone(),
            diags[0].help.clone().unwrap_or_default(),
        )
    };
    let (code, message, help) = first("environment: v1\nname: a\n");
    assert_eq!(code, codes::WRONG_KIND);
    assert!(message.contains("`environment:`"), "{message}");
    assert!(help.contains("runbooks/environments/"), "{help}");
    let (code, message, help) = first("runbook: v2\nname: a\n");
    assert_eq!(code, codes::FORMAT_VERSION);
    assert!(message.contains("newer than this program"), "{message}");
    assert!(help.contains("runbook version"), "{help}");
    assert_eq!(first("").1, "the file is empty");
    assert_eq!(first("a: b\nc: d\n").0, codes::FORMAT_LINE);
    assert_eq!(
        runbook("a: b\nc: d\n").1.len(),
        1,
        "an unrelated file gets one error"
    );
}

#[test]
fn the_name_is_the_name_of_the_file() {
    let (book, diags) = runbook("runbook: v1\nname: b\nsteps:\n  - { id: x, uses: a }\n");
    assert!(book.is_some());
    assert_eq!(diags[0].code, codes::NAME_NOT_FILE);
    assert_eq!(
        diags[0].message,
        "the name is `b`, but the file is `runbooks/a.yaml`"
    );
}

#[test]
fn an_environment_is_read() {
    let (read, diags) = environment(
        "environment: v1\nname: a\nprotected: true\nvars: { region: eu, n: [1] }\nservices:\n  \
         stock-api: { provider: process, command: [api, -v], port: 0 }\nconnections:\n  \
         cache: { kind: redis, url: here }\n",
    );
    assert_eq!(diags, []);
    let read = read.expect("an environment");
    assert!(read.protected);
    assert_eq!(read.vars["n"].to_json(), json!([1]));
    let service = &read.services["stock-api"];
    assert_eq!(service.provider.value, "process");
    assert_eq!(
        service.config.to_json(),
        json!({"command": ["api", "-v"], "port": 0})
    );
    let span = service.name_span;
    assert_eq!(&read.source.text[span.start..span.end()], "stock-api");
    assert_eq!(read.connections["cache"].kind.value, "redis");
}

#[test]
fn hostile_files_get_one_error() {
    for (text, code) in [
        ("{a: ".repeat(100_000), codes::TOO_DEEP),
        ("- ".repeat(100_000), codes::TOO_DEEP),
        (
            format!("runbook: v1\nname: {}", "a".repeat(10_000_000)),
            codes::TOO_LARGE,
        ),
        (
            "runbook: v1\nname: a\0\n".to_owned(),
            codes::FORBIDDEN_CHARACTER,
        ),
        (with_step("\twith: {}\n"), codes::TAB_INDENT),
        (with_step("    uses: wait\n"), codes::DUPLICATE_KEY),
    ] {
        let (_, diags) = runbook(&text);
        let found: Vec<Code> = diags.iter().map(|diag| diag.code).collect();
        assert_eq!(found, [code]);
    }
}

#[test]
fn ten_thousand_steps_are_read() {
    let mut text = "runbook: v1\nname: a\nsteps:\n".to_owned();
    for n in 0..10_000 {
        text += &format!(
            "  - id: s{n}\n    uses: service.restart\n    with: {{ service: api, grace: \"{{{{ params.g }}}}\" }}\n"
        );
    }
    let (book, diags) = runbook(&text);
    assert_eq!(diags, []);
    assert_eq!(book.expect("a runbook").steps.len(), 10_000);
}

/// A valid file with some of its characters cut, doubled or replaced.
fn mutated() -> impl Strategy<Value = String> {
    let pieces = prop::sample::select(vec![
        "", "\n", "  ", ": ", "- ", "{", "}", "[", "]", "\"", "&a ", "*a", "1", "ü", "~", "\t", ",",
    ]);
    prop::collection::vec((0..FULL.len(), 0usize..12, pieces), 1..6).prop_map(|edits| {
        let mut text = FULL.to_owned();
        for (at, cut, piece) in edits {
            let edge = |at: usize| {
                (0..=at.min(text.len()))
                    .rev()
                    .find(|i| text.is_char_boundary(*i))
            };
            let (from, to) = (edge(at).unwrap_or(0), edge(at + cut).unwrap_or(0));
            text.replace_range(from..to.max(from), piece);
        }
        text
    })
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(500) })]

    #[test]
    fn mutated_files_are_always_answered(text in mutated()) {
        for (read, diags) in [
            { let (r, d) = runbook(&text); (r.is_some(), d) },
            { let (r, d) = environment(&text); (r.is_some(), d) },
            { let (r, d) = policy(&text); (r.is_some(), d) },
        ] {
            prop_assert!(read || !diags.is_empty());
            for diag in &diags {
                prop_assert!(!diag.labels.is_empty() && diag.help.is_some(), "{:?}", diag);
                for label in &diag.labels {
                    let range = label.span.start..label.span.end();
                    prop_assert!(label.source.text.get(range).is_some());
                }
            }
        }
    }
}
