//! Where the secrets of a plan are to be had. A plan holds names and sources, never a value.

use std::collections::{BTreeMap, BTreeSet};

use crate::base::{Diagnostic, Diagnostics, Value};
use crate::check::{codes, secret_reference};
use crate::language::marker;
use crate::model::{Environment, SecretSource, YamlValue, YamlValueKind};

/// A configuration of the environment: a text that is a reference to a secret becomes its marker.
pub(super) fn with_markers(value: &YamlValue, used: &mut BTreeSet<String>) -> Value {
    match &value.kind {
        YamlValueKind::Literal(literal) => literal.clone(),
        YamlValueKind::Text { text, .. } => match secret_reference(text) {
            Some(name) => {
                let text = marker(&name);
                used.insert(name);
                Value::String(text)
            }
            None => Value::String(text.clone()),
        },
        YamlValueKind::List(items) => items.iter().map(|item| with_markers(item, used)).collect(),
        YamlValueKind::Map(map) => Value::Object(
            map.iter()
                .map(|(key, (_, item))| (key.clone(), with_markers(item, used)))
                .collect(),
        ),
    }
}

/// Adds the sources of the environment's secrets that are used.
pub(super) fn add_sources(
    used: &BTreeSet<String>,
    environment: &Environment,
    sources: &mut BTreeMap<String, SecretSource>,
    diags: &mut Diagnostics,
) {
    for name in used {
        match environment.secrets.get(name) {
            Some(source) => {
                sources.insert(name.clone(), source.value.clone());
            }
            // Checked without an environment, or named by a service of it.
            None => diags.push(
                Diagnostic::error(
                    codes::UNKNOWN_SECRET,
                    format!(
                        "the environment `{}` has no secret `{name}`",
                        environment.name.value
                    ),
                )
                .at(
                    &environment.source,
                    environment.name.span,
                    "this environment",
                )
                .help(format!(
                    "add it under `secrets:` in {}",
                    environment.source.path
                )),
            ),
        }
    }
}
