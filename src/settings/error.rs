//! What can be wrong with the surroundings.

use std::io;
use std::path::PathBuf;

use crate::audit::SshError;

/// Why the surroundings do not allow to go on.
#[derive(Debug, thiserror::Error)]
pub enum SettingsError {
    /// No folder from the start upwards holds `runbooks/`.
    #[error("no runbooks/ folder in {} or any folder above it", .start.display())]
    NoRepository {
        /// Where the search began.
        start: PathBuf,
    },
    /// The folder to work in cannot be entered.
    #[error("cannot work in {}", .path.display())]
    Directory {
        /// The folder.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// A folder of the repository cannot be listed.
    #[error("cannot list {}", .path.display())]
    List {
        /// The folder.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The state directory cannot be made.
    #[error("cannot create the state directory {}", .path.display())]
    StateDir {
        /// The directory, or the file in it that could not be written.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The key that was named cannot be used.
    #[error("cannot vote with the key {}", .path.display())]
    Key {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: SshError,
    },
    /// The key that was named is of nobody in the run's policy.
    #[error("the key {key} is of nobody whom the policy of this run names")]
    UnlistedKey {
        /// The key, for people.
        key: String,
        /// Its public part, as the policy would list it.
        public: String,
    },
    /// `ssh-keygen` did not sign.
    #[error("ssh-keygen could not sign with the key {key}")]
    Signing {
        /// The key, for people.
        key: String,
        /// Why it could not be started; `None`: it said so itself.
        #[source]
        source: Option<io::Error>,
    },
    /// The system does not say who this process is.
    #[error("cannot read {what}")]
    Process {
        /// What was asked for.
        what: &'static str,
        /// Why.
        #[source]
        source: io::Error,
    },
}
