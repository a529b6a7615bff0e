//! Tree → model: strict, all errors in one go.
//!
//! The keys of every kind of object stand once, in `keys`; the decoder and the JSON Schemas both
//! read that table.

mod calendar;
mod call;
mod environment;
mod fields;
mod for_each;
mod gate;
mod head;
mod keys;
mod param;
mod policy;
mod reader;
mod runbook;
mod secret;
mod step;
mod test_file;
mod unless;
mod verify;

pub(super) use call::CALL_REFUSES;
pub use environment::decode_environment;
pub(super) use keys::{
    ENVIRONMENT, GATE, INPUT_TYPES, ITEM_TYPES, KeySpec, ObjectSpec, POLICY, Presence, RUNBOOK,
    Rules, Shape, TEST, TYPES, failure_names,
};
pub use policy::decode_policy;
pub use runbook::decode_runbook;
pub use test_file::decode_test_file;

#[cfg(test)]
mod tests;
#[cfg(test)]
mod tests_of_loops;
#[cfg(test)]
mod tests_of_policies;
