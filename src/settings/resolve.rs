//! Command line over environment variables over defaults.

use std::path::{Path, PathBuf};

use super::actor::current_actor;
use super::error::SettingsError;
use super::repository::Repository;
use super::state_dir::StateDir;
use super::terminal::Terminal;
use super::variables::Variables;
use crate::event::Actor;

/// The environment that is acted on when nothing names one.
const DEFAULT_ENVIRONMENT: &str = "local";

/// What the command line says of the surroundings.
#[derive(Debug, Clone, Default)]
pub struct Overrides {
    /// `--directory`: where to look for the repository.
    pub directory: Option<PathBuf>,
    /// `--state-dir`.
    pub state_dir: Option<PathBuf>,
    /// `--env`.
    pub environment: Option<String>,
    /// `--no-color`.
    pub no_color: bool,
}

/// The surroundings of one command.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Where the search for the repository begins; absolute.
    pub start: PathBuf,
    /// The environment to act on.
    pub environment: String,
    /// Who acts.
    pub actor: Actor,
    /// The terminal.
    pub terminal: Terminal,
    /// The private SSH key of this host that signs the commits of the audit trail; absolute.
    pub audit_key: Option<PathBuf>,
    /// What is traced, if anything.
    pub log: Option<String>,
    state_dir: Option<PathBuf>,
}

impl Settings {
    /// Brings command line and environment variables together.
    ///
    /// # Errors
    /// [`SettingsError::Directory`] when the folder to work in is not there.
    pub fn resolve(overrides: Overrides, variables: Variables) -> Result<Self, SettingsError> {
        let here = absolute(overrides.directory.as_deref().unwrap_or(Path::new(".")))?;
        // A path on the command line is meant from where the person stands, one of a variable too.
        let state_dir = overrides.state_dir.or(variables.state_dir.clone());
        Ok(Self {
            start: here,
            environment: overrides
                .environment
                .or_else(|| variables.environment.clone())
                .unwrap_or_else(|| DEFAULT_ENVIRONMENT.to_owned()),
            actor: current_actor(variables.user.as_deref()),
            terminal: Terminal::detect(&variables, overrides.no_color),
            audit_key: variables
                .audit_key
                .map(|path| {
                    std::path::absolute(&path)
                        .map_err(|source| SettingsError::Directory { path, source })
                })
                .transpose()?,
            log: variables.log,
            state_dir: state_dir
                .map(|path| {
                    std::path::absolute(&path)
                        .map_err(|source| SettingsError::Directory { path, source })
                })
                .transpose()?,
        })
    }

    /// The repository.
    ///
    /// # Errors
    /// [`SettingsError::NoRepository`] when there is none here or above.
    pub fn repository(&self) -> Result<Repository, SettingsError> {
        Repository::find(&self.start)
    }

    /// The state directory: as moved, else `.runbook` in the repository.
    ///
    /// # Errors
    /// [`SettingsError::NoRepository`] when it was not moved and there is no repository.
    pub fn state_dir(&self) -> Result<StateDir, SettingsError> {
        match &self.state_dir {
            Some(path) => Ok(StateDir::at(path)),
            None => Ok(StateDir::at(self.repository()?.root().join(StateDir::NAME))),
        }
    }
}

fn absolute(path: &Path) -> Result<PathBuf, SettingsError> {
    path.canonicalize()
        .map_err(|source| SettingsError::Directory {
            path: path.to_owned(),
            source,
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_wins_over_variables_and_defaults() {
        let place = tempfile::tempdir().expect("a temporary folder");
        std::fs::create_dir(place.path().join("runbooks")).expect("a folder");
        let root = place.path().canonicalize().expect("there");
        let given = |environment: Option<&str>, state_dir: Option<&str>| Overrides {
            directory: Some(root.clone()),
            environment: environment.map(str::to_owned),
            state_dir: state_dir.map(PathBuf::from),
            no_color: true,
        };
        let variables = Variables {
            environment: Some("staging".to_owned()),
            state_dir: Some("/var/state".into()),
            ..Variables::default()
        };

        let plain = Settings::resolve(given(None, None), Variables::default()).expect("resolved");
        assert_eq!(plain.environment, "local");
        assert_eq!(
            plain.state_dir().expect("found").path(),
            root.join(".runbook")
        );

        let by_variables =
            Settings::resolve(given(None, None), variables.clone()).expect("resolved");
        assert_eq!(by_variables.environment, "staging");
        assert_eq!(
            by_variables.state_dir().expect("given").path(),
            Path::new("/var/state")
        );

        let by_flags =
            Settings::resolve(given(Some("docker"), Some("/srv/s")), variables).expect("resolved");
        assert_eq!(by_flags.environment, "docker");
        assert_eq!(
            by_flags.state_dir().expect("given").path(),
            Path::new("/srv/s")
        );
    }

    #[test]
    fn a_folder_that_is_not_there_is_named() {
        let overrides = Overrides {
            directory: Some("/no/such/folder".into()),
            ..Overrides::default()
        };
        let error = Settings::resolve(overrides, Variables::default()).expect_err("not there");
        assert_eq!(error.to_string(), "cannot work in /no/such/folder");
    }
}
