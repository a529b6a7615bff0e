//! The runbook repository: where it is and what lies in it.

use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

use super::error::SettingsError;
use crate::language::Limits;

/// A folder with `runbooks/` in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Repository {
    root: PathBuf,
}

impl Repository {
    /// The folder whose presence makes a repository.
    pub const FOLDER: &'static str = "runbooks";

    /// The repository at exactly this folder, whether or not it is there yet.
    pub fn at(root: impl Into<PathBuf>) -> Self {
        Self { root: root.into() }
    }

    /// Finds it from `start` upwards, as git finds its root.
    ///
    /// # Errors
    /// [`SettingsError::NoRepository`] when no folder holds `runbooks/`.
    pub fn find(start: &Path) -> Result<Self, SettingsError> {
        start
            .ancestors()
            .find(|folder| folder.join(Self::FOLDER).is_dir())
            .map(Self::at)
            .ok_or_else(|| SettingsError::NoRepository {
                start: start.to_owned(),
            })
    }

    /// The folder itself.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// The file of a runbook.
    pub fn runbook_file(&self, name: &str) -> PathBuf {
        self.folder().join(format!("{name}.yaml"))
    }

    /// The file of an environment.
    pub fn environment_file(&self, name: &str) -> PathBuf {
        self.environments_folder().join(format!("{name}.yaml"))
    }

    /// The policy's file.
    pub fn policy_file(&self) -> PathBuf {
        self.folder().join("policy.yaml")
    }

    /// Reads a file, but at most one byte more than a file may have, so that a huge one costs nothing.
    ///
    /// # Errors
    /// Whatever the system says.
    pub fn read(path: &Path) -> io::Result<Vec<u8>> {
        let mut bytes = Vec::new();
        std::fs::File::open(path)?
            .take(Limits::default().document_bytes as u64 + 1)
            .read_to_end(&mut bytes)?;
        Ok(bytes)
    }

    /// A path as people see it: relative to the root when it lies in it.
    pub fn shown(&self, path: &Path) -> String {
        path.strip_prefix(&self.root)
            .unwrap_or(path)
            .display()
            .to_string()
    }

    /// The names of the runbooks, sorted.
    ///
    /// # Errors
    /// [`SettingsError::List`] when the folder cannot be read.
    pub fn runbooks(&self) -> Result<Vec<String>, SettingsError> {
        let mut names = yaml_names(&self.folder())?;
        names.retain(|name| name != "policy");
        Ok(names)
    }

    /// The names of the environments, sorted; none when there is no such folder.
    ///
    /// # Errors
    /// [`SettingsError::List`] when the folder cannot be read.
    pub fn environments(&self) -> Result<Vec<String>, SettingsError> {
        yaml_names(&self.environments_folder())
    }

    /// The test file of a runbook.
    pub fn test_file(&self, name: &str) -> PathBuf {
        self.folder()
            .join("tests")
            .join(format!("{name}.test.yaml"))
    }

    /// The test files (`runbooks/tests/NAME.test.yaml`), sorted; none when there is no such folder.
    ///
    /// # Errors
    /// [`SettingsError::List`] when the folder cannot be read.
    pub fn test_files(&self) -> Result<Vec<PathBuf>, SettingsError> {
        let folder = self.folder().join("tests");
        let names = yaml_names(&folder)?;
        let tests = names.into_iter().filter(|name| name.ends_with(".test"));
        Ok(tests
            .map(|name| folder.join(format!("{name}.yaml")))
            .collect())
    }

    fn folder(&self) -> PathBuf {
        self.root.join(Self::FOLDER)
    }

    fn environments_folder(&self) -> PathBuf {
        self.folder().join("environments")
    }
}

/// The names, without `.yaml`, of the files of a folder, sorted.
fn yaml_names(folder: &Path) -> Result<Vec<String>, SettingsError> {
    let problem = |source| SettingsError::List {
        path: folder.to_owned(),
        source,
    };
    let entries = match std::fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(problem(error)),
    };
    let mut names = Vec::new();
    for entry in entries {
        let path = entry.map_err(problem)?.path();
        if path.is_file()
            && let Some(name) = path.file_name().and_then(|name| name.to_str())
            && let Some(name) = name.strip_suffix(".yaml")
            && !name.starts_with('.')
        {
            names.push(name.to_owned());
        }
    }
    names.sort_unstable();
    Ok(names)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn is_found_from_below_and_lists_its_names() {
        let place = tempfile::tempdir().expect("a temporary folder");
        let deep = place.path().join("a/b");
        std::fs::create_dir_all(&deep).expect("a folder");
        assert!(matches!(
            Repository::find(&deep),
            Err(SettingsError::NoRepository { .. })
        ));

        let environments = place.path().join("runbooks/environments");
        std::fs::create_dir_all(&environments).expect("a folder");
        for file in [
            "b.yaml",
            "a.yaml",
            "policy.yaml",
            "notes.md",
            ".hidden.yaml",
            "environments/local.yaml",
        ] {
            std::fs::write(place.path().join("runbooks").join(file), "").expect("a file");
        }
        let found = Repository::find(&deep).expect("found");
        assert_eq!(found.root(), place.path());
        assert_eq!(found.runbooks().expect("listed"), ["a", "b"]);
        assert_eq!(found.environments().expect("listed"), ["local"]);
        assert_eq!(found.shown(&found.runbook_file("a")), "runbooks/a.yaml");
    }
}
