//! What must hold of every journal of a nested plan, told without the code under test.
//!
//! Naive on purpose: it knows no frames, counters or ready sets; each question reads the journal from
//! its start and the plan by walking ids as text.

use std::collections::BTreeMap;

use proptest::prelude::*;
use serde_json::Value;

use super::nested::Case;
use crate::base::StepId;
use crate::event::{EventKind, Outcome, RunEvent, SkipReason};
use crate::model::{OnCancel, StepOnFailure};
use crate::plan::{Plan, PlanRollback, PlanStep};

/// What became of a step, as the journal says.
#[derive(Debug, Clone, Default)]
struct Told<'a> {
    /// When it began: expanded, started, probed or opened as a gate.
    begun: Option<usize>,
    /// The same, but a probe that found work to do counts.
    first: Option<usize>,
    /// When it ended for good, and how.
    ended: Option<usize>,
    succeeded: bool,
    skipped: bool,
    failed: bool,
    undo_started: Option<usize>,
    undone: Option<usize>,
    undo_failed: bool,
    outputs: Option<&'a Value>,
}

/// A journal with its plan.
pub(super) struct Journal<'a> {
    plan: &'a Plan,
    events: &'a [RunEvent],
    told: BTreeMap<StepId, Told<'a>>,
}

/// Which list of its runbook a step stands in.
#[derive(Debug, Clone, Copy, PartialEq)]
enum List {
    Steps,
    Verify,
    Finally,
}

fn lists<'p>(plan: &'p Plan, of: Option<&'p PlanStep>) -> [(List, &'p [PlanStep]); 3] {
    let [steps, verify, finally] = match of.and_then(|step| step.block.as_deref()) {
        Some(block) => [&block.steps, &block.verify, &block.finally],
        None => [&plan.steps, &plan.verify, &plan.finally],
    };
    [
        (List::Steps, steps),
        (List::Verify, verify),
        (List::Finally, finally),
    ]
}

/// The step of the plan that an id names, and the list that it stands in.
fn written<'p>(plan: &'p Plan, id: &StepId) -> (&'p PlanStep, List) {
    let mut found: Option<(&PlanStep, List)> = None;
    for segment in id.as_str().split('/') {
        let name = segment.split('[').next().expect("a name");
        let lists = lists(plan, found.map(|(step, _)| step));
        found = lists.into_iter().find_map(|(list, steps)| {
            let step = steps.iter().find(|s| s.id.as_str() == name)?;
            Some((step, list))
        });
    }
    found.expect("a step of the plan")
}

fn is_instance(id: &StepId) -> bool {
    id.as_str().ends_with(']')
}

fn is_loop(step: &PlanStep, id: &StepId) -> bool {
    step.for_each.is_some() && !is_instance(id)
}

/// What holds the steps beside it: the calling step, or nothing for the run's own.
fn home(id: &StepId) -> Option<StepId> {
    match is_instance(id) {
        true => home(&id.parent().expect("a loop")),
        false => id.parent(),
    }
}

fn beside(id: &StepId, name: &StepId) -> StepId {
    match id.parent() {
        Some(parent) => parent.inside(name),
        None => name.clone(),
    }
}

impl<'a> Journal<'a> {
    pub(super) fn new(plan: &'a Plan, events: &'a [RunEvent]) -> Self {
        let mut journal = Self {
            plan,
            events,
            told: BTreeMap::new(),
        };
        for (at, event) in events.iter().enumerate() {
            journal.tell(at, &event.event);
        }
        journal
    }

