//! The end of a run on one screen: how it ended, what took long, what stands, and what to type next.

use std::time::Duration;

use super::lines::emergency_fact;
use super::nested::{tree_id, tree_label, worth_showing};
use super::next::{Places, interrupted, next_command};
use super::outcome::{
    ids, outcome_look, outcome_meaning, recovery, standing, step_look, step_words, tally_words,
    undone,
};
use super::rows::{StepRow, StepStatus};
use super::style::{Paint, Style, Symbol};
use super::text::{Cell, Table, human, one_line, value_text, wrap};
use super::timeline::Timeline;
use crate::event::Outcome;
use crate::plan::{Plan, PlanPart};

/// More rows than this are not a summary; then only the notable ones are shown.
const ROWS: usize = 30;

/// The summary of a run that has ended, or that is left waiting.
pub fn summary(plan: &Plan, timeline: &Timeline, places: &Places, style: Style) -> String {
    let mut out = headline(plan, timeline, style);
    out.push_str(&steps(timeline, style));
    out.push_str(&outputs(timeline, style));
    out.push_str(&facts(plan, timeline, places, style));
    out
}

fn headline(plan: &Plan, timeline: &Timeline, style: Style) -> String {
    let name = one_line(&plan.runbook.name, style);
    let (symbol, paint, text) = match &timeline.finish {
        Some(finish) => {
            let (symbol, paint) = outcome_look(finish.outcome);
            let verb = match finish.outcome {
                Outcome::Succeeded => "succeeded in",
                Outcome::CompletedWithExceptions => "completed with exceptions in",
                Outcome::Failed => "failed after",
                Outcome::RolledBack => "failed and was rolled back, after",
                Outcome::Stuck => "is stuck, after",
                Outcome::Rejected => "was rejected after",
                Outcome::Expired => "expired after",
                Outcome::Cancelled => "was cancelled after",
            };
            (
                symbol,
                paint,
                format!("{name} {verb} {}", human(finish.duration)),
            )
        }
        None if timeline.open_gates().next().is_some() => (
            Symbol::Gate,
            Paint::Care,
            format!("{name} waits for approval"),
        ),
        None if interrupted(timeline).is_some() => {
            (Symbol::Care, Paint::Bad, format!("{name} is interrupted"))
        }
        None => (
            Symbol::Care,
            Paint::Care,
            format!("{name} was left before its end"),
        ),
    };
    let meaning: String = wrap(
        &outcome_meaning(timeline, plan),
        style.width.saturating_sub(2),
    )
    .iter()
    .map(|line| format!("  {}\n", style.paint(Paint::Dim, line)))
    .collect();
    let head = format!("{} {text}", style.symbol(symbol));
    format!("{}\n{meaning}", style.paint(paint, &head))
}

/// A table of the steps, the slowest marked.
fn steps(timeline: &Timeline, style: Style) -> String {
    let slowest = slowest(timeline);
    let all = timeline.tree();
    let shown = worth_showing(&all, ROWS);
    let mut table = Table::new(2);
    for &(depth, row) in &shown {
        let (symbol, paint) = step_look(row);
        let mark = if slowest == Some(&row.id) {
            "slowest"
        } else {
            ""
        };
        table.row(vec![
            Cell::new(style.symbol(symbol), style).paint(paint),
            Cell::new(&tree_id(depth, row), style).paint(Paint::Bold),
            Cell::new(tree_label(row), style),
            Cell::new(&words(timeline, row), style).paint(paint),
            Cell::new(&row.duration.map_or(String::new(), human), style).right(),
            Cell::new(&beside(row), style).paint(Paint::Dim),
            Cell::new(mark, style).paint(Paint::Care),
        ]);
    }
    let mut out = format!("\n{}", table.render(style));
    if shown.len() < all.len() {
        let rest = format!("  and {} more steps", all.len() - shown.len());
        out.push_str(&format!("{}\n", style.paint(Paint::Dim, &rest)));
    }
    out
}

/// How it stands; of a loop or sub-runbook that did not fail, how what belongs to it stands.
fn words(timeline: &Timeline, row: &StepRow) -> String {
    match row.status {
        StepStatus::Succeeded | StepStatus::Running if !row.children.is_empty() => {
            tally_words(timeline.tally(row))
        }
        _ => step_words(row),
    }
}

/// What is to be said beside a step.
fn beside(row: &StepRow) -> String {
    match row.attempts {
        0 | 1 if row.part == PlanPart::Verify => "verify".to_owned(),
        0 | 1 => String::new(),
        n => format!("{n} attempts"),
    }
}

/// The slowest step, when it is worth a word. Gates wait for people and do not count.
fn slowest(timeline: &Timeline) -> Option<&crate::base::StepId> {
    let timed = || {
        timeline
            .rows
            .iter()
            .filter(|row| row.gate.is_none() && row.children.is_empty())
            .filter_map(|row| row.duration.map(|took| (took, &row.id)))
    };
    if timed().count() < 2 {
        return None;
    }
    timed()
        .max_by_key(|(took, _)| *took)
        .filter(|(took, _)| *took >= Duration::from_millis(100))
        .map(|(_, id)| id)
}

fn outputs(timeline: &Timeline, style: Style) -> String {
    let Some(finish) = timeline.finish.as_ref().filter(|f| !f.outputs.is_empty()) else {
        return String::new();
    };
    let mut table = Table::new(2);
    for (name, value) in &finish.outputs {
        table.row(vec![
            Cell::new(name, style).paint(Paint::Name),
            Cell::new(&value_text(value, style), style),
        ]);
    }
    format!("\n{}", table.render(style))
}

