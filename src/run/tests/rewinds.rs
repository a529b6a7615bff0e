//! Generated plans whose gates send the run back, again and again, through crashes, against an oracle
//! that reads the journal alone: it knows ids and needs, and nothing of frames, counters or regions.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use proptest::prelude::*;
use proptest::test_runner::TestCaseError;
use serde_json::{Value, json};

use super::rewind::{block, looped, send_back, undoable};
use super::sim::{Sim, action, failure, gate, id, plan, retry, step};
use crate::base::StepId;
use crate::event::{EventKind, Failure, FailureKind, Outcome, RunEvent, Vote};
use crate::model::{Effect, OnCancel, StepOnFailure};
use crate::plan::{Plan, PlanRollback, PlanStep};
use crate::run::{CallKind, NodeStatus, Phase, RunState, Target};

/// Numbers that are the same for the same seed.
#[derive(Debug, Clone)]
struct Dice(u64);

impl Dice {
    fn below(&mut self, sides: usize) -> usize {
        // SplitMix64.
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        ((z ^ (z >> 31)) % sides.max(1) as u64) as usize
    }

    fn one_in(&mut self, sides: usize) -> bool {
        self.below(sides) == 0
    }
}

/// Steps of one list; every one that changes something can be undone, so every way back is open.
fn steps(dice: &mut Dice, most: usize, depth: usize) -> Vec<PlanStep> {
    let count = 1 + dice.below(most);
    (0..count)
        .map(|n| {
            let needs: Vec<String> = (0..n)
                .filter(|m| dice.one_in(if *m + 1 == n { 2 } else { 4 }))
                .map(|m| format!("s{m}"))
                .collect();
            let needs: Vec<&str> = needs.iter().map(String::as_str).collect();
            one(dice, &format!("s{n}"), &needs, depth)
        })
        .collect()
}

fn one(dice: &mut Dice, name: &str, needs: &[&str], depth: usize) -> PlanStep {
    let made = match dice.below(if depth < 2 { 11 } else { 8 }) {
        0..=2 => gate(name, needs),
        3 => PlanStep {
            action: action("test", Effect::Read),
            ..step(name, needs)
        },
        4 => PlanStep {
            until: Some("outputs.ok".into()),
            action: action("test", Effect::Read),
            ..step(name, needs)
        },
        8 | 9 => {
            let inside = steps(dice, 3, depth + 1);
            let finally = match dice.one_in(2) {
                true => vec![step("z", &[])],
                false => vec![],
            };
            block(name, needs, inside, finally)
        }
        _ => PlanStep {
            retry: retry(2),
            ..undoable(name, needs)
        },
    };
    let mut made = match dice.one_in(6) && (made.block.is_some() || made.rollback.is_some()) {
        true => looped(made, json!(["x", "y", "w"])),
        false => made,
    };
    if let Some(PlanRollback::Undo { retry: again, .. }) = &mut made.rollback {
        *again = retry(2);
    }
    if dice.one_in(12) {
        made.when = Some("1 > 2".into());
    }
    if made.block.is_none() && made.rollback.is_some() && dice.one_in(6) {
        made.on_failure = StepOnFailure::Continue;
    }
    made
}

#[derive(Debug, Clone)]
struct Case {
    plan: Plan,
    seed: u64,
}

fn case() -> impl Strategy<Value = Case> {
    any::<u64>().prop_map(|seed| {
        let mut dice = Dice(seed);
        let last = vec![step("last", &[])];
        Case {
            plan: plan(steps(&mut dice, 7, 0), last),
            seed,
        }
    })
}

/// Every other attempt fails where there is a retry, and one sort of step always.
fn answer(state: &RunState, target: &Target) -> Result<Value, Failure> {
    let node = state.node(&target.step).expect("known");
    let step = state.plan_step(&target.step).expect("planned");
    let (attempt, is_undo) = match target.call {
        CallKind::Undo => (node.undo_attempt.0, true),
        _ => (node.attempt.0, false),
    };
    let hopeless = step.on_failure == StepOnFailure::Continue && !is_undo;
    let flaky = step.rollback.is_some() && target.step.as_str().len() % 3 == 2 && attempt % 2 == 1;
    match hopeless || flaky {
        true => Err(failure(FailureKind::Error)),
        false => Ok(json!({ "ok": node.polls != 1 })),
    }
}

/// What goes wrong beside what the plan itself makes go wrong.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Mishap {
    None,
    /// Somebody cancels once there are so many events.
    Cancel(usize),
    /// From so many events on, every call of this kind fails for good.
    Fails(usize, CallKind),
}

