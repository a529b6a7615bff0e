//! Every rule by a table: what is written, and the code, place and words of the finding.

use super::fixture::{catalog, check_text, line};
use super::{check_environment, check_policy};
use crate::base::{Diagnostics, SourceFile};
use crate::language::{decode_environment, decode_policy};

/// Each case has exactly one finding: its code, the text it points at, a part of its words.
pub(super) fn table(cases: &[(&str, &str, &str, &str)]) {
    for (text, code, place, words) in cases {
        let (_, findings) = check_text(text);
        let lines: Vec<String> = findings.iter().map(line).collect();
        assert_eq!(lines.len(), 1, "{text}\n{}", lines.join("\n"));
        let start = format!("{code} {place} | ");
        assert!(
            lines[0].starts_with(&start),
            "{text}\n{}\nnot {start}",
            lines[0]
        );
        assert!(
            lines[0].contains(words),
            "{text}\n{}\nnot {words}",
            lines[0]
        );
    }
}

pub(super) fn clean(text: &str) {
    let (checked, findings) = check_text(text);
    let lines: Vec<String> = findings.iter().map(line).collect();
    assert!(lines.is_empty(), "{text}\n{}", lines.join("\n"));
    assert!(checked.is_some());
}

#[test]
fn a_whole_runbook_has_no_findings() {
    clean(
        r#"params:
  service: { type: service, default: api }
  grace: { type: duration, default: 10s }
  files: { type: list, items: string, default: [a] }
steps:
  - { id: before, uses: service.health, with: { service: "{{ params.service }}" } }
  - id: go
    uses: approval
    with: { message: "Restart {{ params.service }} in {{ vars.region }}? ({{ steps.before.outputs.latency }})" }
  - id: restart
    uses: service.restart
    with: { service: "{{ params.service }}", grace: "{{ params.grace }}" }
    when: "!steps.before.outputs.healthy || steps.before.duration > duration(\"1d\")"
    retry: { attempts: 3 }
    outputs: { process: "{{ outputs.pid }}" }
    rollback:
      uses: shell
      with: { run: "kill {{ outputs.pid }} {{ steps.before.status }}" }
  - id: healthy
    uses: service.health
    with: { service: "{{ params.service }}" }
    until: outputs.healthy && outputs.latency < duration("2s")
    every: 1s
    timeout: 60s
  - id: list
    uses: shell
    with:
      run: |
        set -eu
        ls {{ sh params.files }}
        echo {{#each params.files as |f|}}{{ f }}{{/each}} {{ default steps.restart.outputs.process 0 }}
finally:
  - { id: tell, uses: notify, with: { channel: ops, message: "{{ run.outcome }} {{ steps.healthy.attempts }}" } }
outputs:
  healthy_after: "{{ steps.healthy.duration }}"
"#,
    );
}

#[test]
fn actions_and_inputs() {
    table(&[
        (
            "steps:\n  - { id: a, uses: service.restrat, with: { service: api } }",
            "RB0501",
            "service.restrat",
            "did you mean `service.restart`?",
        ),
        (
            "steps:\n  - { id: a, uses: service.frobnicate }",
            "RB0501",
            "service.frobnicate",
            "service.health, service.restart",
        ),
        (
            "steps:\n  - { id: a, uses: service.restart, with: { service: api, grase: 1s } }",
            "RB0502",
            "grase",
            "did you mean `grace`?",
        ),
        (
            "steps:\n  - { id: a, uses: wait, with: {} }",
            "RB0503",
            "{}",
            "`wait` needs the input `for`",
        ),
        (
            "steps:\n  - { id: a, uses: wait, with: { for: 10 } }",
            "RB0504",
            "10",
            "a duration has a unit: 10s",
        ),
        (
            "steps:\n  - { id: a, uses: wait, with: { for: 10 minutes } }",
            "RB0505",
            "10 minutes",
            "no unit of time",
        ),
        (
            "steps:\n  - { id: a, uses: notify, with: { message: 5 } }",
            "RB0504",
            "5",
            "put it in quotes: \"5\"",
        ),
        (
            "steps:\n  - { id: a, uses: notify, with: { message: [a] } }",
            "RB0504",
            "[a]",
            "wants string, but this is a list",
        ),
        (
            "steps:\n  - { id: a, uses: notify, with: { message: a, channel: opps } }",
            "RB0505",
            "opps",
            "did you mean `ops`?",
        ),
        (
            "steps:\n  - { id: a, uses: notify, with: { message: a, limit: 5XB } }",
            "RB0505",
            "5XB",
            "no unit of size",
        ),
        (
            "steps:\n  - { id: a, uses: notify, with: { message: a, retries: 0 } }",
            "RB0505",
            "0",
            "at least 1",
        ),
        (
            "steps:\n  - { id: a, uses: notify, with: { message: a, urgent: yes please } }",
            "RB0504",
            "yes please",
            "wants bool",
        ),
        (
            "steps:\n  - { id: a, uses: notify, with: { message: a, target: { kind: web, url: x, path: x } } }",
            "RB0502",
            "path",
            "no input `path` in `target`",
        ),
        (
            "steps:\n  - { id: a, uses: shell, with: { run: date, success: [0, 300] } }",
            "RB0505",
            "300",
            "at most 255",
        ),
        (
            "steps:\n  - { id: a, uses: shell, with: { run: date, environment: { A: 1 } } }",
            "RB0504",
            "1",
            "`environment.A` wants string",
        ),
        (
            "steps:\n  - { id: a, uses: shell, with: { run: \"\" } }",
            "RB0505",
            "\"\"",
            "it is empty",
        ),
        (
            "steps:\n  - { id: a, uses: service.restart, with: { service: aip } }",
            "RB0402",
            "aip",
            "did you mean `api`?",
        ),
    ]);
}

#[test]
fn types_of_references() {
    table(&[
        (
            "params: { n: { type: int, default: 1 } }\nsteps:\n  - { id: a, uses: wait, with: { for: \"{{ params.n }}\" } }",
            "RB0504",
            "params.n",
            "wants duration, but this is int",
        ),
        (
            "params: { n: { type: int, default: 1 } }\nsteps:\n  - { id: a, uses: notify, with: { message: a, urgent: \"{{ params.n }}\" } }",
            "RB0504",
            "params.n",
            "wants bool",
        ),
        (
            "params: { n: { type: int, default: 1 } }\nsteps:\n  - { id: a, uses: notify, with: { message: a, retries: \"{{ params.n }}0\" } }",
            "RB0504",
            "\"{{ params.n }}0\"",
            "write one reference alone",
        ),
        (
            "params: { l: { type: list, items: string, default: [] } }\nsteps:\n  - { id: a, uses: notify, with: { message: \"{{ params.l }}\" } }",
            "RB0504",
            "params.l",
            "list of string",
        ),
        (
            "steps:\n  - { id: a, uses: service.health, with: { service: api } }\n  - { id: b, uses: wait, with: { for: \"{{ steps.a.outputs.healthy }}\" } }",
            "RB0504",
            "steps.a.outputs.healthy",
            "this is bool",
        ),
        (
            "steps:\n  - { id: a, uses: service.restart, with: { service: \"{{ vars.port }}\" } }",
            "RB0504",
            "vars.port",
            "this is int",
        ),
    ]);
    clean(
        "params: { n: { type: int, default: 1 } }\nsteps:\n  - { id: a, uses: notify, with: { message: \"{{ params.n }}\", retries: \"{{ params.n }}\" } }",
    );
}

#[test]
fn references() {
    let in_message = |text: &str| {
        format!(
            "on_failure: stop\nparams: {{ service: {{ type: service, default: api }} }}\nsteps:\n  - {{ id: first, uses: service.restart, with: {{ service: \"{{{{ params.service }}}}\" }} }}\n  - {{ id: second, uses: notify, with: {{ message: \"{text}\" }} }}\n  - {{ id: third, uses: wait, with: {{ for: 1s }} }}\nfinally:\n  - {{ id: last, uses: wait, with: {{ for: 1s }} }}"
        )
    };
    for (text, code, place, words) in [
        (
            "x {{ parms.service }}",
            "RB0203",
            "parms.service",
            "did you mean `params`?",
        ),
        (
            "x {{ service }}",
            "RB0203",
            "service",
            "did you mean `params.service`?",
        ),
        (
            "x {{ first.outputs.pid }}",
            "RB0203",
            "first.outputs.pid",
            "did you mean `steps.first.outputs.pid`?",
        ),
        (
            "x {{ params.servcie }}",
            "RB0204",
            "params.servcie",
            "did you mean `params.service`?",
        ),
        (
            "{{#if params.grace}}x{{/if}}",
            "RB0204",
            "params.grace",
            "not declared",
        ),
        (
            "x {{ vars.regoin }}",
            "RB0205",
            "vars.regoin",
            "did you mean `vars.region`?",
        ),
        (
            "x {{ steps.frist.outputs.pid }}",
            "RB0206",
            "steps.frist.outputs.pid",
            "did you mean `first`?",
        ),
        (
            "x {{ steps.first.outputs.pdi }}",
            "RB0207",
            "steps.first.outputs.pdi",
            "did you mean `pid`?",
        ),
        (
            "x {{ steps.first.outputs.zzz }}",
            "RB0207",
            "steps.first.outputs.zzz",
            "its outputs are pid, started_at",
        ),
        (
            "x {{ steps.first.pid }}",
            "RB0207",
            "steps.first.pid",
            "did you mean `steps.first.outputs.pid`?",
        ),
        (
            "x {{ steps.first.outputs.pid.x }}",
            "RB0207",
            "steps.first.outputs.pid.x",
            "of type int",
        ),
        (
            "x {{ steps.third.status }}",
            "RB0208",
            "steps.third.status",
            "`third` runs after `second`",
        ),
        (
            "x {{ steps.last.status }}",
            "RB0208",
            "steps.last.status",
            "when all others have ended",
        ),
        (
            "x {{ steps.second.status }}",
            "RB0209",
            "steps.second.status",
            "before it has run",
        ),
        (
            "x {{ outputs.pid }}",
            "RB0210",
            "outputs.pid",
            "name the step",
        ),
        (
            "x {{ run.outcome }}",
            "RB0210",
            "run.outcome",
            "only in `finally`",
        ),
        ("x {{ run.idd }}", "RB0207", "run.idd", "did you mean `id`?"),
        ("x {{ item }}", "RB0210", "item", "for_each"),
        (
            "x {{ uper params.service }}",
            "RB0220",
            "uper",
            "no helper `uper`",
        ),
        (
            "docker {{.Names}}",
            "RB0201",
            "{{.Names}}",
            "template: false",
        ),
    ] {
        table(&[(&in_message(text), code, place, words)]);
    }
    clean(&in_message(
        "{{ run.id }} {{ run.started_at }} {{ steps.first.outputs.started_at }}",
    ));
}

#[test]
fn declared_outputs_of_a_script() {
    let uses = |outputs: &str, name: &str| {
        format!(
            "on_failure: stop\nsteps:\n  - {{ id: a, uses: shell, with: {{ run: date{outputs} }} }}\n  - {{ id: b, uses: notify, with: {{ message: \"{{{{ steps.a.outputs.values.{name} }}}}\" }} }}"
        )
    };
    table(&[
        (
            &uses(", outputs: [day, hour]", "dey"),
            "RB0207",
            "steps.a.outputs.values.dey",
            "did you mean `day`?",
        ),
        (
            &uses("", "day"),
            "RB0207",
            "steps.a.outputs.values.day",
            "nothing is declared",
        ),
    ]);
    clean(&uses(", outputs: [day]", "day"));
}

#[test]
fn places_in_block_texts() {
    table(&[
        (
            "steps:\n  - id: a\n    uses: shell\n    with:\n      run: |\n        echo one\n        echo {{ params.x }}\n",
            "RB0204",
            "params.x",
            "not declared",
        ),
        (
            "steps:\n  - id: a\n    uses: wait\n    with: { for: 1s }\n    when: >-\n      true &&\n      params.y\n",
            "RB0204",
            "params.y",
            "not declared",
        ),
        (
            "steps:\n  - { id: a, uses: notify, with: { message: \"é {{ params.x }}\" } }",
            "RB0204",
            "params.x",
            "",
        ),
        (
            "steps:\n  - { id: a, uses: notify, with: { message: \"\\t{{ params.x }}\" } }",
            "RB0204",
            "params.x",
            "",
        ),
    ]);
}

#[test]
fn parts_of_items() {
    let message = |text: &str| {
        format!(
            "params: {{ list: {{ type: list, items: string, default: [a] }}, name: {{ type: string, default: a }} }}\nsteps:\n  - {{ id: first, uses: service.health, with: {{ service: api }} }}\n  - id: second\n    uses: notify\n    with: {{ message: {text:?} }}\n  - {{ id: third, uses: wait, with: {{ for: 1s }}, when: \"params.list == [params.name]\" }}\n"
        )
    };
    for (text, code, place, words) in [
        (
            "{{#each params.name}}x{{/each}}",
            "RB0225",
            "params.name",
            "lines",
        ),
        (
            "{{#each params.list}}{{ this.size }}{{/each}}",
            "RB0207",
            "this.size",
            "write `this`",
        ),
        (
            "{{#each params.list as |l|}}{{ l.a }}{{/each}}",
            "RB0207",
            "l.a",
            "type string",
        ),
        (
            "{{#with steps.first.outputs}}{{ this.helthy }}{{/with}}",
            "RB0207",
            "this.helthy",
            "did you mean `healthy`?",
        ),
        (
            "{{ join params.list sep=1 }}",
            "RB0221",
            "join",
            "join LIST",
        ),
        ("{{ json }}", "RB0203", "json", "begins with"),
    ] {
        table(&[(&message(text), code, place, words)]);
    }
    clean(&message(
        "{{#each params.list}}{{ @index }}{{ this }}{{ ../params.name }}{{/each}}{{#with steps.first.outputs}}{{ healthy }}{{/with}}{{ default steps.first.outputs.latency \"none\" }}",
    ));
}

#[test]
fn conditions() {
    let when = |text: &str| {
        format!(
            "params: {{ force: {{ type: bool, default: false }}, n: {{ type: int, default: 1 }}, s: {{ type: string, default: a }} }}\nsteps:\n  - {{ id: first, uses: service.health, with: {{ service: api }}, when: params.force || params.n > 1 || params.s == \"a\" }}\n  - id: second\n    uses: wait\n    with: {{ for: 1s }}\n    when: {text}\n"
        )
    };
    for (text, code, place, words) in [
        (
            "steps.first.outputs.healty",
            "RB0207",
            "steps.first.outputs.healty",
            "did you mean `healthy`?",
        ),
        ("params.force = true", "RB0202", "=", "not a condition"),
        ("isReady(params.force)", "RB0220", "isReady", "no function"),
        ("params.n", "RB0211", "params.n", "a value of type int"),
        (
            "params.n && params.force",
            "RB0211",
            "params.n",
            "used as true or false",
        ),
        (
            "steps.first.outputs.latency < '2s'",
            "RB0214",
            "steps.first.outputs.latency",
            "duration(\"2s\")",
        ),
        (
            "params.n > '3'",
            "RB0214",
            "params.n",
            "a number is compared with text",
        ),
        (
            "params.force && '3' == params.n",
            "RB0214",
            "params.n",
            "int(...)",
        ),
        (
            "params.force == 1",
            "RB0214",
            "params.force",
            "true or false is compared with a number",
        ),
        ("size(params.s)", "RB0211", "size(params.s)", "of type int"),
        ("params.force && frce", "RB0203", "frce", "begins with"),
        ("outputs.x == 1", "RB0210", "outputs.x", "name the step"),
        (
            "'{{ params.force }}'",
            "RB0202",
            "{{",
            "leave out the braces",
        ),
    ] {
        table(&[(&when(text), code, place, words)]);
    }
    clean(&when(
        "has(steps.first.outputs) && steps.first.outputs.latency < duration('2s') && ['a'].exists(x, x == params.s)",
    ));
    table(&[
        (
            "steps:\n  - { id: a, uses: service.health, with: { service: api }, until: outputs.helthy, timeout: 1s }",
            "RB0207",
            "outputs.helthy",
            "did you mean `healthy`?",
        ),
        (
            "steps:\n  - { id: a, uses: service.health, with: { service: api }, until: steps.a.outputs.healthy, timeout: 1s }",
            "RB0209",
            "steps.a.outputs.healthy",
            "write `outputs.healthy`",
        ),
        (
            "steps:\n  - { id: a, uses: service.health, with: { service: api }, until: healthy, timeout: 1s }",
            "RB0203",
            "healthy",
            "did you mean `outputs.healthy`?",
        ),
    ]);
}

#[test]
fn polling_and_approvals() {
    table(&[
        (
            "steps:\n  - { id: a, uses: service.health, with: { service: api }, until: outputs.healthy }",
            "RB0506",
            "outputs.healthy",
            "timeout",
        ),
        (
            "steps:\n  - { id: a, uses: approval, with: { message: ok }, retry: { attempts: 2 } }\n  - { id: b, uses: wait, with: { for: 1s } }",
            "RB0507",
            "{ attempts: 2 }",
            "`retry`",
        ),
        (
            "steps:\n  - { id: b, uses: wait, with: { for: 1s } }\n  - { id: a, uses: approval, with: { message: ok } }",
            "RB0304",
            "a",
            "nothing waits",
        ),
    ]);
}

#[test]
fn needs_and_circles() {
    let wait = "uses: wait, with: { for: 1s }";
    table(&[
        (
            &format!("steps:\n  - {{ id: a, {wait} }}\n  - {{ id: b, {wait}, needs: [aa] }}"),
            "RB0301",
            "aa",
            "did you mean `a`?",
        ),
        (
            &format!(
                "steps:\n  - {{ id: a, {wait}, needs: [f] }}\nfinally:\n  - {{ id: f, {wait} }}"
            ),
            "RB0301",
            "f",
            "under `finally`",
        ),
        (
            &format!("steps:\n  - {{ id: a, {wait}, needs: [a] }}"),
            "RB0302",
            "a",
            "needs itself",
        ),
        (
            &format!(
                "steps:\n  - {{ id: a, {wait}, needs: [c] }}\n  - {{ id: b, {wait} }}\n  - {{ id: c, {wait} }}"
            ),
            "RB0303",
            "c",
            "a → c → b → a",
        ),
    ]);
    let (_, findings) = check_text(&format!(
        "steps:\n  - {{ id: a, {wait}, needs: [b] }}\n  - {{ id: b, {wait}, needs: [a] }}"
    ));
    let labels: Vec<&str> = findings[0].labels.iter().map(|l| l.text.as_str()).collect();
    assert_eq!(labels, ["`a` needs `b`", "`b` needs `a`"]);
    let sideways = format!(
        "steps:\n  - {{ id: a, {wait} }}\n  - {{ id: b, {wait}, needs: [] }}\n  - {{ id: c, uses: notify, needs: [b], with: {{ message: \"{{{{ steps.a.status }}}}\" }} }}"
    );
    table(&[(
        &sideways,
        "RB0208",
        "steps.a.status",
        "write `needs: [b, a]` on `c`",
    )]);
}

#[test]
fn parameters() {
    table(&[
        (
            "params: { n: { type: int, default: 1 } }\nsteps:\n  - { id: a, uses: wait, with: { for: 1s } }",
            "RB0401",
            "n",
            "never used",
        ),
        (
            "params: { s: { type: service, default: aip } }\nsteps:\n  - { id: a, uses: service.health, with: { service: \"{{ params.s }}\" } }",
            "RB0402",
            "aip",
            "did you mean `api`?",
        ),
    ]);
}

#[test]
fn shell_scripts() {
    let run = |text: &str| {
        format!(
            "params: {{ x: {{ type: string, default: a }} }}\nsteps:\n  - id: a\n    uses: shell\n    with:\n      run: |\n        {text}\n"
        )
    };
    table(&[
        (
            &run("echo \"{{ params.x }}\""),
            "RB0213",
            "params.x",
            "inside double quotes",
        ),
        (
            &run("echo '{{ params.x }}'"),
            "RB0213",
            "params.x",
            "inside single quotes",
        ),
        (
            &run("echo {{{ params.x }}}"),
            "RB0212",
            "{{{ params.x }}}",
            "two braces",
        ),
    ]);
    clean(&run("echo \"it is \"{{ params.x }}"));
    // `template: false` leaves texts alone.
    clean(
        "steps:\n  - { id: a, uses: shell, with: { run: \"docker ps --format '{{.Names}}'\" }, template: false }",
    );
}

#[test]
fn all_findings_at_once_and_no_plan() {
    let (checked, findings) = check_text(
        "params: { n: { type: int } }\nsteps:\n  - { id: a, uses: wiat, needs: [x], with: { for: \"{{ params.m }}\" } }\n  - { id: b, uses: wait, with: { four: 1 } }",
    );
    let codes: Vec<String> = findings.iter().map(|f| f.code.to_string()).collect();
    assert_eq!(
        codes,
        ["RB0401", "RB0501", "RB0301", "RB0204", "RB0503", "RB0502"]
    );
    assert!(checked.is_none());
}

#[test]
fn environments_and_policies() {
    let lines = |diags: Diagnostics| diags.into_sorted().iter().map(line).collect::<Vec<_>>();
    let text = "environment: v1\nname: local\nservices:\n  a: { provider: proces }\n  b: { provider: process, comand: [x] }\n";
    let source = SourceFile::new("environments/local.yaml", text);
    let mut diags = Diagnostics::new();
    let environment = decode_environment(&source, &mut diags).expect("decodes");
    check_environment(&environment, &catalog(), &mut diags);
    let found = lines(diags).join("\n");
    for part in [
        "RB0407 proces | ",
        "did you mean `process`?",
        "RB0408 comand | the provider `process` has no key `comand`",
        "did you mean `command`?",
        "needs the key `command`",
    ] {
        assert!(found.contains(part), "{found}\nnot {part}");
    }
    let text = "policy: v1\npeople:\n  ann: { name: Ann }\nroles:\n  leads: { members: [ann, bob] }\n  empty: { members: [] }\nrisk:\n  low: { role: leeds }\n  high: { role: empty, quorum: 2 }\n";
    let source = SourceFile::new("policy.yaml", text);
    let mut diags = Diagnostics::new();
    let policy = decode_policy(&source, &mut diags);
    let decoded = format!("{diags:?}");
    check_policy(&policy.expect(&decoded), &mut diags);
    let found = lines(diags).join("\n");
    for part in [
        "RB0409 bob | the policy has no person `bob`",
        "RB0409 leeds | the policy has no role `leeds` | did you mean `leads`?",
        "RB0801 empty | `high` needs 2 of `empty`, but nobody has that role",
    ] {
        assert!(found.contains(part), "{found}\nnot {part}");
    }
}

/// What a gate asks for has the type that it is declared with.
#[test]
fn what_an_approver_fills_in_is_typed() {
    let step = |rest: &str| {
        format!(
            "steps:\n  - {{ id: go, uses: approval, timeout: 1h, with: {{ message: Go on?, inputs: {{ window: {{ type: duration }}, size: {{ type: int, default: 1 }} }} }} }}\n  - {{ id: a, uses: shell, with: {{ run: x }}, {rest} }}\n"
        )
    };
    for good in [
        "when: 'steps.go.outputs.inputs.window > duration(\"5m\")'",
        "when: steps.go.outputs.inputs.size > 2",
        "outputs: { x: '{{ outputs.exit_code }}' }",
    ] {
        let (checked, findings) = check_text(&step(good));
        assert!(checked.is_some(), "{good}: {findings:?}");
    }
    for (bad, code, words) in [
        (
            "when: 'steps.go.outputs.inputs.windo == duration(\"1m\")'",
            "RB0207",
            "did you mean `window`?",
        ),
        (
            "when: 'steps.go.outputs.inputs.size == \"big\"'",
            "RB0214",
            "",
        ),
        (
            "when: steps.go.outputs.input.size == 2",
            "RB0207",
            "did you mean `inputs`?",
        ),
    ] {
        let (checked, findings) = check_text(&step(bad));
        assert!(checked.is_none(), "{bad}");
        let told: Vec<String> = findings.iter().map(line).collect();
        let told = told.join("\n");
        assert!(told.contains(code) && told.contains(words), "{bad}: {told}");
    }
}

/// A gate may be judged by what was read before it; it is no gate that is tried again.
#[test]
fn a_gate_may_have_a_verify() {
    let text = "steps:\n  - { id: b, uses: shell, with: { run: x } }\n  - { id: go, uses: approval, timeout: 1h, with: { message: Go on? }, verify: steps.b.outputs.exit_code == 0 }\n  - { id: a, uses: wait, with: { for: 1s } }\n";
    let (checked, findings) = check_text(text);
    assert!(checked.is_some(), "{findings:?}");
}

#[test]
fn the_policy_says_when_a_review_is_stale() {
    let policy = SourceFile::new(
        "policy.yaml",
        "policy: v1\nreviews: { high: 30d, low: 400d }\n",
    );
    let policy = decode_policy(&policy, &mut Diagnostics::new()).expect("decodes");
    let today = "2026-11-24".parse().expect("a day");
    for (risk, reviewed, own, default) in [
        ("high", "2026-10-20", true, false),
        ("high", "2026-10-26", false, false),
        ("low", "2025-12-01", false, true),
        // Nothing is said of it: as without a policy.
        ("medium", "2026-01-01", true, true),
    ] {
        let text = format!(
            "risk: {risk}\nreviewed: {reviewed}\nsteps: [{{ id: a, uses: wait, with: {{ for: 1s }} }}]\n"
        );
        let source = SourceFile::new("runbooks/sample.yaml", super::fixture::whole(&text));
        let runbook = crate::language::decode_runbook(&source, &mut Diagnostics::new());
        let runbook = runbook.expect("decodes");
        for (policy, stale) in [(Some(&policy), own), (None, default)] {
            let mut diags = Diagnostics::new();
            super::check_review(&runbook, today, policy, &mut diags);
            let found = diags.iter().any(|finding| finding.code.0 == "RB0410");
            assert_eq!(found, stale, "{text}");
        }
    }
}

#[test]
fn thousands_of_mistakes_end_soon() {
    let mut text = "steps:\n".to_owned();
    for i in 0..4_000 {
        text.push_str(&format!(
            "  - {{ id: s{i}, uses: wait, needs: [x{i}], with: {{ for: \"{{{{ steps.y{i}.duration }}}}\" }}, when: \"params.z{i}\" }}\n"
        ));
    }
    let started = std::time::Instant::now();
    let (checked, findings) = check_text(&text);
    assert!(checked.is_none());
    assert!(findings.len() <= Diagnostics::MAX);
    // Suggestions for each of them would take minutes in a debug build.
    assert!(started.elapsed().as_secs() < 60, "{:?}", started.elapsed());
}

#[test]
fn the_rules_of_the_whole_graph_stay_cheap() {
    let mut text = "on_failure: rollback\ntimeout: 1h\nsteps:\n  - { id: s0, uses: wait, with: { for: 1s } }\n  - { id: s1, uses: wait, with: { for: 1s } }\n".to_owned();
    for i in 2..10_000 {
        let (near, far) = (i - 1, i / 3);
        text.push_str(&format!(
            "  - {{ id: s{i}, uses: service.restart, needs: [s{near}, s{far}], with: {{ service: api }}, when: 'steps.s{near}.status == \"succeeded\"', timeout: 1m, rollback: {{ irreversible: true, reason: x }} }}\n"
        ));
    }
    let mut diags = Diagnostics::new();
    let source = SourceFile::new("runbooks/sample.yaml", super::fixture::whole(&text));
    let runbook = crate::language::decode_runbook(&source, &mut diags).expect("decodes");
    // Thousands of needs that follow from others: anything quadratic would hold the suite up for minutes.
    let checked = super::check(runbook, None, &catalog(), &mut diags);
    assert!(checked.is_some());
    assert!(diags.iter().any(|finding| finding.code.0 == "RB0334"));
}
