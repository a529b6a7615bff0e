//! How a run stands, and how it ended.

use std::fmt;

use serde::{Deserialize, Serialize};

/// How a run stands; a view of the state for lists.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RunStatus {
    /// Steps run or are due.
    Running,
    /// Nothing runs; at least one gate waits.
    Waiting,
    /// Running steps are being ended.
    Stopping,
    /// Completed steps are being undone.
    RollingBack,
    /// `finally` steps run.
    Finishing,
    /// It is over: see the outcome.
    Finished,
}

impl fmt::Display for RunStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Running => "running",
            Self::Waiting => "waiting",
            Self::Stopping => "stopping",
            Self::RollingBack => "rolling back",
            Self::Finishing => "finishing",
            Self::Finished => "finished",
        })
    }
}

/// How a run ended (design §5). Each has its exit code.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// Every step succeeded or was skipped by its condition.
    Succeeded,
    /// Over, but a failure was tolerated or a `finally` step failed.
    CompletedWithExceptions,
    /// A step failed; what was done stays done.
    Failed,
    /// A step failed; everything that can be undone is undone.
    RolledBack,
    /// The rollback is incomplete, or a step's fate is unknown.
    Stuck,
    /// A gate was rejected.
    Rejected,
    /// A gate was not approved in time.
    Expired,
    /// Somebody ended it.
    Cancelled,
}

impl Outcome {
    /// The process exit code.
    pub fn exit_code(self) -> u8 {
        match self {
            Self::Succeeded => 0,
            Self::Failed => 1,
            Self::RolledBack => 5,
            Self::Stuck => 6,
            Self::Rejected | Self::Expired => 7,
            Self::Cancelled => 8,
            Self::CompletedWithExceptions => 10,
        }
    }

    /// The wire name, as `run.outcome` shows it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Succeeded => "succeeded",
            Self::CompletedWithExceptions => "completed_with_exceptions",
            Self::Failed => "failed",
            Self::RolledBack => "rolled_back",
            Self::Stuck => "stuck",
            Self::Rejected => "rejected",
            Self::Expired => "expired",
            Self::Cancelled => "cancelled",
        }
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Succeeded => "succeeded",
            Self::CompletedWithExceptions => "completed with exceptions",
            Self::Failed => "failed",
            Self::RolledBack => "failed, rolled back",
            Self::Stuck => "stuck",
            Self::Rejected => "rejected",
            Self::Expired => "expired",
            Self::Cancelled => "cancelled",
        })
    }
}

/// What became of the rollback; separate from the outcome.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RollbackResult {
    /// None was due.
    None,
    /// Everything that can be undone is undone.
    Complete,
    /// At least one undo failed or was not tried.
    Incomplete,
}
