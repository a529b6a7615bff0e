//! From the parser's character positions to byte offsets.

use saphyr_parser::Marker;

const STRIDE: usize = 32;

/// Finds byte offsets of character positions in one text.
pub(super) struct Positions<'a> {
    text: &'a str,
    /// The byte offset of every [`STRIDE`]th character; empty for ASCII, where both are the same.
    checkpoints: Vec<usize>,
}

impl<'a> Positions<'a> {
    pub(super) fn new(text: &'a str) -> Self {
        let checkpoints = if text.is_ascii() {
            Vec::new()
        } else {
            text.char_indices()
                .step_by(STRIDE)
                .map(|(byte, _)| byte)
                .collect()
        };
        Self { text, checkpoints }
    }

    /// The byte offset of a marker; the end of the text when it lies beyond.
    pub(super) fn byte(&self, marker: Marker) -> usize {
        let index = marker.index();
        if self.checkpoints.is_empty() {
            return index.min(self.text.len());
        }
        let Some(&base) = self.checkpoints.get(index / STRIDE) else {
            return self.text.len();
        };
        self.text[base..]
            .char_indices()
            .nth(index % STRIDE)
            .map_or(self.text.len(), |(byte, _)| base + byte)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn characters_become_bytes() {
        let text = "aü€𝄞".repeat(200);
        let positions = Positions::new(&text);
        for (index, (byte, _)) in text.char_indices().enumerate() {
            assert_eq!(positions.byte(Marker::new(index, 1, 0)), byte);
        }
        assert_eq!(positions.byte(Marker::new(800, 1, 0)), text.len());
        assert_eq!(positions.byte(Marker::new(9_999, 1, 0)), text.len());
        assert_eq!(Positions::new("abc").byte(Marker::new(9, 1, 0)), 3);
    }
}
