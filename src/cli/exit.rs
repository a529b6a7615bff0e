//! The exit codes: fixed for good, since scripts rely on them.

use std::process::ExitCode;

use crate::engine::RunEnd;
use crate::event::Outcome;

/// How the process ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use]
pub struct ExitStatus(u8);

impl ExitStatus {
    /// It worked.
    pub const SUCCEEDED: Self = Self(0);
    /// It failed; for a run: a step failed and the run stopped.
    pub const FAILED: Self = Self(1);
    /// The command line cannot be used as it is.
    pub const USAGE: Self = Self(2);
    /// The runbook, environment or policy is invalid.
    pub const INVALID: Self = Self(3);
    /// The run waits for approval.
    pub const WAITING: Self = Self(4);
    /// The policy, or somebody whom it asks, says no.
    pub const REJECTED: Self = Self(7);
    /// The journal, the state directory or the audit trail cannot be read or written.
    pub const RECORD: Self = Self(9);
    /// A mistake of this program (`EX_SOFTWARE` of sysexits).
    pub const BUG: Self = Self(70);
    /// The reader of our output went away, as a program that SIGPIPE ended (128 + 13).
    pub const BROKEN_PIPE: Self = Self(141);

    /// The number.
    pub fn code(self) -> u8 {
        self.0
    }
}

impl From<Outcome> for ExitStatus {
    fn from(outcome: Outcome) -> Self {
        Self(outcome.exit_code())
    }
}

impl From<&RunEnd> for ExitStatus {
    fn from(end: &RunEnd) -> Self {
        Self(end.exit_code())
    }
}

impl From<ExitStatus> for ExitCode {
    fn from(status: ExitStatus) -> Self {
        Self::from(status.0)
    }
}

/// Every exit code and what it means, as `runbook --help` and the README show it.
pub const EXIT_CODES: [(u8, &str); 12] = [
    (0, "succeeded"),
    (1, "failed and stopped"),
    (2, "the command line cannot be used"),
    (3, "invalid runbook, environment or policy"),
    (4, "waiting for approval"),
    (5, "failed, rolled back"),
    (6, "stuck: rollback incomplete, or a step interrupted"),
    (
        7,
        "rejected, by a person or by the policy, or the approval expired",
    ),
    (8, "cancelled"),
    (9, "journal or audit trail cannot be written"),
    (10, "completed with exceptions"),
    (70, "a bug of runbook"),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_status_is_listed_once() {
        let codes: Vec<u8> = EXIT_CODES.iter().map(|(code, _)| *code).collect();
        assert!(codes.is_sorted_by(|a, b| a < b));
        for status in [
            ExitStatus::SUCCEEDED,
            ExitStatus::FAILED,
            ExitStatus::USAGE,
            ExitStatus::INVALID,
            ExitStatus::WAITING,
            ExitStatus::RECORD,
            ExitStatus::BUG,
            Outcome::RolledBack.into(),
            Outcome::Stuck.into(),
            Outcome::Rejected.into(),
            Outcome::Cancelled.into(),
            Outcome::CompletedWithExceptions.into(),
        ] {
            assert!(codes.contains(&status.code()), "{status:?}");
        }
    }
}
