//! A step as it is written.

use std::time::Duration;

use indexmap::IndexMap;
use serde::{Deserialize, Serialize};

use super::action::Effect;
use super::policy::GateAsk;
use crate::base::{Span, Spanned, StepId, Value};

/// A YAML value with places: what `with:` and `outputs:` hold before templates are rendered.
#[derive(Debug, Clone, PartialEq)]
pub struct YamlValue {
    /// The value.
    pub kind: YamlValueKind,
    /// Where it is written.
    pub span: Span,
}

/// The kinds of [`YamlValue`].
#[derive(Debug, Clone, PartialEq)]
pub enum YamlValueKind {
    /// `null`, `true`, `5`, `1.5`: a scalar that is no text.
    Literal(Value),
    /// Text, perhaps a template. `content_offset` is the byte offset in the file of the text's
    /// first byte when the text stands in the file letter by letter (plain or simply quoted, one
    /// line); `None` when escapes or folding make offsets inexact.
    Text {
        /// The text.
        text: String,
        /// Where its first byte stands in the file.
        content_offset: Option<usize>,
    },
    /// A list.
    List(Vec<YamlValue>),
    /// A map, in file order; each key with its place.
    Map(IndexMap<String, (Span, YamlValue)>),
}

impl YamlValue {
    /// The value as JSON, templates as their raw text.
    pub fn to_json(&self) -> Value {
        match &self.kind {
            YamlValueKind::Literal(value) => value.clone(),
            YamlValueKind::Text { text, .. } => Value::String(text.clone()),
            YamlValueKind::List(items) => Value::Array(items.iter().map(Self::to_json).collect()),
            YamlValueKind::Map(map) => Value::Object(
                map.iter()
                    .map(|(key, (_, value))| (key.clone(), value.to_json()))
                    .collect(),
            ),
        }
    }
}

/// A node of the DAG as written.
#[derive(Debug, Clone)]
pub struct Step {
    /// Where the step begins.
    pub span: Span,
    /// `id`.
    pub id: Spanned<StepId>,
    /// `name`: one line for people.
    pub name: Option<Spanned<String>>,
    /// `uses` and `with`.
    pub action: Action,
    /// `needs`.
    pub needs: Needs,
    /// `when`: CEL; false → skipped.
    pub when: Option<Spanned<String>>,
    /// `for_each`, with `max_parallel` and `max_failures`.
    pub for_each: Option<ForEach>,
    /// `unless`: already in the desired state → skipped.
    pub unless: Option<Spanned<Unless>>,
    /// `until`: CEL over this step's `outputs`; the action is repeated until it holds.
    pub until: Option<Spanned<String>>,
    /// `every`: pause between two polls of `until`. Default 1 s.
    pub every: Option<Spanned<Duration>>,
    /// `retry`.
    pub retry: Option<Spanned<Retry>>,
    /// `timeout` of one attempt (all polls of an `until` are one attempt).
    pub timeout: Option<Spanned<Duration>>,
    /// `on_failure` of this step; default: the runbook's.
    pub on_failure: Option<Spanned<StepOnFailure>>,
    /// `verify`: CEL over this step's `outputs` that must hold after success.
    pub verify: Option<Spanned<String>>,
    /// `rollback`.
    pub rollback: Option<Spanned<Rollback>>,
    /// `outputs`: name → template over this step's own `outputs`; published beside the action's own.
    pub outputs: IndexMap<String, YamlValue>,
    /// `effect`: override with a reason.
    pub effect: Option<Spanned<EffectOverride>>,
    /// `idempotency_key`: a template; handed to the handler. Default: run and step.
    pub idempotency_key: Option<YamlValue>,
    /// `environment`: variables of the programs that the step starts: name → template.
    pub environment: IndexMap<String, YamlValue>,
    /// `secrets`: names of secrets that the step may put where they are published.
    pub secrets: Vec<Spanned<String>>,
    /// `template: false` leaves the texts of `with` alone.
    pub template: bool,
    /// Of `uses: approval`: what `with` says beside the message.
    pub gate: Option<Box<GateAsk>>,
}

