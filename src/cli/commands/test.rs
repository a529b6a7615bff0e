//! `runbook test`

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use serde_json::json;

use crate::base::{Diagnostic, Diagnostics, Severity, did_you_mean};
use crate::check::{CheckedRunbook, codes};
use crate::cli::args::{TestArgs, TestFormat};
use crate::cli::context::Context;
use crate::cli::error::{CliError, ErrorKind};
use crate::cli::exit::ExitStatus;
use crate::cli::runtime::block_on;
use crate::cli::workspace::Workspace;
use crate::language::{TestCase, TestFile, decode_test_file};
use crate::model::{Environment, Policy};
use crate::plan::{Given, build};
use crate::report::{diagnostics_text, test_result_json, test_results_junit, test_results_text};
use crate::run::IllegalTransition;
use crate::settings::SystemClock;
use crate::simulate::{
    CaseResult, PreparedCase, RealParts, SweepReport, fault_sweep, real_repeat_sweep, repeat_sweep,
};

/// How the name of a test file ends.
const SUFFIX: &str = ".test.yaml";

/// A case that can be run, and which sweeps it gets.
struct Job {
    prepared: PreparedCase,
    faults: bool,
    repeats: bool,
}

pub(super) fn run(context: &Context, args: &TestArgs) -> Result<ExitStatus, CliError> {
    let workspace = Workspace::open(context)?;
    let mut diags = Diagnostics::new();
    let mut jobs = Vec::new();
    for path in chosen(&workspace, args)? {
        prepare(context, &workspace, args, &path, &mut jobs, &mut diags)?;
    }
    if diags.has_errors() {
        return Err(CliError::invalid(diags.into_sorted()));
    }
    if jobs.is_empty() {
        return Err(no_case(args));
    }
    let warnings = diags.into_sorted();
    if !warnings.is_empty() && !context.out.is_json() {
        let text = diagnostics_text(&warnings, context.style_of_errors());
        context.out.note(text);
    }
    let mut results = Vec::with_capacity(jobs.len());
    for job in &jobs {
        results.push(perform(&workspace, job)?);
    }
    show(context, args, &results)?;
    Ok(match results.iter().all(CaseResult::passed) {
        true => ExitStatus::SUCCEEDED,
        false => ExitStatus::FAILED,
    })
}

fn show(context: &Context, args: &TestArgs, results: &[CaseResult]) -> Result<(), CliError> {
    let out = &context.out;
    if args.format == TestFormat::Junit {
        return out.raw(test_results_junit(results).as_bytes());
    }
    if !out.is_json() {
        return out.raw(test_results_text(results, context.style()).as_bytes());
    }
    for result in results {
        out.json(&test_result_json(result))?;
    }
    let failed = results.iter().filter(|result| !result.passed()).count();
    out.json(&json!({ "cases": results.len(), "failed": failed }))
}

/// The files that are named, or all.
fn chosen(workspace: &Workspace, args: &TestArgs) -> Result<Vec<PathBuf>, CliError> {
    let known = workspace.repository.test_files()?;
    if args.tests.is_empty() {
        return match known.is_empty() {
            false => Ok(known),
            true => Err(CliError::new(ErrorKind::Usage, "there are no test files")
                .next(format!("write the first: runbooks/tests/NAME{SUFFIX}"))),
        };
    }
    let name_of = |path: &PathBuf| -> Option<String> {
        let name = path.file_name()?.to_str()?;
        Some(name.strip_suffix(SUFFIX)?.to_owned())
    };
    args.tests
        .iter()
        .map(|wanted| {
            let named = known
                .iter()
                .find(|path| name_of(path).as_ref() == Some(wanted));
            if let Some(path) = named {
                return Ok(path.clone());
            }
            let path = PathBuf::from(wanted);
            if path.is_file() {
                return Ok(path);
            }
            let names: Vec<String> = known.iter().filter_map(name_of).collect();
            let error = CliError::new(ErrorKind::Usage, format!("there is no test `{wanted}`"));
            Err(
                match did_you_mean(wanted, names.iter().map(String::as_str)) {
                    Some(near) => error.next(format!("did you mean `{near}`?")),
                    None => error.next(format!("there are: {}", names.join(", "))),
                },
            )
        })
        .collect()
}

