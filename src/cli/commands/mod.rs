//! One file per command.

mod completions;
mod dispatch;
mod init;
mod version;

pub(super) use dispatch::dispatch;
