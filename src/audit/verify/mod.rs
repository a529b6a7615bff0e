//! Proving that the trail was not changed: the history, every run in it, votes, logs, signatures.
//!
//! It works on any clone, without the store, and changes nothing. What it can and cannot prove is in
//! `docs/audit.md`.

mod anchor;
mod commit;
mod contents;
mod history;
mod logs;
mod merge;
mod report;
mod signatures;
mod tree;
mod votes;

pub(super) use commit::run_of;
pub(super) use history::tip;
pub use history::verify_trail;
pub use report::{Finding, Signer, Verification, VerifyOptions};
pub(super) use tree::{bytes, folders};
