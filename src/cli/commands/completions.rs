//! `runbook completions SHELL`

use clap::CommandFactory as _;
use serde_json::json;

use crate::cli::args::{Cli, CompletionsArgs};
use crate::cli::context::Context;
use crate::cli::error::CliError;
use crate::cli::exit::ExitStatus;

pub(super) fn run(context: &Context, args: &CompletionsArgs) -> Result<ExitStatus, CliError> {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut Cli::command(), "runbook", &mut script);
    if context.out.is_json() {
        let script = String::from_utf8_lossy(&script);
        let shell = args.shell.to_string();
        context
            .out
            .json(&json!({ "shell": shell, "script": script }))?;
    } else {
        context.out.raw(&script)?;
    }
    Ok(ExitStatus::SUCCEEDED)
}
