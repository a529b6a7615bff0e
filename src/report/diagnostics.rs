//! Diagnostics as text: with source lines, as one line each, and as JSON.

use std::collections::{BTreeSet, HashMap};
use std::fmt;
use std::sync::Arc;

use miette::{GraphicalReportHandler, GraphicalTheme, LabeledSpan, SourceCode, ThemeStyles};
use serde_json::json;

use super::excerpt::{Excerpt, LineIndex, floor_boundary};
use super::style::{Paint, Style};
use super::text::{count, one_line, output_line};
use crate::base::{Diagnostic, Label, Severity, SourceFile, Span, Value};

/// Lines between two labels of one file beyond which they are shown as two excerpts.
const FAR: usize = 400;

/// Line indices of the files that findings point into, each built once.
#[derive(Default)]
struct Indices(HashMap<*const SourceFile, LineIndex>);

impl Indices {
    fn of(&mut self, source: &Arc<SourceFile>) -> &LineIndex {
        self.0
            .entry(Arc::as_ptr(source))
            .or_insert_with(|| LineIndex::new(&source.text))
    }
}

/// Every finding with its source lines, then a summary line. Empty for no findings.
pub fn diagnostics_text(findings: &[Diagnostic], style: Style) -> String {
    let mut indices = Indices::default();
    let mut out = String::new();
    for finding in findings {
        let shown = Shown::new(finding, &mut indices, style);
        let handler =
            handler(style).with_footer(format!("for more: runbook explain {}", finding.code));
        // Writing to a String fails only when miette cannot read the excerpt; then the short form stands in.
        let before = out.len();
        if handler.render_report(&mut out, &shown).is_err() {
            out.truncate(before);
            out.push_str(&compact_line(finding, &mut indices, style));
        }
        out.push('\n');
    }
    if let Some(line) = diagnostics_summary(findings) {
        let errors = findings.iter().any(|d| d.severity == Severity::Error);
        let paint = if errors { Paint::Bad } else { Paint::Care };
        out.push_str(&style.paint(paint, &line));
        out.push('\n');
    }
    out
}

/// One line a finding: `file:line:column: error[CODE]: message (help)`.
pub fn diagnostics_compact(findings: &[Diagnostic], style: Style) -> String {
    let mut indices = Indices::default();
    findings
        .iter()
        .map(|finding| compact_line(finding, &mut indices, style))
        .collect()
}

fn compact_line(finding: &Diagnostic, indices: &mut Indices, style: Style) -> String {
    let place = finding.labels.first().map_or(String::new(), |label| {
        let (line, column) = indices
            .of(&label.source)
            .position(&label.source.text, label.span.start);
        format!("{}:{line}:{column}: ", one_line(&label.source.path, style))
    });
    let help = finding.help.as_deref().map_or(String::new(), |help| {
        format!(" (help: {})", one_line(help, style))
    });
    format!(
        "{place}{}[{}]: {}{help}\n",
        severity_word(finding.severity),
        finding.code,
        one_line(&finding.message, style),
    )
}

/// One object a finding, with one-based lines and columns (in characters), and each label's bytes.
pub fn diagnostics_json(findings: &[Diagnostic]) -> Vec<Value> {
    let mut indices = Indices::default();
    findings
        .iter()
        .map(|finding| {
            let labels: Vec<Value> = finding
                .labels
                .iter()
                .map(|label| label_json(label, &mut indices))
                .collect();
            let mut object = json!({
                "code": finding.code,
                "severity": finding.severity,
                "message": finding.message,
                "help": finding.help,
            });
            for key in ["file", "line", "column", "end_line", "end_column"] {
                object[key] = labels.first().map_or(Value::Null, |l| l[key].clone());
            }
            object["labels"] = Value::Array(labels);
            object
        })
        .collect()
}

fn label_json(label: &Label, indices: &mut Indices) -> Value {
    let index = indices.of(&label.source);
    let (line, column) = index.position(&label.source.text, label.span.start);
    let (end_line, end_column) = index.position(&label.source.text, label.span.end());
    json!({
        "file": label.source.path,
        "line": line,
        "column": column,
        "end_line": end_line,
        "end_column": end_column,
        "start": label.span.start,
        "end": label.span.end(),
        "text": label.text,
    })
}

/// `3 errors and 1 warning in runbooks/x.yaml`; nothing for no findings.
pub fn diagnostics_summary(findings: &[Diagnostic]) -> Option<String> {
    let number = |severity| findings.iter().filter(|d| d.severity == severity).count();
    let parts: Vec<String> = [
        (Severity::Error, "error"),
        (Severity::Warning, "warning"),
        (Severity::Note, "note"),
    ]
    .into_iter()
    .filter_map(|(severity, noun)| match number(severity) {
        0 => None,
        n => Some(count(n, noun)),
    })
    .collect();
    let what = match parts.split_last()? {
        (last, []) => last.clone(),
        (last, rest) => format!("{} and {last}", rest.join(", ")),
    };
    let files: BTreeSet<&str> = findings
        .iter()
        .filter_map(|d| d.labels.first())
        .map(|label| label.source.path.as_str())
        .collect();
    Some(match (files.len(), files.first()) {
        (1, Some(file)) => format!("{what} in {}", one_line(file, Style::plain(80))),
        (0, _) => what,
        (n, _) => format!("{what} in {n} files"),
    })
}

