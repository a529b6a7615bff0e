//! The few lines of a source file that a diagnostic shows, safe and clipped before miette sees them.

use miette::{MietteError, MietteSpanContents, SourceCode, SourceSpan, SpanContents};
use unicode_width::UnicodeWidthChar as _;

use super::text::visible;
use crate::base::{SourceFile, Span};

/// Where the lines of a file begin; built once per file, however many findings it has.
#[derive(Debug)]
pub(super) struct LineIndex {
    starts: Vec<usize>,
}

impl LineIndex {
    pub(super) fn new(text: &str) -> Self {
        let after = text.bytes().enumerate().filter(|(_, b)| *b == b'\n');
        Self {
            starts: std::iter::once(0)
                .chain(after.map(|(i, _)| i + 1))
                .collect(),
        }
    }

    /// Zero-based line of a byte offset.
    pub(super) fn line_of(&self, offset: usize) -> usize {
        self.starts
            .partition_point(|start| *start <= offset)
            .saturating_sub(1)
    }

    /// One-based line and column (in characters) of a byte offset.
    pub(super) fn position(&self, text: &str, offset: usize) -> (usize, usize) {
        let offset = floor_boundary(text, offset);
        let line = self.line_of(offset);
        let column = text[self.starts[line]..offset].chars().count() + 1;
        (line + 1, column)
    }

    /// The last line, not counting an empty one after the final line end.
    fn last(&self, text: &str) -> usize {
        let last = self.starts.len() - 1;
        last.saturating_sub(usize::from(text.ends_with('\n')))
    }

    /// The byte range of a line without its line end.
    fn range(&self, text: &str, line: usize) -> (usize, usize) {
        let start = self.starts[line];
        let end = self
            .starts
            .get(line + 1)
            .map_or(text.len(), |next| next - 1);
        (start, end.max(start))
    }
}

pub(super) fn floor_boundary(text: &str, offset: usize) -> usize {
    let mut offset = offset.min(text.len());
    while !text.is_char_boundary(offset) {
        offset -= 1;
    }
    offset
}

/// A window into a file: only the lines near the spans are filled in, so its size does not
/// depend on the file's.
#[derive(Debug)]
pub(super) struct Excerpt {
    name: String,
    text: String,
    first_line: usize,
    primary: Option<(SourceSpan, usize)>,
}

impl Excerpt {
    /// Lines shown above and below a span.
    pub(super) const CONTEXT: usize = 1;

    /// Builds the window around spans of one file, and gives each span's place in it. Of a span
    /// over several lines the first line is shown. The first span is the primary one.
    pub(super) fn new(
        source: &SourceFile,
        lines: &LineIndex,
        spans: &[Span],
        columns: usize,
    ) -> (Self, Vec<SourceSpan>) {
        let text = &source.text;
        let marked: Vec<usize> = spans.iter().map(|s| lines.line_of(s.start)).collect();
        let near = |line: usize| marked.iter().any(|m| line.abs_diff(*m) <= Self::CONTEXT);
        let lowest = marked.iter().min().copied().unwrap_or(0);
        let highest = marked.iter().max().copied().unwrap_or(0);
        let first_line = lowest.saturating_sub(Self::CONTEXT);
        let last_line = (highest + Self::CONTEXT).min(lines.last(text)).max(highest);
        let mut out = String::new();
        let mut places = vec![SourceSpan::from((0, 0)); spans.len()];
        for line in first_line..=last_line {
            if near(line) {
                let (start, end) = lines.range(text, line);
                let inside: Vec<(usize, Span)> = spans
                    .iter()
                    .copied()
                    .enumerate()
                    .filter(|(i, _)| marked[*i] == line)
                    .collect();
                write_line(&mut out, text, (start, end), &inside, columns, &mut places);
            }
            if line < last_line {
                out.push('\n');
            }
        }
        let primary = spans.first().map(|span| {
            let (_, column) = lines.position(text, span.start);
            (places[0], column - 1)
        });
        let excerpt = Self {
            name: visible(&source.path).into_owned(),
            text: out,
            first_line,
            primary,
        };
        (excerpt, places)
    }
}

/// Writes one line, clipped around its first span, and notes where its spans came to stand.
fn write_line(
    out: &mut String,
    text: &str,
    (start, end): (usize, usize),
    spans: &[(usize, Span)],
    columns: usize,
    places: &mut [SourceSpan],
) {
    let focus = spans.first().map_or(start, |(_, span)| span.start);
    let (from, to) = window(text, (start, end), floor_boundary(text, focus), columns);
    let base = out.len();
    let mark = if from > start { "…" } else { "" };
    let place = |offset: usize| {
        let offset = floor_boundary(text, offset).clamp(from, to);
        base + mark.len() + visible(&text[from..offset]).len()
    };
    for (i, span) in spans {
        let begin = place(span.start);
        places[*i] = SourceSpan::from((begin, place(span.end()).saturating_sub(begin)));
    }
    out.push_str(mark);
    out.push_str(&visible(text[from..to].trim_end_matches('\r')));
    if to < end {
        out.push('…');
    }
}

/// The part of a line, about `columns` wide, that has `focus` in it.
fn window(
    text: &str,
    (start, end): (usize, usize),
    focus: usize,
    columns: usize,
) -> (usize, usize) {
    let cells = |c: char| c.width().unwrap_or(4);
    let mut from = start;
    let mut before = 0;
    for (i, c) in text[start..focus.clamp(start, end)].char_indices().rev() {
        before += cells(c);
        if before > columns / 2 {
            from = start + i + c.len_utf8();
            break;
        }
    }
    // A line that fits as a whole is shown as a whole.
    let fits = |from: usize| {
        let mut used = 0;
        text[from..end].chars().all(|c| {
            used += cells(c);
            used <= columns
        })
    };
    if fits(start) {
        return (start, end);
    }
    let mut used = 0;
    let mut to = end;
    for (i, c) in text[from..end].char_indices() {
        used += cells(c);
        if used > columns {
            to = from + i;
            break;
        }
    }
    (from, to)
}

impl SourceCode for Excerpt {
    fn read_span<'a>(
        &'a self,
        span: &SourceSpan,
        lines_before: usize,
        lines_after: usize,
    ) -> Result<Box<dyn SpanContents<'a> + 'a>, MietteError> {
        let part = self.text.read_span(span, lines_before, lines_after)?;
        // The heading shows the place in the file, not in the clipped line.
        let column = match self.primary {
            Some((primary, column)) if lines_before == 0 && primary == *span => column,
            _ => part.column(),
        };
        Ok(Box::new(MietteSpanContents::new_named(
            self.name.clone(),
            part.data(),
            *part.span(),
            part.line() + self.first_line,
            column,
            part.line_count(),
        )))
    }
}
