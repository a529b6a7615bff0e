//! `report.md`: a run as a page for people, kept in the audit trail.

use super::lines::{cause_words, emergency_fact, person};
use super::outcome::{ids, outcome_meaning, recovery, standing, step_words, tally_words, undone};
use super::plan_text::risk_word;
use super::rows::{StepRow, StepStatus};
use super::style::Style;
use super::text::{clock_time, count, human, one_line, output_line};
use super::timeline::Timeline;
use crate::base::format_size;
use crate::event::{Difference, EventKind, Failure, LastChange, LogRef, RunEvent, SkipReason};
use crate::plan::{Plan, PlanPart};
use crate::store::RunRecord;

/// Events listed in the timeline at most; all of them are in `events.jsonl` beside the report.
const TIMELINE: usize = 500;
/// Rows of the table of steps at most.
const STEPS: usize = 2_000;
/// Columns that no text of a report is clipped to.
const PAGE: Style = Style {
    color: false,
    unicode: true,
    width: 200,
};

/// The page. The same run, plan and events give the same bytes.
pub fn report_markdown(run: &RunRecord, plan: &Plan, events: &[RunEvent]) -> String {
    let timeline = Timeline::of(plan, events);
    let mut out = head(run, plan, &timeline);
    out.push_str(&params(plan));
    out.push_str(&steps(&timeline));
    out.push_str(&approvals(&timeline));
    out.push_str(&failures(&timeline));
    out.push_str(&rollback(plan, &timeline));
    out.push_str(&outputs(&timeline));
    out.push_str(&logs(events));
    out.push_str(&history(events));
    out
}

fn head(run: &RunRecord, plan: &Plan, timeline: &Timeline) -> String {
    let title = plan.runbook.title.as_deref().unwrap_or(&run.runbook);
    let outcome = match timeline.finish.as_ref().map(|finish| finish.outcome) {
        Some(outcome) => outcome.to_string(),
        None => run.status.to_string(),
    };
    let mut out = format!(
        "# {}\n\n**{}**: {}.\n\n",
        escape(title),
        escape(&capital(&outcome)),
        escape(&outcome_meaning(timeline, plan)),
    );
    let mut fact = |key: &str, value: String| out.push_str(&format!("| {key} | {value} |\n"));
    fact("", String::new());
    fact("---", "---".to_owned());
    fact("Run", format!("`{}`", run.id));
    fact(
        "Runbook",
        format!("{} ({})", escape(&run.runbook), escape(&plan.runbook.file)),
    );
    fact(
        "Environment",
        format!(
            "{}{}",
            escape(&run.environment),
            if plan.environment.protected {
                " (protected)"
            } else {
                ""
            }
        ),
    );
    fact("Risk", risk_word(plan.runbook.risk).to_owned());
    fact("Started by", escape(&person(&run.actor)));
    if let Some(origin) = &timeline.origin {
        if let Some(person) = &origin.on_behalf_of {
            fact("Started for", escape(person));
        }
        if let Some(change) = &origin.changed_by {
            fact("Runbook last changed by", escape(&change_words(change)));
        }
        if let Some(emergency) = &origin.emergency {
            let words = format!("**Emergency**: {}", escape(&emergency_fact(emergency)));
            fact("Approval", words);
        }
    }
    fact("Started", format!("{} UTC", clock_time(run.created_at)));
    for resume in &timeline.resumes {
        let by = escape(&person(&resume.actor));
        fact("Resumed by", format!("{by}, {} UTC", clock_time(resume.at)));
    }
    if let Some(finish) = &timeline.finish {
        fact("Ended", format!("{} UTC", clock_time(finish.at)));
        fact("Duration", human(finish.duration));
    }
    if let Some((_, words)) = recovery(plan, timeline) {
        fact("Recovery", escape(&words));
    }
    fact("Plan digest", format!("`{}`", run.plan_digest));
    if let Some(origin) = &timeline.origin {
        fact("Program", format!("runbook {}", escape(&origin.version)));
    }
    out
}

fn change_words(change: &LastChange) -> String {
    match &change.commit {
        Some(commit) => {
            let short: String = commit.chars().take(12).collect();
            format!("{} in {short}", change.author)
        }
        None => format!("{}, not committed", change.author),
    }
}

