//! Generated lives of gates: who votes what and when, what the second look and the files say, crashes
//! in between. An oracle that reads events alone says whether a gate may have been passed.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use proptest::prelude::*;
use serde_json::json;

use super::gates::{asking, policy};
use super::sim::{Files, Sim, action, digest, gate, id, plan, step};
use crate::base::{Digest, HumanDuration, StepId, Timestamp, Value};
use crate::event::{Ballot, Difference, EventKind, RunEvent, Vote};
use crate::model::{Effect, Escape, OnExpiry, Risk};
use crate::plan::{Expr, Plan, PlanDelay, PlanEscalation, PlanFreeze, PlanPolicy, PlanStep};
use crate::run::{CallKind, RunState};

const PEOPLE: [&str; 5] = ["ana", "bob", "cy", "dan", "eve"];
const GATES: [&str; 2] = ["go", "last"];

/// What happens next.
#[derive(Debug, Clone)]
enum Move {
    Vote {
        gate: usize,
        who: usize,
        vote: Vote,
        /// In the present round, or in the one before.
        now: bool,
        /// About the plan of the run, or about another.
        this_plan: bool,
    },
    /// The next call ends; what it reads is another value now, or nothing.
    End {
        changed: bool,
        fails: bool,
    },
    Wait(u64),
    Crash,
    /// The files give another plan, with a policy that asks for so many.
    Files {
        plan: u8,
        quorum: Option<u32>,
    },
}

fn moves() -> impl Strategy<Value = Vec<Move>> {
    let vote = prop_oneof![
        12 => Just(Vote::Approve),
        3 => Just(Vote::Withdraw),
        1 => Just(Vote::Reject)
    ];
    let cast = (
        0..2usize,
        0..5usize,
        vote,
        prop::bool::weighted(0.9),
        prop::bool::weighted(0.95),
    )
        .prop_map(|(gate, who, vote, now, this_plan)| Move::Vote {
            gate,
            who,
            vote,
            now,
            this_plan,
        });
    let end = (prop::bool::weighted(0.15), prop::bool::weighted(0.1))
        .prop_map(|(changed, fails)| Move::End { changed, fails });
    let one = prop_oneof![
        8 => cast,
        8 => end,
        2 => (1u64..400).prop_map(Move::Wait),
        1 => Just(Move::Crash),
        1 => (0u8..3, prop::option::of(1u32..4)).prop_map(|(plan, quorum)| Move::Files { plan, quorum }),
    ];
    prop::collection::vec(one, 0..60)
}

#[derive(Debug, Clone)]
struct Rules {
    quorum: u32,
    vote_expires: Option<u64>,
    expires: Option<u64>,
    on_expiry: OnExpiry,
    frozen: bool,
}

fn rules() -> impl Strategy<Value = Rules> {
    (
        1u32..4,
        prop::option::of(30u64..300),
        prop::option::of(100u64..2_000),
        prop_oneof![
            Just(OnExpiry::Deny),
            Just(OnExpiry::Escalate),
            Just(OnExpiry::Park)
        ],
        prop::bool::weighted(0.2),
    )
        .prop_map(|(quorum, vote_expires, expires, on_expiry, frozen)| Rules {
            quorum,
            vote_expires,
            expires,
            on_expiry,
            frozen,
        })
}

impl Rules {
    /// Everybody but eve may vote; ana started the run.
    fn policy(&self, quorum: u32) -> PlanPolicy {
        let seconds = |n: u64| HumanDuration(Duration::from_secs(n));
        let mut made = policy(quorum, &PEOPLE[..4]);
        let rule = made.rules.get_mut(&Risk::Low).expect("a rule");
        rule.expires = self.expires.map(seconds);
        rule.vote_expires = self.vote_expires.map(seconds);
        rule.on_expiry = self.on_expiry;
        made.escalation = [Some("ops"), None]
            .map(|channel| PlanEscalation {
                after: PlanDelay::Time(seconds(60)),
                role: "lead".into(),
                members: vec!["bob".into()],
                channel: channel.map(str::to_owned),
                respond_within: PlanDelay::Time(seconds(60)),
            })
            .to_vec();
        if self.frozen {
            made.freezes.push(PlanFreeze {
                name: "frozen".into(),
                from: "1970-01-01".into(),
                to: "1970-01-01T00:20".into(),
            });
        }
        made
    }

