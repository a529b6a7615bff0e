//! Votes as they come in: whose they are, and whether they are what they claim to be.

use crate::audit::verify;
use crate::base::StepId;
use crate::event::{Actor, Ballot, EventKind, SignedVote, VOTE_NAMESPACE, VoteStatement};
use crate::run::{CastVote, RunState};

/// A vote as somebody sent it.
#[derive(Debug, Clone)]
pub struct Incoming {
    /// The gate.
    pub step: StepId,
    /// Who says to have sent it.
    pub actor: Actor,
    /// What was said.
    pub ballot: Ballot,
    /// The request of the store that it came from.
    pub request: Option<u64>,
}

/// Why a vote is not recorded.
#[derive(Debug, PartialEq, Eq)]
pub enum NotHeard {
    /// The gate is closed, or the same vote is on record already: nothing to speak of.
    Late,
    /// It claims what is not so; somebody should know.
    Forged(String),
}

/// The event that records a vote. Only a good signature makes it a verified one, and under the name
/// that the policy has for the key, whatever the sender says of itself.
///
/// # Errors
/// [`NotHeard`] when it changes nothing, or claims what is not so.
pub fn hear(state: &RunState, incoming: Incoming) -> Result<EventKind, NotHeard> {
    let Incoming {
        step,
        mut actor,
        mut ballot,
        request,
    } = incoming;
    actor.verified = false;
    let Some(electorate) = state.electorate(&step) else {
        return Err(NotHeard::Late);
    };
    match (&ballot.signed, electorate.policy) {
        (None, _) => {}
        // Without a policy nobody's key is known: it is a vote like any other.
        (Some(_), None) => ballot.signed = None,
        (Some(signed), Some(policy)) => {
            let voter = checked(state, &step, &ballot, signed).and_then(|statement| {
                let person = policy.people.get(&statement.voter).ok_or_else(|| {
                    let voter = &statement.voter;
                    format!("claims to be {voter}'s, whom the policy does not name")
                })?;
                let text = signed.statement.as_bytes();
                verify(&person.ssh_keys, VOTE_NAMESPACE, text, &signed.signature).map_err(
                    |error| {
                        let voter = &statement.voter;
                        format!("claims to be {voter}'s, but its signature is wrong: {error}")
                    },
                )?;
                Ok(statement.voter)
            });
            match voter {
                Ok(voter) => {
                    actor.name = voter;
                    actor.verified = true;
                }
                Err(why) => {
                    return Err(NotHeard::Forged(format!("a vote for gate `{step}` {why}")));
                }
            }
        }
    }
    if is_replay(state, &step, &ballot, &actor) {
        return Err(NotHeard::Late);
    }
    Ok(ballot.cast(step, actor, request))
}

/// Whether this vote is on record at the gate. The id alone does not make it the same: somebody else
/// could have taken the id first, to keep the true vote out.
fn is_replay(state: &RunState, step: &StepId, ballot: &Ballot, actor: &Actor) -> bool {
    let votes = state.node(step).map_or(&[][..], |node| &node.votes);
    let same = |vote: &CastVote| {
        vote.id == ballot.id
            && vote.actor.name == actor.name
            && vote.actor.verified == actor.verified
    };
    ballot.id.is_some() && votes.iter().any(same)
}

/// What was signed, if it says the same as the vote that carries it.
fn checked(
    state: &RunState,
    step: &StepId,
    ballot: &Ballot,
    signed: &SignedVote,
) -> Result<VoteStatement, String> {
    let statement: VoteStatement = serde_json::from_str(&signed.statement)
        .map_err(|error| format!("carries a signed text that is no vote: {error}"))?;
    let plan = state.plan();
    let same = [
        ("format", statement.format == 1),
        ("run", Some(statement.run) == state.run()),
        ("runbook", statement.runbook == plan.runbook.name),
        (
            "environment",
            statement.environment == plan.environment.name,
        ),
        ("gate", statement.gate.as_ref() == Some(step)),
        ("round", statement.round == ballot.round),
        ("plan", statement.plan_digest == ballot.plan_digest),
        ("vote", statement.vote == Some(ballot.vote)),
        ("verdict", statement.verdict.is_none()),
        ("step to go back to", statement.to == ballot.to),
        ("inputs", statement.inputs == ballot.inputs),
        ("comment", statement.comment == ballot.comment),
        ("id", Some(&statement.id) == ballot.id.as_ref()),
    ];
    match same.iter().find(|(_, same)| !same) {
        None => Ok(statement),
        Some((what, _)) => {
            let voter = &statement.voter;
            Err(format!(
                "claims to be {voter}'s, but {voter} signed another {what}"
            ))
        }
    }
}
