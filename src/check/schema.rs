//! JSON Schema, as far as the inputs of actions need it.

use serde_json::json;

use crate::base::{Map, Value, did_you_mean};
use crate::model::{YamlValue, YamlValueKind};

/// Which part of a schema a value is held against.
pub(super) enum Choice<'s> {
    One(&'s Value),
    Unclear(Vec<&'s Value>),
}

/// The variant of a schema that a value is meant for: `null` left out, then by a constant key, then
/// by its kind.
pub(super) fn choose<'s>(schema: &'s Value, value: &YamlValue) -> Choice<'s> {
    let Some(variants) = variants(schema) else {
        return Choice::One(schema);
    };
    let variants: Vec<&Value> = variants.iter().filter(|v| !is_null(v)).collect();
    let tagged = |variant: &&&Value| {
        let YamlValueKind::Map(map) = &value.kind else {
            return false;
        };
        let properties = variant.get("properties").and_then(Value::as_object);
        properties.into_iter().flatten().any(|(key, schema)| {
            schema.get("const").is_some_and(|tag| {
                map.get(key)
                    .is_some_and(|(_, given)| given.to_json() == *tag)
            })
        })
    };
    match variants.as_slice() {
        [one] => choose(one, value),
        many => match many.iter().find(tagged) {
            Some(one) => Choice::One(one),
            None => Choice::Unclear(variants),
        },
    }
}

/// A schema that asks only for the key by which variants are told apart, when each has its own constant
/// for it; the other keys of all of them are known.
pub(super) fn tagged(variants: &[&Value]) -> Option<Value> {
    let properties = |variant: &&Value| variant.get("properties")?.as_object().cloned();
    let all: Vec<Map<String, Value>> = variants.iter().map(properties).collect::<Option<_>>()?;
    let tag_of = |key: &String| -> Option<Vec<Value>> {
        let constant = |of: &Map<String, Value>| of.get(key)?.get("const").cloned();
        all.iter().map(constant).collect()
    };
    let (key, tags) = all
        .first()?
        .keys()
        .find_map(|key| Some((key, tag_of(key)?)))?;
    let mut known: Map<String, Value> = all
        .iter()
        .flat_map(Map::keys)
        .map(|key| (key.clone(), json!({})))
        .collect();
    known.insert(key.clone(), json!({ "type": "string", "enum": tags }));
    Some(json!({ "type": "object", "required": [key], "properties": known }))
}

fn variants(schema: &Value) -> Option<&Vec<Value>> {
    ["anyOf", "oneOf"]
        .iter()
        .find_map(|key| schema.get(*key)?.as_array())
}

/// The schema that holds for a value, when it is clear which; else one that permits anything.
pub(crate) fn schema_for<'s>(schema: &'s Value, value: &YamlValue) -> &'s Value {
    match choose(schema, value) {
        Choice::One(schema) => schema,
        Choice::Unclear(_) => &Value::Bool(true),
    }
}

fn is_null(schema: &Value) -> bool {
    schema.get("type").and_then(Value::as_str) == Some("null")
}

pub(super) fn allows_null(schema: &Value) -> bool {
    allows(schema, "null") || variants(schema).is_some_and(|v| v.iter().any(is_null))
}

/// Whether the schema's `type` permits a kind; a schema without one permits all.
pub(super) fn allows(schema: &Value, kind: &str) -> bool {
    match schema.get("type") {
        Some(Value::String(one)) => one == kind,
        Some(Value::Array(kinds)) => kinds.iter().any(|k| k == kind),
        _ => true,
    }
}

pub(super) fn not_allowed(schema: &Value, value: &Value) -> Option<String> {
    if let Some(only) = schema.get("const") {
        return (only != value).then(|| format!("only {only} is possible"));
    }
    let values = schema.get("enum")?.as_array()?;
    if values.contains(value) {
        return None;
    }
    let names: Vec<&str> = values.iter().filter_map(Value::as_str).collect();
    Some(
        match value
            .as_str()
            .and_then(|text| did_you_mean(text, names.iter().copied()))
        {
            Some(near) => format!("did you mean `{near}`?"),
            None => format!("it must be one of {}", names.join(", ")),
        },
    )
}

pub(super) fn out_of_range(schema: &Value, value: &Value) -> Option<String> {
    let number = value.as_f64()?;
    let limit = |key: &str| schema.get(key).and_then(Value::as_f64);
    if limit("minimum").is_some_and(|least| number < least) {
        return Some(format!("it must be at least {}", schema["minimum"]));
    }
    if limit("maximum").is_some_and(|most| number > most) {
        return Some(format!("it must be at most {}", schema["maximum"]));
    }
    if limit("exclusiveMinimum").is_some_and(|least| number <= least) {
        return Some(format!(
            "it must be more than {}",
            schema["exclusiveMinimum"]
        ));
    }
    if limit("exclusiveMaximum").is_some_and(|most| number >= most) {
        return Some(format!(
            "it must be less than {}",
            schema["exclusiveMaximum"]
        ));
    }
    None
}
