//! What a handler is given besides its inputs.

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;

use crate::base::{AttemptNo, Clock, RunId, StepId, Value};
use crate::event::Stream;

/// The environment as handlers see it.
#[derive(Debug, Clone, Default)]
pub struct EnvironmentView {
    /// Name.
    pub name: String,
    /// Services by name.
    pub services: BTreeMap<String, ServiceView>,
    /// Connections by name: kind and kind-specific keys.
    pub connections: BTreeMap<String, ServiceView>,
}

/// A service (or connection): who provides it and with which keys.
#[derive(Debug, Clone)]
pub struct ServiceView {
    /// Provider (or connection kind).
    pub provider: String,
    /// The provider's keys, an object.
    pub config: Value,
}

/// How urgently a step is asked to end.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Stop {
    /// Go on.
    #[default]
    No,
    /// End in good order within the grace time (children: TERM, then KILL after it).
    Gently,
    /// End at once (children: KILL).
    Now,
}

/// A handler's end of the stop request.
#[derive(Debug, Clone)]
pub struct StopSignal(watch::Receiver<Stop>);

impl StopSignal {
    /// Wraps the receiving end of a watch channel.
    pub fn new(receiver: watch::Receiver<Stop>) -> Self {
        Self(receiver)
    }

    /// The present request.
    pub fn current(&self) -> Stop {
        *self.0.borrow()
    }

    /// Waits until the request is at least `level`. Never returns if nobody can ask any more.
    pub async fn reached(&self, level: Stop) {
        let mut receiver = self.0.clone();
        if receiver.wait_for(|stop| *stop >= level).await.is_err() {
            std::future::pending::<()>().await;
        }
    }
}

/// Where a step's output goes: log file, digest, watchers. Implemented by the engine.
pub trait LogWriter: Send + Sync {
    /// Takes the next bytes of a stream, in order. May block for a disk write; keeps nothing in memory.
    fn write(&self, stream: Stream, bytes: &[u8]);
}

/// A cheap handle on a [`LogWriter`].
#[derive(Clone)]
pub struct LogSink(Arc<dyn LogWriter>);

impl LogSink {
    /// Wraps a writer.
    pub fn new(writer: Arc<dyn LogWriter>) -> Self {
        Self(writer)
    }

    /// Passes bytes on.
    pub fn write(&self, stream: Stream, bytes: &[u8]) {
        self.0.write(stream, bytes);
    }

    /// Writes one line of text to the output stream.
    pub fn line(&self, text: impl fmt::Display) {
        self.0.write(Stream::Out, format!("{text}\n").as_bytes());
    }
}

impl fmt::Debug for LogSink {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("LogSink")
    }
}

/// What a handler is given besides its inputs. Cheap to clone.
#[derive(Debug, Clone)]
pub struct StepContext {
    /// The run.
    pub run: RunId,
    /// The runbook's name.
    pub runbook: Arc<str>,
    /// The step.
    pub step: StepId,
    /// The attempt.
    pub attempt: AttemptNo,
    /// The same for every attempt of one piece of work, also after a crash: what tells the other side
    /// that two calls are one.
    pub idempotency_key: String,
    /// Where it acts.
    pub environment: Arc<EnvironmentView>,
    /// Root of the runbook repository; relative paths are relative to it.
    pub root: Arc<PathBuf>,
    /// State directory of this program (pid files, logs of services).
    pub state_dir: Arc<PathBuf>,
    /// Where output goes.
    pub log: LogSink,
    /// When to end.
    pub stop: StopSignal,
    /// Time.
    pub clock: Arc<dyn Clock>,
    /// How long children may take to end after TERM.
    pub grace: Duration,
}

impl StepContext {
    /// A path as written in a runbook, relative to the repository's root.
    pub fn path(&self, written: &str) -> PathBuf {
        self.root.join(written)
    }
}
