//! Generated nested plans: loops in sub-runbooks in loops, with everything that can go wrong in them.

use std::collections::BTreeSet;
use std::sync::Arc;

use proptest::prelude::*;
use serde_json::{Value, json};

use super::oracle::{self, Journal};
use super::sim::{Sim, action, failure, gate, plan, retry, step, undo};
use crate::base::{AttemptNo, StepId};
use crate::event::{EventKind, Failure, FailureKind, Outcome, RunEvent, Vote};
use crate::model::{Effect, MaxFailures, OnCancel, StepOnFailure};
use crate::plan::{Expr, Plan, PlanBlock, PlanForEach, PlanStep, PlanUnless};
use crate::run::{CallKind, Halt, Phase, RunState, Target, decide};

/// Draws that shrink towards the simplest plan: when they are used up, every draw gives 0.
struct Dice {
    draws: std::vec::IntoIter<u32>,
    /// How many steps the plan may still grow by, instances counted.
    room: u32,
}

impl Dice {
    fn below(&mut self, sides: u32) -> u32 {
        match self.room {
            0 => 0,
            _ => self.draws.next().unwrap_or(0) % sides,
        }
    }

    /// True in one of so many draws, never when the draws are used up.
    fn one_in(&mut self, sides: u32) -> bool {
        self.below(sides) == sides - 1
    }
}

/// What may be drawn.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Wild {
    /// Everything.
    Yes,
    /// Only what makes the outcome independent of the order in which steps happen to end.
    Confluent,
}

/// A plan, and what its handlers and people do: it follows from ids and a seed alone.
#[derive(Debug, Clone)]
pub(super) struct Case {
    pub(super) plan: Plan,
    seed: u64,
    wild: Wild,
}

fn case(wild: Wild) -> impl Strategy<Value = Case> {
    (prop::collection::vec(any::<u32>(), 0..160), any::<u64>()).prop_map(move |(draws, seed)| {
        let mut dice = Dice {
            draws: draws.into_iter(),
            room: 40,
        };
        let mut plan = plan(vec![], vec![]);
        let body = body(&mut dice, 0, 1, wild);
        (plan.steps, plan.verify, plan.finally) = (body.steps, body.verify, body.finally);
        if dice.one_in(2) {
            plan.on_cancel = OnCancel::Rollback;
        }
        Case { plan, seed, wild }
    })
}

/// `times` is how often it may be there, because of the loops around it.
fn body(dice: &mut Dice, depth: u32, times: u32, wild: Wild) -> PlanBlock {
    let count = 1 + dice.below(if depth == 0 { 5 } else { 3 });
    let steps = (0..count)
        .map(|n| one(dice, 's', n, depth, times, wild))
        .collect();
    let few = |dice: &mut Dice| dice.below(4).saturating_sub(1);
    let verify = (0..few(dice))
        .map(|n| PlanStep {
            action: action("test", Effect::Read),
            on_failure: StepOnFailure::Rollback,
            ..step(&format!("v{n}"), &[])
        })
        .collect();
    let finally = (0..few(dice))
        .map(|n| {
            let wanted = if dice.one_in(5) { depth } else { 3 };
            let mut made = one(dice, 'z', n, wanted, times, wild);
            if made.action.uses == "approval" {
                made.action = action("test", Effect::Idempotent);
            }
            made
        })
        .collect();
    PlanBlock {
        rules: Default::default(),
        runbook: "child".into(),
        file: "child.yaml".into(),
        params: [].into(),
        steps,
        verify,
        finally,
        outputs: [].into(),
    }
}

