//! Rules for `environment` and `secrets` of a step.

use super::checker::{Checker, StepAt};
use super::codes;
use super::input::made_private;
use super::reference::{Place, User};
use crate::base::{Diagnostic, Diagnostics, Value, did_you_mean};
use crate::model::{Step, Ty, YamlValueKind};

/// The input that takes the variables of a program.
pub(crate) const VARIABLES: &str = "environment";

/// What an action's input schema wants of a variable's value; `None` when it starts no program.
pub(crate) fn variable_schema(input: &Value) -> Option<&Value> {
    let schema = input.get("properties")?.get(VARIABLES)?;
    Some(
        schema
            .get("additionalProperties")
            .unwrap_or(&Value::Bool(true)),
    )
}

impl<'a> Checker<'a> {
    pub(super) fn check_variables(&mut self, step: &'a Step, at: StepAt, diags: &mut Diagnostics) {
        let Some(first) = step.environment.values().next() else {
            return;
        };
        let user = User {
            step: Some(at),
            place: Place::Before,
        };
        let uses = &step.action.uses;
        let schema = match self.manifest(&uses.value) {
            None => Some(&Value::Bool(true)),
            Some(manifest) => variable_schema(&manifest.input),
        };
        let Some(schema) = schema else {
            diags.push(
                Diagnostic::error(
                    codes::NO_VARIABLES,
                    format!(
                        "`{}` starts no program that could get variables",
                        uses.value
                    ),
                )
                .at(self.source(), first.span, "a variable")
                .at(self.source(), uses.span, "this action")
                .help(format!(
                    "take `environment` out; see the inputs with: runbook actions describe {}",
                    uses.value
                )),
            );
            return;
        };
        let inputs = match &step.action.with.kind {
            YamlValueKind::Map(with) => with
                .get(VARIABLES)
                .map(|(_, value)| (value.span, &value.kind)),
            _ => None,
        };
        if let Some((span, YamlValueKind::Text { .. })) = inputs {
            diags.push(
                Diagnostic::error(
                    codes::VARIABLE_TWICE,
                    "variables stand in `with` and in `environment`, and cannot be put together",
                )
                .at(self.source(), span, "one expression for all of them")
                .at(
                    self.source(),
                    first.span,
                    "and in `environment` of the step",
                )
                .help("give all variables in one place"),
            );
        }
        for (name, value) in &step.environment {
            let key = format!("{VARIABLES}.{name}");
            self.check_named(&key, &made_private(schema), value, user, diags);
            if let Some((_, YamlValueKind::Map(inputs))) = inputs
                && let Some((span, _)) = inputs.get(name)
            {
                diags.push(
                    Diagnostic::error(
                        codes::VARIABLE_TWICE,
                        format!("the variable `{name}` is given twice"),
                    )
                    .at(self.source(), *span, "in `with`")
                    .at(
                        self.source(),
                        value.span,
                        "and in `environment` of the step",
                    )
                    .help("take one of the two out"),
                );
            }
        }
    }

    /// The names under `secrets:` exist.
    pub(super) fn check_secret_names(&mut self, step: &'a Step, diags: &mut Diagnostics) {
        for name in &step.secrets {
            let declared = self.runbook.params.get_key_value(&name.value);
            if let Some((key, param)) = declared
                && param.ty.value == Ty::Secret
            {
                self.used_params.insert(key.as_str());
                continue;
            }
            let Some(environment) = self.environment else {
                continue;
            };
            if environment.secrets.contains_key(&name.value) {
                continue;
            }
            let finding = Diagnostic::error(
                codes::UNKNOWN_SECRET,
                format!("there is no secret `{}`", name.value),
            )
            .at(self.source(), name.span, "unknown secret");
            let params = self.runbook.params.iter();
            let known = params
                .filter(|(_, param)| param.ty.value == Ty::Secret)
                .map(|(name, _)| name.as_str())
                .chain(environment.secrets.keys().map(String::as_str));
            diags.push(match (did_you_mean(&name.value, known), declared) {
                (_, Some((_, param))) => finding.help(format!(
                    "the parameter `{}` is of type {}; a secret has `type: secret`",
                    name.value, param.ty.value
                )),
                (Some(near), None) => finding.help(format!("did you mean `{near}`?")),
                (None, None) => finding.help(format!(
                    "name a parameter with `type: secret`, or one of `secrets:` in {}",
                    environment.source.path
                )),
            });
        }
    }
}
