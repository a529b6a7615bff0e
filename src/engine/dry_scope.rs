//! What expressions see during a dry run: what was performed has a value, what was left out has none.

use std::collections::BTreeMap;

use serde_json::json;

use crate::base::{Map, StepId, Value};
use crate::language::{Condition, Reference, Scope};
use crate::model::{ObjectTy, Ty};
use crate::plan::{Expr, PlanBlock, PlanStep};

/// Why an expression has no value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Left {
    /// It uses what a step gives that was not performed; in words.
    Out(String),
    /// It cannot be computed.
    Wrong(String),
}

/// What is known of a step that the walk went past.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Seen {
    /// What it gave; meaningful when `known`.
    pub(super) outputs: Value,
    /// Whether its outputs are those that a run would have, as things are now.
    pub(super) known: bool,
    /// Whether it would be skipped.
    pub(super) skipped: bool,
    /// Whether it was performed and failed, so that it gave nothing.
    pub(super) failed: bool,
    /// Whether it, or something that it needs, was left out and would have changed something.
    pub(super) left_out: bool,
}

impl Seen {
    pub(super) fn performed(outputs: Value, left_out: bool) -> Self {
        Self {
            outputs,
            known: true,
            skipped: false,
            failed: false,
            left_out,
        }
    }

    /// Performed, and it failed.
    pub(super) fn failed(left_out: bool) -> Self {
        Self {
            failed: true,
            ..Self::unknown(left_out)
        }
    }

    pub(super) fn skipped(left_out: bool) -> Self {
        Self {
            known: false,
            skipped: true,
            ..Self::performed(Value::Null, left_out)
        }
    }

    /// Not performed, but it changes nothing either.
    pub(super) fn unknown(left_out: bool) -> Self {
        Self {
            known: false,
            ..Self::performed(Value::Null, left_out)
        }
    }

    pub(super) fn left_out() -> Self {
        Self::unknown(true)
    }
}

/// The names of one runbook, and what its steps gave so far.
#[derive(Debug, Clone)]
pub(super) struct Frame {
    scope: Scope,
    below: Option<StepId>,
    seen: BTreeMap<String, (Ty, Seen)>,
    /// Whether something was left out before this runbook began.
    left_out: bool,
}

impl Frame {
    pub(super) fn new(scope: Scope, below: Option<StepId>, left_out: bool) -> Self {
        Self {
            scope,
            below,
            seen: BTreeMap::new(),
            left_out,
        }
    }

    /// The names that a sub-runbook sees: its own parameters and steps, and what is the run's.
    pub(super) fn of_block(
        &self,
        caller: &StepId,
        block: &PlanBlock,
        inputs: &Value,
        left_out: bool,
    ) -> Self {
        let mut scope = Scope::new();
        for (root, (value, ty)) in self.scope.roots() {
            if !matches!(root.as_str(), "params" | "item" | "index") {
                scope.set(root, value.clone(), ty.clone());
            }
        }
        let params = Ty::Object(ObjectTy {
            fields: block.params.clone().into_iter().collect(),
            ..ObjectTy::default()
        });
        scope.set("params", inputs.clone(), params);
        Self::new(scope, Some(caller.clone()), left_out)
    }

    /// The names that one instance of a loop sees.
    pub(super) fn with_item(&self, item: &Value, ty: Ty, index: usize) -> Self {
        let mut own = self.clone();
        own.scope.set("item", item.clone(), ty);
        own.scope.set("index", json!(index), Ty::Int);
        own
    }

    /// The full id of a step of this runbook.
    pub(super) fn id_of(&self, local: &StepId) -> StepId {
        match &self.below {
            Some(caller) => caller.inside(local),
            None => local.clone(),
        }
    }

    /// Remembers what became of a step.
    pub(super) fn saw(&mut self, local: &StepId, ty: Ty, seen: Seen) {
        self.seen.insert(local.as_str().to_owned(), (ty, seen));
    }

    /// Whether something that these steps need was left out.
    pub(super) fn needs_left_out(&self, needs: &[StepId]) -> bool {
        self.left_out
            || needs
                .iter()
                .filter_map(|need| self.seen.get(need.as_str()))
                .any(|(_, seen)| seen.left_out)
    }

