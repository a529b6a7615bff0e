//! A runbook inside a plan: its parameters get what the calling step gives, and its steps become a
//! block of that step.

use std::collections::{BTreeMap, BTreeSet};

use indexmap::IndexMap;

use super::gates;
use super::steps::Builder;
use super::types::{Expr, PlanAction, PlanBlock, PlanParamRule};
use crate::base::{Diagnostic, Map, Value};
use crate::check::{CheckedRunbook, codes};
use crate::language::{check_param_value, marker};
use crate::model::{ObjectTy, Param, SecretSource, Ty, YamlValue, YamlValueKind};

impl<'a> Builder<'a> {
    /// Holds known values against what the parameters permit beyond their type: `pattern`, `min`, `max`.
    pub(super) fn check_params(&mut self, called: &'a CheckedRunbook, known: &YamlValue) {
        let YamlValueKind::Map(known) = &known.kind else {
            return;
        };
        let runbook = called.runbook();
        for (name, (_, value)) in known {
            let (Some(param), YamlValueKind::Literal(literal)) =
                (runbook.params.get(name), &value.kind)
            else {
                continue;
            };
            if param.pattern.is_none() && param.min.is_none() && param.max.is_none() {
                continue;
            }
            if let Err(why) = check_param_value(param, literal) {
                let finding = Diagnostic::error(
                    codes::BAD_PARAM_VALUE,
                    format!("the parameter `{name}` cannot have this value: {why}"),
                )
                .at(
                    &self.resolver.checked.runbook().source,
                    value.span,
                    "this value",
                )
                .at(&runbook.source, param.name_span, "the parameter")
                .help(format!(
                    "see what it permits with: runbook show {}",
                    runbook.name.value
                ));
                self.resolver.diags.push(finding);
            }
        }
    }

    /// The steps of a runbook that a step runs. `action.with` becomes the values of its parameters,
    /// defaults too.
    pub(super) fn block(
        &mut self,
        called: &'a CheckedRunbook,
        action: &mut PlanAction,
    ) -> PlanBlock {
        let runbook = called.runbook();
        let mut given = parts_of(std::mem::replace(
            &mut action.with,
            Expr::Value(Value::Null),
        ));
        let mut with = BTreeMap::new();
        let mut values = Map::new();
        let mut hidden = BTreeSet::new();
        for (name, param) in &runbook.params {
            let Some(expr) = self.param(called, name, param, given.remove(name)) else {
                // Missing or wrong, which was said.
                hidden.insert(name.clone());
                continue;
            };
            match &expr {
                Expr::Value(value) if param.ty.value != Ty::Secret => {
                    values.insert(name.clone(), value.clone());
                }
                _ => {
                    hidden.insert(name.clone());
                }
            }
            with.insert(name.clone(), expr);
        }
        let rules = rules_of(&runbook.params, &with);
        action.with = whole_of(with);
        let params: BTreeMap<String, Ty> = runbook
            .params
            .iter()
            .map(|(name, param)| (name.clone(), param.ty.value.clone()))
            .collect();
        let ty = Ty::Object(ObjectTy {
            fields: params.clone(),
            required: Vec::new(),
            open: false,
        });

        let caller = std::mem::replace(&mut self.resolver.checked, called);
        let hidden = std::mem::replace(&mut self.resolver.hidden, hidden);
        let scope = &mut self.resolver.scope;
        let of_caller = scope.replace("params", (Value::Object(values), ty));
        self.enter();
        let block = PlanBlock {
            runbook: runbook.name.value.clone(),
            file: runbook.source.path.clone(),
            params,
            rules,
            steps: self.steps(),
            verify: self.verify(),
            finally: self.finally(),
            outputs: self.outputs_of(&runbook.outputs),
        };
        if let Some(of_caller) = of_caller {
            self.resolver.scope.replace("params", of_caller);
        }
        self.resolver.hidden = hidden;
        self.resolver.checked = caller;
        block
    }

    /// The value of a parameter: what is given, brought into its form when it is known, or the default.
    fn param(
        &mut self,
        called: &CheckedRunbook,
        name: &str,
        param: &Param,
        given: Option<Expr>,
    ) -> Option<Expr> {
        let value = match given {
            Some(Expr::Value(value)) => value,
            Some(expr) => return Some(expr),
            None => {
                let default = param.default.as_ref()?.to_json();
                if param.ty.value == Ty::Secret {
                    return self.secret_default(called, name, &default);
                }
                default
            }
        };
        check_param_value(param, &value).ok().map(Expr::Value)
    }

    /// A default source is noted under a name of its own, so that no two runbooks share one.
    fn secret_default(
        &mut self,
        called: &CheckedRunbook,
        name: &str,
        source: &Value,
    ) -> Option<Expr> {
        let source: SecretSource = source.as_str()?.parse().ok()?;
        let name = format!("runbook.{}.params.{name}", called.runbook().name.value);
        let value = Value::String(marker(&name));
        self.built.secrets.insert(name, source);
        Some(Expr::Value(value))
    }
}

/// The rules of the parameters whose values only the run knows; the others were held against theirs.
fn rules_of(
    params: &IndexMap<String, Param>,
    with: &BTreeMap<String, Expr>,
) -> BTreeMap<String, PlanParamRule> {
    let open = |name: &str| with.get(name).is_some_and(|e| !matches!(e, Expr::Value(_)));
    params
        .iter()
        .filter(|(name, _)| open(name))
        .filter_map(|(name, param)| Some((name.clone(), gates::rule(param)?)))
        .collect()
}

fn parts_of(with: Expr) -> BTreeMap<String, Expr> {
    match with {
        Expr::Map(parts) => parts,
        Expr::Value(Value::Object(map)) => map
            .into_iter()
            .map(|(name, value)| (name, Expr::Value(value)))
            .collect(),
        _ => BTreeMap::new(),
    }
}

fn whole_of(parts: BTreeMap<String, Expr>) -> Expr {
    let known: Option<Map<String, Value>> = parts
        .iter()
        .map(|(name, part)| match part {
            Expr::Value(value) => Some((name.clone(), value.clone())),
            _ => None,
        })
        .collect();
    match known {
        Some(known) => Expr::Value(Value::Object(known)),
        None => Expr::Map(parts),
    }
}
