//! Voting and reviewing: who may, how it is signed, what is refused before it is stored, what a
//! reviewer sees, and the review that an emergency run owes.

use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use runbook::event::{Actor, EventKind, RunEvent, Vote};
use runbook::settings::current_actor;
use serde_json::Value;

use crate::support::{Output, TestEnv};

/// A read whose value the gate shows, a change that can be undone, the gate, and what comes after.
const JOB: &str = r#"runbook: v1
name: job
title: Put a version in place
owner: platform-team
severity: P2
risk: medium
params:
  version: { type: string, default: v1, description: Version }
steps:
  - id: look
    uses: shell
    with: { script: "echo 5 > seen; cat seen" }
    effect: { is: read, reason: it only looks }
  - id: put
    uses: shell
    with: { script: "echo put >> marker" }
    rollback: { uses: shell, with: { script: "echo away >> marker" } }
    needs: [first]
  - id: first
    needs: []
    uses: approval
    with: { message: "Begin?" }
  - id: go
    needs: [look, put]
    uses: approval
    with:
      message: "Deploy {{ params.version }}?"
      risk: high
      inputs:
        window: { type: duration, description: How long it may take }
        loud: { type: bool, default: true }
    timeout: 1h
  - id: after
    uses: shell
    with: { script: "echo {{ params.version }} within {{ steps.go.outputs.inputs.window }} >> marker" }
    rollback: { irreversible: true, reason: gone is gone }
"#;

/// The person at this machine, who starts the runs.
fn starter() -> String {
    current_actor(None).name
}

struct Place {
    env: TestEnv,
    keys: tempfile::TempDir,
}

impl Place {
    /// A protected environment whose policy lists `ada` (lead, dba) and `bob` (dba), with keys, the
    /// starter (low, dba) and `eve` (low), without.
    fn new(more: &str) -> Self {
        let env = TestEnv::with_runbook("job", JOB);
        let keys = tempfile::tempdir().expect("a folder");
        let place = Self { env, keys };
        for name in ["ada", "bob", "mallory"] {
            place.keygen(name, "");
        }
        place.env.write(
            "runbooks/environments/production.yaml",
            "environment: v1\nname: production\nprotected: true\n",
        );
        let starter = starter();
        let policy = format!(
            "policy: v1\npeople:\n  \
             ada: {{ name: Ada, contact: ada@example.org, ssh_keys: [\"{}\"] }}\n  \
             bob: {{ name: Bob, ssh_keys: [\"{}\"] }}\n  \
             eve: {{ name: Eve }}\n  carol: {{ name: Carol }}\n  {starter}: {{ name: Starter }}\n\
             roles:\n  anyone: {{ members: [ada, eve, {starter}] }}\n  \
             lead: {{ members: [ada, carol] }}\n  dba: {{ members: [ada, bob, {starter}] }}\n\
             risk:\n  low: {{ role: anyone }}\n  medium: {{ role: anyone }}\n  \
             high: {{ quorum: [1 of lead, 1 of dba] }}\n{more}",
            place.public("ada"),
            place.public("bob"),
        );
        place.env.write("runbooks/policy.yaml", &policy);
        place
    }

    fn key(&self, name: &str) -> PathBuf {
        self.keys.path().join(name)
    }

    fn keygen(&self, name: &str, passphrase: &str) {
        let made = Command::new("ssh-keygen")
            .args(["-q", "-t", "ed25519", "-C", name, "-N", passphrase, "-f"])
            .arg(self.key(name))
            .status()
            .expect("ssh-keygen starts");
        assert!(made.success());
    }

    fn public(&self, name: &str) -> String {
        let text = std::fs::read_to_string(self.key(name).with_extension("pub"));
        text.expect("a public key").trim().to_owned()
    }

    /// A command of somebody with a key.
    fn by<const N: usize>(&self, name: &str, arguments: [&str; N]) -> Output {
        let mut command = self.env.command();
        command
            .args(arguments)
            .env("RUNBOOK_SIGNING_KEY", self.key(name));
        self.env.finish(&mut command)
    }

    /// A run that waits at `go`.
    fn at_the_gate(&self) {
        let left = self
            .env
            .run(["exec", "job", "--env", "production", "--detach"]);
        assert_eq!(left.code, Some(4), "{left}");
        let begun = self.by("ada", ["approve", "latest", "first"]);
        assert_eq!(begun.code, Some(0), "{begun}");
        let left = self.env.run(["resume", "latest", "--detach"]);
        assert_eq!(left.code, Some(4), "{left}");
    }

