//! Floor 1, what happened: durable facts about a run, and transient progress that is never stored.
//!
//! This room lies below the engine and every display, so neither needs to know the other.

mod kind;
mod progress;
mod status;

pub use kind::{
    Actor, EventKind, Failure, FailureKind, LogRef, LoopInstance, RollbackCause, RunEvent,
    SkipReason, Vote,
};
pub use progress::{Progress, Stream};
pub use status::{Outcome, RollbackResult, RunStatus};
