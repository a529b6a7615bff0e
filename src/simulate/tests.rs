//! Whole cases from text, and sweeps over runbooks that are broken on purpose.

use std::collections::BTreeMap;

use super::{CaseResult, PreparedCase, SweepReport, fault_sweep, repeat_sweep};
use crate::base::{Diagnostic, Diagnostics, Severity, SourceFile};
use crate::check::check;
use crate::handlers::builtin_registry;
use crate::language::{decode_environment, decode_runbook, decode_test_file};
use crate::model::ActionCatalog;
use crate::plan::{Given, build};

const ENVIRONMENT: &str = "\
environment: v1
name: here
services:
  api: { provider: process, command: [api] }
  worker: { provider: process, command: [worker] }
connections:
  ops: { kind: notify, to: terminal }
";

pub(super) fn catalog() -> ActionCatalog {
    builtin_registry().expect("unique names").catalog()
}

pub(super) fn prepared(runbook: &str, cases: &str) -> Result<Vec<PreparedCase>, Vec<Diagnostic>> {
    let catalog = catalog();
    let mut diags = Diagnostics::new();
    let text = format!("runbook: v1\nname: tried\n{runbook}");
    let runbook = decode_runbook(&SourceFile::new("tried.yaml", text), &mut diags);
    let environment = decode_environment(&SourceFile::new("here.yaml", ENVIRONMENT), &mut diags);
    let environment = environment.expect("an environment");
    let checked = runbook.and_then(|r| check(r, Some(&environment), &catalog, &mut diags));
    let wrong: Vec<_> = diags
        .iter()
        .filter(|d| d.severity == Severity::Error)
        .collect();
    assert!(wrong.is_empty(), "{wrong:#?}");
    let checked = checked.expect("a runbook");
    let text = format!("test: v1\nrunbook: tried\ncases:\n{cases}");
    let mut diags = Diagnostics::new();
    let file = decode_test_file(&SourceFile::new("tried.test.yaml", text), &mut diags);
    let mut jobs = Vec::new();
    for case in file.iter().flat_map(|file| &file.cases) {
        let given: BTreeMap<String, Given> = BTreeMap::new();
        let plan =
            build(&checked, &environment, None, &given, &catalog, &mut diags).expect("a plan");
        let file = file.as_ref().expect("read");
        jobs.extend(PreparedCase::new(file, case, plan, &catalog, &mut diags));
    }
    match diags.has_errors() {
        true => Err(diags.into_sorted()),
        false => Ok(jobs),
    }
}

fn one(runbook: &str, case: &str) -> PreparedCase {
    let mut all = prepared(runbook, case).unwrap_or_else(|found| panic!("{found:#?}"));
    all.pop().expect("a case")
}

fn run(runbook: &str, case: &str) -> CaseResult {
    one(runbook, case).run(&catalog()).expect("a sound core")
}

fn swept(runbook: &str) -> SweepReport {
    let case = "  - { name: any, votes: [], expect: {} }\n";
    fault_sweep(&one(runbook, case), &catalog()).expect("a sound core")
}

pub(super) fn messages(report: &SweepReport) -> Vec<String> {
    let found = report.findings.iter();
    found
        .map(|f| format!("{}: {} ({})", f.rule, f.message, f.scenario))
        .collect()
}

const SOUND: &str = "\
on_cancel: rollback
timeout: 1h
steps:
  - id: before
    uses: service.status
    with: { service: api }
  - id: one
    uses: service.restart
    with: { service: api }
    retry: { attempts: 3, delay: 1s }
    timeout: 1m
    rollback: { uses: service.start, with: { service: api }, retry: { attempts: 2 } }
  - id: two
    uses: service.drain
    with: { service: api }
    rollback: { uses: service.resume, with: { service: api } }
  - id: three
    uses: service.status
    with: { service: api }
    needs: [one]
