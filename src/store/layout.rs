//! Where things are inside the state directory.

use std::path::{Path, PathBuf};

use crate::base::RunId;

/// The paths of a state directory (`.runbook/`). Building one touches no file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StateLayout {
    root: PathBuf,
}

impl StateLayout {
    /// The layout below `root`.
    pub fn new(root: impl Into<PathBuf>) -> Self {
        Self { root: root.into() }
    }

    /// The state directory itself.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// The SQLite database with runs, events and requests.
    pub fn state_db(&self) -> PathBuf {
        self.root.join("state.db")
    }

    /// The bare Git repository of the audit trail.
    pub fn audit_git(&self) -> PathBuf {
        self.root.join("audit.git")
    }

    /// The folder that holds a log folder for each run.
    pub fn logs_root(&self) -> PathBuf {
        self.root.join("logs")
    }

    /// The log files of one run.
    pub fn run_logs(&self, run: RunId) -> PathBuf {
        self.logs_root().join(run.to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn everything_lies_below_the_root() {
        let layout = StateLayout::new("/s");
        let run = RunId::from_parts(1, 2);
        assert_eq!(layout.state_db(), Path::new("/s/state.db"));
        assert_eq!(layout.audit_git(), Path::new("/s/audit.git"));
        assert_eq!(
            layout.run_logs(run),
            Path::new("/s/logs").join(run.to_string())
        );
    }
}
