//! `file.read` and `file.checksum`.

use std::fs::File;
use std::io::Read as _;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::support::{absolute, blocking, checksum, failure};
use crate::base::{ByteSize, Digest, format_size};
use crate::event::FailureKind;
use crate::handler::{Preview, PreviewContext, StepContext, StepError, TypedHandler};
use crate::model::{ActionExample, Effect};

/// Most that `file.read` reads, and its default: outputs are journaled.
const MAX_READ: u64 = 1024 * 1024;

/// Reads a text file.
pub(in crate::handlers) struct Read;

/// Inputs of `file.read`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::handlers) struct ReadInput {
    /// The file, relative to the repository's root.
    path: String,
    /// A larger file fails the step. Default and most: 1MiB.
    #[serde(default = "max_read")]
    max_size: ByteSize,
}

fn max_read() -> ByteSize {
    ByteSize(MAX_READ)
}

/// Outputs of `file.read`.
#[derive(Debug, Serialize, JsonSchema)]
pub(in crate::handlers) struct ReadOutput {
    /// The text.
    content: String,
    /// Its size in bytes.
    size: ByteSize,
    /// SHA-256 as 64 hex digits.
    sha256: String,
}

impl TypedHandler for Read {
    type Input = ReadInput;
    type Output = ReadOutput;

    const NAME: &'static str = "file.read";
    const SUMMARY: &'static str = "Read a text file";
    const DESCRIPTION: &'static str = "\
Reads a UTF-8 text file of at most 1 MiB; its text becomes an output and is on record. For anything \
larger, or that is no text, use `file.checksum`.";
    const EFFECT: Effect = Effect::Read;

    fn examples() -> Vec<ActionExample> {
        vec![ActionExample {
            title: "Read a version".to_owned(),
            yaml: "id: version\nuses: file.read\nwith: { path: VERSION, max_size: 1KiB }\n"
                .to_owned(),
        }]
    }

    async fn run(&self, ctx: StepContext, input: ReadInput) -> Result<ReadOutput, StepError> {
        let path = absolute(&ctx, &input.path)?;
        let limit = input.max_size.0.min(MAX_READ);
        blocking(move || {
            let mut bytes = Vec::new();
            File::open(&path)
                .and_then(|file| file.take(limit + 1).read_to_end(&mut bytes))
                .map_err(|error| failure("read", &path, &error))?;
            if bytes.len() as u64 > limit {
                return Err(StepError::new(
                    FailureKind::Invalid,
                    format!("`{}` is larger than {}", path.display(), format_size(limit)),
                ));
            }
            let sha256 = Digest::of_bytes(&bytes).hex();
            let size = ByteSize(bytes.len() as u64);
            let content = String::from_utf8(bytes).map_err(|error| {
                StepError::caused(
                    FailureKind::Invalid,
                    format!("`{}` is no UTF-8 text", path.display()),
                    &error.utf8_error(),
                )
            })?;
            Ok(ReadOutput {
                content,
                size,
                sha256,
            })
        })
        .await
    }

    fn preview(&self, _ctx: &PreviewContext, input: &ReadInput) -> Preview {
        Preview::Exact(format!("read {}", input.path))
    }
}

/// Computes a file's SHA-256.
pub(in crate::handlers) struct Checksum;

/// Inputs of `file.checksum`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::handlers) struct ChecksumInput {
    /// The file, relative to the repository's root.
    path: String,
    /// The SHA-256 it must have, as 64 hex digits.
    #[serde(default)]
    expect: Option<String>,
}

/// Outputs of `file.checksum`.
#[derive(Debug, Serialize, JsonSchema)]
pub(in crate::handlers) struct ChecksumOutput {
    /// SHA-256 as 64 hex digits.
    sha256: String,
    /// Size in bytes.
    size: ByteSize,
}

impl TypedHandler for Checksum {
    type Input = ChecksumInput;
    type Output = ChecksumOutput;

    const NAME: &'static str = "file.checksum";
    const SUMMARY: &'static str = "Compute a file's SHA-256, and compare it";
    const DESCRIPTION: &'static str = "\
Computes the SHA-256 of a file of any size. With `expect`, another checksum fails the step.";
    const EFFECT: Effect = Effect::Read;

    fn examples() -> Vec<ActionExample> {
        vec![ActionExample {
            title: "Prove that a backup is whole".to_owned(),
            yaml: "\
id: whole
uses: file.checksum
with:
  path: backups/latest.tar
  expect: ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad
"
            .to_owned(),
        }]
    }

    async fn run(
        &self,
        ctx: StepContext,
        input: ChecksumInput,
    ) -> Result<ChecksumOutput, StepError> {
        let path = absolute(&ctx, &input.path)?;
        blocking(move || {
            let (digest, size) = checksum(&ctx, &path)?
                .ok_or_else(|| failure("read", &path, &std::io::ErrorKind::NotFound.into()))?;
            let sha256 = digest.hex();
            match input.expect {
                Some(expected) if !expected.eq_ignore_ascii_case(&sha256) => Err(StepError::new(
                    FailureKind::Verify,
                    format!(
                        "`{}` has the SHA-256 {sha256}, expected {expected}",
                        path.display()
                    ),
                )),
                _ => Ok(ChecksumOutput {
                    sha256,
                    size: ByteSize(size),
                }),
            }
        })
        .await
    }

    fn preview(&self, _ctx: &PreviewContext, input: &ChecksumInput) -> Preview {
        Preview::Exact(format!("compute the SHA-256 of {}", input.path))
    }
}
