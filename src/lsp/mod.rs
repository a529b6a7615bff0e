//! Floor 7, an editor's window: a language server over standard input and output.

mod cursor;
mod expression;
mod loose;
mod names;
mod position;
mod project;
mod subject;
mod transport;
mod tree;
