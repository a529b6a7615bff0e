//! What is to be done next. Pure: equal state, limits and time give equal commands.

mod command;
mod decider;
mod finish;
mod gates;
mod given;
mod parts;
mod rewind;
mod rollback;
mod steps;
mod wind_down;

pub use command::{CallKind, Command, Limits, Target, idempotency_key};
pub use decider::decide;
pub(super) use given::fitting;
