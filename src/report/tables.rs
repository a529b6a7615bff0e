//! Lists: runs, one run's steps, runbooks; as tables and as JSON.

use std::collections::BTreeSet;

use serde_json::json;

use super::lines::{Lines, emergency_fact, person};
use super::nested::{tree_id, tree_label, worth_showing};
use super::next::{NextCommand, Places, next_command};
use super::outcome::{
    outcome_look, outcome_meaning, recovered_in, recovery, step_look, step_words, tally_words,
};
use super::plan_text::risk_word;
use super::rows::{RowKind, StepRow, StepStatus, UndoStatus};
use super::style::{Paint, Style, Symbol};
use super::text::{Cell, Table, clip, clock_time, count, human, one_line, wrap};
use super::timeline::Timeline;
use super::waiting::waits_for;
use crate::base::{RunId, Timestamp, Value};
use crate::event::{Difference, RunStatus};
use crate::model::Runbook;
use crate::plan::{Plan, PlanPart};
use crate::run::RunState;
use crate::store::{EngineOwner, RunRecord};

/// Failures that `status` shows in full at most.
const FAILURES: usize = 5;

/// Resumptions that `status` shows at most, the latest first.
const RESUMES: usize = 3;

/// Rows of steps that `status` shows at most.
const ROWS: usize = 60;

/// Tells whether the process that drives a run still lives.
pub type Alive<'a> = &'a dyn Fn(&EngineOwner) -> bool;

/// Whether the command would do what a living process is doing.
fn is_under_way(run: &RunRecord, alive: Alive<'_>, next: &NextCommand) -> bool {
    driven(run, alive) && next.command.starts_with("runbook resume")
}

/// Whether an unfinished run has a living process.
fn driven(run: &RunRecord, alive: Alive<'_>) -> bool {
    run.owner.as_ref().is_some_and(alive)
}

/// Symbol, colour and words for how a run stands.
fn run_look(run: &RunRecord, alive: Alive<'_>) -> (Symbol, Paint, String) {
    if let Some(outcome) = run.outcome {
        let (symbol, paint) = outcome_look(outcome);
        return (symbol, paint, outcome.to_string());
    }
    match (run.status, driven(run, alive)) {
        // Waiting needs no process.
        (RunStatus::Waiting, _) => (Symbol::Gate, Paint::Care, run.status.to_string()),
        (_, true) => (Symbol::Running, Paint::Name, run.status.to_string()),
        (_, false) => (
            Symbol::Care,
            Paint::Bad,
            format!("{} (process gone)", run.status),
        ),
    }
}

/// The runs, one a row. `emergencies`: those whose gates were passed without approval. `prefix_len` is
/// the length of the ids' shortest unique prefix.
pub fn runs_table(
    runs: &[RunRecord],
    emergencies: &BTreeSet<RunId>,
    prefix_len: usize,
    now: Timestamp,
    alive: Alive<'_>,
    style: Style,
) -> String {
    if runs.is_empty() {
        return "no run has been recorded yet; start one with: runbook exec NAME\n".to_owned();
    }
    let heads = [
        "",
        "RUN",
        "RUNBOOK",
        "ENV",
        "STATUS",
        "STARTED (UTC)",
        "TOOK",
        "BY",
    ];
    let mut table = Table::headed(0, &heads, style);
    for run in runs {
        let (symbol, paint, mut words) = run_look(run, alive);
        if emergencies.contains(&run.id) {
            words.push_str(", emergency");
        }
        let took = run.finished_at.unwrap_or(now).since(run.created_at);
        let id: String = run.id.to_string().chars().take(prefix_len).collect();
        table.row(vec![
            Cell::new(style.symbol(symbol), style).paint(paint),
            Cell::new(&id, style).paint(Paint::Name),
            Cell::new(&run.runbook, style).paint(Paint::Bold),
            Cell::new(&run.environment, style),
            Cell::new(&words, style).paint(paint),
            Cell::new(&clock_time(run.created_at), style),
            Cell::new(&human(took), style).right(),
            Cell::new(&run.actor.name, style),
        ]);
    }
    table.render(style)
}

