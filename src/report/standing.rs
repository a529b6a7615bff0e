//! How a run stands for people who are about to vote: as of its events, and of the votes that wait in
//! the store for the engine.

use std::sync::Arc;

use crate::base::{StepId, Timestamp};
use crate::engine::{Incoming, NotHeard, hear};
use crate::event::{Actor, Ballot, RunEvent};
use crate::plan::Plan;
use crate::run::{IllegalTransition, NodeStatus, RunState};
use crate::store::{Request, RequestKind};

/// Why a run's record says nothing.
#[derive(Debug, thiserror::Error)]
pub enum StandingError {
    /// The plan has a circle or an id twice.
    #[error("its plan is damaged")]
    Plan,
    /// The events do not follow each other.
    #[error("its events are damaged")]
    Events(#[from] IllegalTransition),
}

/// The state of a run after its events, and after those of the requests that its engine has not taken
/// in yet: no engine drives a run that waits.
///
/// # Errors
/// [`StandingError`] when the record is damaged.
pub fn standing(
    plan: Arc<Plan>,
    events: &[RunEvent],
    requests: &[Request],
) -> Result<RunState, StandingError> {
    let mut state = RunState::new(plan).ok_or(StandingError::Plan)?;
    for event in events {
        state.apply(event)?;
    }
    let taken_in = state.last_request();
    for request in requests.iter().filter(|request| request.id > taken_in) {
        if let RequestKind::Vote {
            gate: Some(gate),
            ballot,
        } = &request.kind
        {
            let vote = Incoming {
                step: gate.clone(),
                actor: request.actor.clone(),
                ballot: ballot.clone(),
                request: Some(request.id),
            };
            // What the engine will not hear, nobody is shown.
            if let Ok(next) = with_incoming(&state, vote, request.at) {
                state = next;
            }
        }
    }
    Ok(state)
}

/// The state of a run after a vote, as its engine would take it in.
///
/// # Errors
/// Why the engine would not, in words.
pub fn with_vote(
    state: &RunState,
    gate: &StepId,
    actor: &Actor,
    ballot: &Ballot,
    at: Timestamp,
) -> Result<RunState, String> {
    let vote = Incoming {
        step: gate.clone(),
        actor: actor.clone(),
        ballot: ballot.clone(),
        request: None,
    };
    with_incoming(state, vote, at)
}

fn with_incoming(state: &RunState, vote: Incoming, at: Timestamp) -> Result<RunState, String> {
    let is_open = |gate: &StepId| {
        let node = state.node(gate);
        node.is_some_and(|node| matches!(node.status, NodeStatus::Gate { .. }))
    };
    let (gate, run) = match state.run() {
        Some(run) if is_open(&vote.step) => (vote.step.clone(), run),
        _ => return Err(format!("`{}` is not an open gate", vote.step)),
    };
    let event = hear(state, vote).map_err(|why| match why {
        NotHeard::Late => format!("the same vote at gate `{gate}` is on record already"),
        NotHeard::Forged(why) => why,
    })?;
    let event = RunEvent {
        run,
        seq: state.last_seq().next(),
        at,
        event,
    };
    let mut next = state.clone();
    next.apply(&event).map_err(|error| error.to_string())?;
    Ok(next)
}
