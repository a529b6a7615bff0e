//! Two hosts and one bare repository, over stock `git`.

use std::path::{Path, PathBuf};
use std::process::Command;

use git2::{Signature, Time};

use super::{PushReport, Remote, RemoteError, cast_vote, fetch_votes, push};
use crate::audit::repository::{NewCommit, TrailRepository};
use crate::base::{Digest, RunId, StepId, Timestamp};
use crate::event::{SignedVote, Vote, VoteStatement};

struct Place {
    dir: tempfile::TempDir,
}

impl Place {
    fn new() -> Self {
        let dir = tempfile::tempdir().expect("a folder");
        git2::Repository::init_bare(dir.path().join("remote.git")).expect("a repository");
        Self { dir }
    }

    fn remote(&self) -> Remote {
        Remote::new(&self.path("remote.git").display().to_string(), false)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn host(&self, name: &str) -> PathBuf {
        let path = self.path(&format!("{name}.git"));
        TrailRepository::open(&path).expect("a trail");
        path
    }

    fn git(&self, repository: &str, arguments: &[&str]) -> String {
        let output = Command::new("git")
            .arg("--git-dir")
            .arg(self.path(repository))
            .args(arguments)
            .output()
            .expect("git starts");
        assert!(
            output.status.success(),
            "{}",
            String::from_utf8_lossy(&output.stderr)
        );
        String::from_utf8(output.stdout)
            .expect("text")
            .trim()
            .to_owned()
    }
}

fn run(n: u64) -> RunId {
    crate::store::samples::run_id(n)
}

fn folder(run: RunId) -> String {
    format!("runs/2026/11/24/{run}")
}

/// Records `events` lines of a run on a host.
fn record(host: &Path, run: RunId, events: &[&str], at: i64) {
    let trail = TrailRepository::open(host).expect("a trail");
    let mut lock = trail.lock().expect("locks");
    let tip = trail.tip().expect("reads");
    let who = || Signature::new("runbook", "runbook@host", &Time::new(at, 0)).expect("valid");
    let lines: String = events.iter().map(|event| format!("{event}\n")).collect();
    let commit = NewCommit {
        files: vec![
            (format!("{}/events.jsonl", folder(run)), lines.into_bytes()),
            (format!("{}/plan.json", folder(run)), b"{}".to_vec()),
        ],
        message: "events\n",
        author: who(),
        committer: who(),
        key: None,
    };
    assert!(
        trail
            .append(&mut lock, tip.as_ref(), &commit)
            .expect("appends")
    );
}

fn events(host: &Path, run: RunId) -> Option<String> {
    let trail = TrailRepository::open(host).expect("a trail");
    let tip = trail.tip().expect("reads")?;
    let path = format!("{}/events.jsonl", folder(run));
    let bytes = trail.file(&tip, &path).expect("reads")?;
    Some(String::from_utf8(bytes).expect("text"))
}

#[test]
fn two_hosts_share_one_remote_and_both_end_with_everything() {
    let place = Place::new();
    let (remote, a, b) = (place.remote(), place.host("a"), place.host("b"));
    assert_eq!(
        push(&a, &remote, "a", None).expect("nothing to do"),
        PushReport::default()
    );
    record(&a, run(1), &["one"], 10);
    let first = push(&a, &remote, "a", None).expect("pushes");
    assert_eq!((first.pushed, first.fetched, first.merged), (1, 0, false));

    record(&b, run(2), &["two"], 20);
    record(&b, run(3), &["three"], 30);
    let second = push(&b, &remote, "b", None).expect("joins");
    assert_eq!((second.pushed, second.fetched, second.merged), (3, 1, true));

    record(&a, run(1), &["one", "more"], 40);
    let third = push(&a, &remote, "a", None).expect("joins");
    assert!(third.merged && third.fetched == 3, "{third:?}");
    let fourth = push(&b, &remote, "b", None).expect("takes over");
    assert_eq!(
        (fourth.pushed, fourth.fetched, fourth.merged),
        (0, 2, false)
    );

    for host in [&a, &b] {
        assert_eq!(events(host, run(1)).as_deref(), Some("one\nmore\n"));
        assert_eq!(events(host, run(2)).as_deref(), Some("two\n"));
        assert_eq!(events(host, run(3)).as_deref(), Some("three\n"));
    }
    let tips: Vec<String> = ["a.git", "b.git", "remote.git"]
        .map(|repository| place.git(repository, &["rev-parse", "main"]))
        .into();
    assert!(tips.iter().all(|tip| *tip == tips[0]), "{tips:?}");
    place.git("remote.git", &["fsck", "--strict"]);
    let joined = place.git("remote.git", &["log", "main", "--merges", "--format=%s"]);
    assert_eq!(
        joined.lines().collect::<Vec<_>>(),
        [
            "Join the trail of another host (2 runs)",
            "Join the trail of another host (1 run)"
        ]
    );
}

#[test]
fn hosts_that_push_at_the_same_moment_lose_nothing() {
    let place = Place::new();
    let hosts: Vec<PathBuf> = (0..4).map(|n| place.host(&format!("h{n}"))).collect();
    std::thread::scope(|scope| {
        for (n, host) in hosts.iter().enumerate() {
            let remote = place.remote();
            scope.spawn(move || {
                for round in 0..3 {
                    record(host, run(n as u64), &["x"; 3][..=round], 10);
                    push(host, &remote, "h", None).expect("pushes");
                }
            });
        }
    });
    let last = place.host("last");
    push(&last, &place.remote(), "last", None).expect("takes over");
    for n in 0..4 {
        assert_eq!(
            events(&last, run(n)).as_deref(),
            Some("x\nx\nx\n"),
            "run {n}"
        );
    }
}

#[test]
fn a_remote_that_was_rewritten_or_says_otherwise_is_not_touched() {
    let place = Place::new();
    let (remote, a, b) = (place.remote(), place.host("a"), place.host("b"));
    record(&a, run(1), &["one"], 10);
    push(&a, &remote, "a", None).expect("pushes");
    record(&b, run(1), &["other"], 10);
    let refused = push(&b, &remote, "b", None);
    assert!(
        matches!(&refused, Err(RemoteError::Diverged { run: told, .. }) if *told == run(1)),
        "{refused:?}"
    );
    assert_eq!(events(&b, run(1)).as_deref(), Some("other\n"));

    // Somebody with power over the remote puts something else in the place of the record.
    let kept = place.git("a.git", &["rev-parse", "main"]);
    let forged = place.git("b.git", &["rev-parse", "main"]);
    place.git(
        "remote.git",
        &["fetch", "--quiet", &b.display().to_string(), "main"],
    );
    place.git("remote.git", &["update-ref", "refs/heads/main", &forged]);
    record(&a, run(2), &["two"], 20);
    let told = push(&a, &remote, "a", None);
    assert!(
        matches!(&told, Err(RemoteError::Rewritten { before, .. }) if *before == kept),
        "{told:?}"
    );
    place.git("remote.git", &["update-ref", "-d", "refs/heads/main"]);
    let told = push(&a, &remote, "a", None);
    assert!(
        matches!(told, Err(RemoteError::Rewritten { .. })),
        "{told:?}"
    );
}

#[test]
fn a_remote_that_cannot_be_reached_is_said_in_the_words_of_git() {
    let place = Place::new();
    let a = place.host("a");
    record(&a, run(1), &["one"], 10);
    let nowhere = Remote::new(&place.path("nowhere.git").display().to_string(), false);
    let told = push(&a, &nowhere, "a", None)
        .expect_err("is not there")
        .to_string();
    assert!(
        told.contains("nowhere.git") && told.contains("not"),
        "{told}"
    );
}

fn vote(id: &str, voter: &str) -> SignedVote {
    let statement = VoteStatement {
        format: 1,
        id: id.to_owned(),
        run: run(1),
        runbook: "service-restart".to_owned(),
        environment: "production".to_owned(),
        gate: Some(StepId::new("go").expect("valid")),
        round: 1,
        plan_digest: Digest::of_bytes(b"plan"),
        vote: Some(Vote::Approve),
        verdict: None,
        to: None,
        inputs: Default::default(),
        comment: Some("fine".to_owned()),
        voter: voter.to_owned(),
        at: Timestamp::from_unix_millis(5_000),
    };
    SignedVote {
        statement: statement.text().expect("text"),
        signature: "-----BEGIN SSH SIGNATURE-----\n".to_owned(),
    }
}

#[test]
fn votes_of_two_people_travel_and_arrive_once() {
    let place = Place::new();
    let (remote, engine) = (place.remote(), place.host("engine"));
    let (ada, bob) = (place.host("ada"), place.host("bob"));
    let fetch = |known: &[&str]| {
        fetch_votes(&engine, &remote, run(1), |id| known.contains(&id)).expect("asks")
    };
    assert_eq!(fetch(&[]), []);
    cast_vote(&ada, &remote, &vote("01A", "ada")).expect("sends");
    cast_vote(&bob, &remote, &vote("01B", "bob")).expect("sends");
    cast_vote(&ada, &remote, &vote("01A", "ada")).expect("again changes nothing");
    let voters = |votes: Vec<super::RemoteVote>| -> Vec<String> {
        votes.into_iter().map(|vote| vote.statement.voter).collect()
    };
    let all = fetch(&[]);
    assert_eq!(all[0].signed, vote("01A", "ada"));
    assert_eq!(voters(all), ["ada", "bob"]);
    assert_eq!(voters(fetch(&["01A"])), ["bob"]);
    let other = fetch_votes(&engine, &remote, run(2), |_| false).expect("asks");
    assert_eq!(other, []);
}

#[test]
fn what_is_no_vote_or_of_another_run_is_passed_over() {
    let place = Place::new();
    let (remote, ada) = (place.remote(), place.host("ada"));
    cast_vote(&ada, &remote, &vote("01A", "ada")).expect("sends");
    let commit = place.git(
        "remote.git",
        &["rev-parse", &format!("votes/{}/01A", run(1))],
    );
    for name in [
        format!("refs/heads/votes/{}/01A", run(2)),
        format!("refs/heads/votes/{}/01Z", run(1)),
    ] {
        place.git("remote.git", &["update-ref", &name, &commit]);
    }
    let found = fetch_votes(&ada, &remote, run(2), |_| false).expect("asks");
    assert_eq!(found, []);
    let found = fetch_votes(&ada, &remote, run(1), |_| false).expect("asks");
    assert_eq!(found.len(), 1);
    let nonsense = SignedVote {
        statement: "yes".to_owned(),
        signature: String::new(),
    };
    assert!(matches!(
        cast_vote(&ada, &remote, &nonsense),
        Err(RemoteError::NotAVote(_))
    ));
}

mod link {
    use std::sync::Arc;
    use std::time::Duration;

