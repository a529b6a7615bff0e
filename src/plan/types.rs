//! The plan as data. Its JSON form is stored with every run and is versioned.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::policy::{PlanGate, PlanPolicy};
use crate::base::{Digest, HumanDuration, StepId, Value};
use crate::model::{
    Backoff, Effect, Escape, MaxFailures, OnCancel, OnFailure, Risk, RunbookSeverity, SecretSource,
    StepOnFailure, Ty,
};

/// Version of the stored form of [`Plan`].
pub const PLAN_FORMAT: u32 = 1;

/// A checked, fully resolved DAG: all that is needed to run it, now or after a restart.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Plan {
    /// [`PLAN_FORMAT`].
    pub format: u32,
    /// What the runbook says of itself.
    pub runbook: PlanRunbook,
    /// Where it acts.
    pub environment: PlanEnvironment,
    /// Parameters with their values.
    pub params: BTreeMap<String, PlanParam>,
    /// What a failed run does.
    pub on_failure: OnFailure,
    /// What a cancelled run does.
    pub on_cancel: OnCancel,
    /// Limit of the forward part.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timeout: Option<HumanDuration>,
    /// What the policy demands; only in protected environments.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub policy: Option<Box<PlanPolicy>>,
    /// The steps, in file order; a gate that the policy demands comes first.
    pub steps: Vec<PlanStep>,
    /// Read-only steps that run when all of `steps` have ended and prove the recovery, in file order.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub verify: Vec<PlanStep>,
    /// The steps that run at the end whatever happened, in file order.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub finally: Vec<PlanStep>,
    /// Where the secrets that it may use are to be had: `NAME` of the environment's `secrets`, and
    /// `params.NAME`.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub secrets: BTreeMap<String, SecretSource>,
    /// The runbook's outputs.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub outputs: BTreeMap<String, Expr>,
    /// Types of the outputs of the actions that it uses, each once, so that a plan of many steps
    /// stays small and conditions mean the same after an upgrade.
    pub action_outputs: BTreeMap<String, Ty>,
}

/// What a runbook says of itself. `title`, `owner`, `file` and `source` are not part of the digest.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PlanRunbook {
    /// Name.
    pub name: String,
    /// Title.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub title: Option<String>,
    /// Owner.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub owner: Option<String>,
    /// Path of the file as shown.
    pub file: String,
    /// Digest of the file's bytes, so that the audit trail can tell that it is the one; not part of the
    /// plan's digest. `None` in plans of older versions.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source: Option<Digest>,
    /// Incident severity.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub severity: Option<RunbookSeverity>,
    /// Risk.
    pub risk: Risk,
    /// Recovery time objective.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rto: Option<HumanDuration>,
    /// Recovery point objective.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rpo: Option<HumanDuration>,
}

/// The environment as it was when the plan was made.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct PlanEnvironment {
    /// Name.
    pub name: String,
    /// Whether gates are demanded here.
    pub protected: bool,
    /// Variables.
    pub vars: BTreeMap<String, Value>,
    /// Services by name.
    pub services: BTreeMap<String, PlanService>,
    /// Connections by name.
    pub connections: BTreeMap<String, PlanConnection>,
}

/// A service of the environment.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PlanService {
    /// Provider name.
    pub provider: String,
    /// Provider-specific keys, an object.
    pub config: Value,
}

/// A connection of the environment.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PlanConnection {
    /// Kind.
    pub kind: String,
    /// Kind-specific keys, an object.
    pub config: Value,
}

/// A parameter with its value.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PlanParam {
    /// Declared type.
    pub ty: Ty,
    /// Value in canonical JSON form (a duration as its shortest text, a size as a number).
    pub value: Value,
}

