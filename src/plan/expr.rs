//! Placeholder until the branch with expressions lands.
use super::types::Expr;
use crate::base::Value;
use crate::language::{ExprError, Reference, Scope};
impl Expr {
    /// References.
    ///
    /// # Errors
    /// None.
    pub fn references(&self) -> Result<Vec<Reference>, ExprError> { Ok(vec![]) }
    /// Render.
    ///
    /// # Errors
    /// None.
    pub fn render(&self, _: &Scope) -> Result<Value, ExprError> { match self { Expr::Value(v) => Ok(v.clone()), _ => Ok(Value::Null) } }
}