fn one(dice: &mut Dice, letter: char, n: u32, depth: u32, times: u32, wild: Wild) -> PlanStep {
    dice.room = dice.room.saturating_sub(times);
    let name = format!("{letter}{n}");
    let needs: Vec<String> = (0..n)
        .filter(|_| dice.one_in(3))
        .map(|m| format!("{letter}{m}"))
        .collect();
    let needs: Vec<&str> = needs.iter().map(String::as_str).collect();
    let mut made = match dice.below(8) {
        7 if depth < 3 => PlanStep {
            block: Some(Box::new(body(dice, depth + 1, times, wild))),
            action: action("runbook.child", Effect::Once),
            ..step(&name, &needs)
        },
        6 if depth < 3 => {
            let (for_each, items) = for_each(dice);
            PlanStep {
                block: Some(Box::new(body(dice, depth + 1, times * items, wild))),
                action: action("runbook.child", Effect::Once),
                for_each: Some(for_each),
                ..step(&name, &needs)
            }
        }
        5 => gate(&name, &needs),
        4 | 3 => {
            let (for_each, items) = for_each(dice);
            dice.room = dice.room.saturating_sub(times * items);
            PlanStep {
                for_each: Some(for_each),
                ..step(&name, &needs)
            }
        }
        _ => step(&name, &needs),
    };
    made.on_failure = match dice.below(5) {
        4 => StepOnFailure::Continue,
        3 if wild == Wild::Yes => StepOnFailure::Stop,
        _ => StepOnFailure::Rollback,
    };
    if dice.one_in(8) {
        made.when = Some(match made.for_each {
            Some(_) if dice.one_in(2) => "index != 1".into(),
            _ => "1 > 2".into(),
        });
    }
    if made.action.uses == "approval" {
        return made;
    }
    if dice.one_in(6) {
        made.unless = Some(match dice.below(3) {
            0 => unless(false, "1 > 2"),
            1 => unless(false, "2 > 1"),
            _ => unless(true, "outputs.done"),
        });
    }
    if made.block.is_none() {
        made.retry = retry(1 + dice.below(3));
        if dice.one_in(2) {
            made.rollback = undo();
        }
        if wild == Wild::Yes && dice.one_in(4) {
            made.action.effect = Effect::Once;
        }
        if dice.one_in(6) {
            made.until = Some("outputs.ok".into());
        }
    }
    made
}

fn unless(probe: bool, condition: &str) -> PlanUnless {
    PlanUnless {
        probe: probe.then(|| action("probe", Effect::Read)),
        condition: condition.into(),
    }
}

fn for_each(dice: &mut Dice) -> (PlanForEach, u32) {
    let items: Vec<Value> = (0..dice.below(5)).map(|n| json!(format!("i{n}"))).collect();
    let count = u32::try_from(items.len()).expect("few");
    let made = PlanForEach {
        item: crate::model::Ty::Any,
        items: Expr::Value(Value::Array(items)),
        max_parallel: 1 + dice.below(3),
        max_failures: match dice.below(4) {
            0 | 1 => MaxFailures::Count(0),
            2 => MaxFailures::Count(1),
            _ => MaxFailures::Percent(50),
        },
    };
    (made, count)
}

impl Case {
    /// A number that follows from an id, the seed and what is asked.
    fn drawn(&self, what: &str, id: &StepId, sides: u64) -> u64 {
        let text = format!("{what}/{id}/{}", self.seed);
        let digest = crate::base::Digest::of_bytes(text.as_bytes()).hex();
        u64::from_str_radix(&digest[..12], 16).expect("hexadecimal") % sides
    }

    /// How many attempts at a step fail before one succeeds.
    pub(super) fn fails(&self, id: &StepId) -> u32 {
        // A third of the cases fails nowhere, a third rarely, a third often.
        let sides = match self.seed % 3 {
            0 => return 0,
            1 => 24,
            _ => 8,
        };
        match self.drawn("fails", id, sides) {
            0 => 9,
            1 => 1,
            _ => 0,
        }
    }

    fn undo_fails(&self, id: &StepId) -> u32 {
        match (self.wild, self.drawn("undo", id, 30)) {
            (Wild::Yes, 0) => 9,
            _ => 0,
        }
    }

    /// What the probe of a step says: done, not done, or nothing.
    pub(super) fn probe(&self, id: &StepId) -> Option<bool> {
        match self.drawn("probe", id, 5) {
            0 => None,
            1 | 2 => Some(true),
            _ => Some(false),
        }
    }

    fn vote(&self, id: &StepId) -> Vote {
        match (self.wild, self.drawn("vote", id, 12)) {
            (Wild::Yes, 0) => Vote::Reject,
            _ => Vote::Approve,
        }
    }

