//! Generated votes against an oracle that shares no code with the implementation: it tries every
//! assignment of people to places, and reads the votes from the last to the first.

use std::collections::BTreeSet;
use std::time::Duration;

use proptest::prelude::*;
use serde_json::json;

use super::tests_of_verdict::{at, cast, policy, the_plan};
use super::verdict::{CastVote, Electorate, Judgement, Verdict, verdict};
use crate::base::{Digest, HumanDuration, StepId};
use crate::event::{Actor, Vote};
use crate::model::Risk;
use crate::plan::PlanPolicy;

const PEOPLE: [&str; 7] = ["ada", "bob", "cem", "dan", "eve", "fay", "mallory"];

#[derive(Debug, Clone)]
struct Case {
    policy: Option<PlanPolicy>,
    excluded: BTreeSet<String>,
    votes: Vec<CastVote>,
    now: i64,
}

impl Case {
    fn judge(&self) -> Judgement {
        let electorate = Electorate {
            policy: self.policy.as_ref(),
            risk: Risk::High,
            excluded: &self.excluded,
            plan_digest: the_plan(),
            round: 2,
        };
        verdict(&electorate, &self.votes, at(self.now))
    }

    fn with(&self, votes: Vec<CastVote>) -> Self {
        Self {
            votes,
            ..self.clone()
        }
    }

    fn may_count(&self, vote: &CastVote) -> bool {
        let allowed = match &self.policy {
            None => true,
            Some(policy) => {
                let rule = &policy.rules[&Risk::High];
                let roles: Vec<&String> = rule.quorum.iter().flat_map(|q| &q.members).collect();
                roles.contains(&&vote.actor.name)
                    && !self.excluded.iter().any(|name| *name == vote.actor.name)
                    && (vote.actor.verified || !policy.require_signatures)
            }
        };
        allowed && vote.round == 2 && vote.plan_digest == the_plan()
    }

    /// The approvals, by person, and whoever ends it.
    fn oracle(&self) -> (&'static str, BTreeSet<usize>) {
        let mut last_words: Vec<usize> = Vec::new();
        for i in (0..self.votes.len()).rev() {
            let vote = &self.votes[i];
            let same_vote_before = self.votes[..i].iter().any(|other| {
                self.may_count(other)
                    && other.actor.name == vote.actor.name
                    && other.id.is_some()
                    && other.id == vote.id
            });
            let said_more = last_words
                .iter()
                .any(|&later| self.votes[later].actor.name == vote.actor.name);
            if self.may_count(vote) && !same_vote_before && !said_more {
                last_words.push(i);
            }
        }
        let of = |vote| -> BTreeSet<usize> {
            let those = last_words.iter().filter(|&&i| self.votes[i].vote == vote);
            those.copied().collect()
        };
        if !of(Vote::Reject).is_empty() {
            return ("rejected", of(Vote::Reject));
        }
        let backs = of(Vote::SendBack);
        if let Some(first) = backs.first() {
            let same = |i: &usize| self.votes[*i].to == self.votes[*first].to;
            return ("sent back", backs.iter().copied().filter(same).collect());
        }
        let mut fresh = of(Vote::Approve);
        if let Some(limit) = self
            .policy
            .as_ref()
            .and_then(|p| p.rules[&Risk::High].vote_expires)
        {
            fresh.retain(|&i| {
                let age = self.now * 1000 - self.votes[i].at.unix_millis();
                age < i64::try_from(limit.0.as_millis()).expect("small")
            });
        }
        // As if the votes came in one by one: which values reached the quorum first?
        for upto in 0..self.votes.len() {
            let so_far: BTreeSet<usize> = fresh.iter().copied().filter(|&i| i <= upto).collect();
            for i in &so_far {
                let same = |j: &usize| self.votes[*j].inputs == self.votes[*i].inputs;
                let group: Vec<usize> = so_far.iter().copied().filter(same).collect();
                if self.suffices(&group) {
                    return ("approved", fresh.iter().copied().filter(same).collect());
                }
            }
        }
        ("pending", BTreeSet::new())
    }

    fn suffices(&self, group: &[usize]) -> bool {
        let names: Vec<&str> = group
            .iter()
            .map(|&i| self.votes[i].actor.name.as_str())
            .collect();
        let Some(policy) = &self.policy else {
            return !names.is_empty();
        };
        let mut places: Vec<&[String]> = Vec::new();
        for item in &policy.rules[&Risk::High].quorum {
            for _ in 0..item.count {
                places.push(&item.members);
            }
        }
        every_place_taken(&places, &names)
    }
}

/// Tries everybody in the first place, and so on.
fn every_place_taken(places: &[&[String]], people: &[&str]) -> bool {
    let Some((first, others)) = places.split_first() else {
        return true;
    };
    people.iter().enumerate().any(|(i, name)| {
        let mut left = people.to_vec();
        left.remove(i);
        first.iter().any(|member| member == name) && every_place_taken(others, &left)
    })
}

