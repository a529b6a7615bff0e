//! What is in a run's folder of the trail.

use std::collections::BTreeMap;
use std::path::Path;

use super::chain;
use super::error::AuditError;
use super::logs::{excerpt, is_plain_name};
use crate::base::{Digest, RunId, Timestamp};
use crate::event::{EventKind, LogRef, RunEvent, SignedVote};

/// The folder of a run, by the day it was created (UTC).
pub(super) fn folder(run: RunId, created_at: Timestamp) -> String {
    format!("runs/{}/{run}", created_at.to_utc().format("%Y/%m/%d"))
}

/// How many events an `events.jsonl` holds.
pub(super) fn line_count(lines: &[u8]) -> u64 {
    lines.iter().filter(|byte| **byte == b'\n').count() as u64
}

/// The `events.jsonl` that says all of `events`, keeping the bytes that are on record already. `root`
/// is what its first line names.
pub(super) fn extend_lines(
    run: RunId,
    root: Digest,
    on_record: &[u8],
    events: &[RunEvent],
) -> Result<Vec<u8>, AuditError> {
    let (old, new) = events.split_at(line_count(on_record).min(events.len() as u64) as usize);
    let mut prev = check_same(run, root, on_record, old)?;
    let mut lines = on_record.to_vec();
    for event in new {
        let line = chain::line(prev, event)?;
        prev = Digest::of_bytes(&line);
        lines.extend_from_slice(&line);
        lines.push(b'\n');
    }
    Ok(lines)
}

/// Compares meanings, not bytes: a later version of this program may write the same event otherwise.
/// Gives the digest that the next line names.
fn check_same(
    run: RunId,
    root: Digest,
    on_record: &[u8],
    old: &[RunEvent],
) -> Result<Digest, AuditError> {
    let mut prev = root;
    for (line, event) in chain::lines(on_record).zip(old) {
        let same = chain::line(prev, event)? == line
            || serde_json::from_slice::<RunEvent>(line).is_ok_and(|recorded| recorded == *event);
        if !same {
            return Err(AuditError::Diverged {
                run,
                seq: event.seq,
            });
        }
        prev = Digest::of_bytes(line);
    }
    Ok(prev)
}

/// The votes and reviews among `new` events: file name and content. What was signed is a file of its
/// own, byte for byte, beside its signature.
pub(super) fn approvals(new: &[RunEvent]) -> Result<Vec<(String, Vec<u8>)>, AuditError> {
    let mut files = Vec::new();
    for event in new {
        let Some((name, signed)) = said(event) else {
            continue;
        };
        let mut json = serde_json::to_vec_pretty(event)?;
        json.push(b'\n');
        files.push((format!("approvals/{name}.json"), json));
        if let Some(signed) = signed {
            let (statement, signature) = (&signed.statement, &signed.signature);
            files.push((
                format!("approvals/{name}.statement"),
                statement.clone().into_bytes(),
            ));
            files.push((
                format!("approvals/{name}.sig"),
                signature.clone().into_bytes(),
            ));
        }
    }
    Ok(files)
}

/// The name of the files of a vote or review, and what its voter signed.
pub(super) fn said(event: &RunEvent) -> Option<(String, Option<&SignedVote>)> {
    match &event.event {
        EventKind::VoteCast { step, signed, .. } => Some((
            format!("{}-{}", step.file_stem(), event.seq),
            signed.as_deref(),
        )),
        EventKind::RunReviewed { signed, .. } => {
            Some((format!("review-{}", event.seq), signed.as_deref()))
        }
        _ => None,
    }
}

/// The logs that `new` events name: file name and content.
pub(super) fn logs(new: &[RunEvent], run_logs: &Path) -> impl Iterator<Item = (String, Vec<u8>)> {
    let mut named: BTreeMap<&str, &LogRef> = BTreeMap::new();
    for log in new.iter().filter_map(|event| log_of(&event.event)) {
        if is_plain_name(&log.file) {
            named.insert(&log.file, log);
        }
    }
    named
        .into_values()
        .map(|log| (format!("logs/{}", log.file), excerpt(run_logs, log)))
}

pub(super) fn log_of(event: &EventKind) -> Option<&LogRef> {
    match event {
        EventKind::StepSucceeded { log, .. }
        | EventKind::StepFailed { log, .. }
        | EventKind::UndoSucceeded { log, .. }
        | EventKind::UndoFailed { log, .. } => log.as_ref(),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::EventSeq;
    use crate::store::samples::{at, event, every_event, run_id, started};

    fn root() -> Digest {
        chain::root(b"plan", b"source")
    }

    #[test]
    fn lines_are_appended_and_never_rewritten() {
        let run = run_id(1);
        let events = every_event(run);
        let first = extend_lines(run, root(), b"", &events[..3]).expect("begins");
        assert_eq!(line_count(&first), 3);
        let all = extend_lines(run, root(), &first, &events).expect("goes on");
        assert!(all.starts_with(&first));
        assert_eq!(line_count(&all), events.len() as u64);
        let decoded: Vec<RunEvent> = all
            .split(|byte| *byte == b'\n')
            .filter(|line| !line.is_empty())
            .map(|line| serde_json::from_slice(line).expect("decodes"))
            .collect();
        assert_eq!(decoded, events);
        assert_eq!(
            extend_lines(run, root(), &all, &events).expect("again"),
            all
        );
    }

    #[test]
    fn another_spelling_of_the_same_event_is_kept_and_another_meaning_refused() {
        let run = run_id(1);
        let events = [event(run, 1, started("a")), event(run, 2, started("b"))];
        let spaced = serde_json::to_string(&events[0])
            .expect("encodes")
            .replace(",\"seq\"", ", \"seq\"")
            + "\n";
        let lines = extend_lines(run, root(), spaced.as_bytes(), &events).expect("same meaning");
        assert!(lines.starts_with(spaced.as_bytes()));
        let second = chain::lines(&lines).nth(1).expect("two lines");
        let unchained = spaced.trim_end().as_bytes();
        assert_eq!(
            chain::prev_of(second),
            Some(Digest::of_bytes(unchained)),
            "the chain goes on from a line of before"
        );
        let forged = spaced.replace("api", "db");
        let refused = extend_lines(run, root(), forged.as_bytes(), &events);
        assert!(
            matches!(
                refused,
                Err(AuditError::Diverged {
                    seq: EventSeq(1),
                    ..
                })
            ),
            "{refused:?}"
        );
    }

    #[test]
    fn folders_are_by_day() {
        let run = run_id(1);
        assert_eq!(folder(run, at(0)), format!("runs/2026/11/23/{run}"));
    }
}
