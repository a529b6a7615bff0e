//! What fuzzing holds each reader of text to. An ordinary test runs the same functions over the
//! seeds and the earlier findings (`tests/it/fuzz_corpus.rs`), so this file needs nothing but the
//! library itself.

use std::collections::BTreeMap;
use std::sync::{Arc, LazyLock};

use runbook::base::{Diagnostic, Diagnostics, SourceFile, Value};
use runbook::language::{
    Condition, ExprError, Limits, Reference, Scope, Template, decode_environment, decode_runbook,
    parse_yaml, place_in_text, source_from_bytes,
};
use runbook::model::{ActionCatalog, Environment, Escape, Ty, YamlValue, YamlValueKind};
use runbook::plan::{self, Given};
use serde_json::json;

const ENVIRONMENT: &str = r#"
environment: v1
name: local
vars: { region: eu, url: "http://127.0.0.1:8000", port: 8000, list: [a, b] }
services:
  api: { provider: process, command: [./api] }
  worker: { provider: process, command: [./worker] }
connections:
  ops: { kind: notify, to: terminal }
"#;

static CATALOG: LazyLock<ActionCatalog> = LazyLock::new(|| {
    runbook::handlers::builtin_registry()
        .unwrap_or_else(|error| panic!("the built-in actions: {error}"))
        .catalog()
});

static LOCAL: LazyLock<Environment> = LazyLock::new(|| {
    let source = SourceFile::new("environments/local.yaml", ENVIRONMENT.trim_start());
    decode_environment(&source, &mut Diagnostics::new())
        .unwrap_or_else(|| panic!("the environment decodes"))
});

/// YAML: findings point into the file, a good file says the same when written as JSON, and every
/// part of every text has its place.
pub fn yaml(data: &[u8]) {
    let limits = Limits::default();
    let source = match source_from_bytes("fuzz.yaml", data.to_vec(), &limits) {
        Ok(source) => source,
        Err(finding) => return points_into_its_file(&finding),
    };
    let mut diags = Diagnostics::new();
    let tree = parse_yaml(&source, &limits, &mut diags);
    let clean = diags.is_empty();
    finish(diags);
    let Some(tree) = tree else {
        assert!(!clean, "no tree and no reason");
        return;
    };
    places(&source, &tree);
    if clean {
        let value = tree.to_json();
        let again = SourceFile::new("again.yaml", as_yaml(&value));
        let mut diags = Diagnostics::new();
        let tree = parse_yaml(&again, &limits, &mut diags);
        assert!(diags.is_empty(), "{diags:?}");
        assert_eq!(tree.map(|tree| tree.to_json()), Some(value));
    }
}

/// JSON is YAML, once the characters that a file may not hold are escaped.
fn as_yaml(value: &Value) -> String {
    value
        .to_string()
        .chars()
        .map(|c| match c {
            ' '..='~' => c.to_string(),
            c if u32::from(c) > 0xFFFF => format!("\\U{:08x}", u32::from(c)),
            c => format!("\\u{:04x}", u32::from(c)),
        })
        .collect()
}

fn places(source: &Arc<SourceFile>, value: &YamlValue) {
    inside(source, value.span.start, value.span.end());
    match &value.kind {
        YamlValueKind::Literal(_) => {}
        YamlValueKind::List(items) => items.iter().for_each(|item| places(source, item)),
        YamlValueKind::Map(map) => map.values().for_each(|(key, item)| {
            inside(source, key.start, key.end());
            places(source, item);
        }),
        YamlValueKind::Text { text, .. } => {
            let count = text.chars().count().max(1);
            // Some of the places, so that a long text does not cost its square.
            for (at, c) in text.char_indices().step_by(count.div_ceil(16)) {
                let span = place_in_text(source, value, at..at + c.len_utf8());
                inside(source, span.start, span.end());
            }
        }
    }
}

