//! The live display of a run: spinners on a terminal, a plain log elsewhere.
//!
//! An event costs constant work, and the screen is redrawn at most ten times a second, however many
//! steps run and however much they print.

use std::collections::HashMap;
use std::io::{self, Write};
use std::sync::Arc;
use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use super::lines::Lines;
use super::live::{Live, Shown};
use super::next::Places;
use super::plain::Plain;
use super::style::{Paint, Style};
use super::timeline::Timeline;
use crate::base::{StepId, Timestamp};
use crate::event::{EventKind, Progress, RunEvent};
use crate::plan::{Plan, PlanPart, PlanStep};
use crate::run::RunState;

/// How long a failure waits for its retry to be announced before it is shown as final.
const SETTLE: Duration = Duration::from_millis(150);

/// Failures of one loop's instances that are told with cause and log.
const FULL_FAILURES: usize = 5;
/// Failures of one loop's instances that a screen shows; the loop's own line counts them all.
const SHORT_FAILURES: usize = 20;

/// How a [`RunView`] looks.
#[derive(Debug, Clone)]
pub struct ViewOptions {
    /// Colour, symbols, width.
    pub style: Style,
    /// Lines of the screen; the live part never takes more.
    pub height: usize,
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
    /// The run as the core knows it, for what its gates wait for; only of plans with gates.
    state: Option<RunState>,
    unsettled: Vec<Unsettled>,
    /// Failures of each loop that were told so far.
    told: HashMap<StepId, usize>,
    verify_began: bool,
    face: Face,
}

/// A failure of which it is not known yet whether a retry follows.
struct Unsettled {
    step: StepId,
    undo: bool,
    since: Timestamp,
}

