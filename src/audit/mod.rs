//! Floor 3: the audit trail, a bare Git repository derived from the journal.

mod error;
mod files;
mod history;
mod logs;
mod message;
mod remote;
mod renderer;
mod repository;
mod ssh;
mod trail;
mod writer;

#[cfg(test)]
mod tests;

pub use error::AuditError;
pub use history::{AuditEntry, AuditFilter, log};
pub use remote::{
    LOOK_FOR_VOTES, LinkParts, PushReport, Remote, RemoteError, RemoteLink, RemoteVote, Votes,
    cast_vote, fetch_votes, push,
};
pub use renderer::ReportRenderer;
pub use ssh::{GIT_NAMESPACE, SigningKey, SshError, public_key, verify};
pub use trail::AuditTrail;
pub use writer::{AuditSources, AuditWriter, is_urgent};
