//! JSON Schemas (draft 2020-12) of the files, for editors. Made from the decoder's own table of
//! keys and from what the actions and providers declare.

use schemars::{JsonSchema, SchemaGenerator};
use serde_json::json;

use super::decode::{
    CALL_REFUSES, ENVIRONMENT, GATE, INPUT_TYPES, ITEM_TYPES, KeySpec, ObjectSpec, POLICY,
    Presence, RUNBOOK, Rules, Shape, TEST, TYPES, failure_names,
};
use super::yaml::{Limits, parse_yaml};
use crate::base::{ByteSize, Diagnostics, HumanDuration, Map, SourceFile, Value};
use crate::model::ActionCatalog;

/// RFC 3339. Which days a month has, only the checker knows.
const TIMESTAMP: &str = concat!(
    "^[0-9]{4}-(0[1-9]|1[0-2])-(0[1-9]|[12][0-9]|3[01])[Tt ]",
    r"([01][0-9]|2[0-3]):[0-5][0-9]:[0-6][0-9](\.[0-9]+)?([Zz]|[+-][0-9]{2}:[0-9]{2})$",
);

/// A day, or a local time of a day.
const MOMENT: &str = concat!(
    "^[0-9]{4}-(0[1-9]|1[0-2])-(0[1-9]|[12][0-9]|3[01])",
    "(T([01][0-9]|2[0-3]):[0-5][0-9])?$",
);

/// From a time of the day to another.
const HOURS: &str = "^([01][0-9]|2[0-3]):[0-5][0-9]-(([01][0-9]|2[0-3]):[0-5][0-9]|24:00)$";

/// A public key. Whether its numbers are those of a key, only the checker knows.
const SSH_KEY: &str = concat!(
    r"^\s*(ssh-ed25519|ecdsa-sha2-nistp256|sk-ssh-ed25519@openssh\.com",
    r"|sk-ecdsa-sha2-nistp256@openssh\.com) +[A-Za-z0-9+/]+=*(\s.*)?$",
);

/// The schema of a runbook: `uses` is one of the known actions, `with` fits the action's inputs,
/// and each input may also be a template.
pub fn runbook_schema(catalog: &ActionCatalog) -> Value {
    let mut schema = file_schema("Runbook", &RUNBOOK, catalog);
    schema["$defs"] = json!({ "inputs": inputs(catalog), "call": call_rules() });
    for_editors(schema)
}

/// The schema of an environment: each service fits its provider.
pub fn environment_schema(catalog: &ActionCatalog) -> Value {
    for_editors(file_schema("Environment", &ENVIRONMENT, catalog))
}

/// The schema of a policy.
pub fn policy_schema() -> Value {
    for_editors(file_schema("Policy", &POLICY, &ActionCatalog::default()))
}

/// What editors show beside what validators read: `markdownDescription` renders code as code, and
/// a default of `null` is not worth completing. Depth is that of our own tables and handlers.
fn for_editors(schema: Value) -> Value {
    let map = match schema {
        Value::Array(items) => return items.into_iter().map(for_editors).collect(),
        Value::Object(map) => map,
        scalar => return scalar,
    };
    let markdown = match map.get("description") {
        Some(Value::String(text)) if text.contains(['`', '\n']) => Some(json!(text)),
        _ => None,
    };
    let mut out: Map<String, Value> = map
        .into_iter()
        .filter(|(key, value)| key != "default" || !value.is_null())
        .map(|(key, value)| match key.as_str() {
            // Values, not schemas.
            "default" | "examples" | "enum" | "const" => (key, value),
            _ => (key, for_editors(value)),
        })
        .collect();
    if let Some(markdown) = markdown {
        out.insert("markdownDescription".to_owned(), markdown);
    }
    Value::Object(out)
}

/// One of some names, each with the line that an editor shows beside it.
fn described<'a>(names: impl Iterator<Item = (&'a str, &'a str)>) -> Value {
    let (names, lines): (Vec<_>, Vec<_>) = names.unzip();
    json!({ "enum": names, "enumDescriptions": lines, "markdownEnumDescriptions": lines })
}

/// The schema of a test file.
pub fn test_schema() -> Value {
    file_schema("Test", &TEST, &ActionCatalog::default())
}

/// A schema as the text of a file: indented, keys sorted, so that it is the same on every machine.
pub fn schema_text(schema: &Value) -> String {
    format!("{:#}\n", sorted(schema))
}

