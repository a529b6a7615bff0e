//! Declared outputs: lines `name=value` in the file that `RUNBOOK_OUTPUT` names.

use std::collections::BTreeMap;
use std::fs;
use std::io::Read as _;
use std::path::Path;

use tempfile::TempPath;

use crate::base::did_you_mean;
use crate::event::FailureKind;
use crate::handler::{StepContext, StepError};

/// Largest file that is read.
const MAX_BYTES: u64 = 1024 * 1024;

/// The file that a script writes its outputs to; deleted when dropped.
pub(super) struct OutputFile(TempPath);

impl OutputFile {
    /// An empty file in the state directory.
    pub(super) fn create(ctx: &StepContext) -> Result<Self, StepError> {
        let folder = ctx.state_dir.join("tmp");
        fs::create_dir_all(&folder)
            .and_then(|()| {
                tempfile::Builder::new()
                    .prefix("output-")
                    .tempfile_in(std::path::absolute(&folder)?)
            })
            .map(|file| Self(file.into_temp_path()))
            .map_err(|error| {
                StepError::caused(
                    FailureKind::Error,
                    format!("cannot create a file for outputs in `{}`", folder.display()),
                    &error,
                )
            })
    }

    /// Its absolute path.
    pub(super) fn path(&self) -> &Path {
        &self.0
    }

    /// The outputs that were written.
    pub(super) fn read(&self, declared: &[String]) -> Result<BTreeMap<String, String>, StepError> {
        let mut text = String::new();
        fs::File::open(&self.0)
            .and_then(|file| file.take(MAX_BYTES + 1).read_to_string(&mut text))
            .map_err(|error| {
                StepError::caused(
                    FailureKind::Error,
                    "cannot read the outputs that the script wrote to $RUNBOOK_OUTPUT",
                    &error,
                )
            })?;
        if text.len() as u64 > MAX_BYTES {
            return Err(StepError::new(
                FailureKind::Error,
                "the script wrote more than 1 MiB of outputs to $RUNBOOK_OUTPUT",
            ));
        }
        parse(&text, declared).map_err(|message| {
            StepError::new(FailureKind::Error, message)
                .hint("write outputs as: echo \"name=value\" >> \"$RUNBOOK_OUTPUT\"")
        })
    }
}

fn parse(text: &str, declared: &[String]) -> Result<BTreeMap<String, String>, String> {
    let mut values = BTreeMap::new();
    for (index, line) in text.lines().enumerate() {
        if line.trim().is_empty() {
            continue;
        }
        let number = index + 1;
        let Some((name, value)) = line.split_once('=') else {
            return Err(format!(
                "line {number} of the outputs is not `name=value`: `{}`",
                shortened(line)
            ));
        };
        if !declared.iter().any(|known| known == name) {
            let known = declared.iter().map(String::as_str);
            let suggestion = did_you_mean(name, known)
                .map(|near| format!("; did you mean `{near}`?"))
                .unwrap_or_default();
            return Err(format!(
                "line {number} of the outputs sets `{}`, which `outputs` does not declare{suggestion}",
                shortened(name)
            ));
        }
        if values.insert(name.to_owned(), value.to_owned()).is_some() {
            return Err(format!(
                "line {number} of the outputs sets `{name}` a second time"
            ));
        }
    }
    let missing: Vec<String> = declared
        .iter()
        .filter(|name| !values.contains_key(*name))
        .map(|name| format!("`{name}`"))
        .collect();
    if missing.is_empty() {
        Ok(values)
    } else {
        Err(format!(
            "the script did not write its declared outputs: {}",
            missing.join(", ")
        ))
    }
}

fn shortened(text: &str) -> String {
    text.chars().take(80).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn declared() -> Vec<String> {
        vec!["version".to_owned(), "count".to_owned()]
    }

    #[test]
    fn reads_what_was_declared() {
        let values = parse("version=1.2=3\n\ncount=\n", &declared()).expect("good");
        assert_eq!(values["version"], "1.2=3", "only the first `=` divides");
        assert_eq!(values["count"], "");
    }

    #[test]
    fn refuses_what_was_not_agreed() {
        for (text, reason) in [
            ("version=1\n", "did not write its declared outputs: `count`"),
            ("nonsense\n", "line 1 of the outputs is not `name=value`"),
            ("version=1\nconut=2\n", "did you mean `count`?"),
            (
                "count=1\ncount=2\n",
                "line 2 of the outputs sets `count` a second time",
            ),
        ] {
            let error = parse(text, &declared()).expect_err(text);
            assert!(error.contains(reason), "{text}: {error}");
        }
    }
}
