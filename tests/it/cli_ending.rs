//! Runs that end before their time: cancelled, interrupted, or their engine killed.

use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;

use crate::support::{Background, Lifeline, Output, TestEnv, job};

/// A step with a child of its own; both hold the lifeline and go on for a minute.
const LONG: &str = r#"steps:
  - id: put
    uses: shell
    with: { script: "echo put >> marker" }
    rollback:
      uses: shell
      with: { script: "echo away >> marker" }
  - id: long
    uses: shell
    with:
      script: |
        trap 'echo TERM >> marker; exit 1' TERM
        exec 3> alive
        sleep 60 &
        echo $$ >&3
        wait
  - id: never
    uses: shell
    with: { script: "echo never >> marker" }
finally:
  - id: tell
    uses: shell
    with: { script: "echo {{ run.outcome }} >> marker" }
"#;

/// The started run, once its long step is under way; the lifeline and the process id of the step.
fn under_way(env: &TestEnv) -> (Background, Lifeline, Pid) {
    let step = env.lifeline("alive");
    let exec = env.start(["exec", "job"]);
    let pid = step.heard().parse().expect("a process id");
    (exec, step, Pid::from_raw(pid))
}

/// `LONG` with a step that does not heed TERM.
fn stubborn() -> String {
    LONG.replace("trap 'echo TERM >> marker; exit 1' TERM", "trap '' TERM")
}

#[test]
fn another_process_cancels_a_run() {
    let env = job(LONG);
    let (exec, step, _) = under_way(&env);
    let cancelled = env.run(["cancel", "latest", "--reason", "wrong service"]);
    assert_eq!(cancelled.code, Some(0), "{cancelled}");
    let output = exec.finish();
    assert_eq!(output.code, Some(8), "{output}");
    assert!(output.stdout.contains("wrong service"), "{output}");
    step.gone();
    assert_eq!(env.read("marker"), "put\nTERM\ncancelled\n");
    let status = env.run(["status"]).stdout;
    assert!(status.contains("job on local: cancelled"), "{status}");
}

