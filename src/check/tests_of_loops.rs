//! Rules of loops, `unless`, `verify`, variables and secrets.

use std::time::Instant;

use super::fixture::{check_text, line};
use super::tests::{clean, table};

const LOOP: &str = "params: { services: { type: list, items: service, default: [api, worker] } }\nsteps:\n  - { id: restart, for_each: \"{{ params.services }}\", uses: service.restart, with: { service: \"{{ item }}\" } }\n";

#[test]
fn a_runbook_with_everything_has_no_findings() {
    clean(
        r#"params:
  services: { type: list, items: service, default: [api, worker] }
  token: { type: secret, default: "env:API_TOKEN" }
steps:
  - id: restart
    uses: service.restart
    for_each: "{{ params.services }}"
    max_parallel: 2
    max_failures: 10%
    when: index < 5 && item != "db"
    with: { service: "{{ item }}" }
    unless:
      uses: service.health
      with: { service: "{{ item }}" }
      condition: outputs.healthy && item != "db" && outputs.latency < duration("2s")
    idempotency_key: "{{ run.id }}-{{ item }}"
    outputs: { who: "{{ item }}", process: "{{ outputs.pid }}" }
    rollback: { uses: shell, with: { run: "kill {{ outputs.pid }} {{ item }} {{ index }}" } }
  - id: hosts
    uses: notify
    for_each: [{ name: a, port: 1 }, { name: b, port: 2 }]
    with: { message: "{{ item.name }}", retries: "{{ item.port }}" }
    unless: steps.restart.outputs[0].pid > 3
  - id: again
    uses: notify
    for_each: "{{ steps.restart.outputs }}"
    with: { message: "{{ item.who }} {{ item.pid }}" }
  - id: load
    uses: shell
    environment: { TOKEN: "{{ params.token }}", DB: "{{ secrets.db }}" }
    with: { run: ./load, environment: { LEVEL: debug } }
    rollback: { uses: shell, with: { run: ./unload } }
  - id: tell
    uses: notify
    secrets: [token, db]
    with: { message: "{{ params.token }} {{ secrets.db }} {{#each steps.restart.outputs}}{{ pid }} {{/each}}" }
verify:
  - { id: healthy, uses: service.health, with: { service: api }, until: outputs.healthy, timeout: 60s }
  - { id: other, uses: service.health, with: { service: worker }, needs: [healthy] }
  - condition: steps.healthy.outputs.latency < duration("2s") && steps.tell.attempts < 3
    message: The API answers quickly enough
  - { id: said, uses: shell, with: { run: test -e x }, effect: { is: read, reason: it only looks } }
finally:
  - { id: last, uses: notify, with: { message: "{{ steps.healthy.status }} {{ run.outcome }}" } }
outputs:
  pids: "{{ steps.restart.outputs }}"
  latency: "{{ steps.healthy.outputs.latency }}"
"#,
    );
}

#[test]
fn lists_to_go_over() {
    let with = |for_each: &str| {
        format!(
            "params: {{ one: {{ type: service, default: api }}, map: {{ type: map, items: int, default: {{}} }} }}\nsteps:\n  - {{ id: a, uses: notify, for_each: {for_each}, with: {{ message: \"{{{{ item }}}} {{{{ params.one }}}} {{{{ params.map }}}}\" }} }}"
        )
    };
    let one = with("\"{{ params.one }}\"");
    let map = with("\"{{ params.map }}\"");
    let text = with("\"{{ params.one }}s\"");
    let own = with("[\"{{ item }}\"]");
    let misspelt = with("\"{{ params.oen }}\"");
    let long = with(&format!("[{}9]", "9,".repeat(1000)));
    table(&[
        (
            &one,
            "RB0308",
            "params.one",
            "`one: { type: list, items: string }`",
        ),
        (&map, "RB0308", "params.map", "is of type map of int"),
        (
            &text,
            "RB0308",
            "\"{{ params.one }}s\"",
            "one reference alone",
        ),
        (&own, "RB0210", "item", "has no value in `for_each` itself"),
        (
            &misspelt,
            "RB0204",
            "params.oen",
            "did you mean `params.one`?",
        ),
        (
            &long,
            "RB0309",
            "9",
            "this loop has 1001 items; at most 1000",
        ),
    ]);
}

