//! `file.write`.

use std::io::Write as _;
use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use similar::TextDiff;

use super::support::{
    Present, absolute, blocking, check_stop, checksum, make_parents, parse_mode, present_text,
    write_failure,
};
use crate::base::{ByteSize, Digest, format_size};
use crate::handler::{Preview, PreviewContext, StepContext, StepError, TypedHandler};
use crate::handlers::system::write_atomically;
use crate::model::{ActionExample, Effect};

/// Writes a text file.
pub(in crate::handlers) struct Write;

/// Inputs.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::handlers) struct Input {
    /// The file, relative to the repository's root.
    path: String,
    /// Its whole new text.
    content: String,
    /// Permissions in octal, in quotes. Default: those of the old file, or `"0644"`.
    #[serde(default)]
    mode: Option<String>,
    /// Whether missing folders are made.
    #[serde(default)]
    create_parents: bool,
}

/// Outputs.
#[derive(Debug, Serialize, JsonSchema)]
pub(in crate::handlers) struct Output {
    /// Whether the file's text was another before.
    changed: bool,
    /// Size in bytes.
    size: ByteSize,
    /// SHA-256 as 64 hex digits.
    sha256: String,
}

impl TypedHandler for Write {
    type Input = Input;
    type Output = Output;

    const NAME: &'static str = "file.write";
    const SUMMARY: &'static str = "Write a text file, whole or not at all";
    const DESCRIPTION: &'static str = "\
Replaces a file by `content`: the text goes to a temporary file beside it, which is flushed to disk \
and moved over it. Whoever reads sees the old or the new file, also after a crash.";
    const EFFECT: Effect = Effect::Idempotent;

    fn examples() -> Vec<ActionExample> {
        vec![ActionExample {
            title: "Put up the maintenance page".to_owned(),
            yaml: "\
id: page
uses: file.write
with:
  path: public/maintenance.html
  content: <h1>Back soon</h1>
  mode: \"0644\"
  create_parents: true
"
            .to_owned(),
        }]
    }

    async fn run(&self, ctx: StepContext, input: Input) -> Result<Output, StepError> {
        let path = absolute(&ctx, &input.path)?;
        let mode = parse_mode(input.mode.as_deref())?;
        blocking(move || {
            let digest = Digest::of_bytes(input.content.as_bytes());
            let before = checksum(&ctx, &path)?;
            let changed = before.is_none_or(|(old, _)| old != digest);
            if changed || mode.is_some() {
                check_stop(&ctx)?;
                make_parents(&path, input.create_parents)?;
                write_atomically(&path, mode, |file| file.write_all(input.content.as_bytes()))
                    .map_err(|error| write_failure(&path, &error))?;
            }
            Ok(Output {
                changed,
                size: ByteSize(input.content.len() as u64),
                sha256: digest.hex(),
            })
        })
        .await
    }

    fn preview(&self, ctx: &PreviewContext, input: &Input) -> Preview {
        if input.path.is_empty() {
            return Preview::Unknown("the path is empty".to_owned());
        }
        if let Err(error) = parse_mode(input.mode.as_deref()) {
            return Preview::Unknown(error.to_string());
        }
        let mode = input.mode.as_ref();
        let mode = mode.map_or(String::new(), |mode| format!(", mode {mode}"));
        let size = format_size(input.content.len() as u64);
        let path = &input.path;
        match present_text(&ctx.path(path)) {
            Present::Nothing => Preview::Exact(format!("make {path}, {size}{mode}")),
            Present::Text(old) if old == input.content => {
                Preview::Exact(format!("leave {path} as it is: it holds this text{mode}"))
            }
            // A line of the present file may be the very secret that the marker stands for.
            Present::Text(old) if input.content.contains(SECRET_MARK) => Preview::Exact(format!(
                "replace {path}, {} by {size}{mode}; not shown, because secrets go into it",
                format_size(old.len() as u64)
            )),
            Present::Text(old) => Preview::Exact(format!(
                "replace {path}, {} by {size}{mode}\n{}",
                format_size(old.len() as u64),
                diff(&old, &input.content)
            )),
            Present::Other(what) => {
                Preview::Predicted(format!("write {size} to {path}{mode}; now it is {what}"))
            }
        }
    }
}

/// What begins the marker of a secret in inputs.
const SECRET_MARK: &str = "\u{2063}[secret ";

/// Lines of a difference that are shown.
const DIFF_LINES: usize = 40;

/// The changed lines with two lines around them.
fn diff(old: &str, new: &str) -> String {
    let changes = TextDiff::configure()
        .timeout(Duration::from_millis(200))
        .diff_lines(old, new);
    let text = changes.unified_diff().context_radius(2).to_string();
    let mut lines: Vec<&str> = text.lines().collect();
    let more = lines.len().saturating_sub(DIFF_LINES);
    lines.truncate(DIFF_LINES);
    let rest = format!("... and {more} more lines");
    if more > 0 {
        lines.push(&rest);
    }
    lines.join("\n")
}

#[cfg(test)]
mod tests {
    use std::fs;

    use serde_json::json;

    use super::*;
    use crate::handler::testing::TestStep;
    use crate::handler::typed;

    #[test]
    fn a_preview_shows_what_changes_and_no_secret() {
        let step = TestStep::new();
        fs::write(step.root().join("app.conf"), "a=1\npw=hush\nz=3\n").expect("written");
        let preview = |path: &str, content: &str| {
            let with = json!({"path": path, "content": content, "mode": "0640"});
            typed(Write).preview(&step.preview_context(), &with)
        };
        assert_eq!(
            preview("new.conf", "a=2\n"),
            Preview::Exact("make new.conf, 4B, mode 0640".to_owned())
        );
        let changed = preview("app.conf", "a=2\npw=hush\nz=3\n");
        assert_eq!(changed.label(), "exact");
        assert!(
            changed.text().contains("\n-a=1\n+a=2\n"),
            "{}",
            changed.text()
        );
        let same = preview("app.conf", "a=1\npw=hush\nz=3\n");
        assert!(same.text().starts_with("leave app.conf as it is"));
        let secret = preview("app.conf", "a=2\npw=\u{2063}[secret pw]\u{2063}\nz=3\n");
        assert!(!secret.text().contains("hush"), "{}", secret.text());
        assert_eq!(preview(".", "x").label(), "predicted");
        assert!(!step.root().join("new.conf").exists());
    }
}
