//! Rule: somebody is asked before the run can no longer be rolled back.

use super::approval::APPROVAL;
use super::codes;
use super::rules::Whole;
use super::undo::rolls_back;
use crate::base::{Diagnostic, Diagnostics, Severity};
use crate::model::{Rollback, Step};

pub(super) fn check(whole: &Whole<'_>, diags: &mut Diagnostics) {
    if !rolls_back(whole) {
        return;
    }
    let runbook = whole.runbook;
    let steps = &runbook.steps;
    let severity = match whole.is_delicate() {
        true => Severity::Warning,
        false => Severity::Note,
    };
    // A step waits for all that it needs, so one gate anywhere before it holds it back.
    let mut asked = vec![false; steps.len()];
    let mut crossed = vec![false; steps.len()];
    for &node in whole.dag.order() {
        let needs = whole.dag.needs(node);
        asked[node] = needs
            .iter()
            .any(|&need| asked[need] || always_asks(&steps[need]));
        crossed[node] = needs.iter().any(|&need| crossed[need]);
        let step = &steps[node];
        let Some(rollback) = &step.rollback else {
            continue;
        };
        if !matches!(rollback.value, Rollback::Irreversible { .. })
            || asked[node]
            || !whole.changes(step)
        {
            continue;
        }
        if !crossed[node] {
            let mut finding = Diagnostic::warning(
                codes::NO_GATE,
                format!(
                    "nobody is asked before `{}`, after which a rollback cannot restore",
                    step.id.value
                ),
            )
            .at(&runbook.source, step.id.span, "the point of no return")
            .at(&runbook.source, rollback.span, "it cannot be undone")
            .help("put a gate before it: `uses: approval`, without a `when` that could skip it");
            finding.severity = severity;
            diags.push(finding);
        }
        crossed[node] = true;
    }
}

/// Whether it is a gate that nothing can skip.
fn always_asks(step: &Step) -> bool {
    step.action.uses.value == APPROVAL && step.when.is_none() && step.unless.is_none()
}
