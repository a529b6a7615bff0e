//! A runbook file (`runbook: v1`) as it is written.

use std::sync::Arc;
use std::time::Duration;

use chrono::NaiveDate;
use indexmap::IndexMap;
use serde::{Deserialize, Serialize};

use super::step::{Action, Step, YamlValue};
use super::ty::Ty;
use crate::base::{SourceFile, Span, Spanned};

/// A runbook: parameters, steps, rollbacks, approvals.
#[derive(Debug, Clone)]
pub struct Runbook {
    /// The file it came from; every span points into it.
    pub source: Arc<SourceFile>,
    /// `name`: equals the file name without `.yaml`.
    pub name: Spanned<String>,
    /// `title`: one line for people.
    pub title: Option<Spanned<String>>,
    /// `description`: Markdown.
    pub description: Option<Spanned<String>>,
    /// `owner`: the team that keeps it.
    pub owner: Option<Spanned<String>>,
    /// `severity`: the incident severity that it answers.
    pub severity: Option<Spanned<RunbookSeverity>>,
    /// `risk`: which approval the policy asks for. Default low.
    pub risk: Spanned<Risk>,
    /// `reviewed`: the day of the last review.
    pub reviewed: Option<Spanned<NaiveDate>>,
    /// `objectives`.
    pub objectives: Objectives,
    /// `params`, in file order; the key keeps its place.
    pub params: IndexMap<String, Param>,
    /// `on_failure` of the run. Default rollback.
    pub on_failure: Spanned<OnFailure>,
    /// `on_cancel` of the run. Default stop.
    pub on_cancel: Spanned<OnCancel>,
    /// `timeout` of the whole forward part of the run.
    pub timeout: Option<Spanned<Duration>>,
    /// `steps`, in file order.
    pub steps: Vec<Step>,
    /// `verify`, in file order: read-only steps that prove the recovery. An entry that is only a
    /// `condition` is a step `verify_N` that uses `assert` and has the condition as its `verify`.
    pub verify: Vec<Step>,
    /// `finally`, in file order.
    pub finally: Vec<Step>,
    /// `outputs`: name → template.
    pub outputs: IndexMap<String, YamlValue>,
}

impl Runbook {
    /// The places where it runs other runbooks, in file order.
    pub fn calls(&self) -> impl Iterator<Item = &Action> {
        [&self.steps, &self.verify, &self.finally]
            .into_iter()
            .flatten()
            .map(|step| &step.action)
            .filter(|action| action.runbook().is_some())
    }
}

/// The incident severity a procedure answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum RunbookSeverity {
    /// Everything is down.
    P0,
    /// A main function is down.
    P1,
    /// Degraded.
    P2,
    /// Routine.
    P3,
}

/// How risky a runbook is; the policy maps it to an approval.
#[derive(
    Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(rename_all = "snake_case")]
pub enum Risk {
    /// A developer's own call.
    #[default]
    Low,
    /// A team lead's call.
    Medium,
    /// An architecture review's call.
    High,
}

impl Risk {
    /// The word in files and on screens.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Low => "low",
            Self::Medium => "medium",
            Self::High => "high",
        }
    }
}

/// What a failed run does.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OnFailure {
    /// Undo the completed steps.
    #[default]
    Rollback,
    /// Leave everything as it is.
    Stop,
}

/// What a cancelled run does once its running steps have ended.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OnCancel {
    /// Leave everything as it is.
    #[default]
    Stop,
    /// Undo the completed steps.
    Rollback,
}

/// Recovery objectives, measured in every run and drill.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Objectives {
    /// Recovery time objective.
    pub rto: Option<Spanned<Duration>>,
    /// Recovery point objective.
    pub rpo: Option<Spanned<Duration>>,
}

/// A declared parameter.
#[derive(Debug, Clone)]
pub struct Param {
    /// Where its name is written.
    pub name_span: Span,
    /// `type` (with `values` for `enum`, `items` for `list` and `map`).
    pub ty: Spanned<Ty>,
    /// `default`; a literal, never a template. Without it the parameter is required.
    pub default: Option<YamlValue>,
    /// `description`.
    pub description: Option<Spanned<String>>,
    /// `pattern`: a regular expression that the whole text must match (`string` only).
    pub pattern: Option<Spanned<String>>,
    /// `min`: smallest permitted value (`int`, `float`, `duration`, `size`).
    pub min: Option<YamlValue>,
    /// `max`: largest permitted value (`int`, `float`, `duration`, `size`).
    pub max: Option<YamlValue>,
}
