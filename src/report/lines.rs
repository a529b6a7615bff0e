//! What each event becomes in words: the permanent lines of a live display and of a plain log.

use std::time::Duration;

use super::next::Places;
use super::outcome::tally_words;
use super::rows::StepRow;
use super::style::{Paint, Style, Symbol};
use super::text::{
    clip, clock_time, count, human, one_line, output_line, pad, shell_word, width, wrap,
};
use super::timeline::Timeline;
use super::waiting::{ignored_vote, waits_for};
use crate::base::Timestamp;
use crate::event::{
    Actor, Emergency, EventKind, Failure, LogRef, LoopInstance, RollbackCause, RunEvent,
    SkipReason, Vote,
};
use crate::plan::Plan;
use crate::run::RunState;

/// Lines of a log's end that are shown with a failure.
const LOG_LINES: usize = 20;

/// Turns events into lines; knows the look and the places, not the screen.
#[derive(Debug, Clone)]
pub(crate) struct Lines {
    pub(crate) style: Style,
    pub(crate) places: Places,
    /// Width of the column of step ids.
    pub(crate) ids: usize,
    runbook: String,
    environment: String,
}

impl Lines {
    pub(crate) fn new(plan: &Plan, style: Style, places: Places) -> Self {
        let steps = plan.steps.iter().chain(&plan.verify).chain(&plan.finally);
        let longest = steps.map(|step| step.id.as_str().len()).max();
        Self {
            style,
            places,
            ids: longest.unwrap_or(0).min(24),
            runbook: one_line(&plan.runbook.name, style),
            environment: one_line(&plan.environment.name, style),
        }
    }

    /// `✓ restart  Restart the service  1.2s`, clipped to the width.
    pub(crate) fn step_line(
        &self,
        symbol: Symbol,
        paint: Paint,
        row: &StepRow,
        words: &str,
        end: &str,
    ) -> String {
        let style = self.style;
        let sign = style.symbol(symbol);
        let id = pad(row.id.as_str(), self.ids);
        let end = if end.is_empty() {
            String::new()
        } else {
            format!("  {end}")
        };
        let lead = width(sign) + 1 + width(&id) + 2;
        let room = style.width.saturating_sub(lead + width(&end)).max(12);
        let words = clip(&one_line(words, style), room, style);
        let line = format!(
            "{} {}  {words}{}",
            style.paint(paint, sign),
            style.paint(Paint::Bold, &id),
            style.paint(Paint::Dim, &end)
        );
        line.trim_end().to_owned()
    }

    fn note(&self, symbol: Symbol, paint: Paint, text: &str) -> Vec<String> {
        let style = self.style;
        let sign = style.symbol(symbol);
        let lines = wrap(&one_line(text, style), style.width.saturating_sub(3));
        lines
            .iter()
            .enumerate()
            .map(|(i, line)| {
                let lead = if i == 0 { sign } else { " " };
                let blank = " ".repeat(width(sign).saturating_sub(width(lead)));
                style.paint(paint, &format!("{lead}{blank} {line}"))
            })
            .collect()
    }

    /// The lines of an event, after the timeline took it in. Failures are left out: whether one is
    /// final is known only later ([`Self::failed`], [`Self::retried`]). `log` adds the starts.
    pub(crate) fn of(
        &self,
        timeline: &Timeline,
        state: Option<&RunState>,
        event: &RunEvent,
        log: bool,
    ) -> Vec<String> {
        let row = event.event.step().and_then(|step| timeline.row(step));
        match (&event.event, row) {
            (EventKind::RunCreated { actor, .. }, _) => {
                let mut lines = self.headline(&person(actor));
                lines.extend(self.beginnings(timeline));
                lines
            }
            (EventKind::RunResumed { actor, .. }, _) => self.resumed(actor),
            (EventKind::CancelRequested { actor, reason, .. }, _) => {
                let reason = reason
                    .as_deref()
                    .map_or(String::new(), |r| format!(": {r}"));
                let text = format!("{} asks to end the run{reason}", person(actor));
                self.note(Symbol::Care, Paint::Care, &text)
            }
            (EventKind::RunTimedOut, _) => self.note(
                Symbol::Care,
                Paint::Bad,
                "the run took longer than its timeout; it is being stopped",
            ),
            (EventKind::RollbackStarted { cause, steps }, _) => {
                self.rollback(&cause_words(cause), steps.len())
            }
            (EventKind::FinallyStarted, _) => {
                vec![self.style.paint(Paint::Dim, "finally")]
            }
            // What belongs to a loop or sub-runbook is told by its own line; a log tells all.
            (kind, Some(row)) if log || !is_inner(row, kind) => {
                let mut lines = self.of_step(timeline, row, kind, log);
                if let Some(state) = state {
                    lines.extend(self.waits(state, row, event));
                }
                lines
            }
            _ => Vec::new(),
        }
    }

