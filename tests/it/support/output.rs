//! What a command printed and how it ended, as one text in which nothing changes from run to run.

use std::fmt;
use std::path::Path;
use std::sync::LazyLock;

use regex::Regex;
use runbook::event::RunEvent;

/// What a command printed and how it ended.
#[must_use = "compare the output or its exit code"]
#[derive(Debug)]
pub(crate) struct Output {
    /// Standard output as it came.
    pub(crate) stdout: String,
    /// Standard error as it came.
    pub(crate) stderr: String,
    /// Exit code; `None` when a signal ended it.
    pub(crate) code: Option<i32>,
    root: String,
}

/// What changes from run to run, and what stands for it; done in this order.
static REDACTIONS: LazyLock<Vec<(Regex, &str)>> = LazyLock::new(|| {
    [
        (r"\b[0-7][0-9A-HJKMNP-TV-Z]{25}\b", "[RUN]"),
        (
            r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:?\d\d)?",
            "[TIME]",
        ),
        (r"sha256:[0-9a-f]{64}", "[DIGEST]"),
        (r#""(duration_ms|pid|started)":\d+"#, "\"$1\":[N]"),
        (r"\bpid \d+", "pid [PID]"),
        (r"\b(127\.0\.0\.1|localhost):\d+", "$1:[PORT]"),
        (
            r"\b\d+(\.\d+)?(ms|us|µs|h|m|s)( \d+(\.\d+)?(ms|us|µs|h|m|s))*\b",
            "[DURATION]",
        ),
    ]
    .into_iter()
    .map(|(pattern, with)| (Regex::new(pattern).expect("a valid pattern"), with))
    .collect()
});

impl Output {
    pub(super) fn new(output: &std::process::Output, root: &Path) -> Self {
        Self {
            stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
            code: output.status.code(),
            root: root.display().to_string(),
        }
    }

    /// Standard output of `--output json` as the events that it must consist of.
    pub(crate) fn events(&self) -> Vec<RunEvent> {
        self.stdout
            .lines()
            .map(|line| serde_json::from_str(line).expect("an event on every line"))
            .collect()
    }

    /// A text with what changes from run to run replaced.
    fn redacted(&self, text: &str) -> String {
        let text = text.replace(&self.root, "[ROOT]");
        REDACTIONS.iter().fold(text, |text, (pattern, with)| {
            pattern.replace_all(&text, *with).into_owned()
        })
    }
}

impl fmt::Display for Output {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.redacted(&self.stdout))?;
        if !self.stderr.is_empty() {
            writeln!(f, "------- stderr")?;
            f.write_str(&self.redacted(&self.stderr))?;
        }
        match self.code {
            Some(0) => Ok(()),
            Some(code) => write!(f, "[exit status: {code}]"),
            None => f.write_str("[ended by a signal]"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_changes_is_replaced_and_nothing_else() {
        let output = Output {
            stdout: "run 01JDBZ5M3K8Q9V7X2N4T6W8Y0A took 1m 2s 30ms (pid 4711) at 127.0.0.1:8080\n"
                .to_owned(),
            stderr: "/tmp/x/repo/a.yaml at 2026-11-23T03:00:00.000Z, 3 steps, 2.50s\n".to_owned(),
            code: Some(3),
            root: "/tmp/x/repo".to_owned(),
        };
        assert_eq!(
            output.to_string(),
            "run [RUN] took [DURATION] (pid [PID]) at 127.0.0.1:[PORT]\n------- stderr\n\
             [ROOT]/a.yaml at [TIME], 3 steps, [DURATION]\n[exit status: 3]"
        );
    }
}