fn severity_word(severity: Severity) -> &'static str {
    match severity {
        Severity::Error => "error",
        Severity::Warning => "warning",
        Severity::Note => "note",
    }
}

fn handler(style: Style) -> GraphicalReportHandler {
    let mut theme = if style.unicode {
        GraphicalTheme::unicode()
    } else {
        GraphicalTheme::ascii()
    };
    theme.styles = if style.color {
        ThemeStyles::ansi()
    } else {
        ThemeStyles::none()
    };
    GraphicalReportHandler::new_themed(theme)
        .with_links(false)
        .without_syntax_highlighting()
        .with_context_lines(Excerpt::CONTEXT)
        .tab_width(2)
        .with_width(style.width.max(40))
}

/// A finding in the form that miette draws.
#[derive(Debug)]
struct Shown {
    message: String,
    code: Option<String>,
    help: Option<String>,
    severity: miette::Severity,
    excerpt: Option<Excerpt>,
    labels: Vec<LabeledSpan>,
    related: Vec<Shown>,
}

impl Shown {
    fn new(finding: &Diagnostic, indices: &mut Indices, style: Style) -> Self {
        let mut groups = grouped(&finding.labels, indices).into_iter();
        let first = groups.next().unwrap_or_default();
        let (excerpt, labels) = drawn(&first, indices, style);
        let related = groups
            .map(|group| {
                let text = group.first().map_or("", |label| label.text.as_str());
                let (excerpt, mut labels) = drawn(&group, indices, style);
                // Its text is the heading already.
                if let Some(label) = labels.first_mut() {
                    label.set_label(None);
                }
                Self {
                    message: output_line(text, style),
                    code: None,
                    help: None,
                    severity: miette::Severity::Advice,
                    excerpt,
                    labels,
                    related: Vec::new(),
                }
            })
            .collect();
        Self {
            message: output_line(&finding.message, style),
            code: Some(format!(
                "{}[{}]",
                severity_word(finding.severity),
                finding.code
            )),
            help: finding.help.as_deref().map(|help| multi_line(help, style)),
            severity: match finding.severity {
                Severity::Error => miette::Severity::Error,
                Severity::Warning => miette::Severity::Warning,
                Severity::Note => miette::Severity::Advice,
            },
            excerpt,
            labels,
            related,
        }
    }
}

/// Help may have several lines (an example); each is made safe by itself.
fn multi_line(text: &str, style: Style) -> String {
    let lines: Vec<String> = text
        .lines()
        .take(40)
        .map(|line| one_line(line, style))
        .collect();
    lines.join("\n")
}

/// Labels that can share an excerpt: those of one file that are not too far from its first.
fn grouped<'a>(labels: &'a [Label], indices: &mut Indices) -> Vec<Vec<&'a Label>> {
    let mut groups: Vec<Vec<&Label>> = Vec::new();
    for label in labels {
        let index = indices.of(&label.source);
        let line = index.line_of(label.span.start);
        let home = groups.iter_mut().find(|group| {
            group.first().is_some_and(|first| {
                Arc::ptr_eq(&first.source, &label.source)
                    && index.line_of(first.span.start).abs_diff(line) <= FAR
            })
        });
        match home {
            Some(group) => group.push(label),
            None => groups.push(vec![label]),
        }
    }
    groups
}

fn drawn(
    labels: &[&Label],
    indices: &mut Indices,
    style: Style,
) -> (Option<Excerpt>, Vec<LabeledSpan>) {
    let Some(first) = labels.first() else {
        return (None, Vec::new());
    };
    let spans: Vec<Span> = labels
        .iter()
        .map(|label| clamped(label.span, &label.source.text))
        .collect();
    let index = indices.of(&first.source);
    let columns = style.width.saturating_sub(12).max(24);
    let (excerpt, places) = Excerpt::new(&first.source, index, &spans, columns);
    let labels = labels
        .iter()
        .zip(places)
        .enumerate()
        .map(|(i, (label, place))| {
            let text = (!label.text.is_empty()).then(|| output_line(&label.text, style));
            if i == 0 {
                LabeledSpan::new_primary_with_span(text, place)
            } else {
                LabeledSpan::new_with_span(text, place)
            }
        })
        .collect();
    (Some(excerpt), labels)
}

/// A span inside the text, on character boundaries.
fn clamped(span: Span, text: &str) -> Span {
    let start = floor_boundary(text, span.start);
    let end = floor_boundary(text, span.start.saturating_add(span.len));
    Span::between(start, end)
}

