//! What a mistake, a hostile file or a broken machine gets: a clear error, the right exit code, and
//! nothing half done.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::support::{Output, TestEnv};

/// A repository whose runbook `touch` leaves a mark when its step really runs.
fn marked() -> TestEnv {
    TestEnv::with_runbook(
        "touch",
        "runbook: v1\nname: touch\nparams:\n  service: { type: string, default: api }\nsteps:\n  - id: mark\n    uses: shell\n    with: { script: \"echo {{ params.service }} > mark\" }\n",
    )
}

fn expect(output: &Output, code: i32, words: &[&str]) {
    assert_eq!(
        output.code,
        Some(code),
        "{}{}",
        output.stdout,
        output.stderr
    );
    let text = format!("{}{}", output.stdout, output.stderr);
    for word in words {
        assert!(text.contains(word), "`{word}` is missing in:\n{text}");
    }
}

#[test]
fn hostile_files_get_one_short_error_each() {
    let bomb: String = (1..12)
        .map(|i| {
            format!(
                "a{i}: &a{i} [{}]\n",
                vec![format!("*a{}", i - 1); 9].join(", ")
            )
        })
        .collect();
    let head = |name: &str| format!("runbook: v1\nname: {name}\n");
    let cases: Vec<(&str, Vec<u8>)> = vec![
        ("maps", format!("{}x: {}", head("maps"), "{a: ".repeat(100_000)).into()),
        ("lists", "- ".repeat(100_000).into()),
        ("flow", format!("{}x: {}", head("flow"), "[".repeat(100_000)).into()),
        ("bomb", format!("{}a0: &a0 [x]\n{bomb}", head("bomb")).into()),
        ("huge", format!("{}title: {}", head("huge"), "x".repeat(10_000_000)).into()),
        ("nul", b"runbook: v1\nname: nul\0\n".to_vec()),
        ("latin", b"runbook: v1\nname: \xff\xfe\n".to_vec()),
        (
            "twice",
            b"runbook: v1\nname: twice\nname: twice\nsteps:\n  - id: a\n    uses: wait\n    with: { duration: 1s }\n".to_vec(),
        ),
        ("tabs", b"runbook: v1\nname: tabs\nsteps:\n\t- id: a\n".to_vec()),
        (
            "brackets",
            format!(
                "{}steps:\n  - id: a\n    uses: wait\n    with: {{ duration: 1s }}\n    when: \"{}\"\n",
                head("brackets"),
                "(".repeat(100_000)
            )
            .into(),
        ),
        ("empty", Vec::new()),
    ];
    let env = marked();
    for (name, bytes) in cases {
        let path = env.root().join(format!("runbooks/{name}.yaml"));
        std::fs::write(&path, bytes).expect("written");
        for command in ["check", "exec"] {
            let output = env.run([command, name]);
            expect(&output, 3, &[name, "for more: runbook explain RB"]);
            let text = format!("{}{}", output.stdout, output.stderr);
            assert_eq!(text.matches("error[RB").count(), 1, "{text}");
            assert!(text.len() < 8_192, "{name}: {} bytes", text.len());
        }
        std::fs::remove_file(path).expect("removed");
    }
    assert!(!env.root().join(".runbook/state.db").exists());
}

