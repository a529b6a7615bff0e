//! The live display of a run: spinners on a terminal, a plain log elsewhere.
//!
//! An event costs constant work, and the screen is redrawn at most ten times a second, however many
//! steps run and however much they print.

use std::collections::HashMap;
use std::io::{self, Write};
use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use super::lines::{Lines, attempts_words, label};
use super::next::Places;
use super::style::{Paint, Style, Symbol};
use super::text::{clip, human, output_line, pad};
use super::timeline::{StepRow, StepStatus, Timeline, UndoStatus};
use crate::base::{StepId, Timestamp};
use crate::event::{EventKind, Progress, RunEvent, Stream};
use crate::plan::Plan;

/// Shortest time between two drawings.
const REDRAW: Duration = Duration::from_millis(100);
/// How long a failure waits for its retry to be announced before it is shown as final.
const SETTLE: Duration = Duration::from_millis(150);
/// Running steps that are shown; the others are counted.
const SHOWN: usize = 8;
/// Longest piece of a line of output that is kept while the line is not over, in bytes.
const LINE_BYTES: usize = 4_096;
/// Permanent lines that are kept back for the next drawing at most.
const KEPT_LINES: usize = 500;

/// How a [`RunView`] looks.
#[derive(Debug, Clone)]
pub struct ViewOptions {
    /// Colour, symbols, width.
    pub style: Style,
    /// Show failures only.
    pub quiet: bool,
    /// Names for the commands that are shown.
    pub places: Places,
}

/// Shows a run while it goes on. Feed it with [`RunView::on`], call [`RunView::tick`] about every
/// 100 ms, and end with [`RunView::finish`].
pub struct RunView {
    lines: Lines,
    quiet: bool,
    timeline: Timeline,
    unsettled: Vec<Unsettled>,
    face: Face,
}

/// A failure of which it is not known yet whether a retry follows.
struct Unsettled {
    step: StepId,
    undo: bool,
    since: Timestamp,
}

enum Face {
    Live(Live),
    Plain(Plain),
}

impl RunView {
    /// A view for a terminal. `target` is normally `ProgressDrawTarget::stderr()`.
    pub fn live(plan: &Plan, options: ViewOptions, target: ProgressDrawTarget) -> Self {
        // One column stays free, so that no terminal wraps the line.
        let style = Style {
            width: options.style.width.saturating_sub(1).max(20),
            ..options.style
        };
        let bar = ProgressBar::with_draw_target(None, target);
        if let Ok(template) = ProgressStyle::with_template("{msg}") {
            bar.set_style(template);
        }
        Self::new(plan, options, style, |_| {
            Face::Live(Live {
                bar,
                last_words: HashMap::new(),
                kept: Vec::new(),
                drawn_at: None,
            })
        })
    }

    /// A view for anything else: one line an event, with the time, without colour, to a writer.
    pub fn plain(plan: &Plan, options: ViewOptions, out: Box<dyn Write + Send>) -> Self {
        // A log has no edge, so a cause is not cut off where a screen would end.
        let style = Style {
            color: false,
            width: options.style.width.max(160),
            ..options.style
        };
        Self::new(plan, options, style, |lines| {
            Face::Plain(Plain {
                out,
                ids: lines.ids,
                open: HashMap::new(),
            })
        })
    }

    fn new(
        plan: &Plan,
        options: ViewOptions,
        style: Style,
        face: impl FnOnce(&Lines) -> Face,
    ) -> Self {
        let lines = Lines::new(plan, style, options.places);
        Self {
            face: face(&lines),
            lines,
            quiet: options.quiet,
            timeline: Timeline::new(plan),
            unsettled: Vec::new(),
        }
    }

    /// What is known of the run so far.
    pub fn timeline(&self) -> &Timeline {
        &self.timeline
    }

