//! Rules for the graph: known needs, no circles, references only to what comes before.

use std::collections::{BTreeMap, HashMap, HashSet};

use super::approval::APPROVAL;
use super::checker::Part;
use super::codes;
use super::reference::StepReference;
use crate::base::{Cycle, Dag, Diagnostic, Diagnostics, did_you_mean};
use crate::model::{Needs, Runbook, Step};

/// The graph of `steps` or of `verify`; `None` when it has circles or two steps share an id.
pub(super) fn check_needs(runbook: &Runbook, part: Part, diags: &mut Diagnostics) -> Option<Dag> {
    let steps = part.steps(runbook);
    let index: HashMap<&str, usize> = steps
        .iter()
        .enumerate()
        .map(|(i, step)| (step.id.value.as_str(), i))
        .collect();
    let needs = steps
        .iter()
        .enumerate()
        .map(|(at, step)| match &step.needs {
            Needs::Above => at.checked_sub(1).into_iter().collect(),
            Needs::Listed(names) => {
                let mut found = Vec::with_capacity(names.len());
                for name in names {
                    if diags.is_full() {
                        break;
                    }
                    match index.get(name.value.as_str()) {
                        Some(&need) if need == at => itself(runbook, step, name.span, diags),
                        Some(need) if found.contains(need) => {}
                        Some(&need) => found.push(need),
                        None => unknown(runbook, part, name, &index, diags),
                    }
                }
                found
            }
        })
        .collect();
    match Dag::new(needs) {
        Ok(dag) => (index.len() == steps.len()).then_some(dag),
        Err(cycles) => {
            for cycle in cycles {
                circle(runbook, steps, &cycle, diags);
            }
            None
        }
    }
}

/// Steps under `finally` follow each other; a need may only name one further up.
pub(super) fn check_finally_needs(runbook: &Runbook, diags: &mut Diagnostics) {
    let mut above = HashSet::new();
    for step in &runbook.finally {
        let names = match &step.needs {
            Needs::Above => [].as_slice(),
            Needs::Listed(names) => names,
        };
        for name in names {
            if !above.contains(name.value.as_str()) {
                diags.push(
                    Diagnostic::error(
                        codes::UNKNOWN_NEED,
                        format!("`{}` is no step further up under `finally`", name.value),
                    )
                    .at(&runbook.source, name.span, "cannot be needed here")
                    .help("steps under `finally` run one after the other when all others have ended; leave `needs` out"),
                );
            }
        }
        above.insert(step.id.value.as_str());
    }
}

fn itself(runbook: &Runbook, step: &Step, span: crate::base::Span, diags: &mut Diagnostics) {
    diags.push(
        Diagnostic::error(
            codes::NEEDS_ITSELF,
            format!("the step `{}` needs itself", step.id.value),
        )
        .at(&runbook.source, span, "this is the step itself")
        .help("take it out of `needs`"),
    );
}

fn unknown(
    runbook: &Runbook,
    part: Part,
    name: &crate::base::Spanned<String>,
    index: &HashMap<&str, usize>,
    diags: &mut Diagnostics,
) {
    let finding = Diagnostic::error(
        codes::UNKNOWN_NEED,
        format!("there is no step `{}` to need", name.value),
    )
    .at(&runbook.source, name.span, "unknown step");
    let elsewhere = Part::ALL.into_iter().find(|part| {
        part.steps(runbook)
            .iter()
            .any(|s| s.id.value.as_str() == name.value)
    });
    diags.push(match elsewhere {
        Some(Part::Finally) => {
            finding.help("it is under `finally`, which runs when all others have ended")
        }
        Some(Part::Verify) => {
            finding.help("it is under `verify`, which runs when all of `steps` have ended")
        }
        Some(Part::Steps) if part == Part::Verify => {
            finding.help("leave it out: `verify` runs when all of `steps` have ended")
        }
        _ => finding.suggest(did_you_mean(&name.value, index.keys().copied())),
    });
}

/// Shows the whole circle, every place labelled.
fn circle(runbook: &Runbook, steps: &[Step], cycle: &Cycle, diags: &mut Diagnostics) {
    const SHOWN: usize = 12;
    let id = |i: usize| steps[i].id.value.as_str();
    let mut names: Vec<&str> = cycle.0.iter().take(SHOWN).map(|i| id(*i)).collect();
    if cycle.0.len() > SHOWN {
        names.push("...");
    }
    names.extend(cycle.0.first().map(|i| id(*i)));
    let mut finding = Diagnostic::error(
        codes::CYCLE,
        format!("steps need each other in a circle: {}", names.join(" → ")),
    );
    for (position, &step) in cycle.0.iter().take(SHOWN).enumerate() {
        let need = id(cycle.0[(position + 1) % cycle.0.len()]);
        let step = &steps[step];
        let (span, how) = match &step.needs {
            Needs::Listed(names) => (
                names
                    .iter()
                    .find(|n| n.value == need)
                    .map_or(step.id.span, |n| n.span),
                "needs",
            ),
            Needs::Above => (step.id.span, "follows, being written below it,"),
        };
        finding = finding.at(
            &runbook.source,
            span,
            format!("`{}` {how} `{need}`", step.id.value),
        );
    }
    diags.push(finding.help("take one of these needs out; `needs: []` starts a step at once"));
}