/// Plays to the end. Votes come at any time, also while other steps are at work.
fn play(sim: Sim, seed: u64, budget: usize) -> Result<Sim, TestCaseError> {
    play_through(sim, seed, budget, Mishap::None)
}

fn play_through(
    mut sim: Sim,
    seed: u64,
    budget: usize,
    mishap: Mishap,
) -> Result<Sim, TestCaseError> {
    let mut cancelled = false;
    let mut dice = Dice(seed ^ sim.events.len() as u64);
    for _ in 0..5_000 {
        let wake = sim.settle_decisions();
        counters(&sim.state)?;
        let known = sim.events.len();
        if !cancelled
            && matches!(mishap, Mishap::Cancel(at) if known >= at)
            && sim.state.phase() != Phase::Finished
        {
            cancelled = true;
            sim.cancel();
            continue;
        }
        let back = |e: &&RunEvent| matches!(e.event, EventKind::RewindStarted { .. });
        let sent = sim.events.iter().filter(back).count();
        let open = sim.state.open_gates();
        if !open.is_empty()
            && sim.state.halt().is_none()
            && sim.state.rewinding().is_none()
            && (sim.running.is_empty() || dice.one_in(3))
        {
            let gate = open[dice.below(open.len())].clone();
            let before = before(sim.state.plan(), &gate.step);
            for step in sim.state.nodes().map(|(_, node)| node.id.clone()) {
                let may = sim.state.can_send_back(&gate.step, &step);
                prop_assert_eq!(
                    may.is_ok(),
                    before.contains(&step),
                    "{} to {}: {:?}",
                    gate.step,
                    step,
                    may
                );
            }
            let to = before.iter().nth(dice.below(before.len()));
            match to.filter(|_| sent < budget && dice.one_in(2)) {
                Some(to) => send_back(&mut sim, gate.step.as_str(), to.as_str()),
                None => sim.vote_of(gate.step.as_str(), "ben", Vote::Approve),
            }
        } else if !sim.running.is_empty() {
            let at = dice.below(sim.running.len());
            let target = &sim.running[at].0;
            let result = match mishap {
                Mishap::Fails(from, call) if known >= from && target.call == call => {
                    Err(failure(FailureKind::Invalid))
                }
                _ => answer(&sim.state, target),
            };
            sim.finish(at, result);
        } else if let Some(wake) = wake {
            sim.now = wake;
        } else {
            prop_assert_eq!(sim.state.phase(), Phase::Finished, "it stands still");
            return Ok(sim);
        }
    }
    Err(TestCaseError::fail("the run does not end"))
}

/// What the state counts, counted again.
fn counters(state: &RunState) -> Result<(), TestCaseError> {
    let gates = state.open_gates().len();
    prop_assert_eq!(state.open_gates, gates);
    prop_assert_eq!(state.paused_since.is_some(), gates > 0);
    let mut frames: BTreeMap<usize, (usize, usize)> = BTreeMap::new();
    for (_, node) in state.nodes() {
        let frame = frames.entry(node.frame).or_default();
        frame.0 += usize::from(
            node.status == NodeStatus::Pending && node.stage != crate::run::Stage::Finally,
        );
        frame.1 += usize::from(matches!(
            node.status,
            NodeStatus::Running
                | NodeStatus::Open
                | NodeStatus::Polling { .. }
                | NodeStatus::Retrying { .. }
                | NodeStatus::Gate { .. }
        ));
    }
    for (at, (waiting, at_work)) in frames {
        prop_assert_eq!(state.frames[at].waiting, waiting, "waiting in frame {}", at);
        prop_assert_eq!(state.frames[at].at_work, at_work, "at work in frame {}", at);
    }
    Ok(())
}

/// The list that a step is written in, by ids alone.
fn list<'p>(plan: &'p Plan, of: Option<&StepId>) -> &'p [PlanStep] {
    let mut steps = &plan.steps[..];
    let Some(of) = of else { return steps };
    for segment in of.as_str().split('/') {
        let written = segment.split('[').next().unwrap_or_default();
        let Some(step) = steps.iter().find(|s| s.id.as_str() == written) else {
            return &[];
        };
        steps = step.block.as_ref().map_or(&[], |block| &block.steps);
    }
    steps
}

