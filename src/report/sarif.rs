//! Diagnostics as SARIF 2.1.0, the form that code hosts and editors read findings in
//! (<https://docs.oasis-open.org/sarif/sarif/v2.1.0/sarif-v2.1.0.html>).

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use serde_json::json;

use super::excerpt::{LineIndex, floor_boundary};
use crate::base::{Code, Diagnostic, Label, Severity, SourceFile, Value};
use crate::check::explain;

/// Where the schema of the format is published.
const SCHEMA: &str =
    "https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/sarif-schema-2.1.0.json";

/// Name of the folder that relative paths count from: the root of the repository (§3.14.14).
const ROOT: &str = "%SRCROOT%";

/// All findings as one SARIF log with one run; `version` is that of this program.
///
/// Lines and columns count from one, columns in UTF-16 code units. The first label of a finding is
/// its location, the others are related locations. A rule's help is the page of its code.
pub fn diagnostics_sarif(findings: &[Diagnostic], version: &str) -> Value {
    let mut levels: BTreeMap<Code, Severity> = BTreeMap::new();
    for finding in findings {
        let level = levels.entry(finding.code).or_insert(finding.severity);
        *level = finding.severity.max(*level);
    }
    let rules: Vec<Value> = levels
        .iter()
        .map(|(code, level)| rule(*code, *level))
        .collect();
    let positions: HashMap<Code, usize> = levels
        .keys()
        .enumerate()
        .map(|(i, code)| (*code, i))
        .collect();
    let mut places = Places::default();
    let results: Vec<Value> = findings
        .iter()
        .map(|finding| result(finding, positions[&finding.code], &mut places))
        .collect();
    json!({
        "$schema": SCHEMA,
        "version": "2.1.0",
        "runs": [{
            "tool": { "driver": {
                "name": "runbook",
                "semanticVersion": version,
                "rules": rules,
            } },
            "columnKind": "utf16CodeUnits",
            "results": results,
        }],
    })
}

fn rule(code: Code, level: Severity) -> Value {
    let page = explain(code.0);
    let title = page.map_or(code.0, |page| page.title);
    let text = page.map_or(code.0, |page| page.page);
    json!({
        "id": code.0,
        "shortDescription": { "text": title },
        "help": { "text": text, "markdown": text },
        "defaultConfiguration": { "level": level_word(level) },
    })
}

fn result(finding: &Diagnostic, rule: usize, places: &mut Places) -> Value {
    let text = match &finding.help {
        Some(help) => format!("{}\nhelp: {help}", finding.message),
        None => finding.message.clone(),
    };
    let mut labels = finding.labels.iter();
    let locations: Vec<Value> = labels
        .next()
        .map(|label| json!({ "physicalLocation": places.of(label) }))
        .into_iter()
        .collect();
    let related: Vec<Value> = labels
        .enumerate()
        .map(|(id, label)| {
            json!({
                "id": id,
                "message": { "text": label.text },
                "physicalLocation": places.of(label),
            })
        })
        .collect();
    let mut result = json!({
        "ruleId": finding.code.0,
        "ruleIndex": rule,
        "level": level_word(finding.severity),
        "message": { "text": text },
        "locations": locations,
    });
    if !related.is_empty() {
        result["relatedLocations"] = Value::Array(related);
    }
    result
}

/// The words of the standard (§3.27.10) are ours.
fn level_word(severity: Severity) -> &'static str {
    match severity {
        Severity::Error => "error",
        Severity::Warning => "warning",
        Severity::Note => "note",
    }
}

/// Line indices of the files that findings point into, each built once.
#[derive(Default)]
struct Places(HashMap<*const SourceFile, LineIndex>);

impl Places {
    fn of(&mut self, label: &Label) -> Value {
        let text = &label.source.text;
        let index = self
            .0
            .entry(Arc::as_ptr(&label.source))
            .or_insert_with(|| LineIndex::new(text));
        let place = |offset: usize| {
            let offset = floor_boundary(text, offset);
            let (line, _) = index.position(text, offset);
            let start = text[..offset].rfind('\n').map_or(0, |i| i + 1);
            (line, text[start..offset].encode_utf16().count() + 1)
        };
        let (line, column) = place(label.span.start);
        let (end_line, end_column) = place(label.span.end());
        json!({
            "artifactLocation": artifact(&label.source.path),
            "region": {
                "startLine": line,
                "startColumn": column,
                "endLine": end_line,
                "endColumn": end_column,
            },
        })
    }
}

fn artifact(path: &str) -> Value {
    let uri = uri(path);
    match path.starts_with('/') {
        true => json!({ "uri": format!("file://{uri}") }),
        false => json!({ "uri": uri, "uriBaseId": ROOT }),
    }
}

/// A path as a URI reference: what RFC 3986 does not permit in a path is percent-encoded. A colon
/// would make its first part a scheme.
fn uri(path: &str) -> String {
    let mut out = String::with_capacity(path.len());
    for byte in path.bytes() {
        let plain = byte.is_ascii_alphanumeric() || b"-._~/!$&'()*+,;=@".contains(&byte);
        if plain {
            out.push(char::from(byte));
        } else {
            out.push_str(&format!("%{byte:02X}"));
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::Span;

    #[test]
    fn keeps_the_schema_of_the_standard() {
        let text = include_str!("../../tests/fixtures/sarif/sarif-schema-2.1.0.json");
        // As published, this pattern closes a bracket that it did not open.
        let text = text.replace("[a-zA-Z]{2}]?$", "[a-zA-Z]{2}$");
        let schema: Value = serde_json::from_str(&text).expect("JSON");
        let schema = jsonschema::validator_for(&schema).expect("a schema");
        // `😀` is two code units and one character.
        let one = SourceFile::new("runbooks/a b.yaml", "runbook: v1\n'😀': x # é\nsteps: []\n");
        let other = SourceFile::new("/etc/x:y.yaml", "a: 1");
        let at = |source: &Arc<SourceFile>, part: &str| {
            let start = source.text.find(part).expect("in the text");
            Span::between(start, start + part.len())
        };
        let findings = [
            Diagnostic::error(Code("RB0104"), "a runbook has no key `x`")
                .at(&one, at(&one, "x #"), "unknown key")
                .at(&other, at(&other, "1"), "see here")
                .help("take it out"),
            Diagnostic::note(Code("RB0335"), "waits for ever").at(&one, at(&one, "steps"), ""),
            Diagnostic::warning(Code("RB0104"), "without a place"),
            Diagnostic::error(Code("RB9999"), "past the end").at(
                &other,
                Span { start: 99, len: 9 },
                "",
            ),
        ];
        let log = diagnostics_sarif(&findings, "1.2.3");
        let errors: Vec<String> = schema.iter_errors(&log).map(|e| e.to_string()).collect();
        assert!(errors.is_empty(), "{errors:?}");
        let run = &log["runs"][0];
        let help = &run["tool"]["driver"]["rules"][0]["help"]["markdown"];
        assert!(
            help.as_str()
                .is_some_and(|page| page.starts_with("# RB0104"))
        );
        insta::assert_json_snapshot!(run["results"]);
        assert!(schema.is_valid(&diagnostics_sarif(&[], "1.2.3")));
    }
}
