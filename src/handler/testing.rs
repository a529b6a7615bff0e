//! A step's surroundings for tests of handlers: a temporary repository, a log in memory, a stop button.

use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use tempfile::TempDir;
use tokio::sync::watch;

use super::context::{
    EnvironmentView, LogSink, LogWriter, ServiceView, StepContext, Stop, StopSignal,
};
use super::preview::PreviewContext;
use crate::base::{AttemptNo, Clock, RunId, StepId, Timestamp, Value};
use crate::event::Stream;

/// Most bytes that a [`TestStep`]'s log keeps, so that a test may print as much as it likes.
const LOG_KEPT: usize = 1024 * 1024;

/// Holds all that a [`StepContext`] needs; the folder is deleted with it.
#[derive(Debug)]
pub(crate) struct TestStep {
    /// The context to give to a handler.
    pub(crate) ctx: StepContext,
    /// The stop button.
    pub(crate) stop: watch::Sender<Stop>,
    log: Arc<MemoryLog>,
    folder: TempDir,
}

impl TestStep {
    /// A step `test` of a run in an empty repository, with a grace time of 200 ms.
    pub(crate) fn new() -> Self {
        let folder = tempfile::tempdir().expect("temporary folder");
        let (stop, signal) = watch::channel(Stop::No);
        let log = Arc::new(MemoryLog::default());
        let clock = Arc::new(SystemClock);
        let ctx = StepContext {
            run: RunId::from_parts(1, 1),
            runbook: "test".into(),
            step: StepId::new("test").expect("valid"),
            attempt: AttemptNo::FIRST,
            idempotency_key: "test/test".to_owned(),
            environment: Arc::new(EnvironmentView {
                name: "test".to_owned(),
                ..EnvironmentView::default()
            }),
            root: Arc::new(folder.path().to_owned()),
            state_dir: Arc::new(folder.path().join(".runbook")),
            log: LogSink::new(Arc::clone(&log) as Arc<dyn LogWriter>),
            stop: StopSignal::new(signal),
            clock,
            grace: Duration::from_millis(200),
        };
        Self {
            ctx,
            stop,
            log,
            folder,
        }
    }

    /// Adds a service.
    #[must_use]
    pub(crate) fn service(mut self, name: &str, provider: &str, config: Value) -> Self {
        Arc::make_mut(&mut self.ctx.environment).services.insert(
            name.to_owned(),
            ServiceView {
                provider: provider.to_owned(),
                config,
            },
        );
        self
    }

    /// Adds a connection.
    #[must_use]
    pub(crate) fn connection(mut self, name: &str, kind: &str, config: Value) -> Self {
        Arc::make_mut(&mut self.ctx.environment).connections.insert(
            name.to_owned(),
            ServiceView {
                provider: kind.to_owned(),
                config,
            },
        );
        self
    }

    /// The same surroundings for a preview.
    pub(crate) fn preview_context(&self) -> PreviewContext {
        PreviewContext {
            environment: Arc::clone(&self.ctx.environment),
            root: Arc::clone(&self.ctx.root),
            state_dir: Arc::clone(&self.ctx.state_dir),
            grace: self.ctx.grace,
        }
    }

    /// The repository's root.
    pub(crate) fn root(&self) -> &Path {
        self.folder.path()
    }

    /// What was logged so far, both streams in order (at most the first MiB).
    pub(crate) fn logged(&self) -> String {
        let state = self.log.0.lock().unwrap_or_else(PoisonError::into_inner);
        String::from_utf8_lossy(&state.kept).into_owned()
    }

    /// How many bytes were logged so far.
    pub(crate) fn logged_bytes(&self) -> usize {
        let state = self.log.0.lock().unwrap_or_else(PoisonError::into_inner);
        state.total
    }

    /// Waits until the log holds a text.
    pub(crate) async fn until_logged(&self, text: &str) {
        eventually(&format!("the log holds `{text}`"), || {
            self.logged().contains(text)
        })
        .await;
    }
}

/// Waits until something holds, and fails the test when it does not within half a minute.
pub(crate) async fn eventually(what: &str, mut holds: impl FnMut() -> bool) {
    let waiting = async {
        let mut tick = tokio::time::interval(Duration::from_millis(5));
        while !holds() {
            tick.tick().await;
        }
    };
    assert!(
        tokio::time::timeout(Duration::from_secs(30), waiting)
            .await
            .is_ok(),
        "did not come about: {what}"
    );
}

#[derive(Debug, Default)]
struct MemoryLog(Mutex<Logged>);

#[derive(Debug, Default)]
struct Logged {
    kept: Vec<u8>,
    total: usize,
}

impl LogWriter for MemoryLog {
    fn write(&self, _stream: Stream, bytes: &[u8]) {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let free = LOG_KEPT - state.kept.len();
        state
            .kept
            .extend_from_slice(&bytes[..bytes.len().min(free)]);
        state.total += bytes.len();
    }
}

/// The machine's own clock.
#[derive(Debug)]
pub(crate) struct SystemClock;

impl Clock for SystemClock {
    #[expect(
        clippy::disallowed_methods,
        reason = "tests of handlers deal with real processes in real time"
    )]
    fn now(&self) -> Timestamp {
        let since = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .expect("after 1970");
        Timestamp::from_unix_millis(
            i64::try_from(since.as_millis()).expect("before the year 292e6"),
        )
    }

    fn random(&self) -> u128 {
        4
    }
}
