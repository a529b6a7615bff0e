//! A small signed trail, and the means of somebody who wants it to say something else.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;

use git2::build::TreeUpdateBuilder;
use git2::{Commit, Oid, Repository, Signature, Sort, Time};
use pollster::block_on;
use serde_json::{Value, json};

use super::{Lines, Place};
use crate::audit::{
    AuditTrail, GIT_NAMESPACE, Signer, SigningKey, Verification, VerifyOptions, verify_trail,
};
use crate::base::{AttemptNo, Digest, EventSeq, Map, RunId};
use crate::event::{
    Actor, Ballot, EventKind, Outcome, RollbackResult, RunEvent, RunStatus, SignedVote,
    VOTE_NAMESPACE, Vote, VoteStatement,
};
use crate::model::{OnExpiry, Risk};
use crate::plan::{Plan, PlanCalendar, PlanGate, PlanPerson, PlanPolicy, PlanQuorum, PlanRule};
use crate::run::testing;
use crate::store::samples::{actor, at, event, log_ref, owner, run_id, started, step};
use crate::store::{Journal, MemoryStore, NewRun, RunStore};

pub(super) const SOURCE: &str = "runbook: v1\nname: test\n";
pub(super) const LOG: &[u8] = b"restarted\n";

/// Keys are made once for all tests.
pub(super) struct Keys {
    dir: tempfile::TempDir,
}

pub(super) fn keys() -> &'static Keys {
    static KEYS: OnceLock<Keys> = OnceLock::new();
    KEYS.get_or_init(|| {
        let dir = tempfile::tempdir().expect("a folder");
        for name in ["host", "ada", "mallory"] {
            let made = Command::new("ssh-keygen")
                .args(["-q", "-t", "ed25519", "-N", "", "-C", name, "-f"])
                .arg(dir.path().join(name))
                .status()
                .expect("ssh-keygen starts");
            assert!(made.success());
        }
        Keys { dir }
    })
}

