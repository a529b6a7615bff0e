//! `file.copy`.

use std::fs::File;
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::PermissionsExt as _;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::support::{
    absolute, blocking, check_stop, checksum, failure, make_parents, parse_mode, write_failure,
};
use crate::base::{ByteSize, format_size};
use crate::handler::{Preview, PreviewContext, StepContext, StepError, Stop, TypedHandler};
use crate::handlers::system::write_atomically;
use crate::model::{ActionExample, Effect};

/// Copies a file.
pub(in crate::handlers) struct Copy;

/// Inputs.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::handlers) struct Input {
    /// The file to copy, relative to the repository's root.
    from: String,
    /// The file to make or replace, relative to the repository's root.
    to: String,
    /// Permissions in octal, in quotes. Default: those of `from`.
    #[serde(default)]
    mode: Option<String>,
    /// Whether missing folders are made.
    #[serde(default)]
    create_parents: bool,
}

/// Outputs.
#[derive(Debug, Serialize, JsonSchema)]
pub(in crate::handlers) struct Output {
    /// Whether `to` held something else before.
    changed: bool,
    /// Size in bytes.
    size: ByteSize,
    /// SHA-256 as 64 hex digits.
    sha256: String,
}

impl TypedHandler for Copy {
    type Input = Input;
    type Output = Output;

    const NAME: &'static str = "file.copy";
    const SUMMARY: &'static str = "Copy a file, whole or not at all";
    const DESCRIPTION: &'static str = "\
Copies a file of any size. The copy is written beside `to`, flushed to disk and moved over it, so \
`to` is never half a file. If `to` already holds the same bytes, nothing is written.";
    const EFFECT: Effect = Effect::Idempotent;

    fn examples() -> Vec<ActionExample> {
        vec![ActionExample {
            title: "Keep the old configuration".to_owned(),
            yaml: "\
id: keep
uses: file.copy
with: { from: config/app.toml, to: backups/app.toml, create_parents: true }
"
            .to_owned(),
        }]
    }

    async fn run(&self, ctx: StepContext, input: Input) -> Result<Output, StepError> {
        let from = absolute(&ctx, &input.from)?;
        let to = absolute(&ctx, &input.to)?;
        let mode = parse_mode(input.mode.as_deref())?;
        blocking(move || {
            let mut source = File::open(&from).map_err(|error| failure("read", &from, &error))?;
            let metadata = source
                .metadata()
                .map_err(|error| failure("read", &from, &error))?;
            if metadata.is_dir() {
                return Err(failure("copy", &from, &io::ErrorKind::IsADirectory.into()));
            }
            let missing = || failure("read", &from, &io::ErrorKind::NotFound.into());
            let (digest, size) = checksum(&ctx, &from)?.ok_or_else(missing)?;
            let changed = checksum(&ctx, &to)?.is_none_or(|(old, _)| old != digest);
            if changed || mode.is_some() {
                make_parents(&to, input.create_parents)?;
                let mode = mode.unwrap_or(metadata.permissions().mode() & 0o7777);
                let written =
                    write_atomically(&to, Some(mode), |file| copy(&ctx, &mut source, file));
                if let Err(error) = written {
                    check_stop(&ctx)?;
                    return Err(write_failure(&to, &error));
                }
            }
            Ok(Output {
                changed,
                size: ByteSize(size),
                sha256: digest.hex(),
            })
        })
        .await
    }

    fn preview(&self, ctx: &PreviewContext, input: &Input) -> Preview {
        if input.from.is_empty() || input.to.is_empty() {
            return Preview::Unknown("the path is empty".to_owned());
        }
        let mode = input.mode.as_ref();
        let mode = mode.map_or(String::new(), |mode| format!(", mode {mode}"));
        let what = format!("copy {} to {}{mode}", input.from, input.to);
        let source = std::fs::metadata(ctx.path(&input.from));
        match source {
            Ok(source) if source.is_file() => {
                let size = format_size(source.len());
                let over = match std::fs::metadata(ctx.path(&input.to)) {
                    Ok(old) => format!(" over {}", format_size(old.len())),
                    Err(_) => String::new(),
                };
                Preview::Exact(format!("{what}, {size}{over}"))
            }
            Ok(_) => Preview::Predicted(format!("{what}; now {} is no file", input.from)),
            Err(error) => Preview::Predicted(format!("{what}; now {}: {error}", input.from)),
        }
    }
}