    fn answer(&self, state: &RunState, target: &Target) -> Result<Value, Failure> {
        let node = state.node(&target.step).expect("known");
        let (fails, attempt) = match target.call {
            CallKind::Probe => {
                let done = self.probe(&target.step);
                return done
                    .map(|done| json!({ "done": done }))
                    .ok_or_else(|| failure(FailureKind::Unavailable));
            }
            CallKind::Action => (self.fails(&target.step), node.attempt.0),
            CallKind::Undo => (self.undo_fails(&target.step), node.undo_attempt.0),
            CallKind::Read(_) | CallKind::Notice(_) => (0, 0),
        };
        if attempt <= fails {
            return Err(failure(FailureKind::Error));
        }
        let id = target.step.as_str();
        Ok(json!({ "id": id, "ok": node.polls > 1 }))
    }

    /// Drives a run to its end, or until only a person's word could move it.
    fn drive(&self, mut sim: Sim, mut random: u64, cancel_at: Option<usize>) -> Sim {
        let mut cancelled = false;
        for _ in 0..20_000 {
            let wake = sim.settle_decisions();
            let forward = sim.state.phase() == Phase::Forward;
            if forward && !cancelled && cancel_at.is_some_and(|at| sim.events.len() >= at) {
                sim.cancel();
                cancelled = true;
                continue;
            }
            if !sim.running.is_empty() {
                random ^= random << 13;
                random ^= random >> 7;
                random ^= random << 17;
                let at = (random % sim.running.len() as u64) as usize;
                let answer = self.answer(&sim.state, &sim.running[at].0);
                sim.finish(at, answer);
            } else if let Some(open) = sim.state.open_gates().first()
                && !matches!(sim.state.halt(), Some(Halt::Interrupted { .. }))
            {
                let open = open.clone();
                let vote = self.vote(&open.step);
                sim.vote(open.step.as_str(), vote);
            } else if let Some(wake) = wake {
                sim.now = wake;
            } else {
                return sim;
            }
        }
        panic!("the run does not end");
    }
}

fn sound(case: &Case, sim: &Sim) -> Result<(), TestCaseError> {
    prop_assert!(sim.state.outcome().is_some(), "no end: {:?}", sim.story());
    oracle::check(&Journal::new(&case.plan, &sim.events))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn nested_runs_end_and_keep_every_rule(
        case in case(Wild::Yes),
        max_parallel in 1usize..5,
        random in 1u64..,
    ) {
        let sim = case.drive(Sim::new(case.plan.clone(), max_parallel), random, None);
        // A poll is never kept waiting, so only steps that do not poll are bounded.
        let polls = |e: &RunEvent| matches!(e.event, EventKind::StepPollStarted { .. });
        prop_assert!(sim.most_running <= max_parallel || sim.events.iter().any(polls));
        sound(&case, &sim)?;
    }

    #[test]
    fn a_nested_run_that_is_cancelled_anywhere_ends_well(
        case in case(Wild::Yes),
        max_parallel in 1usize..5,
        random in 1u64..,
        at in 1usize..60,
    ) {
        let sim = case.drive(Sim::new(case.plan.clone(), max_parallel), random, Some(at));
        sound(&case, &sim)?;
    }

    #[test]
    fn the_outcome_of_a_nested_run_is_foretold(
        case in case(Wild::Confluent),
        max_parallel in 1usize..5,
        random in 1u64..,
    ) {
        let sim = case.drive(Sim::new(case.plan.clone(), max_parallel), random, None);
        prop_assert_eq!(sim.state.outcome(), Some(oracle::foretold(&case)), "{:?}", sim.story());
    }

    #[test]
    fn folding_a_nested_journal_again_gives_the_same_state_and_the_same_decision(
        case in case(Wild::Yes),
        random in 1u64..,
    ) {
        let sim = case.drive(Sim::new(case.plan.clone(), 3), random, None);
        let fold = |events: &[RunEvent]| {
            let mut state = RunState::new(Arc::new(case.plan.clone())).expect("sound");
            events.iter().for_each(|e| state.apply(e).expect("legal"));
            state
        };
        let again = fold(&sim.events);
        prop_assert_eq!(again.outcome(), sim.state.outcome());
        prop_assert!(again.nodes().eq(sim.state.nodes()));
        let half = &sim.events[..sim.events.len() / 2];
        if let Some(last) = half.last() {
            let (one, two) = (fold(half), fold(half));
            prop_assert_eq!(
                decide(&one, sim.limits, last.at),
                decide(&two, sim.limits, last.at)
            );
        }
        // A parent stands directly before its children.
        let mut above: Vec<StepId> = vec![];
        for (_, node) in again.nodes() {
            above.truncate(node.depth);
            prop_assert_eq!(node.parent(), above.last().cloned());
            prop_assert_eq!(node.id.depth(), node.depth);
            above.push(node.id.clone());
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(25))]

    #[test]
    fn a_nested_run_that_is_cut_after_any_event_resumes_to_the_same_end(
        case in case(Wild::Confluent),
        max_parallel in 1usize..4,
        random in 1u64..,
    ) {
        let whole = case.drive(Sim::new(case.plan.clone(), max_parallel), random, None);
        for cut in 1..whole.events.len() {
            let sim = Sim::resumed(case.plan.clone(), max_parallel, &whole.events[..cut]);
            let sim = case.drive(sim, random, None);
            prop_assert_eq!(sim.state.outcome(), whole.state.outcome(), "cut after {}", cut);
            sound(&case, &sim)?;
        }
    }

    #[test]
    fn a_once_step_of_a_nested_run_is_never_repeated_after_a_crash(
        case in case(Wild::Yes),
        random in 1u64..,
    ) {
        let whole = case.drive(Sim::new(case.plan.clone(), 2), random, None);
        for cut in 1..whole.events.len() {
            let sim = Sim::resumed(case.plan.clone(), 2, &whole.events[..cut]);
            let sim = case.drive(sim, random, None);
            let mut started: BTreeSet<(StepId, AttemptNo)> = BTreeSet::new();
            for event in &sim.events {
                if let EventKind::StepStarted { step, attempt, .. } = &event.event {
                    let once = sim.state.plan_step(step).is_some_and(|s| s.action.effect == Effect::Once);
                    let fresh = started.insert((step.clone(), *attempt));
                    prop_assert!(fresh || !once, "{step} was started twice, cut after {cut}");
                }
            }
            // Either it came to its end, or a person is asked about a step that was under way.
            match sim.state.outcome() {
                Some(_) => sound(&case, &sim)?,
                None => prop_assert!(sim.state.interrupted().is_some(), "cut after {}", cut),
            }
        }
    }
}

