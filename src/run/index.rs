//! Dense indices for the steps of a plan, so that each decision costs what is active, not what exists.

use std::collections::HashMap;

use crate::base::{Dag, StepId};
use crate::plan::{Plan, PlanStep};

/// `steps` come first, then `finally`. Never stored: events name steps by id.
#[derive(Debug, Clone)]
pub(super) struct Index {
    by_id: HashMap<StepId, usize>,
    /// Nodes below this index belong to `steps`.
    pub(super) main: usize,
    /// Both graphs in one; no edge joins them.
    pub(super) dag: Dag,
}

impl Index {
    /// Builds the index. A plan is acyclic and its needs exist, because only the checker makes plans;
    /// a damaged stored plan gives `None`.
    pub(super) fn new(plan: &Plan) -> Option<Self> {
        let mut by_id = HashMap::with_capacity(plan.steps.len() + plan.finally.len());
        for (i, step) in plan.steps.iter().chain(&plan.finally).enumerate() {
            if by_id.insert(step.id.clone(), i).is_some() {
                return None;
            }
        }
        let main = plan.steps.len();
        let mut needs = Vec::with_capacity(by_id.len());
        for (i, step) in plan.steps.iter().chain(&plan.finally).enumerate() {
            let mut list = Vec::with_capacity(step.needs.len());
            for need in &step.needs {
                let at = *by_id.get(need)?;
                if (at < main) != (i < main) {
                    return None;
                }
                if !list.contains(&at) {
                    list.push(at);
                }
            }
            needs.push(list);
        }
        Some(Self {
            by_id,
            main,
            dag: Dag::new(needs).ok()?,
        })
    }

    pub(super) fn get(&self, id: &StepId) -> Option<usize> {
        self.by_id.get(id).copied()
    }

    pub(super) fn len(&self) -> usize {
        self.dag.len()
    }

    pub(super) fn is_finally(&self, node: usize) -> bool {
        node >= self.main
    }
}

/// The step of a node.
pub(super) fn step_at(plan: &Plan, node: usize) -> &PlanStep {
    match node.checked_sub(plan.steps.len()) {
        None => &plan.steps[node],
        Some(i) => &plan.finally[i],
    }
}
