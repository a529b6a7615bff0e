//! Floor 3: the audit trail, a bare Git repository derived from the journal.

mod chain;
mod error;
mod export;
mod files;
mod history;
mod key_file;
mod last_change;
mod logs;
mod message;
mod prune;
mod remote;
mod renderer;
mod repository;
mod restore;
mod ssh;
mod trail;
mod verify;
mod writer;

#[cfg(test)]
mod tests;

pub use error::AuditError;
pub use export::{Exported, export, unbundle};
pub use history::{AuditEntry, AuditFilter, log, recorded_logs};
pub use key_file::KeyFile;
pub use last_change::{FileChange, last_change};
pub use prune::{Pruned, prune};
pub use remote::{
    LOOK_FOR_VOTES, LinkParts, PushReport, Remote, RemoteError, RemoteLink, RemoteVote, Votes,
    cast_vote, fetch_votes, mirror, push,
};
pub use renderer::ReportRenderer;
pub use restore::{Restored, restore_store};
pub use ssh::{GIT_NAMESPACE, SigningKey, SshError, public_key, verify};
pub use trail::AuditTrail;
pub use verify::{Finding, Signer, Verification, VerifyOptions, verify_trail};
pub use writer::{AuditSources, AuditWriter, is_urgent};
