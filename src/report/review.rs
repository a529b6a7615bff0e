//! What a reviewer is shown of a gate or of an emergency run, as data. Pure: the same record gives the
//! same review. Its JSON form is stable; fields may be added.

use std::collections::BTreeSet;

use serde::Serialize;

use super::next::{NextCommand, Places};
use super::review_record::{PastRuns, past_runs};
use super::review_steps::{ReviewStep, ReviewUndo, ReviewValue, steps, undoing, values};
use crate::base::{Digest, Map, RunId, StepId, Timestamp, Value};
use crate::event::{
    Actor, Difference, Emergency, EventKind, LastChange, Outcome, ReviewVerdict, RunEvent,
    RunStatus, Vote,
};
use crate::model::{OnExpiry, OnFailure, Risk, RunbookSeverity};
use crate::plan::{Plan, PlanGateInput, differences};
use crate::report::shell_word;
use crate::run::{CastVote, GateView, Judgement, RunState, Verdict};
use crate::store::RunRecord;

/// Version of the JSON form.
pub const REVIEW_FORMAT: u32 = 1;

/// What a review is made of.
#[derive(Clone, Copy)]
pub struct ReviewInput<'a> {
    /// The run.
    pub run: &'a RunRecord,
    /// Its state, with the votes that its engine has not seen yet: [`super::standing`].
    pub state: &'a RunState,
    /// Its events.
    pub events: &'a [RunEvent],
    /// The gate that is looked at; `None`: the run as a whole.
    pub gate: Option<&'a GateView>,
    /// The last run of this runbook in this environment that people approved, before this one.
    pub approved: Option<(&'a RunRecord, &'a Plan)>,
    /// All runs of this runbook in this environment.
    pub past: &'a [RunRecord],
    /// Names for commands.
    pub places: &'a Places,
    /// Now.
    pub now: Timestamp,
}

/// What a reviewer is shown.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Review {
    /// [`REVIEW_FORMAT`].
    pub format: u32,
    /// The run.
    pub run: ReviewRun,
    /// The gate; absent when none is looked at.
    pub gate: Option<ReviewGate>,
    /// What comes after the gate, rendered with what is known.
    pub ahead: Vec<ReviewStep>,
    /// What proves the result, and what runs at the end whatever happens.
    pub closing: Vec<ReviewStep>,
    /// What is not as in the last plan that was approved.
    pub changes: ReviewChanges,
    /// What was read so far.
    pub values: Vec<ReviewValue>,
    /// What a failure leads to.
    pub rollback: ReviewRollback,
    /// How earlier runs went.
    pub past: PastRuns,
    /// What to type.
    pub commands: Vec<ReviewCommand>,
}

/// The run of a review.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ReviewRun {
    /// Id.
    pub id: RunId,
    /// Runbook name.
    pub runbook: String,
    /// Runbook title.
    pub title: Option<String>,
    /// Owner of the runbook.
    pub owner: Option<String>,
    /// Environment name.
    pub environment: String,
    /// Whether it is protected.
    pub protected: bool,
    /// How it stands.
    pub status: RunStatus,
    /// How it ended.
    pub outcome: Option<Outcome>,
    /// Risk of the runbook.
    pub risk: Risk,
    /// Incident severity.
    pub severity: Option<RunbookSeverity>,
    /// When it was started.
    pub started_at: Timestamp,
    /// Who started it.
    pub started_by: Actor,
    /// For whom.
    pub on_behalf_of: Option<String>,
    /// The last change of the runbook.
    pub changed_by: Option<LastChange>,
    /// Break-glass.
    pub emergency: Option<Emergency>,
    /// Its review, when it was an emergency and somebody looked at it.
    pub reviewed: Option<ReviewDone>,
    /// Digest of the plan: what a vote is about.
    pub plan_digest: Digest,
    /// Parameters. Secrets are markers.
    pub params: Map<String, Value>,
}

/// A review that was made.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ReviewDone {
    /// When.
    pub at: Timestamp,
    /// Who.
    pub by: Actor,
    /// What it said.
    pub verdict: ReviewVerdict,
    /// Why.
    pub comment: String,
    /// Whether it is signed.
    pub signed: bool,
}