fn params(plan: &Plan) -> String {
    if plan.params.is_empty() {
        return String::new();
    }
    let mut out = "\n## Parameters\n\n| name | type | value |\n| --- | --- | --- |\n".to_owned();
    for (name, param) in &plan.params {
        out.push_str(&format!(
            "| {} | {} | {} |\n",
            escape(name),
            escape(&param.ty.to_string()),
            code(&param.value.to_string())
        ));
    }
    out
}

fn steps(timeline: &Timeline) -> String {
    let mut out =
        "\n## Steps\n\n| step | name | action | status | attempts | started (UTC) | duration |\n\
         | --- | --- | --- | --- | --: | --- | --: |\n"
            .to_owned();
    for (depth, row) in timeline.tree().into_iter().take(STEPS) {
        let part = match row.part {
            PlanPart::Steps => "",
            PlanPart::Verify => " (verify)",
            PlanPart::Finally => " (finally)",
        };
        // Markdown has no indentation in a table.
        let indent = "&nbsp;&nbsp;".repeat(depth);
        out.push_str(&format!(
            "| {indent}{}{part} | {} | {} | {} | {} | {} | {} |\n",
            escape(row.id.as_str()),
            escape(row.title()),
            escape(&row.uses),
            escape(&status_words(timeline, row)),
            match row.attempts {
                0 => String::new(),
                n => n.to_string(),
            },
            row.started_at.map_or(String::new(), clock_time),
            row.duration.map_or(String::new(), human),
        ));
    }
    if timeline.rows.len() > STEPS {
        let more = timeline.rows.len() - STEPS;
        out.push_str(&format!("\n{more} more rows are in events.jsonl.\n"));
    }
    out
}

/// How it stands, with the condition that skipped it, or the counts of what is below it.
fn status_words(timeline: &Timeline, row: &StepRow) -> String {
    let words = step_words(row);
    match &row.skip_condition {
        Some(condition) if row.status == StepStatus::AlreadySo => format!("{words}: {condition}"),
        Some(condition) => format!("{words}, when: {condition}"),
        None if row.children.is_empty() => words,
        None => format!("{words} ({})", tally_words(timeline.tally(row))),
    }
}

fn approvals(timeline: &Timeline) -> String {
    let gates: Vec<&StepRow> = timeline.rows.iter().filter(|r| r.gate.is_some()).collect();
    if gates.is_empty() {
        return String::new();
    }
    let mut out = "\n## Approvals\n".to_owned();
    for row in gates {
        let Some(gate) = &row.gate else { continue };
        let word = row.status.word();
        out.push_str(&format!("\n### {}: {word}\n\n", escape(row.id.as_str())));
        out.push_str(&quote(&gate.message));
        for vote in &gate.votes {
            let comment = vote
                .comment
                .as_deref()
                .map_or(String::new(), |comment| format!(": {}", escape(comment)));
            let proved = if vote.actor.verified { ", signed" } else { "" };
            out.push_str(&format!(
                "- {} UTC: {}{proved} {}{comment}\n",
                clock_time(vote.at),
                escape(&person(&vote.actor)),
                vote.vote.verb()
            ));
        }
        for (at, differences) in &gate.voided {
            out.push_str(&format!(
                "- {} UTC: the votes became void, because something changed: {}\n",
                clock_time(*at),
                escape(&Difference::list(differences))
            ));
        }
    }
    out
}

fn failures(timeline: &Timeline) -> String {
    let mut out = String::new();
    for (_, row) in timeline.tree() {
        if let Some(failure) = &row.failure {
            out.push_str(&failure_text(&format!("step {}", row.id), failure));
        }
        if let Some(failure) = row.undo.as_ref().and_then(|undo| undo.failure.as_ref()) {
            out.push_str(&failure_text(&format!("undo of {}", row.id), failure));
        }
    }
    if out.is_empty() {
        return out;
    }
    format!("\n## Failures\n{out}")
}

fn failure_text(what: &str, failure: &Failure) -> String {
    let mut out = format!(
        "\n### {} ({})\n\n{}\n",
        escape(what),
        failure.sort.as_str(),
        escape(&failure.error.message)
    );
    for (depth, cause) in failure.error.causes.iter().enumerate() {
        out.push_str(&format!("{}- {}\n", "  ".repeat(depth), escape(cause)));
    }
    if let Some(hint) = &failure.hint {
        out.push_str(&format!("\nHint: {}\n", escape(hint)));
    }
    if !failure.log_tail.is_empty() {
        out.push_str("\nThe log ends:\n\n");
        // Indented, since a fence could be closed by what the log says.
        for line in &failure.log_tail {
            out.push_str(&format!("    {}\n", output_line(line, PAGE)));
        }
    }
    out
}

