//! From the parsed command to its file.

use super::{completions, init, version};
use crate::cli::args::Command;
use crate::cli::context::Context;
use crate::cli::error::CliError;
use crate::cli::exit::ExitStatus;

/// Runs the command.
pub(in crate::cli) fn dispatch(
    context: &Context,
    command: &Command,
) -> Result<ExitStatus, CliError> {
    match command {
        Command::Init => init::run(context),
        Command::Completions(args) => completions::run(context, args),
        Command::Version => version::run(context),
    }
}
