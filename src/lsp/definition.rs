//! Where the name at the cursor is defined.

use lsp_types::{Location, Position};

use super::cursor::{Cursor, On};
use super::document::Document;
use super::names::Target;
use super::position::{Encoding, Lines};
use super::project::{File, uri_of};
use super::subject::Subject;
use super::tree::{entry, format_of, get};
use crate::base::Span;
use crate::language::Form;

/// The place of the definition; `None` when the name is unknown or needs none.
pub(super) fn definition(
    document: &Document<'_>,
    position: Position,
    encoding: Encoding,
) -> Option<Location> {
    let cursor = document.cursor(document.lines.offset(position))?;
    let location = |path: &std::path::Path, lines: &Lines<'_>, span| {
        let open = document.project.open.get(path);
        let uri = open.map(|open| open.uri.clone()).or_else(|| uri_of(path))?;
        Some(Location::new(uri, lines.range(span)))
    };
    match target(document, &cursor)? {
        Target::Here(span) => location(document.path, &document.lines, span),
        Target::There(file, span) => {
            let lines = Lines::new(&file.source.text, encoding);
            location(&file.path, &lines, span)
        }
    }
}

fn target(document: &Document<'_>, cursor: &Cursor) -> Option<Target> {
    let subject = document.subject(cursor);
    if cursor.on == On::Key {
        // The inputs of a runbook that is used are the parameters of its own file.
        return input(document, cursor);
    }
    let names = document.names(cursor);
    if let Some((path, _)) = document.reference(cursor, &subject) {
        let mut path = path.whole();
        // An output of an action is written nowhere; its step is.
        while !path.is_empty() {
            if let Some(target) = names.thing(&path).and_then(|thing| thing.target) {
                return Some(target);
            }
            path.pop();
        }
        return None;
    }
    let whole = cursor.text.as_str();
    match &subject {
        Subject::Place(place) if place.form() == Form::Uses => {
            let file = document.project.runbook(whole.strip_prefix("runbook.")?)?;
            let span = entry(&file.tree, "name").map_or_else(Span::default, |(_, v)| v.span);
            Some(Target::There(Box::new(file), span))
        }
        Subject::Place(_) => match Document::key(&cursor.path) {
            "needs" => names
                .steps()
                .iter()
                .find(|step| step.id == whole)
                .map(|step| Target::Here(step.id_span)),
            "secrets" => {
                names
                    .thing(&["secrets".to_owned(), whole.to_owned()])?
                    .target
            }
            "members" => here(cursor, "people", whole),
            "role" => here(cursor, "roles", whole),
            "default" => of_environment(document, "services", whole)
                .or_else(|| of_environment(document, "connections", whole)),
            _ => None,
        },
        Subject::Schema(schema) => match format_of(schema)? {
            "service" => of_environment(document, "services", whole),
            "connection" => of_environment(document, "connections", whole),
            _ => None,
        },
        Subject::Unknown => None,
    }
}

fn input(document: &Document<'_>, cursor: &Cursor) -> Option<Target> {
    let (last, above) = cursor.path.split_last()?;
    let step = super::tree::at(&cursor.tree, above).filter(|_| last == "with")?;
    let child = super::tree::text_at(step, "uses")?.strip_prefix("runbook.")?;
    let file = document.project.runbook(child)?;
    let span = entry(get(&file.tree, "params")?, &cursor.text)?.0;
    Some(Target::There(Box::new(file), span))
}

fn here(cursor: &Cursor, section: &str, name: &str) -> Option<Target> {
    let (span, _) = entry(get(&cursor.tree, section)?, name)?;
    Some(Target::Here(span))
}

fn of_environment(document: &Document<'_>, section: &str, name: &str) -> Option<Target> {
    let file: File = document.project.environment()?;
    let (span, _) = entry(get(&file.tree, section)?, name)?;
    Some(Target::There(Box::new(file), span))
}
