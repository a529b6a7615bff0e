//! What a reviewer is shown of a gate or of an emergency run, as text that a phone can show.

use std::time::Duration;

use super::lack::one_of;
use super::lines::person;
use super::page::Page;
use super::plan_text::risk_word;
use super::review::{Review, ReviewGate, ReviewRun, ReviewVote};
use super::review_steps::{ReviewStep, ReviewUndone};
use super::style::{Paint, Style, Symbol};
use super::text::{clock_time, count, human, value_text};
use crate::base::{Timestamp, Value};
use crate::event::Vote;
use crate::language::readable;
use crate::model::{Effect, OnExpiry, OnFailure, Risk};

/// The review on pages of any width from 40 columns on. Nothing of what will run is cut off.
pub fn review_text(review: &Review, now: Timestamp, style: Style) -> String {
    let mut page = Page::new(style);
    head(&mut page, review, now);
    if let Some(gate) = &review.gate {
        who(&mut page, gate, now);
        asked(&mut page, gate);
        changes(&mut page, review, now);
        steps(&mut page, "What it lets through", &review.ahead);
        if review.ahead.is_empty() {
            page.heading("What it lets through");
            page.say(2, "nothing comes after this gate", Paint::Dim);
        }
        steps(
            &mut page,
            "Then, to prove it and to end it",
            &review.closing,
        );
    }
    values(&mut page, review);
    rollback(&mut page, review);
    past(&mut page, review, now);
    page.heading("To do");
    for next in &review.commands {
        page.say(2, &format!("{}:", next.why), Paint::Dim);
        page.command(4, &next.command);
    }
    page.done()
}

fn ago(at: Timestamp, now: Timestamp) -> String {
    format!("{} ago", human(now.since(at)))
}

fn head(page: &mut Page, review: &Review, now: Timestamp) {
    let run = &review.run;
    let style = page.style;
    let gate = review.gate.as_ref();
    let what = match (gate, run.outcome) {
        (Some(gate), _) => format!("waits at `{}`", gate.step),
        (None, Some(outcome)) => outcome.to_string(),
        (None, None) => run.status.to_string(),
    };
    let symbol = style.symbol(Symbol::Gate);
    page.heading(&format!(
        "{symbol} {} on {}: {what}",
        run.runbook, run.environment
    ));
    if let Some(title) = &run.title {
        page.say(2, title, Paint::Dim);
    }
    if let Some(gate) = gate {
        page.block(2, &gate.message, Paint::Care);
    }
    facts(page, run, now);
    if let Some(gate) = gate {
        waits(page, gate, now);
    }
}

fn facts(page: &mut Page, run: &ReviewRun, now: Timestamp) {
    let style = page.style;
    if let Some(emergency) = &run.emergency {
        let text = format!("EMERGENCY: {}", emergency.reason);
        page.fact("why", &text, Paint::Bad);
        let text = match &run.reviewed {
            Some(done) => format!(
                "{} {} {}{}: {}",
                person(&done.by),
                done.verdict.as_str(),
                ago(done.at, now),
                if done.signed { ", signed" } else { "" },
                done.comment
            ),
            None if now > emergency.review_by => format!(
                "by {}, OVERDUE for {}",
                emergency.review,
                human(now.since(emergency.review_by))
            ),
            None => format!(
                "by {} until {} UTC ({} left)",
                emergency.review,
                clock_time(emergency.review_by),
                human(emergency.review_by.since(now))
            ),
        };
        page.fact("review", &text, Paint::Care);
    }
    page.fact("run", &run.id.to_string(), Paint::Plain);
    let text = format!("{}, {}", person(&run.started_by), ago(run.started_at, now));
    page.fact("asked by", &text, Paint::Plain);
    if let Some(behalf) = &run.on_behalf_of {
        page.fact("for", behalf, Paint::Care);
    }
    let place = match run.protected {
        true => format!("{} (protected)", run.environment),
        false => run.environment.clone(),
    };
    page.fact("where", &place, Paint::Plain);
    let severity = run
        .severity
        .map_or(String::new(), |severity| format!(", answers {severity:?}"));
    page.fact(
        "risk",
        &format!("{}{severity}", risk_word(run.risk)),
        risk_paint(run.risk),
    );
    if let Some(owner) = &run.owner {
        page.fact("owner", owner, Paint::Plain);
    }
    if let Some(change) = &run.changed_by {
        let text = match &change.commit {
            Some(commit) => {
                format!(
                    "by {} ({})",
                    change.author,
                    commit.get(..8).unwrap_or(commit)
                )
            }
            None => format!("by {} (not committed)", change.author),
        };
        page.fact("changed", &text, Paint::Plain);
    }
    let digest = format!("sha256:{}", run.plan_digest.short());
    page.fact("plan", &digest, Paint::Plain);
    for (name, value) in &run.params {
        let text = format!("{name}: {}", readable(&value_text(value, style)));
        page.fact("param", &text, Paint::Plain);
    }
}

