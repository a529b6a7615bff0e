//! What waits for a person: gates to vote on and emergency runs to review; as text and as JSON.

use serde_json::json;

use super::lack::who_is_missing;
use super::page::Page;
use super::plan_text::risk_word;
use super::style::{Paint, Style, Symbol};
use super::text::{clock_time, human};
use crate::base::{RunId, StepId, Timestamp, Value};
use crate::event::Vote;
use crate::model::Risk;
use crate::run::Lack;
use crate::store::Obligation;

/// An open gate of some run.
#[derive(Debug, Clone, PartialEq)]
pub struct InboxGate {
    /// The run.
    pub run: RunId,
    /// Runbook name.
    pub runbook: String,
    /// Environment name.
    pub environment: String,
    /// Who started it.
    pub started_by: String,
    /// The gate.
    pub gate: StepId,
    /// What is asked.
    pub message: String,
    /// Which rule of the policy it is subject to.
    pub risk: Risk,
    /// When it opened.
    pub opened_at: Timestamp,
    /// When the question lapses.
    pub expires_at: Option<Timestamp>,
    /// Whether it waits for the person who asks: who may vote, and has not.
    pub mine: bool,
    /// What that person said, if anything stands.
    pub voted: Option<Vote>,
    /// Whose votes are missing.
    pub missing: Vec<Lack>,
    /// `RUN GATE` as it is typed.
    pub typed: String,
}

/// A review that an emergency run owes.
#[derive(Debug, Clone, PartialEq)]
pub struct InboxReview {
    /// It.
    pub obligation: Obligation,
    /// The run as it is typed.
    pub typed: String,
    /// Whether the person who asks may close it.
    pub mine: bool,
}

/// What waits: for the person first, then for others (dimmed), then reviews that the person may make.
pub fn inbox_text(
    gates: &[InboxGate],
    reviews: &[InboxReview],
    now: Timestamp,
    style: Style,
) -> String {
    let mut page = Page::new(style);
    let own: Vec<_> = gates.iter().filter(|gate| gate.mine).collect();
    let others: Vec<_> = gates.iter().filter(|gate| !gate.mine).collect();
    let reviews: Vec<_> = reviews.iter().filter(|review| review.mine).collect();
    if own.is_empty() && reviews.is_empty() {
        page.say(0, "nothing waits for you", Paint::Good);
    }
    if !own.is_empty() {
        page.heading("Waits for you");
    }
    for gate in own {
        let symbol = page.style.symbol(Symbol::Gate);
        page.item(2, &format!("{symbol} {}", title(gate)), Paint::Care);
        page.block(4, &gate.message, Paint::Plain);
        page.item(4, &times(gate, now), Paint::Dim);
        page.command(4, &format!("runbook review {}", gate.typed));
        page.command(4, &format!("runbook approve {}", gate.typed));
    }
    if !others.is_empty() {
        page.heading("Waits for others");
    }
    for gate in others {
        page.item(2, &title(gate), Paint::Dim);
        page.item(4, &times(gate, now), Paint::Dim);
        if let Some(vote) = gate.voted {
            page.item(4, &format!("you said: {}", said(vote)), Paint::Dim);
        }
        for lack in &gate.missing {
            page.item(4, &format!("missing: {}", who_is_missing(lack)), Paint::Dim);
        }
    }
    if !reviews.is_empty() {
        page.heading("Emergency runs to review");
    }
    for review in reviews {
        obligation(&mut page, review, now);
    }
    page.done()
}

/// Reviews that emergency runs owe, the most urgent first as they are given.
pub fn obligations_text(reviews: &[InboxReview], now: Timestamp, style: Style) -> String {
    let mut page = Page::new(style);
    if reviews.is_empty() {
        page.say(0, "no emergency run waits for a review", Paint::Good);
    }
    for review in reviews {
        obligation(&mut page, review, now);
    }
    page.done()
}

fn title(gate: &InboxGate) -> String {
    format!(
        "{} on {}: {}, risk {}, by {}",
        gate.runbook,
        gate.environment,
        gate.gate,
        risk_word(gate.risk),
        gate.started_by
    )
}

fn times(gate: &InboxGate, now: Timestamp) -> String {
    let since = human(now.since(gate.opened_at));
    match gate.expires_at {
        Some(at) if at <= now => format!("waits for {since}, its time is up"),
        Some(at) => format!("waits for {since}, {} left", human(at.since(now))),
        None => format!("waits for {since}"),
    }
}

fn said(vote: Vote) -> &'static str {
    match vote {
        Vote::Approve => "yes",
        Vote::Reject => "no",
        Vote::Withdraw => "nothing",
        Vote::SendBack => "send it back",
    }
}

fn obligation(page: &mut Page, review: &InboxReview, now: Timestamp) {
    let owed = &review.obligation;
    let symbol = page.style.symbol(match &owed.closed {
        Some(_) => Symbol::Good,
        None => Symbol::Care,
    });
    let text = format!(
        "{symbol} {} on {}, by {}, {}",
        owed.runbook,
        owed.environment,
        owed.actor.name,
        clock_time(owed.opened_at)
    );
    page.item(2, &text, Paint::Bold);
    page.item(4, &owed.reason, Paint::Plain);
    let (text, paint) = match &owed.closed {
        Some((at, verdict)) => (
            format!("{} {} UTC", verdict.as_str(), clock_time(*at)),
            Paint::Good,
        ),
        None if now > owed.due_at => (
            format!(
                "to be reviewed by {}: OVERDUE for {}",
                owed.review,
                human(now.since(owed.due_at))
            ),
            Paint::Bad,
        ),
        None => (
            format!(
                "to be reviewed by {} until {} UTC, {} left",
                owed.review,
                clock_time(owed.due_at),
                human(owed.due_at.since(now))
            ),
            Paint::Care,
        ),
    };
    page.item(4, &text, paint);
    if owed.closed.is_none() {
        page.command(4, &format!("runbook review {}", review.typed));
    }
}

/// A gate of the inbox for programs.
pub fn inbox_gate_json(gate: &InboxGate, now: Timestamp) -> Value {
    json!({
        "kind": "gate",
        "mine": gate.mine,
        "run": gate.run,
        "runbook": gate.runbook,
        "environment": gate.environment,
        "started_by": gate.started_by,
        "gate": gate.gate,
        "message": gate.message,
        "risk": gate.risk,
        "opened_at": gate.opened_at,
        "expires_at": gate.expires_at,
        "left_ms": gate.expires_at.map(|at| at.since(now).as_millis() as u64),
        "voted": gate.voted,
        "missing": gate.missing.iter().map(|lack| json!({
            "count": lack.count, "role": lack.role, "people": lack.people,
        })).collect::<Vec<_>>(),
        "command": format!("runbook approve {}", gate.typed),
    })
}

/// A review that an emergency run owes, or owed, for programs.
pub fn obligation_json(review: &InboxReview, now: Timestamp) -> Value {
    let owed = &review.obligation;
    json!({
        "kind": "review",
        "mine": review.mine,
        "run": owed.run,
        "runbook": owed.runbook,
        "environment": owed.environment,
        "started_by": owed.actor.name,
        "reason": owed.reason,
        "review": owed.review,
        "opened_at": owed.opened_at,
        "due_at": owed.due_at,
        "overdue": owed.closed.is_none() && now > owed.due_at,
        "closed_at": owed.closed.map(|(at, _)| at),
        "verdict": owed.closed.map(|(_, verdict)| verdict),
        "command": format!("runbook review {}", review.typed),
    })
}