/// A run as the index knows it, and whether its gates were passed without approval.
pub fn run_json(run: &RunRecord, emergency: bool, alive: Alive<'_>) -> Value {
    json!({
        "id": run.id,
        "runbook": run.runbook,
        "environment": run.environment,
        "status": run.status,
        "outcome": run.outcome,
        "emergency": emergency,
        "created_at": run.created_at,
        "finished_at": run.finished_at,
        "actor": run.actor,
        "plan_digest": run.plan_digest,
        "last_seq": run.last_seq,
        "owner": run.owner,
        "owner_alive": driven(run, alive),
    })
}

/// What `status RUN` shows.
#[derive(Clone, Copy)]
pub struct RunStatusView<'a> {
    /// The run.
    pub run: &'a RunRecord,
    /// Its plan.
    pub plan: &'a Plan,
    /// Its events, folded.
    pub timeline: &'a Timeline,
    /// The run as the core knows it, for what its gates wait for.
    pub state: Option<&'a RunState>,
    /// Names for the commands that are shown.
    pub places: &'a Places,
    /// Now.
    pub now: Timestamp,
    /// Whether its process lives.
    pub alive: Alive<'a>,
}

/// How one run stands: header, steps, open gates, and the next command.
pub fn status_text(view: &RunStatusView<'_>, style: Style) -> String {
    let RunStatusView {
        run,
        plan,
        timeline,
        now,
        ..
    } = *view;
    let (symbol, paint, words) = run_look(run, view.alive);
    let head = format!(
        "{} {} on {}: {words}",
        style.symbol(symbol),
        one_line(&run.runbook, style),
        one_line(&run.environment, style)
    );
    let mut out = format!("{}\n", style.paint(paint, &clip(&head, style.width, style)));
    let mut say = |text: &str, paint: Paint| {
        for line in wrap(text, style.width.saturating_sub(2)) {
            out.push_str(&format!("  {}\n", style.paint(paint, &line)));
        }
    };
    say(&outcome_meaning(timeline, plan), Paint::Dim);
    if run.outcome.is_none() && run.status != RunStatus::Waiting && !driven(run, view.alive) {
        say(
            "the process that drove it has ended; nothing is being done",
            Paint::Bad,
        );
    }
    let took = run.finished_at.unwrap_or(now).since(run.created_at);
    say(
        &format!(
            "run {}, started by {} {} UTC, {}",
            run.id,
            one_line(&person(&run.actor), style),
            clock_time(run.created_at),
            human(took)
        ),
        Paint::Dim,
    );
    for resume in timeline.resumes.iter().rev().take(RESUMES) {
        let by = one_line(&person(&resume.actor), style);
        let text = format!("resumed by {by} {} UTC", clock_time(resume.at));
        say(&text, Paint::Dim);
    }
    if let Some(origin) = &timeline.origin {
        if let Some(person) = &origin.on_behalf_of {
            say(
                &format!("started for {}", one_line(person, style)),
                Paint::Dim,
            );
        }
        if let Some(emergency) = &origin.emergency {
            let fact = one_line(&emergency_fact(emergency), style);
            say(&format!("EMERGENCY: {fact}"), Paint::Bad);
        }
    }
    if let Some((met, words)) = recovery(plan, timeline) {
        say(&words, if met { Paint::Good } else { Paint::Bad });
    }
    out.push_str(&steps(timeline, now, style));
    out.push_str(&failures(view, style));
    for row in timeline.open_gates() {
        out.push_str(&gate(row, view.state, now, style));
    }
    let next = next_command(
        timeline,
        &run.runbook,
        &run.environment,
        &view.places.prefix,
    );
    let next = next.filter(|next| !is_under_way(run, view.alive, next));
    if let Some(next) = next {
        out.push_str(&format!(
            "\n  {}\n  {}\n",
            style.paint(Paint::Dim, &next.why),
            style.paint(Paint::Bold, &next.command)
        ));
    }
    out
}

fn steps(timeline: &Timeline, now: Timestamp, style: Style) -> String {
    let mut table = Table::new(2);
    let all = timeline.tree();
    let shown = worth_showing(&all, ROWS);
    let left_out = all.len() - shown.len();
    for (depth, row) in shown {
        let (symbol, paint) = step_look(row);
        let under_way = matches!(
            row.status,
            StepStatus::Running | StepStatus::Retrying | StepStatus::Waiting
        );
        let took = match (under_way, row.started_at) {
            (true, Some(start)) => Some(now.since(start)),
            _ => row.duration,
        };
        table.row(vec![
            Cell::new(style.symbol(symbol), style).paint(paint),
            Cell::new(&tree_id(depth, row), style).paint(Paint::Bold),
            Cell::new(tree_label(row), style),
            Cell::new(&step_words(row), style).paint(paint),
            Cell::new(&took.map_or(String::new(), human), style).right(),
            Cell::new(&remark(timeline, row), style).paint(Paint::Dim),
        ]);
    }
    let mut out = format!("\n{}", table.render(style));
    if left_out > 0 {
        let rest = format!("  and {left_out} more; all of them: --output json");
        out.push_str(&format!("{}\n", style.paint(Paint::Dim, &rest)));
    }
    out
}