fn no_case(args: &TestArgs) -> CliError {
    let words = match &args.case {
        Some(name) => format!("no case is named `{name}`"),
        None => "there is no case to run".to_owned(),
    };
    CliError::new(ErrorKind::Usage, words).next("see the cases: runbook test --output json")
}

/// What is wrong in the test files of the repository; what is wrong in their runbooks is told with those.
/// Gives the number of files.
pub(super) fn check_files(
    context: &Context,
    workspace: &Workspace,
    diags: &mut Diagnostics,
) -> Result<usize, CliError> {
    let files = workspace.repository.test_files()?;
    for path in &files {
        let shown = workspace.repository.shown(path);
        let mut found = Diagnostics::new();
        prepare(
            context,
            workspace,
            &TestArgs::default(),
            path,
            &mut Vec::new(),
            &mut found,
        )?;
        let own = |finding: &Diagnostic| {
            let first = finding.labels.first();
            first.is_none_or(|label| label.source.path == shown)
        };
        found
            .into_sorted()
            .into_iter()
            .filter(own)
            .for_each(|finding| diags.push(finding));
    }
    Ok(files.len())
}

/// Reads a file and plans its cases.
fn prepare(
    context: &Context,
    workspace: &Workspace,
    args: &TestArgs,
    path: &std::path::Path,
    jobs: &mut Vec<Job>,
    diags: &mut Diagnostics,
) -> Result<(), CliError> {
    let shown = workspace.repository.shown(path);
    let source = workspace.source(path, diags, || {
        CliError::new(ErrorKind::Usage, format!("there is no file {shown}"))
    })?;
    let Some(file) = source.and_then(|source| decode_test_file(&source, diags)) else {
        return Ok(());
    };
    let repository = &workspace.repository;
    let name = file.environment.as_ref();
    let environment = name.map_or(context.settings.environment.as_str(), |name| name.as_str());
    if let Some(name) = name
        && !repository.environment_file(name).exists()
    {
        let known = repository.environments()?;
        diags.push(unknown(&file, name, "environment", &known));
        return Ok(());
    }
    if !repository.runbook_file(&file.runbook).exists() {
        let known = repository.runbooks()?;
        diags.push(unknown(&file, &file.runbook, "runbook", &known));
        return Ok(());
    }
    let environment = workspace.environment(environment, diags)?;
    let checked = {
        let mut runbooks = workspace.runbooks()?;
        workspace.checked(&mut runbooks, &file.runbook, environment.as_ref(), diags)?
    };
    let policy = workspace.policy_of_plan(diags)?;
    let (Some(environment), Some(checked)) = (environment, checked) else {
        return Ok(());
    };
    if diags.has_errors() {
        return Ok(());
    }
    for case in &file.cases {
        if args
            .case
            .as_ref()
            .is_some_and(|wanted| *wanted != case.name.value)
        {
            continue;
        }
        let surroundings = (&environment, policy.as_ref());
        let Some(plan) = plan_of(workspace, &file, case, &checked, surroundings, diags) else {
            continue;
        };
        let prepared = PreparedCase::new(&file, case, plan, &workspace.catalog, diags);
        jobs.extend(prepared.map(|prepared| Job {
            prepared,
            faults: args.fault_sweep || file.sweeps.faults,
            repeats: args.repeat_sweep || file.sweeps.repeats,
        }));
    }
    Ok(())
}

fn unknown(
    file: &TestFile,
    name: &crate::base::Spanned<String>,
    what: &str,
    known: &[String],
) -> Diagnostic {
    Diagnostic::error(
        codes::TEST_UNKNOWN_NAME,
        format!("there is no {what} `{}`", name.value),
    )
    .at(&file.source, name.span, format!("no such {what}"))
    .suggest(did_you_mean(name, known.iter().map(String::as_str)))
}

