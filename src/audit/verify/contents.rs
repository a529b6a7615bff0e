//! What is in the folder of a run: the chain, the events, the plan, the source.

use std::sync::Arc;

use git2::{Repository, Tree};

use super::report::{Place, VerifyOptions};
use super::tree::bytes;
use super::{logs, votes};
use crate::audit::chain;
use crate::audit::files::folder;
use crate::base::{Digest, EventSeq, RunId};
use crate::event::{EventKind, RunEvent};
use crate::plan::Plan;
use crate::run::RunState;

/// A run as its folder tells it.
pub(super) struct Recorded<'a> {
    pub(super) git: &'a Repository,
    pub(super) folder: &'a Tree<'a>,
    pub(super) plan: Option<Arc<Plan>>,
    pub(super) events: Vec<RunEvent>,
}

pub(super) fn check(
    git: &Repository,
    tree: &Tree<'_>,
    path: &str,
    run: RunId,
    options: &VerifyOptions,
    place: &mut Place<'_>,
) -> Result<(), git2::Error> {
    let mut file = |name: &str| -> Result<Vec<u8>, git2::Error> {
        let found = bytes(git, tree, name)?;
        if found.is_none() {
            place.broken(format!("it has no `{name}`"));
        }
        Ok(found.unwrap_or_default())
    };
    let (plan_json, source, lines) = (
        file("plan.json")?,
        file("runbook.yaml")?,
        file("events.jsonl")?,
    );
    file("report.md")?;
    let mut events = Vec::new();
    check_chain(chain::root(&plan_json, &source), &lines, place);
    for (line, number) in chain::lines(&lines).zip(1_u64..) {
        match serde_json::from_slice::<RunEvent>(line) {
            Ok(event) => {
                if event.run != run {
                    place.broken(format!("event {number} is of run {}", event.run));
                }
                if event.seq != EventSeq(number) {
                    place.broken(format!("line {number} holds event {}", event.seq));
                }
                events.push(event);
            }
            Err(error) => place.broken(format!("event {number} cannot be read: {error}")),
        }
    }
    if lines.last().is_some_and(|byte| *byte != b'\n') {
        place.broken("the last line of `events.jsonl` is cut off");
    }
    place.report.events += events.len();
    if let Some(first) = events.first()
        && folder(run, first.at) != path
    {
        place.broken(format!(
            "its folder is `{path}`, its first event is of another day"
        ));
    }
    let plan = check_plan(&plan_json, &source, &events, place);
    if let Some(plan) = &plan {
        fold(plan, &events, place);
    }
    let recorded = Recorded {
        git,
        folder: tree,
        plan,
        events,
    };
    votes::check(&recorded, options, place)?;
    logs::check(&recorded, place)
}

/// Follows the digests from line to line.
fn check_chain(root: Digest, lines: &[u8], place: &mut Place<'_>) {
    let mut prev = root;
    let (mut begun, mut bare) = (false, 0);
    for (line, number) in chain::lines(lines).zip(1..) {
        match chain::prev_of(line) {
            Some(named) => {
                begun = true;
                if named != prev {
                    let before = match number {
                        1 => "`plan.json` and `runbook.yaml`".to_owned(),
                        n => format!("event {}", n - 1),
                    };
                    place.broken(format!(
                        "the chain breaks at event {number}: it names {} as the digest of {before}, \
                         which is {}",
                        named.short(),
                        prev.short()
                    ));
                }
            }
            None if begun => {
                place.broken(format!("the chain breaks at event {number}: it names none"))
            }
            None => bare += 1,
        }
        prev = Digest::of_bytes(line);
    }
    if bare > 0 {
        place.note(format!(
            "its first {bare} events are not chained (written by an earlier version)"
        ));
    }
}

fn check_plan(
    plan_json: &[u8],
    source: &[u8],
    events: &[RunEvent],
    place: &mut Place<'_>,
) -> Option<Arc<Plan>> {
    let text = String::from_utf8_lossy(plan_json);
    let plan = match Plan::from_json(&text) {
        Ok(plan) => plan,
        Err(error) => {
            place.broken(format!("`plan.json` cannot be read: {error}"));
            return None;
        }
    };
    let digest = plan.digest();
    let created = events.first().and_then(|event| match &event.event {
        EventKind::RunCreated { plan_digest, .. } => Some(*plan_digest),
        _ => None,
    });
    match created {
        Some(created) if created == digest => {}
        Some(created) => place.broken(format!(
            "`plan.json` is another plan than the one that ran: its digest is {}, the first event says {}",
            digest.short(),
            created.short()
        )),
        None => place.broken("its first event does not create the run"),
    }
    let found = Digest::of_bytes(source);
    if let Some(wanted) = plan.runbook.source
        && wanted != found
    {
        place.broken(format!(
            "`runbook.yaml` is another text than the plan was made of: its digest is {}, the plan says {}",
            found.short(),
            wanted.short()
        ));
    }
    Some(Arc::new(plan))
}

/// Every event must be able to follow those before it; a gate opens only by votes that suffice.
fn fold(plan: &Arc<Plan>, events: &[RunEvent], place: &mut Place<'_>) {
    let Some(mut state) = RunState::new(Arc::clone(plan)) else {
        place.broken("`plan.json` is damaged: its steps are no graph");
        return;
    };
    for event in events {
        if let Err(error) = state.apply(event) {
            place.broken(error.to_string());
            return;
        }
    }
}
