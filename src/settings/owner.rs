//! This process, named so that a recycled pid is not taken for it.

use std::io;

use super::actor::host_name;
use super::error::SettingsError;
use crate::engine::start_time;
use crate::store::EngineOwner;

/// This process as the driver of runs.
///
/// # Errors
/// [`SettingsError::Process`] when `/proc` is not mounted.
pub fn current_owner() -> Result<EngineOwner, SettingsError> {
    let pid = std::process::id();
    let started = start_time(pid).ok_or_else(|| SettingsError::Process {
        what: "/proc/self/stat",
        source: io::ErrorKind::NotFound.into(),
    })?;
    Ok(EngineOwner {
        host: host_name(),
        pid,
        started,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_process_keeps_its_start_time() {
        let (one, two) = (
            current_owner().expect("proc"),
            current_owner().expect("proc"),
        );
        assert_eq!(one, two);
        assert_eq!(one.pid, std::process::id());
        assert!(one.started > 0);
    }
}
