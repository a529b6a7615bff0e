//! What comes before and after a step of a plan, by the needs of its own list and of its callers.

use super::stored::graph;
use super::types::{Plan, PlanStep};
use crate::base::StepId;

/// A list of steps on the way to a step: where the list begins, and which of it is on the way.
struct Level<'a> {
    steps: &'a [PlanStep],
    /// The full id of the step that calls it.
    caller: Option<StepId>,
    at: usize,
}

impl Plan {
    /// The steps that must end before a step, directly or not, in its own list; full ids in file order.
    pub fn steps_before(&self, step: &StepId) -> Vec<StepId> {
        let Some(level) = self.way_to(step).pop() else {
            return Vec::new();
        };
        let before = graph(level.steps).ancestors(level.at);
        let named = level.steps.iter().zip(before);
        named
            .filter(|(_, before)| *before)
            .map(|(step, _)| full(step, level.caller.as_ref()))
            .collect()
    }

    /// The steps that wait for a step, directly or not: those of its own list, then those that wait for
    /// what calls it; full ids, without keys of instances, in file order, each followed by the `steps` of
    /// the sub-runbook that it calls.
    pub fn steps_after(&self, step: &StepId) -> Vec<(StepId, &PlanStep)> {
        let mut found = Vec::new();
        for level in self.way_to(step).into_iter().rev() {
            let dag = graph(level.steps);
            let mut after = vec![false; level.steps.len()];
            for &node in dag.order() {
                let mut needs = dag.needs(node).iter();
                after[node] = needs.any(|&need| need == level.at || after[need]);
            }
            for (step, _) in level.steps.iter().zip(after).filter(|(_, after)| *after) {
                with_steps_inside(step, level.caller.as_ref(), &mut found);
            }
        }
        found
    }

    /// The lists of `steps` on the way to a step, the outermost first; none when it is in none.
    fn way_to(&self, step: &StepId) -> Vec<Level<'_>> {
        let mut way: Vec<Level<'_>> = Vec::new();
        let mut steps = self.steps.as_slice();
        let mut caller: Option<StepId> = None;
        for part in step.as_str().split('/') {
            let written = part.split('[').next().unwrap_or_default();
            let Some(at) = steps.iter().position(|step| step.id.as_str() == written) else {
                return Vec::new();
            };
            way.push(Level {
                steps,
                caller: caller.clone(),
                at,
            });
            caller = Some(full(&steps[at], caller.as_ref()));
            steps = match &steps[at].block {
                Some(block) => &block.steps,
                None => &[],
            };
        }
        way
    }
}

fn full(step: &PlanStep, caller: Option<&StepId>) -> StepId {
    match caller {
        Some(caller) => caller.inside(&step.id),
        None => step.id.clone(),
    }
}

fn with_steps_inside<'a>(
    step: &'a PlanStep,
    caller: Option<&StepId>,
    found: &mut Vec<(StepId, &'a PlanStep)>,
) {
    let id = full(step, caller);
    found.push((id.clone(), step));
    for inner in step.block.iter().flat_map(|block| &block.steps) {
        with_steps_inside(inner, Some(&id), found);
    }
}

#[cfg(test)]
mod tests {
    use crate::base::StepId;
    use crate::plan::PlanBlock;
    use crate::plan::tests::plan_of;

    const TEXT: &str = "\
steps:
  - { id: a, uses: wait, with: { for: 1s } }
  - { id: go, uses: approval, with: { message: Now? } }
  - { id: b, uses: wait, with: { for: 1s } }
  - { id: free, needs: [a], uses: wait, with: { for: 1s } }
  - { id: c, needs: [b], uses: wait, with: { for: 1s } }
";

    #[test]
    fn before_and_after_follow_the_needs_through_callers() {
        let mut plan = plan_of(TEXT, &[]).expect("a plan");
        let id = |text: &str| StepId::parse(text).expect("a path");
        let names = |ids: Vec<StepId>| ids.iter().map(ToString::to_string).collect::<Vec<_>>();
        let after = |plan: &crate::plan::Plan, gate: &str| {
            let found = plan.steps_after(&id(gate)).into_iter();
            found.map(|(id, _)| id.to_string()).collect::<Vec<_>>()
        };
        assert_eq!(names(plan.steps_before(&id("c"))), ["a", "go", "b"]);
        assert_eq!(after(&plan, "go"), ["b", "c"]);
        assert_eq!(after(&plan, "none"), [""; 0]);

        let inner = plan_of(TEXT, &[]).expect("a plan");
        plan.steps[2].block = Some(Box::new(PlanBlock {
            rules: Default::default(),
            runbook: "inner".to_owned(),
            file: String::new(),
            params: Default::default(),
            steps: inner.steps,
            verify: Vec::new(),
            finally: Vec::new(),
            outputs: Default::default(),
        }));
        assert_eq!(after(&plan, "b[x]/go"), ["b/b", "b/c", "c"]);
        assert_eq!(after(&plan, "c"), [""; 0]);
        assert_eq!(names(plan.steps_before(&id("b/b"))), ["b/a", "b/go"]);
    }
}
