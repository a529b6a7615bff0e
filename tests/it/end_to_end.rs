//! README command 1 as a new user types it: in a copy of this repository, with a real service.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use runbook::base::Digest;
use serde_json::Value;

use crate::support::{Output, TestEnv};

/// A copy of the repository whose service ends with the test.
struct Checkout {
    env: TestEnv,
}

impl Checkout {
    fn new() -> Self {
        let env = TestEnv::new();
        let source = Path::new(env!("CARGO_MANIFEST_DIR"));
        let listed = git(source, &["ls-files", "-co", "--exclude-standard"]);
        for file in listed.lines() {
            let from = source.join(file);
            // A file that was deleted but not committed is listed too.
            if from.is_file() {
                let to = env.root().join(file);
                std::fs::create_dir_all(to.parent().expect("a folder")).expect("a folder");
                std::fs::copy(&from, &to).expect("a copied file");
            }
        }
        Self { env }
    }

    /// The program with what cargo needs, since the environment's service is built by it. The
    /// service is built into the target folder of this repository, once.
    #[expect(
        clippy::disallowed_methods,
        reason = "only the caller knows where its toolchain is"
    )]
    fn runbook(&self, arguments: &[&str]) -> Command {
        let mut command = self.env.command();
        for name in ["HOME", "CARGO_HOME", "RUSTUP_HOME", "RUSTUP_TOOLCHAIN"] {
            if let Some(value) = std::env::var_os(name) {
                command.env(name, value);
            }
        }
        let target = Path::new(env!("CARGO_TARGET_TMPDIR"))
            .parent()
            .expect("the target folder");
        command.env("CARGO_TARGET_DIR", target).args(arguments);
        command
    }

    fn run(&self, arguments: &[&str]) -> Output {
        self.env.finish(&mut self.runbook(arguments))
    }

    /// Runs the runbook in the default environment, and gives its events.
    fn restart(&self) -> Vec<Value> {
        self.restart_with(&[])
    }

    /// Runs the runbook with more arguments, and gives its events.
    fn restart_with(&self, more: &[&str]) -> Vec<Value> {
        let arguments = [&["exec", "service-restart", "--output", "json"], more].concat();
        let output = self.run(&arguments);
        assert_eq!(output.code, Some(0), "{}{}", output.stdout, output.stderr);
        output
            .stdout
            .lines()
            .map(|line| serde_json::from_str(line).expect("a JSON line"))
            .collect()
    }

    fn audit(&self, arguments: &[&str]) -> String {
        git(&self.env.root().join(".runbook/audit.git"), arguments)
    }
}

impl Drop for Checkout {
    fn drop(&mut self) {
        let folder = self.env.root().join(".runbook/services");
        for (pid, start_ticks) in services(&folder) {
            // The pid of a service that is gone may belong to somebody else by now.
            if start_of(pid) == Some(start_ticks) {
                let _ = Command::new("kill").args(["-9", &pid.to_string()]).status();
            }
        }
    }
}

/// The services that are on record below a folder: pid and start, in ticks since the boot.
fn services(folder: &Path) -> Vec<(u64, u64)> {
    let Ok(entries) = std::fs::read_dir(folder) else {
        return Vec::new();
    };
    let mut found = Vec::new();
    for entry in entries.flatten() {
        let path = entry.path();
        if path.is_dir() {
            found.extend(services(&path));
        } else if path.file_name().is_some_and(|name| name == "pid") {
            let text = std::fs::read_to_string(&path).unwrap_or_default();
            let record: Value = serde_json::from_str(&text).unwrap_or_default();
            let process = &record["process"];
            found.extend(process["pid"].as_u64().zip(process["start_ticks"].as_u64()));
        }
    }
    found
}

/// What `/proc/PID/stat` says after the name, which may hold anything (proc_pid_stat(5)).
fn stat_of(pid: u64) -> Option<Vec<String>> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let (_, fields) = stat.rsplit_once(") ")?;
    Some(fields.split_whitespace().map(str::to_owned).collect())
}

/// When a process started, in ticks since the boot: field 22, of which the first two are cut off.
fn start_of(pid: u64) -> Option<u64> {
    stat_of(pid)?.get(19)?.parse().ok()
}

