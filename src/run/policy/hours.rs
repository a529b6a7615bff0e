//! What days and hours permit.

use crate::base::Timestamp;
use crate::plan::PlanPolicy;

/// Why nothing may be released now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hold {
    /// When that ends; `None` when no end is known.
    pub until: Option<Timestamp>,
    /// What it is: `freeze "year end"`, `outside the change windows`.
    pub reason: String,
}

/// Why no change may be made at `now`; `None` when one may.
pub fn hold(_policy: &PlanPolicy, _now: Timestamp) -> Option<Hold> {
    None
}

/// When each level of the escalation chain is due for a gate that opened at `opened_at`, first to
/// last, and last when the answer to the last level is due; empty without a chain.
pub fn escalations(_policy: &PlanPolicy, _opened_at: Timestamp) -> Vec<Timestamp> {
    Vec::new()
}
