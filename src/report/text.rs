//! Making text safe and fitting: nothing that a step, a file or a person wrote may move the cursor.

use std::borrow::Cow;
use std::time::Duration;

use unicode_width::{UnicodeWidthChar, UnicodeWidthStr};

use super::style::{Paint, Style, Symbol};
use crate::base::{Timestamp, Value, format_duration};

/// Longest text of foreign origin that is shown in one place, in characters.
pub(crate) const LONGEST: usize = 4_000;

/// Longest piece of a line of output that is kept while the line is not over, in bytes.
pub(crate) const LINE_BYTES: usize = 4_096;

/// Begins and ends the marker of a secret; nothing to be seen.
const MARKER_EDGE: char = '\u{2063}';

/// Whether a character must never reach a terminal: controls, and marks that reorder or hide text
/// ("Trojan Source", CVE-2021-42574).
pub(crate) fn is_hostile(c: char) -> bool {
    c.is_control()
        || matches!(c,
            '\u{200b}' | '\u{200e}' | '\u{200f}' | '\u{061c}' | '\u{2028}' | '\u{2029}'
            | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{feff}'
            | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}')
}

fn push_visible(out: &mut String, c: char) {
    if c == MARKER_EDGE {
        // Around the marker of a secret, which reads `[secret NAME]`.
    } else if !is_hostile(c) {
        out.push(c);
    } else if u32::from(c) <= 0xff {
        out.push_str(&format!("\\x{:02x}", u32::from(c)));
    } else {
        out.push_str(&format!("\\u{{{:x}}}", u32::from(c)));
    }
}

/// Control characters made visible (`\x1b`); line ends and tabs stay.
pub(crate) fn visible(text: &str) -> Cow<'_, str> {
    if !text
        .chars()
        .any(|c| (is_hostile(c) || c == MARKER_EDGE) && c != '\n' && c != '\t')
    {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(text.len() + 16);
    for c in text.chars() {
        match c {
            '\n' | '\t' => out.push(c),
            c => push_visible(&mut out, c),
        }
    }
    Cow::Owned(out)
}

/// Text of foreign origin made safe for a terminal: control characters are shown, not obeyed.
pub fn safe_text(text: &str) -> Cow<'_, str> {
    visible(text)
}

/// The text on one line, safe, and of bounded length: line ends are shown, tabs become a space.
pub(crate) fn one_line(text: &str, style: Style) -> String {
    // Nearly all texts are harmless as they are.
    if text.len() <= LONGEST && text.bytes().all(|b| matches!(b, b' '..=b'~')) {
        return text.to_owned();
    }
    let mut out = String::with_capacity(text.len().min(LONGEST));
    for (i, c) in text.trim_end_matches(['\n', '\r']).chars().enumerate() {
        if i >= LONGEST {
            out.push_str(style.symbol(Symbol::Ellipsis));
            break;
        }
        match c {
            '\n' => {
                out.push_str(style.symbol(Symbol::LineEnd));
                out.push(' ');
            }
            '\r' => {}
            '\t' => out.push(' '),
            c => push_visible(&mut out, c),
        }
    }
    out
}

/// A line that a step printed. Its colours are dropped without a trace, since they are harmless
/// and common; every other control sequence is made visible.
pub(crate) fn output_line(line: &str, style: Style) -> String {
    one_line(&without_colours(line), style)
}

fn without_colours(text: &str) -> Cow<'_, str> {
    if !text.contains("\x1b[") {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find("\x1b[") {
        out.push_str(&rest[..at]);
        let body = &rest[at + 2..];
        let end = body.find(|c: char| !c.is_ascii_digit() && c != ';' && c != ':');
        rest = match end {
            Some(end) if body[end..].starts_with('m') => &body[end + 1..],
            _ => {
                out.push_str("\x1b[");
                body
            }
        };
    }
    out.push_str(rest);
    Cow::Owned(out)
}

/// Columns that a safe text takes.
pub(crate) fn width(text: &str) -> usize {
    if text.bytes().all(|b| matches!(b, b' '..=b'~')) {
        return text.len();
    }
    UnicodeWidthStr::width(text)
}

/// At most `columns` wide; what is cut off is marked.
pub(crate) fn clip(text: &str, columns: usize, style: Style) -> String {
    if text.len() <= columns || width(text) <= columns {
        return text.to_owned();
    }
    let mark = style.symbol(Symbol::Ellipsis);
    let room = columns.saturating_sub(width(mark));
    let mut used = 0;
    let mut out = String::new();
    for c in text.chars() {
        used += c.width().unwrap_or(0);
        if used > room {
            break;
        }
        out.push(c);
    }
    out.push_str(mark);
    out
}