#[test]
fn items_and_outputs_have_types() {
    let after = |rest: &str| format!("{LOOP}{rest}");
    let pid = after(
        "  - { id: b, uses: notify, with: { message: a }, when: steps.restart.outputs.pid > 3 }",
    );
    let misspelt = after(
        "  - { id: b, uses: notify, with: { message: \"{{ steps.restart.outputs.pdi }}\" } }",
    );
    let inside = after(
        "  - { id: b, uses: notify, with: { message: \"a\" }, when: \"steps.restart.outputs[0].pdi > 3\" }",
    );
    let unlike = after(
        "  - { id: b, uses: notify, with: { message: \"a\" }, when: \"steps.restart.outputs[0].pid == 'x'\" }",
    );
    let whole = after("  - { id: b, uses: wait, with: { for: \"{{ steps.restart.outputs }}\" } }");
    let outside = after("  - { id: b, uses: notify, with: { message: \"{{ item }}\" } }");
    let index = after("  - { id: b, uses: notify, with: { message: a }, when: index > 3 }");
    let at_end = after("outputs: { a: \"{{ item }}\" }");
    table(&[
        (
            &pid,
            "RB0207",
            "steps.restart.outputs.pid",
            "`steps.restart.outputs[0].pid`; or all, in a template: `{{#each steps.restart.outputs}}{{ pid }}",
        ),
        (
            &misspelt,
            "RB0207",
            "steps.restart.outputs.pdi",
            "did you mean `pid`?",
        ),
        (
            &inside,
            "RB0207",
            "steps.restart.outputs[0].pdi",
            "did you mean `pid`?",
        ),
        (
            &unlike,
            "RB0214",
            "steps.restart.outputs[0].pid",
            "a number is compared with text",
        ),
        (
            &whole,
            "RB0504",
            "steps.restart.outputs",
            "wants duration, but this is list of map",
        ),
        (
            &outside,
            "RB0210",
            "item",
            "`item` has a value only in a step with `for_each`",
        ),
        (
            &index,
            "RB0210",
            "index",
            "`index` has a value only in a step with `for_each`",
        ),
        (&at_end, "RB0210", "item", "`steps.ID.outputs`"),
        (
            "steps:\n  - { id: a, uses: service.restart, for_each: [api, wrkr], with: { service: \"{{ item }}\" } }",
            "RB0402",
            "wrkr",
            "no service `wrkr`",
        ),
        (
            "steps:\n  - { id: a, uses: wait, for_each: [{ time: 5s }, { time: 5 }], with: { for: \"{{ item.time }}\" } }",
            "RB0504",
            "5",
            "a duration has a unit: 5s",
        ),
        (
            "steps:\n  - { id: a, uses: wait, for_each: [1, 2], with: { for: \"{{ item }}\" } }",
            "RB0504",
            "item",
            "wants duration, but this is int",
        ),
        (
            "steps:\n  - { id: a, uses: notify, for_each: [{ name: x }], with: { message: \"{{ item.nmae }}\" } }",
            "RB0207",
            "item.nmae",
            "did you mean `name`?",
        ),
        (
            "steps:\n  - { id: a, uses: notify, for_each: [x], with: { message: \"{{ itme }}\" } }",
            "RB0203",
            "itme",
            "did you mean `item`?",
        ),
    ]);
}

#[test]
fn unless_and_verify_only_look() {
    table(&[
        (
            "steps:\n  - { id: a, uses: notify, with: { message: a }, unless: { uses: service.restart, with: { service: api }, condition: outputs.pid > 1 } }",
            "RB0315",
            "service.restart",
            "has the effect `idempotent`",
        ),
        (
            "steps:\n  - { id: a, uses: notify, with: { message: a }, unless: { uses: service.health, with: { service: api }, condition: outputs.helthy } }",
            "RB0207",
            "outputs.helthy",
            "did you mean `healthy`?",
        ),
        (
            "steps:\n  - { id: a, uses: notify, with: { message: a }, unless: { uses: service.health, with: { servce: api, service: api }, condition: outputs.healthy } }",
            "RB0502",
            "servce",
            "did you mean `service`?",
        ),
        (
            "steps:\n  - { id: a, uses: notify, with: { message: a }, unless: outputs.x == 1 }",
            "RB0210",
            "outputs.x",
            "`outputs` has a value only in",
        ),
        (
            "steps:\n  - { id: a, uses: wait, with: { for: 1s } }\nverify:\n  - { id: b, uses: service.restart, with: { service: api } }",
            "RB0314",
            "service.restart",
            "the step `b` has the effect `idempotent`",
        ),
        (
            "steps:\n  - { id: a, uses: wait, with: { for: 1s } }\nverify:\n  - { id: b, uses: wait, with: { for: 1s }, effect: { is: once, reason: it pages } }",
            "RB0314",
            "{ is: once, reason: it pages }",
            "has the effect `once`",
        ),
        (
            "steps:\n  - { id: a, uses: notify, with: { message: \"{{ steps.b.status }}\" } }\nverify:\n  - { id: b, uses: wait, with: { for: 1s } }",
            "RB0208",
            "steps.b.status",
            "steps under `verify:` run when all of `steps:` have ended",
        ),
        (
            "steps:\n  - { id: a, uses: wait, with: { for: 1s }, needs: [b] }\nverify:\n  - { id: b, uses: wait, with: { for: 1s } }",
            "RB0301",
            "b",
            "it is under `verify`",
        ),
        (
            "steps:\n  - { id: a, uses: wait, with: { for: 1s } }\nverify:\n  - { id: b, uses: wait, with: { for: 1s }, needs: [a] }",
            "RB0301",
            "a",
            "leave it out",
        ),
        (
            "steps:\n  - { id: a, uses: wait, with: { for: 1s } }\nverify:\n  - { id: b, uses: wait, with: { for: 1s }, needs: [] }\n  - { id: c, uses: wait, with: { for: 1s }, needs: [], when: steps.b.attempts > 1 }",
            "RB0208",
            "steps.b.attempts",
            "write `needs: [b]` on `c`",
        ),
        (
            "steps:\n  - { id: a, uses: wait, with: { for: 1s } }\nverify:\n  - { condition: steps.a.outptus.x }",
            "RB0207",
            "steps.a.outptus.x",
            "did you mean `outputs`?",
        ),
    ]);
}

