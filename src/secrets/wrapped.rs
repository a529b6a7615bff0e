//! Encoded texts that a program broke into lines, as `base64` and `xxd -p` do.

use std::ops::Range;

/// A line end after so many letters of base64 or hexadecimal is taken for a break of a program, and
/// looked through. The usual widths are 60, 64 and 76.
const LEAST: usize = 32;

/// Bytes without the line ends that break an encoded text, nor the blanks that indent what follows
/// them, and where these were.
pub(super) struct Joined {
    pub(super) bytes: Vec<u8>,
    /// Positions in the original, ascending.
    removed: Vec<usize>,
}

impl Joined {
    /// `None` when there is no such line end. `before` encoded letters stand directly before the bytes.
    pub(super) fn of(bytes: &[u8], before: usize) -> Option<Self> {
        if !has_break(bytes, before) {
            return None;
        }
        let mut removed = Vec::new();
        let mut run = before;
        let mut broken = false;
        for (at, &byte) in bytes.iter().enumerate() {
            if is_letter(byte) {
                run += 1;
                broken = false;
            } else if broken && matches!(byte, b' ' | b'\t') {
                removed.push(at);
            } else if matches!(byte, b'\n' | b'\r') && run >= LEAST {
                removed.push(at);
                if byte == b'\n' {
                    run = 0;
                    broken = true;
                }
            } else {
                run = 0;
                broken = false;
            }
        }
        let mut joined = Vec::with_capacity(bytes.len());
        let mut from = 0;
        for &at in &removed {
            joined.extend_from_slice(&bytes[from..at]);
            from = at + 1;
        }
        joined.extend_from_slice(&bytes[from..]);
        Some(Self {
            bytes: joined,
            removed,
        })
    }

    /// Where a position of the joined bytes is in the original.
    pub(super) fn original(&self, position: usize) -> usize {
        let (mut low, mut high) = (0, self.removed.len());
        while low < high {
            let middle = (low + high) / 2;
            if self.removed[middle] - middle <= position {
                low = middle + 1;
            } else {
                high = middle;
            }
        }
        position + low
    }

    /// What a range of the joined bytes is in the original, line ends inside included.
    pub(super) fn original_range(&self, range: Range<usize>) -> Range<usize> {
        self.original(range.start)..self.original(range.end.saturating_sub(1)) + 1
    }
}

/// Whether a line end follows enough letters: only the letters before line ends are looked at.
fn has_break(bytes: &[u8], before: usize) -> bool {
    let ends = bytes.iter().enumerate();
    ends.filter(|(_, byte)| matches!(byte, b'\n' | b'\r'))
        .any(|(at, _)| {
            let from = at.saturating_sub(LEAST);
            run_at_end(&bytes[from..at], if from == 0 { before } else { 0 }) >= LEAST
        })
}

/// How many encoded letters stand at the end of some bytes, after `before` others.
pub(super) fn run_at_end(bytes: &[u8], before: usize) -> usize {
    let run = bytes.iter().rev().take_while(|b| is_letter(**b)).count();
    let run = if run == bytes.len() {
        before + run
    } else {
        run
    };
    // More is not asked for.
    run.min(LEAST)
}

fn is_letter(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'/' | b'-' | b'_' | b'=')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_breaks_of_encoded_lines_are_looked_through() {
        let line = "A".repeat(40);
        let text = format!("{line}\r\n{line}\nBB\nshort\nwords of a line that is rather long\n");
        let joined = Joined::of(text.as_bytes(), 0).expect("broken");
        assert_eq!(
            String::from_utf8_lossy(&joined.bytes),
            format!("{line}{line}BB\nshort\nwords of a line that is rather long\n")
        );
        assert_eq!(joined.original(39), 39);
        assert_eq!(joined.original(40), 42);
        assert_eq!(joined.original_range(38..42), 38..44);
        assert_eq!(joined.original(80), 83);
        let indented = format!("{line}\n    {line}\n  B");
        let joined = Joined::of(indented.as_bytes(), 0).expect("broken");
        assert_eq!(joined.bytes, format!("{line}{line}B").as_bytes());
        assert_eq!(joined.original(40), 45);
        assert!(Joined::of(b"plain\nlines\n", 0).is_none());
        assert!(Joined::of(b"AAAAAA\nB", 30).is_some());
        assert_eq!(run_at_end(b"ab cde", 9), 3);
        assert_eq!(run_at_end(b"abc", 9), 12);
        assert_eq!(run_at_end(b"abc", 40), LEAST);
    }
}
