//! Schema and checker say the same of files that are made from the tables themselves: every key
//! right, missing, misspelt and with every kind of value; every input of every action as well. So a
//! new key or input is held to this without a word here.

use std::collections::BTreeMap;

use runbook::base::{Diagnostics, Severity, SourceFile, Value};
use runbook::check::{check, check_environment, check_policy};
use runbook::handlers::builtin_registry;
use runbook::language::{
    FileKind, Form, Limits, Place, decode_environment, decode_policy, decode_runbook,
    environment_schema, parse_yaml, policy_schema, runbook_schema,
};
use runbook::model::{ActionCatalog, Environment};
use serde_json::{Map, json};

/// What a schema cannot know: the code of the finding, a word of its message where the code alone
/// says too little, and what it is.
const CANNOT_KNOW: &[(&str, &str, &str)] = &[
    (
        "RB0107",
        "regular expression",
        "whether a text is a regular expression",
    ),
    (
        "RB0113",
        "is not permitted",
        "whether one value is among others",
    ),
    ("RB0201", "", "what stands between the braces of a template"),
    ("RB0202", "", "whether a text is a condition"),
    ("RB0203", "", "what a reference begins with"),
    ("RB0204", "", "which parameters are declared"),
    ("RB0205", "", "which variables the environment has"),
    ("RB0206", "", "which steps there are"),
    ("RB0207", "", "which outputs a step has"),
    ("RB0208", "", "in which order steps run"),
    ("RB0209", "", "in which step a reference stands"),
    ("RB0210", "", "in which place a reference has a value"),
    ("RB0211", "", "what a condition gives"),
    ("RB0214", "", "the types of what is compared"),
    ("RB0301", "", "which ids steps have"),
    ("RB0302", "", "which id a step has itself"),
    ("RB0314", "", "what repeating an action would do"),
    ("RB0318", "", "which secrets there are"),
    ("RB0402", "", "which services the environment has"),
    ("RB0403", "", "which connections the environment has"),
    ("RB0409", "", "which people and roles the policy has"),
    ("RB0506", "", "whether something else ends the polling"),
    ("RB0801", "", "how many people have a role"),
    ("RB0802", "", "who else has a role"),
    ("RB0805", "", "who has a key"),
    ("RB0809", "", "which of two days comes first"),
];

/// Values of all kinds, of which most are wrong for most keys.
fn values() -> Vec<Value> {
    vec![
        json!(null),
        json!(true),
        json!(0),
        json!(5),
        json!(-1),
        json!(0.5),
        json!(1001),
        json!("text"),
        json!(""),
        json!("  "),
        json!("Upper Case"),
        json!("{{ params.x }}"),
        json!("10s"),
        json!("64MiB"),
        json!("10%"),
        json!("2026-11-01"),
        json!("2026-13-01"),
        json!("2026-11-23T03:00:00Z"),
        json!("2026-11-23 03:00:00.5+01:00"),
        json!([]),
        json!(["a"]),
        json!([5]),
        json!([null]),
        json!({}),
        json!({ "a": 1 }),
        json!({ "a": "b" }),
        json!({ "A b": "c" }),
    ]
}

struct Judge {
    catalog: ActionCatalog,
    environment: Environment,
    schemas: BTreeMap<&'static str, jsonschema::Validator>,
    accepted: usize,
    refused: usize,
    differences: Vec<String>,
}

fn literal(text: &str) -> Value {
    let source = SourceFile::new("", text);
    parse_yaml(&source, &Limits::default(), &mut Diagnostics::new())
        .expect("a value")
        .to_json()
}

impl Judge {
    fn new() -> Self {
        let catalog = builtin_registry().expect("unique names").catalog();
        let text = "environment: v1\nname: e\nservices:\n  api: { provider: process, command: [a] }\nconnections:\n  ops: { kind: notify, to: terminal }\n";
        let source = SourceFile::new("e.yaml", text);
        let environment = decode_environment(&source, &mut Diagnostics::new());
        let validator = |schema: Value| jsonschema::validator_for(&schema).expect("a schema");
        let schemas = BTreeMap::from([
            ("runbook", validator(runbook_schema(&catalog))),
            ("environment", validator(environment_schema(&catalog))),
            ("policy", validator(policy_schema())),
        ]);
        Self {
            catalog,
            environment: environment.expect("an environment"),
            schemas,
            accepted: 0,
            refused: 0,
            differences: Vec::new(),
        }
    }