    fn tell(&mut self, at: usize, event: &'a EventKind) {
        let Some(id) = event.step() else { return };
        let (step, _) = written(self.plan, id);
        let attempts = step.retry.as_ref().map_or(1, |r| r.attempts);
        let is_part = is_loop(step, id) || step.block.is_some();
        // What is tried again although its attempts are not used up has not ended.
        let tried_again = self.events[at + 1..].iter().find_map(|e| match &e.event {
            EventKind::StepRetryScheduled { step, .. } if step == id => Some(true),
            EventKind::StepFailed { step, .. } if step == id => Some(false),
            _ => None,
        });
        let told = self.told.entry(id.clone()).or_default();
        match event {
            EventKind::StepExpanded { .. }
            | EventKind::StepStarted { .. }
            | EventKind::StepProbeStarted { .. }
            | EventKind::GateOpened { .. } => {
                told.begun.get_or_insert(at);
                told.first.get_or_insert(at);
            }
            // It waits again, perhaps for ever, when what it is a part of ends now.
            EventKind::StepProbed { .. } => told.begun = None,
            EventKind::StepSucceeded { outputs, .. } => {
                told.ended = Some(at);
                told.succeeded = true;
                told.outputs = Some(outputs);
            }
            EventKind::GateApproved { .. } => {
                told.ended = Some(at);
                told.succeeded = true;
            }
            EventKind::GateRejected { .. } | EventKind::GateExpired { .. } => {
                told.ended = Some(at);
                told.failed = true;
            }
            EventKind::StepSkipped { .. } => {
                told.ended = Some(at);
                told.skipped = true;
            }
            EventKind::StepFailed { attempt, .. } => {
                let last = is_part || attempt.0 == 0 || attempt.0 >= attempts;
                if last || tried_again != Some(true) {
                    told.ended = Some(at);
                    told.failed = true;
                }
            }
            EventKind::UndoStarted { .. } => {
                told.undo_started.get_or_insert(at);
            }
            EventKind::UndoSucceeded { .. } => told.undone = Some(at),
            EventKind::UndoFailed { .. } => told.undo_failed = true,
            _ => {}
        }
    }

    fn get(&self, id: &StepId) -> Told<'a> {
        self.told.get(id).cloned().unwrap_or_default()
    }

    fn ended_before(&self, id: &StepId, at: usize) -> bool {
        self.get(id).ended.is_some_and(|end| end < at)
    }

    /// Everything told of that lies below an id.
    fn below<'s>(&'s self, id: &'s StepId) -> impl Iterator<Item = (&'s StepId, &'s Told<'a>)> {
        self.told.iter().filter(move |(other, _)| {
            let mut up = other.parent();
            while let Some(parent) = up {
                if parent == *id {
                    return true;
                }
                up = parent.parent();
            }
            false
        })
    }

    fn list(&self, id: &StepId) -> List {
        match is_instance(id) {
            true => List::Steps,
            false => written(self.plan, id).1,
        }
    }

    fn is_cleanup(&self, id: &StepId) -> bool {
        self.list(id) == List::Finally || id.parent().is_some_and(|up| self.is_cleanup(&up))
    }

    /// Whether at a moment the failure of a step was certain.
    fn doomed(&self, id: &StepId, at: usize) -> bool {
        let (step, _) = written(self.plan, id);
        let told = self.get(id);
        if told.failed && told.ended.is_some_and(|end| end <= at) {
            return true;
        }
        let children: Vec<&StepId> = self
            .told
            .keys()
            .filter(|other| other.parent().as_ref() == Some(id))
            .filter(|other| self.list(other) != List::Finally)
            .collect();
        let doomed = children.iter().filter(|child| self.doomed(child, at));
        if is_loop(step, id) {
            doomed.count() > self.may_fail(id)
        } else {
            let mut doomed = doomed;
            doomed.any(|c| written(self.plan, c).0.on_failure != StepOnFailure::Continue)
        }
    }

    fn may_fail(&self, id: &StepId) -> usize {
        let instances = self.events.iter().find_map(|e| match &e.event {
            EventKind::StepExpanded { step, instances } if step == id => Some(instances.len()),
            _ => None,
        });
        let (step, _) = written(self.plan, id);
        let for_each = step.for_each.as_ref().expect("a loop");
        for_each.max_failures.allowed(instances.unwrap_or(0))
    }

    /// The moment when nothing new was to start any more, and the step that brought it.
    fn halted(&self) -> Option<(usize, Option<StepId>)> {
        (0..self.events.len()).find_map(|at| match &self.events[at].event {
            EventKind::CancelRequested { .. } => Some((at, None)),
            EventKind::GateRejected { step } | EventKind::GateExpired { step } => {
                (!self.is_cleanup(step)).then(|| (at, Some(step.clone())))
            }
            EventKind::StepFailed { step, .. } => {
                let mut top = step.clone();
                while let Some(up) = top.parent() {
                    top = up;
                }
                let (planned, list) = written(self.plan, &top);
                let fatal = list != List::Finally
                    && planned.on_failure != StepOnFailure::Continue
                    && self.doomed(&top, at);
                fatal.then_some((at, Some(top)))
            }
            _ => None,
        })
    }

    /// Whether a sub-runbook that was cut off did its `finally` at the end of the run.
    pub(super) fn has_late_finally(&self) -> bool {
        let start = self
            .events
            .iter()
            .position(|e| matches!(e.event, EventKind::FinallyStarted));
        let late = |(id, told): (&StepId, &Told<'_>)| {
            id.parent().is_some()
                && self.list(id) == List::Finally
                && !id.parent().is_some_and(|up| self.is_cleanup(&up))
                && told.begun > start
        };
        start.is_some() && self.told.iter().any(late)
    }
}

