//! One commit: it extends the folder of one run, and says of itself what is in it.

use std::collections::{BTreeMap, HashMap};

use git2::{Commit, Repository, Signature};

use super::report::{Place, Verification};
use super::tree::{Change, PLAIN};
use crate::audit::chain;
use crate::audit::files::{folder, line_count};
use crate::audit::message::{About, CHAIN_HEAD, doer, trailers};
use crate::audit::trail::identity;
use crate::base::{Digest, RunId};
use crate::event::{Actor, EventKind, RunEvent};

/// What the first event of a run says of it, for the runs met so far.
pub(super) type Known = HashMap<RunId, Origin>;

/// What the first event of a run says of it.
pub(super) struct Origin {
    runbook: String,
    environment: String,
    plan_digest: Digest,
    starter: Actor,
    emergency: Option<String>,
    folder: String,
}

/// The run whose folder a path lies in: `runs/2026/11/23/ID/...`.
pub(in crate::audit) fn run_of(path: &str) -> Option<RunId> {
    let mut parts = path.split('/');
    (parts.next() == Some("runs")).then_some(())?;
    parts.nth(3)?.parse().ok()
}

/// Looks at a commit with at most one parent, and says which run it is about.
pub(super) fn check(
    git: &Repository,
    commit: &Commit<'_>,
    changes: &[Change],
    known: &mut Known,
    report: &mut Verification,
) -> Result<Option<RunId>, git2::Error> {
    let mut place = Place {
        report,
        run: None,
        commit: Some(commit.id()),
    };
    let said = trailers_of(commit);
    let named: Option<RunId> = said.get("Run-Id").and_then(|text| text.parse().ok());
    let touched: Vec<RunId> = changes
        .iter()
        .filter_map(|change| run_of(&change.path))
        .collect();
    let run = named.or(touched.first().copied());
    place.run = run;
    let Some(run) = run else {
        place.broken("it names no run");
        return Ok(None);
    };
    if named.is_none() {
        place.broken("it names no run in its trailer `Run-Id`");
    }
    let mut lines = None;
    for change in changes {
        if run_of(&change.path) != Some(run) {
            let path = &change.path;
            place.broken(format!(
                "it changes `{path}`, which is not of the run it names"
            ));
            continue;
        }
        check_file(git, change, &mut place)?;
        if change.path.ends_with("/events.jsonl") {
            lines = Some(change);
        }
    }
    let Some(lines) = lines else {
        place.broken("it adds no event");
        return Ok(Some(run));
    };
    let new = new_events(git, lines, known, run, &mut place)?;
    if let (Some(origin), Some(last)) = (known.get(&run), new.events.last()) {
        let prefix = format!("{}/", origin.folder);
        if !lines.path.starts_with(&prefix) {
            let path = &lines.path;
            place.broken(format!(
                "`{path}` lies elsewhere than its first event says, in `{prefix}`"
            ));
        }
        check_trailers(&said, origin, run, &new, &mut place);
        check_people_and_time(commit, origin, &new.events, last, &mut place)?;
    }
    Ok(Some(run))
}

/// What became of one file of the run's folder.
fn check_file(git: &Repository, change: &Change, place: &mut Place<'_>) -> Result<(), git2::Error> {
    let path = &change.path;
    let name = path.split('/').skip(5).collect::<Vec<_>>().join("/");
    let Some(new) = change.new else {
        place.broken(format!("it removes `{path}`"));
        return Ok(());
    };
    if new.mode != PLAIN {
        place.broken(format!("`{path}` is no plain file"));
        return Ok(());
    }
    let fixed = matches!(name.as_str(), "plan.json" | "runbook.yaml");
    let approval = name.starts_with("approvals/");
    let known = matches!(name.as_str(), "events.jsonl" | "report.md");
    if !(fixed || approval || known || name.starts_with("logs/")) {
        place.broken(format!("`{path}` is no file of a run"));
    }
    if let Some(old) = change.old {
        if fixed || approval {
            place.broken(format!("it changes `{path}`, which never changes"));
        }
        if name == "events.jsonl" {
            let (old, new) = (git.find_blob(old.id)?, git.find_blob(new.id)?);
            if !new.content().starts_with(old.content()) {
                let event = first_difference(old.content(), new.content());
                place.broken(format!(
                    "it rewrites what was on record: `{path}` differs from event {event} on"
                ));
            }
        }
    }
    Ok(())
}

/// The number of the first line that is not the same.
fn first_difference(old: &[u8], new: &[u8]) -> usize {
    let same = chain::lines(old)
        .zip(chain::lines(new))
        .take_while(|(old, new)| old == new);
    same.count() + 1
}

