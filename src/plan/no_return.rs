//! Where a plan can no longer be undone.

use std::collections::HashMap;

use super::stored::graph;
use super::types::{Plan, PlanRollback, PlanStep};
use crate::base::{Dag, StepId};
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
    pub fn list<'p>(points: impl ExactSizeIterator<Item = &'p Self>) -> String {
        const SHOWN: usize = 6;
        let more = format!("{} more", points.len().saturating_sub(SHOWN));
        let is_long = points.len() > SHOWN;
        let mut names: Vec<&str> = points.take(SHOWN).map(|p| p.step.as_str()).collect();
        if is_long {
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

    /// Which points of no return its gates hold back.
    pub fn crossings(&self) -> Crossings<'_> {
        Crossings {
            plan: self,
            rolls_back: self.rolls_back(),
            levels: HashMap::new(),
        }
    }

    /// What a gate asks, and which steps it lets through that no rollback undoes.
    pub fn gate_message(&self, gate: &StepId, asked: &str) -> String {
        let mut crossings = self.crossings();
        let points = crossings.after(gate);
        if points.is_empty() {
            return asked.to_owned();
        }
        let names = PointOfNoReturn::list(points.into_iter());
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

/// The points of no return behind each gate. What many gates have in common is found once, since a
/// plan may have thousands of them.
pub struct Crossings<'a> {
    plan: &'a Plan,
    rolls_back: bool,
    /// By the path of the step that calls them; the plan's own steps by an empty one.
    levels: HashMap<String, Level<'a>>,
}

/// The `steps` of one runbook in a plan.
struct Level<'a> {
    steps: &'a [PlanStep],
    index: HashMap<&'a str, usize>,
    dag: Dag,
    /// The points of each step, those of what it calls too.
    points: Vec<Vec<PointOfNoReturn>>,
}

impl<'a> Level<'a> {
    fn new(steps: &'a [PlanStep], outer: Option<&StepId>) -> Self {
        let points = steps.iter().map(|step| {
            let mut found = Vec::new();
            collect(step, outer, &mut found);
            found
        });
        Self {
            steps,
            index: steps
                .iter()
                .enumerate()
                .map(|(at, step)| (step.id.as_str(), at))
                .collect(),
            dag: graph(steps),
            points: points.collect(),
        }
    }

    /// What waits for a step, in file order.
    fn after<'l>(&'l self, at: usize, found: &mut Vec<&'l PointOfNoReturn>) {
        let mut after = vec![false; self.steps.len()];
        for &node in self.dag.order() {
            let mut needs = self.dag.needs(node).iter();
            after[node] = needs.any(|&need| need == at || after[need]);
        }
        let points = self.points.iter().zip(after);
        found.extend(points.filter(|(_, after)| *after).flat_map(|(p, _)| p));
    }
}

impl Crossings<'_> {
    /// The points of no return that a gate holds back: all that come after it, directly or not; of a
    /// gate in a sub-runbook those inside first.
    pub fn after(&mut self, gate: &StepId) -> Vec<&PointOfNoReturn> {
        if !self.rolls_back {
            return Vec::new();
        }
        let mut way: Vec<(String, usize)> = Vec::new();
        let mut steps = self.plan.steps.as_slice();
        let mut outer: Option<StepId> = None;
        for part in gate.as_str().split('/').map(local) {
            let path = outer.as_ref().map_or("", StepId::as_str).to_owned();
            let level = self.levels.entry(path.clone());
            let level = level.or_insert_with(|| Level::new(steps, outer.as_ref()));
            let Some(&at) = level.index.get(part) else {
                break;
            };
            way.push((path, at));
            let step = &level.steps[at];
            let Some(block) = &step.block else { break };
            steps = &block.steps;
            outer = Some(id(step, outer.as_ref()));
        }
        let mut found = Vec::new();
        for (path, at) in way.iter().rev() {
            if let Some(level) = self.levels.get(path) {
                level.after(*at, &mut found);
            }
        }
        found
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
        let mut crossings = plan.crossings();
        let points = crossings.after(&gate);
        let told: Vec<&str> = points.iter().map(|p| p.step.as_str()).collect();
        assert_eq!(told, ["up/two", "one", "two"]);
    }
}
