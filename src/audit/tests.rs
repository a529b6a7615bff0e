//! The trail as stock `git` sees it.

mod carry;
mod forge;
mod tamper;
mod writer;

use std::path::PathBuf;
use std::process::Command;
use std::sync::{Arc, mpsc};
use std::time::Duration;

use pollster::block_on;

use super::{AuditError, AuditFilter, AuditSources, AuditTrail, AuditWriter, ReportRenderer, log};
use crate::base::{Clock, Digest, EventSeq, RunId, Timestamp};
use crate::event::{EventKind, Outcome, RunEvent, RunStatus};
use crate::store::samples::{
    another_process, at, created, event, every_event, finished, first_line, log_ref, new_run,
    numbers_of, owner, run_id, started, step, succeeded,
};
use crate::store::{Journal, MemoryStore, RunFilter, RunRecord, RunStore, SqliteStore};

struct Lines;

impl ReportRenderer for Lines {
    fn report(&self, run: &RunRecord, plan_json: &str, events: &[RunEvent]) -> String {
        format!(
            "# {} {:?}\n\n{plan_json}\n{} events\n",
            run.runbook,
            run.status,
            events.len()
        )
    }
}

#[derive(Debug)]
struct StillClock;

impl Clock for StillClock {
    fn now(&self) -> Timestamp {
        at(0)
    }

    fn random(&self) -> u128 {
        0
    }
}

struct Place {
    dir: tempfile::TempDir,
}

impl Place {
    fn new() -> Self {
        Self {
            dir: tempfile::tempdir().expect("a directory"),
        }
    }

    fn trail(&self) -> PathBuf {
        self.dir.path().join("audit.git")
    }

    fn logs(&self) -> PathBuf {
        self.dir.path().join("logs")
    }

    fn catch_up(&self, store: &dyn RunStore) -> Result<usize, AuditError> {
        AuditTrail::open(&self.trail())?.catch_up(store, &self.logs(), &Lines)
    }

    fn git(&self, arguments: &[&str]) -> String {
        let output = Command::new("git")
            .arg("-C")
            .arg(self.trail())
            .args(arguments)
            .env("GIT_CONFIG_GLOBAL", "/dev/null")
            .env("GIT_CONFIG_NOSYSTEM", "1")
            .env_remove("GIT_DIR")
            .env_remove("GIT_TRACE")
            .env("LC_ALL", "C")
            .output()
            .expect("git runs");
        let errors = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "git {arguments:?}: {errors}");
        assert_eq!(errors, "", "git {arguments:?} complains");
        String::from_utf8(output.stdout).expect("text")
    }

    fn show(&self, run: RunId, file: &str) -> String {
        self.git(&["show", &format!("main:runs/2026/11/23/{run}/{file}")])
    }

    fn commits(&self) -> usize {
        self.git(&["rev-list", "--count", "main"])
            .trim()
            .parse()
            .expect("a number")
    }

    /// Stock git finds nothing wrong, and no commit has two parents.
    fn assert_sound(&self) {
        assert_eq!(self.git(&["fsck", "--strict", "--no-dangling"]), "");
        assert_eq!(self.git(&["rev-list", "--min-parents=2", "main"]), "");
        assert_eq!(self.git(&["symbolic-ref", "HEAD"]), "refs/heads/main\n");
    }
}

fn create(store: &dyn RunStore, run: RunId) {
    block_on(store.create_run(
        new_run(run),
        event(run, 1, created()),
        owner(std::process::id()),
    ))
    .expect("created");
}

fn append(store: &dyn RunStore, run: RunId, seq: u64, kind: EventKind) {
    let status = match kind {
        EventKind::RunFinished { .. } => RunStatus::Finished,
        _ => RunStatus::Running,
    };
    block_on(store.append(vec![event(run, seq, kind)], status)).expect("appended");
}

fn full_run(store: &dyn RunStore, run: RunId) -> Vec<RunEvent> {
    let events = every_event(run);
    create(store, run);
    block_on(store.append(events[1..].to_vec(), RunStatus::Finished)).expect("appended");
    events
}

/// The `events.jsonl` of a sample run: each line with the digest of the one before it.
fn json_lines(events: &[RunEvent]) -> String {
    let run = new_run(events[0].run);
    let mut prev = Digest::of_bytes((run.plan_json + &run.source).as_bytes());
    let mut lines = String::new();
    for event in events {
        let json = serde_json::to_string(event).expect("encodes");
        let line = format!("{{\"prev\":\"{prev}\",{}", &json[1..]);
        prev = Digest::of_bytes(line.as_bytes());
        lines.push_str(&line);
        lines.push('\n');
    }
    lines
}