/// Every reference is to a step that certainly comes before.
pub(super) fn check_order(
    runbook: &Runbook,
    part: Part,
    dag: &Dag,
    references: &[StepReference],
    diags: &mut Diagnostics,
) {
    let steps = part.steps(runbook);
    let far: Vec<&StepReference> = references
        .iter()
        .filter(|r| r.part == part && !dag.needs(r.from).contains(&r.to))
        .collect();
    let before = Before::new(dag, far.iter().map(|r| r.to));
    for reference in far {
        if before.is_before(reference.to, reference.from) {
            continue;
        }
        if diags.is_full() {
            break;
        }
        let from = &steps[reference.from];
        let to = &steps[reference.to];
        let backwards = dag.ancestors(reference.to)[reference.from];
        let why = if backwards {
            format!("`{}` runs after `{}`", to.id.value, from.id.value)
        } else {
            // What it needs so far may only follow from its place, so the whole list is said.
            let needs = dag.needs(reference.from).iter().chain([&reference.to]);
            let needs: Vec<&str> = needs.map(|n| steps[*n].id.value.as_str()).collect();
            format!(
                "write `needs: [{}]` on `{}`",
                needs.join(", "),
                from.id.value
            )
        };
        diags.push(
            Diagnostic::error(
                codes::NOT_BEFORE,
                format!(
                    "the step `{}` uses `{}`, but `{}` does not come before it",
                    from.id.value, reference.text, to.id.value
                ),
            )
            .at(&runbook.source, reference.span, "used here")
            .at(&runbook.source, to.id.span, "this step")
            .help(why),
        );
    }
}

/// Which of some chosen nodes come before which node: one bit a chosen node, 64 in one sweep, so
/// that memory stays linear.
pub(super) struct Before {
    column: BTreeMap<usize, usize>,
    sweeps: Vec<Vec<u64>>,
}

impl Before {
    pub(super) fn new(dag: &Dag, chosen: impl Iterator<Item = usize>) -> Self {
        let mut column = BTreeMap::new();
        for node in chosen {
            let next = column.len();
            column.entry(node).or_insert(next);
        }
        let mut own = vec![None; dag.len()];
        for (&node, &bit) in &column {
            own[node] = Some(bit);
        }
        let sweeps = (0..column.len().div_ceil(64))
            .map(|sweep| {
                let mut masks = vec![0u64; dag.len()];
                for &node in dag.order() {
                    masks[node] = dag.needs(node).iter().fold(0, |mask, &need| {
                        let bit = match own[need] {
                            Some(bit) if bit / 64 == sweep => 1 << (bit % 64),
                            _ => 0,
                        };
                        mask | masks[need] | bit
                    });
                }
                masks
            })
            .collect();
        Self { column, sweeps }
    }

    /// Whether `first`, one of the chosen, comes before `then`.
    pub(super) fn is_before(&self, first: usize, then: usize) -> bool {
        self.column
            .get(&first)
            .is_some_and(|bit| self.sweeps[bit / 64][then] >> (bit % 64) & 1 == 1)
    }
}

/// An approval that nothing waits for decides nothing.
pub(super) fn check_gates(runbook: &Runbook, dag: &Dag, diags: &mut Diagnostics) {
    for (at, step) in runbook.steps.iter().enumerate() {
        if step.action.uses.value == APPROVAL && dag.dependents(at).is_empty() {
            diags.push(
                Diagnostic::warning(
                    codes::IDLE_GATE,
                    format!("nothing waits for the approval `{}`", step.id.value),
                )
                .at(&runbook.source, step.id.span, "no step needs it")
                .help("add it to the `needs` of the steps that it should hold back"),
            );
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn before_agrees_with_a_plain_search(
            edges in proptest::collection::vec((0usize..150, 0usize..150), 0..400),
        ) {
            let mut needs = vec![Vec::new(); 150];
            for (a, b) in edges {
                if a < b {
                    needs[b].push(a);
                }
            }
            let dag = Dag::new(needs).expect("edges go up");
            let before = Before::new(&dag, 0..150);
            for node in 0..150 {
                let ancestors = dag.ancestors(node);
                for (other, is_ancestor) in ancestors.iter().enumerate() {
                    prop_assert_eq!(before.is_before(other, node), *is_ancestor);
                }
            }
        }
    }
}
