//! Expressions against the state: builds a scope with just what an expression refers to.

use std::collections::BTreeMap;

use serde_json::json;

use super::state::{NodeStatus, RunState};
use crate::base::{Map, StepId, Value};
use crate::language::{Condition, ExprError, Reference, Scope};
use crate::model::{ObjectTy, Ty};
use crate::plan::{Expr, PlanStep, run_ty};

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

fn scope(state: &RunState, references: &[Reference], own: Own<'_>) -> Scope {
    let known = |r: &Reference| matches!(r.root(), "params" | "vars");
    let mut scope = if references.iter().any(known) {
        state.plan().scope()
    } else {
        Scope::new()
    };
    let mut steps: BTreeMap<&str, Option<&PlanStep>> = BTreeMap::new();
    for reference in references {
        match reference.path.first().map(String::as_str) {
            Some("run") if !scope.roots().contains_key("run") => {
                scope.set("run", run(state), run_ty());
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

fn run(state: &RunState) -> Value {
    let plan = state.plan();
    json!({
        "id": state.run().map(|run| run.to_string()),
        "runbook": plan.runbook.name,
        "environment": plan.environment.name,
        "actor": state.actor.as_ref().map(|actor| actor.name.clone()),
        "outcome": state.prospective_outcome().as_str(),
        "started_at": state.created_at().to_string(),
    })
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
        types.fields.insert((*id).to_owned(), step.ty(state.plan()));
    }
    (Value::Object(values), Ty::Object(types))
}
