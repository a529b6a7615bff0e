//! The steps of a plan by the ids that a run gives them, through sub-runbooks and loops.

use std::collections::{BTreeMap, BTreeSet};

use crate::base::StepId;
use crate::plan::{Plan, PlanAction, PlanRollback, PlanStep};
use crate::run::CallKind;

/// The action that the engine performs itself.
const APPROVAL: &str = "approval";

/// Which list of its runbook a step stands in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Part {
    /// `steps`.
    Steps,
    /// `verify`.
    Verify,
    /// `finally`.
    Finally,
}

/// A step of the plan, wherever it stands.
#[derive(Debug, Clone, Copy)]
pub(super) struct Known<'a> {
    /// The step.
    pub(super) step: &'a PlanStep,
    /// Which list of its own runbook it stands in.
    pub(super) part: Part,
    /// Whether it, or a sub-runbook that it is a part of, stands in a `finally`.
    pub(super) in_finally: bool,
}

/// The steps of a plan by path without the keys of loops, in file order.
#[derive(Debug)]
pub(super) struct PlanSteps<'a> {
    known: BTreeMap<String, Known<'a>>,
    order: Vec<String>,
    /// All that a step needs, also by way of others.
    above: BTreeMap<String, BTreeSet<String>>,
}

impl<'a> PlanSteps<'a> {
    /// Lists the steps of a plan.
    pub(super) fn new(plan: &'a Plan) -> Self {
        let mut steps = Self {
            known: BTreeMap::new(),
            order: Vec::new(),
            above: BTreeMap::new(),
        };
        steps.add("", &plan.steps, Part::Steps, false);
        steps.add("", &plan.verify, Part::Verify, false);
        steps.add("", &plan.finally, Part::Finally, true);
        steps
    }

    fn add(&mut self, prefix: &str, list: &'a [PlanStep], part: Part, in_finally: bool) {
        let graph = crate::plan::graph(list);
        for (at, step) in list.iter().enumerate() {
            let path = format!("{prefix}{}", step.id);
            // A step may need one that is written further down.
            let above = graph.ancestors(at);
            let above = list.iter().zip(above).filter(|(_, is_above)| *is_above);
            let above = above
                .map(|(step, _)| format!("{prefix}{}", step.id))
                .collect();
            self.above.insert(path.clone(), above);
            self.order.push(path.clone());
            let known = Known {
                step,
                part,
                in_finally,
            };
            self.known.insert(path.clone(), known);
            if let Some(block) = &step.block {
                let inner = format!("{path}/");
                self.add(&inner, &block.steps, Part::Steps, in_finally);
                self.add(&inner, &block.verify, Part::Verify, in_finally);
                self.add(&inner, &block.finally, Part::Finally, true);
            }
        }
    }

    /// What is known of a step, named as a run names it.
    pub(super) fn get(&self, id: &StepId) -> Option<Known<'a>> {
        self.known.get(&without_keys(id)).copied()
    }

    /// Every path, in file order.
    pub(super) fn paths(&self) -> impl Iterator<Item = &str> {
        self.order.iter().map(String::as_str)
    }

    /// Whether `later` comes after `earlier` because of what steps need: compared where their paths part.
    pub(super) fn depends(&self, later: &StepId, earlier: &StepId) -> bool {
        let (later, earlier) = (without_keys(later), without_keys(earlier));
        let (mut a, mut b) = (String::new(), String::new());
        for (left, right) in later.split('/').zip(earlier.split('/')) {
            if !a.is_empty() {
                a.push('/');
                b.push('/');
            }
            a.push_str(left);
            b.push_str(right);
            if left != right {
                return self.above.get(&a).is_some_and(|above| above.contains(&b));
            }
        }
        false
    }

    /// Whether a step is a gate.
    pub(super) fn is_gate(&self, id: &StepId) -> bool {
        self.get(id)
            .is_some_and(|known| known.step.action.uses == APPROVAL)
    }

    /// The action of a call.
    pub(super) fn action(&self, id: &StepId, call: CallKind) -> Option<&'a PlanAction> {
        let step = self.get(id)?.step;
        match call {
            CallKind::Action => Some(&step.action),
            CallKind::Probe => step.unless.as_ref()?.probe.as_ref(),
            CallKind::Undo => match step.rollback.as_ref()? {
                PlanRollback::Undo { action, .. } => Some(action),
                PlanRollback::Irreversible { .. } => None,
            },
            CallKind::Read(_) | CallKind::Notice(_) => None,
        }
    }
}

/// The path of a step without the keys of loops: `deploy[api]/restart[1]` → `deploy/restart`.
pub(super) fn without_keys(id: &StepId) -> String {
    let mut out = String::new();
    let mut inside = false;
    for c in id.as_str().chars() {
        match c {
            '[' => inside = true,
            ']' => inside = false,
            _ if !inside => out.push(c),
            _ => {}
        }
    }
    out
}
