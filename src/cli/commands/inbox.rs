//! `runbook inbox`

use crate::base::{Clock as _, Timestamp};
use crate::cli::args::InboxArgs;
use crate::cli::booth::Booth;
use crate::cli::context::Context;
use crate::cli::error::CliError;
use crate::cli::exit::ExitStatus;
use crate::cli::recorder::Record;
use crate::cli::remote_record::RemoteRecord;
use crate::event::{Actor, Vote};
use crate::report::{InboxGate, inbox_gate_json, inbox_text, obligation_json};
use crate::run::GateView;
use crate::settings::{SystemClock, VotingKeys};
use crate::store::RunFilter;

use super::obligations::owed;

pub(super) fn run(context: &Context, args: &InboxArgs) -> Result<ExitStatus, CliError> {
    let (record, remote) = match &args.remote.remote {
        None => (Record::open_to_read(&context.settings)?, None),
        Some(url) => {
            let remote = RemoteRecord::open(context, Some(url))?;
            (remote.record.clone(), Some(remote))
        }
    };
    let keys = context.settings.voting_keys(args.key.key.as_deref())?;
    let now = SystemClock.now();
    let unfinished = record.store.runs(&RunFilter {
        unfinished: true,
        ..RunFilter::default()
    })?;
    let mut gates = Vec::new();
    for run in unfinished {
        if let Some(remote) = &remote {
            remote.bring(run.id)?;
        }
        match Booth::open(&record, run) {
            Ok(booth) => gates.extend(gates_of(context, &booth, &keys, now)),
            // One damaged run must not hide the others.
            Err(error) => context.out.note(error.text()),
        }
    }
    // Who waits longest is served first.
    gates.sort_by_key(|gate| (gate.expires_at.is_none(), gate.expires_at, gate.opened_at));
    let reviews = owed(context, &record, &keys, true)?;
    if context.out.is_json() {
        for gate in &gates {
            context.out.json(&inbox_gate_json(gate, now))?;
        }
        for review in reviews.iter().filter(|review| review.mine) {
            context.out.json(&obligation_json(review, now))?;
        }
        return Ok(ExitStatus::SUCCEEDED);
    }
    let text = inbox_text(&gates, &reviews, now, context.style());
    context.out.raw(text.as_bytes())?;
    Ok(ExitStatus::SUCCEEDED)
}

/// The open gates of a run.
fn gates_of(context: &Context, booth: &Booth, keys: &VotingKeys, now: Timestamp) -> Vec<InboxGate> {
    let me = person(context, booth, keys);
    let open = booth.state.open_gates();
    open.iter()
        .map(|gate| gate_of(booth, gate, &me, now))
        .collect()
}

/// Who the person is for this run: by a key, else by the operating system's word. Whether a vote would
/// have to be signed is said when it is cast.
pub(super) fn person(context: &Context, booth: &Booth, keys: &VotingKeys) -> Actor {
    let os = &context.settings.actor;
    let people = booth.state.policy().map(|policy| &policy.people);
    let actor = match keys.identify(os, people) {
        Ok(identity) => identity.actor,
        Err(_) => os.clone(),
    };
    Actor {
        verified: true,
        ..actor
    }
}

fn gate_of(booth: &Booth, gate: &GateView, me: &Actor, now: Timestamp) -> InboxGate {
    let votes = booth
        .state
        .node(&gate.step)
        .map_or(&[][..], |node| &node.votes);
    let judgement = booth.state.judge(&gate.step, now);
    let counts = |at: usize| {
        let mut ignored = judgement.iter().flat_map(|judgement| &judgement.ignored);
        ignored.all(|(ignored, _)| *ignored != at)
    };
    let own = votes.iter().enumerate().rev();
    let mut own = own.filter(|(_, v)| v.round == gate.round && v.actor.name == me.name);
    let voted = own
        .next()
        .filter(|(at, vote)| vote.vote != Vote::Withdraw && counts(*at))
        .map(|(_, vote)| vote.vote);
    let electorate = booth.state.electorate(&gate.step);
    let may = electorate.is_some_and(|electorate| electorate.refusal(me).is_none());
    InboxGate {
        run: booth.run.id,
        runbook: booth.run.runbook.clone(),
        environment: booth.run.environment.clone(),
        started_by: booth.run.actor.name.clone(),
        gate: gate.step.clone(),
        message: gate.message.clone(),
        risk: gate.risk,
        opened_at: gate.opened_at,
        expires_at: gate.expires_at,
        mine: may && voted.is_none(),
        voted,
        missing: judgement.map_or_else(Vec::new, |judgement| judgement.lacks),
        typed: booth.typed(&gate.step),
    }
}
