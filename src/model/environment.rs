//! An environment file (`environment: v1`): one place to act on.

use std::sync::Arc;

use indexmap::IndexMap;

use super::secret::SecretSource;
use super::step::YamlValue;
use crate::base::{SourceFile, Span, Spanned};

/// Services, connections, variables and protection of one place to act on.
#[derive(Debug, Clone)]
pub struct Environment {
    /// The file it came from.
    pub source: Arc<SourceFile>,
    /// `name`: equals the file name without `.yaml`.
    pub name: Spanned<String>,
    /// `description`.
    pub description: Option<Spanned<String>>,
    /// `protected`: gates are demanded here (enforced by the policy). Default false.
    pub protected: bool,
    /// `vars`: literals for `{{ vars.x }}`.
    pub vars: IndexMap<String, YamlValue>,
    /// `secrets` by name: where each is to be had.
    pub secrets: IndexMap<String, Spanned<SecretSource>>,
    /// `services` by name.
    pub services: IndexMap<String, Service>,
    /// `connections` by name.
    pub connections: IndexMap<String, Connection>,
}

/// Something restartable.
#[derive(Debug, Clone)]
pub struct Service {
    /// Where its name is written.
    pub name_span: Span,
    /// `provider`.
    pub provider: Spanned<String>,
    /// The other keys, as the provider's schema wants them. Always of kind `Map`.
    pub config: YamlValue,
}

/// An address and options of a server.
#[derive(Debug, Clone)]
pub struct Connection {
    /// Where its name is written.
    pub name_span: Span,
    /// `kind`: `mongodb`, `redis`, `kafka`, `http`, `docker`.
    pub kind: Spanned<String>,
    /// The other keys. Always of kind `Map`.
    pub config: YamlValue,
}
