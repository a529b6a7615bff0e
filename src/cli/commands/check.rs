//! `runbook check`

use serde_json::json;

use crate::base::{Diagnostics, Severity};
use crate::check::check_policy;
use crate::cli::args::CheckArgs;
use crate::cli::context::Context;
use crate::cli::error::CliError;
use crate::cli::exit::ExitStatus;
use crate::cli::workspace::Workspace;
use crate::language::decode_policy;
use crate::report::{diagnostics_json, diagnostics_text};

pub(super) fn run(context: &Context, args: &CheckArgs) -> Result<ExitStatus, CliError> {
    let workspace = Workspace::open(context)?;
    let mut diags = Diagnostics::new();
    let mut files = 0;
    let chosen = &context.settings.environment;
    let environment = workspace.environment(chosen, &mut diags)?;
    files += 1;
    let runbooks = if args.runbooks.is_empty() {
        for name in workspace.repository.environments()? {
            if name != *chosen {
                workspace.environment(&name, &mut diags)?;
                files += 1;
            }
        }
        files += usize::from(policy(&workspace, &mut diags)?);
        workspace.repository.runbooks()?
    } else {
        args.runbooks.clone()
    };
    let mut loaded = workspace.runbooks()?;
    for name in &runbooks {
        workspace.checked(&mut loaded, name, environment.as_ref(), &mut diags)?;
        files += 1;
    }
    let findings = diags.into_sorted();
    if context.out.is_json() {
        for finding in diagnostics_json(&findings) {
            context.out.json(&finding)?;
        }
        let errors = findings
            .iter()
            .filter(|d| d.severity == Severity::Error)
            .count();
        context
            .out
            .json(&json!({ "files": files, "errors": errors, "findings": findings.len() }))?;
    } else if findings.is_empty() {
        context
            .out
            .line(format_args!("{files} files checked, nothing found"))?;
    } else {
        context
            .out
            .raw(diagnostics_text(&findings, context.style()).as_bytes())?;
    }
    let failed = findings.iter().any(|d| d.severity == Severity::Error);
    Ok(if failed {
        ExitStatus::INVALID
    } else {
        ExitStatus::SUCCEEDED
    })
}

/// Checks the policy, if the repository has one; says whether it has.
fn policy(workspace: &Workspace, diags: &mut Diagnostics) -> Result<bool, CliError> {
    let path = workspace.repository.policy_file();
    if !path.exists() {
        return Ok(false);
    }
    let source = workspace.source(&path, diags, || CliError::bug("the policy vanished"))?;
    if let Some(policy) = source.and_then(|source| decode_policy(&source, diags)) {
        check_policy(&policy, diags);
    }
    Ok(true)
}
