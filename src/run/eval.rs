//! Expressions against the state: builds a scope with just what an expression refers to.

use std::collections::BTreeMap;

use serde_json::json;

use super::state::{NodeStatus, RunState};
use crate::base::{Map, StepId, Value};
use crate::language::{Condition, ExprError, Reference, Scope};
use crate::model::{ObjectTy, Ty};
use crate::plan::{Expr, PlanStep};

/// The outputs that `outputs.x` means in this place.
pub(super) type Own<'a> = Option<(&'a Value, &'a Ty)>;

/// Renders an expression.
pub(super) fn render(state: &RunState, expr: &Expr, own: Own<'_>) -> Result<Value, ExprError> {
    if let Expr::Value(value) = expr {
        return Ok(value.clone());
    }
    let references = expr.references();
    expr.render(&scope(state, &references, own))
}

/// Evaluates a condition.
pub(super) fn holds(state: &RunState, text: &str, own: Own<'_>) -> Result<bool, ExprError> {
    let condition = Condition::parse(text)?;
    condition.holds(&scope(state, condition.references(), own))
}

/// What `steps.ID.outputs` holds: the action's own outputs and those the step adds.
pub(super) fn outputs_ty(step: &PlanStep) -> Ty {
    let mut object = match &step.action.outputs {
        Ty::Object(object) => object.clone(),
        other if step.outputs.is_empty() => return other.clone(),
        _ => ObjectTy {
            open: true,
            ..ObjectTy::default()
        },
    };
    for name in step.outputs.keys() {
        object.fields.insert(name.clone(), Ty::Any);
    }
    Ty::Object(object)
}

fn scope(state: &RunState, references: &[Reference], own: Own<'_>) -> Scope {
    let mut scope = Scope::new();
    let mut steps: BTreeMap<&str, Option<&PlanStep>> = BTreeMap::new();
    for reference in references {
        match reference.path.first().map(String::as_str) {
            Some("params") if !scope.roots().contains_key("params") => {
                let (value, ty) = params(state);
                scope.set("params", value, ty);
            }
            Some("vars") if !scope.roots().contains_key("vars") => {
                let vars: Map<String, Value> = state
                    .plan()
                    .environment
                    .vars
                    .iter()
                    .map(|(k, v)| (k.clone(), v.clone()))
                    .collect();
                scope.set("vars", Value::Object(vars), Ty::Map(Box::new(Ty::Any)));
            }
            Some("run") if !scope.roots().contains_key("run") => {
                let (value, ty) = run(state);
                scope.set("run", value, ty);
            }
            Some("outputs") => {
                if let Some((value, ty)) = own {
                    scope.set("outputs", value.clone(), ty.clone());
                }
            }
            Some("steps") => {
                if let Some(id) = reference.path.get(1) {
                    steps.entry(id).or_insert_with(|| step_named(state, id));
                } else {
                    steps.extend(state.nodes().map(|(s, _)| (s.id.as_str(), Some(s))));
                }
            }
            _ => {}
        }
    }
    if !steps.is_empty() {
        let (value, ty) = steps_scope(state, &steps);
        scope.set("steps", value, ty);
    }
    scope
}

fn step_named<'a>(state: &'a RunState, id: &str) -> Option<&'a PlanStep> {
    let id = StepId::new(id).ok()?;
    let node = state.index.get(&id)?;
    Some(state.step(node))
}

fn params(state: &RunState) -> (Value, Ty) {
    let mut values = Map::new();
    let mut object = ObjectTy::default();
    for (name, param) in &state.plan().params {
        values.insert(name.clone(), param.value.clone());
        object.fields.insert(name.clone(), param.ty.clone());
    }
    (Value::Object(values), Ty::Object(object))
}

fn run(state: &RunState) -> (Value, Ty) {
    let plan = state.plan();
    let value = json!({
        "id": state.run().map(|run| run.to_string()),
        "runbook": plan.runbook.name,
        "environment": plan.environment.name,
        "actor": state.actor.as_ref().map(|actor| actor.name.clone()),
        "outcome": state.prospective_outcome().as_str(),
        "started_at": state.created_at().to_string(),
    });
    let mut object = ObjectTy::default();
    for name in ["id", "runbook", "environment", "actor", "outcome"] {
        object.fields.insert(name.to_owned(), Ty::String);
    }
    object.fields.insert("started_at".to_owned(), Ty::Timestamp);
    (value, Ty::Object(object))
}

fn steps_scope(state: &RunState, steps: &BTreeMap<&str, Option<&PlanStep>>) -> (Value, Ty) {
    let mut values = Map::new();
    let mut types = ObjectTy::default();
    for (id, step) in steps {
        let Some((step, node)) = step.and_then(|s| Some((s, state.node(&s.id)?))) else {
            continue;
        };
        let status = match node.status {
            NodeStatus::Succeeded => "succeeded",
            NodeStatus::Skipped => "skipped",
            NodeStatus::Failed | NodeStatus::Tolerated => "failed",
            NodeStatus::Interrupted => "interrupted",
            NodeStatus::Pending => "pending",
            NodeStatus::Gate { .. } => "waiting",
            NodeStatus::Running | NodeStatus::Polling { .. } | NodeStatus::Retrying { .. } => {
                "running"
            }
        };
        let duration =
            crate::base::format_duration(std::time::Duration::from_millis(node.duration_ms));
        let mut value = json!({
            "status": status,
            "duration": duration,
            "attempts": node.attempt.0,
        });
        if !node.outputs.is_null() {
            value["outputs"] = node.outputs.clone();
        }
        values.insert((*id).to_owned(), value);
        let object = ObjectTy {
            fields: BTreeMap::from([
                ("status".to_owned(), Ty::String),
                ("duration".to_owned(), Ty::Duration),
                ("attempts".to_owned(), Ty::Int),
                ("outputs".to_owned(), outputs_ty(step)),
            ]),
            ..ObjectTy::default()
        };
        types.fields.insert((*id).to_owned(), Ty::Object(object));
    }
    (Value::Object(values), Ty::Object(types))
}
