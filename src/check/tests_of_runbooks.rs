//! Rules of runbooks that run each other.

use std::time::Instant;

use super::fixture::{check_texts, line};

const CHILD: &str = "on_failure: stop\nparams:\n  target: { type: int }\n  who: { type: service, default: api }\n  level: { type: enum, values: [low, high], default: low }\n  token: { type: secret, default: \"env:T\" }\nsteps:\n  - { id: look, uses: service.health, with: { service: \"{{ params.who }}\" }, when: params.target > 1 && params.level == 'low' }\n  - { id: load, uses: shell, with: { run: ./load }, environment: { T: \"{{ params.token }}\" } }\noutputs: { ok: \"{{ steps.look.outputs.healthy }}\", said: \"it is {{ steps.look.status }}\", all: [1, 2] }\n";

/// The findings of a runbook `a` that runs `smoke-test`.
fn findings(steps: &str) -> Vec<String> {
    let (checked, findings) = check_texts(&[("a", steps), ("smoke-test", CHILD)]);
    let lines: Vec<String> = findings.iter().map(line).collect();
    assert_eq!(checked.is_some(), lines.is_empty(), "{lines:?}");
    lines
}

#[test]
fn a_call_that_fits_has_no_findings() {
    let found = findings(
        r#"on_failure: stop
params: { token: { type: secret } }
steps:
  - { id: restart, uses: service.restart, with: { service: api } }
  - id: smoke
    uses: runbook.smoke-test
    with: { target: "{{ steps.restart.outputs.pid }}", who: worker, token: "{{ params.token }}" }
    verify: outputs.ok
    outputs: { fine: "{{ outputs.ok }}" }
    timeout: 5m
  - id: each
    uses: runbook.smoke-test
    for_each: [1, 2]
    with: { target: "{{ item }}", token: "{{ secrets.db }}" }
    when: steps.smoke.outputs.fine && steps.smoke.outputs.said != "" && steps.smoke.outputs.all[0] == 1
  - { id: tell, uses: notify, with: { message: a }, when: "has(steps.each.outputs) && steps.each.outputs[0].ok" }
"#,
    );
    assert_eq!(found, [""; 0]);
}

#[test]
fn parameters_and_outputs_of_a_call_are_typed() {
    for (step, expected) in [
        (
            "uses: runbook.smoke-test",
            "RB0503 runbook.smoke-test | the runbook `smoke-test` needs the parameter `target` | see its parameters with: runbook show smoke-test",
        ),
        (
            "uses: runbook.smoke-test, with: { target: 1, whom: api }",
            "RB0502 whom | the runbook `smoke-test` has no parameter `whom` | did you mean `who`?",
        ),
        (
            "uses: runbook.smoke-test, with: { target: many }",
            "RB0504 many | the parameter `target` wants int, but this is text",
        ),
        (
            "uses: runbook.smoke-test, with: { target: \"{{ vars.region }}\" }",
            "RB0504 vars.region | the input `target` wants int, but this is string",
        ),
        (
            "uses: runbook.smoke-test, with: { target: 1, level: hihg }",
            "RB0505 hihg | the parameter `level` cannot have this value: did you mean `high`?",
        ),
        (
            "uses: runbook.smoke-test, with: { target: 1, who: aip }",
            "RB0402 aip | the environment `local` has no service `aip`",
        ),
        (
            "uses: runbook.smoke-test, with: { target: 1, token: \"env:X\" }",
            "RB0504 \"env:X\" | the parameter `token` wants secret, but this is a written text | give a secret",
        ),
        (
            "uses: runbook.smoke-test, with: { target: 1, token: \"{{ vars.region }}\" }",
            "RB0504 vars.region | the input `token` wants secret, but this is string | give a secret",
        ),
        (
            "uses: runbook.smoke-tset, with: { target: 1 }",
            "RB0310 runbook.smoke-tset | there is no runbook `smoke-tset` | did you mean `runbook.smoke-test`?",
        ),
        (
            "uses: runbook.nothing-like-it",
            "RB0310 runbook.nothing-like-it | there is no runbook `nothing-like-it` | write it to runbooks/nothing-like-it.yaml",
        ),
        (
            "uses: runbook.smoke-test, with: { target: 1 }, verify: outputs.okay",
            "RB0207 outputs.okay | the step `b` has no output `okay` | did you mean `ok`?",
        ),
        (
            "uses: runbook.smoke-test, with: { target: 1 }, verify: outputs.said",
            "RB0211 outputs.said | this condition gives a value of type string",
        ),
    ] {
        let found = findings(&format!("steps:\n  - {{ id: b, {step} }}\n"));
        assert_eq!(found.len(), 1, "{step}: {found:#?}");
        assert!(
            found[0].starts_with(expected),
            "{step}\n{}\nnot {expected}",
            found[0]
        );
    }
}

#[test]
fn a_child_sees_nothing_of_its_caller() {
    let child = "steps:\n  - { id: x, uses: notify, with: { message: \"{{ item }} {{ steps.before.status }} {{ params.p }}\" } }\n";
    let parent = "params: { p: { type: string, default: a } }\nsteps:\n  - { id: before, uses: notify, with: { message: \"{{ params.p }}\" } }\n  - { id: call, uses: runbook.b, for_each: [1] }\n";
    let (_, findings) = check_texts(&[("a", parent), ("b", child)]);
    let codes: Vec<&str> = findings.iter().map(|f| f.code.0).collect();
    assert_eq!(codes, ["RB0210", "RB0206", "RB0204"]);
    assert!(
        findings
            .iter()
            .all(|f| f.labels[0].source.path == "runbooks/b.yaml")
    );
}