    fn plan(&self) -> Plan {
        let before = PlanStep {
            action: action("look", Effect::Read),
            ..step("before", &[])
        };
        let mut go = gate("go", &["before"]);
        go.gate = asking(&["before"]);
        let text = "seen {{ steps.before.outputs.n }}".to_owned();
        let escape = Escape::None;
        let message = Expr::Template { text, escape };
        go.action.with = Expr::Map([("message".to_owned(), message)].into());
        let mut last = gate("last", &["after"]);
        last.gate = asking(&[]);
        let steps = vec![
            before,
            go,
            step("after", &["go"]),
            last,
            step("end", &["last"]),
        ];
        let mut made = plan(steps, vec![step("z", &[])]);
        made.policy = Some(Box::new(self.policy(self.quorum)));
        made
    }
}

/// Plays the moves; what cannot happen is passed over.
fn play(rules: &Rules, moves: &[Move]) -> Sim {
    let mut sim = Sim::new(rules.plan(), 2);
    let mut n = 0;
    sim.settle_decisions();
    for next in moves {
        if sim.state.outcome().is_some() {
            break;
        }
        match next {
            Move::Vote {
                gate,
                who,
                vote,
                now,
                this_plan,
            } => {
                let open = sim.state.open_gates();
                let Some(open) = open.iter().find(|open| open.step.as_str() == GATES[*gate]) else {
                    continue;
                };
                let other = Digest::of_bytes(b"another plan");
                let ballot = Ballot {
                    round: if *now { open.round } else { open.round - 1 },
                    ..Ballot::plain(*vote, if *this_plan { digest() } else { other }, None)
                };
                sim.cast(GATES[*gate], PEOPLE[*who], ballot);
            }
            Move::End { changed, fails } => {
                let Some((target, _)) = sim.running.first() else {
                    continue;
                };
                let looks = matches!(target.call, CallKind::Read(_) | CallKind::Notice(_));
                n += u32::from(*changed);
                let failed = super::sim::failure(crate::event::FailureKind::Unavailable);
                sim.finish(
                    0,
                    if *fails && looks {
                        Err(failed)
                    } else {
                        Ok(json!({ "n": n }))
                    },
                );
            }
            Move::Wait(seconds) => sim.advance(*seconds),
            Move::Crash => {
                let (now, files) = (sim.now, sim.files.take());
                sim = Sim::resumed(rules.plan(), 2, &sim.events);
                (sim.now, sim.files) = (now, files);
            }
            Move::Files { plan, quorum } => {
                let in_force = sim
                    .state
                    .electorate(&id("go"))
                    .and_then(|e| e.policy.cloned());
                let policy = quorum.map(|quorum| rules.policy(quorum));
                let is_other = policy.is_some() && policy != in_force;
                let what = Difference {
                    what: format!("plan {plan}"),
                    before: String::new(),
                    after: String::new(),
                };
                sim.files = Some(Files {
                    plan_digest: Some(Digest::of_bytes(format!("{plan} {quorum:?}").as_bytes())),
                    differences: if *plan > 0 || is_other {
                        vec![what]
                    } else {
                        vec![]
                    },
                    policy: match policy.filter(|_| is_other) {
                        Some(policy) => serde_json::to_value(policy).expect("JSON"),
                        None => Value::Null,
                    },
                });
            }
        }
        sim.settle_decisions();
    }
    sim
}

/// What the events say of one gate.
#[derive(Default)]
struct Told {
    votes: Vec<(Timestamp, usize, String, Vote)>,
    looked: Option<usize>,
    surveyed: Option<usize>,
    expires_at: Option<Timestamp>,
    round: u32,
    shown: Option<Value>,
    seen: Option<Value>,
}

