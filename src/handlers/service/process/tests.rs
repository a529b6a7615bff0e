//! The provider against the real example service.
//!
//! The program is built by asking `cargo` for it, which also says where it is: a unit test cannot
//! use `CARGO_BIN_EXE_*`, and the target directory may be anywhere.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use serde_json::json;

use super::super::{
    Drain, Health, Logs, Providers, Restart, Resume, Start, Status, Stop as StopAction,
};
use crate::base::Value;
use crate::event::FailureKind;
use crate::handler::testing::{TestStep, eventually};
use crate::handler::{StepError, Stop, typed};
use crate::handlers::http::shared;
use crate::handlers::system::ProcessKey;

fn backend() -> &'static Path {
    static PROGRAM: OnceLock<PathBuf> = OnceLock::new();
    PROGRAM.get_or_init(|| {
        let built = Command::new("cargo")
            .args([
                "build",
                "--quiet",
                "-p",
                "stock-backend",
                "--message-format=json",
            ])
            .output()
            .expect("cargo runs");
        assert!(
            built.status.success(),
            "{}",
            String::from_utf8_lossy(&built.stderr)
        );
        String::from_utf8_lossy(&built.stdout)
            .lines()
            .filter_map(|line| serde_json::from_str::<Value>(line).ok())
            .find_map(|message| message["executable"].as_str().map(PathBuf::from))
            .expect("cargo names the program")
    })
}

/// A step with the service `api`; kills it at the end of the test.
struct Fixture {
    step: TestStep,
    providers: Providers,
}

impl Fixture {
    /// The real service with more switches and other keys.
    fn backend(switches: &[&str], keys: Value) -> Self {
        let mut command = vec![
            backend().to_string_lossy().into_owned(),
            "--address-file".to_owned(),
            "${SERVICE_DIR}/address".to_owned(),
        ];
        command.extend(switches.iter().map(|word| (*word).to_owned()));
        let mut config = json!({
            "command": command,
            "address_file": "address",
            "health": {"http": "/health"},
            "drain": {"http": "/drain", "resume": "/resume", "interval": "5ms"},
        });
        merge(&mut config, keys);
        Self::of(config)
    }

    /// Any program.
    fn of(config: Value) -> Self {
        Self {
            step: TestStep::new().service("api", "process", config),
            providers: Providers::builtin(&shared()),
        }
    }

    async fn run(&self, verb: &str, mut with: Value) -> Result<Value, StepError> {
        let providers = self.providers.clone();
        let handler = match verb {
            "start" => typed(Start(providers)),
            "stop" => typed(StopAction(providers)),
            "restart" => typed(Restart(providers)),
            "status" => typed(Status(providers)),
            "health" => typed(Health(providers)),
            "logs" => typed(Logs(providers)),
            "drain" => typed(Drain(providers)),
            "resume" => typed(Resume(providers)),
            other => panic!("no verb {other}"),
        };
        merge(&mut with, json!({"service": "api"}));
        handler.run(self.step.ctx.clone(), with).await
    }

    async fn ok(&self, verb: &str) -> Value {
        self.run(verb, json!({})).await.expect(verb)
    }

    fn folder(&self) -> PathBuf {
        self.step.ctx.state_dir.join("services/test/api")
    }

    fn edit_record(&self, edit: impl FnOnce(&mut Value)) {
        let path = self.folder().join("pid");
        let mut record: Value =
            serde_json::from_slice(&fs::read(&path).expect("there")).expect("JSON");
        edit(&mut record);
        fs::write(&path, record.to_string()).expect("written");
    }
}

impl Drop for Fixture {
    fn drop(&mut self) {
        let record = fs::read(self.folder().join("pid")).unwrap_or_default();
        if let Ok(record) = serde_json::from_slice::<Value>(&record)
            && let Some(pid) = record["process"]["pid"].as_u64()
        {
            let _ = Command::new("kill")
                .args(["-KILL", &pid.to_string()])
                .stderr(Stdio::null())
                .status();
        }
    }
}

fn merge(into: &mut Value, keys: Value) {
    if let (Some(into), Value::Object(keys)) = (into.as_object_mut(), keys) {
        into.extend(keys);
    }
}

fn pid_of(value: &Value) -> u32 {
    value
        .as_u64()
        .and_then(|pid| u32::try_from(pid).ok())
        .expect("a pid")
}