finally:
  - id: tell
    uses: notify
    with: { channel: ops, message: \"{{ run.outcome }}\" }
";

#[test]
fn a_sound_runbook_passes_both_sweeps() {
    let report = swept(SOUND);
    assert_eq!(messages(&report), Vec::<String>::new());
    assert!(report.runs > 100, "{}", report.runs);
    for outcome in [
        "succeeded",
        "rolled_back",
        "stuck",
        "cancelled",
        "completed_with_exceptions",
    ] {
        assert!(
            report.outcomes.contains_key(outcome),
            "{:?}",
            report.outcomes
        );
    }
    let case = one(SOUND, "  - { name: any, expect: {} }\n");
    let report = repeat_sweep(&case, &catalog()).expect("a sound core");
    assert_eq!(messages(&report), Vec::<String>::new());
    assert!(report.runs > 10);
}

#[test]
fn a_missing_undo_is_reported() {
    let broken = SOUND.replace(
        "    rollback: { uses: service.resume, with: { service: api } }\n",
        "",
    );
    let found = messages(&swept(&broken));
    assert_eq!(found.len(), 1, "{found:#?}");
    assert!(found[0].starts_with("left behind: "), "{found:#?}");
    assert!(found[0].contains("what `two` changed stays"), "{found:#?}");
}

#[test]
fn a_once_step_that_is_retried_is_reported() {
    let broken = "\
steps:
  - id: pay
    uses: shell
    with: { argv: [pay] }
    retry: { attempts: 3 }
    rollback: { irreversible: true, reason: money is gone }
";
    let found = messages(&swept(broken));
    assert!(
        found
            .iter()
            .any(|f| f.starts_with("once: `pay` is `once` and was called 3 times")),
        "{found:#?}"
    );
}

#[test]
fn a_finally_that_fails_with_the_run_is_reported() {
    let broken = SOUND.replace("{{ run.outcome }}", "{{ steps.two.outputs.drained }}");
    let found = messages(&swept(&broken));
    assert!(
        found
            .iter()
            .any(|f| f.starts_with("not ready: `tell` of `finally` fails")),
        "{found:#?}"
    );
}

#[test]
fn the_oracle_knows_the_order_in_which_instances_are_undone() {
    use crate::event::EventKind;
    for (max_parallel, sees) in [(1, true), (2, false)] {
        let runbook = format!(
            "steps:\n  - id: each\n    uses: service.drain\n    for_each: [api, worker]\n    max_parallel: {max_parallel}\n    with: {{ service: \"{{{{ item }}}}\" }}\n    rollback: {{ uses: service.resume, with: {{ service: \"{{{{ item }}}}\" }} }}\n  - {{ id: last, uses: service.status, with: {{ service: api }} }}\n"
        );
        let case = one(
            &runbook,
            "  - { name: any, steps: { last: { fails: error } }, expect: {} }\n",
        );
        let steps = super::steps::PlanSteps::new(&case.plan);
        let catalog = catalog();
        let mut world = super::world::ScriptedWorld::new(&case.case, &steps, &catalog);
        let ran = super::driver::simulate(&case.setup(), &mut world, &[]).expect("sound");
        let rules = |events: &[crate::event::RunEvent]| -> Vec<&'static str> {
            let found = super::oracle::breaches(&case.plan, events);
            found.into_iter().map(|breach| breach.rule).collect()
        };
        assert_eq!(rules(&ran.events), Vec::<&str>::new());
        let mut swapped = ran.events.clone();
        let undos: Vec<usize> = (0..swapped.len())
            .filter(|at| matches!(swapped[*at].event, EventKind::UndoStarted { .. }))
            .collect();
        let (first, second) = (undos[0], undos[1]);
        let kinds = (swapped[first].event.clone(), swapped[second].event.clone());
        swapped[first].event = kinds.1;
        swapped[second].event = kinds.0;
        assert_eq!(rules(&swapped).contains(&"undo order"), sees);
    }
}

#[test]
fn the_oracle_sees_a_journal_that_lies() {
    use crate::event::EventKind;
    let case = one(
        SOUND,
        "  - { name: any, steps: { three: { fails: error } }, expect: {} }\n",
    );
    let steps = super::steps::PlanSteps::new(&case.plan);
    let catalog = catalog();
    let mut world = super::world::ScriptedWorld::new(&case.case, &steps, &catalog);
    let ran = super::driver::simulate(&case.setup(), &mut world, &[]).expect("sound");
    let rules = |events: &[crate::event::RunEvent]| -> Vec<&'static str> {
        let found = super::oracle::breaches(&case.plan, events);
        found.into_iter().map(|breach| breach.rule).collect()
    };
    assert_eq!(rules(&ran.events), Vec::<&str>::new());
    let without = |name: &str| {
        let mut events = ran.events.clone();
        events.retain(|event| event.event.name() != name);
        rules(&events)
    };
    assert!(without("undo_succeeded").contains(&"undo"));
    assert!(without("rollback_started").contains(&"parts"));
    assert!(without("step_succeeded").contains(&"order"));
    let mut swapped = ran.events.clone();
    let undos: Vec<usize> = (0..swapped.len())
        .filter(|at| matches!(swapped[*at].event, EventKind::UndoStarted { .. }))
        .collect();
    let (first, second) = (undos[0], undos[1]);
    let kinds = (swapped[first].event.clone(), swapped[second].event.clone());
    swapped[first].event = kinds.1;
    swapped[second].event = kinds.0;
    assert!(
        rules(&swapped).contains(&"undo order"),
        "{:?}",
        rules(&swapped)
    );
    let mut late = ran.events.clone();
    let start = late[1].clone();
    late.push(start);
    assert!(rules(&late).contains(&"end"));
}

