//! Commit messages: what happened since the last commit, told to a person.

use std::time::Duration;

use super::writer::is_urgent;
use crate::base::{Digest, RunId, format_duration};
use crate::event::{Actor, EventKind, Outcome, RollbackCause, RunEvent, SkipReason, Vote};
use crate::store::RunRecord;

/// The convention of `git log --oneline` and of mails.
const SUBJECT_WIDTH: usize = 72;
const LINE_WIDTH: usize = 100;

/// Of a long story the beginning and the end are told.
const FIRST_LINES: usize = 5;
const LAST_LINES: usize = 15;

/// What a commit says, and who did it.
#[derive(Debug)]
pub(super) struct Story {
    pub(super) message: String,
    pub(super) actor: Actor,
}

/// The story of `new` events, the last ones of `all`. `short` is how people call the run, `head` the
/// digest of the last line of `events.jsonl`.
pub(super) fn story(
    record: &RunRecord,
    short: &str,
    all: &[RunEvent],
    new: &[RunEvent],
    head: Option<Digest>,
) -> Story {
    let about = About {
        run: record.id,
        runbook: &record.runbook,
        environment: &record.environment,
        plan_digest: record.plan_digest,
        starter: &record.actor,
        emergency: emergency(all),
    };
    let actor = doer(new).unwrap_or(&record.actor).clone();
    let mut message = subject(record, short, &headline(new));
    message.push_str("\n\n");
    let lines = body(new);
    if !lines.is_empty() {
        message.push_str(&lines.join("\n"));
        message.push_str("\n\n");
    }
    for (key, value) in trailers(&about, new, head) {
        message.push_str(&format!("{key}: {value}\n"));
    }
    Story { message, actor }
}

fn subject(record: &RunRecord, short: &str, headline: &str) -> String {
    let end = format!(" ({short})");
    let room = SUBJECT_WIDTH.saturating_sub(end.chars().count());
    let start = clean(&format!("{}: {headline}", record.runbook), room);
    format!("{start}{end}")
}

/// The newest event that a person would tell first.
fn headline(new: &[RunEvent]) -> String {
    let newest = |worth: fn(&EventKind) -> bool| new.iter().rev().find(|event| worth(&event.event));
    let told = newest(is_turn)
        .or_else(|| newest(|kind| matches!(kind, EventKind::StepFailed { .. })))
        .or_else(|| newest(|kind| matches!(kind, EventKind::RunCreated { .. })));
    if let Some(event) = told
        && let Some(text) = sentence(new, &event.event)
    {
        return text;
    }
    let done = new
        .iter()
        .filter(|event| {
            matches!(
                event.event,
                EventKind::StepSucceeded { .. } | EventKind::UndoSucceeded { .. }
            )
        })
        .count();
    match done {
        0 => "goes on".to_owned(),
        1 => "1 step done".to_owned(),
        n => format!("{n} steps done"),
    }
}

/// Whether a run took another turn here.
fn is_turn(kind: &EventKind) -> bool {
    is_urgent(kind) || matches!(kind, EventKind::RunResumed { .. })
}