/// Every rule.
pub(super) fn check(journal: &Journal<'_>) -> Result<(), TestCaseError> {
    let halted = journal.halted();
    for (id, told) in &journal.told {
        if let Some(at) = told.begun {
            begins_in_turn(journal, id, at, halted.as_ref().map(|h| h.0))?;
            prop_assert!(told.ended.is_some(), "{id} began and never ended");
        }
        ends_once(journal, id)?;
        undone_in_turn(journal, id, told)?;
    }
    keeps_max_parallel(journal)?;
    finally_ran(journal)?;
    outputs_of_loops(journal)?;
    outcome(journal, halted)
}

fn begins_in_turn(
    journal: &Journal<'_>,
    id: &StepId,
    at: usize,
    halted: Option<usize>,
) -> Result<(), TestCaseError> {
    let (step, _) = written(journal.plan, id);
    let list = journal.list(id);
    if let Some(parent) = id.parent() {
        let up = journal.get(&parent);
        prop_assert!(up.begun.is_some_and(|b| b < at), "{id} before {parent}");
        if list != List::Finally {
            prop_assert!(up.ended.is_none_or(|e| e > at), "{id} after {parent}");
            prop_assert!(!journal.doomed(&parent, at), "{id}, but {parent} fails");
        }
    }
    if !journal.is_cleanup(id) {
        prop_assert!(halted.is_none_or(|h| h > at), "{id} began after the halt");
    }
    if is_instance(id) {
        return Ok(());
    }
    for need in &step.needs {
        let need = beside(id, need);
        prop_assert!(journal.ended_before(&need, at), "{id} before {need}");
    }
    let home = home(id);
    let caller = home.as_ref().map(|h| written(journal.plan, h).0);
    for (other, steps) in lists(journal.plan, caller) {
        for sibling in steps {
            let sibling = beside(id, &sibling.id);
            let told = journal.get(&sibling);
            match (list, other) {
                (List::Verify, List::Steps) => {
                    prop_assert!(journal.ended_before(&sibling, at), "{id} before {sibling}");
                }
                (List::Finally, List::Steps | List::Verify) => {
                    let over = told.begun.is_none() || journal.ended_before(&sibling, at);
                    prop_assert!(over, "{id} while {sibling} is at work");
                    // Inner first: what was begun below it has cleaned up already.
                    for (inner, told) in journal.below(&sibling) {
                        let over = told.begun.is_none() || journal.ended_before(inner, at);
                        prop_assert!(over, "{id} before {inner} ended");
                    }
                }
                _ => {}
            }
        }
    }
    Ok(())
}

