//! Floor 2: the rules that a runbook, an environment and a policy must keep before anything runs.
//!
//! One file per rule or family of rules; all findings are collected, none stops another.

mod action;
mod approval;
mod checker;
pub mod codes;
mod condition;
mod environment;
mod for_each;
mod graph;
mod input;
mod param;
mod policy;
mod polling;
mod reference;
mod runbooks;
mod schema;
mod secrets;
mod shell;
mod sub_runbook;
mod template;
mod texts;
mod unless;
mod variables;
mod verify;

#[cfg(test)]
pub(crate) mod fixture;
#[cfg(test)]
mod tests;

pub use checker::{CheckedRunbook, check};
pub use codes::{CODES, explain};
pub use environment::check_environment;
pub use policy::check_policy;
pub use runbooks::Runbooks;

pub(crate) use environment::{secret_reference, unknown_connection, unknown_service};
pub(crate) use for_each::too_many;
pub(crate) use input::{InputCheck, Subject, TextIs};
pub(crate) use reference::{RUN_FIELDS, STEP_FIELDS};
pub(crate) use schema::schema_for;
pub(crate) use sub_runbook::{MAX_PLANNED_STEPS, too_many_steps};
pub(crate) use template::escape_of;
pub(crate) use texts::TextAt;
pub(crate) use variables::VARIABLES;
