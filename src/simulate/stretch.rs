//! Fewer polls for sweeps: a step that asks three hundred times in vain is no other fault than one
//! that asks a dozen times.

use std::sync::Arc;

use super::case::PreparedCase;
use super::world::scripts;
use crate::base::{HumanDuration, StepId};
use crate::plan::PlanStep;
use crate::run::CallKind;

/// Polls that are left beside the scripted ones.
const SPARE: u32 = 8;

/// The case with longer pauses between polls, so that no step asks much more often than it is
/// scripted to be answered.
pub(super) fn stretched(prepared: &PreparedCase) -> PreparedCase {
    let mut prepared = prepared.clone();
    let mut plan = prepared.plan.as_ref().clone();
    for list in [&mut plan.steps, &mut plan.verify, &mut plan.finally] {
        stretch(list, "", &prepared);
    }
    prepared.plan = Arc::new(plan);
    prepared
}

fn stretch(steps: &mut [PlanStep], prefix: &str, prepared: &PreparedCase) {
    for step in steps {
        let path = format!("{prefix}{}", step.id);
        if let (Some(_), Some(timeout)) = (&step.until, step.timeout) {
            let polls = scripted(prepared, &path) + SPARE;
            step.every = HumanDuration(step.every.0.max(timeout.0 / polls));
        }
        if let Some(block) = &mut step.block {
            let inner = format!("{path}/");
            for list in [&mut block.steps, &mut block.verify, &mut block.finally] {
                stretch(list, &inner, prepared);
            }
        }
    }
}

/// How many calls of a step have scripted answers, of the instance of a loop that has most.
fn scripted(prepared: &PreparedCase, path: &str) -> u32 {
    let of_step = |id: &StepId| super::steps::without_keys(id) == path;
    let scripts = scripts(&prepared.case, CallKind::Action);
    let counts = scripts
        .iter()
        .filter(|(id, _)| of_step(id))
        .map(|(_, (_, replies))| {
            let times = replies.iter().map(|reply| reply.times.unwrap_or(1));
            times.fold(0_u32, u32::saturating_add)
        });
    counts.max().unwrap_or(0).min(10_000)
}
