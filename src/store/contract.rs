//! What every store promises, as tests that run against each of them.

use pollster::block_on;

use super::lookup::MIN_PREFIX;
use super::samples::{
    actor, at, created, created_in_emergency, event, every_event, finished, new_run, owner,
    reviewed, run_id, started, succeeded,
};
use super::{FindRunError, MemoryStore, RequestKind, RunFilter, RunStore, SqliteStore, StoreError};
use crate::base::{Digest, EventSeq, RunId};
use crate::event::{Ballot, Outcome, ReviewVerdict, RunStatus, Vote};

fn create(store: &dyn RunStore, id: RunId) {
    block_on(store.create_run(new_run(id), event(id, 1, created()), owner(1))).expect("created");
}

fn a_created_run_is_there_with_its_first_event_and_texts(store: &dyn RunStore) {
    let id = run_id(1);
    create(store, id);
    let record = store.run(id).expect("reads").expect("is there");
    let wanted = new_run(id);
    assert_eq!(record.runbook, wanted.runbook);
    assert_eq!(record.environment, wanted.environment);
    assert_eq!(record.created_at, wanted.created_at);
    assert_eq!(record.actor, wanted.actor);
    assert_eq!(record.plan_digest, wanted.plan_digest);
    assert_eq!(record.status, RunStatus::Running);
    assert_eq!((record.outcome, record.finished_at), (None, None));
    assert_eq!(
        (record.last_seq, record.audited_seq),
        (EventSeq(1), EventSeq(0))
    );
    assert_eq!(record.owner, Some(owner(1)));
    assert_eq!(store.plan_json(id).expect("reads"), wanted.plan_json);
    assert_eq!(store.source(id).expect("reads"), wanted.source);
    assert_eq!(
        store.events_after(id, EventSeq(0)).expect("reads"),
        [event(id, 1, created())]
    );
}

fn an_id_is_taken_once_and_a_run_begins_with_event_one(store: &dyn RunStore) {
    let id = run_id(1);
    create(store, id);
    let again = block_on(store.create_run(new_run(id), event(id, 1, created()), owner(2)));
    assert!(
        matches!(again, Err(StoreError::Conflict { .. })),
        "{again:?}"
    );
    assert_eq!(
        store.run(id).expect("reads").expect("is there").owner,
        Some(owner(1))
    );
    let late = run_id(2);
    let second = block_on(store.create_run(new_run(late), event(late, 2, created()), owner(1)));
    assert!(
        matches!(second, Err(StoreError::Conflict { .. })),
        "{second:?}"
    );
    assert_eq!(store.run(late).expect("reads"), None);
}

fn every_event_comes_back_as_it_went_in(store: &dyn RunStore) {
    let id = run_id(1);
    let events = every_event(id);
    block_on(store.create_run(new_run(id), events[0].clone(), owner(1))).expect("created");
    block_on(store.append(events[1..].to_vec(), RunStatus::Finished)).expect("appended");
    assert_eq!(store.events_after(id, EventSeq(0)).expect("reads"), events);
    assert_eq!(
        store.events_after(id, EventSeq(20)).expect("reads"),
        events[20..]
    );
    assert!(
        store
            .events_after(run_id(9), EventSeq(0))
            .expect("reads")
            .is_empty()
    );
}

fn the_end_of_a_run_is_cached_in_the_index(store: &dyn RunStore) {
    let id = run_id(1);
    create(store, id);
    block_on(store.append(vec![event(id, 2, started("go"))], RunStatus::Waiting))
        .expect("appended");
    let record = store.run(id).expect("reads").expect("is there");
    assert_eq!(
        (record.status, record.last_seq, record.outcome),
        (RunStatus::Waiting, EventSeq(2), None)
    );
    let end = event(id, 3, finished(Outcome::Stuck));
    block_on(store.append(vec![end.clone()], RunStatus::Finished)).expect("appended");
    let record = store.run(id).expect("reads").expect("is there");
    assert_eq!(record.status, RunStatus::Finished);
    assert_eq!(record.outcome, Some(Outcome::Stuck));
    assert_eq!(record.finished_at, Some(end.at));
    assert_eq!(record.last_seq, EventSeq(3));
}

fn only_the_next_event_is_taken(store: &dyn RunStore) {
    let id = run_id(1);
    create(store, id);
    for seq in [0, 1, 3] {
        let refused =
            block_on(store.append(vec![event(id, seq, started("go"))], RunStatus::Waiting));
        assert!(
            matches!(refused, Err(StoreError::Conflict { run, .. }) if run == id),
            "{seq}: {refused:?}"
        );
    }
    let gap = vec![event(id, 2, started("a")), event(id, 4, started("b"))];
    let refused = block_on(store.append(gap, RunStatus::Waiting));
    assert!(
        matches!(refused, Err(StoreError::Conflict { seq, .. }) if seq == EventSeq(4)),
        "{refused:?}"
    );
    let mixed = vec![
        event(id, 2, started("a")),
        event(run_id(2), 3, started("b")),
    ];
    assert!(block_on(store.append(mixed, RunStatus::Waiting)).is_err());
    let record = store.run(id).expect("reads").expect("is there");
    assert_eq!(
        (record.last_seq, record.status),
        (EventSeq(1), RunStatus::Running)
    );
    assert_eq!(store.events_after(id, EventSeq(0)).expect("reads").len(), 1);
}

