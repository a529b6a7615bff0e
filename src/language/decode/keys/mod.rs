//! The table of keys: one row per key, read by the decoder and by the JSON Schemas.

mod place;
mod policy;
mod runbook;
mod spec;
mod step;
mod test_file;

pub(in crate::language) use place::ENVIRONMENT;
pub(super) use place::{CONNECTION, SERVICE};
pub(in crate::language) use policy::POLICY;
pub(super) use policy::{
    AUDIT, CALENDAR, EMERGENCY, ESCALATION, FREEZE, LEVEL, PERSON, POLICY_ENVIRONMENT, REVIEWS,
    RISK, RISK_RULE, ROLE, WINDOW,
};
pub(in crate::language) use runbook::RUNBOOK;
pub(super) use runbook::{GATE_INPUT, OBJECTIVES, PARAM};
pub(in crate::language) use spec::{
    DAYS, INPUT_TYPES, ITEM_TYPES, KeySpec, ObjectSpec, Presence, Rules, Shape, TYPES,
    failure_names,
};
pub(in crate::language) use step::GATE;
pub(super) use step::{
    EFFECT, FINALLY_STEP, RETRY, ROLLBACK, STEP, UNLESS, VERIFY_CONDITION, VERIFY_STEP,
};
pub(in crate::language) use test_file::TEST;
pub(super) use test_file::{CANCEL, CASE, DURATION, EXPECT, REPLY, SWEEPS, VOTE};
