//! Why something failed, as data.

use serde::{Deserialize, Serialize};

use crate::base::ErrorChain;

/// Why an attempt failed, as data.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failure {
    /// Which sort, for `retry.on`.
    pub sort: FailureKind,
    /// What and why.
    pub error: ErrorChain,
    /// What the operator may do about it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hint: Option<String>,
    /// The last lines of what the step or its service printed.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub log_tail: Vec<String>,
}

/// Sorts of failure; the names are those of `retry.on`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FailureKind {
    /// The action failed.
    Error,
    /// A program ended with an exit code that does not mean success.
    Exit,
    /// The other side did not answer (refused, unreachable, 5xx).
    Unavailable,
    /// It took longer than `timeout`.
    Timeout,
    /// A service is not healthy.
    Unhealthy,
    /// `verify` or `assert` did not hold.
    Verify,
    /// The inputs or the configuration are wrong; trying again cannot help.
    Invalid,
    /// A person or the run's end stopped it.
    Cancelled,
}

impl FailureKind {
    /// Every kind, in order of declaration.
    pub const ALL: [Self; 8] = [
        Self::Error,
        Self::Exit,
        Self::Unavailable,
        Self::Timeout,
        Self::Unhealthy,
        Self::Verify,
        Self::Invalid,
        Self::Cancelled,
    ];

    /// The name in `retry.on`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Error => "error",
            Self::Exit => "exit",
            Self::Unavailable => "unavailable",
            Self::Timeout => "timeout",
            Self::Unhealthy => "unhealthy",
            Self::Verify => "verify",
            Self::Invalid => "invalid",
            Self::Cancelled => "cancelled",
        }
    }
}
