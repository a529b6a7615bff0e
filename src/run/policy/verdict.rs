//! Votes → verdict.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use super::quorum::Tally;
use crate::base::{Digest, Map, StepId, Timestamp, Value};
use crate::event::{Actor, Vote};
use crate::model::Risk;
use crate::plan::{PlanPolicy, PlanRule};

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
    /// Who could still vote so, sorted; without a policy, when anybody may, nobody by name.
    pub people: Vec<String>,
}

impl fmt::Display for Lack {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} more of {}", self.count, self.role)?;
        match self.people.as_slice() {
            [] => Ok(()),
            people => write!(f, " ({})", people.join(", ")),
        }
    }
}

/// The verdict and what it rests on.
#[derive(Debug, Clone, PartialEq)]
pub struct Judgement {
    /// The verdict.
    pub verdict: Verdict,
    /// The votes that it rests on, by position, ascending. While it is pending: the approvals that
    /// come nearest to the quorum.
    pub counted: Vec<usize>,
    /// The votes that do not count, by position, ascending, each with the reason in words. A withdrawal that
    /// took effect is neither here nor in `counted`.
    pub ignored: Vec<(usize, String)>,
    /// Of an approval: what was filled in.
    pub inputs: Map<String, Value>,
    /// While it is pending: what is missing; never empty then.
    pub lacks: Vec<Lack>,
    /// When a vote that counts now lapses first; votes that end the gate do not lapse.
    pub lapses_at: Option<Timestamp>,
}

impl<'a> Electorate<'a> {
    /// The rule that the gate is subject to.
    fn rule(&self) -> Option<&'a PlanRule> {
        self.policy?.rules.get(&self.risk)
    }

    /// Why a vote of this person counts for nothing here, in words; `None` when it counts.
    ///
    /// People are known by their exact login name.
    pub fn refusal(&self, actor: &Actor) -> Option<String> {
        let policy = self.policy?;
        let name = &actor.name;
        let Some(rule) = self.rule() else {
            return Some(no_rule(self.risk));
        };
        if !rule.quorum.iter().any(|item| item.members.contains(name)) {
            let roles: BTreeSet<&str> = rule.quorum.iter().map(|q| q.role.as_str()).collect();
            let roles = Vec::from_iter(roles).join(", ");
            return Some(format!(
                "`{name}` is in none of the roles that may vote here ({roles})"
            ));
        }
        if self.excluded.contains(name) {
            return Some(format!(
                "`{name}` may not vote on this run: the policy excludes whoever started it or changed its runbook last"
            ));
        }
        if policy.require_signatures && !actor.verified {
            return Some(format!(
                "it has no good signature of `{name}`, and the policy demands one"
            ));
        }
        None
    }

    /// Why a vote counts for nothing, whatever else was voted.
    fn objection(&self, cast: &CastVote) -> Option<String> {
        if cast.plan_digest != self.plan_digest {
            return Some("it is about another plan than that of this run".to_owned());
        }
        if cast.round != self.round {
            return Some(format!(
                "it is about round {} of the gate, which is in round {}",
                cast.round, self.round
            ));
        }
        self.refusal(&cast.actor)
    }

    /// When an approval stops counting.
    fn lapses_at(&self, cast: &CastVote) -> Option<Timestamp> {
        let lasts = self.rule()?.vote_expires?;
        Some(cast.at.plus(lasts.0))
    }
}

fn no_rule(risk: Risk) -> String {
    format!("the policy has no rule for gates of risk {}", risk.as_str())
}

/// Judges the votes at a gate, in the order in which they were recorded.
///
/// - A vote counts when it is about this plan and this round, of somebody who may vote (see
///   [`Electorate::refusal`]), not on record already under the same id of the same person, and the
///   last such vote of that person. Of these an approval counts until it lapses; the others do not lapse.
/// - One reject rejects. Else one send-back sends back, to the step of the first recorded. Else the
///   approvals that fill in the same values add up: they approve when they meet every item of the
///   quorum, each person in one place. If several groups do, the one that did first.
/// - Without a policy anybody may vote, and one approval suffices.
pub fn verdict(electorate: &Electorate<'_>, votes: &[CastVote], now: Timestamp) -> Judgement {
    verdict_where(electorate, votes, now, &|_| Ok(()))
}

