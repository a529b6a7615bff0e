//! Where a part of a text stands in its file.

use std::ops::Range;

use super::problems::first_line;
use crate::base::{SourceFile, Span};
use crate::model::{YamlValue, YamlValueKind};

/// Where a byte range of a text stands in its file, so that a mistake inside a long script is
/// underlined there and not at its beginning.
///
/// Exact for texts that stand in the file letter by letter and for literal blocks (`|`). For
/// others (escapes, folding), and when `value` is no text: the first line of the value.
pub fn place_in_text(source: &SourceFile, value: &YamlValue, range: Range<usize>) -> Span {
    exact(source, value, range).unwrap_or_else(|| first_line(&source.text, value.span))
}

fn exact(source: &SourceFile, value: &YamlValue, range: Range<usize>) -> Option<Span> {
    let YamlValueKind::Text {
        text,
        content_offset,
    } = &value.kind
    else {
        return None;
    };
    text.get(range.clone())?;
    if let Some(offset) = content_offset {
        return Some(Span::between(offset + range.start, offset + range.end));
    }
    let start = in_block(&source.text, value.span.start, text, range.start)?;
    // A part that goes over several lines is shown by its first one.
    let part = &text[range];
    let len = part.find('\n').unwrap_or(part.len());
    Some(Span { start, len })
}

/// The place of a byte of a literal block: each line of the text stands in the file, indented.
fn in_block(file: &str, block: usize, text: &str, wanted: usize) -> Option<usize> {
    let line_start = file.get(..block)?.rfind('\n')? + 1;
    let indent = &file[line_start..block];
    if indent.is_empty() || !indent.bytes().all(|b| b == b' ') {
        return None;
    }
    let mut at = line_start;
    // The parser's place is that of the first line that is not empty.
    let body = text.trim_start_matches('\n');
    let mut seen = text.len() - body.len();
    if wanted < seen {
        return None;
    }
    for line in body.split_inclusive('\n') {
        let written = file[at..].lines().next()?;
        let letters = line.trim_end_matches('\n');
        let same = written.strip_prefix(indent) == Some(letters)
            || (letters.is_empty() && written.trim_start_matches(' ').is_empty());
        if !same {
            return None;
        }
        if wanted < seen + line.len() {
            return Some(at + indent.len() + (wanted - seen));
        }
        seen += line.len();
        at += file[at..].find('\n')? + 1;
    }
    None
}

#[cfg(test)]
mod tests {
    use super::super::{Limits, parse_yaml};
    use super::*;
    use crate::base::Diagnostics;

    /// What is underlined for `{{ x }}` in the only text of a file.
    fn underlined(file: &str) -> String {
        let source = SourceFile::new("a.yaml", file);
        let mut diags = Diagnostics::new();
        let tree = parse_yaml(&source, &Limits::default(), &mut diags).expect("a tree");
        let YamlValueKind::Map(map) = &tree.kind else {
            panic!("a map");
        };
        let (_, value) = &map["a"];
        let YamlValueKind::Text { text, .. } = &value.kind else {
            panic!("a text");
        };
        let start = text.find("{{ x }}").expect("a template");
        let span = place_in_text(&source, value, start..start + 7);
        let (line, column) = source.line_column(span.start);
        format!("{line}:{column} {}", &source.text[span.start..span.end()])
    }

    #[test]
    fn parts_of_texts_are_found() {
        for (file, place) in [
            ("a: say {{ x }}", "1:8 {{ x }}"),
            ("a: \"ü {{ x }}\"", "1:7 {{ x }}"),
            ("a: |\n  one\n\n    ü {{ x }}\n  two\n", "4:7 {{ x }}"),
            ("a: |-  # why\n    one\n    {{ x }}", "3:5 {{ x }}"),
            ("b: &b 1\na: |\r\n  one\r\n  {{ x }}\r\n", "4:3 {{ x }}"),
            ("a: |\n\n  one\n  {{ x }}\n", "4:3 {{ x }}"),
            ("a: |2\n    one\n  {{ x }}\n", "3:3 {{ x }}"),
            // Folded and escaped texts do not stand in the file as they are.
            ("a: >\n  one\n  two {{ x }}\n", "2:3 one"),
            ("a: \"\\t{{ x }}\"", "1:4 \"\\t{{ x }}\""),
        ] {
            assert_eq!(underlined(file), place, "{file:?}");
        }
    }
}