fn facts(plan: &Plan, timeline: &Timeline, places: &Places, style: Style) -> String {
    let mut out = String::new();
    let mut fact = |key: &str, text: &str, paint: Paint| {
        let room = style.width.saturating_sub(14);
        for (i, line) in wrap(&one_line(text, style), room).iter().enumerate() {
            let key = if i == 0 { key } else { "" };
            let key = style.paint(Paint::Dim, &format!("{key:<10}"));
            out.push_str(&format!("  {key}  {}\n", style.paint(paint, line)));
        }
    };
    if let Some(origin) = &timeline.origin {
        if let Some(emergency) = &origin.emergency {
            fact("emergency", &emergency_fact(emergency), Paint::Bad);
        }
        if let Some(person) = &origin.on_behalf_of {
            fact("started", &format!("for {person}"), Paint::Plain);
        }
    }
    let gone = undone(timeline);
    if !gone.is_empty() {
        fact("undone", &ids(&gone), Paint::Plain);
    }
    let stands = standing(timeline, plan);
    let succeeded = matches!(&timeline.finish, Some(f) if f.outcome == Outcome::Succeeded);
    if !stands.is_empty() && timeline.finish.is_some() && !succeeded {
        fact("not undone", &ids(&stands), Paint::Care);
        for row in &stands {
            if let Some(reason) = &row.irreversible {
                fact(
                    "",
                    &format!("{} cannot be undone: {reason}", row.id),
                    Paint::Plain,
                );
            }
        }
    }
    if let Some((met, words)) = recovery(plan, timeline) {
        let paint = if met { Paint::Good } else { Paint::Bad };
        fact("recovery", &words, paint);
    }
    if let Some(audit) = &places.audit {
        let run = timeline
            .run
            .map_or(String::new(), |run| format!(" --grep={run}"));
        fact("record", &format!("git -C {audit} log{run}"), Paint::Plain);
    }
    if let Some(logs) = &places.logs {
        fact("logs", logs, Paint::Plain);
    }
    let look = format!("runbook status {}", places.prefix);
    fact("look back", &look, Paint::Plain);
    let next = next_command(
        timeline,
        &plan.runbook.name,
        &plan.environment.name,
        &places.prefix,
    );
    if let Some(next) = next.filter(|next| next.command != look) {
        fact("next", &next.why, Paint::Plain);
        fact("", &next.command, Paint::Bold);
    }
    format!("\n{out}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::fixtures::{self, Story, plan_of, restart_plan, step};
    use crate::report::rows::UndoStatus;
    use crate::report::text::width;

    fn of(story: &Story) -> String {
        let plan = restart_plan();
        let timeline = Timeline::of(&plan, &story.events);
        let places = Places {
            prefix: "01KA".to_owned(),
            audit: Some(".runbook/audit.git".to_owned()),
            logs: Some(".runbook/logs/01KA".to_owned()),
        };
        let text = summary(&plan, &timeline, &places, Style::plain(80));
        assert!(text.lines().all(|line| width(line) <= 80), "{text}");
        text
    }

    #[test]
    fn every_end_reads_well() {
        insta::assert_snapshot!("success", of(&fixtures::success()));
        insta::assert_snapshot!("rolled_back", of(&fixtures::rolled_back()));
        insta::assert_snapshot!("stuck", of(&fixtures::stuck()));
        insta::assert_snapshot!("cancelled", of(&fixtures::cancelled()));
        insta::assert_snapshot!("rejected", of(&fixtures::rejected()));
        insta::assert_snapshot!("waiting", of(&fixtures::waiting()));
    }

    #[test]
    fn what_failed_is_shown_before_what_was_undone() {
        let stuck = Timeline::of(&restart_plan(), &fixtures::stuck().events);
        let undo = stuck.rows.iter().find_map(|row| row.undo.clone());
        let names: Vec<String> = (0..60).map(|i| format!("s{i}")).collect();
        let plan = plan_of(names.iter().map(|n| step(n, "shell", &[])).collect());
        let mut story = Story::begin();
        for (i, name) in names.iter().enumerate() {
            story.started(name, 1);
            match i {
                59 => story.failed(name, 1, 5),
                _ => story.succeeded(name, 1, 1_000),
            };
        }
        let mut timeline = Timeline::of(&plan, &story.events);
        for (i, row) in timeline.rows.iter_mut().enumerate().take(59) {
            row.undo.clone_from(&undo);
            if let Some(undo) = row.undo.as_mut().filter(|_| i != 58) {
                undo.status = UndoStatus::NotTried;
            }
        }
        let text = summary(&plan, &timeline, &Places::default(), Style::plain(80));
        assert!(text.contains("s58 ") && text.contains("s59 "), "{text}");
    }

    #[test]
    fn a_thousand_steps_are_summed_up() {
        let names: Vec<String> = (0..1_000).map(|i| format!("s{i}")).collect();
        let plan = plan_of(names.iter().map(|n| step(n, "shell", &[])).collect());
        let mut story = Story::begin();
        for (i, name) in names.iter().enumerate() {
            story.started(name, 1);
            match i {
                700 => story.failed(name, 1, 5),
                _ => story.succeeded(name, 1, i as u64),
            };
        }
        let timeline = Timeline::of(&plan, &story.events);
        let text = summary(&plan, &timeline, &Places::default(), Style::plain(80));
        assert!(text.contains("s700") && text.contains("s999"), "{text}");
        assert!(text.contains("and 990 more steps"), "{text}");
    }
}
