//! What `check` and `plan` say of runbooks that run each other, of loops, proofs and secrets.

use std::time::Instant;

use insta::assert_snapshot;

use crate::support::TestEnv;

const UPGRADE: &str = r#"runbook: v1
name: upgrade
title: Upgrade all services
params:
  hosts: { type: list, items: string, default: [a, b] }
  token: { type: secret, default: "env:API_TOKEN" }
steps:
  - id: each
    uses: runbook.smoke-test
    for_each: "{{ params.hosts }}"
    max_parallel: 2
    with: { host: "{{ item }}", token: "{{ params.token }}" }
verify:
  - { condition: size(steps.each.outputs) > 0, message: Something was done }
"#;

const SMOKE: &str = r#"runbook: v1
name: smoke-test
title: Look whether it answers
params:
  host: { type: string, pattern: "[a-z]+" }
  token: { type: secret }
steps:
  - id: ask
    uses: shell
    with: { script: "echo {{ params.host }}" }
    environment: { TOKEN: "{{ params.token }}" }
    effect: { is: read, reason: it only asks }
outputs: { host: "{{ params.host }}" }
"#;

fn repository() -> TestEnv {
    let env = TestEnv::with_runbook("upgrade", UPGRADE);
    env.write("runbooks/smoke-test.yaml", SMOKE);
    env
}

#[test]
fn runbooks_that_run_each_other_are_checked_together() {
    let env = repository();
    assert_snapshot!(env.run(["check"]), @"4 files checked, nothing found");
    assert_snapshot!(env.run(["check", "upgrade"]), @"2 files checked, nothing found");
}

#[test]
fn a_mistake_in_a_child_shows_once_in_its_own_file() {
    let env = repository();
    env.write(
        "runbooks/smoke-test.yaml",
        &SMOKE.replace("echo {{ params.host }}", "echo {{ item }}"),
    );
    let outputs = [
        env.run(["check", "--output", "json"]),
        env.run(["check", "upgrade", "--output", "json"]),
        env.run(["check", "upgrade", "smoke-test", "--output", "json"]),
    ];
    for output in outputs {
        assert_eq!(output.code, Some(3));
        let found = output.stdout.matches("\"code\":\"RB0210\"").count();
        assert_eq!(found, 1, "{}", output.stdout);
        assert!(
            output
                .stdout
                .contains("\"file\":\"runbooks/smoke-test.yaml\"")
        );
    }
}

#[test]
fn an_unknown_runbook_and_a_circle_are_shown() {
    let env = repository();
    env.write(
        "runbooks/upgrade.yaml",
        &UPGRADE.replace("runbook.smoke-test", "runbook.smoke-tset"),
    );
    assert_snapshot!(env.run(["check", "upgrade"]), @r#"
    error[RB0310]

      × there is no runbook `smoke-tset`
        ╭─[runbooks/upgrade.yaml:9:11]
      8 │   - id: each
      9 │     uses: runbook.smoke-tset
        ·           ─────────┬────────
        ·                    ╰── unknown runbook
     10 │     for_each: "{{ params.hosts }}"
        ╰────
      help: did you mean `runbook.smoke-test`?

      for more: runbook explain RB0310

    1 error in runbooks/upgrade.yaml
    [exit status: 3]
    "#);
    let call = |name: &str, other: &str| {
        format!("runbook: v1\nname: {name}\nsteps:\n  - {{ id: x, uses: runbook.{other} }}\n")
    };
    for (name, other) in [("w", "x"), ("x", "y"), ("y", "z"), ("z", "w")] {
        env.write(&format!("runbooks/{name}.yaml"), &call(name, other));
    }
    let started = Instant::now();
    let told = env.run(["plan", "w"]).stderr;
    assert!(told.contains("error[RB0311]"), "{told}");
    assert!(
        told.contains("a runbook runs itself: w → x → y → z → w"),
        "{told}"
    );
    assert!(told.contains("runbooks/z.yaml:4:20"), "{told}");
    assert!(started.elapsed().as_secs() < 60, "{:?}", started.elapsed());
}

#[test]
fn a_plan_holds_blocks_and_sources_and_no_secret() {
    let env = repository();
    let output = env.run(["plan", "upgrade", "--output", "json"]);
    assert_eq!(output.code, Some(0), "{}", output.stderr);
    let plan: serde_json::Value = serde_json::from_str(&output.stdout).expect("JSON");
    let text = plan.to_string();
    assert!(
        text.contains("\"params.token\":\"env:API_TOKEN\""),
        "{text}"
    );
    assert!(text.contains("\"runbook\":\"smoke-test\""), "{text}");
    assert!(text.contains("\"verify_1\""), "{text}");
}

#[test]
fn what_is_given_for_a_secret_is_never_shown() {
    let env = repository();
    let output = env.run(["plan", "upgrade", "--param", "token=hunter2"]);
    assert_eq!(output.code, Some(3));
    let told = format!("{}{}", output.stdout, output.stderr);
    assert!(told.contains("RB0406"), "{told}");
    assert!(!told.contains("hunter2"), "{told}");
    let output = env.run(["plan", "upgrade", "--param", "token=file:secrets/t"]);
    assert_eq!(output.code, Some(0), "{}", output.stderr);
}

#[test]
fn items_of_a_parameter_are_checked_when_the_plan_is_made() {
    let env = repository();
    let told = env.run(["plan", "upgrade", "--param", "hosts=a,B2"]).stderr;
    for part in [
        "error[RB0406]",
        "the parameter `host` cannot have this value: `B2` does not match the pattern `[a-z]+`",
        "runbooks/upgrade.yaml:12:19",
        "with the item `B2`",
        "runbook show smoke-test",
    ] {
        assert!(told.contains(part), "{part} is missing in\n{told}");
    }
    let many = vec!["a"; 10_000].join(",");
    let output = env.run(["plan", "upgrade", "--param", &format!("hosts={many}")]);
    assert_eq!(output.code, Some(3));
    assert!(output.stderr.contains("RB0309"), "{}", output.stderr);
}