/// What the path of an id ends in, without an instance, and what comes before it.
fn split(of: &StepId) -> (Option<StepId>, String) {
    let (home, last) = match of.as_str().rsplit_once('/') {
        Some((home, last)) => (Some(id(home)), last),
        None => (None, of.as_str()),
    };
    (home, last.split('[').next().unwrap_or_default().to_owned())
}

fn join(home: &Option<StepId>, name: &str) -> StepId {
    match home {
        Some(home) => id(&format!("{home}/{name}")),
        None => id(name),
    }
}

/// Names that a step needs, directly or not.
fn needed(steps: &[PlanStep], name: &str) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    let mut next = vec![name.to_owned()];
    while let Some(name) = next.pop() {
        let step = steps.iter().find(|s| s.id.as_str() == name);
        for need in step.into_iter().flat_map(|s| &s.needs) {
            if found.insert(need.to_string()) {
                next.push(need.to_string());
            }
        }
    }
    found
}

fn before(plan: &Plan, gate: &StepId) -> BTreeSet<StepId> {
    let (home, name) = split(gate);
    let names = needed(list(plan, home.as_ref()), &name);
    names.iter().map(|name| join(&home, name)).collect()
}

/// `to` and all that depends on it.
fn region(plan: &Plan, to: &StepId) -> Vec<StepId> {
    let (home, name) = split(to);
    let steps = list(plan, home.as_ref());
    let after =
        |s: &&PlanStep| s.id.as_str() == name || needed(steps, s.id.as_str()).contains(&name);
    let found = steps.iter().filter(after);
    found.map(|s| join(&home, s.id.as_str())).collect()
}

fn is_within(step: &StepId, region: &[StepId]) -> bool {
    let inside = |top: &StepId| {
        let rest = step.as_str().strip_prefix(top.as_str());
        rest.is_some_and(|rest| rest.is_empty() || rest.starts_with(['/', '[']))
    };
    region.iter().any(inside)
}

/// Whether `later` comes after `earlier` because of needs, at whatever level they part.
fn comes_after(plan: &Plan, later: &StepId, earlier: &StepId) -> bool {
    let (a, b): (Vec<_>, Vec<_>) = (
        later.as_str().split('/').collect(),
        earlier.as_str().split('/').collect(),
    );
    let Some(at) = (0..a.len().min(b.len())).find(|&n| a[n] != b[n]) else {
        return false;
    };
    let home = (at > 0).then(|| id(&a[..at].join("/")));
    let name = |segment: &str| segment.split('[').next().unwrap_or_default().to_owned();
    needed(list(plan, home.as_ref()), &name(a[at])).contains(&name(b[at]))
}

/// What the journal says happened, step by step.
#[derive(Default)]
struct Told {
    /// Done and not undone; only what can be undone.
    done: BTreeSet<StepId>,
    settled: BTreeSet<StepId>,
    /// Started, not ended.
    running: BTreeMap<StepId, u32>,
    attempts: BTreeMap<StepId, u32>,
    undo_attempts: BTreeMap<StepId, u32>,
    /// Lost with the process that ran it.
    lost: BTreeSet<StepId>,
    /// While the run is being sent back: what is taken back.
    back: Option<Vec<StepId>>,
    undoing: bool,
}

fn check(plan: &Plan, sim: &Sim) -> Result<(), TestCaseError> {
    let mut told = Told::default();
    for (n, event) in sim.events.iter().enumerate() {
        prop_assert_eq!(event.seq.0, n as u64 + 1);
        told.hear(plan, &sim.state, &event.event)
            .map_err(|why| TestCaseError::fail(format!("event {}: {why}", n + 1)))?;
    }
    prop_assert!(told.back.is_none());
    let mut again = RunState::new(Arc::new(plan.clone())).expect("sound");
    for event in &sim.events {
        again.apply(event).expect("legal");
    }
    let seen =
        |state: &RunState| format!("{:?}{:?}", state.nodes().collect::<Vec<_>>(), state.frames);
    prop_assert_eq!(seen(&again), seen(&sim.state));
    Ok(())
}

