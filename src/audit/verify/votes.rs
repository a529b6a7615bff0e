//! Votes and reviews: their files say what the events say, and their signatures are of their voters.

use std::collections::BTreeSet;

use super::contents::Recorded;
use super::report::{Place, VerifyOptions};
use super::tree::bytes;
use crate::audit::files::said;
use crate::audit::ssh::verify;
use crate::event::{Actor, EventKind, RunEvent, SignedVote, VOTE_NAMESPACE, VoteStatement};
use crate::plan::PlanPolicy;

pub(super) fn check(
    recorded: &Recorded<'_>,
    options: &VerifyOptions,
    place: &mut Place<'_>,
) -> Result<(), git2::Error> {
    let plan = recorded.plan.as_deref();
    let mut policies: Vec<PlanPolicy> = Vec::new();
    policies.extend(plan.and_then(|plan| plan.policy.as_deref()).cloned());
    let mut files = BTreeSet::new();
    for event in &recorded.events {
        if let EventKind::GateSurveyed { policy, .. } = &event.event
            && let Ok(policy) = serde_json::from_value(policy.clone())
        {
            policies.push(policy);
        }
        let Some((name, signed)) = said(event) else {
            continue;
        };
        place.report.votes += 1;
        check_files(recorded, event, &name, signed, &mut files, place)?;
        let actor = match &event.event {
            EventKind::VoteCast { actor, .. } | EventKind::RunReviewed { actor, .. } => actor,
            _ => continue,
        };
        check_signature(event, actor, signed, &policies, options, place);
    }
    if let Ok(entry) = recorded.folder.get_path(std::path::Path::new("approvals")) {
        for entry in &recorded.git.find_tree(entry.id())? {
            let name = String::from_utf8_lossy(entry.name_bytes()).into_owned();
            if !files.contains(&name) {
                place.broken(format!(
                    "`approvals/{name}` belongs to no vote among its events"
                ));
            }
        }
    }
    Ok(())
}

fn check_files(
    recorded: &Recorded<'_>,
    event: &RunEvent,
    name: &str,
    signed: Option<&SignedVote>,
    files: &mut BTreeSet<String>,
    place: &mut Place<'_>,
) -> Result<(), git2::Error> {
    let mut read = |ending: &str| -> Result<Option<Vec<u8>>, git2::Error> {
        let file = format!("{name}.{ending}");
        let found = bytes(recorded.git, recorded.folder, &format!("approvals/{file}"))?;
        if found.is_some() {
            files.insert(file);
        }
        Ok(found)
    };
    match read("json")? {
        None => place.broken(format!("`approvals/{name}.json` is missing")),
        Some(found) => {
            let found = serde_json::from_slice::<RunEvent>(&found);
            if found.ok().as_ref() != Some(event) {
                place.broken(format!(
                    "`approvals/{name}.json` says something else than event {}",
                    event.seq
                ));
            }
        }
    }
    let Some(signed) = signed else {
        return Ok(());
    };
    for (ending, wanted) in [("statement", &signed.statement), ("sig", &signed.signature)] {
        match read(ending)? {
            // Versions before the chain kept it in the event alone.
            Some(found) if found == wanted.as_bytes() => {}
            Some(_) => place.broken(format!(
                "`approvals/{name}.{ending}` says something else than event {}",
                event.seq
            )),
            None => place.broken(format!("`approvals/{name}.{ending}` is missing")),
        }
    }
    Ok(())
}

fn check_signature(
    event: &RunEvent,
    actor: &Actor,
    signed: Option<&SignedVote>,
    policies: &[PlanPolicy],
    options: &VerifyOptions,
    place: &mut Place<'_>,
) {
    let (seq, voter) = (event.seq, &actor.name);
    let Some(signed) = signed else {
        if actor.verified {
            place.broken(format!(
                "event {seq}: the vote of {voter} passes for verified, but has no signature"
            ));
        }
        return;
    };
    let statement = serde_json::from_str::<VoteStatement>(&signed.statement);
    match statement {
        Ok(statement) => {
            if let Some(what) = differs(&statement, event, actor) {
                place.broken(format!(
                    "event {seq}: what {voter} signed is about another {what} than the vote on record"
                ));
            }
        }
        Err(error) => place.broken(format!(
            "event {seq}: what {voter} signed is no statement of a vote: {error}"
        )),
    }
    let today = options.people.as_ref().and_then(|people| people.get(voter));
    let of_plan = policies
        .iter()
        .filter_map(|policy| policy.people.get(voter))
        .flat_map(|person| &person.ssh_keys);
    let mut keys: Vec<String> = of_plan.cloned().collect();
    if policies.is_empty() {
        // Nobody's keys are in a plan without a policy.
        keys.extend(today.into_iter().flatten().cloned());
    }
    let by = verify(
        &keys,
        VOTE_NAMESPACE,
        signed.statement.as_bytes(),
        &signed.signature,
    );
    match by {
        Ok(by) => {
            place.report.signed_votes += 1;
            let key = keys.get(by);
            if options.people.is_some()
                && !today.is_some_and(|keys| keys.iter().any(|today| Some(today) == key))
            {
                place.note(format!(
                    "event {seq}: the key that {voter} signed with is not in the policy any more; it \
                     was at that time"
                ));
            }
        }
        Err(_) if actor.verified && policies.is_empty() && keys.is_empty() => place.note(format!(
            "event {seq}: the vote of {voter} is signed, and no key of {voter} is known: name the \
             policy with --policy"
        )),
        Err(error) if actor.verified => place.broken(format!(
            "event {seq}: the vote of {voter} passes for verified, but {}",
            because(&error)
        )),
        Err(error) => place.note(format!(
            "event {seq}: the signature of the vote of {voter} is not good, and it counted as \
             unverified: {}",
            because(&error)
        )),
    }
}

fn because(error: &crate::audit::SshError) -> String {
    match error {
        crate::audit::SshError::BadSignature(_) => "its signature is none".to_owned(),
        _ => "its signature was not made with a key of that person, or of another text".to_owned(),
    }
}

/// The first thing in which a statement and the event differ.
fn differs(said: &VoteStatement, event: &RunEvent, actor: &Actor) -> Option<&'static str> {
    let one = |same: bool, what| (!same).then_some(what);
    let common = one(said.run == event.run, "run").or(one(said.voter == actor.name, "voter"));
    match &event.event {
        EventKind::VoteCast {
            step,
            vote,
            comment,
            plan_digest,
            round,
            to,
            inputs,
            id,
            ..
        } => common
            .or(one(said.gate.as_ref() == Some(step), "gate"))
            .or(one(said.plan_digest == *plan_digest, "plan"))
            .or(one(said.round == *round, "round"))
            .or(one(said.vote == Some(*vote), "answer"))
            .or(one(said.to == *to, "step to go back to"))
            .or(one(said.inputs == *inputs, "set of inputs"))
            .or(one(said.comment == *comment, "comment"))
            .or(one(Some(&said.id) == id.as_ref(), "id")),
        EventKind::RunReviewed {
            verdict, comment, ..
        } => common
            .or(one(said.gate.is_none(), "gate"))
            .or(one(said.verdict == Some(*verdict), "verdict"))
            .or(one(said.comment.as_ref() == Some(comment), "comment")),
        _ => None,
    }
}