fn alive(pid: u32) -> bool {
    ProcessKey::of(pid).expect("readable").is_some()
}

async fn fetch(url: &str) -> String {
    let url = reqwest::Url::parse(url).expect("a URL");
    let client = shared().client(&url, false).expect("a client");
    let answer = client.get(url).send().await.expect("answers");
    answer.text().await.expect("text")
}

/// Waits until one request besides ours is in flight.
async fn until_working(address: &str) {
    let metrics = format!("http://{address}/metrics");
    let working = async {
        while !fetch(&metrics).await.contains("in_flight 1") {
            tokio::task::yield_now().await;
        }
    };
    let waited = tokio::time::timeout(Duration::from_secs(30), working).await;
    waited.expect("a request is in flight");
}

#[tokio::test]
async fn a_life_from_start_to_stop() {
    let fixture = Fixture::backend(&[], json!({}));
    let status = fixture.ok("status").await;
    assert_eq!(status["running"], false);
    assert_eq!(status["pid"], Value::Null);
    let health = fixture.ok("health").await;
    assert_eq!(health["healthy"], false);
    assert_eq!(health["detail"], "service `api` is down");

    let started = fixture.ok("start").await;
    assert_eq!(started["changed"], true);
    let pid = pid_of(&started["pid"]);
    assert!(alive(pid));
    let again = fixture.ok("start").await;
    assert_eq!(again["changed"], false);
    assert_eq!(pid_of(&again["pid"]), pid);
    assert_eq!(again["started_at"], started["started_at"]);

    let address = started["address"].as_str().expect("known");
    let answer = fetch(&format!("http://{address}/health")).await;
    assert!(answer.contains(&format!("\"pid\":{pid}")), "{answer}");
    let status = fixture.ok("status").await;
    assert_eq!(status["running"], true);
    assert_eq!(status["healthy"], true);
    assert_eq!(status["address"], started["address"]);
    let health = fixture.ok("health").await;
    assert_eq!(
        (&health["healthy"], &health["status"]),
        (&json!(true), &json!(200))
    );

    let restarted = fixture.ok("restart").await;
    assert_eq!(pid_of(&restarted["previous_pid"]), pid);
    let new_pid = pid_of(&restarted["pid"]);
    assert_ne!(new_pid, pid);
    assert_eq!(restarted["forced"], false);
    assert!(!alive(pid) && alive(new_pid));

    let stopped = fixture.ok("stop").await;
    assert_eq!(
        (&stopped["changed"], &stopped["forced"]),
        (&json!(true), &json!(false))
    );
    assert!(!alive(new_pid));
    let stopped = fixture.ok("stop").await;
    assert_eq!(
        (&stopped["changed"], &stopped["previous_pid"]),
        (&json!(false), &Value::Null)
    );
    let log = fs::read_to_string(fixture.folder().join("service.log")).expect("a log");
    assert_eq!(
        log.matches("INFO stopped").count(),
        2,
        "both ended in good order: {log}"
    );
}

#[tokio::test]
async fn restart_starts_what_is_down() {
    let fixture = Fixture::backend(&[], json!({}));
    let restarted = fixture.ok("restart").await;
    assert_eq!(restarted["previous_pid"], Value::Null);
    assert!(alive(pid_of(&restarted["pid"])));
}

#[tokio::test]
async fn two_restarts_at_once_leave_one_process() {
    let fixture = Fixture::backend(&[], json!({}));
    let (one, two) = tokio::join!(fixture.ok("restart"), fixture.ok("restart"));
    let (one, two) = (pid_of(&one["pid"]), pid_of(&two["pid"]));
    assert!(alive(one) ^ alive(two), "one replaced the other");
    let status = fixture.ok("status").await;
    assert!(alive(pid_of(&status["pid"])));
}

