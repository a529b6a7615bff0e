//! What the service knows of itself: requests in flight, draining, failed.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use tiny_http::Server;

/// Shared by all requests.
pub(crate) struct State {
    started: Instant,
    healthy: bool,
    failed: AtomicBool,
    served: AtomicU64,
    load: Mutex<Load>,
    changed: Condvar,
}

/// Under one lock, so that no work slips in once a drain was answered.
#[derive(Default)]
struct Load {
    draining: bool,
    /// Requests that were taken and not yet answered, whatever they ask.
    requests: u64,
    /// Those of them that are work.
    work: u64,
}

impl State {
    pub(crate) fn new(healthy: bool) -> Self {
        Self {
            started: Instant::now(),
            healthy,
            failed: AtomicBool::new(false),
            served: AtomicU64::new(0),
            load: Mutex::default(),
            changed: Condvar::new(),
        }
    }

    pub(crate) fn uptime(&self) -> Duration {
        self.started.elapsed()
    }

    pub(crate) fn is_healthy(&self) -> bool {
        self.healthy
    }

    pub(crate) fn is_draining(&self) -> bool {
        self.load().draining
    }

    /// Returns what it was before, and the work in flight.
    pub(crate) fn set_draining(&self, draining: bool) -> (bool, u64) {
        let mut load = self.load();
        (std::mem::replace(&mut load.draining, draining), load.work)
    }

    pub(crate) fn has_failed(&self) -> bool {
        self.failed.load(Ordering::SeqCst)
    }

    pub(crate) fn served(&self) -> u64 {
        self.served.load(Ordering::SeqCst)
    }

    /// Work that was taken and is not yet done.
    pub(crate) fn in_flight(&self) -> u64 {
        self.load().work
    }

    /// Counts a request until the guard is dropped.
    pub(crate) fn begin(self: &Arc<Self>) -> Taken {
        self.load().requests += 1;
        Taken {
            state: Arc::clone(self),
            work: false,
        }
    }

    /// Whether all requests were answered within the limit.
    pub(crate) fn wait_until_idle(&self, limit: Duration) -> bool {
        let (load, _) = self
            .changed
            .wait_timeout_while(self.load(), limit, |load| load.requests > 0)
            .unwrap_or_else(PoisonError::into_inner);
        load.requests == 0
    }

    /// Ends the program as a failure after a while (`--exit-after`).
    #[expect(
        clippy::disallowed_methods,
        reason = "failing after a set time is what this switch is for"
    )]
    pub(crate) fn fail_after(self: &Arc<Self>, after: Duration, server: &Arc<Server>) {
        let (state, server) = (Arc::clone(self), Arc::clone(server));
        thread::spawn(move || {
            thread::sleep(after);
            state.failed.store(true, Ordering::SeqCst);
            server.unblock();
        });
    }

    fn load(&self) -> MutexGuard<'_, Load> {
        self.load.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A request that was taken.
pub(crate) struct Taken {
    state: Arc<State>,
    work: bool,
}

impl Taken {
    pub(crate) fn state(&self) -> &State {
        &self.state
    }

    /// Takes the request as work, unless the service drains.
    pub(crate) fn accept_work(&mut self) -> bool {
        let mut load = self.state.load();
        if !load.draining {
            load.work += 1;
            self.work = true;
        }
        self.work
    }
}

impl Drop for Taken {
    fn drop(&mut self) {
        let mut load = self.state.load();
        load.requests -= 1;
        load.work -= u64::from(self.work);
        drop(load);
        self.state.served.fetch_add(1, Ordering::SeqCst);
        self.state.changed.notify_all();
    }
}
