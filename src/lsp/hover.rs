//! What the thing at the cursor is.

use lsp_types::{Hover, HoverContents, MarkupContent, MarkupKind, Position};

use super::cursor::{Cursor, On};
use super::diagnostics::findings;
use super::document::Document;
use super::names::Thing;
use super::subject::{Subject, provider};
use super::tree::{self, description, properties, property, required};
use crate::base::{Span, Value};
use crate::check::explain;
use crate::language::{Form, KeyHelp};
use crate::model::{ActionManifest, Ty};

/// The words for the place; first what it is, then the pages of what is wrong there.
pub(super) fn hover(document: &Document<'_>, position: Position) -> Option<Hover> {
    let offset = document.lines.offset(position);
    let what = document
        .cursor(offset)
        .and_then(|cursor| Some((text(document, &cursor)?, cursor)));
    let pages: Vec<String> = findings(document)
        .iter()
        .filter(|finding| {
            let first = finding.labels.first();
            first.is_some_and(|l| l.span.start <= offset && offset <= l.span.end())
        })
        .filter_map(|finding| explain(finding.code.0).map(|page| page.page.to_owned()))
        .collect();
    let span = what.as_ref().map(|((_, span), _)| *span);
    let parts: Vec<String> = what
        .into_iter()
        .map(|((text, _), _)| text)
        .chain(pages)
        .collect();
    if parts.is_empty() {
        return None;
    }
    Some(Hover {
        contents: HoverContents::Markup(markdown(parts.join("\n\n---\n\n"))),
        range: span.map(|span| document.lines.range(span)),
    })
}

/// Markdown as the protocol wants it.
pub(super) fn markdown(value: String) -> MarkupContent {
    MarkupContent {
        kind: MarkupKind::Markdown,
        value,
    }
}

fn text(document: &Document<'_>, cursor: &Cursor) -> Option<(String, Span)> {
    let subject = document.subject(cursor);
    if cursor.on == On::Key {
        let words = key_text(document, cursor, &subject)?;
        return Some((words, cursor.span(0, cursor.text.len())));
    }
    if let Some((path, _)) = document.reference(cursor, &subject) {
        let thing = document.names(cursor).thing(&path.whole())?;
        let words = thing_text(&path.whole().join("."), &thing);
        return Some((words, cursor.span(path.start, path.end)));
    }
    let Subject::Place(place) = &subject else {
        return None;
    };
    if place.form() != Form::Uses {
        return None;
    }
    let whole = cursor.span(0, cursor.text.len());
    if let Some(child) = cursor.text.strip_prefix("runbook.") {
        let file = document.project.runbook(child)?;
        let line = |key| tree::text_at(&file.tree, key).unwrap_or_default();
        let words = format!(
            "**{}**: {}\n\n{}",
            cursor.text,
            line("title"),
            line("description")
        );
        return Some((words, whole));
    }
    let manifest = document.project.catalog.get(&cursor.text)?;
    Some((action_text(manifest), whole))
}

fn key_text(document: &Document<'_>, cursor: &Cursor, subject: &Subject) -> Option<String> {
    let name = cursor.text.as_str();
    match subject {
        Subject::Place(place) => match place.key(name) {
            Some(key) => Some(key_help_text(&key)),
            None if place.is_open() => {
                let container = tree::at(&cursor.tree, &cursor.path)?;
                let schema = property(provider(container, document.project)?, name)?;
                Some(input_text(name, schema, false))
            }
            None => None,
        },
        Subject::Schema(schema) => {
            let is_required = required(schema).contains(&name);
            Some(input_text(name, property(schema, name)?, is_required))
        }
        Subject::Unknown => None,
    }
}

/// A key of the language.
pub(super) fn key_help_text(key: &KeyHelp) -> String {
    let mut text = format!("**{}**", key.name);
    if key.required {
        text.push_str(" (required)");
    }
    text.push_str(&format!(": {}", key.doc));
    if let Form::Words(words) = key.place.form() {
        text.push_str(&format!("\n\nOne of `{}`", words.join("`, `")));
    }
    if let Some(default) = key.default {
        text.push_str(&format!("\n\nDefault: `{default}`"));
    }
    text.push_str(&format!("\n\n```yaml\n{}: {}\n```", key.name, key.example));
    text
}

/// An input of an action, or a key of a provider.
pub(super) fn input_text(name: &str, schema: &Value, is_required: bool) -> String {
    let ty = Ty::from_schema(schema);
    let needed = if is_required { ", required" } else { "" };
    let mut text = format!("**{name}** ({ty}{needed}): {}", description(schema));
    if let Some(default) = schema.get("default").filter(|value| !value.is_null()) {
        text.push_str(&format!("\n\nDefault: `{default}`"));
    }
    text
}

/// A reference.
pub(super) fn thing_text(path: &str, thing: &Thing<'_>) -> String {
    let ty = match &thing.ty {
        Ty::Any => String::new(),
        ty => format!(": {ty}"),
    };
    format!("`{path}`{ty}\n\n{}", thing.doc)
        .trim_end()
        .to_owned()
}

/// An action.
pub(super) fn action_text(manifest: &ActionManifest) -> String {
    let mut text = format!(
        "**{}**: {}\n\nEffect: {}\n\n{}",
        manifest.name, manifest.summary, manifest.effect, manifest.description
    );
    for (title, schema) in [("Inputs", &manifest.input), ("Outputs", &manifest.output)] {
        let needed = required(schema);
        let rows: Vec<String> = properties(schema)
            .into_iter()
            .map(|(name, schema)| {
                let is_required = title == "Inputs" && needed.contains(&name);
                let words = input_text(name, schema, is_required);
                format!("- {}", words.replace("\n\n", ". ").replace('\n', " "))
            })
            .collect();
        if !rows.is_empty() {
            text.push_str(&format!("\n\n{title}:\n\n{}", rows.join("\n")));
        }
    }
    if let Some(example) = manifest.examples.first() {
        text.push_str(&format!(
            "\n\n{}:\n\n```yaml\n{}\n```",
            example.title,
            example.yaml.trim()
        ));
    }
    text
}
