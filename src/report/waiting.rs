//! What an open gate waits for, in words that are right at one moment.

use std::time::Duration;

use super::lack::who_is_missing;
use super::rows::GateRow;
use super::text::clock_time;
use crate::base::{StepId, Timestamp, format_duration};
use crate::event::Vote;
use crate::run::{Judgement, RunState, Verdict};

/// What a gate waits for, each fact a few words: `waits for 1 of team-lead: ada or grace`,
/// `expires in 12m30s`, `told on-call; team-lead in 14m10s`. None when the gate is not open.
pub fn waits_for(state: &RunState, gate: &StepId, row: &GateRow, now: Timestamp) -> Vec<String> {
    let Some(view) = state.open_gates().into_iter().find(|g| g.step == *gate) else {
        return Vec::new();
    };
    let mut facts = Vec::new();
    if view.parked {
        facts.push("was not approved in time, and waits without a limit".to_owned());
    }
    if let Some(judgement) = state.judge(gate, now) {
        let anybody = state
            .electorate(gate)
            .is_none_or(|them| them.policy.is_none());
        if !anybody || judgement.verdict == Verdict::Approved {
            facts.extend(wanted(&judgement, view.held.is_some()));
        }
        facts.extend(so_far(state, gate, &judgement));
    }
    if let Some(hold) = &view.held {
        let reason = &hold.reason;
        facts.push(match hold.until {
            Some(until) => format!("held until {} UTC: {reason}", clock_time(until)),
            None => format!("held: {reason}"),
        });
    }
    if let Some(at) = view.expires_at {
        facts.push(match now < at {
            true => format!("expires in {}", countdown(at, now)),
            false => "its time is up".to_owned(),
        });
    }
    let told = (!row.told.is_empty()).then(|| format!("told {}", row.told.join(", ")));
    let next = view
        .next_escalation
        .map(|(_, role, at)| format!("{role} in {}", countdown(at, now)));
    let chain = [told, next].into_iter().flatten();
    let chain: Vec<String> = chain.collect();
    if !chain.is_empty() {
        facts.push(chain.join("; "));
    }
    facts
}

/// Why the last vote at a gate counts for nothing, if so.
pub fn ignored_vote(state: &RunState, gate: &StepId, now: Timestamp) -> Option<String> {
    let last = state.node(gate)?.votes.len().checked_sub(1)?;
    let ignored = state.judge(gate, now)?.ignored;
    let found = ignored.into_iter().find(|(at, _)| *at == last);
    found.map(|(_, why)| why)
}

fn wanted(judgement: &Judgement, held: bool) -> Option<String> {
    match judgement.verdict {
        Verdict::Approved if held => Some("the votes suffice".to_owned()),
        Verdict::Approved => {
            Some("the votes suffice; what was approved is checked again".to_owned())
        }
        Verdict::Pending => {
            let missing: Vec<String> = judgement.lacks.iter().map(who_is_missing).collect();
            (!missing.is_empty()).then(|| format!("waits for {}", missing.join(" and ")))
        }
        Verdict::Rejected | Verdict::SentBack { .. } => None,
    }
}

/// Who has approved.
fn so_far(state: &RunState, gate: &StepId, judgement: &Judgement) -> Option<String> {
    let votes = &state.node(gate)?.votes;
    let counted = judgement.counted.iter().filter_map(|&at| votes.get(at));
    let names: Vec<&str> = counted
        .filter(|vote| vote.vote == Vote::Approve)
        .map(|vote| vote.actor.name.as_str())
        .collect();
    (!names.is_empty()).then(|| format!("approved by {}", names.join(", ")))
}

/// The time that is left, in whole seconds, so that it moves once a second.
fn countdown(at: Timestamp, now: Timestamp) -> String {
    let left = at.since(now).as_millis();
    let seconds = u64::try_from(left.div_ceil(1000)).unwrap_or(u64::MAX);
    format_duration(Duration::from_secs(seconds))
}