impl Told {
    fn hear(&mut self, plan: &Plan, state: &RunState, event: &EventKind) -> Result<(), String> {
        match event {
            EventKind::RunResumed { .. } => self.lost = self.running.keys().cloned().collect(),
            EventKind::StepStarted { step, attempt, .. } => {
                self.started(plan, state, step, attempt.0)?
            }
            EventKind::StepPollStarted { step, .. } => {
                if self.back.is_some() && !self.lost.remove(step) {
                    return Err(format!("{step} is polled on the way back"));
                }
                self.running.insert(step.clone(), 0);
            }
            EventKind::StepPolled { step, .. } => {
                self.running.remove(step);
            }
            EventKind::StepSucceeded { step, .. } => {
                self.running.remove(step);
                self.settled.insert(step.clone());
                let planned = state.plan_step(step).ok_or("unknown")?;
                let is_loop = planned.for_each.is_some() && !step.as_str().ends_with(']');
                if planned.block.is_none() && !is_loop && planned.rollback.is_some() {
                    self.done.insert(step.clone());
                }
            }
            EventKind::StepFailed { step, .. } => {
                self.running.remove(step);
                let planned = state.plan_step(step).ok_or("unknown")?;
                if planned.on_failure == StepOnFailure::Continue {
                    self.settled.insert(step.clone());
                }
            }
            EventKind::StepRetryScheduled { step, .. } => {
                self.settled.remove(step);
            }
            EventKind::StepSkipped { step, .. } | EventKind::GateApproved { step, .. } => {
                if self.back.is_some() && matches!(event, EventKind::GateApproved { .. }) {
                    return Err(format!("{step} opens on the way back"));
                }
                self.settled.insert(step.clone());
            }
            EventKind::GateOpened { step, .. } | EventKind::StepExpanded { step, .. } => {
                self.may_begin(plan, step)?;
            }
            EventKind::RewindStarted { step, to, steps } => {
                let region = region(plan, to);
                let mut due: Vec<&StepId> =
                    self.done.iter().filter(|s| is_within(s, &region)).collect();
                let mut said: Vec<&StepId> = steps.iter().collect();
                for (n, first) in steps.iter().enumerate() {
                    if steps[n + 1..]
                        .iter()
                        .any(|next| comes_after(plan, next, first))
                    {
                        return Err(format!("{first} is named before what depends on it"));
                    }
                }
                due.sort();
                said.sort();
                if due != said || !is_within(step, &region) {
                    return Err(format!("{due:?} are to be undone, not {said:?}"));
                }
                self.back = Some(region);
                self.undoing = false;
            }
            EventKind::UndoStarted { step, attempt, .. } => {
                let region = self.back.as_ref().ok_or("nothing is sent back")?;
                let last = self
                    .undo_attempts
                    .insert(step.clone(), attempt.0)
                    .unwrap_or(0);
                if attempt.0 != last + 1 && attempt.0 != last {
                    return Err(format!("undo attempt {attempt} of {step} after {last}"));
                }
                if !is_within(step, region) || !self.done.contains(step) {
                    return Err(format!("{step} is not to be undone"));
                }
                if let Some(first) = self
                    .done
                    .iter()
                    .find(|d| is_within(d, region) && comes_after(plan, d, step))
                {
                    return Err(format!("{first} must be undone before {step}"));
                }
                if let Some((runs, _)) = self.running.first_key_value() {
                    return Err(format!("{runs} still runs"));
                }
                self.undoing = true;
            }
            EventKind::UndoSucceeded { step, .. } => {
                self.done.remove(step);
            }
            EventKind::RewindFinished { .. } => {
                let region = self.back.take().ok_or("nothing is sent back")?;
                if let Some(step) = self.done.iter().find(|step| is_within(step, &region)) {
                    return Err(format!("{step} is not undone"));
                }
                self.settled.retain(|step| !is_within(step, &region));
            }
            _ => {}
        }
        Ok(())
    }

    fn may_begin(&self, plan: &Plan, step: &StepId) -> Result<(), String> {
        // What is taken back cleans up; nothing else begins on the way back.
        if let Some(region) = &self.back
            && (self.undoing || !is_within(step, region) || !step.as_str().ends_with("/z"))
        {
            return Err(format!("{step} begins on the way back"));
        }
        let (home, name) = split(step);
        let steps = list(plan, home.as_ref());
        let needs = steps
            .iter()
            .filter(|s| s.id.as_str() == name)
            .flat_map(|s| &s.needs);
        for need in needs {
            let need = join(&home, need.as_str());
            if !self.settled.contains(&need) {
                return Err(format!("{step} begins before {need} has ended"));
            }
        }
        if self.settled.contains(step) {
            return Err(format!("{step} begins again, and was not taken back"));
        }
        Ok(())
    }

