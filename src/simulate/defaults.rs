//! Outputs that nobody scripted: the least value of each type.

use crate::base::{Map, Timestamp, Value};

/// Deepest schema that is followed.
const MAX_DEPTH: usize = 16;

/// The least outputs that fit the schema of an action: `false`, 0, empty texts and lists, the
/// first word of an enum, now; every key that the schema names is there unless it may be null.
pub(super) fn default_outputs(schema: &Value, inputs: &Value, now: Timestamp) -> Value {
    let mut outputs = least(schema, now, MAX_DEPTH);
    let properties = schema.get("properties").and_then(Value::as_object);
    for (name, property) in properties.into_iter().flatten() {
        let Some(keys_from) = property.get("x-keys-from").and_then(Value::as_str) else {
            continue;
        };
        let item = property.get("additionalProperties").unwrap_or(&Value::Null);
        let names = inputs.get(keys_from).and_then(Value::as_array);
        let values: Map<String, Value> = names
            .into_iter()
            .flatten()
            .filter_map(Value::as_str)
            .map(|key| (key.to_owned(), least(item, now, MAX_DEPTH)))
            .collect();
        outputs[name] = Value::Object(values);
    }
    outputs
}

fn least(schema: &Value, now: Timestamp, depth: usize) -> Value {
    let Some(depth) = depth.checked_sub(1) else {
        return Value::Null;
    };
    if let Some(constant) = schema.get("const") {
        return constant.clone();
    }
    if let Some(first) = schema
        .get("enum")
        .and_then(Value::as_array)
        .and_then(|words| words.first())
    {
        return first.clone();
    }
    for forms in ["anyOf", "oneOf"] {
        if let Some(forms) = schema.get(forms).and_then(Value::as_array) {
            let nullable = forms
                .iter()
                .any(|form| form.get("type") == Some(&Value::from("null")));
            return match forms.first() {
                Some(first) if !nullable => least(first, now, depth),
                _ => Value::Null,
            };
        }
    }
    let kind = match schema.get("type") {
        Some(Value::String(kind)) => kind.as_str(),
        Some(Value::Array(kinds)) if kinds.iter().any(|kind| kind == "null") => return Value::Null,
        Some(Value::Array(kinds)) => kinds.first().and_then(Value::as_str).unwrap_or(""),
        _ if schema.get("properties").is_some() => "object",
        _ => return Value::Null,
    };
    match kind {
        "boolean" => Value::Bool(false),
        "integer" | "number" => schema.get("minimum").cloned().unwrap_or_else(|| 0.into()),
        "array" => Value::Array(Vec::new()),
        "object" => object(schema, now, depth),
        "string" => match schema.get("format").and_then(Value::as_str) {
            Some("duration") => "0s".into(),
            Some("date-time") => now.to_string().into(),
            _ => "".into(),
        },
        _ => Value::Null,
    }
}

fn object(schema: &Value, now: Timestamp, depth: usize) -> Value {
    let properties = schema.get("properties").and_then(Value::as_object);
    let fields = properties.into_iter().flatten();
    Value::Object(
        fields
            .map(|(name, field)| (name.clone(), least(field, now, depth)))
            .collect(),
    )
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::handlers::builtin_registry;

    #[test]
    fn the_defaults_of_every_action_fit_its_own_schema() {
        let catalog = builtin_registry().expect("unique names").catalog();
        for (name, manifest) in &catalog.actions {
            let outputs =
                default_outputs(&manifest.output, &json!({}), Timestamp::from_unix_millis(0));
            let validator = jsonschema::validator_for(&manifest.output).expect("a schema");
            let problem = validator.validate(&outputs).err();
            assert!(problem.is_none(), "{name}: {outputs}: {problem:?}");
        }
    }

    #[test]
    fn names_that_an_input_lists_are_there() {
        let schema = json!({"type": "object", "properties": {
            "values": {"type": "object", "additionalProperties": {"type": "string"}, "x-keys-from": "outputs"},
        }});
        let outputs = default_outputs(
            &schema,
            &json!({"outputs": ["a"]}),
            Timestamp::from_unix_millis(0),
        );
        assert_eq!(outputs, json!({"values": {"a": ""}}));
    }
}
