//! Places in a text: our byte offsets, and the lines and columns of the protocol.

use lsp_types::{Position, PositionEncodingKind, Range};

use crate::base::Span;

/// What a column counts; agreed with the client when the connection is set up.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) enum Encoding {
    /// Bytes.
    Utf8,
    /// Units of UTF-16: what every client knows.
    #[default]
    Utf16,
    /// Characters.
    Utf32,
}

impl Encoding {
    /// The cheapest one that the client offers.
    pub(super) fn choose(offered: Option<&[PositionEncodingKind]>) -> Self {
        let has = |kind| offered.is_some_and(|offered| offered.contains(&kind));
        if has(PositionEncodingKind::UTF8) {
            Self::Utf8
        } else if has(PositionEncodingKind::UTF32) && !has(PositionEncodingKind::UTF16) {
            Self::Utf32
        } else {
            Self::Utf16
        }
    }

    /// Its name in the protocol.
    pub(super) fn kind(self) -> PositionEncodingKind {
        match self {
            Self::Utf8 => PositionEncodingKind::UTF8,
            Self::Utf16 => PositionEncodingKind::UTF16,
            Self::Utf32 => PositionEncodingKind::UTF32,
        }
    }

    fn width(self, c: char) -> usize {
        match self {
            Self::Utf8 => c.len_utf8(),
            Self::Utf16 => c.len_utf16(),
            Self::Utf32 => 1,
        }
    }
}

/// Where the lines of a text begin.
#[derive(Debug)]
pub(super) struct Lines<'a> {
    text: &'a str,
    starts: Vec<usize>,
    encoding: Encoding,
}

impl<'a> Lines<'a> {
    pub(super) fn new(text: &'a str, encoding: Encoding) -> Self {
        let bytes = text.as_bytes();
        let mut starts = vec![0];
        for (at, byte) in bytes.iter().enumerate() {
            // The protocol ends a line at `\n`, `\r\n` and a lone `\r`.
            let ends = match byte {
                b'\n' => true,
                b'\r' => bytes.get(at + 1) != Some(&b'\n'),
                _ => false,
            };
            if ends {
                starts.push(at + 1);
            }
        }
        Self {
            text,
            starts,
            encoding,
        }
    }

    /// The byte offset of a position; beyond a line's end its end, beyond the text its end.
    pub(super) fn offset(&self, position: Position) -> usize {
        let line = position.line as usize;
        let Some(&start) = self.starts.get(line) else {
            return self.text.len();
        };
        let end = self
            .starts
            .get(line + 1)
            .map_or(self.text.len(), |&next| next);
        let content = self.text[start..end].trim_end_matches(['\r', '\n']);
        let wanted = position.character as usize;
        let mut column = 0;
        for (at, c) in content.char_indices() {
            if column >= wanted {
                return start + at;
            }
            column += self.encoding.width(c);
        }
        start + content.len()
    }

    /// The position of a byte offset; beyond the text its end.
    pub(super) fn position(&self, offset: usize) -> Position {
        let mut offset = offset.min(self.text.len());
        while !self.text.is_char_boundary(offset) {
            offset -= 1;
        }
        let line = self.starts.partition_point(|start| *start <= offset) - 1;
        let before = &self.text[self.starts[line]..offset];
        let column: usize = before.chars().map(|c| self.encoding.width(c)).sum();
        Position::new(
            u32::try_from(line).unwrap_or(u32::MAX),
            u32::try_from(column).unwrap_or(u32::MAX),
        )
    }

    /// The range of a span.
    pub(super) fn range(&self, span: Span) -> Range {
        Range::new(self.position(span.start), self.position(span.end()))
    }

    /// The span of a range; a range that is turned round is empty.
    pub(super) fn span(&self, range: Range) -> Span {
        Span::between(self.offset(range.start), self.offset(range.end))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn columns_count_what_was_agreed() {
        let text = "a: ü€𝄞x\r\nb: 1\rc";
        for (encoding, column) in [
            (Encoding::Utf8, 3 + 2 + 3 + 4),
            (Encoding::Utf16, 3 + 1 + 1 + 2),
            (Encoding::Utf32, 3 + 1 + 1 + 1),
        ] {
            let lines = Lines::new(text, encoding);
            let x = text.find('x').expect("x");
            assert_eq!(lines.position(x), Position::new(0, column), "{encoding:?}");
            assert_eq!(lines.offset(Position::new(0, column)), x);
            assert_eq!(
                lines.offset(Position::new(0, 99)),
                x + 1,
                "before the line's end"
            );
            assert_eq!(lines.position(text.len()), Position::new(2, 1));
            assert_eq!(lines.offset(Position::new(9, 9)), text.len());
        }
    }

    #[test]
    fn bytes_are_taken_when_the_client_knows_them() {
        let utf8 = [PositionEncodingKind::UTF16, PositionEncodingKind::UTF8];
        assert_eq!(Encoding::choose(Some(&utf8)), Encoding::Utf8);
        assert_eq!(Encoding::choose(Some(&utf8[..1])), Encoding::Utf16);
        assert_eq!(Encoding::choose(None), Encoding::Utf16);
        let utf32 = [PositionEncodingKind::UTF32];
        assert_eq!(Encoding::choose(Some(&utf32)), Encoding::Utf32);
    }

    proptest! {
        #[test]
        fn every_offset_comes_back(text in "[a\u{fc}\u{20ac}\u{1d11e}\n\r ]{0,40}") {
            for encoding in [Encoding::Utf8, Encoding::Utf16, Encoding::Utf32] {
                let lines = Lines::new(&text, encoding);
                for (at, c) in text.char_indices() {
                    if c != '\n' {
                        prop_assert_eq!(lines.offset(lines.position(at)), at);
                    }
                }
            }
        }

        #[test]
        fn no_position_is_too_odd(text in "\\PC{0,30}", line in any::<u32>(), column in any::<u32>()) {
            let lines = Lines::new(&text, Encoding::Utf16);
            prop_assert!(text.is_char_boundary(lines.offset(Position::new(line, column))));
        }
    }
}
