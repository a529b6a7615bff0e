//! Floor 3, secrets: where their values come from, and how they are kept out of everything that stays.
//!
//! A plan names sources, never values. A value is read just before the handler that needs it is
//! called, is held in memory that is overwritten when the run's process lets go of it, and is
//! redacted from everything that a step gives back (design §4).

mod access;
mod error;
mod keeper;
mod patterns;
mod redactor;
mod stream;
mod vault;
mod wrapped;

pub use access::{EnvLookup, SecretAccess};
pub use error::SecretError;
pub use keeper::SecretKeeper;
pub use redactor::Redactor;
pub use stream::RedactedStream;
pub use vault::VaultSettings;
