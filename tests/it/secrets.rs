//! Secrets of every source are planted, used in every way, and looked for in everything that is kept
//! or shown.

use std::fmt::Write as _;
use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex};

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};

use crate::support::{Output, TestEnv};

const VARIABLE: &str = "s3cr3t /\"pa%ss$w0rd'é&x";
const COMMAND: &str = "made by command Zq81x";
const VAULT: &str = "from-vault-88Kx+/=";

/// Lines as those of a key, with a short one at the end.
fn key() -> String {
    let mut lines = String::from("-----BEGIN PRIVATE KEY-----\n");
    let mut number = 77_u64;
    for line in 0..12 {
        for _ in 0..if line == 11 { 6 } else { 64 } {
            number = number
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1);
            let letters = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
            lines.push(char::from(letters[(number >> 58) as usize]));
        }
        lines.push('\n');
    }
    lines.push_str("-----END PRIVATE KEY-----");
    lines
}

const RUNBOOK: &str = r#"runbook: v1
name: job
title: A job
params:
  token: { type: secret }
on_failure: rollback
steps:
  - id: raw
    uses: shell
    environment: { A: "{{ params.token }}", K: "{{ secrets.key }}", C: "{{ secrets.made }}", V: "{{ secrets.vault }}" }
    with:
      outputs: [a, v]
      script: |
        printf %s "$A" > got-a; printf %s "$K" > got-k; printf %s "$C" > got-c; printf %s "$V" > got-v
        printf '%s\n' "$A" "$K" "$C" "$V" "pre${A}post"; env; printf '%s\n' "$K" >&2; set -x; : "$A" "$C"; set +x
        printf '%s\n' "$K" | sed 's/^/    /'
        for value in "$A" "$K" "$C" "$V"; do
          printf %s "$value" | base64; printf %s "$value" | base64 -w0; echo
          printf %s "u:$value" | base64 -w0; echo; printf %s "us:$value:x" | base64 -w0; echo
          printf %s "us:$value:x" | base64 -w64; printf %s "$value" | base64 -w0 | tr '+/' '-_'; echo
          printf %s "$value" | od -An -v -tx1 | tr -d ' \n'; echo
        done
        for value in "$A" "$C" "$V"; do
          hex=$(printf %s "$value" | od -An -v -tx1 | tr -d '\n')
          printf '%s\n' "$hex" | sed 's/ 2f/\//g; s/ 20/%20/g; s/ /%/g'
          out=; while [ -n "$value" ]; do rest=${value#?}; c=${value%"$rest"}; value=$rest; printf %s "$c"; done; echo
          printf '{"t": "%s"}\n' "$(printf %s "$A" | sed 's/"/\\"/g')"
        done
        echo "a=$A" >> "$RUNBOOK_OUTPUT"; echo "v=$V" >> "$RUNBOOK_OUTPUT"
    effect: { is: idempotent, reason: a test }
    rollback:
      uses: shell
      with: { script: "cat got-a got-k got-c got-v; cat got-a >&2", environment: { K: "{{ secrets.key }}" } }
  - id: later
    uses: shell
    with: { script: "echo {{ steps.raw.outputs.values.a }} {{ steps.raw.outputs.stdout }} > seen-later; cat got-a" }
    rollback: { irreversible: true, reason: a test }
  - id: ask
    uses: http.post
    with:
      url: "SERVER/echo"
      headers: { X-Token: "Bearer {{ secrets.vault }}" }
      json: { user: { token: "{{ params.token }}" } }
    rollback: { irreversible: true, reason: a test }
  - id: go
    uses: approval
    secrets: [made]
    with: { message: "Use {{ secrets.made }}?" }
  - id: tell
    uses: notify
    secrets: [made]
    with: { channel: ops, message: "it is {{ secrets.made }}" }
    rollback: { irreversible: true, reason: a test }
  - id: script
    uses: shell
    secrets: [token, made]
    with: { script: "printf %s {{ params.token }} > got-script; printf %s {{ secrets.made }} > got-made" }
    rollback: { irreversible: true, reason: a test }
  - id: tolerated
    uses: shell
    environment: { A: "{{ params.token }}" }
    with: { script: "echo \"refused $A\" >&2; exit 3" }
    on_failure: continue
    rollback: { irreversible: true, reason: a test }
  - id: last
    uses: file.read
    with: { path: "no-such-file" }
finally:
  - id: end
    uses: shell
    with: { script: "cat got-a got-v" }
"#;

/// Vault and an API in one: answers every request, echoing it unless it is one to Vault.
struct Server {
    address: String,
    heard: Arc<Mutex<String>>,
}

impl Server {
    fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let address = format!("http://{}", listener.local_addr().expect("bound"));
        let heard: Arc<Mutex<String>> = Arc::default();
        let record = Arc::clone(&heard);
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                answer(stream, &record);
            }
        });
        Self { address, heard }
    }
}