    /// Takes in progress.
    ///
    /// # Errors
    /// When the plain writer fails. The run itself need not stop for it.
    pub fn on(&mut self, progress: &Progress, now: Timestamp) -> io::Result<()> {
        match progress {
            Progress::Event(event) => self.on_event(event, now)?,
            Progress::Output { step, stream, text } => {
                if !self.quiet {
                    let style = self.lines.style;
                    match &mut self.face {
                        Face::Live(live) => live.output(step, text),
                        Face::Plain(plain) => plain.output(step, *stream, text, now, style)?,
                    }
                }
            }
        }
        self.tick(now)
    }

    /// Redraws when it is time, and settles failures that no retry followed.
    ///
    /// # Errors
    /// When the plain writer fails.
    pub fn tick(&mut self, now: Timestamp) -> io::Result<()> {
        self.settle(now, SETTLE)?;
        if let Face::Live(live) = &mut self.face
            && live.is_due(now)
        {
            live.draw(&self.lines, &self.timeline, self.quiet, now);
        }
        Ok(())
    }

    /// Writes what was kept back and clears the live part.
    ///
    /// # Errors
    /// When the plain writer fails.
    pub fn finish(&mut self, now: Timestamp) -> io::Result<()> {
        self.settle(now, Duration::ZERO)?;
        match &mut self.face {
            Face::Live(live) => {
                live.print_kept();
                live.bar.finish_and_clear();
                Ok(())
            }
            Face::Plain(plain) => {
                plain.close_all(now, self.lines.style)?;
                plain.out.flush()
            }
        }
    }

    /// Clears the live part while `f` uses the terminal, for a question to the user.
    pub fn suspend<R>(&mut self, f: impl FnOnce() -> R) -> R {
        match &mut self.face {
            Face::Live(live) => {
                live.print_kept();
                live.bar.suspend(f)
            }
            Face::Plain(_) => f(),
        }
    }

    fn on_event(&mut self, event: &RunEvent, now: Timestamp) -> io::Result<()> {
        self.timeline.apply(event);
        match &event.event {
            EventKind::StepFailed { step, .. } | EventKind::UndoFailed { step, .. } => {
                self.unsettled.push(Unsettled {
                    step: step.clone(),
                    undo: matches!(event.event, EventKind::UndoFailed { .. }),
                    since: now,
                });
            }
            EventKind::StepRetryScheduled { step, at, .. } => {
                self.retried(step, false, *at, now)?;
            }
            EventKind::UndoRetryScheduled { step, at, .. } => {
                self.retried(step, true, *at, now)?;
            }
            EventKind::RollbackStarted { .. }
            | EventKind::FinallyStarted
            | EventKind::RunFinished { .. } => self.settle(now, Duration::ZERO)?,
            _ => {}
        }
        if let Some(step) = ended(&event.event) {
            let style = self.lines.style;
            match &mut self.face {
                Face::Live(live) => {
                    live.last_words.remove(step);
                }
                Face::Plain(plain) => plain.close(step, now, style)?,
            }
        }
        if !self.quiet {
            let log = matches!(self.face, Face::Plain(_));
            let lines = self.lines.of(&self.timeline, event, log);
            self.print(lines, event.at)?;
        }
        Ok(())
    }

    fn retried(
        &mut self,
        step: &StepId,
        undo: bool,
        next_at: Timestamp,
        now: Timestamp,
    ) -> io::Result<()> {
        self.unsettled
            .retain(|open| open.step != *step || open.undo != undo);
        if self.quiet {
            return Ok(());
        }
        let Some(row) = self.timeline.row(step) else {
            return Ok(());
        };
        let (failure, attempt) = match (&row.undo, undo) {
            (Some(undo), true) => (undo.failure.as_ref(), undo.attempts),
            _ => (row.failure.as_ref(), row.attempts),
        };
        let line = self.lines.retried(row, failure, attempt, next_at, now);
        self.print(vec![line], now)
    }

