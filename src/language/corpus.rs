//! The files under `tests/fixtures`: what the decoder and the schema say about each of them.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use serde_json::json;

use super::schema::{environment_schema, policy_schema, runbook_schema};
use super::{
    Limits, decode_environment, decode_policy, decode_runbook, parse_yaml, source_from_bytes,
};
use crate::base::{Diagnostics, Value};
use crate::model::{ActionCatalog, ActionManifest, Effect, ProviderManifest};

/// Where the schema lets pass what the decoder refuses, and why it cannot know.
const DECODER_ONLY: &[(&str, &str)] = &[
    (
        "runbook/format-not-first",
        "a schema knows no order of keys",
    ),
    (
        "runbook/name-other",
        "a schema does not know the file's name",
    ),
    (
        "runbook/duplicate-step",
        "a schema cannot compare two lists",
    ),
    (
        "runbook/verify-same-id",
        "a schema does not number the conditions",
    ),
    (
        "runbook/needs-twice",
        "kept simple for editors: only the decoder compares the items",
    ),
    (
        "runbook/no-such-day",
        "`format` is only a hint to a validator",
    ),
    ("runbook/long-duration", "a pattern cannot add up"),
    ("policy/business-hours", "a schema cannot compare two times"),
    (
        "policy/no-time",
        "kept simple for editors: one pattern for all durations",
    ),
    (
        "policy/key-damaged",
        "a schema cannot read the numbers of a key",
    ),
    (
        "policy/member-twice",
        "kept simple for editors: only the decoder compares the items",
    ),
    (
        "policy/freeze-day",
        "a pattern does not know how many days a month has",
    ),
    (
        "runbook/param-bad-pattern",
        "a schema cannot compile a regular expression",
    ),
    (
        "runbook/param-default-below-min",
        "a schema cannot compare two values",
    ),
    (
        "runbook/param-default-above-max",
        "a schema cannot compare two values",
    ),
    (
        "runbook/param-default-pattern",
        "a schema cannot apply one value to another",
    ),
    (
        "runbook/param-default-not-among",
        "a schema cannot compare two values",
    ),
    (
        "runbook/param-default-whole-float",
        "in JSON Schema, 5.0 is an integer",
    ),
];

pub(super) fn catalog() -> ActionCatalog {
    let action = |name: &str, input: Value| {
        let manifest = ActionManifest {
            name: name.to_owned(),
            summary: String::new(),
            description: String::new(),
            effect: Effect::Once,
            input,
            output: json!({ "type": "object" }),
            examples: Vec::new(),
        };
        (name.to_owned(), manifest)
    };
    let service = json!({
        "type": "object",
        "required": ["service"],
        "additionalProperties": false,
        "properties": {
            "service": { "type": "string" },
            "count": { "type": "integer", "minimum": 0 },
            "mode": { "enum": ["fast", "slow"] },
            "grace": { "type": "string", "format": "duration", "pattern": "^[0-9]+s$" },
            "labels": { "type": "object", "additionalProperties": { "type": "integer" } },
            "ports": { "type": ["array", "null"], "items": { "type": "integer" } },
        },
    });
    let wait = json!({
        "type": "object",
        "additionalProperties": false,
        "properties": { "duration": { "type": "string" } },
    });
    let shell = json!({
        "type": "object",
        "additionalProperties": false,
        "properties": {
            "run": { "type": "string" },
            "environment": { "type": "object", "additionalProperties": { "type": "string" } },
        },
    });
    let approval = json!({
        "type": "object",
        "required": ["message"],
        "additionalProperties": false,
        "properties": { "message": { "type": "string" } },
    });
    let process = ProviderManifest {
        name: "process".to_owned(),
        summary: String::new(),
        config: json!({
            "type": "object",
            "required": ["command"],
            "additionalProperties": false,
            "properties": { "command": { "type": "array", "items": { "type": "string" } } },
        }),
    };
    ActionCatalog {
        actions: [
            action("shell", shell),
            action("wait", wait),
            action("approval", approval),
            action("service.status", service.clone()),
            action("service.restart", service.clone()),
            action("service.start", service),
        ]
        .into(),
        providers: [("process".to_owned(), process)].into(),
        connections: Default::default(),
    }
}

struct Verdict {
    name: String,
    expected: Vec<String>,
    codes: Vec<&'static str>,
    decoded: bool,
    /// `None` when the file is no YAML that a schema could judge.
    schema: Option<bool>,
}

fn files(group: &str) -> Vec<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/fixtures")
        .join(group);
    let mut files: Vec<PathBuf> = ["runbook", "environment", "policy"]
        .iter()
        .flat_map(|kind| std::fs::read_dir(root.join(kind)).expect("the folder of fixtures"))
        .map(|entry| entry.expect("a fixture").path())
        .collect();
    files.sort();
    files
}