#[test]
fn a_waiting_run_that_nobody_drives_is_cancelled_by_its_next_driver() {
    let env = job(r#"steps:
  - id: go
    uses: approval
    with: { message: "Really?" }
"#);
    let output = env.run(["exec", "job", "--detach"]);
    assert_eq!(output.code, Some(4), "{output}");
    let cancelled = env.run(["cancel", "latest"]);
    assert_eq!(cancelled.code, Some(0), "{cancelled}");
    assert!(cancelled.stderr.contains("runbook resume "), "{cancelled}");
    let resumed = env.run(["resume", "latest"]);
    assert_eq!(resumed.code, Some(8), "{resumed}");
}

#[test]
fn interrupted_once_it_ends_in_good_order() {
    for signal in [Signal::SIGINT, Signal::SIGTERM] {
        let env = job(LONG);
        let (exec, step, _) = under_way(&env);
        exec.signal(signal);
        let output = exec.finish();
        assert_eq!(output.code, Some(8), "{signal}\n{output}");
        step.gone();
        assert_eq!(env.read("marker"), "put\nTERM\ncancelled\n", "{signal}");
    }
}

#[test]
fn interrupted_twice_it_kills_and_can_be_resumed() {
    let env = job(&stubborn());
    let (mut exec, step, _) = under_way(&env);
    exec.signal(Signal::SIGINT);
    exec.until("cancel_requested");
    assert!(step.is_held(), "it does not heed TERM");
    exec.signal(Signal::SIGINT);
    let output = exec.finish();
    assert_eq!(output.code, Some(8), "{output}");
    step.gone();
    assert_eq!(env.read("marker"), "put\n", "`finally` is left to resume");
    let resumed = env.run(["resume", "latest"]);
    assert_eq!(resumed.code, Some(8), "{resumed}");
    assert_eq!(env.read("marker"), "put\ncancelled\n");
}

/// A run whose engine was killed while its step was under way, and how resuming it ended. The step
/// ends at once when it is run again.
fn killed_in_the_middle(effect: &str) -> (TestEnv, Output) {
    let env = job(&format!(
        r#"steps:
  - id: long
    uses: shell
    with:
      script: |
        echo ran >> marker
        test "$(wc -l < marker)" -eq 1 || exit 0
        exec 3> alive
        sleep 60 &
        echo $$ >&3
        wait
{effect}  - id: after
    uses: shell
    with: {{ script: "echo after >> marker" }}
"#
    ));
    let (exec, step, group) = under_way(&env);
    exec.signal(Signal::SIGKILL);
    let output = exec.finish();
    assert_eq!(output.code, None, "{output}");
    // KILL gives the engine no chance to end its step; its group is ours to end.
    killpg(group, Signal::SIGKILL).expect("the step has a group of its own");
    step.gone();
    let runs = env.run(["runs", "--unfinished"]).stdout;
    assert!(runs.contains("job"), "{runs}");
    let resumed = env.run(["resume", "latest", "--output", "json"]);
    (env, resumed)
}

#[test]
fn what_may_be_repeated_is_run_again_after_a_crash() {
    for effect in ["read", "idempotent"] {
        let (env, resumed) = killed_in_the_middle(&format!(
            "    effect: {{ is: {effect}, reason: it only writes its marker }}\n"
        ));
        assert_eq!(resumed.code, Some(0), "{effect}\n{resumed}");
        assert_eq!(env.read("marker"), "ran\nran\nafter\n", "{effect}");
    }
}

#[test]
fn what_must_happen_once_is_not_run_again_after_a_crash() {
    let (env, resumed) = killed_in_the_middle("");
    assert_eq!(resumed.code, Some(6), "{resumed}");
    assert!(resumed.stdout.contains("step_interrupted"), "{resumed}");
    assert_eq!(env.read("marker"), "ran\n");
    let status = env.run(["status"]).stdout;
    assert!(status.contains("interrupted"), "{status}");
}

#[test]
fn a_run_that_is_driven_is_not_driven_twice() {
    let env = job(LONG);
    let (exec, step, _) = under_way(&env);
    let second = env.run(["resume", "latest"]);
    assert_eq!(second.code, Some(2), "{second}");
    assert!(second.stderr.contains("  next: runbook "), "{second}");
    exec.signal(Signal::SIGINT);
    let output = exec.finish();
    assert_eq!(output.code, Some(8), "{output}");
    step.gone();
}

/// Kills the engine when the step has said that it is at work, ends the step, and resumes.
fn killed_and_resumed(env: &TestEnv) -> Output {
    let (exec, step, group) = under_way(env);
    exec.signal(Signal::SIGKILL);
    let output = exec.finish();
    assert_eq!(output.code, None, "{output}");
    killpg(group, Signal::SIGKILL).expect("the step has a group of its own");
    step.gone();
    env.run(["resume", "latest", "--output", "json"])
}

/// An instance that is killed when it runs for the first time with the item `b`.
const INSTANCE: &str = r#"echo {{ item }} >> marker
        test {{ item }} = b || exit 0
        test "$(grep -c b marker)" -eq 1 || exit 0
        exec 3> alive
        sleep 60 &
        echo $$ >&3
        wait"#;

#[test]
fn a_loop_goes_on_after_a_crash_where_it_was_and_its_list_is_not_computed_again() {
    for (effect, code, marker) in [
        ("idempotent", 0, "list\na\nb\nb\nc\nafter a b c\n"),
        ("once", 6, "list\na\nb\n"),
    ] {
        let env = job(&format!(
            r#"steps:
  - id: list
    uses: shell
    with:
      script: |
        echo list >> marker
        cat items
    outputs: {{ last: "{{{{trim outputs.stdout}}}}" }}
  - id: each
    uses: shell
    for_each: [a, b, "{{{{ steps.list.outputs.last }}}}"]
    effect: {{ is: {effect}, reason: it only writes its marker }}
    with:
      script: |
        {INSTANCE}
  - id: after
    uses: shell
    with: {{ script: "echo after a b c >> marker" }}
"#
        ));
        env.write("items", "c\n");
        let resumed = killed_and_resumed(&env);
        assert_eq!(resumed.code, Some(code), "{effect}\n{resumed}");
        assert_eq!(env.read("marker"), marker, "{effect}");
        assert!(!resumed.stdout.contains("step_expanded"), "{resumed}");
    }
}

#[test]
fn a_sub_runbook_goes_on_after_a_crash_where_it_was() {
    let env = job(r#"steps:
  - id: sub
    uses: runbook.child
    for_each: [a, b]
    with: { item: "{{ item }}" }
  - id: after
    uses: shell
    with: { script: "echo after >> marker" }
"#);
    let instance = INSTANCE.replace("{{ item }}", "{{ params.item }}");
    env.write(
        "runbooks/child.yaml",
        &format!(
            r#"runbook: v1
name: child
params: {{ item: {{ type: string }} }}
steps:
  - id: first
    uses: shell
    with: {{ script: "echo first >> marker" }}
  - id: long
    uses: shell
    effect: {{ is: idempotent, reason: it only writes its marker }}
    with:
      script: |
        {instance}
finally:
  - id: last
    uses: shell
    with: {{ script: "echo last >> marker" }}
"#
        ),
    );
    let resumed = killed_and_resumed(&env);
    assert_eq!(resumed.code, Some(0), "{resumed}");
    assert_eq!(
        env.read("marker"),
        "first\na\nlast\nfirst\nb\nb\nlast\nafter\n"
    );
}
