//! The types of what expressions see while a plan runs, so that conditions compare like with like.

use super::types::{Expr, Plan, PlanAction, PlanStep};
use crate::base::{Map, Value};
use crate::check::{RUN_FIELDS, STEP_FIELDS};
use crate::language::{Scope, Template, marker};
use crate::model::{ObjectTy, Ty};

impl Plan {
    /// A scope with `params`, `vars` and `secrets` (by name: their markers), typed. The caller adds `run`, `steps` and `outputs`.
    pub fn scope(&self) -> Scope {
        let mut scope = Scope::new();
        let values: Map<String, Value> = self
            .params
            .iter()
            .map(|(name, param)| (name.clone(), param.value.clone()))
            .collect();
        let types = self
            .params
            .iter()
            .map(|(name, param)| (name.clone(), param.ty.clone()));
        scope.set("params", Value::Object(values), object(types));
        let vars: Map<String, Value> = self.environment.vars.clone().into_iter().collect();
        let ty = Ty::of_value(&Value::Object(vars.clone()));
        scope.set("vars", Value::Object(vars), ty);
        // `params.NAME` is no name of the environment.
        let names = self.secrets.keys().filter(|name| !name.contains('.'));
        let secrets: Map<String, Value> = names
            .map(|name| (name.clone(), Value::String(marker(name))))
            .collect();
        let ty = Ty::Map(Box::new(Ty::Secret));
        scope.set("secrets", Value::Object(secrets), ty);
        scope
    }

    /// The type of the outputs of an action that the plan uses.
    pub fn action_ty(&self, action: &PlanAction) -> &Ty {
        const UNKNOWN: &Ty = &Ty::Any;
        self.action_outputs.get(&action.uses).unwrap_or(UNKNOWN)
    }
}

impl PlanStep {
    /// The type of what `steps.ID` holds once the step has ended.
    pub fn ty(&self, plan: &Plan) -> Ty {
        object(STEP_FIELDS.into_iter().map(|(name, ty)| {
            let ty = match (name, &self.for_each) {
                ("outputs", None) => self.outputs_ty(plan),
                ("outputs", Some(_)) => Ty::List(Box::new(self.outputs_ty(plan))),
                _ => ty,
            };
            (name.to_owned(), ty)
        }))
    }

    /// The type of the step's outputs, of a loop those of one instance: the action's own, and those that
    /// the step adds.
    pub fn outputs_ty(&self, plan: &Plan) -> Ty {
        let own = plan.action_ty(&self.action);
        if self.outputs.is_empty() {
            return own.clone();
        }
        let added = self.outputs.iter().map(|(name, expr)| {
            let ty = match expr {
                Expr::Value(value) => Ty::of_value(value),
                Expr::Template { text, .. } => template_ty(text, own),
                Expr::List(_) | Expr::Map(_) => Ty::Any,
            };
            (name.clone(), ty)
        });
        match own {
            Ty::Object(own) => {
                let mut all = own.clone();
                all.fields.extend(added);
                Ty::Object(all)
            }
            Ty::Map(item) => {
                // The added names with their types; every other key stays possible.
                let mut all = ObjectTy {
                    open: true,
                    ..ObjectTy::default()
                };
                all.fields.extend(added);
                match item.as_ref() {
                    Ty::Any | Ty::String => Ty::Object(all),
                    _ => Ty::Any,
                }
            }
            _ => Ty::Any,
        }
    }
}

/// The type of an added output, as far as its template tells.
fn template_ty(text: &str, own: &Ty) -> Ty {
    match Template::parse(text) {
        Ok(template) => match template.whole() {
            Some(whole) if whole.root() == "outputs" => {
                own.lookup(&whole.path[1..]).cloned().unwrap_or_default()
            }
            Some(_) => Ty::Any,
            None => Ty::String,
        },
        Err(_) => Ty::Any,
    }
}

/// The type of `run`.
pub fn run_ty() -> Ty {
    object(
        RUN_FIELDS
            .into_iter()
            .map(|(name, ty)| (name.to_owned(), ty)),
    )
}

fn object(fields: impl Iterator<Item = (String, Ty)>) -> Ty {
    Ty::Object(ObjectTy {
        fields: fields.collect(),
        required: Vec::new(),
        open: false,
    })
}
