//! From a checked runbook to a plan.

use std::collections::{BTreeMap, BTreeSet};

use super::demands;
use super::gates;
use super::params::{self, Given};
use super::secrets;
use super::steps::Builder;
use super::types::{PLAN_FORMAT, Plan, PlanConnection, PlanEnvironment, PlanRunbook, PlanService};
use crate::base::{Diagnostics, Digest, HumanDuration};
use crate::check::{CheckedRunbook, Demands, check_protection, is_protected, plan_risk};
use crate::model::{ActionCatalog, Environment, Policy, Runbook, Ty};

/// Makes the plan: parameters get their values, what can be rendered is rendered and checked again,
/// and the runbooks that it runs become parts of it.
///
/// In a protected environment the plan carries what the policy demands of it, and when its own gates
/// do not hold back every change, a gate before all of its steps.
///
/// `None` when anything was found that is an error; a protected environment without a policy is one.
pub fn build(
    checked: &CheckedRunbook,
    environment: &Environment,
    policy: Option<&Policy>,
    given: &BTreeMap<String, Given>,
    catalog: &ActionCatalog,
    diags: &mut Diagnostics,
) -> Option<Plan> {
    let errors_before = diags.error_count();
    let runbook = checked.runbook();
    check_protection(environment, policy, diags);
    let mut sources = BTreeMap::new();
    let params = params::resolve(runbook, environment, given, &mut sources, diags);
    if diags.error_count() > errors_before {
        // Everything below would only repeat that a parameter has no value.
        return None;
    }
    let mut plan = Plan {
        format: PLAN_FORMAT,
        runbook: about(runbook),
        environment: PlanEnvironment::default(),
        params,
        on_failure: runbook.on_failure.value,
        on_cancel: runbook.on_cancel.value,
        timeout: runbook.timeout.as_ref().map(|t| HumanDuration(t.value)),
        policy: None,
        steps: Vec::new(),
        verify: Vec::new(),
        finally: Vec::new(),
        secrets: sources,
        outputs: BTreeMap::new(),
        action_outputs: BTreeMap::new(),
    };
    let mut used = BTreeSet::new();
    plan.environment = plan_environment(environment, &mut used);
    let secret = |name: &String| plan.params[name].ty == Ty::Secret;
    let hidden = plan.params.keys().filter(|name| secret(name));
    let hidden = hidden.cloned().collect();
    plan.runbook.risk = plan_risk(checked);
    plan.environment.protected = is_protected(environment, policy);
    let (scope, risk) = (plan.scope(), plan.runbook.risk);
    let mut builder = Builder::new(checked, environment, catalog, scope, hidden, risk, diags);
    plan.steps = builder.steps();
    plan.verify = builder.verify();
    plan.finally = builder.finally();
    plan.outputs = builder.outputs_of(&runbook.outputs);
    let built = builder.done();
    plan.action_outputs = built.action_outputs;
    plan.secrets.extend(built.secrets);
    used.extend(built.used_secrets);
    secrets::add_sources(&used, environment, &mut plan.secrets, diags);
    if let Some(policy) = policy.filter(|_| plan.environment.protected) {
        demand(&mut plan, checked, policy, catalog, diags);
    }
    (diags.error_count() == errors_before).then_some(plan)
}

/// Adds what the policy demands.
fn demand(
    plan: &mut Plan,
    checked: &CheckedRunbook,
    policy: &Policy,
    catalog: &ActionCatalog,
    diags: &mut Diagnostics,
) {
    let name = plan.environment.name.clone();
    let demands = Demands::of(checked, catalog);
    demands.check_rules(checked, policy, &name, diags);
    if demands.unguarded.is_some() {
        gates::demand(plan, &checked.runbook().source.text, catalog);
    }
    let severity = plan.runbook.severity;
    let resolved = demands::resolve(policy, &name, severity, demands.risks());
    plan.policy = Some(Box::new(resolved));
}

fn about(runbook: &Runbook) -> PlanRunbook {
    PlanRunbook {
        name: runbook.name.value.clone(),
        title: runbook.title.as_ref().map(|t| t.value.clone()),
        owner: runbook.owner.as_ref().map(|o| o.value.clone()),
        file: runbook.source.path.clone(),
        source: Some(Digest::of_bytes(runbook.source.text.as_bytes())),
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

fn plan_environment(environment: &Environment, used: &mut BTreeSet<String>) -> PlanEnvironment {
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
                    config: secrets::with_markers(&service.config, used),
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
                    config: secrets::with_markers(&connection.config, used),
                };
                (name.clone(), connection)
            })
            .collect(),
    }
}