#[test]
fn a_run_is_on_record_for_stock_git() {
    let place = Place::new();
    let store = MemoryStore::new();
    let run = run_id(1);
    let logs = place.logs().join(run.to_string());
    std::fs::create_dir_all(&logs).expect("creates");
    std::fs::write(logs.join("restart.log"), "hello\n").expect("writes");
    let events = full_run(&store, run);
    assert_eq!(place.catch_up(&store).expect("recorded"), 1);

    place.assert_sound();
    assert_eq!(place.show(run, "events.jsonl"), json_lines(&events));
    assert_eq!(place.show(run, "runbook.yaml"), new_run(run).source);
    assert_eq!(place.show(run, "plan.json"), new_run(run).plan_json);
    assert_eq!(place.show(run, "logs/restart.log"), "hello\n");
    assert!(
        place
            .show(run, "report.md")
            .contains(&format!("{} events", events.len()))
    );
    let vote: RunEvent =
        serde_json::from_str(&place.show(run, "approvals/go-15.json")).expect("decodes");
    assert_eq!(vote, events[14]);
    assert!(place.show(run, "approvals/go2-16.json").contains("reject"));
    assert_eq!(place.show(run, "approvals/go2-16.statement"), "{}\n");
    assert_eq!(
        place.show(run, "approvals/go2-16.sig"),
        "-----BEGIN SSH SIGNATURE-----\n"
    );
    let review = place.show(run, &format!("approvals/review-{}.json", events.len()));
    assert!(review.contains("it was on fire"));

    let trailers = place.git(&["log", "--format=%(trailers:only,unfold)", "main"]);
    let digest = new_run(run).plan_digest;
    let last = events.len() as u64;
    let lines = json_lines(&events);
    let head = Digest::of_bytes(lines.lines().next_back().expect("a line").as_bytes());
    assert_eq!(
        trailers.trim_end(),
        format!(
            "Run-Id: {run}\nRunbook: service-restart\nEnvironment: local\n\
             Plan-Digest: {digest}\nLast-Seq: {last}\nChain-Head: {head}\nActor: ada@box\n\
             Outcome: rolled_back"
        )
    );
    let who = place.git(&["log", "--format=%an <%ae> %at|%cn <%ce>", "main"]);
    let seconds = at(last).unix_millis() / 1_000;
    assert_eq!(
        who,
        format!("ada <ada@box> {seconds}|runbook <runbook@box>\n")
    );
    let run_record = store.run(run).expect("reads").expect("is there");
    assert_eq!(run_record.audited_seq, EventSeq(last));
}

#[test]
fn later_events_make_later_commits_and_nothing_new_makes_none() {
    let place = Place::new();
    let store = MemoryStore::new();
    let run = run_id(1);
    create(&store, run);
    assert_eq!(place.catch_up(&store).expect("recorded"), 1);
    assert_eq!(place.catch_up(&store).expect("nothing to do"), 0);
    append(&store, run, 2, started("go"));
    append(&store, run, 3, succeeded("go", None));
    assert_eq!(place.catch_up(&store).expect("recorded"), 1);
    append(&store, run, 4, finished(Outcome::Succeeded));
    assert_eq!(place.catch_up(&store).expect("recorded"), 1);
    place.assert_sound();
    let short = &run.to_string()[..10];
    assert_eq!(
        place.git(&["log", "--reverse", "--format=%s", "main"]),
        format!(
            "service-restart: started in local by ada ({short})\n\
             service-restart: 1 step done ({short})\n\
             service-restart: succeeded in 4.2s ({short})\n"
        )
    );
    let all = store.events_after(run, EventSeq(0)).expect("reads");
    assert_eq!(place.show(run, "events.jsonl"), json_lines(&all));
}

#[test]
fn dying_between_commit_and_cursor_records_nothing_twice() {
    let place = Place::new();
    let store = MemoryStore::new();
    let run = run_id(1);
    let events = full_run(&store, run);
    place.catch_up(&store).expect("recorded");
    block_on(store.set_audited(run, EventSeq(0))).expect("as if it had died before");
    assert_eq!(place.catch_up(&store).expect("nothing to do"), 0);
    assert_eq!(place.commits(), 1);
    assert_eq!(place.show(run, "events.jsonl"), json_lines(&events));
    assert!(store.runs_to_audit().expect("reads").is_empty());
}