/// A step ends once; after its end nothing more is told of it but its undo.
fn ends_once(journal: &Journal<'_>, id: &StepId) -> Result<(), TestCaseError> {
    let Some(end) = journal.get(id).ended else {
        return Ok(());
    };
    for event in &journal.events[end + 1..] {
        let undo = matches!(
            event.event,
            EventKind::UndoStarted { .. }
                | EventKind::UndoSucceeded { .. }
                | EventKind::UndoFailed { .. }
                | EventKind::UndoRetryScheduled { .. }
        );
        let other = event.event.step() != Some(id);
        prop_assert!(undo || other, "{id} after its end: {}", event.event.name());
    }
    Ok(())
}

fn keeps_max_parallel(journal: &Journal<'_>) -> Result<(), TestCaseError> {
    for event in journal.events {
        let EventKind::StepExpanded { step, instances } = &event.event else {
            continue;
        };
        let for_each = &written(journal.plan, step).0.for_each;
        let most = for_each.as_ref().expect("a loop").max_parallel;
        let ids = || instances.iter().filter_map(|i| step.instance(&i.key));
        let mut last = None;
        for at in 0..journal.events.len() {
            let working = ids().filter(|id| {
                let told = journal.get(id);
                told.begun.is_some_and(|b| b <= at) && told.ended.is_none_or(|e| e > at)
            });
            prop_assert!(
                working.count() <= most as usize,
                "too many of {step} at once"
            );
        }
        for id in ids() {
            let begun = journal.get(&id).first;
            prop_assert!(begun.is_none() || begun > last, "{id} out of order");
            last = begun.or(last);
        }
    }
    Ok(())
}

/// Every `finally` of a sub-runbook that was started has run, whatever happened.
fn finally_ran(journal: &Journal<'_>) -> Result<(), TestCaseError> {
    for (id, told) in &journal.told {
        let (step, _) = written(journal.plan, id);
        let opened = step.block.is_some() && !is_loop(step, id);
        if !opened || told.begun.is_none() || told.skipped {
            continue;
        }
        let started = journal
            .events
            .iter()
            .any(|e| matches!(&e.event, EventKind::StepStarted { step, .. } if step == id));
        let Some(block) = step.block.as_ref().filter(|_| started) else {
            continue;
        };
        for cleanup in &block.finally {
            let inner = id.inside(&cleanup.id);
            prop_assert!(journal.get(&inner).ended.is_some(), "{inner} did not run");
        }
    }
    for cleanup in &journal.plan.finally {
        prop_assert!(
            journal.get(&cleanup.id).ended.is_some(),
            "{} did not run",
            cleanup.id
        );
    }
    Ok(())
}

/// Whether `later` comes after `earlier`, looked at where their paths part.
fn comes_after(journal: &Journal<'_>, later: &StepId, earlier: &StepId) -> bool {
    let path = |id: &StepId| {
        let mut path = vec![id.clone()];
        while let Some(up) = path.last().and_then(StepId::parent) {
            path.push(up);
        }
        path.reverse();
        path
    };
    let (later, earlier) = (path(later), path(earlier));
    let Some((later, earlier)) = later.iter().zip(&earlier).find(|(a, b)| a != b) else {
        return false;
    };
    if is_instance(later) {
        let the_loop = later.parent().expect("a loop");
        let (step, _) = written(journal.plan, &the_loop);
        let in_order = step.for_each.as_ref().expect("a loop").max_parallel == 1;
        let position = |id: &StepId| {
            journal.events.iter().find_map(|e| match &e.event {
                EventKind::StepExpanded { step, instances } if *step == the_loop => instances
                    .iter()
                    .position(|i| the_loop.instance(&i.key).as_ref() == Some(id)),
                _ => None,
            })
        };
        return in_order && position(later) > position(earlier);
    }
    needs(journal, later, earlier)
}

