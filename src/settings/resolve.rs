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
    /// `RUNBOOK_AUDIT_REMOTE`, as git is to be told.
    audit_remote: Option<String>,
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
            audit_remote: variables
                .audit_remote
                .map(|remote| remote_from(&remote, Path::new("."))),
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

    /// The remote of the audit trail: what `RUNBOOK_AUDIT_REMOTE` says, else what the policy of the
    /// repository at `root` says. A path in the policy is meant from `root`.
    pub fn audit_remote(&self, policy: Option<&str>, root: &Path) -> Option<String> {
        let of_policy = || policy.map(|remote| remote_from(remote, root));
        self.audit_remote.clone().or_else(of_policy)
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

/// A URL (`ssh://…`, `git@host:path`) as it is, a path as it is meant from `base`.
pub fn remote_from(remote: &str, base: &Path) -> String {
    let before_slash = remote.split('/').next().unwrap_or_default();
    if before_slash.contains(':') {
        return remote.to_owned();
    }
    let path = base.join(remote);
    std::path::absolute(&path)
        .unwrap_or(path)
        .display()
        .to_string()
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
    fn a_path_of_a_remote_is_meant_from_the_repository_and_a_url_is_not_a_path() {
        let root = Path::new("/srv/ops");
        assert_eq!(remote_from("../audit.git", root), "/srv/ops/../audit.git");
        assert_eq!(remote_from("/a/b.git", root), "/a/b.git");
        for url in [
            "ssh://git@host/audit.git",
            "git@host:audit.git",
            "https://h/a",
        ] {
            assert_eq!(remote_from(url, root), url);
        }
        let settings = |variable: Option<&str>| {
            let variables = Variables {
                audit_remote: variable.map(str::to_owned),
                ..Variables::default()
            };
            Settings::resolve(Overrides::default(), variables).expect("resolved")
        };
        let of = |variable, policy| settings(variable).audit_remote(policy, root);
        assert_eq!(of(None, None), None);
        assert_eq!(of(None, Some("x.git")).as_deref(), Some("/srv/ops/x.git"));
        assert_eq!(of(Some("h:x"), Some("y")).as_deref(), Some("h:x"));
    }

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