    fn review(&self) -> Value {
        let shown = self.env.run(["review", "--output", "json"]);
        assert_eq!(shown.code, Some(0), "{shown}");
        serde_json::from_str(&shown.stdout).expect("JSON")
    }
}

fn refused(output: &Output, why: &str, next: &str) {
    assert_eq!(output.code, Some(2), "{output}");
    assert!(output.stderr.contains(why), "{why}\n{output}");
    assert!(output.stderr.contains("  next: "), "{output}");
    assert!(output.stderr.contains(next), "{next}\n{output}");
    assert_eq!(output.stdout, "", "{output}");
}

fn votes(events: &[RunEvent], gate: &str) -> Vec<(Vote, Actor, bool)> {
    let votes = events.iter().filter_map(|event| match &event.event {
        EventKind::VoteCast {
            step,
            vote,
            actor,
            signed,
            ..
        } if step.as_str() == gate => Some((*vote, actor.clone(), signed.is_some())),
        _ => None,
    });
    votes.collect()
}

#[test]
fn two_people_sign_and_each_vote_says_what_is_still_missing() {
    let place = Place::new("");
    place.at_the_gate();
    let first = place.by("bob", ["approve", "latest", "--input", "window=10m"]);
    assert_eq!(first.code, Some(0), "{first}");
    assert!(
        first.stdout.contains("approved gate `go` of job"),
        "{first}"
    );
    assert!(first.stdout.contains("as bob"), "{first}");
    assert!(
        first
            .stdout
            .contains("still missing: 1 of lead: ada or carol"),
        "{first}"
    );
    assert!(first.stderr.contains("you vote as bob, not as "), "{first}");
    assert!(!first.stderr.contains("runbook resume"), "{first}");

    let again = place.by("bob", ["approve", "latest", "--input", "window=10m"]);
    assert_eq!(again.code, Some(0), "{again}");
    assert!(
        again.stdout.contains("you have approved gate `go`"),
        "{again}"
    );

    let second = place.by("ada", ["approve", "latest", "--input", "window=10m"]);
    assert!(!second.stdout.contains("missing"), "{second}");
    assert!(second.stderr.contains("runbook resume "), "{second}");
    let resumed = place.env.run(["resume", "latest", "--output", "json"]);
    assert_eq!(resumed.code, Some(0), "{resumed}");
    assert_eq!(place.env.read("marker"), "put\nv1 within 10m\n");
    let told: Vec<_> = votes(&resumed.events(), "go");
    let names: Vec<_> = told
        .iter()
        .map(|(_, actor, _)| actor.name.as_str())
        .collect();
    assert_eq!(names, ["bob", "ada"], "the second of bob was not stored");
    assert!(
        told.iter()
            .all(|(_, actor, signed)| actor.verified && *signed)
    );
}

#[test]
fn a_vote_that_cannot_count_is_refused_at_once() {
    let place = Place::new("");
    place.at_the_gate();
    let own = place.env.run(["approve", "latest", "--input", "window=1m"]);
    refused(
        &own,
        "started this run",
        "it waits for others: 1 of lead: ada or carol",
    );
    let stranger = place.env.run([
        "approve",
        "latest",
        "--key",
        place.key("mallory").to_str().expect("text"),
    ]);
    refused(&stranger, "is of nobody", "ssh_keys: ssh-ed25519 ");
    let missing = place
        .env
        .run(["approve", "latest", "--key", "/no/such/key"]);
    refused(
        &missing,
        "cannot vote with the key /no/such/key",
        "ssh-keygen -l",
    );
    assert_eq!(place.review()["gate"]["votes"], serde_json::json!([]));

    let strict = Place::new("require_signatures: true\nself_approval: true\n");
    let left = strict
        .env
        .run(["exec", "job", "--env", "production", "--detach"]);
    assert_eq!(left.code, Some(4), "{left}");
    let unsigned = strict.env.run(["reject", "latest", "first"]);
    refused(&unsigned, "must be signed", "runbook reject ");
    let no_role = strict.by("bob", ["approve", "latest", "first"]);
    refused(
        &no_role,
        "`bob` is in none of the roles",
        "it waits for others: 1 of anyone: ",
    );
}

