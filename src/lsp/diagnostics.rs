//! What is wrong with a file, as the checker says it.

use std::collections::BTreeMap;
use std::sync::Arc;

use lsp_types::{
    DiagnosticRelatedInformation, DiagnosticSeverity, Location, NumberOrString, Range,
};
use serde_json::json;

use super::document::Document;
use super::fix::replacement;
use super::position::{Encoding, Lines};
use super::project::uri_of;
use crate::base::{Diagnostic, Diagnostics, Label, Severity, SourceFile};
use crate::check::{
    Runbooks, check_demands, check_environment, check_policy, check_policy_environments,
    check_protection, explain,
};
use crate::language::{FileKind, decode_environment, decode_policy, decode_runbook};
use crate::model::Environment;

/// Who says it, as editors show it.
pub(super) const SOURCE: &str = "runbook";

/// The findings of a file. Those of other files are theirs to show.
pub(super) fn findings(document: &Document<'_>) -> Vec<Diagnostic> {
    let project = document.project;
    let source = SourceFile::new(project.shown(document.path), document.text);
    let mut diags = Diagnostics::new();
    match document.kind {
        FileKind::Runbook => runbook(document, &source, &mut diags),
        FileKind::Environment => {
            if let Some(environment) = decode_environment(&source, &mut diags) {
                check_environment(&environment, project.catalog, &mut diags);
                // A broken policy is there all the same; its own file says what is wrong.
                if project.repository.is_some() && project.policy().is_none() {
                    check_protection(&environment, None, &mut diags);
                }
            }
        }
        FileKind::Policy => {
            if let Some(policy) = decode_policy(&source, &mut diags) {
                check_policy(&policy, &mut diags);
                let known = project.environments();
                if !known.is_empty() {
                    let known = known.iter().map(String::as_str);
                    check_policy_environments(&policy, known, &mut diags);
                }
            }
        }
    }
    let mut found = diags.into_sorted();
    found.retain(|finding| {
        let first = finding.labels.first();
        first.is_none_or(|label| label.source.path == source.path)
    });
    found
}

/// Checks a runbook with those that it runs, whose own mistakes are theirs to show.
fn runbook(document: &Document<'_>, source: &Arc<SourceFile>, diags: &mut Diagnostics) {
    let project = document.project;
    let environment = environment(document);
    let decoded = decode_runbook(source, diags);
    let stem = document.path.file_stem().and_then(|stem| stem.to_str());
    let name = match (stem, &decoded) {
        (Some(stem), _) => stem.to_owned(),
        (None, Some(runbook)) => runbook.name.value.clone(),
        (None, None) => return,
    };
    let mut runbooks = Runbooks::named(project.runbooks());
    runbooks.insert(&name, decoded);
    while let Some(called) = runbooks.missing() {
        let file = project.runbook(&called);
        let runbook = file.and_then(|file| decode_runbook(&file.source, &mut Diagnostics::new()));
        runbooks.insert(&called, runbook);
    }
    let checked = runbooks.check(&name, environment.as_ref(), project.catalog, diags);
    if let (Some(checked), Some(environment)) = (checked, environment) {
        let policy = project.policy();
        let policy = policy.and_then(|source| decode_policy(&source, &mut Diagnostics::new()));
        check_demands(
            &checked,
            &environment,
            policy.as_ref(),
            project.catalog,
            diags,
        );
    }
}

/// The environment that a runbook is checked against; one that is broken has no services that a
/// runbook could be blamed for.
fn environment(document: &Document<'_>) -> Option<Environment> {
    let file = document.project.environment()?;
    decode_environment(&file.source, &mut Diagnostics::new())
}

/// The findings of a file, as the protocol wants them.
pub(super) fn published(document: &Document<'_>, encoding: Encoding) -> Vec<lsp_types::Diagnostic> {
    let mut lines = BTreeMap::new();
    findings(document)
        .iter()
        .map(|finding| publish(document, finding, encoding, &mut lines))
        .collect()
}

fn publish(
    document: &Document<'_>,
    finding: &Diagnostic,
    encoding: Encoding,
    others: &mut BTreeMap<String, Arc<SourceFile>>,
) -> lsp_types::Diagnostic {
    let first = finding.labels.first();
    let range = first.map_or_else(Range::default, |label| document.lines.range(label.span));
    let related: Vec<_> = finding
        .labels
        .iter()
        .skip(1)
        .filter_map(|label| related(document, label, encoding, others))
        .collect();
    let mut message = finding.message.clone();
    if let Some(help) = &finding.help {
        message.push_str(&format!("\nhelp: {help}"));
    }
    let fix = first.and_then(|label| {
        let fix = replacement(finding, document.text, label.span)?;
        Some(json!({ "range": document.lines.range(fix.span), "text": fix.text }))
    });
    let page = explain(finding.code.0).map(|page| page.page);
    lsp_types::Diagnostic {
        range,
        severity: Some(match finding.severity {
            Severity::Error => DiagnosticSeverity::ERROR,
            Severity::Warning => DiagnosticSeverity::WARNING,
            Severity::Note => DiagnosticSeverity::INFORMATION,
        }),
        code: Some(NumberOrString::String(finding.code.to_string())),
        code_description: None,
        source: Some(SOURCE.to_owned()),
        message,
        related_information: (!related.is_empty()).then_some(related),
        tags: None,
        data: Some(json!({ "fix": fix, "explain": page })),
    }
}

fn related(
    document: &Document<'_>,
    label: &Label,
    encoding: Encoding,
    others: &mut BTreeMap<String, Arc<SourceFile>>,
) -> Option<DiagnosticRelatedInformation> {
    let path = document.project.path(&label.source.path);
    let open = document.project.open.get(&path);
    let uri = open
        .map(|open| open.uri.clone())
        .or_else(|| uri_of(&path))?;
    let source = others
        .entry(label.source.path.clone())
        .or_insert_with(|| Arc::clone(&label.source));
    Some(DiagnosticRelatedInformation {
        location: Location::new(uri, Lines::new(&source.text, encoding).range(label.span)),
        message: label.text.clone(),
    })
}
