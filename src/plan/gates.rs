//! What the gates of a plan ask, and the gate that the policy demands.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::time::Duration;

use super::policy::{PlanGate, PlanGateInput};
use super::types::{Expr, Plan, PlanAction, PlanParamRule, PlanStep};
use crate::base::{HumanDuration, StepId, Value, canonical_json};
use crate::check::APPROVAL;
use crate::language::{Condition, Template, check_param_value};
use crate::model::{
    ActionCatalog, Effect, OnFailure, Param, Risk, Step, StepOnFailure, Ty, YamlValue,
};

/// Most parameters that the message of a demanded gate shows.
const SHOWN_PARAMS: usize = 8;
/// Most characters of a value in it.
const SHOWN_CHARS: usize = 60;

impl PlanStep {
    /// Whether it is a gate.
    pub fn is_gate(&self) -> bool {
        self.action.uses == APPROVAL
    }
}

impl Plan {
    /// The gates of its `steps`, those of the runbooks inside too, each with its path in a run, loops
    /// without the keys of their instances; in file order.
    pub fn gates(&self) -> Vec<(StepId, &PlanStep)> {
        let mut found = Vec::new();
        collect(&self.steps, None, &mut found);
        found
    }

    /// Which rule of the policy a gate is subject to. A gate of a plan that an older version stored
    /// does not say; then it is the risk of the plan.
    pub fn gate_risk(&self, gate: &PlanStep) -> Risk {
        gate.gate.as_ref().map_or(self.runbook.risk, |ask| ask.risk)
    }
}

fn collect<'p>(
    steps: &'p [PlanStep],
    outer: Option<&StepId>,
    found: &mut Vec<(StepId, &'p PlanStep)>,
) {
    for step in steps {
        let path = || match outer {
            Some(outer) => outer.inside(&step.id),
            None => step.id.clone(),
        };
        if step.is_gate() {
            found.push((path(), step));
        } else if let Some(block) = &step.block {
            collect(&block.steps, Some(&path()), found);
        }
    }
}

/// What a step asks, when it is a gate. What it shows is found when all steps around it are planned.
pub(super) fn of_step(step: &Step, plan_risk: Risk) -> Option<Box<PlanGate>> {
    if step.action.uses.value != APPROVAL {
        return None;
    }
    let ask = step.gate.as_ref();
    let inputs = ask.into_iter().flat_map(|ask| &ask.inputs);
    Some(Box::new(PlanGate {
        risk: ask
            .and_then(|ask| ask.risk.as_ref())
            .map_or(plan_risk, |risk| risk.value),
        inputs: inputs
            .map(|(name, param)| (name.clone(), input(param)))
            .collect(),
        reads: Vec::new(),
        on_expiry: ask
            .and_then(|ask| ask.on_expiry.as_ref())
            .map(|on_expiry| on_expiry.value),
        demanded: false,
    }))
}

fn input(param: &Param) -> PlanGateInput {
    let default = param.default.as_ref().map(YamlValue::to_json);
    PlanGateInput {
        ty: param.ty.value.clone(),
        // `check` has held the default against the type; the plan keeps its canonical form.
        default: default.map(|value| check_param_value(param, &value).unwrap_or(value)),
        description: param.description.as_ref().map(|text| text.value.clone()),
        rule: rule(param),
    }
}

/// What a parameter permits beyond its type, if it says anything.
pub(super) fn rule(param: &Param) -> Option<PlanParamRule> {
    let rule = PlanParamRule {
        pattern: param.pattern.as_ref().map(|p| p.value.clone()),
        min: param.min.as_ref().map(YamlValue::to_json),
        max: param.max.as_ref().map(YamlValue::to_json),
    };
    (rule != PlanParamRule::default()).then_some(rule)
}

/// Notes for each gate of a list the read steps whose outputs it shows or judges. That they come
/// before it is what `check` made sure of.
///
/// A loop or a sub-runbook is not among them: no single call asks it again.
pub(super) fn note_reads(steps: &mut [PlanStep]) {
    let gates: Vec<usize> = (0..steps.len()).filter(|at| steps[*at].is_gate()).collect();
    if gates.is_empty() {
        return;
    }
    let is_read = |step: &PlanStep| {
        step.action.effect == Effect::Read
            && step.block.is_none()
            && step.for_each.is_none()
            && !step.is_gate()
    };
    let reads: HashMap<&str, usize> = steps
        .iter()
        .enumerate()
        .filter(|(_, step)| is_read(step))
        .map(|(at, step)| (step.id.as_str(), at))
        .collect();
    let shown: Vec<(usize, Vec<StepId>)> = gates
        .into_iter()
        .map(|gate| {
            let mut found = BTreeSet::new();
            let mut note = |path: &[String]| {
                if let [root, id, rest @ ..] = path
                    && root == "steps"
                    && rest.first().is_none_or(|field| field == "outputs")
                {
                    found.extend(reads.get(id.as_str()));
                }
            };
            references(&steps[gate], &mut note);
            let ids = found.into_iter().map(|at: usize| steps[at].id.clone());
            (gate, ids.collect())
        })
        .collect();
    for (at, ids) in shown {
        if let Some(gate) = &mut steps[at].gate {
            gate.reads = ids;
        }
    }
}

