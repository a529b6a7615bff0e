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

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::base::{EventSeq, HumanDuration, RunId};
    use crate::event::{Actor, Ballot, Difference, EventKind, RunEvent};
    use crate::plan::{Plan, PlanDelay, PlanEscalation};
    use crate::report::Timeline;
    use crate::report::fixtures_gates::protected_plan;
    use crate::run::testing::{gate, plan};

    const START: i64 = 1_800_000_000_000;

    /// A gate that two of three people must pass within eight hours, with a chain of two levels.
    fn guarded() -> Plan {
        let mut made = plan(vec![gate("go", &[])], vec![]);
        let policy = protected_plan().policy;
        made.policy = policy.map(|mut policy| {
            policy.require_signatures = false;
            policy.windows.clear();
            let seconds = |n| PlanDelay::Time(HumanDuration(Duration::from_secs(n)));
            policy.escalation = ["on-call", "team-lead"]
                .map(|role| PlanEscalation {
                    after: seconds(900),
                    role: role.to_owned(),
                    members: vec!["lin".to_owned()],
                    channel: None,
                    respond_within: seconds(900),
                })
                .to_vec();
            policy
        });
        made.runbook.risk = crate::model::Risk::High;
        made
    }

    fn told(plan: &Plan, events: Vec<(u64, EventKind)>, after: u64) -> String {
        let at = |s: u64| Timestamp::from_unix_millis(START).plus(Duration::from_secs(s));
        let mut state = RunState::new(Arc::new(plan.clone())).expect("a plan");
        let mut timeline = Timeline::new(plan);
        for (n, (second, event)) in (1..).zip(events) {
            let event = RunEvent {
                run: RunId::from_parts(1, 1),
                seq: EventSeq(n),
                at: at(second),
                event,
            };
            timeline.apply(&event);
            state.apply(&event).expect("legal");
        }
        let go = StepId::new("go").expect("valid");
        let row = timeline.row(&go).and_then(|row| row.gate.clone());
        waits_for(&state, &go, &row.unwrap_or_default(), at(after)).join("\n")
    }

    fn actor(name: &str) -> Actor {
        Actor {
            name: name.to_owned(),
            host: "desk".to_owned(),
            verified: false,
        }
    }

    fn opened(plan: &Plan, expires: u64) -> Vec<(u64, EventKind)> {
        let limit = Duration::from_secs(expires);
        let created = EventKind::RunCreated {
            runbook: plan.runbook.name.clone(),
            environment: plan.environment.name.clone(),
            plan_digest: plan.digest(),
            actor: actor("sam"),
            version: "0".to_owned(),
            on_behalf_of: None,
            changed_by: None,
            emergency: None,
        };
        let open = EventKind::GateOpened {
            step: StepId::new("go").expect("valid"),
            message: "Go?".to_owned(),
            expires_at: Some(Timestamp::from_unix_millis(START).plus(limit)),
        };
        vec![(0, created), (0, open)]
    }

    fn yes(plan: &Plan, name: &str) -> EventKind {
        let go = StepId::new("go").expect("valid");
        Ballot::plain(Vote::Approve, plan.digest(), None).cast(go, actor(name), None)
    }

    #[test]
    fn it_says_who_is_missing_and_counts_down_by_whole_seconds() {
        let plan = guarded();
        let events = opened(&plan, 8 * 3600);
        assert_eq!(
            told(&plan, events.clone(), 30),
            "waits for 2 of review: ada, grace or lin\nexpires in 7h59m30s\non-call in 14m30s"
        );
        let mut more = events;
        more.push((40, yes(&plan, "grace")));
        let step = StepId::new("go").expect("valid");
        more.push((
            900,
            EventKind::GateEscalated {
                step: step.clone(),
                level: 1,
                role: "on-call".to_owned(),
                channel: None,
                respond_by: None,
            },
        ));
        assert_eq!(
            told(&plan, more.clone(), 901),
            "waits for 1 of review: ada or lin\napproved by grace\nexpires in 7h44m59s\n\
             told on-call; team-lead in 14m59s"
        );
        more.push((902, yes(&plan, "ada")));
        let words = told(&plan, more.clone(), 902);
        assert!(words.starts_with("the votes suffice; what was approved is checked again"));
        more.push((
            902,
            EventKind::GateVoided {
                step,
                differences: vec![Difference {
                    what: "step put".to_owned(),
                    before: "a".to_owned(),
                    after: "b".to_owned(),
                }],
            },
        ));
        let words = told(&plan, more, 902);
        assert!(words.starts_with("waits for 2 of review"), "{words}");
    }

    #[test]
    fn a_hold_and_a_park_are_told() {
        let plan = guarded();
        let step = StepId::new("go").expect("valid");
        let mut events = opened(&plan, 60);
        events.extend([
            (1, yes(&plan, "grace")),
            (1, yes(&plan, "ada")),
            (
                1,
                EventKind::GateHeld {
                    step: step.clone(),
                    until: Some(Timestamp::from_unix_millis(START + 3_600_000)),
                    reason: "freeze \"year end\"".to_owned(),
                },
            ),
        ]);
        let words = told(&plan, events.clone(), 2);
        assert!(words.contains("the votes suffice\n"), "{words}");
        assert!(words.contains("held until 2027-01-15 09:00:00 UTC: freeze \"year end\""));
        let words = told(&plan, events, 61);
        assert!(words.contains("its time is up"), "{words}");
        let mut parked = guarded();
        if let Some(policy) = &mut parked.policy {
            policy.escalation.clear();
        }
        let mut events = opened(&parked, 60);
        events.push((60, EventKind::GateParked { step }));
        assert_eq!(
            told(&parked, events, 90),
            "was not approved in time, and waits without a limit\n\
             waits for 2 of review: ada, grace or lin"
        );
    }
}
