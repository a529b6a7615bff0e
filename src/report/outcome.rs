//! How a run stands or ended, in words: shared by the summary, the lists and `report.md`.

use super::next::interrupted;
use super::rows::{StepRow, StepStatus, UndoStatus};
use super::style::{Paint, Symbol};
use super::text::{count, human};
use super::timeline::Timeline;
use crate::event::{FailureKind, Outcome, RollbackResult};
use crate::model::Effect;
use crate::plan::Plan;

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
        StepStatus::Skipped => (Symbol::Skipped, Paint::Dim),
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
        Outcome::Succeeded => "every step succeeded or was skipped by its condition".to_owned(),
        Outcome::CompletedWithExceptions => {
            "it went through, but a failure was tolerated or a `finally` step failed".to_owned()
        }
        Outcome::Failed => "it stopped; what was done stays done".to_owned(),
        Outcome::RolledBack => match standing(timeline, plan).len() {
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

fn undone_words(rollback: RollbackResult) -> &'static str {
    match rollback {
        RollbackResult::Complete => "; what can be undone is undone",
        _ => "",
    }
}

/// The steps of the forward part that changed something and whose change stands.
pub(crate) fn standing<'a>(timeline: &'a Timeline, plan: &Plan) -> Vec<&'a StepRow> {
    plan.steps
        .iter()
        .filter(|step| step.action.effect != Effect::Read)
        .filter_map(|step| timeline.row(&step.id))
        .filter(|row| row.stands())
        .collect()
}

/// The steps that were undone.
pub(crate) fn undone(timeline: &Timeline) -> Vec<&StepRow> {
    timeline
        .rows
        .iter()
        .filter(|row| matches!(&row.undo, Some(u) if u.status == UndoStatus::Succeeded))
        .collect()
}

/// The recovery time objective against what was measured: whether it was met, and in words. The
/// clock runs from the first event to the start of the `finally` steps, or the end.
pub(crate) fn recovery(plan: &Plan, timeline: &Timeline) -> Option<(bool, String)> {
    let limit = plan.runbook.rto?;
    let start = timeline.origin.as_ref()?.at;
    let finish = timeline.finish.as_ref()?;
    if finish.outcome != Outcome::Succeeded {
        return Some((false, format!("not recovered; the objective is {limit}")));
    }
    let took = timeline.finally_at.unwrap_or(finish.at).since(start);
    let met = took <= limit.0;
    let word = if met { "met" } else { "missed" };
    Some((met, format!("{word}: {} of {limit}", human(took))))
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