fn vote() -> impl Strategy<Value = CastVote> {
    (
        (
            0..PEOPLE.len(),
            prop_oneof![
                12 => Just(Vote::Approve),
                1 => Just(Vote::Reject),
                2 => Just(Vote::Withdraw),
                1 => Just(Vote::SendBack),
            ],
        ),
        prop::bool::weighted(0.85),
        prop_oneof![9 => Just(2u32), 1 => Just(1u32), 1 => Just(3u32)],
        prop::bool::weighted(0.9),
        0i64..30,
        prop_oneof![5 => Just(0u8), 1 => Just(1u8)],
        prop::option::weighted(0.3, 0u8..4),
        0u8..2,
    )
        .prop_map(
            |((who, vote), verified, round, plan, when, filled, id, to)| {
                let plain = cast(PEOPLE[who], vote);
                CastVote {
                    actor: Actor {
                        verified,
                        ..plain.actor
                    },
                    round,
                    plan_digest: if plan {
                        plain.plan_digest
                    } else {
                        Digest::of_bytes(b"no")
                    },
                    at: at(when),
                    inputs: json!({ "n": filled })
                        .as_object()
                        .cloned()
                        .expect("an object"),
                    id: id.map(|id| id.to_string()),
                    to: (vote == Vote::SendBack)
                        .then(|| StepId::new(["a", "b"][usize::from(to)]).expect("valid")),
                    ..plain
                }
            },
        )
}

fn drawn_policy() -> impl Strategy<Value = PlanPolicy> {
    let item = (1u32..3, prop::collection::btree_set(0usize..6, 1..5));
    (
        prop::collection::vec(item, 1..4),
        prop::bool::ANY,
        prop::option::of(5u64..40),
    )
        .prop_map(|(items, signed, lasts)| {
            let members: Vec<Vec<&str>> = items
                .iter()
                .map(|(_, members)| members.iter().map(|&i| PEOPLE[i]).collect())
                .collect();
            let quorum: Vec<(u32, &str, &[&str])> = items
                .iter()
                .zip(&members)
                .map(|((count, _), members)| (*count, "role", members.as_slice()))
                .collect();
            let mut policy = policy(&quorum);
            policy.require_signatures = signed;
            let rule = policy.rules.get_mut(&Risk::High).expect("there");
            rule.vote_expires = lasts.map(|s| HumanDuration(Duration::from_secs(s)));
            policy
        })
}

fn case() -> impl Strategy<Value = Case> {
    (
        prop::option::weighted(0.9, drawn_policy()),
        prop::collection::btree_set(prop::sample::select(&PEOPLE[..]), 0..2),
        prop::collection::vec(vote(), 0..12),
        0i64..60,
    )
        .prop_map(|(policy, excluded, mut votes, now)| {
            votes.sort_by_key(|vote| vote.at);
            Case {
                policy,
                excluded: excluded.into_iter().map(str::to_owned).collect(),
                votes,
                now: now.max(29),
            }
        })
}

fn word(verdict: &Verdict) -> &'static str {
    match verdict {
        Verdict::Pending => "pending",
        Verdict::Approved => "approved",
        Verdict::Rejected => "rejected",
        Verdict::SentBack { .. } => "sent back",
    }
}

