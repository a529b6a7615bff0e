//! From a checked runbook to a plan.

use std::collections::BTreeMap;

use super::inputs::Resolver;
use super::params::{self, Given};
use super::types::{
    Expr, PLAN_FORMAT, Plan, PlanAction, PlanConnection, PlanEnvironment, PlanRetry, PlanRollback,
    PlanRunbook, PlanService, PlanStep,
};
use crate::base::{Diagnostics, HumanDuration, StepId};
use crate::check::CheckedRunbook;
use crate::model::{
    Action, ActionCatalog, Effect, Environment, OnFailure, Retry, Rollback, Runbook, Step,
    StepOnFailure, Ty,
};

use std::time::Duration;

/// Pause between two polls when `every` is not written.
const EVERY: Duration = Duration::from_secs(1);

/// Makes the plan: parameters get their values, what can be rendered is rendered and checked again.
///
/// `None` when anything was found that is an error.
pub fn build(
    checked: &CheckedRunbook,
    environment: &Environment,
    given: &BTreeMap<String, Given>,
    catalog: &ActionCatalog,
    diags: &mut Diagnostics,
) -> Option<Plan> {
    let errors_before = diags.error_count();
    let runbook = checked.runbook();
    let params = params::resolve(runbook, environment, given, diags);
    if diags.error_count() > errors_before {
        // Everything below would only repeat that a parameter has no value.
        return None;
    }
    let mut plan = Plan {
        format: PLAN_FORMAT,
        runbook: about(runbook),
        environment: plan_environment(environment),
        params,
        on_failure: runbook.on_failure.value,
        on_cancel: runbook.on_cancel.value,
        timeout: runbook.timeout.as_ref().map(|t| HumanDuration(t.value)),
        steps: Vec::new(),
        verify: Vec::new(),
        finally: Vec::new(),
        secrets: BTreeMap::new(),
        outputs: BTreeMap::new(),
        action_outputs: BTreeMap::new(),
    };
    let scope = plan.scope();
    let mut builder = Builder {
        runbook,
        catalog,
        lines: Lines::new(&runbook.source.text),
        outputs: BTreeMap::new(),
        resolver: Resolver {
            checked,
            environment,
            scope: &scope,
            diags,
        },
    };
    let ids = |list: &[Step]| -> Vec<StepId> { list.iter().map(|s| s.id.value.clone()).collect() };
    let (step_ids, finally_ids) = (ids(&runbook.steps), ids(&runbook.finally));
    plan.steps = runbook
        .steps
        .iter()
        .zip(checked.needs())
        .map(|(step, needs)| {
            let needs = needs.iter().map(|n| step_ids[*n].clone()).collect();
            builder.step(step, needs)
        })
        .collect();
    plan.finally = runbook
        .finally
        .iter()
        .enumerate()
        .map(|(at, step)| {
            let above = at.checked_sub(1).map(|above| finally_ids[above].clone());
            builder.step(step, above.into_iter().collect())
        })
        .collect();
    plan.outputs = builder.outputs_of(&runbook.outputs);
    plan.action_outputs = builder.outputs;
    (diags.error_count() == errors_before).then_some(plan)
}

fn about(runbook: &Runbook) -> PlanRunbook {
    PlanRunbook {
        name: runbook.name.value.clone(),
        title: runbook.title.as_ref().map(|t| t.value.clone()),
        owner: runbook.owner.as_ref().map(|o| o.value.clone()),
        file: runbook.source.path.clone(),
        severity: runbook.severity.as_ref().map(|s| s.value),
        risk: runbook.risk.value,
        rto: runbook
            .objectives
            .rto
            .as_ref()
            .map(|d| HumanDuration(d.value)),
        rpo: runbook
            .objectives
            .rpo
            .as_ref()
            .map(|d| HumanDuration(d.value)),
    }
}

fn plan_environment(environment: &Environment) -> PlanEnvironment {
    PlanEnvironment {
        name: environment.name.value.clone(),
        protected: environment.protected,
        vars: environment
            .vars
            .iter()
            .map(|(name, value)| (name.clone(), value.to_json()))
            .collect(),
        services: environment
            .services
            .iter()
            .map(|(name, service)| {
                let service = PlanService {
                    provider: service.provider.value.clone(),
                    config: service.config.to_json(),
                };
                (name.clone(), service)
            })
            .collect(),
        connections: environment
            .connections
            .iter()
            .map(|(name, connection)| {
                let connection = PlanConnection {
                    kind: connection.kind.value.clone(),
                    config: connection.config.to_json(),
                };
                (name.clone(), connection)
            })
            .collect(),
    }
}

