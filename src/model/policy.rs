//! A policy file (`policy: v1`): who may approve what, and when (design §7).

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use chrono::NaiveDate;
use indexmap::IndexMap;
use serde::{Deserialize, Serialize};

use super::runbook::{Param, Risk, RunbookSeverity};
use super::ty::{ObjectTy, Ty};
use crate::base::{SourceFile, Span, Spanned};

/// Who may approve what.
#[derive(Debug, Clone)]
pub struct Policy {
    /// The file it came from.
    pub source: Arc<SourceFile>,
    /// `people` by login name.
    pub people: IndexMap<String, PolicyPerson>,
    /// `roles` by name.
    pub roles: IndexMap<String, PolicyRole>,
    /// `risk`: which approval each risk asks for.
    pub risk: Vec<(Spanned<Risk>, RiskRule)>,
    /// `self_approval`: whether the starter of a run may vote. Default: no.
    pub self_approval: Option<Spanned<bool>>,
    /// `exclude_author`: whether whoever changed the runbook last may not vote. Default: they may.
    pub exclude_author: Option<Spanned<bool>>,
    /// `require_signatures`: whether votes without a signature do not count. Default: they count.
    pub require_signatures: Option<Spanned<bool>>,
    /// `environments`: what is different there, by name.
    pub environments: IndexMap<String, PolicyEnvironment>,
    /// `calendar`.
    pub calendar: PolicyCalendar,
    /// `windows`: when changes may be made.
    pub windows: Vec<PolicyWindow>,
    /// `freezes`: when no changes may be made.
    pub freezes: Vec<PolicyFreeze>,
    /// `escalation` by severity.
    pub escalation: Vec<(Spanned<RunbookSeverity>, Vec<EscalationLevel>)>,
    /// `emergency`.
    pub emergency: Option<EmergencyRule>,
    /// `reviews`: how often a runbook of each risk is to be looked through.
    pub reviews: Vec<(Spanned<Risk>, Spanned<Duration>)>,
    /// `audit`.
    pub audit: AuditRule,
}

/// A person.
#[derive(Debug, Clone)]
pub struct PolicyPerson {
    /// Where the login name is written.
    pub span: Span,
    /// `name`: the full name.
    pub name: Option<Spanned<String>>,
    /// `contact`: e-mail or phone.
    pub contact: Option<Spanned<String>>,
    /// `ssh_keys`: public keys in OpenSSH form.
    pub ssh_keys: Vec<Spanned<String>>,
}

/// A role and who has it.
#[derive(Debug, Clone)]
pub struct PolicyRole {
    /// Where the name is written.
    pub span: Span,
    /// The members' login names.
    pub members: Vec<Spanned<String>>,
}

/// What a risk demands.
#[derive(Debug, Clone)]
pub struct RiskRule {
    /// Where it begins.
    pub span: Span,
    /// `quorum: [2 of team-lead, 1 of dba]`, or `role: team-lead` with a number as `quorum`: all must
    /// be met, by distinct people. At least one.
    pub quorum: Vec<Spanned<Quorum>>,
    /// `expiry`: how long the question stands.
    pub expiry: Option<Spanned<Duration>>,
    /// `vote_expiry`: how long a vote counts.
    pub vote_expiry: Option<Spanned<Duration>>,
    /// `on_expiry`: what happens when the question lapses. Default deny.
    pub on_expiry: Option<Spanned<OnExpiry>>,
}

/// So many distinct people of a role.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Quorum {
    /// How many, at least 1.
    pub count: u32,
    /// The role.
    pub role: String,
}

/// What happens when nobody approved in time. Never an approval.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OnExpiry {
    /// The gate is refused: the run ends (exit code 7).
    #[default]
    Deny,
    /// The rest of the escalation chain is told, level by level; then the gate is refused.
    Escalate,
    /// The run is left waiting until somebody votes.
    Park,
}

/// What is different in an environment. What is `None` is as for all.
#[derive(Debug, Clone)]
pub struct PolicyEnvironment {
    /// Where the name is written.
    pub span: Span,
    /// `protected`: the environment is protected even if its own file does not say so. It cannot take
    /// protection away.
    pub protected: Option<Spanned<bool>>,
    /// `risk`: rules that replace those of the same risk.
    pub risk: Vec<(Spanned<Risk>, RiskRule)>,
    /// `self_approval`.
    pub self_approval: Option<Spanned<bool>>,
    /// `exclude_author`.
    pub exclude_author: Option<Spanned<bool>>,
    /// `require_signatures`.
    pub require_signatures: Option<Spanned<bool>>,
}

