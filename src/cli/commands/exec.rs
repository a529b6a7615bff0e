//! `runbook exec` and `runbook resume`

use std::sync::Arc;

use crate::cli::args::{ExecArgs, ResumeArgs};
use crate::cli::context::Context;
use crate::cli::error::CliError;
use crate::cli::exit::ExitStatus;
use crate::cli::recorder::{Recorder, parts_without_record};
use crate::cli::runtime::block_on;
use crate::cli::starting::starting;
use crate::cli::watch::{Watch, watch};
use crate::cli::workspace::{Planned, Workspace};
use crate::engine::{DryRunStep, RunEnd, RunOptions, dry_run};
use crate::plan::Plan;
use crate::report::{dry_run_json, dry_run_text};
use crate::run::Limits;

pub(super) fn exec(context: &Context, args: &ExecArgs) -> Result<ExitStatus, CliError> {
    let workspace = Workspace::open(context)?;
    let Planned { plan, checked } = workspace.plan(context, &args.runbook, &args.params)?;
    let source = checked.runbook().source.text.clone();
    // A run may take days; what it was made of is not needed for it.
    drop(checked);
    if args.dry_run {
        return rehearse(context, &workspace, plan);
    }
    let options = RunOptions {
        limits: limits(args.max_parallel),
        detach: args.detach,
    };
    let choice = Watch {
        yes: args.yes,
        detach: args.detach,
    };
    let start = starting(context, &workspace, &plan, args)?;
    let root = workspace.repository.root();
    let recorder = Recorder::open(context, root, workspace.registry.clone())?;
    let engine = recorder.engine(Arc::new(workspace));
    let end = block_on(async {
        let handle = engine.start(plan, source, start, options).await?;
        recorder.watch(handle.run);
        watch(context, &recorder.record, handle, choice).await
    });
    // The engine holds the audit trail, which is to be ended.
    drop(engine);
    finish(recorder, end)
}

pub(super) fn resume(context: &Context, args: &ResumeArgs) -> Result<ExitStatus, CliError> {
    let workspace = Workspace::open(context)?;
    let root = workspace.repository.root();
    let recorder = Recorder::open(context, root, workspace.registry.clone())?;
    let engine = recorder.engine(Arc::new(workspace));
    let run = recorder.record.store.find_run(&args.run)?;
    let options = RunOptions {
        limits: limits(args.max_parallel),
        detach: args.detach,
    };
    let choice = Watch {
        yes: args.yes,
        detach: args.detach,
    };
    let end = block_on(async {
        recorder.bring_votes(run);
        let handle = engine.resume(run, options).await?;
        recorder.watch(run);
        watch(context, &recorder.record, handle, choice).await
    });
    // The engine holds the audit trail, which is to be ended.
    drop(engine);
    finish(recorder, end)
}

fn limits(max_parallel: u16) -> Limits {
    Limits {
        max_parallel: usize::from(max_parallel),
    }
}

/// The trail is brought up to date whatever happened; the first error is the one to tell.
fn finish(recorder: Recorder, end: Result<RunEnd, CliError>) -> Result<ExitStatus, CliError> {
    let audited = recorder.finish();
    let end = end?;
    audited?;
    Ok(ExitStatus::from(&end))
}

fn rehearse(context: &Context, workspace: &Workspace, plan: Plan) -> Result<ExitStatus, CliError> {
    let root = workspace.repository.root();
    let parts = parts_without_record(&context.settings, root, workspace.registry.clone())?;
    let found = block_on(async { Ok(dry_run(&parts, plan).await?) })?;
    if context.out.is_json() {
        for step in &found {
            context.out.json(&dry_run_json(step))?;
        }
    } else {
        context
            .out
            .raw(dry_run_text(&found, context.style()).as_bytes())?;
    }
    Ok(if found.iter().any(DryRunStep::failed) {
        ExitStatus::FAILED
    } else {
        ExitStatus::SUCCEEDED
    })
}