impl fmt::Display for Shown {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Shown {}

impl miette::Diagnostic for Shown {
    fn code<'a>(&'a self) -> Option<Box<dyn fmt::Display + 'a>> {
        self.code
            .as_ref()
            .map(|code| Box::new(code) as Box<dyn fmt::Display>)
    }

    fn severity(&self) -> Option<miette::Severity> {
        Some(self.severity)
    }

    fn help<'a>(&'a self) -> Option<Box<dyn fmt::Display + 'a>> {
        self.help
            .as_ref()
            .map(|help| Box::new(help) as Box<dyn fmt::Display>)
    }

    fn source_code(&self) -> Option<&dyn SourceCode> {
        self.excerpt
            .as_ref()
            .map(|excerpt| excerpt as &dyn SourceCode)
    }

    fn labels(&self) -> Option<Box<dyn Iterator<Item = LabeledSpan> + '_>> {
        Some(Box::new(self.labels.iter().cloned()))
    }

    fn related<'a>(&'a self) -> Option<Box<dyn Iterator<Item = &'a dyn miette::Diagnostic> + 'a>> {
        if self.related.is_empty() {
            return None;
        }
        Some(Box::new(
            self.related.iter().map(|r| r as &dyn miette::Diagnostic),
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::{Code, Diagnostics};

    const CODE: Code = Code("RB0103");

    fn style() -> Style {
        Style::plain(80)
    }

    fn span_of(source: &SourceFile, part: &str) -> Span {
        let start = source.text.find(part).expect("in the text");
        Span::between(start, start + part.len())
    }

    #[test]
    fn shows_source_labels_help_and_the_next_command() {
        let source = SourceFile::new(
            "runbooks/x.yaml",
            "runbook: v1\nname: x\nsteps:\n  - id: one\n    uses: shell\n    needs: [tow]\n  - id: two\n    uses: shel\n",
        );
        let other = SourceFile::new("runbooks/y.yaml", "runbook: v1\nname: two\n");
        let mut all = Diagnostics::new();
        all.push(
            Diagnostic::error(CODE, "step `one` needs `tow`, which does not exist")
                .at(&source, span_of(&source, "tow"), "no step has this id")
                .at(&source, span_of(&source, "two"), "a step with a similar id")
                .at(&other, span_of(&other, "two"), "named here too")
                .suggest(Some("two")),
        );
        all.push(Diagnostic::warning(
            Code("RB0900"),
            "the runbook was never reviewed",
        ));
        let findings = all.into_sorted();
        insta::assert_snapshot!(diagnostics_text(&findings, style()));
        insta::assert_snapshot!(diagnostics_compact(&findings, style()));
        insta::assert_json_snapshot!(diagnostics_json(&findings));
        let ascii = Style {
            unicode: false,
            ..style()
        };
        assert!(diagnostics_text(&findings, ascii).is_ascii());
        let colored = Style {
            color: true,
            ..style()
        };
        assert!(diagnostics_text(&findings, colored).contains("\x1b["));
    }

    #[test]
    fn control_sequences_of_a_file_never_reach_the_terminal() {
        let source = SourceFile::new("a\x1b[2J.yaml", "name: \x1b]0;owned\x07bad\u{202e}\n");
        let finding = Diagnostic::error(CODE, "bad \x1b[31mname")
            .at(&source, span_of(&source, "bad"), "here\x1b[0m")
            .help("say\x07 this\nand that");
        for text in [
            diagnostics_text(std::slice::from_ref(&finding), style()),
            diagnostics_compact(std::slice::from_ref(&finding), style()),
        ] {
            assert!(!text.contains(['\x1b', '\x07', '\u{202e}']), "{text}");
            assert!(text.contains("\\x1b[2J.yaml"), "{text}");
        }
    }

    #[test]
    fn a_line_of_ten_megabytes_is_clipped_around_the_span() {
        let mut text = "x".repeat(5_000_000);
        text.push_str("WRONG");
        text.push_str(&"y".repeat(5_000_000));
        let source = SourceFile::new("big.yaml", text);
        let span = Span::between(5_000_000, 5_000_005);
        let findings: Vec<Diagnostic> = (0..50)
            .map(|_| Diagnostic::error(CODE, "wrong").at(&source, span, "this"))
            .collect();
        let text = diagnostics_text(&findings[..1], style());
        assert!(
            text.contains("WRONG") && text.contains("big.yaml:1:5000001"),
            "{text}"
        );
        assert!(
            text.lines().all(|line| line.chars().count() <= 80),
            "{text}"
        );
        assert!(diagnostics_text(&findings, style()).len() < 100_000);
    }

    #[test]
    fn spans_outside_the_text_and_empty_files_do_no_harm() {
        for text in ["", "a", "ü\n", "\n\n\n"] {
            let source = SourceFile::new("x.yaml", text);
            for (start, len) in [(0, 0), (0, 99), (1, 0), (99, 1), (1, 1)] {
                let finding = Diagnostic::error(CODE, "m").at(&source, Span { start, len }, "l");
                let text = diagnostics_text(std::slice::from_ref(&finding), style());
                assert!(text.contains("1 error in x.yaml"), "{text}");
                assert_eq!(diagnostics_json(&[finding])[0]["code"], "RB0103");
            }
        }
    }
}
