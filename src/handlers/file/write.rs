//! `file.write`.

use std::io::Write as _;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::support::{
    absolute, blocking, check_stop, checksum, make_parents, parse_mode, write_failure,
};
use crate::base::{ByteSize, Digest};
use crate::handler::{Preview, StepContext, StepError, TypedHandler};
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

    fn preview(&self, input: &Input) -> Preview {
        Preview::Exact(format!(
            "write {} bytes to {}",
            input.content.len(),
            input.path
        ))
    }
}