/// The gate of a review.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ReviewGate {
    /// The approval step.
    pub step: StepId,
    /// What is asked.
    pub message: String,
    /// Which rule of the policy it is subject to.
    pub risk: Risk,
    /// Whether the policy demands it although the runbook does not have it.
    pub demanded: bool,
    /// Which round of votes it is in.
    pub round: u32,
    /// When it opened.
    pub opened_at: Timestamp,
    /// When the question lapses.
    pub expires_at: Option<Timestamp>,
    /// How long that is from now.
    pub left_ms: Option<u64>,
    /// What happens then.
    pub on_expiry: OnExpiry,
    /// Who is told next if nobody answers: role and time.
    pub next_escalation: Option<(String, Timestamp)>,
    /// What keeps it closed although its votes suffice.
    pub held: Option<String>,
    /// Whether it waits without a limit, because nobody answered in time.
    pub parked: bool,
    /// What is to be filled in.
    pub inputs: Vec<ReviewInputAsked>,
    /// Who must approve; none: anybody may, and one suffices.
    pub quorum: Vec<ReviewQuorum>,
    /// Who may not vote although a role says so.
    pub excluded: Vec<String>,
    /// Whether votes without a signature count for nothing.
    pub require_signatures: bool,
    /// The votes of all rounds, in order.
    pub votes: Vec<ReviewVote>,
    /// `pending`, `approved`, `rejected` or `sent_back`.
    pub verdict: String,
    /// Whose votes are missing.
    pub missing: Vec<ReviewQuorum>,
    /// What changed when the votes of an earlier round were voided last.
    pub voided: Vec<Difference>,
}

/// Something to be filled in.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ReviewInputAsked {
    /// Name.
    pub name: String,
    /// Type, as a parameter's.
    #[serde(rename = "type")]
    pub ty: String,
    /// The value when nobody gives one; `None`: it must be given.
    pub default: Option<Value>,
    /// What it is.
    pub description: Option<String>,
}

/// So many of a role.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ReviewQuorum {
    /// How many.
    pub count: u32,
    /// The role.
    pub role: String,
    /// Its members; of what is missing those who could still vote.
    pub people: Vec<String>,
}

/// A vote.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ReviewVote {
    /// When.
    pub at: Timestamp,
    /// Who.
    pub by: Actor,
    /// What.
    pub vote: Vote,
    /// Why.
    pub comment: Option<String>,
    /// What was filled in.
    pub inputs: Map<String, Value>,
    /// Where to start again from.
    pub to: Option<StepId>,
    /// Its round.
    pub round: u32,
    /// Whether it counts now.
    pub counts: bool,
    /// Why it does not.
    pub why_not: Option<String>,
}

/// What is not as in the last plan that was approved.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ReviewChanges {
    /// The run of that plan; `None`: this runbook was never approved in this environment.
    pub since: Option<RunId>,
    /// When it was started.
    pub since_at: Option<Timestamp>,
    /// What differs; none: the plans are the same.
    pub differences: Vec<Difference>,
}

/// What a failure leads to.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ReviewRollback {
    /// Whether a failure undoes what was done, unless a step says otherwise.
    pub on_failure: OnFailure,
    /// What would be undone, in that order.
    pub undo: Vec<ReviewUndo>,
    /// Steps that lie ahead and that nothing undoes, with the reason if the runbook gives one.
    pub no_return: Vec<(StepId, Option<String>)>,
}

/// What to type.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ReviewCommand {
    /// What it is for.
    pub why: String,
    /// The command.
    pub command: String,
}

impl From<NextCommand> for ReviewCommand {
    fn from(next: NextCommand) -> Self {
        Self {
            why: next.why,
            command: next.command,
        }
    }
}

impl Review {
    /// Gathers what a reviewer is to see.
    pub fn of(input: &ReviewInput<'_>) -> Self {
        let plan = input.state.plan();
        let run = run_of(input);
        let gate = input.gate.map(|gate| gate_of(input, gate));
        let ahead = match input.gate {
            Some(gate) => plan.steps_after(&gate.step),
            None => Vec::new(),
        };
        let last = plan.verify.iter().chain(&plan.finally);
        let last: Vec<_> = match input.gate {
            Some(_) => last.map(|step| (step.id.clone(), step)).collect(),
            None => Vec::new(),
        };
        let no_return = input.gate.map_or_else(Vec::new, |gate| {
            let mut crossings = plan.crossings();
            let points = crossings.after(&gate.step).into_iter();
            points.map(|p| (p.step.clone(), p.reason.clone())).collect()
        });
        Self {
            format: REVIEW_FORMAT,
            commands: commands(input, gate.as_ref(), &run),
            ahead: steps(input.state, &ahead),
            closing: steps(input.state, &last),
            changes: changes(input),
            values: values(input.state),
            rollback: ReviewRollback {
                on_failure: plan.on_failure,
                undo: undoing(input.state),
                no_return,
            },
            past: past_runs(input.past, input.run.id),
            run,
            gate,
        }
    }
}

