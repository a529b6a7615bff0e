//! `runbook init`: what a new repository needs to run something.

use std::fs::{self, OpenOptions};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use serde_json::json;

use super::schema;
use crate::cli::context::Context;
use crate::cli::error::{CliError, ErrorKind};
use crate::cli::exit::ExitStatus;
use crate::cli::workspace::registry;
use crate::settings::{Repository, SettingsError};

/// The name of the first runbook.
const FIRST: &str = "hello";
const RUNBOOK: &str = include_str!("init/hello.yaml");
const ENVIRONMENT: &str = include_str!("init/local.yaml");
const POLICY: &str = include_str!("init/policy.yaml");
const TEST: &str = include_str!("init/hello.test.yaml");

pub(super) fn run(context: &Context) -> Result<ExitStatus, CliError> {
    let start = &context.settings.start;
    refuse_nesting(start)?;
    let repository = Repository::at(start);
    let mut files: Vec<(PathBuf, String)> = vec![
        (repository.runbook_file(FIRST), RUNBOOK.to_owned()),
        (repository.environment_file("local"), ENVIRONMENT.to_owned()),
        (repository.policy_file(), POLICY.to_owned()),
        (repository.test_file(FIRST), TEST.to_owned()),
    ];
    // The `$schema` line of each file names one of these, so that an editor completes its keys.
    let folder = repository.root().join(schema::FOLDER);
    files.extend(
        schema::texts(&registry()?.catalog()).map(|(name, text)| (folder.join(name), text)),
    );
    let (mut created, mut kept) = (Vec::new(), Vec::new());
    for (path, text) in &files {
        let written = write_new(path, text).map_err(|error| {
            CliError::new(
                ErrorKind::Failed,
                format!("cannot create {}", path.display()),
            )
            .because(&error)
            .next(format!("ls -la {}", start.display()))
        })?;
        let shown = repository.shown(path);
        if written {
            created.push(shown)
        } else {
            kept.push(shown)
        };
    }
    if context.out.is_json() {
        context
            .out
            .json(&json!({ "root": start, "created": created, "kept": kept }))?;
        return Ok(ExitStatus::SUCCEEDED);
    }
    for shown in &created {
        context.out.line(format_args!("created  {shown}"))?;
    }
    for shown in &kept {
        context
            .out
            .line(format_args!("kept     {shown} (it was there)"))?;
    }
    context.out.note(format_args!("next: runbook exec {FIRST}"));
    Ok(ExitStatus::SUCCEEDED)
}

/// A repository inside another would hide the outer one from everything below it.
fn refuse_nesting(start: &Path) -> Result<(), CliError> {
    match Repository::find(start) {
        Ok(found) if found.root() != start => Err(CliError::new(
            ErrorKind::Usage,
            format!(
                "{} already belongs to the runbook repository {}",
                start.display(),
                found.root().display()
            ),
        )
        .next("runbook list")),
        Ok(_) | Err(SettingsError::NoRepository { .. }) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

/// Writes a file that is not there yet, with its folders; says whether it did.
fn write_new(path: &Path, text: &str) -> io::Result<bool> {
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder)?;
    }
    match OpenOptions::new().write(true).create_new(true).open(path) {
        Ok(mut file) => file.write_all(text.as_bytes()).map(|()| true),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(false),
        Err(error) => Err(error),
    }
}
