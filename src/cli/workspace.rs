//! The runbook repository, read and checked for a command.

use std::collections::BTreeMap;
use std::io;
use std::path::Path;
use std::sync::Arc;

use super::args::ParamArgs;
use super::context::Context;
use super::error::{CliError, ErrorKind};
use crate::base::{Diagnostic, Diagnostics, Severity, SourceFile, did_you_mean};
use crate::check::{
    CheckedRunbook, Runbooks, check_environment, check_policy, check_policy_environments,
};
use crate::handler::HandlerRegistry;
use crate::handlers::builtin_registry;
use crate::language::{
    Limits, decode_environment, decode_policy, decode_runbook, parse_yaml, source_from_bytes,
};
use crate::model::{ActionCatalog, Environment, Policy, Runbook};
use crate::plan::{Given, Plan, build};
use crate::settings::Repository;

/// The repository with everything needed to understand its files.
pub(super) struct Workspace {
    /// Where the files are.
    pub(super) repository: Repository,
    /// The handlers of this program.
    pub(super) registry: Arc<HandlerRegistry>,
    /// What they declare.
    pub(super) catalog: ActionCatalog,
}

/// A plan, and the runbook that it was made from.
pub(super) struct Planned {
    /// The plan.
    pub(super) plan: Plan,
    /// What it was made of.
    pub(super) checked: CheckedRunbook,
}

impl Workspace {
    /// Finds the repository from where the command was started.
    ///
    /// # Errors
    /// When there is none here or above.
    pub(super) fn open(context: &Context) -> Result<Self, CliError> {
        let registry = registry()?;
        Ok(Self {
            repository: context.settings.repository()?,
            catalog: registry.catalog(),
            registry,
        })
    }

    /// Reads and decodes a runbook. `None`: it has errors, which are among the findings.
    ///
    /// # Errors
    /// When there is no such runbook (with the nearest name), or it cannot be read.
    pub(super) fn runbook(
        &self,
        name: &str,
        diags: &mut Diagnostics,
    ) -> Result<Option<Runbook>, CliError> {
        let path = self.repository.runbook_file(name);
        let known = || self.repository.runbooks().unwrap_or_default();
        if !is_plain(name) {
            return Err(unknown("runbook", name, &known(), "runbook list"));
        }
        let source = self.source(&path, diags, || {
            unknown("runbook", name, &known(), "runbook list")
        })?;
        Ok(source.and_then(|source| decode_runbook(&source, diags)))
    }

    /// Reads, decodes and checks an environment. An environment that does not exist is an error,
    /// never an unprotected new one.
    ///
    /// # Errors
    /// When there is no such environment (with the nearest name), or it cannot be read.
    pub(super) fn environment(
        &self,
        name: &str,
        diags: &mut Diagnostics,
    ) -> Result<Option<Environment>, CliError> {
        let path = self.repository.environment_file(name);
        let known = || self.repository.environments().unwrap_or_default();
        if !is_plain(name) {
            return Err(unknown(
                "environment",
                name,
                &known(),
                "ls runbooks/environments",
            ));
        }
        let source = self.source(&path, diags, || {
            unknown("environment", name, &known(), "ls runbooks/environments")
        })?;
        let environment = source.and_then(|source| decode_environment(&source, diags));
        if let Some(environment) = &environment {
            check_environment(environment, &self.catalog, diags);
        }
        Ok(environment)
    }

    /// Reads, decodes and checks the policy. `None`: the repository has none, or it has errors, which
    /// are among the findings.
    ///
    /// # Errors
    /// When it cannot be read.
    pub(super) fn policy(&self, diags: &mut Diagnostics) -> Result<Option<Policy>, CliError> {
        let path = self.repository.policy_file();
        if !path.exists() {
            return Ok(None);
        }
        let source = self.source(&path, diags, || CliError::bug("the policy vanished"))?;
        let policy = source.and_then(|source| decode_policy(&source, diags));
        if let Some(policy) = &policy {
            check_policy(policy, diags);
            let known = self.repository.environments()?;
            check_policy_environments(policy, known.iter().map(String::as_str), diags);
        }
        Ok(policy)
    }

    /// The policy that plans are subject to. A broken one stops the plan, since it may protect the
    /// environment; advice on it is not about the runbook at hand.
    ///
    /// # Errors
    /// When it cannot be read.
    pub(super) fn policy_of_plan(
        &self,
        diags: &mut Diagnostics,
    ) -> Result<Option<Policy>, CliError> {
        let mut found = Diagnostics::new();
        let policy = self.policy(&mut found)?;
        let errors = found.into_sorted().into_iter();
        for error in errors.filter(|finding| finding.severity == Severity::Error) {
            diags.push(error);
        }
        Ok(policy)
    }

    /// The runbooks of the repository, none of them read yet.
    ///
    /// # Errors
    /// When the folder cannot be read.
    pub(super) fn runbooks(&self) -> Result<Runbooks, CliError> {
        Ok(Runbooks::named(self.repository.runbooks()?))
    }

    /// Reads a runbook and those that it runs, and checks them against an environment; what was read
    /// and checked before is not read again.
    ///
    /// # Errors
    /// As of [`Self::runbook`].
    pub(super) fn checked(
        &self,
        runbooks: &mut Runbooks,
        name: &str,
        environment: Option<&Environment>,
        diags: &mut Diagnostics,
    ) -> Result<Option<CheckedRunbook>, CliError> {
        if !runbooks.contains(name) {
            let runbook = self.runbook(name, diags)?;
            runbooks.insert(name, runbook);
        }
        while let Some(called) = runbooks.missing() {
            let runbook = self.runbook(&called, diags)?;
            runbooks.insert(&called, runbook);
        }
        Ok(runbooks.check(name, environment, &self.catalog, diags))
    }

