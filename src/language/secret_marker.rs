//! Markers: the texts that stand for secrets in everything that is kept or shown.
//!
//! Expressions see `U+2063 [secret NAME] U+2063`. Where a text with markers is escaped, each marker
//! remembers the escapes (`[secret NAME | json | shell]`), so that the value itself is escaped, in
//! this order, when it is put in at the last moment.

use super::escape::{escape_url_start, json_inside, url_host, url_part, word};
use crate::base::Value;

/// Begins and ends a marker. An invisible separator, so that a marker reads `[secret NAME]`.
pub const EDGE: char = '\u{2063}';

const OPEN: &str = "\u{2063}[secret ";
const CLOSE: &str = "]\u{2063}";
const BETWEEN: &str = " | ";

/// The text that stands for the secret of this name.
pub fn marker(name: &str) -> String {
    format!("{OPEN}{name}{CLOSE}")
}

/// Why a text with markers could not be filled in. Never shows a value.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum MarkerError {
    /// The name is none of the plan's secrets.
    #[error("there is no secret `{0}`")]
    Unknown(String),
    /// The value cannot stand in its place.
    #[error("the secret `{name}` cannot be used here: {why}")]
    Unusable {
        /// The secret.
        name: String,
        /// Why.
        why: String,
    },
}

/// What a value goes through before it is put in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum MarkerEscape {
    /// One word of a shell.
    Shell,
    /// A part of a URL.
    Url,
    /// The beginning of a URL.
    UrlStart,
    /// The host of a URL.
    UrlHost,
    /// The inside of a JSON text; the quotes stand around the marker.
    Json,
}

impl MarkerEscape {
    const ALL: [Self; 5] = [
        Self::Shell,
        Self::Url,
        Self::UrlStart,
        Self::UrlHost,
        Self::Json,
    ];

    const fn name(self) -> &'static str {
        match self {
            Self::Shell => "shell",
            Self::Url => "url",
            Self::UrlStart => "url start",
            Self::UrlHost => "url host",
            Self::Json => "json",
        }
    }

    fn apply(self, text: &str) -> Result<String, String> {
        match self {
            Self::Shell => word(text),
            Self::Url => Ok(url_part(text)),
            Self::UrlStart => escape_url_start(&Value::String(text.to_owned())),
            Self::UrlHost => Ok(url_host(text)),
            Self::Json => Ok(json_inside(text)),
        }
    }
}

/// A piece of a text.
#[derive(Debug, PartialEq)]
pub(super) enum Piece<'t> {
    /// Ordinary text.
    Text(&'t str),
    /// A marker: the whole of it.
    Marker(&'t str),
}

/// The pieces of a text, none of them empty.
pub(super) fn pieces(text: &str) -> Vec<Piece<'_>> {
    let mut found = Vec::new();
    let mut rest = text;
    let mut from = 0;
    while let Some(start) = rest[from..].find(OPEN).map(|at| from + at) {
        let Some(end) = end_of_marker(&rest[start..]).map(|length| start + length) else {
            from = start + EDGE.len_utf8();
            continue;
        };
        if start > 0 {
            found.push(Piece::Text(&rest[..start]));
        }
        found.push(Piece::Marker(&rest[start..end]));
        rest = &rest[end..];
        from = 0;
    }
    if !rest.is_empty() {
        found.push(Piece::Text(rest));
    }
    found
}

/// The length of the marker at the beginning of a text that begins like one.
fn end_of_marker(text: &str) -> Option<usize> {
    let inside = &text[OPEN.len()..];
    let length = inside.find(CLOSE)?;
    let (name, escapes) = parts(&inside[..length]);
    let good = !name.is_empty()
        && !name.contains(|c: char| c == EDGE || c == ']' || c == '|' || c.is_control())
        && escapes.is_some();
    good.then_some(OPEN.len() + length + CLOSE.len())
}

/// Name and escapes of a marker's inside; `None` for an escape that does not exist.
fn parts(inside: &str) -> (&str, Option<Vec<MarkerEscape>>) {
    let mut parts = inside.split(BETWEEN);
    let name = parts.next().unwrap_or_default();
    let escapes = parts
        .map(|written| MarkerEscape::ALL.into_iter().find(|e| e.name() == written))
        .collect();
    (name, escapes)
}

/// A text escaped for a place: ordinary pieces by `escape`, markers by remembering `remembered`.
///
/// # Errors
/// What `escape` says.
pub(super) fn escape_pieces(
    text: &str,
    remembered: MarkerEscape,
    escape: impl Fn(&str) -> Result<String, String>,
) -> Result<String, String> {
    if !text.contains(OPEN) {
        return escape(text);
    }
    pieces(text)
        .into_iter()
        .map(|piece| match piece {
            Piece::Text(text) => escape(text),
            Piece::Marker(whole) => Ok(remember(whole, remembered)),
        })
        .collect()
}

