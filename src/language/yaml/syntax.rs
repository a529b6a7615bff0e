//! What is judged before and around the parser: bytes, characters, and its error messages.

use std::sync::Arc;

use crate::base::{Diagnostic, SourceFile, Span};
use crate::language::codes;

use super::limits::Limits;

/// Wraps the bytes of a file.
///
/// # Errors
/// A finding when the file is too large or not UTF-8.
pub fn source_from_bytes(
    path: &str,
    bytes: Vec<u8>,
    limits: &Limits,
) -> Result<Arc<SourceFile>, Box<Diagnostic>> {
    if bytes.len() > limits.document_bytes {
        let source = SourceFile::new(path, "");
        return Err(Box::new(too_large_file(&source, bytes.len(), limits)));
    }
    match String::from_utf8(bytes) {
        Ok(text) => Ok(SourceFile::new(path, text)),
        Err(error) => {
            let offset = error.utf8_error().valid_up_to();
            let bytes = error.into_bytes();
            let bad = bytes.get(offset).copied().unwrap_or_default();
            let utf16 = bytes.starts_with(&[0xFF, 0xFE]) || bytes.starts_with(&[0xFE, 0xFF]);
            // Everything before the bad byte is the same in the lossy text, so the place holds.
            let source = SourceFile::new(path, String::from_utf8_lossy(&bytes));
            let help = if utf16 {
                "the file is UTF-16; save it as UTF-8"
            } else {
                "save the file as UTF-8; `iconv -f latin1 -t utf-8` converts an old one"
            };
            Err(Box::new(
                Diagnostic::error(
                    codes::NOT_UTF8,
                    format!("the file is not UTF-8: byte {offset} (0x{bad:02X}) is not valid"),
                )
                .at(
                    &source,
                    Span {
                        start: offset,
                        len: 3,
                    },
                    "not UTF-8 from here",
                )
                .help(help),
            ))
        }
    }
}

fn too_large_file(source: &Arc<SourceFile>, size: usize, limits: &Limits) -> Diagnostic {
    Diagnostic::error(
        codes::TOO_LARGE,
        format!(
            "the file has {size} bytes; at most {} are read",
            limits.document_bytes
        ),
    )
    .at(source, Span::default(), "this file")
    .help("split it into several runbooks, or move long texts into files of their own")
}

/// What can be refused by looking at the characters alone.
pub(super) fn check_characters(
    source: &Arc<SourceFile>,
    limits: &Limits,
) -> Result<(), Box<Diagnostic>> {
    if source.text.len() > limits.document_bytes {
        return Err(Box::new(too_large_file(source, source.text.len(), limits)));
    }
    let forbidden = source.text.char_indices().find(|(at, c)| match c {
        '\t' | '\n' | '\r' | '\u{85}' => false,
        '\u{FEFF}' => *at > 0,
        '\u{FFFE}' | '\u{FFFF}' => true,
        c => c.is_control(),
    });
    let Some((at, c)) = forbidden else {
        return Ok(());
    };
    let name = match c {
        '\0' => "a NUL byte".to_owned(),
        '\u{FEFF}' => "a byte order mark inside the text".to_owned(),
        c => format!("the control character U+{:04X}", u32::from(c)),
    };
    Err(Box::new(
        Diagnostic::error(codes::FORBIDDEN_CHARACTER, format!("the file holds {name}"))
            .at(source, Span { start: at, len: c.len_utf8() }, "here")
            .help("delete it; inside a double-quoted text it can be written as an escape such as `\\x1b`"),
    ))
}

/// The finding for an error of the parser.
pub(super) fn syntax_error(
    source: &Arc<SourceFile>,
    at: usize,
    info: &str,
    limits: &Limits,
) -> Diagnostic {
    let text = &source.text;
    let at = at.min(text.len());
    let line_start = text[..at].rfind('\n').map_or(0, |i| i + 1);
    let line = text[line_start..].lines().next().unwrap_or_default();
    let here = Span {
        start: at,
        len: text[at..].chars().next().map_or(0, char::len_utf8),
    };
    if info.contains("recursion limit") {
        return too_deep(source, here, limits);
    }
    if info.contains("unknown anchor") {
        return Diagnostic::error(codes::BAD_ALIAS, "the alias has no anchor above it")
            .at(source, here, "nothing above is marked with this anchor")
            .help("mark the value with `&name` first; a text that starts with `*` must be quoted");
    }
    // The parser notices a tab as late as the next word, or as early as the text before it.
    let reach = if info.contains("tab") { usize::MAX } else { 1 };
    if let Some(tab) = tab_indent(&text[line_start..], reach) {
        return tab_error(source, line_start + tab);
    }
    let error = Diagnostic::error(
        codes::YAML_SYNTAX,
        format!("the file is not valid YAML: {info}"),
    )
    .at(source, here, "the parser stopped here");
    let unclosed = info.contains("unexpected end of stream");
    let help = match help_for(info, line) {
        Some(help) => help,
        None if unclosed => "a quote or bracket above is opened but never closed",
        None => "`runbook explain RB0001` shows the common causes",
    };
    error.help(help)
}

/// The finding for a tab that indents.
pub(super) fn tab_error(source: &Arc<SourceFile>, at: usize) -> Diagnostic {
    Diagnostic::error(codes::TAB_INDENT, "a tab is used as indentation")
        .at(source, Span { start: at, len: 1 }, "this tab")
        .help("indent with spaces; most editors convert tabs for YAML files")
}

/// The first tab that indents one of the next lines.
fn tab_indent(text: &str, lines: usize) -> Option<usize> {
    let mut start = 0;
    for line in text.split_inclusive('\n').take(lines) {
        let indent = line.len() - line.trim_start_matches([' ', '\t']).len();
        if let Some(tab) = line[..indent].find('\t') {
            return Some(start + tab);
        }
        start += line.len();
    }
    None
}

fn help_for(info: &str, line: &str) -> Option<&'static str> {
    if line.contains("{{") {
        return Some("a text that starts with `{{` must be quoted: \"{{ params.x }}\"");
    }
    if info.contains("unexpected character") {
        return Some("a text that starts with @, ` or % must be quoted");
    }
    if info.contains("mapping values are not allowed") {
        return Some("a text with `: ` in it must be quoted; else check the indentation");
    }
    let indentation = info.contains("did not find expected key")
        || info.contains("indent")
        || info.contains("expected '-' indicator")
        || info.contains("expect ':'");
    indentation.then_some(
        "check the indentation: keys of one map stand in one column, and each key ends in `: `",
    )
}

/// The finding for nesting beyond the limit.
pub(super) fn too_deep(source: &Arc<SourceFile>, span: Span, limits: &Limits) -> Diagnostic {
    Diagnostic::error(
        codes::TOO_DEEP,
        format!("lists and maps are nested more than {} deep", limits.depth),
    )
    .at(source, span, "too deep from here")
    .help("flatten the structure")
}
