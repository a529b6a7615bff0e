//! The sources: environment variables, files, commands, Vault.

use std::fmt;
use std::io::Read as _;
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::PathBuf;
use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process_group};
use secrecy::{ExposeSecret as _, SecretString};
use tokio::io::AsyncReadExt as _;
use zeroize::Zeroize as _;

use super::error::SecretError;
use super::vault::{self, VaultSettings};
use crate::model::SecretSource;

/// Most bytes of a secret.
const MAX_BYTES: u64 = 64 * 1024;
/// Fewest characters: a shorter text appears everywhere by chance and cannot be kept out of logs.
const MIN_CHARS: usize = 4;
/// How long a command may take.
const COMMAND_LIMIT: Duration = Duration::from_secs(30);

/// Gives the value of an environment variable; the library itself reads none.
pub type EnvLookup = Arc<dyn Fn(&str) -> Option<String> + Send + Sync>;

/// All that is needed to read secrets.
#[derive(Clone)]
pub struct SecretAccess {
    root: PathBuf,
    env: EnvLookup,
    vault: VaultSettings,
    command_limit: Duration,
}

impl SecretAccess {
    /// Access from a repository: paths of `file:` and the directory of `command:` begin at `root`.
    pub fn new(root: PathBuf, env: EnvLookup, vault: VaultSettings) -> Self {
        Self {
            root,
            env,
            vault,
            command_limit: COMMAND_LIMIT,
        }
    }

    /// Reads the value of a secret now.
    ///
    /// # Errors
    /// [`SecretError`], which never holds a value: the source cannot be read, everybody may read the
    /// file, or the value is empty, shorter than 4 characters, longer than 64 KiB or no UTF-8 text.
    pub async fn read(&self, source: &SecretSource) -> Result<SecretString, SecretError> {
        let value = match source {
            SecretSource::Env(name) => match (self.env)(name) {
                Some(value) if !value.is_empty() => SecretString::from(value),
                _ => return Err(SecretError::NotSet(name.clone())),
            },
            SecretSource::File(path) => self.file(path)?,
            SecretSource::Command(line) => self.command(line).await?,
            SecretSource::Vault { path, field } => vault::read(&self.vault, path, field).await?,
        };
        let text = value.expose_secret();
        if text.trim().is_empty() {
            return Err(SecretError::Value("is empty"));
        }
        if text.chars().count() < MIN_CHARS {
            return Err(SecretError::Value(
                "has fewer than 4 characters, too few to be kept out of what steps print",
            ));
        }
        Ok(value)
    }

    /// The token for Vault, when it is a variable: programs inherit it, and may print it.
    pub(super) fn vault_token(&self) -> Option<SecretString> {
        let token = self.vault.token.clone()?;
        (token.expose_secret().chars().count() >= MIN_CHARS).then_some(token)
    }

    /// The value when reading it costs and changes nothing: a variable or a file.
    pub(super) async fn read_at_hand(&self, source: &SecretSource) -> Option<SecretString> {
        match source {
            SecretSource::Env(_) | SecretSource::File(_) => self.read(source).await.ok(),
            SecretSource::Command(_) | SecretSource::Vault { .. } => None,
        }
    }

    fn file(&self, written: &str) -> Result<SecretString, SecretError> {
        let path = self.root.join(written);
        let shown = || path.display().to_string();
        let failed = |source| SecretError::File {
            path: shown(),
            source,
        };
        // A pipe without a writer would hang the run for ever.
        let file = std::fs::OpenOptions::new()
            .read(true)
            .custom_flags(rustix::fs::OFlags::NONBLOCK.bits().cast_signed())
            .open(&path)
            .map_err(failed)?;
        let about = file.metadata().map_err(failed)?;
        if !about.is_file() {
            return Err(failed(std::io::Error::other("it is no regular file")));
        }
        let mode = about.mode() & 0o777;
        if mode & 0o007 != 0 {
            return Err(SecretError::Exposed {
                path: shown(),
                mode,
            });
        }
        let mut bytes = Vec::new();
        file.take(MAX_BYTES + 1)
            .read_to_end(&mut bytes)
            .map_err(failed)?;
        text_of(bytes)
    }

    async fn command(&self, line: &str) -> Result<SecretString, SecretError> {
        let failed = |source| SecretError::Command {
            line: line.to_owned(),
            source,
        };
        let mut child = tokio::process::Command::new("/bin/sh")
            .args(["-c", line])
            .current_dir(&self.root)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .process_group(0)
            .kill_on_drop(true)
            .spawn()
            .map_err(failed)?;
        let mut group = Group(child.id().and_then(|id| Pid::from_raw(id.cast_signed())));
        let output = child.stdout.take();
        let work = async {
            let mut bytes = Vec::new();
            if let Some(output) = output {
                output.take(MAX_BYTES + 1).read_to_end(&mut bytes).await?;
            }
            // What is more than enough is not waited for: closing the pipe ends the program.
            Ok((bytes, child.wait().await?))
        };
        let ended = tokio::time::timeout(self.command_limit, work).await;
        let (mut bytes, status) = match ended {
            Ok(ended) => {
                let ended = ended.map_err(failed)?;
                group.0 = None;
                ended
            }
            Err(_) => {
                return Err(SecretError::CommandSlow {
                    line: line.to_owned(),
                    limit: self.command_limit,
                });
            }
        };
        if !status.success() && bytes.len() as u64 <= MAX_BYTES {
            bytes.zeroize();
            return Err(SecretError::CommandFailed {
                line: line.to_owned(),
                status,
            });
        }
        text_of(bytes)
    }
}

