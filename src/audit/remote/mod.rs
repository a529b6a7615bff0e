//! A remote of the trail: pushing to it, merging with other hosts, and votes that travel through it.
//!
//! What goes over a network goes through stock `git`, so that its ways to log in (agents, helpers,
//! hosts' settings) all work. What is written here is written by us.

mod link;
mod merge;
mod push;
mod transport;
mod votes;

#[cfg(test)]
mod tests;

pub use link::{LOOK_FOR_VOTES, LinkParts, RemoteLink, Votes};
pub use push::{PushReport, push};
pub use transport::{Remote, RemoteError};
pub use votes::{RemoteVote, cast_vote, fetch_votes, mirror};
