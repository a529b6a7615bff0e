//! Floor 2: text → model. Spanned YAML, strict decoding, templates, conditions, schemas.

pub mod codes;
mod condition;
#[cfg(test)]
mod corpus;
mod decode;
mod params;
mod schema;
mod scope;
mod template;
mod yaml;

pub use condition::Condition;
pub use decode::{decode_environment, decode_policy, decode_runbook};
pub use params::{check_param_value, coerce, compile_pattern, parse_param};
pub use schema::{environment_schema, policy_schema, runbook_schema, schema_text};
pub use scope::{ExprError, Reference, Scope};
pub use template::Template;
pub use yaml::{Limits, parse_yaml, place_in_text, source_from_bytes};
