//! The environment variables that this program knows, all of them.

use std::ffi::OsString;
use std::path::PathBuf;

/// Moves the state directory.
const STATE_DIR: &str = "RUNBOOK_STATE_DIR";
/// The environment to act on when `--env` does not say.
const ENVIRONMENT: &str = "RUNBOOK_ENV";
/// What is traced to standard error, in the filter language of `tracing` (`debug`, `runbook=trace`).
const LOG: &str = "RUNBOOK_LOG";
/// The private SSH key that signs the commits of the audit trail.
const AUDIT_KEY: &str = "RUNBOOK_AUDIT_KEY";
/// The remote of the audit trail, in place of the policy's.
const AUDIT_REMOTE: &str = "RUNBOOK_AUDIT_REMOTE";
/// No colours when set and not empty (no-color.org).
const NO_COLOR: &str = "NO_COLOR";
/// Colours also when the output is no terminal, when set and neither empty nor `0`.
const CLICOLOR_FORCE: &str = "CLICOLOR_FORCE";
/// The kind of terminal; `dumb` has no colours and no moving cursor.
const TERM: &str = "TERM";
/// Login name, asked only when the system's user list does not have the user (as in containers).
const USER: [&str; 2] = ["USER", "LOGNAME"];

/// The arguments of this process, the program's name first.
pub fn arguments() -> Vec<OsString> {
    std::env::args_os().collect()
}

/// The value of a variable of the process's environment.
#[expect(
    clippy::disallowed_methods,
    reason = "this is the one place that reads them"
)]
pub(super) fn variable(name: &str) -> Option<OsString> {
    std::env::var_os(name)
}

/// The values of the environment variables that this program knows.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Variables {
    /// `RUNBOOK_STATE_DIR`.
    pub state_dir: Option<PathBuf>,
    /// `RUNBOOK_ENV`.
    pub environment: Option<String>,
    /// `RUNBOOK_AUDIT_KEY`.
    pub audit_key: Option<PathBuf>,
    /// `RUNBOOK_LOG`.
    pub log: Option<String>,
    /// `RUNBOOK_AUDIT_REMOTE`.
    pub audit_remote: Option<String>,
    /// `NO_COLOR`.
    pub no_color: bool,
    /// `CLICOLOR_FORCE`.
    pub force_color: bool,
    /// `TERM` is `dumb`.
    pub dumb_terminal: bool,
    /// `USER`, else `LOGNAME`.
    pub user: Option<String>,
}

impl Variables {
    /// Reads them from the process's environment.
    pub fn read() -> Self {
        Self::from_lookup(variable)
    }

    /// Reads them from elsewhere. A variable that is empty counts as not set.
    pub fn from_lookup(lookup: impl Fn(&str) -> Option<OsString>) -> Self {
        let set = |name: &str| lookup(name).filter(|value| !value.is_empty());
        let text = |name: &str| set(name).map(|value| value.to_string_lossy().into_owned());
        Self {
            state_dir: set(STATE_DIR).map(PathBuf::from),
            environment: text(ENVIRONMENT),
            audit_key: set(AUDIT_KEY).map(PathBuf::from),
            log: text(LOG),
            audit_remote: text(AUDIT_REMOTE),
            no_color: set(NO_COLOR).is_some(),
            force_color: set(CLICOLOR_FORCE).is_some_and(|value| value != "0"),
            dumb_terminal: set(TERM).is_some_and(|value| value == "dumb"),
            user: USER.into_iter().find_map(text),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn empty_counts_as_not_set() {
        let variables = Variables::from_lookup(|_| Some(OsString::new()));
        assert_eq!(variables, Variables::default());
    }

    #[test]
    fn zero_does_not_force_colours_and_the_login_name_is_the_second_choice() {
        let variables = Variables::from_lookup(|name| match name {
            "CLICOLOR_FORCE" => Some("0".into()),
            "LOGNAME" => Some("ada".into()),
            "NO_COLOR" => Some("1".into()),
            _ => None,
        });
        assert!(!variables.force_color);
        assert!(variables.no_color);
        assert_eq!(variables.user.as_deref(), Some("ada"));
    }
}
