//! Floor 2, the pure core: what a run's state is, and what is to be done next.
//!
//! [`RunState::apply`] folds events; [`decide`] answers with commands; [`settle`] turns what a
//! handler gave into an event. None of them knows a clock, does I/O or draws a random number, so
//! the engine, the simulator and a replay share them.

mod confirm;
mod decide;
mod defs;
mod eval;
mod frame;
mod gate;
mod node;
mod policy;
mod preview;
mod retry;
mod send_back;
mod settle;
mod state;
#[cfg(test)]
mod tests;
mod transition;
mod view;

pub use decide::{CallKind, Command, Limits, Target, decide, idempotency_key};
pub use node::{Halt, Node, NodeKind, NodeStatus, Phase, Stage, Undo};
pub use policy::{
    CastVote, Electorate, Hold, Judgement, Lack, Verdict, escalations, hold, verdict, verdict_where,
};
pub use settle::{Finished, settle};
pub use state::{IllegalTransition, RunState};
pub use view::GateView;

/// Builders of plans for tests of this room and of the engine.
#[cfg(test)]
pub(crate) mod testing {
    pub(crate) use super::tests::sim::{action, gate, plan, step};
}
