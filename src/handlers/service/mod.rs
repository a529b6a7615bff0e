//! `service.*`: whatever can be started and stopped, by its provider.

mod actions;
mod process;
mod provider;
mod report;

pub(super) use actions::{Drain, Health, Logs, Restart, Resume, Start, Status, Stop};
pub(super) use provider::Providers;
