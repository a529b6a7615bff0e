//! `runbook`: a declarative runbook execution engine.
//!
//! The rooms and their floors are in `docs/design/house.md`; a room imports only rooms on lower
//! floors, and `tests/it/architecture.rs` holds it to that. The library neither prints, nor reads
//! the environment, nor exits: the door (`settings`, `cli`, `main.rs`) does.

pub mod audit;
pub mod base;
pub mod check;
pub mod cli;
pub mod engine;
pub mod event;
pub mod handler;
pub mod handlers;
pub mod language;
pub mod lsp;
pub mod model;
pub mod plan;
pub mod report;
pub mod run;
pub mod secrets;
pub mod settings;
pub mod simulate;
pub mod store;