#[tokio::test]
async fn a_recycled_pid_is_never_signalled() {
    let fixture = Fixture::backend(&[], json!({}));
    // Forging the record makes the provider lose its own processes, so the test keeps them.
    let mut lost = vec![pid_of(&fixture.ok("start").await["pid"])];
    let mut stranger = spawn_stranger();
    for forge in [
        // The pid of our record now belongs to a stranger, who was started at another time...
        (|record: &mut Value, pid: u32| {
            let key = ProcessKey::of(pid).expect("readable").expect("runs");
            record["process"] = json!({"pid": pid, "start_ticks": key.start_ticks - 1});
        }) as fn(&mut Value, u32),
        // ...or who even has the recorded start time, but of another boot of the machine.
        |record, pid| {
            let key = ProcessKey::of(pid).expect("readable").expect("runs");
            record["process"] = json!(key);
            record["boot_id"] = json!("another-boot");
        },
    ] {
        fixture.edit_record(|record| forge(record, stranger.id()));
        assert_eq!(fixture.ok("status").await["running"], false);
        fixture.edit_record(|record| forge(record, stranger.id()));
        assert_eq!(fixture.ok("stop").await["changed"], false);
        assert!(
            stranger.try_wait().expect("ours").is_none(),
            "the stranger lives"
        );
        lost.push(pid_of(&fixture.ok("start").await["pid"]));
    }
    stranger.kill().expect("ours");
    stranger.wait().expect("ours");
    for pid in lost {
        assert!(alive(pid), "it was never signalled");
        let killed = Command::new("kill")
            .args(["-KILL", &pid.to_string()])
            .status();
        assert!(killed.expect("kill runs").success());
    }
}

fn spawn_stranger() -> Child {
    Command::new("sleep")
        .arg("600")
        .spawn()
        .expect("sleep runs")
}

#[tokio::test]
async fn who_dies_at_once_is_reported_with_the_log() {
    let fixture = Fixture::backend(&["--fail-start"], json!({}));
    for verb in ["start", "restart"] {
        let begin = Instant::now();
        let error = fixture.run(verb, json!({})).await.expect_err("dies");
        assert!(begin.elapsed() < Duration::from_secs(20), "noticed at once");
        assert_eq!(error.0.sort, FailureKind::Exit);
        assert!(
            error
                .to_string()
                .contains("ended while starting, with exit code 1"),
            "{error}"
        );
        let last = error.0.log_tail.last().expect("log lines");
        assert!(last.contains("the model file is damaged"), "{last}");
        assert_eq!(error.0.log_tail.len(), 2, "of this start only");
        assert!(error.0.hint.unwrap_or_default().contains("service.log"));
        assert_eq!(fixture.ok("status").await["running"], false);
    }
}

#[tokio::test]
async fn who_dies_later_is_down_and_can_be_started_again() {
    let fixture = Fixture::backend(&["--log-error"], json!({}));
    let pid = pid_of(&fixture.ok("start").await["pid"]);
    let killed = Command::new("kill")
        .args(["-KILL", &pid.to_string()])
        .status();
    assert!(killed.expect("kill runs").success());
    eventually("it has died", || !alive(pid)).await;
    assert_eq!(fixture.ok("status").await["running"], false);
    assert_eq!(fixture.ok("health").await["healthy"], false);
    let report = fixture.run("logs", json!({"pattern": " ERROR "})).await;
    assert_eq!(
        report.expect("read")["matched"],
        1,
        "its log is still read from its start"
    );
    assert_eq!(fixture.ok("start").await["changed"], true);
}

#[tokio::test]
async fn a_port_in_use_is_reported_with_the_log() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
    let port = taken.local_addr().expect("bound").port().to_string();
    let fixture = Fixture::backend(&["--port", &port], json!({}));
    let error = fixture.run("start", json!({})).await.expect_err("in use");
    let tail = error.0.log_tail.join("\n");
    assert!(tail.contains("Address already in use"), "{tail}");
}

#[tokio::test]
async fn what_cannot_be_started_is_explained() {
    for (config, message) in [
        (
            json!({"command": ["./no-such-program"]}),
            "`./no-such-program` does not exist",
        ),
        (
            json!({"command": ["true"], "directory": "nowhere"}),
            "nowhere` does not exist",
        ),
        (
            json!({"command": ["true"], "prepare": ["sh", "-c", "echo broken; exit 9"]}),
            "the preparation of service `api` ended with exit code 9",
        ),
    ] {
        let fixture = Fixture::of(config);
        let error = fixture.run("start", json!({})).await.expect_err(message);
        assert!(error.to_string().contains(message), "{error}");
    }
}

