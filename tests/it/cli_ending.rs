//! Runs that end before their time: cancelled, interrupted, or their engine killed.

use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;

use crate::support::{Background, TestEnv, is_alive, job, wait_until};

/// A step with a child of its own; both write down who they are and go on for a minute.
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
        sleep 60 & echo $! > child
        echo $$ > shell
        wait
  - id: never
    uses: shell
    with: { script: "echo never >> marker" }
finally:
  - id: tell
    uses: shell
    with: { script: "echo {{ run.outcome }} >> marker" }
"#;

/// The started run, once its long step is under way, with the processes of the step.
fn under_way(env: &TestEnv) -> (Background, [u32; 2]) {
    let exec = env.start(["exec", "job"]);
    let pids = [env.pid_in("child"), env.pid_in("shell")];
    assert!(pids.iter().all(|pid| is_alive(*pid)), "{pids:?}");
    (exec, pids)
}

/// Nothing of the step is left. KILL is not waited for by the one who sends it.
fn gone(pids: [u32; 2]) {
    wait_until("the processes of the step are gone", || {
        !pids.iter().any(|pid| is_alive(*pid))
    });
}

/// `LONG` with a step that does not heed TERM.
fn stubborn() -> String {
    LONG.replace("trap 'echo TERM >> marker; exit 1' TERM", "trap '' TERM")
}

#[test]
fn another_process_cancels_a_run() {
    let env = job(LONG);
    let (exec, pids) = under_way(&env);
    let cancelled = env.run(["cancel", "latest", "--reason", "wrong service"]);
    assert_eq!(cancelled.code, Some(0), "{cancelled}");
    let output = exec.finish();
    assert_eq!(output.code, Some(8), "{output}");
    assert!(output.stdout.contains("wrong service"), "{output}");
    gone(pids);
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
        let (exec, pids) = under_way(&env);
        exec.signal(signal);
        let output = exec.finish();
        assert_eq!(output.code, Some(8), "{signal}\n{output}");
        gone(pids);
        assert_eq!(env.read("marker"), "put\nTERM\ncancelled\n", "{signal}");
    }
}

#[test]
fn interrupted_twice_it_kills_and_can_be_resumed() {
    let env = job(&stubborn());
    let (mut exec, pids) = under_way(&env);
    exec.signal(Signal::SIGINT);
    exec.until(&["cancel_requested"]);
    assert!(is_alive(pids[1]), "it does not heed TERM");
    exec.signal(Signal::SIGINT);
    let output = exec.finish();
    assert_eq!(output.code, Some(8), "{output}");
    gone(pids);
    assert_eq!(env.read("marker"), "put\n", "`finally` is left to resume");
    let resumed = env.run(["resume", "latest"]);
    assert_eq!(resumed.code, Some(8), "{resumed}");
    assert_eq!(env.read("marker"), "put\ncancelled\n");
}

/// One step that is under way when the engine is killed, and ends at once when it is run again.
fn killed_in_the_middle(effect: &str) -> TestEnv {
    let env = job(&format!(
        r#"steps:
  - id: long
    uses: shell
    with:
      script: |
        echo ran >> marker
        test ! -e shell || exit 0
        sleep 60 & echo $! > child
        echo $$ > shell
        wait
{effect}  - id: after
    uses: shell
    with: {{ script: "echo after >> marker" }}
"#
    ));
    let (exec, pids) = under_way(&env);
    exec.signal(Signal::SIGKILL);
    let output = exec.finish();
    assert_eq!(output.code, None, "{output}");
    // KILL gives the engine no chance to end its step; its group is ours to end.
    let group = Pid::from_raw(i32::try_from(pids[1]).expect("a pid"));
    killpg(group, Signal::SIGKILL).expect("the step has a group of its own");
    gone(pids);
    let runs = env.run(["runs", "--unfinished"]).stdout;
    assert!(runs.contains("job"), "{runs}");
    let resumed = env.start(["resume", "latest"]).finish();
    env.write("resumed", &resumed.to_string());
    env
}

#[test]
fn what_may_be_repeated_is_run_again_after_a_crash() {
    for effect in ["read", "idempotent"] {
        let env = killed_in_the_middle(&format!(
            "    effect: {{ is: {effect}, reason: it only writes its marker }}\n"
        ));
        let resumed = env.read("resumed");
        assert!(!resumed.contains("[exit status"), "{effect}\n{resumed}");
        assert_eq!(env.read("marker"), "ran\nran\nafter\n", "{effect}");
    }
}

#[test]
fn what_must_happen_once_is_not_run_again_after_a_crash() {
    let env = killed_in_the_middle("");
    let resumed = env.read("resumed");
    assert!(resumed.contains("[exit status: 6]"), "{resumed}");
    assert!(resumed.contains("step_interrupted"), "{resumed}");
    assert_eq!(env.read("marker"), "ran\n");
    let status = env.run(["status"]).stdout;
    assert!(status.contains("interrupted"), "{status}");
}

#[test]
fn a_run_that_is_driven_is_not_driven_twice() {
    let env = job(LONG);
    let (exec, pids) = under_way(&env);
    let second = env.run(["resume", "latest"]);
    assert_eq!(second.code, Some(2), "{second}");
    assert!(second.stderr.contains("  next: runbook "), "{second}");
    exec.signal(Signal::SIGINT);
    let output = exec.finish();
    assert_eq!(output.code, Some(8), "{output}");
    gone(pids);
}
