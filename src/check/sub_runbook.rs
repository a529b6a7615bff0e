//! A runbook as a step of another one sees it: an action, made from the file.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::json;

use super::approval::APPROVAL;
use super::checker::CheckedRunbook;
use super::codes;
use crate::base::{Diagnostic, Diagnostics, Map, Value};
use crate::model::{Action, ActionCatalog, ActionManifest, Effect, ObjectTy, Runbook, Ty};

/// How deep runbooks may run each other.
pub(super) const MAX_LEVELS: usize = 16;

/// Most steps of a plan, those of runbooks inside and the known instances of loops counted.
pub(crate) const MAX_PLANNED_STEPS: u64 = 100_000;

/// What a runbook is for the step that runs it.
#[derive(Debug)]
pub(crate) struct Interface {
    /// Its parameters as inputs, its worst effect. The outputs are not here but in `outputs`.
    pub(crate) manifest: ActionManifest,
    /// The types of its outputs.
    pub(crate) outputs: Arc<Ty>,
    /// How many steps a plan gets from it.
    pub(crate) steps: u64,
    /// Whether somebody is asked in it.
    pub(super) asks: bool,
    /// How many levels of runbooks lie below it.
    pub(super) levels: usize,
}

/// A runbook that was checked on behalf of another.
#[derive(Debug, Clone)]
pub(super) struct Callee {
    pub(super) interface: Arc<Interface>,
    /// `None` when it has errors, which are said in its own file.
    pub(super) checked: Option<CheckedRunbook>,
}

/// The runbooks that one runbook runs; `None` for those that cannot be run, which was said.
#[derive(Debug, Default)]
pub(super) struct Callees(BTreeMap<String, Option<Callee>>);

impl Callees {
    pub(super) fn contains(&self, name: &str) -> bool {
        self.0.contains_key(name)
    }

    pub(super) fn insert(&mut self, name: &str, callee: Option<Callee>) {
        self.0.insert(name.to_owned(), callee);
    }

    pub(super) fn interface(&self, name: &str) -> Option<&Interface> {
        Some(&self.0.get(name)?.as_ref()?.interface)
    }

    /// All of them; `None` when one has errors.
    pub(super) fn checked(&self) -> Option<BTreeMap<String, CheckedRunbook>> {
        self.0
            .iter()
            .map(|(name, callee)| Some((name.clone(), callee.as_ref()?.checked.clone()?)))
            .collect()
    }
}

impl Interface {
    /// The interface of a runbook. Says so when a plan of it would have too many steps.
    pub(super) fn of(
        runbook: &Runbook,
        outputs: BTreeMap<String, Ty>,
        catalog: &ActionCatalog,
        callees: &Callees,
        diags: &mut Diagnostics,
    ) -> Self {
        let levels = callees.0.values().flatten();
        let levels = levels.map(|callee| callee.interface.levels + 1).max();
        Self {
            manifest: ActionManifest {
                name: format!("{}{}", Action::RUNBOOK, runbook.name.value),
                summary: String::new(),
                description: String::new(),
                effect: worst_effect(runbook, catalog, callees),
                input: inputs(runbook),
                output: Value::Bool(true),
                examples: Vec::new(),
            },
            outputs: Arc::new(Ty::Object(ObjectTy {
                required: outputs.keys().cloned().collect(),
                fields: outputs,
                open: false,
            })),
            steps: count_steps(runbook, callees, diags),
            asks: asks(runbook, callees),
            levels: levels.unwrap_or(0),
        }
    }
}

fn asks(runbook: &Runbook, callees: &Callees) -> bool {
    let steps = [&runbook.steps, &runbook.verify, &runbook.finally];
    steps.into_iter().flatten().any(|step| {
        let called = step
            .action
            .runbook()
            .and_then(|name| callees.interface(name));
        step.action.uses.value == APPROVAL || called.is_some_and(|callee| callee.asks)
    })
}

fn count_steps(runbook: &Runbook, callees: &Callees, diags: &mut Diagnostics) -> u64 {
    let own = runbook.steps.len() + runbook.verify.len() + runbook.finally.len();
    let mut count = own as u64;
    let mut said = count > MAX_PLANNED_STEPS;
    for action in runbook.calls() {
        let name = action.runbook().unwrap_or_default();
        let inside = callees.interface(name).map_or(0, |callee| callee.steps);
        count = count.saturating_add(inside);
        // A runbook that is too large itself has said so.
        if count > MAX_PLANNED_STEPS && inside <= MAX_PLANNED_STEPS && !said {
            said = true;
            diags.push(too_many_steps().at(
                &runbook.source,
                action.uses.span,
                "the steps of this runbook are too many",
            ));
        }
    }
    count
}

/// The finding for a plan that is too large, without its place.
pub(crate) fn too_many_steps() -> Diagnostic {
    Diagnostic::error(
        codes::TOO_MANY_STEPS,
        format!("the plan would have more than {MAX_PLANNED_STEPS} steps"),
    )
    .help("do less in one run: steps of runbooks inside, and each instance of a loop, count")
}

/// What repeating all of it would do.
fn worst_effect(runbook: &Runbook, catalog: &ActionCatalog, callees: &Callees) -> Effect {
    let steps = [&runbook.steps, &runbook.verify, &runbook.finally];
    let effects = steps.into_iter().flatten().map(|step| {
        let manifest = match step.action.runbook() {
            Some(name) => callees.interface(name).map(|callee| &callee.manifest),
            None => catalog.get(&step.action.uses.value),
        };
        match (&step.effect, manifest) {
            (Some(own), _) => own.value.effect,
            (None, Some(manifest)) => manifest.effect,
            (None, None) => Effect::Once,
        }
    });
    let rank = |effect: &Effect| match effect {
        Effect::Read => 0,
        Effect::Idempotent => 1,
        Effect::Once => 2,
    };
    effects.max_by_key(rank).unwrap_or(Effect::Read)
}

/// The JSON Schema of the parameters.
fn inputs(runbook: &Runbook) -> Value {
    let properties: Map<String, Value> = runbook
        .params
        .iter()
        .map(|(name, param)| (name.clone(), schema_of(&param.ty)))
        .collect();
    let required: Vec<&String> = runbook
        .params
        .iter()
        .filter(|(_, param)| param.default.is_none())
        .map(|(name, _)| name)
        .collect();
    json!({
        "type": "object",
        "properties": properties,
        "required": required,
        "additionalProperties": false,
    })
}

/// A schema from which [`Ty::from_schema`] reads the type again. `pattern`, `min` and `max` are
/// checked when the value is known, as those of any parameter.
fn schema_of(ty: &Ty) -> Value {
    match ty {
        Ty::Any | Ty::Object(_) => json!({}),
        Ty::String => json!({ "type": "string" }),
        Ty::Int => json!({ "type": "integer" }),
        Ty::Float => json!({ "type": "number" }),
        Ty::Bool => json!({ "type": "boolean" }),
        Ty::Duration => json!({ "type": "string", "format": "duration" }),
        Ty::Size => json!({ "type": ["integer", "string"], "format": "size" }),
        Ty::Timestamp => json!({ "type": "string", "format": "date-time" }),
        Ty::Enum(names) => json!({ "type": "string", "enum": names }),
        Ty::List(item) => json!({ "type": "array", "items": schema_of(item) }),
        Ty::Map(item) => json!({ "type": "object", "additionalProperties": schema_of(item) }),
        Ty::Service => json!({ "type": "string", "format": "service" }),
        Ty::Connection => json!({ "type": "string", "format": "connection" }),
        Ty::Secret => json!({ "type": "string", "format": "secret", "x-secret": true }),
    }
}
