//! `runbook audit`: proving, exporting, restoring and pruning what real runs left.

use std::process::Command;

use serde_json::Value;

use crate::support::{Output, TestEnv};

const GREET: &str = "runbook: v1\nname: greet\nsteps:\n  - id: hello\n    uses: shell\n    with: { script: echo hello }\n    rollback: { irreversible: true, reason: nothing to undo }\n";

fn env() -> TestEnv {
    TestEnv::with_runbook("greet", GREET)
}

fn json(output: &Output) -> Value {
    serde_json::from_str(&output.stdout).expect("JSON")
}

fn keygen(env: &TestEnv) {
    let made = Command::new("ssh-keygen")
        .args(["-q", "-t", "ed25519", "-N", "", "-C", "host", "-f"])
        .arg(env.root().join("key"))
        .status()
        .expect("ssh-keygen starts");
    assert!(made.success());
}

#[test]
fn a_signed_trail_is_proven_here_and_elsewhere() {
    let env = env();
    keygen(&env);
    let key = env.read("key.pub");
    env.write("signers", &format!("box {key}"));
    let run = env.finish(
        env.command()
            .args(["exec", "greet"])
            .env("RUNBOOK_AUDIT_KEY", "key"),
    );
    assert_eq!(run.code, Some(0), "{}", run.stderr);
    let output = env.run([
        "audit",
        "verify",
        "--allowed-signers",
        "signers",
        "--output",
        "json",
    ]);
    assert_eq!(output.code, Some(0), "{}", output.stdout);
    let report = json(&output);
    assert_eq!(
        (&report["proven"], &report["runs"]),
        (&true.into(), &1.into())
    );
    assert_eq!(report["commits"], report["signed_commits"]);
    let exported = env.run(["audit", "export", "latest", "--to", "proof"]);
    assert_eq!(exported.code, Some(0), "{}", exported.stderr);

    let elsewhere = TestEnv::new();
    let proof = env.root().join("proof");
    let checked = elsewhere.finish(
        elsewhere
            .command()
            .args(["audit", "verify", "--bundle"])
            .arg(&proof),
    );
    assert_eq!(
        checked.code,
        Some(0),
        "{}{}",
        checked.stdout,
        checked.stderr
    );
    assert!(
        checked.stdout.contains("\nproven: ") && checked.stdout.contains("(0 signed), 1 run, "),
        "no policy named the signer: {}",
        checked.stdout
    );
    let known = elsewhere.finish(
        elsewhere
            .command()
            .args(["audit", "verify", "--bundle"])
            .arg(&proof)
            .arg("--allowed-signers")
            .arg(env.root().join("signers")),
    );
    assert!(
        known.stdout.starts_with("proven: ") && !known.stdout.contains("(0 signed), 1 run, "),
        "{}",
        known.stdout
    );

    env.write(
        "other",
        "box ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAILM+rvN+ot98qgEN796jTiQfZfG1KaT0PtFDJ/XFSqti\n",
    );
    let refused = env.run(["audit", "verify", "--allowed-signers", "other"]);
    assert_eq!(refused.code, Some(9));
    assert!(
        refused.stdout.starts_with("broken: commit "),
        "{}",
        refused.stdout
    );
}

#[test]
fn a_key_that_cannot_sign_stops_everything_before_it_runs() {
    let env = env();
    let run = env.finish(
        env.command()
            .args(["exec", "greet"])
            .env("RUNBOOK_AUDIT_KEY", "missing"),
    );
    assert_eq!(run.code, Some(9));
    assert!(
        run.stderr
            .contains("RUNBOOK_AUDIT_KEY names no key that can sign"),
        "{}",
        run.stderr
    );
    assert!(!env.root().join(".runbook").exists(), "nothing was begun");
}

#[test]
fn a_lost_store_is_restored_and_pruned_logs_are_shown_from_the_trail() {
    let env = env();
    assert_eq!(env.run(["exec", "greet"]).code, Some(0));
    let before = env.run(["status", "latest"]).stdout;
    for file in ["state.db", "state.db-wal", "state.db-shm"] {
        // Only the first is there when nobody uses it.
        let _ = std::fs::remove_file(env.root().join(".runbook").join(file));
    }
    let restored = env.run(["audit", "restore"]);
    assert!(
        restored.stdout.starts_with("1 run put back"),
        "{}",
        restored.stderr
    );
    assert_eq!(env.run(["status", "latest"]).stdout, before);
    assert_eq!(env.run(["audit", "verify"]).code, Some(0));

    let kept = env.run(["audit", "prune"]);
    assert!(
        kept.stdout.starts_with("deleted the logs of 0 runs"),
        "{}",
        kept.stdout
    );
    let pruned = env.run(["audit", "prune", "--older-than", "0s"]);
    assert!(
        pruned.stdout.starts_with("deleted the logs of 1 run"),
        "{}",
        pruned.stdout
    );
    let logs = env.run(["logs", "latest"]);
    assert!(
        logs.stderr.contains("the full logs were pruned"),
        "{}",
        logs.stderr
    );
    assert!(logs.stdout.contains("hello"), "{}", logs.stdout);
    assert_eq!(env.run(["audit", "verify"]).code, Some(0));
    let derived = env.run(["audit", "restore", "--trail"]);
    assert!(
        derived.stdout.starts_with("0 commits"),
        "{}{}",
        derived.stdout,
        derived.stderr
    );
}