/// One event in words; `None` for those that only announce another.
fn sentence(all: &[RunEvent], kind: &EventKind) -> Option<String> {
    Some(match kind {
        EventKind::StepStarted { .. }
        | EventKind::StepProbeStarted { .. }
        | EventKind::StepProbed { .. }
        | EventKind::StepPollStarted { .. }
        | EventKind::StepPolled { .. }
        | EventKind::UndoStarted { .. } => return None,
        EventKind::RunResumed { actor, .. } => format!("resumed by {}", actor.name),
        EventKind::RunCreated {
            environment, actor, ..
        } => format!("started in {environment} by {}", actor.name),
        EventKind::StepSucceeded {
            step, duration_ms, ..
        } => format!("\"{step}\" succeeded in {}", took(*duration_ms)),
        EventKind::StepFailed { step, failure, .. } => {
            format!("\"{step}\" failed: {}", failure.error)
        }
        EventKind::StepRetryScheduled { step, attempt, .. } => {
            format!("\"{step}\" will be tried again (attempt {attempt})")
        }
        EventKind::StepExpanded { step, instances } => match instances.as_slice() {
            [_] => format!("\"{step}\" has 1 instance"),
            all => format!("\"{step}\" has {} instances", all.len()),
        },
        EventKind::StepTimedOut { step } => format!("the time of \"{step}\" is up"),
        EventKind::StepSkipped { step, reason } => match reason {
            SkipReason::Condition { condition } => {
                format!("\"{step}\" skipped, when: {condition}")
            }
            SkipReason::AlreadyDone { condition, .. } => {
                format!("\"{step}\" skipped, already so: {condition}")
            }
            // What it is a part of, or the run, tells its own end.
            SkipReason::PartEnded | SkipReason::RunEnded => return None,
            SkipReason::NotApproved => format!("\"{step}\" skipped, nothing was approved"),
        },
        EventKind::StepInterrupted { step, .. } => {
            format!("\"{step}\" was interrupted; its fate is unknown")
        }
        EventKind::GateOpened { step, .. } => format!("waits for approval at \"{step}\""),
        EventKind::VoteCast {
            step, vote, actor, ..
        } => {
            format!("{} {} \"{step}\"", actor.name, vote.verb())
        }
        EventKind::GateApproved { step, .. } => {
            format!("\"{step}\" approved{}", by_voter(all, kind, Vote::Approve))
        }
        EventKind::GateRejected { step } => {
            format!("\"{step}\" rejected{}", by_voter(all, kind, Vote::Reject))
        }
        EventKind::GateExpired { step } => format!("\"{step}\" expired without approval"),
        EventKind::GateReadStarted { .. } | EventKind::GateRead { failure: None, .. } => {
            return None;
        }
        EventKind::GateRead { .. }
        | EventKind::GateSurveyed { .. }
        | EventKind::GateHeld { .. }
        | EventKind::GateVoided { .. }
        | EventKind::GateEscalated { .. }
        | EventKind::GateNotified { .. }
        | EventKind::GateParked { .. }
        | EventKind::RewindStarted { .. }
        | EventKind::RewindFinished { .. } => format!("\"{}\" {}", kind.step()?, kind.at_gate()?),
        EventKind::RunReviewed { actor, verdict, .. } => {
            format!("reviewed by {}: {}", actor.name, verdict.as_str())
        }
        EventKind::CancelRequested { actor, .. } => format!("{} asks to cancel", actor.name),
        EventKind::RunTimedOut => "timed out".to_owned(),
        EventKind::RollbackStarted { cause, .. } => match cause {
            RollbackCause::StepFailed { step } => {
                format!("rolling back after \"{step}\" failed")
            }
            RollbackCause::Gate { step } => {
                format!("rolling back, \"{step}\" was not approved")
            }
            RollbackCause::Cancelled => "rolling back after cancel".to_owned(),
            RollbackCause::TimedOut => "rolling back after timeout".to_owned(),
        },
        EventKind::UndoSucceeded {
            step, duration_ms, ..
        } => format!("\"{step}\" undone in {}", took(*duration_ms)),
        EventKind::UndoFailed { step, failure, .. } => {
            format!("undo of \"{step}\" failed: {}", failure.error)
        }
        EventKind::UndoRetryScheduled { step, attempt, .. } => {
            format!("undo of \"{step}\" will be tried again (attempt {attempt})")
        }
        EventKind::FinallyStarted => "final steps begin".to_owned(),
        EventKind::RunFinished {
            outcome,
            duration_ms,
            recovery_ms,
            ..
        } => {
            let link = match outcome {
                Outcome::Succeeded | Outcome::CompletedWithExceptions => "in",
                _ => "after",
            };
            let recovery = recovery_ms.map_or(String::new(), |millis| {
                format!(", recovered in {}", took(millis))
            });
            format!("{outcome} {link} {}{recovery}", took(*duration_ms))
        }
    })
}

fn took(millis: u64) -> String {
    // Nobody asks for the milliseconds of an hour.
    let shown = match millis {
        0..10_000 => millis,
        10_000..60_000 => millis / 100 * 100,
        _ => millis / 1_000 * 1_000,
    };
    format_duration(Duration::from_millis(shown))
}

