//! Rule: steps under `finally` have no say in what the run does next.

use super::codes;
use super::rules::Whole;
use crate::base::{Diagnostic, Diagnostics};

pub(super) fn check(whole: &Whole<'_>, diags: &mut Diagnostics) {
    for step in &whole.runbook.finally {
        if let Some(on_failure) = &step.on_failure {
            diags.push(
                Diagnostic::warning(
                    codes::NO_EFFECT_IN_FINALLY,
                    format!("`on_failure` of `{}` has no effect", step.id.value),
                )
                .at(&whole.runbook.source, on_failure.span, "under `finally`")
                .help(
                    "take it out: when a step under `finally` fails, the others run all the same, \
                     and nothing is rolled back any more",
                ),
            );
        }
    }
}