fn rollback(plan: &Plan, timeline: &Timeline) -> String {
    let Some((at, cause)) = &timeline.rollback else {
        return String::new();
    };
    let mut out = format!(
        "\n## Rollback\n\nBegan {} UTC, because {}.\n\n",
        clock_time(*at),
        escape(&cause_words(cause))
    );
    let gone = undone(timeline);
    if !gone.is_empty() {
        out.push_str(&format!("- Undone: {}\n", escape(&ids(&gone))));
    }
    let stands = standing(timeline, plan);
    if !stands.is_empty() {
        out.push_str(&format!("- Not undone: {}\n", escape(&ids(&stands))));
    }
    out
}

fn outputs(timeline: &Timeline) -> String {
    let Some(finish) = timeline.finish.as_ref().filter(|f| !f.outputs.is_empty()) else {
        return String::new();
    };
    let mut out = "\n## Outputs\n\n| name | value |\n| --- | --- |\n".to_owned();
    for (name, value) in &finish.outputs {
        out.push_str(&format!(
            "| {} | {} |\n",
            escape(name),
            code(&value.to_string())
        ));
    }
    out
}

/// The log of every attempt, with the digest that proves it.
fn logs(events: &[RunEvent]) -> String {
    let mut out = String::new();
    for event in events
        .iter()
        .filter(|e| log_of(&e.event).is_some())
        .take(TIMELINE)
    {
        if let (Some(step), Some(log)) = (event.event.step(), log_of(&event.event)) {
            out.push_str(&format!(
                "| {} | {} | {} | `{}` |\n",
                escape(step.as_str()),
                escape(&log.file),
                format_size(log.bytes),
                log.digest
            ));
        }
    }
    if out.is_empty() {
        return out;
    }
    format!("\n## Logs\n\n| step | file | size | digest |\n| --- | --- | --: | --- |\n{out}")
}

fn log_of(kind: &EventKind) -> Option<&LogRef> {
    match kind {
        EventKind::StepSucceeded { log, .. }
        | EventKind::StepFailed { log, .. }
        | EventKind::UndoSucceeded { log, .. }
        | EventKind::UndoFailed { log, .. } => log.as_ref(),
        _ => None,
    }
}

fn history(events: &[RunEvent]) -> String {
    let mut out = "\n## Timeline\n\n| # | time (UTC) | event |\n| --: | --- | --- |\n".to_owned();
    // That a poll began says nothing to people; what it found follows.
    let told = |event: &&RunEvent| !matches!(event.event, EventKind::StepPollStarted { .. });
    let count = events.iter().filter(told).count();
    for event in events.iter().filter(told).take(TIMELINE) {
        out.push_str(&format!(
            "| {} | {} | {} |\n",
            event.seq,
            event.at.to_utc().format("%H:%M:%S%.3f"),
            escape(&event_words(&event.event))
        ));
    }
    if count > TIMELINE {
        out.push_str(&format!(
            "\n{} more events are in events.jsonl.\n",
            count - TIMELINE
        ));
    }
    out
}

/// An event in a few words.
pub(crate) fn event_words(kind: &EventKind) -> String {
    let named = kind.name().replace('_', " ");
    let about = match kind.step() {
        Some(step) => format!("{named}: {step}"),
        None => named,
    };
    match kind {
        EventKind::RunCreated { actor, .. } => format!("{about} by {}", person(actor)),
        EventKind::StepStarted { attempt, .. }
        | EventKind::StepRetryScheduled { attempt, .. }
        | EventKind::UndoStarted { attempt, .. }
        | EventKind::UndoRetryScheduled { attempt, .. } => format!("{about}, attempt {attempt}"),
        EventKind::RunResumed { actor, .. } => format!("{about} by {}", person(actor)),
        EventKind::StepPollStarted { poll, .. } | EventKind::StepPolled { poll, .. } => {
            format!("{about}, poll {poll}")
        }
        EventKind::StepFailed { failure, .. } | EventKind::UndoFailed { failure, .. } => {
            format!("{about}: {}", failure.error.message)
        }
        EventKind::StepExpanded { instances, .. } => {
            format!("{about}, {}", count(instances.len(), "instance"))
        }
        EventKind::StepProbeStarted { .. } => format!("{about}, is it so already?"),
        EventKind::StepProbed { .. } => format!("{about}, not so yet"),
        EventKind::StepTimedOut { .. } => format!("{about}, what runs of it is being ended"),
        EventKind::StepSkipped { reason, .. } => match reason {
            SkipReason::Condition { condition } => format!("{about}, when: {condition}"),
            SkipReason::AlreadyDone { condition, .. } => {
                format!("{about}, already so: {condition}")
            }
            SkipReason::PartEnded => {
                format!("{about}, what it is a part of failed before its turn")
            }
            SkipReason::RunEnded => format!("{about}, the run ended before its turn"),
            SkipReason::NotApproved => format!("{about}, nothing was approved"),
        },
        EventKind::VoteCast { vote, actor, .. } => {
            format!("{about}: {} {}", person(actor), vote.verb())
        }
        EventKind::CancelRequested { actor, .. } => format!("{about} by {}", person(actor)),
        EventKind::RollbackStarted { cause, .. } => format!("{about}: {}", cause_words(cause)),
        EventKind::RunFinished { outcome, .. } => format!("{about}: {outcome}"),
        EventKind::RunReviewed { actor, verdict, .. } => {
            format!("{about} by {}: {}", person(actor), verdict.as_str())
        }
        other => match other.at_gate() {
            Some(told) => format!("{about}: {told}"),
            None => about,
        },
    }
}