struct Builder<'a> {
    runbook: &'a Runbook,
    catalog: &'a ActionCatalog,
    lines: Lines,
    /// Types of the outputs of the actions met so far.
    outputs: BTreeMap<String, Ty>,
    resolver: Resolver<'a>,
}

impl<'a> Builder<'a> {
    fn step(&mut self, step: &'a Step, needs: Vec<StepId>) -> PlanStep {
        let mut action = self.action(&step.action, step.template);
        if let Some(effect) = &step.effect {
            action.effect = effect.value.effect;
        }
        let on_failure = match (&step.on_failure, self.runbook.on_failure.value) {
            (Some(own), _) => own.value,
            (None, OnFailure::Rollback) => StepOnFailure::Rollback,
            (None, OnFailure::Stop) => StepOnFailure::Stop,
        };
        PlanStep {
            id: step.id.value.clone(),
            name: step.name.as_ref().map(|n| n.value.clone()),
            line: self.lines.line(step.span.start),
            action,
            needs,
            block: None,
            for_each: None,
            unless: None,
            idempotency_key: None,
            when: step.when.as_ref().map(|c| c.value.clone()),
            until: step.until.as_ref().map(|c| c.value.clone()),
            every: HumanDuration(step.every.as_ref().map_or(EVERY, |d| d.value)),
            retry: step.retry.as_ref().map(|r| plan_retry(&r.value)),
            timeout: step.timeout.as_ref().map(|d| HumanDuration(d.value)),
            on_failure,
            verify: step.verify.as_ref().map(|c| c.value.clone()),
            rollback: step
                .rollback
                .as_ref()
                .map(|r| self.rollback(&r.value, step.template)),
            outputs: self.outputs_of(&step.outputs),
        }
    }

    fn action(&mut self, action: &'a Action, templates: bool) -> PlanAction {
        let name = action.uses.value.as_str();
        let Some(manifest) = self.catalog.get(name) else {
            // `check` refused it; without a manifest it must count as the worst.
            return PlanAction {
                uses: name.to_owned(),
                with: self.resolver.free(&action.with),
                effect: Effect::Once,
            };
        };
        if !self.outputs.contains_key(name) {
            let ty = Ty::from_schema(&manifest.output);
            self.outputs.insert(name.to_owned(), ty);
        }
        PlanAction {
            uses: name.to_owned(),
            with: self.resolver.inputs(action, manifest, templates),
            effect: manifest.effect,
        }
    }

    fn rollback(&mut self, rollback: &'a Rollback, templates: bool) -> PlanRollback {
        match rollback {
            Rollback::Undo {
                action,
                retry,
                timeout,
            } => PlanRollback::Undo {
                action: self.action(action, templates),
                retry: retry.as_ref().map(plan_retry),
                timeout: timeout.map(HumanDuration),
            },
            Rollback::Irreversible { reason } => PlanRollback::Irreversible {
                reason: reason.clone(),
            },
        }
    }

    fn outputs_of(
        &mut self,
        outputs: &indexmap::IndexMap<String, crate::model::YamlValue>,
    ) -> BTreeMap<String, Expr> {
        outputs
            .iter()
            .map(|(name, value)| (name.clone(), self.resolver.free(value)))
            .collect()
    }
}

fn plan_retry(retry: &Retry) -> PlanRetry {
    PlanRetry {
        attempts: retry.attempts,
        delay: HumanDuration(retry.delay),
        backoff: retry.backoff,
        max_delay: HumanDuration(retry.max_delay),
        jitter: retry.jitter,
        on: retry.on.clone(),
    }
}

/// Line numbers by binary search: counting from the top for each step would be quadratic.
struct Lines(Vec<usize>);

impl Lines {
    fn new(text: &str) -> Self {
        Self(text.match_indices('\n').map(|(at, _)| at).collect())
    }

    fn line(&self, offset: usize) -> u32 {
        let before = self.0.partition_point(|newline| *newline < offset);
        u32::try_from(before + 1).unwrap_or(u32::MAX)
    }
}
