//! Diagnostics as data: what is wrong, where, why, and what to do. Rendering is the report's work.

use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

/// A diagnostic's stable code such as `RB0103`; `runbook explain CODE` prints its page.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
pub struct Code(pub &'static str);

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.0)
    }
}

/// A code with the page that `runbook explain` prints.
#[derive(Debug, Clone, Copy)]
pub struct CodePage {
    /// The code.
    pub code: Code,
    /// One line: the rule in a few words.
    pub title: &'static str,
    /// Markdown of `docs/errors/CODE.md`: what it means, a wrong and a right example, why.
    pub page: &'static str,
}

/// A text file that was read: its path as shown to people, and its whole text.
#[derive(Debug, PartialEq, Eq)]
pub struct SourceFile {
    /// The path as shown, relative to the repository's root where possible.
    pub path: String,
    /// The whole text.
    pub text: String,
}

impl SourceFile {
    /// Wraps a text.
    pub fn new(path: impl Into<String>, text: impl Into<String>) -> Arc<Self> {
        Arc::new(Self {
            path: path.into(),
            text: text.into(),
        })
    }

    /// One-based line and column (in characters) of a byte offset.
    pub fn line_column(&self, offset: usize) -> (usize, usize) {
        let mut offset = offset.min(self.text.len());
        while !self.text.is_char_boundary(offset) {
            offset -= 1;
        }
        let before = &self.text[..offset];
        let line_start = before.rfind('\n').map_or(0, |i| i + 1);
        (
            before.bytes().filter(|b| *b == b'\n').count() + 1,
            before[line_start..].chars().count() + 1,
        )
    }
}

/// A range of bytes in a source file.
#[derive(
    Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
pub struct Span {
    /// Byte offset of the first byte.
    pub start: usize,
    /// Length in bytes; may be 0.
    pub len: usize,
}

impl Span {
    /// From a start offset (inclusive) and an end offset (exclusive).
    pub fn between(start: usize, end: usize) -> Self {
        Self {
            start,
            len: end.saturating_sub(start),
        }
    }

    /// Byte offset after the last byte.
    pub fn end(self) -> usize {
        self.start + self.len
    }
}

/// A value and where it was written. Equality and hashing look at the value only.
#[derive(Debug, Clone, Default)]
pub struct Spanned<T> {
    /// The value.
    pub value: T,
    /// Where it was written.
    pub span: Span,
}

impl<T> Spanned<T> {
    /// Pairs a value with its place.
    pub fn new(value: T, span: Span) -> Self {
        Self { value, span }
    }

    /// Converts the value, keeping the place.
    pub fn map<U>(self, f: impl FnOnce(T) -> U) -> Spanned<U> {
        Spanned::new(f(self.value), self.span)
    }
}

impl<T: PartialEq> PartialEq for Spanned<T> {
    fn eq(&self, other: &Self) -> bool {
        self.value == other.value
    }
}

impl<T> std::ops::Deref for Spanned<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.value
    }
}

/// How bad a diagnostic is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// Worth knowing.
    Note,
    /// Probably a mistake; does not stop a run.
    Warning,
    /// Must be mended before anything runs.
    Error,
}

/// A place a diagnostic points at, with a short text for it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Label {
    /// The file.
    pub source: Arc<SourceFile>,
    /// The range in it.
    pub span: Span,
    /// What is to be seen there.
    pub text: String,
}

/// One finding. The first label is the primary place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Diagnostic {
    /// Stable code.
    pub code: Code,
    /// How bad it is.
    pub severity: Severity,
    /// What is wrong, one sentence fragment in lower case without a full stop.
    pub message: String,
    /// Where; may be empty for a finding without a place (a missing file).
    pub labels: Vec<Label>,
    /// What to do about it.
    pub help: Option<String>,
}

impl Diagnostic {
    /// An error without a place yet.
    pub fn error(code: Code, message: impl Into<String>) -> Self {
        Self {
            code,
            severity: Severity::Error,
            message: message.into(),
            labels: Vec::new(),
            help: None,
        }
    }

