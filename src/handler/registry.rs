//! The list of handlers, by name.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use super::typed::StepHandler;
use crate::model::{ActionCatalog, ConnectionManifest, ProviderManifest};

/// Two handlers with one name: a mistake of ours, found when the registry is built.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("two handlers are named `{0}`")]
pub struct RegistryError(pub String);

/// Every action this process can perform.
#[derive(Clone, Default)]
pub struct HandlerRegistry {
    handlers: BTreeMap<String, Arc<dyn StepHandler>>,
    providers: BTreeMap<String, ProviderManifest>,
    connections: BTreeMap<String, ConnectionManifest>,
}

impl HandlerRegistry {
    /// An empty registry.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a handler under its manifest's name.
    ///
    /// # Errors
    /// [`RegistryError`] when the name is taken.
    pub fn add(&mut self, handler: Arc<dyn StepHandler>) -> Result<(), RegistryError> {
        let name = handler.manifest().name.clone();
        if self.handlers.contains_key(&name) {
            return Err(RegistryError(name));
        }
        self.handlers.insert(name, handler);
        Ok(())
    }

    /// Declares a service provider.
    pub fn add_provider(&mut self, provider: ProviderManifest) {
        self.providers.insert(provider.name.clone(), provider);
    }

    /// Declares a kind of connections.
    pub fn add_connection(&mut self, connection: ConnectionManifest) {
        self.connections.insert(connection.kind.clone(), connection);
    }

    /// The handler of an action.
    pub fn get(&self, action: &str) -> Option<&Arc<dyn StepHandler>> {
        self.handlers.get(action)
    }

    /// What all of them declare, for the checker and the planner.
    pub fn catalog(&self) -> ActionCatalog {
        ActionCatalog {
            actions: self
                .handlers
                .iter()
                .map(|(name, handler)| (name.clone(), handler.manifest().clone()))
                .collect(),
            providers: self.providers.clone(),
            connections: self.connections.clone(),
        }
    }
}

impl fmt::Debug for HandlerRegistry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.handlers.keys()).finish()
    }
}
