//! Rules for environments: known providers, and the keys that they and the connections want.

use std::sync::Arc;

use super::codes;
use super::input::{InputCheck, Subject, TextIs};
use crate::base::{Diagnostic, Diagnostics, SourceFile, Span, did_you_mean};
use crate::language::Template;
use crate::model::{ActionCatalog, Environment, YamlValue, YamlValueKind};

/// Checks an environment file.
pub fn check_environment(
    environment: &Environment,
    catalog: &ActionCatalog,
    diags: &mut Diagnostics,
) {
    let source = &environment.source;
    let services = environment.services.values().map(|s| &s.config);
    let connections = environment.connections.values().map(|c| &c.config);
    for config in services.chain(connections) {
        check_secrets(environment, config, diags);
    }
    for connection in environment.connections.values() {
        let kind = &connection.kind.value;
        // What other kinds want is for the actions that use them to say.
        if let Some(manifest) = catalog.connections.get(kind) {
            InputCheck {
                subject: &Subject::Connection {
                    kind,
                    summary: &manifest.summary,
                },
                source,
                environment: Some(environment),
                diags,
            }
            .run(&manifest.config, &connection.config, &mut |_, _| {
                TextIs::Literal
            });
        }
    }
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
            subject: &Subject::Provider {
                name,
                summary: &provider.summary,
            },
            source,
            environment: Some(environment),
            diags,
        }
        .run(&provider.config, &service.config, &mut |_, _| {
            TextIs::Literal
        });
    }
}

/// The secret that a text of a service or connection is a reference to: exactly `{{ secrets.NAME }}`.
pub(crate) fn secret_reference(text: &str) -> Option<String> {
    if !text.contains("secrets.") {
        return None;
    }
    let template = Template::parse(text).ok()?;
    match template.whole()?.path.as_slice() {
        [root, name] if root == "secrets" => Some(name.clone()),
        _ => None,
    }
}

fn mentions_secret(text: &str) -> bool {
    text.contains("secrets.")
        && Template::parse(text)
            .is_ok_and(|template| template.references().iter().any(|r| r.root() == "secrets"))
}

/// References to secrets that the environment does not have.
fn check_secrets(environment: &Environment, value: &YamlValue, diags: &mut Diagnostics) {
    match &value.kind {
        YamlValueKind::Literal(_) => {}
        YamlValueKind::Text { text, .. } => {
            let Some(name) = secret_reference(text) else {
                if mentions_secret(text) {
                    diags.push(
                        Diagnostic::error(
                            codes::MIXED_SECRET,
                            "a secret is only a part of this text, and would not be put in",
                        )
                        .at(
                            &environment.source,
                            value.span,
                            "must be exactly `{{ secrets.NAME }}`",
                        )
                        .help(
                            "make the whole text the secret, such as a whole URL with its password",
                        ),
                    );
                }
                return;
            };
            if environment.secrets.contains_key(&name) {
                return;
            }
            let known = environment.secrets.keys().map(String::as_str);
            let finding = Diagnostic::error(
                codes::UNKNOWN_SECRET,
                format!("there is no secret `{name}`"),
            )
            .at(&environment.source, value.span, "unknown secret");
            diags.push(match did_you_mean(&name, known) {
                Some(near) => finding.help(format!("did you mean `secrets.{near}`?")),
                None => finding.help("add it under `secrets:` of this file"),
            });
        }
        YamlValueKind::List(items) => {
            for item in items {
                check_secrets(environment, item, diags);
            }
        }
        YamlValueKind::Map(map) => {
            for (_, item) in map.values() {
                check_secrets(environment, item, diags);
            }
        }
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