    /// A warning without a place yet.
    pub fn warning(code: Code, message: impl Into<String>) -> Self {
        Self {
            severity: Severity::Warning,
            ..Self::error(code, message)
        }
    }

    /// A note without a place yet.
    pub fn note(code: Code, message: impl Into<String>) -> Self {
        Self {
            severity: Severity::Note,
            ..Self::error(code, message)
        }
    }

    /// Adds a place.
    #[must_use]
    pub fn at(mut self, source: &Arc<SourceFile>, span: Span, text: impl Into<String>) -> Self {
        self.labels.push(Label {
            source: Arc::clone(source),
            span,
            text: text.into(),
        });
        self
    }

    /// Adds help.
    #[must_use]
    pub fn help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }

    /// Adds "did you mean" help when there is a suggestion.
    #[must_use]
    pub fn suggest(self, suggestion: Option<&str>) -> Self {
        match suggestion {
            Some(name) => self.help(format!("did you mean `{name}`?")),
            None => self,
        }
    }
}

/// Collects every finding of every pass, so that all are shown in one go.
#[derive(Debug, Default)]
pub struct Diagnostics {
    items: Vec<Diagnostic>,
}

impl Diagnostics {
    /// Most findings kept; a hostile file cannot make us build more.
    pub const MAX: usize = 200;

    /// An empty collection.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a finding. Beyond [`Self::MAX`] findings are dropped, but an error takes the place of a
    /// finding that is none: many warnings must not hide that something is wrong.
    pub fn push(&mut self, diagnostic: Diagnostic) {
        if self.items.len() < Self::MAX {
            self.items.push(diagnostic);
        } else if diagnostic.severity == Severity::Error
            && let Some(slot) = self
                .items
                .iter_mut()
                .rev()
                .find(|d| d.severity != Severity::Error)
        {
            *slot = diagnostic;
        }
    }

    /// Whether no further error would be kept, so that looking for more is in vain.
    pub fn is_full(&self) -> bool {
        self.error_count() >= Self::MAX
    }

    /// Whether any finding is an error.
    pub fn has_errors(&self) -> bool {
        self.error_count() > 0
    }

    /// How many findings are errors.
    pub fn error_count(&self) -> usize {
        self.items
            .iter()
            .filter(|d| d.severity == Severity::Error)
            .count()
    }

    /// Whether there is no finding at all.
    pub fn is_empty(&self) -> bool {
        self.items.is_empty()
    }

    /// The findings in the order they were made.
    pub fn iter(&self) -> impl Iterator<Item = &Diagnostic> {
        self.items.iter()
    }

    /// The findings sorted by file, place and code, duplicates removed.
    pub fn into_sorted(mut self) -> Vec<Diagnostic> {
        let key = |d: &Diagnostic| {
            d.labels
                .first()
                .map(|l| (l.source.path.clone(), l.span.start, d.code))
        };
        self.items.sort_by_key(key);
        self.items.dedup();
        self.items
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn warnings_do_not_hide_an_error() {
        let code = Code("RB0000");
        let mut diags = Diagnostics::new();
        for _ in 0..Diagnostics::MAX {
            diags.push(Diagnostic::warning(code, "a warning"));
        }
        diags.push(Diagnostic::error(code, "an error"));
        assert!(diags.has_errors() && !diags.is_full());
        assert_eq!(diags.iter().count(), Diagnostics::MAX);
        for _ in 0..Diagnostics::MAX {
            diags.push(Diagnostic::error(code, "an error"));
        }
        assert!(diags.is_full());
    }

    #[test]
    fn lines_and_columns_count_characters() {
        let file = SourceFile::new("a.yaml", "a: 1\nü: x\n");
        assert_eq!(file.line_column(0), (1, 1));
        assert_eq!(file.line_column(5), (2, 1));
        assert_eq!(file.line_column(7), (2, 2));
        assert_eq!(file.line_column(6), (2, 1));
        assert_eq!(file.line_column(999), (3, 1));
    }
}