fn nothing_to_append_is_no_error_and_an_unknown_run_is_one(store: &dyn RunStore) {
    block_on(store.append(Vec::new(), RunStatus::Running)).expect("nothing to do");
    let id = run_id(1);
    let errors = [
        block_on(store.append(vec![event(id, 1, created())], RunStatus::Running)).err(),
        block_on(store.set_audited(id, EventSeq(1))).err(),
        block_on(store.claim_run(id, owner(1), None)).err(),
        block_on(store.add_request(id, at(1), actor(), RequestKind::Cancel { reason: None })).err(),
        store.plan_json(id).err(),
        store.source(id).err(),
    ];
    for error in errors {
        assert!(
            matches!(error, Some(StoreError::UnknownRun(run)) if run == id),
            "{error:?}"
        );
    }
    assert_eq!(store.run(id).expect("reads"), None);
    block_on(store.release_run(id, owner(1))).expect("nothing to release");
}

fn a_conflict_of_one_run_does_not_touch_the_others(store: &dyn RunStore) {
    let (good, bad) = (run_id(1), run_id(2));
    create(store, good);
    create(store, bad);
    let pending = [
        store.append(vec![event(good, 2, started("a"))], RunStatus::Running),
        store.append(vec![event(bad, 5, started("a"))], RunStatus::Running),
        store.append(
            vec![event(good, 3, succeeded("a", None))],
            RunStatus::Running,
        ),
    ];
    let answers: Vec<bool> = pending.into_iter().map(|p| block_on(p).is_ok()).collect();
    assert_eq!(answers, [true, false, true]);
    assert_eq!(
        store.events_after(good, EventSeq(0)).expect("reads").len(),
        3
    );
    assert_eq!(
        store.events_after(bad, EventSeq(0)).expect("reads").len(),
        1
    );
}

fn runs_are_found_by_what_people_type(store: &dyn RunStore) {
    assert!(matches!(store.find_run("latest"), Err(FindRunError::Empty)));
    let ids = [run_id(1), run_id(2), run_id(5_000_000_000)];
    for id in ids {
        create(store, id);
    }
    let text = |id: RunId| id.to_string();
    assert_eq!(store.find_run("latest").expect("found"), ids[2]);
    assert_eq!(store.find_run("LATEST").expect("found"), ids[2]);
    for id in ids {
        assert_eq!(store.find_run(&text(id)).expect("found"), id);
        assert_eq!(store.find_run(&text(id).to_lowercase()).expect("found"), id);
        let short = store.prefix_len(&[id]).expect("reads");
        assert_eq!(store.find_run(&text(id)[..short]).expect("found"), id);
        if short > MIN_PREFIX {
            let shorter = store.find_run(&text(id)[..short - 1]);
            assert!(
                matches!(shorter, Err(FindRunError::Ambiguous { .. })),
                "{shorter:?}"
            );
        }
    }
    match store.find_run(&text(ids[0])[..6]) {
        Err(FindRunError::Ambiguous { matches, .. }) => assert_eq!(matches, [ids[1], ids[0]]),
        other => panic!("{other:?}"),
    }
    for unknown in ["7ZZZ", "", "01-", "%", "ü"] {
        let found = store.find_run(unknown);
        assert!(
            matches!(found, Err(FindRunError::Unknown(_))),
            "{unknown}: {found:?}"
        );
    }
}

fn the_shown_prefix_tells_runs_apart(store: &dyn RunStore) {
    assert_eq!(store.prefix_len(&[]).expect("reads"), MIN_PREFIX);
    let (a, b, far) = (run_id(1), run_id(2), RunId::from_parts(7, 7));
    for id in [a, b, far] {
        create_any(store, id);
    }
    assert_eq!(store.prefix_len(&[far]).expect("reads"), MIN_PREFIX);
    let both = store.prefix_len(&[a, b]).expect("reads");
    assert_eq!(store.prefix_len(&[a, far]).expect("reads"), both);
    assert_ne!(a.to_string()[..both], b.to_string()[..both]);
    assert_eq!(a.to_string()[..both - 1], b.to_string()[..both - 1]);
}

fn create_any(store: &dyn RunStore, id: RunId) {
    let mut run = new_run(run_id(1));
    run.id = id;
    block_on(store.create_run(run, event(id, 1, created()), owner(1))).expect("created");
}

