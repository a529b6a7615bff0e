//! The repeat sweep in the simulator: what may be done twice is done twice, as after a crash in the
//! middle of the call, and everything must be as if it had been done once.

use super::case::PreparedCase;
use super::driver::{Ran, Setup};
use super::fault::{Fault, Wrong};
use super::steps::PlanSteps;
use super::stretch::stretched;
use super::sweep::{POLLS, Sweep, SweepReport, common, same_end};
use crate::base::Value;
use crate::event::EventKind;
use crate::model::{ActionCatalog, Effect};
use crate::run::{CallKind, IllegalTransition, Target};

/// Performs the repeat sweep of a case in the simulator.
///
/// # Errors
/// [`IllegalTransition`]: a bug of the core.
pub fn repeat_sweep(
    prepared: &PreparedCase,
    catalog: &ActionCatalog,
) -> Result<SweepReport, IllegalTransition> {
    let prepared = &stretched(prepared);
    let steps = PlanSteps::new(&prepared.plan);
    let mut sweep = Sweep::new("repeat sweep", prepared, &steps, catalog);
    let setup = prepared.setup();
    let base = sweep.simulate(&setup, &[], &[])?;
    repeat_all(&mut sweep, "", &setup, &[], &base, 0)?;
    // Undos only happen when something fails, so everything fails in turn.
    let mut failed: Vec<&Target> = Vec::new();
    for made in &base.made {
        if made.target.call != CallKind::Action || failed.contains(&&made.target) {
            continue;
        }
        failed.push(&made.target);
        let faults = [Fault {
            target: made.target.clone(),
            call: 0,
            wrong: Wrong::Always,
        }];
        let ran = sweep.simulate(&setup, &faults, &[])?;
        let prefix = format!("{}, and ", faults[0]);
        repeat_all(
            &mut sweep,
            &prefix,
            &setup,
            &faults,
            &ran,
            common(&base, &ran),
        )?;
    }
    Ok(sweep.into_report())
}

/// Repeats every repeatable call of a run in turn, from an event on.
fn repeat_all(
    sweep: &mut Sweep<'_>,
    prefix: &str,
    setup: &Setup,
    faults: &[Fault],
    whole: &Ran,
    from: usize,
) -> Result<(), IllegalTransition> {
    for (at, event) in whole.events.iter().enumerate().skip(from) {
        let Some(target) = repeatable(sweep.steps, &event.event) else {
            continue;
        };
        let before = whole.until(at + 1);
        let after = sweep.simulate(setup, faults, &before.events)?;
        let scenario = format!("{prefix}{} is done twice", target);
        let first = inputs(before.made.iter().rev(), &target);
        let second = inputs(after.made.iter(), &target);
        match (first, second) {
            (Some(first), Some(second)) if first != second => {
                let message = format!(
                    "{} may be repeated, but does something else the second time: {second} after {first}",
                    target
                );
                sweep.found("repeat", message, &scenario, &after.events);
            }
            _ => {}
        }
        if !same_end(sweep.plan, whole, &before, &after) {
            let message = format!("the run ends otherwise when {} is done twice", target);
            sweep.found("repeat", message, &scenario, &after.events);
        }
    }
    Ok(())
}

fn inputs<'m>(
    mut made: impl Iterator<Item = &'m super::driver::Made>,
    target: &Target,
) -> Option<&'m Value> {
    made.find(|made| made.target == *target)
        .map(|made| &made.inputs)
}

/// The target of an intent that may be repeated: what is not `once`, and is no sub-runbook.
fn repeatable(steps: &PlanSteps<'_>, event: &EventKind) -> Option<Target> {
    let (step, call) = match event {
        EventKind::StepStarted { step, .. } => (step, CallKind::Action),
        EventKind::StepPollStarted { step, poll, .. } if *poll <= POLLS => (step, CallKind::Action),
        EventKind::UndoStarted { step, .. } => (step, CallKind::Undo),
        _ => return None,
    };
    if call == CallKind::Action && steps.get(step)?.step.block.is_some() {
        return None;
    }
    let action = steps.action(step, call)?;
    (action.effect != Effect::Once).then(|| Target {
        step: step.clone(),
        call,
    })
}
