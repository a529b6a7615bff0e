//! What a gate asks to be filled in, checked before anything is stored.

use super::cast::Say;
use crate::base::{Map, Value, did_you_mean};
use crate::cli::booth::Booth;
use crate::cli::error::{CliError, ErrorKind};
use crate::event::Vote;
use crate::language::parse_param;
use crate::plan::PlanGateInput;
use crate::run::GateView;

/// The values of an approval: what was given, else the defaults; nothing for other votes.
///
/// # Errors
/// One that is unknown, missing, given twice or of the wrong type.
pub(super) fn filled_in(
    booth: &Booth,
    gate: &GateView,
    say: &Say<'_>,
) -> Result<Map<String, Value>, CliError> {
    let problem = |message: String| CliError::new(ErrorKind::Usage, message);
    let typed = booth.typed(&gate.step);
    if say.vote != Vote::Approve {
        return match say.inputs.is_empty() {
            true => Ok(Map::new()),
            false => Err(
                problem("only an approval fills in what a gate asks for".to_owned())
                    .next(format!("leave out --input: runbook reject {typed}")),
            ),
        };
    }
    let mut values = Map::new();
    for (name, text) in say.inputs {
        let Some(input) = gate.inputs.get(name) else {
            return Err(unknown(gate, name, &typed));
        };
        let value = parse_param(text, &input.ty).map_err(|why| {
            problem(format!("the input `{name}` cannot have this value: {why}"))
                .next(example(&typed, name, input))
        })?;
        if values.insert(name.clone(), value).is_some() {
            return Err(problem(format!("the input `{name}` is given twice"))
                .next(example(&typed, name, input)));
        }
    }
    let mut missing = Vec::new();
    for (name, input) in &gate.inputs {
        match &input.default {
            _ if values.contains_key(name) => {}
            Some(default) => {
                values.insert(name.clone(), default.clone());
            }
            None => missing.push((name, input)),
        }
    }
    if missing.is_empty() {
        return Ok(values);
    }
    let names: Vec<String> = missing
        .iter()
        .map(|(name, _)| format!("`{name}`"))
        .collect();
    let error = problem(format!(
        "the gate `{}` asks you to fill in {}",
        gate.step,
        names.join(", ")
    ));
    let flags: Vec<String> = missing
        .iter()
        .map(|(name, input)| format!("--input {name}={}", placeholder(input)))
        .collect();
    let error = missing
        .iter()
        .fold(error, |error, (name, input)| match &input.description {
            Some(what) => error.next(format!("{name} ({}): {what}", input.ty)),
            None => error.next(format!("{name} is of type {}", input.ty)),
        });
    Err(error.next(format!("runbook approve {typed} {}", flags.join(" "))))
}

fn unknown(gate: &GateView, name: &str, typed: &str) -> CliError {
    let known = || gate.inputs.keys().map(String::as_str);
    let error = CliError::new(
        ErrorKind::Usage,
        format!("the gate `{}` does not ask for `{name}`", gate.step),
    );
    match did_you_mean(name, known()) {
        Some(near) => error.next(format!("did you mean `{near}`?")),
        None if gate.inputs.is_empty() => {
            error.next(format!("it asks for nothing: runbook approve {typed}"))
        }
        None => error.next(format!(
            "it asks for: {}",
            known().collect::<Vec<_>>().join(", ")
        )),
    }
}

fn example(typed: &str, name: &str, input: &PlanGateInput) -> String {
    format!(
        "runbook approve {typed} --input {name}={}",
        placeholder(input)
    )
}

/// The default, or the type as a word to be replaced.
fn placeholder(input: &PlanGateInput) -> String {
    match &input.default {
        Some(Value::String(text)) => text.clone(),
        Some(other) => other.to_string(),
        None => input.ty.to_string().to_uppercase(),
    }
}