    /// Something that a person should know and that is no event.
    pub(crate) fn warning(&self, text: &str) -> Vec<String> {
        self.note(Symbol::Care, Paint::Care, text)
    }

    /// What is unusual about the start of a run.
    fn beginnings(&self, timeline: &Timeline) -> Vec<String> {
        let Some(origin) = &timeline.origin else {
            return Vec::new();
        };
        let mut lines = Vec::new();
        if let Some(person) = &origin.on_behalf_of {
            lines.extend(self.note(Symbol::Care, Paint::Dim, &format!("started for {person}")));
        }
        if let Some(emergency) = &origin.emergency {
            lines.extend(self.note(Symbol::Care, Paint::Bad, &emergency_words(emergency)));
        }
        lines
    }

    fn resumed(&self, actor: &Actor) -> Vec<String> {
        self.headline(&format!("resumed by {}", person(actor)))
    }

    /// Which run it is, and whose.
    fn headline(&self, whose: &str) -> Vec<String> {
        let style = self.style;
        let dot = style.symbol(Symbol::Dot);
        let text = format!(
            "{} on {} {dot} run {} {dot} {}",
            self.runbook,
            self.environment,
            self.places.prefix,
            one_line(whose, style)
        );
        vec![style.paint(Paint::Bold, &clip(&text, style.width, style))]
    }

    fn rollback(&self, cause: &str, steps: usize) -> Vec<String> {
        let text = match steps {
            0 => format!("{cause}; there is nothing to undo"),
            1 => format!("rolling back 1 step, because {cause}"),
            n => format!("rolling back {n} steps, because {cause}"),
        };
        self.note(Symbol::Undone, Paint::Care, &text)
    }

