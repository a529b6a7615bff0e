//! The rules of execution once more, from the design and not from the core: they are told from the
//! plan and the events alone, so that core and oracle can only agree by both being right.

use std::collections::{BTreeMap, BTreeSet};

use super::facts::{Facts, is_retried};
use super::steps::{Part, PlanSteps};
use crate::base::StepId;
use crate::event::{EventKind, Outcome, RollbackResult, RunEvent};
use crate::model::{Effect, OnCancel, OnFailure, StepOnFailure};
use crate::plan::{Plan, PlanRollback};

/// A rule that a run broke, or a weakness of the runbook that it shows.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Breach {
    /// Short name of the rule.
    pub(super) rule: &'static str,
    /// What is wrong.
    pub(super) message: String,
}

/// Why the forward part of a run ended early.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Cause {
    Failed { rollback: bool },
    Rejected,
    Expired,
    Cancelled,
    TimedOut,
    Interrupted,
}

/// Holds a finished run to the rules.
pub(super) fn breaches(plan: &Plan, events: &[RunEvent]) -> Vec<Breach> {
    let oracle = Oracle {
        plan,
        steps: PlanSteps::new(plan),
        facts: Facts::of(events),
        events,
        found: BTreeSet::new(),
    };
    oracle.judge()
}

struct Oracle<'a> {
    plan: &'a Plan,
    steps: PlanSteps<'a>,
    facts: Facts,
    events: &'a [RunEvent],
    found: BTreeSet<Breach>,
}