    use pollster::block_on;

    use super::super::{LinkParts, RemoteLink, Votes};
    use super::{Place, cast_vote, push, record, run, vote};
    use crate::audit::remote::RemoteError;
    use crate::base::{Clock, StepId, Timestamp};
    use crate::event::{EventKind, RunStatus};
    use crate::store::samples::{at, created, event, new_run, owner};
    use crate::store::{Journal as _, MemoryStore, RequestKind, RunStore};

    #[derive(Debug)]
    struct Still;

    impl Clock for Still {
        fn now(&self) -> Timestamp {
            at(0)
        }

        fn random(&self) -> u128 {
            0
        }
    }

    fn go() -> StepId {
        StepId::new("go").expect("valid")
    }

    /// A run that waits at a gate, on a host whose trail is not pushed yet.
    fn parts(place: &Place) -> LinkParts {
        let store = Arc::new(MemoryStore::new());
        let id = run(1);
        block_on(store.create_run(new_run(id), event(id, 1, created()), owner(1)))
            .expect("created");
        let opened = EventKind::GateOpened {
            step: go(),
            message: "Now?".to_owned(),
            expires_at: None,
        };
        block_on(store.append(vec![event(id, 2, opened)], RunStatus::Waiting)).expect("appended");
        let trail = place.host("engine");
        record(&trail, id, &["one"], 10);
        LinkParts {
            trail,
            remote: place.remote(),
            host: "engine".to_owned(),
            key: None,
            store,
            clock: Arc::new(Still),
            pause: Duration::from_millis(5),
        }
    }