#[test]
fn what_a_gate_asks_for_is_checked_before_anything_is_stored() {
    let place = Place::new("");
    place.at_the_gate();
    let vote = |input: &str| place.by("ada", ["approve", "latest", "--input", input]);
    let missing = place.by("ada", ["approve", "latest"]);
    refused(
        &missing,
        "asks you to fill in `window`",
        "--input window=DURATION",
    );
    assert!(missing.stderr.contains("How long it may take"), "{missing}");
    refused(
        &vote("windw=10m"),
        "does not ask for `windw`",
        "did you mean `window`?",
    );
    refused(
        &vote("window=long"),
        "the input `window` cannot have this value",
        "--input window=",
    );
    let on_no = place.by("ada", ["reject", "latest", "--input", "window=1m"]);
    refused(&on_no, "only an approval fills in", "runbook reject ");
    assert_eq!(place.review()["gate"]["votes"], serde_json::json!([]));
    let good = vote("window=10m");
    assert_eq!(good.code, Some(0), "{good}");
    let inputs = &place.review()["gate"]["votes"][0]["inputs"];
    assert_eq!(
        *inputs,
        serde_json::json!({ "window": "10m", "loud": true })
    );
}

#[test]
fn a_vote_is_taken_back_once() {
    let place = Place::new("");
    place.at_the_gate();
    refused(
        &place.by("bob", ["withdraw", "latest"]),
        "has no vote",
        "runbook review ",
    );
    let cast = place.by("bob", ["approve", "latest", "--input", "window=10m"]);
    assert_eq!(cast.code, Some(0), "{cast}");
    let back = place.by("bob", ["withdraw", "latest", "--output", "json"]);
    let said: Value = serde_json::from_str(&back.stdout).expect("JSON");
    assert_eq!(said["verdict"], "pending", "{back}");
    assert_eq!(said["missing"].as_array().map(Vec::len), Some(2), "{back}");
    refused(
        &place.by("bob", ["withdraw", "latest"]),
        "has no vote",
        "runbook review ",
    );
}

#[test]
fn a_run_is_sent_back_and_does_it_again() {
    let place = Place::new("");
    place.at_the_gate();
    let bad = place.by(
        "bob",
        ["send-back", "latest", "--to", "after", "--comment", "x"],
    );
    refused(&bad, "cannot be sent back to `after`", "runbook review ");
    let silent = place.by("bob", ["send-back", "latest", "--to", "put"]);
    assert_eq!(silent.code, Some(2), "{silent}");
    let sent = place.by(
        "bob",
        ["send-back", "latest", "--to", "put", "--comment", "not so"],
    );
    assert_eq!(sent.code, Some(0), "{sent}");
    assert!(sent.stdout.contains("back to `put` as bob"), "{sent}");
    let left = place.env.run(["resume", "latest", "--detach"]);
    assert_eq!(left.code, Some(4), "{left}");
    assert_eq!(place.env.read("marker"), "put\naway\nput\n");
}

/// A private SSH agent, killed when dropped.
struct Agent {
    child: Child,
    socket: PathBuf,
}

impl Agent {
    fn start(place: &Place) -> Self {
        let socket = place.keys.path().join("agent");
        let child = Command::new("ssh-agent")
            .arg("-D")
            .arg("-a")
            .arg(&socket)
            .stdout(Stdio::null())
            .spawn()
            .expect("ssh-agent starts");
        let agent = Self { child, socket };
        // It answers as soon as it listens; asking again is all that can be done until then.
        let end = std::time::Instant::now() + std::time::Duration::from_secs(30);
        while std::os::unix::net::UnixStream::connect(&agent.socket).is_err() {
            assert!(std::time::Instant::now() < end, "the agent listens");
            std::thread::yield_now();
        }
        agent
    }
}