/// As [`verdict`], where a send-back counts only if the run can go back to its step; else it is
/// ignored with the reason given, but still takes back what its voter said before: whoever asks for
/// another try does not approve.
pub fn verdict_where(
    electorate: &Electorate<'_>,
    votes: &[CastVote],
    now: Timestamp,
    can_send_back: &dyn Fn(&StepId) -> Result<(), String>,
) -> Judgement {
    let mut sorted = Sorted::of(electorate, votes, now, can_send_back);
    match closing(votes, &sorted.standing) {
        Some((verdict, by)) => {
            let name = &votes[by].actor.name;
            let reason = match &verdict {
                Verdict::SentBack { to } => format!("`{name}` sent the run back to `{to}`"),
                _ => format!("`{name}` rejected"),
            };
            let says_so = |cast: &CastVote| match &verdict {
                Verdict::SentBack { to } => {
                    cast.vote == Vote::SendBack && cast.to.as_ref() == Some(to)
                }
                _ => cast.vote == Vote::Reject,
            };
            let (counted, other): (Vec<usize>, Vec<usize>) =
                sorted.standing.iter().partition(|&&i| says_so(&votes[i]));
            let overruled = other.into_iter().map(|i| (i, reason.clone()));
            sorted.ignored.extend(overruled);
            sorted.judgement(verdict, counted)
        }
        None => approvals(electorate, votes, sorted),
    }
}

/// What ends the gate whatever others say, and by which vote.
fn closing(votes: &[CastVote], standing: &[usize]) -> Option<(Verdict, usize)> {
    let first = |vote| standing.iter().copied().find(|&i| votes[i].vote == vote);
    if let Some(i) = first(Vote::Reject) {
        return Some((Verdict::Rejected, i));
    }
    let i = first(Vote::SendBack)?;
    let to = votes[i].to.clone()?;
    Some((Verdict::SentBack { to }, i))
}

/// The votes taken apart.
struct Sorted {
    /// Those that say something now: of each person at most one, ascending; no withdrawals.
    standing: Vec<usize>,
    /// The others, but withdrawals.
    ignored: Vec<(usize, String)>,
}

impl Sorted {
    fn of(
        electorate: &Electorate<'_>,
        votes: &[CastVote],
        now: Timestamp,
        can_send_back: &dyn Fn(&StepId) -> Result<(), String>,
    ) -> Self {
        let mut ignored = Vec::new();
        let mut known_ids = BTreeSet::new();
        let mut last: BTreeMap<&str, usize> = BTreeMap::new();
        for (i, cast) in votes.iter().enumerate() {
            let name = cast.actor.name.as_str();
            if let Some(reason) = electorate.objection(cast) {
                ignored.push((i, reason));
                continue;
            }
            if let Some(id) = cast.id.as_deref()
                // Only of the same person: nobody can take the place of another's vote with its id.
                && !known_ids.insert((name, id))
            {
                ignored.push((i, format!("the same vote (id {id}) is on record already")));
                continue;
            }
            if let Some(earlier) = last.insert(name, i)
                && votes[earlier].vote != Vote::Withdraw
            {
                ignored.push((earlier, format!("`{name}` voted again later")));
            }
        }
        let mut standing = Vec::new();
        for i in last.into_values() {
            let cast = &votes[i];
            let objection = match (cast.vote, &cast.to) {
                (Vote::Withdraw, _) => continue,
                (Vote::Reject, _) => None,
                (Vote::SendBack, Some(to)) => can_send_back(to).err(),
                (Vote::SendBack, None) => {
                    Some("it does not say from which step to start again".to_owned())
                }
                (Vote::Approve, _) => electorate
                    .lapses_at(cast)
                    .filter(|at| now >= *at)
                    .map(|at| format!("it lapsed at {at}; vote again")),
            };
            match objection {
                Some(reason) => ignored.push((i, reason)),
                None => standing.push(i),
            }
        }
        standing.sort_unstable();
        Self { standing, ignored }
    }

