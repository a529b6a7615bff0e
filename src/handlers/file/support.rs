//! What the file actions share.

use std::fs::{self, File};
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

use sha2::{Digest as _, Sha256};

use crate::base::Digest;
use crate::event::FailureKind;
use crate::handler::{StepContext, StepError, Stop};
use crate::handlers::system::AtomicWriteError;

/// A failed operation on a file, in words.
pub(super) fn failure(action: &str, path: &Path, error: &io::Error) -> StepError {
    let kind = match error.kind() {
        io::ErrorKind::NotFound
        | io::ErrorKind::PermissionDenied
        | io::ErrorKind::IsADirectory
        | io::ErrorKind::NotADirectory
        | io::ErrorKind::ReadOnlyFilesystem => FailureKind::Invalid,
        _ => FailureKind::Error,
    };
    let folder = path.parent().unwrap_or(path);
    let hint = match error.kind() {
        io::ErrorKind::NotFound if !folder.exists() => {
            format!(
                "the folder is missing; make it with: mkdir -p {}",
                folder.display()
            )
        }
        _ => format!("look at it with: ls -la {}", path.display()),
    };
    StepError::caused(kind, format!("cannot {action} `{}`", path.display()), error).hint(hint)
}

/// The same for an atomic write, whose message names what was tried already.
pub(super) fn write_failure(path: &Path, error: &AtomicWriteError) -> StepError {
    failure("write", path, &error.source)
}

/// A file's digest and size; `None` when there is no file. Reads it piece by piece.
pub(super) fn checksum(ctx: &StepContext, path: &Path) -> Result<Option<(Digest, u64)>, StepError> {
    let mut file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(failure("read", path, &error)),
    };
    let mut hash = Sha256::new();
    let mut size = 0;
    let mut buffer = vec![0; 64 * 1024];
    loop {
        check_stop(ctx)?;
        match file.read(&mut buffer) {
            Ok(0) => break,
            Ok(len) => {
                hash.update(&buffer[..len]);
                size += len as u64;
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(failure("read", path, &error)),
        }
    }
    Ok(Some((Digest::from_bytes(hash.finalize().into()), size)))
}

/// Fails when the step was asked to end; work on files asks between two pieces.
pub(super) fn check_stop(ctx: &StepContext) -> Result<(), StepError> {
    if ctx.stop.current() >= Stop::Gently {
        return Err(StepError::new(
            FailureKind::Cancelled,
            "stopped; the file was left as it was",
        ));
    }
    Ok(())
}

/// Makes the folders above a path when asked to.
pub(super) fn make_parents(path: &Path, create: bool) -> Result<(), StepError> {
    match path.parent() {
        Some(folder) if create => {
            fs::create_dir_all(folder).map_err(|error| failure("make the folder", folder, &error))
        }
        _ => Ok(()),
    }
}

/// Parses permissions such as `"0644"`.
pub(super) fn parse_mode(text: Option<&str>) -> Result<Option<u32>, StepError> {
    let Some(text) = text else { return Ok(None) };
    match u32::from_str_radix(text, 8) {
        Ok(mode) if mode <= 0o7777 && (3..=5).contains(&text.len()) => Ok(Some(mode)),
        _ => Err(StepError::new(
            FailureKind::Invalid,
            format!("`{text}` is not a file mode; write octal digits in quotes, e.g. `\"0644\"`"),
        )),
    }
}

/// Does blocking work on files off the threads that other steps need.
pub(super) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, StepError> + Send + 'static,
) -> Result<T, StepError> {
    tokio::task::spawn_blocking(work)
        .await
        .unwrap_or_else(|error| {
            Err(StepError::caused(
                FailureKind::Error,
                "the work on the file ended abnormally",
                &error,
            ))
        })
}

/// A written path, absolute.
pub(super) fn absolute(ctx: &StepContext, written: &str) -> Result<PathBuf, StepError> {
    if written.is_empty() {
        return Err(StepError::new(FailureKind::Invalid, "the path is empty"));
    }
    let path = ctx.path(written);
    Ok(std::path::absolute(&path).unwrap_or(path))
}

/// Longest file that a preview compares with.
const COMPARED: u64 = 256 * 1024;

/// What stands where a file is to be written.
pub(super) enum Present {
    /// Nothing.
    Nothing,
    /// This text.
    Text(String),
    /// Something that cannot be compared, in words.
    Other(String),
}

/// Looks at a file for a preview.
pub(super) fn present_text(path: &Path) -> Present {
    let metadata = match fs::metadata(path) {
        Ok(metadata) => metadata,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Present::Nothing,
        Err(error) => return Present::Other(format!("not to be seen: {error}")),
    };
    if !metadata.is_file() {
        return Present::Other("no file".to_owned());
    }
    if metadata.len() > COMPARED {
        return Present::Other("too large to compare".to_owned());
    }
    match fs::read(path).map(String::from_utf8) {
        Ok(Ok(text)) => Present::Text(text),
        Ok(Err(_)) => Present::Other("no text".to_owned()),
        Err(error) => Present::Other(format!("not to be read: {error}")),
    }
}
