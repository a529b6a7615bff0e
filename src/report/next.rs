//! The one next command to type, by how a run stands.

use super::rows::{StepRow, StepStatus, UndoStatus};
use super::style::Style;
use super::text::{one_line, shell_word};
use super::timeline::Timeline;
use crate::event::{Outcome, RollbackCause};

/// Names of a run that commands and summaries need.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Places {
    /// Shortest unique prefix of the run id, or the whole id.
    pub prefix: String,
    /// Path of the audit trail's repository as the user would type it.
    pub audit: Option<String>,
    /// Folder of the run's logs as the user would type it.
    pub logs: Option<String>,
}

/// A command and what it is for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NextCommand {
    /// What it is for, without a full stop.
    pub why: String,
    /// What to type.
    pub command: String,
}

impl NextCommand {
    fn new(why: impl Into<String>, command: String) -> Self {
        Self {
            why: why.into(),
            command,
        }
    }
}

/// What to type next. Nothing when all is well.
pub fn next_command(
    timeline: &Timeline,
    runbook: &str,
    environment: &str,
    prefix: &str,
) -> Option<NextCommand> {
    let safe = Style::plain(80);
    let (runbook, environment) = (one_line(runbook, safe), one_line(environment, safe));
    let again = |why: &str| {
        Some(NextCommand::new(
            why,
            format!("runbook exec {runbook} --env {environment}"),
        ))
    };
    let look_at = |why: String, row: Option<&StepRow>| {
        Some(match row.filter(|row| row.attempts > 0) {
            Some(row) => NextCommand::new(
                why,
                format!("runbook logs {prefix} {}", shell_word(row.id.as_str())),
            ),
            None => NextCommand::new(why, format!("runbook status {prefix}")),
        })
    };
    let Some(finish) = &timeline.finish else {
        return Some(unfinished(timeline, prefix));
    };
    match finish.outcome {
        Outcome::Succeeded => None,
        Outcome::Failed | Outcome::RolledBack | Outcome::CompletedWithExceptions => {
            // A step that printed nothing has its reason in the status only.
            let row = first_failed(timeline).filter(|row| row.log.is_some());
            look_at("see why it failed".to_owned(), row)
        }
        Outcome::Stuck => {
            let row = left_undone(timeline);
            let why = match row {
                Some(row) if row.status == StepStatus::Interrupted => {
                    format!("find out whether `{}` happened", row.id)
                }
                Some(row) => format!(
                    "see why `{}` could not be undone, then undo it by hand",
                    row.id
                ),
                None => "see what is left undone".to_owned(),
            };
            look_at(why, row)
        }
        Outcome::Rejected => again("mend what was refused, then ask again"),
        Outcome::Expired => again("nobody answered in time; ask again"),
        Outcome::Cancelled => again("run it again when you are ready"),
    }
}

fn unfinished(timeline: &Timeline, prefix: &str) -> NextCommand {
    let mut gates = timeline.open_gates();
    match (gates.next(), gates.next()) {
        (Some(_), None) => NextCommand::new(
            format!("let it go on (or: runbook reject {prefix})"),
            format!("runbook approve {prefix}"),
        ),
        (Some(gate), Some(_)) => NextCommand::new(
            format!(
                "let it go on (or: runbook reject {prefix} {})",
                shell_word(gate.id.as_str())
            ),
            format!("runbook approve {prefix} {}", shell_word(gate.id.as_str())),
        ),
        (None, _) => match interrupted(timeline) {
            Some(row) => NextCommand::new(
                format!("find out whether `{}` happened", row.id),
                format!("runbook logs {prefix} {}", shell_word(row.id.as_str())),
            ),
            None => NextCommand::new("go on with it", format!("runbook resume {prefix}")),
        },
    }
}

/// A step whose fate is unknown: its process ended in the middle of it.
pub(crate) fn interrupted(timeline: &Timeline) -> Option<&StepRow> {
    timeline
        .rows
        .iter()
        .find(|row| row.status == StepStatus::Interrupted)
}

/// The step that a rollback was due to, else the first that failed for good, in plan order. Of a loop or
/// sub-runbook the step in it that failed: it is the one that printed why.
fn first_failed(timeline: &Timeline) -> Option<&StepRow> {
    let blamed = match &timeline.rollback {
        Some((_, RollbackCause::StepFailed { step })) => timeline.row(step),
        _ => None,
    };
    if let Some(row) = blamed.filter(|row| row.children.is_empty()) {
        return Some(row);
    }
    let tree = timeline.tree();
    let failed = || {
        let rows = tree.iter().map(|(_, row)| *row);
        rows.filter(|row| row.status == StepStatus::Failed)
    };
    let inside = |row: &StepRow| match blamed {
        Some(whole) => row.id.as_str().starts_with(whole.id.as_str()),
        None => true,
    };
    let leaf = failed().find(|row| row.children.is_empty() && inside(row));
    leaf.or(blamed).or_else(|| failed().next())
}

/// The step that makes a run stuck: an undo that failed, else a step whose fate is unknown.
fn left_undone(timeline: &Timeline) -> Option<&StepRow> {
    let with = |status| {
        let is = move |row: &&StepRow| matches!(&row.undo, Some(undo) if undo.status == status);
        timeline.rows.iter().find(is)
    };
    // What was not tried has nothing to tell: the undo before it failed.
    with(UndoStatus::Failed)
        .or_else(|| interrupted(timeline))
        .or_else(|| with(UndoStatus::NotTried))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::fixtures::{self, Story, restart_plan};

    #[test]
    fn every_end_has_its_command() {
        let command = |story: Story| {
            let timeline = Timeline::of(&restart_plan(), &story.events);
            next_command(&timeline, "service-restart", "local", "01KA").map(|next| next.command)
        };
        let some = |text: &str| Some(text.to_owned());
        assert_eq!(command(fixtures::success()), None);
        assert_eq!(command(fixtures::waiting()), some("runbook approve 01KA"));
        assert_eq!(
            command(fixtures::rolled_back()),
            some("runbook logs 01KA healthy")
        );
        assert_eq!(
            command(fixtures::stuck()),
            some("runbook logs 01KA restart")
        );
        let again = some("runbook exec service-restart --env local");
        assert_eq!(command(fixtures::rejected()), again);
        assert_eq!(command(fixtures::cancelled()), again);
        assert_eq!(command(Story::begin()), some("runbook resume 01KA"));
    }

    #[test]
    fn the_shell_does_not_read_ids_as_patterns() {
        assert_eq!(shell_word("restart"), "restart");
        assert_eq!(shell_word("ok[api]"), "'ok[api]'");
    }

    #[test]
    fn a_stuck_run_leads_to_the_undo_that_failed() {
        let story = fixtures::stuck();
        let mut timeline = Timeline::of(&restart_plan(), &story.events);
        let undo = timeline.rows.iter().find_map(|row| row.undo.clone());
        let mut untried = undo.expect("an undo");
        untried.status = UndoStatus::NotTried;
        timeline.rows[0].undo = Some(untried);
        let next = next_command(&timeline, "service-restart", "local", "01KA");
        let next = next.expect("a command");
        assert_eq!(next.command, "runbook logs 01KA restart");
    }
}
