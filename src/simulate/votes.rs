//! Who votes at the gates of a simulated run: the script of the case, made into single votes.

use std::collections::BTreeSet;
use std::time::Duration;

use super::driver::{BEGIN, names};
use super::steps::PlanSteps;
use crate::base::{Digest, Map, Span, Spanned, StepId};
use crate::event::{Actor, Vote};
use crate::language::TestVote;
use crate::model::Risk;
use crate::plan::{Plan, PlanPolicy};
use crate::run::{CastVote, Electorate, Verdict, verdict};

/// Who acts when nobody is named.
pub(super) const TESTER: &str = "tester";

/// Somebody at the simulator.
pub(super) fn actor(name: &str, verified: bool) -> Actor {
    Actor {
        name: name.to_owned(),
        host: "simulator".to_owned(),
        verified,
    }
}

/// The votes of a case, each with a name: where a policy says who may vote, a vote without one is cast
/// by as many as are needed. A gate that the policy demands is approved when the case does not say more.
pub(super) fn votes(plan: &Plan, steps: &PlanSteps<'_>, scripted: &[TestVote]) -> Vec<TestVote> {
    let mut all: Vec<TestVote> = scripted
        .iter()
        .flat_map(|vote| named(plan, steps, vote))
        .collect();
    for step in plan.steps.iter() {
        let demanded = step.gate.as_ref().is_some_and(|gate| gate.demanded);
        if demanded
            && !scripted
                .iter()
                .any(|vote| names(&vote.gate.value, &step.id))
        {
            all.extend(named(plan, steps, &unnamed(&step.id, Vote::Approve)));
        }
    }
    all
}

/// Every vote at a gate is this one instead; of a gate that nobody votes on there is one.
pub(super) fn all_votes(
    plan: &Plan,
    steps: &PlanSteps<'_>,
    votes: &[TestVote],
    gate: &StepId,
    vote: Vote,
) -> Vec<TestVote> {
    let (mut at_gate, mut others): (Vec<TestVote>, Vec<TestVote>) = votes
        .iter()
        .cloned()
        .partition(|cast| names(&cast.gate.value, gate));
    if at_gate.is_empty() {
        at_gate = named(plan, steps, &unnamed(gate, vote));
    }
    for cast in &mut at_gate {
        cast.vote = vote;
    }
    others.extend(at_gate);
    others
}

fn unnamed(gate: &StepId, vote: Vote) -> TestVote {
    TestVote {
        gate: Spanned::new(gate.clone(), Span::default()),
        vote,
        by: None,
        to: None,
        inputs: Default::default(),
        after: Duration::ZERO,
        comment: None,
    }
}

fn named(plan: &Plan, steps: &PlanSteps<'_>, vote: &TestVote) -> Vec<TestVote> {
    let by = |name: &str| TestVote {
        by: Some(name.to_owned()),
        ..vote.clone()
    };
    let Some(policy) = plan.policy.as_deref().filter(|_| vote.by.is_none()) else {
        return vec![by(vote.by.as_deref().unwrap_or(TESTER))];
    };
    let gate = steps.get(&vote.gate.value);
    let asked = gate.and_then(|known| known.step.gate.as_deref());
    let people = enough(policy, asked.map_or(plan.runbook.risk, |gate| gate.risk));
    match vote.vote {
        Vote::Approve if !people.is_empty() => people.iter().map(|name| by(name)).collect(),
        // One is enough for these.
        _ => vec![by(people.first().map_or(TESTER, String::as_str))],
    }
}

/// So many people as a quorum asks for; as far as there are any.
fn enough(policy: &PlanPolicy, risk: Risk) -> Vec<String> {
    let excluded = BTreeSet::from([TESTER.to_owned()]);
    let nothing = BTreeSet::new();
    let plan_digest = Digest::of_bytes(b"");
    let electorate = Electorate {
        policy: Some(policy),
        risk,
        excluded: match policy.self_approval {
            true => &nothing,
            false => &excluded,
        },
        plan_digest,
        round: 1,
    };
    let mut votes: Vec<CastVote> = Vec::new();
    loop {
        let judgement = verdict(&electorate, &votes, BEGIN);
        let next = judgement.lacks.iter().find_map(|lack| lack.people.first());
        match next.filter(|_| judgement.verdict == Verdict::Pending) {
            // Each person once, so this ends.
            Some(name) if votes.iter().all(|vote| vote.actor.name != *name) => {
                votes.push(CastVote {
                    vote: Vote::Approve,
                    actor: actor(name, true),
                    comment: None,
                    plan_digest,
                    at: BEGIN,
                    round: 1,
                    to: None,
                    inputs: Map::new(),
                    id: None,
                });
            }
            _ => return votes.into_iter().map(|vote| vote.actor.name).collect(),
        }
    }
}
