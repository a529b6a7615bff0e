//! What only the SQLite store promises: durability, several processes, clear errors, a frozen format.

use std::error::Error as _;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use pollster::block_on;
use rusqlite::Connection;

use super::SqliteStore;
use crate::base::{EventSeq, RunId, Value};
use crate::event::{Ballot, EventKind, Outcome, ReviewVerdict, RunEvent, RunStatus, Vote};
use crate::store::samples::{
    another_process, created, created_in_emergency, event, every_event, finished, first_line,
    new_run, numbers_of, owner, reviewed, run_id, started,
};
use crate::store::{Journal, RequestKind, RunFilter, RunStore, StoreError};

fn open(dir: &Path) -> SqliteStore {
    SqliteStore::open(dir).expect("opens")
}

fn create(store: &SqliteStore, n: u64) {
    let id = run_id(n);
    block_on(store.create_run(new_run(id), event(id, 1, created()), owner(1))).expect("created");
}

fn golden(format: u32) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("tests/fixtures/store/v{format}.sql"))
}

fn load_golden(format: u32, dir: &Path) {
    let dump = fs::read_to_string(golden(format)).expect("the golden file");
    Connection::open(dir.join("state.db"))
        .and_then(|conn| conn.execute_batch(&dump))
        .expect("loads");
}

fn golden_store(format: u32, dir: &Path) -> SqliteStore {
    load_golden(format, dir);
    open(dir)
}

/// The events' JSON as it is on disk.
fn stored_json(dir: &Path, run: RunId) -> Vec<Value> {
    let conn = Connection::open(dir.join("state.db")).expect("opens");
    let mut stored = conn
        .prepare("SELECT json FROM events WHERE run_id = ?1 ORDER BY seq")
        .expect("prepares");
    let texts: Vec<String> = stored
        .query_map([run.to_string()], |row| row.get(0))
        .and_then(Iterator::collect)
        .expect("reads");
    texts
        .iter()
        .map(|text| serde_json::from_str(text).expect("JSON"))
        .collect()
}

/// What format 1 knew of the samples: the kinds of events of that time, and votes without rounds.
fn events_of_format_1(run: RunId) -> Vec<RunEvent> {
    let mut events = every_event(run);
    events.truncate(40);
    for event in &mut events {
        if let EventKind::VoteCast {
            step,
            vote,
            actor,
            comment,
            plan_digest,
            request,
            ..
        } = event.event.clone()
        {
            event.event = Ballot::plain(vote, plan_digest, comment).cast(step, actor, request);
        }
    }
    events
}

fn schema(dir: &Path) -> Vec<(String, String)> {
    let conn = Connection::open(dir.join("state.db")).expect("opens");
    let mut statement = conn
        .prepare("SELECT name, sql FROM sqlite_schema WHERE sql IS NOT NULL ORDER BY name")
        .expect("prepares");
    let rows = statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?)));
    rows.and_then(Iterator::collect).expect("reads")
}

fn check_golden(store: &SqliteStore, events: &[RunEvent]) {
    let id = run_id(1);
    assert_eq!(store.events_after(id, EventSeq(0)).expect("reads"), events);
    let record = store.run(id).expect("reads").expect("is there");
    assert_eq!(record.status, RunStatus::Finished);
    assert_eq!(record.owner, Some(owner(1)));
    assert_eq!(store.source(id).expect("reads"), new_run(id).source);
    let kinds: Vec<RequestKind> = store
        .requests_after(id, 0)
        .expect("reads")
        .into_iter()
        .map(|request| request.kind)
        .collect();
    assert_eq!(kinds, golden_requests(id));
}

