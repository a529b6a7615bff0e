//! A person in front of a live run: progress, questions at gates, Ctrl-C.

use std::collections::VecDeque;
use std::io::{self, BufRead as _, Write as _};
use std::time::Duration;

use indicatif::ProgressDrawTarget;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::mpsc;
use tokio::time::MissedTickBehavior;

use super::context::Context;
use super::error::CliError;
use super::recorder::Record;
use crate::base::{Clock as _, StepId};
use crate::engine::{Control, RunEnd, RunHandle};
use crate::event::{EventKind, Progress, RunEvent, Vote};
use crate::report::{RunView, ViewOptions, safe_text, summary, write_progress};
use crate::settings::SystemClock;

/// How often the display moves when nothing happens.
const TICK: Duration = Duration::from_millis(100);

/// What a person chose for watching a run.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Watch {
    /// Cast the starter's own vote at each gate.
    pub(super) yes: bool,
    /// The run is left at its gates, so nobody is asked.
    pub(super) detach: bool,
}

/// Watches a run to the end of its driving, and says how it ended.
pub(super) async fn watch(
    context: &Context,
    record: &Record,
    handle: RunHandle,
    choice: Watch,
) -> Result<RunEnd, CliError> {
    let places = record.places(handle.run)?;
    let options = ViewOptions {
        style: context.style_of_errors(),
        quiet: context.out.quiet,
        places: places.clone(),
    };
    let terminal = &context.settings.terminal;
    let mut view = if terminal.live {
        RunView::live(&handle.plan, options, ProgressDrawTarget::stderr())
    } else {
        RunView::plain(&handle.plan, options, Box::new(io::stderr()))
    };
    view.recall(&handle.history);
    let plan = handle.plan.clone();
    let may_ask = terminal.can_ask && !choice.detach && !choice.yes && !context.out.is_json();
    let mut watcher = Watcher {
        context,
        view,
        control: handle.control.clone(),
        choice,
        questions: Questions::new(may_ask),
        cancelled: false,
        prefix: places.prefix.clone(),
    };
    let result = watcher.follow(handle).await;
    let timeline = watcher.view.timeline();
    if !context.out.is_json() {
        // The record is safe; a terminal that went away must not hide how the run ended.
        let text = summary(&plan, timeline, &places, context.style());
        let told = context.out.raw(text.as_bytes());
        return result.and_then(|end| told.map(|()| end));
    }
    result
}

struct Watcher<'a> {
    context: &'a Context,
    view: RunView,
    control: Control,
    choice: Watch,
    questions: Questions,
    cancelled: bool,
    prefix: String,
}

