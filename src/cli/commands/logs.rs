//! `runbook logs`

use std::fs::File;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

use serde_json::json;

use crate::audit::recorded_logs;
use crate::base::{EventSeq, RunId, StepId, did_you_mean};
use crate::cli::args::LogsArgs;
use crate::cli::context::Context;
use crate::cli::error::{CliError, ErrorKind};
use crate::cli::exit::ExitStatus;
use crate::cli::recorder::Record;
use crate::plan::Plan;
use crate::report::{Timeline, safe_text};

pub(super) fn run(context: &Context, args: &LogsArgs) -> Result<ExitStatus, CliError> {
    let record = Record::open_to_read(&context.settings)?;
    let id = record.store.find_run(&args.run)?;
    let plan = Plan::from_json(&record.store.plan_json(id)?)
        .map_err(|error| CliError::from_error(ErrorKind::Record, &error))?;
    let events = record.store.events_after(id, EventSeq(0))?;
    let timeline = Timeline::of(&plan, &events);
    let known: Vec<&StepId> = timeline.tree().iter().map(|(_, row)| &row.id).collect();
    let chosen: Vec<&StepId> = match &args.step {
        None => known,
        Some(wanted) => {
            let of_it: Vec<&StepId> = known
                .iter()
                .copied()
                .filter(|step| belongs_to(step, wanted))
                .collect();
            if of_it.is_empty() {
                return Err(unknown_step(wanted, &known));
            }
            of_it
        }
    };
    let folder = record.layout.run_logs(id);
    let mut logs: Vec<(String, PathBuf)> = Vec::new();
    for step in chosen {
        for call in ["unless", "", "undo"] {
            let (name, file) = match call {
                "" => (step.to_string(), step.file_stem()),
                call => (
                    format!("{step} ({call})"),
                    format!("{}.{call}", step.file_stem()),
                ),
            };
            let path = folder.join(format!("{file}.log"));
            if path.exists() {
                logs.push((name, path));
            }
        }
    }
    let headed = logs.len() > 1;
    for (name, path) in &logs {
        if context.out.is_json() {
            let text = std::fs::read(path).map_err(|error| unreadable(path, &error))?;
            context
                .out
                .json(&json!({ "step": name, "log": String::from_utf8_lossy(&text) }))?;
            continue;
        }
        if headed {
            context.out.line(format_args!("== {name}"))?;
        }
        copy(context, path)?;
    }
    if logs.is_empty() && !folder.exists() {
        return recorded(context, &record, id, args.step.as_deref());
    }
    if logs.is_empty() {
        let places = record.places(id)?;
        context.out.note(format_args!(
            "nothing was printed; how it went: runbook status {}",
            places.prefix
        ));
    }
    Ok(ExitStatus::SUCCEEDED)
}

/// The full logs were pruned, or nothing was printed at all: what the audit trail keeps is shown.
fn recorded(
    context: &Context,
    record: &Record,
    run: RunId,
    wanted: Option<&str>,
) -> Result<ExitStatus, CliError> {
    let prefix = record.places(run)?.prefix;
    let kept = recorded_logs(&record.layout.audit_git(), run)?;
    if kept.is_empty() {
        context.out.note(format_args!(
            "nothing was printed; how it went: runbook status {prefix}"
        ));
        return Ok(ExitStatus::SUCCEEDED);
    }
    context.out.note(
        "the full logs were pruned; this is what the audit trail keeps (the last 64 KiB of each)",
    );
    for (file, text) in &kept {
        let name = file.strip_suffix(".log").unwrap_or(file);
        // A file is named after the step, as far as a file can be.
        if wanted.is_some_and(|wanted| !name.starts_with(wanted)) {
            continue;
        }
        let text = String::from_utf8_lossy(text);
        if context.out.is_json() {
            context
                .out
                .json(&json!({ "step": name, "log": text, "pruned": true }))?;
        } else {
            context.out.line(format_args!("== {name}"))?;
            context.out.raw(safe_text(&text).as_bytes())?;
        }
    }
    Ok(ExitStatus::SUCCEEDED)
}

/// Copies a log of any size to standard output, byte for byte, unless that is a terminal.
fn copy(context: &Context, path: &Path) -> Result<(), CliError> {
    let mut file = File::open(path).map_err(|error| unreadable(path, &error))?;
    let mut buffer = vec![0; 64 * 1024];
    loop {
        let read = file
            .read(&mut buffer)
            .map_err(|error| unreadable(path, &error))?;
        if read == 0 {
            return Ok(());
        }
        if context.settings.terminal.stdout {
            let text = String::from_utf8_lossy(&buffer[..read]);
            context.out.raw(safe_text(&text).as_bytes())?;
        } else {
            context.out.raw(&buffer[..read])?;
        }
    }
}

fn unreadable(path: &Path, error: &io::Error) -> CliError {
    CliError::new(ErrorKind::Record, format!("cannot read {}", path.display()))
        .because(error)
        .next(format!("ls -la {}", path.display()))
}

/// Whether a step is the wanted one, or belongs to the wanted loop or sub-runbook.
fn belongs_to(step: &StepId, wanted: &str) -> bool {
    step.as_str()
        .strip_prefix(wanted)
        .is_some_and(|rest| rest.is_empty() || rest.starts_with(['/', '[']))
}

/// Ids that an error lists at most.
const LISTED: usize = 20;

fn unknown_step(step: &str, known: &[&StepId]) -> CliError {
    let error = CliError::new(ErrorKind::Usage, format!("the run has no step `{step}`"));
    match did_you_mean(step, known.iter().map(|id| id.as_str())) {
        Some(near) => error.next(format!("did you mean `{near}`?")),
        None => {
            let names: Vec<&str> = known.iter().take(LISTED).map(|id| id.as_str()).collect();
            let more = match known.len().saturating_sub(LISTED) {
                0 => String::new(),
                n => format!(" and {n} more"),
            };
            error.next(format!("its steps are: {}{more}", names.join(", ")))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_loop_or_caller_means_all_that_belongs_to_it() {
        let is =
            |step: &str, wanted: &str| belongs_to(&StepId::parse(step).expect("valid"), wanted);
        assert!(is("restart", "restart") && is("restart[api]", "restart"));
        assert!(is("restart[api]", "restart[api]") && is("deploy/put", "deploy"));
        assert!(is("deploy[a]/put[1]", "deploy[a]"));
        assert!(!is("restart_all", "restart") && !is("restart", "restart[api]"));
        assert!(!is("restart[api-2]", "restart[api]") && !is("put", "deploy/put"));
    }
}
