//! A catalog, an environment and short ways to check a text, for the tests of this room and of `plan`.

use serde_json::json;

use super::{CheckedRunbook, Runbooks, check};
use crate::base::{Diagnostic, Diagnostics, SourceFile, Value};
use crate::language::{decode_environment, decode_runbook};
use crate::model::{ActionCatalog, ActionManifest, Effect, Environment, ProviderManifest};

fn closed(required: &[&str], properties: Value) -> Value {
    json!({
        "type": "object",
        "properties": properties,
        "required": required,
        "additionalProperties": false
    })
}

fn action(name: &str, effect: Effect, input: Value, output: Value) -> (String, ActionManifest) {
    let manifest = ActionManifest {
        name: name.to_owned(),
        summary: String::new(),
        description: String::new(),
        effect,
        input,
        output: json!({"type": "object", "properties": output}),
        examples: Vec::new(),
    };
    (name.to_owned(), manifest)
}

pub(crate) fn catalog() -> ActionCatalog {
    let service = json!({"type": "string", "format": "service"});
    let duration = json!({"type": ["string", "null"], "format": "duration"});
    ActionCatalog {
        actions: [
            action(
                "shell",
                Effect::Once,
                closed(
                    &["run"],
                    json!({
                        "run": {"type": "string", "x-escape": "shell", "minLength": 1},
                        "outputs": {"type": "array", "items": {"type": "string"}},
                        "environment": {"type": "object", "additionalProperties": {"type": "string"}},
                        "success": {"type": "array", "items": {"type": "integer", "minimum": 0, "maximum": 255}}
                    }),
                ),
                json!({"exit_code": {"type": "integer"}, "values": {"type": "object", "additionalProperties": {"type": "string"}, "x-keys-from": "outputs"}}),
            ),
            action(
                "service.restart",
                Effect::Idempotent,
                closed(&["service"], json!({"service": service, "grace": duration})),
                json!({"pid": {"type": ["integer", "null"]}, "started_at": {"type": "string", "format": "date-time"}}),
            ),
            action(
                "service.health",
                Effect::Read,
                closed(&["service"], json!({"service": service})),
                json!({"healthy": {"type": "boolean"}, "latency": {"type": "string", "format": "duration"}}),
            ),
            action(
                "approval",
                Effect::Once,
                closed(&["message"], json!({"message": {"type": "string"}})),
                json!({}),
            ),
            action(
                "wait",
                Effect::Read,
                closed(&["for"], json!({"for": {"type": "string", "format": "duration"}})),
                json!({}),
            ),
            action(
                "assert",
                Effect::Read,
                closed(&["that"], json!({"that": {}})),
                json!({}),
            ),
            action(
                "notify",
                Effect::Once,
                closed(
                    &["message"],
                    json!({
                        "channel": {"oneOf": [{"const": "ops"}, {"enum": ["dev", "all"]}]},
                        "message": {"type": "string"},
                        "urgent": {"type": "boolean"},
                        "limit": {"type": ["integer", "string"], "format": "size"},
                        "retries": {"type": "integer", "minimum": 1},
                        "target": {"oneOf": [
                            {"type": "object", "properties": {"kind": {"const": "file"}, "path": {"type": "string"}}, "required": ["kind", "path"], "additionalProperties": false},
                            {"type": "object", "properties": {"kind": {"const": "web"}, "url": {"type": "string", "x-escape": "url"}}, "required": ["kind", "url"], "additionalProperties": false}
                        ]}
                    }),
                ),
                json!({}),
            ),
        ]
        .into_iter()
        .collect(),
        connections: Default::default(),
        providers: [(
            "process".to_owned(),
            ProviderManifest {
                name: "process".to_owned(),
                summary: "a child process".to_owned(),
                config: closed(
                    &["command"],
                    json!({"command": {"type": "array", "items": {"type": "string"}}, "port": {"type": "integer"}}),
                ),
            },
        )]
        .into_iter()
        .collect(),
    }
}

pub(crate) fn environment() -> Environment {
    let text = "environment: v1\nname: local\nvars: { region: eu, url: \"http://127.0.0.1:8000\", port: 8000 }\nsecrets: { db: \"env:DB\", other: \"env:OTHER\" }\nservices:\n  api: { provider: process, command: [./api] }\n  worker: { provider: process, command: [./worker] }\n";
    let mut diags = Diagnostics::new();
    let source = SourceFile::new("environments/local.yaml", text);
    let environment = decode_environment(&source, &mut diags);
    assert!(!diags.has_errors(), "{diags:?}");
    environment.expect("decodes")
}

/// Puts a head before the rest of a runbook.
pub(crate) fn whole(rest: &str) -> String {
    format!("runbook: v1\nname: sample\n{rest}")
}

pub(crate) fn check_text(rest: &str) -> (Option<CheckedRunbook>, Vec<Diagnostic>) {
    let mut diags = Diagnostics::new();
    let source = SourceFile::new("runbooks/sample.yaml", whole(rest));
    let checked = decode_runbook(&source, &mut diags)
        .and_then(|runbook| check(runbook, Some(&environment()), &catalog(), &mut diags));
    (checked, diags.into_sorted())
}

/// Checks the first of some runbooks, each a name and what follows its head.
pub(crate) fn check_texts(texts: &[(&str, &str)]) -> (Option<CheckedRunbook>, Vec<Diagnostic>) {
    let mut diags = Diagnostics::new();
    let mut runbooks = Runbooks::default();
    for (name, rest) in texts {
        let text = format!("runbook: v1\nname: {name}\n{rest}");
        let source = SourceFile::new(format!("runbooks/{name}.yaml"), text);
        let runbook = decode_runbook(&source, &mut diags);
        runbooks.insert(name, runbook);
    }
    let checked = texts
        .first()
        .and_then(|(name, _)| runbooks.check(name, Some(&environment()), &catalog(), &mut diags));
    (checked, diags.into_sorted())
}

/// A finding as `CODE span text | message | help`.
pub(crate) fn line(finding: &Diagnostic) -> String {
    let place = finding.labels.first().map_or("", |label| {
        label
            .source
            .text
            .get(label.span.start..label.span.end())
            .unwrap_or("<outside>")
    });
    format!(
        "{} {} | {} | {}",
        finding.code,
        place.trim_end(),
        finding.message,
        finding.help.as_deref().unwrap_or("")
    )
}