/// Nobody passes without enough votes of this round by people who may vote, given after the question,
/// not lapsed, not withdrawn; what is shown was looked at again after the last of them, and is the same.
fn passed_rightly(rules: &Rules, events: &[RunEvent]) -> Result<usize, TestCaseError> {
    let mut gates: BTreeMap<StepId, Told> = BTreeMap::new();
    let (mut quorum, mut passed) = (rules.quorum, 0);
    let mut found: Option<u32> = None;
    let mut first = None;
    for (at, event) in events.iter().enumerate() {
        if let EventKind::StepSucceeded { step, outputs, .. } = &event.event
            && step.as_str() == "before"
        {
            first = Some(outputs.clone());
        }
        let Some(step) = event.event.step() else {
            continue;
        };
        let told = gates.entry(step.clone()).or_default();
        match &event.event {
            EventKind::GateOpened { expires_at, .. } => {
                told.round = 1;
                told.expires_at = *expires_at;
                told.shown.clone_from(&first);
            }
            EventKind::VoteCast {
                vote,
                actor,
                plan_digest,
                round,
                ..
            } if *plan_digest == digest() && *round == told.round => {
                told.votes.push((event.at, at, actor.name.clone(), *vote));
            }
            EventKind::GateReadStarted { .. } => told.looked = Some(at),
            EventKind::GateRead { outputs, .. } => told.seen = Some(outputs.clone()),
            EventKind::GateSurveyed { policy, .. } => {
                told.surveyed = Some(at);
                let count = policy.pointer("/rules/low/quorum/0/count");
                found = count.and_then(Value::as_u64).map(|n| n as u32);
            }
            EventKind::GateVoided { .. } => {
                told.round += 1;
                told.votes.clear();
                if let Some(seen) = told.seen.clone().filter(|seen| !seen.is_null()) {
                    told.shown = Some(seen);
                }
                quorum = found.take().unwrap_or(quorum);
            }
            EventKind::GateParked { .. } => told.expires_at = None,
            EventKind::GateApproved { .. } => {
                passed += 1;
                let mut yes: BTreeSet<&str> = BTreeSet::new();
                let mut newest = 0;
                for name in &PEOPLE[1..4] {
                    let of = told.votes.iter().rfind(|(_, _, who, _)| who == name);
                    let Some((when, seq, _, vote)) = of else {
                        continue;
                    };
                    let lasts = rules.vote_expires.map(Duration::from_secs);
                    let lapsed = lasts.is_some_and(|lasts| event.at >= when.plus(lasts));
                    if *vote == Vote::Approve && !lapsed {
                        yes.insert(name);
                        newest = newest.max(*seq);
                    }
                }
                prop_assert!(yes.len() >= quorum as usize, "{yes:?} of {quorum} at {at}");
                prop_assert!(told.surveyed.is_some_and(|seen| seen > newest), "no survey");
                if step.as_str() == "go" {
                    prop_assert!(told.looked.is_some_and(|seen| seen > newest), "no look");
                    let n = |value: &Option<Value>| value.as_ref().map(|value| value["n"].clone());
                    prop_assert_eq!(n(&told.shown), n(&told.seen));
                }
                let frozen = rules.frozen && event.at < Timestamp::from_unix_millis(1_200_000);
                prop_assert!(!frozen, "in a freeze");
            }
            EventKind::GateExpired { .. } => {
                prop_assert!(
                    told.expires_at.is_some_and(|lapses| event.at >= lapses),
                    "early"
                );
            }
            EventKind::StepStarted { .. } if matches!(step.as_str(), "after" | "end" | "z") => {
                prop_assert!(passed > 0, "{step} without approval");
            }
            _ => {}
        }
    }
    Ok(passed)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn a_gate_is_only_passed_by_enough_valid_votes(rules in rules(), moves in moves()) {
        let sim = play(&rules, &moves);
        passed_rightly(&rules, &sim.events)?;
        let mut again = RunState::new(Arc::clone(sim.state.plan())).expect("sound");
        for event in &sim.events {
            again.apply(event).expect("legal");
        }
        prop_assert!(again.nodes().eq(sim.state.nodes()));
        prop_assert_eq!(again.open_gates(), sim.state.open_gates());
        prop_assert_eq!(again.status(), sim.state.status());
    }

    #[test]
    fn a_run_that_is_voted_on_comes_to_its_end(rules in rules(), moves in moves()) {
        let mut sim = play(&rules, &moves);
        sim.files = None;
        // Afterwards everybody approves whenever it is quiet, nothing changes any more, time passes.
        for _ in 0..60 {
            sim.run(&|_, _, _| Ok(json!({ "n": 1_000 })), &mut |_| 0);
            for open in sim.state.open_gates() {
                for who in &PEOPLE[1..4] {
                    sim.vote_of(open.step.as_str(), who, Vote::Approve);
                }
            }
            if sim.state.outcome().is_some() {
                break;
            }
        }
        prop_assert!(sim.state.outcome().is_some(), "{:?}", sim.state.open_gates());
        passed_rightly(&rules, &sim.events)?;
    }
}

#[test]
fn the_generator_draws_what_the_properties_are_about() {
    use proptest::strategy::ValueTree;
    use proptest::test_runner::TestRunner;
    let mut runner = TestRunner::deterministic();
    let mut kinds: BTreeMap<&str, usize> = BTreeMap::new();
    for _ in 0..600 {
        let drawn = (rules(), moves()).new_tree(&mut runner).expect("drawn");
        let (rules, moves) = drawn.current();
        for event in &play(&rules, &moves).events {
            *kinds.entry(event.event.name()).or_default() += 1;
        }
    }
    for kind in [
        "gate_approved",
        "gate_rejected",
        "gate_expired",
        "gate_parked",
        "gate_voided",
        "gate_held",
        "gate_escalated",
        "gate_notified",
        "gate_read",
        "run_resumed",
    ] {
        assert!(
            kinds.get(kind).is_some_and(|n| *n >= 5),
            "{kind}: {kinds:?}"
        );
    }
}