fn sorted(value: &Value) -> Value {
    match value {
        Value::Array(items) => items.iter().map(sorted).collect(),
        Value::Object(map) => {
            let mut entries: Vec<_> = map.iter().collect();
            entries.sort_unstable_by_key(|(key, _)| *key);
            let entries = entries
                .into_iter()
                .map(|(key, value)| (key.clone(), sorted(value)));
            Value::Object(entries.collect())
        }
        scalar => scalar.clone(),
    }
}

fn file_schema(title: &str, spec: &ObjectSpec, catalog: &ActionCatalog) -> Value {
    let mut schema = object(spec, catalog);
    schema["$schema"] = json!("https://json-schema.org/draft/2020-12/schema");
    schema["title"] = json!(title);
    schema
}

fn object(spec: &ObjectSpec, catalog: &ActionCatalog) -> Value {
    let properties: Map<String, Value> = spec
        .present()
        .map(|key| (key.name.to_owned(), property(key, catalog)))
        .collect();
    let required: Vec<&str> = spec
        .present()
        .filter(|key| key.presence == Presence::Required)
        .map(|key| key.name)
        .collect();
    let mut schema = json!({ "type": "object", "properties": properties });
    if !required.is_empty() {
        schema["required"] = json!(required);
    }
    if !spec.open {
        schema["additionalProperties"] = json!(false);
    }
    match spec.rules {
        Rules::None => {}
        Rules::Step => {
            schema["dependentRequired"] = json!({
                "every": ["until"],
                "max_parallel": ["for_each"],
                "max_failures": ["for_each"],
            });
            schema["allOf"] = json!([{ "$ref": "#/$defs/inputs" }, { "$ref": "#/$defs/call" }]);
        }
        Rules::Inputs => schema["allOf"] = json!([{ "$ref": "#/$defs/inputs" }]),
        Rules::Rollback => {
            schema["allOf"] = json!([{ "$ref": "#/$defs/inputs" }]);
            schema["oneOf"] = rollback_forms();
        }
        Rules::Param => schema["allOf"] = param_rules(),
        Rules::Service => schema["allOf"] = provider_rules(catalog),
        Rules::RiskRule => schema["oneOf"] = rule_forms(),
        Rules::Connection if !catalog.connections.is_empty() => {
            schema["allOf"] = connection_rules(catalog);
        }
        Rules::Connection => {}
    }
    schema
}

fn property(key: &KeySpec, catalog: &ActionCatalog) -> Value {
    let mut schema = match (key.name, key.shape) {
        ("provider", _) if !catalog.providers.is_empty() => {
            let providers = catalog.providers.values();
            described(providers.map(|p| (p.name.as_str(), p.summary.as_str())))
        }
        (_, shape) => shape_schema(&shape, catalog),
    };
    schema["description"] = json!(key.doc);
    schema["examples"] = json!([example(key)]);
    if let Some(default) = key.default {
        schema["default"] = literal(default);
    }
    schema
}

fn example(key: &KeySpec) -> Value {
    literal(key.example)
}

/// A value that the table writes in YAML.
fn literal(text: &str) -> Value {
    let source = SourceFile::new("", text);
    parse_yaml(&source, &Limits::default(), &mut Diagnostics::new())
        .map_or(Value::Null, |value| value.to_json())
}