#[test]
fn a_deleted_trail_is_derived_again() {
    let place = Place::new();
    let store = MemoryStore::new();
    for n in 1..=12 {
        full_run(&store, run_id(n));
    }
    place.catch_up(&store).expect("recorded");
    let before = place.git(&["ls-tree", "-r", "main"]);
    std::fs::remove_dir_all(place.trail()).expect("deletes");
    assert_eq!(place.catch_up(&store).expect("derived"), 12);
    place.assert_sound();
    assert_eq!(place.git(&["ls-tree", "-r", "main"]), before);
}

#[test]
fn a_trail_put_back_to_an_older_state_is_completed() {
    let place = Place::new();
    let store = MemoryStore::new();
    create(&store, run_id(1));
    full_run(&store, run_id(2));
    place.catch_up(&store).expect("recorded");
    let old = place.git(&["rev-parse", "main"]);
    append(&store, run_id(1), 2, finished(Outcome::Succeeded));
    full_run(&store, run_id(3));
    place.catch_up(&store).expect("recorded");
    let newest = place.git(&["rev-parse", "main^{tree}"]);
    place.git(&["update-ref", "refs/heads/main", old.trim()]);
    place.catch_up(&store).expect("completed");
    place.assert_sound();
    assert_eq!(place.git(&["rev-parse", "main^{tree}"]), newest);
}

#[test]
fn a_record_that_was_changed_is_told_and_does_not_hold_up_the_others() {
    let place = Place::new();
    let store = MemoryStore::new();
    create(&store, run_id(1));
    place.catch_up(&store).expect("recorded");
    // The journal of another machine with the same run, but another story.
    let other = MemoryStore::new();
    let mut lie = event(run_id(1), 1, created());
    lie.at = at(99);
    block_on(other.create_run(new_run(run_id(1)), lie, owner(1))).expect("created");
    full_run(&other, run_id(2));
    let error = place.catch_up(&other).expect_err("differs");
    assert!(
        matches!(error, AuditError::Diverged { run, seq } if run == run_id(1) && seq == EventSeq(1)),
        "{error:?}"
    );
    assert_eq!(place.commits(), 2, "the other run is on record");
}

#[test]
fn two_processes_write_one_trail() {
    let place = Place::new();
    let state = place.dir.path();
    let runs_each = 12;
    std::thread::scope(|scope| {
        for writer in 0..2_u64 {
            let place = &place;
            scope.spawn(move || {
                let store = SqliteStore::open(state).expect("opens");
                let mut trail = AuditTrail::open(&place.trail()).expect("opens");
                for n in 0..runs_each {
                    let run = run_id(writer * 1_000 + n);
                    create(&store, run);
                    // Both see both writers' runs, so they also race for the same ones.
                    trail
                        .catch_up(&store, &place.logs(), &Lines)
                        .expect("recorded");
                    append(&store, run, 2, finished(Outcome::Succeeded));
                    trail
                        .catch_up(&store, &place.logs(), &Lines)
                        .expect("recorded");
                }
            });
        }
    });
    place.assert_sound();
    let store = SqliteStore::open(state).expect("opens");
    place
        .catch_up(&store)
        .expect("nothing is left or it is recorded now");
    for record in store.runs(&RunFilter::default()).expect("reads") {
        let events = store.events_after(record.id, EventSeq(0)).expect("reads");
        assert_eq!(events.len(), 2);
        assert_eq!(place.show(record.id, "events.jsonl"), json_lines(&events));
    }
    let folders = place.git(&["ls-tree", "--name-only", "main:runs/2026/11/23"]);
    assert_eq!(folders.lines().count() as u64, 2 * runs_each);
}

#[test]
#[ignore = "the other process of the test below"]
fn records_until_it_is_killed() {
    let Some(state) = first_line().map(PathBuf::from) else {
        return;
    };
    let store = SqliteStore::open(&state).expect("opens");
    let mut trail = AuditTrail::open(&state.join("audit.git")).expect("opens");
    for n in 1.. {
        full_run(&store, run_id(n));
        trail
            .catch_up(&store, &state.join("logs"), &Lines)
            .expect("recorded");
        println!("\ndone {n}");
    }
}

