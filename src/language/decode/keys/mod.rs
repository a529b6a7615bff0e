//! The table of keys: one row per key, read by the decoder and by the JSON Schemas.

mod place;
mod runbook;
mod spec;
mod step;
mod test_file;

pub(super) use place::{CONNECTION, PERSON, RISK, RISK_RULE, ROLE, SERVICE};
pub(in crate::language) use place::{ENVIRONMENT, POLICY};
pub(in crate::language) use runbook::RUNBOOK;
pub(super) use runbook::{OBJECTIVES, PARAM};
pub(in crate::language) use spec::{
    ITEM_TYPES, KeySpec, ObjectSpec, Presence, Rules, Shape, TYPES, failure_names,
};
pub(super) use step::{
    EFFECT, FINALLY_STEP, RETRY, ROLLBACK, STEP, UNLESS, VERIFY_CONDITION, VERIFY_STEP,
};
pub(in crate::language) use test_file::TEST;
pub(super) use test_file::{CANCEL, CASE, DURATION, EXPECT, REPLY, SWEEPS, VOTE};
