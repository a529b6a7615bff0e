//! The findings of the tree's builder, in words.

use std::sync::Arc;

use super::scalar::NumberProblem;
use super::syntax::tab_error;
use crate::base::{Diagnostic, SourceFile, Span};
use crate::language::codes;
use crate::model::{YamlValue, YamlValueKind};

/// The parser lets tabs pass where the outermost block begins.
pub(super) fn refuse_tab(source: &Arc<SourceFile>, at: Span) -> Result<(), Box<Diagnostic>> {
    let before = &source.text[..at.start];
    let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
    let indent = &before[line_start..];
    let marks_only = indent.chars().all(|c| matches!(c, ' ' | '\t' | '-' | '?'));
    match indent.find(|c| c != ' ') {
        Some(tab) if marks_only && indent[tab..].starts_with('\t') => {
            Err(tab_error(source, line_start + tab).into())
        }
        _ => Ok(()),
    }
}

pub(super) fn read_key(
    source: &Arc<SourceFile>,
    value: YamlValue,
    plain: bool,
) -> Result<(String, Span), Box<Diagnostic>> {
    let span = first_line(&source.text, value.span);
    let found = match value.kind {
        YamlValueKind::Text { text, .. } if plain && text == "<<" => {
            return Err(Diagnostic::error(
                codes::MERGE_KEY,
                "the merge key `<<` is not part of the language",
            )
            .at(source, span, "merge key")
            .help("write the keys out, or use an alias for the whole value")
            .into());
        }
        YamlValueKind::Text { text, .. } => return Ok((text, value.span)),
        YamlValueKind::Literal(literal) => format!("`{literal}`"),
        YamlValueKind::List(_) => "a list".to_owned(),
        YamlValueKind::Map(_) => "a map".to_owned(),
    };
    let before = &source.text[..span.start.min(source.text.len())];
    let template = source.text[before.len()..].starts_with('{') && before.ends_with('{');
    let help = if template {
        "a text that starts with `{{` must be quoted: \"{{ params.x }}\"".to_owned()
    } else {
        "quote the key to make it text".to_owned()
    };
    Err(Diagnostic::error(
        codes::KEY_NOT_TEXT,
        format!("a key must be text, found {found}"),
    )
    .at(source, span, "this key")
    .help(help)
    .into())
}

pub(super) fn duplicate_key(
    source: &Arc<SourceFile>,
    key: &str,
    first: Span,
    second: Span,
) -> Diagnostic {
    Diagnostic::error(
        codes::DUPLICATE_KEY,
        format!("the key `{}` stands twice in one map", shorten(key)),
    )
    .at(source, second, "here again")
    .at(source, first, "first here")
    .help("delete one of the two")
}

pub(super) fn number_problem(
    source: &Arc<SourceFile>,
    text: &str,
    span: Span,
    problem: NumberProblem,
) -> Diagnostic {
    let shown = shorten(text);
    let (why, help) = match problem {
        NumberProblem::TooLarge => (
            "does not fit into 64 bits",
            format!("quote it to make it text: \"{shown}\""),
        ),
        NumberProblem::NotFinite => (
            "is not a finite number",
            format!("quote it to make it text: \"{shown}\""),
        ),
        NumberProblem::LeadingZero => (
            "is ambiguous: some readers take a leading zero for octal",
            format!(
                "write \"{shown}\" for a text, or `0o{}` for octal",
                shown.trim_start_matches(['0', '+', '-'])
            ),
        ),
    };
    Diagnostic::error(codes::BAD_NUMBER, format!("the number `{shown}` {why}"))
        .at(source, span, "this number")
        .help(help)
}

fn shorten(text: &str) -> String {
    const MOST: usize = 60;
    if text.chars().count() <= MOST {
        return text.to_owned();
    }
    text.chars().take(MOST).chain(['…']).collect()
}

/// A span cut at the end of its first line, so that a label underlines one line.
pub(in crate::language) fn first_line(text: &str, span: Span) -> Span {
    let inside = text.get(span.start..span.end()).unwrap_or_default();
    let len = inside.find(['\n', '\r']).unwrap_or(inside.len());
    Span {
        start: span.start,
        len,
    }
}

/// The finding for a limit on values.
pub(super) fn too_many(
    source: &Arc<SourceFile>,
    message: String,
    at: Span,
    help: &str,
) -> Diagnostic {
    let at = first_line(&source.text, at);
    Diagnostic::error(codes::TOO_MANY_VALUES, message)
        .at(source, at, "the limit is reached here")
        .help(help)
}

/// The finding for a tag.
pub(super) fn tag_problem(source: &Arc<SourceFile>, tag: &str, span: Span) -> Diagnostic {
    let message = format!(
        "the YAML tag `{}` is not part of the language",
        shorten(tag)
    );
    Diagnostic::error(codes::TAG, message)
        .at(source, span, "this value has a tag")
        .help("delete the tag; quote a value to make it text; a text that starts with `!` must be quoted")
}