/// The plan of a case; what speaks against it points at the case as well.
fn plan_of(
    workspace: &Workspace,
    file: &TestFile,
    case: &TestCase,
    checked: &CheckedRunbook,
    (environment, policy): (&Environment, Option<&Policy>),
    diags: &mut Diagnostics,
) -> Option<crate::plan::Plan> {
    let declared = &checked.runbook().params;
    let mut known = true;
    for (name, (span, _)) in &case.params {
        if !declared.contains_key(name) {
            known = false;
            let finding = Diagnostic::error(
                codes::TEST_BAD_PARAMS,
                format!(
                    "the runbook `{}` has no parameter `{name}`",
                    file.runbook.value
                ),
            )
            .at(&file.source, *span, "no such parameter")
            .suggest(did_you_mean(name, declared.keys().map(String::as_str)));
            diags.push(finding);
        }
    }
    if !known {
        return None;
    }
    let given: BTreeMap<String, Given> = case
        .params
        .iter()
        .map(|(name, (_, value))| (name.clone(), Given::Value(value.to_json())))
        .collect();
    let mut found = Diagnostics::new();
    let catalog = &workspace.catalog;
    let plan = build(checked, environment, policy, &given, catalog, &mut found);
    for mut finding in found.into_sorted() {
        if finding.severity == Severity::Error {
            let code = finding.code;
            let first = case
                .params
                .values()
                .next()
                .map_or(case.name.span, |(span, _)| *span);
            let pointer = Diagnostic::error(
                codes::TEST_BAD_PARAMS,
                format!(
                    "the case `{}` cannot be planned: {}",
                    case.name.value, finding.message
                ),
            )
            .at(&file.source, first, "with the parameters of this case")
            .help(format!("{code} says where the runbook refuses it"));
            diags.push(pointer);
            finding.help = finding
                .help
                .map(|help| help.replace("--param ", "params: "));
            diags.push(finding);
        }
    }
    plan
}

fn perform(workspace: &Workspace, job: &Job) -> Result<CaseResult, CliError> {
    let bug = |error: IllegalTransition| CliError::bug(error.to_string());
    let prepared = &job.prepared;
    let mut result = prepared.run(&workspace.catalog).map_err(bug)?;
    if job.faults {
        let swept = fault_sweep(prepared, &workspace.catalog).map_err(bug)?;
        result.sweeps.push(swept);
    }
    if job.repeats {
        let swept = repeat_sweep(prepared, &workspace.catalog).map_err(bug)?;
        result.sweeps.push(swept);
        if prepared.case.real {
            result.sweeps.push(really(workspace, prepared)?);
        }
    }
    Ok(result)
}

/// The repeat sweep with real handlers, in a state directory that is thrown away.
fn really(workspace: &Workspace, prepared: &PreparedCase) -> Result<SweepReport, CliError> {
    let folder = tempfile::tempdir().map_err(|error| {
        CliError::new(
            ErrorKind::Failed,
            "cannot create a temporary state directory",
        )
        .because(&error)
        .next("df -h")
    })?;
    let root = Arc::new(workspace.repository.root().to_path_buf());
    let state_dir = Arc::new(folder.path().to_path_buf());
    let registry = Arc::clone(&workspace.registry);
    let prepared = prepared.clone();
    block_on(async move {
        let parts = RealParts {
            registry,
            root,
            state_dir,
            clock: Arc::new(SystemClock),
            runtime: tokio::runtime::Handle::current(),
        };
        let sweep = tokio::task::spawn_blocking(move || real_repeat_sweep(&prepared, &parts));
        match sweep.await {
            Ok(Ok(report)) => Ok(report),
            Ok(Err(error)) => Err(CliError::bug(error.to_string())),
            Err(error) => Err(CliError::bug(error.to_string())),
        }
    })
}