#[test]
fn a_store_of_format_1_reads_the_same_for_ever() {
    let dir = tempfile::tempdir().expect("a directory");
    load_golden(1, dir.path());
    let id = run_id(1);
    let events = events_of_format_1(id);
    let reader = SqliteStore::open_read_only(dir.path()).expect("opens without migrating");
    check_golden(&reader, &events);
    assert!(reader.obligations(false).expect("none was kept").is_empty());
    drop(reader);
    let mut before = stored_json(dir.path(), id);

    let store = open(dir.path());
    check_golden(&store, &events);
    assert!(store.obligations(false).expect("reads").is_empty());
    drop(store);
    assert_eq!(
        stored_json(dir.path(), id),
        before,
        "events are not rewritten"
    );
    for stored in &mut before {
        if stored["event"]["kind"] == "vote_cast" {
            stored["event"]["round"] = 1.into();
        }
    }
    let encoded: Vec<Value> = events
        .iter()
        .map(|event| serde_json::to_value(event).expect("encodes"))
        .collect();
    assert_eq!(encoded, before);
}

#[test]
fn a_store_of_format_2_reads_the_same_for_ever() {
    let dir = tempfile::tempdir().expect("a directory");
    let store = golden_store(2, dir.path());
    let (id, emergency) = (run_id(1), run_id(2));
    let events = every_event(id);
    check_golden(&store, &events);
    let owed = store.obligations(false).expect("reads");
    assert_eq!(owed.len(), 1);
    assert_eq!(
        (owed[0].run, owed[0].due_at),
        (emergency, crate::store::samples::at(90_000_000))
    );
    assert_eq!(
        owed[0].closed,
        Some((crate::store::samples::at(3), ReviewVerdict::Accept))
    );
    let of_emergency = store.events_after(emergency, EventSeq(0)).expect("reads");
    assert_eq!(of_emergency, golden_emergency(emergency));
    drop(store);
    for (run, events) in [(id, events), (emergency, of_emergency)] {
        let encoded: Vec<Value> = events
            .iter()
            .map(|event| serde_json::to_value(event).expect("encodes"))
            .collect();
        assert_eq!(encoded, stored_json(dir.path(), run));
    }
}

#[test]
fn a_migrated_store_has_the_tables_of_a_new_one() {
    let new = tempfile::tempdir().expect("a directory");
    drop(open(new.path()));
    for format in [1, 2] {
        let old = tempfile::tempdir().expect("a directory");
        drop(golden_store(format, old.path()));
        assert_eq!(schema(new.path()), schema(old.path()), "format {format}");
    }
}

#[test]
fn the_directory_is_private_and_the_database_flushes_every_commit() {
    let dir = tempfile::tempdir().expect("a directory");
    let state = dir.path().join("deep/.runbook");
    let store = open(&state);
    let mode = fs::metadata(&state).expect("is there").permissions().mode();
    assert_eq!(mode & 0o777, 0o700);
    let pragma = |name: &'static str| {
        let value = store.write(move |conn| {
            Ok(conn.query_row(&format!("PRAGMA {name}"), [], |row| {
                row.get::<_, rusqlite::types::Value>(0)
            })?)
        });
        block_on(value).expect("reads")
    };
    assert_eq!(pragma("journal_mode"), "wal".to_owned().into());
    assert_eq!(pragma("synchronous"), 2.into());
    assert_eq!(pragma("foreign_keys"), 1.into());
}

#[test]
fn appends_that_nobody_waits_for_are_answered_before_the_store_is_gone() {
    let dir = tempfile::tempdir().expect("a directory");
    let id = run_id(1);
    let store = open(dir.path());
    create(&store, 1);
    let pending: Vec<_> = (2..=300)
        .map(|seq| store.append(vec![event(id, seq, started("a"))], RunStatus::Running))
        .collect();
    drop(store);
    for answer in pending {
        block_on(answer).expect("was appended");
    }
    assert!(
        !dir.path().join("state.db-wal").exists(),
        "the log was moved into the main file"
    );
    let events = open(dir.path()).events_after(id, EventSeq(0));
    assert_eq!(events.expect("reads").len(), 300);
}

#[test]
fn several_handles_share_one_directory() {
    let dir = tempfile::tempdir().expect("a directory");
    let (a, b) = (open(dir.path()), open(dir.path()));
    create(&a, 1);
    let id = run_id(1);
    let version = b.data_version().expect("reads");
    block_on(a.append(vec![event(id, 2, started("a"))], RunStatus::Running)).expect("appended");
    assert_ne!(b.data_version().expect("reads"), version);
    let stale = block_on(b.append(vec![event(id, 2, started("b"))], RunStatus::Running));
    assert!(
        matches!(stale, Err(StoreError::Conflict { .. })),
        "{stale:?}"
    );
    block_on(b.append(vec![event(id, 3, started("b"))], RunStatus::Running)).expect("appended");
    assert_eq!(a.events_after(id, EventSeq(0)).expect("reads").len(), 3);
}

