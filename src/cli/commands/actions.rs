//! `runbook actions`

use crate::base::did_you_mean;
use crate::cli::args::{ActionsArgs, ActionsCommand};
use crate::cli::context::Context;
use crate::cli::error::{CliError, ErrorKind};
use crate::cli::exit::ExitStatus;
use crate::cli::workspace::registry;
use crate::model::ActionCatalog;
use crate::report::{action_json, action_text, actions_table, provider_text};

pub(super) fn run(context: &Context, args: &ActionsArgs) -> Result<ExitStatus, CliError> {
    let catalog = registry()?.catalog();
    match &args.command {
        None | Some(ActionsCommand::List) => list(context, &catalog)?,
        Some(ActionsCommand::Describe { action }) => describe(context, &catalog, action)?,
    }
    Ok(ExitStatus::SUCCEEDED)
}

fn list(context: &Context, catalog: &ActionCatalog) -> Result<(), CliError> {
    if !context.out.is_json() {
        return context
            .out
            .raw(actions_table(catalog, context.style()).as_bytes());
    }
    for action in catalog.actions.values() {
        context.out.json(&action_json(action))?;
    }
    Ok(())
}

fn describe(context: &Context, catalog: &ActionCatalog, name: &str) -> Result<(), CliError> {
    if let Some(action) = catalog.get(name) {
        return if context.out.is_json() {
            context.out.json(&action_json(action))
        } else {
            context
                .out
                .raw(action_text(action, context.style()).as_bytes())
        };
    }
    if let Some(provider) = catalog.providers.get(name) {
        return if context.out.is_json() {
            context.out.json(provider)
        } else {
            context
                .out
                .raw(provider_text(provider, context.style()).as_bytes())
        };
    }
    let known = catalog.actions.keys().chain(catalog.providers.keys());
    let error = CliError::new(ErrorKind::Usage, format!("there is no action `{name}`"));
    Err(match did_you_mean(name, known.map(String::as_str)) {
        Some(near) => error.next(format!("did you mean `{near}`?")),
        None => error.next("runbook actions list"),
    })
}