    fn voters(parts: &LinkParts) -> Vec<String> {
        let requests = parts.store.requests_after(run(1), 0).expect("reads");
        requests
            .into_iter()
            .map(|request| {
                let RequestKind::Vote { gate, ballot } = &request.kind else {
                    panic!("a vote: {request:?}");
                };
                assert_eq!(gate.as_ref(), Some(&go()));
                assert!(ballot.signed.is_some() && !request.actor.verified);
                request.actor.name
            })
            .collect()
    }

    #[test]
    fn votes_become_requests_once_also_after_a_restart() {
        let place = Place::new();
        let parts = parts(&place);
        let ada = place.host("ada");
        let mut votes = Votes::new(parts.clone());
        assert_eq!(votes.bring(run(1)).expect("asks"), 0);
        cast_vote(&ada, &parts.remote, &vote("01A", "ada")).expect("sends");
        assert_eq!(votes.bring(run(1)).expect("asks"), 1);
        assert_eq!(votes.bring(run(1)).expect("asks"), 0);
        cast_vote(&ada, &parts.remote, &vote("01B", "bob")).expect("sends");
        let mut restarted = Votes::new(parts.clone());
        assert_eq!(restarted.bring(run(1)).expect("asks"), 1);
        assert_eq!(voters(&parts), ["ada", "bob"]);

        let closed = EventKind::GateRejected { step: go() };
        block_on(
            parts
                .store
                .append(vec![event(run(1), 3, closed)], RunStatus::Stopping),
        )
        .expect("appended");
        cast_vote(&ada, &parts.remote, &vote("01C", "eve")).expect("sends");
        assert_eq!(restarted.bring(run(1)).expect("asks"), 0, "no gate is open");
    }

