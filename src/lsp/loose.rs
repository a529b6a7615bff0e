//! A tree of a file that is being typed: never refuses anything.
//!
//! What the strict parser cannot read (a key without its colon, an open quote or bracket) is taken
//! for what it most likely becomes. Where both can read a file they agree, which a test holds.

use indexmap::IndexMap;

use crate::base::{Span, Value};
use crate::model::{YamlValue, YamlValueKind};

/// Deeper than this nothing is looked at; the strict parser refuses it anyway.
const MAX_DEPTH: usize = 64;

/// Reads a text as it stands.
pub(super) fn parse_loosely(text: &str) -> YamlValue {
    let mut parser = Loose {
        text,
        at: 0,
        column: 0,
    };
    parser.block(0, 0)
}

struct Loose<'a> {
    text: &'a str,
    /// The first byte that is not read yet; at the first letter of a line's content between calls.
    at: usize,
    /// The column of `at`, in bytes.
    column: usize,
}

impl<'a> Loose<'a> {
    fn rest(&self) -> &'a str {
        &self.text[self.at..]
    }

    /// What is left of the current line, without its end.
    fn line(&self) -> &'a str {
        let rest = self.rest();
        &rest[..rest.find('\n').unwrap_or(rest.len())]
    }

    fn line_end(&self) -> usize {
        self.at + self.line().len()
    }

    /// Goes to the first letter of the next line that says something; `None` at the end. Does not
    /// move when it is there already.
    fn seek(&mut self) -> Option<usize> {
        loop {
            if self.at >= self.text.len() {
                return None;
            }
            let line = self.line();
            let content = line.trim_start_matches([' ', '\t']);
            let blank = content.trim_end().is_empty() || content.starts_with('#');
            let marker = self.column == 0 && (line.trim_end() == "---" || line.starts_with('%'));
            if blank || marker {
                self.at = (self.line_end() + 1).min(self.text.len());
                self.column = 0;
                continue;
            }
            let skipped = line.len() - content.len();
            self.at += skipped;
            self.column += skipped;
            return Some(self.column);
        }
    }

    fn next_line(&mut self) {
        self.at = (self.line_end() + 1).min(self.text.len());
        self.column = 0;
    }

    fn null(&self, at: usize) -> YamlValue {
        YamlValue {
            kind: YamlValueKind::Literal(Value::Null),
            span: Span { start: at, len: 0 },
        }
    }

    /// A list, a map or a scalar that begins at a line's content, at least this far in.
    fn block(&mut self, least: usize, depth: usize) -> YamlValue {
        let start = self.at;
        match self.seek() {
            Some(column) if column >= least && depth < MAX_DEPTH => {
                let line = self.line();
                if is_item(line) {
                    self.list(column, depth)
                } else if key_of(line).is_some() || !self.is_alone(column) {
                    self.map(column, depth)
                } else {
                    self.scalar(column, depth)
                }
            }
            _ => self.null(start.min(self.text.len())),
        }
    }

    /// Whether no key follows a line without a colon, so that it is a text and no half-written key.
    fn is_alone(&self, column: usize) -> bool {
        let line = self.line();
        if line.starts_with(['"', '\'', '{', '[', '|', '>', '&', '*', '!']) {
            return true;
        }
        let mut ahead = Loose { ..*self };
        ahead.next_line();
        ahead.seek() != Some(column) || key_of(ahead.line()).is_none()
    }

    fn list(&mut self, column: usize, depth: usize) -> YamlValue {
        let start = self.at;
        let mut items = Vec::new();
        let mut end = start;
        while self.seek() == Some(column) && is_item(self.line()) {
            let line = self.line();
            let inner = line[1..].trim_start_matches(' ');
            let skipped = line.len() - inner.len();
            let item = if inner.is_empty() || inner.starts_with('#') {
                let at = self.at + 1;
                self.next_line();
                self.below(column + 1, at, depth)
            } else {
                self.at += skipped;
                self.column += skipped;
                self.block(column + 1, depth + 1)
            };
            end = end.max(item.span.end());
            items.push(item);
            self.skip_deeper(column);
        }
        YamlValue {
            kind: YamlValueKind::List(items),
            span: Span::between(start, end),
        }
    }

    fn map(&mut self, column: usize, depth: usize) -> YamlValue {
        let start = self.at;
        let mut entries = IndexMap::new();
        let mut end = start;
        while self.seek() == Some(column) && (entries.is_empty() || !is_item(self.line())) {
            let line = self.line();
            let (name, key_len, used) = key_of(line).unwrap_or_else(|| {
                let word = line.trim_end();
                (word.to_owned(), word.len(), line.len())
            });
            let span = Span {
                start: self.at,
                len: key_len,
            };
            self.at += used;
            let value = self.value(column, depth);
            end = end.max(span.end()).max(value.span.end());
            entries.entry(name).or_insert((span, value));
            self.skip_deeper(column);
        }
        YamlValue {
            kind: YamlValueKind::Map(entries),
            span: Span::between(start, end),
        }
    }

    /// The value after a key's colon.
    fn value(&mut self, column: usize, depth: usize) -> YamlValue {
        let after = self.at;
        let line = self.line();
        let inner = line.trim_start_matches([' ', '\t']);
        self.at += line.len() - inner.len();
        if inner.trim_end().is_empty() || inner.starts_with('#') {
            self.next_line();
            return self.below(column, after, depth);
        }
        self.scalar(column + 1, depth)
    }

    /// What stands below a key or a dash that nothing follows on its line.
    fn below(&mut self, column: usize, after: usize, depth: usize) -> YamlValue {
        match self.seek() {
            Some(next) if next > column => self.block(next, depth + 1),
            Some(next) if next == column && is_item(self.line()) => self.block(next, depth + 1),
            _ => self.null(after),
        }
    }

    /// Leaves out lines that belong to nothing, so that one odd line does not hide what follows.
    fn skip_deeper(&mut self, column: usize) {
        while self.seek().is_some_and(|next| next > column) {
            self.next_line();
        }
    }

    /// A scalar or a flow collection; the lines that continue it stand at least `least` columns in.
    fn scalar(&mut self, least: usize, depth: usize) -> YamlValue {
        // Anchors and tags do not matter here.
        while self.line().starts_with(['&', '!']) {
            let line = self.line();
            let word = line.find(' ').unwrap_or(line.len());
            let skipped = line.len() - line[word..].trim_start_matches(' ').len();
            self.at += skipped.max(1).min(line.len());
            if self.line().trim_end().is_empty() {
                let after = self.at;
                self.next_line();
                return self.below(least.saturating_sub(1), after, depth);
            }
        }
        let start = self.at;
        let line = self.line();
        let value = match line.as_bytes().first() {
            Some(b'|' | b'>') => return self.literal(least),
            Some(b'{' | b'[') => self.flow(self.flow_end(least), depth),
            Some(b'"' | b'\'') => self.quoted(self.flow_end(least)),
            _ => return self.plain(least),
        };
        if self.text[..self.at].ends_with('\n') && self.at > start {
            self.column = 0;
        } else {
            self.next_line();
        }
        value
    }

    /// Where a flow collection or a quoted text must have ended: before the first line that stands
    /// too far out.
    fn flow_end(&self, least: usize) -> usize {
        let mut ahead = Loose { ..*self };
        ahead.next_line();
        while let Some(column) = ahead.seek() {
            let line = ahead.line();
            let closes = line.starts_with(['}', ']']);
            let opens = key_of(line).is_some() || is_item(line);
            if column < least && (opens || !closes) {
                return ahead.at - column;
            }
            ahead.next_line();
        }
        self.text.len()
    }

    /// A text in several lines below `|` or `>`.
    fn literal(&mut self, least: usize) -> YamlValue {
        let header = self.line();
        let folded = header.starts_with('>');
        let strips = header.contains('-');
        let at = self.at;
        self.next_line();
        let mut indent = None;
        let mut start = None;
        let mut text = String::new();
        let mut end = at + header.len();
        while self.at < self.text.len() {
            let line = self.line().trim_end_matches('\r');
            let content = line.trim_start_matches(' ');
            let column = line.len() - content.len();
            if !content.is_empty() {
                if column < *indent.get_or_insert(column) || column < least {
                    break;
                }
                start.get_or_insert(self.at + column);
                end = self.at + line.len();
            }
            text.push_str(line.get(indent.unwrap_or(column)..).unwrap_or_default());
            text.push('\n');
            self.next_line();
        }
        let kept = text.trim_end_matches('\n').len();
        text.truncate(kept);
        if folded {
            text = text.replace('\n', " ");
        }
        if !strips && !text.is_empty() {
            text.push('\n');
        }
        YamlValue {
            kind: YamlValueKind::Text {
                text,
                content_offset: None,
            },
            span: Span::between(start.unwrap_or(at), end),
        }
    }

    /// A text without quotes, with the lines that continue it.
    fn plain(&mut self, least: usize) -> YamlValue {
        let start = self.at;
        let first = uncomment(self.line());
        let mut text = first.to_owned();
        let mut end = start + first.len();
        self.next_line();
        let mut lines = 1;
        while let Some(column) = self.seek() {
            let line = uncomment(self.line());
            if column < least || key_of(line).is_some() || is_item(line) {
                break;
            }
            text.push(' ');
            text.push_str(line);
            end = self.at + line.len();
            lines += 1;
            self.next_line();
        }
        let kind = match resolve(&text) {
            Some(value) if lines == 1 => YamlValueKind::Literal(value),
            _ => YamlValueKind::Text {
                text,
                content_offset: (lines == 1).then_some(start),
            },
        };
        YamlValue {
            kind,
            span: Span::between(start, end),
        }
    }

    /// A text in quotes; without its closing quote it ends with its line.
    fn quoted(&mut self, limit: usize) -> YamlValue {
        let start = self.at;
        let quote = self.text.as_bytes()[start];
        let body = &self.text[start + 1..limit.max(start + 1)];
        let mut escapes = false;
        let mut closing = None;
        let mut bytes = body.bytes().enumerate();
        while let Some((at, byte)) = bytes.next() {
            if byte == b'\\' && quote == b'"' {
                escapes = true;
                bytes.next();
            } else if byte == quote {
                if quote == b'\'' && body.as_bytes().get(at + 1) == Some(&b'\'') {
                    escapes = true;
                    bytes.next();
                    continue;
                }
                closing = Some(at);
                break;
            }
        }
        let line = body.find('\n').unwrap_or(body.len());
        let len = closing.unwrap_or(line);
        let raw = &body[..len];
        self.at = start + 1 + len + usize::from(closing.is_some());
        let exact = !escapes && !raw.contains('\n');
        YamlValue {
            kind: YamlValueKind::Text {
                text: if exact {
                    raw.to_owned()
                } else {
                    unquote(raw, quote)
                },
                content_offset: exact.then_some(start + 1),
            },
            span: Span::between(start, self.at),
        }
    }

    fn flow(&mut self, limit: usize, depth: usize) -> YamlValue {
        let start = self.at;
        let is_map = self.rest().starts_with('{');
        let close = if is_map { '}' } else { ']' };
        self.at += 1;
        let mut items = Vec::new();
        let mut entries = IndexMap::new();
        loop {
            self.flow_space(limit);
            if self.at >= limit {
                break;
            }
            let rest = &self.text[self.at..limit];
            if rest.starts_with(['}', ']']) {
                self.at += usize::from(rest.starts_with(close) || depth == 0);
                break;
            }
            if rest.starts_with(',') {
                self.at += 1;
                continue;
            }
            let before = self.at;
            let value = self.flow_value(limit, depth);
            if is_map {
                let span = value.span;
                let name = text_of(&value);
                self.flow_space(limit);
                let value = if self.text[self.at..limit].starts_with(':') {
                    self.at += 1;
                    self.flow_space(limit);
                    if self.text[self.at..limit].starts_with([',', '}', ']']) || self.at >= limit {
                        self.null(self.at)
                    } else {
                        self.flow_value(limit, depth)
                    }
                } else {
                    self.null(span.end())
                };
                entries.entry(name).or_insert((span, value));
            } else {
                items.push(value);
            }
            if self.at == before {
                // Nothing was read: a letter that nothing begins with.
                let width = self.rest().chars().next().map_or(1, char::len_utf8);
                self.at += width;
            }
        }
        YamlValue {
            kind: if is_map {
                YamlValueKind::Map(entries)
            } else {
                YamlValueKind::List(items)
            },
            span: Span::between(start, self.at),
        }
    }

    fn flow_value(&mut self, limit: usize, depth: usize) -> YamlValue {
        match self.text.as_bytes().get(self.at) {
            Some(b'{' | b'[') if depth < MAX_DEPTH => self.flow(limit, depth + 1),
            Some(b'"' | b'\'') => self.quoted(limit),
            _ => {
                let start = self.at;
                let rest = &self.text[start..limit];
                let stop = rest
                    .char_indices()
                    .find(|(at, c)| match c {
                        ',' | '}' | ']' | '{' | '[' | '\n' => *at > 0 || *c != '{',
                        ':' => {
                            rest[at + 1..].starts_with([' ', ',', '}', ']', '\n', '\r'])
                                || rest.len() == at + 1
                        }
                        '#' => rest[..*at].ends_with(' '),
                        _ => false,
                    })
                    .map_or(rest.len(), |(at, _)| at);
                let text = rest[..stop].trim_end();
                self.at = start + stop;
                let kind = match resolve(text) {
                    Some(value) => YamlValueKind::Literal(value),
                    None => YamlValueKind::Text {
                        text: text.to_owned(),
                        content_offset: Some(start),
                    },
                };
                YamlValue {
                    kind,
                    span: Span {
                        start,
                        len: text.len(),
                    },
                }
            }
        }
    }

    /// Skips white space and comments inside a flow collection.
    fn flow_space(&mut self, limit: usize) {
        loop {
            let rest = &self.text[self.at.min(limit)..limit];
            let content = rest.trim_start();
            self.at = limit - content.len();
            if !content.starts_with('#') {
                return;
            }
            self.at += content.find('\n').unwrap_or(content.len());
        }
    }
}

