//! Expressions against the state: builds a scope with just what an expression refers to.

use std::collections::BTreeMap;

use serde_json::json;

use super::defs;
use super::frame::ROOT;
use super::node::{Node, NodeStatus};
use super::state::RunState;
use crate::base::{Map, Value};
use crate::language::{Condition, ExprError, Reference, Scope};
use crate::model::{ObjectTy, Ty};
use crate::plan::{Expr, run_ty};

/// The outputs that `outputs.x` means in this place.
pub(super) type Own<'a> = Option<(&'a Value, &'a Ty)>;

/// Outputs of these nodes in place of those on record.
pub(super) type Fresh<'a> = &'a [(usize, &'a Value)];

/// Where an expression stands: in which runbook, and in which instance of a loop.
#[derive(Debug, Clone, Copy)]
pub(super) struct Place {
    /// The frame whose children `steps.x` means.
    frame: usize,
    /// The node whose `item` and `index` may be used.
    node: Option<usize>,
}

impl Place {
    /// The run's own runbook, outside of its steps.
    pub(super) fn root() -> Self {
        Self::inside(ROOT)
    }

    /// A runbook, outside of its steps.
    pub(super) fn inside(frame: usize) -> Self {
        Self { frame, node: None }
    }

    /// A step.
    pub(super) fn of(state: &RunState, node: usize) -> Self {
        let frame = state.nodes[node].frame;
        let body = match state.frames[frame].node {
            // An instance stands where its loop stands.
            Some(parent) if state.frames[frame].is_loop() => state.nodes[parent].frame,
            _ => frame,
        };
        Self {
            frame: body,
            node: Some(node),
        }
    }
}

/// Renders an expression.
pub(super) fn render(
    state: &RunState,
    place: Place,
    expr: &Expr,
    own: Own<'_>,
) -> Result<Value, ExprError> {
    render_again(state, place, expr, own, &[])
}

/// Renders an expression with other outputs than those on record.
pub(super) fn render_again(
    state: &RunState,
    place: Place,
    expr: &Expr,
    own: Own<'_>,
    fresh: Fresh<'_>,
) -> Result<Value, ExprError> {
    if let Expr::Value(value) = expr {
        return Ok(value.clone());
    }
    let references = expr.references();
    expr.render(&scope(state, place, &references, own, fresh))
}

/// Evaluates a condition.
pub(super) fn holds(
    state: &RunState,
    place: Place,
    text: &str,
    own: Own<'_>,
) -> Result<bool, ExprError> {
    holds_again(state, place, text, own, &[])
}

/// Evaluates a condition with other outputs than those on record.
pub(super) fn holds_again(
    state: &RunState,
    place: Place,
    text: &str,
    own: Own<'_>,
    fresh: Fresh<'_>,
) -> Result<bool, ExprError> {
    let condition = Condition::parse(text)?;
    let references = condition.references();
    let given = condition.holds(&scope(state, place, references, own, fresh));
    given.map_err(|mut error| {
        if let Some(advice) = about_missing(state, place, references) {
            error.help = Some(advice);
        }
        error
    })
}

/// What to do when a condition uses outputs of a step that has none, because it was skipped or failed.
fn about_missing(state: &RunState, place: Place, references: &[Reference]) -> Option<String> {
    references.iter().find_map(|reference| {
        let [root, id, outputs, ..] = reference.path.as_slice() else {
            return None;
        };
        let node = &state.nodes[step_named(state, place, id)?];
        let missing = root == "steps" && outputs == "outputs" && node.outputs.is_null();
        missing.then(|| {
            format!(
                "the step `{id}` has no outputs, because it did not succeed; \
                 ask first: `has(steps.{id}.outputs) && …`"
            )
        })
    })
}

/// What a condition looks at, with the values it has: every reference once, as it is written.
pub(super) fn looked_at(
    state: &RunState,
    place: Place,
    text: &str,
    own: Own<'_>,
) -> Vec<(String, Value)> {
    looked_at_again(state, place, text, own, &[])
}

/// The same with other outputs than those on record.
pub(super) fn looked_at_again(
    state: &RunState,
    place: Place,
    text: &str,
    own: Own<'_>,
    fresh: Fresh<'_>,
) -> Vec<(String, Value)> {
    let Ok(condition) = Condition::parse(text) else {
        return Vec::new();
    };
    let scope = scope(state, place, condition.references(), own, fresh);
    let mut seen: Vec<(String, Value)> = Vec::new();
    for reference in condition.references() {
        let name = reference.to_string();
        let value = scope.lookup(&reference.path);
        if let Some(value) = value.filter(|_| seen.iter().all(|(known, _)| *known != name)) {
            seen.push((name, value.clone()));
        }
    }
    seen
}

/// Whether a condition is about the single instances of a loop. One that cannot be read is not.
pub(super) fn is_about_item(text: &str) -> bool {
    let about = |r: &Reference| matches!(r.root(), "item" | "index");
    Condition::parse(text).is_ok_and(|c| c.references().iter().any(about))
}

fn scope(
    state: &RunState,
    place: Place,
    references: &[Reference],
    own: Own<'_>,
    fresh: Fresh<'_>,
) -> Scope {
    let mut scope = Scope::new();
    let mut steps: BTreeMap<&str, Option<usize>> = BTreeMap::new();
    for reference in references {
        match reference.root() {
            "steps" => match reference.path.get(1) {
                Some(id) => {
                    steps
                        .entry(id)
                        .or_insert_with(|| step_named(state, place, id));
                }
                None => {
                    let all = state.frames[place.frame].children();
                    steps.extend(all.map(|i| (state.step(i).id.as_str(), Some(i))));
                }
            },
            root if scope.roots().contains_key(root) => {}
            root => set_root(state, place, root, own, &mut scope),
        }
    }
    if !steps.is_empty() {
        let (value, ty) = steps_scope(state, &steps, fresh);
        scope.set("steps", value, ty);
    }
    scope
}

fn set_root(state: &RunState, place: Place, root: &str, own: Own<'_>, scope: &mut Scope) {
    let plan = state.plan();
    match root {
        "params" => {
            let (value, ty) = params(state, place);
            scope.set("params", value, ty);
        }
        "vars" => {
            let (value, ty) = plan.vars_scope();
            scope.set("vars", value, ty);
        }
        "secrets" => {
            let (value, ty) = plan.secrets_scope();
            scope.set("secrets", value, ty);
        }
        "run" => scope.set("run", run(state), run_ty()),
        "outputs" => {
            if let Some((value, ty)) = own {
                scope.set("outputs", value.clone(), ty.clone());
            }
        }
        "item" | "index" => {
            let Some(node) = place.node else { return };
            let Some((index, item)) = &state.nodes[node].item else {
                return;
            };
            if root == "index" {
                scope.set("index", json!(index), Ty::Int);
            } else {
                let for_each = state.step(node).for_each.as_ref();
                let ty = for_each.map_or_else(|| Ty::of_value(item), |f| f.item_ty(item));
                scope.set("item", item.clone(), ty);
            }
        }
        _ => {}
    }
}

/// The parameters of the runbook that the place is in.
fn params(state: &RunState, place: Place) -> (Value, Ty) {
    let plan = state.plan();
    let caller = state.frames[place.frame].node;
    match caller.and_then(|node| Some((node, state.step(node).block.as_deref()?))) {
        None => plan.params_scope(),
        Some((node, block)) => {
            let ty = Ty::Object(ObjectTy {
                fields: block.params.clone(),
                required: Vec::new(),
                open: false,
            });
            let inputs = &state.nodes[node].inputs;
            let value = if inputs.is_null() {
                json!({})
            } else {
                inputs.clone()
            };
            (value, ty)
        }
    }
}

pub(super) fn step_named(state: &RunState, place: Place, id: &str) -> Option<usize> {
    let frame = &state.frames[place.frame];
    let local = state.defs.body(frame.body.unwrap_or(defs::ROOT)).get(id)?;
    Some(frame.first + local)
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

fn steps_scope(
    state: &RunState,
    steps: &BTreeMap<&str, Option<usize>>,
    fresh: Fresh<'_>,
) -> (Value, Ty) {
    let mut values = Map::new();
    let mut types = ObjectTy::default();
    for (id, node) in steps {
        let Some(i) = *node else { continue };
        let again = fresh.iter().find(|(node, _)| *node == i);
        let node = &state.nodes[i];
        let outputs = again.map_or(&node.outputs, |(_, outputs)| outputs);
        values.insert((*id).to_owned(), step_value(node, outputs));
        let ty = state.step(i).ty(state.plan());
        types.fields.insert((*id).to_owned(), ty);
    }
    (Value::Object(values), Ty::Object(types))
}

fn step_value(node: &Node, outputs: &Value) -> Value {
    let status = match node.status {
        NodeStatus::Succeeded => "succeeded",
        NodeStatus::Skipped => "skipped",
        NodeStatus::Failed | NodeStatus::Tolerated => "failed",
        NodeStatus::Interrupted => "interrupted",
        NodeStatus::Pending => "pending",
        NodeStatus::Gate { .. } => "waiting",
        NodeStatus::Probing
        | NodeStatus::Running
        | NodeStatus::Open
        | NodeStatus::Polling { .. }
        | NodeStatus::Retrying { .. } => "running",
    };
    let duration = crate::base::format_duration(std::time::Duration::from_millis(node.duration_ms));
    let mut value = json!({
        "status": status,
        "duration": duration,
        "attempts": node.tries(node.attempt).0,
    });
    if !outputs.is_null() {
        value["outputs"] = outputs.clone();
    }
    value
}
