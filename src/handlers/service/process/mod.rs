//! The provider `process`: a program on this machine, started by us and outliving us.

mod config;
mod drain;
mod home;
mod lifecycle;
mod log_scan;
mod preview;
mod probe;
mod provider;
#[cfg(test)]
mod tests;

pub(super) use provider::ProcessProvider;
