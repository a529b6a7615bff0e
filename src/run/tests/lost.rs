//! What becomes of calls that were under way when their process died.

use serde_json::json;

use super::sim::{Sim, action, failure, id, plan, retry, step};
use crate::base::{HumanDuration, StepId};
use crate::event::{EventKind, FailureKind, Outcome};
use crate::model::{Effect, StepOnFailure};
use crate::plan::{PlanBlock, PlanRollback, PlanStep};
use crate::run::{CallKind, NodeStatus, Undo};

fn once(name: &str) -> PlanStep {
    PlanStep {
        action: action("test", Effect::Once),
        ..step(name, &[])
    }
}

/// A tolerated sub-runbook whose first step fails, so that its `finally` runs while the run goes on.
fn cleaning(finally: PlanStep) -> PlanStep {
    PlanStep {
        action: action("runbook.child", Effect::Once),
        on_failure: StepOnFailure::Continue,
        block: Some(Box::new(PlanBlock {
            rules: Default::default(),
            runbook: "child".into(),
            file: "child.yaml".into(),
            params: [].into(),
            steps: vec![step("x", &[])],
            verify: vec![],
            finally: vec![finally],
            outputs: [].into(),
        })),
        ..step("a", &[])
    }
}

fn end(sim: &mut Sim, name: &str, good: bool) {
    let step = id(name);
    let is_its = |target: &crate::run::Target| target.step == step;
    let at = sim.running.iter().position(|(target, _)| is_its(target));
    let result = match good {
        true => Ok(json!({})),
        false => Err(failure(FailureKind::Error)),
    };
    sim.finish(at.expect("at work"), result);
}

#[test]
fn a_lost_undo_that_must_not_be_repeated_is_not_repeated_by_its_retry_either() {
    let mut a = step("a", &[]);
    a.rollback = Some(PlanRollback::Undo {
        action: action("undo", Effect::Once),
        retry: retry(3),
        timeout: None,
    });
    let steps = vec![a, step("b", &["a"])];
    let mut sim = Sim::new(plan(steps.clone(), vec![]), 2);
    sim.settle_decisions();
    end(&mut sim, "a", true);
    sim.settle_decisions();
    end(&mut sim, "b", false);
    sim.settle_decisions();
    assert_eq!(sim.running[0].0.call, CallKind::Undo);

    let mut sim = Sim::resumed(plan(steps, vec![]), 2, &sim.events);
    sim.run(&|_, _, _| Ok(json!({})), &mut |_| 0);
    let tries = sim
        .events
        .iter()
        .filter(|e| matches!(e.event, EventKind::UndoStarted { .. }))
        .count();
    assert_eq!(tries, 1, "{:?}", sim.story());
    assert_eq!(sim.state.node(&id("a")).expect("a").undo, Undo::Failed);
    assert_eq!(sim.state.outcome(), Some(Outcome::Stuck));
}

#[test]
fn a_cleanup_between_two_tries_waits_while_a_fate_is_unknown() {
    let mut finally = step("z", &[]);
    finally.retry = retry(3);
    let steps = vec![cleaning(finally), once("b")];
    let mut sim = Sim::new(plan(steps.clone(), vec![]), 4);
    sim.settle_decisions();
    end(&mut sim, "a/x", false);
    sim.settle_decisions();
    end(&mut sim, "a/z", false);
    sim.settle_decisions();
    let is_waiting = |sim: &Sim, step: &StepId| {
        matches!(
            sim.state.node(step).expect("there").status,
            NodeStatus::Retrying { at: Some(_) }
        )
    };
    assert!(is_waiting(&sim, &id("a/z")));

    let mut sim = Sim::resumed(plan(steps, vec![]), 4, &sim.events);
    sim.settle_decisions();
    assert_eq!(sim.state.interrupted(), Some(&id("b")));
    assert!(is_waiting(&sim, &id("a/z")), "a cleanup is never cut off");
}

#[test]
fn a_cleanup_at_work_is_not_stopped_by_what_ended_its_steps() {
    let mut caller = cleaning(step("z", &[]));
    caller.timeout = Some(HumanDuration(std::time::Duration::from_secs(5)));
    let steps = vec![caller, once("b")];
    let mut sim = Sim::new(plan(steps.clone(), vec![]), 4);
    sim.settle_decisions();
    sim.advance(6);
    sim.settle_decisions();
    end(&mut sim, "a/x", false);
    sim.settle_decisions();
    assert!(sim.running.iter().any(|(t, _)| t.step == id("a/z")));
    // A third process ends `b` with an unknown fate; the cleanup that was lost too waits.
    let mut sim = Sim::resumed(plan(steps, vec![]), 4, &sim.events);
    sim.settle_decisions();
    assert_eq!(sim.state.interrupted(), Some(&id("b")));
    let z = sim.state.node(&id("a/z")).expect("there");
    assert_eq!((&z.status, z.lost), (&NodeStatus::Running, true));
}

#[test]
fn a_lost_step_that_may_be_repeated_does_not_fail_because_of_another_ones_unknown_fate() {
    let steps = vec![once("a"), step("b", &[])];
    let mut sim = Sim::new(plan(steps.clone(), vec![]), 4);
    sim.settle_decisions();
    let mut sim = Sim::resumed(plan(steps, vec![]), 4, &sim.events);
    sim.settle_decisions();
    assert_eq!(sim.state.interrupted(), Some(&id("a")));
    let b = sim.state.node(&id("b")).expect("there");
    assert_eq!((&b.status, b.lost), (&NodeStatus::Running, true));
}
