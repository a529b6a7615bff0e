//! The part of the policy that a plan is subject to. Its JSON form is part of the stored plan, so that
//! anyone can tell later who was allowed what at that time.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::types::PlanParamRule;
use crate::base::{HumanDuration, Value};
use crate::model::{OnExpiry, Risk, Ty};

/// What the policy demands of this plan; only plans for protected environments have one.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PlanPolicy {
    /// Path of the policy file as shown; not part of the digest.
    pub file: String,
    /// What a gate of each risk demands; at least those of the plan's gates.
    pub rules: BTreeMap<Risk, PlanRule>,
    /// Everybody whom the rules or the emergency rule name, by login name.
    pub people: BTreeMap<String, PlanPerson>,
    /// Votes without a good signature do not count.
    pub require_signatures: bool,
    /// Whoever started the run, and whoever it was started for, may vote.
    pub self_approval: bool,
    /// Whoever changed the runbook last may not vote.
    pub exclude_author: bool,
    /// When changes may be made; none: at any time.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub windows: Vec<PlanWindow>,
    /// When no changes may be made.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub freezes: Vec<PlanFreeze>,
    /// What days and hours mean.
    pub calendar: PlanCalendar,
    /// Who is told when nobody answers, by the severity of the runbook; the first level first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub escalation: Vec<PlanEscalation>,
    /// Break-glass; `None`: it is not allowed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub emergency: Option<PlanEmergency>,
}

/// What a gate of some risk demands.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PlanRule {
    /// All of these must be met, by distinct people; at least one.
    pub quorum: Vec<PlanQuorum>,
    /// How long the question stands, when the gate does not say less.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires: Option<HumanDuration>,
    /// How long a vote counts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub vote_expires: Option<HumanDuration>,
    /// What happens when the question lapses, when the gate does not say.
    pub on_expiry: OnExpiry,
}

/// So many of a role.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PlanQuorum {
    /// How many distinct people, at least 1.
    pub count: u32,
    /// The role's name.
    pub role: String,
    /// Its members' login names, sorted.
    pub members: Vec<String>,
}

/// A person.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PlanPerson {
    /// Full name; not part of the digest.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Where messages reach them; not part of the digest.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub contact: Option<String>,
    /// Public keys in OpenSSH form, without their comments.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub ssh_keys: Vec<String>,
}

/// Hours in which changes may be made.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PlanWindow {
    /// Its name in messages.
    pub name: String,
    /// Days of the week, 1 (Monday) to 7, sorted; none: every day.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub days: Vec<u8>,
    /// Minute of the day from which on it is open.
    pub from: u16,
    /// Minute of the day at which it closes; not later than `from`: on the next day.
    pub to: u16,
}

/// A time without changes, by the days of the policy's time zone.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PlanFreeze {
    /// Its name in messages.
    pub name: String,
    /// First moment, `2026-12-20` (its beginning) or `2026-12-20T18:00`.
    pub from: String,
    /// The moment after the last: `2027-01-04` is the end of that day, `2027-01-04T06:00` that time.
    pub to: String,
}

/// What days and hours mean.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PlanCalendar {
    /// IANA name, such as `Europe/Berlin`.
    pub time_zone: String,
    /// Business days of the week, 1 (Monday) to 7, sorted.
    pub business_days: Vec<u8>,
    /// Minutes of the day between which business is done.
    pub business_hours: (u16, u16),
    /// Days (`2026-12-25`) on which none is done, sorted.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub holidays: Vec<String>,
}

/// A level of the escalation chain.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PlanEscalation {
    /// How long after the level before it (the first: after the gate opened) it is due.
    pub after: PlanDelay,
    /// Whom it is for.
    pub role: String,
    /// The role's members.
    pub members: Vec<String>,
    /// The notify channel (a connection of the environment) that the message goes to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub channel: Option<String>,
    /// How long they have to answer before the next level, or the lapse after the last.
    pub respond_within: PlanDelay,
}

/// How long.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", content = "value", rename_all = "snake_case")]
pub enum PlanDelay {
    /// So long, day and night.
    Time(HumanDuration),
    /// Until the end of the next business day.
    NextBusinessDay,
}

/// Break-glass.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PlanEmergency {
    /// Who may start an emergency run; sorted login names.
    pub members: Vec<String>,
    /// The role whose members review it afterwards.
    pub review: String,
    /// Its members, sorted.
    pub reviewers: Vec<String>,
    /// How long they have.
    pub review_within: HumanDuration,
}

/// What a step with `uses: approval` asks.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PlanGate {
    /// Which rule of the policy it is subject to: the runbook's risk, or a lower or higher one that it says.
    pub risk: Risk,
    /// What is to be filled in, by name.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub inputs: BTreeMap<String, PlanGateInput>,
    /// The `read` steps before it, in the same runbook, whose values its message or its `verify` show:
    /// they are asked again when the votes suffice. In file order, ids as in their file.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub reads: Vec<crate::base::StepId>,
    /// What happens when the question lapses; `None`: what the rule says, else deny.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub on_expiry: Option<OnExpiry>,
    /// Whether the runbook does not have it: the policy demands it.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub demanded: bool,
}

/// Something that the approver fills in.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PlanGateInput {
    /// Its type: any that a parameter may have, but `secret`.
    pub ty: Ty,
    /// The value when nobody gives one; `None`: it must be given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub default: Option<Value>,
    /// What it is; not part of the digest.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// What it permits beyond its type.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rule: Option<PlanParamRule>,
}