    /// Shows the failures that have waited for `age`.
    fn settle(&mut self, now: Timestamp, age: Duration) -> io::Result<()> {
        // Failures are in the order of their time.
        let due = self
            .unsettled
            .partition_point(|open| now.since(open.since) >= age);
        let settled: Vec<Unsettled> = self.unsettled.drain(..due).collect();
        for open in settled {
            let Some(row) = self.timeline.row(&open.step) else {
                continue;
            };
            let lines = if open.undo {
                self.lines.undo_failed(row)
            } else {
                self.lines.failed(row)
            };
            self.print(lines, now)?;
        }
        Ok(())
    }

    fn print(&mut self, lines: Vec<String>, at: Timestamp) -> io::Result<()> {
        match &mut self.face {
            Face::Live(live) => {
                live.kept.extend(lines);
                if live.kept.len() > KEPT_LINES {
                    live.print_kept();
                }
                Ok(())
            }
            Face::Plain(plain) => plain.lines(&lines, at),
        }
    }
}

/// The step whose attempt ends with this event.
fn ended(event: &EventKind) -> Option<&StepId> {
    match event {
        EventKind::StepSucceeded { step, .. }
        | EventKind::StepFailed { step, .. }
        | EventKind::UndoSucceeded { step, .. }
        | EventKind::UndoFailed { step, .. } => Some(step),
        _ => None,
    }
}

/// The terminal: permanent lines above, what goes on now below.
struct Live {
    bar: ProgressBar,
    last_words: HashMap<StepId, LastWords>,
    kept: Vec<String>,
    drawn_at: Option<Timestamp>,
}

/// The last line a step printed, and the beginning of the next.
#[derive(Default)]
struct LastWords {
    line: String,
    open: String,
}

impl LastWords {
    fn take(&mut self, text: &str) {
        let mut parts = text.rsplit(['\n', '\r']);
        let tail = parts.next().unwrap_or_default();
        let whole = parts.clone().next().is_some();
        if whole {
            let last = parts.find(|part| !part.trim().is_empty());
            match last {
                Some(line) => self.line = bounded(line).to_owned(),
                None if !self.open.trim().is_empty() => self.line = std::mem::take(&mut self.open),
                None => {}
            }
            self.open.clear();
        }
        if self.open.len() + tail.len() <= LINE_BYTES {
            self.open.push_str(tail);
        }
    }

    fn shown(&self) -> &str {
        if self.open.trim().is_empty() {
            &self.line
        } else {
            &self.open
        }
    }
}

/// The first bytes of a text, on a character boundary.
fn bounded(text: &str) -> &str {
    let mut end = text.len().min(LINE_BYTES);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    &text[..end]
}

impl Live {
    fn output(&mut self, step: &StepId, text: &str) {
        match self.last_words.get_mut(step) {
            Some(words) => words.take(text),
            None => {
                let mut words = LastWords::default();
                words.take(text);
                self.last_words.insert(step.clone(), words);
            }
        }
    }

    fn is_due(&self, now: Timestamp) -> bool {
        self.drawn_at
            .is_none_or(|last| now.since(last) >= REDRAW || now < last)
    }

    fn draw(&mut self, lines: &Lines, timeline: &Timeline, quiet: bool, now: Timestamp) {
        self.drawn_at = Some(now);
        self.print_kept();
        if !quiet {
            self.bar
                .set_message(self.status(lines, timeline, now).join("\n"));
            self.bar.force_draw();
        }
    }

    fn print_kept(&mut self) {
        if !self.kept.is_empty() {
            self.bar.println(self.kept.join("\n"));
            self.kept.clear();
        }
    }

