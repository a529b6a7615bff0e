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
    draining: AtomicBool,
    failed: AtomicBool,
    served: AtomicU64,
    in_flight: Mutex<u64>,
    changed: Condvar,
}

impl State {
    pub(crate) fn new(healthy: bool) -> Self {
        Self {
            started: Instant::now(),
            healthy,
            draining: AtomicBool::new(false),
            failed: AtomicBool::new(false),
            served: AtomicU64::new(0),
            in_flight: Mutex::new(0),
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
        self.draining.load(Ordering::SeqCst)
    }

    /// Returns what it was before.
    pub(crate) fn set_draining(&self, draining: bool) -> bool {
        self.draining.swap(draining, Ordering::SeqCst)
    }

    pub(crate) fn has_failed(&self) -> bool {
        self.failed.load(Ordering::SeqCst)
    }

    pub(crate) fn served(&self) -> u64 {
        self.served.load(Ordering::SeqCst)
    }

    /// Requests that were accepted and not yet answered.
    pub(crate) fn in_flight(&self) -> u64 {
        *self.count()
    }

    /// Counts a request as in flight until the guard is dropped.
    pub(crate) fn begin(self: &Arc<Self>) -> InFlight {
        *self.count() += 1;
        InFlight(Arc::clone(self))
    }

    /// Whether all requests were answered within the limit.
    pub(crate) fn wait_until_idle(&self, limit: Duration) -> bool {
        let (count, _) = self
            .changed
            .wait_timeout_while(self.count(), limit, |count| *count > 0)
            .unwrap_or_else(PoisonError::into_inner);
        *count == 0
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

    fn count(&self) -> MutexGuard<'_, u64> {
        self.in_flight
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

/// One request in flight.
pub(crate) struct InFlight(Arc<State>);

impl InFlight {
    pub(crate) fn state(&self) -> &State {
        &self.0
    }

    /// Requests in flight besides this one.
    pub(crate) fn others(&self) -> u64 {
        self.0.in_flight().saturating_sub(1)
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        *self.0.count() -= 1;
        self.0.served.fetch_add(1, Ordering::SeqCst);
        self.0.changed.notify_all();
    }
}