/// The paths that a gate's message, its list and its `verify` refer to.
fn references(gate: &PlanStep, note: &mut impl FnMut(&[String])) {
    of_expr(&gate.action.with, note);
    if let Some(each) = &gate.for_each {
        of_expr(&each.items, note);
    }
    let verify = gate.verify.as_deref().map(Condition::parse);
    if let Some(Ok(condition)) = verify {
        for reference in condition.references() {
            note(&reference.path);
        }
    }
}

fn of_expr(expr: &Expr, note: &mut impl FnMut(&[String])) {
    match expr {
        Expr::Value(_) => {}
        Expr::Template { text, .. } if !text.contains("steps") => {}
        Expr::Template { text, .. } => {
            if let Ok(template) = Template::parse(text) {
                for reference in template.references() {
                    note(&reference.path);
                }
            }
        }
        Expr::List(items) => items.iter().for_each(|item| of_expr(item, note)),
        Expr::Map(map) => map.values().for_each(|item| of_expr(item, note)),
    }
}

/// Puts a gate before all first steps of a plan: the policy demands it.
pub(super) fn demand(plan: &mut Plan, source: &str, catalog: &ActionCatalog) {
    let id = unused_id(plan);
    for step in plan.steps.iter_mut().filter(|step| step.needs.is_empty()) {
        step.needs.push(id.clone());
    }
    let manifest = catalog.get(APPROVAL);
    if let Some(manifest) = manifest {
        let ty = || Ty::from_schema(&manifest.output);
        plan.action_outputs
            .entry(APPROVAL.to_owned())
            .or_insert_with(ty);
    }
    let mut with = crate::base::Map::new();
    with.insert("message".to_owned(), Value::String(question(plan)));
    let gate = PlanStep {
        id,
        name: Some("Demanded by the policy".to_owned()),
        line: line_of_steps(source),
        action: PlanAction {
            uses: APPROVAL.to_owned(),
            with: Expr::Value(Value::Object(with)),
            effect: manifest.map_or(Effect::Read, |manifest| manifest.effect),
        },
        gate: Some(Box::new(PlanGate {
            risk: plan.runbook.risk,
            inputs: Default::default(),
            reads: Vec::new(),
            on_expiry: None,
            demanded: true,
        })),
        needs: Vec::new(),
        block: None,
        when: None,
        for_each: None,
        unless: None,
        until: None,
        every: HumanDuration(Duration::from_secs(1)),
        retry: None,
        timeout: None,
        on_failure: match plan.on_failure {
            OnFailure::Rollback => StepOnFailure::Rollback,
            OnFailure::Stop => StepOnFailure::Stop,
        },
        verify: None,
        rollback: None,
        outputs: Default::default(),
        idempotency_key: None,
    };
    plan.steps.insert(0, gate);
}

/// `approval`, or with a number when a step is called so.
fn unused_id(plan: &Plan) -> StepId {
    let lists = [&plan.steps, &plan.verify, &plan.finally];
    let taken: HashSet<&StepId> = lists.into_iter().flatten().map(|step| &step.id).collect();
    let names = std::iter::once(APPROVAL.to_owned())
        .chain((2u32..).map(|number| format!("{APPROVAL}_{number}")));
    let mut ids = names.filter_map(|name| StepId::new(&name).ok());
    #[expect(
        clippy::expect_used,
        reason = "a plan has fewer steps than there are numbers, and each of these texts is an id"
    )]
    ids.find(|id| !taken.contains(id)).expect("an unused id")
}

fn question(plan: &Plan) -> String {
    let shown = |(name, param): (&String, &super::types::PlanParam)| {
        let text = match &param.value {
            Value::String(text) => text.clone(),
            other => canonical_json(other),
        };
        format!("{name}: {}", clipped(&text))
    };
    let open = plan
        .params
        .iter()
        .filter(|(_, param)| param.ty != Ty::Secret);
    let mut params: Vec<String> = open.clone().take(SHOWN_PARAMS).map(shown).collect();
    let more = open.count().saturating_sub(SHOWN_PARAMS);
    if more > 0 {
        params.push(format!("{more} more"));
    }
    let with = match params.is_empty() {
        true => String::new(),
        false => format!(" with {}", params.join(", ")),
    };
    let (name, place) = (&plan.runbook.name, &plan.environment.name);
    format!("Run {name} in {place}{with}?")
}

/// A text on one line, its beginning when it is long.
pub(super) fn clipped(text: &str) -> String {
    let one_line = text.chars().map(|c| if c.is_control() { ' ' } else { c });
    let mut short: String = one_line.clone().take(SHOWN_CHARS).collect();
    if one_line.count() > SHOWN_CHARS {
        short.pop();
        short.push('…');
    }
    short
}

/// The line of `steps:` in a runbook's file, else the first.
fn line_of_steps(source: &str) -> u32 {
    let at = source.lines().position(|line| line.starts_with("steps:"));
    at.and_then(|at| u32::try_from(at + 1).ok()).unwrap_or(1)
}
