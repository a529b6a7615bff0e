//! What may stand at a path of a file: a place of the table of keys, or a value that a schema of an
//! action or provider describes.

use serde_json::json;

use super::names::param_type;
use super::project::Project;
use super::tree::{self, entries, get, text_at};
use crate::base::{Map, Value};
use crate::language::{FileKind, Form, Place};
use crate::model::{Ty, YamlValue};

/// What may stand at a path.
#[derive(Debug, Clone)]
pub(super) enum Subject {
    /// A place of the table of keys.
    Place(Place),
    /// A value that this schema describes.
    Schema(Value),
    /// Anything.
    Unknown,
}

impl Subject {
    /// At a path of a file.
    pub(super) fn at(
        kind: FileKind,
        root: &YamlValue,
        path: &[String],
        project: Project<'_>,
    ) -> Self {
        let mut subject = Self::Place(kind.root());
        for (depth, name) in path.iter().enumerate() {
            let container = tree::at(root, &path[..depth]);
            subject = match asked(root, &path[..depth], name) {
                Some(place) => Self::Place(place),
                None => subject.child(name, container, project),
            };
        }
        let above = path.len().checked_sub(1).map(|last| &path[..last]);
        let container = above.and_then(|above| tree::at(root, above));
        match (&subject, container) {
            (Self::Place(place), Some(step)) if place.form() == Form::With => {
                Self::inputs(step, project)
            }
            _ => subject,
        }
    }

    /// The inputs of the action that a step uses.
    pub(super) fn inputs(step: &YamlValue, project: Project<'_>) -> Self {
        let uses = text_at(step, "uses").unwrap_or_default();
        if let Some(child) = uses.strip_prefix("runbook.") {
            return match project.runbook(child) {
                Some(file) => Self::Schema(params_schema(&file.tree)),
                None => Self::Unknown,
            };
        }
        match project.catalog.get(uses) {
            Some(manifest) => Self::Schema(manifest.input.clone()),
            None => Self::Unknown,
        }
    }

    fn child(self, name: &str, container: Option<&YamlValue>, project: Project<'_>) -> Self {
        match self {
            Self::Place(place) => match place.child(name) {
                Some(child) => match (child.form(), container) {
                    (Form::With, Some(step)) => Self::inputs(step, project),
                    _ => Self::Place(child),
                },
                None if place.is_open() => match container.and_then(|c| provider(c, project)) {
                    Some(schema) => tree::below(schema, name).cloned().into(),
                    None => Self::Unknown,
                },
                None => Self::Unknown,
            },
            Self::Schema(schema) => tree::below(&schema, name).cloned().into(),
            Self::Unknown => Self::Unknown,
        }
    }
}

/// What a gate asks beside its message: a key of `with` of an approval.
fn asked(root: &YamlValue, with: &[String], key: &str) -> Option<Place> {
    let (last, step) = with.split_last()?;
    let step = tree::at(root, step)?;
    let is_gate = last == "with" && text_at(step, "uses") == Some("approval");
    Place::gate().child(key).filter(|_| is_gate)
}

impl From<Option<Value>> for Subject {
    fn from(schema: Option<Value>) -> Self {
        schema.map_or(Self::Unknown, Self::Schema)
    }
}

/// The schema of the keys of a service's provider.
pub(super) fn provider<'a>(service: &YamlValue, project: Project<'a>) -> Option<&'a Value> {
    let name = text_at(service, "provider")?;
    Some(&project.catalog.providers.get(name)?.config)
}

/// The parameters of a runbook as the inputs of a step that uses it.
fn params_schema(runbook: &YamlValue) -> Value {
    let mut properties = Map::new();
    let mut required = Vec::new();
    for (name, _, param) in entries(get(runbook, "params")) {
        let mut schema = match param_type(param) {
            Ty::Bool => json!({ "type": "boolean" }),
            Ty::Int => json!({ "type": "integer" }),
            Ty::Float => json!({ "type": "number" }),
            Ty::Enum(words) => json!({ "enum": words }),
            Ty::List(_) => json!({ "type": "array" }),
            Ty::Map(_) => json!({ "type": "object" }),
            ty @ (Ty::Duration | Ty::Size | Ty::Timestamp | Ty::Service | Ty::Connection) => {
                json!({ "type": "string", "format": ty.to_string() })
            }
            _ => json!({ "type": "string" }),
        };
        if let Some(description) = text_at(param, "description") {
            schema["description"] = json!(description);
        }
        match get(param, "default") {
            Some(default) => schema["default"] = default.to_json(),
            None => required.push(name),
        }
        properties.insert(name.to_owned(), schema);
    }
    json!({ "type": "object", "properties": properties, "required": required })
}
