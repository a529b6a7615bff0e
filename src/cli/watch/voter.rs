//! The person at the terminal as a voter.

use crate::base::{Clock as _, Map, StepId, Value};
use crate::cli::commands::seal;
use crate::cli::context::Context;
use crate::event::{Actor, Ballot, Vote};
use crate::report::{ignored_vote, with_vote};
use crate::run::{GateView, RunState};
use crate::settings::{Identity, SystemClock};

/// What somebody says at a gate.
pub(super) struct Say {
    pub(super) vote: Vote,
    pub(super) comment: Option<String>,
    pub(super) to: Option<StepId>,
    pub(super) inputs: Map<String, Value>,
}

impl Say {
    pub(super) fn new(vote: Vote) -> Self {
        Self {
            vote,
            comment: None,
            to: None,
            inputs: Map::new(),
        }
    }
}

/// Who the person at the terminal is at this gate, if a vote of theirs would count there.
///
/// # Errors
/// Why it would not, in words to be followed by what others may type.
pub(super) fn may_vote(
    context: &Context,
    state: &RunState,
    gate: &GateView,
) -> Result<Identity, String> {
    let actor = &context.settings.actor;
    let unsigned = || Identity {
        actor: actor.clone(),
        key: None,
        login: actor.name.clone(),
    };
    let Some(electorate) = state.electorate(&gate.step) else {
        return Ok(unsigned());
    };
    let Some(policy) = electorate.policy else {
        return Ok(unsigned());
    };
    let me = context
        .settings
        .voting_keys(None)
        .and_then(|keys| keys.identify(actor, Some(&policy.people)))
        .map_err(|error| error.to_string())?;
    let me = match &me.key {
        // Two readers of one terminal would take each other's letters.
        Some(key) if !key.signs_alone() && policy.require_signatures => {
            return Err(format!(
                "votes must be signed, and the key {} asks for its passphrase, which cannot be done here",
                key.shown
            ));
        }
        Some(key) if !key.signs_alone() => unsigned(),
        _ => me,
    };
    match electorate.refusal(&me.actor) {
        None => Ok(me),
        Some(_) if is_starter(state, electorate.excluded, &me.actor) => {
            Err("you started this run, so somebody else must approve".to_owned())
        }
        Some(why) => Err(format!("you cannot vote here: {why}")),
    }
}

fn is_starter(
    state: &RunState,
    excluded: &std::collections::BTreeSet<String>,
    actor: &Actor,
) -> bool {
    let policy = state.policy();
    excluded.contains(&actor.name)
        && policy.is_some_and(|policy| !policy.self_approval)
        && state.starters().any(|name| name == actor.name)
}

/// The vote of the person at the terminal, ready for the engine, which is certain to count it.
///
/// # Errors
/// Why it would not count, or could not be signed, in words.
pub(super) fn cast(
    context: &Context,
    state: &RunState,
    gate: &StepId,
    say: Say,
) -> Result<(Actor, Ballot), String> {
    let open = state.open_gates();
    let view = open.iter().find(|open| open.step == *gate);
    let view = view.ok_or("the gate is closed")?;
    let me = may_vote(context, state, view)?;
    let now = SystemClock.now();
    let mut ballot = Ballot {
        round: view.round,
        to: say.to,
        inputs: say.inputs,
        ..Ballot::plain(
            say.vote,
            state.plan_digest().unwrap_or_else(|| state.plan().digest()),
            say.comment,
        )
    };
    seal(state, view, &me, &mut ballot, now).map_err(|error| error.chain.to_string())?;
    let after = with_vote(state, gate, &me.actor, &ballot, now)?;
    match ignored_vote(&after, gate, now) {
        None => Ok((me.actor, ballot)),
        Some(why) => Err(why),
    }
}

/// What the gate asks to be filled in, by defaults.
///
/// # Errors
/// The name of one that has none.
pub(super) fn defaults(gate: &GateView) -> Result<Map<String, Value>, String> {
    gate.inputs
        .iter()
        .map(|(name, input)| match &input.default {
            Some(value) => Ok((name.clone(), value.clone())),
            None => Err(name.clone()),
        })
        .collect()
}