/// The failures that have the last word on their step, as the live display shows them.
fn failures(view: &RunStatusView<'_>, style: Style) -> String {
    let lines = Lines::new(view.plan, style, view.places.clone());
    let mut blocks: Vec<Vec<String>> = Vec::new();
    for (_, row) in view.timeline.tree() {
        if row.status == StepStatus::Failed {
            blocks.push(lines.failed(row));
        }
        if matches!(&row.undo, Some(undo) if undo.status == UndoStatus::Failed) {
            blocks.push(lines.undo_failed(row));
        }
    }
    let more = blocks.len().saturating_sub(FAILURES);
    let mut out = String::new();
    for block in blocks.iter().take(FAILURES) {
        out.push_str(&format!("\n{}\n", block.join("\n")));
    }
    if more > 0 {
        out.push_str(&format!("\nand {more} more failures\n"));
    }
    out
}

/// A few words beside a step.
pub(super) fn remark(timeline: &Timeline, row: &StepRow) -> String {
    let part = match row.part {
        PlanPart::Steps => "",
        PlanPart::Verify => "verify",
        PlanPart::Finally => "finally",
    };
    let words = match (&row.skip_condition, row.status) {
        (Some(condition), StepStatus::AlreadySo) => condition.clone(),
        (Some(condition), _) => format!("when: {condition}"),
        (None, _) if !row.children.is_empty() => tally_words(timeline.tally(row)),
        (None, _) if row.attempts > 1 => format!("{} attempts", row.attempts),
        (None, _) => String::new(),
    };
    match (part, words.is_empty()) {
        ("", _) => words,
        (part, true) => part.to_owned(),
        (part, false) => format!("{part}, {words}"),
    }
}

fn gate(row: &StepRow, state: Option<&RunState>, now: Timestamp, style: Style) -> String {
    let Some(gate) = &row.gate else {
        return String::new();
    };
    let since = gate.opened_at.map_or(String::new(), |at| {
        format!(
            " for {}, since {} UTC",
            human(now.since(at)),
            clock_time(at)
        )
    });
    let head = format!("{} {} waits{since}", style.symbol(Symbol::Gate), row.id);
    let mut out = format!("\n  {}\n", style.paint(Paint::Care, &head));
    // After a void it asks another question than when it opened.
    let open = state.into_iter().flat_map(RunState::open_gates);
    let open = open.into_iter().find(|open| open.step == row.id);
    let message = open.map_or_else(|| gate.message.clone(), |open| open.message);
    for line in message.lines().take(40) {
        for part in wrap(&one_line(line, style), style.width.saturating_sub(4)) {
            out.push_str(&format!("    {part}\n"));
        }
    }
    if let Some(at) = gate.expires_at {
        out.push_str(&format!(
            "    the question lapses at {} UTC\n",
            clock_time(at)
        ));
    }
    for vote in &gate.votes {
        let text = format!("{} {}", person(&vote.actor), vote.vote.verb());
        out.push_str(&format!("    {}\n", one_line(&text, style)));
    }
    for (_, differences) in &gate.voided {
        let text = format!("the votes became void: {}", Difference::list(differences));
        for part in wrap(&one_line(&text, style), style.width.saturating_sub(4)) {
            out.push_str(&format!("    {part}\n"));
        }
    }
    let facts = state.map(|state| waits_for(state, &row.id, gate, now));
    for fact in facts.iter().flatten() {
        for part in wrap(&one_line(fact, style), style.width.saturating_sub(4)) {
            out.push_str(&format!("    {}\n", style.paint(Paint::Dim, &part)));
        }
    }
    out
}

