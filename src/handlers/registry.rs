//! The one list of built-in actions.

use super::approval::Approval;
use super::assert::Assert;
use super::file;
use super::http::{self, Http};
use super::notify::{self, Notify};
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
    registry.add_connection(notify::connection());
    Ok(registry)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn every_action_is_described_with_closed_inputs_and_examples() {
        let catalog = builtin_registry().expect("names are unique").catalog();
        assert_eq!(catalog.actions.len(), 23);
        for (name, manifest) in &catalog.actions {
            assert!(
                !manifest.summary.is_empty() && !manifest.summary.ends_with('.'),
                "{name}"
            );
            assert!(
                manifest.description.ends_with('.') || manifest.description.ends_with('`'),
                "{name}"
            );
            assert!(!manifest.examples.is_empty(), "{name}");
            for example in &manifest.examples {
                assert!(example.yaml.contains(&format!("uses: {name}\n")), "{name}");
            }
            for schema in [&manifest.input, &manifest.output] {
                jsonschema::validator_for(schema).expect(name);
                assert_eq!(schema["type"], "object", "{name}");
                assert!(!schema.to_string().contains("$ref"), "{name}");
                let described = schema["properties"].as_object().into_iter().flatten();
                for (key, property) in described {
                    assert!(property["description"].is_string(), "{name}: {key}");
                }
            }
            assert_eq!(
                manifest.input["additionalProperties"],
                json!(false),
                "{name}"
            );
        }
    }

    #[test]
    fn escapes_and_formats_are_declared_where_the_checker_looks() {
        let catalog = builtin_registry().expect("names are unique").catalog();
        let of = |action: &str, side: &str, key: &str| {
            let manifest = &catalog.actions[action];
            let schema = if side == "in" {
                &manifest.input
            } else {
                &manifest.output
            };
            schema["properties"][key].clone()
        };
        assert_eq!(of("shell", "in", "script")["x-escape"], "shell");
        assert_eq!(of("shell", "out", "values")["x-keys-from"], "outputs");
        assert_eq!(of("http.get", "in", "url")["x-escape"], "url");
        assert_eq!(of("service.restart", "in", "service")["format"], "service");
        assert_eq!(
            of("service.restart", "out", "started_at")["format"],
            "date-time"
        );
        assert_eq!(of("service.health", "out", "latency")["format"], "duration");
    }

    #[test]
    fn providers_are_declared() {
        let catalog = builtin_registry().expect("names are unique").catalog();
        assert_eq!(
            catalog.providers["process"].config["additionalProperties"],
            json!(false)
        );
    }
}