fn risk_paint(risk: Risk) -> Paint {
    match risk {
        Risk::Low => Paint::Plain,
        Risk::Medium => Paint::Care,
        Risk::High => Paint::Bad,
    }
}

fn waits(page: &mut Page, gate: &ReviewGate, now: Timestamp) {
    let since = human(now.since(gate.opened_at));
    let then = match gate.on_expiry {
        OnExpiry::Deny => "then it is refused",
        OnExpiry::Escalate => "then others are told, then it is refused",
        OnExpiry::Park => "then it waits on without a limit",
    };
    let text = match (gate.expires_at, gate.parked) {
        (_, true) => format!("for {since}; nobody answered in time, it waits on"),
        (Some(at), _) if at <= now => format!("for {since}; its time is up"),
        (Some(at), _) => format!("for {since}; {} left, {then}", human(at.since(now))),
        (None, _) => format!("for {since}, without a limit"),
    };
    page.fact("waits", &text, Paint::Plain);
    if let Some((role, at)) = &gate.next_escalation {
        let text = format!("{role}, in {}", human(at.since(now)));
        page.fact("next told", &text, Paint::Plain);
    }
    if let Some(held) = &gate.held {
        page.fact("held", held, Paint::Care);
    }
}

fn who(page: &mut Page, gate: &ReviewGate, now: Timestamp) {
    page.heading(&format!("Who must approve (risk {})", risk_word(gate.risk)));
    if gate.demanded {
        page.say(
            2,
            "the policy demands this gate; the runbook does not have it",
            Paint::Dim,
        );
    }
    if gate.quorum.is_empty() {
        page.say(
            2,
            "anybody; one yes opens it, one no closes it",
            Paint::Plain,
        );
    }
    for item in &gate.quorum {
        let text = format!(
            "{} of {}: {}",
            item.count,
            item.role,
            item.people.join(", ")
        );
        page.item(2, &text, Paint::Plain);
    }
    if !gate.excluded.is_empty() {
        let text = format!("not in this run: {}", gate.excluded.join(", "));
        page.item(2, &text, Paint::Care);
    }
    if gate.require_signatures {
        page.item(2, "only signed votes count", Paint::Dim);
    }
    for vote in &gate.votes {
        let (text, paint) = vote_line(page.style, vote, gate.round, now);
        page.item(2, &text, paint);
        for (name, value) in &vote.inputs {
            page.value(6, name, &value_text(value, page.style), Paint::Plain);
        }
    }
    if gate.votes.is_empty() {
        page.say(2, "nobody has voted yet", Paint::Dim);
    }
    for lack in gate.missing.iter().filter(|_| !gate.quorum.is_empty()) {
        let people = match lack.people.is_empty() {
            true => String::new(),
            false => format!(": {}", one_of(&lack.people)),
        };
        let text = format!("still missing: {} of {}{people}", lack.count, lack.role);
        page.item(2, &text, Paint::Care);
    }
    if !gate.voided.is_empty() {
        page.say(
            2,
            "earlier votes are void, because something changed:",
            Paint::Care,
        );
        for difference in &gate.voided {
            page.item(4, &difference.told(), Paint::Care);
        }
    }
}

