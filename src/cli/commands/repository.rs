//! `runbook list` and `runbook show`

use crate::base::Diagnostics;
use crate::cli::args::{ListArgs, ShowArgs};
use crate::cli::context::Context;
use crate::cli::error::CliError;
use crate::cli::exit::ExitStatus;
use crate::cli::workspace::Workspace;
use crate::report::{RunbookEntry, runbook_json, runbooks_table};

pub(super) fn list(context: &Context, _: &ListArgs) -> Result<ExitStatus, CliError> {
    let workspace = Workspace::open(context)?;
    let names = workspace.repository.runbooks()?;
    let mut read = Vec::with_capacity(names.len());
    for name in &names {
        // A runbook with mistakes is listed too; `check` says what is wrong with it.
        let mut diags = Diagnostics::new();
        read.push(workspace.runbook(name, &mut diags)?);
    }
    let entries: Vec<RunbookEntry<'_>> = names
        .iter()
        .zip(&read)
        .map(|(name, runbook)| RunbookEntry {
            name,
            runbook: runbook.as_ref(),
        })
        .collect();
    if context.out.is_json() {
        for entry in &entries {
            context.out.json(&runbook_json(entry))?;
        }
    } else {
        context
            .out
            .raw(runbooks_table(&entries, context.style()).as_bytes())?;
    }
    Ok(ExitStatus::SUCCEEDED)
}

pub(super) fn show(context: &Context, args: &ShowArgs) -> Result<ExitStatus, CliError> {
    let workspace = Workspace::open(context)?;
    let mut diags = Diagnostics::new();
    let Some(runbook) = workspace.runbook(&args.runbook, &mut diags)? else {
        return Err(CliError::invalid(diags.into_sorted()));
    };
    if context.out.is_json() {
        let entry = RunbookEntry {
            name: &args.runbook,
            runbook: Some(&runbook),
        };
        let mut value = runbook_json(&entry);
        value["source"] = runbook.source.text.clone().into();
        context.out.json(&value)?;
    } else {
        context.out.raw(runbook.source.text.as_bytes())?;
    }
    Ok(ExitStatus::SUCCEEDED)
}
