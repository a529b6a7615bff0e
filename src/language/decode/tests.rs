use std::sync::Arc;
use std::time::Duration;

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

const FULL: &str = r#"# yaml-language-server: $schema=../schemas/runbook.json
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
