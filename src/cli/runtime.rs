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
        .worker_threads(2)
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
