//! Placeholder until the branch with expressions lands.
use super::types::{Expr, Plan};
use crate::base::{Digest, Value};
use crate::language::{ExprError, Reference, Scope};
#[expect(missing_docs)]
impl Expr {
    pub fn references(&self) -> Result<Vec<Reference>, ExprError> {
        Ok(vec![])
    }
    pub fn render(&self, _: &Scope) -> Result<Value, ExprError> {
        match self {
            Expr::Value(v) => Ok(v.clone()),
            _ => Ok(Value::Null),
        }
    }
}
#[expect(missing_docs)]
impl Plan {
    pub fn digest(&self) -> Digest {
        Digest::of_bytes(self.canonical_json().as_bytes())
    }
    pub fn canonical_json(&self) -> String {
        serde_json::to_string(self).unwrap_or_default()
    }
    pub fn from_json(text: &str) -> Result<Self, serde_json::Error> {
        serde_json::from_str(text)
    }
}