    fn of_step(
        &self,
        timeline: &Timeline,
        row: &StepRow,
        kind: &EventKind,
        log: bool,
    ) -> Vec<String> {
        let line = |symbol, paint, words: &str, end: &str| {
            vec![self.step_line(symbol, paint, row, words, end)]
        };
        let took = row.duration.map_or(String::new(), human);
        match kind {
            EventKind::StepStarted { attempt, .. } if log => {
                let again = attempts_words(attempt.0, row.max_attempts);
                line(Symbol::Running, Paint::Name, label(row), &again)
            }
            EventKind::StepExpanded { instances, .. } if log => {
                line(Symbol::Running, Paint::Name, &expanded_words(instances), "")
            }
            EventKind::StepProbeStarted { .. } if log => line(
                Symbol::Running,
                Paint::Dim,
                "asks `unless` whether it is needed",
                "",
            ),
            EventKind::StepProbed { .. } if log => line(
                Symbol::Again,
                Paint::Dim,
                "needed: `unless` does not hold",
                "",
            ),
            EventKind::StepTimedOut { .. } => {
                let words = "its time is up; what runs of it is being ended";
                line(Symbol::Care, Paint::Bad, words, "")
            }
            // Polls 1, 2, 4, 8 … of a plain log: proof of life without a flood.
            EventKind::StepPolled { poll, .. } if log && poll.is_power_of_two() => {
                let words = format!("not yet, asked {poll} times");
                line(
                    Symbol::Again,
                    Paint::Dim,
                    &words.replace("1 times", "once"),
                    "",
                )
            }
            EventKind::StepSucceeded { .. } if !row.children.is_empty() => {
                let tally = timeline.tally(row);
                let (symbol, paint) = match tally.failed {
                    0 => (Symbol::Good, Paint::Good),
                    _ => (Symbol::Care, Paint::Care),
                };
                let end = format!("{}  {took}", tally_words(tally));
                line(symbol, paint, label(row), &end)
            }
            EventKind::StepSucceeded { .. } => line(Symbol::Good, Paint::Good, label(row), &took),
            EventKind::StepSkipped {
                reason: SkipReason::AlreadyDone { condition, .. },
                ..
            } => {
                let words = format!("already so: {condition}");
                line(Symbol::Skipped, Paint::Dim, &words, "")
            }
            EventKind::StepSkipped {
                reason: SkipReason::PartEnded,
                ..
            } if log => line(
                Symbol::Pending,
                Paint::Dim,
                "not run, because what it is a part of failed",
                "",
            ),
            EventKind::StepSkipped {
                reason: SkipReason::Condition { condition },
                ..
            } => {
                let words = format!("skipped (when: {condition})");
                line(Symbol::Skipped, Paint::Dim, &words, "")
            }
            EventKind::StepInterrupted { .. } => line(
                Symbol::Care,
                Paint::Bad,
                "was interrupted; whether it happened is not known",
                "",
            ),
            EventKind::GateOpened {
                message,
                expires_at,
                ..
            } => self.gate(row, message, *expires_at),
            EventKind::VoteCast {
                vote,
                actor,
                comment,
                ..
            } => vec![format!(
                "    {}",
                self.vote(row, *vote, actor, comment.as_deref())
            )],
            EventKind::GateHeld { .. }
            | EventKind::GateVoided { .. }
            | EventKind::GateEscalated { .. }
            | EventKind::GateParked { .. }
            | EventKind::RewindStarted { .. }
            | EventKind::RewindFinished { .. } => self.at_gate(row, kind, Paint::Care),
            EventKind::GateRead {
                failure: Some(_), ..
            }
            | EventKind::GateNotified {
                failure: Some(_), ..
            } => self.at_gate(row, kind, Paint::Bad),
            EventKind::GateReadStarted { .. }
            | EventKind::GateRead { .. }
            | EventKind::GateSurveyed { .. }
            | EventKind::GateNotified { .. }
                if log =>
            {
                self.at_gate(row, kind, Paint::Dim)
            }
            EventKind::GateApproved { .. } => line(Symbol::Good, Paint::Good, "approved", &took),
            EventKind::GateRejected { .. } => line(Symbol::Bad, Paint::Bad, "rejected", &took),
            EventKind::GateExpired { .. } => {
                line(Symbol::Bad, Paint::Bad, "nobody approved in time", &took)
            }
            EventKind::UndoStarted { .. } if log => {
                line(Symbol::Undone, Paint::Name, &self.undoing(row), "")
            }
            EventKind::UndoSucceeded { .. } => {
                let took = row.undo.as_ref().and_then(|undo| undo.duration);
                let took = took.map_or(String::new(), human);
                line(Symbol::Undone, Paint::Good, &self.undone(row), &took)
            }
            _ => Vec::new(),
        }
    }

    fn undo_action(&self, row: &StepRow) -> String {
        let by = row.undone_by.as_deref();
        by.map_or(String::new(), |uses| format!(" by {uses}"))
    }

    fn undoing(&self, row: &StepRow) -> String {
        format!("undoing{}", self.undo_action(row))
    }

    fn undone(&self, row: &StepRow) -> String {
        format!("undone{}", self.undo_action(row))
    }

    fn gate(&self, row: &StepRow, message: &str, expires_at: Option<Timestamp>) -> Vec<String> {
        let style = self.style;
        let prefix = &self.places.prefix;
        let mut lines =
            vec![self.step_line(Symbol::Gate, Paint::Care, row, "waits for approval", "")];
        for line in message.lines().take(20) {
            let room = style.width.saturating_sub(4);
            for part in wrap(&one_line(line, style), room) {
                lines.push(format!("    {part}"));
            }
        }
        if let Some(at) = expires_at {
            lines.push(format!("    the question lapses at {} UTC", clock_time(at)));
        }
        let text = format!(
            "    runbook approve {prefix} {id}   or   runbook reject {prefix} {id}",
            id = shell_word(row.id.as_str())
        );
        lines.push(style.paint(Paint::Dim, &text));
        lines
    }

