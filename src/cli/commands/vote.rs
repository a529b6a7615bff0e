//! `runbook approve`, `runbook reject` and `runbook cancel`: a word for the engine that drives a run.

use serde_json::json;

use crate::base::{Clock as _, EventSeq, RunId, StepId, did_you_mean};
use crate::cli::args::{CancelArgs, VoteArgs};
use crate::cli::context::Context;
use crate::cli::error::{CliError, ErrorKind};
use crate::cli::exit::ExitStatus;
use crate::cli::recorder::Record;
use crate::cli::runtime::block_on;
use crate::event::{Ballot, Vote};
use crate::plan::Plan;
use crate::report::{Places, Timeline, shell_word};
use crate::settings::SystemClock;
use crate::store::{RequestKind, RunRecord};

pub(super) fn vote(context: &Context, args: &VoteArgs, vote: Vote) -> Result<ExitStatus, CliError> {
    let record = Record::open_to_ask(&context.settings)?;
    let (run, places) = unfinished(&record, &args.run)?;
    let gate = open_gate(&record, &run, &places, args.gate.as_deref(), vote)?;
    let kind = RequestKind::Vote {
        gate: Some(gate.clone()),
        ballot: Ballot::plain(vote, run.plan_digest, args.comment.clone()),
    };
    ask(context, &record, run.id, kind)?;
    let driven = run.owner.as_ref().is_some_and(|o| record.is_alive(o));
    if context.out.is_json() {
        context.out.json(&json!({
            "run": run.id, "gate": gate, "vote": vote, "driven": driven,
        }))?;
        return Ok(ExitStatus::SUCCEEDED);
    }
    let verb = vote.as_str();
    context.out.line(format_args!(
        "voted {verb} at gate `{gate}` of {} ({})",
        run.runbook, places.prefix
    ))?;
    if driven {
        context
            .out
            .note("the process that drives the run goes on now");
    } else {
        context.out.note(format_args!(
            "no process drives the run; let it go on with: runbook resume {}",
            places.prefix
        ));
    }
    Ok(ExitStatus::SUCCEEDED)
}

pub(super) fn cancel(context: &Context, args: &CancelArgs) -> Result<ExitStatus, CliError> {
    let record = Record::open_to_ask(&context.settings)?;
    let (run, places) = unfinished(&record, &args.run)?;
    let kind = RequestKind::Cancel {
        reason: args.reason.clone(),
    };
    ask(context, &record, run.id, kind)?;
    let driven = run.owner.as_ref().is_some_and(|o| record.is_alive(o));
    if context.out.is_json() {
        context
            .out
            .json(&json!({ "run": run.id, "cancel": "requested", "driven": driven }))?;
        return Ok(ExitStatus::SUCCEEDED);
    }
    context.out.line(format_args!(
        "asked run {} of {} to end",
        places.prefix, run.runbook
    ))?;
    context.out.note(if driven {
        format!("see how it ends with: runbook status {}", places.prefix)
    } else {
        format!(
            "no process drives the run; end it in good order with: runbook resume {}",
            places.prefix
        )
    });
    Ok(ExitStatus::SUCCEEDED)
}

/// The run that is meant, unless it is over.
fn unfinished(record: &Record, text: &str) -> Result<(RunRecord, Places), CliError> {
    let id = record.store.find_run(text)?;
    let places = record.places(id)?;
    let run = record
        .store
        .run(id)?
        .ok_or_else(|| CliError::bug(format!("run {id} vanished")))?;
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

/// The gate that is meant: the named one, else the only one that is open.
fn open_gate(
    record: &Record,
    run: &RunRecord,
    places: &Places,
    wanted: Option<&str>,
    vote: Vote,
) -> Result<StepId, CliError> {
    let plan = Plan::from_json(&record.store.plan_json(run.id)?)
        .map_err(|error| CliError::from_error(ErrorKind::Record, &error))?;
    let events = record.store.events_after(run.id, EventSeq(0))?;
    let timeline = Timeline::of(&plan, &events);
    let open: Vec<StepId> = timeline.open_gates().map(|row| row.id.clone()).collect();
    let status = format!("runbook status {}", places.prefix);
    let verb = vote.as_str();
    let choose = |message: String| {
        let error = CliError::new(ErrorKind::Usage, message);
        let near = wanted.and_then(|wanted| did_you_mean(wanted, open.iter().map(StepId::as_str)));
        let meant = open
            .iter()
            .filter(|gate| near.is_none_or(|near| gate.as_str() == near));
        meant.fold(error, |error, gate| {
            let gate = shell_word(gate.as_str());
            error.next(format!("runbook {verb} {} {gate}", places.prefix))
        })
    };
    match (wanted, open.as_slice()) {
        (_, []) => Err(CliError::new(
            ErrorKind::Usage,
            format!("run {} has no open gate", places.prefix),
        )
        .next(status)),
        (None, [only]) => Ok(only.clone()),
        (None, several) => {
            let n = several.len();
            Err(choose(format!("run {} has {n} open gates", places.prefix)))
        }
        (Some(wanted), _) => open
            .iter()
            .find(|gate| gate.as_str() == wanted)
            .cloned()
            .ok_or_else(|| {
                choose(format!(
                    "`{wanted}` is not an open gate of run {}",
                    places.prefix
                ))
            }),
    }
}

fn ask(context: &Context, record: &Record, run: RunId, kind: RequestKind) -> Result<(), CliError> {
    let actor = context.settings.actor.clone();
    let asked = record
        .store
        .add_request(run, SystemClock.now(), actor, kind);
    block_on(async { Ok(asked.await?) })?;
    Ok(())
}
