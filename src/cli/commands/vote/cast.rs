//! From what a voter types to a vote in the store. Nothing is stored that could not count.

use super::inputs::filled_in;
use super::refusal::{refusal, refused};
use super::said::{Said, already, tell};
use crate::base::{Clock as _, StepId, Timestamp};
use crate::cli::args::{GateArgs, KeyArgs};
use crate::cli::booth::{Booth, ask, unfinished};
use crate::cli::context::Context;
use crate::cli::error::{CliError, ErrorKind};
use crate::cli::exit::ExitStatus;
use crate::cli::recorder::Record;
use crate::cli::remote_record::RemoteRecord;
use crate::event::{Ballot, SignedVote, Vote, VoteStatement};
use crate::report::{ignored_vote, with_vote};
use crate::run::{GateView, RunState};
use crate::settings::{Identity, SystemClock, VotingKey};
use crate::store::RequestKind;

/// What a voter says.
pub(super) struct Say<'a> {
    pub(super) vote: Vote,
    pub(super) gate: &'a GateArgs,
    pub(super) comment: Option<String>,
    pub(super) to: Option<StepId>,
    pub(super) inputs: &'a [(String, String)],
    pub(super) key: &'a KeyArgs,
}

pub(super) fn cast(context: &Context, say: &Say<'_>) -> Result<ExitStatus, CliError> {
    let place = Place::open(context, say.gate)?;
    let record = place.record();
    let (run, _) = unfinished(record, &say.gate.run)?;
    if let Place::Remote(remote) = &place {
        remote.bring(run.id)?;
    }
    let booth = Booth::open(record, run)?;
    let gate = booth.gate(say.gate.gate.as_deref(), command(say.vote))?;
    let me = identify(context, &booth, &gate, say.key)?;
    let now = SystemClock.now();
    if let Some(refused) = refusal(&booth, &gate, &me, say, now) {
        return Err(refused);
    }
    let mut ballot = Ballot {
        vote: say.vote,
        comment: say.comment.clone(),
        plan_digest: booth.run.plan_digest,
        round: gate.round,
        to: say.to.clone(),
        inputs: filled_in(&booth, &gate, say)?,
        id: None,
        signed: None,
    };
    let driven = (booth.run.owner.as_ref()).is_some_and(|owner| record.is_alive(owner));
    if let Some(standing) = already(&booth, &gate, &me.actor.name, &ballot, now) {
        let said = Said::new(&booth, &gate, &me, &ballot, &booth.state, driven, now);
        return tell(context, said.again(standing));
    }
    seal(&booth.state, &gate, &me, &mut ballot, now)?;
    // The engine's own judgement, before anything is stored.
    let after = with_vote(&booth.state, &gate.step, &me.actor, &ballot, now).map_err(|why| {
        refused(
            &booth,
            &gate,
            now,
            &format!("your vote cannot count: {why}"),
        )
    })?;
    if let Some(why) = ignored_vote(&after, &gate.step, now) {
        let why = format!("your vote cannot count: {why}");
        return Err(refused(&booth, &gate, now, &why));
    }
    let kind = RequestKind::Vote {
        gate: Some(gate.step.clone()),
        ballot: ballot.clone(),
    };
    let said = Said::new(&booth, &gate, &me, &ballot, &after, driven, now);
    match &place {
        Place::Here(record) => {
            ask(record, booth.run.id, me.actor.clone(), kind)?;
            tell(context, said)
        }
        Place::Remote(remote) => {
            let Some(signed) = &ballot.signed else {
                return Err(unsigned());
            };
            remote.send(signed)?;
            tell(context, said.sent_to(remote.url()))
        }
    }
}

/// Where the run is.
enum Place {
    Here(Record),
    Remote(Box<RemoteRecord>),
}

impl Place {
    fn open(context: &Context, gate: &GateArgs) -> Result<Self, CliError> {
        match &gate.remote.remote {
            None => Record::open_to_ask(&context.settings).map(Self::Here),
            Some(url) => RemoteRecord::open(context, Some(url))
                .map(Box::new)
                .map(Self::Remote),
        }
    }

    fn record(&self) -> &Record {
        match self {
            Self::Here(record) => record,
            Self::Remote(remote) => &remote.record,
        }
    }
}

/// Whoever may push to the remote could say anything in anybody's name.
fn unsigned() -> CliError {
    CliError::new(
        ErrorKind::Usage,
        "a vote that goes through the remote must be signed, and no key of yours is in the policy of this run",
    )
    .next("name a key: --key ~/.ssh/id_ed25519")
    .next("or vote on the machine that drives the run")
}

/// The name of the command that says it.
pub(super) fn command(vote: Vote) -> &'static str {
    match vote {
        Vote::Approve => "approve",
        Vote::Reject => "reject",
        Vote::Withdraw => "withdraw",
        Vote::SendBack => "send-back",
    }
}

/// Who votes. Says so when a key says another name than the operating system.
fn identify(
    context: &Context,
    booth: &Booth,
    gate: &GateView,
    key: &KeyArgs,
) -> Result<Identity, CliError> {
    let settings = &context.settings;
    let electorate = booth.state.electorate(&gate.step);
    let people = electorate.and_then(|electorate| Some(&electorate.policy?.people));
    let keys = match people {
        // Where nobody is named nothing is signed, and no agent is asked.
        None => Default::default(),
        Some(_) => settings.voting_keys(key.key.as_deref())?,
    };
    let me = keys.identify(&settings.actor, people)?;
    if let Some(key) = &me.key
        && me.actor.name != me.login
    {
        context.out.note(format_args!(
            "the key {} is {}'s: you vote as {}, not as {}",
            key.shown, me.actor.name, me.actor.name, me.login
        ));
    }
    Ok(me)
}

/// Gives the vote its id, and its signature if there is a key.
///
/// # Errors
/// When the key does not sign.
pub(in crate::cli) fn seal(
    state: &RunState,
    gate: &GateView,
    me: &Identity,
    ballot: &mut Ballot,
    now: Timestamp,
) -> Result<(), CliError> {
    let id = new_id(now);
    ballot.id = Some(id.clone());
    let (Some(key), Some(run)) = (&me.key, state.run()) else {
        return Ok(());
    };
    let plan = state.plan();
    let statement = VoteStatement {
        format: 1,
        id,
        run,
        runbook: plan.runbook.name.clone(),
        environment: plan.environment.name.clone(),
        gate: Some(gate.step.clone()),
        round: ballot.round,
        plan_digest: ballot.plan_digest,
        vote: Some(ballot.vote),
        verdict: None,
        to: ballot.to.clone(),
        inputs: ballot.inputs.clone(),
        comment: ballot.comment.clone(),
        voter: me.actor.name.clone(),
        at: now,
    };
    ballot.signed = Some(signed(key, &statement)?);
    Ok(())
}

/// A name for a vote or review that nobody else gives: a ULID.
pub(in crate::cli::commands) fn new_id(now: Timestamp) -> String {
    let millis = u64::try_from(now.unix_millis()).unwrap_or_default();
    ulid::Ulid::from_parts(millis, SystemClock.random()).to_string()
}

/// A statement with its signature.
pub(in crate::cli::commands) fn signed(
    key: &VotingKey,
    statement: &VoteStatement,
) -> Result<Box<SignedVote>, CliError> {
    let statement = statement
        .text()
        .map_err(|error| CliError::bug(format!("a vote is not JSON: {error}")))?;
    let signature = key.sign(&statement)?;
    Ok(Box::new(SignedVote {
        statement,
        signature,
    }))
}