    /// What happens at a gate while it waits.
    fn at_gate(&self, row: &StepRow, kind: &EventKind, paint: Paint) -> Vec<String> {
        let Some(words) = kind.at_gate() else {
            return Vec::new();
        };
        let style = self.style;
        let text = format!("{} {words}", row.id);
        wrap(&one_line(&text, style), style.width.saturating_sub(4))
            .iter()
            .map(|part| format!("    {}", style.paint(paint, part)))
            .collect()
    }

    /// What a gate waits for after something happened at it.
    fn waits(&self, state: &RunState, row: &StepRow, event: &RunEvent) -> Vec<String> {
        let style = self.style;
        let mut texts: Vec<String> = Vec::new();
        match &event.event {
            EventKind::VoteCast { .. } => {
                let ignored = ignored_vote(state, &row.id, event.at);
                texts.extend(ignored.map(|why| format!("this vote counts for nothing: {why}")));
            }
            // The question may be another one now.
            EventKind::GateVoided { .. } => {
                let open = state.open_gates().into_iter().find(|g| g.step == row.id);
                texts.extend(open.map(|gate| gate.message));
            }
            EventKind::GateOpened { .. } => {}
            _ => return Vec::new(),
        }
        if let Some(gate) = &row.gate {
            let facts = waits_for(state, &row.id, gate, event.at);
            // When it lapses is told by the clock above; a countdown stands still on a page.
            let facts = facts
                .into_iter()
                .filter(|fact| !fact.starts_with("expires"));
            texts.extend(facts);
        }
        texts
            .iter()
            .flat_map(|text| text.lines())
            .flat_map(|text| wrap(&one_line(text, style), style.width.saturating_sub(4)))
            .map(|part| format!("    {}", style.paint(Paint::Dim, &part)))
            .collect()
    }

    fn vote(&self, row: &StepRow, vote: Vote, actor: &Actor, comment: Option<&str>) -> String {
        let style = self.style;
        let comment = comment.map_or(String::new(), |c| format!(": {c}"));
        let text = format!("{} {} {}{comment}", person(actor), vote.verb(), row.id);
        clip(
            &one_line(&text, style),
            style.width.saturating_sub(4),
            style,
        )
    }

    /// An attempt failed and another follows.
    pub(crate) fn retried(
        &self,
        row: &StepRow,
        failure: Option<&Failure>,
        attempt: u32,
        next_at: Timestamp,
        now: Timestamp,
    ) -> String {
        let why = failure.map_or(String::new(), |f| f.error.to_string());
        // The clock has moved on a little since the retry was planned.
        let tenths = (next_at.since(now).as_millis() as u64).div_ceil(100);
        let again = format!("again in {}", human(Duration::from_millis(tenths * 100)));
        let words = format!("attempt {attempt} failed: {why}");
        self.step_line(Symbol::Again, Paint::Care, row, &words, &again)
    }

    /// One more failure of a loop that has told enough of them.
    pub(crate) fn failed_in_short(&self, row: &StepRow) -> Vec<String> {
        let why = row
            .failure
            .as_ref()
            .map_or("", |f| f.error.message.as_str());
        vec![self.step_line(Symbol::Bad, Paint::Bad, row, why, "")]
    }

    /// A step failed for good.
    pub(crate) fn failed(&self, row: &StepRow) -> Vec<String> {
        let took = row.duration.map_or(String::new(), human);
        let mut lines = vec![self.step_line(Symbol::Bad, Paint::Bad, row, label(row), &took)];
        match &row.failure {
            // What failed in it has told its cause and log already.
            Some(failure) if !row.children.is_empty() => {
                let text = output_line(&failure.error.message, self.style);
                let part = wrap(&text, self.style.width.saturating_sub(6));
                let part = part.iter().map(|part| self.style.paint(Paint::Bad, part));
                lines.extend(part.map(|part| format!("    {part}")));
            }
            Some(failure) => lines.extend(self.failure(failure, row.log.as_ref())),
            None => {}
        }
        lines
    }

    /// An undo failed for good.
    pub(crate) fn undo_failed(&self, row: &StepRow) -> Vec<String> {
        let words = "could not be undone";
        let mut lines = vec![self.step_line(Symbol::Bad, Paint::Bad, row, words, "")];
        if let Some(failure) = row.undo.as_ref().and_then(|undo| undo.failure.as_ref()) {
            lines.extend(self.failure(failure, None));
        }
        lines
    }