fn is_item(line: &str) -> bool {
    line.strip_prefix('-')
        .is_some_and(|rest| rest.is_empty() || rest.starts_with([' ', '\r', '\t']))
}

/// The key that a line begins with: its name, the bytes that it takes, and those up to behind the
/// colon.
fn key_of(line: &str) -> Option<(String, usize, usize)> {
    if let Some(quote) = line.bytes().next().filter(|b| matches!(b, b'"' | b'\'')) {
        let close = line[1..].find(char::from(quote))? + 1;
        let rest = line[close + 1..].trim_start_matches(' ');
        let after = line.len() - rest.len();
        let ends = rest.strip_prefix(':')?;
        return (ends.is_empty() || ends.starts_with([' ', '\r', '\t']))
            .then(|| (line[1..close].to_owned(), close + 1, after + 1));
    }
    if line.starts_with(['{', '[', '#', '|', '>', '*', '&', '!', '%', '@']) {
        return None;
    }
    let colon = line.char_indices().find_map(|(at, c)| {
        let ends =
            c == ':' && (line.len() == at + 1 || line[at + 1..].starts_with([' ', '\r', '\t']));
        ends.then_some(at)
    })?;
    let name = line[..colon].trim_end();
    (!name.is_empty() && !name.contains(" #")).then(|| (name.to_owned(), name.len(), colon + 1))
}