impl Watcher<'_> {
    async fn follow(&mut self, mut handle: RunHandle) -> Result<RunEnd, CliError> {
        let mut interrupt = listen(SignalKind::interrupt())?;
        let mut terminate = listen(SignalKind::terminate())?;
        let mut hangup = listen(SignalKind::hangup())?;
        let mut ticks = tokio::time::interval(TICK);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
        for event in still_open(&handle.history) {
            self.gates(event, false);
        }
        loop {
            tokio::select! {
                progress = handle.progress.recv() => match progress {
                    Some(progress) => self.on(&progress)?,
                    None => break,
                },
                _ = interrupt.recv() => self.interrupted(),
                _ = terminate.recv() => self.interrupted(),
                _ = hangup.recv() => self.interrupted(),
                line = self.questions.answer() => self.answered(line),
                _ = ticks.tick() => {
                    if !self.context.out.is_json() && !self.questions.is_asking() {
                        // A lost terminal stops nothing.
                        let _ = self.view.tick(SystemClock.now());
                    }
                }
            }
        }
        if !self.context.out.is_json() {
            let _ = self.view.finish(SystemClock.now());
        }
        Ok(handle.join().await?)
    }

    fn on(&mut self, progress: &Progress) -> Result<(), CliError> {
        if self.context.out.is_json() {
            // The reader may go away; the run goes on, and the record is complete.
            let _ = write_progress(&mut io::stdout().lock(), progress);
        } else if !(self.questions.is_asking() && matches!(progress, Progress::Output { .. })) {
            let _ = self.view.on(progress, SystemClock.now());
        }
        if let Progress::Event(event) = progress {
            self.gates(event, !self.context.out.quiet);
        }
        Ok(())
    }

    /// `announced`: the view has shown the gate's message just now.
    fn gates(&mut self, event: &RunEvent, announced: bool) {
        match &event.event {
            EventKind::GateOpened { step, message, .. } => {
                if self.choice.yes {
                    self.vote(step.clone(), Vote::Approve, None);
                } else if self.questions.add(step.clone(), message.clone()) {
                    self.ask(announced);
                }
            }
            EventKind::GateApproved { step }
            | EventKind::GateRejected { step }
            | EventKind::GateExpired { step }
            | EventKind::StepSkipped { step, .. }
                if self.questions.settled(step) =>
            {
                // Answered elsewhere.
                end_line();
                self.ask(false);
            }
            _ => {}
        }
    }

    /// Shows the question whose turn it is, or lets the view go on when there is none.
    fn ask(&mut self, announced: bool) {
        if !self.questions.is_asking() {
            self.view.release();
            return;
        }
        if let Some(text) = self.questions.text(announced) {
            self.view.hold();
            let mut err = io::stderr().lock();
            let _ = write!(err, "{text}");
            let _ = err.flush();
        }
    }

    fn answered(&mut self, line: Option<String>) {
        let Some(line) = line else {
            self.questions.give_up();
            end_line();
            let prefix = &self.prefix;
            self.context.out.note(format_args!(
                "nobody answers here; the gate waits for: runbook approve {prefix}"
            ));
            self.view.release();
            return;
        };
        match parse_answer(&line) {
            Some((vote, comment)) => {
                if let Some(step) = self.questions.take() {
                    self.vote(step, vote, comment);
                }
                self.ask(false);
            }
            None => {
                self.questions.ask_again();
                self.ask(true);
            }
        }
    }

    fn vote(&self, step: StepId, vote: Vote, comment: Option<String>) {
        let actor = self.context.settings.actor.clone();
        self.control.vote(step, vote, actor, comment);
    }

    /// First time: end in good order. Second time: at once.
    fn interrupted(&mut self) {
        if self.cancelled {
            self.control.kill();
            return;
        }
        self.cancelled = true;
        if self.questions.is_asking() {
            end_line();
            self.questions.give_up();
            self.view.release();
        }
        let actor = self.context.settings.actor.clone();
        self.control
            .cancel(actor, Some("interrupted at the terminal".to_owned()));
        let out = self.context.out;
        self.view.suspend(|| {
            out.note("cancelling: running steps get TERM and their grace; again to kill them");
        });
    }
}

/// The openings of the gates that no later event closed.
fn still_open(history: &[RunEvent]) -> Vec<&RunEvent> {
    let mut open: Vec<&RunEvent> = Vec::new();
    for event in history {
        match &event.event {
            EventKind::GateOpened { .. } => open.push(event),
            EventKind::GateApproved { step }
            | EventKind::GateRejected { step }
            | EventKind::GateExpired { step }
            | EventKind::StepSkipped { step, .. } => {
                open.retain(|opening| opening.event.step() != Some(step));
            }
            _ => {}
        }
    }
    open
}

/// Ends the line of a question that nobody answered there.
fn end_line() {
    let _ = writeln!(io::stderr().lock());
}

fn listen(kind: SignalKind) -> Result<Signal, CliError> {
    signal(kind).map_err(|error| CliError::bug(format!("cannot listen to signals: {error}")))
}

/// `y`, `yes`, `n` or `no`, then perhaps a comment.
fn parse_answer(line: &str) -> Option<(Vote, Option<String>)> {
    let (word, rest) = line
        .trim()
        .split_once(char::is_whitespace)
        .unwrap_or((line.trim(), ""));
    let vote = match word.to_ascii_lowercase().as_str() {
        "y" | "yes" => Vote::Approve,
        "n" | "no" => Vote::Reject,
        _ => return None,
    };
    let comment = rest.trim();
    Some((vote, (!comment.is_empty()).then(|| comment.to_owned())))
}

/// The gates that a person at the terminal is asked about, one at a time.
struct Questions {
    may_ask: bool,
    open: VecDeque<(StepId, String)>,
    lines: Option<mpsc::UnboundedReceiver<String>>,
    shown: Option<StepId>,
}

impl Questions {
    fn new(may_ask: bool) -> Self {
        Self {
            may_ask,
            open: VecDeque::new(),
            lines: None,
            shown: None,
        }
    }

