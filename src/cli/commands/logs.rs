//! `runbook logs`

use std::fs::File;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

use serde_json::json;

use crate::base::did_you_mean;
use crate::cli::args::LogsArgs;
use crate::cli::context::Context;
use crate::cli::error::{CliError, ErrorKind};
use crate::cli::exit::ExitStatus;
use crate::cli::recorder::Record;
use crate::plan::Plan;
use crate::report::safe_text;

pub(super) fn run(context: &Context, args: &LogsArgs) -> Result<ExitStatus, CliError> {
    let record = Record::open_to_read(&context.settings)?;
    let id = record.store.find_run(&args.run)?;
    let plan = Plan::from_json(&record.store.plan_json(id)?)
        .map_err(|error| CliError::from_error(ErrorKind::Record, &error))?;
    let steps: Vec<&str> = plan
        .steps
        .iter()
        .chain(&plan.finally)
        .map(|step| step.id.as_str())
        .collect();
    let chosen = match &args.step {
        None => steps,
        Some(step) if steps.contains(&step.as_str()) => vec![step.as_str()],
        Some(step) => return Err(unknown_step(step, &steps)),
    };
    let folder = record.layout.run_logs(id);
    let mut logs: Vec<(String, PathBuf)> = Vec::new();
    for step in chosen {
        for name in [step.to_owned(), format!("{step}.undo")] {
            let path = folder.join(format!("{name}.log"));
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
    if logs.is_empty() {
        context.out.note("nothing was printed");
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

fn unknown_step(step: &str, known: &[&str]) -> CliError {
    let error = CliError::new(ErrorKind::Usage, format!("the run has no step `{step}`"));
    match did_you_mean(step, known.iter().copied()) {
        Some(near) => error.next(format!("did you mean `{near}`?")),
        None => error.next(format!("its steps are: {}", known.join(", "))),
    }
}