/// What days and hours mean.
#[derive(Debug, Clone)]
pub struct PolicyCalendar {
    /// `time_zone`: IANA name. Default UTC.
    pub time_zone: Option<Spanned<String>>,
    /// `business_days`: `mon` to `sun` as 1 to 7. Default Monday to Friday.
    pub business_days: Vec<Spanned<u8>>,
    /// `business_hours: 09:00-17:00` in minutes of the day. Default as the example.
    pub business_hours: Option<Spanned<(u16, u16)>>,
    /// `holidays`.
    pub holidays: Vec<Spanned<NaiveDate>>,
}

/// Hours in which changes may be made. Where an environment has windows, changes are made in no other time.
#[derive(Debug, Clone)]
pub struct PolicyWindow {
    /// `name`.
    pub name: Spanned<String>,
    /// `environments`; none: all protected ones.
    pub environments: Vec<Spanned<String>>,
    /// `days` as 1 (Monday) to 7; none: every day.
    pub days: Vec<Spanned<u8>>,
    /// `hours: 22:00-04:00` in minutes of the day; an end that is not after the
    /// beginning is on the next day; `24:00` is minute 1440.
    pub hours: Spanned<(u16, u16)>,
}

/// A time without changes.
#[derive(Debug, Clone)]
pub struct PolicyFreeze {
    /// `name`.
    pub name: Spanned<String>,
    /// `environments`; none: all protected ones.
    pub environments: Vec<Spanned<String>>,
    /// `from`: `2026-12-20` or `2026-12-20T18:00`, in the calendar's time zone; a valid day or time.
    pub from: Spanned<String>,
    /// `to`: a day is frozen to its end; a valid day or time. That it comes after `from`, `check` says.
    pub to: Spanned<String>,
}

/// A level of the escalation chain.
#[derive(Debug, Clone)]
pub struct EscalationLevel {
    /// Where it begins.
    pub span: Span,
    /// `role`: who is told.
    pub role: Spanned<String>,
    /// `channel`: the notify connection of the environment; none: on record only.
    pub channel: Option<Spanned<String>>,
    /// `respond_within`: how long they have before the next level. Default by severity: P0 15 min, P1
    /// 1 h, P2 4 h, P3 the end of the next business day.
    pub respond_within: Option<Spanned<ResponseTime>>,
}

/// How long somebody has to answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ResponseTime {
    /// So long, day and night.
    Time(Duration),
    /// `next_business_day`: until its end.
    NextBusinessDay,
}

/// Break-glass.
#[derive(Debug, Clone)]
pub struct EmergencyRule {
    /// Where it begins.
    pub span: Span,
    /// `roles` whose members may start an emergency run; at least one.
    pub roles: Vec<Spanned<String>>,
    /// `review`: the role whose members review it afterwards.
    pub review: Spanned<String>,
    /// `review_within`: how long they have. Default 72 h.
    pub review_within: Option<Spanned<Duration>>,
}

/// How the audit trail is kept.
#[derive(Debug, Clone, Default)]
pub struct AuditRule {
    /// `remote`: a Git URL or path (relative to the repository's root) that the trail is pushed to.
    pub remote: Option<Spanned<String>>,
    /// `signers`: public keys that may sign commits of the trail, in OpenSSH form, by the name of the host or person.
    pub signers: IndexMap<String, Vec<Spanned<String>>>,
    /// `require_signatures`: no run is started without a key of a signer. Default false.
    pub require_signatures: bool,
}

/// What a step with `uses: approval` says in `with` beside its message.
#[derive(Debug, Clone, Default)]
pub struct GateAsk {
    /// `risk`: which rule of the policy it is subject to. Default: the runbook's risk.
    pub risk: Option<Spanned<Risk>>,
    /// `inputs`: what the approver fills in.
    pub inputs: IndexMap<String, Param>,
    /// `on_expiry`. Default: as the policy says.
    pub on_expiry: Option<Spanned<OnExpiry>>,
}

impl GateAsk {
    /// The type of what the gate gives, where `declared` is what its action declares.
    pub fn outputs_ty(&self, declared: &Ty) -> Ty {
        let inputs = self.inputs.iter();
        gate_outputs_ty(
            declared,
            inputs.map(|(name, input)| (name, &input.ty.value)),
        )
    }
}

/// The type of what a gate gives, where `declared` is what its action declares: its `inputs` are those
/// that it asks for, and no others.
pub fn gate_outputs_ty<'a>(
    declared: &Ty,
    inputs: impl Iterator<Item = (&'a String, &'a Ty)>,
) -> Ty {
    let Ty::Object(declared) = declared else {
        return declared.clone();
    };
    let fields: BTreeMap<String, Ty> = inputs.map(|(n, ty)| (n.clone(), ty.clone())).collect();
    let inputs = ObjectTy {
        required: fields.keys().cloned().collect(),
        fields,
        open: false,
    };
    let mut all = declared.clone();
    all.fields.insert("inputs".to_owned(), Ty::Object(inputs));
    Ty::Object(all)
}