    #[test]
    fn the_thread_pushes_and_brings_votes_and_tells_when_it_cannot() {
        let place = Place::new();
        let parts = parts(&place);
        let ada = place.host("ada");
        let link = RemoteLink::spawn(parts.clone()).expect("starts");
        link.committed();
        link.watch(run(1));
        cast_vote(&ada, &parts.remote, &vote("01A", "ada")).expect("sends");
        let mut looks = 0;
        while voters(&parts).is_empty() {
            looks += 1;
            assert!(looks < 6_000, "the vote never came");
            std::thread::park_timeout(Duration::from_millis(10));
        }
        link.finish().expect("pushes the rest");
        assert_eq!(
            place.git("engine.git", &["rev-parse", "main"]),
            place.git("remote.git", &["rev-parse", "main"])
        );
        assert_eq!(
            push(&ada, &parts.remote, "ada", None)
                .expect("takes over")
                .fetched,
            1
        );

        record(&parts.trail, run(1), &["one", "two"], 20);
        let gone = LinkParts {
            remote: crate::audit::Remote::new("/nowhere/at/all.git", false),
            ..parts
        };
        let link = RemoteLink::spawn(gone).expect("starts");
        link.committed();
        let told = link.finish();
        assert!(matches!(told, Err(RemoteError::Git { .. })), "{told:?}");
    }
}
