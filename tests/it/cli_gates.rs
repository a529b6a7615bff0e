//! Gates: left and resumed, approved and rejected, from this process and from another.

use nix::sys::signal::Signal;

use crate::support::{Output, TestEnv, job};

/// A step that can be undone, a gate, a step behind it.
const GATED: &str = r#"steps:
  - id: put
    uses: shell
    with: { script: "echo put >> marker" }
    rollback:
      uses: shell
      with: { script: "echo away >> marker" }
  - id: go
    uses: approval
    with: { message: "Really?" }
  - id: after
    uses: shell
    with: { script: "echo after >> marker" }
"#;

/// A run that was left at its gate.
fn left_at_the_gate() -> TestEnv {
    let env = job(GATED);
    let output = env.run(["exec", "job", "--detach"]);
    assert_eq!(output.code, Some(4), "{output}");
    for words in ["waits for approval", "runbook approve ", "runbook reject "] {
        assert!(output.stdout.contains(words), "{words}\n{output}");
    }
    env
}

/// A refusal to do what cannot be done says why and what to do, and is a usage error.
fn refused(output: &Output, why: &str, next: &str) {
    assert_eq!(output.code, Some(2), "{output}");
    assert!(output.stderr.contains(why), "{why}\n{output}");
    let next = format!("  next: {next}");
    assert!(output.stderr.contains(&next), "{next}\n{output}");
}

#[test]
fn a_run_left_at_its_gate_goes_on_after_the_approval() {
    let env = left_at_the_gate();
    let approved = env.run(["approve", "latest", "--comment", "looked at the graphs"]);
    assert_eq!(approved.code, Some(0), "{approved}");
    assert!(approved.stdout.contains("approved gate `go` of job"));
    assert!(approved.stderr.contains("runbook resume "), "{approved}");
    assert_eq!(env.read("marker"), "put\n", "nobody drives it yet");
    let resumed = env.run(["resume", "latest"]);
    assert_eq!(resumed.code, Some(0), "{resumed}");
    assert!(resumed.stdout.contains("✓ job succeeded"), "{resumed}");
    assert!(resumed.stderr.contains("looked at the graphs"), "{resumed}");
    assert_eq!(env.read("marker"), "put\nafter\n");
}

#[test]
fn a_run_without_an_approval_waits_on_when_it_is_resumed() {
    let env = left_at_the_gate();
    let resumed = env.run(["resume", "latest", "--detach"]);
    assert_eq!(resumed.code, Some(4), "{resumed}");
    let status = env.run(["status"]).stdout;
    for words in ["job on local: waiting", "◇ go waits for", "Really?"] {
        assert!(status.contains(words), "{words}\n{status}");
    }
    let runs = env.run(["runs", "--unfinished"]).stdout;
    assert!(runs.contains("waiting"), "{runs}");
}

#[test]
fn a_rejected_run_is_rolled_back() {
    let env = left_at_the_gate();
    let rejected = env.run(["reject", "latest", "--comment", "wrong service"]);
    assert_eq!(rejected.code, Some(0), "{rejected}");
    assert!(rejected.stdout.contains("rejected gate `go` of job"));
    let resumed = env.run(["resume", "latest"]);
    assert_eq!(resumed.code, Some(7), "{resumed}");
    assert!(resumed.stdout.contains("rejected"), "{resumed}");
    assert_eq!(env.read("marker"), "put\naway\n");
}

#[test]
fn a_gate_that_nobody_answers_in_time_is_no_approval() {
    let env = job(&GATED.replace("uses: approval", "uses: approval\n    timeout: 50ms"));
    let output = env.run(["exec", "job"]);
    assert_eq!(output.code, Some(7), "{output}");
    assert!(output.stdout.contains("expired"), "{output}");
    assert_eq!(env.read("marker"), "put\naway\n");
}

#[test]
fn a_gate_of_a_run_that_was_left_lapses_as_well() {
    let env = job(&GATED.replace("uses: approval", "uses: approval\n    timeout: 1s"));
    let output = env.run(["exec", "job", "--detach"]);
    assert_eq!(output.code, Some(4), "{output}");
    let resumed = env.run(["resume", "latest"]);
    assert_eq!(resumed.code, Some(7), "{resumed}");
    let status = env.run(["status"]).stdout;
    assert!(status.contains("job on local: expired"), "{status}");
    assert_eq!(env.read("marker"), "put\naway\n");
}

#[test]
fn yes_casts_the_vote_of_the_starter() {
    let env = job(GATED);
    let output = env.run(["exec", "job", "--yes"]);
    assert_eq!(output.code, Some(0), "{output}");
    assert_eq!(env.read("marker"), "put\nafter\n");
}

#[test]
fn another_process_approves_while_exec_waits() {
    let env = job(GATED);
    let mut exec = env.start(["exec", "job"]);
    exec.until("gate_opened");
    let approved = env.run(["approve", "latest", "go"]);
    assert_eq!(approved.code, Some(0), "{approved}");
    assert!(
        approved
            .stderr
            .contains("the process that drives the run goes on now"),
        "{approved}"
    );
    let output = exec.finish();
    assert_eq!(output.code, Some(0), "{output}");
    assert_eq!(env.read("marker"), "put\nafter\n");
}