/// The events that a commit adds, and what the file ends with.
struct New {
    events: Vec<RunEvent>,
    head: Option<Digest>,
    chained: bool,
    lines: u64,
}

fn new_events(
    git: &Repository,
    change: &Change,
    known: &mut Known,
    run: RunId,
    place: &mut Place<'_>,
) -> Result<New, git2::Error> {
    let mut new = New {
        events: Vec::new(),
        head: None,
        chained: false,
        lines: 0,
    };
    let Some(leaf) = change.new else {
        return Ok(new);
    };
    let old = match change.old {
        Some(old) => line_count(git.find_blob(old.id)?.content()),
        None => 0,
    };
    let blob = git.find_blob(leaf.id)?;
    let bytes = blob.content();
    new.lines = line_count(bytes);
    if new.lines <= old {
        place.broken("it adds no event");
    }
    new.head = chain::head(bytes);
    for (line, number) in chain::lines(bytes).zip(1..) {
        if number == 1
            && !known.contains_key(&run)
            && let Some(origin) = origin(line)
        {
            known.insert(run, origin);
        }
        new.chained = chain::prev_of(line).is_some();
        // What cannot be read is told where the contents are looked at.
        if number > old
            && let Ok(event) = serde_json::from_slice(line)
        {
            new.events.push(event);
        }
    }
    Ok(new)
}

fn origin(line: &[u8]) -> Option<Origin> {
    let event: RunEvent = serde_json::from_slice(line).ok()?;
    match event.event {
        EventKind::RunCreated {
            runbook,
            environment,
            plan_digest,
            actor,
            emergency,
            ..
        } => Some(Origin {
            runbook,
            environment,
            plan_digest,
            starter: actor,
            emergency: emergency.map(|emergency| emergency.reason),
            folder: folder(event.run, event.at),
        }),
        _ => None,
    }
}

fn trailers_of(commit: &Commit<'_>) -> BTreeMap<String, String> {
    let message = String::from_utf8_lossy(commit.message_bytes());
    match git2::message_trailers_strs(&message) {
        Ok(trailers) => trailers
            .iter()
            .map(|(key, value)| (key.to_owned(), value.to_owned()))
            .collect(),
        Err(_) => BTreeMap::new(),
    }
}

fn check_trailers(
    said: &BTreeMap<String, String>,
    origin: &Origin,
    run: RunId,
    new: &New,
    place: &mut Place<'_>,
) {
    let about = About {
        run,
        runbook: &origin.runbook,
        environment: &origin.environment,
        plan_digest: origin.plan_digest,
        starter: &origin.starter,
        emergency: origin.emergency.as_deref(),
    };
    let true_ones = trailers(&about, &new.events, new.head);
    for (key, value) in &true_ones {
        match said.get(*key) {
            Some(said) if said.trim() == value.trim() => {}
            Some(said) => place.broken(format!(
                "its trailer `{key}` says `{said}`, its contents say `{value}`"
            )),
            None if *key == CHAIN_HEAD && !new.chained => {}
            None => place.broken(format!("it has no trailer `{key}: {value}`")),
        }
    }
    for key in said.keys() {
        if !true_ones.iter().any(|(known, _)| known == key) {
            place.broken(format!(
                "its trailer `{key}` is not borne out by its contents"
            ));
        }
    }
}

/// The author is who moved the run, the committer this program, and both have the last event's time.
fn check_people_and_time(
    commit: &Commit<'_>,
    origin: &Origin,
    new: &[RunEvent],
    last: &RunEvent,
    place: &mut Place<'_>,
) -> Result<(), git2::Error> {
    let seconds = last.at.unix_millis().div_euclid(1_000);
    let (author, committer) = (commit.author(), commit.committer());
    for (what, time) in [("author", author.when()), ("committer", committer.when())] {
        if time.seconds() != seconds {
            place.broken(format!(
                "its {what} time is {} seconds off the time of its last event ({})",
                time.seconds() - seconds,
                last.at
            ));
        }
    }
    let actor = doer(new).unwrap_or(&origin.starter);
    let (name, host) = (identity(&actor.name), identity(&actor.host));
    let wanted = Signature::new(&name, &format!("{name}@{host}"), &author.when())?;
    if (author.name_bytes(), author.email_bytes()) != (wanted.name_bytes(), wanted.email_bytes()) {
        place.broken(format!(
            "its author is `{author}`, but `{wanted}` did what it records"
        ));
    }
    let is_program =
        committer.name_bytes() == b"runbook" && committer.email_bytes().starts_with(b"runbook@");
    if !is_program {
        place.broken(format!("its committer is `{committer}`, not `runbook`"));
    }
    Ok(())
}
