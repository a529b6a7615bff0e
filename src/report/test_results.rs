//! The results of test files: for people, as JSON, and as JUnit XML for CI systems.

use std::fmt::Write as _;
use std::time::Duration;

use serde_json::json;

use super::diagnostics::{diagnostics_json, diagnostics_summary, diagnostics_text};
use super::style::{Paint, Style, Symbol};
use super::text::{count, one_line};
use crate::base::{Severity, Value, format_duration};
use crate::simulate::{CaseResult, StoryLine, SweepFinding};

/// One line a case; for a case that failed also what was expected, what happened, and the timeline.
pub fn test_results_text(results: &[CaseResult], style: Style) -> String {
    let mut out = String::new();
    let mut file = "";
    for result in results {
        if result.file != file {
            file = &result.file;
            let head = format!(
                "{}  {}",
                one_line(file, style),
                one_line(&result.runbook, style)
            );
            let _ = writeln!(out, "{}", style.paint(Paint::Bold, &head));
        }
        case(&mut out, result, style);
    }
    let failed = results.iter().filter(|result| !result.passed()).count();
    let paint = if failed == 0 { Paint::Good } else { Paint::Bad };
    let line = match failed {
        0 => format!("{} passed", count(results.len(), "case")),
        _ => format!("{} of {} failed", failed, count(results.len(), "case")),
    };
    let _ = writeln!(out, "{}", style.paint(paint, &line));
    out
}

fn case(out: &mut String, result: &CaseResult, style: Style) {
    let (symbol, paint) = match result.passed() {
        true => (Symbol::Good, Paint::Good),
        false => (Symbol::Bad, Paint::Bad),
    };
    let time = format_duration(result.virtual_time);
    let about = format!("{}, {time} simulated", count(result.events, "event"));
    let _ = writeln!(
        out,
        "  {} {}  {}",
        style.paint(paint, style.symbol(symbol)),
        one_line(&result.name, style),
        style.paint(Paint::Dim, &about)
    );
    for sweep in &result.sweeps {
        let outcomes: Vec<String> = sweep
            .outcomes
            .iter()
            .map(|(outcome, times)| format!("{times} {outcome}"))
            .collect();
        let outcomes = match outcomes.is_empty() {
            true => String::new(),
            false => format!(": {}", outcomes.join(", ")),
        };
        let line = format!("{}, {}{outcomes}", sweep.kind, count(sweep.runs, "run"));
        let _ = writeln!(out, "      {}", style.paint(Paint::Dim, &line));
    }
    let errors = result
        .findings
        .iter()
        .any(|f| f.severity == Severity::Error);
    if errors {
        let text = diagnostics_text(&result.findings, style);
        let summary = diagnostics_summary(&result.findings).unwrap_or_default();
        let summary = style.paint(Paint::Bad, &summary);
        let text = text
            .trim_end()
            .trim_end_matches(summary.as_str())
            .trim_end();
        let _ = writeln!(out, "\n{text}\n");
        timeline(out, &result.story, style);
    }
    for finding in result.sweeps.iter().flat_map(|sweep| &sweep.findings) {
        swept(out, finding, style);
    }
}

fn swept(out: &mut String, finding: &SweepFinding, style: Style) {
    let head = format!("{}: {}", finding.rule, one_line(&finding.message, style));
    let _ = writeln!(out, "\n    {}", style.paint(Paint::Bad, &head));
    let more = match finding.times {
        1 => String::new(),
        times => format!(" (and in {} more)", count(times - 1, "run")),
    };
    let _ = writeln!(out, "    when {}{more}", one_line(&finding.scenario, style));
    timeline(out, &finding.story, style);
}

fn timeline(out: &mut String, story: &[StoryLine], style: Style) {
    for line in story {
        let after = format!("{:>10}", format_duration(line.after));
        let _ = writeln!(
            out,
            "    {}  {}",
            style.paint(Paint::Dim, &after),
            one_line(&line.text, style)
        );
    }
    if !story.is_empty() {
        out.push('\n');
    }
}

/// One object a case.
pub fn test_result_json(result: &CaseResult) -> Value {
    let sweeps: Vec<Value> = result
        .sweeps
        .iter()
        .map(|sweep| {
            let findings: Vec<Value> = sweep
                .findings
                .iter()
                .map(|finding| {
                    json!({
                        "rule": finding.rule,
                        "message": finding.message,
                        "scenario": finding.scenario,
                        "times": finding.times,
                        "timeline": lines(&finding.story),
                    })
                })
                .collect();
            json!({
                "kind": sweep.kind,
                "runs": sweep.runs,
                "outcomes": sweep.outcomes,
                "findings": findings,
            })
        })
        .collect();
    json!({
        "file": result.file,
        "line": result.line,
        "runbook": result.runbook,
        "case": result.name,
        "passed": result.passed(),
        "events": result.events,
        "simulated": format_duration(result.virtual_time),
        "findings": diagnostics_json(&result.findings),
        "sweeps": sweeps,
        "timeline": lines(&result.story),
    })
}

fn lines(story: &[StoryLine]) -> Vec<Value> {
    story
        .iter()
        .map(|line| json!({ "after": format_duration(line.after), "what": line.text }))
        .collect()
}