    /// One line per step under way, then a count.
    fn status(&self, lines: &Lines, timeline: &Timeline, now: Timestamp) -> Vec<String> {
        let style = lines.style;
        let active = || timeline.rows.iter().filter(|row| is_active(row));
        let mut out: Vec<String> = active()
            .take(SHOWN)
            .map(|row| self.status_line(lines, row, now))
            .collect();
        let more = active().count().saturating_sub(SHOWN);
        if more > 0 {
            out.push(style.paint(Paint::Dim, &format!("  +{more} more under way")));
        }
        let over = |row: &&StepRow| {
            row.ended_at.is_some() || matches!(row.status, StepStatus::Skipped | StepStatus::NotRun)
        };
        let done = timeline.rows.iter().filter(over).count();
        let since = timeline.origin.as_ref().map_or(now, |origin| origin.at);
        let text = format!(
            "  {done} of {} steps {} {}",
            timeline.rows.len(),
            style.symbol(Symbol::Dot),
            human(whole_tenths(now.since(since)))
        );
        out.push(style.paint(Paint::Dim, &text));
        out
    }

    fn status_line(&self, lines: &Lines, row: &StepRow, now: Timestamp) -> String {
        let style = lines.style;
        let undoing = row
            .undo
            .as_ref()
            .filter(|undo| matches!(undo.status, UndoStatus::Running | UndoStatus::Retrying));
        let (since, next_at) = match undoing {
            Some(undo) => (undo.started_at, undo.next_at),
            None => (row.started_at, row.next_at),
        };
        let mut facts = vec![human(whole_tenths(
            since.map_or(Duration::ZERO, |at| now.since(at)),
        ))];
        let again = attempts_words(row.attempts, 1);
        if undoing.is_some() {
            facts.push("undoing".to_owned());
        } else if row.status == StepStatus::Waiting {
            facts.push("waits for approval".to_owned());
        } else if !again.is_empty() {
            facts.push(attempts_words(row.attempts, row.max_attempts));
        }
        if row.polls > 0 && undoing.is_none() {
            facts.push(format!(
                "asked {}{}",
                row.polls,
                style.symbol(Symbol::Times)
            ));
        } else if let Some(next) = next_at {
            facts.push(format!("again in {}", human(whole_tenths(next.since(now)))));
        }
        let mut text = format!(
            "{} {}  {}  {}",
            frame(style, now),
            pad(row.id.as_str(), lines.ids),
            clip(&output_line(label(row), style), style.width / 3, style),
            facts.join("  ")
        );
        if let Some(words) = self.last_words.get(&row.id) {
            let words = output_line(words.shown(), style);
            if !words.is_empty() {
                text.push_str(&format!("  {} {words}", style.symbol(Symbol::Bar)));
            }
        }
        style.paint(Paint::Name, &clip(&text, style.width, style))
    }
}

fn is_active(row: &StepRow) -> bool {
    let undoing = matches!(&row.undo, Some(undo) if matches!(undo.status, UndoStatus::Running | UndoStatus::Retrying));
    undoing
        || matches!(
            row.status,
            StepStatus::Running | StepStatus::Retrying | StepStatus::Waiting
        )
}

/// Rounded down to tenths, so that a clock that runs shows no milliseconds.
fn whole_tenths(duration: Duration) -> Duration {
    Duration::from_millis(duration.as_millis() as u64 / 100 * 100)
}

/// The spinner's picture at a time.
fn frame(style: Style, now: Timestamp) -> char {
    let frames: &[char] = if style.unicode {
        &['⠋', '⠙', '⠹', '⠸', '⠼', '⠴', '⠦', '⠧', '⠇', '⠏']
    } else {
        &['|', '/', '-', '\\']
    };
    let count = frames.len() as i64;
    let at = (now.unix_millis() / 100).rem_euclid(count);
    frames.get(at as usize).copied().unwrap_or('*')
}

/// A log: every line with the time, output with its step.
struct Plain {
    out: Box<dyn Write + Send>,
    ids: usize,
    open: HashMap<(StepId, Stream), String>,
}

impl Plain {
    fn lines(&mut self, lines: &[String], at: Timestamp) -> io::Result<()> {
        for line in lines {
            writeln!(self.out, "{} {line}", stamp(at))?;
        }
        Ok(())
    }

