//! Votes → verdict, and what the calendar permits (design §7). Pure: a table of rules, no clock.

mod hours;
mod local;
#[cfg(test)]
mod properties;
mod quorum;
#[cfg(test)]
mod tests_of_hours;
#[cfg(test)]
mod tests_of_verdict;
mod verdict;

pub use hours::{Hold, escalations, hold};
pub use verdict::{CastVote, Electorate, Judgement, Lack, Verdict, verdict, verdict_where};
