//! Rule: no step waits for one that cannot succeed.

use super::absent::never_has_value;
use super::codes;
use super::rules::Whole;
use crate::base::{Diagnostic, Diagnostics, Span};
use crate::model::{Step, StepOnFailure};

/// Why a step fails in every run.
#[derive(Clone)]
struct Failure {
    place: Span,
    label: &'static str,
}

pub(super) fn check(whole: &Whole<'_>, diags: &mut Diagnostics) {
    if whole.constants.is_empty() {
        return;
    }
    let steps = &whole.runbook.steps;
    let mut failures: Vec<Option<Failure>> = steps.iter().map(|s| fails(whole, s)).collect();
    for used in whole
        .uses
        .iter()
        .filter(|used| never_has_value(whole, used))
    {
        let by = &steps[used.by.index];
        if always_tried(whole, by) {
            failures[used.by.index].get_or_insert(Failure {
                place: used.span,
                label: "this never has a value",
            });
        }
    }
    // For each step, the first one before it that always fails.
    let mut stopped_by: Vec<Option<usize>> = vec![None; steps.len()];
    let mut stopped: Vec<Vec<usize>> = vec![Vec::new(); steps.len()];
    for &node in whole.dag.order() {
        let by = whole.dag.needs(node).iter().find_map(|&need| {
            stopped_by[need].or_else(|| failures[need].is_some().then_some(need))
        });
        stopped_by[node] = by;
        if let Some(by) = by {
            stopped[by].push(node);
        }
    }
    for (at, never) in stopped.iter_mut().enumerate() {
        never.sort_unstable();
        let (Some(failure), Some(first)) = (&failures[at], never.first()) else {
            continue;
        };
        let others = match never.len() - 1 {
            0 => String::new(),
            1 => " and 1 other step".to_owned(),
            n => format!(" and {n} other steps"),
        };
        let (step, first) = (&steps[at], &steps[*first]);
        let source = &whole.runbook.source;
        diags.push(
            Diagnostic::warning(
                codes::UNREACHABLE,
                format!(
                    "`{}`{others} can never run, because `{}` always fails",
                    first.id.value, step.id.value
                ),
            )
            .at(source, first.id.span, "never runs")
            .at(source, failure.place, failure.label)
            .help(format!(
                "mend `{}`, or tolerate its failure with `on_failure: continue`",
                step.id.value
            )),
        );
    }
}

fn fails(whole: &Whole<'_>, step: &Step) -> Option<Failure> {
    if !always_tried(whole, step) {
        return None;
    }
    [
        (&step.until, "this never becomes true"),
        (&step.verify, "this is never true"),
    ]
    .into_iter()
    .find(|(condition, _)| whole.always(condition.as_ref()) == Some(false))
    .and_then(|(condition, label)| {
        let place = condition.as_ref()?.span;
        Some(Failure { place, label })
    })
}

/// Whether nothing lets the step be skipped, and its failure counts.
fn always_tried(whole: &Whole<'_>, step: &Step) -> bool {
    (step.when.is_none() || whole.always(step.when.as_ref()) == Some(true))
        && step.unless.is_none()
        && step.for_each.is_none()
        && step
            .on_failure
            .as_ref()
            .is_none_or(|own| own.value != StepOnFailure::Continue)
}
