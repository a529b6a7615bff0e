//! Where a plan can no longer be undone.

use super::stored::graph;
use super::types::{Plan, PlanRollback, PlanStep};
use crate::base::StepId;
use crate::model::{Effect, OnCancel, OnFailure, StepOnFailure, has_nothing_to_undo};

/// A step after which a rollback cannot restore what was.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PointOfNoReturn {
    /// The step; inside a sub-runbook its path, a loop without the keys of its instances.
    pub step: StepId,
    /// Why it cannot be undone; `None` when nothing says how it is undone.
    pub reason: Option<String>,
}

impl PointOfNoReturn {
    /// The steps on one line, the first ones of many.
    pub fn list(points: &[Self]) -> String {
        const SHOWN: usize = 6;
        let mut names: Vec<&str> = points.iter().take(SHOWN).map(|p| p.step.as_str()).collect();
        let more = format!("{} more", points.len().saturating_sub(SHOWN));
        if points.len() > SHOWN {
            names.push(&more);
        }
        names.join(", ")
    }
}

impl Plan {
    /// The steps after which a rollback cannot restore: completed, they have changed something, and
    /// nothing undoes them. In file order, those of sub-runbooks in the place of their caller; none
    /// when nothing rolls this plan back.
    pub fn points_of_no_return(&self) -> Vec<PointOfNoReturn> {
        if !self.rolls_back() {
            return Vec::new();
        }
        let mut found = Vec::new();
        for step in &self.steps {
            collect(step, None, &mut found);
        }
        found
    }

    /// The points of no return that a gate holds back: all that come after it, directly or not.
    pub fn crossed_after(&self, gate: &StepId) -> Vec<PointOfNoReturn> {
        let mut found = Vec::new();
        if self.rolls_back() {
            let path: Vec<&str> = gate.as_str().split('/').map(local).collect();
            held_back(&self.steps, &path, None, &mut found);
        }
        found
    }

    /// What a gate asks, and which steps it lets through that no rollback undoes.
    pub fn gate_message(&self, gate: &StepId, asked: &str) -> String {
        let points = self.crossed_after(gate);
        if points.is_empty() {
            return asked.to_owned();
        }
        let names = PointOfNoReturn::list(&points);
        format!("{asked} (no way back after: {names})")
    }

    fn rolls_back(&self) -> bool {
        self.on_failure == OnFailure::Rollback
            || self.on_cancel == OnCancel::Rollback
            || self.steps.iter().any(asks_for_rollback)
    }
}

/// The id of a path's part without the key of an instance.
fn local(part: &str) -> &str {
    part.split('[').next().unwrap_or_default()
}

fn asks_for_rollback(step: &PlanStep) -> bool {
    step.on_failure == StepOnFailure::Rollback
}

fn id(step: &PlanStep, outer: Option<&StepId>) -> StepId {
    match outer {
        Some(outer) => outer.inside(&step.id),
        None => step.id.clone(),
    }
}

/// The points of a step, and of the sub-runbook that it calls.
fn collect(step: &PlanStep, outer: Option<&StepId>, found: &mut Vec<PointOfNoReturn>) {
    let id = id(step, outer);
    if let Some(block) = &step.block {
        for step in &block.steps {
            collect(step, Some(&id), found);
        }
        return;
    }
    if step.action.effect == Effect::Read || has_nothing_to_undo(&step.action.uses) {
        return;
    }
    let reason = match &step.rollback {
        Some(PlanRollback::Undo { .. }) => return,
        Some(PlanRollback::Irreversible { reason }) => Some(reason.clone()),
        None => None,
    };
    found.push(PointOfNoReturn { step: id, reason });
}

/// What waits for the step at the end of `path`: in its own runbook, and in each that calls it.
fn held_back(
    steps: &[PlanStep],
    path: &[&str],
    outer: Option<&StepId>,
    found: &mut Vec<PointOfNoReturn>,
) {
    let Some((first, rest)) = path.split_first() else {
        return;
    };
    let Some(at) = steps.iter().position(|step| step.id.as_str() == *first) else {
        return;
    };
    if let Some(block) = &steps[at].block {
        held_back(&block.steps, rest, Some(&id(&steps[at], outer)), found);
    }
    let dag = graph(steps);
    let mut after = vec![false; steps.len()];
    for &node in dag.order() {
        after[node] = dag
            .needs(node)
            .iter()
            .any(|&need| need == at || after[need]);
    }
    for (step, _) in steps.iter().zip(after).filter(|(_, after)| *after) {
        collect(step, outer, found);
    }
}

#[cfg(test)]
mod tests {
    use crate::plan::tests::plan_of;

    const TEXT: &str = "\
steps:
  - { id: up, uses: service.health, with: { service: api } }
  - { id: one, uses: service.restart, with: { service: api }, rollback: { irreversible: true, reason: it forgets } }
  - { id: go, uses: approval, needs: [up], with: { message: Now? } }
  - { id: two, uses: service.restart, with: { service: api } }
  - { id: three, uses: service.restart, with: { service: api }, rollback: { uses: wait, with: { for: 1s } } }
  - { id: tell, uses: notify, with: { message: done } }
";

    #[test]
    fn changes_that_nothing_undoes_are_points_of_no_return() {
        let plan = plan_of(TEXT, &[]).expect("a plan");
        let points = plan.points_of_no_return();
        let told: Vec<_> = points
            .iter()
            .map(|p| (p.step.as_str(), p.reason.as_deref()))
            .collect();
        assert_eq!(told, [("one", Some("it forgets")), ("two", None)]);
        let gate = &plan.steps[2].id;
        assert_eq!(
            plan.gate_message(gate, "Now?"),
            "Now? (no way back after: two)"
        );
        let stops = plan_of(&format!("on_failure: stop\n{TEXT}"), &[]).expect("a plan");
        assert_eq!(stops.points_of_no_return(), []);
        assert_eq!(stops.gate_message(gate, "Now?"), "Now?");
    }

    #[test]
    fn a_gate_inside_holds_back_what_comes_after_its_caller() {
        let mut plan = plan_of(TEXT, &[]).expect("a plan");
        let inner = plan_of(TEXT, &[]).expect("a plan");
        let caller = &mut plan.steps[0];
        caller.block = Some(Box::new(crate::plan::PlanBlock {
            rules: Default::default(),
            runbook: "inner".to_owned(),
            file: String::new(),
            params: Default::default(),
            steps: inner.steps,
            verify: Vec::new(),
            finally: Vec::new(),
            outputs: Default::default(),
        }));
        let gate = crate::base::StepId::parse("up[api]/go").expect("a path");
        let points = plan.crossed_after(&gate);
        let told: Vec<&str> = points.iter().map(|p| p.step.as_str()).collect();
        assert_eq!(told, ["up/two", "one", "two"]);
    }
}