fn answer(mut stream: TcpStream, heard: &Mutex<String>) {
    let mut request = Vec::new();
    let mut buffer = [0; 4096];
    loop {
        let text = String::from_utf8_lossy(&request);
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            let length = head
                .lines()
                .filter_map(|line| line.split_once(": "))
                .find(|(name, _)| name.eq_ignore_ascii_case("content-length"))
                .map_or(0, |(_, length)| length.parse().unwrap_or(0));
            if body.len() >= length {
                break;
            }
        }
        match stream.read(&mut buffer) {
            Ok(0) | Err(_) => return,
            Ok(read) => request.extend_from_slice(&buffer[..read]),
        }
    }
    let text = String::from_utf8_lossy(&request).into_owned();
    heard.lock().expect("no panic").push_str(&text);
    let body = if text.starts_with("GET /v1/secret/data/job ") {
        serde_json::json!({ "data": { "data": { "field": VAULT }, "metadata": {} } }).to_string()
    } else {
        text
    };
    let head = format!(
        "HTTP/1.1 200 OK\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
        body.len()
    );
    // A client that went away is its own affair.
    let _ = stream.write_all(head.as_bytes());
    let _ = stream.write_all(body.as_bytes());
}

struct Planted {
    env: TestEnv,
    server: Server,
    forms: Vec<String>,
}

impl Planted {
    fn new() -> Self {
        let server = Server::start();
        let env = TestEnv::with_runbook("job", &RUNBOOK.replace("SERVER", &server.address));
        env.write(
            "runbooks/environments/local.yaml",
            "environment: v1\nname: local\nsecrets:\n  key: \"file:key.pem\"\n  made: \"command:cat made.txt\"\n  vault: \"vault:secret/job#field\"\nconnections:\n  ops: { kind: notify, to: terminal }\n",
        );
        for (name, text) in [("key.pem", key()), ("made.txt", COMMAND.to_owned())] {
            env.write(name, &format!("{text}\n"));
            let only_me = std::fs::Permissions::from_mode(0o600);
            std::fs::set_permissions(env.root().join(name), only_me).expect("set");
        }
        Self {
            env,
            server,
            forms: forms(),
        }
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = self.env.command();
        command
            .env("PLANTED", VARIABLE)
            .env("VAULT_ADDR", &self.server.address)
            .env("VAULT_TOKEN", "vault-token-77")
            .args(arguments);
        command
    }

    fn run(&self, arguments: &[&str]) -> Output {
        self.env.finish(&mut self.command(arguments))
    }

    /// Fails when a form of a planted secret is in the bytes.
    fn nothing_in(&self, what: &str, bytes: &[u8]) {
        let text = String::from_utf8_lossy(bytes);
        let joined = text.replace(['\n', '\r'], "");
        for form in &self.forms {
            for text in [text.as_ref(), joined.as_str()] {
                if let Some(at) = text.find(form.as_str()) {
                    let from = (0..=at.saturating_sub(60))
                        .rev()
                        .find(|n| text.is_char_boundary(*n));
                    panic!("{what} holds {form:?}: {:?}", &text[from.unwrap_or(0)..at]);
                }
            }
        }
    }
}

