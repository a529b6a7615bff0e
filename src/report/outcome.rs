//! How a run stands or ended, in words: shared by the summary, the lists and `report.md`.

use std::time::Duration;

use super::next::interrupted;
use super::rows::{RowKind, StepRow, StepStatus, Tally, UndoStatus};
use super::style::{Paint, Symbol};
use super::text::{count, human};
use super::timeline::Timeline;
use crate::event::{FailureKind, Outcome, RollbackResult};
use crate::model::Effect;
use crate::plan::{Plan, PlanPart};

/// Symbol and colour of an outcome.
pub(crate) fn outcome_look(outcome: Outcome) -> (Symbol, Paint) {
    match outcome {
        Outcome::Succeeded => (Symbol::Good, Paint::Good),
        Outcome::CompletedWithExceptions | Outcome::Cancelled | Outcome::RolledBack => {
            (Symbol::Care, Paint::Care)
        }
        Outcome::Failed | Outcome::Stuck | Outcome::Rejected | Outcome::Expired => {
            (Symbol::Bad, Paint::Bad)
        }
    }
}

/// Symbol and colour of a step.
pub(crate) fn step_look(row: &StepRow) -> (Symbol, Paint) {
    if let Some(undo) = &row.undo {
        match undo.status {
            UndoStatus::Succeeded => return (Symbol::Undone, Paint::Care),
            UndoStatus::Failed | UndoStatus::NotTried => return (Symbol::Bad, Paint::Bad),
            UndoStatus::Running | UndoStatus::Retrying => return (Symbol::Undone, Paint::Name),
            UndoStatus::Due => {}
        }
    }
    match row.status {
        StepStatus::Pending | StepStatus::NotRun => (Symbol::Pending, Paint::Dim),
        StepStatus::Running => (Symbol::Running, Paint::Name),
        StepStatus::Retrying => (Symbol::Again, Paint::Care),
        StepStatus::Waiting => (Symbol::Gate, Paint::Care),
        StepStatus::Succeeded | StepStatus::Approved => (Symbol::Good, Paint::Good),
        StepStatus::Failed | StepStatus::Rejected | StepStatus::Expired => {
            (Symbol::Bad, Paint::Bad)
        }
        StepStatus::Skipped | StepStatus::AlreadySo => (Symbol::Skipped, Paint::Dim),
        StepStatus::Unfinished => (Symbol::Care, Paint::Care),
        StepStatus::Interrupted => (Symbol::Care, Paint::Bad),
    }
}

/// The status of a step in words, with its undo: `succeeded, undone`.
pub(crate) fn step_words(row: &StepRow) -> String {
    let undo = row.undo.as_ref().map(|undo| undo.status.word());
    let word = match &row.failure {
        Some(failure)
            if row.status == StepStatus::Failed && failure.sort == FailureKind::Cancelled =>
        {
            "stopped"
        }
        _ => row.status.word(),
    };
    match undo {
        Some(undo) => format!("{word}, {undo}"),
        None => word.to_owned(),
    }
}

/// What the outcome means, one sentence without a full stop.
pub(crate) fn outcome_meaning(timeline: &Timeline, plan: &Plan) -> String {
    let Some(finish) = &timeline.finish else {
        let gates = timeline.open_gates().count();
        return match gates {
            0 => match interrupted(timeline) {
                Some(row) => format!(
                    "the process that ran `{}` ended in the middle of it; only a person can say whether it happened, and it is not done again",
                    row.id
                ),
                None => "it has not finished; what was done so far is on record".to_owned(),
            },
            n => format!("it waits at {}", count(n, "gate")),
        };
    };
    match finish.outcome {
        Outcome::Succeeded => {
            let text = "every step succeeded or was skipped by its condition";
            format!("{text}{}", proved(timeline))
        }
        Outcome::CompletedWithExceptions => {
            let text = "it went through, but a failure was tolerated or a `finally` step failed";
            format!("{text}{}", proved(timeline))
        }
        Outcome::Failed => format!("it stopped; what was done stays done{}", unproved(timeline)),
        Outcome::RolledBack => match standing(timeline, plan).len() {
            0 if !anything_undone(timeline) => "nothing had to be undone".to_owned(),
            0 => "everything that was done is undone".to_owned(),
            1 => "what can be undone is undone; 1 step stays done".to_owned(),
            n => format!("what can be undone is undone; {n} steps stay done"),
        },
        Outcome::Stuck => "a person must look: something is left undone or unknown".to_owned(),
        Outcome::Rejected => format!("a gate was rejected{}", undone_words(finish.rollback)),
        Outcome::Expired => {
            let words = undone_words(finish.rollback);
            format!("nobody approved a gate in time{words}")
        }
        Outcome::Cancelled => match finish.rollback {
            RollbackResult::Complete => "somebody ended it; what can be undone is undone",
            _ => "somebody ended it; what was done stays done",
        }
        .to_owned(),
    }
}

fn anything_undone(timeline: &Timeline) -> bool {
    timeline.rows.iter().any(|row| row.undo.is_some())
}