/// Whether people approved a gate of this run: not so of an emergency run, whose gates are passed.
pub fn was_approved(events: &[RunEvent]) -> bool {
    let mut events = events.iter().map(|event| &event.event);
    let in_emergency = matches!(
        events.clone().next(),
        Some(EventKind::RunCreated {
            emergency: Some(_),
            ..
        })
    );
    !in_emergency && events.any(|event| matches!(event, EventKind::GateApproved { .. }))
}

fn run_of(input: &ReviewInput<'_>) -> ReviewRun {
    let plan = input.state.plan();
    let (mut on_behalf_of, mut changed_by, mut reviewed) = (None, None, None);
    for event in input.events {
        match &event.event {
            EventKind::RunCreated {
                on_behalf_of: behalf,
                changed_by: changed,
                ..
            } => {
                on_behalf_of.clone_from(behalf);
                changed_by.clone_from(changed);
            }
            EventKind::RunReviewed {
                actor,
                verdict,
                comment,
                signed,
            } => {
                reviewed = Some(ReviewDone {
                    at: event.at,
                    by: actor.clone(),
                    verdict: *verdict,
                    comment: comment.clone(),
                    signed: signed.is_some(),
                });
            }
            _ => {}
        }
    }
    let params = plan.params.iter();
    ReviewRun {
        id: input.run.id,
        runbook: plan.runbook.name.clone(),
        title: plan.runbook.title.clone(),
        owner: plan.runbook.owner.clone(),
        environment: plan.environment.name.clone(),
        protected: plan.policy.is_some() || plan.environment.protected,
        status: input.run.status,
        outcome: input.run.outcome,
        risk: plan.runbook.risk,
        severity: plan.runbook.severity,
        started_at: input.run.created_at,
        started_by: input.run.actor.clone(),
        on_behalf_of,
        changed_by,
        emergency: input.state.emergency().cloned(),
        reviewed,
        plan_digest: input.run.plan_digest,
        params: params
            .map(|(name, param)| (name.clone(), param.value.clone()))
            .collect(),
    }
}

fn gate_of(input: &ReviewInput<'_>, gate: &GateView) -> ReviewGate {
    let state = input.state;
    let electorate = state.electorate(&gate.step);
    let policy = electorate.and_then(|electorate| electorate.policy);
    let rule = policy.and_then(|policy| policy.rules.get(&gate.risk));
    let asks = state.plan_step(&gate.step).and_then(|s| s.gate.as_deref());
    let judgement = state.judge(&gate.step, input.now);
    let members: BTreeSet<&String> = rule
        .iter()
        .flat_map(|rule| rule.quorum.iter().flat_map(|item| &item.members))
        .collect();
    let excluded = electorate.map(|electorate| electorate.excluded);
    let excluded = excluded.into_iter().flatten();
    let missing = judgement.iter().flat_map(|judgement| &judgement.lacks);
    ReviewGate {
        step: gate.step.clone(),
        message: gate.message.clone(),
        risk: gate.risk,
        demanded: asks.is_some_and(|asks| asks.demanded),
        round: gate.round,
        opened_at: gate.opened_at,
        expires_at: gate.expires_at,
        left_ms: gate
            .expires_at
            .map(|at| at.since(input.now).as_millis() as u64),
        on_expiry: asks
            .and_then(|asks| asks.on_expiry)
            .or_else(|| Some(rule?.on_expiry))
            .unwrap_or_default(),
        next_escalation: gate
            .next_escalation
            .as_ref()
            .map(|(_, role, at)| (role.clone(), *at)),
        held: gate.held.as_ref().map(|hold| match hold.until {
            Some(until) => format!("{}, until {until}", hold.reason),
            None => hold.reason.clone(),
        }),
        parked: gate.parked,
        inputs: gate.inputs.iter().map(asked).collect(),
        quorum: rule.map_or_else(Vec::new, |rule| {
            let items = rule.quorum.iter();
            items
                .map(|item| ReviewQuorum {
                    count: item.count,
                    role: item.role.clone(),
                    people: item.members.clone(),
                })
                .collect()
        }),
        excluded: excluded
            .filter(|name| members.contains(name))
            .cloned()
            .collect(),
        require_signatures: policy.is_some_and(|policy| policy.require_signatures),
        votes: votes(state, gate, judgement.as_ref()),
        verdict: match judgement.as_ref().map(|judgement| &judgement.verdict) {
            None | Some(Verdict::Pending) => "pending",
            Some(Verdict::Approved) => "approved",
            Some(Verdict::Rejected) => "rejected",
            Some(Verdict::SentBack { .. }) => "sent_back",
        }
        .to_owned(),
        missing: missing
            .map(|lack| ReviewQuorum {
                count: lack.count,
                role: lack.role.clone(),
                people: lack.people.clone(),
            })
            .collect(),
        voided: voided(input.events, &gate.step),
    }
}

