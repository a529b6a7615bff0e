//! The log of one attempt: everything goes to the file, a digest is kept, watchers get a copy. In a run
//! with secrets all three get the redacted bytes.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use sha2::{Digest as _, Sha256};

use super::progress::ProgressSender;
use crate::base::{Digest, StepId};
use crate::event::{LogRef, Stream};
use crate::handler::LogWriter;
use crate::secrets::{RedactedStream, SecretKeeper};

/// Appends to the log file of a step; the file is made at the first byte.
pub(super) struct StepLog {
    step: StepId,
    path: PathBuf,
    progress: ProgressSender,
    secrets: Option<Arc<SecretKeeper>>,
    inner: Mutex<Inner>,
}

#[derive(Default)]
struct Inner {
    file: Option<File>,
    hash: Sha256,
    bytes: u64,
    error: Option<io::Error>,
    out: RedactedStream,
    err: RedactedStream,
}

impl StepLog {
    pub(super) fn new(
        step: StepId,
        path: PathBuf,
        progress: ProgressSender,
        secrets: Option<Arc<SecretKeeper>>,
    ) -> Arc<Self> {
        Arc::new(Self {
            step,
            path,
            progress,
            secrets,
            inner: Mutex::default(),
        })
    }

    pub(super) fn path(&self) -> &PathBuf {
        &self.path
    }

    /// Ends the log: what was written, or why it could not be.
    pub(super) fn close(&self) -> io::Result<Option<LogRef>> {
        let mut inner = self.lock();
        if let Some(secrets) = &self.secrets {
            let redactor = secrets.redactor();
            for stream in [Stream::Out, Stream::Err] {
                let rest = inner.redacted(stream).finish(&redactor);
                self.pass_on(&mut inner, stream, &rest);
            }
        }
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

    /// Bytes that may be kept and shown.
    fn pass_on(&self, inner: &mut Inner, stream: Stream, bytes: &[u8]) {
        if bytes.is_empty() {
            return;
        }
        if inner.error.is_none() {
            match inner.append(&self.path, bytes) {
                Ok(()) => {
                    inner.hash.update(bytes);
                    inner.bytes += bytes.len() as u64;
                }
                Err(error) => inner.error = Some(error),
            }
        }
        self.progress.output(&self.step, stream, bytes);
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl LogWriter for StepLog {
    fn write(&self, stream: Stream, bytes: &[u8]) {
        let mut inner = self.lock();
        match &self.secrets {
            None => self.pass_on(&mut inner, stream, bytes),
            Some(secrets) => {
                let clean = inner.redacted(stream).push(&secrets.redactor(), bytes);
                self.pass_on(&mut inner, stream, &clean);
            }
        }
    }
}

impl Inner {
    fn redacted(&mut self, stream: Stream) -> &mut RedactedStream {
        match stream {
            Stream::Out => &mut self.out,
            Stream::Err => &mut self.err,
        }
    }

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
            let log = StepLog::new(step.clone(), path.clone(), sender.clone(), None);
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
        let silent = StepLog::new(step.clone(), dir.path().join("a.log"), sender.clone(), None);
        assert_eq!(silent.close().expect("fine"), None);
        assert!(!dir.path().join("a.log").exists());
        std::fs::write(dir.path().join("file"), "").expect("written");
        let blocked = StepLog::new(step, dir.path().join("file/a.log"), sender, None);
        blocked.write(Stream::Out, b"x");
        assert!(blocked.close().is_err());
    }
}