fn git(folder: &Path, arguments: &[&str]) -> String {
    let output = Command::new("git")
        .args(["-c", "safe.directory=*"])
        .args(arguments)
        .current_dir(folder)
        .stdin(Stdio::null())
        .output()
        .expect("git is installed");
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(
        output.status.success(),
        "git {arguments:?}: {text}{}",
        String::from_utf8_lossy(&output.stderr)
    );
    text
}

fn text(value: &Value) -> &str {
    value.as_str().expect("a text")
}

fn outputs(events: &[Value]) -> &Value {
    let last = &events.last().expect("events")["event"];
    assert_eq!(last["kind"], "run_finished");
    assert_eq!(last["outcome"], "succeeded");
    &last["outputs"]
}

fn pid(events: &[Value]) -> u64 {
    outputs(events)["pid"].as_u64().expect("a pid")
}

fn address(events: &[Value]) -> String {
    outputs(events)["address"]
        .as_str()
        .expect("an address")
        .to_owned()
}

fn is_alive(pid: u64) -> bool {
    stat_of(pid).is_some_and(|fields| !["Z", "X"].contains(&fields[0].as_str()))
}

/// Waits until it holds, at most half a minute.
fn eventually(what: &str, holds: impl Fn() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(30);
    while !holds() {
        assert!(Instant::now() < deadline, "in vain: {what}");
        std::thread::yield_now();
    }
}

/// An HTTP answer, head and body, read to its end.
fn get(address: &str, path: &str) -> std::io::Result<String> {
    let mut stream = TcpStream::connect(address)?;
    stream.set_read_timeout(Some(Duration::from_secs(30)))?;
    write!(
        stream,
        "GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n"
    )?;
    let mut text = String::new();
    stream.read_to_string(&mut text)?;
    Ok(text)
}

#[test]
fn a_service_is_started_restarted_drained_and_on_record() {
    let checkout = Checkout::new();

    let first = checkout.restart();
    let (first_pid, first_address) = (pid(&first), address(&first));
    assert!(is_alive(first_pid), "the service outlives the command");
    let on_disk = services(&checkout.env.root().join(".runbook/services"));
    let started = start_of(first_pid).expect("a start");
    assert_eq!(on_disk, [(first_pid, started)], "the guard finds it");
    let health = get(&first_address, "/health").expect("an answer");
    assert!(health.starts_with("HTTP/1.1 200"), "{health}");
    assert!(health.contains(&first_pid.to_string()), "{health}");

    // Work in hand is finished before the restart.
    let slow = std::thread::spawn({
        let address = first_address.clone();
        move || get(&address, "/work?ms=1500").expect("an answer")
    });
    eventually("the service has work in hand", || {
        get(&first_address, "/metrics").is_ok_and(|metrics| {
            metrics
                .lines()
                .any(|line| line.contains("in_flight") && line.ends_with(" 1"))
        })
    });
    let second = checkout.restart();
    let answer = slow.join().expect("no panic");
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    let second_pid = pid(&second);
    assert_ne!(first_pid, second_pid);
    assert!(!is_alive(first_pid), "the old process is gone");
    assert!(get(&address(&second), "/health").is_ok());

    // A service that was killed is started again.
    let killed = Command::new("kill")
        .args(["-9", &second_pid.to_string()])
        .status()
        .expect("kill is installed");
    assert!(killed.success());
    eventually("the killed service is gone", || !is_alive(second_pid));
    let third = checkout.restart();
    assert!(is_alive(pid(&third)));
    let skipped = third
        .iter()
        .any(|event| event["event"]["kind"] == "step_skipped" && event["event"]["step"] == "drain");
    assert!(skipped, "nothing to drain when it is down");

    on_record(&checkout, [&first, &second, &third]);
}

