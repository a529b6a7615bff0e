//! Floor 1, what happened: durable facts about a run, and transient progress that is never stored.
//!
//! This room lies below the engine and every display, so neither needs to know the other.

mod failure;
mod kind;
mod progress;
mod status;
mod telling;
mod vote;

pub use failure::{Failure, FailureKind};
pub use kind::{EventKind, LogRef, LoopInstance, RollbackCause, RunEvent, SkipReason};
pub use progress::{Progress, Stream};
pub use status::{Outcome, RollbackResult, RunStatus};
pub use vote::{
    Actor, Ballot, Difference, Emergency, LastChange, ReviewVerdict, SignedVote, VOTE_NAMESPACE,
    Vote, VoteStatement,
};