#[tokio::test]
async fn a_failed_preparation_leaves_the_old_one_running() {
    let fixture = Fixture::backend(&[], json!({"prepare": ["test", "-e", "allowed"]}));
    let allowed = fixture.step.root().join("allowed");
    fs::write(&allowed, "").expect("written");
    let pid = pid_of(&fixture.ok("start").await["pid"]);
    fs::remove_file(&allowed).expect("removed");
    let error = fixture
        .run("restart", json!({}))
        .await
        .expect_err("not prepared");
    assert_eq!(error.0.sort, FailureKind::Exit);
    assert_eq!(pid_of(&fixture.ok("status").await["pid"]), pid);
}

#[tokio::test]
async fn who_ignores_term_is_killed_after_its_grace() {
    let fixture = Fixture::backend(&["--ignore-term"], json!({"grace": "1h"}));
    let pid = pid_of(&fixture.ok("start").await["pid"]);
    let stopped = fixture
        .run("stop", json!({"grace": "50ms"}))
        .await
        .expect("stops");
    assert_eq!(stopped["forced"], true);
    assert!(!alive(pid));
    assert!(
        fixture
            .step
            .logged()
            .contains("did not end within 50ms: killed")
    );

    let pid = pid_of(&fixture.ok("start").await["pid"]);
    fixture.step.stop.send_replace(Stop::Now);
    let stopped = fixture.ok("stop").await;
    assert_eq!(
        stopped["forced"], true,
        "an urgent stop does not wait for the hour"
    );
    assert!(!alive(pid));
}

#[tokio::test]
async fn children_of_a_service_go_with_it() {
    let fixture = Fixture::of(json!({
        "command": ["sh", "-c", "sleep 600 & echo \"child $!\"; exec sleep 600"],
    }));
    fixture.ok("start").await;
    let log = fixture.folder().join("service.log");
    let child = || {
        let text = fs::read_to_string(&log).unwrap_or_default();
        text.lines()
            .find_map(|line| line.strip_prefix("child ")?.parse::<u32>().ok())
    };
    eventually("the child told its pid", || child().is_some()).await;
    let child = child().expect("told");
    assert!(alive(child));
    fixture.ok("stop").await;
    eventually("the child is gone", || !alive(child)).await;
}

#[tokio::test]
async fn a_start_that_takes_too_long_is_taken_back() {
    let fixture = Fixture::of(json!({
        "command": ["sh", "-c", "echo thinking; exec sleep 600"],
        "address_file": "address",
        "startup_timeout": "300ms",
    }));
    let error = fixture.run("start", json!({})).await.expect_err("too long");
    assert_eq!(error.0.sort, FailureKind::Unhealthy);
    assert!(
        error.to_string().contains("was not up within 300ms"),
        "{error}"
    );
    assert_eq!(error.0.log_tail, ["thinking"]);
    assert_eq!(fixture.ok("status").await["running"], false);
}

#[tokio::test]
async fn a_start_that_is_stopped_is_taken_back() {
    let fixture = Fixture::of(json!({"command": ["sleep", "600"], "address_file": "address"}));
    let pid_file = fixture.folder().join("pid");
    let (result, pid) = tokio::join!(fixture.run("start", json!({})), async {
        eventually("it is on record", || pid_file.exists()).await;
        let record = fs::read(&pid_file).expect("there");
        fixture.step.stop.send_replace(Stop::Gently);
        let record: Value = serde_json::from_slice(&record).expect("JSON");
        pid_of(&record["process"]["pid"])
    });
    assert_eq!(result.expect_err("stopped").0.sort, FailureKind::Cancelled);
    assert!(!alive(pid) && !pid_file.exists());
}

#[tokio::test]
async fn an_unhealthy_service_is_an_answer() {
    let fixture = Fixture::backend(&["--never-healthy"], json!({}));
    fixture.ok("start").await;
    let health = fixture.ok("health").await;
    assert_eq!(
        (&health["healthy"], &health["status"]),
        (&json!(false), &json!(503))
    );
    assert_eq!(fixture.ok("status").await["healthy"], false);
}

