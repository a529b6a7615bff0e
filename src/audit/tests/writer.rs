//! The writer thread: when it commits, and when it does not.

use super::*;

/// Tells a channel whenever a run is about to be committed.
struct Telling(mpsc::Sender<u64>);

impl ReportRenderer for Telling {
    fn report(&self, _run: &RunRecord, _plan_json: &str, events: &[RunEvent]) -> String {
        // The test may have heard enough.
        let _ = self.0.send(events.len() as u64);
        String::new()
    }
}

fn spawn(place: &Place, store: &Arc<MemoryStore>) -> (AuditWriter, mpsc::Receiver<u64>) {
    let (tell, told) = mpsc::channel();
    let writer = AuditWriter::spawn(
        &place.trail(),
        AuditSources {
            store: Arc::clone(store) as Arc<dyn RunStore>,
            logs_root: place.logs(),
            renderer: Arc::new(Telling(tell)),
            clock: Arc::new(StillClock),
            key: None,
            on_commit: Arc::new(|| {}),
        },
    );
    (writer.expect("starts"), told)
}

const DEADLINE: Duration = Duration::from_secs(30);

#[test]
fn the_writer_records_turns_at_once_and_the_rest_at_the_end() {
    let place = Place::new();
    let store = Arc::new(MemoryStore::new());
    let run = run_id(1);
    create(store.as_ref(), run);
    let (writer, told) = spawn(&place, &store);
    assert_eq!(told.recv_timeout(DEADLINE), Ok(1), "what was left before");
    let gate = EventKind::GateOpened {
        step: step("go"),
        message: "Go?".to_owned(),
        expires_at: None,
    };
    append(store.as_ref(), run, 2, started("go"));
    append(store.as_ref(), run, 3, gate);
    writer.notify(true);
    assert_eq!(told.recv_timeout(DEADLINE), Ok(3), "the gate");
    append(store.as_ref(), run, 4, started("a"));
    writer.notify(false);
    writer.finish().expect("finishes");
    assert_eq!(told.try_iter().collect::<Vec<_>>(), [4]);
    let all = store.events_after(run, EventSeq(0)).expect("reads");
    assert_eq!(place.show(run, "events.jsonl"), json_lines(&all));
    place.assert_sound();
}

#[test]
fn the_writer_batches_ever_more_so_that_a_long_run_stays_linear() {
    let place = Place::new();
    let store = Arc::new(MemoryStore::new());
    let run = run_id(1);
    create(store.as_ref(), run);
    let (writer, told) = spawn(&place, &store);
    let last = 600;
    for seq in 2..=last {
        append(store.as_ref(), run, seq, started("a"));
        // Wakes the writer after every event, as if each came a second after the other.
        writer.notify(true);
    }
    writer.finish().expect("finishes");
    let sizes: Vec<u64> = told.iter().collect();
    assert_eq!(sizes.last(), Some(&last));
    let inner = &sizes[..sizes.len() - 1];
    for pair in inner.windows(2) {
        assert!(pair[1] >= 2 * pair[0], "{sizes:?}");
    }
    assert!(place.commits() <= 12, "{sizes:?}");
}

#[test]
fn another_process_s_run_in_mid_flow_is_left_to_it() {
    let place = Place::new();
    let store = Arc::new(MemoryStore::new());
    let (theirs, ours) = (run_id(1), run_id(2));
    for (run, pid) in [(theirs, std::process::id() + 1), (ours, std::process::id())] {
        block_on(store.create_run(new_run(run), event(run, 1, created()), owner(pid)))
            .expect("created");
        let more = (2..=3).map(|seq| event(run, seq, started("a"))).collect();
        block_on(store.append(more, RunStatus::Running)).expect("appended");
    }
    place.catch_up(store.as_ref()).expect("recorded");
    for run in [theirs, ours] {
        append(store.as_ref(), run, 4, succeeded("a", None));
    }
    let (writer, _told) = spawn(&place, &store);
    writer.finish().expect("finishes");
    let left = store.runs_to_audit().expect("reads");
    assert_eq!(left.len(), 1);
    assert_eq!(left[0].id, theirs);
    assert_eq!(place.catch_up(store.as_ref()).expect("recorded"), 1);
}

/// Not a test of behaviour: prints what a long run costs.
#[test]
#[ignore = "a measurement, not a check"]
fn what_a_long_run_costs() {
    let place = Place {
        dir: tempfile::tempdir_in(env!("CARGO_MANIFEST_DIR")).expect("a directory"),
    };
    let store = Arc::new(MemoryStore::new());
    let run = run_id(1);
    create(store.as_ref(), run);
    let (writer, told) = spawn(&place, &store);
    let mut journal = 0;
    for seq in 2..=10_000 {
        let kind = match seq {
            10_000 => finished(Outcome::Succeeded),
            n if n % 2 == 0 => started(&format!("s{}", n / 2)),
            n => succeeded(&format!("s{}", n / 2), None),
        };
        journal += serde_json::to_vec(&kind).expect("encodes").len();
        append(store.as_ref(), run, seq, kind);
        writer.notify(true);
    }
    let start = std::time::Instant::now();
    writer.finish().expect("finishes");
    println!("finish took {:?}", start.elapsed());
    println!(
        "commits: {}, at {:?}",
        place.commits(),
        told.iter().collect::<Vec<_>>()
    );
    println!(
        "journal: {journal} bytes; {}",
        place.git(&["count-objects", "-v"])
    );
    let start = std::time::Instant::now();
    let other = Place {
        dir: tempfile::tempdir_in(env!("CARGO_MANIFEST_DIR")).expect("a directory"),
    };
    block_on(store.set_audited(run, EventSeq(0))).expect("set");
    other.catch_up(store.as_ref()).expect("recorded");
    println!("10,000 events in one commit: {:?}", start.elapsed());
    println!("{}", other.git(&["count-objects", "-v"]));
    let start = std::time::Instant::now();
    for n in 2..=501 {
        full_run(store.as_ref(), run_id(n));
    }
    other.catch_up(store.as_ref()).expect("recorded");
    println!(
        "500 small runs on one day: {:?} each",
        start.elapsed() / 500
    );
    println!("{}", other.git(&["count-objects", "-v"]));
}