fn shape_schema(shape: &Shape, catalog: &ActionCatalog) -> Value {
    match shape {
        Shape::Text => json!({ "type": "string", "pattern": r"\S" }),
        Shape::Format => json!({ "const": "v1" }),
        Shape::Identifier => name_schema("^[a-z][a-z0-9_]*$"),
        Shape::Name => name_schema("^[a-z][a-z0-9_-]*$"),
        Shape::StepPath => json!({
            "type": "string",
            "pattern": r"^[a-z][a-z0-9_]*(\[[A-Za-z0-9_.-]{1,64}\])?(/[a-z][a-z0-9_]*(\[[A-Za-z0-9_.-]{1,64}\])?)*$",
        }),
        Shape::Duration => Value::from(HumanDuration::json_schema(&mut SchemaGenerator::default())),
        Shape::Date => json!({
            "type": "string",
            "format": "date",
            "pattern": "^[0-9]{4}-(0[1-9]|1[0-2])-(0[1-9]|[12][0-9]|3[01])$",
        }),
        Shape::Moment => json!({ "type": "string", "pattern": MOMENT }),
        Shape::Hours => json!({ "type": "string", "pattern": HOURS }),
        Shape::TimeZone => {
            let mut names: Vec<&str> = chrono_tz::TZ_VARIANTS.iter().map(|z| z.name()).collect();
            names.sort_unstable();
            json!({ "enum": names })
        }
        Shape::Quorum => json!({
            "type": "string",
            "pattern": "^([1-9][0-9]?|100) of [a-z][a-z0-9_-]{0,63}$",
        }),
        Shape::SshKey => json!({ "type": "string", "pattern": SSH_KEY }),
        Shape::Bool => json!({ "type": "boolean" }),
        Shape::Int(min, max) => json!({ "type": "integer", "minimum": min, "maximum": max }),
        Shape::Number(min, max) => json!({ "type": "number", "minimum": min, "maximum": max }),
        Shape::OneOf(words) => json!({ "enum": words }),
        Shape::Failure => json!({ "enum": failure_names().collect::<Vec<_>>() }),
        Shape::Type => json!({ "enum": TYPES }),
        Shape::InputType => json!({ "enum": INPUT_TYPES }),
        Shape::Condition => json!({ "type": ["string", "boolean"], "pattern": r"\S" }),
        Shape::Uses | Shape::Action if catalog.actions.is_empty() => {
            shape_schema(&Shape::Text, catalog)
        }
        Shape::Action => {
            let actions = catalog.actions.values();
            described(actions.map(|a| (a.name.as_str(), a.summary.as_str())))
        }
        Shape::Uses => json!({ "anyOf": [
            shape_schema(&Shape::Action, catalog),
            { "type": "string", "pattern": CALL },
        ] }),
        Shape::With => json!({ "type": "object" }),
        Shape::Any => json!({}),
        Shape::Bound => json!({ "type": ["number", "string"] }),
        Shape::List(item) => json!({ "type": "array", "items": shape_schema(item, catalog) }),
        Shape::NonEmptyList(item) => {
            json!({ "type": "array", "minItems": 1, "items": shape_schema(item, catalog) })
        }
        Shape::MapOf(key, value) => json!({
            "type": "object",
            "propertyNames": shape_schema(key, catalog),
            "additionalProperties": shape_schema(value, catalog),
        }),
        Shape::Object(spec) => object(spec, catalog),
        Shape::Variable => json!({ "type": "string", "pattern": "^[A-Za-z_][A-Za-z0-9_]*$" }),
        Shape::Source => source_schema(),
        Shape::Items => {
            json!({ "anyOf": [{ "type": "array" }, { "type": "string", "pattern": r"\{\{" }] })
        }
        Shape::Tolerance => json!({ "anyOf": [
            { "type": "integer", "minimum": 0, "maximum": 1000 },
            { "type": "string", "pattern": "^([0-9]|[1-9][0-9]|100)%$" },
        ] }),
        Shape::Either(one, other) => {
            json!({ "anyOf": [shape_schema(one, catalog), shape_schema(other, catalog)] })
        }
    }
}

fn name_schema(pattern: &str) -> Value {
    json!({ "type": "string", "pattern": pattern, "maxLength": 64 })
}

/// `uses` of a step that runs another runbook.
const CALL: &str = "^runbook\\.[a-z][a-z0-9_-]*$";

/// What a step that runs another runbook cannot have.
fn call_rules() -> Value {
    let refused: Map<String, Value> = CALL_REFUSES
        .iter()
        .map(|(key, _)| ((*key).to_owned(), json!(false)))
        .collect();
    json!({
        "if": { "properties": { "uses": { "type": "string", "pattern": CALL } }, "required": ["uses"] },
        "then": { "properties": refused },
    })
}

fn source_schema() -> Value {
    json!({ "type": "string", "pattern": r"^((env|file|command):\s*\S|vault:\s*[^/#\s][^/#]*/[^#]*[^/#]#.)" })
}

/// A role with a number, or a list of quorums.
fn rule_forms() -> Value {
    json!([
        { "required": ["role"], "properties": { "quorum": { "type": "integer" } } },
        { "required": ["quorum"], "properties": { "role": false, "quorum": { "type": "array" } } },
    ])
}

