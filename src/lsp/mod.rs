//! Floor 7, an editor's window: a language server over standard input and output.
//!
//! `server` and `transport` know the protocol; the others answer from a text and a place in it. One
//! file per question.

mod capabilities;
mod completion;
mod cursor;
mod definition;
mod diagnostics;
mod document;
mod expression;
mod fix;
mod hover;
mod loose;
mod names;
mod position;
mod project;
mod server;
mod subject;
mod symbols;
mod transport;
mod tree;

#[cfg(test)]
mod tests;

pub use server::{Knowledge, ServerEnd, serve};
