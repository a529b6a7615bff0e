//! From SQLite's errors to the store's.

use std::error::Error;
use std::path::Path;

use rusqlite::ErrorCode;

use crate::store::StoreError;

/// Why an operation on the database failed, before the file's path is known.
#[derive(Debug)]
pub(super) enum OpError {
    /// The store says no.
    Refused(StoreError),
    /// SQLite failed.
    Sql(rusqlite::Error),
    /// A stored text cannot be decoded.
    Damaged {
        what: String,
        source: Box<dyn Error + Send + Sync>,
    },
}

impl From<StoreError> for OpError {
    fn from(error: StoreError) -> Self {
        Self::Refused(error)
    }
}

impl From<rusqlite::Error> for OpError {
    fn from(error: rusqlite::Error) -> Self {
        Self::Sql(error)
    }
}

impl OpError {
    /// Names the file, and what was tried on it.
    pub(super) fn into_store(self, action: &'static str, path: &Path) -> StoreError {
        match self {
            Self::Refused(error) => error,
            Self::Sql(error) => {
                let damaged = is_damage(&error);
                sql_error(damaged, Box::new(error), action, path)
            }
            Self::Damaged { what, source } => StoreError::Corrupt {
                what: format!("{what} in `{}`", path.display()),
                source,
            },
        }
    }
}

/// For a failure that several requests share, since [`rusqlite::Error`] cannot be cloned.
pub(super) fn shared_error(
    error: &std::sync::Arc<rusqlite::Error>,
    action: &'static str,
    path: &Path,
) -> StoreError {
    sql_error(
        is_damage(error),
        Box::new(std::sync::Arc::clone(error)),
        action,
        path,
    )
}

fn is_damage(error: &rusqlite::Error) -> bool {
    matches!(
        error.sqlite_error_code(),
        Some(ErrorCode::NotADatabase | ErrorCode::DatabaseCorrupt)
    )
}

fn sql_error(
    damaged: bool,
    source: Box<dyn Error + Send + Sync>,
    action: &'static str,
    path: &Path,
) -> StoreError {
    if damaged {
        return StoreError::Corrupt {
            what: format!("`{}`", path.display()),
            source,
        };
    }
    unavailable(action, path, source)
}

pub(super) fn unavailable(
    action: &'static str,
    path: &Path,
    source: impl Into<Box<dyn Error + Send + Sync>>,
) -> StoreError {
    StoreError::Unavailable {
        action,
        path: path.display().to_string(),
        source: source.into(),
    }
}
