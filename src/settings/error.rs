//! What can be wrong with the surroundings.

use std::io;
use std::path::PathBuf;

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
}