/// JUnit XML: a suite for each file, a test case for each case.
pub fn test_results_junit(results: &[CaseResult]) -> String {
    let failed = |of: &[CaseResult]| of.iter().filter(|result| !result.passed()).count();
    let mut out = String::from("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n");
    let _ = writeln!(
        out,
        "<testsuites tests=\"{}\" failures=\"{}\">",
        results.len(),
        failed(results)
    );
    for file in results.chunk_by(|a, b| a.file == b.file) {
        let Some(first) = file.first() else { continue };
        let _ = writeln!(
            out,
            "  <testsuite name=\"{}\" file=\"{}\" tests=\"{}\" failures=\"{}\">",
            escaped(&first.runbook),
            escaped(&first.file),
            file.len(),
            failed(file)
        );
        for result in file {
            junit_case(&mut out, result);
        }
        out.push_str("  </testsuite>\n");
    }
    out.push_str("</testsuites>\n");
    out
}

fn junit_case(out: &mut String, result: &CaseResult) {
    let _ = write!(
        out,
        "    <testcase classname=\"{}\" name=\"{}\" file=\"{}\" line=\"{}\" time=\"{}\"",
        escaped(&result.runbook),
        escaped(&result.name),
        escaped(&result.file),
        result.line,
        seconds(result.virtual_time)
    );
    if result.passed() {
        out.push_str("/>\n");
        return;
    }
    out.push_str(">\n");
    for finding in result
        .findings
        .iter()
        .filter(|f| f.severity == Severity::Error)
    {
        let happened = finding
            .labels
            .first()
            .map_or("", |label| label.text.as_str());
        let place = finding.labels.first().map_or(result.line, |label| {
            label.source.line_column(label.span.start).0
        });
        let text = format!(
            "{}:{place}: {happened}\n{}",
            result.file,
            told(&result.story)
        );
        junit_failure(out, finding.code.0, &finding.message, &text);
    }
    for finding in result.sweeps.iter().flat_map(|sweep| &sweep.findings) {
        let text = format!("when {}\n{}", finding.scenario, told(&finding.story));
        junit_failure(out, finding.rule, &finding.message, &text);
    }
    out.push_str("    </testcase>\n");
}

fn junit_failure(out: &mut String, kind: &str, message: &str, text: &str) {
    let _ = writeln!(
        out,
        "      <failure type=\"{}\" message=\"{}\">{}</failure>",
        escaped(kind),
        escaped(message),
        escaped(text)
    );
}

fn told(story: &[StoryLine]) -> String {
    story
        .iter()
        .map(|line| format!("{}  {}\n", format_duration(line.after), line.text))
        .collect()
}

fn seconds(time: Duration) -> String {
    format!("{}.{:03}", time.as_secs(), time.subsec_millis())
}

/// Text for XML 1.0: markup escaped, characters that XML cannot hold replaced.
fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\n' | '\t' => out.push(c),
            c if c.is_control() || matches!(c, '\u{fffe}' | '\u{ffff}') => out.push('\u{fffd}'),
            c => out.push(c),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::{Diagnostic, SourceFile, Span};
    use crate::check::codes;
    use crate::simulate::SweepReport;

    fn result(name: &str, failed: bool) -> CaseResult {
        let source = SourceFile::new(
            "runbooks/tests/a.test.yaml",
            "expect: { outcome: failed }\n",
        );
        let finding = Diagnostic::error(codes::EXPECTATION_FAILED, "the run should end `failed`")
            .at(&source, Span { start: 19, len: 6 }, "it is succeeded");
        CaseResult {
            file: source.path.clone(),
            line: 1,
            runbook: "a".to_owned(),
            name: name.to_owned(),
            findings: if failed { vec![finding] } else { Vec::new() },
            story: vec![StoryLine {
                after: Duration::from_secs(2),
                text: "`one` <starts>".to_owned(),
            }],
            events: 3,
            virtual_time: Duration::from_millis(2_050),
            sweeps: Vec::new(),
        }
    }

    #[test]
    fn a_failed_case_shows_what_was_expected_what_happened_and_the_timeline() {
        let text = test_results_text(
            &[result("works", false), result("breaks", true)],
            Style::plain(80),
        );
        for part in [
            "runbooks/tests/a.test.yaml  a",
            "✓ works  3 events",
            "✗ breaks",
            "the run should end `failed`",
            "it is succeeded",
            "2s  `one` <starts>",
            "1 of 2 cases failed",
        ] {
            assert!(text.contains(part), "`{part}` is not in:\n{text}");
        }
    }

    #[test]
    fn junit_counts_and_escapes() {
        let mut swept = result("a \"b\" & c", false);
        swept.sweeps.push(SweepReport {
            kind: "fault sweep",
            runs: 1,
            findings: vec![SweepFinding {
                rule: "undo",
                message: "`x` stays".to_owned(),
                scenario: "`y` fails".to_owned(),
                times: 1,
                story: Vec::new(),
            }],
            outcomes: Default::default(),
        });
        let xml = test_results_junit(&[swept, result("breaks", true)]);
        for part in [
            "<testsuites tests=\"2\" failures=\"2\">",
            "name=\"a &quot;b&quot; &amp; c\"",
            "time=\"2.050\"",
            "<failure type=\"undo\" message=\"`x` stays\">when `y` fails",
            "a.test.yaml:1: it is succeeded",
            "`one` &lt;starts&gt;",
        ] {
            assert!(xml.contains(part), "`{part}` is not in:\n{xml}");
        }
    }

    #[test]
    fn json_says_whether_it_passed() {
        let value = test_result_json(&result("breaks", true));
        assert_eq!(value["passed"], false);
        assert_eq!(value["findings"][0]["code"], "RB0706");
        assert_eq!(value["timeline"][0]["after"], "2s");
    }
}