    /// The plan of a runbook in an environment with these parameters; warnings are shown.
    ///
    /// # Errors
    /// When a file or a parameter is not valid: all findings in one error.
    pub(super) fn plan(
        &self,
        context: &Context,
        name: &str,
        params: &ParamArgs,
    ) -> Result<Planned, CliError> {
        let mut diags = Diagnostics::new();
        let given = self.given(params, &mut diags)?;
        let environment = &context.settings.environment;
        let (planned, findings) = self.planned(name, environment, &given, diags)?;
        note_advice(context, name, &findings);
        Ok(planned)
    }

    /// The plan of a runbook in an environment with these parameters, with advice about them. `diags`
    /// holds what was found before.
    ///
    /// # Errors
    /// When a file or a parameter is not valid: all findings in one error.
    pub(super) fn planned(
        &self,
        name: &str,
        environment: &str,
        given: &BTreeMap<String, Given>,
        mut diags: Diagnostics,
    ) -> Result<(Planned, Vec<Diagnostic>), CliError> {
        let environment = self.environment(environment, &mut diags)?;
        let policy = self.policy_of_plan(&mut diags)?;
        let mut runbooks = self.runbooks()?;
        let checked = self.checked(&mut runbooks, name, environment.as_ref(), &mut diags)?;
        let (Some(environment), Some(checked)) = (environment, checked) else {
            return Err(CliError::invalid(diags.into_sorted()));
        };
        let plan = match diags.has_errors() {
            true => None,
            false => {
                let policy = policy.as_ref();
                let catalog = &self.catalog;
                build(&checked, &environment, policy, given, catalog, &mut diags)
            }
        };
        let findings = diags.into_sorted();
        let failed = findings.iter().any(|d| d.severity == Severity::Error);
        match plan {
            Some(plan) if !failed => Ok((Planned { plan, checked }, findings)),
            _ => Err(CliError::invalid(findings)),
        }
    }

    /// Values of the command line over values of the file.
    fn given(
        &self,
        params: &ParamArgs,
        diags: &mut Diagnostics,
    ) -> Result<BTreeMap<String, Given>, CliError> {
        let mut given = BTreeMap::new();
        if let Some(path) = &params.param_file {
            let source = self.source(path, diags, || {
                CliError::new(
                    ErrorKind::Usage,
                    format!("there is no file {}", path.display()),
                )
                .next("name a file that is there: --param-file FILE")
            })?;
            let values = source.and_then(|s| parse_yaml(&s, &Limits::default(), diags));
            match values.map(|v| v.to_json()) {
                Some(serde_json::Value::Object(map)) => {
                    given.extend(map.into_iter().map(|(k, v)| (k, Given::Value(v))));
                }
                Some(_) => {
                    return Err(CliError::new(
                        ErrorKind::Usage,
                        format!("{} does not hold names with values", path.display()),
                    )
                    .next("write one `name: value` a line"));
                }
                None => {}
            }
        }
        for (name, text) in &params.params {
            given.insert(name.clone(), Given::Text(text.clone()));
        }
        Ok(given)
    }

    /// Reads a file. `None`: it is no text, which is among the findings.
    pub(super) fn source(
        &self,
        path: &Path,
        diags: &mut Diagnostics,
        missing: impl FnOnce() -> CliError,
    ) -> Result<Option<Arc<SourceFile>>, CliError> {
        let shown = self.repository.shown(path);
        let bytes = match Repository::read(path) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Err(missing()),
            Err(error) => {
                return Err(
                    CliError::new(ErrorKind::Invalid, format!("cannot read {shown}"))
                        .because(&error)
                        .next(format!("ls -la {shown}")),
                );
            }
        };
        match source_from_bytes(&shown, bytes, &Limits::default()) {
            Ok(source) => Ok(Some(source)),
            Err(finding) => {
                diags.push(Diagnostic::clone(&finding));
                Ok(None)
            }
        }
    }
}

/// Advice is for authors: who runs a runbook is only told that there is some.
fn note_advice(context: &Context, name: &str, findings: &[Diagnostic]) {
    let warnings = findings
        .iter()
        .filter(|d| d.severity == Severity::Warning)
        .count();
    if warnings > 0 && !context.out.is_json() {
        let what = match warnings {
            1 => "1 warning".to_owned(),
            n => format!("{n} warnings"),
        };
        context.out.note(format_args!(
            "{what} about this runbook; see: runbook check {name}"
        ));
    }
}

/// The handlers of this program.
///
/// # Errors
/// Two handlers with one name: a bug.
pub(super) fn registry() -> Result<Arc<HandlerRegistry>, CliError> {
    builtin_registry()
        .map(Arc::new)
        .map_err(|error| CliError::bug(error.to_string()))
}

/// Whether a name is one part of a path: a file elsewhere is not under the protection of this
/// repository.
fn is_plain(name: &str) -> bool {
    !name.is_empty() && !name.starts_with('.') && !name.contains(['/', '\\', '\0'])
}

fn unknown(what: &str, name: &str, known: &[String], list: &str) -> CliError {
    let error = CliError::new(ErrorKind::Usage, format!("there is no {what} `{name}`"));
    match did_you_mean(name, known.iter().map(String::as_str)) {
        Some(near) => error.next(format!("did you mean `{near}`?")),
        None if known.is_empty() => error.next("runbook init"),
        None => error
            .next(format!("there are: {}", known.join(", ")))
            .next(list),
    }
}