fn rollback_forms() -> Value {
    json!([
        {
            "required": ["uses"],
            "properties": { "irreversible": false, "reason": false },
        },
        {
            "required": ["irreversible", "reason"],
            "properties": {
                "irreversible": { "const": true },
                "uses": false,
                "with": false,
                "retry": false,
                "timeout": false,
            },
        },
    ])
}

/// One rule per type: which of the other keys it needs, and which it cannot have; and the form of
/// its default.
fn param_rules() -> Value {
    let rules = TYPES.iter().map(|ty| {
        let mut then = json!({ "properties": {} });
        let forbid = |then: &mut Value, keys: &[&str]| {
            for key in keys {
                then["properties"][*key] = json!(false);
            }
        };
        match *ty {
            "enum" => then["required"] = json!(["values"]),
            _ => forbid(&mut then, &["values"]),
        }
        match *ty {
            "list" | "map" => then["required"] = json!(["items"]),
            _ => forbid(&mut then, &["items"]),
        }
        if *ty != "string" {
            forbid(&mut then, &["pattern"]);
        }
        match *ty {
            "int" | "float" | "duration" | "size" => {
                then["properties"]["min"] = value_schema(ty);
                then["properties"]["max"] = value_schema(ty);
            }
            _ => forbid(&mut then, &["min", "max"]),
        }
        then["properties"]["default"] = value_schema(ty);
        rule("type", ty, &then)
    });
    let items = ITEM_TYPES.iter().flat_map(|item| {
        [("list", "items"), ("map", "additionalProperties")].map(|(ty, place)| {
            json!({
                "if": {
                    "properties": { "type": { "const": ty }, "items": { "const": item } },
                    "required": ["type", "items"],
                },
                "then": { "properties": { "default": { place: value_schema(item) } } },
            })
        })
    });
    rules.chain(items).collect()
}

/// The JSON form of a literal of a type.
fn value_schema(ty: &str) -> Value {
    match ty {
        "int" => json!({ "type": "integer" }),
        "float" => json!({ "type": "number" }),
        "bool" => json!({ "type": "boolean" }),
        "duration" => shape_schema(&Shape::Duration, &ActionCatalog::default()),
        "size" => Value::from(ByteSize::json_schema(&mut SchemaGenerator::default())),
        "timestamp" => json!({ "type": "string", "pattern": TIMESTAMP }),
        "list" => json!({ "type": "array" }),
        "map" => json!({ "type": "object" }),
        "secret" => source_schema(),
        _ => json!({ "type": "string", "not": { "pattern": r"\{\{" } }),
    }
}

fn rule(key: &str, value: &str, then: &Value) -> Value {
    json!({
        "if": { "properties": { key: { "const": value } }, "required": [key] },
        "then": then,
    })
}

fn provider_rules(catalog: &ActionCatalog) -> Value {
    let rules = catalog.providers.values().map(|provider| {
        let mut config = provider.config.clone();
        permit(&mut config, "provider");
        rule("provider", &provider.name, &config)
    });
    rules.collect()
}

fn connection_rules(catalog: &ActionCatalog) -> Value {
    let rules = catalog.connections.values().map(|connection| {
        let mut config = connection.config.clone();
        match config.get_mut("oneOf").and_then(Value::as_array_mut) {
            Some(variants) => variants.iter_mut().for_each(|v| permit(v, "kind")),
            None => permit(&mut config, "kind"),
        }
        rule("kind", &connection.kind, &config)
    });
    rules.collect()
}

/// The schema is closed and does not know the key that chose it.
fn permit(schema: &mut Value, key: &str) {
    if let Some(schema) = schema.as_object_mut() {
        let properties = schema.entry("properties").or_insert_with(|| json!({}));
        properties[key] = json!(true);
    }
}

/// `with` fits the action that `uses` names.
fn inputs(catalog: &ActionCatalog) -> Value {
    let rules = catalog.actions.values().map(|action| {
        let mut with = templated_inside(&action.input);
        if action.name == "approval" {
            // Written out, and judged by the decoder: no templates.
            for key in GATE.present() {
                with["properties"][key.name] = property(key, catalog);
            }
        }
        if let Some(with) = with.as_object_mut() {
            let words = format!("Inputs of `{}`: {}", action.name, action.summary);
            with.insert("description".to_owned(), json!(words));
        }
        let mut then = json!({ "properties": { "with": with } });
        if action.input.pointer("/properties/environment").is_none() {
            // It starts no program that could get variables.
            then["properties"]["environment"] = json!({ "maxProperties": 0 });
        }
        let required = action.input.get("required").and_then(Value::as_array);
        if required.is_some_and(|keys| !keys.is_empty()) {
            then["required"] = json!(["with"]);
        }
        rule("uses", &action.name, &then)
    });
    let rules: Vec<Value> = rules.collect();
    if rules.is_empty() {
        return json!({});
    }
    json!({ "allOf": rules })
}

