//! The asynchronous runtime of commands that drive runs.

use std::future::Future;

use super::error::{CliError, ErrorKind};

/// Runs a future to its end. Threads that still block then are left behind, not waited for.
///
/// # Errors
/// What the future gives, or that the system has no threads for us.
pub(super) fn block_on<T>(
    future: impl Future<Output = Result<T, CliError>>,
) -> Result<T, CliError> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        // One thread for the dispatcher and its workers: a hand-over between threads costs more than
        // a step's bookkeeping. Handlers that block do so on the blocking pool.
        .worker_threads(1)
        .enable_all()
        .build()
        .map_err(|error| {
            CliError::new(ErrorKind::Failed, "cannot start threads")
                .because(&error)
                .next("ulimit -u")
        })?;
    let result = runtime.block_on(future);
    runtime.shutdown_background();
    result
}