/// A marker with one more escape.
pub(super) fn remember(whole: &str, escape: MarkerEscape) -> String {
    let inside = whole.strip_suffix(CLOSE).unwrap_or(whole);
    format!("{inside}{BETWEEN}{}{CLOSE}", escape.name())
}

/// Whether a value holds a marker in any of its texts.
pub fn contains_marker(value: &Value) -> bool {
    match value {
        Value::String(text) => {
            text.contains(OPEN)
                && pieces(text)
                    .iter()
                    .any(|piece| matches!(piece, Piece::Marker(_)))
        }
        Value::Array(items) => items.iter().any(contains_marker),
        Value::Object(map) => map.values().any(contains_marker),
        Value::Null | Value::Bool(_) | Value::Number(_) => false,
    }
}

/// The names of the secrets that a value refers to, each once, in order of appearance.
pub fn names_in(value: &Value) -> Vec<String> {
    let mut names = Vec::new();
    collect_names(value, &mut names);
    names
}

fn collect_names(value: &Value, names: &mut Vec<String>) {
    match value {
        Value::String(text) if text.contains(OPEN) => {
            for piece in pieces(text) {
                let Piece::Marker(whole) = piece else {
                    continue;
                };
                let (name, _) = parts(inside_of(whole));
                if !names.iter().any(|known| known == name) {
                    names.push(name.to_owned());
                }
            }
        }
        Value::Array(items) => items.iter().for_each(|item| collect_names(item, names)),
        Value::Object(map) => map.values().for_each(|item| collect_names(item, names)),
        _ => {}
    }
}

fn inside_of(whole: &str) -> &str {
    whole
        .strip_prefix(OPEN)
        .and_then(|rest| rest.strip_suffix(CLOSE))
        .unwrap_or_default()
}

/// Puts values in the place of all markers, deep. What a value itself holds is not looked at again.
///
/// # Errors
/// [`MarkerError`] for a name that `lookup` does not know, and for a value that its place cannot hold
/// (a NUL byte in a shell word). The value may then be filled in partly: throw it away.
pub fn substitute<'s>(
    value: &mut Value,
    lookup: &dyn Fn(&str) -> Option<&'s str>,
) -> Result<(), MarkerError> {
    match value {
        Value::String(text) if text.contains(OPEN) => {
            *text = filled(text, lookup)?;
            Ok(())
        }
        Value::Array(items) => items
            .iter_mut()
            .try_for_each(|item| substitute(item, lookup)),
        Value::Object(map) => map
            .values_mut()
            .try_for_each(|item| substitute(item, lookup)),
        _ => Ok(()),
    }
}

fn filled<'s>(text: &str, lookup: &dyn Fn(&str) -> Option<&'s str>) -> Result<String, MarkerError> {
    let mut out = String::new();
    for piece in pieces(text) {
        let whole = match piece {
            Piece::Text(text) => {
                out.push_str(text);
                continue;
            }
            Piece::Marker(whole) => whole,
        };
        let (name, escapes) = parts(inside_of(whole));
        let value = lookup(name).ok_or_else(|| MarkerError::Unknown(name.to_owned()))?;
        let mut escaped = value.to_owned();
        for escape in escapes.unwrap_or_default() {
            escaped = escape
                .apply(&escaped)
                .map_err(|why| MarkerError::Unusable {
                    name: name.to_owned(),
                    why,
                })?;
        }
        out.push_str(&escaped);
    }
    Ok(out)
}

/// Whether a text could be, or become part of, a marker. Files and given parameters may not hold one.
pub fn looks_like_marker(text: &str) -> bool {
    text.contains(EDGE)
}

/// A text from outside, unable to pull a secret in: without any edge, since two texts, each with half
/// a marker, could be joined by a template.
pub fn neutralise(text: &mut String) {
    if text.contains(EDGE) {
        text.retain(|c| c != EDGE);
    }
}

/// [`neutralise`] for all texts and keys of a value.
pub fn neutralise_value(value: &mut Value) {
    match value {
        Value::String(text) => neutralise(text),
        Value::Array(items) => items.iter_mut().for_each(neutralise_value),
        Value::Object(map) => {
            map.values_mut().for_each(neutralise_value);
            if map.keys().any(|key| key.contains(EDGE)) {
                *map = std::mem::take(map)
                    .into_iter()
                    .map(|(mut key, item)| {
                        neutralise(&mut key);
                        (key, item)
                    })
                    .collect();
            }
        }
        _ => {}
    }
}