    /// Whether anything was left out so far.
    pub(super) fn any_left_out(&self) -> bool {
        self.left_out || self.seen.values().any(|(_, seen)| seen.left_out)
    }

    /// Whether a condition is judged for each instance of its loop.
    pub(super) fn is_of_one_instance(condition: &str) -> bool {
        Condition::parse(condition).is_ok_and(|condition| {
            let of_item = |r: &Reference| matches!(r.root(), "item" | "index");
            condition.references().iter().any(of_item)
        })
    }

    /// Whether an expression may have another value in a run: it uses what every run has anew, or what
    /// was read although something before it was left out.
    pub(super) fn may_differ(&self, expr: &Expr) -> bool {
        let shaky = |id: &str| self.seen.get(id).is_some_and(|(_, seen)| seen.left_out);
        expr.references().iter().any(|reference| {
            let path: Vec<&str> = reference.path.iter().map(String::as_str).collect();
            match path.as_slice() {
                ["run"] | ["run", "id" | "outcome" | "started_at", ..] => true,
                ["steps", id, ..] => shaky(id),
                _ => false,
            }
        })
    }

    /// The value of an expression.
    pub(super) fn render(&self, expr: &Expr) -> Result<Value, Left> {
        if let Expr::Value(value) = expr {
            return Ok(value.clone());
        }
        self.render_with(expr, None)
    }

    fn render_with(&self, expr: &Expr, own: Option<(&Value, Ty)>) -> Result<Value, Left> {
        let scope = self.scope_of(&expr.references(), own)?;
        expr.render(&scope)
            .map_err(|error| Left::Wrong(error.message))
    }

    /// Whether a condition holds.
    pub(super) fn holds(&self, text: &str, own: Option<(&Value, Ty)>) -> Result<bool, Left> {
        let wrong = |error: crate::language::ExprError| Left::Wrong(error.message);
        let condition = Condition::parse(text).map_err(wrong)?;
        let scope = self.scope_of(condition.references(), own)?;
        condition.holds(&scope).map_err(wrong)
    }

    /// The action's outputs and those that the step adds; else the name of the one without a value.
    pub(super) fn published(
        &self,
        step: &PlanStep,
        raw: &Value,
        ty: &Ty,
    ) -> Result<Value, (String, Left)> {
        if step.outputs.is_empty() {
            return Ok(raw.clone());
        }
        let mut all = raw.as_object().cloned().unwrap_or_default();
        for (name, expr) in &step.outputs {
            let value = self
                .render_with(expr, Some((raw, ty.clone())))
                .map_err(|left| (name.clone(), left))?;
            all.insert(name.clone(), value);
        }
        Ok(Value::Object(all))
    }

    /// A scope for what is referred to, unless that includes what a step gives that was left out.
    fn scope_of(&self, references: &[Reference], own: Option<(&Value, Ty)>) -> Result<Scope, Left> {
        let mut scope = self.scope.clone();
        if let Some((value, ty)) = own {
            scope.set("outputs", value.clone(), ty);
        }
        let mut values = Map::new();
        let mut types = ObjectTy::default();
        for reference in references.iter().filter(|r| r.root() == "steps") {
            let Some(id) = reference.path.get(1) else {
                continue;
            };
            let Some((ty, seen)) = self.seen.get(id) else {
                continue;
            };
            if !seen.known && !seen.skipped {
                let why = match seen.failed {
                    true => "which failed",
                    false => "which was not performed",
                };
                return Err(Left::Out(format!("depends on `{id}`, {why}")));
            }
            if reference
                .path
                .get(2)
                .is_some_and(|field| field == "duration")
            {
                return Err(Left::Out(format!("depends on how long `{id}` takes")));
            }
            let mut value = json!({
                "status": if seen.skipped { "skipped" } else { "succeeded" },
                "duration": "0s",
                "attempts": u8::from(!seen.skipped),
            });
            if seen.known {
                value["outputs"] = seen.outputs.clone();
            }
            values.insert(id.clone(), value);
            types.fields.insert(id.clone(), ty.clone());
        }
        if !values.is_empty() {
            scope.set("steps", Value::Object(values), Ty::Object(types));
        }
        Ok(scope)
    }
}
