//! `runbook cancel`

use serde_json::json;

use crate::cli::args::CancelArgs;
use crate::cli::booth::{ask, unfinished};
use crate::cli::context::Context;
use crate::cli::error::CliError;
use crate::cli::exit::ExitStatus;
use crate::cli::recorder::Record;
use crate::store::RequestKind;

pub(super) fn run(context: &Context, args: &CancelArgs) -> Result<ExitStatus, CliError> {
    let record = Record::open_to_ask(&context.settings)?;
    let (run, places) = unfinished(&record, &args.run)?;
    let kind = RequestKind::Cancel {
        reason: args.reason.clone(),
    };
    let actor = context.settings.actor.clone();
    ask(&record, run.id, actor, kind)?;
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
