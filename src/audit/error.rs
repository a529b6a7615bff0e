//! Why the audit trail could not be written or read.

use std::path::Path;

use super::ssh::SshError;
use crate::base::{EventSeq, RunId};
use crate::store::StoreError;

/// Why the audit trail could not be written or read. The journal is not touched by any of these.
#[derive(Debug, thiserror::Error)]
pub enum AuditError {
    /// The journal could not be read, or the cursor not be moved.
    #[error("the journal failed while the audit trail was written")]
    Store(#[from] StoreError),
    /// A file or folder beside or in the repository could not be used.
    #[error("cannot {action} `{path}`")]
    File {
        /// What was tried.
        action: &'static str,
        /// The file.
        path: String,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// Git refused.
    #[error("cannot {action} the audit trail `{path}`")]
    Git {
        /// What was tried.
        action: &'static str,
        /// The repository.
        path: String,
        /// Why.
        #[source]
        source: git2::Error,
    },
    /// Other programs kept changing the branch while we tried to append to it.
    #[error(
        "the audit trail `{path}` is held by another program (`refs/heads/main.lock`); \
         end that program and try again"
    )]
    Busy {
        /// The repository.
        path: String,
    },
    /// The trail says something else than the journal: one of them was changed by hand.
    #[error("the audit trail of run {run} differs from the journal at event {seq}")]
    Diverged {
        /// The run.
        run: RunId,
        /// The first event that differs.
        seq: EventSeq,
    },
    /// The host's key could not sign a commit.
    #[error("a commit of the audit trail could not be signed")]
    Sign(#[from] SshError),
    /// A run cannot be taken from the trail.
    #[error("run {run} cannot be restored from the audit trail: {reason}")]
    NotRestored {
        /// The run.
        run: RunId,
        /// Why.
        reason: String,
    },
    /// The trail does not have what is asked of it.
    #[error("the audit trail `{path}` has no {what}")]
    Missing {
        /// The repository.
        path: String,
        /// What.
        what: String,
    },
    /// A file is no bundle of a trail.
    #[error("`{path}` is no bundle of an audit trail: {reason}")]
    NoBundle {
        /// The file.
        path: String,
        /// Why.
        reason: String,
    },
    /// An event has no JSON form.
    #[error("an event could not be written as JSON")]
    Encode(#[from] serde_json::Error),
    /// The writing thread died.
    #[error("the audit writer ended by a bug of this program")]
    WriterDied,
}

impl AuditError {
    pub(super) fn file(action: &'static str, path: &Path, source: std::io::Error) -> Self {
        Self::File {
            action,
            path: path.display().to_string(),
            source,
        }
    }

    pub(super) fn git(action: &'static str, path: &Path, source: git2::Error) -> Self {
        Self::Git {
            action,
            path: path.display().to_string(),
            source,
        }
    }
}
