//! What an action declares about itself, as plain data: the checker and planner read it, handlers write it.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};

use crate::base::Value;

/// What repeating an action would do (design §5).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Effect {
    /// Changes nothing.
    Read,
    /// Doing it twice is doing it once.
    Idempotent,
    /// Must not be repeated without a person's word.
    Once,
}

impl fmt::Display for Effect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Read => "read",
            Self::Idempotent => "idempotent",
            Self::Once => "once",
        })
    }
}

/// How an interpolated value is escaped, by the place it stands in.
///
/// An input's JSON Schema names it with `"x-escape": "shell" | "url"`; without it, text.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Escape {
    /// As it is.
    #[default]
    None,
    /// Quoted as one word for a POSIX shell.
    Shell,
    /// Percent-encoded for a URL path segment or query value (RFC 3986). A leading reference that
    /// gives the whole `scheme://host` part is left as it is.
    Url,
    /// Quoted as a JSON value inside a JSON text.
    Json,
}

/// A worked example of an action, shown by `runbook actions describe`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ActionExample {
    /// One line.
    pub title: String,
    /// A step in YAML, without the leading list dash. A test decodes and checks it.
    pub yaml: String,
}

/// All that is known of an action before it runs.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ActionManifest {
    /// `family` or `family.verb`.
    pub name: String,
    /// One line.
    pub summary: String,
    /// Paragraphs of Markdown.
    pub description: String,
    /// What repeating it would do; a step may override it with a reason.
    pub effect: Effect,
    /// JSON Schema (draft 2020-12) of `with`: a closed object.
    pub input: Value,
    /// JSON Schema of the outputs: an object.
    pub output: Value,
    /// Worked examples.
    pub examples: Vec<ActionExample>,
}

/// Whether an action leaves nothing behind that a rollback could undo, though it may not be `read`:
/// a question and a message are no state.
pub fn has_nothing_to_undo(action: &str) -> bool {
    matches!(action, "approval" | "notify")
}

/// All that is known of a service provider.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ProviderManifest {
    /// The value of a service's `provider:` key.
    pub name: String,
    /// One line.
    pub summary: String,
    /// JSON Schema of the service's other keys: a closed object.
    pub config: Value,
}

/// All that is known of a kind of connections.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ConnectionManifest {
    /// The value of a connection's `kind:` key.
    pub kind: String,
    /// One line.
    pub summary: String,
    /// JSON Schema of the connection's other keys: a closed object, or `oneOf` several of them that
    /// differ in a constant key.
    pub config: Value,
}

/// Every action and provider this binary knows. `approval` is in it too, although the engine performs it.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct ActionCatalog {
    /// By name.
    pub actions: BTreeMap<String, ActionManifest>,
    /// By name.
    pub providers: BTreeMap<String, ProviderManifest>,
    /// By kind; the keys of other kinds are not checked.
    pub connections: BTreeMap<String, ConnectionManifest>,
}

impl ActionCatalog {
    /// The manifest of an action.
    pub fn get(&self, name: &str) -> Option<&ActionManifest> {
        self.actions.get(name)
    }
}
