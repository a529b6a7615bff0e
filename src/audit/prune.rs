//! Deleting the full logs of old runs. The journal and the trail, with its excerpts, stay.

use std::io::ErrorKind;
use std::path::Path;

use super::error::AuditError;
use crate::base::{RunId, Timestamp};
use crate::store::{RunFilter, RunStore};

/// A run whose logs were deleted, or would be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pruned {
    /// The run.
    pub run: RunId,
    /// Bytes of its logs.
    pub bytes: u64,
}

/// Deletes the log folders below `logs_root` of runs that finished before a time, oldest first. A run
/// that the trail has not caught up with keeps them. `dry_run`: only says which.
///
/// # Errors
/// [`AuditError`] when the store cannot be read or a folder not be deleted; what was deleted before stays so.
pub fn prune(
    store: &dyn RunStore,
    logs_root: &Path,
    before: Timestamp,
    dry_run: bool,
) -> Result<Vec<Pruned>, AuditError> {
    let mut pruned = Vec::new();
    for run in store.runs(&RunFilter::default())?.iter().rev() {
        let old = run.finished_at.is_some_and(|at| at < before);
        if !old || run.audited_seq < run.last_seq {
            continue;
        }
        let folder = logs_root.join(run.id.to_string());
        let Some(bytes) = size(&folder)? else {
            continue;
        };
        if !dry_run {
            std::fs::remove_dir_all(&folder)
                .map_err(|error| AuditError::file("delete", &folder, error))?;
        }
        pruned.push(Pruned { run: run.id, bytes });
    }
    Ok(pruned)
}

/// Bytes of the files in a folder; `None` when there is no folder.
fn size(folder: &Path) -> Result<Option<u64>, AuditError> {
    let failed = |error| AuditError::file("read", folder, error);
    let entries = match std::fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(failed(error)),
    };
    let mut bytes = 0;
    for entry in entries {
        let metadata = entry.and_then(|entry| entry.metadata()).map_err(failed)?;
        bytes += metadata.len();
    }
    Ok(Some(bytes))
}