#[test]
fn handles_that_open_write_and_close_at_once_lose_nothing() {
    let dir = tempfile::tempdir().expect("a directory");
    std::thread::scope(|scope| {
        for thread in 0..4 {
            let dir = dir.path();
            scope.spawn(move || {
                for n in 0..15 {
                    create(&open(dir), thread * 100 + n);
                }
            });
        }
    });
    let runs = open(dir.path()).runs(&RunFilter::default());
    assert_eq!(runs.expect("reads").len(), 60);
}

#[test]
fn a_full_disk_fails_the_append_and_leaves_the_run_as_it_was() {
    let dir = tempfile::tempdir().expect("a directory");
    let store = open(dir.path());
    create(&store, 1);
    let id = run_id(1);
    block_on(store.write(|conn| {
        let pages: i64 = conn.query_row("PRAGMA page_count", [], |row| row.get(0))?;
        conn.query_row(&format!("PRAGMA max_page_count = {pages}"), [], |_| Ok(()))?;
        Ok(())
    }))
    .expect("limits the size");
    let long = vec![event(id, 2, started(&"a".repeat(64))); 1];
    let mut seq = 1;
    let error = loop {
        seq += 1;
        let next = vec![event(id, seq, long[0].event.clone())];
        if let Err(error) = block_on(store.append(next, RunStatus::Waiting)) {
            break error;
        }
        assert!(seq < 1_000, "the limit never came");
    };
    assert!(matches!(error, StoreError::Unavailable { .. }), "{error:?}");
    let cause = error.source().expect("has a cause").to_string();
    assert!(cause.contains("full"), "{cause}");
    let record = store.run(id).expect("reads").expect("is there");
    assert_eq!(record.last_seq, EventSeq(seq - 1));
    let stored = store.events_after(id, EventSeq(0)).expect("reads").len();
    assert_eq!(stored as u64, seq - 1);
}

/// Runs `work` without the rights of root, which would pass every permission check.
fn as_nobody<T: Send>(work: impl FnOnce() -> T + Send) -> T {
    std::thread::scope(|scope| {
        let thread = scope.spawn(|| {
            if nix::unistd::geteuid().is_root() {
                nix::unistd::setfsuid(nix::unistd::Uid::from_raw(65534));
            }
            work()
        });
        thread.join().expect("no panic")
    })
}

fn chmod(path: &Path, mode: u32) {
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).expect("chmod");
}

