//! Parameters: defaults and given values, typed and checked.

use std::collections::BTreeMap;

use super::types::PlanParam;
use crate::base::{Diagnostic, Diagnostics, Value, did_you_mean};
use crate::check::{codes, unknown_connection, unknown_service};
use crate::language::{check_param_value, is_near_marker, marker, parse_param};
use crate::model::{Environment, Param, Runbook, SecretSource, Ty};

/// A value given for a parameter.
#[derive(Debug, Clone, PartialEq)]
pub enum Given {
    /// Text of a command line (`--param name=text`), read by the parameter's type.
    Text(String),
    /// A value of a file or of a program.
    Value(Value),
}

/// Every parameter with its value. Findings are RB0402 to RB0407.
pub(super) fn resolve(
    runbook: &Runbook,
    environment: &Environment,
    given: &BTreeMap<String, Given>,
    sources: &mut BTreeMap<String, SecretSource>,
    diags: &mut Diagnostics,
) -> BTreeMap<String, PlanParam> {
    for name in given.keys() {
        if !runbook.params.contains_key(name) {
            diags.push(unknown(runbook, name));
        }
    }
    runbook
        .params
        .iter()
        .filter_map(|(name, param)| {
            let value = value_of(runbook, name, param, given.get(name), diags)?;
            if param.ty.value == Ty::Secret {
                return secret(runbook, name, param, &value, sources, diags);
            }
            check_names(&param.ty, &value, &mut |ty, text| {
                let span = param.name_span;
                let finding = match ty {
                    Ty::Service if !environment.services.contains_key(text) => {
                        unknown_service(environment, text, &runbook.source, span)
                    }
                    Ty::Connection if !environment.connections.contains_key(text) => {
                        unknown_connection(environment, text, &runbook.source, span)
                    }
                    _ => return,
                };
                diags.push(finding);
            });
            let ty = param.ty.value.clone();
            Some((name.clone(), PlanParam { ty, value }))
        })
        .collect()
}

/// A parameter of type `secret`: its value is where the secret is to be had. Neither the plan nor a
/// finding shows it: it may be the secret itself, given by mistake.
fn secret(
    runbook: &Runbook,
    name: &str,
    param: &Param,
    value: &Value,
    sources: &mut BTreeMap<String, SecretSource>,
    diags: &mut Diagnostics,
) -> Option<(String, PlanParam)> {
    match value.as_str().unwrap_or_default().parse::<SecretSource>() {
        Ok(source) => {
            let key = format!("params.{name}");
            let value = Value::String(marker(&key));
            sources.insert(key, source);
            let ty = Ty::Secret;
            Some((name.to_owned(), PlanParam { ty, value }))
        }
        Err(problem) => {
            diags.push(
                Diagnostic::error(
                    codes::BAD_PARAM_VALUE,
                    format!("the parameter `{name}` wants the source of a secret: {problem}"),
                )
                .at(&runbook.source, param.name_span, "of type secret")
                .help(format!(
                    "put it into a variable of your shell, and name that: --param {name}=env:NAME"
                )),
            );
            None
        }
    }
}

fn unknown(runbook: &Runbook, name: &str) -> Diagnostic {
    let known = || runbook.params.keys().map(String::as_str);
    let finding = Diagnostic::error(
        codes::UNKNOWN_PARAM,
        format!(
            "the runbook `{}` has no parameter `{name}`",
            runbook.name.value
        ),
    )
    .at(&runbook.source, runbook.name.span, "this runbook");
    match did_you_mean(name, known()) {
        Some(near) => finding.help(format!("did you mean `{near}`?")),
        None if runbook.params.is_empty() => finding.help("it takes no parameters"),
        None => finding.help(format!(
            "its parameters are {}",
            known().collect::<Vec<_>>().join(", ")
        )),
    }
}

fn value_of(
    runbook: &Runbook,
    name: &str,
    param: &Param,
    given: Option<&Given>,
    diags: &mut Diagnostics,
) -> Option<Value> {
    let value = match (given, &param.default) {
        (Some(Given::Value(Value::Number(_) | Value::Bool(_))), _)
            if param.ty.value == Ty::Secret =>
        {
            // The usual words would show the value.
            Ok(Value::Null)
        }
        (Some(Given::Text(text)), _) => {
            parse_param(text, &param.ty).and_then(|value| check_param_value(param, &value))
        }
        (Some(Given::Value(value)), _) => check_param_value(param, value),
        (None, Some(default)) => check_param_value(param, &default.to_json()),
        (None, None) => {
            diags.push(
                Diagnostic::error(
                    codes::MISSING_PARAM,
                    format!("the parameter `{name}` has no value"),
                )
                .at(
                    &runbook.source,
                    param.name_span,
                    format!("required, of type {}", param.ty.value),
                )
                .help(format!("give it: --param {name}=VALUE")),
            );
            return None;
        }
    };
    let value = value.and_then(|value| match is_near_marker(&value.to_string()) {
        // Text that looks like the mark of a secret would pull the secret in.
        true => Err("it holds the invisible mark of a secret (U+2063)".to_owned()),
        false => Ok(value),
    });
    value
        .map_err(|why| {
            diags.push(
                Diagnostic::error(
                    codes::BAD_PARAM_VALUE,
                    format!("the parameter `{name}` cannot have this value: {why}"),
                )
                .at(
                    &runbook.source,
                    param.name_span,
                    format!("of type {}", param.ty.value),
                )
                .help(format!("give another: --param {name}=VALUE")),
            );
        })
        .ok()
}

/// Every text in a value whose type is a service or a connection.
fn check_names(ty: &Ty, value: &Value, found: &mut dyn FnMut(&Ty, &str)) {
    match (ty, value) {
        (Ty::Service | Ty::Connection, Value::String(text)) => found(ty, text),
        (Ty::List(item), Value::Array(items)) => {
            for value in items {
                check_names(item, value, found);
            }
        }
        (Ty::Map(item), Value::Object(map)) => {
            for value in map.values() {
                check_names(item, value, found);
            }
        }
        _ => {}
    }
}
