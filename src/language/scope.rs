//! What a template or a condition may refer to, and how it fails.

use std::collections::BTreeMap;
use std::fmt;
use std::ops::Range;

use crate::base::{Map, Value};
use crate::model::Ty;

/// Every name that a reference may begin with.
///
/// `check` says where each of them may be used.
pub const ROOTS: [&str; 8] = [
    "params", "steps", "vars", "secrets", "run", "outputs", "item", "index",
];

/// A dotted path that an expression refers to, such as `steps.restart.outputs.pid`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reference {
    /// Its segments.
    pub path: Vec<String>,
    /// Where it stands in the expression's text, in bytes.
    pub range: Range<usize>,
}

impl Reference {
    /// The name it begins with.
    pub fn root(&self) -> &str {
        self.path.first().map_or("", String::as_str)
    }
}

impl fmt::Display for Reference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.path.join("."))
    }
}

/// An expression that cannot be parsed or evaluated.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct ExprError {
    /// Why.
    pub message: String,
    /// Where in the expression's text, in bytes, when known.
    pub range: Option<Range<usize>>,
    /// What to do about it, when it is known.
    pub help: Option<String>,
    /// Which rule it breaks.
    pub kind: ExprErrorKind,
}

/// The rule that an expression breaks; `check` has a code for each.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum ExprErrorKind {
    /// It cannot be read, is too large, or has no value.
    #[default]
    Other,
    /// A function or helper that does not exist.
    UnknownFunction,
    /// The wrong number or kind of values for a function or helper.
    Arguments,
    /// A regular expression that cannot be read.
    Pattern,
    /// A written duration, time or size that cannot be read.
    Literal,
    /// Values that cannot be added, multiplied and so on.
    Operands,
    /// Values of different types are compared.
    Unlike,
    /// Something else than a boolean is used as true or false.
    NotBool,
    /// A field that its value does not have.
    NoField,
    /// A loop over something that has no items.
    NotAList,
}

impl ExprError {
    pub(crate) fn new(message: impl Into<String>) -> Self {
        Self {
            message: message.into(),
            range: None,
            help: None,
            kind: ExprErrorKind::default(),
        }
    }

    pub(crate) fn kind(mut self, kind: ExprErrorKind) -> Self {
        self.kind = kind;
        self
    }

    pub(crate) fn at(mut self, range: Range<usize>) -> Self {
        self.range = Some(range);
        self
    }

    pub(crate) fn help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }
}

/// The values an expression may use: root name → value and type.
///
/// Only what the expression refers to need be put in, so that a render does not copy a whole run.
#[derive(Debug, Clone, Default)]
pub struct Scope {
    roots: BTreeMap<String, (Value, Ty)>,
}

impl Scope {
    /// An empty scope.
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets a root such as `params`, with its type, so that conditions compare durations as durations.
    pub fn set(&mut self, root: &str, value: Value, ty: Ty) {
        self.roots.insert(root.to_owned(), (value, ty));
    }

    /// Sets a root and gives back what it was.
    pub(crate) fn replace(&mut self, root: &str, value: (Value, Ty)) -> Option<(Value, Ty)> {
        self.roots.insert(root.to_owned(), value)
    }

    /// The roots.
    pub fn roots(&self) -> &BTreeMap<String, (Value, Ty)> {
        &self.roots
    }

    /// The value at a path, if there is one. A segment in digits also indexes a list.
    pub fn lookup(&self, path: &[String]) -> Option<&Value> {
        let (first, rest) = path.split_first()?;
        let mut value = &self.roots.get(first)?.0;
        for segment in rest {
            value = match value {
                Value::Object(map) => map.get(segment)?,
                Value::Array(items) => items.get(segment.parse::<usize>().ok()?)?,
                _ => return None,
            };
        }
        Some(value)
    }

    /// The part of the scope that some references need, as one object: cheap however large a run is.
    pub(crate) fn part(&self, references: &[Reference]) -> Map<String, Value> {
        let mut part = Map::new();
        for reference in references {
            if let Some((first, rest)) = reference.path.split_first()
                && let Some((value, _)) = self.roots.get(first)
            {
                copy_path(&mut part, first, value, rest);
            }
        }
        part
    }
}

/// Copies `source` under `key`, but of objects only what lies on `rest`.
fn copy_path(target: &mut Map<String, Value>, key: &str, source: &Value, rest: &[String]) {
    match (source, rest.split_first()) {
        (Value::Object(from), Some((next, rest))) => {
            let slot = target
                .entry(key.to_owned())
                .or_insert_with(|| Value::Object(Map::new()));
            if let (Value::Object(into), Some(value)) = (slot, from.get(next)) {
                copy_path(into, next, value, rest);
            }
        }
        (whole, _) => {
            // A whole value replaces a part of it that an earlier reference copied.
            target.insert(key.to_owned(), whole.clone());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn reference(path: &str) -> Reference {
        Reference {
            path: path.split('.').map(str::to_owned).collect(),
            range: 0..0,
        }
    }

    #[test]
    fn a_part_holds_what_is_referred_to_and_nothing_else() {
        let mut scope = Scope::new();
        scope.set(
            "steps",
            json!({"a": {"outputs": {"x": 1, "y": [1, {"z": 2}]}}, "b": {"outputs": {}}}),
            Ty::Any,
        );
        let part = |paths: &[&str]| {
            Value::Object(scope.part(&paths.iter().map(|p| reference(p)).collect::<Vec<_>>()))
        };
        assert_eq!(
            part(&["steps.a.outputs.x"]),
            json!({"steps": {"a": {"outputs": {"x": 1}}}})
        );
        assert_eq!(
            part(&["steps.a.outputs.y.1.z"]),
            json!({"steps": {"a": {"outputs": {"y": [1, {"z": 2}]}}}})
        );
        assert_eq!(
            part(&["steps.a.outputs.x", "steps.a.outputs", "steps.b"]),
            json!({"steps": {"a": {"outputs": {"x": 1, "y": [1, {"z": 2}]}}, "b": {"outputs": {}}}})
        );
        assert_eq!(part(&["steps.c.outputs"]), json!({"steps": {}}));
        assert_eq!(part(&["vars.x"]), json!({}));
    }

    #[test]
    fn looks_up_through_maps_and_lists() {
        let mut scope = Scope::new();
        scope.set("params", json!({"list": ["a", {"b": 1}]}), Ty::Any);
        let at = |path: &str| scope.lookup(&reference(path).path).cloned();
        assert_eq!(at("params.list.1.b"), Some(json!(1)));
        assert_eq!(at("params.list.2"), None);
        assert_eq!(at("vars"), None);
    }
}
