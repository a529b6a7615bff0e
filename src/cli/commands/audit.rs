//! `runbook audit`

use serde_json::json;

use crate::audit::{AuditEntry, AuditFilter, log};
use crate::cli::args::{AuditArgs, AuditCommand};
use crate::cli::context::Context;
use crate::cli::error::CliError;
use crate::cli::exit::ExitStatus;
use crate::cli::recorder::Record;

pub(super) fn run(context: &Context, args: &AuditArgs) -> Result<ExitStatus, CliError> {
    match &args.command {
        AuditCommand::Log { run, limit } => story(context, run.as_deref(), *limit),
    }
}

fn story(context: &Context, run: Option<&str>, limit: u32) -> Result<ExitStatus, CliError> {
    let record = Record::open_to_read(&context.settings)?;
    let filter = AuditFilter {
        run: run.map(|run| record.store.find_run(run)).transpose()?,
        limit: usize::try_from(limit).ok(),
    };
    let entries = log(&record.layout.audit_git(), &filter)?;
    for entry in &entries {
        if context.out.is_json() {
            context.out.json(&entry_json(entry))?;
        } else {
            context.out.line(format_args!(
                "{}  {}  {}",
                entry.at.to_utc().format("%Y-%m-%d %H:%M:%S"),
                &entry.commit[..entry.commit.len().min(10)],
                crate::report::safe_text(&entry.subject),
            ))?;
        }
    }
    if entries.is_empty() {
        context.out.note("the audit trail is empty");
    }
    Ok(ExitStatus::SUCCEEDED)
}

fn entry_json(entry: &AuditEntry) -> serde_json::Value {
    json!({
        "commit": entry.commit,
        "at": entry.at,
        "subject": entry.subject,
        "author": entry.author,
        "run": entry.run,
        "runbook": entry.runbook,
        "environment": entry.environment,
        "plan_digest": entry.plan_digest,
        "last_seq": entry.last_seq,
    })
}
