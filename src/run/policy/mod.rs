//! Votes → verdict, and what the calendar permits (design §7). Pure: a table of rules, no clock.

mod hours;
mod quorum;
mod verdict;

pub use hours::{Hold, escalations, hold};
pub use verdict::{CastVote, Electorate, Judgement, Lack, Verdict, verdict, verdict_where};
