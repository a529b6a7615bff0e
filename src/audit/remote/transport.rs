//! Stock `git` as the carrier.

use std::io;
use std::os::unix::process::{CommandExt as _, ExitStatusExt as _};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process_group};

use crate::audit::error::AuditError;
use crate::base::RunId;

/// Where the remote's branch was when it was last seen.
pub(super) const SEEN: &str = "refs/remotes/audit/main";

/// Nobody waits longer than this for a remote that does not answer, unless a person watches.
const LIMIT: Duration = Duration::from_secs(60);

/// Why a remote could not be used. The trail and the journal are not touched by any of these.
#[derive(Debug, thiserror::Error)]
pub enum RemoteError {
    /// There is no `git` here.
    #[error("`git` is not installed, and it carries the audit trail to its remote")]
    NoGit(#[source] io::Error),
    /// Git said no.
    #[error("cannot {action} the audit remote `{url}`: {said}")]
    Git {
        /// What was tried.
        action: &'static str,
        /// The remote.
        url: String,
        /// The last lines of what git printed.
        said: String,
    },
    /// Git was ended because it took too long.
    #[error("the audit remote `{url}` did not answer within {seconds} s")]
    NoAnswer {
        /// The remote.
        url: String,
        /// How long it was waited for.
        seconds: u64,
    },
    /// The remote's branch no longer holds what it held.
    #[error(
        "the audit remote `{url}` was rewritten: its branch `main` held {before} and does not any more"
    )]
    Rewritten {
        /// The remote.
        url: String,
        /// The commit that is gone.
        before: String,
    },
    /// Both sides have the same run, and neither goes on where the other ends.
    #[error("the audit remote `{url}` has another record of run {run}")]
    Diverged {
        /// The remote.
        url: String,
        /// The run.
        run: RunId,
    },
    /// Other hosts kept pushing while we tried to.
    #[error("the audit remote `{url}` keeps changing; try again")]
    Busy {
        /// The remote.
        url: String,
    },
    /// What a voter is to send is no vote.
    #[error("this is no signed vote")]
    NotAVote(#[source] serde_json::Error),
    /// The trail on this host failed.
    #[error(transparent)]
    Audit(#[from] AuditError),
}

/// A remote of the trail: a URL or path that stock `git` understands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Remote {
    url: String,
    /// Whether git may ask a person for a password.
    may_ask: bool,
}

impl Remote {
    /// A remote by its URL or absolute path. `may_ask`: a person sits at the terminal.
    pub fn new(url: &str, may_ask: bool) -> Self {
        Self {
            url: url.to_owned(),
            may_ask,
        }
    }

    /// Its URL or path.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Runs git on the bare repository at `trail`. `Ok` only when it succeeded.
    pub(super) fn git(
        &self,
        trail: &Path,
        action: &'static str,
        arguments: &[&str],
    ) -> Result<String, RemoteError> {
        let output = self.start(trail, arguments)?;
        if output.status.success() {
            return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
        }
        if output.status.signal() == Some(9) {
            return Err(RemoteError::NoAnswer {
                url: self.url.clone(),
                seconds: LIMIT.as_secs(),
            });
        }
        let said = String::from_utf8_lossy(&output.stderr);
        let lines: Vec<&str> = said
            .lines()
            .map(str::trim)
            .filter(|line| !line.is_empty() && !line.starts_with("hint:"))
            .collect();
        Err(RemoteError::Git {
            action,
            url: self.url.clone(),
            said: lines[lines.len().saturating_sub(3)..].join("; "),
        })
    }

    fn start(&self, trail: &Path, arguments: &[&str]) -> Result<Output, RemoteError> {
        let mut git = Command::new("git");
        git.arg("--git-dir")
            .arg(trail)
            .args(arguments)
            // The messages are looked at.
            .env("LC_ALL", "C")
            .env_remove("GIT_DIR")
            .env_remove("GIT_WORK_TREE")
            .env_remove("GIT_INDEX_FILE")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        if self.may_ask {
            return git.output().map_err(RemoteError::NoGit);
        }
        git.env("GIT_TERMINAL_PROMPT", "0")
            .env("SSH_ASKPASS_REQUIRE", "never")
            .env("GIT_ASKPASS", "true")
            // A Ctrl-C at the terminal is meant for the run, not for this.
            .process_group(0);
        let child = git.spawn().map_err(RemoteError::NoGit)?;
        let group = i32::try_from(child.id()).ok().and_then(Pid::from_raw);
        let (done, ended) = mpsc::channel::<()>();
        let watch = std::thread::spawn(move || {
            if ended.recv_timeout(LIMIT) == Err(RecvTimeoutError::Timeout)
                && let Some(group) = group
            {
                // It was alive a moment ago, and its number is not free until it is waited for below.
                let _ = kill_process_group(group, Signal::KILL);
            }
        });
        let output = child.wait_with_output();
        drop(done);
        let _ = watch.join();
        output.map_err(RemoteError::NoGit)
    }

    /// The refs of the remote below a pattern: name and object, in order of their names.
    pub(super) fn list(
        &self,
        trail: &Path,
        pattern: &str,
    ) -> Result<Vec<(String, String)>, RemoteError> {
        let listed = self.git(trail, "read", &["ls-remote", "--quiet", &self.url, pattern])?;
        Ok(listed
            .lines()
            .filter_map(|line| line.split_once('\t'))
            .map(|(object, name)| (name.to_owned(), object.to_owned()))
            .collect())
    }

    /// Fetches refs of the remote.
    pub(super) fn fetch(&self, trail: &Path, refspecs: &[String]) -> Result<(), RemoteError> {
        let mut arguments = vec!["fetch", "--quiet", "--no-tags", "--no-write-fetch-head"];
        arguments.push(&self.url);
        arguments.extend(refspecs.iter().map(String::as_str));
        self.git(trail, "fetch from", &arguments).map(drop)
    }
}

/// The folder of a trail, made when it is missing, as one that git may work in.
pub(super) fn absolute(path: &Path) -> Result<PathBuf, RemoteError> {
    std::path::absolute(path)
        .map_err(|error| AuditError::file("find", path, error))
        .map_err(RemoteError::from)
}