impl Drop for Agent {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn a_key_that_only_an_agent_has_signs() {
    let place = Place::new("");
    let agent = Agent::start(&place);
    let added = Command::new("ssh-add")
        .arg("-q")
        .arg(place.key("ada"))
        .env("SSH_AUTH_SOCK", &agent.socket)
        .status()
        .expect("ssh-add starts");
    assert!(added.success());
    std::fs::remove_file(place.key("ada")).expect("removed");
    let left = place
        .env
        .run(["exec", "job", "--env", "production", "--detach"]);
    assert_eq!(left.code, Some(4), "{left}");
    let mut command = place.env.command();
    command
        .args(["approve", "latest", "first"])
        .env("SSH_AUTH_SOCK", &agent.socket);
    let output = place.env.finish(&mut command);
    assert_eq!(output.code, Some(0), "{output}");
    assert!(
        output.stderr.contains("signed with ada (ssh-agent)"),
        "{output}"
    );
    let resumed = place
        .env
        .run(["resume", "latest", "--detach", "--output", "json"]);
    let told = votes(&resumed.events(), "first");
    assert!(told[0].1.verified && told[0].1.name == "ada", "{resumed}");
}

/// `ssh-keygen` asks for the passphrase; here it is answered by the program that `SSH_ASKPASS` names.
#[test]
fn a_key_with_a_passphrase_signs_once_it_is_given() {
    let place = Place::new("");
    let left = place
        .env
        .run(["exec", "job", "--env", "production", "--detach"]);
    assert_eq!(left.code, Some(4), "{left}");
    let locked = Command::new("ssh-keygen")
        .args(["-q", "-p", "-P", "", "-N", "open sesame", "-f"])
        .arg(place.key("ada"))
        .status()
        .expect("ssh-keygen starts");
    assert!(locked.success());
    place.env.write("answer", "#!/bin/sh\necho \"$ANSWER\"\n");
    let answer = place.env.root().join("answer");
    let executable = std::os::unix::fs::PermissionsExt::from_mode(0o700);
    std::fs::set_permissions(&answer, executable).expect("executable");
    let vote = |passphrase: &str| {
        let mut command = place.env.command();
        command
            .args(["approve", "latest", "first", "--key"])
            .arg(place.key("ada"))
            .env("SSH_ASKPASS", &answer)
            .env("SSH_ASKPASS_REQUIRE", "force")
            .env("ANSWER", passphrase);
        place.env.finish(&mut command)
    };
    let wrong = vote("open barley");
    assert_eq!(wrong.code, Some(1), "{wrong}");
    assert!(
        wrong.stderr.contains("could not sign with the key"),
        "{wrong}"
    );
    assert!(wrong.stderr.contains("ssh-add "), "{wrong}");
    assert_eq!(place.review()["gate"]["votes"], serde_json::json!([]));
    let right = vote("open sesame");
    assert_eq!(right.code, Some(0), "{right}");
    assert_eq!(place.review()["gate"]["votes"][0]["by"]["verified"], true);
}

#[test]
fn a_review_shows_what_would_run_and_what_is_new() {
    let place = Place::new("");
    place.at_the_gate();
    let review = place.review();
    assert_eq!(review["format"], 1);
    assert_eq!(review["run"]["started_by"]["name"], starter());
    assert_eq!(
        review["gate"]["message"],
        "Deploy v1? (no way back after: after)"
    );
    assert_eq!(review["gate"]["quorum"][0]["role"], "lead");
    assert_eq!(review["gate"]["excluded"], serde_json::json!([starter()]));
    assert_eq!(review["gate"]["inputs"][1]["name"], "window");
    let ahead = &review["ahead"][0];
    assert_eq!(ahead["id"], "after");
    let script = ahead["inputs"]["script"].as_str().expect("a script");
    assert!(
        script.starts_with("echo v1 within {{ steps.go.outputs.inputs.window }}"),
        "{script}"
    );
    assert_eq!(ahead["undo"]["how"], "irreversible");
    assert_eq!(review["values"][0]["step"], "look");
    assert_eq!(review["rollback"]["undo"][1]["step"], "put");
    assert_eq!(review["rollback"]["undo"][1]["done"], true);
    assert_eq!(review["changes"]["since"], Value::Null);
    assert_eq!(review["past"]["runs"], 0);
    let text = place.env.run(["review"]).stdout;
    for words in [
        "no run of this runbook was approved here before",
        "still missing: 1 of lead: ada or carol",
        "cannot be undone: gone is gone",
        "runbook approve ",
    ] {
        assert!(text.contains(words), "{words}\n{text}");
    }

    // Approved by two, and then with another version.
    for name in ["ada", "bob"] {
        let cast = place.by(name, ["approve", "latest", "--input", "window=1m"]);
        assert_eq!(cast.code, Some(0), "{cast}");
    }
    let done = place.env.run(["resume", "latest"]);
    assert_eq!(done.code, Some(0), "{done}");
    let next = place.env.run([
        "exec",
        "job",
        "--env",
        "production",
        "--param",
        "version=v2",
        "--detach",
    ]);
    assert_eq!(next.code, Some(4), "{next}");
    let review = place.review();
    let differences = review["changes"]["differences"].as_array().expect("a list");
    assert!(
        differences.iter().any(|d| d["what"]
            .as_str()
            .is_some_and(|what| what.contains("version"))),
        "{review}"
    );
    assert_eq!(review["past"]["runs"], 1);
    assert_eq!(review["past"]["success_rate"], 1.0);
}

#[test]
fn the_inbox_tells_mine_from_others() {
    let place = Place::new("");
    place.at_the_gate();
    let of = |name: &str| place.by(name, ["inbox"]).stdout;
    assert!(of("ada").contains("Waits for you"), "{}", of("ada"));
    let own = place.env.run(["inbox"]).stdout;
    assert!(own.contains("nothing waits for you"), "{own}");
    assert!(own.contains("Waits for others"), "{own}");
    assert!(own.contains("missing: 1 of lead: ada or carol"), "{own}");
    let cast = place.by("ada", ["approve", "latest", "--input", "window=1m"]);
    assert_eq!(cast.code, Some(0), "{cast}");
    let after = of("ada");
    assert!(after.contains("you said: yes"), "{after}");
    let json = place.by("bob", ["inbox", "--output", "json"]);
    let gate: Value = serde_json::from_str(json.stdout.trim()).expect("one line");
    assert_eq!(gate["mine"], true);
    assert_eq!(gate["risk"], "high");
    let runs = place.env.run(["runs"]).stdout;
    assert!(runs.contains("waiting"), "{runs}");
}

#[test]
fn an_emergency_run_owes_a_review_until_somebody_else_makes_it() {
    let emergency = "emergency: { roles: [dba], review: lead, review_within: 72h }\n";
    let place = Place::new(emergency);
    let plain = JOB.replace(
        "        window: { type: duration, description: How long it may take }\n",
        "",
    );
    let plain = plain.replace("{{ steps.go.outputs.inputs.window }}", "no time");
    place.env.write("runbooks/job.yaml", &plain);
    let ran = place.env.run([
        "exec",
        "job",
        "--env",
        "production",
        "--emergency",
        "--reason",
        "all is down",
    ]);
    assert_eq!(ran.code, Some(0), "{ran}");
    let owed = place.env.run(["obligations"]).stdout;
    for words in [
        "all is down",
        "to be reviewed by lead until ",
        "runbook review ",
    ] {
        assert!(owed.contains(words), "{words}\n{owed}");
    }
    let inbox = place.by("ada", ["inbox"]).stdout;
    assert!(inbox.contains("Emergency runs to review"), "{inbox}");
    let shown = place.env.run(["review"]).stdout;
    assert!(shown.contains("EMERGENCY: all is down"), "{shown}");
    assert!(shown.contains("--accept --comment"), "{shown}");

    let accept = ["review", "latest", "--accept", "--comment", "it had to be"];
    refused(
        &place.env.run(accept),
        "started this run",
        "runbook review ",
    );
    refused(
        &place.by("bob", accept),
        "not in the role lead",
        "runbook review ",
    );
    let silent = place.by("ada", ["review", "latest", "--object"]);
    assert_eq!(silent.code, Some(2), "{silent}");
    let made = place.by("ada", accept);
    assert_eq!(made.code, Some(0), "{made}");
    assert!(
        made.stdout.contains("accepted the emergency run of job"),
        "{made}"
    );
    refused(
        &place.by("ada", accept),
        "reviewed already",
        "runbook review ",
    );
    let owed = place.env.run(["obligations"]).stdout;
    assert!(owed.contains("no emergency run waits"), "{owed}");
    let all = place.env.run(["obligations", "--all", "--output", "json"]);
    let closed: Value = serde_json::from_str(all.stdout.trim()).expect("one line");
    assert_eq!(closed["verdict"], "accept", "{all}");

    // The trail has it as well.
    let mut git = place.env.command_as("git");
    git.args([
        "-C",
        ".runbook/audit.git",
        "grep",
        "-c",
        "run_reviewed",
        "HEAD",
        "--",
        "*events.jsonl",
    ]);
    let found = place.env.finish(&mut git);
    assert!(found.stdout.contains("events.jsonl:1"), "{found}");
}

#[test]
fn whoever_holds_the_key_that_would_vote_answers_for_the_run() {
    let place = Place::new("");
    let left = place.by(
        "ada",
        [
            "--env",
            "production",
            "exec",
            "job",
            "--detach",
            "--output",
            "json",
        ],
    );
    assert_eq!(left.code, Some(4), "{left}");
    let events = left.events();
    let EventKind::RunCreated { on_behalf_of, .. } = &events[0].event else {
        panic!("{left}");
    };
    assert_eq!(on_behalf_of.as_deref(), Some("ada"));
    let own = place.by("ada", ["approve", "latest", "first"]);
    assert_eq!(own.code, Some(2), "{own}");
    let exec = ["--env", "production", "exec", "job", "--on-behalf-of"];
    let started_for = |name| [exec[0], exec[1], exec[2], exec[3], exec[4], name];
    assert_eq!(place.by("ada", started_for("bob")).code, Some(2));
    assert_eq!(place.env.run(started_for("Ada")).code, Some(2));
    let elsewhere = place
        .env
        .run(["--env", "../environments/production", "plan", "job"]);
    assert_eq!(elsewhere.code, Some(2), "{elsewhere}");
}
