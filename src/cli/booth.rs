//! A run and its gates, ready to be looked at and voted on.

use std::sync::Arc;

use super::error::{CliError, ErrorKind};
use super::recorder::Record;
use super::runtime::block_on;
use crate::base::{Clock as _, EventSeq, RunId, StepId, did_you_mean};
use crate::event::{Actor, EventKind, RunEvent};
use crate::plan::Plan;
use crate::report::{Places, shell_word, standing};
use crate::run::{GateView, RunState};
use crate::settings::SystemClock;
use crate::store::{RequestKind, RunRecord};

/// A run, with the votes that its engine has not seen yet.
pub(super) struct Booth {
    /// The run.
    pub(super) run: RunRecord,
    /// Its names for commands.
    pub(super) places: Places,
    /// Its events.
    pub(super) events: Vec<RunEvent>,
    /// Its state.
    pub(super) state: RunState,
}

impl Booth {
    /// Opens a run.
    ///
    /// # Errors
    /// When its record cannot be read or is damaged.
    pub(super) fn open(record: &Record, run: RunRecord) -> Result<Self, CliError> {
        let places = record.places(run.id)?;
        let plan = plan_of(record, run.id)?;
        let events = record.store.events_after(run.id, EventSeq(0))?;
        let requests = record.store.requests_after(run.id, 0)?;
        let state = standing(Arc::new(plan), &events, &requests).map_err(|error| {
            CliError::new(
                ErrorKind::Record,
                format!("run {} cannot be understood", places.prefix),
            )
            .because(&error)
            .next(format!("runbook status {}", places.prefix))
        })?;
        Ok(Self {
            run,
            places,
            events,
            state,
        })
    }

    /// The gate that is meant: the named one, else the only one that is open. `verb`: the command that
    /// is suggested for another.
    ///
    /// # Errors
    /// When none or several are meant.
    pub(super) fn gate(&self, wanted: Option<&str>, verb: &str) -> Result<GateView, CliError> {
        let open = self.state.open_gates();
        let prefix = &self.places.prefix;
        let names = || open.iter().map(|gate| gate.step.as_str());
        let choose = |message: String| {
            let error = CliError::new(ErrorKind::Usage, message);
            let near = wanted.and_then(|wanted| did_you_mean(wanted, names()));
            let meant = names().filter(|gate| near.is_none_or(|near| *gate == near));
            meant.fold(error, |error, gate| {
                let gate = shell_word(gate);
                error.next(format!("runbook {verb} {prefix} {gate}"))
            })
        };
        match (wanted, open.as_slice()) {
            (_, []) => Err(CliError::new(
                ErrorKind::Usage,
                format!("run {prefix} has no open gate"),
            )
            .next(format!("runbook status {prefix}"))),
            (None, [only]) => Ok(only.clone()),
            (None, several) => {
                let n = several.len();
                Err(choose(format!("run {prefix} has {n} open gates")))
            }
            (Some(wanted), _) => open
                .iter()
                .find(|gate| gate.step.as_str() == wanted)
                .cloned()
                .ok_or_else(|| choose(format!("`{wanted}` is not an open gate of run {prefix}"))),
        }
    }

    /// Whether somebody may review this emergency run: a member of the role who did not start it.
    ///
    /// # Errors
    /// Why not, in words.
    pub(super) fn may_review(&self, name: &str) -> Result<(), String> {
        let created = self.events.first().map(|event| &event.event);
        if let Some(EventKind::RunCreated {
            actor,
            on_behalf_of,
            ..
        }) = created
            && (actor.name == name || on_behalf_of.as_deref() == Some(name))
        {
            return Err(format!(
                "you (`{name}`) started this run, and nobody reviews a run of their own"
            ));
        }
        let rule = self.state.policy().and_then(|p| p.emergency.as_ref());
        match rule {
            Some(rule) if rule.reviewers.iter().any(|reviewer| reviewer == name) => Ok(()),
            Some(rule) => Err(format!(
                "`{name}` is not in the role {} that reviews emergency runs ({})",
                rule.review,
                rule.reviewers.join(", ")
            )),
            None => Err("the policy of this run names nobody who reviews it".to_owned()),
        }
    }

    /// `RUN GATE` as a person types it: without the gate where there is one only.
    pub(super) fn typed(&self, gate: &StepId) -> String {
        let prefix = &self.places.prefix;
        match self.state.open_gates().len() {
            0 | 1 => prefix.clone(),
            _ => format!("{prefix} {}", shell_word(gate.as_str())),
        }
    }
}

/// The plan of a run.
pub(super) fn plan_of(record: &Record, run: RunId) -> Result<Plan, CliError> {
    Plan::from_json(&record.store.plan_json(run)?)
        .map_err(|error| CliError::from_error(ErrorKind::Record, &error))
}

/// The run that is meant, whether or not it is over.
///
/// # Errors
/// When none or several are meant.
pub(super) fn meant(record: &Record, text: &str) -> Result<RunRecord, CliError> {
    let id = record.store.find_run(text)?;
    record
        .store
        .run(id)?
        .ok_or_else(|| CliError::bug(format!("run {id} vanished")))
}

/// The run that is meant, unless it is over.
///
/// # Errors
/// When none or several are meant, or it is over.
pub(super) fn unfinished(record: &Record, text: &str) -> Result<(RunRecord, Places), CliError> {
    let run = meant(record, text)?;
    let places = record.places(run.id)?;
    match run.outcome {
        Some(outcome) => Err(CliError::new(
            ErrorKind::Usage,
            format!(
                "run {} of {} is over: {outcome}",
                places.prefix, run.runbook
            ),
        )
        .next(format!("runbook status {}", places.prefix))),
        None => Ok((run, places)),
    }
}

/// Leaves a word for the engine that drives a run, or will drive it.
///
/// # Errors
/// When it cannot be made durable.
pub(super) fn ask(
    record: &Record,
    run: RunId,
    actor: Actor,
    kind: RequestKind,
) -> Result<(), CliError> {
    let asked = record
        .store
        .add_request(run, SystemClock.now(), actor, kind);
    block_on(async { Ok(asked.await?) })?;
    Ok(())
}