fn needs(journal: &Journal<'_>, later: &StepId, earlier: &StepId) -> bool {
    let (step, _) = written(journal.plan, later);
    step.needs.iter().any(|need| {
        let need = beside(later, need);
        need == *earlier || needs(journal, &need, earlier)
    })
}

fn is_undoable(journal: &Journal<'_>, id: &StepId, told: &Told<'_>) -> bool {
    let (step, _) = written(journal.plan, id);
    told.succeeded
        && matches!(step.rollback, Some(PlanRollback::Undo { .. }))
        && !is_loop(step, id)
        && !journal.is_cleanup(id)
}

fn undone_in_turn(
    journal: &Journal<'_>,
    id: &StepId,
    told: &Told<'_>,
) -> Result<(), TestCaseError> {
    let Some(at) = told.undo_started else {
        return Ok(());
    };
    prop_assert!(is_undoable(journal, id, told), "{id} is not to be undone");
    let undone = journal
        .events
        .iter()
        .filter(|e| matches!(&e.event, EventKind::UndoSucceeded { step, .. } if step == id));
    prop_assert!(undone.count() <= 1, "{id} is undone twice");
    for (other, its) in &journal.told {
        if is_undoable(journal, other, its) && comes_after(journal, other, id) {
            prop_assert!(
                its.undone.is_some_and(|u| u < at),
                "{id} undone before {other}"
            );
        }
    }
    Ok(())
}

fn outputs_of_loops(journal: &Journal<'_>) -> Result<(), TestCaseError> {
    for event in journal.events {
        let EventKind::StepExpanded { step, instances } = &event.event else {
            continue;
        };
        let told = journal.get(step);
        let Some(Value::Array(outputs)) = told.outputs else {
            continue;
        };
        let done = instances.iter().filter(|i| {
            let id = step.instance(&i.key).expect("a key");
            journal.get(&id).succeeded
        });
        prop_assert_eq!(outputs.len(), done.count());
    }
    Ok(())
}

fn outcome(
    journal: &Journal<'_>,
    halted: Option<(usize, Option<StepId>)>,
) -> Result<(), TestCaseError> {
    let Some(EventKind::RunFinished {
        outcome,
        recovery_ms,
        ..
    }) = journal.events.last().map(|e| &e.event)
    else {
        return Err(TestCaseError::fail("the run did not end"));
    };
    prop_assert_eq!(recovery_ms.is_some(), halted.is_none());
    let undo_failed = journal
        .told
        .values()
        .any(|t| t.undo_failed && t.undone.is_none());
    let (rolls_back, ended) = match &halted {
        None => {
            let failed = journal.told.values().any(|t| t.failed);
            let ended = if failed {
                Outcome::CompletedWithExceptions
            } else {
                Outcome::Succeeded
            };
            (false, ended)
        }
        Some((at, by)) => match (&journal.events[*at].event, by) {
            (EventKind::CancelRequested { .. }, _) => (
                journal.plan.on_cancel == OnCancel::Rollback,
                Outcome::Cancelled,
            ),
            (EventKind::StepFailed { .. }, Some(top)) => {
                match written(journal.plan, top).0.on_failure {
                    StepOnFailure::Rollback => (true, Outcome::RolledBack),
                    _ => (false, Outcome::Failed),
                }
            }
            _ => (true, Outcome::Rejected),
        },
    };
    let expected = if undo_failed { Outcome::Stuck } else { ended };
    prop_assert_eq!(*outcome, expected);
    for (id, told) in &journal.told {
        if rolls_back && !undo_failed && is_undoable(journal, id, told) {
            prop_assert!(told.undone.is_some(), "{id} was not undone");
        }
        prop_assert!(rolls_back || told.undo_started.is_none(), "{id} was undone");
    }
    Ok(())
}

/// How a step ends when nothing outside of it interferes.
#[derive(Debug, Clone, Copy, PartialEq)]
enum End {
    Good,
    Tolerated,
    Bad,
}