    fn started(
        &mut self,
        plan: &Plan,
        state: &RunState,
        step: &StepId,
        attempt: u32,
    ) -> Result<(), String> {
        let last = self.attempts.insert(step.clone(), attempt).unwrap_or(0);
        if self.lost.remove(step) && attempt == last {
            return Ok(());
        }
        if attempt != last + 1 {
            return Err(format!("attempt {attempt} of {step} after {last}"));
        }
        if self.done.contains(step) {
            return Err(format!("{step} runs again and is not undone"));
        }
        self.may_begin(plan, step)?;
        if state.plan_step(step).is_some_and(|s| s.block.is_none()) {
            self.running.insert(step.clone(), attempt);
        }
        Ok(())
    }
}

fn outcome(sim: &Sim) -> Outcome {
    sim.state.outcome().expect("finished")
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 192, ..ProptestConfig::default() })]

    #[test]
    fn what_is_sent_back_is_undone_once_in_order_and_runs_again(case in case()) {
        let straight = play(Sim::new(case.plan.clone(), 3), case.seed, 0)?;
        let sim = play(Sim::new(case.plan.clone(), 3), case.seed, 4)?;
        check(&case.plan, &sim)?;
        prop_assert_eq!(outcome(&sim), outcome(&straight));
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 16, ..ProptestConfig::default() })]

    #[test]
    fn a_crash_at_any_event_changes_none_of_that(case in case()) {
        let straight = play(Sim::new(case.plan.clone(), 3), case.seed, 0)?;
        let sim = play(Sim::new(case.plan.clone(), 3), case.seed, 2)?;
        for known in 1..sim.events.len() {
            let resumed = Sim::resumed(case.plan.clone(), 3, &sim.events[..known]);
            if resumed.state.phase() == Phase::Finished {
                continue;
            }
            let resumed = play(resumed, case.seed, 2)?;
            check(&case.plan, &resumed)?;
            prop_assert_eq!(outcome(&resumed), outcome(&straight), "after {} events", known);
        }
    }
}

/// What holds however the run ends.
fn check_end(case: &Case, sim: &Sim) -> Result<(), TestCaseError> {
    let mut done: BTreeSet<&StepId> = BTreeSet::new();
    let mut rolled_back = false;
    let mut cleaned_up = false;
    for event in &sim.events {
        match &event.event {
            EventKind::StepStarted { step, .. } => {
                prop_assert!(
                    !done.contains(step),
                    "{} runs again and is not undone",
                    step
                );
                cleaned_up |= step.as_str() == "last";
            }
            EventKind::StepSucceeded { step, .. } => {
                let node = sim.state.plan_step(step).expect("planned");
                let is_loop = node.for_each.is_some() && !step.as_str().ends_with(']');
                if node.rollback.is_some() && !is_loop {
                    done.insert(step);
                }
            }
            EventKind::UndoStarted { step, .. } => {
                prop_assert!(done.contains(step), "{} is undone and was not done", step);
            }
            EventKind::UndoSucceeded { step, .. } => {
                done.remove(step);
            }
            EventKind::RollbackStarted { .. } => rolled_back = true,
            _ => {}
        }
    }
    prop_assert!(cleaned_up);
    prop_assert_eq!(
        outcome(sim) == Outcome::Stuck,
        !sim.state.not_undone().is_empty()
    );
    if rolled_back && outcome(sim) != Outcome::Stuck {
        prop_assert_eq!(done, BTreeSet::new());
    }
    let mut again = RunState::new(Arc::new(case.plan.clone())).expect("sound");
    for event in &sim.events {
        again.apply(event).expect("legal");
    }
    prop_assert_eq!(again.outcome(), sim.state.outcome());
    prop_assert_eq!(again.not_undone(), sim.state.not_undone());
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 192, ..ProptestConfig::default() })]

    #[test]
    fn a_run_that_ends_on_the_way_back_ends_in_order(case in case(), at in 0usize..60, kind in 0u8..4, rollback: bool) {
        let mut case = case;
        if rollback {
            case.plan.on_cancel = OnCancel::Rollback;
        }
        let mishap = match kind {
            0 => Mishap::Fails(at, CallKind::Undo),
            1 => Mishap::Fails(at, CallKind::Action),
            _ => Mishap::Cancel(at),
        };
        let sim = play_through(Sim::new(case.plan.clone(), 3), case.seed, 4, mishap)?;
        check_end(&case, &sim)?;
        let known = at.clamp(1, sim.events.len() - 1);
        let resumed = Sim::resumed(case.plan.clone(), 3, &sim.events[..known]);
        check_end(&case, &play_through(resumed, case.seed, 4, mishap)?)?;
    }
}
