//! Floor 2: the rules that a runbook, an environment and a policy must keep before anything runs.
//!
//! One file per rule or family of rules; all findings are collected, none stops another.

mod absent;
mod action;
mod approval;
mod checker;
pub mod codes;
mod condition;
mod constant;
mod demand;
mod environment;
mod finally;
mod for_each;
mod graph;
mod input;
mod item;
mod no_return;
mod objective;
mod param;
mod policy;
mod polling;
mod redundant;
mod reference;
mod repeat;
mod review;
mod rules;
mod runbooks;
mod schema;
mod secrets;
mod shadow;
mod shell;
mod sub_runbook;
mod template;
mod texts;
mod timing;
mod undo;
mod unless;
mod unreachable;
mod uses;
mod variables;
mod verify;

#[cfg(test)]
pub(crate) mod fixture;
#[cfg(test)]
mod tests;
#[cfg(test)]
mod tests_of_loops;
#[cfg(test)]
mod tests_of_runbooks;

pub use checker::{CheckedRunbook, check};
pub use codes::{CODES, explain};
pub use demand::{check_demands, check_protection, is_protected};
pub use environment::check_environment;
pub use policy::{PolicyPlace, check_policy, check_policy_environments, check_policy_place};
pub use review::{REVIEW_DAYS, check_review};
pub use runbooks::Runbooks;

pub(crate) use approval::APPROVAL;
pub(crate) use demand::{Demands, plan_risk};
pub(crate) use environment::{secret_reference, unknown_connection, unknown_service};
pub(crate) use for_each::too_many;
pub(crate) use input::{InputCheck, Subject, TextIs};
pub(crate) use reference::{RUN_FIELDS, STEP_FIELDS};
pub(crate) use schema::schema_for;
pub(crate) use sub_runbook::{MAX_PLANNED_STEPS, too_many_steps};
pub(crate) use template::escape_of;
pub(crate) use texts::TextAt;
pub(crate) use variables::VARIABLES;
