//! Why a vote cannot count, before it is stored.

use super::cast::{Say, command};
use crate::base::Timestamp;
use crate::cli::booth::Booth;
use crate::cli::error::{CliError, ErrorKind};
use crate::event::{Actor, EventKind, Vote};
use crate::report::who_is_missing;
use crate::run::GateView;
use crate::settings::Identity;

/// The reason why this vote cannot count, and what to do; `None`: nothing stands against it so far.
pub(super) fn refusal(
    booth: &Booth,
    gate: &GateView,
    me: &Identity,
    say: &Say<'_>,
    now: Timestamp,
) -> Option<CliError> {
    let typed = booth.typed(&gate.step);
    let electorate = booth.state.electorate(&gate.step)?;
    if let Some(why) = electorate.refusal(&me.actor) {
        let name = &me.actor.name;
        if electorate.excluded.contains(name)
            && let Some(why) = excluded(booth, name)
        {
            return Some(refused(booth, gate, now, &why));
        }
        let signed = Actor {
            verified: true,
            ..me.actor.clone()
        };
        if electorate.refusal(&signed).is_none() {
            let why = format!(
                "votes on this run must be signed, and no key of `{name}` that the policy lists was found"
            );
            let key = format!(
                "name your key: runbook {} {typed} --key FILE",
                command(say.vote)
            );
            return Some(
                CliError::new(ErrorKind::Usage, why)
                    .next(key)
                    .next("or have it asked for its passphrase by an agent: ssh-add FILE"),
            );
        }
        return Some(refused(booth, gate, now, &why));
    }
    if let (Vote::SendBack, Some(to)) = (say.vote, &say.to)
        && let Err(why) = booth.state.can_send_back(&gate.step, to)
    {
        return Some(
            CliError::new(
                ErrorKind::Usage,
                format!("the run cannot be sent back to `{to}`: {why}"),
            )
            .next(format!("see what can be undone: runbook review {typed}"))
            .next(format!("or end it: runbook reject {typed} --comment TEXT")),
        );
    }
    if say.vote == Vote::Withdraw && !has_voted(booth, gate, &me.actor.name) {
        return Some(
            CliError::new(
                ErrorKind::Usage,
                format!("`{}` has no vote at gate `{}`", me.actor.name, gate.step),
            )
            .next(format!("runbook review {typed}")),
        );
    }
    None
}

/// A vote that cannot count, and who could give one that does.
pub(super) fn refused(booth: &Booth, gate: &GateView, now: Timestamp, why: &str) -> CliError {
    let typed = booth.typed(&gate.step);
    let error = CliError::new(ErrorKind::Usage, why);
    let judgement = booth.state.judge(&gate.step, now);
    let missing = judgement.map_or_else(Vec::new, |judgement| judgement.lacks);
    let error = missing.iter().fold(error, |error, lack| {
        error.next(format!("it waits for others: {}", who_is_missing(lack)))
    });
    error.next(format!("runbook review {typed}"))
}

/// Why the policy excludes this person from this run.
fn excluded(booth: &Booth, name: &str) -> Option<String> {
    let EventKind::RunCreated {
        actor,
        on_behalf_of,
        changed_by,
        ..
    } = &booth.events.first()?.event
    else {
        return None;
    };
    let policy = booth.state.policy()?;
    if !policy.self_approval {
        if actor.name == name {
            return Some(format!(
                "you (`{name}`) started this run, and the policy lets nobody vote on a run of their own"
            ));
        }
        if on_behalf_of.as_deref() == Some(name) {
            return Some(format!(
                "this run was started for you (`{name}`), and the policy lets nobody vote on a run of their own"
            ));
        }
    }
    let change = changed_by.as_ref()?;
    if policy.exclude_author && change.person.as_deref() == Some(name) {
        let commit = match &change.commit {
            Some(commit) => format!("commit {}", commit.get(..8).unwrap_or(commit)),
            None => "not committed".to_owned(),
        };
        return Some(format!(
            "you (`{name}`) changed this runbook last ({commit}), and the policy wants the eyes of others"
        ));
    }
    None
}

/// Whether a vote of this person stands in this round.
fn has_voted(booth: &Booth, gate: &GateView, name: &str) -> bool {
    let votes = booth
        .state
        .node(&gate.step)
        .map_or(&[][..], |node| &node.votes);
    let mut own = votes.iter().rev();
    own.find(|vote| vote.round == gate.round && vote.actor.name == name)
        .is_some_and(|vote| vote.vote != Vote::Withdraw)
}
