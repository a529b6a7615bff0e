//! Rules for environments: known providers, and the keys that they want.

use std::sync::Arc;

use super::codes;
use super::input::{InputCheck, Subject, TextIs};
use crate::base::{Diagnostic, Diagnostics, SourceFile, Span, did_you_mean};
use crate::model::{ActionCatalog, Environment};

/// Checks an environment file.
pub fn check_environment(
    environment: &Environment,
    catalog: &ActionCatalog,
    diags: &mut Diagnostics,
) {
    let source = &environment.source;
    for service in environment.services.values() {
        let name = &service.provider.value;
        let Some(provider) = catalog.providers.get(name) else {
            let known = || catalog.providers.keys().map(String::as_str);
            let finding = Diagnostic::error(
                codes::UNKNOWN_PROVIDER,
                format!("there is no service provider `{name}`"),
            )
            .at(source, service.provider.span, "unknown provider");
            diags.push(match did_you_mean(name, known()) {
                Some(near) => finding.help(format!("did you mean `{near}`?")),
                None => finding.help(format!(
                    "the providers are {}",
                    known().collect::<Vec<_>>().join(", ")
                )),
            });
            continue;
        };
        InputCheck {
            subject: &Subject::provider(name, &provider.summary),
            source,
            environment: Some(environment),
            diags,
        }
        .run(&provider.config, &service.config, &mut |_, _| {
            TextIs::Literal
        });
    }
}

/// The finding for a service that an environment does not have.
pub(crate) fn unknown_service(
    environment: &Environment,
    name: &str,
    source: &Arc<SourceFile>,
    span: Span,
) -> Diagnostic {
    unknown(
        environment,
        ("service", "services"),
        name,
        environment.services.keys().map(String::as_str).collect(),
    )
    .at(source, span, "unknown service")
}

/// The finding for a connection that an environment does not have.
pub(crate) fn unknown_connection(
    environment: &Environment,
    name: &str,
    source: &Arc<SourceFile>,
    span: Span,
) -> Diagnostic {
    unknown(
        environment,
        ("connection", "connections"),
        name,
        environment.connections.keys().map(String::as_str).collect(),
    )
    .at(source, span, "unknown connection")
}

fn unknown(
    environment: &Environment,
    (one, many): (&str, &str),
    name: &str,
    known: Vec<&str>,
) -> Diagnostic {
    let code = if one == "service" {
        codes::UNKNOWN_SERVICE
    } else {
        codes::UNKNOWN_CONNECTION
    };
    let finding = Diagnostic::error(
        code,
        format!(
            "the environment `{}` has no {one} `{name}`",
            environment.name.value
        ),
    );
    match did_you_mean(name, known.iter().copied()) {
        Some(near) => finding.help(format!("did you mean `{near}`?")),
        None if known.is_empty() => finding.help(format!(
            "add it under `{many}:` in {}",
            environment.source.path
        )),
        None => finding.help(format!("its {many} are {}", known.join(", "))),
    }
}
