//! Rule: every action is one that this program knows.

use std::sync::Arc;

use super::codes;
use crate::base::{Diagnostic, Diagnostics, SourceFile, did_you_mean};
use crate::model::{Action, ActionCatalog};

pub(super) fn check_known(
    action: &Action,
    catalog: &ActionCatalog,
    source: &Arc<SourceFile>,
    diags: &mut Diagnostics,
) {
    let name = &action.uses.value;
    if catalog.get(name).is_some() {
        return;
    }
    let finding = Diagnostic::error(
        codes::UNKNOWN_ACTION,
        format!("there is no action `{name}`"),
    )
    .at(source, action.uses.span, "unknown action");
    let family = |known: &&str| known.split('.').next() == name.split('.').next();
    let near = did_you_mean(name, catalog.actions.keys().map(String::as_str));
    let siblings: Vec<&str> = catalog
        .actions
        .keys()
        .map(String::as_str)
        .filter(family)
        .collect();
    diags.push(match near {
        Some(near) => finding.help(format!("did you mean `{near}`?")),
        None if siblings.is_empty() => finding.help("see all actions with: runbook actions"),
        None => finding.help(format!("there are {}", siblings.join(", "))),
    });
}