impl Keys {
    pub(super) fn file(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    pub(super) fn key(&self, name: &str) -> SigningKey {
        SigningKey::read(&self.file(name)).expect("a key")
    }

    pub(super) fn public(&self, name: &str) -> String {
        self.key(name).public().expect("a public key")
    }
}

fn person(name: &str) -> Actor {
    Actor {
        name: name.to_owned(),
        ..actor()
    }
}

pub(super) fn plan() -> Plan {
    let mut go = testing::gate("go", &[]);
    go.gate = Some(Box::new(PlanGate {
        risk: Risk::Low,
        inputs: BTreeMap::new(),
        reads: Vec::new(),
        on_expiry: None,
        demanded: false,
    }));
    let mut plan = testing::plan(vec![go, testing::step("restart", &["go"])], Vec::new());
    plan.runbook.source = Some(Digest::of_bytes(SOURCE.as_bytes()));
    plan.environment.name = "production".to_owned();
    plan.environment.protected = true;
    plan.policy = Some(Box::new(PlanPolicy {
        file: "policy.yaml".to_owned(),
        rules: [(
            Risk::Low,
            PlanRule {
                quorum: vec![PlanQuorum {
                    count: 1,
                    role: "developer".to_owned(),
                    members: vec!["ada".to_owned()],
                }],
                expires: None,
                vote_expires: None,
                on_expiry: OnExpiry::Deny,
            },
        )]
        .into(),
        people: [(
            "ada".to_owned(),
            PlanPerson {
                ssh_keys: vec![keys().public("ada")],
                ..PlanPerson::default()
            },
        )]
        .into(),
        require_signatures: true,
        self_approval: false,
        exclude_author: false,
        windows: Vec::new(),
        freezes: Vec::new(),
        calendar: PlanCalendar {
            time_zone: "UTC".to_owned(),
            business_days: vec![1, 2, 3, 4, 5],
            business_hours: (540, 1_020),
            holidays: Vec::new(),
        },
        escalation: Vec::new(),
        emergency: None,
    }));
    plan
}

/// What somebody signs as ada's approval.
pub(super) fn statement(run: RunId) -> VoteStatement {
    VoteStatement {
        format: 1,
        id: "01M835H6W10000000000000001".to_owned(),
        run,
        runbook: "test".to_owned(),
        environment: "production".to_owned(),
        gate: Some(step("go")),
        round: 1,
        plan_digest: plan().digest(),
        vote: Some(Vote::Approve),
        verdict: None,
        to: None,
        inputs: Map::new(),
        comment: Some("looks good".to_owned()),
        voter: "ada".to_owned(),
        at: at(2),
    }
}

pub(super) fn signed(statement: &VoteStatement, by: &str) -> SignedVote {
    let text = statement.text().expect("a text");
    SignedVote {
        signature: keys()
            .key(by)
            .sign(VOTE_NAMESPACE, text.as_bytes())
            .expect("signs"),
        statement: text,
    }
}

fn events(run: RunId) -> Vec<RunEvent> {
    let vote = Ballot {
        comment: Some("looks good".to_owned()),
        id: Some(statement(run).id),
        signed: Some(Box::new(signed(&statement(run), "ada"))),
        ..Ballot::plain(Vote::Approve, plan().digest(), None)
    };
    let ada = Actor {
        verified: true,
        ..person("ada")
    };
    let kinds = [
        EventKind::RunCreated {
            runbook: "test".to_owned(),
            environment: "production".to_owned(),
            plan_digest: plan().digest(),
            actor: person("grace"),
            version: "0.1.0".to_owned(),
            on_behalf_of: None,
            changed_by: None,
            emergency: None,
        },
        EventKind::GateOpened {
            step: step("go"),
            message: "go on?".to_owned(),
            expires_at: None,
        },
        vote.cast(step("go"), ada, None),
        EventKind::GateApproved {
            step: step("go"),
            confirmed: None,
        },
        started("restart"),
        EventKind::StepSucceeded {
            step: step("restart"),
            attempt: AttemptNo::FIRST,
            outputs: json!({}),
            duration_ms: 1,
            log: Some(log_ref("restart.log", LOG)),
        },
        EventKind::RunFinished {
            outcome: Outcome::Succeeded,
            rollback: RollbackResult::None,
            outputs: Map::new(),
            duration_ms: 6,
            recovery_ms: Some(5),
        },
    ];
    kinds
        .into_iter()
        .zip(1..)
        .map(|(kind, seq)| {
            let mut event = event(run, seq, kind);
            // Seconds apart, so that the times of the commits differ.
            event.at = at(seq * 2_000);
            event
        })
        .collect()
}

/// A commit, taken apart.
#[derive(Debug, Clone)]
pub(super) struct Snapshot {
    pub(super) files: BTreeMap<String, Vec<u8>>,
    pub(super) message: String,
    pub(super) author: (String, String),
    pub(super) committer: (String, String),
    pub(super) seconds: i64,
    /// Files that are to be executable.
    pub(super) executable: Option<String>,
    signature: Option<String>,
}

/// By whom a forged history is signed.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum By {
    Nobody,
    Host,
    Mallory,
    /// The old signatures are put on the new commits.
    Copied,
}

/// A trail of two runs in four commits: run 1 at its gate, with the vote, at its end; then run 2.
pub(super) struct Trail {
    pub(super) place: Place,
    pub(super) store: MemoryStore,
}

