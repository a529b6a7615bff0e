//! Floor 2: text → model. Spanned YAML, strict decoding, templates, conditions, schemas.

mod condition;
mod scope;
mod template;

pub use condition::Condition;
pub use scope::{ExprError, Reference, Scope};
pub use template::Template;
