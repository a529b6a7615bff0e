//! What can be written at the cursor.

use lsp_types::{
    CompletionItem, CompletionItemKind, CompletionTextEdit, Documentation, InsertTextFormat,
    InsertTextMode, Position, TextEdit,
};

use super::cursor::{Cursor, On};
use super::document::Document;
use super::expression::{Language, Path};
use super::hover::{action_text, input_text, key_help_text, markdown, thing_text};
use super::subject::{Subject, provider};
use super::tree::{self, entries, format_of, get, properties, required, words};
use crate::base::{Span, Value};
use crate::language::{FileKind, Form, Place, condition_functions, template_helpers};

/// What the client can do with what it is given.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Abilities {
    /// Whether it fills in snippets, in several lines just as they are given.
    pub(super) snippets: bool,
}

/// What can be written there, the best first.
pub(super) fn completion(
    document: &Document<'_>,
    position: Position,
    abilities: Abilities,
) -> Vec<CompletionItem> {
    let offset = document.lines.offset(position);
    let Some(cursor) = document.cursor(offset) else {
        return Vec::new();
    };
    let asked = Asked {
        document,
        subject: document.subject(&cursor),
        cursor: &cursor,
        abilities,
    };
    asked.items()
}

struct Asked<'a> {
    document: &'a Document<'a>,
    cursor: &'a Cursor,
    subject: Subject,
    abilities: Abilities,
}

