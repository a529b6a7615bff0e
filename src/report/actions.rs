//! Actions as text: the list, and one described from its JSON Schemas.

use super::style::{Paint, Style};
use super::text::{Cell, Table, count, one_line, pad, value_text, width, wrap};
use crate::base::Value;
use crate::model::{ActionCatalog, ActionManifest, ProviderManifest};

/// How deep nested objects are listed.
const DEPTH: usize = 3;

/// Every action and provider, one a row.
pub fn actions_table(catalog: &ActionCatalog, style: Style) -> String {
    let mut table = Table::headed(0, &["ACTION", "EFFECT", "WHAT IT DOES"], style);
    for action in catalog.actions.values() {
        table.row(vec![
            Cell::new(&action.name, style).paint(Paint::Bold),
            Cell::new(&action.effect.to_string(), style),
            Cell::new(&action.summary, style),
        ]);
    }
    let mut out = table.render(style);
    if !catalog.providers.is_empty() {
        out.push('\n');
        let mut table = Table::headed(0, &["PROVIDER", "WHAT IT IS"], style);
        for provider in catalog.providers.values() {
            table.row(vec![
                Cell::new(&provider.name, style).paint(Paint::Bold),
                Cell::new(&provider.summary, style),
            ]);
        }
        out.push_str(&table.render(style));
    }
    let line = format!(
        "{}; see one with: runbook actions describe NAME",
        count(catalog.actions.len(), "action")
    );
    out.push_str(&format!("\n{}\n", style.paint(Paint::Dim, &line)));
    out
}

/// One action: what it does, inputs, outputs, examples.
pub fn action_text(action: &ActionManifest, style: Style) -> String {
    let mut out = head(&action.name, &action.summary, style);
    let effect = format!("effect: {}", action.effect);
    out.push_str(&format!("{}\n", style.paint(Paint::Dim, &effect)));
    out.push_str(&paragraphs(&action.description, style));
    out.push_str(&fields("Inputs (with)", "required", &action.input, style));
    out.push_str(&fields("Outputs", "always there", &action.output, style));
    for example in &action.examples {
        let title = format!("Example: {}", one_line(&example.title, style));
        out.push_str(&format!("\n{}\n", style.paint(Paint::Bold, &title)));
        for line in example.yaml.lines() {
            // Leading blanks mean something in YAML; nothing is wrapped or clipped.
            let line = format!("  {}", one_line(line, style));
            out.push_str(&format!("{}\n", line.trim_end()));
        }
    }
    out
}

/// One provider: what it is, and the keys of a service that uses it.
pub fn provider_text(provider: &ProviderManifest, style: Style) -> String {
    let mut out = head(&provider.name, &provider.summary, style);
    out.push_str(&fields(
        "Keys of a service",
        "required",
        &provider.config,
        style,
    ));
    out
}

fn head(name: &str, summary: &str, style: Style) -> String {
    let name = one_line(name, style);
    let mut lines = wrap(
        &one_line(summary, style),
        style.width.saturating_sub(width(&name) + 2),
    )
    .into_iter();
    let blank = " ".repeat(width(&name));
    let mut out = format!(
        "{}  {}\n",
        style.paint(Paint::Bold, &name),
        lines.next().unwrap_or_default()
    );
    for line in lines {
        out.push_str(&format!("{blank}  {line}\n"));
    }
    out
}

/// Markdown paragraphs wrapped; lists and code keep their lines.
fn paragraphs(text: &str, style: Style) -> String {
    let mut out = String::new();
    for paragraph in text.trim().split("\n\n").filter(|p| !p.trim().is_empty()) {
        out.push('\n');
        let kept = paragraph.lines().any(|line| {
            let line = line.trim_start_matches('\n');
            line.starts_with(['-', '*', ' ', '`', '|', '#'])
        });
        if kept {
            for line in paragraph.lines() {
                out.push_str(&format!("{}\n", one_line(line, style)));
            }
        } else {
            let flat = paragraph.lines().collect::<Vec<_>>().join(" ");
            for line in wrap(&one_line(&flat, style), style.width) {
                out.push_str(&format!("{line}\n"));
            }
        }
    }
    out
}

/// A field of an object schema, in words.
struct Field {
    name: String,
    facts: String,
    description: String,
}

/// `always` is the word for a field that is never left out.
fn fields(heading: &str, always: &str, schema: &Value, style: Style) -> String {
    let mut list = Vec::new();
    collect("", schema, always, &mut list, style);
    let mut out = format!("\n{}\n", style.paint(Paint::Bold, heading));
    if list.is_empty() {
        out.push_str(&format!("  {}\n", style.paint(Paint::Dim, "none")));
    }
    let names = list
        .iter()
        .map(|field| width(&field.name))
        .max()
        .unwrap_or(0)
        .min(24);
    for field in &list {
        let room = style.width.saturating_sub(names + 4).max(20);
        let mut name = style.paint(Paint::Name, &pad(&field.name, names));
        if width(&field.name) > names {
            out.push_str(&format!("  {name}\n"));
            name = " ".repeat(names);
        }
        for (i, line) in wrap(&field.facts, room).iter().enumerate() {
            let lead = if i == 0 {
                name.clone()
            } else {
                " ".repeat(names)
            };
            out.push_str(&format!("  {lead}  {}\n", style.paint(Paint::Dim, line)));
        }
        if !field.description.is_empty() {
            for line in wrap(&field.description, room) {
                out.push_str(&format!("  {}  {line}\n", " ".repeat(names)));
            }
        }
    }
    out
}

