//! `runbook explain`

use serde_json::json;

use crate::base::did_you_mean;
use crate::check::{CODES, explain};
use crate::cli::args::ExplainArgs;
use crate::cli::context::Context;
use crate::cli::error::{CliError, ErrorKind};
use crate::cli::exit::ExitStatus;
use crate::language;

pub(super) fn run(context: &Context, args: &ExplainArgs) -> Result<ExitStatus, CliError> {
    let Some(page) = explain(&args.code) else {
        let known = language::codes::CODES
            .iter()
            .chain(CODES)
            .map(|page| page.code.0);
        let error = CliError::new(
            ErrorKind::Usage,
            format!("there is no code `{}`", args.code),
        );
        return Err(match did_you_mean(&args.code, known) {
            Some(near) => error.next(format!("did you mean `{near}`?")),
            None => error.next("codes look like RB0103; a finding ends with its code"),
        });
    };
    if context.out.is_json() {
        context
            .out
            .json(&json!({ "code": page.code, "title": page.title, "page": page.page }))?;
    } else {
        context.out.raw(page.page.as_bytes())?;
    }
    Ok(ExitStatus::SUCCEEDED)
}
