//! This process, named so that a recycled pid is not taken for it.

use std::io;

use super::actor::host_name;
use super::error::SettingsError;
use crate::store::EngineOwner;

/// This process as the driver of runs.
///
/// # Errors
/// [`SettingsError::Process`] when `/proc` is not mounted.
pub fn current_owner() -> Result<EngineOwner, SettingsError> {
    let problem = |source| SettingsError::Process {
        what: "/proc/self/stat",
        source,
    };
    let stat = std::fs::read_to_string("/proc/self/stat").map_err(problem)?;
    let started = start_time(&stat).ok_or_else(|| problem(io::ErrorKind::InvalidData.into()))?;
    Ok(EngineOwner {
        host: host_name(),
        pid: std::process::id(),
        started,
    })
}

/// Field 22 of a `/proc/PID/stat` line (proc(5)), counted after the program's name, which may hold spaces.
fn start_time(stat: &str) -> Option<u64> {
    let (_, after_name) = stat.rsplit_once(')')?;
    after_name.split_ascii_whitespace().nth(19)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_with_spaces_and_brackets_does_not_mislead() {
        let stat = "7 (a ) b) S 1 7 7 0 -1 4194560 1 2 3 4 5 6 7 8 20 0 1 0 424242 9 10";
        assert_eq!(start_time(stat), Some(424_242));
        assert_eq!(start_time("7 (x) S 1"), None);
    }

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