#[test]
fn retries_polls_and_the_clock_are_simulated() {
    let runbook = "\
steps:
  - id: pause
    uses: wait
    with: { duration: 30s }
  - id: healthy
    uses: service.health
    with: { service: api }
    until: outputs.healthy
    every: 5s
    timeout: 1m
";
    let case = "  - name: polls
    steps:
      healthy: [{ fails: unavailable, times: 2 }, { outputs: { healthy: true } }]
    expect: { outcome: succeeded, duration: { min: 40s, max: 41s }, that: ['steps.healthy.attempts == 1'] }
";
    let result = run(runbook, case);
    assert!(result.passed(), "{:#?}", result.findings);
}

#[test]
fn each_expectation_that_does_not_hold_is_told_with_its_place() {
    let case = "  - name: wrong
    steps: { three: { fails: error, message: no } }
    expect:
      outcome: succeeded
      order: [two, one]
      not_run: [before]
      failed: [two]
      undone: [one]
      that: [outcome == 'failed']
      duration: { min: 1h }
";
    let result = run(SOUND, case);
    let found: Vec<String> = result
        .findings
        .iter()
        .map(|f| {
            let label = &f.labels[0];
            let at = label.span;
            format!(
                "{} [{}] {}",
                f.message,
                &label.source.text[at.start..at.end()],
                label.text
            )
        })
        .collect();
    for expected in [
        "the run should end `succeeded` [succeeded] it is rolled_back: `three` failed: no",
        "`one` should start after `two` [one] it starts before `two`; the order is before, one, two, three, tell",
        "`before` should not run [before] it starts",
        "`two` should be failed [two] it succeeds",
        "no other step should be failed [failed] so is three",
        "the steps that are undone should be one [undone] they are two, one",
        "`outcome == 'failed'` should hold [outcome == 'failed'] outcome is \"rolled_back\"",
    ] {
        assert!(
            found.iter().any(|f| f == expected),
            "`{expected}` is not in {found:#?}"
        );
    }
    assert!(
        found
            .iter()
            .any(|f| f.starts_with("the run should take at least 1h")),
        "{found:#?}"
    );
}

#[test]
fn a_condition_over_outputs_that_nobody_scripted_says_what_to_script() {
    let runbook = "\
steps:
  - { id: healthy, uses: service.health, with: { service: api }, until: outputs.healthy, timeout: 5s }
";
    let result = run(
        runbook,
        "  - { name: any, expect: { outcome: succeeded } }\n",
    );
    let help = result.findings[0].help.clone().unwrap_or_default();
    assert!(help.contains("`healthy` is not scripted"), "{help}");
}

#[test]
fn loops_are_simulated_instance_by_instance_and_swept() {
    let runbook = "\
params:
  services: { type: list, items: service, default: [api, worker] }
steps:
  - id: restart
    uses: service.restart
    for_each: '{{ params.services }}'
    with: { service: '{{ item }}' }
    unless: { uses: service.health, with: { service: '{{ item }}' }, condition: outputs.healthy }
    rollback: { uses: service.start, with: { service: '{{ item }}' } }
  - { id: check, uses: service.status, with: { service: api } }
";
    let cases = "  - { name: undone in reverse, steps: { check: { fails: error } }, expect: { outcome: rolled_back, undone: ['restart[worker]', 'restart[api]'] } }
  - { name: one is well, probes: { 'restart[api]': { outputs: { healthy: true } } }, expect: { outcome: succeeded, skipped: ['restart[api]'], order: ['restart[worker]', check] } }
";
    let catalog = catalog();
    for case in prepared(runbook, cases).expect("sound") {
        let result = case.run(&catalog).expect("a sound core");
        assert!(result.passed(), "{}: {:#?}", result.name, result.findings);
        for report in [fault_sweep(&case, &catalog), repeat_sweep(&case, &catalog)] {
            let report = report.expect("a sound core");
            assert_eq!(messages(&report), Vec::<String>::new());
            assert!(report.runs > 5);
        }
    }
}