fn judge(path: &Path, schemas: &[(&str, jsonschema::Validator)]) -> Verdict {
    let kind = path.parent().and_then(Path::file_name).expect("a kind");
    let kind = kind.to_str().expect("a kind").to_owned();
    let stem = path
        .file_stem()
        .and_then(|stem| stem.to_str())
        .expect("a name");
    let bytes = std::fs::read(path).expect("a fixture");
    let source =
        source_from_bytes(&format!("{stem}.yaml"), bytes, &Limits::default()).expect("text");
    let mut diags = Diagnostics::new();
    let decoded = match kind.as_str() {
        "runbook" => decode_runbook(&source, &mut diags).is_some(),
        "environment" => decode_environment(&source, &mut diags).is_some(),
        _ => decode_policy(&source, &mut diags).is_some(),
    };
    let mut yaml = Diagnostics::new();
    let tree = parse_yaml(&source, &Limits::default(), &mut yaml);
    let (_, schema) = schemas
        .iter()
        .find(|(name, _)| *name == kind)
        .expect("a schema");
    let first = source.text.lines().next().unwrap_or_default();
    Verdict {
        name: format!("{kind}/{stem}"),
        expected: first
            .strip_prefix("# expect: ")
            .map(|codes| codes.split(' ').map(str::to_owned).collect())
            .unwrap_or_default(),
        codes: diags.into_sorted().iter().map(|diag| diag.code.0).collect(),
        decoded,
        schema: tree
            .filter(|_| yaml.is_empty())
            .map(|tree| schema.is_valid(&tree.to_json())),
    }
}

fn schemas() -> Vec<(&'static str, jsonschema::Validator)> {
    let catalog = catalog();
    [
        ("runbook", runbook_schema(&catalog)),
        ("environment", environment_schema(&catalog)),
        ("policy", policy_schema()),
    ]
    .into_iter()
    .map(|(kind, schema)| {
        jsonschema::meta::validate(&schema).expect("a valid schema");
        (kind, jsonschema::validator_for(&schema).expect("a schema"))
    })
    .collect()
}

#[test]
fn decoder_and_schema_accept_the_valid_files() {
    let schemas = schemas();
    for path in files("valid") {
        let verdict = judge(&path, &schemas);
        assert_eq!(verdict.codes, [""; 0], "{}", verdict.name);
        assert!(verdict.decoded, "{}", verdict.name);
        assert_eq!(verdict.schema, Some(true), "{}", verdict.name);
    }
}

#[test]
fn decoder_and_schema_refuse_the_invalid_files() {
    let schemas = schemas();
    let mut passed = BTreeSet::new();
    let mut codes = BTreeSet::new();
    let mut wrong = Vec::new();
    for path in files("invalid") {
        let verdict = judge(&path, &schemas);
        let mut wanted = verdict.expected.clone();
        let mut found: Vec<String> = verdict.codes.iter().map(|&code| code.to_owned()).collect();
        wanted.sort();
        found.sort();
        assert!(
            !wanted.is_empty(),
            "{} does not say what it expects",
            verdict.name
        );
        if found != wanted {
            wrong.push(format!(
                "{}: expected {wanted:?}, found {found:?}",
                verdict.name
            ));
        }
        codes.extend(verdict.codes);
        if verdict.schema == Some(true) {
            passed.insert(verdict.name);
        }
    }
    assert_eq!(wrong, [""; 0]);
    let known: BTreeSet<String> = DECODER_ONLY
        .iter()
        .map(|(name, _)| (*name).to_owned())
        .collect();
    assert_eq!(passed, known);
    // The codes of YAML itself have their own tests, beside the parser.
    let structural = super::codes::CODES.iter().map(|page| page.code.0);
    for code in structural.filter(|code| *code > "RB0100") {
        assert!(codes.contains(code), "no file shows {code}");
    }
}

#[test]
fn the_schema_judges_inputs_but_lets_templates_pass() {
    let schema = jsonschema::validator_for(&runbook_schema(&catalog())).expect("a schema");
    let judge = |uses: &str, with: Value| {
        let step = json!({ "id": "a", "uses": uses, "with": with });
        schema.is_valid(&json!({ "runbook": "v1", "name": "a", "steps": [step] }))
    };
    let restart = |with| judge("service.restart", with);
    assert!(restart(
        json!({ "service": "api", "count": 1, "mode": "fast", "grace": "5s" })
    ));
    assert!(restart(
        json!({ "service": "api", "ports": ["{{ params.port }}", 80] })
    ));
    assert!(restart(
        json!({ "service": "api", "ports": "{{ params.ports }}" })
    ));
    assert!(restart(
        json!({ "service": "api", "labels": { "a": "{{ params.n }}" } })
    ));
    assert!(!restart(json!({ "count": 1 })), "a missing input");
    assert!(!restart(json!({ "service": 5 })), "a wrong type");
    assert!(
        !restart(json!({ "service": "api", "count": "five" })),
        "a text that is no template"
    );
    assert!(
        !restart(json!({ "service": "api", "count": -1 })),
        "out of range"
    );
    assert!(
        !restart(json!({ "service": "api", "mode": "medium" })),
        "not among the words"
    );
    assert!(
        !restart(json!({ "service": "api", "labels": { "a": "b" } })),
        "a wrong inner type"
    );
    assert!(!restart(json!({ "servcie": "api" })), "an unknown input");
    assert!(
        !judge("service.restrat", json!({ "service": "api" })),
        "an unknown action"
    );
    let without = json!([{ "id": "a", "uses": "service.restart" }]);
    let file = json!({ "runbook": "v1", "name": "a", "steps": without });
    assert!(!schema.is_valid(&file), "required inputs need `with`");
}

#[test]
fn the_schema_judges_services_by_their_provider() {
    let schema = jsonschema::validator_for(&environment_schema(&catalog())).expect("a schema");
    let judge = |service: Value| {
        schema.is_valid(&json!({ "environment": "v1", "name": "a", "services": { "s": service } }))
    };
    assert!(judge(json!({ "provider": "process", "command": ["a"] })));
    assert!(!judge(json!({ "provider": "process" })));
    assert!(!judge(
        json!({ "provider": "process", "command": ["a"], "other": 1 })
    ));
    assert!(!judge(json!({ "provider": "docker", "command": ["a"] })));
}
