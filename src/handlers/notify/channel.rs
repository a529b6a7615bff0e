//! Where messages go: the connections of kind `notify`.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::Deserialize;

use super::email::Email;
use crate::base::did_you_mean;
use crate::event::FailureKind;
use crate::handler::{EnvironmentView, StepError, input_schema};
use crate::model::ConnectionManifest;

/// The channel that always exists.
pub(super) const TERMINAL: &str = "terminal";

/// A connection of kind `notify`.
#[derive(Deserialize, JsonSchema)]
#[serde(tag = "to", rename_all = "snake_case", deny_unknown_fields)]
pub(super) enum Channel {
    /// The step's log, which the terminal shows.
    Terminal {},
    /// One JSON line is appended.
    File {
        /// Relative to the repository's root.
        path: String,
    },
    /// JSON is posted.
    Webhook {
        /// Where to.
        url: String,
        /// Request headers.
        #[serde(default)]
        headers: BTreeMap<String, String>,
    },
    /// A mail is sent.
    Email(Email),
}

/// What a connection of kind `notify` may say, for the checker.
pub(in crate::handlers) fn connection() -> ConnectionManifest {
    ConnectionManifest {
        kind: "notify".to_owned(),
        summary: "a channel for messages: see `runbook actions describe notify`".to_owned(),
        config: input_schema::<Channel>(),
    }
}

/// The channel of that name.
pub(super) fn channel(view: &EnvironmentView, name: &str) -> Result<Channel, StepError> {
    let connections = &view.connections;
    let environment = &view.name;
    let invalid = |message: String| StepError::new(FailureKind::Invalid, message);
    match connections.get(name) {
        Some(connection) if connection.provider == "notify" => {
            Channel::deserialize(&connection.config).map_err(|error| {
                invalid(format!(
                    "channel `{name}` of environment `{environment}`: {error}"
                ))
                .hint("see its keys with: runbook actions describe notify")
            })
        }
        Some(connection) => Err(invalid(format!(
            "`{name}` of environment `{environment}` is a connection of kind `{}`, not `notify`",
            connection.provider
        ))),
        None if name == TERMINAL => Ok(Channel::Terminal {}),
        None => {
            let known = connections
                .iter()
                .filter(|(_, connection)| connection.provider == "notify")
                .map(|(name, _)| name.as_str())
                .chain([TERMINAL]);
            let error = invalid(format!(
                "environment `{environment}` has no channel `{name}`"
            ));
            Err(match did_you_mean(name, known) {
                Some(near) => error.hint(format!("did you mean `{near}`?")),
                None => error.hint(format!(
                    "add it to the environment: connections: {{ {name}: {{ kind: notify, to: terminal }} }}"
                )),
            })
        }
    }
}
