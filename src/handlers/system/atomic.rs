//! Files that are either old or new, never half written.

use std::fs::{self, File, Permissions};
use std::io::{self, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

/// Why a file could not be replaced; the old one is untouched.
#[derive(Debug, thiserror::Error)]
#[error("cannot {action} `{}`", .path.display())]
pub(crate) struct AtomicWriteError {
    /// What was tried.
    action: &'static str,
    /// The file or folder it was tried on.
    path: PathBuf,
    /// Why.
    #[source]
    pub(crate) source: io::Error,
}

/// Replaces a file by what `fill` writes: a temporary file beside it, flushed to disk, moved over
/// it, and the folder flushed, so that a crash at any point leaves the old or the new whole file.
///
/// `mode` is the new file's permissions; without it those of the old file, or 0644.
pub(crate) fn write_atomically(
    path: &Path,
    mode: Option<u32>,
    fill: impl FnOnce(&mut File) -> io::Result<()>,
) -> Result<(), AtomicWriteError> {
    let failed = |action, path: &Path| {
        let path = path.to_owned();
        move |source| AtomicWriteError {
            action,
            path,
            source,
        }
    };
    let folder = match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    let mode = mode.or_else(|| {
        fs::metadata(path)
            .ok()
            .map(|metadata| metadata.permissions().mode() & 0o7777)
    });
    let mut file = tempfile::Builder::new()
        .prefix(".runbook-")
        .tempfile_in(folder)
        .map_err(failed("create a file in", folder))?;
    fill(file.as_file_mut()).map_err(failed("write", path))?;
    file.as_file_mut()
        .flush()
        .and_then(|()| {
            file.as_file()
                .set_permissions(Permissions::from_mode(mode.unwrap_or(0o644)))
        })
        .and_then(|()| file.as_file().sync_all())
        .map_err(failed("write", path))?;
    file.persist(path)
        .map_err(|error| failed("replace", path)(error.error))?;
    File::open(folder)
        .and_then(|folder| folder.sync_all())
        .map_err(failed("flush the folder", folder))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failed_write_leaves_the_old_file_and_no_litter() {
        let dir = tempfile::tempdir().expect("temporary folder");
        let path = dir.path().join("a");
        write_atomically(&path, Some(0o600), |file| file.write_all(b"old")).expect("written");
        let error = write_atomically(&path, None, |file| {
            file.write_all(b"ne")?;
            Err(io::Error::other("disk full"))
        })
        .expect_err("fails");
        assert_eq!(error.source.to_string(), "disk full");
        assert_eq!(fs::read(&path).expect("readable"), b"old");
        assert_eq!(fs::read_dir(dir.path()).expect("readable").count(), 1);
        write_atomically(&path, None, |file| file.write_all(b"new")).expect("written");
        let mode = fs::metadata(&path).expect("there").permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "permissions are kept");
    }
}