#[test]
fn variables_and_secrets() {
    table(&[
        (
            "steps:\n  - { id: a, uses: wait, with: { for: 1s }, environment: { LEVEL: debug } }",
            "RB0316",
            "debug",
            "`wait` starts no program",
        ),
        (
            "steps:\n  - { id: a, uses: shell, with: { run: date, environment: { A: b } }, environment: { A: c } }",
            "RB0317",
            "A",
            "the variable `A` is given twice",
        ),
        (
            "params: { e: { type: map, items: string, default: {} } }\nsteps:\n  - { id: a, uses: shell, with: { run: date, environment: \"{{ params.e }}\" }, environment: { A: c } }",
            "RB0317",
            "\"{{ params.e }}\"",
            "cannot be put together",
        ),
        (
            "steps:\n  - { id: a, uses: shell, with: { run: date }, environment: { A: 5 } }",
            "RB0504",
            "5",
            "`environment.A` wants string",
        ),
        (
            "steps:\n  - { id: a, uses: shell, with: { run: date }, environment: { A: \"{{ secrets.bd }}\" } }",
            "RB0318",
            "secrets.bd",
            "did you mean `secrets.db`?",
        ),
        (
            "params: { token: { type: secret } }\nsteps:\n  - { id: a, uses: shell, with: { run: date }, environment: { A: \"{{ secrets.token }}{{ params.token }}\" } }",
            "RB0318",
            "secrets.token",
            "did you mean `params.token`?",
        ),
        (
            "steps:\n  - { id: a, uses: shell, with: { run: date }, secrets: [bd] }",
            "RB0318",
            "bd",
            "did you mean `db`?",
        ),
        (
            "params: { n: { type: string, default: a } }\nsteps:\n  - { id: a, uses: shell, with: { run: \"echo {{ params.n }}\" }, secrets: [n] }",
            "RB0318",
            "n",
            "is of type string",
        ),
        (
            "params: { t: { type: secret } }\nsteps:\n  - { id: a, uses: shell, with: { run: date }, environment: { A: \"{{ params.t.x }}\" } }",
            "RB0207",
            "params.t.x",
            "is of type secret",
        ),
        (
            "steps:\n  - { id: a, uses: approval, with: { message: Go? }, idempotency_key: x }\n  - { id: b, uses: wait, with: { for: 1s } }",
            "RB0507",
            "x",
            "cannot have `idempotency_key`",
        ),
        (
            "steps:\n  - { id: a, uses: notify, with: { message: a }, idempotency_key: \"{{ params.x }}\" }",
            "RB0204",
            "params.x",
            "not declared",
        ),
    ]);
}

#[test]
fn a_long_list_and_many_errors_end_soon() {
    let started = Instant::now();
    let long = format!(
        "steps:\n  - {{ id: a, uses: service.restart, for_each: [{}], with: {{ service: \"{{{{ item }}}}\" }} }}",
        "x,".repeat(10_000)
    );
    let (_, findings) = check_text(&long);
    assert_eq!(findings.len(), 1, "{}", line(&findings[0]));
    let wrong: String = (0..1000).map(|n| format!("w{n},")).collect();
    let wrong = format!(
        "steps:\n  - {{ id: a, uses: service.restart, for_each: [{wrong}], with: {{ service: \"{{{{ item }}}}\" }} }}"
    );
    assert_eq!(check_text(&wrong).1.len(), 200);
    assert!(started.elapsed().as_secs() < 60, "{:?}", started.elapsed());
}
