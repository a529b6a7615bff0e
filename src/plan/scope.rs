//! The types of what expressions see while a plan runs, so that conditions compare like with like.

use std::borrow::Cow;

use super::types::{Expr, Plan, PlanAction, PlanBlock, PlanStep};
use crate::base::{Map, Value};
use crate::check::{RUN_FIELDS, STEP_FIELDS};
use crate::language::{Scope, Template, marker};
use crate::model::{ObjectTy, Ty, gate_outputs_ty};

impl Plan {
    /// A scope with `params`, `vars` and `secrets`, typed. The caller adds `run`, `steps` and `outputs`.
    pub fn scope(&self) -> Scope {
        let mut scope = Scope::new();
        let (params, ty) = self.params_scope();
        scope.set("params", params, ty);
        let (vars, ty) = self.vars_scope();
        scope.set("vars", vars, ty);
        let (secrets, ty) = self.secrets_scope();
        scope.set("secrets", secrets, ty);
        scope
    }

    /// What `params` means in the run's own runbook.
    pub fn params_scope(&self) -> (Value, Ty) {
        let values: Map<String, Value> = self
            .params
            .iter()
            .map(|(name, param)| (name.clone(), param.value.clone()))
            .collect();
        let types = self
            .params
            .iter()
            .map(|(name, param)| (name.clone(), param.ty.clone()));
        (Value::Object(values), object(types))
    }

    /// What `vars` means.
    pub fn vars_scope(&self) -> (Value, Ty) {
        let vars: Map<String, Value> = self.environment.vars.clone().into_iter().collect();
        let vars = Value::Object(vars);
        let ty = Ty::of_value(&vars);
        (vars, ty)
    }

    /// What `secrets` means: of each secret of the environment a marker, never its value.
    pub fn secrets_scope(&self) -> (Value, Ty) {
        // `params.NAME` is no name of the environment.
        let names = self.secrets.keys().filter(|name| !name.contains('.'));
        let markers = names.map(|name| (name.clone(), Value::String(marker(name))));
        let ty = Ty::Map(Box::new(Ty::Secret));
        (Value::Object(markers.collect()), ty)
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

    /// The type of what the action gives, or the sub-runbook, before the step adds to it.
    pub fn own_ty<'a>(&self, plan: &'a Plan) -> Cow<'a, Ty> {
        match &self.block {
            Some(block) if !plan.action_outputs.contains_key(&self.action.uses) => {
                Cow::Owned(block.outputs_ty(plan))
            }
            _ => {
                let declared = plan.action_ty(&self.action);
                match &self.gate {
                    Some(gate) => {
                        let inputs = gate.inputs.iter().map(|(name, input)| (name, &input.ty));
                        Cow::Owned(gate_outputs_ty(declared, inputs))
                    }
                    None => Cow::Borrowed(declared),
                }
            }
        }
    }

    /// The type of the step's outputs, of a loop those of one instance: the action's own, and those that
    /// the step adds.
    pub fn outputs_ty(&self, plan: &Plan) -> Ty {
        let own = self.own_ty(plan);
        let own = own.as_ref();
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

impl PlanBlock {
    /// The type of its outputs, as far as the expressions that give them tell.
    fn outputs_ty(&self, plan: &Plan) -> Ty {
        object(self.outputs.iter().map(|(name, expr)| {
            let ty = match expr {
                Expr::Value(value) => Ty::of_value(value),
                Expr::Template { text, .. } => self.reference_ty(plan, text),
                Expr::List(_) | Expr::Map(_) => Ty::Any,
            };
            (name.clone(), ty)
        }))
    }

    /// The type of a template that stands outside of the sub-runbook's steps.
    fn reference_ty(&self, plan: &Plan, text: &str) -> Ty {
        let Ok(template) = Template::parse(text) else {
            return Ty::Any;
        };
        let Some(whole) = template.whole() else {
            return Ty::String;
        };
        let found = match (whole.root(), &whole.path[1..]) {
            ("params", [name, rest @ ..]) => self
                .params
                .get(name)
                .and_then(|ty| ty.lookup(rest).ok().cloned()),
            ("steps", [id, rest @ ..]) => {
                let mut all = self.steps.iter().chain(&self.verify);
                all.find(|step| step.id.as_str() == id)
                    .and_then(|step| step.ty(plan).lookup(rest).ok().cloned())
            }
            ("run", rest) => run_ty().lookup(rest).ok().cloned(),
            _ => None,
        };
        found.unwrap_or_default()
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
