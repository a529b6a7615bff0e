//! Floor 2: text → model. Spanned YAML, strict decoding, templates, conditions, schemas.

mod cel_value;
mod condition;
mod escape;
mod render;
mod scope;
mod syntax;
mod template;

pub use condition::{Condition, Gives, MAX_CONDITION_BYTES};
pub use scope::{ExprError, ROOTS, Reference, Scope};
pub use template::{MAX_TEMPLATE_BYTES, Template, escape_for};