/// Padded with spaces on the right to `columns`.
pub(crate) fn pad(text: &str, columns: usize) -> String {
    format!("{text}{}", " ".repeat(columns.saturating_sub(width(text))))
}

/// Broken at spaces into lines of at most `columns`; a longer word is broken where it must be.
pub(crate) fn wrap(text: &str, columns: usize) -> Vec<String> {
    let columns = columns.max(8);
    let mut lines = vec![String::new()];
    let mut used = 0;
    for word in text.split_whitespace() {
        let wide = width(word);
        if used > 0 && used + 1 + wide > columns {
            lines.push(String::new());
            used = 0;
        }
        if used > 0 {
            if let Some(line) = lines.last_mut() {
                line.push(' ');
            }
            used += 1;
        }
        for c in word.chars() {
            let cells = c.width().unwrap_or(0);
            if used + cells > columns {
                lines.push(String::new());
                used = 0;
            }
            if let Some(line) = lines.last_mut() {
                line.push(c);
            }
            used += cells;
        }
    }
    lines
}

/// A duration for people: `45ms`, `1.2s`, `2m3s`, `1h2m`.
pub(crate) fn human(duration: Duration) -> String {
    let millis = duration.as_millis() as u64;
    let step = match millis {
        0..1_000 => 1,
        1_000..60_000 => 100,
        60_000..3_600_000 => 1_000,
        _ => 60_000,
    };
    format_duration(Duration::from_millis((millis + step / 2) / step * step))
}

/// A point in time for people: UTC, to the second.
pub(crate) fn clock_time(at: Timestamp) -> String {
    at.to_utc().format("%Y-%m-%d %H:%M:%S").to_string()
}

/// A text as one word of a command that a person copies: `restart[api]` is a pattern for the shell, so
/// it is quoted. What no shell word can hold (NUL) is left as it is; ids never have it.
pub fn shell_word(text: &str) -> Cow<'_, str> {
    shlex::try_quote(text).unwrap_or(Cow::Borrowed(text))
}

/// `1 step`, `2 steps`.
pub(crate) fn count(n: usize, noun: &str) -> String {
    if n == 1 {
        format!("1 {noun}")
    } else {
        format!("{n} {noun}s")
    }
}

/// A value on one line: plain text where that cannot be mistaken, JSON otherwise.
pub(crate) fn value_text(value: &Value, style: Style) -> String {
    match value {
        Value::String(text) if is_plain(text) => one_line(text, style),
        other => one_line(&other.to_string(), style),
    }
}

/// Whether a text can stand without quotes: not empty, no outer blanks, nothing that looks like another kind.
fn is_plain(text: &str) -> bool {
    !text.is_empty()
        && text.trim() == text
        && !text.contains("{{")
        && !text.starts_with(['"', '[', '{'])
        && !matches!(text, "null" | "true" | "false")
        && text.parse::<f64>().is_err()
}

/// A cell of a [`Table`].
#[derive(Debug, Clone, Default)]
pub(crate) struct Cell {
    text: String,
    paint: Paint,
    right: bool,
}

impl Cell {
    /// A cell; the text is made safe.
    pub(crate) fn new(text: &str, style: Style) -> Self {
        Self {
            text: one_line(text, style),
            ..Self::default()
        }
    }

    /// In a colour.
    pub(crate) fn paint(mut self, paint: Paint) -> Self {
        self.paint = paint;
        self
    }

    /// Set flush right.
    pub(crate) fn right(mut self) -> Self {
        self.right = true;
        self
    }
}

/// Rows with aligned columns that fit the width.
#[derive(Debug, Default)]
pub(crate) struct Table {
    rows: Vec<Vec<Cell>>,
    indent: usize,
}

impl Table {
    const GAP: usize = 2;
    const NARROWEST: usize = 6;

    /// An empty table, `indent` spaces from the left.
    pub(crate) fn new(indent: usize) -> Self {
        Self {
            rows: Vec::new(),
            indent,
        }
    }

    /// A table with a heading.
    pub(crate) fn headed(indent: usize, heads: &[&str], style: Style) -> Self {
        let mut table = Self::new(indent);
        table.row(
            heads
                .iter()
                .map(|head| Cell::new(head, style).paint(Paint::Dim))
                .collect(),
        );
        table
    }

    /// Adds a row.
    pub(crate) fn row(&mut self, cells: Vec<Cell>) {
        self.rows.push(cells);
    }