    /// Error chain, hint, end of the log, and where all of it is.
    fn failure(&self, failure: &Failure, log: Option<&LogRef>) -> Vec<String> {
        let style = self.style;
        let room = style.width.saturating_sub(6);
        let mut lines = Vec::new();
        let mut say = |lead: &str, text: &str, paint: Paint| {
            for (i, part) in wrap(&output_line(text, style), room).iter().enumerate() {
                let lead = if i == 0 {
                    lead.to_owned()
                } else {
                    " ".repeat(width(lead))
                };
                lines.push(format!("    {lead}{}", style.paint(paint, part)));
            }
        };
        say("", &failure.error.message, Paint::Bad);
        for cause in &failure.error.causes {
            say(
                &format!("{} ", style.symbol(Symbol::Cause)),
                cause,
                Paint::Plain,
            );
        }
        if let Some(hint) = &failure.hint {
            say("", &format!("hint: {hint}"), Paint::Care);
        }
        if !failure.log_tail.is_empty() {
            lines.push(format!("    {}", style.paint(Paint::Dim, "the log ends:")));
            let skip = failure.log_tail.len().saturating_sub(LOG_LINES);
            for line in &failure.log_tail[skip..] {
                let text = clip(&output_line(line, style), room, style);
                let bar = style.paint(Paint::Dim, style.symbol(Symbol::Bar));
                lines.push(format!("    {bar} {text}").trim_end().to_owned());
            }
        }
        if let (Some(log), Some(folder)) = (log, &self.places.logs) {
            let path = format!("{folder}/{}", one_line(&log.file, style));
            let path = format!("    full log: {}", shell_word(&path));
            lines.push(style.paint(Paint::Dim, &path));
        }
        lines
    }
}

/// Whether an event is told by the line of the loop or sub-runbook that it belongs to. What a person
/// must see is told at once.
fn is_inner(row: &StepRow, kind: &EventKind) -> bool {
    row.id.depth() > 0
        && matches!(
            kind,
            EventKind::StepSucceeded { .. } | EventKind::StepSkipped { .. }
        )
}

/// `3 instances: api, worker, db`.
fn expanded_words(instances: &[LoopInstance]) -> String {
    const NAMED: usize = 12;
    let keys: Vec<&str> = instances
        .iter()
        .take(NAMED)
        .map(|instance| instance.key.as_str())
        .collect();
    let more = match instances.len().saturating_sub(NAMED) {
        0 => String::new(),
        n => format!(" and {n} more"),
    };
    match instances {
        [] => "no instances: the list is empty".to_owned(),
        _ => format!(
            "{}: {}{more}",
            count(instances.len(), "instance"),
            keys.join(", ")
        ),
    }
}

/// The name for people, else the action.
pub(crate) fn label(row: &StepRow) -> &str {
    match row.title() {
        "" => &row.uses,
        title => title,
    }
}

/// `maria@ops1`.
pub(crate) fn person(actor: &Actor) -> String {
    if actor.host.is_empty() {
        actor.name.clone()
    } else {
        format!("{}@{}", actor.name, actor.host)
    }
}

/// Why undoing began, to follow "because".
pub(crate) fn cause_words(cause: &RollbackCause) -> String {
    match cause {
        RollbackCause::StepFailed { step } => format!("step `{step}` failed"),
        RollbackCause::Gate { step } => format!("gate `{step}` was not passed"),
        RollbackCause::Cancelled => "the run was cancelled".to_owned(),
        RollbackCause::TimedOut => "the run took longer than its timeout".to_owned(),
    }
}

/// That a run passes its gates without approval, and why.
fn emergency_words(emergency: &Emergency) -> String {
    let fact = emergency_fact(emergency);
    format!("EMERGENCY: the gates are passed without approval: {fact}")
}

/// Why, and who must look at it until when.
pub(crate) fn emergency_fact(emergency: &Emergency) -> String {
    format!(
        "{}; {} must review it by {} UTC",
        emergency.reason,
        emergency.review,
        clock_time(emergency.review_by)
    )
}

/// `attempt 2 of 3`; nothing when only one is permitted.
pub(crate) fn attempts_words(attempt: u32, most: u32) -> String {
    if most > 1 || attempt > 1 {
        format!("attempt {attempt} of {}", most.max(attempt))
    } else {
        String::new()
    }
}
