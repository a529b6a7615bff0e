//! Floor 1, the nouns: what the files say, and what actions declare about themselves.
//!
//! Plain data with places ([`crate::base::Spanned`]); decoding is `language`'s work, judging is `check`'s.

mod action;
mod environment;
mod policy;
mod runbook;
mod secret;
mod step;
mod ty;
mod ty_rules;

pub use action::{
    ActionCatalog, ActionExample, ActionManifest, ConnectionManifest, Effect, Escape,
    ProviderManifest, has_nothing_to_undo,
};
pub use environment::{Connection, Environment, Service};
pub use policy::{
    AuditRule, EmergencyRule, EscalationLevel, GateAsk, OnExpiry, Policy, PolicyCalendar,
    PolicyEnvironment, PolicyFreeze, PolicyPerson, PolicyRole, PolicyWindow, Quorum, ResponseTime,
    RiskRule, gate_outputs_ty,
};
pub use runbook::{Objectives, OnCancel, OnFailure, Param, Risk, Runbook, RunbookSeverity};
pub use secret::{InvalidSource, SecretSource};
pub use step::{
    Action, Backoff, EffectOverride, ForEach, MAX_INSTANCES, MaxFailures, Needs, Retry, Rollback,
    Step, StepOnFailure, Unless, YamlValue, YamlValueKind,
};
pub use ty::{ObjectTy, Ty};
pub use ty_rules::{LookupProblem, LookupProblemKind};