fn lists_are_newest_first_and_filtered(store: &dyn RunStore) {
    for n in 1..=4 {
        let id = run_id(n);
        let mut run = new_run(id);
        if n % 2 == 0 {
            run.runbook = "other".to_owned();
        }
        if n == 4 {
            run.environment = "staging".to_owned();
        }
        block_on(store.create_run(run, event(id, 1, created()), owner(1))).expect("created");
    }
    let end = event(run_id(3), 2, finished(Outcome::Succeeded));
    block_on(store.append(vec![end], RunStatus::Finished)).expect("appended");
    let list = |filter: RunFilter| -> Vec<RunId> {
        let runs = store.runs(&filter).expect("reads");
        runs.into_iter().map(|run| run.id).collect()
    };
    let all = [run_id(4), run_id(3), run_id(2), run_id(1)];
    assert_eq!(list(RunFilter::default()), all);
    assert_eq!(
        list(RunFilter {
            limit: Some(2),
            ..RunFilter::default()
        }),
        all[..2]
    );
    assert_eq!(
        list(RunFilter {
            runbook: Some("other".to_owned()),
            ..RunFilter::default()
        }),
        [run_id(4), run_id(2)]
    );
    assert_eq!(
        list(RunFilter {
            environment: Some("local".to_owned()),
            unfinished: true,
            ..RunFilter::default()
        }),
        [run_id(2), run_id(1)]
    );
}

fn requests_wait_in_order_for_their_run(store: &dyn RunStore) {
    let (run, other) = (run_id(1), run_id(2));
    create(store, run);
    create(store, other);
    let vote = RequestKind::Vote {
        gate: Some(super::samples::step("go")),
        ballot: Ballot::plain(
            Vote::Approve,
            Digest::of_bytes(b"plan"),
            Some("looks good".to_owned()),
        ),
    };
    let cancel = RequestKind::Cancel { reason: None };
    let add = |run, kind: &RequestKind| {
        block_on(store.add_request(run, at(5), actor(), kind.clone())).expect("added")
    };
    let first = add(run, &vote);
    let elsewhere = add(other, &cancel);
    let last = add(run, &cancel);
    assert!(first < elsewhere && elsewhere < last);
    let asked = store.requests_after(run, 0).expect("reads");
    assert_eq!(asked.len(), 2);
    assert_eq!((asked[0].id, &asked[0].kind), (first, &vote));
    assert_eq!((asked[0].at, &asked[0].actor), (at(5), &actor()));
    let rest = store.requests_after(run, first).expect("reads");
    assert_eq!((rest.len(), rest[0].id, &rest[0].kind), (1, last, &cancel));
    assert!(store.requests_after(run, last).expect("reads").is_empty());
}

fn a_run_has_one_driver(store: &dyn RunStore) {
    let id = run_id(1);
    create(store, id);
    let claim = |new, old| block_on(store.claim_run(id, new, old)).expect("answers");
    assert_eq!(claim(owner(2), None), owner(1), "taken");
    assert_eq!(
        claim(owner(2), Some(owner(3))),
        owner(1),
        "not the present one"
    );
    assert_eq!(claim(owner(2), Some(owner(1))), owner(2), "replaced");
    block_on(store.release_run(id, owner(1))).expect("answers");
    assert_eq!(
        claim(owner(3), None),
        owner(2),
        "only its owner releases it"
    );
    block_on(store.release_run(id, owner(2))).expect("answers");
    assert_eq!(store.run(id).expect("reads").expect("is there").owner, None);
    assert_eq!(claim(owner(3), Some(owner(2))), owner(3), "free");
}

fn the_audit_cursor_names_what_is_left(store: &dyn RunStore) {
    let left = |store: &dyn RunStore| -> Vec<RunId> {
        let runs = store.runs_to_audit().expect("reads");
        runs.into_iter().map(|run| run.id).collect()
    };
    let (a, b) = (run_id(1), run_id(2));
    create(store, b);
    create(store, a);
    assert_eq!(left(store), [a, b], "oldest first");
    block_on(store.set_audited(a, EventSeq(1))).expect("set");
    assert_eq!(left(store), [b]);
    block_on(store.append(vec![event(a, 2, started("x"))], RunStatus::Running)).expect("appended");
    assert_eq!(left(store), [a, b]);
    block_on(store.set_audited(a, EventSeq(2))).expect("set");
    block_on(store.set_audited(b, EventSeq(1))).expect("set");
    assert!(left(store).is_empty());
    block_on(store.set_audited(a, EventSeq(0))).expect("may go back");
    assert_eq!(left(store), [a]);
}