/// The schema of an input that may also be a template.
fn templated(schema: &Value) -> Value {
    let inside = templated_inside(schema);
    let Value::Object(map) = schema else {
        return inside;
    };
    let constrained = [
        "enum",
        "const",
        "pattern",
        "minLength",
        "maxLength",
        "format",
    ];
    let free_text = map.get("type") == Some(&json!("string"))
        && !constrained.iter().any(|key| map.contains_key(*key));
    if free_text || map.is_empty() {
        return inside;
    }
    let mut out = json!({ "anyOf": [inside, { "type": "string", "pattern": r"\{\{" }] });
    // Editors show these only when they stand outside.
    for key in ["description", "default", "examples", "x-escape"] {
        if let Some(value) = map.get(key) {
            out[key] = value.clone();
        }
    }
    out
}

/// The same schema, its inner values templated. Depth is that of a handler's own schema.
fn templated_inside(schema: &Value) -> Value {
    let Value::Object(map) = schema else {
        return schema.clone();
    };
    let entries = map.iter().map(|(key, value)| {
        let value = match (key.as_str(), value) {
            ("properties" | "patternProperties", Value::Object(fields)) => fields
                .iter()
                .map(|(name, field)| (name.clone(), templated(field)))
                .collect(),
            ("items" | "additionalProperties", field) => templated(field),
            ("prefixItems", Value::Array(items)) => items.iter().map(templated).collect(),
            ("anyOf" | "oneOf" | "allOf", Value::Array(forms)) => {
                forms.iter().map(templated_inside).collect()
            }
            _ => value.clone(),
        };
        (key.clone(), value)
    });
    Value::Object(entries.collect())
}

#[cfg(test)]
mod tests {
    use super::super::corpus::catalog;
    use super::*;

    fn each_key(spec: &ObjectSpec, see: &mut impl FnMut(&ObjectSpec, &KeySpec)) {
        for key in spec.present() {
            see(spec, key);
            each_key_of_shape(&key.shape, see);
        }
    }

    fn each_key_of_shape(shape: &Shape, see: &mut impl FnMut(&ObjectSpec, &KeySpec)) {
        match shape {
            Shape::List(inner) | Shape::NonEmptyList(inner) | Shape::MapOf(_, inner) => {
                each_key_of_shape(inner, see);
            }
            Shape::Either(one, other) => {
                each_key_of_shape(one, see);
                each_key_of_shape(other, see);
            }
            Shape::Object(inner) => each_key(inner, see),
            _ => {}
        }
    }

    #[test]
    fn every_example_and_default_fits_its_own_key() {
        let catalog = ActionCatalog {
            actions: Default::default(),
            ..catalog()
        };
        for file in [&RUNBOOK, &ENVIRONMENT, &POLICY, &TEST] {
            each_key(file, &mut |spec, key| {
                let mut schema = property(key, &catalog);
                schema["$defs"] = json!({ "inputs": {}, "call": {} });
                let validator = jsonschema::validator_for(&schema).expect("a schema");
                let values = [Some(key.example), key.default].into_iter().flatten();
                for value in values {
                    let example = literal(value);
                    let problem = validator.validate(&example).err();
                    // A service's other keys are for the provider to judge, not for the example.
                    assert!(
                        problem.is_none() || key.name == "services",
                        "{}.{}: {value}: {problem:?}",
                        spec.what,
                        key.name
                    );
                }
                assert!(
                    !key.doc.is_empty(),
                    "{}.{} has no words",
                    spec.what,
                    key.name
                );
            });
        }
    }

    #[test]
    fn the_text_is_the_same_whatever_the_order_of_keys() {
        let text = schema_text(&json!({ "b": [{ "d": 1, "c": 2 }], "a": 0 }));
        assert_eq!(
            text,
            "{\n  \"a\": 0,\n  \"b\": [\n    {\n      \"c\": 2,\n      \"d\": 1\n    }\n  ]\n}\n"
        );
    }
}
