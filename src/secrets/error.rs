//! Why a secret could not be had. No variant ever holds a value.

use std::time::Duration;

use crate::base::format_duration;

/// Why a secret could not be had.
#[derive(Debug, thiserror::Error)]
pub enum SecretError {
    /// A marker names a secret that the plan does not know.
    #[error("the plan has no secret `{0}`")]
    Unknown(String),
    /// The value cannot stand in its place.
    #[error("{0}")]
    Unfit(String),
    /// `env:` of a variable that is not set.
    #[error("the environment variable `{0}` is not set, or is empty")]
    NotSet(String),
    /// `file:` that cannot be read.
    #[error("the file `{path}` cannot be read")]
    File {
        /// Its path.
        path: String,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// `file:` that everybody may read.
    #[error("the file `{path}` may be read by everybody (mode {mode:03o})")]
    Exposed {
        /// Its path.
        path: String,
        /// Its permission bits.
        mode: u32,
    },
    /// A value that no secret may have.
    #[error("its value {0}")]
    Value(&'static str),
    /// `command:` that could not be started or waited for.
    #[error("the command `{line}` could not be run")]
    Command {
        /// The command.
        line: String,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// `command:` that failed. What it printed is not shown: it may be the secret.
    #[error("the command `{line}` ended with {status}")]
    CommandFailed {
        /// The command.
        line: String,
        /// How it ended.
        status: std::process::ExitStatus,
    },
    /// `command:` that took too long.
    #[error("the command `{line}` took longer than {}", format_duration(*.limit))]
    CommandSlow {
        /// The command.
        line: String,
        /// Its limit.
        limit: Duration,
    },
    /// `vault:` without an address or a token.
    #[error("this program was not told {0} of Vault")]
    VaultNotSet(&'static str),
    /// The address or the certificates of Vault cannot be used.
    #[error("Vault cannot be asked at `{address}`: {reason}")]
    VaultSettings {
        /// Its address.
        address: String,
        /// Why.
        reason: String,
    },
    /// Vault did not answer.
    #[error("Vault did not answer at {address}")]
    VaultAway {
        /// Its address.
        address: String,
        /// Why.
        #[source]
        source: reqwest::Error,
    },
    /// Vault refused, or has no such secret.
    #[error("Vault has no `{path}` for us: {reason}")]
    VaultRefused {
        /// The path of the secret.
        path: String,
        /// Why.
        reason: String,
        /// Whether trying again may help.
        later: bool,
    },
}

impl SecretError {
    /// Whether trying again may help: the other side was away.
    pub fn is_temporary(&self) -> bool {
        matches!(
            self,
            Self::VaultAway { .. }
                | Self::CommandSlow { .. }
                | Self::VaultRefused { later: true, .. }
        )
    }

    /// What the operator may do about it.
    pub fn hint(&self) -> Option<String> {
        Some(match self {
            Self::NotSet(name) => format!("set it before the run: export {name}=..."),
            Self::Exposed { path, .. } => format!("take that away: chmod o-rwx {path}"),
            Self::VaultNotSet(_) => {
                "set VAULT_ADDR, and VAULT_TOKEN or log in with: vault login".to_owned()
            }
            Self::Command { line, .. }
            | Self::CommandFailed { line, .. }
            | Self::CommandSlow { line, .. } => format!("try it by hand: {line}"),
            Self::VaultRefused { path, .. } => format!(
                "try it by hand: vault kv get -mount={} {}",
                path.split('/').next().unwrap_or_default(),
                path.split_once('/').map_or("", |(_, rest)| rest)
            ),
            _ => return None,
        })
    }
}
