//! What a template or a condition may refer to, and how it fails.

use std::collections::BTreeMap;
use std::ops::Range;

use crate::base::Value;
use crate::model::Ty;

/// A dotted path that an expression refers to, such as `steps.restart.outputs.pid`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reference {
    /// Its segments.
    pub path: Vec<String>,
    /// Where it stands in the expression's text, in bytes.
    pub range: Range<usize>,
}

/// An expression that cannot be parsed or evaluated.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct ExprError {
    /// Why.
    pub message: String,
    /// Where in the expression's text, in bytes, when known.
    pub range: Option<Range<usize>>,
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

    /// The roots.
    pub fn roots(&self) -> &BTreeMap<String, (Value, Ty)> {
        &self.roots
    }
}