    /// Holds the two verdicts on one file against each other.
    fn compare(&mut self, kind: FileKind, keys: &Value, what: &str) {
        let map = keys.as_object().expect("a map");
        // Every value in JSON is the same value in YAML. The format must come first.
        let mut text = format!("{}: v1\n", kind.key());
        for (key, value) in map.iter().filter(|(key, _)| *key != kind.key()) {
            text.push_str(&format!("{key}: {value}\n"));
        }
        let name = map.get("name").and_then(Value::as_str).unwrap_or("a");
        let source = SourceFile::new(format!("{name}.yaml"), text.as_str());
        let mut diags = Diagnostics::new();
        match kind {
            FileKind::Runbook => {
                if let Some(runbook) = decode_runbook(&source, &mut diags) {
                    let environment = Some(&self.environment);
                    check(runbook, environment, &self.catalog, &mut diags);
                }
            }
            FileKind::Environment => {
                if let Some(environment) = decode_environment(&source, &mut diags) {
                    check_environment(&environment, &self.catalog, &mut diags);
                }
            }
            FileKind::Policy => {
                if let Some(policy) = decode_policy(&source, &mut diags) {
                    check_policy(&policy, &mut diags);
                }
            }
        }
        let mut wrong = diags.into_sorted();
        wrong.retain(|finding| {
            let known = CANNOT_KNOW
                .iter()
                .any(|(code, word, _)| *code == finding.code.0 && finding.message.contains(word));
            finding.severity == Severity::Error && !known
        });
        let mut document = keys.clone();
        document[kind.key()] = json!("v1");
        let errors: Vec<String> = self.schemas[kind.key()]
            .iter_errors(&document)
            .map(|error| format!("{}: {error}", error.instance_path()))
            .collect();
        match errors.is_empty() {
            true => self.accepted += 1,
            false => self.refused += 1,
        }
        if errors.is_empty() != wrong.is_empty() {
            let told: Vec<String> = wrong
                .iter()
                .map(|finding| format!("{} {}", finding.code, finding.message))
                .collect();
            self.differences
                .push(format!("{what}: checker {told:?}, schema {errors:?}"));
        }
    }

    /// Every key of an object, in every state; then the objects inside.
    fn object(&mut self, at: &At<'_>, place: Place, base: &Map<String, Value>, depth: usize) {
        let what = format!("{} {}", at.path, Value::Object(base.clone()));
        self.compare(at.kind, &(at.wrap)(Value::Object(base.clone())), &what);
        for key in place.keys().filter(|key| key.name != at.kind.key()) {
            let path = format!(
                "{}.{} of {}",
                at.path,
                key.name,
                Value::Object(base.clone())
            );
            let with = |name: &str, value: Option<Value>| {
                let mut map = base.clone();
                map.remove(key.name);
                map.extend(value.map(|value| (name.to_owned(), value)));
                (at.wrap)(Value::Object(map))
            };
            let example = literal(key.example);
            self.compare(at.kind, &with("", None), &format!("{path} missing"));
            let misspelt = format!("{}x", key.name);
            self.compare(
                at.kind,
                &with(&misspelt, Some(example.clone())),
                &format!("{path} misspelt"),
            );
            for value in values().into_iter().chain([example.clone()]) {
                let what = format!("{path}: {value}");
                self.compare(at.kind, &with(key.name, Some(value)), &what);
            }
            if depth < 4 {
                let wrap = |value: Value| with(key.name, Some(value));
                let inner = At {
                    kind: at.kind,
                    path: &format!("{}.{}", at.path, key.name),
                    wrap: &wrap,
                };
                self.inside(&inner, key.place, depth);
            }
        }
    }

    /// The objects inside a value.
    fn inside(&mut self, at: &At<'_>, place: Place, depth: usize) {
        let alternatives = place.alternatives();
        if alternatives.len() > 1 {
            for place in alternatives {
                self.inside(at, place, depth);
            }
            return;
        }
        match place.form() {
            Form::Object => {
                for base in bases(place) {
                    self.object(at, place, &base, depth + 1);
                }
            }
            Form::List | Form::Map => {
                let Some(inner) = place.child("a") else {
                    return;
                };
                let is_list = place.form() == Form::List;
                let wrap = |value: Value| {
                    (at.wrap)(if is_list {
                        json!([value])
                    } else {
                        json!({ "api": value })
                    })
                };
                if inner.form() != Form::Object {
                    for value in values() {
                        let what = format!("{}[]: {value}", at.path);
                        self.compare(at.kind, &wrap(value), &what);
                    }
                }
                self.inside(&At { wrap: &wrap, ..*at }, inner, depth);
            }
            _ => {}
        }
    }

