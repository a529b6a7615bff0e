//! Every action can be asked what it would do: not one says nothing, and hardly one does not know.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use runbook::base::{Diagnostics, SourceFile, Value};
use runbook::handler::{EnvironmentView, PreviewContext, ServiceView};
use runbook::handlers::builtin_registry;
use runbook::language::{Limits, parse_yaml};
use serde_json::json;

/// Actions whose example may be `unknown`, each with the reason. None so far.
const UNKNOWN: [(&str, &str); 0] = [];

fn context(root: &Path) -> PreviewContext {
    let api = ServiceView {
        provider: "process".to_owned(),
        config: json!({
            "command": ["api"],
            "health": { "http": "/health" },
            "drain": { "http": "/drain", "resume": "/resume" },
        }),
    };
    let mail = ServiceView {
        provider: "notify".to_owned(),
        config: json!({
            "to": "email",
            "smtp": "smtp://mail.example.org:587",
            "from": "runbook@example.org",
            "recipients": ["ops@example.org"],
        }),
    };
    PreviewContext {
        environment: Arc::new(EnvironmentView {
            name: "examples".to_owned(),
            services: BTreeMap::from([("api".to_owned(), api)]),
            connections: BTreeMap::from([("mail".to_owned(), mail)]),
        }),
        root: Arc::new(root.to_path_buf()),
        state_dir: Arc::new(root.join(".runbook")),
        grace: Duration::from_secs(1),
    }
}

/// The inputs of an example; its one whole reference stands for a number.
fn inputs(yaml: &str) -> Value {
    let mut diags = Diagnostics::new();
    let text = yaml.replace("\"{{ params.errors }}\"", "0");
    let document = parse_yaml(
        &SourceFile::new("example.yaml", &text),
        &Limits::default(),
        &mut diags,
    );
    document.expect("readable YAML").to_json()["with"].clone()
}

#[test]
fn every_example_of_every_action_has_a_preview() {
    let folder = tempfile::tempdir().expect("a folder");
    let context = context(folder.path());
    let registry = builtin_registry().expect("unique names");
    let mut shown = String::new();
    for (name, manifest) in registry.catalog().actions {
        let handler = registry.get(&name).expect("listed");
        for example in &manifest.examples {
            let preview = handler.preview(&context, &inputs(&example.yaml));
            assert!(
                !preview.text().trim().is_empty(),
                "{name}, {}",
                example.title
            );
            let may_be_unknown = UNKNOWN.iter().any(|(known, _)| *known == name);
            assert!(
                preview.label() != "unknown" || may_be_unknown,
                "{name}, {}: {}",
                example.title,
                preview.text()
            );
            shown.push_str(&format!("{name}: {}\n", preview.label()));
            for line in preview.text().lines() {
                shown.push_str(&format!("    {line}\n"));
            }
        }
    }
    let place = folder.path().to_string_lossy().into_owned();
    insta::assert_snapshot!(shown.replace(&place, "[ROOT]"));
    let left = std::fs::read_dir(folder.path()).expect("readable").count();
    assert_eq!(left, 0, "a preview makes nothing");
}
