//! What is in a run's folder of the trail.

use std::collections::BTreeMap;
use std::path::Path;

use super::error::AuditError;
use super::logs::{excerpt, is_plain_name};
use crate::base::{RunId, Timestamp};
use crate::event::{EventKind, LogRef, RunEvent};

/// The folder of a run, by the day it was created (UTC).
pub(super) fn folder(run: RunId, created_at: Timestamp) -> String {
    format!("runs/{}/{run}", created_at.to_utc().format("%Y/%m/%d"))
}

/// How many events an `events.jsonl` holds.
pub(super) fn line_count(lines: &[u8]) -> u64 {
    lines.iter().filter(|byte| **byte == b'\n').count() as u64
}

/// The `events.jsonl` that says all of `events`, keeping the bytes that are on record already.
pub(super) fn extend_lines(
    run: RunId,
    on_record: &[u8],
    events: &[RunEvent],
) -> Result<Vec<u8>, AuditError> {
    let (old, new) = events.split_at(line_count(on_record).min(events.len() as u64) as usize);
    check_same(run, on_record, old)?;
    let mut lines = on_record.to_vec();
    for event in new {
        lines.extend_from_slice(&json_line(event)?);
    }
    Ok(lines)
}

/// Compares meanings, not bytes: a later version of this program may write the same event otherwise.
fn check_same(run: RunId, on_record: &[u8], old: &[RunEvent]) -> Result<(), AuditError> {
    for (line, event) in on_record.split(|byte| *byte == b'\n').zip(old) {
        let same_bytes = json_line(event)?.strip_suffix(b"\n") == Some(line);
        let same = same_bytes
            || serde_json::from_slice::<RunEvent>(line).is_ok_and(|recorded| recorded == *event);
        if !same {
            return Err(AuditError::Diverged {
                run,
                seq: event.seq,
            });
        }
    }
    Ok(())
}

fn json_line(event: &RunEvent) -> Result<Vec<u8>, AuditError> {
    let mut line = serde_json::to_vec(event)?;
    line.push(b'\n');
    Ok(line)
}

/// The votes among `new` events: file name and content.
pub(super) fn approvals(new: &[RunEvent]) -> Result<Vec<(String, Vec<u8>)>, AuditError> {
    let mut files = Vec::new();
    for event in new {
        if let EventKind::VoteCast { step, .. } = &event.event {
            let mut json = serde_json::to_vec_pretty(event)?;
            json.push(b'\n');
            let name = step.file_stem();
            files.push((format!("approvals/{name}-{}.json", event.seq), json));
        }
    }
    Ok(files)
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

fn log_of(event: &EventKind) -> Option<&LogRef> {
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

    #[test]
    fn lines_are_appended_and_never_rewritten() {
        let run = run_id(1);
        let events = every_event(run);
        let first = extend_lines(run, b"", &events[..3]).expect("begins");
        assert_eq!(line_count(&first), 3);
        let all = extend_lines(run, &first, &events).expect("goes on");
        assert!(all.starts_with(&first));
        assert_eq!(line_count(&all), events.len() as u64);
        let decoded: Vec<RunEvent> = all
            .split(|byte| *byte == b'\n')
            .filter(|line| !line.is_empty())
            .map(|line| serde_json::from_slice(line).expect("decodes"))
            .collect();
        assert_eq!(decoded, events);
        assert_eq!(extend_lines(run, &all, &events).expect("again"), all);
    }

    #[test]
    fn another_spelling_of_the_same_event_is_kept_and_another_meaning_refused() {
        let run = run_id(1);
        let events = [event(run, 1, started("a")), event(run, 2, started("b"))];
        let spaced = serde_json::to_string(&events[0])
            .expect("encodes")
            .replace(",\"seq\"", ", \"seq\"")
            + "\n";
        let lines = extend_lines(run, spaced.as_bytes(), &events).expect("same meaning");
        assert!(lines.starts_with(spaced.as_bytes()));
        let forged = spaced.replace("api", "db");
        let refused = extend_lines(run, forged.as_bytes(), &events);
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
