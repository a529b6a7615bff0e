//! The steps of a review: what would run, what was read, what would be undone.

use serde::Serialize;

use crate::base::{StepId, Value};
use crate::model::{Effect, has_nothing_to_undo};
use crate::plan::{Plan, PlanRollback, PlanStep};
use crate::run::{NodeKind, NodeStatus, RunState};

/// Longest text of a value that was read, in characters.
const LONGEST: usize = 400;
/// Most values that are shown.
const VALUES: usize = 50;

/// A step that would run.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ReviewStep {
    /// Full id, without keys of instances.
    pub id: StepId,
    /// Name for people.
    pub name: Option<String>,
    /// Action.
    pub uses: String,
    /// What repeating it would do; of a gate and of a sub-runbook nothing.
    pub effect: Option<Effect>,
    /// Its inputs with what is known; what is not stays as it is written. Secrets are markers.
    pub inputs: Value,
    /// The conditions that decide about it, as written: `when`, `unless`, `until`, `verify`.
    pub conditions: Vec<(String, String)>,
    /// The list of a loop, with what is known.
    pub for_each: Option<Value>,
    /// How it is undone: `undone_by` an action, `irreversible` with a reason, `nothing`, or, when there
    /// is nothing to undo, absent.
    pub undo: Option<ReviewUndone>,
    /// How deep it lies below the runbook's own steps.
    pub depth: usize,
}

/// How a step is undone.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(tag = "how", rename_all = "snake_case")]
pub enum ReviewUndone {
    /// By an action.
    UndoneBy {
        /// The action.
        uses: String,
    },
    /// It cannot be undone.
    Irreversible {
        /// Why.
        reason: String,
    },
    /// The runbook does not say how.
    Nothing,
}

/// What a step gave that was read so far.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ReviewValue {
    /// The step.
    pub step: StepId,
    /// Its outputs; long texts are cut.
    pub outputs: Value,
}

/// A step in the order in which a rollback would come to it.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ReviewUndo {
    /// The step.
    pub step: StepId,
    /// How it is undone.
    pub undo: ReviewUndone,
    /// Whether it has completed already.
    pub done: bool,
}

/// The steps with their inputs as far as they are known.
pub(super) fn steps(state: &RunState, steps: &[(StepId, &PlanStep)]) -> Vec<ReviewStep> {
    steps
        .iter()
        .map(|(id, step)| {
            let is_gate = step.is_gate();
            let unless = step.unless.as_ref().map(|unless| match &unless.probe {
                Some(probe) => format!("{} says {}", probe.uses, unless.condition),
                None => unless.condition.clone(),
            });
            let conditions = [
                ("when", step.when.clone()),
                ("unless", unless),
                ("until", step.until.clone()),
                ("verify", step.verify.clone()),
            ];
            ReviewStep {
                id: id.clone(),
                name: step.name.clone(),
                uses: step.action.uses.clone(),
                effect: (!is_gate && step.block.is_none()).then_some(step.action.effect),
                inputs: state.preview(id, &step.action.with),
                conditions: conditions
                    .into_iter()
                    .filter_map(|(key, text)| Some((key.to_owned(), text?)))
                    .collect(),
                for_each: step
                    .for_each
                    .as_ref()
                    .map(|each| state.preview(id, &each.items)),
                undo: match step.block {
                    Some(_) => None,
                    None => undone(step),
                },
                depth: id.as_str().matches('/').count(),
            }
        })
        .collect()
}

/// How a step is undone; `None` when there is nothing to undo.
fn undone(step: &PlanStep) -> Option<ReviewUndone> {
    match &step.rollback {
        Some(PlanRollback::Undo { action, .. }) => Some(ReviewUndone::UndoneBy {
            uses: action.uses.clone(),
        }),
        Some(PlanRollback::Irreversible { reason }) => Some(ReviewUndone::Irreversible {
            reason: reason.clone(),
        }),
        None if step.action.effect == Effect::Read || has_nothing_to_undo(&step.action.uses) => {
            None
        }
        None => Some(ReviewUndone::Nothing),
    }
}

/// What the `read` steps that have succeeded gave.
pub(super) fn values(state: &RunState) -> Vec<ReviewValue> {
    let read = state.nodes().filter(|(step, node)| {
        node.status == NodeStatus::Succeeded
            && node.kind == NodeKind::Step
            && step.action.effect == Effect::Read
            && step.gate.is_none()
            && !node.outputs.is_null()
    });
    read.take(VALUES)
        .map(|(_, node)| ReviewValue {
            step: node.id.clone(),
            outputs: cut(&node.outputs),
        })
        .collect()
}

/// The value with its long texts cut.
fn cut(value: &Value) -> Value {
    match value {
        Value::String(text) => match text.char_indices().nth(LONGEST) {
            Some((end, _)) => Value::String(format!("{}…", &text[..end])),
            None => value.clone(),
        },
        Value::Array(items) => items.iter().map(cut).collect(),
        Value::Object(map) => Value::Object(
            map.iter()
                .map(|(key, value)| (key.clone(), cut(value)))
                .collect(),
        ),
        other => other.clone(),
    }
}

/// The steps that change something, in the order in which a rollback of the whole run would come to
/// them: the last first.
pub(super) fn undoing(state: &RunState) -> Vec<ReviewUndo> {
    let mut all = Vec::new();
    let plan: &Plan = state.plan();
    for step in &plan.steps {
        collect(state, step, None, &mut all);
    }
    all.reverse();
    all
}

fn collect(state: &RunState, step: &PlanStep, caller: Option<&StepId>, all: &mut Vec<ReviewUndo>) {
    let id = caller.map_or_else(|| step.id.clone(), |caller| caller.inside(&step.id));
    if let Some(block) = &step.block {
        for step in &block.steps {
            collect(state, step, Some(&id), all);
        }
        return;
    }
    let node = state.node(&id);
    let skipped = node.is_some_and(|node| node.status == NodeStatus::Skipped);
    if let Some(undo) = undone(step).filter(|_| !skipped) {
        all.push(ReviewUndo {
            done: node.is_some_and(|node| node.status == NodeStatus::Succeeded),
            step: id,
            undo,
        });
    }
}
