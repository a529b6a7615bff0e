//! Floor 5: runbooks run without effects: the pure core on a virtual clock with scripted results.
//!
//! A case says what the actions give and what must come of it. The fault sweep makes everything go
//! wrong in turn and holds the runs to the rules, told once more by the oracle.

mod case;
mod defaults;
mod driver;
mod expect;
mod facts;
mod fault;
mod oracle;
mod real;
mod repeat;
mod static_check;
mod steps;
mod story;
mod stretch;
mod sweep;
#[cfg(test)]
mod tests;
#[cfg(test)]
mod tests_of_gates;
mod votes;
mod world;

pub use case::{CaseResult, PreparedCase};
pub use real::{RealParts, real_repeat_sweep};
pub use repeat::repeat_sweep;
pub use story::StoryLine;
pub use sweep::{SweepFinding, SweepReport, fault_sweep};