fn by_voter(all: &[RunEvent], gate: &EventKind, wanted: Vote) -> String {
    all.iter()
        .rev()
        .find_map(|event| match &event.event {
            EventKind::VoteCast {
                step, vote, actor, ..
            } if Some(step) == gate.step() && *vote == wanted => {
                Some(format!(" by {}", actor.name))
            }
            _ => None,
        })
        .unwrap_or_default()
}

/// Why a run was an emergency, if it was.
pub(super) fn emergency(events: &[RunEvent]) -> Option<&str> {
    match &events.first()?.event {
        EventKind::RunCreated { emergency, .. } => Some(&emergency.as_ref()?.reason),
        _ => None,
    }
}

/// Who moved the run in these events, if a person did: the newest vote, cancel, takeover or review.
pub(super) fn doer(new: &[RunEvent]) -> Option<&Actor> {
    new.iter().rev().find_map(|event| match &event.event {
        EventKind::VoteCast { actor, .. }
        | EventKind::CancelRequested { actor, .. }
        | EventKind::RunResumed { actor, .. }
        | EventKind::RunReviewed { actor, .. } => Some(actor),
        _ => None,
    })
}

fn body(new: &[RunEvent]) -> Vec<String> {
    let told: Vec<(&RunEvent, String)> = new
        .iter()
        .filter_map(|event| Some((event, sentence(new, &event.event)?)))
        .collect();
    let line = |(event, text): &(&RunEvent, String)| {
        let time = event.at.to_utc().format("%H:%M:%S");
        clean(&format!("{time} {text}"), LINE_WIDTH)
    };
    if told.len() <= FIRST_LINES + LAST_LINES {
        return told.iter().map(line).collect();
    }
    let left_out = told.len() - FIRST_LINES - LAST_LINES;
    let mut lines: Vec<String> = told[..FIRST_LINES].iter().map(line).collect();
    lines.push(format!("... {left_out} more in events.jsonl ..."));
    lines.extend(told[told.len() - LAST_LINES..].iter().map(line));
    lines
}

/// What the trailers of every commit of a run say of the run.
pub(super) struct About<'a> {
    pub(super) run: RunId,
    pub(super) runbook: &'a str,
    pub(super) environment: &'a str,
    pub(super) plan_digest: Digest,
    pub(super) starter: &'a Actor,
    pub(super) emergency: Option<&'a str>,
}

/// The trailers of a commit of `new` events, for programs. `audit verify` holds commits to them.
pub(super) fn trailers(
    about: &About<'_>,
    new: &[RunEvent],
    head: Option<Digest>,
) -> Vec<(&'static str, String)> {
    let actor = doer(new).unwrap_or(about.starter);
    let last = new.last().map_or(0, |event| event.seq.0);
    let outcome = new.iter().find_map(|event| match &event.event {
        EventKind::RunFinished { outcome, .. } => Some(outcome.as_str().to_owned()),
        _ => None,
    });
    let pairs = [
        ("Run-Id", Some(about.run.to_string())),
        ("Runbook", Some(about.runbook.to_owned())),
        ("Environment", Some(about.environment.to_owned())),
        ("Plan-Digest", Some(about.plan_digest.to_string())),
        ("Last-Seq", Some(last.to_string())),
        (CHAIN_HEAD, head.map(|head| head.to_string())),
        ("Actor", Some(format!("{}@{}", actor.name, actor.host))),
        ("Emergency", about.emergency.map(str::to_owned)),
        ("Outcome", outcome),
    ];
    pairs
        .into_iter()
        .filter_map(|(key, value)| Some((key, clean(&value?, usize::MAX))))
        .collect()
}

/// The trailer with the digest of the last line of `events.jsonl`. Versions before the chain wrote none.
pub(super) const CHAIN_HEAD: &str = "Chain-Head";