impl Trail {
    pub(super) fn new() -> Self {
        let trail = Self {
            place: Place::new(),
            store: MemoryStore::new(),
        };
        for run in [run_id(1), run_id(2)] {
            let logs = trail.place.logs().join(run.to_string());
            std::fs::create_dir_all(&logs).expect("a folder");
            std::fs::write(logs.join("restart.log"), LOG).expect("writes");
        }
        let (plan_json, plan_digest) = plan().sealed();
        for (run, stages) in [(run_id(1), vec![2, 4, 7]), (run_id(2), vec![7])] {
            let events = events(run);
            let new = NewRun {
                id: run,
                runbook: "test".to_owned(),
                environment: "production".to_owned(),
                created_at: events[0].at,
                actor: person("grace"),
                plan_json: plan_json.clone(),
                plan_digest,
                source: SOURCE.to_owned(),
            };
            block_on(trail.store.create_run(new, events[0].clone(), owner(1))).expect("created");
            let mut done = 1;
            for upto in stages {
                let status = match upto {
                    7 => RunStatus::Finished,
                    _ => RunStatus::Running,
                };
                block_on(trail.store.append(events[done..upto].to_vec(), status))
                    .expect("appended");
                done = upto;
                trail.catch_up();
            }
        }
        trail
    }

    pub(super) fn catch_up(&self) {
        AuditTrail::open(&self.path())
            .expect("opens")
            .signed_by(Some(keys().key("host")))
            .catch_up(&self.store, &self.place.logs(), &Lines)
            .expect("recorded");
    }

    pub(super) fn path(&self) -> PathBuf {
        self.place.trail()
    }

    pub(super) fn git(&self) -> Repository {
        Repository::open_bare(self.path()).expect("opens")
    }

    pub(super) fn head(&self) -> String {
        self.place.git(&["rev-parse", "main"]).trim().to_owned()
    }

    pub(super) fn options() -> VerifyOptions {
        VerifyOptions {
            signers: vec![Signer {
                name: "box".to_owned(),
                keys: vec![keys().public("host")],
            }],
            require_signatures: true,
            ..VerifyOptions::default()
        }
    }

    pub(super) fn verify(&self, options: &VerifyOptions) -> Verification {
        verify_trail(&self.path(), options, None).expect("opens")
    }

    /// The commits, oldest first.
    pub(super) fn history(&self) -> Vec<Snapshot> {
        let git = self.git();
        let mut walk = git.revwalk().expect("a walk");
        walk.set_sorting(Sort::TOPOLOGICAL | Sort::REVERSE)
            .expect("sorts");
        walk.push_ref("refs/heads/main").expect("a branch");
        walk.map(|id| {
            snapshot(
                &git,
                &git.find_commit(id.expect("an id")).expect("a commit"),
            )
        })
        .collect()
    }

    /// Puts another history in place of the present one.
    pub(super) fn replace(&self, history: &[Snapshot], by: By) {
        let git = self.git();
        let mut tip: Option<Oid> = None;
        for snapshot in history {
            let parent = tip.map(|tip| git.find_commit(tip).expect("a commit"));
            let parents: Vec<&Commit<'_>> = parent.iter().collect();
            tip = Some(write(&git, snapshot, &parents, by));
        }
        git.reference("refs/heads/main", tip.expect("a commit"), true, "forged")
            .expect("moves");
    }

    /// Adds a commit after another.
    pub(super) fn append(&self, snapshot: &Snapshot, after: Oid, by: By) {
        let git = self.git();
        let parent = git.find_commit(after).expect("a commit");
        let added = write(&git, snapshot, &[&parent], by);
        git.reference("refs/heads/main", added, true, "added")
            .expect("moves");
    }

    /// Adds a merge of the present tip and another commit.
    pub(super) fn merge(&self, snapshot: &Snapshot, with: Oid, by: By) {
        let git = self.git();
        let tip = git.refname_to_id("refs/heads/main").expect("a tip");
        let (one, two) = (git.find_commit(tip), git.find_commit(with));
        let (one, two) = (one.expect("a commit"), two.expect("a commit"));
        let merged = write(&git, snapshot, &[&one, &two], by);
        git.reference("refs/heads/main", merged, true, "merged")
            .expect("moves");
    }

