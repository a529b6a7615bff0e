//! Floor 7, an editor's window: a language server over standard input and output.

mod loose;
mod position;
mod transport;
