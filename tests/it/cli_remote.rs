//! Two people, two machines, one bare repository, no server: votes that travel through Git.

use std::path::PathBuf;
use std::process::Command;

use runbook::settings::current_actor;

use crate::support::{Output, TestEnv};

const JOB: &str = r#"runbook: v1
name: job
risk: high
steps:
  - id: look
    uses: shell
    with: { script: "cat seen" }
    effect: { is: read, reason: it only looks }
  - id: go
    uses: approval
    with: { message: "Deploy over {{ steps.look.outputs.stdout }}?" }
  - id: put
    uses: shell
    with: { script: "echo put >> marker" }
    rollback: { uses: shell, with: { script: "rm marker" } }
"#;

/// The machine that runs, and what the people share.
struct Site {
    host: TestEnv,
    shared: tempfile::TempDir,
}

impl Site {
    /// Two of `ada`, `bob` and `eve` must approve, signed; `mallory` has a key that nobody listed.
    fn new() -> Self {
        let site = Self {
            host: TestEnv::with_runbook("job", JOB),
            shared: tempfile::tempdir().expect("a folder"),
        };
        for name in ["ada", "bob", "eve", "mallory", "host"] {
            site.run(
                Command::new("ssh-keygen")
                    .args(["-q", "-t", "ed25519", "-N", "", "-f"])
                    .arg(site.key(name)),
            );
        }
        site.run(
            Command::new("git")
                .args(["init", "-q", "--bare"])
                .arg(site.remote()),
        );
        let person =
            |name: &str| format!("  {name}: {{ ssh_keys: [\"{}\"] }}\n", site.public(name));
        let people: String = ["ada", "bob", "eve"].map(person).concat();
        let starter = current_actor(None).name;
        site.host.write(
            "runbooks/policy.yaml",
            &format!(
                "policy: v1\npeople:\n{people}  {starter}: {{ name: Starter }}\n\
                 roles:\n  lead: {{ members: [ada, bob, eve] }}\n\
                 risk:\n  high: {{ role: lead, quorum: 2 }}\nrequire_signatures: true\n\
                 audit:\n  remote: {}\n  signers: {{ box: [\"{}\"] }}\n",
                site.remote().display(),
                site.public("host")
            ),
        );
        site.host.write(
            "runbooks/environments/production.yaml",
            "environment: v1\nname: production\nprotected: true\n",
        );
        site.host.write("seen", "one");
        site
    }

    fn run(&self, command: &mut Command) {
        assert!(command.status().expect("starts").success());
    }

    fn key(&self, name: &str) -> PathBuf {
        self.shared.path().join(name)
    }

    fn public(&self, name: &str) -> String {
        let text = std::fs::read_to_string(self.key(name).with_extension("pub"));
        text.expect("a public key").trim().to_owned()
    }

    fn remote(&self) -> PathBuf {
        self.shared.path().join("remote.git")
    }

    /// A command on the machine that runs.
    fn here<const N: usize>(&self, arguments: [&str; N]) -> Output {
        let mut command = self.host.command();
        command
            .args(["--env", "production"])
            .args(arguments)
            .env("RUNBOOK_AUDIT_KEY", self.key("host"));
        self.host.finish(&mut command)
    }

    /// A command on somebody's own machine, which has nothing but a key.
    fn there<const N: usize>(&self, name: &str, arguments: [&str; N]) -> Output {
        let machine = TestEnv::new();
        let mut command = machine.command();
        command
            .args(arguments)
            .env("RUNBOOK_SIGNING_KEY", self.key(name))
            .env("RUNBOOK_AUDIT_REMOTE", self.remote());
        machine.finish(&mut command)
    }
}