/// Every form that is looked for.
fn forms() -> Vec<String> {
    let key = key();
    let mut forms: Vec<String> = key
        .lines()
        .filter(|line| !line.starts_with("-----"))
        .map(str::to_owned)
        .collect();
    forms.push("vault-token-77".to_owned());
    for value in [VARIABLE, COMMAND, VAULT, key.as_str()] {
        let json = serde_json::Value::from(value).to_string();
        let encoded = utf8_percent_encode(value, NON_ALPHANUMERIC).to_string();
        let (mut hex, mut all_encoded) = (String::new(), String::new());
        for byte in value.bytes() {
            write!(hex, "{byte:02x}").expect("a text");
            write!(all_encoded, "%{byte:02x}").expect("a text");
        }
        forms.extend([
            value.to_owned(),
            json[1..json.len() - 1].to_owned(),
            encoded.to_lowercase(),
            encoded,
            hex,
            all_encoded,
        ]);
        for engine in [&STANDARD, &URL_SAFE] {
            for before in ["", "u:", "us:"] {
                let encoded = engine.encode(format!("{before}{value}:x"));
                // What stands around the value shares its outermost letters.
                forms.push(encoded[before.len() * 4 / 3 + 2..encoded.len() - 6].to_owned());
            }
        }
    }
    forms.retain(|form| form.len() >= 6);
    forms
}

fn every_file(folder: &Path, seen: &mut dyn FnMut(&Path, &[u8])) {
    for entry in std::fs::read_dir(folder).expect("a folder") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            every_file(&path, seen);
        } else {
            seen(&path, &std::fs::read(&path).expect("a file"));
        }
    }
}

fn git_objects(repository: &Path) -> Vec<u8> {
    let output = Command::new("git")
        .arg("--git-dir")
        .arg(repository)
        .args(["cat-file", "--batch-all-objects", "--batch"])
        .stdin(Stdio::null())
        .output()
        .expect("git runs");
    assert!(output.status.success());
    output.stdout
}

#[test]
fn planted_secrets_are_nowhere_in_what_is_kept_or_shown() {
    let planted = Planted::new();
    for output in ["text", "json"] {
        let arguments = [
            "exec",
            "job",
            "--param",
            "token=env:PLANTED",
            "--yes",
            "--output",
            output,
        ];
        let ran = planted.run(&arguments);
        assert_eq!(ran.code, Some(5), "{}\n{}", ran.stdout, ran.stderr);
        assert!(
            format!("{}{}", ran.stdout, ran.stderr).contains("[redacted params.token]"),
            "{}\n{}",
            ran.stdout,
            ran.stderr
        );
        planted.nothing_in("standard output", ran.stdout.as_bytes());
        planted.nothing_in("standard error", ran.stderr.as_bytes());
    }
    // The values did arrive where they were wanted.
    for (file, value) in [
        ("got-a", VARIABLE),
        ("got-k", key().as_str()),
        ("got-c", COMMAND),
        ("got-v", VAULT),
        ("got-script", VARIABLE),
        ("got-made", COMMAND),
    ] {
        assert_eq!(planted.env.read(file), value, "{file}");
    }
    let heard = planted.server.heard.lock().expect("no panic").clone();
    assert!(heard.contains(&format!("Bearer {VAULT}")), "{heard}");
    assert!(heard.contains(&serde_json::Value::from(VARIABLE).to_string()));
    // Outputs of a step reach the next one without the secret.
    planted.nothing_in("a later step", planted.env.read("seen-later").as_bytes());

    for arguments in [
        &["plan", "job", "--param", "token=env:PLANTED"][..],
        &[
            "plan",
            "job",
            "--param",
            "token=env:PLANTED",
            "--output",
            "json",
        ],
        &["exec", "job", "--param", "token=env:PLANTED", "--dry-run"],
        &["status", "latest"],
        &["status", "latest", "--output", "json"],
        &["runs"],
        &["logs", "latest"],
        &["logs", "latest", "raw"],
        &["audit", "log"],
        &["show", "job"],
    ] {
        let shown = planted.run(arguments);
        assert_ne!(shown.code, Some(2), "{arguments:?}: {}", shown.stderr);
        planted.nothing_in(&format!("{arguments:?}"), shown.stdout.as_bytes());
        planted.nothing_in(&format!("{arguments:?}"), shown.stderr.as_bytes());
    }
    let state = planted.env.root().join(".runbook");
    let mut files = 0;
    every_file(&state, &mut |path, bytes| {
        files += 1;
        planted.nothing_in(&path.display().to_string(), bytes);
    });
    assert!(files > 5, "{files}");
    let objects = git_objects(&state.join("audit.git"));
    assert!(String::from_utf8_lossy(&objects).contains("[redacted params.token]"));
    planted.nothing_in("a Git object", &objects);
}