/// Stock git reads the trail, and it holds the very events that the command printed.
fn on_record(checkout: &Checkout, runs: [&Vec<Value>; 3]) {
    checkout.audit(&["fsck", "--strict"]);
    let merges = checkout.audit(&["rev-list", "--merges", "--count", "main"]);
    assert_eq!(merges.trim(), "0", "the history is linear");
    let files = checkout.audit(&["ls-tree", "-r", "--name-only", "main"]);
    for events in runs {
        let run = events[0]["run"].as_str().expect("a run id");
        let path = files
            .lines()
            .find(|file| file.contains(run) && file.ends_with("events.jsonl"))
            .expect("the run is in the trail");
        let lines = checkout.audit(&["show", &format!("main:{path}")]);
        let last = lines.lines().last().expect("a last event");
        let recorded: Vec<Value> = lines
            .lines()
            .map(|line| {
                let mut event: Value = serde_json::from_str(line).expect("a JSON line");
                let chained = event.as_object_mut().and_then(|event| event.remove("prev"));
                assert!(chained.is_some(), "each line names the one before it");
                event
            })
            .collect();
        assert_eq!(&recorded, events);
        let folder = path.trim_end_matches("events.jsonl");
        for file in ["runbook.yaml", "plan.json", "report.md", "logs/restart.log"] {
            let wanted = format!("{folder}{file}");
            assert!(
                files.lines().any(|file| file == wanted),
                "{wanted}:\n{files}"
            );
        }
        let source = checkout.audit(&["show", &format!("main:{folder}runbook.yaml")]);
        assert_eq!(source, checkout.env.read("runbooks/service-restart.yaml"));
        let trailers = checkout.audit(&[
            "log",
            &format!("--grep={run}"),
            "--format=%(trailers:only,unfold)",
            "-1",
        ]);
        let created = &events[0]["event"];
        let wanted = [
            format!("Run-Id: {run}"),
            "Runbook: service-restart".to_owned(),
            "Environment: local".to_owned(),
            format!("Plan-Digest: {}", text(&created["plan_digest"])),
            format!("Last-Seq: {}", events.len()),
            format!("Chain-Head: {}", Digest::of_bytes(last.as_bytes())),
            format!(
                "Actor: {}@{}",
                text(&created["actor"]["name"]),
                text(&created["actor"]["host"])
            ),
            "Outcome: succeeded".to_owned(),
        ];
        assert_eq!(trailers.trim_end().lines().collect::<Vec<_>>(), wanted);
    }
    let latest = runs[2][0]["run"].as_str().expect("a run id");
    let listed = checkout.run(&["runs", "--output", "json"]);
    assert_eq!(listed.stdout.lines().count(), 3, "{}", listed.stdout);
    assert!(
        listed
            .stdout
            .lines()
            .next()
            .is_some_and(|run| run.contains(latest))
    );
    let story = checkout.run(&["audit", "log"]);
    assert_eq!(story.code, Some(0));
    assert!(
        story.stdout.contains("service-restart: succeeded in"),
        "{}",
        story.stdout
    );
    let log = checkout.run(&["logs", "latest", "restart"]);
    assert!(log.stdout.contains("restarted `api`"), "{}", log.stdout);
    let status = checkout.run(&["status"]);
    assert!(
        status
            .stdout
            .contains("service-restart on local: succeeded"),
        "{}",
        status.stdout
    );
}

/// The environment with a port of its own, on another port than 8000 when that one is taken here.
#[test]
fn a_service_takes_the_port_that_its_environment_names() {
    let checkout = Checkout::new();
    let file = "runbooks/environments/local-8000.yaml";
    let text = checkout.env.read(file);
    assert_eq!(text.matches("--port=8000").count(), 1, "{text}");
    let port = match std::net::TcpListener::bind("127.0.0.1:8000") {
        Ok(_) => 8000,
        Err(_) => {
            let free = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
            free.local_addr().expect("an address").port()
        }
    };
    let named = text.replace("--port=8000", &format!("--port={port}"));
    checkout.env.write(file, &named);

    let mut before = None;
    // The port is taken again at once, although the old process had it.
    for _ in 0..2 {
        let events = checkout.restart_with(&["--env", "local-8000"]);
        assert_eq!(address(&events), format!("127.0.0.1:{port}"));
        let health = get(&address(&events), "/health").expect("an answer");
        assert!(health.contains(&pid(&events).to_string()), "{health}");
        assert_ne!(before.replace(pid(&events)), Some(pid(&events)));
    }
}

#[test]
fn a_dry_run_touches_nothing() {
    let checkout = Checkout::new();
    let output = checkout.run(&["exec", "service-restart", "--dry-run"]);
    assert_eq!(output.code, Some(0), "{}{}", output.stdout, output.stderr);
    for words in ["before", "performed", "restart", "would"] {
        assert!(output.stdout.contains(words), "{words}: {}", output.stdout);
    }
    assert!(services(&checkout.env.root().join(".runbook")).is_empty());
    assert_eq!(checkout.run(&["runs"]).code, Some(2), "no run was recorded");
}