/// The outcome of a case whose outcome does not depend on any order, by recursion over the plan.
pub(super) fn foretold(case: &Case) -> Outcome {
    let plan = &case.plan;
    match body_end(case, None, &plan.steps, &plan.verify, &plan.finally) {
        End::Good => Outcome::Succeeded,
        End::Tolerated => Outcome::CompletedWithExceptions,
        End::Bad => Outcome::RolledBack,
    }
}

fn body_end(
    case: &Case,
    home: Option<&StepId>,
    steps: &[PlanStep],
    verify: &[PlanStep],
    finally: &[PlanStep],
) -> End {
    let id = |step: &PlanStep| match home {
        Some(home) => home.inside(&step.id),
        None => step.id.clone(),
    };
    let mut all = End::Good;
    for step in steps.iter().chain(verify) {
        match (step_end(case, &id(step), step), step.on_failure) {
            (End::Bad, StepOnFailure::Continue) | (End::Tolerated, _) => all = End::Tolerated,
            (End::Bad, _) => return End::Bad,
            (End::Good, _) => {}
        }
    }
    for step in finally {
        if step_end(case, &id(step), step) != End::Good {
            all = End::Tolerated;
        }
    }
    all
}

fn step_end(case: &Case, id: &StepId, step: &PlanStep) -> End {
    let Some(for_each) = &step.for_each else {
        return single_end(case, id, step, None);
    };
    if step.when.as_deref() == Some("1 > 2") {
        return End::Good;
    }
    let crate::plan::Expr::Value(Value::Array(items)) = &for_each.items else {
        unreachable!("written lists only");
    };
    let ends: Vec<End> = items
        .iter()
        .enumerate()
        .map(|(n, item)| {
            let id = id.instance(item.as_str().expect("text")).expect("a key");
            single_end(case, &id, step, Some(n))
        })
        .collect();
    let bad = ends.iter().filter(|e| **e == End::Bad).count();
    if bad > for_each.max_failures.allowed(items.len()) {
        End::Bad
    } else if ends.iter().all(|e| *e == End::Good) {
        End::Good
    } else {
        End::Tolerated
    }
}

fn single_end(case: &Case, id: &StepId, step: &PlanStep, index: Option<usize>) -> End {
    match (step.when.as_deref(), index) {
        (Some("1 > 2"), _) | (Some("index != 1"), Some(1)) => return End::Good,
        _ => {}
    }
    if let Some(unless) = &step.unless {
        let done = match &unless.probe {
            None => Some(unless.condition == "2 > 1"),
            Some(_) => case.probe(id),
        };
        match done {
            Some(true) => return End::Good,
            Some(false) => {}
            None => return End::Bad,
        }
    }
    if let Some(block) = &step.block {
        return body_end(case, Some(id), &block.steps, &block.verify, &block.finally);
    }
    let attempts = step.retry.as_ref().map_or(1, |r| r.attempts);
    if step.action.uses != "approval" && case.fails(id) >= attempts {
        End::Bad
    } else {
        End::Good
    }
}

/// The reasons for which the oracle counts a skip as an end.
#[test]
fn a_skip_is_an_end_whatever_its_reason() {
    let plan = super::sim::plan(vec![super::sim::step("a", &[])], vec![]);
    for reason in [
        SkipReason::PartEnded,
        SkipReason::RunEnded,
        SkipReason::Condition {
            condition: String::new(),
        },
    ] {
        let event = RunEvent {
            run: crate::base::RunId::from_parts(1, 1),
            seq: crate::base::EventSeq(1),
            at: crate::base::Timestamp::from_unix_millis(0),
            event: EventKind::StepSkipped {
                step: super::sim::id("a"),
                reason,
            },
        };
        let events = [event];
        let journal = Journal::new(&plan, &events);
        assert!(journal.get(&super::sim::id("a")).skipped);
    }
}