#[test]
fn errors_of_a_child_are_said_once_in_its_own_file() {
    let child = "params: { n: { type: int } }\nsteps:\n  - { id: x, uses: wait, with: { for: 10 } }\noutputs: { n: \"{{ params.n }}\" }\n";
    let parent = "steps:\n  - { id: one, uses: runbook.b, with: { n: 1 } }\n  - { id: two, uses: runbook.b, with: { n: x }, verify: outputs.n == 'x' }\n";
    let (checked, findings) = check_texts(&[("a", parent), ("b", child)]);
    assert!(checked.is_none());
    let places: Vec<(&str, &str)> = findings
        .iter()
        .map(|f| (f.code.0, f.labels[0].source.path.as_str()))
        .collect();
    assert_eq!(
        places,
        [
            ("RB0504", "runbooks/a.yaml"),
            ("RB0214", "runbooks/a.yaml"),
            ("RB0504", "runbooks/b.yaml"),
        ]
    );
}

#[test]
fn a_circle_shows_the_way_round() {
    let call = |name: &str| format!("steps:\n  - {{ id: x, uses: runbook.{name} }}\n");
    let (checked, findings) = check_texts(&[("a", &call("a"))]);
    assert!(checked.is_none());
    let lines: Vec<String> = findings.iter().map(line).collect();
    assert_eq!(lines.len(), 1, "{lines:#?}");
    assert!(lines[0].starts_with("RB0311 runbook.a | a runbook runs itself: a → a | "));
    let (checked, findings) = check_texts(&[
        ("a", &call("b")),
        ("b", &call("c")),
        ("c", &call("d")),
        ("d", &call("b")),
    ]);
    assert!(checked.is_none());
    let lines: Vec<String> = findings.iter().map(line).collect();
    assert_eq!(lines.len(), 1, "{lines:#?}");
    assert!(lines[0].starts_with("RB0311 runbook.b | a runbook runs itself: b → c → d → b | "));
}

#[test]
fn depth_and_size_are_bounded() {
    let chain = |levels: usize| {
        let texts: Vec<(String, String)> = (0..=levels)
            .map(|n| {
                let step = match n == levels {
                    true => "{ id: x, uses: wait, with: { for: 1s } }".to_owned(),
                    false => format!("{{ id: x, uses: runbook.r{} }}", n + 1),
                };
                (format!("r{n}"), format!("steps:\n  - {step}\n"))
            })
            .collect();
        let texts: Vec<(&str, &str)> = texts
            .iter()
            .map(|(n, t)| (n.as_str(), t.as_str()))
            .collect();
        let (checked, findings) = check_texts(&texts);
        (
            checked.is_some(),
            findings.iter().map(line).collect::<Vec<_>>(),
        )
    };
    let started = Instant::now();
    assert_eq!(chain(16), (true, Vec::new()));
    let (whole, lines) = chain(17);
    assert!(!whole);
    assert_eq!(lines.len(), 1, "{lines:#?}");
    assert!(
        lines[0].starts_with(
            "RB0312 runbook.r17 | runbooks run each other more than 16 deep: r0 → r1 → "
        )
    );
    let (whole, lines) = chain(500);
    assert!(!whole);
    assert_eq!(lines.len(), 1);

    // Sixteen levels of ten calls each would be a plan of 10^16 steps.
    let texts: Vec<(String, String)> = (0..16)
        .map(|n| {
            let calls: String = (0..10)
                .map(|i| match n {
                    15 => format!("  - {{ id: x{i}, uses: wait, with: {{ for: 1s }} }}\n"),
                    _ => format!("  - {{ id: x{i}, uses: runbook.r{} }}\n", n + 1),
                })
                .collect();
            (format!("r{n}"), format!("steps:\n{calls}"))
        })
        .collect();
    let texts: Vec<(&str, &str)> = texts
        .iter()
        .map(|(n, t)| (n.as_str(), t.as_str()))
        .collect();
    let (checked, findings) = check_texts(&texts);
    assert!(checked.is_none());
    let codes: Vec<&str> = findings.iter().map(|f| f.code.0).collect();
    assert_eq!(codes, ["RB0313"]);
    assert!(started.elapsed().as_secs() < 60, "{:?}", started.elapsed());
}

#[test]
fn a_runbook_that_changes_something_proves_nothing() {
    let look = "steps:\n  - { id: x, uses: service.health, with: { service: api } }\n";
    let change = "steps:\n  - { id: x, uses: service.restart, with: { service: api } }\n";
    let parent = "steps:\n  - { id: a, uses: wait, with: { for: 1s } }\nverify:\n  - { id: b, uses: runbook.b }\n";
    assert!(check_texts(&[("a", parent), ("b", look)]).0.is_some());
    let (_, findings) = check_texts(&[("a", parent), ("b", change)]);
    let lines: Vec<String> = findings.iter().map(line).collect();
    assert_eq!(lines.len(), 1, "{lines:#?}");
    assert!(lines[0].starts_with("RB0314 runbook.b | "), "{}", lines[0]);
}
