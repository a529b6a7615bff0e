//! Floor 7, the command line: one file per command; words and exit codes of errors in one place.

pub mod args;
mod audit_policy;
mod booth;
mod commands;
mod context;
mod error;
mod exit;
mod output;
mod recorder;
mod remote_record;
mod run;
mod runtime;
mod starting;
mod surroundings;
mod vote_args;
mod watch;
mod workspace;

pub use context::Context;
pub use error::{CliError, ErrorKind};
pub use exit::{EXIT_CODES, ExitStatus};
pub use output::{OutputFormat, Printer};
pub use run::run;