fn capital(text: &str) -> String {
    let mut chars = text.chars();
    chars.next().map_or(String::new(), |first| {
        first.to_uppercase().chain(chars).collect()
    })
}

fn quote(text: &str) -> String {
    let lines: String = text
        .lines()
        .take(60)
        .map(|line| format!("> {}\n", escape(line)))
        .collect();
    format!("{lines}\n")
}

/// Text that stays text: every character that means something in Markdown, its tables or HTML is escaped.
fn escape(text: &str) -> String {
    let mut out = String::new();
    let safe = one_line(text, PAGE);
    for (i, c) in safe.chars().enumerate() {
        match c {
            '\\' | '`' | '*' | '_' | '[' | ']' | '#' | '|' | '~' => {
                out.push('\\');
                out.push(c);
            }
            // At a line's start these make lists and rules.
            '-' | '+' | '=' if i == 0 => {
                out.push('\\');
                out.push(c);
            }
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '&' => out.push_str("&amp;"),
            // A bare address would become a link.
            ':' if safe.chars().skip(i + 1).take(2).eq("//".chars()) => out.push_str("&#58;"),
            c => out.push(c),
        }
    }
    out
}

/// A value as inline code.
fn code(text: &str) -> String {
    let text = one_line(text, PAGE).replace('|', "\\|");
    let longest = text.split(|c| c != '`').map(str::len).max().unwrap_or(0);
    let fence = "`".repeat(longest + 1);
    if longest == 0 {
        format!("{fence}{text}{fence}")
    } else {
        format!("{fence} {text} {fence}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::fixtures::{self, Story, record, restart_plan};

    fn page(story: &Story) -> String {
        report_markdown(&record(story), &restart_plan(), &story.events)
    }

    #[test]
    fn pages_read_well() {
        insta::assert_snapshot!("success", page(&fixtures::success()));
        insta::assert_snapshot!("stuck", page(&fixtures::stuck()));
        assert!(page(&fixtures::waiting()).contains("**Waiting**: it waits at 1 gate."));
    }

    #[test]
    fn a_resumed_run_says_by_whom_and_poll_starts_are_left_out() {
        let text = page(&fixtures::resumed());
        assert!(
            text.contains("| Resumed by | maria@ops1, 2026-11-23 03:01:00 UTC |"),
            "{text}"
        );
        assert!(text.contains(" | run resumed by maria@ops1 |"), "{text}");
        assert!(!text.contains("poll started"), "{text}");
    }

    #[test]
    fn text_cannot_become_markup() {
        assert_eq!(
            escape("a|b <script> [x](http://y) `c` *d*\n# e\x1b"),
            "a\\|b &lt;script&gt; \\[x\\](http&#58;//y) \\`c\\` \\*d\\*⏎ \\# e\\\\x1b"
        );
        assert_eq!(escape("- item"), "\\- item");
        assert_eq!(code("a``b|c"), "``` a``b\\|c ```");
        assert_eq!(code("\"x\""), "`\"x\"`");
    }

    #[test]
    fn a_long_history_is_cut_with_a_word() {
        let mut story = Story::begin();
        for _ in 0..TIMELINE {
            story.started("before", 1);
        }
        assert!(page(&story).contains("1 more events are in events.jsonl"));
    }
}
