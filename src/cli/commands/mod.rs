//! One file per command or family of commands.

mod actions;
mod audit;
mod check;
mod completions;
mod dispatch;
mod exec;
mod explain;
mod init;
mod logs;
mod lsp;
mod plan;
mod repository;
mod runs;
mod schema;
mod test;
mod version;
mod vote;

pub(super) use dispatch::dispatch;
