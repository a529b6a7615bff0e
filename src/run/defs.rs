//! The steps of a plan and of all its sub-runbooks, numbered once: nodes point here and copy nothing.

use std::collections::HashMap;
use std::ops::Range;

use super::node::Stage;
use crate::base::{Dag, StepId};
use crate::plan::{Plan, PlanStep};

/// The body of the run's own runbook.
pub(super) const ROOT: usize = 0;

/// Numbers are never stored: events name steps by id.
#[derive(Debug)]
pub(super) struct Defs {
    defs: Vec<Def>,
    bodies: Vec<Body>,
}

/// One step as it is written.
#[derive(Debug)]
struct Def {
    body: usize,
    local: usize,
    /// The body that it calls.
    calls: Option<usize>,
}

/// The steps of one runbook, `steps` first, then `verify`, then `finally`. A sub-runbook that is
/// called in two places has two bodies.
#[derive(Debug)]
pub(super) struct Body {
    /// The step that calls it; `None` for the run's own.
    caller: Option<usize>,
    /// The definition of its first step; the others follow.
    pub(super) first: usize,
    /// Where `verify` and `finally` begin.
    verify: usize,
    finally: usize,
    /// Needs within one stage; no edge joins two stages.
    pub(super) dag: Dag,
    by_id: HashMap<StepId, usize>,
}

impl Body {
    pub(super) fn len(&self) -> usize {
        self.dag.len()
    }

    /// The steps of a stage, counted from the body's first.
    pub(super) fn stage(&self, stage: Stage) -> Range<usize> {
        match stage {
            Stage::Steps => 0..self.verify,
            Stage::Verify => self.verify..self.finally,
            Stage::Finally => self.finally..self.dag.len(),
        }
    }

    pub(super) fn stage_of(&self, local: usize) -> Stage {
        if local < self.verify {
            Stage::Steps
        } else if local < self.finally {
            Stage::Verify
        } else {
            Stage::Finally
        }
    }

    /// A step by its id in this runbook.
    pub(super) fn get(&self, id: &str) -> Option<usize> {
        self.by_id.get(id).copied()
    }
}

impl Defs {
    /// Numbers the steps. A checked plan is acyclic and its needs exist; a damaged one gives `None`.
    pub(super) fn new(plan: &Plan) -> Option<Self> {
        let mut all = Self {
            defs: Vec::new(),
            bodies: Vec::new(),
        };
        let mut callers = vec![None];
        let mut next = 0;
        while let Some(caller) = callers.get(next).copied() {
            if let Some(caller) = caller {
                let body = all.bodies.len();
                let def: &mut Def = all.defs.get_mut(caller)?;
                def.calls = Some(body);
            }
            let body = all.number(plan, caller)?;
            for local in 0..body.len() {
                let def = all.defs.len();
                all.defs.push(Def {
                    body: next,
                    local,
                    calls: None,
                });
                if all.sections(plan, &body).get(local).block.is_some() {
                    callers.push(Some(def));
                }
            }
            all.bodies.push(body);
            next += 1;
        }
        Some(all)
    }

    fn number(&self, plan: &Plan, caller: Option<usize>) -> Option<Body> {
        let [steps, verify, finally] = self.lists(plan, caller);
        let count = steps.len() + verify.len() + finally.len();
        let mut body = Body {
            caller,
            first: self.defs.len(),
            verify: steps.len(),
            finally: steps.len() + verify.len(),
            dag: Dag::default(),
            by_id: HashMap::with_capacity(count),
        };
        let all = || steps.iter().chain(verify).chain(finally);
        for (local, step) in all().enumerate() {
            if body.by_id.insert(step.id.clone(), local).is_some() {
                return None;
            }
        }
        let mut needs = Vec::with_capacity(count);
        for (local, step) in all().enumerate() {
            let stage = body.stage_of(local);
            let mut list = Vec::with_capacity(step.needs.len());
            for need in &step.needs {
                let at = body.get(need.as_str())?;
                match (stage, body.stage_of(at)) {
                    (own, other) if own == other => {
                        if !list.contains(&at) {
                            list.push(at);
                        }
                    }
                    // All of `steps` comes before all of `verify` anyway.
                    (Stage::Verify, Stage::Steps) => {}
                    _ => return None,
                }
            }
            needs.push(list);
        }
        body.dag = Dag::new(needs).ok()?;
        Some(body)
    }

    fn lists<'p>(&self, plan: &'p Plan, caller: Option<usize>) -> [&'p [PlanStep]; 3] {
        match caller {
            None => [&plan.steps, &plan.verify, &plan.finally],
            Some(def) => match &self.step(plan, def).block {
                Some(block) => [&block.steps, &block.verify, &block.finally],
                None => [&[], &[], &[]],
            },
        }
    }

    fn sections<'p>(&self, plan: &'p Plan, body: &Body) -> Sections<'p> {
        let [steps, verify, finally] = self.lists(plan, body.caller);
        Sections {
            steps,
            verify,
            finally,
        }
    }

    /// The step of a definition. Costs as many hops as its runbook is nested deep.
    pub(super) fn step<'p>(&self, plan: &'p Plan, def: usize) -> &'p PlanStep {
        let Def { body, local, .. } = self.defs[def];
        self.sections(plan, &self.bodies[body]).get(local)
    }

    pub(super) fn body(&self, body: usize) -> &Body {
        &self.bodies[body]
    }

    /// The body that a step calls.
    pub(super) fn called(&self, def: usize) -> Option<usize> {
        self.defs[def].calls
    }

    /// The definition of a step by its full id, whether or not it exists in the run yet.
    pub(super) fn find(&self, id: &StepId) -> Option<usize> {
        let mut body = Some(ROOT);
        let mut def = None;
        for segment in id.as_str().split('/') {
            let written = segment.split('[').next().unwrap_or_default();
            let inside = &self.bodies[body?];
            let found = inside.first + inside.get(written)?;
            body = self.called(found);
            def = Some(found);
        }
        def
    }
}

/// The three lists of a runbook as one.
struct Sections<'p> {
    steps: &'p [PlanStep],
    verify: &'p [PlanStep],
    finally: &'p [PlanStep],
}

impl<'p> Sections<'p> {
    fn get(&self, local: usize) -> &'p PlanStep {
        match local.checked_sub(self.steps.len()) {
            None => &self.steps[local],
            Some(local) => match local.checked_sub(self.verify.len()) {
                None => &self.verify[local],
                Some(local) => &self.finally[local],
            },
        }
    }
}