    fn output(
        &mut self,
        step: &StepId,
        stream: Stream,
        text: &str,
        now: Timestamp,
        style: Style,
    ) -> io::Result<()> {
        let key = (step.clone(), stream);
        let mut open = self.open.remove(&key).unwrap_or_default();
        let mut rest = text;
        while let Some(end) = rest.find('\n') {
            open.push_str(&rest[..end]);
            self.output_line(step, &open, now, style)?;
            open.clear();
            rest = &rest[end + 1..];
        }
        open.push_str(rest);
        if open.len() > LINE_BYTES {
            self.output_line(step, &open, now, style)?;
            open.clear();
        }
        if !open.is_empty() {
            self.open.insert(key, open);
        }
        Ok(())
    }

    fn output_line(
        &mut self,
        step: &StepId,
        line: &str,
        at: Timestamp,
        style: Style,
    ) -> io::Result<()> {
        let id = pad(step.as_str(), self.ids);
        let text = output_line(line, style);
        let line = format!("{} {id} | {text}", stamp(at));
        writeln!(self.out, "{}", line.trim_end())
    }

    /// Writes a last line that had no line end.
    fn close(&mut self, step: &StepId, now: Timestamp, style: Style) -> io::Result<()> {
        for stream in [Stream::Out, Stream::Err] {
            if let Some(open) = self.open.remove(&(step.clone(), stream)) {
                self.output_line(step, &open, now, style)?;
            }
        }
        Ok(())
    }

    fn close_all(&mut self, now: Timestamp, style: Style) -> io::Result<()> {
        let mut steps: Vec<StepId> = self.open.keys().map(|(step, _)| step.clone()).collect();
        steps.sort_unstable();
        steps.dedup();
        steps
            .iter()
            .try_for_each(|step| self.close(step, now, style))
    }
}