/// How one run stands, as JSON: the run with its steps, gates, outputs and the next command.
pub fn status_json(view: &RunStatusView<'_>) -> Value {
    let RunStatusView { run, timeline, .. } = *view;
    let next = next_command(
        timeline,
        &run.runbook,
        &run.environment,
        &view.places.prefix,
    );
    let next = next.filter(|next| !is_under_way(run, view.alive, next));
    let origin = timeline.origin.as_ref();
    let emergency = origin.is_some_and(|origin| origin.emergency.is_some());
    let mut object = run_json(run, emergency, view.alive);
    object["steps"] = timeline
        .tree()
        .iter()
        .map(|(_, row)| step_json(row))
        .collect();
    object["recovery_ms"] = json!(recovered_in(timeline).map(|took| took.as_millis() as u64));
    object["rto_ms"] = json!(view.plan.runbook.rto.map(|rto| rto.0.as_millis() as u64));
    object["resumes"] = timeline
        .resumes
        .iter()
        .map(|resume| json!({ "at": resume.at, "actor": resume.actor }))
        .collect();
    object["outputs"] = timeline
        .finish
        .as_ref()
        .map_or(Value::Null, |finish| Value::Object(finish.outputs.clone()));
    object["next"] = next.map_or(Value::Null, |next| Value::String(next.command));
    object
}

fn step_json(row: &StepRow) -> Value {
    json!({
        "id": row.id,
        "name": row.name,
        "uses": row.uses,
        "kind": match row.kind {
            RowKind::Step => "step",
            RowKind::Loop => "loop",
            RowKind::Block => "runbook",
        },
        "part": match row.part {
            PlanPart::Steps => "steps",
            PlanPart::Verify => "verify",
            PlanPart::Finally => "finally",
        },
        "parent": row.id.parent(),
        "finally": row.part == PlanPart::Finally,
        "status": row.status.word().replace(' ', "_"),
        "undo": row.undo.as_ref().map(|undo| undo.status.word().replace(' ', "_")),
        "attempts": row.attempts,
        "started_at": row.started_at,
        "ended_at": row.ended_at,
        "duration_ms": row.duration.map(|took| took.as_millis() as u64),
        "outputs": row.outputs,
        "failure": row.failure,
        "undo_failure": row.undo.as_ref().and_then(|undo| undo.failure.as_ref()),
        "log": row.log.as_ref().map(|log| &log.file),
        "skip_condition": row.skip_condition,
        "gate": row.gate.as_ref().map(|gate| json!({
            "message": gate.message,
            "opened_at": gate.opened_at,
            "expires_at": gate.expires_at,
        })),
    })
}

/// A runbook of the repository; one that cannot be read is listed all the same.
#[derive(Debug, Clone, Copy)]
pub struct RunbookEntry<'a> {
    /// Its name: the file name without `.yaml`.
    pub name: &'a str,
    /// What it says, unless it has errors.
    pub runbook: Option<&'a Runbook>,
}

