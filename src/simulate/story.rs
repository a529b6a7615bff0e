//! The timeline of a simulated run, one line for each thing that a person would tell.

use std::time::Duration;

use crate::base::{AttemptNo, StepId};
use crate::event::{EventKind, Failure, RunEvent, SkipReason};

/// One line of a timeline.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoryLine {
    /// Since the run began.
    pub after: Duration,
    /// What happened.
    pub text: String,
}

/// Most lines of a timeline; what is left out in the middle is said.
const MAX_LINES: usize = 60;

/// Tells a run.
pub(super) fn story(events: &[RunEvent]) -> Vec<StoryLine> {
    let Some(begin) = events.first().map(|event| event.at) else {
        return Vec::new();
    };
    let mut lines: Vec<StoryLine> = Vec::new();
    for event in events {
        if let Some(text) = told(&event.event) {
            lines.push(StoryLine {
                after: event.at.since(begin),
                text,
            });
        }
    }
    if lines.len() > MAX_LINES {
        let left_out = lines.len() - MAX_LINES;
        let tail = lines.split_off(lines.len() - MAX_LINES / 2);
        lines.truncate(MAX_LINES / 2);
        lines.push(StoryLine {
            after: tail[0].after,
            text: format!("… {left_out} lines are left out …"),
        });
        lines.extend(tail);
    }
    lines
}

fn told(event: &EventKind) -> Option<String> {
    Some(match event {
        EventKind::RunCreated { .. } => return None,
        EventKind::RunResumed { .. } => "the run is resumed after a crash".to_owned(),
        EventKind::StepExpanded { step, instances } => {
            let keys: Vec<&str> = instances.iter().map(|one| one.key.as_str()).collect();
            format!("{step} is done for each of: {}", keys.join(", "))
        }
        EventKind::StepProbeStarted { step, .. } => format!("{step}: its `unless` is asked"),
        EventKind::StepProbed { step, .. } => format!("{step}: has work to do"),
        EventKind::StepStarted { step, attempt, .. } => format!("{step} starts{}", again(*attempt)),
        EventKind::StepTimedOut { step } => format!("{step}: its time is up"),
        EventKind::StepPollStarted { .. } => return None,
        EventKind::StepPolled {
            step,
            poll,
            outputs,
            failure,
            ..
        } => match failure {
            Some(failure) => format!("{step} poll {poll}: {}", words(failure)),
            None => format!("{step} poll {poll}: not yet, {outputs}"),
        },
        EventKind::StepSucceeded { step, .. } => format!("{step} succeeds"),
        EventKind::StepFailed { step, failure, .. } => format!("{step} fails: {}", words(failure)),
        EventKind::StepRetryScheduled { step, attempt, .. } => {
            format!("{step} will be tried again (attempt {attempt})")
        }
        EventKind::StepSkipped { step, reason } => match reason {
            SkipReason::Condition { condition } => {
                format!("{step} is skipped: `{condition}` is false")
            }
            SkipReason::AlreadyDone { condition, .. } => {
                format!("{step} is skipped: `{condition}` holds already")
            }
            SkipReason::PartEnded | SkipReason::RunEnded => format!("{step} is not run any more"),
            SkipReason::NotApproved => format!("{step} is skipped: nothing was approved"),
        },
        EventKind::StepInterrupted { step, .. } => {
            format!("{step}: nobody knows whether it ran; a person must say")
        }
        EventKind::GateOpened { step, message, .. } => format!("{step} asks: {message}"),
        EventKind::VoteCast {
            step, vote, actor, ..
        } => format!("{} {} {step}", actor.name, vote.verb()),
        EventKind::GateApproved { step, .. } => format!("{step} is approved"),
        EventKind::GateRejected { step } => format!("{step} is rejected"),
        EventKind::GateExpired { step } => format!("{step} lapses"),
        EventKind::GateReadStarted { .. }
        | EventKind::GateRead { .. }
        | EventKind::GateSurveyed { .. }
        | EventKind::GateHeld { .. }
        | EventKind::GateVoided { .. }
        | EventKind::GateEscalated { .. }
        | EventKind::GateNotified { .. }
        | EventKind::GateParked { .. }
        | EventKind::RewindStarted { .. }
        | EventKind::RewindFinished { .. } => {
            format!("{} {}", event.step()?, event.at_gate()?)
        }
        EventKind::RunReviewed { actor, verdict, .. } => {
            format!("{} looked at the run: {}", actor.name, verdict.as_str())
        }
        EventKind::CancelRequested { .. } => "the run is cancelled".to_owned(),
        EventKind::RunTimedOut => "the time of the run is up".to_owned(),
        EventKind::RollbackStarted { steps, .. } => {
            let steps: Vec<&str> = steps.iter().map(StepId::as_str).collect();
            match steps.is_empty() {
                true => "rollback: nothing is to be undone".to_owned(),
                false => format!("rollback of {}", steps.join(", ")),
            }
        }
        EventKind::UndoStarted { step, attempt, .. } => {
            format!("undo of {step} starts{}", again(*attempt))
        }
        EventKind::UndoSucceeded { step, .. } => format!("{step} is undone"),
        EventKind::UndoFailed { step, failure, .. } => {
            format!("undo of {step} fails: {}", words(failure))
        }
        EventKind::UndoRetryScheduled { step, attempt, .. } => {
            format!("undo of {step} will be tried again (attempt {attempt})")
        }
        EventKind::FinallyStarted => "finally".to_owned(),
        EventKind::RunFinished { outcome, .. } => format!("the run ends: {outcome}"),
    })
}

fn again(attempt: AttemptNo) -> String {
    match attempt.0 {
        0 | 1 => String::new(),
        attempt => format!(" (attempt {attempt})"),
    }
}

fn words(failure: &Failure) -> String {
    format!("{} ({})", failure.error, failure.sort.as_str())
}
