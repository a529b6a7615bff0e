//! Runs of a protected environment: what they refuse to start, and what they say while they wait.

use std::os::fd::{AsFd as _, OwnedFd};
use std::process::{Command, Stdio};

use runbook::settings::current_actor;

use crate::support::{Output, TestEnv};

/// A read whose value the reviewer sees, a gate, a change behind it.
const JOB: &str = "\
runbook: v1
name: job
title: Put a file in place
risk: medium
steps:
  - id: look
    uses: file.read
    with: { path: seen }
  - id: go
    uses: approval
    with: { message: \"Put it beside {{ steps.look.outputs.content }}?\" }
  - id: put
    uses: shell
    with: { script: \"echo put >> marker\" }
    rollback: { uses: shell, with: { script: \"echo away >> marker\" } }
";

/// `operator` starts the runs of the tests; people sign nothing.
const POLICY: &str = "\
policy: v1
people:
  operator: { name: The Operator }
  ada: { name: Ada Example, contact: ada@example.org }
  grace: { name: Grace Example }
roles:
  developer: { members: [operator, ada, grace] }
  team-lead: { members: [ada, grace] }
  on-call: { members: [operator] }
risk:
  low: { role: developer }
  medium: { role: team-lead }
  high: { role: team-lead }
emergency: { roles: [on-call], review: team-lead, review_within: 72h }
";

/// The person at this machine, who starts the runs: only a key proves to be somebody else.
fn starter() -> String {
    current_actor(None).name
}

fn guarded_with(policy: &str) -> TestEnv {
    let env = TestEnv::with_runbook("job", JOB);
    let mut policy = policy.replace("operator", &starter());
    std::fs::create_dir(env.root().join("keys")).expect("a folder");
    for name in ["ada", "grace"] {
        let path = env.root().join("keys").join(name);
        let made = Command::new("ssh-keygen")
            .args(["-q", "-t", "ed25519", "-C", name, "-N", "", "-f"])
            .arg(&path)
            .status()
            .expect("ssh-keygen starts");
        assert!(made.success());
        let key = env.read(&format!("keys/{name}.pub"));
        let keys = format!("  {name}: {{ ssh_keys: [\"{}\"], ", key.trim());
        policy = policy.replace(&format!("  {name}: {{ "), &keys);
    }
    env.write(
        "runbooks/environments/production.yaml",
        "environment: v1\nname: production\nprotected: true\n",
    );
    env.write("runbooks/policy.yaml", &policy);
    env.write("seen", "old");
    env
}

fn guarded() -> TestEnv {
    guarded_with(POLICY)
}

impl TestEnv {
    /// Runs the program with the key of another person.
    fn run_as<const N: usize>(&self, user: &str, arguments: [&str; N]) -> Output {
        let mut command = self.command();
        command
            .env("RUNBOOK_SIGNING_KEY", self.root().join("keys").join(user))
            .args(arguments);
        self.finish(&mut command)
    }

    fn exec<const N: usize>(&self, more: [&str; N]) -> Output {
        self.finish(
            self.command()
                .args(["exec", "job", "--env", "production"])
                .args(more),
        )
    }
}

fn refused(output: &Output, code: i32, words: &[&str]) {
    assert_eq!(output.code, Some(code), "{output}");
    for words in words {
        assert!(output.stderr.contains(words), "{words}\n{output}");
    }
}

#[test]
fn somebody_else_approves_what_the_files_still_say() {
    let env = guarded();
    let left = env.exec(["--detach"]);
    assert_eq!(left.code, Some(4), "{left}");
    assert!(
        left.stderr
            .contains("waits for 1 of team-lead: ada or grace"),
        "{left}"
    );
    let own = env.run(["approve", "latest"]);
    assert_eq!(own.code, Some(2), "{own}");
    let status = env.run(["status"]).stdout;
    assert!(
        status.contains("waits for 1 of team-lead: ada or grace"),
        "{status}"
    );
    let approved = env.run_as("ada", ["approve", "latest"]);
    assert_eq!(approved.code, Some(0), "{approved}");
    let resumed = env.run(["resume", "latest"]);
    assert_eq!(resumed.code, Some(0), "{resumed}");
    for words in ["has fresh values of look", "finds the files unchanged"] {
        assert!(resumed.stderr.contains(words), "{words}\n{resumed}");
    }
    assert_eq!(env.read("marker"), "put\n");
}

#[test]
fn what_changed_since_the_vote_voids_it_and_is_shown() {
    let env = guarded();
    let left = env.exec(["--detach"]);
    assert_eq!(left.code, Some(4), "{left}");
    let approved = env.run_as("ada", ["approve", "latest"]);
    assert_eq!(approved.code, Some(0), "{approved}");
    // What the reviewer saw, and what would run.
    env.write("seen", "new");
    env.write("runbooks/job.yaml", &JOB.replace("echo put", "echo harm"));
    let resumed = env.run(["resume", "latest", "--detach"]);
    assert_eq!(resumed.code, Some(4), "{resumed}");
    for words in [
        "has no votes any more, because something changed",
        "Put it beside new?",
        "echo harm",
    ] {
        assert!(resumed.stderr.contains(words), "{words}\n{resumed}");
    }
    let status = env.run(["status"]).stdout;
    for words in ["Put it beside new?", "the votes became void"] {
        assert!(status.contains(words), "{words}\n{status}");
    }
    // The people see the difference and approve what was planned.
    let again = env.run_as("grace", ["approve", "latest"]);
    assert_eq!(again.code, Some(0), "{again}");
    let resumed = env.run(["resume", "latest"]);
    assert_eq!(resumed.code, Some(0), "{resumed}");
    assert_eq!(env.read("marker"), "put\n", "the plan that was approved");
}

#[test]
fn yes_says_once_that_the_starters_vote_does_not_count_and_waits_on() {
    let env = guarded();
    let left = env.exec(["--yes", "--detach"]);
    assert_eq!(left.code, Some(4), "{left}");
    let said = left.stderr.matches("--yes does not pass gate `go`").count();
    assert_eq!(said, 1, "{left}");
    assert!(left.stderr.contains("somebody else must approve"), "{left}");
    assert!(left.stderr.contains("runbook approve "), "{left}");
    let lenient = guarded_with(&format!(
        "{}self_approval: true\n",
        POLICY.replace("medium: { role: team-lead }", "medium: { role: on-call }")
    ));
    let passed = lenient.exec(["--yes"]);
    assert_eq!(passed.code, Some(0), "{passed}");
}

#[test]
fn an_emergency_waits_for_nobody_and_is_marked_wherever_one_looks() {
    let env = guarded();
    let output = env.exec(["--emergency", "--reason", "the site is down"]);
    assert_eq!(output.code, Some(0), "{output}");
    assert_eq!(env.read("marker"), "put\n");
    assert!(output.stderr.contains("EMERGENCY"), "{output}");
    for text in [
        output.stdout,
        env.run(["status"]).stdout,
        env.run(["obligations"]).stdout,
    ] {
        assert!(text.contains("the site is down"), "{text}");
    }
    let runs = env.run(["runs"]).stdout;
    assert!(runs.contains("emergency"), "{runs}");
    let json = env.run(["runs", "--output", "json"]).stdout;
    assert!(json.contains("\"emergency\":true"), "{json}");
    let mut git = env.command_as("git");
    git.args([
        "-C",
        ".runbook/audit.git",
        "grep",
        "-h",
        "Emergency",
        "main",
        "--",
        "*report.md",
    ]);
    let report = env.finish(&mut git);
    assert!(report.stdout.contains("the site is down"), "{report}");
}

#[test]
fn an_emergency_is_refused_to_whom_it_is_not_for_and_where_it_is_none() {
    let env = guarded();
    let others = POLICY.replace(
        "on-call: { members: [operator] }",
        "on-call: { members: [ada] }",
    );
    let other = guarded_with(&others).exec(["--emergency", "--reason", "down"]);
    let name = format!("`{}` may not start an emergency run", starter());
    refused(&other, 7, &[&name, "ask somebody who may: ada"]);
    let local = env.run(["exec", "job", "--emergency", "--reason", "down"]);
    refused(
        &local,
        2,
        &["`local` is not protected", "leave out --emergency"],
    );
    refused(&env.exec(["--emergency"]), 2, &["--reason"]);
    refused(&env.exec(["--emergency", "--reason", " "]), 2, &["blank"]);
    refused(&env.exec(["--reason", "down"]), 2, &["--emergency"]);
    let without = POLICY
        .lines()
        .filter(|line| !line.starts_with("emergency:"));
    let strict = guarded_with(&without.collect::<Vec<_>>().join("\n"));
    let output = strict.exec(["--emergency", "--reason", "down"]);
    refused(&output, 7, &["allows no emergency runs"]);
    for env in [env, strict] {
        let runs = env.run(["runs"]);
        assert!(!runs.stdout.contains("job"), "nothing was started: {runs}");
    }
}

#[test]
fn nothing_starts_in_a_freeze_but_an_emergency() {
    let env = guarded_with(&format!(
        "{POLICY}freezes: [ {{ name: for ever, environments: [production], from: 2020-01-01, to: 2200-01-01 }} ]\n"
    ));
    let output = env.exec(["--detach"]);
    refused(
        &output,
        7,
        &["for ever", "2200-01-0", "--emergency --reason"],
    );
    let output = env.exec(["--emergency", "--reason", "down"]);
    assert_eq!(output.code, Some(0), "{output}");
}

#[test]
fn a_gate_that_nobody_but_its_starters_could_pass_is_no_start() {
    let env = guarded_with(&POLICY.replace(
        "medium: { role: team-lead }",
        "medium: { role: team-lead, quorum: 2 }",
    ));
    let output = env.exec(["--detach", "--on-behalf-of", "ada"]);
    let why = ["`go`", "could never be passed", "started for ada"];
    refused(&output, 7, &why);
    let env = guarded();
    let output = env.exec(["--detach", "--on-behalf-of", "ada"]);
    assert_eq!(output.code, Some(4), "{output}");
    assert!(
        output.stderr.contains("waits for 1 of team-lead: grace"),
        "{output}"
    );
    let own = env.run_as("ada", ["approve", "latest"]);
    assert_eq!(own.code, Some(2), "{own}");
    let status = env.run(["status"]).stdout;
    assert!(status.contains("started for ada"), "{status}");
}

#[test]
fn whoever_changed_the_runbook_last_may_not_vote_where_the_policy_says_so() {
    let env = guarded_with(&format!("{POLICY}exclude_author: true\n"));
    let git = |arguments: &[&str]| {
        let mut git = env.command_as("git");
        let who = [
            "-c",
            "user.name=A. Example",
            "-c",
            "user.email=ada@example.org",
        ];
        let output = env.finish(git.args(who).args(arguments));
        assert_eq!(output.code, Some(0), "{output}");
    };
    git(&["init", "-q"]);
    git(&["add", "runbooks"]);
    git(&["commit", "-q", "-m", "all of it"]);
    let output = env.exec(["--detach"]);
    assert_eq!(output.code, Some(4), "{output}");
    assert!(
        output.stderr.contains("waits for 1 of team-lead: grace"),
        "{output}"
    );
}

#[test]
fn a_gate_that_nobody_answered_is_refused_or_parked_as_the_policy_says() {
    let rule = |more: &str| {
        POLICY.replace(
            "medium: { role: team-lead }",
            &format!("medium: {{ role: team-lead, expiry: 50ms{more} }}"),
        )
    };
    let env = guarded_with(&rule(""));
    let output = env.exec([]);
    assert_eq!(output.code, Some(7), "{output}");
    let env = guarded_with(&rule(", on_expiry: park"));
    let output = env.exec([]);
    assert_eq!(output.code, Some(4), "{output}");
    assert!(
        output.stderr.contains("waits on without a limit"),
        "{output}"
    );
    let approved = env.run_as("ada", ["approve", "latest"]);
    assert_eq!(approved.code, Some(0), "{approved}");
    let resumed = env.run(["resume", "latest"]);
    assert_eq!(resumed.code, Some(0), "{resumed}");
    assert_eq!(env.read("marker"), "put\n");
}

/// The program at a terminal of its own, and what it shows there.
struct Terminal {
    child: std::process::Child,
    master: std::fs::File,
    shown: String,
}

impl Terminal {
    fn start(env: &TestEnv, arguments: &[&str]) -> Self {
        Self::start_as(env, "operator", arguments)
    }

    fn start_as(env: &TestEnv, user: &str, arguments: &[&str]) -> Self {
        let pty = nix::pty::openpty(None, None).expect("a terminal");
        let end = |fd: &OwnedFd| Stdio::from(fd.as_fd().try_clone_to_owned().expect("a copy"));
        let mut command: Command = env.command();
        if user != "operator" {
            command.env("RUNBOOK_SIGNING_KEY", env.root().join("keys").join(user));
        }
        let child = command
            .args(arguments)
            .stdin(end(&pty.slave))
            .stdout(end(&pty.slave))
            .stderr(end(&pty.slave))
            .spawn()
            .expect("starts");
        Self {
            child,
            master: std::fs::File::from(pty.master),
            shown: String::new(),
        }
    }

    /// Reads until something stands on the terminal that was not there before.
    fn until(&mut self, words: &str) {
        use std::io::Read as _;
        let mut buffer = [0; 4096];
        while !self.shown.contains(words) {
            let n = self.master.read(&mut buffer).unwrap_or(0);
            assert!(n > 0, "it ended without `{words}`:\n{}", self.shown);
            self.shown.push_str(&String::from_utf8_lossy(&buffer[..n]));
        }
        let at = self.shown.find(words).map_or(0, |at| at + words.len());
        self.shown.drain(..at);
    }

    fn types(&mut self, line: &str) {
        use std::io::Write as _;
        self.master.write_all(line.as_bytes()).expect("typed");
        self.master.write_all(b"\n").expect("typed");
    }

    fn ends_with(mut self, code: i32) {
        use std::io::Read as _;
        // The terminal reports an error when its other end is gone.
        let mut rest = Vec::new();
        let _ = self.master.read_to_end(&mut rest);
        let status = self.child.wait().expect("its status");
        assert_eq!(
            status.code(),
            Some(code),
            "{}",
            String::from_utf8_lossy(&rest)
        );
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn at_a_terminal_inputs_are_asked_for_and_checked_before_the_vote() {
    let env = guarded();
    env.write(
        "runbooks/job.yaml",
        &JOB.replace(
            "?\" }",
            "?\", inputs: { nodes: { type: int }, window: { type: duration, default: 10m } } }",
        )
        .replace(
            "echo put",
            "echo {{ steps.go.outputs.inputs.nodes }} {{ steps.go.outputs.inputs.window }}",
        ),
    );
    // In an environment that is not protected whoever sits there may approve.
    let mut terminal = Terminal::start(&env, &["exec", "job"]);
    terminal.until("approve `go`?");
    terminal.types("b look too early");
    terminal.until("approve `go`?");
    terminal.types("y fine");
    terminal.until("nodes (int)");
    terminal.types("many");
    terminal.until("nodes (int)");
    terminal.types("3");
    terminal.until("window (duration) [10m]");
    terminal.types("");
    terminal.ends_with(0);
    assert_eq!(env.read("marker"), "3 10m\n");
}

#[test]
fn at_a_terminal_the_starter_is_told_who_must_approve() {
    let env = guarded();
    let mut terminal = Terminal::start(&env, &["exec", "job", "--env", "production"]);
    terminal.until("you started this run, so somebody else must approve: runbook approve");
    let approved = env.run_as("grace", ["approve", "latest"]);
    assert_eq!(approved.code, Some(0), "{approved}");
    terminal.ends_with(0);
}

#[test]
fn a_reviewer_who_drives_the_run_on_is_asked() {
    let env = guarded();
    assert_eq!(env.exec(["--detach"]).code, Some(4));
    let mut terminal = Terminal::start_as(&env, "ada", &["resume", "latest"]);
    terminal.until("approve `go`?");
    terminal.types("n not today");
    terminal.ends_with(7);
}
