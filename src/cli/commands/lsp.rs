//! `runbook lsp`

use std::io::{BufReader, stdin, stdout};

use crate::cli::context::Context;
use crate::cli::error::CliError;
use crate::cli::exit::ExitStatus;
use crate::cli::workspace::registry;
use crate::lsp::{Knowledge, ServerEnd, serve};

/// Serves an editor until it goes away.
pub(super) fn run(context: &Context) -> Result<ExitStatus, CliError> {
    let knowledge = Knowledge {
        catalog: registry()?.catalog(),
        environment: context.settings.environment.clone(),
    };
    Ok(match serve(BufReader::new(stdin()), stdout(), knowledge) {
        ServerEnd::Agreed => ExitStatus::SUCCEEDED,
        ServerEnd::Abrupt => ExitStatus::FAILED,
    })
}
