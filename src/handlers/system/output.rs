//! The two bounded memories of a child's output: its head, for outputs, and its tail, for failures.

/// The first bytes of a stream, up to a limit.
#[derive(Debug)]
pub(crate) struct Head {
    bytes: Vec<u8>,
    limit: usize,
    truncated: bool,
}

impl Head {
    /// Keeps at most `limit` bytes.
    pub(crate) fn new(limit: usize) -> Self {
        Self {
            bytes: Vec::new(),
            limit,
            truncated: false,
        }
    }

    /// Takes the next bytes.
    pub(crate) fn push(&mut self, bytes: &[u8]) {
        let free = self.limit - self.bytes.len();
        self.bytes
            .extend_from_slice(&bytes[..bytes.len().min(free)]);
        self.truncated |= bytes.len() > free;
    }

    /// Whether bytes were left out.
    pub(crate) fn truncated(&self) -> bool {
        self.truncated
    }

    /// The text; bytes that are no UTF-8 are replaced, a character cut by the limit is left out.
    pub(crate) fn into_text(mut self) -> String {
        if self.truncated
            && let Err(error) = std::str::from_utf8(&self.bytes)
            && error.error_len().is_none()
        {
            self.bytes.truncate(error.valid_up_to());
        }
        String::from_utf8(self.bytes)
            .unwrap_or_else(|error| String::from_utf8_lossy(error.as_bytes()).into_owned())
    }
}

/// Longest tail kept, in bytes.
const TAIL_BYTES: usize = 8 * 1024;
/// Most lines of a tail shown in a failure.
const TAIL_LINES: usize = 20;

/// The last bytes of a stream.
#[derive(Debug, Default)]
pub(crate) struct Tail {
    bytes: Vec<u8>,
    cut: bool,
}

impl Tail {
    /// Takes the next bytes.
    pub(crate) fn push(&mut self, bytes: &[u8]) {
        self.bytes
            .extend_from_slice(&bytes[bytes.len().saturating_sub(TAIL_BYTES)..]);
        self.cut |= bytes.len() > TAIL_BYTES;
        // Twice the size before cutting, so that small writes do not move the bytes each time.
        if self.bytes.len() > 2 * TAIL_BYTES {
            self.bytes.drain(..self.bytes.len() - TAIL_BYTES);
            self.cut = true;
        }
    }

    /// The last lines, oldest first; a line whose beginning was lost is left out.
    pub(crate) fn into_lines(self) -> Vec<String> {
        let text = String::from_utf8_lossy(&self.bytes);
        let skip = usize::from(self.cut && text.contains('\n'));
        last_lines(text.lines().skip(skip))
    }
}

/// The last lines of some, as a failure shows them.
pub(crate) fn last_lines<'a>(lines: impl Iterator<Item = &'a str>) -> Vec<String> {
    let all: Vec<&str> = lines.filter(|line| !line.trim().is_empty()).collect();
    all[all.len().saturating_sub(TAIL_LINES)..]
        .iter()
        .map(|line| line.trim_end().to_owned())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_head_stops_at_its_limit_and_at_a_whole_character() {
        let mut head = Head::new(4);
        head.push(b"ab");
        assert!(!head.truncated());
        head.push("cü".as_bytes());
        assert!(head.truncated());
        assert_eq!(head.into_text(), "abc");
    }

    #[test]
    fn a_tail_keeps_the_last_lines_however_much_comes() {
        let mut tail = Tail::default();
        for number in 0..100_000 {
            tail.push(format!("line {number}\n").as_bytes());
        }
        let lines = tail.into_lines();
        assert_eq!(lines.len(), TAIL_LINES);
        assert_eq!(lines.first().map(String::as_str), Some("line 99980"));
        assert_eq!(lines.last().map(String::as_str), Some("line 99999"));

        let mut tail = Tail::default();
        tail.push(&vec![b'x'; 10 * TAIL_BYTES]);
        tail.push(b"\nend");
        assert_eq!(tail.into_lines(), ["end"]);
    }
}
