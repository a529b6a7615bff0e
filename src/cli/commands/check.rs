//! `runbook check`

use serde_json::json;

use crate::base::{Clock, Diagnostic, Diagnostics, Severity};
use crate::check::{
    PolicyPlace, check_demands, check_policy_place, check_protection, check_review,
};
use crate::cli::args::{CheckArgs, CheckFormat, DenyLevel};
use crate::cli::context::Context;
use crate::cli::error::CliError;
use crate::cli::exit::ExitStatus;
use crate::cli::workspace::Workspace;
use crate::model::Environment;
use crate::report::{diagnostics_json, diagnostics_sarif, diagnostics_text};
use crate::settings::SystemClock;

pub(super) fn run(context: &Context, args: &CheckArgs) -> Result<ExitStatus, CliError> {
    let workspace = Workspace::open(context)?;
    let mut diags = Diagnostics::new();
    let mut files = 0;
    let now = SystemClock.now();
    let today = now.to_utc().date_naive();
    let chosen = &context.settings.environment;
    let environment = workspace.environment(chosen, &mut diags)?;
    files += 1;
    let has_policy = workspace.repository.policy_file().exists();
    // What is wrong with the policy is said with all files; for one runbook it only has to be known.
    let mut of_policy = Diagnostics::new();
    let policy = workspace.policy(&mut of_policy)?;
    let protection = |environment: Option<&Environment>, diags: &mut Diagnostics| {
        // A broken policy is there all the same.
        if let Some(environment) = environment.filter(|_| !has_policy) {
            check_protection(environment, None, diags);
        }
    };
    protection(environment.as_ref(), &mut diags);
    let runbooks = if args.runbooks.is_empty() {
        let mut others = Vec::new();
        for name in workspace.repository.environments()? {
            if name != *chosen {
                let other = workspace.environment(&name, &mut diags)?;
                protection(other.as_ref(), &mut diags);
                others.push(other);
                files += 1;
            }
        }
        if let Some(policy) = &policy {
            let environments = std::iter::once(&environment).chain(&others);
            let place = PolicyPlace {
                environments: environments.map(Option::as_ref).collect(),
                now,
            };
            check_policy_place(policy, &place, &mut of_policy);
        }
        files += usize::from(has_policy);
        for finding in of_policy.into_sorted() {
            diags.push(finding);
        }
        files += super::test::check_files(context, &workspace, &mut diags)?;
        workspace.repository.runbooks()?
    } else {
        args.runbooks.clone()
    };
    let mut loaded = workspace.runbooks()?;
    for name in &runbooks {
        let checked = workspace.checked(&mut loaded, name, environment.as_ref(), &mut diags)?;
        if let Some(checked) = checked {
            check_review(checked.runbook(), today, policy.as_ref(), &mut diags);
            if let Some(environment) = &environment {
                let policy = policy.as_ref();
                check_demands(
                    &checked,
                    environment,
                    policy,
                    &workspace.catalog,
                    &mut diags,
                );
            }
        }
        files += 1;
    }
    // The process ends soon: taking all runbooks apart piece by piece would only delay that.
    std::mem::forget(loaded);
    let findings = diags.into_sorted();
    show(context, args, files, &findings)?;
    let worst = match args.deny {
        None => Severity::Error,
        Some(DenyLevel::Warnings) => Severity::Warning,
        Some(DenyLevel::Notes) => Severity::Note,
    };
    Ok(if findings.iter().any(|d| d.severity >= worst) {
        ExitStatus::INVALID
    } else {
        ExitStatus::SUCCEEDED
    })
}

fn show(
    context: &Context,
    args: &CheckArgs,
    files: usize,
    findings: &[Diagnostic],
) -> Result<(), CliError> {
    let out = &context.out;
    let format = args.format.unwrap_or(match out.is_json() {
        true => CheckFormat::Json,
        false => CheckFormat::Human,
    });
    match format {
        CheckFormat::Human if findings.is_empty() => {
            out.line(format_args!("{files} files checked, nothing found"))
        }
        CheckFormat::Human => out.raw(diagnostics_text(findings, context.style()).as_bytes()),
        CheckFormat::Json => {
            for finding in diagnostics_json(findings) {
                out.json(&finding)?;
            }
            let number = |level| findings.iter().filter(|d| d.severity == level).count();
            out.json(&json!({
                "files": files,
                "findings": findings.len(),
                "errors": number(Severity::Error),
                "warnings": number(Severity::Warning),
                "notes": number(Severity::Note),
            }))
        }
        CheckFormat::Sarif => out.json(&diagnostics_sarif(findings, env!("CARGO_PKG_VERSION"))),
    }
}