fn undone_words(rollback: RollbackResult) -> &'static str {
    match rollback {
        RollbackResult::Complete => "; what can be undone is undone",
        _ => "",
    }
}

/// The `verify` steps of the run's own runbook that ended in a way, in words.
fn verified(timeline: &Timeline, status: StepStatus) -> Vec<&str> {
    timeline
        .rows
        .iter()
        .filter(|row| row.part == PlanPart::Verify && row.id.depth() == 0 && row.status == status)
        .map(|row| row.name.as_deref().unwrap_or(row.id.as_str()))
        .collect()
}

fn proved(timeline: &Timeline) -> String {
    let proved = verified(timeline, StepStatus::Succeeded);
    if proved.is_empty() {
        return String::new();
    }
    format!("; proved by `verify`: {}", listed(&proved))
}

fn unproved(timeline: &Timeline) -> String {
    let failed = verified(timeline, StepStatus::Failed);
    if failed.is_empty() {
        return String::new();
    }
    format!("; `verify` did not hold: {}", listed(&failed))
}

/// At most a few names, then how many more.
fn listed(names: &[&str]) -> String {
    const MOST: usize = 4;
    let mut text = names[..names.len().min(MOST)].join("; ");
    if names.len() > MOST {
        text.push_str(&format!(" and {} more", names.len() - MOST));
    }
    text
}

/// How the rows below a loop or sub-runbook stand: `3/10 done, 1 failed, 2 running`.
pub(crate) fn tally_words(tally: Tally) -> String {
    let mut text = format!("{}/{} done", tally.done, tally.all);
    for (n, word) in [
        (tally.failed, "failed"),
        (tally.running, "running"),
        (tally.waiting, "waiting"),
        (tally.undone, "undone"),
    ] {
        if n > 0 {
            text.push_str(&format!(", {n} {word}"));
        }
    }
    text
}

/// The steps of the forward part that changed something and whose change stands, in the order of the
/// plan.
pub(crate) fn standing<'a>(timeline: &'a Timeline, plan: &Plan) -> Vec<&'a StepRow> {
    let changes = |row: &StepRow| {
        plan.step(&row.id)
            .is_some_and(|step| step.action.effect != Effect::Read)
    };
    timeline
        .tree()
        .into_iter()
        .map(|(_, row)| row)
        .filter(|row| row.kind == RowKind::Step && row.stands())
        .filter(|row| is_forward(timeline, row) && changes(row))
        .collect()
}

/// Whether neither it nor what it belongs to is a `verify` or `finally` step.
fn is_forward(timeline: &Timeline, row: &StepRow) -> bool {
    let mut id = Some(row.id.clone());
    while let Some(here) = id {
        if timeline
            .row(&here)
            .is_some_and(|row| row.part != PlanPart::Steps)
        {
            return false;
        }
        id = here.parent();
    }
    true
}

/// The steps that were undone.
pub(crate) fn undone(timeline: &Timeline) -> Vec<&StepRow> {
    timeline
        .rows
        .iter()
        .filter(|row| matches!(&row.undo, Some(u) if u.status == UndoStatus::Succeeded))
        .collect()
}

/// How long the recovery took, against the recovery time objective if there is one: whether all is
/// well, and in words.
pub(crate) fn recovery(plan: &Plan, timeline: &Timeline) -> Option<(bool, String)> {
    let limit = plan.runbook.rto;
    if limit.is_none() && plan.verify.is_empty() {
        return None;
    }
    timeline.finish.as_ref()?;
    let Some(took) = recovered_in(timeline) else {
        let objective = limit.map_or(String::new(), |limit| format!("; objective {limit}"));
        let text = format!("not recovered{objective}");
        return Some((false, text));
    };
    let text = format!("recovered in {}", human(took));
    Some(match limit {
        None => (true, text),
        Some(limit) if took <= limit.0 => (true, format!("{text}; objective {limit} met")),
        Some(limit) => {
            let late = human(took.saturating_sub(limit.0));
            (false, format!("{text}; objective {limit} MISSED by {late}"))
        }
    })
}

/// From the first event until every step had ended and `verify` held. Journals of version 0.1 do not
/// say it; there a success counts until its `finally` steps began.
pub(crate) fn recovered_in(timeline: &Timeline) -> Option<Duration> {
    let finish = timeline.finish.as_ref()?;
    if finish.recovery.is_some() || finish.outcome != Outcome::Succeeded {
        return finish.recovery;
    }
    let start = timeline.origin.as_ref()?.at;
    Some(timeline.finally_at.unwrap_or(finish.at).since(start))
}

/// `ids` joined for a sentence.
pub(crate) fn ids(rows: &[&StepRow]) -> String {
    const MOST: usize = 12;
    let mut names: Vec<&str> = rows.iter().take(MOST).map(|r| r.id.as_str()).collect();
    let more = rows.len().saturating_sub(MOST);
    let tail = format!("and {more} more");
    if more > 0 {
        names.push(&tail);
    }
    names.join(", ")
}
