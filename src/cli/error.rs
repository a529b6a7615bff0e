//! The one place that turns every room's error into words, next commands and an exit code.

use std::io;

use serde_json::json;

use super::exit::ExitStatus;
use crate::audit::{AuditError, RemoteError};
use crate::base::{Diagnostic, ErrorChain, Value};
use crate::engine::EngineError;
use crate::report::{diagnostics_json, diagnostics_summary};
use crate::settings::SettingsError;
use crate::store::{FindRunError, StoreError};

/// What to do about a mistake of ours.
const REPORT_IT: &str = "this is a mistake in runbook itself; report it with the text above";

/// Whose move it is after an error.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ErrorKind {
    /// The user typed something that cannot be used.
    Usage,
    /// A file of the repository is invalid.
    Invalid,
    /// The policy does not allow it, or not now. Nothing was started.
    Rejected,
    /// It was tried and failed.
    Failed,
    /// The record (journal, state directory, audit trail) cannot be read or written.
    Record,
    /// A mistake of this program.
    Bug,
    /// The reader of our output went away. Nobody is told.
    BrokenPipe,
}

impl ErrorKind {
    /// The exit code.
    pub fn status(self) -> ExitStatus {
        match self {
            Self::Usage => ExitStatus::USAGE,
            Self::Invalid => ExitStatus::INVALID,
            Self::Rejected => ExitStatus::REJECTED,
            Self::Failed => ExitStatus::FAILED,
            Self::Record => ExitStatus::RECORD,
            Self::Bug => ExitStatus::BUG,
            Self::BrokenPipe => ExitStatus::BROKEN_PIPE,
        }
    }

    /// The name in JSON.
    fn name(self) -> &'static str {
        match self {
            Self::Usage => "usage",
            Self::Invalid => "invalid",
            Self::Rejected => "rejected",
            Self::Failed => "failed",
            Self::Record => "record",
            Self::Bug => "bug",
            Self::BrokenPipe => "broken_pipe",
        }
    }
}

/// Why a command could not do its work, as the user is told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CliError {
    /// Whose move it is.
    pub kind: ErrorKind,
    /// What failed and why.
    pub chain: ErrorChain,
    /// What to do next, each a command to type or a short sentence.
    pub next: Vec<String>,
    /// What is wrong in the files, with places; shown before the message.
    pub findings: Vec<Diagnostic>,
}

impl CliError {
    /// An error in our own words.
    pub fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        Self {
            kind,
            chain: ErrorChain::new(message),
            next: Vec::new(),
            findings: Vec::new(),
        }
    }

    /// An error in a room's words, with its causes.
    pub fn from_error(kind: ErrorKind, error: &(dyn std::error::Error + 'static)) -> Self {
        Self {
            kind,
            chain: ErrorChain::from_error(error),
            next: Vec::new(),
            findings: Vec::new(),
        }
    }

    /// Files with mistakes in them.
    pub fn invalid(findings: Vec<Diagnostic>) -> Self {
        let summary = diagnostics_summary(&findings).unwrap_or_default();
        Self {
            findings,
            ..Self::new(ErrorKind::Invalid, summary)
        }
    }

    /// A mistake of ours.
    pub fn bug(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Bug, message).next(REPORT_IT)
    }

    /// What standard output said.
    pub(super) fn output(error: io::Error) -> Self {
        if error.kind() == io::ErrorKind::BrokenPipe {
            return Self::new(ErrorKind::BrokenPipe, "the reader of the output went away");
        }
        Self::new(ErrorKind::Failed, "cannot write to standard output").because(&error)
    }

    /// Adds a cause with its own causes.
    #[must_use]
    pub fn because(mut self, error: &(dyn std::error::Error + 'static)) -> Self {
        let cause = ErrorChain::from_error(error);
        self.chain.causes.push(cause.message);
        self.chain.causes.extend(cause.causes);
        self
    }

    /// Adds what to do next.
    #[must_use]
    pub fn next(mut self, next: impl Into<String>) -> Self {
        self.next.push(next.into());
        self
    }

    /// For people.
    pub fn text(&self) -> String {
        let mut lines = vec![format!("error: {}", self.chain.message)];
        lines.extend(
            self.chain
                .causes
                .iter()
                .map(|cause| format!("  caused by: {cause}")),
        );
        lines.extend(self.next.iter().map(|next| format!("  next: {next}")));
        lines.join("\n")
    }

    /// For programs.
    pub fn json(&self) -> Value {
        json!({
            "error": {
                "kind": self.kind.name(),
                "exit_code": self.kind.status().code(),
                "message": self.chain.message,
                "causes": self.chain.causes,
                "next": self.next,
                "diagnostics": diagnostics_json(&self.findings),
            }
        })
    }
}