/// One line of text: control characters become spaces, and it is cut at `width` characters.
fn clean(text: &str, width: usize) -> String {
    let plain = |c: char| if c.is_control() { ' ' } else { c };
    if text.chars().count() <= width {
        return text.chars().map(plain).collect();
    }
    let kept = width.saturating_sub(1);
    text.chars().take(kept).map(plain).chain(['…']).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::EventSeq;
    use crate::event::RunStatus;
    use crate::store::samples::{
        created, event, every_event, finished, new_run, run_id, started, step, succeeded,
    };

    fn record() -> RunRecord {
        let new = new_run(run_id(1));
        RunRecord {
            id: new.id,
            runbook: new.runbook,
            environment: new.environment,
            created_at: new.created_at,
            actor: new.actor,
            plan_digest: new.plan_digest,
            status: RunStatus::Running,
            outcome: None,
            finished_at: None,
            last_seq: EventSeq(1),
            owner: None,
            audited_seq: EventSeq(0),
        }
    }

    fn told(kinds: Vec<EventKind>) -> Story {
        let events: Vec<RunEvent> = kinds
            .into_iter()
            .zip(1..)
            .map(|(kind, seq)| event(run_id(1), seq, kind))
            .collect();
        story(&record(), "01M835H6W1", &events, &events, None)
    }

    fn subject_of(kinds: Vec<EventKind>) -> String {
        let message = told(kinds).message;
        message.lines().next().unwrap_or_default().to_owned()
    }

    #[test]
    fn the_subject_tells_the_newest_turn() {
        let cases = [
            (vec![created(), started("a")], "started in local by ada"),
            (vec![started("a"), succeeded("a", None)], "1 step done"),
            (vec![started("a")], "goes on"),
            (
                vec![created(), finished(Outcome::Succeeded)],
                "succeeded in 4.2s",
            ),
            (
                vec![finished(Outcome::RolledBack)],
                "failed, rolled back after 4.2s",
            ),
            (
                vec![EventKind::GateExpired { step: step("go") }],
                "\"go\" expired without approval",
            ),
            (
                vec![EventKind::RollbackStarted {
                    cause: RollbackCause::StepFailed {
                        step: step("restart"),
                    },
                    steps: vec![],
                }],
                "rolling back after \"restart\" failed",
            ),
        ];
        for (kinds, headline) in cases {
            assert_eq!(
                subject_of(kinds),
                format!("service-restart: {headline} (01M835H6W1)")
            );
        }
    }

    #[test]
    fn a_voter_is_the_author_and_named() {
        let mut voter = record().actor;
        voter.name = "grace".to_owned();
        let story = told(vec![
            EventKind::VoteCast {
                step: step("go"),
                vote: Vote::Approve,
                actor: voter,
                comment: None,
                plan_digest: record().plan_digest,
                request: None,
                round: 1,
                to: None,
                inputs: Default::default(),
                id: None,
                signed: None,
            },
            EventKind::GateApproved {
                step: step("go"),
                confirmed: None,
            },
        ]);
        assert!(
            story
                .message
                .starts_with("service-restart: \"go\" approved by grace (")
        );
        assert!(story.message.contains("\nActor: grace@box\n"));
        assert_eq!(story.actor.name, "grace");
    }

    #[test]
    fn subjects_and_lines_are_bounded_and_forge_nothing() {
        let mut long = record();
        long.runbook = format!("{}\nOutcome: forged\n", "ü".repeat(90));
        let events = every_event(run_id(1));
        let story = story(&long, "01M835H6W1", &events, &events, None);
        let subject = story.message.lines().next().unwrap_or_default();
        assert_eq!(subject.chars().count(), SUBJECT_WIDTH);
        assert!(subject.ends_with("… (01M835H6W1)"), "{subject}");
        let outcomes: Vec<&str> = story
            .message
            .lines()
            .filter(|line| line.starts_with("Outcome:"))
            .collect();
        assert_eq!(outcomes, ["Outcome: rolled_back"]);
    }

    #[test]
    fn a_long_story_tells_its_beginning_and_its_end() {
        let mut kinds = vec![created()];
        kinds.extend((0..1_000).map(|n| succeeded(&format!("s{n}"), None)));
        let message = told(kinds).message;
        assert!(message.lines().count() < 40, "{message}");
        assert!(message.contains("981 more in events.jsonl"), "{message}");
        assert!(message.contains("started in local") && message.contains("\"s999\""));
    }
}
