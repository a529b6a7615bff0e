//! Floor 2: text → model. Spanned YAML, strict decoding, templates, conditions, schemas.

mod cel_function;
mod cel_literal;
mod cel_syntax;
mod cel_types;
mod cel_value;
pub mod codes;
mod condition;
mod constant;
#[cfg(test)]
mod corpus;
mod decode;
mod escape;
mod helper;
mod outline;
mod params;
mod render;
mod schema;
mod scope;
mod secret_marker;
mod syntax;
mod template;
mod test_file;
mod yaml;

pub use cel_function::{Function, functions};
pub use cel_syntax::MAX_CONDITION_BYTES;
pub use cel_types::Typed;
pub use condition::Condition;
pub use decode::{decode_environment, decode_policy, decode_runbook, decode_test_file};
pub use helper::{TemplateHelper, helpers};
pub use outline::{FileKind, Form, KeyHelp, Place, condition_functions, template_helpers};
pub use params::{BrokenRule, ParamRules, check_param_value, coerce, compile_pattern, parse_param};
pub use schema::{environment_schema, policy_schema, runbook_schema, schema_text, test_schema};
pub use scope::{ExprError, ExprErrorKind, ROOTS, Reference, Scope};
pub use secret_marker::{
    has_marker, is_near_marker, marker, neutralise, neutralise_value, readable, secret_names,
    substitute,
};
pub use template::{Inside, ItemReference, MAX_TEMPLATE_BYTES, Template, escape_for};
pub use test_file::{
    Scripts, StepList, TestCancel, TestCase, TestExpect, TestFile, TestOutcome, TestReply,
    TestSweeps, TestVote,
};
pub use yaml::{Limits, TextPlaces, parse_yaml, place_in_text, source_from_bytes};