fn the_data_version_changes_with_every_write(store: &dyn RunStore) {
    let before = store.data_version().expect("reads");
    assert_eq!(store.data_version().expect("reads"), before);
    create(store, run_id(1));
    let after = store.data_version().expect("reads");
    assert_ne!(after, before);
    assert_eq!(store.data_version().expect("reads"), after);
}

fn an_emergency_owes_a_review_until_it_is_there(store: &dyn RunStore) {
    create(store, run_id(1));
    let (late, early) = (run_id(2), run_id(3));
    for (id, due) in [(late, at(90_000_000)), (early, at(80_000_000))] {
        let mut first = event(id, 1, created_in_emergency());
        if let crate::event::EventKind::RunCreated {
            emergency: Some(emergency),
            ..
        } = &mut first.event
        {
            emergency.review_by = due;
        }
        block_on(store.create_run(new_run(id), first, owner(1))).expect("created");
    }
    let owed = |open_only| store.obligations(open_only).expect("reads");
    let runs = |open_only| -> Vec<RunId> { owed(open_only).iter().map(|o| o.run).collect() };
    assert_eq!(runs(true), [early, late], "the most pressing first");
    let first = owed(true).remove(1);
    assert_eq!(first.reason, "everything is down");
    assert_eq!(first.review, "architecture-review");
    assert_eq!(first.runbook, new_run(late).runbook);
    assert_eq!(first.environment, new_run(late).environment);
    assert_eq!(first.actor, actor());
    assert_eq!(first.opened_at, new_run(late).created_at);
    assert_eq!((first.due_at, &first.closed), (at(90_000_000), &None));

    let refused = vec![event(late, 9, reviewed(ReviewVerdict::Accept))];
    assert!(block_on(store.append(refused, RunStatus::Finished)).is_err());
    assert_eq!(
        runs(true),
        [early, late],
        "what was not appended closes nothing"
    );
    let events = vec![
        event(late, 2, finished(Outcome::Failed)),
        event(late, 3, reviewed(ReviewVerdict::Object)),
    ];
    block_on(store.append(events, RunStatus::Finished)).expect("appended");
    assert_eq!(runs(true), [early]);
    assert_eq!(runs(false), [early, late]);
    assert_eq!(
        owed(false)[1].closed,
        Some((at(3), ReviewVerdict::Object)),
        "by whom is in the event"
    );
}

fn a_run_is_put_back_whole(store: &dyn RunStore) {
    let id = run_id(1);
    let mut events = every_event(id);
    events[0] = event(id, 1, created_in_emergency());
    let import =
        |events: Vec<_>| block_on(store.import_run(new_run(id), events, RunStatus::Finished));
    assert!(import(Vec::new()).is_err(), "no run is without events");
    assert!(
        import(events[1..].to_vec()).is_err(),
        "the first is missing"
    );
    import(events.clone()).expect("put back");
    assert!(import(events.clone()).is_err(), "the id is taken");
    let record = store.run(id).expect("reads").expect("is there");
    assert_eq!((record.owner, record.status), (None, RunStatus::Finished));
    assert_eq!(record.outcome, Some(Outcome::RolledBack));
    assert_eq!(record.last_seq, EventSeq(events.len() as u64));
    assert_eq!(record.audited_seq, record.last_seq);
    assert_eq!(store.events_after(id, EventSeq(0)).expect("reads"), events);
    assert_eq!(store.obligations(true).expect("reads"), []);
    assert_eq!(store.obligations(false).expect("reads").len(), 1);
    let asked = store.add_request(id, at(5), actor(), RequestKind::Cancel { reason: None });
    let asked = block_on(asked).expect("added");
    assert_eq!(asked, 9, "the events name requests up to 8");
}

macro_rules! contract {
    ($($name:ident),+ $(,)?) => {
        mod memory {
            $(#[test] fn $name() {
                super::$name(&super::MemoryStore::new());
            })+
        }
        mod sqlite {
            $(#[test] fn $name() {
                let dir = tempfile::tempdir().expect("a directory");
                super::$name(&super::SqliteStore::open(dir.path()).expect("opens"));
            })+
        }
    };
}

contract!(
    a_created_run_is_there_with_its_first_event_and_texts,
    an_id_is_taken_once_and_a_run_begins_with_event_one,
    every_event_comes_back_as_it_went_in,
    the_end_of_a_run_is_cached_in_the_index,
    only_the_next_event_is_taken,
    nothing_to_append_is_no_error_and_an_unknown_run_is_one,
    a_conflict_of_one_run_does_not_touch_the_others,
    runs_are_found_by_what_people_type,
    the_shown_prefix_tells_runs_apart,
    lists_are_newest_first_and_filtered,
    requests_wait_in_order_for_their_run,
    a_run_has_one_driver,
    the_audit_cursor_names_what_is_left,
    the_data_version_changes_with_every_write,
    an_emergency_owes_a_review_until_it_is_there,
    a_run_is_put_back_whole,
);