impl From<SettingsError> for CliError {
    fn from(error: SettingsError) -> Self {
        let kind = match &error {
            SettingsError::NoRepository { .. } | SettingsError::Directory { .. } => {
                ErrorKind::Usage
            }
            SettingsError::Key { .. } | SettingsError::UnlistedKey { .. } => ErrorKind::Usage,
            SettingsError::List { .. } | SettingsError::Signing { .. } => ErrorKind::Failed,
            SettingsError::StateDir { .. } => ErrorKind::Record,
            SettingsError::Process { .. } => ErrorKind::Failed,
        };
        let cli = Self::from_error(kind, &error);
        match error {
            SettingsError::NoRepository { .. } => cli.next("runbook init"),
            SettingsError::StateDir { .. } => {
                cli.next("name a directory that can be written: runbook --state-dir DIR …")
            }
            SettingsError::Process { .. } => cli.next("mount /proc; runbook needs it"),
            SettingsError::Directory { .. } => {
                cli.next("name a folder that is there: runbook --directory DIR …")
            }
            SettingsError::Key { path, .. } => {
                cli.next(format!("ssh-keygen -l -f {}", path.display()))
            }
            SettingsError::UnlistedKey { public, .. } => cli
                .next("name another key: --key FILE")
                .next(format!(
                    "or have it listed in runbooks/policy.yaml before the run is started, at people.NAME.ssh_keys: {public}"
                )),
            SettingsError::Signing { .. } => cli
                .next("try the key: ssh-keygen -Y sign -n test -f KEY < /dev/null")
                .next("a key with a passphrase can be given to an agent: ssh-add KEY"),
            SettingsError::List { path, .. } => cli.next(format!("ls -la {}", path.display())),
        }
    }
}

impl From<StoreError> for CliError {
    fn from(error: StoreError) -> Self {
        let cli = Self::from_error(ErrorKind::Record, &error);
        match error {
            StoreError::Unavailable { path, .. } => cli
                .next(format!("ls -la {path}; df -h {path}"))
                .next("or name another directory: runbook --state-dir DIR …"),
            StoreError::TooNew { .. } => {
                cli.next("use the newer runbook that wrote it: runbook version")
            }
            StoreError::Conflict { run, .. } => cli.next(format!("runbook status {run}")),
            StoreError::Corrupt { .. } => {
                cli.next("keep the file for a look at it, and name another directory: runbook --state-dir DIR …")
            }
            StoreError::UnknownRun(_) | StoreError::Closed => cli.next("runbook runs"),
        }
    }
}

impl From<FindRunError> for CliError {
    fn from(error: FindRunError) -> Self {
        let text = error.to_string();
        let cli = Self::new(ErrorKind::Usage, text);
        match error {
            FindRunError::Store(store) => store.into(),
            FindRunError::Unknown(_) => cli.next("runbook runs"),
            FindRunError::Empty => cli.next("runbook exec RUNBOOK"),
            FindRunError::Ambiguous { matches, .. } => matches
                .iter()
                .fold(cli, |cli, run| cli.next(format!("runbook status {run}"))),
        }
    }
}

impl From<AuditError> for CliError {
    fn from(error: AuditError) -> Self {
        let cli = Self::from_error(ErrorKind::Record, &error);
        match error {
            AuditError::Store(store) => store.into(),
            AuditError::Diverged { .. } => cli.next(
                "move the trail aside, the next run derives it again: mv .runbook/audit.git .runbook/audit.old",
            ),
            AuditError::NotRestored { run, .. } => {
                cli.next(format!("runbook audit verify {run}"))
            }
            AuditError::Missing { .. } => cli.next("runbook audit log"),
            AuditError::NoBundle { path, .. } => cli.next(format!("git bundle verify {path}")),
            _ => cli
                .next("the journal has everything still; the next run tries again")
                .next("df -h; ls -la .runbook/audit.git"),
        }
    }
}