#[test]
fn a_read_only_directory_is_refused_for_writing_and_good_for_reading() {
    let dir = tempfile::tempdir().expect("a directory");
    chmod(dir.path(), 0o755);
    let state = dir.path().join("state ü?");
    let store = open(&state);
    create(&store, 1);
    drop(store);
    for file in fs::read_dir(&state).expect("lists") {
        chmod(&file.expect("lists").path(), 0o444);
    }
    chmod(&state, 0o555);
    let (refused, read) = as_nobody(|| {
        let read = SqliteStore::open_read_only(&state).expect("opens");
        let runs = read.runs(&RunFilter::default()).expect("reads");
        let write = block_on(read.set_audited(run_id(1), EventSeq(1)));
        assert!(
            matches!(write, Err(StoreError::Unavailable { .. })),
            "{write:?}"
        );
        (SqliteStore::open(&state), runs)
    });
    chmod(&state, 0o755);
    assert_eq!(read.len(), 1);
    match refused {
        Err(StoreError::Unavailable { path, source, .. }) => {
            assert!(path.starts_with(state.to_str().expect("text")), "{path}");
            assert!(source.to_string().contains("denied"), "{source}");
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_reader_sees_what_a_living_writer_has_not_yet_moved_into_the_main_file() {
    let dir = tempfile::tempdir().expect("a directory");
    let writer = open(dir.path());
    create(&writer, 1);
    let reader = SqliteStore::open_read_only(dir.path()).expect("opens");
    assert_eq!(reader.runs(&RunFilter::default()).expect("reads").len(), 1);
    create(&writer, 2);
    assert_eq!(reader.runs(&RunFilter::default()).expect("reads").len(), 2);
}

#[test]
fn where_nothing_was_stored_a_reader_finds_nothing_and_creates_nothing() {
    let dir = tempfile::tempdir().expect("a directory");
    let state = dir.path().join(".runbook");
    let store = SqliteStore::open_read_only(&state).expect("opens");
    assert!(store.runs(&RunFilter::default()).expect("reads").is_empty());
    assert!(!state.exists());
}

#[test]
fn what_cannot_be_a_store_is_named_with_its_path_and_cause() {
    let dir = tempfile::tempdir().expect("a directory");
    let file = dir.path().join("file");
    fs::write(&file, "x").expect("writes");
    let error = SqliteStore::open(&file).expect_err("is a file");
    assert!(matches!(error, StoreError::Unavailable { .. }), "{error:?}");
    assert!(error.to_string().contains("file"), "{error}");

    let text = dir.path().join("text");
    fs::create_dir(&text).expect("creates");
    fs::write(text.join("state.db"), "not a database ".repeat(100)).expect("writes");
    for error in [
        SqliteStore::open(&text).expect_err("is text"),
        SqliteStore::open_read_only(&text).expect_err("is text"),
    ] {
        assert!(matches!(error, StoreError::Corrupt { .. }), "{error:?}");
        assert!(error.to_string().contains("state.db"), "{error}");
    }

    let foreign = dir.path().join("foreign");
    fs::create_dir(&foreign).expect("creates");
    Connection::open(foreign.join("state.db"))
        .and_then(|conn| conn.execute_batch("CREATE TABLE other (x)"))
        .expect("creates");
    let error = SqliteStore::open(&foreign).expect_err("is another program's");
    assert!(matches!(error, StoreError::Corrupt { .. }), "{error:?}");
}

#[test]
fn a_newer_format_is_refused_and_left_alone() {
    let dir = tempfile::tempdir().expect("a directory");
    drop(open(dir.path()));
    Connection::open(dir.path().join("state.db"))
        .and_then(|conn| conn.execute_batch("UPDATE meta SET format_version = 3"))
        .expect("writes");
    for error in [
        SqliteStore::open(dir.path()).expect_err("is newer"),
        SqliteStore::open_read_only(dir.path()).expect_err("is newer"),
    ] {
        assert!(
            matches!(
                error,
                StoreError::TooNew {
                    found: 3,
                    known: 2,
                    ..
                }
            ),
            "{error:?}"
        );
    }
}

#[test]
fn a_damaged_event_is_named() {
    let dir = tempfile::tempdir().expect("a directory");
    let store = open(dir.path());
    create(&store, 1);
    block_on(store.write(|conn| Ok(conn.execute("UPDATE events SET json = '{}'", [])?)))
        .expect("writes");
    let error = store
        .events_after(run_id(1), EventSeq(0))
        .expect_err("is damaged");
    assert!(error.to_string().contains("event 1 of run"), "{error}");
}

#[test]
#[ignore = "the other process of the test below"]
fn appends_until_it_is_killed() {
    let Some(state) = first_line() else {
        return;
    };
    let store = open(Path::new(&state));
    create(&store, 1);
    for seq in 2.. {
        let next = vec![event(run_id(1), seq, started("a"))];
        block_on(store.append(next, RunStatus::Running)).expect("appended");
        println!("\ndone {seq}");
    }
}

#[test]
fn a_killed_process_loses_nothing_that_was_answered_and_disturbs_nobody() {
    let dir = tempfile::tempdir().expect("a directory");
    let store = open(dir.path());
    let mut child = another_process(
        "store::sqlite::tests::appends_until_it_is_killed",
        dir.path().to_str().expect("text"),
    );
    let mut answered = 0;
    for (seq, n) in numbers_of(&mut child).zip(100..) {
        answered = seq;
        // Both write at the same time, to different runs.
        create(&store, n);
        if seq == 60 {
            child.kill().expect("kills");
        }
    }
    child.wait().expect("ends");
    assert!(answered >= 60, "{answered}");
    let events = store.events_after(run_id(1), EventSeq(0)).expect("reads");
    assert!(
        events.len() as u64 >= answered,
        "{} < {answered}",
        events.len()
    );
    let dense = events.iter().zip(1..).all(|(event, n)| event.seq.0 == n);
    assert!(dense, "{events:?}");
    let record = store.run(run_id(1)).expect("reads").expect("is there");
    assert_eq!(record.last_seq.0, events.len() as u64);
    let sound = store.write(|conn| {
        Ok(conn.query_row("PRAGMA integrity_check", [], |row| row.get::<_, String>(0))?)
    });
    assert_eq!(block_on(sound).expect("checks"), "ok");
    let next = vec![event(run_id(1), record.last_seq.0 + 1, started("b"))];
    block_on(store.append(next, RunStatus::Running)).expect("the run goes on");
}

/// Not a test of behaviour: prints what an append costs. `cargo test --release … -- --ignored --nocapture`.
#[test]
#[ignore = "a measurement, not a check"]
fn what_an_append_costs() {
    let dir = tempfile::tempdir_in(env!("CARGO_MANIFEST_DIR")).expect("a directory");
    let store = open(dir.path());
    create(&store, 1);
    let id = run_id(1);
    let start = std::time::Instant::now();
    for seq in 2..=2_001 {
        block_on(store.append(vec![event(id, seq, started("a"))], RunStatus::Running))
            .expect("appended");
    }
    println!("one after the other: {:?} each", start.elapsed() / 2_000);
    let start = std::time::Instant::now();
    let pending: Vec<_> = (2_002..=22_001)
        .map(|seq| store.append(vec![event(id, seq, started("a"))], RunStatus::Running))
        .collect();
    for answer in pending {
        block_on(answer).expect("appended");
    }
    println!("20,000 at once: {:?} each", start.elapsed() / 20_000);
    let start = std::time::Instant::now();
    assert_eq!(
        store.events_after(id, EventSeq(0)).expect("reads").len(),
        22_001
    );
    println!("22,001 read back: {:?}", start.elapsed());
    let start = std::time::Instant::now();
    for _ in 0..1_000 {
        store.data_version().expect("reads");
    }
    println!("data_version: {:?} each", start.elapsed() / 1_000);
}

/// Writes the database of a new format version; `sqlite3 target/golden/state.db .dump` then gives its
/// golden file. Never run again for an old version.
#[test]
#[ignore = "writes the fixture of a new format version"]
fn write_golden_database() {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/golden");
    let store = open(&dir);
    let id = run_id(1);
    let events = every_event(id);
    block_on(store.create_run(new_run(id), events[0].clone(), owner(1))).expect("created");
    block_on(store.append(events[1..].to_vec(), RunStatus::Finished)).expect("appended");
    for kind in golden_requests(id) {
        let at = crate::store::samples::at(1);
        block_on(store.add_request(id, at, crate::store::samples::actor(), kind)).expect("added");
    }
    let emergency = golden_emergency(run_id(2));
    let first = emergency[0].clone();
    block_on(store.create_run(new_run(run_id(2)), first, owner(1))).expect("created");
    block_on(store.append(emergency[1..].to_vec(), RunStatus::Finished)).expect("appended");
}

/// The run of the golden file that was an emergency.
fn golden_emergency(run: RunId) -> Vec<RunEvent> {
    vec![
        event(run, 1, created_in_emergency()),
        event(run, 2, finished(Outcome::Succeeded)),
        event(run, 3, reviewed(ReviewVerdict::Accept)),
    ]
}

fn golden_requests(run: RunId) -> Vec<RequestKind> {
    vec![
        RequestKind::Vote {
            gate: Some(crate::store::samples::step("go")),
            ballot: Ballot::plain(Vote::Approve, new_run(run).plan_digest, None),
        },
        RequestKind::Cancel {
            reason: Some("enough".to_owned()),
        },
    ]
}