#[test]
fn gates_wait_lapse_and_are_voted_on() {
    let runbook = "\
steps:
  - { id: go, uses: approval, with: { message: 'Go?' }, timeout: 1h }
  - { id: then, uses: service.status, with: { service: api } }
";
    let cases = "  - { name: lapses, expect: { outcome: expired, exit_code: 7, gates: [go], not_run: [then], duration: { min: 1h } } }
  - { name: rejected, votes: [{ gate: go, vote: reject }], expect: { outcome: rejected } }
  - { name: approved, votes: [{ gate: go, by: ana, after: 5m }], expect: { outcome: succeeded, order: [go, then], duration: { min: 5m, max: 6m } } }
";
    let catalog = catalog();
    for case in prepared(runbook, cases).expect("sound") {
        let result = case.run(&catalog).expect("a sound core");
        assert!(result.passed(), "{}: {:#?}", result.name, result.findings);
        let report = fault_sweep(&case, &catalog).expect("a sound core");
        assert_eq!(messages(&report), Vec::<String>::new());
    }
}

#[test]
fn a_vote_that_nobody_asks_for_is_told() {
    let runbook = "\
steps:
  - id: ok
    uses: approval
    for_each: [api, worker]
    with: { message: 'Go?' }
    timeout: 1h
";
    let case = "  - name: misnamed
    votes: [{ gate: 'ok[api]' }, { gate: 'ok[mail]' }, { gate: 'ok[worker]' }]
    expect: { outcome: succeeded }
";
    let result = run(runbook, case);
    let found: Vec<&str> = result.findings.iter().map(|f| f.message.as_str()).collect();
    assert_eq!(found, ["there is a vote on `ok[mail]`, which never opens"]);
}

#[test]
fn what_cannot_be_is_refused_before_anything_runs() {
    for (case, code, message) in [
        (
            "steps: { retsart: {} }, expect: {}",
            "RB0702",
            "has no step `retsart`",
        ),
        (
            "steps: { one: { outputs: { pdi: 1 } } }, expect: {}",
            "RB0703",
            "has no output `pdi`",
        ),
        (
            "steps: { one: { outputs: { pid: ten } } }, expect: {}",
            "RB0703",
            "never gives this",
        ),
        (
            "undo: { three: {} }, expect: {}",
            "RB0704",
            "has no `rollback`",
        ),
        (
            "votes: [{ gate: one }], expect: {}",
            "RB0704",
            "`one` is no gate",
        ),
        (
            "expect: { undone: [three] }",
            "RB0704",
            "`three` cannot be undone",
        ),
        (
            "expect: { skipped: [one] }",
            "RB0704",
            "`one` is never skipped",
        ),
        (
            "expect: { not_run: [one], order: [one] }",
            "RB0704",
            "in `not_run` and in `order`",
        ),
        (
            "expect: { outcome: failed, exit_code: 0 }",
            "RB0704",
            "never has the exit code 0",
        ),
        (
            "expect: { outputs: { pid: 1 } }",
            "RB0704",
            "has no output `pid`",
        ),
        (
            "expect: { outcom: failed }",
            "RB0104",
            "has no key `outcom`",
        ),
        ("expect: { outcome: won }", "RB0107", "cannot be `won`"),
        (
            "steps: { one: { fails: error, outputs: {} } }, expect: {}",
            "RB0112",
            "has no outputs",
        ),
        (
            "cancel: {}, expect: {}",
            "RB0105",
            "needs `after` or `before`",
        ),
    ] {
        let found = prepared(SOUND, &format!("  - {{ name: any, {case} }}\n"));
        let found = found.err().unwrap_or_default();
        assert!(
            found
                .iter()
                .any(|f| f.code.0 == code && f.message.contains(message)),
            "{case}: {found:#?}"
        );
    }
}