impl From<RemoteError> for CliError {
    fn from(error: RemoteError) -> Self {
        let cli = Self::from_error(ErrorKind::Record, &error);
        match error {
            RemoteError::Audit(audit) => audit.into(),
            RemoteError::NoGit(_) => {
                cli.next("install git, or carry the trail another way: runbook audit export")
            }
            RemoteError::Rewritten { url, before } => cli
                .next(format!("runbook audit verify --remote {url}"))
                .next(format!(
                    "the commit {before} is here still; find out who rewrote the remote"
                )),
            RemoteError::Diverged { run, .. } => cli
                .next(format!("runbook audit verify {run}"))
                .next("one of the two records was changed by hand; nothing was pushed"),
            RemoteError::Git { url, .. } | RemoteError::NoAnswer { url, .. } => {
                cli.next(format!("git ls-remote {url}"))
            }
            RemoteError::Busy { .. } => cli.next("runbook audit push"),
            RemoteError::NotAVote(_) => cli,
        }
    }
}

impl From<EngineError> for CliError {
    fn from(error: EngineError) -> Self {
        let kind = match &error {
            EngineError::Journal(_) | EngineError::Log { .. } | EngineError::Damaged { .. } => {
                ErrorKind::Record
            }
            EngineError::Held { .. } | EngineError::Finished { .. } | EngineError::Unknown(_) => {
                ErrorKind::Usage
            }
            EngineError::Illegal(_) | EngineError::Panicked(_) => ErrorKind::Bug,
        };
        let cli = Self::from_error(kind, &error);
        match error {
            EngineError::Journal(store) => {
                let next = Self::from(store).next;
                Self { next, ..cli }
            }
            EngineError::Log { path, .. } => cli.next(format!("df -h {path}")),
            EngineError::Held { run, .. }
            | EngineError::Finished { run, .. }
            | EngineError::Damaged { run, .. } => cli.next(format!("runbook status {run}")),
            EngineError::Unknown(_) => cli.next("runbook runs"),
            EngineError::Illegal(_) | EngineError::Panicked(_) => cli.next(REPORT_IT),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::RunId;

    #[test]
    fn a_store_that_cannot_be_written_ends_with_its_own_code_and_a_command() {
        let error = CliError::from(StoreError::Unavailable {
            action: "open",
            path: "/s/state.db".to_owned(),
            source: Box::new(io::Error::from(io::ErrorKind::PermissionDenied)),
        });
        assert_eq!(error.kind.status(), ExitStatus::RECORD);
        assert_eq!(
            error.text(),
            "error: cannot open `/s/state.db`\n  caused by: permission denied\n  \
             next: ls -la /s/state.db; df -h /s/state.db\n  \
             next: or name another directory: runbook --state-dir DIR …"
        );
        assert_eq!(error.json()["error"]["exit_code"], 9);
    }

    #[test]
    fn an_ambiguous_prefix_lists_the_runs() {
        let error = CliError::from(FindRunError::Ambiguous {
            prefix: "01".to_owned(),
            matches: vec![RunId::from_parts(2, 0), RunId::from_parts(1, 0)],
        });
        assert_eq!(error.kind, ErrorKind::Usage);
        assert_eq!(error.chain.message, "`01` is the start of several run ids");
        assert_eq!(error.next[0], "runbook status 00000000020000000000000000");
    }

    #[test]
    fn a_store_error_behind_a_search_stays_a_store_error() {
        let error = CliError::from(FindRunError::Store(StoreError::Closed));
        assert_eq!(error.kind, ErrorKind::Record);
    }

    #[test]
    fn a_reader_that_went_away_is_no_failure_to_speak_of() {
        let error = CliError::output(io::ErrorKind::BrokenPipe.into());
        assert_eq!(error.kind.status(), ExitStatus::BROKEN_PIPE);
        let full = CliError::output(io::ErrorKind::StorageFull.into());
        assert_eq!(full.kind.status(), ExitStatus::FAILED);
    }
}