/// A node of the DAG.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PlanStep {
    /// Id, unique in `steps` and `finally` together.
    pub id: StepId,
    /// Name for people; not part of the digest.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Line in the runbook file; not part of the digest.
    pub line: u32,
    /// What it does.
    pub action: PlanAction,
    /// What it asks, if it is a gate.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gate: Option<Box<PlanGate>>,
    /// What it needs, in file order.
    pub needs: Vec<StepId>,
    /// The sub-runbook that it calls; then `action.uses` is `runbook.NAME` and `action.with` gives the
    /// sub-runbook's parameters.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub block: Option<Box<PlanBlock>>,
    /// Condition to run at all. Of a loop: for the whole loop, unless it refers to `item` or `index`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub when: Option<String>,
    /// One instance for each item.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub for_each: Option<PlanForEach>,
    /// What makes it needless; of a loop, for each instance.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unless: Option<PlanUnless>,
    /// Condition to be polled for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<String>,
    /// Pause between two polls.
    pub every: HumanDuration,
    /// Retry policy.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retry: Option<PlanRetry>,
    /// Limit of one attempt. For an approval: when the question lapses.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timeout: Option<HumanDuration>,
    /// What its failure does, resolved against the runbook's default.
    pub on_failure: StepOnFailure,
    /// Condition that must hold after success. Of a gate: when it opens, judged by fresh values of
    /// its `reads`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub verify: Option<String>,
    /// How to undo it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rollback: Option<PlanRollback>,
    /// Outputs published beside the action's own.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub outputs: BTreeMap<String, Expr>,
    /// What tells the other side that two calls are one; default: run and step.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub idempotency_key: Option<Expr>,
}

fn is_any(ty: &Ty) -> bool {
    *ty == Ty::Any
}

/// A loop over a list.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PlanForEach {
    /// Gives the list.
    pub items: Expr,
    /// The type of its items as it is declared; [`Ty::Any`] when nothing declares it.
    #[serde(default, skip_serializing_if = "is_any")]
    pub item: Ty,
    /// How many instances may be at work at once, at least 1.
    pub max_parallel: u32,
    /// How many may fail before no other is started and the loop has failed.
    pub max_failures: MaxFailures,
}

pub use crate::model::MAX_INSTANCES;

/// `unless` of a step.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PlanUnless {
    /// A read-only action whose outputs the condition judges as `outputs`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub probe: Option<PlanAction>,
    /// When it holds, the step is skipped.
    pub condition: String,
}

/// A sub-runbook as the step that calls it holds it. Its expressions see its own `params` and `steps`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PlanBlock {
    /// Name of the runbook.
    pub runbook: String,
    /// Path of its file as shown; not part of the digest.
    pub file: String,
    /// Types of its parameters; the values are the calling step's inputs.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub params: BTreeMap<String, Ty>,
    /// What they permit beyond their types: of those whose values only the run knows.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub rules: BTreeMap<String, PlanParamRule>,
    /// Its steps, in file order; their ids are those of its file.
    pub steps: Vec<PlanStep>,
    /// Its `verify`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub verify: Vec<PlanStep>,
    /// Its `finally`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub finally: Vec<PlanStep>,
    /// Its outputs: the calling step's outputs.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub outputs: BTreeMap<String, Expr>,
}

/// What a parameter permits beyond its type; at least one is given.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct PlanParamRule {
    /// A regular expression that the whole text must match.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pattern: Option<String>,
    /// The smallest value.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub min: Option<Value>,
    /// The largest value.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max: Option<Value>,
}

/// An action with its inputs.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PlanAction {
    /// Action name.
    pub uses: String,
    /// Inputs; an object expression.
    pub with: Expr,
    /// Effect, after a step's override.
    pub effect: Effect,
}

/// Retry policy.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PlanRetry {
    /// Tries in all, at least 1.
    pub attempts: u32,
    /// Delay before the second.
    pub delay: HumanDuration,
    /// How it grows.
    pub backoff: Backoff,
    /// Where it stops growing.
    pub max_delay: HumanDuration,
    /// Share of the delay that is varied, 0 to 1.
    pub jitter: f64,
    /// Failure kinds that are retried; empty: all but `invalid` and `cancelled`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub on: Vec<String>,
}

/// How to undo a step.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum PlanRollback {
    /// By an action.
    Undo {
        /// The undoing action; its templates may use the step's own `outputs`.
        action: PlanAction,
        /// Its retry.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        retry: Option<PlanRetry>,
        /// Its limit per attempt.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        timeout: Option<HumanDuration>,
    },
    /// It cannot be undone.
    Irreversible {
        /// Why.
        reason: String,
    },
}

/// A value, or what gives one at run time.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", content = "value", rename_all = "snake_case")]
pub enum Expr {
    /// Known now.
    Value(Value),
    /// A template to be rendered when its step starts.
    Template {
        /// Handlebars text.
        text: String,
        /// How interpolated values are escaped in this place.
        escape: Escape,
    },
    /// A list with a part that is not known now.
    List(Vec<Expr>),
    /// A map with a part that is not known now.
    Map(BTreeMap<String, Expr>),
}