/// Lists the properties of an object schema, those of nested objects as `a.b`.
fn collect(prefix: &str, schema: &Value, always: &str, list: &mut Vec<Field>, style: Style) {
    let Some(properties) = schema.get("properties").and_then(Value::as_object) else {
        return;
    };
    let required: Vec<&str> = schema
        .get("required")
        .and_then(Value::as_array)
        .map(|names| names.iter().filter_map(Value::as_str).collect())
        .unwrap_or_default();
    for (name, property) in properties {
        let path = format!("{prefix}{}", one_line(name, style));
        let mut facts = type_words(property, style);
        if required.contains(&name.as_str()) {
            facts.push_str(&format!("; {always}"));
        } else if let Some(default) = property.get("default").filter(|d| !d.is_null()) {
            facts.push_str(&format!("; default {}", value_text(default, style)));
        }
        let description = property.get("description").and_then(Value::as_str);
        let flat = description.map_or(String::new(), |text| text.replace('\n', " "));
        list.push(Field {
            name: path.clone(),
            facts,
            description: one_line(&flat, style),
        });
        if path.matches('.').count() < DEPTH {
            collect(&format!("{path}."), property, always, list, style);
        }
    }
}

/// The type that a JSON Schema describes, in the words of the language where it has them.
fn type_words(schema: &Value, style: Style) -> String {
    let text = |key: &str| schema.get(key).and_then(Value::as_str);
    if let Some(format) = text("format").filter(|f| matches!(*f, "duration" | "size")) {
        return format.to_owned();
    }
    if text("format") == Some("date-time") {
        return "timestamp".to_owned();
    }
    if let Some(value) = schema.get("const") {
        return value_text(value, style);
    }
    if let Some(values) = schema.get("enum").and_then(Value::as_array) {
        let names: Vec<String> = values
            .iter()
            .filter(|value| !value.is_null())
            .map(|value| value_text(value, style))
            .collect();
        return format!("one of {}", names.join(", "));
    }
    for key in ["anyOf", "oneOf"] {
        if let Some(variants) = schema.get(key).and_then(Value::as_array) {
            let mut names: Vec<String> = Vec::new();
            for variant in variants {
                let name = type_words(variant, style);
                if name != "null" && !names.contains(&name) {
                    names.push(name);
                }
            }
            return names.join(" or ");
        }
    }
    match schema.get("type") {
        Some(Value::String(kind)) => kind_words(kind, schema, style),
        Some(Value::Array(kinds)) => {
            let names: Vec<String> = kinds
                .iter()
                .filter_map(Value::as_str)
                .filter(|kind| *kind != "null")
                .map(|kind| kind_words(kind, schema, style))
                .collect();
            names.join(" or ")
        }
        _ => "any".to_owned(),
    }
}

fn kind_words(kind: &str, schema: &Value, style: Style) -> String {
    match kind {
        "integer" => "int".to_owned(),
        "number" => "float".to_owned(),
        "boolean" => "bool".to_owned(),
        "array" => match schema.get("items") {
            Some(items) => format!("list of {}", type_words(items, style)),
            None => "list".to_owned(),
        },
        "object" => match schema.get("additionalProperties") {
            Some(values @ Value::Object(_)) => format!("map of {}", type_words(values, style)),
            _ => "map".to_owned(),
        },
        other => one_line(other, style),
    }
}

/// An action as JSON.
pub fn action_json(action: &ActionManifest) -> Value {
    serde_json::to_value(action).unwrap_or(Value::Null)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::model::{ActionExample, Effect};

    fn manifest() -> ActionManifest {
        ActionManifest {
            name: "service.restart".to_owned(),
            summary: "Restarts a service, or starts it when it is not up".to_owned(),
            description: "Asks the provider to stop the service, waits for its end, and starts it again.\nThe new process outlives this program.\n\n- one\n- two".to_owned(),
            effect: Effect::Idempotent,
            input: json!({
                "type": "object",
                "additionalProperties": false,
                "required": ["service"],
                "properties": {
                    "service": { "type": "string", "description": "The service's name in the environment." },
                    "grace": { "type": "string", "format": "duration", "default": "10s", "description": "How long it may take to end after TERM before it is killed, written as a duration." },
                    "mode": { "enum": ["fast", "safe"], "default": "safe" },
                    "env": { "type": ["object", "null"], "additionalProperties": { "type": "string" } },
                    "probe": { "anyOf": [ { "type": "object" }, { "type": "null" } ], "properties": { "path": { "type": "string" } } },
                    "ports": { "type": "array", "items": { "type": "integer" } }
                }
            }),
            output: json!({
                "type": "object",
                "required": ["pid"],
                "properties": { "pid": { "type": "integer", "description": "The new process." } }
            }),
            examples: vec![ActionExample {
                title: "restart the API".to_owned(),
                yaml: "id: restart\nuses: service.restart\nwith:\n  service: api\n".to_owned(),
            }],
        }
    }

    #[test]
    fn describes_an_action_from_its_schemas() {
        let text = action_text(&manifest(), Style::plain(80));
        insta::assert_snapshot!(text);
        assert!(text.lines().all(|line| width(line) <= 80));
        assert_eq!(action_json(&manifest())["effect"], "idempotent");
    }

    #[test]
    fn lists_actions_and_providers() {
        let mut catalog = ActionCatalog::default();
        catalog
            .actions
            .insert("service.restart".to_owned(), manifest());
        catalog.providers.insert(
            "process".to_owned(),
            ProviderManifest {
                name: "process".to_owned(),
                summary: "A process that this program starts itself".to_owned(),
                config: json!({ "properties": { "command": { "type": "array", "items": { "type": "string" } } } }),
            },
        );
        insta::assert_snapshot!(actions_table(&catalog, Style::plain(80)));
        let text = provider_text(&catalog.providers["process"], Style::plain(80));
        assert!(text.contains("command  list of string"), "{text}");
    }
}