#[test]
fn a_terminal_shows_no_secret_either() {
    let planted = Planted::new();
    let pty = nix::pty::openpty(None, None).expect("a terminal");
    let slave = |pty: &nix::pty::OpenptyResult| Stdio::from(pty.slave.try_clone().expect("open"));
    let mut child = planted
        .command(&["exec", "job", "--param", "token=env:PLANTED", "--yes"])
        .env("TERM", "xterm-256color")
        .stdout(slave(&pty))
        .stderr(slave(&pty))
        .spawn()
        .expect("starts");
    drop(pty.slave);
    let mut shown = Vec::new();
    // Linux ends a terminal whose last user is gone with an error.
    let _ = std::fs::File::from(pty.master).read_to_end(&mut shown);
    child.wait().expect("ends");
    let text = String::from_utf8_lossy(&shown);
    assert!(text.contains("job"), "{text}");
    planted.nothing_in("the terminal", &shown);
}

#[test]
fn a_secret_that_cannot_be_had_fails_its_step_with_the_reason() {
    let planted = Planted::new();
    let ran = planted.env.finish(
        planted
            .command(&["exec", "job", "--param", "token=env:PLANTED", "--yes"])
            .env_remove("VAULT_TOKEN"),
    );
    assert_ne!(ran.code, Some(0));
    let all = format!("{}{}", ran.stdout, ran.stderr);
    assert!(all.contains("the secret `vault` cannot be had"), "{all}");
    assert!(all.contains("vault login"), "{all}");

    let mistaken = planted.run(&["exec", "job", "--param", &format!("token={COMMAND}")]);
    assert_eq!(mistaken.code, Some(3), "{}", mistaken.stderr);
    assert!(mistaken.stderr.contains("--param token=env:NAME"));
    planted.nothing_in("the mistake", mistaken.stderr.as_bytes());
}

#[test]
fn a_file_may_not_hold_the_mark_of_a_secret() {
    let env = TestEnv::with_runbook(
        "job",
        "runbook: v1\nname: job\ntitle: A job\nsteps:\n  - { id: a, uses: shell, with: { script: \"echo \\u2063[secret key]\\u2063\" } }\n",
    );
    let checked = env.run(["check"]);
    assert_eq!(checked.code, Some(3), "{checked}");
    assert!(format!("{}{}", checked.stdout, checked.stderr).contains("U+2063"));
    let env = TestEnv::with_runbook("job", &RUNBOOK.replace("SERVER", "http://127.0.0.1:1"));
    let given = env.run(["plan", "job", "--param", "token=env:\u{2063}"]);
    assert_ne!(given.code, Some(0), "{given}");
}
