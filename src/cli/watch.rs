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
use crate::base::{Clock as _, Digest, StepId};
use crate::engine::{Control, RunEnd, RunHandle};
use crate::event::{Ballot, EventKind, Progress, RunEvent, Vote};
use crate::report::{RunView, ViewOptions, shell_word, summary, write_progress};
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
        height: usize::from(context.settings.terminal.height),
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
        plan_digest: plan.digest(),
        prefix: places.prefix.clone(),
        view,
        control: handle.control.clone(),
        choice,
        questions: Questions::new(may_ask),
        cancelled: false,
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
    plan_digest: Digest,
    /// The run, as a person may type it.
    prefix: String,
    view: RunView,
    control: Control,
    choice: Watch,
    questions: Questions,
    cancelled: bool,
}

impl Watcher<'_> {
    async fn follow(&mut self, mut handle: RunHandle) -> Result<RunEnd, CliError> {
        let mut interrupt = listen(SignalKind::interrupt())?;
        let mut terminate = listen(SignalKind::terminate())?;
        let mut hangup = listen(SignalKind::hangup())?;
        let mut ticks = tokio::time::interval(TICK);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
        for event in still_open(&handle.history) {
            self.gates(event, true);
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
            self.gates(event, self.context.out.quiet);
        }
        // What is to be shown while a question stands takes its place; it is asked again below.
        if self.view.news(clear_line) {
            self.questions.asked_again();
        }
        self.ask();
        Ok(())
    }

    /// `untold`: the display has not said what the gate asks.
    fn gates(&mut self, event: &RunEvent, untold: bool) {
        match &event.event {
            EventKind::GateOpened { step, message, .. } => {
                if self.choice.yes {
                    self.vote(step.clone(), Vote::Approve, None);
                } else {
                    let untold = untold.then(|| message.clone());
                    self.questions.add(step.clone(), untold);
                }
            }
            EventKind::GateApproved { step, .. }
            | EventKind::GateRejected { step }
            | EventKind::GateExpired { step }
            | EventKind::StepSkipped { step, .. } => self.questions.settled(step),
            _ => {}
        }
    }

    /// Shows the question whose turn it is, once, or lets the view go on when there is none.
    fn ask(&mut self) {
        if !self.questions.is_asking() {
            let stands = self.questions.shown.take().is_some();
            if self.view.answered() && stands {
                // Answered elsewhere, and nothing took its place yet.
                clear_line();
            }
        } else if let Some(text) = self.questions.text() {
            self.view.ask(|| {
                let mut err = io::stderr().lock();
                let _ = write!(err, "{text}");
                let _ = err.flush();
            });
        }
    }

    /// Nobody is asked any more; gives the gate that was asked about, or nothing.
    fn give_up(&mut self) -> String {
        let gate = self.questions.give_up();
        if self.view.answered() {
            // What was typed stays beside its question.
            let _ = writeln!(io::stderr().lock());
        }
        gate
    }

    fn answered(&mut self, line: Option<String>) {
        let Some(line) = line else {
            let gate = self.give_up();
            let (out, prefix) = (self.context.out, &self.prefix);
            self.view.suspend(|| {
                out.note(format_args!(
                    "nobody answers here; the run waits for: runbook approve {prefix} {}",
                    shell_word(&gate)
                ));
            });
            return;
        };
        match parse_answer(&line) {
            Some((vote, comment)) => {
                if let Some(step) = self.questions.take() {
                    self.vote(step, vote, comment);
                }
            }
            None => {
                let out = self.context.out;
                out.note("  that is neither yes nor no");
                self.questions.asked_again();
            }
        }
        self.ask();
    }

    fn vote(&self, step: StepId, vote: Vote, comment: Option<String>) {
        let actor = self.context.settings.actor.clone();
        let ballot = Ballot::plain(vote, self.plan_digest, comment);
        self.control.vote(step, actor, ballot);
    }

    /// First time: end in good order. Second time: at once.
    fn interrupted(&mut self) {
        if self.cancelled {
            self.control.kill();
            return;
        }
        self.cancelled = true;
        self.give_up();
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
            EventKind::GateApproved { step, .. }
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

/// Takes away the line on which the cursor stands.
fn clear_line() {
    let _ = write!(io::stderr().lock(), "\r\x1b[2K");
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
    /// Each gate with what it asks, unless that stands on the terminal already.
    open: VecDeque<(StepId, Option<String>)>,
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

    /// A gate opened. `message`: what it asks, unless that stands on the terminal already.
    fn add(&mut self, step: StepId, message: Option<String>) {
        self.open.push_back((step, message));
    }

    /// A gate is closed, perhaps by another way.
    fn settled(&mut self, step: &StepId) {
        self.open.retain(|(open, _)| open != step);
    }

    fn take(&mut self) -> Option<StepId> {
        self.open.pop_front().map(|(step, _)| step)
    }

    /// Nobody is asked any more; gives the gate that was asked about, or nothing.
    fn give_up(&mut self) -> String {
        self.may_ask = false;
        self.lines = None;
        self.open
            .front()
            .map_or_else(String::new, |(gate, _)| gate.to_string())
    }

    fn asked_again(&mut self) {
        self.shown = None;
    }

    /// The question to be shown now, once.
    fn text(&mut self) -> Option<String> {
        if !self.may_ask {
            return None;
        }
        let (step, message) = self.open.front()?;
        if self.shown.as_ref() == Some(step) {
            return None;
        }
        self.shown = Some(step.clone());
        let message = message.as_ref().map_or_else(String::new, |message| {
            let safe = |c: char| if c.is_control() { ' ' } else { c };
            format!("\n  {}\n", message.chars().map(safe).collect::<String>())
        });
        let text =
            format!("{message}  approve `{step}`? [y]es or [n]o, then a comment if you like: ");
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
        questions.add(id("a"), Some("go\u{1b}[2J?".to_owned()));
        questions.add(id("b"), None);
        questions.lines = Some(mpsc::unbounded_channel().1);
        let text = questions.text().expect("a question");
        assert!(text.contains("approve `a`") && !text.contains('\u{1b}'));
        assert_eq!(questions.text(), None);
        questions.asked_again();
        let again = questions.text().expect("a question");
        assert!(again.contains("approve `a`"), "{again}");
        questions.settled(&id("a"));
        let next = questions.text().expect("a question");
        assert!(next.contains("approve `b`"), "{next}");
        assert_eq!(questions.take(), Some(id("b")));
        assert!(!questions.is_asking());
    }

    #[test]
    fn without_a_terminal_nobody_is_asked() {
        let mut questions = Questions::new(false);
        questions.add(id("a"), Some("go?".to_owned()));
        assert!(!questions.is_asking());
        assert_eq!(questions.text(), None);
    }
}