fn uncomment(line: &str) -> &str {
    let line = line.find(" #").map_or(line, |at| &line[..at]);
    line.trim_end()
}

/// The value of a scalar without quotes that is no text (the core schema of YAML 1.2).
fn resolve(text: &str) -> Option<Value> {
    match text {
        "" | "~" | "null" | "Null" | "NULL" => return Some(Value::Null),
        "true" | "True" | "TRUE" => return Some(Value::Bool(true)),
        "false" | "False" | "FALSE" => return Some(Value::Bool(false)),
        _ => {}
    }
    for (prefix, radix) in [("0x", 16), ("0o", 8)] {
        if let Some(digits) = text.strip_prefix(prefix) {
            return i64::from_str_radix(digits, radix).ok().map(Value::from);
        }
    }
    let number = text.starts_with(|c: char| c.is_ascii_digit() || matches!(c, '-' | '+' | '.'));
    if !number
        || !text
            .bytes()
            .all(|b| b.is_ascii_digit() || b"+-.eE".contains(&b))
    {
        return None;
    }
    text.parse::<i64>().map(Value::from).ok().or_else(|| {
        let number = text.parse::<f64>().ok()?;
        serde_json::Number::from_f64(number).map(Value::Number)
    })
}

fn unquote(raw: &str, quote: u8) -> String {
    let joined = raw.lines().map(str::trim).collect::<Vec<_>>().join(" ");
    let raw = if raw.contains('\n') {
        joined.as_str()
    } else {
        raw
    };
    if quote == b'\'' {
        return raw.replace("''", "'");
    }
    serde_json::from_str(&format!("\"{raw}\"")).unwrap_or_else(|_| raw.to_owned())
}