/// Templates: references stand where they say, and rendering gives an answer in every place.
pub fn template(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else {
        return;
    };
    let template = match Template::parse(text) {
        Ok(template) => template,
        Err(error) => return error_inside(text, &error),
    };
    references(text, template.references());
    for place in template.raw_places() {
        assert!(text.get(place.clone()).is_some(), "{place:?}");
    }
    for escape in [Escape::None, Escape::Shell, Escape::Url, Escape::Json] {
        let first = template.render(&scope(), escape);
        if let Err(error) = &first {
            error_inside(text, error);
        }
        assert_eq!(
            first,
            template.render(&scope(), escape),
            "not the same twice"
        );
    }
}

/// Conditions: references stand where they say, and evaluating gives an answer.
pub fn cel(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else {
        return;
    };
    let condition = match Condition::parse(text) {
        Ok(condition) => condition,
        Err(error) => return error_inside(text, &error),
    };
    references(text, condition.references());
    let first = condition.holds(&scope());
    if let Err(error) = &first {
        error_inside(text, error);
    }
    assert_eq!(first, condition.holds(&scope()), "not the same twice");
}

/// A whole file: findings point into it, and what passes the check can be planned, stored and read.
pub fn check(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else {
        return;
    };
    let source = SourceFile::new("runbooks/fuzz.yaml", text);
    let mut diags = Diagnostics::new();
    let checked = decode_runbook(&source, &mut diags)
        .and_then(|runbook| runbook::check::check(runbook, Some(&LOCAL), &CATALOG, &mut diags));
    let errors = diags.has_errors();
    assert!(checked.is_some() || errors, "refused without a reason");
    finish(diags);
    let Some(checked) = checked else { return };
    assert!(!errors, "passed with an error");
    let given: BTreeMap<String, Given> = BTreeMap::new();
    let mut diags = Diagnostics::new();
    let plan = plan::build(&checked, &LOCAL, None, &given, &CATALOG, &mut diags);
    assert!(
        plan.is_some() || diags.has_errors(),
        "no plan and no reason"
    );
    finish(diags);
    if let Some(plan) = plan {
        let stored = serde_json::to_string(&plan).unwrap_or_else(|error| panic!("{error}"));
        let read: plan::Plan =
            serde_json::from_str(&stored).unwrap_or_else(|error| panic!("{error}: {stored}"));
        assert_eq!(read, plan);
    }
}

fn finish(diags: Diagnostics) {
    for finding in diags.into_sorted() {
        points_into_its_file(&finding);
        assert!(!finding.message.is_empty());
    }
}

fn points_into_its_file(finding: &Diagnostic) {
    for label in &finding.labels {
        inside(&label.source, label.span.start, label.span.end());
    }
}

fn inside(source: &SourceFile, start: usize, end: usize) {
    assert!(
        source.text.get(start..end).is_some(),
        "{start}..{end} is no part of the file of {} bytes",
        source.text.len()
    );
}

fn error_inside(text: &str, error: &ExprError) {
    assert!(!error.message.is_empty());
    if let Some(range) = &error.range {
        assert!(text.get(range.clone()).is_some(), "{range:?}: {error}");
    }
}

fn references(text: &str, references: &[Reference]) {
    for reference in references {
        assert!(
            text.get(reference.range.clone()).is_some(),
            "{reference} at {:?}",
            reference.range
        );
    }
}

fn scope() -> Scope {
    let mut scope = Scope::new();
    scope.set(
        "params",
        json!({
            "name": "a b", "evil": "$(rm -rf /); 'x'", "count": 3, "force": false, "list": ["x", "y z"],
            "people": [{"name": "Ann"}, {"name": "Bo"}], "map": {"b": 1, "a": "z"}, "nothing": null
        }),
        Ty::Any,
    );
    scope.set(
        "steps",
        json!({"one": {"outputs": {"pid": 7, "at": "2026-11-23T03:00:00Z"}, "duration": "2s"}}),
        Ty::Any,
    );
    scope.set(
        "outputs",
        json!({"healthy": true, "latency": "1500ms", "tags": ["a"]}),
        Ty::Any,
    );
    scope
}
