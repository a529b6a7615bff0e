//! Rule: one name means one thing.

use super::codes;
use super::rules::Whole;
use crate::base::{Diagnostic, Diagnostics};
use crate::language::ROOTS;
use crate::model::Ty;

pub(super) fn check(whole: &Whole<'_>, diags: &mut Diagnostics) {
    let runbook = whole.runbook;
    for (name, param) in &runbook.params {
        if ROOTS.contains(&name.as_str()) || name == "index" || name == "secrets" {
            diags.push(
                Diagnostic::warning(
                    codes::SHADOWED_NAME,
                    format!("the parameter `{name}` has the name of something else"),
                )
                .at(
                    &runbook.source,
                    param.name_span,
                    format!("`{name}` alone means something of the language"),
                )
                .help(format!(
                    "choose another name: `{{{{ {name} }}}}` and `{{{{ params.{name} }}}}` are easily mistaken for each other"
                )),
            );
        }
    }
    for step in runbook.steps.iter().chain(&runbook.finally) {
        if step.outputs.is_empty() {
            continue;
        }
        let Some(manifest) = whole.catalog.get(&step.action.uses.value) else {
            continue;
        };
        let Ty::Object(own) = Ty::from_schema(&manifest.output) else {
            continue;
        };
        for (name, value) in &step.outputs {
            if own.fields.contains_key(name) {
                diags.push(
                    Diagnostic::warning(
                        codes::SHADOWED_NAME,
                        format!(
                            "the output `{name}` of `{}` hides the one of `{}`",
                            step.id.value, step.action.uses.value
                        ),
                    )
                    .at(
                        &runbook.source,
                        value.span,
                        format!("hides `{name}` of the action"),
                    )
                    .help("choose another name; the action's own output is published anyway"),
                );
            }
        }
    }
}
