//! Where a part of a text stands in its file.

use std::ops::Range;

use super::problems::first_line;
use crate::base::{SourceFile, Span};
use crate::model::{YamlValue, YamlValueKind};

/// Where the parts of one text stand in its file, so that a mistake inside a long script is
/// underlined there and not at its beginning.
///
/// Found by reading the text a second time, along the file: a file without findings need not pay
/// for it. Exact in every style of YAML; should text and file not agree, every part is shown by
/// the first line of the whole.
#[derive(Debug)]
pub struct TextPlaces<'a> {
    file: &'a str,
    whole: Span,
    pieces: Vec<Piece>,
}

/// A piece of the text and of the file. Of equal length means equal letter by letter; else it is
/// an escape, or a line break with its indentation.
#[derive(Debug, Clone, Copy)]
struct Piece {
    text: usize,
    text_len: usize,
    file: usize,
    file_len: usize,
}

impl<'a> TextPlaces<'a> {
    /// For a text that was read at `span`. `content_offset` as in [`YamlValueKind::Text`].
    pub fn new(
        source: &'a SourceFile,
        text: &str,
        content_offset: Option<usize>,
        span: Span,
    ) -> Self {
        let file = source.text.as_str();
        let pieces = match content_offset {
            Some(offset) => vec![Piece::same(0, offset, text.len())],
            None => read_again(file, text, span.start).unwrap_or_default(),
        };
        Self {
            file,
            whole: span,
            pieces,
        }
    }

    /// The place of a byte range of the text, cut at the end of its first line.
    pub fn of(&self, range: &Range<usize>) -> Span {
        self.exact(range).map_or_else(
            || first_line(self.file, self.whole),
            |span| first_line(self.file, span),
        )
    }

    fn exact(&self, range: &Range<usize>) -> Option<Span> {
        let start = match self.piece(range.start) {
            Some(piece) if piece.is_same() => piece.file + (range.start - piece.text),
            Some(piece) => piece.file,
            // Behind the last letter.
            None => {
                let last = self.pieces.last()?;
                return (range.start == last.text + last.text_len).then_some(Span {
                    start: last.file + last.file_len,
                    len: 0,
                });
            }
        };
        let Some(last) = range.end.checked_sub(1).filter(|last| *last >= range.start) else {
            return Some(Span { start, len: 0 });
        };
        let piece = self.piece(last)?;
        let end = if piece.is_same() {
            piece.file + (last - piece.text) + 1
        } else {
            piece.file + piece.file_len
        };
        let span = Span::between(start, end);
        self.file.get(span.start..span.end()).map(|_| span)
    }

    fn piece(&self, at: usize) -> Option<&Piece> {
        let after = self.pieces.partition_point(|piece| piece.text <= at);
        self.pieces[..after]
            .last()
            .filter(|piece| at < piece.text + piece.text_len)
    }
}

/// Where a byte range of a text stands in its file; see [`TextPlaces`].
pub fn place_in_text(source: &SourceFile, value: &YamlValue, range: Range<usize>) -> Span {
    match &value.kind {
        YamlValueKind::Text {
            text,
            content_offset,
        } => TextPlaces::new(source, text, *content_offset, value.span).of(&range),
        _ => first_line(&source.text, value.span),
    }
}

impl Piece {
    fn same(text: usize, file: usize, len: usize) -> Self {
        Self {
            text,
            text_len: len,
            file,
            file_len: len,
        }
    }

    /// A line break that stands for nothing but itself is the same letter in both, too.
    fn is_same(&self) -> bool {
        self.text_len == self.file_len
    }
}

