//! Small questions to a tree of YAML.

use crate::base::{Span, Value};
use crate::model::{YamlValue, YamlValueKind};

/// The value of a key of a map, with the place of the key.
pub(super) fn entry<'a>(node: &'a YamlValue, key: &str) -> Option<(Span, &'a YamlValue)> {
    match &node.kind {
        YamlValueKind::Map(map) => map.get(key).map(|(span, value)| (*span, value)),
        _ => None,
    }
}

/// The value of a key of a map.
pub(super) fn get<'a>(node: &'a YamlValue, key: &str) -> Option<&'a YamlValue> {
    entry(node, key).map(|(_, value)| value)
}

/// The entries of a map; none for anything else.
pub(super) fn entries(node: Option<&YamlValue>) -> impl Iterator<Item = (&str, Span, &YamlValue)> {
    let map = match node.map(|node| &node.kind) {
        Some(YamlValueKind::Map(map)) => Some(map),
        _ => None,
    };
    map.into_iter()
        .flatten()
        .map(|(name, (span, value))| (name.as_str(), *span, value))
}

/// The items of a list; none for anything else.
pub(super) fn items(node: Option<&YamlValue>) -> &[YamlValue] {
    match node.map(|node| &node.kind) {
        Some(YamlValueKind::List(items)) => items,
        _ => &[],
    }
}

/// A text.
pub(super) fn text(node: &YamlValue) -> Option<&str> {
    match &node.kind {
        YamlValueKind::Text { text, .. } => Some(text),
        _ => None,
    }
}

/// The text of a key of a map.
pub(super) fn text_at<'a>(node: &'a YamlValue, key: &str) -> Option<&'a str> {
    get(node, key).and_then(text)
}

/// The value at a path of keys and indices.
pub(super) fn at<'a>(node: &'a YamlValue, path: &[String]) -> Option<&'a YamlValue> {
    path.iter().try_fold(node, |node, name| match &node.kind {
        YamlValueKind::Map(_) => get(node, name),
        YamlValueKind::List(items) => items.get(name.parse::<usize>().ok()?),
        _ => None,
    })
}

/// The schema of a property of an object, also where the object is only one of several forms.
pub(super) fn property<'a>(schema: &'a Value, name: &str) -> Option<&'a Value> {
    properties(schema)
        .into_iter()
        .find_map(|(known, schema)| (known == name).then_some(schema))
}

/// The properties of an object's schema, also where the object is only one of several forms.
pub(super) fn properties(schema: &Value) -> Vec<(&str, &Value)> {
    let own = schema.get("properties").and_then(Value::as_object);
    let mut found: Vec<_> = own
        .into_iter()
        .flatten()
        .map(|(name, schema)| (name.as_str(), schema))
        .collect();
    for form in ["anyOf", "oneOf", "allOf"] {
        let forms = schema.get(form).and_then(Value::as_array);
        for form in forms.into_iter().flatten() {
            found.extend(properties(form));
        }
    }
    found
}

/// The names that an object's schema requires.
pub(super) fn required(schema: &Value) -> Vec<&str> {
    let names = schema.get("required").and_then(Value::as_array);
    names
        .into_iter()
        .flatten()
        .filter_map(Value::as_str)
        .collect()
}

/// The schema below a property, a key or an index.
pub(super) fn below<'a>(schema: &'a Value, name: &str) -> Option<&'a Value> {
    let inside = |key: &str| schema.get(key).filter(|inner| inner.is_object());
    property(schema, name)
        .or_else(|| inside("items"))
        .or_else(|| inside("additionalProperties"))
        .or_else(|| {
            let forms = schema.get("anyOf").and_then(Value::as_array)?;
            forms.iter().find_map(|form| below(form, name))
        })
}

/// The words that a schema permits, of any of its forms.
pub(super) fn words(schema: &Value) -> Vec<String> {
    let mut found = Vec::new();
    if schema.get("type").is_some_and(|ty| ty == "boolean") {
        found.extend(["true".to_owned(), "false".to_owned()]);
    }
    let listed = schema.get("enum").and_then(Value::as_array);
    let lone = schema.get("const");
    found.extend(
        listed
            .into_iter()
            .flatten()
            .chain(lone)
            .filter_map(Value::as_str)
            .map(str::to_owned),
    );
    for form in ["anyOf", "oneOf"] {
        let forms = schema.get(form).and_then(Value::as_array);
        found.extend(forms.into_iter().flatten().flat_map(words));
    }
    found
}

/// The name of a schema's format, of any of its forms.
pub(super) fn format_of(schema: &Value) -> Option<&str> {
    schema.get("format").and_then(Value::as_str).or_else(|| {
        let forms = schema.get("anyOf").and_then(Value::as_array)?;
        forms.iter().find_map(format_of)
    })
}

/// What a schema says of itself.
pub(super) fn description(schema: &Value) -> &str {
    schema
        .get("description")
        .and_then(Value::as_str)
        .unwrap_or_default()
}