fn vote_line(style: Style, vote: &ReviewVote, round: u32, now: Timestamp) -> (String, Paint) {
    let (symbol, verb, paint) = match vote.vote {
        Vote::Approve => (Symbol::Good, "approved".to_owned(), Paint::Good),
        Vote::Reject => (Symbol::Bad, "rejected".to_owned(), Paint::Bad),
        Vote::Withdraw => (Symbol::Undone, "took the vote back".to_owned(), Paint::Dim),
        Vote::SendBack => {
            let to = vote.to.as_ref().map_or("", |to| to.as_str());
            (
                Symbol::Again,
                format!("sent it back to `{to}`"),
                Paint::Care,
            )
        }
    };
    let proof = match vote.by.verified {
        true => "signed",
        false => "not signed",
    };
    let comment = vote
        .comment
        .as_ref()
        .map_or(String::new(), |c| format!(": {c}"));
    let mut text = format!(
        "{} {} {verb} {}, {proof}{comment}",
        style.symbol(symbol),
        person(&vote.by),
        ago(vote.at, now)
    );
    let mut paint = paint;
    if vote.round != round {
        text.push_str(&format!(" (of round {}, void)", vote.round));
        paint = Paint::Dim;
    } else if let Some(why) = &vote.why_not {
        text.push_str(&format!(" (does not count: {why})"));
        paint = Paint::Dim;
    }
    (text, paint)
}

fn asked(page: &mut Page, gate: &ReviewGate) {
    if gate.inputs.is_empty() {
        return;
    }
    page.heading("What you fill in");
    for input in &gate.inputs {
        let default = match &input.default {
            Some(value) => format!(", default {}", value_text(value, page.style)),
            None => ", must be given".to_owned(),
        };
        let what = input
            .description
            .as_ref()
            .map_or(String::new(), |d| format!(": {d}"));
        let text = format!("{} ({}{default}){what}", input.name, input.ty);
        page.item(2, &text, Paint::Plain);
    }
}

fn changes(page: &mut Page, review: &Review, now: Timestamp) {
    let changes = &review.changes;
    let Some(at) = changes.since_at else {
        page.heading("What is new");
        page.say(
            2,
            "no run of this runbook was approved here before",
            Paint::Care,
        );
        return;
    };
    page.heading(&format!(
        "What is new since the last approved run ({})",
        ago(at, now)
    ));
    if changes.differences.is_empty() {
        page.say(2, "nothing: the same plan", Paint::Good);
    }
    for difference in &changes.differences {
        page.item(2, &difference.told(), Paint::Care);
    }
}

fn steps(page: &mut Page, heading: &str, steps: &[ReviewStep]) {
    if steps.is_empty() {
        return;
    }
    page.heading(heading);
    for step in steps {
        let left = 2 + 2 * step.depth.min(4);
        let name = step
            .name
            .as_ref()
            .map_or(String::new(), |n| format!(": {n}"));
        page.item(left, &format!("{}{name}", step.id), Paint::Name);
        let effect = match step.effect {
            Some(Effect::Read) => ", only reads",
            Some(_) => ", changes something",
            None => "",
        };
        let changes = !matches!(step.effect, None | Some(Effect::Read));
        let paint = if changes { Paint::Plain } else { Paint::Dim };
        page.item(left + 2, &format!("{}{effect}", step.uses), paint);
        for (key, condition) in &step.conditions {
            page.value(left + 2, key, condition, Paint::Template);
        }
        if let Some(list) = &step.for_each {
            page.value(
                left + 2,
                "for each",
                &shown(list, page.style),
                Paint::Template,
            );
        }
        inputs(page, left + 2, &step.inputs);
        match &step.undo {
            Some(ReviewUndone::UndoneBy { uses }) => {
                page.item(left + 2, &format!("undone by {uses}"), Paint::Good);
            }
            Some(ReviewUndone::Irreversible { reason }) => {
                page.item(left + 2, &format!("cannot be undone: {reason}"), Paint::Bad);
            }
            Some(ReviewUndone::Nothing) => page.item(left + 2, "nothing undoes it", Paint::Care),
            None => {}
        }
    }
}

fn inputs(page: &mut Page, left: usize, inputs: &Value) {
    match inputs {
        Value::Object(map) => {
            for (key, value) in map.iter().filter(|(_, value)| !is_empty(value)) {
                page.value(left, key, &shown(value, page.style), Paint::Plain);
            }
        }
        Value::Null => {}
        other => page.value(left, "with", &shown(other, page.style), Paint::Plain),
    }
}

/// A value; a text stands as it is.
fn shown(value: &Value, style: Style) -> String {
    match value {
        Value::String(text) if !text.trim().is_empty() => readable(text).into_owned(),
        other => readable(&value_text(other, style)).into_owned(),
    }
}

