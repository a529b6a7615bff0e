//! Rules for parameters: defaults that exist in the environment, and no parameter without a use.

use std::collections::HashSet;

use super::codes;
use super::environment::{unknown_connection, unknown_service};
use crate::base::{Diagnostic, Diagnostics, Span};
use crate::model::{Environment, Runbook, Ty, YamlValue, YamlValueKind};

/// Defaults of type service and connection name something of the environment.
pub(super) fn check_declarations(
    runbook: &Runbook,
    environment: Option<&Environment>,
    diags: &mut Diagnostics,
) {
    let Some(environment) = environment else {
        return;
    };
    for param in runbook.params.values() {
        if let Some(default) = &param.default {
            each_name(&param.ty, default, &mut |ty, name, span| {
                if let Some(finding) = unknown_name(environment, ty, name, runbook, span) {
                    diags.push(finding);
                }
            });
        }
    }
}

fn unknown_name(
    environment: &Environment,
    ty: &Ty,
    name: &str,
    runbook: &Runbook,
    span: Span,
) -> Option<Diagnostic> {
    let source = &runbook.source;
    match ty {
        Ty::Service if !environment.services.contains_key(name) => {
            Some(unknown_service(environment, name, source, span))
        }
        Ty::Connection if !environment.connections.contains_key(name) => {
            Some(unknown_connection(environment, name, source, span))
        }
        _ => None,
    }
}

/// Every text of a value whose type is a service or a connection, also inside lists and maps.
fn each_name(ty: &Ty, value: &YamlValue, found: &mut dyn FnMut(&Ty, &str, Span)) {
    match (ty, &value.kind) {
        (Ty::Service | Ty::Connection, YamlValueKind::Text { text, .. }) => {
            found(ty, text, value.span);
        }
        (Ty::List(item), YamlValueKind::List(items)) => {
            for value in items {
                each_name(item, value, found);
            }
        }
        (Ty::Map(item), YamlValueKind::Map(map)) => {
            for (_, value) in map.values() {
                each_name(item, value, found);
            }
        }
        _ => {}
    }
}

/// A parameter that nothing refers to is asked for in vain.
pub(super) fn check_unused(runbook: &Runbook, used: &HashSet<&str>, diags: &mut Diagnostics) {
    for (name, param) in &runbook.params {
        if !used.contains(name.as_str()) {
            diags.push(
                Diagnostic::warning(
                    codes::UNUSED_PARAM,
                    format!("the parameter `{name}` is never used"),
                )
                .at(&runbook.source, param.name_span, "declared here")
                .help(format!("use it as {{{{ params.{name} }}}}, or take it out")),
            );
        }
    }
}
