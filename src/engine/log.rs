//! The log of one attempt: everything goes to the file, a digest is kept, watchers get a copy.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use sha2::{Digest as _, Sha256};

use super::progress::ProgressSender;
use crate::base::{Digest, StepId};
use crate::event::{LogRef, Stream};
use crate::handler::LogWriter;

/// Appends to the log file of a step; the file is made at the first byte.
pub(super) struct StepLog {
    step: StepId,
    path: PathBuf,
    progress: ProgressSender,
    inner: Mutex<Inner>,
}

#[derive(Default)]
struct Inner {
    file: Option<File>,
    hash: Sha256,
    bytes: u64,
    error: Option<io::Error>,
}

impl StepLog {
    pub(super) fn new(step: StepId, path: PathBuf, progress: ProgressSender) -> Arc<Self> {
        Arc::new(Self {
            step,
            path,
            progress,
            inner: Mutex::default(),
        })
    }

    pub(super) fn path(&self) -> &PathBuf {
        &self.path
    }

    /// Ends the log: what was written, or why it could not be.
    pub(super) fn close(&self) -> io::Result<Option<LogRef>> {
        let mut inner = self.lock();
        inner.file = None;
        if let Some(error) = inner.error.take() {
            return Err(error);
        }
        if inner.bytes == 0 {
            return Ok(None);
        }
        let file = self.path.file_name().unwrap_or_default();
        Ok(Some(LogRef {
            file: file.to_string_lossy().into_owned(),
            bytes: inner.bytes,
            digest: Digest::from_bytes(std::mem::take(&mut inner.hash).finalize().into()),
        }))
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl LogWriter for StepLog {
    fn write(&self, stream: Stream, bytes: &[u8]) {
        let mut inner = self.lock();
        if inner.error.is_none() {
            match inner.append(&self.path, bytes) {
                Ok(()) => {
                    inner.hash.update(bytes);
                    inner.bytes += bytes.len() as u64;
                }
                Err(error) => inner.error = Some(error),
            }
        }
        drop(inner);
        self.progress.output(&self.step, stream, bytes);
    }
}

impl Inner {
    fn append(&mut self, path: &PathBuf, bytes: &[u8]) -> io::Result<()> {
        let file = match &mut self.file {
            Some(file) => file,
            empty => {
                if let Some(parent) = path.parent() {
                    std::fs::create_dir_all(parent)?;
                }
                empty.insert(OpenOptions::new().create(true).append(true).open(path)?)
            }
        };
        file.write_all(bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::super::progress;
    use super::*;

    #[test]
    fn keeps_every_byte_and_the_digest_of_this_attempt() {
        let dir = tempfile::tempdir().expect("temp dir");
        let path = dir.path().join("run/step.log");
        let step = StepId::new("step").expect("valid");
        let (sender, _receiver) = progress::channel();
        for text in ["first\n", "second \u{0}\n"] {
            let log = StepLog::new(step.clone(), path.clone(), sender.clone());
            log.write(Stream::Out, text.as_bytes());
            let reference = log.close().expect("written").expect("not empty");
            assert_eq!(reference.file, "step.log");
            assert_eq!(reference.bytes, text.len() as u64);
            assert_eq!(reference.digest, Digest::of_bytes(text.as_bytes()));
        }
        assert_eq!(std::fs::read(&path).expect("there"), b"first\nsecond \0\n");
    }

    #[test]
    fn silence_makes_no_file_and_a_failed_write_is_told() {
        let dir = tempfile::tempdir().expect("temp dir");
        let step = StepId::new("step").expect("valid");
        let (sender, _receiver) = progress::channel();
        let silent = StepLog::new(step.clone(), dir.path().join("a.log"), sender.clone());
        assert_eq!(silent.close().expect("fine"), None);
        assert!(!dir.path().join("a.log").exists());
        std::fs::write(dir.path().join("file"), "").expect("written");
        let blocked = StepLog::new(step, dir.path().join("file/a.log"), sender);
        blocked.write(Stream::Out, b"x");
        assert!(blocked.close().is_err());
    }
}