fn stamp(at: Timestamp) -> String {
    at.to_utc().format("%Y-%m-%dT%H:%M:%SZ").to_string()
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use indicatif::InMemoryTerm;

    use super::*;
    use crate::base::AttemptNo;
    use crate::report::fixtures::{self, Story, id, plan_of, restart_plan, step};
    use crate::report::text::width;

    fn options(quiet: bool) -> ViewOptions {
        ViewOptions {
            style: Style::plain(80),
            quiet,
            places: Places {
                prefix: "01KA".to_owned(),
                audit: None,
                logs: Some(".runbook/logs/01KA".to_owned()),
            },
        }
    }

    #[derive(Clone, Default)]
    struct Buffer(Arc<Mutex<Vec<u8>>>);

    impl Write for Buffer {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0
                .lock()
                .expect("not poisoned")
                .extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    impl Buffer {
        fn text(&self) -> String {
            String::from_utf8(self.0.lock().expect("not poisoned").clone()).expect("UTF-8")
        }
    }

    fn logged(story: &Story, quiet: bool) -> String {
        let buffer = Buffer::default();
        let mut view = RunView::plain(&restart_plan(), options(quiet), Box::new(buffer.clone()));
        for event in &story.events {
            let progress = Progress::Event(Arc::new(event.clone()));
            view.on(&progress, event.at).expect("written");
        }
        view.finish(story.now()).expect("written");
        buffer.text()
    }

    fn output(step: &str, text: &str) -> Progress {
        Progress::Output {
            step: id(step),
            stream: Stream::Out,
            text: text.to_owned(),
        }
    }

    #[test]
    fn plain_logs_tell_each_story() {
        insta::assert_snapshot!("success", logged(&fixtures::success(), false));
        insta::assert_snapshot!("rolled_back", logged(&fixtures::rolled_back(), false));
        insta::assert_snapshot!("stuck", logged(&fixtures::stuck(), false));
        insta::assert_snapshot!("cancelled", logged(&fixtures::cancelled(), false));
        insta::assert_snapshot!("rejected", logged(&fixtures::rejected(), false));
    }

    #[test]
    fn quiet_shows_failures_only() {
        assert_eq!(logged(&fixtures::success(), true), "");
        let text = logged(&fixtures::stuck(), true);
        assert!(text.contains("connection refused") && text.contains("could not be undone"));
        assert!(!text.contains("Record the state"), "{text}");
    }

    #[test]
    fn plain_output_is_prefixed_whole_and_safe() {
        let buffer = Buffer::default();
        let mut view = RunView::plain(&restart_plan(), options(false), Box::new(buffer.clone()));
        let now = Timestamp::from_unix_millis(fixtures::START);
        for text in ["one\ntw", "o\n\x1b[2Jthree", &"x".repeat(9_000), "\nlast"] {
            view.on(&output("drain", text), now).expect("written");
        }
        view.finish(now).expect("written");
        let text = buffer.text();
        let lines: Vec<&str> = text
            .lines()
            .map(|line| line.strip_prefix("2026-11-23T03:00:00Z ").expect("a time"))
            .collect();
        assert_eq!(&lines[..2], ["drain   | one", "drain   | two"]);
        assert!(lines[2].starts_with("drain   | \\x1b[2Jthreexxx"));
        assert_eq!(lines.last(), Some(&"drain   | last"));
    }

    fn screen(plan: &Plan, story: &Story, more: &[Progress], after: Duration) -> InMemoryTerm {
        let term = InMemoryTerm::new(40, 80);
        let target = ProgressDrawTarget::term_like(Box::new(term.clone()));
        let mut view = RunView::live(plan, options(false), target);
        for event in &story.events {
            let progress = Progress::Event(Arc::new(event.clone()));
            view.on(&progress, event.at).expect("drawn");
        }
        for progress in more {
            view.on(progress, story.now()).expect("drawn");
        }
        view.tick(story.now().plus(after)).expect("drawn");
        // The view is kept from clearing its screen.
        std::mem::forget(view);
        term
    }

    #[test]
    fn the_screen_shows_what_is_done_and_what_goes_on() {
        let mut story = Story::begin();
        story
            .started("before", 1)
            .succeeded("before", 1, 35)
            .started("restart", 1)
            .failed("restart", 1, 800)
            .retry("restart", 2, 2)
            .then(
                2_000,
                EventKind::StepStarted {
                    step: id("restart"),
                    attempt: AttemptNo(2),
                    inputs: serde_json::json!({}),
                },
            );
        let more = [
            output("restart", "first\n\x1b[32mstopping\x1b[0m old proc"),
            output("restart", "ess"),
        ];
        let term = screen(&restart_plan(), &story, &more, Duration::from_millis(1_250));
        insta::assert_snapshot!(term.contents());
    }

    #[test]
    fn a_thousand_noisy_steps_stay_readable_and_cheap() {
        let names: Vec<String> = (0..1_000).map(|i| format!("s{i}")).collect();
        let plan = plan_of(names.iter().map(|name| step(name, "shell", &[])).collect());
        let mut story = Story::begin();
        for name in &names {
            story.started(name, 1);
        }
        let more: Vec<Progress> = (0..50_000)
            .map(|i| output(&names[i % 1_000], "some noise\nmore noise\n"))
            .collect();
        let term = screen(&plan, &story, &more, Duration::from_secs(1));
        let contents = term.contents();
        assert!(contents.contains("+992 more under way"), "{contents}");
        assert!(contents.contains("0 of 1000 steps"), "{contents}");
        assert!(contents.lines().count() <= SHOWN + 3);
        assert!(contents.lines().all(|line| width(line) < 80));
    }

    #[test]
    fn the_end_of_a_live_view_leaves_the_story_only() {
        let story = fixtures::rolled_back();
        let term = InMemoryTerm::new(60, 80);
        let target = ProgressDrawTarget::term_like(Box::new(term.clone()));
        let mut view = RunView::live(&restart_plan(), options(false), target);
        for event in &story.events {
            let progress = Progress::Event(Arc::new(event.clone()));
            view.on(&progress, event.at).expect("drawn");
        }
        view.finish(story.now()).expect("drawn");
        insta::assert_snapshot!(term.contents());
    }
}
