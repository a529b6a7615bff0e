//! The store in one SQLite file, shared by several processes.

mod convert;
mod error;
mod open;
mod read;
mod store;
mod write;
mod writer;

#[cfg(test)]
mod tests;

pub use store::SqliteStore;
