//! `runbook version`

use serde_json::json;

use crate::cli::context::Context;
use crate::cli::error::CliError;
use crate::cli::exit::ExitStatus;
use crate::plan::PLAN_FORMAT;

pub(super) fn run(context: &Context) -> Result<ExitStatus, CliError> {
    let version = env!("CARGO_PKG_VERSION");
    if context.out.is_json() {
        context
            .out
            .json(&json!({ "version": version, "plan_format": PLAN_FORMAT }))?;
    } else {
        context.out.line(format_args!("runbook {version}"))?;
    }
    Ok(ExitStatus::SUCCEEDED)
}