#[test]
fn a_trail_whose_writer_was_killed_is_completed_by_the_next_process() {
    // Each round kills the other process after one more commit, somewhere in its work.
    for commits in 1..=3 {
        let place = Place::new();
        let state = place.dir.path().to_str().expect("text");
        let mut child = another_process("audit::tests::records_until_it_is_killed", state);
        for n in numbers_of(&mut child) {
            if n == commits {
                child.kill().expect("kills");
            }
        }
        child.wait().expect("ends");
        let store = SqliteStore::open(place.dir.path()).expect("opens");
        place.catch_up(&store).expect("completed");
        place.assert_sound();
        let runs = store.runs(&RunFilter::default()).expect("reads");
        assert!(runs.len() >= commits as usize, "{}", runs.len());
        for record in runs {
            let events = store.events_after(record.id, EventSeq(0)).expect("reads");
            assert_eq!(place.show(record.id, "events.jsonl"), json_lines(&events));
        }
    }
}

#[test]
fn names_that_git_refuses_are_mended() {
    let place = Place::new();
    let store = MemoryStore::new();
    let run = run_id(1);
    let mut new = new_run(run);
    new.actor.name = "<>\n".to_owned();
    new.actor.host = " a<b>\u{7}c. ".to_owned();
    block_on(store.create_run(new, event(run, 1, created()), owner(1))).expect("created");
    place.catch_up(&store).expect("recorded");
    assert_eq!(
        place.git(&["log", "--format=%an <%ae>"]),
        "unknown <unknown@abc>\n"
    );
    place.assert_sound();
}

#[test]
fn the_log_tells_what_the_commits_say() {
    let place = Place::new();
    assert_eq!(
        log(&place.trail(), &AuditFilter::default()).expect("reads"),
        []
    );
    let store = MemoryStore::new();
    create(&store, run_id(1));
    place.catch_up(&store).expect("recorded");
    let events = full_run(&store, run_id(2));
    append(&store, run_id(1), 2, finished(Outcome::Stuck));
    place.catch_up(&store).expect("recorded");

    let all = log(&place.trail(), &AuditFilter::default()).expect("reads");
    let runs: Vec<_> = all.iter().map(|entry| entry.run).collect();
    assert_eq!(runs, [Some(run_id(2)), Some(run_id(1)), Some(run_id(1))]);
    let newest = &all[0];
    assert_eq!(newest.last_seq, Some(EventSeq(events.len() as u64)));
    assert_eq!(newest.outcome.as_deref(), Some("rolled_back"));
    assert_eq!(newest.plan_digest, Some(new_run(run_id(2)).plan_digest));
    assert_eq!(newest.runbook.as_deref(), Some("service-restart"));
    assert_eq!(newest.environment.as_deref(), Some("local"));
    assert_eq!(newest.author, "ada <ada@box>");
    assert_eq!(
        newest.at.unix_millis(),
        at(events.len() as u64).unix_millis() / 1_000 * 1_000
    );
    assert_eq!(newest.commit, place.git(&["rev-parse", "main"]).trim());
    let one = log(
        &place.trail(),
        &AuditFilter {
            run: Some(run_id(1)),
            limit: Some(1),
        },
    )
    .expect("reads");
    assert_eq!(one, all[1..2]);
    assert_eq!(one[0].outcome.as_deref(), Some("stuck"));
}

#[test]
fn a_place_that_cannot_hold_a_trail_is_named() {
    let place = Place::new();
    std::fs::write(place.trail(), "x").expect("writes");
    let Err(error) = AuditTrail::open(&place.trail()) else {
        panic!("a file is no trail");
    };
    assert!(error.to_string().contains("audit.git"), "{error}");
}

#[test]
fn what_a_step_printed_is_kept_bounded() {
    let place = Place::new();
    let store = MemoryStore::new();
    let run = run_id(1);
    let logs = place.logs().join(run.to_string());
    std::fs::create_dir_all(&logs).expect("creates");
    let text = "a line of output\n".repeat(20_000);
    std::fs::write(logs.join("a.log"), &text).expect("writes");
    create(&store, run);
    append(&store, run, 2, started("a"));
    let log = log_ref("a.log", text.as_bytes());
    append(&store, run, 3, succeeded("a", Some(log)));
    let escape = log_ref("../../../etc/passwd", b"");
    append(&store, run, 4, succeeded("b", Some(escape)));
    place.catch_up(&store).expect("recorded");
    let kept = place.show(run, "logs/a.log");
    assert!(
        kept.starts_with("[the first ") && kept.len() < 66_000,
        "{}",
        kept.len()
    );
    let tree = place.git(&["ls-tree", "-r", "--name-only", "main"]);
    assert!(!tree.contains("passwd"), "{tree}");
}
