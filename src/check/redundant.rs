//! Rule: `needs` does not name what follows from another need.

use super::codes;
use super::graph::Before;
use super::rules::Whole;
use crate::base::{Diagnostic, Diagnostics};
use crate::model::Needs;

pub(super) fn check(whole: &Whole<'_>, diags: &mut Diagnostics) {
    let steps = &whole.runbook.steps;
    let layers = whole.dag.layers();
    // Only what lies in an earlier layer than another need can follow from that.
    let candidates: Vec<(usize, usize)> = (0..steps.len())
        .filter(|at| whole.dag.needs(*at).len() > 1)
        .flat_map(|at| {
            let needs = whole.dag.needs(at);
            let deepest = needs.iter().map(|need| layers[*need]).max().unwrap_or(0);
            needs
                .iter()
                .filter(|need| layers[**need] < deepest)
                .map(|need| (at, *need))
                .collect::<Vec<_>>()
        })
        .collect();
    if candidates.is_empty() {
        return;
    }
    let before = Before::new(whole.dag, candidates.iter().map(|(_, need)| *need));
    for (at, need) in candidates {
        let by = whole
            .dag
            .needs(at)
            .iter()
            .find(|other| before.is_before(need, **other));
        let (Some(by), Needs::Listed(names)) = (by, &steps[at].needs) else {
            continue;
        };
        let id = &steps[need].id.value;
        let Some(name) = names.iter().find(|name| name.value == id.as_str()) else {
            continue;
        };
        diags.push(
            Diagnostic::note(
                codes::REDUNDANT_NEED,
                format!(
                    "`{}` comes before `{}` anyway, through `{}`",
                    id, steps[at].id.value, steps[*by].id.value
                ),
            )
            .at(&whole.runbook.source, name.span, "not needed here")
            .help("take it out of `needs`; the order stays the same"),
        );
    }
}