#[test]
fn two_people_on_two_machines_approve_through_one_bare_repository() {
    let site = Site::new();
    let left = site.here(["exec", "job", "--detach"]);
    assert_eq!(left.code, Some(4), "{left}");

    let inbox = site.there("ada", ["inbox", "--remote"]);
    assert_eq!(inbox.code, Some(0), "{inbox}");
    assert!(inbox.stdout.contains("Waits for you"), "{inbox}");
    let review = site.there("ada", ["review", "latest", "--remote"]);
    assert!(review.stdout.contains("Deploy over one?"), "{review}");

    let one = site.there(
        "ada",
        ["approve", "latest", "--remote", "--comment", "looked"],
    );
    assert_eq!(one.code, Some(0), "{one}");
    assert!(
        one.stdout.contains("still missing: 1 of lead: bob or eve"),
        "{one}"
    );
    let again = site.there("ada", ["approve", "latest", "--remote"]);
    assert!(again.stdout.contains("already"), "{again}");
    let early = site.here(["resume", "latest", "--detach"]);
    assert_eq!(early.code, Some(4), "one of two is not enough: {early}");

    // The second voter sees the first one's vote on record.
    let two = site.there("bob", ["approve", "latest", "--remote"]);
    assert_eq!(two.code, Some(0), "{two}");
    assert!(!two.stdout.contains("still missing"), "{two}");
    let done = site.here(["resume", "latest"]);
    assert_eq!(done.code, Some(0), "{done}");
    assert_eq!(site.host.read("marker"), "put\n");

    let proof = site.here(["audit", "verify"]);
    assert_eq!(proof.code, Some(0), "{proof}");
    assert!(proof.stdout.contains("2 votes (2 signed)"), "{proof}");
    // Whoever has the remote alone can prove it as well.
    let url = site.remote().display().to_string();
    let policy = site
        .host
        .root()
        .join("runbooks/policy.yaml")
        .display()
        .to_string();
    let elsewhere = site.there(
        "eve",
        ["audit", "verify", "--repository", &url, "--policy", &policy],
    );
    assert_eq!(elsewhere.code, Some(0), "{elsewhere}");
    assert!(
        elsewhere.stdout.contains("2 votes (2 signed)"),
        "{elsewhere}"
    );
}

#[test]
fn a_waiting_engine_takes_votes_from_the_remote() {
    let site = Site::new();
    let mut command = site.host.command();
    command
        .args(["--env", "production", "--output", "json", "exec", "job"])
        .env("RUNBOOK_AUDIT_KEY", site.key("host"));
    let mut waiting = site.host.start_command(command);
    waiting.until("gate_opened");
    // The trail is pushed a moment after the gate opened.
    let seen = || site.there("ada", ["inbox", "--remote"]).stdout;
    let mut looks = 0;
    while !seen().contains("Waits for you") {
        looks += 1;
        assert!(looks < 200, "the gate never came to the remote");
    }
    for name in ["ada", "eve"] {
        let voted = site.there(name, ["approve", "latest", "--remote"]);
        assert_eq!(voted.code, Some(0), "{voted}");
    }
    let done = waiting.finish();
    assert_eq!(done.code, Some(0), "{done}");
    assert_eq!(site.host.read("marker"), "put\n");
}

#[test]
fn who_may_not_vote_may_not_do_so_from_afar_either() {
    let site = Site::new();
    assert_eq!(site.here(["exec", "job", "--detach"]).code, Some(4));
    let stranger = site.there("mallory", ["approve", "latest", "--remote"]);
    assert_eq!(stranger.code, Some(2), "{stranger}");
    let refused = Command::new("git")
        .arg("--git-dir")
        .arg(site.remote())
        .args(["for-each-ref", "refs/heads/votes"])
        .output()
        .expect("git starts");
    assert!(refused.stdout.is_empty(), "nothing was sent");
    let nowhere = site.there("ada", ["approve", "latest", "--remote=/nowhere/at/all.git"]);
    assert_eq!(nowhere.code, Some(9), "{nowhere}");
    let unnamed = TestEnv::new().run(["inbox", "--remote"]);
    assert_eq!(unnamed.code, Some(2), "{unnamed}");
}

#[test]
fn a_remote_that_is_away_stops_no_run_and_is_pushed_to_later() {
    let site = Site::new();
    let away = site.shared.path().join("away.git");
    std::fs::rename(site.remote(), &away).expect("moved");
    let left = site.here(["exec", "job", "--detach"]);
    assert_eq!(left.code, Some(4), "{left}");
    assert!(left.stderr.contains("runbook audit push"), "{left}");
    std::fs::rename(&away, site.remote()).expect("moved back");
    let pushed = site.here(["audit", "push"]);
    assert_eq!(pushed.code, Some(0), "{pushed}");
    assert!(pushed.stdout.starts_with("pushed 1 commit"), "{pushed}");
    let again = site.here(["audit", "push"]);
    assert_eq!(again.stdout, "pushed 0 commits, took over 0 commits\n");
}