    /// The text, each row ending in a line end. The widest columns are clipped until all fit.
    pub(crate) fn render(&self, style: Style) -> String {
        let columns = self.rows.iter().map(Vec::len).max().unwrap_or(0);
        let mut widths = vec![0; columns];
        for row in &self.rows {
            for (i, cell) in row.iter().enumerate() {
                widths[i] = widths[i].max(width(&cell.text));
            }
        }
        self.shrink(&mut widths, style.width);
        let mut out = String::new();
        for row in &self.rows {
            let mut line = " ".repeat(self.indent);
            for (i, cell) in row.iter().enumerate() {
                let text = clip(&cell.text, widths[i], style);
                let blank = " ".repeat(widths[i].saturating_sub(width(&text)));
                let painted = style.paint(cell.paint, &text);
                let gap = " ".repeat(if i == 0 { 0 } else { Self::GAP });
                if cell.right {
                    line.push_str(&format!("{gap}{blank}{painted}"));
                } else {
                    line.push_str(&format!("{gap}{painted}{blank}"));
                }
            }
            out.push_str(line.trim_end());
            out.push('\n');
        }
        out
    }

    fn shrink(&self, widths: &mut [usize], limit: usize) {
        let gaps = Self::GAP * widths.len().saturating_sub(1) + self.indent;
        loop {
            let over = (widths.iter().sum::<usize>() + gaps).saturating_sub(limit);
            let Some((widest, &most)) = widths.iter().enumerate().max_by_key(|(_, w)| **w) else {
                return;
            };
            if over == 0 || most <= Self::NARROWEST {
                return;
            }
            // Down to the second widest at once, so that the loop is short.
            let second = widths
                .iter()
                .enumerate()
                .filter(|(i, _)| *i != widest)
                .map(|(_, w)| *w)
                .max()
                .unwrap_or(0);
            let step = over.min((most - second.min(most)).max(1));
            widths[widest] = (most - step).max(Self::NARROWEST);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const STYLE: Style = Style {
        color: false,
        unicode: true,
        width: 40,
    };

    #[test]
    fn control_sequences_are_shown_never_passed_on() {
        assert_eq!(visible("a\x1b[2Jb\tc\n"), "a\\x1b[2Jb\tc\n");
        assert_eq!(visible("\u{202e}txt.exe"), "\\u{202e}txt.exe");
        assert_eq!(one_line("a\r\nb\x07\u{9b}31m", STYLE), "a⏎ b\\x07\\x9b31m");
        assert_eq!(
            output_line("\x1b[1;31mred\x1b[0m \x1b]0;title\x07", STYLE),
            "red \\x1b]0;title\\x07"
        );
        assert_eq!(output_line("cut \x1b[31", STYLE), "cut \\x1b[31");
    }

    #[test]
    fn clipping_counts_columns_not_characters() {
        assert_eq!(clip("héllo", 5, STYLE), "héllo");
        assert_eq!(clip("日本語です", 6, STYLE), "日本…");
        assert_eq!(width(&clip("日本語です", 6, STYLE)), 5);
        assert!(one_line(&"x".repeat(1_000_000), STYLE).len() < 5_000);
    }

    #[test]
    fn wraps_and_breaks() {
        assert_eq!(wrap("one two three", 8), ["one two", "three"]);
        assert_eq!(wrap("abcdefghijkl", 8), ["abcdefgh", "ijkl"]);
    }

    #[test]
    fn durations_are_rounded_for_people() {
        for (millis, text) in [
            (0, "0s"),
            (45, "45ms"),
            (1_249, "1.2s"),
            (59_999, "1m"),
            (123_456, "2m3s"),
            (3_723_000, "1h2m"),
        ] {
            assert_eq!(human(Duration::from_millis(millis)), text);
        }
    }

    #[test]
    fn tables_fit_the_width() {
        let mut table = Table::headed(2, &["ID", "TEXT", "N"], STYLE);
        table.row(vec![
            Cell::new("a", STYLE),
            Cell::new(&"long ".repeat(30), STYLE),
            Cell::new("10", STYLE).right(),
        ]);
        let text = table.render(STYLE);
        assert!(text.lines().all(|line| width(line) <= 40), "{text}");
        assert!(text.contains('…'));
    }

    #[test]
    fn values_that_could_be_mistaken_are_quoted() {
        for (value, text) in [
            (Value::from("api"), "api"),
            (Value::from("5"), "\"5\""),
            (Value::from(5), "5"),
            (Value::from("{{ x }}"), "\"{{ x }}\""),
            (Value::from(""), "\"\""),
        ] {
            assert_eq!(value_text(&value, STYLE), text);
        }
    }
}
