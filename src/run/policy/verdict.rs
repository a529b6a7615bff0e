//! Votes → verdict.

use std::collections::BTreeSet;

use crate::base::{Digest, Map, StepId, Timestamp, Value};
use crate::event::{Actor, Vote};
use crate::model::Risk;
use crate::plan::PlanPolicy;

/// A vote as the state keeps it.
#[derive(Debug, Clone, PartialEq)]
pub struct CastVote {
    /// What was said.
    pub vote: Vote,
    /// Who.
    pub actor: Actor,
    /// Why.
    pub comment: Option<String>,
    /// What the voter saw.
    pub plan_digest: Digest,
    /// When it was recorded.
    pub at: Timestamp,
    /// The round of the gate that it is about.
    pub round: u32,
    /// Where to start again from.
    pub to: Option<StepId>,
    /// What was filled in.
    pub inputs: Map<String, Value>,
    /// The voter's own name for the vote.
    pub id: Option<String>,
}

/// Who may vote at a gate, and what it takes.
#[derive(Debug, Clone, Copy)]
pub struct Electorate<'a> {
    /// The policy; `None`: anybody may vote, and one yes opens the gate.
    pub policy: Option<&'a PlanPolicy>,
    /// Which rule.
    pub risk: Risk,
    /// Who may not vote although a role says so: the starter, the author.
    pub excluded: &'a BTreeSet<String>,
    /// What the votes must be about: the run's plan and the gate's round.
    pub plan_digest: Digest,
    /// See `plan_digest`.
    pub round: u32,
}

/// What the votes amount to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// Not enough yet.
    Pending,
    /// Go on.
    Approved,
    /// Do not.
    Rejected,
    /// Start again from an earlier step.
    SentBack {
        /// That step.
        to: StepId,
    },
}

/// What is still missing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lack {
    /// How many.
    pub count: u32,
    /// Of which role.
    pub role: String,
    /// Who could still vote so.
    pub people: Vec<String>,
}

/// The verdict and what it rests on.
#[derive(Debug, Clone, PartialEq)]
pub struct Judgement {
    /// The verdict.
    pub verdict: Verdict,
    /// The votes that it rests on, by position, ascending.
    pub counted: Vec<usize>,
    /// The votes that do not count, by position, each with the reason in words.
    pub ignored: Vec<(usize, String)>,
    /// Of an approval: what was filled in.
    pub inputs: Map<String, Value>,
    /// While it is pending: what is missing.
    pub lacks: Vec<Lack>,
    /// When a vote that counts now lapses first.
    pub lapses_at: Option<Timestamp>,
}

/// Judges the votes at a gate, in the order in which they were recorded.
pub fn verdict(electorate: &Electorate<'_>, votes: &[CastVote], _now: Timestamp) -> Judgement {
    let counted: Vec<usize> = (0..votes.len())
        .filter(|&i| votes[i].plan_digest == electorate.plan_digest)
        .collect();
    let any = |vote| counted.iter().any(|&i| votes[i].vote == vote);
    let verdict = if any(Vote::Reject) {
        Verdict::Rejected
    } else if any(Vote::Approve) {
        Verdict::Approved
    } else {
        Verdict::Pending
    };
    Judgement {
        verdict,
        counted,
        ignored: Vec::new(),
        inputs: Map::new(),
        lacks: Vec::new(),
        lapses_at: None,
    }
}
