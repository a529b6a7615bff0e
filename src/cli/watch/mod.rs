//! A person in front of a live run: progress, questions at gates, Ctrl-C.

mod questions;
mod voter;

use std::io::{self, Write as _};
use std::time::Duration;

use indicatif::ProgressDrawTarget;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::time::MissedTickBehavior;

use super::context::Context;
use super::error::CliError;
use super::recorder::Record;
use crate::base::{Clock as _, StepId};
use crate::engine::{Control, RunEnd, RunHandle};
use crate::event::{EventKind, Progress, RunEvent, Vote};
use crate::report::{RunView, ViewOptions, shell_word, summary, write_progress};
use crate::run::{GateView, RunState};
use crate::settings::SystemClock;
use questions::{Answer, Filled, Questions, parse_answer};
use voter::{Say, cast, defaults, may_vote};

/// How often the display moves when nothing happens.
const TICK: Duration = Duration::from_millis(100);
/// How often `--yes` votes at a gate whose votes become void: a value that changes all the time must
/// not be approved for ever.
const YES_ROUNDS: u32 = 3;

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
        let open = self.view.state().map(RunState::open_gates);
        for gate in open.unwrap_or_default() {
            self.opened(&gate, true)?;
        }
        self.ask();
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
            if let Progress::Event(event) = progress {
                self.view.recall(std::slice::from_ref(event));
            }
        } else if !(self.questions.is_asking() && matches!(progress, Progress::Output { .. })) {
            let _ = self.view.on(progress, SystemClock.now());
        }
        if let Progress::Event(event) = progress {
            self.gates(event)?;
        }
        // What is to be shown while a question stands takes its place; it is asked again below.
        if self.view.news(clear_line) {
            self.questions.asked_again();
        }
        self.ask();
        Ok(())
    }

    fn gates(&mut self, event: &RunEvent) -> Result<(), CliError> {
        let Some(state) = self.view.state() else {
            return Ok(());
        };
        let open = match &event.event {
            EventKind::GateOpened { step, .. } | EventKind::GateVoided { step, .. } => {
                state.open_gates().into_iter().find(|g| g.step == *step)
            }
            _ => None,
        };
        if !self.questions.is_empty() {
            let gates = state.open_gates();
            self.questions
                .retain(|step| gates.iter().any(|gate| gate.step == *step));
        }
        match open {
            None => Ok(()),
            Some(gate) => {
                // After a void it is another question.
                self.questions.settled(&gate.step);
                self.opened(&gate, self.context.out.quiet)
            }
        }
    }

    /// A gate waits. `untold`: the display has not said what it asks.
    fn opened(&mut self, gate: &GateView, untold: bool) -> Result<(), CliError> {
        if self.choice.yes {
            return self.say_yes(gate);
        }
        if !self.questions.may_ask() {
            return Ok(());
        }
        let Some(state) = self.view.state() else {
            return Ok(());
        };
        match may_vote(self.context, state, gate) {
            Ok(_) => self.questions.add(gate, untold),
            Err(why) => {
                let next = self.approve_command(&gate.step);
                return self.warn(format!("{why}: {next}"));
            }
        }
        Ok(())
    }

    /// The starter's own vote, where it counts; else it is said once why it does not.
    fn say_yes(&mut self, gate: &GateView) -> Result<(), CliError> {
        if gate.round > YES_ROUNDS {
            let next = self.approve_command(&gate.step);
            return self.warn(format!(
                "the votes at gate `{}` became void {YES_ROUNDS} times; --yes votes no more: {next}",
                gate.step
            ));
        }
        let voted = match defaults(gate) {
            Ok(inputs) => self.vote(
                &gate.step,
                Say {
                    inputs,
                    ..Say::new(Vote::Approve)
                },
            ),
            Err(name) => Err(format!("the gate asks for `{name}`")),
        };
        match voted {
            Ok(()) => Ok(()),
            Err(why) => {
                let next = self.approve_command(&gate.step);
                self.warn(format!(
                    "--yes does not pass gate `{}`: {why}; it waits for: {next}",
                    gate.step
                ))
            }
        }
    }

    /// What somebody else types to approve.
    fn approve_command(&self, gate: &StepId) -> String {
        format!(
            "runbook approve {} {}",
            self.prefix,
            shell_word(gate.as_str())
        )
    }

    /// A word that is no event, shown as one.
    fn warn(&mut self, text: String) -> Result<(), CliError> {
        let warning = Progress::Warning { text };
        if self.context.out.is_json() {
            let _ = write_progress(&mut io::stdout().lock(), &warning);
        } else {
            let _ = self.view.on(&warning, SystemClock.now());
        }
        Ok(())
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
        let said = match self.questions.fill(&line) {
            Some(Filled::More) => Ok(()),
            Some(Filled::Refused(why)) => Err(why),
            Some(Filled::All { comment, inputs }) => self.answer(Say {
                comment,
                inputs,
                ..Say::new(Vote::Approve)
            }),
            None => self.verdict(&line),
        };
        if let Err(why) = said {
            self.context.out.note(format_args!("  {why}"));
        }
        self.questions.asked_again();
        self.ask();
    }

    /// What was typed at a gate.
    fn verdict(&mut self, line: &str) -> Result<(), String> {
        match parse_answer(line)? {
            Answer::Yes(comment) if self.questions.asks_for_inputs() => {
                self.questions.begin_filling(comment);
                Ok(())
            }
            Answer::Yes(comment) => self.answer(Say {
                comment,
                ..Say::new(Vote::Approve)
            }),
            Answer::No(comment) => self.answer(Say {
                comment,
                ..Say::new(Vote::Reject)
            }),
            Answer::Back { to, comment } => {
                if let (Some(gate), Some(state)) = (self.questions.front(), self.view.state()) {
                    state.can_send_back(gate, &to)?;
                }
                self.answer(Say {
                    comment: Some(comment),
                    to: Some(to),
                    ..Say::new(Vote::SendBack)
                })
            }
        }
    }

    /// Casts the vote of the person at the terminal at the gate that is asked about.
    fn answer(&mut self, say: Say) -> Result<(), String> {
        let Some(gate) = self.questions.front().cloned() else {
            return Ok(());
        };
        self.vote(&gate, say)?;
        self.questions.settled(&gate);
        Ok(())
    }

    fn vote(&self, gate: &StepId, say: Say) -> Result<(), String> {
        let state = self
            .view
            .state()
            .ok_or("the record of this run is damaged")?;
        let (actor, ballot) = cast(self.context, state, gate, say)?;
        self.control.vote(gate.clone(), actor, ballot);
        Ok(())
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

/// Takes away the line on which the cursor stands.
fn clear_line() {
    let _ = write!(io::stderr().lock(), "\r\x1b[2K");
}

fn listen(kind: SignalKind) -> Result<Signal, CliError> {
    signal(kind).map_err(|error| CliError::bug(format!("cannot listen to signals: {error}")))
}
