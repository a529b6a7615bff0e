//! The parameters of a sub-runbook when it is opened: what only the run knows is checked now, before
//! anything of it starts.

use crate::base::{ErrorChain, Value};
use crate::event::{Failure, FailureKind};
use crate::language::{BrokenRule, ParamRules};
use crate::model::Ty;
use crate::plan::{PlanEnvironment, PlanParamRule};
use crate::run::state::RunState;

/// The parameters in the form of their types.
///
/// The failure names parameter, kind of value and rule, and never the value: it may be something
/// that the other side calls secret.
pub(super) fn accepted(state: &RunState, i: usize, inputs: Value) -> Result<Value, Failure> {
    let Some(block) = &state.step(i).block else {
        return Ok(inputs);
    };
    let Value::Object(mut inputs) = inputs else {
        return Ok(inputs);
    };
    for (name, value) in &mut inputs {
        let Some(ty) = block.params.get(name).filter(|ty| **ty != Ty::Secret) else {
            continue;
        };
        *value = fitting(ty, block.rules.get(name), value, &state.plan().environment)
            .map_err(|rule| refused(&block.runbook, name, value, &rule))?;
    }
    Ok(Value::Object(inputs))
}

/// A value in the form of its type.
///
/// # Errors
/// The rule that it breaks, in words that do not quote it.
pub(in crate::run) fn fitting(
    ty: &Ty,
    rule: Option<&PlanParamRule>,
    value: &Value,
    environment: &PlanEnvironment,
) -> Result<Value, String> {
    let rules = ParamRules {
        ty,
        pattern: rule.and_then(|rule| rule.pattern.as_deref()),
        min: rule.and_then(|rule| rule.min.as_ref()),
        max: rule.and_then(|rule| rule.max.as_ref()),
    };
    let value = rules
        .accept(value)
        .map_err(|broken| said(&rules, &broken))?;
    known(ty, &value, environment).map(|()| value)
}

fn said(rules: &ParamRules<'_>, broken: &BrokenRule) -> String {
    let pattern = rules.pattern.unwrap_or_default();
    match broken {
        BrokenRule::Form(_) => format!("it must be of type {}", rules.ty),
        BrokenRule::BadPattern(why) => format!("its pattern `{pattern}` cannot be used: {why}"),
        BrokenRule::Pattern => format!("it must match the pattern `{pattern}`"),
        BrokenRule::Min(min) => format!("it must be at least {}", plain(min)),
        BrokenRule::Max(max) => format!("it must be at most {}", plain(max)),
    }
}

fn plain(value: &Value) -> String {
    value
        .as_str()
        .map_or_else(|| value.to_string(), str::to_owned)
}

/// Whether the environment has the services and connections that a value names.
fn known(ty: &Ty, value: &Value, environment: &PlanEnvironment) -> Result<(), String> {
    let name = environment.name.as_str();
    match (ty, value) {
        (Ty::Service, Value::String(text)) if !environment.services.contains_key(text) => {
            Err(format!("it must name a service of `{name}`"))
        }
        (Ty::Connection, Value::String(text)) if !environment.connections.contains_key(text) => {
            Err(format!("it must name a connection of `{name}`"))
        }
        (Ty::List(item), Value::Array(items)) => {
            let mut items = items.iter();
            items.try_for_each(|value| known(item, value, environment))
        }
        (Ty::Map(item), Value::Object(map)) => {
            let mut items = map.values();
            items.try_for_each(|value| known(item, value, environment))
        }
        _ => Ok(()),
    }
}

fn refused(runbook: &str, name: &str, value: &Value, rule: &str) -> Failure {
    let kind = kind_of(value);
    Failure {
        sort: FailureKind::Invalid,
        error: ErrorChain::new(format!(
            "the parameter `{name}` of `runbook.{runbook}` was given {kind} that it does not permit: {rule}"
        )),
        hint: Some(format!(
            "nothing of it was started; see what it permits with: runbook show {runbook}"
        )),
        log_tail: Vec::new(),
    }
}

/// A value as a failure names it.
pub(super) fn kind_of(value: &Value) -> &'static str {
    match value {
        Value::Null => "nothing",
        Value::Bool(_) => "true or false",
        Value::Number(_) => "a number",
        Value::String(_) => "text",
        Value::Array(_) => "a list",
        Value::Object(_) => "a map",
    }
}
