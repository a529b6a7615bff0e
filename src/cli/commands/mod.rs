//! One file per command or family of commands.

mod actions;
mod audit;
mod cancel;
mod check;
mod completions;
mod dispatch;
mod exec;
mod explain;
mod inbox;
mod init;
mod logs;
mod lsp;
mod obligations;
mod plan;
mod repository;
mod review;
mod runs;
mod schema;
mod test;
mod version;
mod vote;

pub(super) use dispatch::dispatch;
pub(super) use vote::seal;