fn asked((name, input): (&String, &PlanGateInput)) -> ReviewInputAsked {
    ReviewInputAsked {
        name: name.clone(),
        ty: input.ty.to_string(),
        default: input.default.clone(),
        description: input.description.clone(),
    }
}

fn votes(state: &RunState, gate: &GateView, judgement: Option<&Judgement>) -> Vec<ReviewVote> {
    let cast = state.node(&gate.step).map_or(&[][..], |node| &node.votes);
    let vote = |(at, vote): (usize, &CastVote)| {
        let ignored = judgement.iter().flat_map(|j| &j.ignored);
        ReviewVote {
            at: vote.at,
            by: vote.actor.clone(),
            vote: vote.vote,
            comment: vote.comment.clone(),
            inputs: vote.inputs.clone(),
            to: vote.to.clone(),
            round: vote.round,
            counts: judgement.is_some_and(|j| j.counted.contains(&at)),
            why_not: ignored
                .filter(|(ignored, _)| *ignored == at)
                .map(|(_, why)| why.clone())
                .next(),
        }
    };
    cast.iter().enumerate().map(vote).collect()
}

/// What the last void of this gate was for.
fn voided(events: &[RunEvent], gate: &StepId) -> Vec<Difference> {
    let mut last = &[][..];
    for event in events {
        match &event.event {
            EventKind::GateVoided { step, differences } if step == gate => last = differences,
            // It opened anew: what was before is another story.
            EventKind::GateOpened { step, .. } if step == gate => last = &[],
            _ => {}
        }
    }
    last.to_vec()
}

fn changes(input: &ReviewInput<'_>) -> ReviewChanges {
    let since = input.approved;
    ReviewChanges {
        since: since.map(|(run, _)| run.id),
        since_at: since.map(|(run, _)| run.created_at),
        differences: since.map_or_else(Vec::new, |(_, plan)| differences(plan, input.state.plan())),
    }
}

fn commands(
    input: &ReviewInput<'_>,
    gate: Option<&ReviewGate>,
    run: &ReviewRun,
) -> Vec<ReviewCommand> {
    let prefix = &input.places.prefix;
    let command = |why: &str, command: String| ReviewCommand {
        why: why.to_owned(),
        command,
    };
    let Some(gate) = gate else {
        let mut all = Vec::new();
        if run.emergency.is_some() && run.reviewed.is_none() && run.outcome.is_some() {
            for (why, flag) in [("it was right", "accept"), ("it was not", "object")] {
                let text = format!("runbook review {prefix} --{flag} --comment TEXT");
                all.push(command(why, text));
            }
        }
        all.push(command(
            "see what it did",
            format!("runbook status {prefix}"),
        ));
        return all;
    };
    let typed = match input.state.open_gates().len() {
        0 | 1 => prefix.clone(),
        _ => format!("{prefix} {}", shell_word(gate.step.as_str())),
    };
    let inputs: String = gate
        .inputs
        .iter()
        .filter(|asked| asked.default.is_none())
        .map(|asked| format!(" --input {}={}", asked.name, asked.ty.to_uppercase()))
        .collect();
    let mut all = vec![
        command("let it go on", format!("runbook approve {typed}{inputs}")),
        command("end it", format!("runbook reject {typed} --comment TEXT")),
    ];
    let before = input.state.plan().steps_before(&gate.step);
    let possible = |to: &&StepId| input.state.can_send_back(&gate.step, to).is_ok();
    if let Some(to) = before.iter().rev().find(possible) {
        let to = shell_word(to.as_str());
        all.push(command(
            "have it done again",
            format!("runbook send-back {typed} --to {to} --comment TEXT"),
        ));
    }
    all.push(command(
        "see how it stands",
        format!("runbook status {prefix}"),
    ));
    all
}
