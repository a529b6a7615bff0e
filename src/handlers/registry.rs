//! The one list of built-in actions.

use super::approval::Approval;
use super::assert::Assert;
use super::file;
use super::http::{self, Http};
use super::notify::Notify;
use super::service;
use super::shell::Shell;
use super::wait::Wait;
use crate::handler::{HandlerRegistry, RegistryError, typed};

/// Every built-in action and service provider.
///
/// # Errors
/// [`RegistryError`] when two actions have one name: a mistake in the list below.
pub fn builtin_registry() -> Result<HandlerRegistry, RegistryError> {
    let clients = http::shared();
    let services = service::Providers::builtin(&clients);
    let mut registry = HandlerRegistry::new();
    for handler in [
        typed(Approval),
        typed(Assert),
        typed(file::Checksum),
        typed(file::Copy),
        typed(file::Read),
        typed(file::Write),
        typed(Http::<http::Delete>::new(&clients)),
        typed(Http::<http::Get>::new(&clients)),
        typed(Http::<http::Head>::new(&clients)),
        typed(Http::<http::Patch>::new(&clients)),
        typed(Http::<http::Post>::new(&clients)),
        typed(Http::<http::Put>::new(&clients)),
        typed(Notify::new(&clients)),
        typed(service::Drain(services.clone())),
        typed(service::Health(services.clone())),
        typed(service::Logs(services.clone())),
        typed(service::Restart(services.clone())),
        typed(service::Resume(services.clone())),
        typed(service::Start(services.clone())),
        typed(service::Status(services.clone())),
        typed(service::Stop(services.clone())),
        typed(Shell),
        typed(Wait),
    ] {
        registry.add(handler)?;
    }
    for manifest in services.manifests() {
        registry.add_provider(manifest);
    }
    Ok(registry)
}