/// `for_each` of a step: one instance for each item of a list.
#[derive(Debug, Clone, PartialEq)]
pub struct ForEach {
    /// The list: a template that is one reference, or a written list.
    pub items: YamlValue,
    /// `max_parallel`: how many instances may be at work at once. Default 1: in order.
    pub max_parallel: Option<Spanned<u32>>,
    /// `max_failures`: how many may fail before no other is started. Default none.
    pub max_failures: Option<Spanned<MaxFailures>>,
}

/// Most instances of one loop.
pub const MAX_INSTANCES: usize = 1_000;

/// How many instances of a loop may fail.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "of", content = "value", rename_all = "snake_case")]
pub enum MaxFailures {
    /// This many.
    Count(u32),
    /// This share of all instances in percent, rounded down; 0 to 100.
    Percent(u32),
}

impl MaxFailures {
    /// How many of `instances` may fail.
    pub fn allowed(self, instances: usize) -> usize {
        match self {
            Self::Count(count) => count as usize,
            Self::Percent(percent) => instances * percent.min(100) as usize / 100,
        }
    }
}

impl Default for MaxFailures {
    fn default() -> Self {
        Self::Count(0)
    }
}

/// `unless` of a step.
#[derive(Debug, Clone)]
pub enum Unless {
    /// A condition over what is known already.
    Condition(Spanned<String>),
    /// A read-only action and a condition over its `outputs`.
    Probe {
        /// The action.
        action: Action,
        /// `condition`.
        condition: Spanned<String>,
    },
}

/// An action with its inputs: the body of a step and of a rollback.
#[derive(Debug, Clone)]
pub struct Action {
    /// `uses`.
    pub uses: Spanned<String>,
    /// `with`; an empty map when absent. Always of kind `Map`.
    pub with: YamlValue,
}

impl Action {
    /// What `uses` begins with when it names another runbook.
    pub const RUNBOOK: &'static str = "runbook.";

    /// The runbook that it runs, when it is no action of a handler.
    pub fn runbook(&self) -> Option<&str> {
        self.uses.value.strip_prefix(Self::RUNBOOK)
    }
}

/// `needs` of a step.
#[derive(Debug, Clone, PartialEq)]
pub enum Needs {
    /// Not written: the step above.
    Above,
    /// Written: exactly these; empty starts at once.
    Listed(Vec<Spanned<String>>),
}

/// `retry` of a step.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Retry {
    /// `attempts`: how often the action is tried in all, at least 1.
    pub attempts: u32,
    /// `delay` before the second attempt. Default 1 s.
    pub delay: Duration,
    /// `backoff`. Default exponential.
    pub backoff: Backoff,
    /// `max_delay`. Default 1 min.
    pub max_delay: Duration,
    /// `jitter`: share of the delay (0 to 1) that is varied. Default 0.
    pub jitter: f64,
    /// `on`: which failures are retried; empty: all but those that cannot change
    /// (`invalid`) and those a person caused (`cancelled`).
    pub on: Vec<String>,
}

/// How the delay grows.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Backoff {
    /// The same delay each time.
    Constant,
    /// Delay × attempt.
    Linear,
    /// Delay doubles each time.
    #[default]
    Exponential,
}

/// What a step's failure does to the run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum StepOnFailure {
    /// The run stops where it is.
    Stop,
    /// The run is rolled back.
    Rollback,
    /// The failure is tolerated; what comes after goes on, and the run ends *with exceptions*.
    Continue,
}

/// `rollback` of a step.
#[derive(Debug, Clone)]
pub enum Rollback {
    /// How to undo it.
    Undo {
        /// The undoing action.
        action: Action,
        /// Its own retry.
        retry: Option<Retry>,
        /// Its own timeout.
        timeout: Option<Duration>,
    },
    /// It cannot be undone, and why.
    Irreversible {
        /// `reason`.
        reason: String,
    },
}

/// `effect` of a step: `{ is: read, reason: ... }`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EffectOverride {
    /// `is`.
    pub effect: Effect,
    /// `reason`.
    pub reason: String,
}