/// Reads the scalar at a place in each style that it may have, until one gives the text.
fn read_again(file: &str, text: &str, start: usize) -> Option<Vec<Piece>> {
    let quote = match file.as_bytes().get(start)? {
        b'\'' => Some(Quote::Single),
        b'"' => Some(Quote::Double),
        _ => None,
    };
    let flow = |quote: Quote, start: usize| {
        let mut reader = Reader::new(file, text, start);
        reader.flow(quote)?;
        // Else a text of a block that begins with a quote is taken for a quoted one.
        let closed = match quote {
            Quote::None => true,
            Quote::Single => file[reader.at..].starts_with('\''),
            Quote::Double => file[reader.at..].starts_with('"'),
        };
        closed.then_some(reader.pieces)
    };
    let quoted = quote.and_then(|quote| flow(quote, start + 1));
    let block = |start: usize| {
        let mut reader = Reader::new(file, text, start);
        reader.block()?;
        Some(reader.pieces)
    };
    quoted
        .or_else(|| flow(Quote::None, start))
        .or_else(|| block(start))
        .or_else(|| behind_header(file, start)?.find_map(block))
}

/// Where the content of a block may begin whose place is that of its anchor. How far it is
/// indented need not be how its first line is (`|2`), so the nearer columns are tried too.
fn behind_header(file: &str, start: usize) -> Option<impl Iterator<Item = usize>> {
    let mut rest = file.get(start..)?.strip_prefix('&')?;
    loop {
        let end = rest.find(['\n', '\r'])?;
        rest = &rest[end + line_break(&rest[end..])?..];
        let indent = rest.len() - rest.trim_start_matches(' ').len();
        if line_break(&rest[indent..]).is_none() {
            let line = file.len() - rest.len();
            return Some((line + indent.saturating_sub(9)..=line + indent).rev());
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Quote {
    None,
    Single,
    Double,
}

/// Walks a text and its file side by side.
struct Reader<'a> {
    file: &'a str,
    text: &'a str,
    /// In the file.
    at: usize,
    /// In the text.
    done: usize,
    pieces: Vec<Piece>,
}

impl<'a> Reader<'a> {
    fn new(file: &'a str, text: &'a str, at: usize) -> Self {
        Self {
            file,
            text,
            at,
            done: 0,
            pieces: Vec::new(),
        }
    }

    /// A plain or quoted scalar (YAML 1.2.2, 7.3).
    fn flow(&mut self, quote: Quote) -> Option<()> {
        while self.done < self.text.len() {
            let rest = &self.file[self.at..];
            if rest.is_empty() {
                return None;
            }
            let blank = rest.len() - rest.trim_start_matches([' ', '\t']).len();
            if let Some(breaks) = line_break(&rest[blank..]) {
                self.fold(blank + breaks)?;
            } else if blank > 0 {
                self.letters(blank)?;
            } else if quote == Quote::Single && rest.starts_with('\'') {
                self.escape(
                    "'",
                    if rest.starts_with("''") {
                        2
                    } else {
                        return None;
                    },
                )?;
            } else if quote == Quote::Double && rest.starts_with('\\') {
                self.backslash()?;
            } else if quote == Quote::Double && rest.starts_with('"') {
                return None;
            } else {
                let stop = rest
                    .find([' ', '\t', '\n', '\r', '\'', '"', '\\'])
                    .map_or(rest.len(), |at| at.max(1));
                // The text ends before a comment or the next key does.
                self.letters(stop.min(self.text.len() - self.done))?;
            }
        }
        Some(())
    }

    /// Letters that are the same in both.
    fn letters(&mut self, len: usize) -> Option<()> {
        let theirs = self.file.get(self.at..self.at + len)?;
        let ours = self.text.get(self.done..self.done + len)?;
        if theirs != ours {
            return None;
        }
        self.note(len, len);
        Some(())
    }

    /// A text that is spelled otherwise in the file.
    fn escape(&mut self, means: &str, file_len: usize) -> Option<()> {
        self.text[self.done..].strip_prefix(means)?;
        self.note(means.len(), file_len);
        Some(())
    }

    /// A line break of a plain or quoted scalar: one is a space, more are one less.
    fn fold(&mut self, first: usize) -> Option<()> {
        let mut len = first;
        let mut empty_lines = 0;
        loop {
            let rest = &self.file[self.at + len..];
            let blank = rest.len() - rest.trim_start_matches([' ', '\t']).len();
            len += blank;
            match line_break(&rest[blank..]) {
                Some(breaks) => {
                    len += breaks;
                    empty_lines += 1;
                }
                None => break,
            }
        }
        let means = if empty_lines == 0 {
            " ".to_owned()
        } else {
            "\n".repeat(empty_lines)
        };
        self.escape(&means, len)
    }

    /// An escape of a double-quoted scalar (YAML 1.2.2, 5.7).
    fn backslash(&mut self) -> Option<()> {
        let rest = &self.file[self.at + 1..];
        if let Some(breaks) = line_break(rest) {
            let mut len = 1 + breaks;
            let mut empty_lines = 0;
            loop {
                let rest = &self.file[self.at + len..];
                let blank = rest.len() - rest.trim_start_matches([' ', '\t']).len();
                len += blank;
                match line_break(&rest[blank..]) {
                    Some(breaks) => {
                        len += breaks;
                        empty_lines += 1;
                    }
                    None => return self.escape(&"\n".repeat(empty_lines), len),
                }
            }
        }
        let letter = rest.chars().next()?;
        let digits = match letter {
            'x' => 2,
            'u' => 4,
            'U' => 8,
            _ => 0,
        };
        let means = match letter {
            '0' => '\0',
            'a' => '\x07',
            'b' => '\x08',
            't' | '\t' => '\t',
            'n' => '\n',
            'v' => '\x0b',
            'f' => '\x0c',
            'r' => '\r',
            'e' => '\x1b',
            ' ' | '"' | '/' | '\\' => letter,
            'N' => '\u{85}',
            '_' => '\u{a0}',
            'L' => '\u{2028}',
            'P' => '\u{2029}',
            _ if digits > 0 => {
                let code = u32::from_str_radix(rest.get(1..1 + digits)?, 16).ok()?;
                char::from_u32(code)?
            }
            _ => return None,
        };
        self.escape(
            means.encode_utf8(&mut [0; 4]),
            1 + letter.len_utf8() + digits,
        )
    }

    /// The content of a block, literal or folded (YAML 1.2.2, 8.1); the place is that of its first
    /// line that is not empty.
    fn block(&mut self) -> Option<()> {
        let line_start = self.file[..self.at]
            .rfind(['\n', '\r'])
            .map_or(0, |at| at + 1);
        let indent = &self.file[line_start..self.at];
        if !indent.bytes().all(|b| b == b' ') {
            return None;
        }
        let empty = self.text.len() - self.text.trim_start_matches('\n').len();
        self.note(empty, 0);
        while self.done < self.text.len() {
            let rest = &self.file[self.at..];
            let line = rest.find(['\n', '\r']).unwrap_or(rest.len());
            self.letters(line.min(self.text.len() - self.done))?;
            self.block_breaks(indent)?;
        }
        Some(())
    }

    /// From the end of a line of a block to the first letter of the next one that is not empty.
    fn block_breaks(&mut self, indent: &str) -> Option<()> {
        let wanted =
            self.text.len() - self.done - self.text[self.done..].trim_start_matches('\n').len();
        let ends = self.done + wanted == self.text.len();
        let mut len = 0;
        let mut lines = 0;
        while let Some(breaks) = line_break(&self.file[self.at + len..]) {
            len += breaks;
            lines += 1;
            let rest = &self.file[self.at + len..];
            if ends && lines == wanted {
                break;
            }
            if let Some(content) = rest.strip_prefix(indent)
                && line_break(content).is_none()
            {
                len += indent.len();
                break;
            }
            let blank = rest.len() - rest.trim_start_matches(' ').len();
            len += blank;
        }
        match (wanted, lines) {
            // The last line is cut, or the file ends.
            _ if ends => self.note(wanted, if wanted == 0 { 0 } else { len }),
            // Folded: one break is a space, more are one less.
            (0, 1) => self.escape(" ", len)?,
            (wanted, lines) if wanted > 0 && (wanted == lines || wanted + 1 == lines) => {
                self.note(wanted, len);
            }
            _ => return None,
        }
        Some(())
    }

    fn note(&mut self, text_len: usize, file_len: usize) {
        match self.pieces.last_mut() {
            // Letters go on: pieces stay few.
            Some(last)
                if text_len == file_len
                    && last.is_same()
                    && last.text + last.text_len == self.done
                    && last.file + last.file_len == self.at =>
            {
                last.text_len += text_len;
                last.file_len += file_len;
            }
            _ => self.pieces.push(Piece {
                text: self.done,
                text_len,
                file: self.at,
                file_len,
            }),
        }
        self.done += text_len;
        self.at += file_len;
    }
}

/// The length of the line break that a text begins with.
fn line_break(text: &str) -> Option<usize> {
    match text.as_bytes() {
        [b'\r', b'\n', ..] => Some(2),
        [b'\n' | b'\r', ..] => Some(1),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Limits, parse_yaml};
    use super::*;
    use crate::base::Diagnostics;
    use proptest::prelude::*;

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
            ("a: >\n  one\n  two {{ x }}\n", "3:7 {{ x }}"),
            ("a: >\n  one\n    more\n\n  two {{ x }}\n", "5:7 {{ x }}"),
            ("a: \"\\t{{ x }}\"", "1:7 {{ x }}"),
            ("a: 'it''s {{ x }}'", "1:11 {{ x }}"),
            ("a: one\n  two\n\n  {{ x }}", "4:3 {{ x }}"),
            ("a: |2\n    {{ x }}", "2:5 {{ x }}"),
            ("a: >\n  one {{ x }}", "2:7 {{ x }}"),
        ] {
            assert_eq!(underlined(file), place, "{file:?}");
        }
    }

    /// A text in words, and a way to write it.
    #[derive(Debug, Clone)]
    struct Sample {
        before: Vec<String>,
        after: Vec<String>,
        style: usize,
        crlf: bool,
        choices: u64,
        nested: usize,
    }

    const MARK: &str = "{{ x }}";

    /// Writes the words of a text, separated by spaces (an empty word is a line break), in one
    /// style, and says where the mark stands. `None` when the style cannot hold them.
    fn written(sample: &Sample) -> Option<(String, usize)> {
        let newline = if sample.crlf { "\r\n" } else { "\n" };
        let indent = " ".repeat(2 + sample.nested);
        let mut choices = sample.choices;
        let mut choose = || {
            choices = choices.rotate_right(7).wrapping_mul(0x9E37_79B9_7F4A_7C15);
            (choices >> 62) as usize
        };
        let mark = [MARK.to_owned()];
        let words: Vec<&String> = [&sample.before[..], &mark, &sample.after]
            .into_iter()
            .flatten()
            .collect();
        let mut file = match sample.nested {
            0 => format!("z: é字\u{1F600}{newline}a: "),
            n => format!("b:{newline}{}a: ", " ".repeat(n)),
        };
        file += match sample.style {
            0 => "",
            1 => "'",
            2 => "\"",
            3 => ["|-", "|+ # why", "|", "&x |"][choose()],
            _ => [">-", ">+", "> # why", "&x >"][choose()],
        };
        if sample.style > 2 {
            file += newline;
            file += &indent;
        }
        let mut place = None;
        for (at, word) in words.iter().enumerate() {
            if word.is_empty() {
                let beside = |at: Option<usize>| at.and_then(|at| words.get(at));
                let neighbours = [beside(at.checked_sub(1)), beside(Some(at + 1))];
                if neighbours
                    .iter()
                    .any(|word| word.is_none_or(|w| w.is_empty()))
                {
                    return None;
                }
                file += &newline.repeat(if sample.style == 3 { 1 } else { 2 });
                file += &indent;
                continue;
            }
            if at > 0 && !words[at - 1].is_empty() {
                file += &match (sample.style, choose()) {
                    (2, 0) => format!(" \\{newline}{indent}"),
                    (4, 0) => format!("{newline}{indent}"),
                    (0..=2, 1) => format!(" {newline}{indent}\t"),
                    _ => " ".to_owned(),
                };
            }
            if word.as_str() == MARK && place.is_none() {
                place = Some(file.len());
            }
            for c in word.chars() {
                match (sample.style, c) {
                    (0, ':' | '#' | '"' | '\'' | '-') => return None,
                    (0, '{') if at == 0 => return None,
                    (1, '\'') => file += "''",
                    (2, '"' | '\\') => {
                        file.push('\\');
                        file.push(c);
                    }
                    (2, c) if word.as_str() != MARK && choose() == 0 => {
                        file += &match u32::from(c) {
                            code @ 0..=0xFF => format!("\\x{code:02x}"),
                            code @ 0x100..=0xFFFF => format!("\\u{code:04X}"),
                            code => format!("\\U{code:08x}"),
                        };
                    }
                    (_, c) => file.push(c),
                }
            }
        }
        file += ["", "'", "\"", "", ""][sample.style];
        file += newline;
        Some((file, place?))
    }

    fn sample() -> impl Strategy<Value = Sample> {
        let words = || {
            prop::collection::vec(
                "([a-c:#'\"\\\\é字😀-][a-c:#'\"\\\\\té字😀-]{0,4}[é字b]|)",
                0..8,
            )
        };
        (
            words(),
            words(),
            0usize..5,
            any::<bool>(),
            any::<u64>(),
            0usize..4,
        )
            .prop_map(|(before, after, style, crlf, choices, nested)| Sample {
                before,
                after,
                style,
                crlf,
                choices,
                nested,
            })
    }

    /// Where the mark of a written sample is found again.
    fn found(file: &str) -> Option<Span> {
        let source = SourceFile::new("a.yaml", file);
        let mut diags = Diagnostics::new();
        let tree = parse_yaml(&source, &Limits::default(), &mut diags)?;
        let mut value = &tree;
        while let YamlValueKind::Map(map) = &value.kind {
            value = map.values().last().map(|(_, value)| value)?;
        }
        let YamlValueKind::Text { text, .. } = &value.kind else {
            return None;
        };
        let start = text.find(MARK)?;
        Some(place_in_text(&source, value, start..start + MARK.len()))
    }

    #[test]
    fn every_style_is_written_and_read() {
        let words = |words: &[&str]| words.iter().map(|w| (*w).to_owned()).collect();
        for style in 0..5 {
            for choices in 0..64u64 {
                let sample = Sample {
                    before: words(&["a", "é", "", "字"]),
                    after: words(&["d", "b", "c"]),
                    style,
                    crlf: choices % 2 == 1,
                    choices: choices << 57 | choices,
                    nested: style,
                };
                let (file, place) = written(&sample).expect("a file");
                let span = found(&file).unwrap_or_else(|| panic!("unreadable: {file:?}"));
                assert_eq!((span.start, span.len), (place, MARK.len()), "{file:?}");
            }
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 2_000, max_global_rejects: 60_000, ..ProptestConfig::default() })]

        #[test]
        fn a_mark_is_found_where_it_was_written(sample in sample()) {
            let written = written(&sample);
            prop_assume!(written.is_some());
            let (file, place) = written.expect("assumed");
            let span = found(&file);
            prop_assume!(span.is_some());
            prop_assert_eq!(span, Some(Span { start: place, len: MARK.len() }), "{:?}", file);
        }
    }
}