    fn judgement(mut self, verdict: Verdict, counted: Vec<usize>) -> Judgement {
        self.ignored.sort();
        Judgement {
            verdict,
            counted,
            ignored: self.ignored,
            inputs: Map::new(),
            lacks: Vec::new(),
            lapses_at: None,
        }
    }
}

/// Approvals that fill in the same values.
struct Group<'a> {
    inputs: &'a Map<String, Value>,
    votes: Vec<usize>,
    tally: Option<Tally<'a>>,
    /// By which vote it met the quorum.
    met_by: Option<usize>,
}

impl<'a> Group<'a> {
    fn new(electorate: &Electorate<'a>, inputs: &'a Map<String, Value>) -> Self {
        let rule = electorate.policy.and(electorate.rule());
        Self {
            inputs,
            votes: Vec::new(),
            tally: rule.map(|rule| Tally::new(&rule.quorum)),
            met_by: None,
        }
    }

    fn add(&mut self, i: usize, name: &'a str) {
        self.votes.push(i);
        let met = match &mut self.tally {
            Some(tally) => {
                tally.add(name);
                tally.is_met()
            }
            // Only without a policy does a vote get here without a rule.
            None => true,
        };
        if met {
            self.met_by.get_or_insert(i);
        }
    }

    /// The greater, the nearer to the quorum.
    fn progress(&self) -> usize {
        self.tally.as_ref().map_or(0, Tally::placed)
    }
}

/// Nobody closes the gate: do the approvals open it?
fn approvals<'a>(
    electorate: &Electorate<'a>,
    votes: &'a [CastVote],
    mut sorted: Sorted,
) -> Judgement {
    let mut groups: Vec<Group<'a>> = Vec::new();
    for &i in &sorted.standing {
        let CastVote { inputs, actor, .. } = &votes[i];
        match groups.iter_mut().find(|group| group.inputs == inputs) {
            Some(group) => group.add(i, &actor.name),
            None => {
                let mut group = Group::new(electorate, inputs);
                group.add(i, &actor.name);
                groups.push(group);
            }
        }
    }
    let met = (0..groups.len())
        .filter_map(|g| Some((groups[g].met_by?, g)))
        .min()
        .map(|(_, g)| g);
    // Of equals the one that began first.
    let best = met.or_else(|| {
        (0..groups.len()).max_by_key(|&g| (groups[g].progress(), std::cmp::Reverse(g)))
    });
    let none = Map::new();
    let chosen = match best {
        Some(g) => groups.swap_remove(g),
        None => Group::new(electorate, &none),
    };
    for i in groups.into_iter().flat_map(|group| group.votes) {
        let reason = "it fills in other values than the others that approve: they must agree";
        sorted.ignored.push((i, reason.to_owned()));
    }
    let lapses_at = chosen
        .votes
        .iter()
        .filter_map(|&i| electorate.lapses_at(&votes[i]))
        .min();
    let approved = chosen.met_by.is_some();
    let verdict = if approved {
        Verdict::Approved
    } else {
        Verdict::Pending
    };
    Judgement {
        lapses_at,
        inputs: if approved {
            chosen.inputs.clone()
        } else {
            Map::new()
        },
        lacks: if approved {
            Vec::new()
        } else {
            lacks(electorate, chosen.tally)
        },
        ..sorted.judgement(verdict, chosen.votes)
    }
}

fn lacks(electorate: &Electorate<'_>, tally: Option<Tally<'_>>) -> Vec<Lack> {
    let nobody = |role: String| {
        vec![Lack {
            count: 1,
            role,
            people: Vec::new(),
        }]
    };
    match (electorate.policy, tally) {
        (None, _) => nobody("anybody".to_owned()),
        (Some(_), Some(tally)) if !tally.is_empty() => tally.lacks(electorate.excluded),
        (Some(_), _) => nobody(format!("nobody: {}", no_rule(electorate.risk))),
    }
}
