//! What a voter is told after the vote.

use serde_json::{Value, json};

use crate::base::{StepId, Timestamp};
use crate::cli::booth::Booth;
use crate::cli::context::Context;
use crate::cli::error::CliError;
use crate::cli::exit::ExitStatus;
use crate::event::{Actor, Ballot, Vote};
use crate::report::{safe_text, who_is_missing};
use crate::run::{CastVote, GateView, Judgement, RunState, Verdict};
use crate::settings::Identity;

/// A vote and what it brought about.
pub(super) struct Said {
    prefix: String,
    run: Value,
    runbook: String,
    gate: StepId,
    actor: Actor,
    key: Option<String>,
    ballot: Ballot,
    judgement: Option<Judgement>,
    /// Whether a process drives the run and will see it.
    driven: bool,
    /// The same vote that stood already; then nothing was stored.
    already: Option<CastVote>,
    /// The remote that carries it to the machine that drives the run.
    sent_to: Option<String>,
}

impl Said {
    /// `after`: the state with the vote.
    pub(super) fn new(
        booth: &Booth,
        gate: &GateView,
        me: &Identity,
        ballot: &Ballot,
        after: &RunState,
        driven: bool,
        now: Timestamp,
    ) -> Self {
        Self {
            prefix: booth.places.prefix.clone(),
            run: json!(booth.run.id),
            runbook: booth.run.runbook.clone(),
            gate: gate.step.clone(),
            actor: me.actor.clone(),
            key: me.key.as_ref().map(|key| key.shown.clone()),
            ballot: ballot.clone(),
            judgement: after.judge(&gate.step, now),
            driven,
            already: None,
            sent_to: None,
        }
    }

    /// It was not stored here, but sent.
    pub(super) fn sent_to(self, remote: &str) -> Self {
        Self {
            sent_to: Some(remote.to_owned()),
            ..self
        }
    }

    /// Nothing was stored: the same vote stood already.
    pub(super) fn again(self, standing: CastVote) -> Self {
        Self {
            already: Some(standing),
            ..self
        }
    }
}

/// The vote of this person that stands, when it says the same.
pub(super) fn already(
    booth: &Booth,
    gate: &GateView,
    name: &str,
    ballot: &Ballot,
    now: Timestamp,
) -> Option<CastVote> {
    let votes = &booth.state.node(&gate.step)?.votes;
    let of_mine = |vote: &&CastVote| vote.round == gate.round && vote.actor.name == name;
    let (at, last) = votes
        .iter()
        .enumerate()
        .rev()
        .find(|(_, vote)| of_mine(vote))?;
    let same = last.vote == ballot.vote && last.inputs == ballot.inputs && last.to == ballot.to;
    // What does not count (any more) is said again.
    let ignored = booth.state.judge(&gate.step, now)?.ignored;
    let counts = ignored.iter().all(|(ignored, _)| *ignored != at);
    (same && counts && last.vote != Vote::Withdraw).then(|| last.clone())
}

pub(super) fn tell(context: &Context, said: Said) -> Result<ExitStatus, CliError> {
    if context.out.is_json() {
        context.out.json(&as_json(&said))?;
    } else {
        in_words(context, &said)?;
    }
    Ok(ExitStatus::SUCCEEDED)
}

fn as_json(said: &Said) -> Value {
    let judgement = said.judgement.as_ref();
    let missing = judgement.map(|judgement| {
        let lacks = judgement.lacks.iter();
        lacks
            .map(|lack| json!({ "count": lack.count, "role": lack.role, "people": lack.people }))
            .collect::<Vec<_>>()
    });
    json!({
        "run": said.run,
        "gate": said.gate,
        "round": said.ballot.round,
        "vote": said.ballot.vote,
        "id": said.ballot.id,
        "voter": said.actor.name,
        "signed": said.key.is_some(),
        "to": said.ballot.to,
        "inputs": said.ballot.inputs,
        "comment": said.ballot.comment,
        "already": said.already.is_some(),
        "verdict": judgement.map(|judgement| verdict_word(&judgement.verdict)),
        "missing": missing,
        "driven": said.driven,
        "sent_to": said.sent_to,
    })
}

/// A verdict as programs read it.
fn verdict_word(verdict: &Verdict) -> &'static str {
    match verdict {
        Verdict::Pending => "pending",
        Verdict::Approved => "approved",
        Verdict::Rejected => "rejected",
        Verdict::SentBack { .. } => "sent_back",
    }
}

fn in_words(context: &Context, said: &Said) -> Result<(), CliError> {
    let out = context.out;
    let (gate, prefix) = (&said.gate, &said.prefix);
    let place = format!("gate `{gate}` of {} ({prefix})", safe_text(&said.runbook));
    let name = &said.actor.name;
    match (&said.already, said.ballot.vote) {
        (Some(_), Vote::Approve) => out.line(format_args!("you have approved {place} already"))?,
        (Some(_), Vote::Reject) => out.line(format_args!("you have rejected {place} already"))?,
        (Some(_), _) => out.line(format_args!("you have voted so at {place} already"))?,
        (None, Vote::Approve) => out.line(format_args!("approved {place} as {name}"))?,
        (None, Vote::Reject) => out.line(format_args!("rejected {place} as {name}"))?,
        (None, Vote::Withdraw) => {
            out.line(format_args!("took back the vote of {name} at {place}"))?;
        }
        (None, Vote::SendBack) => {
            let to = said.ballot.to.as_ref().map_or("", StepId::as_str);
            out.line(format_args!("sent {place} back to `{to}` as {name}"))?;
        }
    }
    let judgement = said.judgement.as_ref();
    for lack in judgement.map_or(&[][..], |judgement| &judgement.lacks) {
        out.line(format_args!("still missing: {}", who_is_missing(lack)))?;
    }
    if said.already.is_none() {
        match &said.key {
            Some(key) => out.note(format_args!("signed with {}", safe_text(key))),
            None => out.note(format_args!(
                "not signed: recorded on the word of {}, unverified",
                said.actor.host
            )),
        }
    }
    if let Some(remote) = &said.sent_to {
        out.note(format_args!(
            "sent to {}; the machine that waits at the gate applies it, or its next: runbook resume {prefix}",
            safe_text(remote)
        ));
        return Ok(());
    }
    let decided = judgement.is_some_and(|judgement| judgement.verdict != Verdict::Pending);
    match (said.driven, decided) {
        (true, true) => out.note("the process that drives the run goes on now"),
        (false, true) => out.note(format_args!(
            "no process drives the run; let it go on with: runbook resume {prefix}"
        )),
        (_, false) => {}
    }
    Ok(())
}