/// Whether a value says something.
fn is_empty(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::String(text) => text.is_empty(),
        Value::Array(items) => items.is_empty(),
        Value::Object(map) => map.is_empty(),
        Value::Bool(_) | Value::Number(_) => false,
    }
}

fn values(page: &mut Page, review: &Review) {
    if review.values.is_empty() {
        return;
    }
    page.heading("What was read so far");
    for value in &review.values {
        page.item(2, value.step.as_str(), Paint::Name);
        inputs(page, 4, &value.outputs);
    }
}

fn rollback(page: &mut Page, review: &Review) {
    let plan = &review.rollback;
    if plan.undo.is_empty() {
        return;
    }
    page.heading("If it fails");
    match plan.on_failure {
        OnFailure::Rollback => page.say(2, "what was done is undone, the last first:", Paint::Dim),
        OnFailure::Stop => page.say(2, "it stops and leaves everything as it is", Paint::Care),
    }
    for undo in &plan.undo {
        let (how, paint) = match &undo.undo {
            ReviewUndone::UndoneBy { uses } => (format!("by {uses}"), Paint::Plain),
            ReviewUndone::Irreversible { reason } => {
                (format!("cannot be undone: {reason}"), Paint::Bad)
            }
            ReviewUndone::Nothing => ("nothing undoes it".to_owned(), Paint::Care),
        };
        let done = if undo.done { " (done already)" } else { "" };
        page.item(2, &format!("{}{done}: {how}", undo.step), paint);
    }
    if !plan.no_return.is_empty() {
        let names: Vec<&str> = plan
            .no_return
            .iter()
            .map(|(step, _)| step.as_str())
            .collect();
        let text = format!("no way back after: {}", names.join(", "));
        page.item(2, &text, Paint::Bad);
    }
}