/// An environment that does not exist is never an unprotected new one, wherever it is named.
#[test]
fn an_environment_that_does_not_exist_is_an_error_everywhere() {
    let env = marked();
    let wanted = ["no environment `loca`", "did you mean `local`?"];
    for command in ["plan", "exec", "check", "graph"] {
        expect(&env.run([command, "touch", "--env", "loca"]), 2, &wanted);
        let mut by_variable = env.command();
        by_variable
            .args([command, "touch"])
            .env("RUNBOOK_ENV", "loca");
        expect(&env.finish(&mut by_variable), 2, &wanted);
    }
    env.write(
        "runbooks/tests/touch.test.yaml",
        "test: v1\nrunbook: touch\nenvironment: loca\ncases: [{ name: a, expect: { outcome: succeeded } }]\n",
    );
    for command in [&["check"][..], &["test"]] {
        expect(
            &env.finish(env.command().args(command)),
            3,
            &["RB0701", "loca", "did you mean `local`?"],
        );
    }
    std::fs::remove_file(env.root().join("runbooks/tests/touch.test.yaml")).expect("removed");
    // A misspelt name in the policy would leave the environment unprotected.
    env.write(
        "runbooks/policy.yaml",
        "policy: v1\nenvironments: { loca: { protected: true } }\n",
    );
    for command in ["plan", "exec"] {
        expect(
            &env.run([command, "touch"]),
            3,
            &["RB0806", "no environment `loca`", "did you mean `local`?"],
        );
    }
    expect(&env.run(["check"]), 3, &["RB0806"]);
    assert!(!env.root().join(".runbook/state.db").exists());
}

/// A policy without anything in it, or without sense, is said to be so.
#[test]
fn a_broken_policy_stops_what_it_may_protect() {
    let env = marked();
    for (text, words) in [
        ("", "the file is empty"),
        ("# nothing\n", "the file is empty"),
        ("[]\n", "a list"),
        ("people: {}\n", "does not start with `policy: v1`"),
        (
            "policy: v1\nrisk: { low: { role: nobody } }\n",
            "no role `nobody`",
        ),
        (
            "policy: v1\nrisk: { low: { quorum: [] } }\n",
            "`quorum` is an empty list",
        ),
        ("policy: v1\n\trisk: {}\n", "RB0004"),
    ] {
        env.write("runbooks/policy.yaml", text);
        for command in ["check", "exec"] {
            let output = match command {
                "check" => env.run(["check"]),
                _ => env.run([command, "touch"]),
            };
            expect(&output, 3, &["policy.yaml", words]);
        }
    }
    assert!(!env.root().join(".runbook/state.db").exists());
}

#[test]
fn unknown_names_get_the_nearest_one() {
    let env = marked();
    expect(&env.run(["exec", "tuch"]), 2, &["did you mean `touch`?"]);
    expect(
        &env.run(["exec", "touch", "--env", "loca"]),
        2,
        &["no environment `loca`", "did you mean `local`?"],
    );
    expect(
        &env.run(["exec", "touch", "--param", "servcie=x"]),
        3,
        &["no parameter `servcie`", "did you mean `service`?"],
    );
    expect(&env.run(["exce", "touch"]), 2, &["exec"]);
    expect(
        &env.run(["exec", "touch", "--param", "x"]),
        2,
        &["NAME=VALUE"],
    );
    expect(&env.run(["status", "01"]), 2, &["no run"]);
    env.write(
        "runbooks/serve.yaml",
        "runbook: v1\nname: serve\nparams:\n  service: { type: service }\nsteps:\n  - id: look\n    uses: service.status\n    with: { service: \"{{ params.service }}\" }\n",
    );
    env.write(
        "runbooks/environments/local.yaml",
        "environment: v1\nname: local\nservices:\n  api: { provider: process, command: [sleep, \"60\"] }\n",
    );
    expect(
        &env.run(["exec", "serve", "--param", "service=apo"]),
        3,
        &["no service `apo`", "did you mean `api`?"],
    );
    expect(&env.run(["exec", "serve"]), 3, &["service"]);
    assert!(!env.root().join("mark").exists());
}

#[test]
fn a_missing_interpreter_is_named_and_what_was_done_is_undone() {
    let env = TestEnv::with_runbook(
        "broken",
        r#"runbook: v1
name: broken
steps:
  - id: first
    uses: shell
    with: { script: "echo done > first" }
    rollback: { uses: shell, with: { script: "rm first" } }
  - id: second
    uses: shell
    with: { script: "true", interpreter: [no-such-interpreter] }
"#,
    );
    expect(
        &env.run(["exec", "broken"]),
        5,
        &[
            "`no-such-interpreter` is not installed",
            "rolled back",
            "runbook status",
        ],
    );
    assert!(!env.root().join("first").exists(), "undone");
}