#[tokio::test]
async fn probes_by_port_and_by_command() {
    for (health, healthy) in [
        (json!({"tcp": "${SERVICE_ADDRESS}"}), true),
        (
            json!({"command": ["sh", "-c", "test -n \"$SERVICE_ADDRESS\""]}),
            true,
        ),
        (json!({"command": ["false"]}), false),
        (
            json!({"command": ["sleep", "600"], "timeout": "50ms"}),
            false,
        ),
        (json!({"http": "http://${SERVICE_ADDRESS}/health"}), true),
    ] {
        let fixture = Fixture::backend(&[], json!({"health": health}));
        fixture.ok("start").await;
        let report = fixture.ok("health").await;
        assert_eq!(report["healthy"], healthy, "{health}: {report}");
    }
}

#[tokio::test]
async fn draining_waits_for_the_work_in_flight_and_can_be_taken_back() {
    let fixture = Fixture::backend(&[], json!({}));
    assert_eq!(
        fixture.ok("drain").await["drained"],
        true,
        "nothing runs, nothing to drain"
    );
    assert_eq!(fixture.ok("resume").await["changed"], false);
    let started = fixture.ok("start").await;
    let address = started["address"].as_str().expect("known").to_owned();

    let work = tokio::spawn({
        let url = format!("http://{address}/work?ms=60000");
        async move { fetch(&url).await }
    });
    until_working(&address).await;
    let report = fixture
        .run("drain", json!({"timeout": "50ms"}))
        .await
        .expect("asked");
    assert_eq!(
        (&report["drained"], &report["in_flight"]),
        (&json!(false), &json!(1))
    );
    assert!(
        fetch(&format!("http://{address}/work?ms=1"))
            .await
            .contains("draining")
    );
    assert_eq!(fixture.ok("resume").await["changed"], true);
    assert!(
        fetch(&format!("http://{address}/work?ms=1"))
            .await
            .contains("worked_ms")
    );
    work.abort();

    fixture.ok("restart").await;
    let address = fixture.ok("status").await["address"]
        .as_str()
        .expect("known")
        .to_owned();
    let work = tokio::spawn({
        let url = format!("http://{address}/work?ms=300");
        async move { fetch(&url).await }
    });
    until_working(&address).await;
    let report = fixture.ok("drain").await;
    assert_eq!(
        (&report["drained"], &report["in_flight"]),
        (&json!(true), &json!(0))
    );
    assert!(
        work.await.expect("ends").contains("worked_ms"),
        "the work was finished"
    );
}

#[tokio::test]
async fn logs_are_read_since_the_start() {
    let fixture = Fixture::backend(&["--log-error"], json!({}));
    fixture.ok("start").await;
    let query = json!({"pattern": " ERROR ", "limit": 5});
    let report = fixture.run("logs", query.clone()).await.expect("read");
    assert_eq!(report["matched"], 1);
    assert!(
        report["sample"][0]
            .as_str()
            .expect("a line")
            .contains("quote feed lost")
    );
    fixture.ok("restart").await;
    let since = fixture.ok("status").await["started_at"].clone();
    let report = fixture.run("logs", query).await.expect("read");
    assert_eq!(
        (&report["matched"], &report["since"]),
        (&json!(1), &since),
        "the old error is not counted"
    );
    let all = json!({"pattern": " ERROR ", "since": "1h"});
    assert_eq!(fixture.run("logs", all).await.expect("read")["matched"], 2);
    for wrong in [json!({"pattern": "("}), json!({"since": "soon"})] {
        let error = fixture.run("logs", wrong).await.expect_err("refused");
        assert_eq!(error.0.sort, FailureKind::Invalid);
    }
}

#[tokio::test]
async fn unknown_services_providers_and_missing_keys_are_explained() {
    let step = TestStep::new()
        .service("api", "process", json!({"command": ["true"]}))
        .service("db", "kubernetes", json!({}));
    let providers = Providers::builtin(&shared());
    let health = typed(Health(providers.clone()));
    for (service, message, hint) in [
        ("apo", "has no service `apo`", "did you mean `api`?"),
        ("db", "provider `kubernetes`", "known providers: process"),
        ("api", "has no health probe", "health: { http"),
    ] {
        let error = health
            .run(step.ctx.clone(), json!({"service": service}))
            .await
            .expect_err(service);
        assert_eq!(error.0.sort, FailureKind::Invalid);
        assert!(error.to_string().contains(message), "{error}");
        assert!(error.0.hint.unwrap_or_default().contains(hint));
    }
}
