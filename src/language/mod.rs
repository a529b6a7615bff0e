//! Floor 2: text → model. Spanned YAML, strict decoding, templates, conditions, schemas.

mod cel_syntax;
mod cel_value;
pub mod codes;
mod condition;
#[cfg(test)]
mod corpus;
mod decode;
mod escape;
mod outline;
mod params;
mod render;
mod schema;
mod scope;
mod secret_marker;
mod syntax;
mod template;
mod yaml;

pub use cel_syntax::MAX_CONDITION_BYTES;
pub use condition::{Comparison, Condition, Gives, Side};
pub use decode::{decode_environment, decode_policy, decode_runbook};
pub use outline::{FileKind, Form, KeyHelp, Place, condition_functions, template_helpers};
pub use params::{check_param_value, coerce, compile_pattern, parse_param};
pub use schema::{environment_schema, policy_schema, runbook_schema, schema_text};
pub use scope::{ExprError, ROOTS, Reference, Scope};
pub use secret_marker::{
    has_marker, is_near_marker, marker, neutralise, neutralise_value, readable, secret_names,
    substitute,
};
pub use template::{MAX_TEMPLATE_BYTES, Template, escape_for};
pub use yaml::{Limits, parse_yaml, place_in_text, source_from_bytes};