/// The runbooks, one a row.
pub fn runbooks_table(entries: &[RunbookEntry<'_>], style: Style) -> String {
    if entries.is_empty() {
        return "there is no runbook here; write a first one with: runbook init\n".to_owned();
    }
    let mut table = Table::headed(0, &["RUNBOOK", "TITLE", "RISK", "STEPS", "OWNER"], style);
    for entry in entries {
        let name = Cell::new(entry.name, style).paint(Paint::Bold);
        let Some(runbook) = entry.runbook else {
            let text = format!("has errors; see: runbook check {}", entry.name);
            table.row(vec![name, Cell::new(&text, style).paint(Paint::Bad)]);
            continue;
        };
        let text = |field: &Option<crate::base::Spanned<String>>| {
            field.as_ref().map_or(String::new(), |t| t.value.clone())
        };
        table.row(vec![
            name,
            Cell::new(&text(&runbook.title), style),
            Cell::new(risk_word(runbook.risk.value), style),
            Cell::new(&runbook.steps.len().to_string(), style).right(),
            Cell::new(&text(&runbook.owner), style),
        ]);
    }
    let mut out = table.render(style);
    let line = format!(
        "\n{}; see one with: runbook show NAME\n",
        count(entries.len(), "runbook")
    );
    out.push_str(&style.paint(Paint::Dim, &line));
    out
}

/// A runbook as JSON for lists.
pub fn runbook_json(entry: &RunbookEntry<'_>) -> Value {
    let runbook = entry.runbook;
    json!({
        "name": entry.name,
        "valid": runbook.is_some(),
        "file": runbook.map(|r| &r.source.path),
        "title": runbook.and_then(|r| r.title.as_ref()).map(|t| &t.value),
        "description": runbook.and_then(|r| r.description.as_ref()).map(|t| &t.value),
        "owner": runbook.and_then(|r| r.owner.as_ref()).map(|t| &t.value),
        "severity": runbook.and_then(|r| r.severity.as_ref()).map(|s| &s.value),
        "risk": runbook.map(|r| r.risk.value),
        "steps": runbook.map(|r| r.steps.len()),
        "params": runbook.map(|r| r.params.iter().map(|(name, param)| json!({
            "name": name,
            "type": param.ty.value.to_string(),
            "required": param.default.is_none(),
            "default": param.default.as_ref().map(crate::model::YamlValue::to_json),
            "description": param.description.as_ref().map(|d| &d.value),
        })).collect::<Vec<_>>()),
    })
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::report::fixtures::{self, START, Story, record, restart_plan};
    use crate::report::text::width;

    fn owner() -> EngineOwner {
        EngineOwner {
            host: "ops1".to_owned(),
            pid: 4242,
            started: 7,
        }
    }

    fn now() -> Timestamp {
        Timestamp::from_unix_millis(START).plus(Duration::from_secs(600))
    }

    fn status(story: &Story) -> (String, Value) {
        let plan = restart_plan();
        let timeline = Timeline::of(&plan, &story.events);
        let places = Places {
            prefix: "01M8".to_owned(),
            ..Places::default()
        };
        let run = record(story);
        let view = RunStatusView {
            run: &run,
            plan: &plan,
            timeline: &timeline,
            state: None,
            places: &places,
            now: now(),
            alive: &|_| true,
        };
        (status_text(&view, Style::plain(80)), status_json(&view))
    }

    #[test]
    fn a_resumed_run_says_by_whom() {
        let (text, json) = status(&fixtures::resumed());
        assert!(
            text.contains("\n  resumed by maria@ops1 2026-11-23 03:01:00 UTC\n"),
            "{text}"
        );
        assert_eq!(json["resumes"][0]["actor"]["name"], "maria");
    }

    #[test]
    fn runs_show_when_their_process_is_gone() {
        let done = record(&fixtures::success());
        let waits = record(&fixtures::waiting());
        let mut goes_on = record(&fixtures::waiting());
        goes_on.status = RunStatus::Running;
        goes_on.owner = Some(owner());
        let gone = RunRecord {
            owner: Some(EngineOwner { pid: 1, ..owner() }),
            ..goes_on.clone()
        };
        let runs = [done, waits, goes_on, gone];
        let alive = |owner: &EngineOwner| owner.pid == 4242;
        let text = runs_table(&runs, &BTreeSet::new(), 6, now(), &alive, Style::plain(100));
        insta::assert_snapshot!(text);
        let json: Vec<Value> = runs
            .iter()
            .map(|run| run_json(run, false, &alive))
            .collect();
        assert_eq!(json[2]["owner_alive"], true);
        assert_eq!(json[3]["owner_alive"], false);
        assert_eq!(json[0]["outcome"], "succeeded");
        assert!(
            runs_table(&[], &BTreeSet::new(), 4, now(), &alive, Style::plain(80))
                .contains("runbook exec")
        );
    }

    #[test]
    fn status_of_a_waiting_and_of_a_stuck_run() {
        let (text, json) = status(&fixtures::waiting());
        insta::assert_snapshot!("status_waiting", text);
        assert_eq!(json["next"], "runbook approve 01M8");
        assert_eq!(json["steps"][1]["status"], "waiting");
        let (text, json) = status(&fixtures::stuck());
        insta::assert_snapshot!("status_stuck", text);
        assert_eq!(json["steps"][3]["undo"], "undo_failed");
        assert!(text.lines().all(|line| width(line) <= 80), "{text}");
    }

    #[test]
    fn a_broken_runbook_is_listed_with_the_command_that_shows_why() {
        let entry = RunbookEntry {
            name: "broken",
            runbook: None,
        };
        let text = runbooks_table(&[entry], Style::plain(80));
        assert!(text.contains("runbook check broken"), "{text}");
        assert_eq!(runbook_json(&entry)["valid"], false);
    }
}