fn has_gate(plan: &Plan) -> bool {
    fn any(steps: &[PlanStep]) -> bool {
        let inside = |step: &PlanStep| {
            let block = step.block.as_ref();
            block.is_some_and(|block| any(&block.steps) || any(&block.finally))
        };
        steps.iter().any(|step| step.is_gate() || inside(step))
    }
    any(&plan.steps) || any(&plan.finally)
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
        let height = options.height;
        Self::new(plan, options, style, |_| Face::Live(Live::new(bar, height)))
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
            Face::Plain(Plain::new(out, lines.ids))
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
            state: has_gate(plan)
                .then(|| RunState::new(Arc::new(plan.clone())))
                .flatten(),
            unsettled: Vec::new(),
            told: HashMap::new(),
            verify_began: false,
        }
    }

    /// What is known of the run so far.
    pub fn timeline(&self) -> &Timeline {
        &self.timeline
    }

    /// The run as the core knows it; `None` when its plan has no gate.
    pub fn state(&self) -> Option<&RunState> {
        self.state.as_ref()
    }

    /// Both folds take an event in. Where they cannot follow, gates are shown without what they wait for.
    fn fold(&mut self, event: &RunEvent) {
        self.timeline.apply(event);
        if let Some(state) = &mut self.state
            && state.apply(event).is_err()
        {
            self.state = None;
        }
    }

    /// Takes in what had happened before the watching began, without showing it again.
    pub fn recall(&mut self, history: &[RunEvent]) {
        for event in history {
            self.fold(event);
        }
    }

    /// Takes in progress.
    ///
    /// # Errors
    /// When the plain writer fails. The run itself need not stop for it.
    pub fn on(&mut self, progress: &Progress, now: Timestamp) -> io::Result<()> {
        match progress {
            Progress::Event(event) => self.on_event(event, now)?,
            Progress::Warning { text } => {
                let lines = self.lines.warning(text);
                self.print(lines, now)?;
            }
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
            let shown = Shown {
                lines: &self.lines,
                timeline: &self.timeline,
                state: self.state.as_ref(),
            };
            live.draw(shown, self.quiet, now);
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
                live.release();
                live.print_kept();
                live.bar.finish_and_clear();
                Ok(())
            }
            Face::Plain(plain) => plain.close_all(now, self.lines.style),
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

    /// Takes the live part away while a question stands on the terminal, so that the answer is typed
    /// right behind it.
    pub fn ask(&mut self, f: impl FnOnce()) {
        if let Face::Live(live) = &mut self.face {
            live.hold();
        }
        f();
    }

    /// While a question stands: shows what has happened, after `make_room` took the question away, and
    /// says whether there was anything. What merely goes on is not shown.
    pub fn news(&mut self, make_room: impl FnOnce()) -> bool {
        match &mut self.face {
            Face::Live(live) => live.news(make_room),
            Face::Plain(_) => false,
        }
    }

    /// No question stands any more: the live part comes back. Says whether one stood before.
    pub fn answered(&mut self) -> bool {
        match &mut self.face {
            Face::Live(live) => live.release(),
            Face::Plain(_) => false,
        }
    }

    fn on_event(&mut self, event: &RunEvent, now: Timestamp) -> io::Result<()> {
        self.fold(event);
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
            self.settle_below(step, now)?;
            let style = self.lines.style;
            match &mut self.face {
                Face::Live(live) => {
                    live.forget(step);
                }
                Face::Plain(plain) => plain.close(step, now, style)?,
            }
        }
        if !self.quiet {
            if let EventKind::StepStarted { step, .. } | EventKind::StepExpanded { step, .. } =
                &event.event
                && !self.verify_began
                && step.depth() == 0
                && self
                    .timeline
                    .row(step)
                    .is_some_and(|row| row.part == PlanPart::Verify)
            {
                self.verify_began = true;
                let heading = self.lines.style.paint(Paint::Dim, "verify");
                self.print(vec![heading], event.at)?;
            }
            let log = matches!(self.face, Face::Plain(_));
            let state = self.state.as_ref();
            let lines = self.lines.of(&self.timeline, state, event, log);
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

    /// A loop or sub-runbook has ended: no retry follows in it, so its failures are told before its own
    /// end.
    fn settle_below(&mut self, ended: &StepId, now: Timestamp) -> io::Result<()> {
        if self
            .timeline
            .row(ended)
            .is_none_or(|row| row.children.is_empty())
        {
            return Ok(());
        }
        let (mut below, mut other) = (Vec::new(), Vec::new());
        for open in self.unsettled.drain(..) {
            if is_below(&open.step, ended) {
                below.push(open);
            } else {
                other.push(open);
            }
        }
        self.unsettled = other;
        self.tell_failures(below, now)
    }

    /// Shows the failures that have waited for `age`.
    fn settle(&mut self, now: Timestamp, age: Duration) -> io::Result<()> {
        // Failures are in the order of their time.
        let due = self
            .unsettled
            .partition_point(|open| now.since(open.since) >= age);
        let settled: Vec<Unsettled> = self.unsettled.drain(..due).collect();
        self.tell_failures(settled, now)
    }

    fn tell_failures(&mut self, settled: Vec<Unsettled>, now: Timestamp) -> io::Result<()> {
        for open in settled {
            let Some(row) = self.timeline.row(&open.step) else {
                continue;
            };
            let lines = if open.undo {
                self.lines.undo_failed(row)
            } else {
                let told = match (open.step.key(), open.step.parent()) {
                    (Some(_), Some(parent)) => {
                        let told = self.told.entry(parent).or_default();
                        *told += 1;
                        *told
                    }
                    _ => 1,
                };
                match &self.face {
                    _ if told <= FULL_FAILURES => self.lines.failed(row),
                    Face::Live(_) if told > SHORT_FAILURES => Vec::new(),
                    _ => self.lines.failed_in_short(row),
                }
            };
            self.print(lines, now)?;
        }
        Ok(())
    }

    fn print(&mut self, lines: Vec<String>, at: Timestamp) -> io::Result<()> {
        match &mut self.face {
            Face::Live(live) => {
                live.keep(lines);
                Ok(())
            }
            Face::Plain(plain) => plain.lines(&lines, at),
        }
    }
}

/// Whether a step belongs to a loop or sub-runbook, at any depth.
fn is_below(step: &StepId, whole: &StepId) -> bool {
    let mut above = step.parent();
    while let Some(id) = above {
        if id == *whole {
            return true;
        }
        above = id.parent();
    }
    false
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

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use indicatif::InMemoryTerm;

    use super::*;
    use crate::base::AttemptNo;
    use crate::event::Stream;
    use crate::report::fixtures::{self, Story, id, plan_of, restart_plan, step};
    use crate::report::live::SHOWN;
    use crate::report::text::width;

    fn options(quiet: bool) -> ViewOptions {
        ViewOptions {
            style: Style::plain(80),
            height: 24,
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
    fn a_question_has_the_end_of_the_screen_until_it_is_answered() {
        let plan = restart_plan();
        let mut story = Story::begin();
        story.started("before", 1);
        let term = InMemoryTerm::new(40, 80);
        let target = ProgressDrawTarget::term_like(Box::new(term.clone()));
        let mut view = RunView::live(&plan, options(false), target);
        for event in &story.events {
            let progress = Progress::Event(Arc::new(event.clone()));
            view.on(&progress, event.at).expect("drawn");
        }
        let mut now = story.now();
        let mut drawn = |view: &mut RunView| {
            now = now.plus(Duration::from_secs(1));
            view.tick(now).expect("drawn");
            term.contents().contains("steps")
        };
        assert!(drawn(&mut view));
        view.ask(|| {});
        assert!(!drawn(&mut view));
        assert!(!view.news(|| {}), "nothing has happened");
        story.succeeded("before", 1, 35);
        let progress = Progress::Event(Arc::new(story.events[2].clone()));
        view.on(&progress, story.now()).expect("kept");
        assert!(!term.contents().contains("✓ before"));
        let mut asked = false;
        assert!(view.news(|| asked = true) && asked);
        assert!(term.contents().contains("✓ before"));
        assert!(view.answered() && !view.answered());
        assert!(drawn(&mut view));
    }

    #[test]
    fn a_resumed_run_says_by_whom_and_poll_starts_say_nothing() {
        let text = logged(&fixtures::resumed(), false);
        let of = |words: &str| text.lines().filter(|line| line.contains(words)).count();
        assert_eq!(of("run 01KA · resumed by maria@ops1"), 1, "{text}");
        assert_eq!(of("healthy"), 2, "its start and its end: {text}");
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
                    idempotency_key: None,
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