fn past(page: &mut Page, review: &Review, now: Timestamp) {
    let past = &review.past;
    page.heading("How it went before, here");
    let Some(last) = &past.last else {
        page.say(2, "first run of this runbook here", Paint::Care);
        page.say(2, "last drill: none on record", Paint::Dim);
        return;
    };
    let rate = past.success_rate.unwrap_or(0.0) * 100.0;
    let text = format!(
        "{}, {} succeeded ({rate:.0}%)",
        count(past.runs, "run"),
        past.succeeded
    );
    let paint = match past.succeeded == past.runs {
        true => Paint::Good,
        false => Paint::Care,
    };
    page.say(2, &text, paint);
    if let (Some(median), Some(p95)) = (past.median_ms, past.p95_ms) {
        let took = |ms| human(Duration::from_millis(ms));
        let text = format!("took {} (median), {} (p95)", took(median), took(p95));
        page.say(2, &text, Paint::Plain);
    }
    let text = format!("last: {}, {}", last.outcome, ago(last.ended_at, now));
    page.say(2, &text, Paint::Plain);
    page.say(2, "last drill: none on record", Paint::Dim);
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use serde_json::json;

    use super::*;
    use crate::base::{Digest, HumanDuration};
    use crate::event::{Actor, Ballot, Emergency, EventKind};
    use crate::model::Ty;
    use crate::plan::{
        Plan, PlanCalendar, PlanGate, PlanGateInput, PlanPerson, PlanPolicy, PlanQuorum, PlanRule,
    };
    use crate::report::fixtures::{self, Story, id, record, restart_plan};
    use crate::report::text::width;
    use crate::report::{Places, ReviewInput, standing};

    fn policy() -> PlanPolicy {
        let of = |count, role: &str, members: &[&str]| PlanQuorum {
            count,
            role: role.to_owned(),
            members: members.iter().map(|name| (*name).to_owned()).collect(),
        };
        let people = ["ada", "bob", "eve", "maria"];
        PlanPolicy {
            file: "runbooks/policy.yaml".to_owned(),
            rules: [(
                Risk::High,
                PlanRule {
                    quorum: vec![
                        of(2, "architecture-review", &["ada", "eve", "maria"]),
                        of(1, "dba", &["bob", "eve"]),
                    ],
                    expires: None,
                    vote_expires: None,
                    on_expiry: OnExpiry::Deny,
                },
            )]
            .into(),
            people: people
                .map(|name| (name.to_owned(), PlanPerson::default()))
                .into(),
            require_signatures: false,
            self_approval: false,
            exclude_author: false,
            windows: Vec::new(),
            freezes: Vec::new(),
            calendar: PlanCalendar {
                time_zone: "UTC".to_owned(),
                business_days: vec![1, 2, 3, 4, 5],
                business_hours: (540, 1020),
                holidays: Vec::new(),
            },
            escalation: Vec::new(),
            emergency: None,
        }
    }

    fn plan() -> Plan {
        let mut plan = restart_plan();
        plan.policy = Some(Box::new(policy()));
        plan.environment.protected = true;
        plan.steps[1].gate = Some(Box::new(PlanGate {
            risk: Risk::High,
            inputs: [(
                "window".to_owned(),
                PlanGateInput {
                    ty: Ty::Duration,
                    default: Some(json!("10m")),
                    description: Some("How long it may take, from the first request on".to_owned()),
                    rule: None,
                },
            )]
            .into(),
            reads: Vec::new(),
            on_expiry: None,
            demanded: false,
        }));
        plan
    }

    /// Waits, and somebody of the role has voted.
    fn voted() -> Story {
        let mut story = fixtures::waiting();
        let ballot = Ballot {
            inputs: [("window".to_owned(), json!("10m"))].into_iter().collect(),
            ..Ballot::plain(
                Vote::Approve,
                Digest::of_bytes(b"plan"),
                Some("looked at the graphs of the last hour".to_owned()),
            )
        };
        let ada = Actor {
            name: "ada".to_owned(),
            host: "phone".to_owned(),
            verified: true,
        };
        story.then(90_000, ballot.cast(id("go"), ada, None));
        story
    }

    fn review(story: &Story, gate: bool) -> Review {
        let state = standing(Arc::new(plan()), &story.events, &[]).expect("sound");
        let open = state.open_gates();
        let mut earlier = restart_plan();
        earlier.steps[3].timeout = Some(HumanDuration(Duration::from_secs(60)));
        let done = record(&fixtures::success());
        let past = [crate::store::RunRecord {
            id: crate::base::RunId::from_parts(1, 1),
            ..done
        }];
        Review::of(&ReviewInput {
            run: &record(story),
            state: &state,
            events: &story.events,
            gate: open.first().filter(|_| gate),
            approved: Some((&past[0], &earlier)),
            past: &past,
            places: &Places {
                prefix: "01M8".to_owned(),
                ..Places::default()
            },
            now: story.now().plus(Duration::from_secs(600)),
        })
    }

    #[test]
    fn a_phone_shows_all_of_it() {
        let story = voted();
        let review = review(&story, true);
        let now = story.now().plus(Duration::from_secs(600));
        let text = review_text(&review, now, Style::plain(40));
        insta::assert_snapshot!("review_on_a_phone", text);
        for columns in [40, 60, 80, 120] {
            let text = review_text(&review, now, Style::plain(columns));
            // Commands are never broken: they are to be copied.
            let lines = text.lines().filter(|line| !line.contains("runbook "));
            for line in lines {
                assert!(width(line) <= columns, "{columns}: {line}");
            }
        }
    }

    #[test]
    fn the_form_for_programs_is_stable() {
        let value = serde_json::to_value(review(&voted(), true)).expect("JSON");
        insta::assert_json_snapshot!("review_for_programs", value);
    }

    #[test]
    fn an_emergency_run_shows_why_and_until_when_it_is_to_be_reviewed() {
        let mut story = fixtures::success();
        let due = story.now().plus(Duration::from_secs(3600));
        if let Some(first) = story.events.first_mut()
            && let EventKind::RunCreated { emergency, .. } = &mut first.event
        {
            *emergency = Some(Emergency {
                reason: "all \u{1b}[2Jis down".to_owned(),
                review: "architecture-review".to_owned(),
                review_by: due,
            });
        }
        let review = review(&story, false);
        let text = review_text(&review, story.now(), Style::plain(60));
        assert!(text.contains("EMERGENCY: all \\x1b[2Jis down"), "{text}");
        assert!(text.contains("(1h left)"), "{text}");
        assert!(
            text.contains("runbook review 01M8 --object --comment TEXT"),
            "{text}"
        );
        let late = due.plus(Duration::from_secs(60));
        let text = review_text(&review, late, Style::plain(60));
        assert!(text.contains("OVERDUE for 1m"), "{text}");
    }
}