    /// Whether a question stands on the terminal.
    fn is_asking(&self) -> bool {
        self.may_ask && !self.open.is_empty()
    }

    /// A gate opened; says whether it is to be asked about now.
    fn add(&mut self, step: StepId, message: String) -> bool {
        self.open.push_back((step, message));
        self.may_ask && self.open.len() == 1
    }

    /// A gate closed by another way; says whether its question stood on the terminal.
    fn settled(&mut self, step: &StepId) -> bool {
        let was_first = self.open.front().is_some_and(|(first, _)| first == step);
        self.open.retain(|(open, _)| open != step);
        was_first && self.may_ask
    }

    fn take(&mut self) -> Option<StepId> {
        self.open.pop_front().map(|(step, _)| step)
    }

    fn give_up(&mut self) {
        self.may_ask = false;
        self.lines = None;
    }

    fn ask_again(&mut self) {
        self.shown = None;
    }

    /// The question to be shown now, once; with the gate's message unless that stands there already.
    fn text(&mut self, announced: bool) -> Option<String> {
        if !self.may_ask {
            return None;
        }
        let (step, message) = self.open.front()?;
        if self.shown.as_ref() == Some(step) {
            return None;
        }
        self.shown = Some(step.clone());
        let message = if announced {
            String::new()
        } else {
            let lines = message
                .lines()
                .map(|line| format!("    {}\n", safe_text(line)));
            lines.collect()
        };
        let text =
            format!("{message}    approve `{step}`? [y]es or [n]o, then a comment if you like: ");
        self.lines.get_or_insert_with(read_lines);
        Some(text)
    }

    /// The next line typed; waits for ever when nobody is asked.
    async fn answer(&mut self) -> Option<String> {
        match &mut self.lines {
            Some(lines) => lines.recv().await,
            None => std::future::pending().await,
        }
    }
}

/// Reads lines in a thread of its own, which nobody waits for: a read of a terminal cannot be ended.
fn read_lines() -> mpsc::UnboundedReceiver<String> {
    let (sender, receiver) = mpsc::unbounded_channel();
    std::thread::spawn(move || {
        for line in io::stdin().lock().lines().map_while(Result::ok) {
            if sender.send(line).is_err() {
                return;
            }
        }
    });
    receiver
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(text: &str) -> StepId {
        StepId::new(text).expect("valid")
    }

    #[test]
    fn answers_are_yes_or_no_with_a_comment() {
        for (line, expected) in [
            ("y\n", Some((Vote::Approve, None))),
            (
                " YES  looks good \n",
                Some((Vote::Approve, Some("looks good".to_owned()))),
            ),
            (
                "no not now",
                Some((Vote::Reject, Some("not now".to_owned()))),
            ),
            ("", None),
            ("yesterday", None),
        ] {
            assert_eq!(parse_answer(line), expected, "{line:?}");
        }
    }

    #[test]
    fn one_question_at_a_time_and_each_once() {
        let mut questions = Questions::new(true);
        assert!(questions.add(id("a"), "go\u{1b}[2J?".to_owned()));
        assert!(!questions.add(id("b"), "and?".to_owned()));
        questions.lines = Some(mpsc::unbounded_channel().1);
        let text = questions.text(false).expect("a question");
        assert!(
            text.contains("approve `a`") && text.contains("go"),
            "{text}"
        );
        assert!(!text.contains('\u{1b}'));
        assert_eq!(questions.text(false), None);
        questions.ask_again();
        let text = questions.text(true).expect("a question");
        assert!(
            text.contains("approve `a`") && !text.contains("go"),
            "{text}"
        );
        assert!(questions.settled(&id("a")), "it stood there; b is next");
        assert!(!questions.settled(&id("a")), "a is over");
        let text = questions.text(false).expect("a question");
        assert!(text.contains("approve `b`"), "{text}");
        assert_eq!(questions.take(), Some(id("b")));
        assert!(!questions.is_asking());
    }

    #[test]
    fn without_a_terminal_nobody_is_asked() {
        let mut questions = Questions::new(false);
        assert!(!questions.add(id("a"), "go?".to_owned()));
        assert!(!questions.is_asking());
        assert_eq!(questions.text(false), None);
    }
}