    /// Whether stock `git verify-commit` believes the newest commit.
    pub(super) fn stock_believes(&self) -> bool {
        let allowed = self.place.dir.path().join("allowed_signers");
        std::fs::write(&allowed, format!("box {}\n", keys().public("host"))).expect("writes");
        Command::new("git")
            .arg("-C")
            .arg(self.path())
            .arg("-c")
            .arg(format!("gpg.ssh.allowedSignersFile={}", allowed.display()))
            .args(["verify-commit", "main"])
            .env("GIT_CONFIG_GLOBAL", "/dev/null")
            .stderr(Stdio::null())
            .stdout(Stdio::null())
            .status()
            .expect("git runs")
            .success()
    }

    /// Whether stock `git fsck` finds nothing wrong.
    pub(super) fn stock_sound(&self) -> bool {
        Command::new("git")
            .arg("-C")
            .arg(self.path())
            .args(["fsck", "--strict", "--no-dangling"])
            .env("GIT_CONFIG_GLOBAL", "/dev/null")
            .stderr(Stdio::null())
            .stdout(Stdio::null())
            .status()
            .expect("git runs")
            .success()
    }

    /// Whether stock `ssh-keygen` believes that ada signed the vote of a run, as files of a checkout.
    pub(super) fn stock_believes_vote(&self, run: RunId) -> bool {
        let dir = self.place.dir.path();
        let allowed = dir.join("voters");
        std::fs::write(&allowed, format!("ada {}\n", keys().public("ada"))).expect("writes");
        let file = |name: &str| {
            let path = dir.join(name);
            let text = self.place.show(run, &format!("approvals/{name}"));
            std::fs::write(&path, text).expect("writes");
            path
        };
        let (statement, signature) = (file("go-3.statement"), file("go-3.sig"));
        ssh_believes(&allowed, "ada", VOTE_NAMESPACE, &signature, &statement)
    }
}

pub(super) fn ssh_believes(
    allowed: &Path,
    who: &str,
    namespace: &str,
    signature: &Path,
    text: &Path,
) -> bool {
    Command::new("ssh-keygen")
        .args(["-Y", "verify", "-I", who, "-n", namespace, "-f"])
        .arg(allowed)
        .arg("-s")
        .arg(signature)
        .stdin(std::fs::File::open(text).expect("a file"))
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .expect("ssh-keygen runs")
        .success()
}

fn snapshot(git: &Repository, commit: &Commit<'_>) -> Snapshot {
    let mut files = BTreeMap::new();
    let tree = commit.tree().expect("a tree");
    tree.walk(git2::TreeWalkMode::PreOrder, |folder, entry| {
        if let Ok(blob) = git.find_blob(entry.id()) {
            let name = String::from_utf8_lossy(entry.name_bytes());
            files.insert(format!("{folder}{name}"), blob.content().to_vec());
        }
        git2::TreeWalkResult::Ok
    })
    .expect("walks");
    let who = |who: &Signature<'_>| {
        (
            String::from_utf8_lossy(who.name_bytes()).into_owned(),
            String::from_utf8_lossy(who.email_bytes()).into_owned(),
        )
    };
    Snapshot {
        files,
        message: String::from_utf8_lossy(commit.message_bytes()).into_owned(),
        author: who(&commit.author()),
        committer: who(&commit.committer()),
        seconds: commit.time().seconds(),
        executable: None,
        signature: git
            .extract_signature(&commit.id(), None)
            .ok()
            .map(|(signature, _)| String::from_utf8_lossy(&signature).into_owned()),
    }
}

