//! The store from the trail: what is lost there is on record here.

use std::path::Path;
use std::sync::Arc;

use git2::{Oid, Repository};
use pollster::block_on;

use super::chain;
use super::error::AuditError;
use super::verify::{bytes, folders, run_of, tip};
use crate::base::{EventSeq, RunId};
use crate::event::{EventKind, RunEvent, RunStatus};
use crate::plan::Plan;
use crate::run::RunState;
use crate::store::{NewRun, RunStore};

/// What came of it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Restored {
    /// Runs that were put into the store.
    pub added: Vec<RunId>,
    /// Runs that were there already, with at least what the trail has.
    pub present: usize,
}

/// A run as the trail has it.
struct Found {
    run: NewRun,
    events: Vec<RunEvent>,
    status: RunStatus,
}

/// Puts every run of the trail at `path` into the store that it lacks. Nothing that is in the store is
/// changed; requests that were not applied yet are in no trail, and are not restored.
///
/// # Errors
/// [`AuditError::NotRestored`] when a run of the trail is damaged, or the store has it with less or
/// other events: then nothing was put into the store.
pub fn restore_store(path: &Path, store: &dyn RunStore) -> Result<Restored, AuditError> {
    let failed = |error| AuditError::git("read", path, error);
    let git = Repository::open(path).map_err(failed)?;
    let Some(tip) = tip(&git).map_err(failed)? else {
        return Ok(Restored::default());
    };
    let tree = git
        .find_commit(tip)
        .and_then(|commit| commit.tree())
        .map_err(failed)?;
    let mut restored = Restored::default();
    let mut missing = Vec::new();
    // All is looked at before anything is written; read again then, so that few are held at once.
    for (folder, id) in folders(&git, &tree).map_err(failed)? {
        let Some(run) = run_of(&folder) else {
            continue;
        };
        let found = find(&git, id, run).map_err(failed)??;
        if store.run(run)?.is_none() {
            missing.push((run, id));
        } else {
            check_present(store, &found)?;
            restored.present += 1;
        }
    }
    for (run, id) in missing {
        let found = find(&git, id, run).map_err(failed)??;
        block_on(store.import_run(found.run, found.events, found.status))?;
        restored.added.push(run);
    }
    Ok(restored)
}

fn check_present(store: &dyn RunStore, found: &Found) -> Result<(), AuditError> {
    let run = found.run.id;
    let refused = |reason: &str| AuditError::NotRestored {
        run,
        reason: reason.to_owned(),
    };
    let present = store.events_after(run, EventSeq(0))?;
    if present.len() < found.events.len() {
        return Err(refused(
            "the store has it already, with fewer events; move the store away to restore all",
        ));
    }
    match present.iter().zip(&found.events).find(|(a, b)| a != b) {
        Some((event, _)) => Err(AuditError::Diverged {
            run,
            seq: event.seq,
        }),
        None => Ok(()),
    }
}

fn find(
    git: &Repository,
    folder: Oid,
    run: RunId,
) -> Result<Result<Found, AuditError>, git2::Error> {
    let folder = git.find_tree(folder)?;
    let file = |name: &str| bytes(git, &folder, name).map(Option::unwrap_or_default);
    let (plan, source, lines) = (
        file("plan.json")?,
        file("runbook.yaml")?,
        file("events.jsonl")?,
    );
    Ok(understand(run, plan, source, &lines)
        .map_err(|reason| AuditError::NotRestored { run, reason }))
}

fn understand(run: RunId, plan: Vec<u8>, source: Vec<u8>, lines: &[u8]) -> Result<Found, String> {
    let text = |bytes| String::from_utf8(bytes).map_err(|_| "a file is no text".to_owned());
    let (plan_json, source) = (text(plan)?, text(source)?);
    let plan = Plan::from_json(&plan_json).map_err(|error| format!("`plan.json`: {error}"))?;
    let mut state = RunState::new(Arc::new(plan)).ok_or("its plan is damaged")?;
    let mut events = Vec::new();
    for line in chain::lines(lines) {
        let event: RunEvent =
            serde_json::from_slice(line).map_err(|error| format!("`events.jsonl`: {error}"))?;
        state.apply(&event).map_err(|error| error.to_string())?;
        events.push(event);
    }
    let first = events.first().ok_or("it has no events")?;
    let EventKind::RunCreated {
        runbook,
        environment,
        plan_digest,
        actor,
        ..
    } = &first.event
    else {
        return Err("its first event does not create it".to_owned());
    };
    let run = NewRun {
        id: run,
        runbook: runbook.clone(),
        environment: environment.clone(),
        created_at: first.at,
        actor: actor.clone(),
        plan_json,
        plan_digest: *plan_digest,
        source,
    };
    Ok(Found {
        run,
        events,
        status: state.status(),
    })
}