fn approved(case: &Case) -> bool {
    case.judge().verdict == Verdict::Approved
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1500, ..ProptestConfig::default() })]

    #[test]
    fn the_oracle_says_the_same(case in case()) {
        let judgement = case.judge();
        let (wanted, counted) = case.oracle();
        prop_assert_eq!(word(&judgement.verdict), wanted);
        if wanted != "pending" {
            prop_assert_eq!(&judgement.counted.iter().copied().collect::<BTreeSet<_>>(), &counted);
        }
        if let Verdict::SentBack { to } = &judgement.verdict {
            prop_assert_eq!(Some(to), case.votes[judgement.counted[0]].to.as_ref());
        }
        prop_assert_eq!(judgement.lacks.is_empty(), wanted != "pending");
        if wanted == "approved" {
            prop_assert_eq!(&judgement.inputs, &case.votes[judgement.counted[0]].inputs);
        }
    }

    #[test]
    fn no_vote_is_counted_twice_and_all_are_accounted_for(case in case()) {
        let judgement = case.judge();
        let mut names = BTreeSet::new();
        for &i in &judgement.counted {
            prop_assert!(names.insert(case.votes[i].actor.name.clone()), "one vote per person");
            prop_assert!(case.may_count(&case.votes[i]));
        }
        prop_assert!(judgement.counted.is_sorted() && judgement.ignored.is_sorted());
        for i in 0..case.votes.len() {
            let reasons = judgement.ignored.iter().filter(|(at, _)| *at == i).count();
            let here = reasons + usize::from(judgement.counted.contains(&i));
            let silent = usize::from(case.votes[i].vote == Vote::Withdraw);
            prop_assert!(here <= 1 && here + silent >= 1, "vote {}", i);
        }
    }

    #[test]
    fn the_order_of_people_does_not_matter(case in case(), keys in prop::collection::vec(any::<u8>(), PEOPLE.len())) {
        // Each person's own votes stay in their order.
        let mut votes = case.votes.clone();
        votes.sort_by_key(|vote| {
            let who = PEOPLE.iter().position(|name| *name == vote.actor.name).expect("drawn");
            (keys[who], who)
        });
        let other = case.with(votes);
        prop_assert_eq!(word(&case.judge().verdict), word(&other.judge().verdict));
    }

    #[test]
    fn taking_a_yes_away_never_approves(case in case(), which in any::<prop::sample::Index>()) {
        prop_assume!(!case.votes.is_empty());
        // What is filled in may differ no more: a changed mind is as good as a withdrawal.
        let mut votes = case.votes.clone();
        votes.iter_mut().for_each(|vote| vote.inputs.clear());
        let case = case.with(votes);
        let gone = case.votes[which.index(case.votes.len())].clone();
        prop_assume!(gone.vote == Vote::Approve);
        // A copy of a vote goes with it, as does what was ignored for having its id.
        let without = case.votes.iter().filter(|vote| {
            **vote != gone && (gone.id.is_none() || (&vote.actor.name, &vote.id) != (&gone.actor.name, &gone.id))
        });
        let without = case.with(without.cloned().collect());
        prop_assume!(case.votes.iter().all(|vote| vote.vote == Vote::Approve || without.votes.contains(vote)));
        prop_assert!(approved(&case) || !approved(&without));
    }

    #[test]
    fn copies_change_nothing(case in case(), which in any::<prop::sample::Index>(), later in 0usize..12) {
        prop_assume!(!case.votes.is_empty());
        let mut votes = case.votes.clone();
        let i = which.index(votes.len());
        votes[i].id = Some("the one".to_owned());
        let copy = votes[i].clone();
        let once = case.with(votes.clone());
        votes.insert((i + 1 + later).min(votes.len()), copy);
        let twice = case.with(votes);
        let (once, twice) = (once.judge(), twice.judge());
        prop_assert_eq!(once.verdict, twice.verdict);
        prop_assert_eq!(once.inputs, twice.inputs);
        prop_assert_eq!(once.lacks, twice.lacks);
        prop_assert_eq!(once.lapses_at, twice.lapses_at);
    }

    #[test]
    fn a_vote_that_may_not_count_changes_nothing(case in case(), extra in vote(), place in any::<prop::sample::Index>()) {
        prop_assume!(!case.may_count(&extra));
        let mut votes = case.votes.clone();
        votes.insert(place.index(votes.len() + 1), extra);
        let other = case.with(votes).judge();
        let alone = case.judge();
        prop_assert_eq!(alone.verdict, other.verdict);
        prop_assert_eq!(alone.lacks, other.lacks);
        prop_assert_eq!(alone.inputs, other.inputs);
    }

    #[test]
    fn time_alone_never_approves(case in case(), more in 0i64..100) {
        let later = Case { now: case.now + more, ..case.clone() };
        prop_assert!(approved(&case) || !approved(&later));
        let judgement = case.judge();
        // Before the first vote lapses nothing changes.
        if let Some(lapses) = judgement.lapses_at {
            let just_before = Case { now: lapses.unix_millis() / 1000 - 1, ..case.clone() };
            if just_before.now >= case.now {
                let then = just_before.judge();
                prop_assert_eq!(judgement.verdict, then.verdict);
                prop_assert_eq!(judgement.counted, then.counted);
                prop_assert_eq!(judgement.lacks, then.lacks);
            }
        }
    }

    #[test]
    fn those_who_are_named_can_give_what_is_missing(case in case()) {
        let judgement = case.judge();
        prop_assume!(judgement.verdict == Verdict::Pending && case.policy.is_some());
        let everybody: BTreeSet<String> = judgement.lacks.iter().flat_map(|l| l.people.clone()).collect();
        let inputs = judgement.counted.first().map(|&i| case.votes[i].inputs.clone()).unwrap_or_default();
        let mut votes = case.votes.clone();
        votes.extend(everybody.iter().map(|name| CastVote {
            at: at(case.now),
            inputs: inputs.clone(),
            ..cast(name, Vote::Approve)
        }));
        let after = case.with(votes).judge();
        // Possible at all: everybody who may vote says yes.
        let all = case.with(PEOPLE.iter().map(|name| CastVote { at: at(case.now), ..cast(name, Vote::Approve) }).collect());
        prop_assert_eq!(after.verdict == Verdict::Approved, approved(&all));
    }
}

#[test]
fn a_thousand_votes_of_fifty_people_are_judged() {
    let names: Vec<String> = (0..50).map(|i| format!("p{i}")).collect();
    let members: Vec<&str> = names.iter().map(String::as_str).collect();
    let policy = policy(&[
        (20, "a", &members[..30]),
        (20, "b", &members[10..]),
        (10, "c", &members),
    ]);
    let votes = (0..1000).map(|i| cast(&names[i % 50], Vote::Approve));
    let case = Case {
        policy: Some(policy),
        excluded: BTreeSet::new(),
        votes: votes.collect(),
        now: 0,
    };
    let judgement = case.judge();
    assert_eq!(judgement.verdict, Verdict::Approved);
    assert_eq!(judgement.counted, Vec::from_iter(950..1000));
    assert_eq!(judgement.ignored.len(), 950);
}
