//! The files of a run, read again while it waits.

use std::collections::BTreeMap;

use super::error::CliError;
use super::workspace::Workspace;
use crate::base::{Diagnostics, Severity};
use crate::engine::Surroundings;
use crate::model::Ty;
use crate::plan::{Given, Plan};

/// Most mistakes of the files that are told.
const TOLD: usize = 3;

impl Surroundings for Workspace {
    fn plan_now(&self, plan: &Plan) -> Result<Plan, String> {
        let given = given(plan);
        let name = &plan.runbook.name;
        let environment = &plan.environment.name;
        self.planned(name, environment, &given, Diagnostics::new())
            .map(|(planned, _)| planned.plan)
            .map_err(|error| words(&error))
    }
}

/// The parameters of a plan as they could have been given for it. What was left to a default is given
/// too: a run keeps its parameters.
fn given(plan: &Plan) -> BTreeMap<String, Given> {
    let value = |name: &String, param: &crate::plan::PlanParam| match &param.ty {
        Ty::Secret => {
            let source = plan.secrets.get(&format!("params.{name}"))?;
            Some(Given::Text(source.to_string()))
        }
        _ => Some(Given::Value(param.value.clone())),
    };
    plan.params
        .iter()
        .filter_map(|(name, param)| Some((name.clone(), value(name, param)?)))
        .collect()
}

/// What is wrong with the files, on one line.
fn words(error: &CliError) -> String {
    let errors = |finding: &&crate::base::Diagnostic| finding.severity == Severity::Error;
    let told: Vec<String> = error
        .findings
        .iter()
        .filter(errors)
        .map(|finding| format!("{} ({})", finding.message, finding.code))
        .collect();
    if told.is_empty() {
        return error.chain.to_string();
    }
    let more = match told.len().saturating_sub(TOLD) {
        0 => String::new(),
        n => format!("; {n} more"),
    };
    format!(
        "{}{more}",
        told.iter()
            .take(TOLD)
            .cloned()
            .collect::<Vec<_>>()
            .join("; ")
    )
}