impl Oracle<'_> {
    fn judge(mut self) -> Vec<Breach> {
        self.every_start_has_its_end();
        self.needs_come_first();
        self.parts_come_in_order();
        self.undo_is_right();
        self.undo_order();
        self.finally_ran();
        self.outcome_is_stated();
        self.nothing_is_left_behind();
        self.found.into_iter().collect()
    }

    fn breach(&mut self, rule: &'static str, message: String) {
        self.found.insert(Breach { rule, message });
    }

    fn every_start_has_its_end(&mut self) {
        let mut open: BTreeMap<(StepId, bool), u32> = BTreeMap::new();
        let mut over = false;
        let mut wrong = Vec::new();
        for event in self.events {
            if over {
                wrong.push("something happens after the end".to_owned());
            }
            match &event.event {
                EventKind::StepStarted { step, .. } => {
                    *open.entry((step.clone(), false)).or_default() = 1
                }
                EventKind::UndoStarted { step, .. } => {
                    *open.entry((step.clone(), true)).or_default() = 1
                }
                EventKind::StepSucceeded { step, .. }
                | EventKind::StepFailed { step, .. }
                | EventKind::StepInterrupted { step, .. } => {
                    open.remove(&(step.clone(), false));
                }
                EventKind::UndoSucceeded { step, .. } | EventKind::UndoFailed { step, .. } => {
                    open.remove(&(step.clone(), true));
                }
                EventKind::RunFinished { .. } => {
                    over = true;
                    // A sub-runbook that the run's end overtook has no end of its own.
                    let left = open.keys().filter(|(step, undo)| {
                        *undo
                            || self
                                .steps
                                .get(step)
                                .is_some_and(|known| known.step.block.is_none())
                    });
                    wrong.extend(
                        left.map(|(step, _)| format!("`{step}` is still at work at the end")),
                    );
                }
                _ => {}
            }
        }
        for message in wrong {
            self.breach("end", message);
        }
    }

    fn needs_come_first(&mut self) {
        let mut ended: BTreeSet<&StepId> = BTreeSet::new();
        let mut wrong = Vec::new();
        for event in self.events {
            match &event.event {
                EventKind::StepStarted { step, .. }
                | EventKind::StepExpanded { step, .. }
                | EventKind::StepProbeStarted { step, .. }
                | EventKind::GateOpened { step, .. } => {
                    wrong.extend(self.unmet(step, &ended));
                }
                EventKind::StepSucceeded { step, .. }
                | EventKind::StepFailed { step, .. }
                | EventKind::StepSkipped { step, .. }
                | EventKind::GateApproved { step, .. } => {
                    ended.insert(step);
                }
                _ => {}
            }
        }
        for message in wrong {
            self.breach("order", message);
        }
    }

    fn unmet(&self, step: &StepId, ended: &BTreeSet<&StepId>) -> Option<String> {
        let known = self.steps.get(step)?;
        // An instance of a loop stands where its loop stands.
        let place = match step.as_str().ends_with(']') {
            true => step.parent()?,
            false => step.clone(),
        };
        let parent = place.parent();
        let unmet = known.step.needs.iter().find(|need| {
            let need = parent
                .as_ref()
                .map_or_else(|| (*need).clone(), |p| p.inside(need));
            !ended.contains(&need)
        })?;
        Some(format!(
            "`{step}` starts before `{unmet}`, which it needs, has ended"
        ))
    }

    /// Nothing of the forward part starts once it is over, nothing is undone in `finally`.
    fn parts_come_in_order(&mut self) {
        let (mut rollback, mut finally) = (false, false);
        let mut wrong = Vec::new();
        for event in self.events {
            match &event.event {
                EventKind::RollbackStarted { .. } => rollback = true,
                EventKind::FinallyStarted => finally = true,
                EventKind::StepStarted { step, .. }
                | EventKind::StepPollStarted { step, .. }
                | EventKind::GateOpened { step, .. } => {
                    let in_finally = self.steps.get(step).is_some_and(|known| known.in_finally);
                    if !in_finally && (rollback || finally) {
                        wrong.push(format!("`{step}` starts although the run is being ended"));
                    }
                }
                EventKind::UndoStarted { step, .. } if finally || !rollback => {
                    wrong.push(format!("`{step}` is undone outside of the rollback"));
                }
                _ => {}
            }
        }
        for message in wrong {
            self.breach("parts", message);
        }
    }

    /// Steps that succeeded and promise to be undone.
    fn promised(&self) -> Vec<StepId> {
        let promises = |step: &&StepId| {
            // Of a loop each instance promises, not the loop.
            let is_instance = step.as_str().ends_with(']');
            self.steps.get(step).is_some_and(|known| {
                !known.in_finally
                    && (known.step.for_each.is_none() || is_instance)
                    && known.part == Part::Steps
                    && matches!(known.step.rollback, Some(PlanRollback::Undo { .. }))
            })
        };
        self.facts
            .succeeded
            .iter()
            .filter(promises)
            .cloned()
            .collect()
    }

    fn undo_is_right(&mut self) {
        let promised = self.promised();
        let rolled_back = self
            .events
            .iter()
            .any(|event| matches!(event.event, EventKind::RollbackStarted { .. }));
        let complete = self
            .facts
            .finished
            .as_ref()
            .is_some_and(|finish| finish.rollback == RollbackResult::Complete);
        let mut seen: BTreeSet<StepId> = BTreeSet::new();
        for step in self.facts.undone.clone() {
            if !promised.contains(&step) {
                self.breach(
                    "undo",
                    format!("`{step}` is undone although it did not succeed"),
                );
            }
            if !seen.insert(step.clone()) {
                self.breach("undo", format!("`{step}` is undone twice"));
            }
        }
        if !rolled_back {
            return;
        }
        let left: Vec<StepId> = promised
            .into_iter()
            .filter(|step| !seen.contains(step))
            .collect();
        if complete {
            for step in left {
                self.breach(
                    "undo",
                    format!("`{step}` is not undone, and the run says that all is"),
                );
            }
        } else if left.is_empty() && self.facts.finished.is_some() {
            self.breach(
                "undo",
                "all is undone, and the run says that something is left".to_owned(),
            );
        }
    }

    /// What needs another is undone before it.
    fn undo_order(&mut self) {
        let mut begun: Vec<StepId> = Vec::new();
        let mut wrong = Vec::new();
        let keys: BTreeMap<String, Vec<&str>> = self
            .events
            .iter()
            .filter_map(|event| match &event.event {
                EventKind::StepExpanded { step, instances } => {
                    let keys = instances.iter().map(|i| i.key.as_str()).collect();
                    Some((step.to_string(), keys))
                }
                _ => None,
            })
            .collect();
        let promised = self.promised();
        let mut undone: BTreeSet<&StepId> = BTreeSet::new();
        for event in self.events {
            match &event.event {
                EventKind::UndoStarted { step, attempt, .. } if attempt.0 == 1 => {
                    if begun.contains(step) {
                        continue;
                    }
                    let early = promised
                        .iter()
                        .find(|later| !undone.contains(later) && self.steps.depends(later, step));
                    wrong.extend(early.map(|later| {
                        format!("`{step}` is undone before `{later}`, which came after it")
                    }));
                    let left = promised.iter().filter(|later| !undone.contains(later));
                    wrong.extend(self.instances_ahead(step, left, &keys));
                    begun.push(step.clone());
                }
                EventKind::UndoSucceeded { step, .. } => {
                    undone.insert(step);
                }
                _ => {}
            }
        }
        for message in wrong {
            self.breach("undo order", message);
        }
    }

    /// Instances of a loop are undone from the last to the first, as many at once as may run at once:
    /// what is wrong when a part of one is undone while these are left.
    fn instances_ahead<'s>(
        &self,
        step: &StepId,
        left: impl Iterator<Item = &'s StepId>,
        keys: &BTreeMap<String, Vec<&str>>,
    ) -> Vec<String> {
        let mut ahead: BTreeMap<String, BTreeSet<usize>> = BTreeMap::new();
        for other in left {
            let Some((path, mine, theirs)) = parting(step, other) else {
                continue;
            };
            let place = |key| keys.get(&path)?.iter().position(|known| *known == key);
            if let (Some(mine), Some(theirs)) = (place(mine), place(theirs))
                && theirs > mine
            {
                ahead.entry(path).or_default().insert(theirs);
            }
        }
        let allowed = |path: &str| {
            let known = StepId::parse(path).ok().and_then(|id| self.steps.get(&id));
            let for_each = known.and_then(|known| known.step.for_each.as_ref());
            for_each.map_or(1, |each| each.max_parallel as usize)
        };
        ahead
            .into_iter()
            .filter(|(path, ahead)| ahead.len() >= allowed(path))
            .map(|(path, ahead)| {
                let count = ahead.len();
                format!("`{step}` is undone before {count} later instances of `{path}`")
            })
            .collect()
    }

    fn finally_ran(&mut self) {
        if self.facts.finished.is_none() {
            return;
        }
        for step in &self.plan.finally {
            let settled = self.events.iter().any(|event| match &event.event {
                EventKind::StepStarted { step: id, .. }
                | EventKind::StepExpanded { step: id, .. }
                | EventKind::StepSkipped { step: id, .. }
                | EventKind::StepFailed { step: id, .. } => *id == step.id,
                _ => false,
            });
            if !settled {
                self.breach(
                    "finally",
                    format!("`{}` of `finally` does not run", step.id),
                );
            }
        }
    }

    fn outcome_is_stated(&mut self) {
        let Some(finish) = self.facts.finished.clone() else {
            return;
        };
        let cause = self.cause();
        let rollback = match cause {
            None | Some(Cause::Interrupted) => false,
            Some(Cause::Failed { rollback }) => rollback,
            Some(Cause::Rejected | Cause::Expired | Cause::TimedOut) => {
                self.plan.on_failure == OnFailure::Rollback
            }
            Some(Cause::Cancelled) => self.plan.on_cancel == OnCancel::Rollback,
        };
        if rollback != (finish.rollback != RollbackResult::None) {
            let message = match rollback {
                true => "the run should have been rolled back, and was not",
                false => "the run was rolled back although nothing asks for it",
            };
            self.breach("outcome", message.to_owned());
        }
        let expected: &[Outcome] = match (cause, finish.rollback) {
            (_, RollbackResult::Incomplete) | (Some(Cause::Interrupted), _) => &[Outcome::Stuck],
            (None, _) => &[
                Outcome::Succeeded,
                Outcome::CompletedWithExceptions,
                Outcome::Stuck,
            ],
            (Some(Cause::Failed { .. } | Cause::TimedOut), RollbackResult::None) => {
                &[Outcome::Failed]
            }
            (Some(Cause::Failed { .. } | Cause::TimedOut), _) => &[Outcome::RolledBack],
            (Some(Cause::Rejected), _) => &[Outcome::Rejected],
            (Some(Cause::Expired), _) => &[Outcome::Expired],
            (Some(Cause::Cancelled), _) => &[Outcome::Cancelled],
        };
        let exceptions = !self.facts.failed.is_empty();
        let success_is_true = !(finish.outcome == Outcome::Succeeded && exceptions);
        if !expected.contains(&finish.outcome) || !success_is_true {
            self.breach(
                "outcome",
                format!(
                    "the run ends `{}`, which is not what happened",
                    finish.outcome.as_str()
                ),
            );
        }
    }

    /// The first thing that ended the forward part.
    fn cause(&self) -> Option<Cause> {
        let mut tolerated: BTreeMap<StepId, usize> = BTreeMap::new();
        let mut instances: BTreeMap<StepId, usize> = BTreeMap::new();
        for (at, event) in self.events.iter().enumerate() {
            match &event.event {
                EventKind::StepExpanded {
                    step,
                    instances: all,
                } => {
                    instances.insert(step.clone(), all.len());
                }
                EventKind::StepFailed { step, attempt, .. }
                    if !is_retried(step, *attempt, &self.events[at + 1..])
                        && self.steps.get(step).is_some_and(|known| !known.in_finally) =>
                {
                    if let Some(rollback) = self.halts(step, &instances, &mut tolerated) {
                        return Some(Cause::Failed { rollback });
                    }
                }
                EventKind::GateRejected { .. } => return Some(Cause::Rejected),
                EventKind::GateExpired { .. } => return Some(Cause::Expired),
                EventKind::CancelRequested { .. } => return Some(Cause::Cancelled),
                EventKind::RunTimedOut => return Some(Cause::TimedOut),
                EventKind::StepInterrupted { .. } => return Some(Cause::Interrupted),
                // What comes now is a part of the end, not its cause.
                EventKind::FinallyStarted | EventKind::RollbackStarted { .. } => return None,
                _ => {}
            }
        }
        None
    }

    /// Whether a failure halts the run, and whether it is then rolled back: what it is a part of may
    /// tolerate it.
    fn halts(
        &self,
        failed: &StepId,
        instances: &BTreeMap<StepId, usize>,
        tolerated: &mut BTreeMap<StepId, usize>,
    ) -> Option<bool> {
        let mut id = failed.clone();
        loop {
            let step = self.steps.get(&id)?.step;
            let parent = id.parent();
            match parent {
                // An instance counts against its loop, which then fails with its own event.
                Some(of) if id.as_str().ends_with(']') => {
                    let count = tolerated.entry(of.clone()).or_default();
                    *count += 1;
                    let allowed = step.for_each.as_ref().map_or(0, |each| {
                        each.max_failures
                            .allowed(instances.get(&of).copied().unwrap_or(1))
                    });
                    if *count <= allowed {
                        return None;
                    }
                    id = of;
                }
                _ if step.on_failure == StepOnFailure::Continue => return None,
                Some(caller) => id = caller,
                None => return Some(step.on_failure == StepOnFailure::Rollback),
            }
        }
    }

    /// A run that says that it is rolled back must not leave changes that nobody decided to leave.
    fn nothing_is_left_behind(&mut self) {
        let rolled_back = self
            .facts
            .finished
            .as_ref()
            .is_some_and(|finish| finish.outcome == Outcome::RolledBack);
        if !rolled_back {
            return;
        }
        for id in self.facts.succeeded.clone() {
            let Some(known) = self.steps.get(&id) else {
                continue;
            };
            let is_loop = known.step.for_each.is_some() && !id.as_str().ends_with(']');
            if known.step.action.effect != Effect::Read
                && known.step.block.is_none()
                && !is_loop
                && known.part == Part::Steps
                && !known.in_finally
                && known.step.rollback.is_none()
            {
                let written = super::steps::without_keys(&id);
                self.breach(
                    "left behind",
                    format!(
                        "the run says that it is rolled back, but what `{written}` changed stays; give it a \
                         `rollback`, or say `rollback: {{ irreversible: true, reason: … }}`"
                    ),
                );
            }
        }
    }
}

/// Where two steps are parts of different instances of one loop: the loop, and the two keys.
fn parting<'a>(one: &'a StepId, other: &'a StepId) -> Option<(String, &'a str, &'a str)> {
    let mut path = String::new();
    for (left, right) in one.as_str().split('/').zip(other.as_str().split('/')) {
        if left != right {
            let (name, mine) = left.strip_suffix(']')?.split_once('[')?;
            let (same, theirs) = right.strip_suffix(']')?.split_once('[')?;
            path.push_str(name);
            return (name == same).then_some((path, mine, theirs));
        }
        path.push_str(left);
        path.push('/');
    }
    None
}