fn text_of(value: &YamlValue) -> String {
    match &value.kind {
        YamlValueKind::Text { text, .. } => text.clone(),
        YamlValueKind::Literal(Value::Null) => String::new(),
        other => match other {
            YamlValueKind::Literal(literal) => literal.to_string(),
            _ => String::new(),
        },
    }
}

#[cfg(test)]
mod tests {
    use std::path::{Path, PathBuf};

    use serde_json::json;

    use super::*;
    use crate::base::{Diagnostics, SourceFile};
    use crate::language::{Limits, parse_yaml};

    fn yaml_files(folder: &Path, found: &mut Vec<PathBuf>) {
        for entry in std::fs::read_dir(folder).expect("a folder") {
            let path = entry.expect("an entry").path();
            if path.is_dir() {
                yaml_files(&path, found);
            } else if path.extension().is_some_and(|e| e == "yaml") {
                found.push(path);
            }
        }
    }

    #[test]
    fn it_agrees_with_the_strict_parser_on_what_both_can_read() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR"));
        let mut files = Vec::new();
        yaml_files(&root.join("runbooks"), &mut files);
        yaml_files(&root.join("tests/fixtures/valid"), &mut files);
        yaml_files(&root.join("tests/fixtures/invalid"), &mut files);
        let mut compared = 0;
        for path in files {
            let text = std::fs::read_to_string(&path).expect("a file");
            // Aliases are copies, which are not made here.
            if text.contains(": *") || text.contains("- *") {
                continue;
            }
            let mut diags = Diagnostics::new();
            let source = SourceFile::new("a.yaml", text.as_str());
            let strict = parse_yaml(&source, &Limits::default(), &mut diags);
            let Some(strict) = strict.filter(|_| diags.is_empty()) else {
                continue;
            };
            compared += 1;
            let loose = parse_loosely(&text);
            assert_eq!(loose.to_json(), strict.to_json(), "{}", path.display());
            same_places(&loose, &strict, &path.display().to_string());
        }
        assert!(compared > 50, "only {compared} files were compared");
    }

    /// Keys stand in the same places, and so do texts that can be pointed into.
    fn same_places(loose: &YamlValue, strict: &YamlValue, file: &str) {
        match (&loose.kind, &strict.kind) {
            (YamlValueKind::Map(ours), YamlValueKind::Map(theirs)) => {
                for (key, (span, value)) in theirs {
                    let (our_span, our_value) = &ours[key];
                    assert_eq!(our_span, span, "{file}: {key}");
                    same_places(our_value, value, file);
                }
            }
            (YamlValueKind::List(ours), YamlValueKind::List(theirs)) => {
                for (ours, theirs) in ours.iter().zip(theirs) {
                    same_places(ours, theirs, file);
                }
            }
            (
                YamlValueKind::Text { content_offset, .. },
                YamlValueKind::Text {
                    content_offset: Some(wanted),
                    ..
                },
            ) => assert_eq!(content_offset, &Some(*wanted), "{file}"),
            _ => {}
        }
    }

    #[test]
    fn half_written_lines_become_what_they_most_likely_are() {
        for (text, wanted) in [
            ("a: 1\nb", json!({ "a": 1, "b": null })),
            ("st\na: 1\n", json!({ "st": null, "a": 1 })),
            (
                "a:\n  - id: x\n    us\n  - id: y\n",
                json!({ "a": [{ "id": "x", "us": null }, { "id": "y" }] }),
            ),
            (
                "a: { b: \"{{ c.\nd: 1\n",
                json!({ "a": { "b": "{{ c." }, "d": 1 }),
            ),
            (
                "a: { b: x, c\nd: 1\n",
                json!({ "a": { "b": "x", "c": null }, "d": 1 }),
            ),
            ("a: [x, y\nd: 1\n", json!({ "a": ["x", "y"], "d": 1 })),
            ("a: \"x\nd: 1\n", json!({ "a": "x", "d": 1 })),
            ("a: 'it''s\nd: 1\n", json!({ "a": "it's", "d": 1 })),
            ("a:\n  - \n  - x\n", json!({ "a": [null, "x"] })),
            ("a:\nb: 1\n", json!({ "a": null, "b": 1 })),
            ("a:\n    odd\n  b: 1\nc: 2", json!({ "a": "odd", "c": 2 })),
            ("", json!(null)),
            ("# only\n", json!(null)),
            ("}", json!("}")),
            ("a: {]}\nb: 1", json!({ "a": {}, "b": 1 })),
        ] {
            assert_eq!(parse_loosely(text).to_json(), wanted, "{text:?}");
        }
    }

    #[test]
    fn deep_nesting_ends() {
        for unit in ["[", "{a: ", "- ", "a:\n "] {
            parse_loosely(&unit.repeat(100_000));
        }
        let stairs: String = (0..2000)
            .map(|n| format!("{}a:\n", " ".repeat(n)))
            .collect();
        parse_loosely(&stairs);
    }
}