/// A repository with one service and a runbook that restarts it.
fn service(command: &str, more: &str) -> TestEnv {
    let env = TestEnv::with_runbook(
        "restart",
        r#"runbook: v1
name: restart
steps:
  - id: prepare
    uses: shell
    with: { script: "echo done > prepared" }
    rollback: { uses: shell, with: { script: "rm prepared" } }
  - id: restart
    uses: service.restart
    with: { service: api }
    timeout: 20s
    rollback: { uses: service.stop, with: { service: api } }
  - id: healthy
    uses: service.health
    with: { service: api }
    until: outputs.healthy
    every: 50ms
    timeout: 2s
"#,
    );
    env.write(
        "runbooks/environments/local.yaml",
        &format!(
            "environment: v1\nname: local\nservices:\n  api:\n    provider: process\n    command: {command}\n{more}"
        ),
    );
    env
}

/// The example service, built for tests beside the program under test.
fn stock_backend() -> PathBuf {
    let built = Command::new(env!("CARGO"))
        .args(["build", "--quiet", "--locked", "-p", "stock-backend"])
        .args(["--message-format", "json"])
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output()
        .expect("cargo starts");
    let text = String::from_utf8_lossy(&built.stdout);
    let path = text
        .lines()
        .filter_map(|line| serde_json::from_str::<serde_json::Value>(line).ok())
        .find_map(|message| message["executable"].as_str().map(PathBuf::from));
    path.unwrap_or_else(|| panic!("no binary: {}", String::from_utf8_lossy(&built.stderr)))
}

#[test]
fn a_service_that_dies_at_once_shows_its_last_words() {
    let env = service(
        r#"[sh, -c, "echo cannot read the configuration; exit 7"]"#,
        "",
    );
    expect(
        &env.run(["exec", "restart"]),
        5,
        &[
            "ended while starting, with exit code 7",
            "cannot read the configuration",
            "rolled back",
        ],
    );
    assert!(!env.root().join("prepared").exists(), "undone");
}

#[test]
fn a_port_in_use_is_said_in_the_words_of_the_service() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
    let port = taken.local_addr().expect("an address").port();
    let program = stock_backend();
    let env = service(
        &format!(
            "[{}, --port={port}, '--address-file=${{SERVICE_DIR}}/address']",
            program.display()
        ),
        "    address_file: address\n",
    );
    expect(
        &env.run(["exec", "restart"]),
        5,
        &[
            "ended while starting",
            &format!("127.0.0.1:{port}"),
            "in use",
            "rolled back",
        ],
    );
    assert!(!env.root().join("prepared").exists(), "undone");
}

/// The command lines of the processes of this machine that contain a text.
fn processes_naming(text: &str) -> Vec<String> {
    let processes = std::fs::read_dir("/proc").expect("a readable folder");
    processes
        .flatten()
        // A process may end while it is looked at; then it is not left.
        .filter_map(|entry| std::fs::read(entry.path().join("cmdline")).ok())
        .map(|line| String::from_utf8_lossy(&line).replace('\0', " "))
        .filter(|line| line.contains(text))
        .collect()
}

#[test]
fn health_that_never_comes_rolls_back_and_leaves_nothing_running() {
    let program = stock_backend();
    let env = service(
        &format!(
            "[{}, --port=0, --never-healthy, '--address-file=${{SERVICE_DIR}}/address']",
            program.display()
        ),
        "    address_file: address\n    health: { http: /health, timeout: 1s }\n",
    );
    expect(
        &env.run(["exec", "restart"]),
        5,
        &["`outputs.healthy` did not hold within 2s", "rolled back"],
    );
    let status = env.run(["status", "--output", "json"]);
    let json: serde_json::Value = serde_json::from_str(&status.stdout).expect("JSON");
    assert_eq!(json["outcome"], "rolled_back");
    let left = processes_naming(&env.root().display().to_string());
    assert!(left.is_empty(), "still running: {left:?}");
}

/// Nothing was started, and the exit code says that the record is the trouble.
fn refused(env: &TestEnv, output: &Output) {
    expect(output, 9, &["error:", "next:"]);
    assert!(!env.root().join("mark").exists(), "the step ran");
}

