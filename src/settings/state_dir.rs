//! The state directory: `state.db`, `audit.git`, `logs/`.

use std::io::{self, Write as _};
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};

use super::error::SettingsError;

/// What git is told of the state directory: it is nobody's source.
const IGNORE: &str = "# Written by runbook: state is not source.\n*\n";

/// The directory that holds the state of every run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StateDir {
    path: PathBuf,
}

impl StateDir {
    /// The name below a repository's root, unless it was moved.
    pub const NAME: &'static str = ".runbook";

    /// The directory at a path, whether or not it is there yet.
    pub fn at(path: impl Into<PathBuf>) -> Self {
        Self { path: path.into() }
    }

    /// The path.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The Git repository that records runs.
    pub fn audit(&self) -> PathBuf {
        self.path.join("audit.git")
    }

    /// Creates it where it is missing, readable by its owner only, and hidden from git.
    ///
    /// # Errors
    /// [`SettingsError::StateDir`] when it cannot be created or written.
    pub fn create(&self) -> Result<(), SettingsError> {
        std::fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(&self.path)
            .map_err(|source| self.problem(&self.path, source))?;
        let ignore = self.path.join(".gitignore");
        let file = std::fs::OpenOptions::new()
            .write(true)
            .create_new(true)
            .open(&ignore);
        match file.and_then(|mut file| file.write_all(IGNORE.as_bytes())) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => {
                Err(self.problem(&ignore, error))
            }
            _ => Ok(()),
        }
    }

    fn problem(&self, path: &Path, source: io::Error) -> SettingsError {
        SettingsError::StateDir {
            path: path.to_owned(),
            source,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn is_created_once_private_and_ignored() {
        let place = tempfile::tempdir().expect("a temporary folder");
        let state = StateDir::at(place.path().join("a/.runbook"));
        state.create().expect("created");
        let ignore = state.path().join(".gitignore");
        assert_eq!(std::fs::read_to_string(&ignore).expect("there"), IGNORE);
        let mode = std::fs::metadata(state.path())
            .expect("there")
            .permissions()
            .mode();
        assert_eq!(mode & 0o777, 0o700);

        std::fs::write(&ignore, "mine\n").expect("written");
        state.create().expect("already there");
        assert_eq!(std::fs::read_to_string(&ignore).expect("there"), "mine\n");
    }

    #[test]
    fn a_file_in_its_place_is_named() {
        let place = tempfile::tempdir().expect("a temporary folder");
        let path = place.path().join("taken");
        std::fs::write(&path, "").expect("written");
        let error = StateDir::at(&path).create().expect_err("not a directory");
        assert!(error.to_string().contains("taken"), "{error}");
    }
}
