//! The live part of a terminal: what goes on now, redrawn in place below what is over.

use std::collections::HashMap;
use std::time::Duration;

use indicatif::ProgressBar;

use super::lines::{Lines, attempts_words, label};
use super::nested::tree_id;
use super::outcome::tally_words;
use super::rows::{StepRow, StepStatus, UndoStatus};
use super::style::{Paint, Style, Symbol};
use super::text::{LINE_BYTES, clip, human, one_line, output_line, pad};
use super::timeline::Timeline;
use super::waiting::waits_for;
use crate::base::{StepId, Timestamp};
use crate::run::RunState;

/// Permanent lines that are kept back for the next drawing at most.
const KEPT_LINES: usize = 500;
/// Shortest time between two drawings.
const REDRAW: Duration = Duration::from_millis(100);
/// Running steps that are shown; the others are counted.
pub(super) const SHOWN: usize = 8;

/// What a drawing is made of.
#[derive(Clone, Copy)]
pub(super) struct Shown<'a> {
    pub(super) lines: &'a Lines,
    pub(super) timeline: &'a Timeline,
    pub(super) state: Option<&'a RunState>,
}

impl Shown<'_> {
    /// What an open gate waits for, on one line below it.
    fn waits(&self, row: &StepRow, now: Timestamp) -> Option<String> {
        let style = self.lines.style;
        let gate = row
            .gate
            .as_ref()
            .filter(|_| row.status == StepStatus::Waiting)?;
        let facts = waits_for(self.state?, &row.id, gate, now);
        let dot = format!(" {} ", style.symbol(Symbol::Dot));
        let text = one_line(&facts.join(&dot), style);
        (!facts.is_empty()).then(|| {
            style.paint(
                Paint::Care,
                &clip(&format!("    {text}"), style.width, style),
            )
        })
    }
}

/// The terminal: permanent lines above, what goes on now below.
pub(super) struct Live {
    pub(super) bar: ProgressBar,
    last_words: HashMap<StepId, LastWords>,
    kept: Vec<String>,
    drawn_at: Option<Timestamp>,
    held: bool,
    /// Lines of the screen.
    height: usize,
}

/// The last line a step printed, and the beginning of the next.
#[derive(Default)]
struct LastWords {
    line: String,
    open: String,
}

impl LastWords {
    fn take(&mut self, text: &str) {
        for (i, part) in text.split(['\n', '\r']).enumerate() {
            if i > 0 {
                if !self.open.trim().is_empty() {
                    std::mem::swap(&mut self.line, &mut self.open);
                }
                self.open.clear();
            }
            if self.open.len() < LINE_BYTES {
                self.open.push_str(part);
            }
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

impl Live {
    pub(super) fn new(bar: ProgressBar, height: usize) -> Self {
        Self {
            bar,
            last_words: HashMap::new(),
            kept: Vec::new(),
            drawn_at: None,
            held: false,
            height,
        }
    }

    /// Clears the live part and draws nothing more, so that a question stays whole while it is answered.
    pub(super) fn hold(&mut self) {
        self.print_kept();
        self.held = true;
        self.bar.finish_and_clear();
    }

    /// Draws again; says whether it did not before.
    pub(super) fn release(&mut self) -> bool {
        let held = std::mem::take(&mut self.held);
        if held {
            self.drawn_at = None;
            self.bar.set_message("");
            self.bar.reset();
        }
        held
    }

    /// While a question stands: prints what is to be shown, after `make_room`; says whether there was
    /// anything.
    pub(super) fn news(&mut self, make_room: impl FnOnce()) -> bool {
        let news = self.held && !self.kept.is_empty();
        if news {
            make_room();
            self.print_kept();
        }
        news
    }

    /// Keeps lines for the next drawing, some hundreds of them at most.
    pub(super) fn keep(&mut self, lines: Vec<String>) {
        self.kept.extend(lines);
        if self.kept.len() > KEPT_LINES {
            self.print_kept();
        }
    }

    pub(super) fn output(&mut self, step: &StepId, text: &str) {
        match self.last_words.get_mut(step) {
            Some(words) => words.take(text),
            None => {
                let mut words = LastWords::default();
                words.take(text);
                self.last_words.insert(step.clone(), words);
            }
        }
    }

    /// The step ended; what it printed last is of no interest any more.
    pub(super) fn forget(&mut self, step: &StepId) {
        self.last_words.remove(step);
    }

    pub(super) fn is_due(&self, now: Timestamp) -> bool {
        !self.held
            && self
                .drawn_at
                .is_none_or(|last| now.since(last) >= REDRAW || now < last)
    }

    pub(super) fn draw(&mut self, shown: Shown<'_>, quiet: bool, now: Timestamp) {
        self.drawn_at = Some(now);
        self.print_kept();
        if !quiet {
            self.bar.set_message(self.status(shown, now).join("\n"));
            self.bar.force_draw();
        }
    }

    pub(super) fn print_kept(&mut self) {
        if !self.kept.is_empty() {
            self.bar.println(self.kept.join("\n"));
            self.kept.clear();
        }
    }

    /// One line per step under way, those of loops and sub-runbooks below them, then a count. Never
    /// higher than the screen.
    fn status(&self, shown: Shown<'_>, now: Timestamp) -> Vec<String> {
        let Shown {
            lines, timeline, ..
        } = shown;
        let style = lines.style;
        let tree = timeline.tree();
        let active: Vec<_> = tree.iter().filter(|(_, row)| row.is_active()).collect();
        // A line stays for what is counted, one for the cursor.
        let room = self.height.saturating_sub(3).clamp(1, SHOWN);
        let mut out: Vec<String> = Vec::new();
        let mut told = 0;
        for (depth, row) in &active {
            let mut of_row = vec![self.status_line(lines, timeline, row, *depth, now)];
            of_row.extend(shown.waits(row, now));
            if out.len() + of_row.len() > room && told > 0 {
                break;
            }
            out.extend(of_row);
            told += 1;
        }
        let more = active.len() - told;
        if more > 0 {
            out.push(style.paint(Paint::Dim, &format!("  +{more} more under way")));
        }
        let done = timeline.leaves().filter(|row| row.is_over()).count();
        let since = timeline.origin.as_ref().map_or(now, |origin| origin.at);
        let emergency = match timeline.origin.as_ref().map(|origin| &origin.emergency) {
            Some(Some(_)) => "EMERGENCY  ",
            _ => "",
        };
        let text = format!(
            "  {emergency}{done} of {} steps {} {}",
            timeline.leaves().count(),
            style.symbol(Symbol::Dot),
            human(whole_tenths(now.since(since)))
        );
        out.push(style.paint(Paint::Dim, &text));
        out
    }

    fn status_line(
        &self,
        lines: &Lines,
        timeline: &Timeline,
        row: &StepRow,
        depth: usize,
        now: Timestamp,
    ) -> String {
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
        if !row.children.is_empty() {
            facts.insert(0, tally_words(timeline.tally(row)));
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
            pad(&tree_id(depth, row), lines.ids),
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
