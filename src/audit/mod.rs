//! Floor 3: the audit trail, a bare Git repository derived from the journal.

mod chain;
mod error;
mod files;
mod history;
mod last_change;
mod key_file;
mod logs;
mod message;
mod renderer;
mod repository;
mod ssh;
mod trail;
mod writer;

#[cfg(test)]
mod tests;

pub use error::AuditError;
pub use history::{AuditEntry, AuditFilter, log};
pub use last_change::{FileChange, last_change};
pub use key_file::KeyFile;
pub use renderer::ReportRenderer;
pub use ssh::{GIT_NAMESPACE, SigningKey, SshError, public_key, verify};
pub use trail::AuditTrail;
pub use writer::{AuditSources, AuditWriter, is_urgent};