impl Asked<'_> {
    fn items(&self) -> Vec<CompletionItem> {
        if self.cursor.on == On::Key {
            return self.keys(false);
        }
        if let Some((path, language)) = self.document.reference(self.cursor, &self.subject) {
            let mut found = self.members(&path, language);
            // A condition, or a map that holds one: the first word decides.
            if language == Language::Condition && path.name == self.cursor.text {
                found.extend(self.keys(true));
            }
            return found;
        }
        match &self.subject {
            Subject::Place(place) => match place.form() {
                Form::Object | Form::With => self.keys(true),
                Form::Uses => self.actions(),
                Form::Words(words) => self.values(words.iter().copied()),
                _ => self.named(*place),
            },
            Subject::Schema(schema) if !properties(schema).is_empty() => self.keys(true),
            Subject::Schema(schema) => self.input_values(schema),
            Subject::Unknown => Vec::new(),
        }
    }

    /// The keys that the map at the cursor does not have yet.
    fn keys(&self, is_value: bool) -> Vec<CompletionItem> {
        let container = tree::at(&self.cursor.tree, &self.cursor.path);
        let taken: Vec<&str> = entries(container.filter(|_| !is_value))
            .map(|(name, _, _)| name)
            .filter(|name| *name != self.cursor.text)
            .collect();
        let mut found = Vec::new();
        match &self.subject {
            Subject::Place(place) => {
                for key in place.keys() {
                    found.push(self.key(
                        key.name,
                        key.required,
                        key_help_text(&key),
                        Some(key.place),
                    ));
                }
                if place.is_open()
                    && let Some(schema) = container.and_then(|c| provider(c, self.document.project))
                {
                    self.schema_keys(schema, &mut found);
                }
            }
            Subject::Schema(schema) => self.schema_keys(schema, &mut found),
            Subject::Unknown => {}
        }
        found.retain(|item| !taken.contains(&item.label.as_str()));
        found
    }

    fn schema_keys(&self, schema: &Value, found: &mut Vec<CompletionItem>) {
        let needed = required(schema);
        for (name, schema) in properties(schema) {
            let is_required = needed.contains(&name);
            let words = input_text(name, schema, is_required);
            found.push(self.key(name, is_required, words, None));
        }
    }

    fn key(
        &self,
        name: &str,
        is_required: bool,
        doc: String,
        place: Option<Place>,
    ) -> CompletionItem {
        let form = place.map(Place::form);
        let line = &self.document.text[self.cursor.offset..];
        let after = &line[self.cursor.text.len() - self.cursor.at..];
        let has_colon = after.trim_start_matches([' ', '"', '\'']).starts_with(':');
        let nested = matches!(
            form,
            Some(Form::Object | Form::List | Form::Map | Form::With)
        );
        let text = match (has_colon, nested && !self.cursor.inline) {
            (true, _) => name.to_owned(),
            (false, true) => format!("{name}:"),
            (false, false) => format!("{name}: "),
        };
        CompletionItem {
            kind: Some(CompletionItemKind::PROPERTY),
            detail: is_required.then(|| "required".to_owned()),
            documentation: Some(Documentation::MarkupContent(markdown(doc))),
            sort_text: Some(format!("{}{name}", u8::from(!is_required))),
            ..self.item(name, text, self.word())
        }
    }

    fn actions(&self) -> Vec<CompletionItem> {
        let project = self.document.project;
        let above = self.cursor.path.len().saturating_sub(1);
        let step = tree::at(&self.cursor.tree, &self.cursor.path[..above]);
        let has_inputs = step.is_some_and(|step| get(step, "with").is_some());
        let mut found: Vec<CompletionItem> = project
            .catalog
            .actions
            .values()
            .map(|manifest| {
                let body = match has_inputs {
                    true => None,
                    false => self.inputs(&manifest.name, &required(&manifest.input)),
                };
                let item = CompletionItem {
                    kind: Some(CompletionItemKind::FUNCTION),
                    detail: Some(manifest.summary.clone()),
                    documentation: Some(Documentation::MarkupContent(markdown(action_text(
                        manifest,
                    )))),
                    ..self.item(&manifest.name, manifest.name.clone(), self.word())
                };
                match body {
                    Some(text) => snippet(item, text),
                    None => item,
                }
            })
            .collect();
        let own = self
            .document
            .path
            .file_stem()
            .and_then(|stem| stem.to_str());
        for name in project.runbooks() {
            if Some(name.as_str()) != own {
                let label = format!("runbook.{name}");
                found.push(CompletionItem {
                    kind: Some(CompletionItemKind::MODULE),
                    detail: Some("another runbook of this repository".to_owned()),
                    ..self.item(&label, label.clone(), self.word())
                });
            }
        }
        found
    }

    /// An action with the inputs that it needs, to be filled in one by one.
    fn inputs(&self, name: &str, needed: &[&str]) -> Option<String> {
        if !self.abilities.snippets || self.cursor.inline || needed.is_empty() {
            return None;
        }
        // `uses` stands behind a dash or below another key; its column is that of its step's keys.
        let before = &self.document.text[..self.cursor.offset];
        let line = &before[before.rfind('\n').map_or(0, |end| end + 1)..];
        let column = line.find("uses")?;
        let indent = " ".repeat(column);
        let inputs: Vec<String> = needed
            .iter()
            .enumerate()
            .map(|(index, input)| format!("\n{indent}  {input}: ${{{}:{input}}}", index + 1))
            .collect();
        Some(format!("{name}\n{indent}with:{}", inputs.concat()))
    }

    /// What can follow a dot, or begin an expression.
    fn members(&self, path: &Path, language: Language) -> Vec<CompletionItem> {
        let names = self.document.names(self.cursor);
        let span = self.cursor.span(path.start, path.end);
        let mut found: Vec<CompletionItem> = names
            .members(&path.parents)
            .into_iter()
            .map(|thing| {
                let mut whole = path.parents.clone();
                whole.push(thing.name.clone());
                let doc = thing_text(&whole.join("."), &thing);
                CompletionItem {
                    kind: Some(CompletionItemKind::VARIABLE),
                    detail: Some(thing.ty.to_string()),
                    documentation: Some(Documentation::MarkupContent(markdown(doc))),
                    sort_text: Some(format!("0{}", thing.name)),
                    ..self.item(&thing.name, thing.name.clone(), span)
                }
            })
            .collect();
        if path.parents.is_empty() {
            let functions = match language {
                Language::Template => template_helpers(),
                Language::Condition => condition_functions(),
            };
            found.extend(functions.iter().map(|name| CompletionItem {
                kind: Some(CompletionItemKind::FUNCTION),
                sort_text: Some(format!("1{name}")),
                ..self.item(name, (*name).to_owned(), span)
            }));
        }
        found
    }

    /// The names that a text of the table can be, by the key that it belongs to.
    fn named(&self, place: Place) -> Vec<CompletionItem> {
        let names = self.document.names(self.cursor);
        let tree = &self.cursor.tree;
        let section = |name| {
            entries(get(tree, name))
                .map(|(name, _, _)| name.to_owned())
                .collect()
        };
        let found: Vec<String> = match (self.document.kind, Document::key(&self.cursor.path)) {
            (FileKind::Runbook, "needs") => {
                let own = names.step.and_then(|step| tree::text_at(step, "id"));
                let steps = names.steps();
                let ids = steps
                    .iter()
                    .filter(|step| step.list == "steps" && Some(step.id) != own);
                ids.map(|step| step.id.to_owned()).collect()
            }
            (FileKind::Runbook, "secrets") => {
                let params = names.members(&["params".to_owned()]);
                let secret = params
                    .into_iter()
                    .filter(|p| p.ty == crate::model::Ty::Secret);
                let of_environment = names.members(&["secrets".to_owned()]);
                secret
                    .chain(of_environment)
                    .map(|thing| thing.name)
                    .collect()
            }
            (FileKind::Runbook, "default") => self.param_values(),
            (FileKind::Environment, "provider") => self
                .document
                .project
                .catalog
                .providers
                .keys()
                .cloned()
                .collect(),
            (FileKind::Environment, "secrets") if place.form() != Form::Map => {
                ["env:", "file:", "command:", "vault:"]
                    .map(str::to_owned)
                    .to_vec()
            }
            (FileKind::Policy, "role") => section("roles"),
            (FileKind::Policy, "members") => section("people"),
            _ => Vec::new(),
        };
        self.values(found.iter().map(String::as_str))
    }

    /// What a parameter's default can be.
    fn param_values(&self) -> Vec<String> {
        let Some(param) = tree::at(
            &self.cursor.tree,
            &self.cursor.path[..self.cursor.path.len() - 1],
        ) else {
            return Vec::new();
        };
        match super::names::param_type(param) {
            crate::model::Ty::Bool => vec!["true".to_owned(), "false".to_owned()],
            crate::model::Ty::Enum(words) => words,
            crate::model::Ty::Service => self.of_environment("services"),
            crate::model::Ty::Connection => self.of_environment("connections"),
            _ => Vec::new(),
        }
    }

    fn input_values(&self, schema: &Value) -> Vec<CompletionItem> {
        let mut found = words(schema);
        match format_of(schema) {
            Some("service") => found.extend(self.of_environment("services")),
            Some("connection") => found.extend(self.of_environment("connections")),
            _ => {}
        }
        self.values(found.iter().map(String::as_str))
    }

    fn of_environment(&self, section: &str) -> Vec<String> {
        let file = self.document.project.environment();
        file.iter()
            .flat_map(|file| entries(get(&file.tree, section)))
            .map(|(name, _, _)| name.to_owned())
            .collect()
    }

    fn values<'v>(&self, words: impl Iterator<Item = &'v str>) -> Vec<CompletionItem> {
        words
            .map(|word| CompletionItem {
                kind: Some(CompletionItemKind::VALUE),
                ..self.item(word, word.to_owned(), self.word())
            })
            .collect()
    }

    /// The whole of what the cursor stands on, on its line.
    fn word(&self) -> Span {
        let Cursor { text, at, .. } = self.cursor;
        let start = text[..*at].rfind('\n').map_or(0, |end| end + 1);
        let end = text[*at..].find('\n').map_or(text.len(), |len| at + len);
        self.cursor.span(start, end)
    }

    fn item(&self, label: &str, text: String, span: Span) -> CompletionItem {
        let range = self.document.lines.range(span);
        CompletionItem {
            label: label.to_owned(),
            filter_text: Some(label.to_owned()),
            text_edit: Some(CompletionTextEdit::Edit(TextEdit::new(range, text))),
            ..CompletionItem::default()
        }
    }
}

fn snippet(item: CompletionItem, text: String) -> CompletionItem {
    let text_edit = match item.text_edit {
        Some(CompletionTextEdit::Edit(edit)) => {
            Some(CompletionTextEdit::Edit(TextEdit::new(edit.range, text)))
        }
        other => other,
    };
    CompletionItem {
        text_edit,
        insert_text_format: Some(InsertTextFormat::SNIPPET),
        insert_text_mode: Some(InsertTextMode::AS_IS),
        ..item
    }
}
