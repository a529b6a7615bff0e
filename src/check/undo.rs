//! Rule: where a failure rolls back, every change says how it is undone.

use super::codes;
use super::rules::Whole;
use crate::base::{Diagnostic, Diagnostics};
use crate::model::{OnFailure, StepOnFailure};

pub(super) fn check(whole: &Whole<'_>, diags: &mut Diagnostics) {
    if !rolls_back(whole) {
        return;
    }
    let steps = &whole.runbook.steps;
    let mut ends = (0..steps.len()).filter(|at| whole.dag.dependents(*at).is_empty());
    // Nothing can fail after a step that everything else comes before: its undo would never run.
    let last = match (ends.next(), ends.next()) {
        (Some(only), None) if whole.runbook.verify.is_empty() => Some(only),
        _ => None,
    };
    for (at, step) in steps.iter().enumerate() {
        let needless = last == Some(at) && step.for_each.is_none();
        if step.rollback.is_some() || needless || !whole.changes(step) {
            continue;
        }
        diags.push(
            Diagnostic::warning(
                codes::NO_UNDO,
                format!(
                    "the step `{}` changes something, but a rollback would not undo it",
                    step.id.value
                ),
            )
            .at(
                &whole.runbook.source,
                step.action.uses.span,
                "stays as it is after a rollback",
            )
            .help(
                "say how it is undone (`rollback: { uses: ..., with: ... }`), that it cannot be \
                 (`rollback: { irreversible: true, reason: ... }`), or that it changes nothing \
                 (`effect: { is: read, reason: ... }`)",
            ),
        );
    }
}

/// Whether any failure of a step undoes the steps before it.
pub(super) fn rolls_back(whole: &Whole<'_>) -> bool {
    let runbook = whole.runbook;
    runbook.on_failure.value == OnFailure::Rollback
        || runbook.steps.iter().any(|step| {
            step.on_failure
                .as_ref()
                .is_some_and(|own| own.value == StepOnFailure::Rollback)
        })
}
