//! Floor 5, the impure half of a run: a loop around the pure core that journals, calls and waits.
//!
//! One dispatcher per run ([`Engine`] starts it) linearises everything; one worker per attempt
//! calls the handler. The only output is a stream of [`crate::event::Progress`].

mod caller;
mod control;
mod dispatcher;
mod dry_run;
mod dry_scope;
mod error;
mod log;
mod owner;
mod progress;
mod secrets;
mod start;
mod survey;
#[cfg(test)]
mod tests;
mod votes;
mod worker;

pub(crate) use caller::environment_view;
pub use control::{Control, RunEnd, RunHandle};
pub use dry_run::{DryRunStep, DryRunVerdict, dry_run};
pub use error::EngineError;
pub use owner::{is_alive, start_time};
pub use progress::ProgressReceiver;
pub use start::{Engine, EngineParts, OnDurable, RunOptions, Start};
pub use survey::Surroundings;
pub use votes::{Incoming, NotHeard, hear};