#[test]
fn another_process_rejects_while_exec_waits() {
    let env = job(GATED);
    let mut exec = env.start(["exec", "job"]);
    exec.until("gate_opened");
    let rejected = env.run(["reject", "latest"]);
    assert_eq!(rejected.code, Some(0), "{rejected}");
    let output = exec.finish();
    assert_eq!(output.code, Some(7), "{output}");
    assert_eq!(env.read("marker"), "put\naway\n");
}

#[test]
fn what_comes_not_after_the_gate_does_not_wait_for_it() {
    let env = job(r#"steps:
  - id: go
    uses: approval
    with: { message: "Really?" }
  - id: free
    needs: []
    uses: shell
    with: { script: "echo free >> marker" }
"#);
    let output = env.run(["exec", "job", "--detach"]);
    assert_eq!(output.code, Some(4), "{output}");
    assert_eq!(env.read("marker"), "free\n");
}

#[test]
fn a_run_that_is_over_takes_no_votes() {
    let env = job(GATED);
    let output = env.run(["exec", "job", "--yes"]);
    assert_eq!(output.code, Some(0), "{output}");
    for verb in ["approve", "reject", "cancel"] {
        refused(
            &env.run([verb, "latest"]),
            "is over: succeeded",
            "runbook status ",
        );
    }
    let resumed = env.run(["resume", "latest"]);
    refused(&resumed, "is over", "runbook ");
}

#[test]
fn a_run_without_an_open_gate_takes_no_votes() {
    let env = job(r#"steps:
  - id: slow
    uses: shell
    with: { script: "exec sleep 60" }
"#);
    let mut exec = env.start(["exec", "job"]);
    exec.until("step_started");
    refused(
        &env.run(["approve", "latest"]),
        "has no open gate",
        "runbook status ",
    );
    exec.signal(Signal::SIGINT);
    let output = exec.finish();
    assert_eq!(output.code, Some(8), "{output}");
}

#[test]
fn an_unknown_run_is_told_from_none_at_all() {
    let env = left_at_the_gate();
    for verb in ["approve", "reject", "cancel", "resume", "status", "logs"] {
        let output = env.run([verb, "01ARZ3NDEKTSV4RRFFQ69G5FAV"]);
        refused(&output, "no run has an id that starts with", "runbook runs");
    }
    let fresh = job(GATED);
    for verb in ["approve", "reject", "cancel", "resume", "status", "logs"] {
        refused(&fresh.run([verb, "latest"]), "no run", "runbook ");
    }
}

/// `ok[api]` is a pattern for a shell: what is suggested can be copied as it stands.
#[test]
fn a_gate_of_a_loop_is_suggested_in_quotes() {
    let env = job(r#"steps:
  - id: ok
    uses: approval
    for_each: [api, worker]
    max_parallel: 2
    with: { message: "{{ item }}?" }
"#);
    let left = env.run(["exec", "job", "--detach"]);
    assert_eq!(left.code, Some(4), "{left}");
    for output in [left, env.run(["status", "latest"])] {
        let said = format!("{}{}", output.stdout, output.stderr);
        assert!(said.contains(" 'ok[api]'"), "{output}");
        assert!(!said.contains("approve latest ok["), "{output}");
    }
    for output in [
        env.run(["approve", "latest"]),
        env.run(["approve", "latest", "ok"]),
    ] {
        assert_eq!(output.code, Some(2), "{output}");
        for gate in ["'ok[api]'", "'ok[worker]'"] {
            let line = output.stderr.lines().find(|line| line.ends_with(gate));
            assert!(
                line.is_some_and(|line| line.contains("runbook approve ")),
                "{output}"
            );
        }
    }
    for gate in ["ok[api]", "ok[worker]"] {
        let output = env.run(["approve", "latest", gate]);
        assert_eq!(output.code, Some(0), "{output}");
    }
    let resumed = env.run(["resume", "latest"]);
    assert_eq!(resumed.code, Some(0), "{resumed}");
    let said = format!("{}{}", resumed.stdout, resumed.stderr);
    assert!(said.contains("approves ok[worker]"), "{resumed}");
}

#[test]
fn of_two_open_gates_one_must_be_named() {
    let env = job(r#"steps:
  - id: left
    needs: []
    uses: approval
    with: { message: "Left?" }
  - id: right
    needs: []
    uses: approval
    with: { message: "Right?" }
  - id: after
    needs: [left, right]
    uses: shell
    with: { script: "echo after >> marker" }
"#);
    let output = env.run(["exec", "job", "--detach"]);
    assert_eq!(output.code, Some(4), "{output}");
    for verb in ["approve", "reject"] {
        let output = env.run([verb, "latest"]);
        refused(&output, "has 2 open gates", &format!("runbook {verb} "));
    }
    let mistyped = env.run(["approve", "latest", "lfet"]);
    refused(&mistyped, "`lfet` is not an open gate", "runbook approve ");
    assert!(mistyped.stderr.contains(" left\n"), "{mistyped}");
    assert!(!mistyped.stderr.contains(" right\n"), "{mistyped}");
    for gate in ["left", "right"] {
        let output = env.run(["approve", "latest", gate]);
        assert_eq!(output.code, Some(0), "{output}");
    }
    let resumed = env.run(["resume", "latest"]);
    assert_eq!(resumed.code, Some(0), "{resumed}");
    assert_eq!(env.read("marker"), "after\n");
}
