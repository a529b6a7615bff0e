//! Floor 4, the hands: every built-in action, one file or folder per family.
//!
//! To add one, write its [`TypedHandler`](crate::handler::TypedHandler) and name it in
//! [`builtin_registry`].

mod approval;
mod assert;
mod file;
mod http;
mod notify;
mod registry;
mod service;
mod shell;
mod system;
mod wait;

pub(crate) use assert::same as asserted_equal;
pub use registry::builtin_registry;