#[test]
fn without_a_place_for_the_record_nothing_starts() {
    let env = marked();
    env.write("a-file", "in the way");
    refused(&env, &env.run(["exec", "touch", "--state-dir", "a-file"]));
    refused(
        &env,
        &env.run(["exec", "touch", "--state-dir", "a-file/below"]),
    );
    refused(
        &env,
        &env.run(["exec", "touch", "--state-dir", "/proc/runbook"]),
    );
}

fn is_root() -> bool {
    let id = Command::new("id")
        .arg("-u")
        .output()
        .expect("id is installed");
    id.stdout == b"0\n"
}

/// Makes everything below readable for everybody, so that another user can work there.
fn open_to_all(folder: &Path) {
    let mut at = Some(folder);
    while let Some(path) = at.filter(|path| path.starts_with(std::env::temp_dir())) {
        let changed = Command::new("chmod").arg("a+rx").arg(path).status();
        assert!(changed.expect("chmod is installed").success());
        at = path.parent();
    }
}

#[test]
fn a_read_only_state_directory_is_refused() {
    let env = marked();
    let state = env.root().join("state");
    std::fs::create_dir(&state).expect("made");
    let output = if is_root() {
        // Permissions do not bind root, so nobody asks.
        open_to_all(env.root());
        let program = env.root().join("runbook-copy");
        std::fs::copy(env!("CARGO_BIN_EXE_runbook"), &program).expect("copied");
        let mut command = env.command_as("setpriv");
        command
            .args(["--reuid=65534", "--regid=65534", "--clear-groups"])
            .arg(&program)
            .args(["exec", "touch", "--state-dir", "state"]);
        env.finish(&mut command)
    } else {
        let closed = Command::new("chmod").arg("a-w").arg(&state).status();
        assert!(closed.expect("chmod is installed").success());
        env.run(["exec", "touch", "--state-dir", "state"])
    };
    refused(&env, &output);
}

#[test]
fn a_full_state_directory_is_refused() {
    let env = marked();
    // No file may grow beyond 8 KiB (ulimit counts in units of 512 bytes or 1 KiB): the database
    // cannot be made, as on a full disk. SIGXFSZ is ignored, so that the write fails instead.
    let mut command = env.command_as("sh");
    command.args([
        "-c",
        "trap '' XFSZ; ulimit -f 8; exec \"$0\" exec touch",
        env!("CARGO_BIN_EXE_runbook"),
    ]);
    refused(&env, &env.finish(&mut command));
}

/// Whatever the moment at which the disk is full: a step that ran is on record as started, and the
/// exit code says that the record is the trouble.
#[test]
fn no_step_runs_off_the_record_when_the_disk_fills_up() {
    let (mut before, mut midway, mut enough) = (0, 0, 0);
    for limit in (8..=400).step_by(14) {
        let env = marked();
        let mut command = env.command_as("sh");
        command.args([
            "-c",
            &format!("trap '' XFSZ; ulimit -f {limit}; exec \"$0\" exec touch"),
            env!("CARGO_BIN_EXE_runbook"),
        ]);
        let output = env.finish(&mut command);
        if !env.root().join("mark").exists() {
            refused(&env, &output);
            before += 1;
            continue;
        }
        if output.code == Some(0) {
            enough += 1;
        } else {
            expect(&output, 9, &["error:", "next:"]);
            midway += 1;
        }
        // There is room again.
        let status = env.run(["status", "--output", "json"]);
        let json: serde_json::Value = serde_json::from_str(&status.stdout).expect("JSON");
        let mark = &json["steps"][0];
        assert_eq!(mark["attempts"], 1, "limit {limit}: {json}");
        assert!(mark["started_at"].is_string(), "limit {limit}: {json}");
    }
    assert!(
        before > 0 && midway > 0 && enough > 0,
        "the limits reach from before the first step ({before}) past its start ({midway}) to a \
         whole run ({enough})"
    );
}
