//! `runbook runs` and `runbook status`

use std::collections::BTreeSet;
use std::sync::Arc;

use crate::base::{Clock as _, EventSeq, RunId};
use crate::cli::args::{RunArgs, RunsArgs};
use crate::cli::context::Context;
use crate::cli::error::{CliError, ErrorKind};
use crate::cli::exit::ExitStatus;
use crate::cli::recorder::Record;
use crate::plan::Plan;
use crate::report::{
    RunStatusView, Timeline, run_json, runs_table, standing, status_json, status_text,
};
use crate::settings::SystemClock;
use crate::store::RunFilter;

pub(super) fn runs(context: &Context, args: &RunsArgs) -> Result<ExitStatus, CliError> {
    let record = Record::open_to_read(&context.settings)?;
    let filter = RunFilter {
        runbook: args.runbook.clone(),
        environment: None,
        unfinished: args.unfinished,
        limit: Some(args.limit),
    };
    let runs = record.store.runs(&filter)?;
    let owed = record.store.obligations(false)?;
    let emergencies = owed
        .into_iter()
        .map(|owed| owed.run)
        .collect::<BTreeSet<_>>();
    let alive = |owner: &_| record.is_alive(owner);
    if context.out.is_json() {
        for run in &runs {
            let emergency = emergencies.contains(&run.id);
            context.out.json(&run_json(run, emergency, &alive))?;
        }
        return Ok(ExitStatus::SUCCEEDED);
    }
    let ids: Vec<RunId> = runs.iter().map(|run| run.id).collect();
    let length = record.store.prefix_len(&ids)?;
    let (now, style) = (SystemClock.now(), context.style());
    let text = runs_table(&runs, &emergencies, length, now, &alive, style);
    context.out.raw(text.as_bytes())?;
    Ok(ExitStatus::SUCCEEDED)
}

pub(super) fn status(context: &Context, args: &RunArgs) -> Result<ExitStatus, CliError> {
    let record = Record::open_to_read(&context.settings)?;
    let id = record.store.find_run(&args.run)?;
    let run = record
        .store
        .run(id)?
        .ok_or_else(|| CliError::bug(format!("run {id} vanished")))?;
    let plan = Plan::from_json(&record.store.plan_json(id)?)
        .map_err(|error| CliError::from_error(ErrorKind::Record, &error))?;
    let events = record.store.events_after(id, EventSeq(0))?;
    let timeline = Timeline::of(&plan, &events);
    let requests = record.store.requests_after(id, 0)?;
    // A damaged record is shown as far as it goes.
    let state = standing(Arc::new(plan.clone()), &events, &requests).ok();
    let view = RunStatusView {
        run: &run,
        plan: &plan,
        timeline: &timeline,
        state: state.as_ref(),
        places: &record.places(id)?,
        now: SystemClock.now(),
        alive: &|owner: &_| record.is_alive(owner),
    };
    if context.out.is_json() {
        context.out.json(&status_json(&view))?;
    } else {
        context
            .out
            .raw(status_text(&view, context.style()).as_bytes())?;
    }
    Ok(ExitStatus::SUCCEEDED)
}