fn write(git: &Repository, snapshot: &Snapshot, parents: &[&Commit<'_>], by: By) -> Oid {
    let mut update = TreeUpdateBuilder::new();
    for (path, bytes) in &snapshot.files {
        let mode = match snapshot.executable.as_ref() == Some(path) {
            true => git2::FileMode::BlobExecutable,
            false => git2::FileMode::Blob,
        };
        update.upsert(path.as_str(), git.blob(bytes).expect("writes"), mode);
    }
    let empty = git.treebuilder(None).and_then(|tree| tree.write());
    let empty = git.find_tree(empty.expect("writes")).expect("a tree");
    let tree = update.create_updated(git, &empty).expect("writes");
    let tree = git.find_tree(tree).expect("a tree");
    let who = |(name, email): &(String, String)| {
        Signature::new(name, email, &Time::new(snapshot.seconds, 0)).expect("valid")
    };
    let buffer = git
        .commit_create_buffer(
            &who(&snapshot.author),
            &who(&snapshot.committer),
            &snapshot.message,
            &tree,
            parents,
        )
        .expect("a commit");
    let content = String::from_utf8_lossy(&buffer).into_owned();
    let signature = match by {
        By::Nobody => None,
        By::Copied => snapshot.signature.clone(),
        By::Host | By::Mallory => {
            let key = if by == By::Host { "host" } else { "mallory" };
            let key = keys().key(key);
            Some(key.sign(GIT_NAMESPACE, content.as_bytes()).expect("signs"))
        }
    };
    match signature {
        Some(signature) => git
            .commit_signed(&content, signature.trim_end(), None)
            .expect("writes"),
        None => git
            .odb()
            .and_then(|odb| odb.write(git2::ObjectType::Commit, content.as_bytes()))
            .expect("writes"),
    }
}

impl Snapshot {
    /// The path of a file of a run.
    pub(super) fn path(run: RunId, name: &str) -> String {
        format!("runs/2026/11/23/{run}/{name}")
    }

    pub(super) fn file(&mut self, run: RunId, name: &str) -> Option<&mut Vec<u8>> {
        self.files.get_mut(&Self::path(run, name))
    }

    pub(super) fn events(&self, run: RunId) -> Vec<Value> {
        let lines = self.files.get(&Self::path(run, "events.jsonl"));
        String::from_utf8_lossy(lines.map_or(&[][..], Vec::as_slice))
            .lines()
            .map(|line| serde_json::from_str(line).expect("JSON"))
            .collect()
    }

    /// Writes events as this program would, with a chain that is whole, and the trailers that follow.
    pub(super) fn set_events(&mut self, run: RunId, events: &[Value]) {
        let text = |snapshot: &Self, name: &str| {
            snapshot
                .files
                .get(&Self::path(run, name))
                .cloned()
                .unwrap_or_default()
        };
        let mut prev =
            Digest::of_bytes(&[text(self, "plan.json"), text(self, "runbook.yaml")].concat());
        let mut lines = Vec::new();
        for event in events {
            let event: RunEvent = serde_json::from_value(event.clone()).expect("an event");
            let json = serde_json::to_string(&event).expect("encodes");
            let line = format!("{{\"prev\":\"{prev}\",{}", &json[1..]);
            prev = Digest::of_bytes(line.as_bytes());
            lines.extend_from_slice(line.as_bytes());
            lines.push(b'\n');
        }
        self.files.insert(Self::path(run, "events.jsonl"), lines);
        if self.message.contains(&format!("Run-Id: {run}")) {
            self.trailer("Chain-Head", &prev.to_string());
        }
    }

    pub(super) fn trailer(&mut self, key: &str, value: &str) {
        let lines: Vec<String> = self
            .message
            .lines()
            .map(|line| match line.starts_with(&format!("{key}: ")) {
                true => format!("{key}: {value}"),
                false => line.to_owned(),
            })
            .collect();
        self.message = lines.join("\n") + "\n";
    }
}

/// Changes the events of a run in every commit alike, as if it had been so from the start.
pub(super) fn retell(history: &mut [Snapshot], run: RunId, change: impl Fn(&mut Value, EventSeq)) {
    for snapshot in history {
        let mut events = snapshot.events(run);
        if events.is_empty() {
            continue;
        }
        for (event, seq) in events.iter_mut().zip(1..) {
            change(event, EventSeq(seq));
        }
        snapshot.set_events(run, &events);
    }
}