/// The processes of a command that has not ended; they end with whoever waits for it, be it that the
/// step is stopped.
struct Group(Option<Pid>);

impl Drop for Group {
    fn drop(&mut self) {
        if let Some(group) = self.0 {
            // It may have ended in this very moment.
            let _ = kill_process_group(group, Signal::KILL);
        }
    }
}

impl fmt::Debug for SecretAccess {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SecretAccess")
            .field("root", &self.root)
            .finish_non_exhaustive()
    }
}

/// The text of a file or of a command's output, without its last line end.
fn text_of(mut bytes: Vec<u8>) -> Result<SecretString, SecretError> {
    if bytes.len() as u64 > MAX_BYTES {
        bytes.zeroize();
        return Err(SecretError::Value("is longer than 64 KiB"));
    }
    if bytes.last() == Some(&b'\n') {
        bytes.pop();
        if bytes.last() == Some(&b'\r') {
            bytes.pop();
        }
    }
    match String::from_utf8(bytes) {
        Ok(text) => Ok(SecretString::from(text)),
        Err(error) => {
            error.into_bytes().zeroize();
            Err(SecretError::Value("is no UTF-8 text"))
        }
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;
    use std::path::Path;

    use super::*;

    fn access(root: &Path) -> SecretAccess {
        SecretAccess::new(
            root.to_owned(),
            Arc::new(|name| (name == "TOKEN").then(|| "hunter2".to_owned())),
            VaultSettings::default(),
        )
    }

    async fn read(access: &SecretAccess, source: &str) -> Result<String, SecretError> {
        let source = source.parse().expect("a source");
        let value = access.read(&source).await?;
        Ok(value.expose_secret().to_owned())
    }

    fn write(path: &Path, text: &[u8], mode: u32) {
        std::fs::write(path, text).expect("written");
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).expect("set");
    }

    #[tokio::test]
    async fn every_source_gives_its_text() {
        let root = tempfile::tempdir().expect("a folder");
        write(
            &root.path().join("key.pem"),
            b"line one\nline two\r\n",
            0o640,
        );
        let access = access(root.path());
        assert_eq!(read(&access, "env:TOKEN").await.expect("set"), "hunter2");
        assert_eq!(
            read(&access, "file:key.pem").await.expect("read"),
            "line one\nline two"
        );
        assert_eq!(
            read(&access, "command:cat key.pem | head -1")
                .await
                .expect("ran"),
            "line one"
        );
        assert!(!format!("{access:?}").contains("hunter2"));
    }

    #[tokio::test]
    async fn what_must_not_be_a_secret_is_refused_and_never_shown() {
        let root = tempfile::tempdir().expect("a folder");
        let at = |name: &str| root.path().join(name);
        write(&at("open"), b"hunter2", 0o644);
        write(&at("empty"), b" \n", 0o600);
        write(&at("short"), b"abc\n", 0o600);
        write(&at("big"), &vec![b'x'; 65_537], 0o600);
        write(&at("bytes"), b"hunter2\xff\xfe", 0o600);
        let fifo = rustix::fs::mknodat(
            rustix::fs::CWD,
            at("pipe"),
            rustix::fs::FileType::Fifo,
            rustix::fs::Mode::from_raw_mode(0o600),
            0,
        );
        fifo.expect("made");
        let access = access(root.path());
        for (source, words) in [
            ("env:NOT_SET", "not set"),
            ("file:open", "read by everybody (mode 644)"),
            ("file:empty", "is empty"),
            ("file:short", "fewer than 4"),
            ("file:big", "longer than 64 KiB"),
            ("file:bytes", "no UTF-8"),
            ("file:none", "cannot be read"),
            ("file:.", "cannot be read"),
            ("file:pipe", "cannot be read"),
            ("command:echo hunter2; exit 3", "exit status: 3"),
            ("command:printf ''", "is empty"),
            ("command:yes hunter2", "longer than 64 KiB"),
        ] {
            let error = read(&access, source).await.expect_err(source);
            let text = error.to_string();
            assert!(text.contains(words), "{source}: {text}");
            let whole = format!("{error:?} {:?}", error.hint());
            assert!(
                !whole
                    .replace("echo hunter2", "")
                    .replace("yes hunter2", "")
                    .contains("hunter2")
            );
        }
    }

    #[tokio::test]
    async fn a_command_that_hangs_is_ended_with_its_children() {
        let root = tempfile::tempdir().expect("a folder");
        let mut access = access(root.path());
        access.command_limit = Duration::from_millis(500);
        let line = "command:sh -c 'echo $$ > inner; exec sleep 600' & sleep 600";
        let error = read(&access, line).await.expect_err("slow");
        let pid = std::fs::read_to_string(root.path().join("inner")).unwrap_or_default();
        let status = format!("/proc/{}/cmdline", pid.trim());
        let waiting = async {
            // A zombie has an empty command line; so has nobody.
            while !pid.is_empty() && std::fs::read(&status).is_ok_and(|line| !line.is_empty()) {
                tokio::task::yield_now().await;
            }
        };
        let ended = tokio::time::timeout(Duration::from_secs(30), waiting).await;
        assert!(ended.is_ok(), "the child goes on");
        assert!(error.is_temporary());
        assert!(
            error.to_string().contains("took longer than 500ms"),
            "{error}"
        );
    }
}