/// Copies piece by piece, so that a large copy can be stopped.
fn copy(ctx: &StepContext, source: &mut File, target: &mut File) -> io::Result<()> {
    let mut buffer = vec![0; 256 * 1024];
    loop {
        if ctx.stop.current() >= Stop::Gently {
            return Err(io::ErrorKind::Interrupted.into());
        }
        match source.read(&mut buffer)? {
            0 => return Ok(()),
            len => target.write_all(&buffer[..len])?,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use serde_json::json;

    use super::super::{Checksum, Read, Write};
    use super::*;
    use crate::base::Value;
    use crate::event::FailureKind;
    use crate::handler::testing::TestStep;
    use crate::handler::{StepHandler, typed};

    async fn run(
        handler: &std::sync::Arc<dyn StepHandler>,
        step: &TestStep,
        with: Value,
    ) -> Result<Value, StepError> {
        handler.run(step.ctx.clone(), with).await
    }

    #[tokio::test]
    async fn write_copy_read_and_checksum_agree() {
        let step = TestStep::new();
        let write = typed(Write);
        let with =
            json!({"path": "a/b.txt", "content": "abc", "mode": "0640", "create_parents": true});
        let first = run(&write, &step, with.clone()).await.expect("written");
        assert_eq!(first["changed"], true);
        let second = run(&write, &step, with).await.expect("written");
        assert_eq!(second["changed"], false);

        let with = json!({"from": "a/b.txt", "to": "c.txt"});
        let copied = run(&typed(Copy), &step, with.clone())
            .await
            .expect("copied");
        assert_eq!(copied["changed"], true);
        let mode = fs::metadata(step.root().join("c.txt"))
            .expect("there")
            .permissions()
            .mode();
        assert_eq!(mode & 0o777, 0o640);
        let again = run(&typed(Copy), &step, with).await.expect("copied");
        assert_eq!(again["changed"], false);

        let read = run(&typed(Read), &step, json!({"path": "c.txt"}))
            .await
            .expect("read");
        assert_eq!(read["content"], "abc");
        assert_eq!(read["size"], 3);
        let sum = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        assert_eq!(read["sha256"], sum);
        run(
            &typed(Checksum),
            &step,
            json!({"path": "c.txt", "expect": sum}),
        )
        .await
        .expect("same");
        let error = run(
            &typed(Checksum),
            &step,
            json!({"path": "c.txt", "expect": "00"}),
        )
        .await
        .expect_err("differs");
        assert_eq!(error.0.sort, FailureKind::Verify);
        let entries = fs::read_dir(step.root()).expect("there").count();
        assert_eq!(entries, 2, "no temporary file is left");
    }

    #[tokio::test]
    async fn what_cannot_be_done_is_explained() {
        let step = TestStep::new();
        fs::write(step.root().join("big"), vec![b'x'; 2000]).expect("written");
        fs::write(step.root().join("bytes"), [0xff, 0xfe]).expect("written");
        fs::create_dir(step.root().join("dir")).expect("made");
        for (handler, with, message) in [
            (typed(Read), json!({"path": "none"}), "cannot read"),
            (
                typed(Read),
                json!({"path": "big", "max_size": "1KiB"}),
                "larger than 1KiB",
            ),
            (typed(Read), json!({"path": "bytes"}), "no UTF-8 text"),
            (typed(Read), json!({"path": "dir"}), "cannot read"),
            (typed(Read), json!({"path": ""}), "empty"),
            (
                typed(Write),
                json!({"path": "x/y", "content": ""}),
                "cannot write",
            ),
            (
                typed(Write),
                json!({"path": "y", "content": "", "mode": "rw"}),
                "is not a file mode",
            ),
            (
                typed(Copy),
                json!({"from": "dir", "to": "y"}),
                "cannot copy",
            ),
            (
                typed(Copy),
                json!({"from": "none", "to": "y"}),
                "cannot read",
            ),
            (typed(Checksum), json!({"path": "none"}), "cannot read"),
        ] {
            let error = run(&handler, &step, with.clone())
                .await
                .expect_err(&with.to_string());
            assert_eq!(error.0.sort, FailureKind::Invalid, "{error}");
            assert!(error.to_string().contains(message), "{with}: {error}");
        }
        assert!(!step.root().join("y").exists());
    }

    #[tokio::test]
    async fn a_stopped_copy_leaves_the_old_file() {
        let step = TestStep::new();
        fs::write(step.root().join("new"), "new").expect("written");
        fs::write(step.root().join("old"), "old").expect("written");
        step.stop.send_replace(Stop::Gently);
        let error = run(&typed(Copy), &step, json!({"from": "new", "to": "old"}))
            .await
            .expect_err("stopped");
        assert_eq!(error.0.sort, FailureKind::Cancelled);
        assert_eq!(fs::read(step.root().join("old")).expect("there"), b"old");
    }
}
