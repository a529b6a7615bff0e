//! What the trail is held to from outside: a head noted before, a remote, the store.

use git2::{Oid, Repository};

use super::history::{tip as tip_of, whole};
use super::report::{Place, Verification, VerifyOptions};
use super::tree::bytes;
use crate::audit::error::AuditError;
use crate::audit::files::{folder, line_count};
use crate::base::EventSeq;
use crate::event::RunEvent;
use crate::store::{RunFilter, RunRecord, RunStore};

/// Holds the trail to a head and a remote, when they are given.
pub(super) fn check(
    git: &Repository,
    tip: Option<Oid>,
    options: &VerifyOptions,
    report: &mut Verification,
) {
    if let Some(head) = &options.against {
        let found = Oid::from_str(head)
            .ok()
            .is_some_and(|head| has(git, tip, head));
        if !found {
            whole(report).broken(format!(
                "commit {head} was its head before and is not in it now: the end was cut off, or the \
                 history rewritten"
            ));
        }
    }
    if let Some(path) = &options.remote {
        let shown = path.display();
        match Repository::open(path).and_then(|remote| Ok((tip_of(&remote)?, remote))) {
            Err(error) => whole(report).broken(format!(
                "the remote `{shown}` cannot be read: {}",
                error.message()
            )),
            Ok((None, _)) => whole(report).note(format!("the remote `{shown}` has no trail yet")),
            Ok((Some(theirs), _)) if has(git, tip, theirs) => {}
            Ok((Some(theirs), _)) => whole(report).broken(format!(
                "the remote `{shown}` has commit {theirs}, and this trail does not: the end was cut off, \
                 the history rewritten, or another host pushed and it was not fetched yet"
            )),
        }
    }
}

/// Whether a commit is the tip or one before it.
fn has(git: &Repository, tip: Option<Oid>, commit: Oid) -> bool {
    let Some(tip) = tip else {
        return false;
    };
    tip == commit || git.graph_descendant_of(tip, commit).unwrap_or(false)
}

/// Holds the trail to the journal: all that it had of a run is there still, and says the same.
pub(super) fn compare(
    git: &Repository,
    tip: Option<Oid>,
    options: &VerifyOptions,
    store: &dyn RunStore,
    report: &mut Verification,
) -> Result<(), AuditError> {
    let tree = tip.and_then(|tip| git.find_commit(tip).and_then(|commit| commit.tree()).ok());
    for record in store.runs(&RunFilter::default())?.iter().rev() {
        if record.audited_seq == EventSeq(0) || options.run.is_some_and(|run| run != record.id) {
            continue;
        }
        let mut place = Place {
            report: &mut *report,
            run: Some(record.id),
            commit: None,
        };
        let file = |name: &str| {
            let path = format!("{}/{name}", folder(record.id, record.created_at));
            let tree = tree.as_ref()?;
            bytes(git, tree, &path).ok().flatten()
        };
        let Some(lines) = file("events.jsonl") else {
            place.broken("it was on record, says the store, and is not in the trail");
            continue;
        };
        compare_events(&lines, record, store, &mut place)?;
        for (name, kept) in [
            ("plan.json", store.plan_json(record.id)?),
            ("runbook.yaml", store.source(record.id)?),
        ] {
            if file(name).is_some_and(|found| found != kept.as_bytes()) {
                place.broken(format!("its `{name}` differs from the store's"));
            }
        }
    }
    Ok(())
}

fn compare_events(
    lines: &[u8],
    record: &RunRecord,
    store: &dyn RunStore,
    place: &mut Place<'_>,
) -> Result<(), AuditError> {
    let count = line_count(lines);
    if count < record.audited_seq.0 {
        place.broken(format!(
            "the trail had {} of its events, says the store, and has {count} now",
            record.audited_seq
        ));
    }
    let events = store.events_after(record.id, EventSeq(0))?;
    let recorded = crate::audit::chain::lines(lines);
    let differs = recorded.zip(&events).find(|(line, event)| {
        serde_json::from_slice::<RunEvent>(line).ok().as_ref() != Some(event)
    });
    if let Some((_, event)) = differs {
        place.broken(format!("its event {} differs from the store's", event.seq));
    } else if count > events.len() as u64 {
        let n = events.len();
        place.broken(format!(
            "the trail has {count} of its events, the store only {n}"
        ));
    }
    Ok(())
}
