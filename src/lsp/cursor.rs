//! Where the cursor stands in a file that may be half written.
//!
//! A mark is put into the text at the cursor, and looked for in the loosely read tree: so an empty
//! line, an open quote and a whole file are all the same case.

use indexmap::IndexMap;

use super::loose::parse_loosely;
use crate::base::Span;
use crate::model::{YamlValue, YamlValueKind};

/// A letter of the private use area, which nobody writes.
const MARK: char = '\u{f8ff}';

/// What the cursor stands on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum On {
    /// The name of a key, perhaps of one that is still to be written.
    Key,
    /// A scalar, perhaps an empty one.
    Value,
}

/// The place of the cursor.
#[derive(Debug)]
pub(super) struct Cursor {
    /// The file as far as it can be understood.
    pub(super) tree: YamlValue,
    /// Keys and indices that lead to the map whose key it is, or to the value.
    pub(super) path: Vec<String>,
    /// Key or value.
    pub(super) on: On,
    /// The whole key or text.
    pub(super) text: String,
    /// Where in `text` the cursor stands, in bytes.
    pub(super) at: usize,
    /// Where in the file the cursor stands, in bytes.
    pub(super) offset: usize,
    /// Whether the value is in a flow collection or quotes that a line break would spoil.
    pub(super) inline: bool,
}

/// Finds the place; `None` inside a comment, or where nothing can stand.
pub(super) fn locate(text: &str, offset: usize) -> Option<Cursor> {
    if text.contains(MARK) || !text.is_char_boundary(offset) {
        return None;
    }
    let (before, after) = text.split_at(offset);
    let mut tree = parse_loosely(&format!("{before}{MARK}{after}"));
    let mut path = Vec::new();
    let (on, marked) = take_mark(&mut tree, &mut path)?;
    shift(&mut tree, offset);
    let at = marked.find(MARK)?;
    let line = &before[before.rfind('\n').map_or(0, |end| end + 1)..];
    Some(Cursor {
        tree,
        path,
        on,
        text: marked.replace(MARK, ""),
        at,
        offset,
        inline: line.contains(['{', '[', '"', '\'']),
    })
}

impl Cursor {
    /// The span in the file of a part of the text on the cursor's line.
    pub(super) fn span(&self, start: usize, end: usize) -> Span {
        let start = (self.offset + start).saturating_sub(self.at);
        let end = (self.offset + end).saturating_sub(self.at);
        Span::between(start, end)
    }
}

/// Takes the mark out of the tree; gives what it was found in, with the mark.
fn take_mark(node: &mut YamlValue, path: &mut Vec<String>) -> Option<(On, String)> {
    match &mut node.kind {
        YamlValueKind::Literal(_) => None,
        YamlValueKind::Text { text, .. } => {
            let marked = text.contains(MARK).then(|| text.clone())?;
            *text = text.replace(MARK, "");
            Some((On::Value, marked))
        }
        YamlValueKind::List(items) => items.iter_mut().enumerate().find_map(|(index, item)| {
            path.push(index.to_string());
            let found = take_mark(item, path);
            if found.is_none() {
                path.pop();
            }
            found
        }),
        YamlValueKind::Map(map) => {
            if let Some(index) = map.keys().position(|key| key.contains(MARK)) {
                return Some((On::Key, rename(map, index)?));
            }
            map.iter_mut().find_map(|(key, (_, value))| {
                path.push(key.clone());
                let found = take_mark(value, path);
                if found.is_none() {
                    path.pop();
                }
                found
            })
        }
    }
}

/// Gives a key its name without the mark; one of two keys with the same name is left out.
fn rename(map: &mut IndexMap<String, (Span, YamlValue)>, index: usize) -> Option<String> {
    let (marked, value) = map.shift_remove_index(index)?;
    let name = marked.replace(MARK, "");
    if !name.is_empty() {
        map.entry(name).or_insert(value);
    }
    Some(marked)
}

/// Moves all places back to where they are without the mark.
fn shift(node: &mut YamlValue, offset: usize) {
    let back = |span: &mut Span| {
        let width = MARK.len_utf8();
        if span.start > offset {
            span.start -= width.min(span.start);
        } else if span.end() > offset {
            span.len -= width.min(span.len);
        }
    };
    back(&mut node.span);
    match &mut node.kind {
        YamlValueKind::Literal(_) | YamlValueKind::Text { .. } => {}
        YamlValueKind::List(items) => items.iter_mut().for_each(|item| shift(item, offset)),
        YamlValueKind::Map(map) => {
            for (span, value) in map.values_mut() {
                back(span);
                shift(value, offset);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Where the `|` of a text stands.
    fn place(text: &str) -> String {
        let offset = text.find('¦').expect("a cursor");
        match locate(&text.replace('¦', ""), offset) {
            Some(cursor) => format!(
                "{:?} {} {:?}",
                cursor.on,
                cursor.path.join("/"),
                format!(
                    "{}¦{}",
                    &cursor.text[..cursor.at],
                    &cursor.text[cursor.at..]
                )
            ),
            None => "nowhere".to_owned(),
        }
    }

    #[test]
    fn the_cursor_is_found_in_whole_and_half_written_files() {
        for (text, wanted) in [
            ("a: 1\nna¦me: x\n", "Key  \"na¦me\""),
            ("a: 1\n¦\n", "Key  \"¦\""),
            ("a: 1\nst¦", "Key  \"st¦\""),
            (
                "steps:\n  - id: x\n    us¦\n  - id: y\n",
                "Key steps/0 \"us¦\"",
            ),
            ("steps:\n  - id: x\n    ¦\n  - id: y\n", "Key steps/0 \"¦\""),
            ("steps:\n  - ¦\n", "Value steps/0 \"¦\""),
            (
                "steps:\n  - id: x\n    uses: ¦\n",
                "Value steps/0/uses \"¦\"",
            ),
            (
                "steps:\n  - uses: serv¦\n    id: x\n",
                "Value steps/0/uses \"serv¦\"",
            ),
            ("a: { b: \"{{ steps.¦", "Value a/b \"{{ steps.¦\""),
            ("a: { b: x, ¦ }\nc: 1", "Key a \"¦\""),
            ("a: { ¦\nc: 1", "Key a \"¦\""),
            ("a: [x, ¦]\n", "Value a/1 \"¦\""),
            ("a: |\n  one\n  t¦wo\nb: 1\n", "Value a \"one\\nt¦wo\\n\""),
            ("a:\n  ¦\nb: 1", "Value a \"¦\""),
            ("a: 5¦\n", "Value a \"5¦\""),
            ("# ¦ comment\na: 1", "nowhere"),
            ("a: 1 # ¦\n", "nowhere"),
            ("¦", "Value  \"¦\""),
        ] {
            assert_eq!(place(text), wanted, "{text:?}");
        }
    }

    #[test]
    fn places_are_those_of_the_text_without_the_mark() {
        let cursor = locate("a: \"ü xy\"\nb: z\n", 7).expect("a place");
        assert_eq!(cursor.span(0, cursor.text.len()), Span { start: 4, len: 5 });
        let b = super::super::tree::entry(&cursor.tree, "b").expect("a key");
        assert_eq!(b.0, Span { start: 11, len: 1 });
        assert_eq!(b.1.span, Span { start: 14, len: 1 });
    }
}
