//! `runbook schema`

use std::path::Path;

use serde_json::json;

use crate::base::Value;
use crate::cli::args::{SchemaArgs, SchemaKind};
use crate::cli::context::Context;
use crate::cli::error::{CliError, ErrorKind};
use crate::cli::exit::ExitStatus;
use crate::cli::workspace::registry;
use crate::language::{
    environment_schema, policy_schema, runbook_schema, schema_text, test_schema,
};
use crate::model::ActionCatalog;

/// The folder of the schemas in a repository, as the `$schema` lines of its files name it.
pub(super) const FOLDER: &str = "schemas";

const KINDS: [(SchemaKind, &str); 4] = [
    (SchemaKind::Runbook, "runbook.schema.json"),
    (SchemaKind::Environment, "environment.schema.json"),
    (SchemaKind::Policy, "policy.schema.json"),
    (SchemaKind::Test, "test.schema.json"),
];

pub(super) fn run(context: &Context, args: &SchemaArgs) -> Result<ExitStatus, CliError> {
    let catalog = registry()?.catalog();
    if let Some(kind) = args.kind {
        let schema = schema(kind, &catalog);
        if context.out.is_json() {
            context.out.json(&schema)?;
        } else {
            context.out.raw(schema_text(&schema).as_bytes())?;
        }
    }
    if let Some(folder) = &args.write {
        for (name, text) in texts(&catalog) {
            let path = folder.join(name);
            write(&path, &text)?;
            if context.out.is_json() {
                context.out.json(&json!({ "wrote": path }))?;
            } else {
                context.out.line(format_args!("wrote {}", path.display()))?;
            }
        }
    }
    Ok(ExitStatus::SUCCEEDED)
}

/// The files of all schemas, each with its text.
pub(super) fn texts(catalog: &ActionCatalog) -> impl Iterator<Item = (&'static str, String)> {
    KINDS
        .into_iter()
        .map(|(kind, name)| (name, schema_text(&schema(kind, catalog))))
}

fn schema(kind: SchemaKind, catalog: &ActionCatalog) -> Value {
    match kind {
        SchemaKind::Runbook => runbook_schema(catalog),
        SchemaKind::Environment => environment_schema(catalog),
        SchemaKind::Policy => policy_schema(),
        SchemaKind::Test => test_schema(),
    }
}

fn write(path: &Path, text: &str) -> Result<(), CliError> {
    let failed = |error: std::io::Error| {
        CliError::new(
            ErrorKind::Failed,
            format!("cannot write {}", path.display()),
        )
        .because(&error)
        .next(format!("ls -la {}", path.display()))
    };
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder).map_err(failed)?;
    }
    std::fs::write(path, text).map_err(failed)
}