#[test]
fn the_generator_draws_what_the_properties_are_about() {
    use proptest::strategy::ValueTree;
    use proptest::test_runner::TestRunner;
    let mut runner = TestRunner::deterministic();
    let mut outcomes: BTreeSet<&str> = BTreeSet::new();
    let mut kinds: BTreeSet<&str> = BTreeSet::new();
    let (mut loops_in_blocks, mut part_ended, mut late_finally) = (0, 0, 0);
    for _ in 0..400 {
        let case = case(Wild::Yes)
            .new_tree(&mut runner)
            .expect("drawn")
            .current();
        let sim = case.drive(Sim::new(case.plan.clone(), 2), 7, None);
        outcomes.extend(sim.state.outcome().map(Outcome::as_str));
        kinds.extend(sim.events.iter().map(|e| e.event.name()));
        let journal = Journal::new(&case.plan, &sim.events);
        late_finally += usize::from(journal.has_late_finally());
        for event in &sim.events {
            match &event.event {
                EventKind::StepExpanded { step, .. } if step.depth() > 0 => loops_in_blocks += 1,
                EventKind::StepSkipped {
                    reason: crate::event::SkipReason::PartEnded,
                    ..
                } => part_ended += 1,
                _ => {}
            }
        }
    }
    assert!(
        loops_in_blocks > 20 && part_ended > 20 && late_finally > 5,
        "{loops_in_blocks} {part_ended} {late_finally}"
    );
    for outcome in [
        "succeeded",
        "completed_with_exceptions",
        "failed",
        "rolled_back",
        "stuck",
        "rejected",
    ] {
        assert!(outcomes.contains(outcome), "{outcome}: {outcomes:?}");
    }
    for kind in [
        "step_probe_started",
        "step_probed",
        "step_polled",
        "step_retry_scheduled",
        "undo_failed",
    ] {
        assert!(kinds.contains(kind), "{kind}: {kinds:?}");
    }
}