    fn done(self, least: usize) {
        let shown: Vec<_> = self.differences.iter().take(40).collect();
        assert!(
            self.differences.is_empty(),
            "{} differences:\n{shown:#?}",
            self.differences.len()
        );
        assert!(
            self.accepted > least && self.refused > least,
            "{} accepted, {} refused: too few to tell anything",
            self.accepted,
            self.refused
        );
    }
}

/// Where an object stands.
#[derive(Clone, Copy)]
struct At<'a> {
    kind: FileKind,
    path: &'a str,
    /// Puts the object into a file.
    wrap: &'a dyn Fn(Value) -> Value,
}

/// Good objects of a kind to vary: with what is required, once for each word that decides about
/// the other keys.
fn bases(place: Place) -> Vec<Map<String, Value>> {
    let mut base = Map::new();
    let mut words = None;
    for key in place.keys() {
        match key.place.form() {
            Form::Uses => {
                base.insert(key.name.to_owned(), json!("wait"));
                base.insert("with".to_owned(), json!({ "duration": "1s" }));
            }
            Form::Words(all) if key.required => words = Some((key.name, all)),
            _ if key.required => {
                base.insert(key.name.to_owned(), literal(key.example));
            }
            _ => {}
        }
    }
    if place.is_open() && base.contains_key("provider") {
        base.insert("command".to_owned(), json!(["api"]));
    }
    let mut found = vec![base.clone()];
    if place.key("irreversible").is_some() {
        let irreversible = json!({ "irreversible": true, "reason": "it is gone" });
        found.extend(irreversible.as_object().cloned());
    }
    if let Some((name, words)) = words {
        found.clear();
        for word in words {
            let mut base = base.clone();
            base.insert(name.to_owned(), json!(word));
            match word {
                "enum" => base.insert("values".to_owned(), json!(["a", "b"])),
                "list" | "map" => base.insert("items".to_owned(), json!("string")),
                _ => None,
            };
            found.push(base);
        }
    }
    found
}

#[test]
fn every_key_of_every_kind_of_file() {
    let mut judge = Judge::new();
    for kind in FileKind::ALL {
        let mut base = Map::new();
        for key in kind.root().keys().filter(|key| key.required) {
            let value = match key.name {
                "name" => json!("a"),
                "steps" => json!([{ "id": "pause", "uses": "wait", "with": { "duration": "1s" } }]),
                _ => literal(key.example),
            };
            base.insert(key.name.to_owned(), value);
        }
        let at = At {
            kind,
            path: kind.key(),
            wrap: &|value| value,
        };
        judge.object(&at, kind.root(), &base, 0);
    }
    judge.done(500);
}

#[test]
fn every_input_of_every_action() {
    let mut judge = Judge::new();
    let actions = judge.catalog.actions.clone();
    for (name, manifest) in &actions {
        for example in &manifest.examples {
            let step = literal(&example.yaml);
            let with = step
                .get("with")
                .and_then(Value::as_object)
                .cloned()
                .unwrap_or_default();
            let file = |with: Map<String, Value>| {
                let mut step = step.clone();
                step["with"] = Value::Object(with);
                json!({ "name": "a", "steps": [step] })
            };
            judge.compare(FileKind::Runbook, &file(with.clone()), &example.title);
            let inputs = manifest.input["properties"]
                .as_object()
                .cloned()
                .unwrap_or_default();
            for input in inputs.keys() {
                let vary = |key: &str, value: Option<Value>| {
                    let mut with = with.clone();
                    let old = with.remove(input);
                    with.extend(value.or(old).map(|value| (key.to_owned(), value)));
                    file(with)
                };
                let mut without = with.clone();
                without.remove(input);
                judge.compare(
                    FileKind::Runbook,
                    &file(without),
                    &format!("{name}: no {input}"),
                );
                let misspelt = vary(&format!("{input}x"), Some(json!("text")));
                judge.compare(FileKind::Runbook, &misspelt, &format!("{name}: {input}x"));
                for value in values() {
                    let what = format!("{name} ({}): {input}: {value}", example.title);
                    judge.compare(FileKind::Runbook, &vary(input, Some(value)), &what);
                }
            }
        }
    }
    judge.done(500);
}
