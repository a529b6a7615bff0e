//! The life of a gate: what is looked at again before it opens, what voids votes, what happens when
//! nobody answers.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};

use super::sim::{
    Files, Sim, action, created, digest, failure, gate, id, person, plan, step, undo,
};
use crate::base::{Digest, EventSeq, HumanDuration, StepId, Timestamp};
use crate::event::{
    Ballot, Difference, Emergency, EventKind, Failure, FailureKind, LastChange, Outcome,
    ReviewVerdict, RunEvent, RunStatus, SkipReason, Vote,
};
use crate::model::{Effect, Escape, OnExpiry, Risk, Ty};
use crate::plan::{
    Expr, Plan, PlanCalendar, PlanDelay, PlanEscalation, PlanForEach, PlanFreeze, PlanGate,
    PlanGateInput, PlanPerson, PlanPolicy, PlanQuorum, PlanRule, PlanStep,
};
use crate::run::{CallKind, Hold, NodeStatus, RunState, Target, Verdict};

pub(super) fn policy(count: u32, members: &[&str]) -> PlanPolicy {
    let members: Vec<String> = members.iter().map(|name| (*name).to_owned()).collect();
    let rule = PlanRule {
        quorum: vec![PlanQuorum {
            count,
            role: "lead".into(),
            members: members.clone(),
        }],
        expires: None,
        vote_expires: None,
        on_expiry: OnExpiry::Deny,
    };
    let person = |name: &String| {
        let contact = Some(format!("{name}@example.org"));
        let person = PlanPerson {
            contact,
            ..PlanPerson::default()
        };
        (name.clone(), person)
    };
    PlanPolicy {
        file: "policy.yaml".into(),
        rules: [(Risk::Low, rule)].into(),
        people: members.iter().map(person).collect(),
        require_signatures: true,
        self_approval: false,
        exclude_author: true,
        windows: vec![],
        freezes: vec![],
        calendar: PlanCalendar {
            time_zone: "UTC".into(),
            business_days: vec![1, 2, 3, 4, 5],
            business_hours: (540, 1020),
            holidays: vec![],
        },
        escalation: vec![],
        emergency: None,
    }
}

fn two_leads() -> PlanPolicy {
    policy(2, &["ana", "bob", "cy", "dan"])
}

pub(super) fn asking(reads: &[&str]) -> Option<Box<PlanGate>> {
    Some(Box::new(PlanGate {
        risk: Risk::Low,
        inputs: BTreeMap::new(),
        reads: reads.iter().map(|read| id(read)).collect(),
        on_expiry: None,
        demanded: false,
    }))
}

fn template(text: &str) -> Expr {
    Expr::Template {
        text: text.into(),
        escape: Escape::None,
    }
}

fn secs(n: u64) -> HumanDuration {
    HumanDuration(Duration::from_secs(n))
}

/// `before` is read, `go` shows what it says, `after` comes after.
fn guarded(policy: Option<PlanPolicy>) -> Plan {
    let before = PlanStep {
        action: action("look", Effect::Read),
        ..step("before", &[])
    };
    let mut go = gate("go", &["before"]);
    go.gate = asking(&["before"]);
    go.action.with = Expr::Map(
        [(
            "message".to_owned(),
            template("up since {{ steps.before.outputs.at }}"),
        )]
        .into(),
    );
    let mut made = plan(vec![before, go, step("after", &["go"])], vec![]);
    made.policy = policy.map(Box::new);
    made
}

/// What the look says when it is called: the n-th of these, then the last for ever.
struct Looks(RefCell<Vec<Result<Value, Failure>>>);

impl Looks {
    fn of(said: &[&str]) -> Self {
        let one = |said: &&str| match *said {
            "fails" => Err(failure(FailureKind::Unavailable)),
            said => Ok(json!({ "at": said, "healthy": said != "ill", "other": 1 })),
        };
        Self(RefCell::new(said.iter().map(one).collect()))
    }

    fn next(&self) -> Result<Value, Failure> {
        let mut left = self.0.borrow_mut();
        match left.len() {
            0 => Ok(json!({})),
            1 => left[0].clone(),
            _ => left.remove(0),
        }
    }
}

fn run(sim: &mut Sim, looks: &Looks) {
    let script = |step: &StepId, _: bool, _: u32| match step.as_str() {
        "before" | "go" => looks.next(),
        _ => Ok(json!({})),
    };
    sim.run(&script, &mut |_| 0);
}

/// What happened at the gates, and what ran after them.
fn story(events: &[RunEvent]) -> String {
    let told = |event: &RunEvent| {
        Some(match &event.event {
            EventKind::GateOpened { .. } => "open".to_owned(),
            EventKind::VoteCast { vote, actor, .. } => {
                let sign = match vote {
                    Vote::Approve => '+',
                    Vote::Reject => '-',
                    Vote::Withdraw => '~',
                    Vote::SendBack => '<',
                };
                format!("{sign}{}", actor.name)
            }
            EventKind::GateReadStarted { .. } => "look".to_owned(),
            EventKind::GateRead { failure: None, .. } => "seen".to_owned(),
            EventKind::GateRead { .. } => "unseen".to_owned(),
            EventKind::GateSurveyed { .. } => "survey".to_owned(),
            EventKind::GateHeld { .. } => "held".to_owned(),
            EventKind::GateVoided { .. } => "void".to_owned(),
            EventKind::GateEscalated { level, .. } => format!("tell{level}"),
            EventKind::GateNotified { level, failure, .. } => match failure {
                None => format!("told{level}"),
                Some(_) => format!("untold{level}"),
            },
            EventKind::GateParked { .. } => "parked".to_owned(),
            EventKind::GateApproved { .. } => "approved".to_owned(),
            EventKind::GateRejected { .. } => "rejected".to_owned(),
            EventKind::GateExpired { .. } => "expired".to_owned(),
            EventKind::RunResumed { .. } => "resumed".to_owned(),
            EventKind::StepStarted { step, .. } if step.as_str() == "after" => "after".to_owned(),
            EventKind::RunFinished { outcome, .. } => outcome.as_str().to_owned(),
            _ => return None,
        })
    };
    let told: Vec<String> = events.iter().filter_map(told).collect();
    told.join(" ")
}

fn voided(sim: &Sim) -> Vec<String> {
    let told = |event: &RunEvent| match &event.event {
        EventKind::GateVoided { differences, .. } => Some(Difference::list(differences)),
        _ => None,
    };
    sim.events.iter().filter_map(told).collect()
}

/// Folding the events again gives the same state.
fn folds(sim: &Sim) {
    let mut again = RunState::new(Arc::clone(sim.state.plan())).expect("sound");
    for event in &sim.events {
        again.apply(event).expect("legal");
    }
    assert!(again.nodes().eq(sim.state.nodes()));
    assert_eq!(again.open_gates(), sim.state.open_gates());
}

#[test]
fn a_gate_opens_when_what_was_shown_is_still_so() {
    // What the look says in order, and who votes; the votes are cast whenever nothing moves.
    let cases: [(&[&str], &[&str], &str); 5] = [
        (
            &["noon"],
            &["+bob", "+cy"],
            "open +bob +cy look seen survey approved after succeeded",
        ),
        (
            &["noon", "one"],
            &["+bob", "+cy", "+bob", "+cy"],
            "open +bob +cy look seen survey void +bob +cy look seen survey approved after succeeded",
        ),
        (
            &["noon", "fails", "noon"],
            &["+bob", "+cy", "+bob", "+cy"],
            "open +bob +cy look unseen survey void +bob +cy look seen survey approved after succeeded",
        ),
        (
            &["noon"],
            &["+ana", "+bob", "+eve", "+bob", "+cy"],
            "open +ana +bob +eve +bob +cy look seen survey approved after succeeded",
        ),
        (
            &["noon"],
            &["+bob", "~bob", "+cy", "-dan"],
            "open +bob ~bob +cy -dan rejected rejected",
        ),
    ];
    for (said, votes, expected) in cases {
        let mut sim = Sim::new(guarded(Some(two_leads())), 2);
        let looks = Looks::of(said);
        run(&mut sim, &looks);
        assert!(sim.state.waits_only_for_gates());
        for vote in votes {
            let said = match vote.as_bytes()[0] {
                b'+' => Vote::Approve,
                b'-' => Vote::Reject,
                _ => Vote::Withdraw,
            };
            sim.vote_of("go", &vote[1..], said);
            run(&mut sim, &looks);
        }
        assert_eq!(story(&sim.events), expected);
        folds(&sim);
    }
}

#[test]
fn a_void_says_what_changed_and_shows_it_to_the_next_round() {
    let mut sim = Sim::new(guarded(Some(two_leads())), 2);
    let looks = Looks::of(&["noon", "one", "one"]);
    run(&mut sim, &looks);
    sim.vote_of("go", "bob", Vote::Approve);
    sim.vote_of("go", "cy", Vote::Approve);
    run(&mut sim, &looks);
    assert_eq!(voided(&sim), ["before: outputs.at: noon → one"]);
    let open = sim.state.open_gates().remove(0);
    assert_eq!(open.round, 2);
    assert!(open.message.starts_with("up since one"));
    assert!(sim.state.waits_only_for_gates());
    // An old vote that comes late counts for nothing.
    sim.vote("go", Vote::Approve);
    sim.vote_of("go", "bob", Vote::Approve);
    run(&mut sim, &looks);
    assert_eq!(sim.state.status(), RunStatus::Waiting);
    sim.vote_of("go", "cy", Vote::Approve);
    run(&mut sim, &looks);
    assert_eq!(sim.state.outcome(), Some(Outcome::Succeeded));
    let outputs = &sim.state.node(&id("go")).expect("a gate").outputs;
    assert_eq!(outputs["approved_by"], json!(["bob", "cy"]));
    // What is on record of the read step stays what it was.
    assert_eq!(
        sim.state.node(&id("before")).expect("read").outputs["at"],
        "noon"
    );
    folds(&sim);
}

#[test]
fn a_value_that_nobody_was_shown_may_change() {
    let mut sim = Sim::new(guarded(Some(two_leads())), 2);
    let looks = Looks(RefCell::new(vec![
        Ok(json!({ "at": "noon", "other": 1 })),
        Ok(json!({ "at": "noon", "other": 2 })),
    ]));
    run(&mut sim, &looks);
    sim.vote_of("go", "bob", Vote::Approve);
    sim.vote_of("go", "cy", Vote::Approve);
    run(&mut sim, &looks);
    assert_eq!(sim.state.outcome(), Some(Outcome::Succeeded));
}

#[test]
fn verify_of_a_gate_is_judged_by_fresh_values_also_without_a_policy() {
    let mut made = guarded(None);
    made.steps[1].verify = Some("steps.before.outputs.healthy".into());
    let with = json!({ "message": "go on?" });
    made.steps[1].action.with = Expr::Value(with);
    let mut sim = Sim::new(made, 2);
    let looks = Looks::of(&["well", "ill", "well"]);
    run(&mut sim, &looks);
    sim.vote("go", Vote::Approve);
    run(&mut sim, &looks);
    assert_eq!(
        voided(&sim),
        [
            "`verify` does not hold: `steps.before.outputs.healthy` (`steps.before.outputs.healthy` is false)"
        ]
    );
    sim.vote_of("go", "zoe", Vote::Approve);
    run(&mut sim, &looks);
    assert_eq!(
        story(&sim.events),
        "open +ana look seen void +zoe look seen approved after succeeded"
    );
    folds(&sim);
}

fn changed(to: &str) -> Files {
    Files {
        plan_digest: Some(Digest::of_bytes(to.as_bytes())),
        differences: vec![Difference {
            what: "step after: with.n".into(),
            before: "1".into(),
            after: to.into(),
        }],
        policy: Value::Null,
    }
}

#[test]
fn changed_files_void_the_votes_once() {
    let mut sim = Sim::new(guarded(Some(two_leads())), 2);
    let looks = Looks::of(&["noon"]);
    run(&mut sim, &looks);
    for (files, outcome) in [("2", None), ("3", None), ("3", Some(Outcome::Succeeded))] {
        sim.files = Some(changed(files));
        sim.vote_of("go", "bob", Vote::Approve);
        sim.vote_of("go", "cy", Vote::Approve);
        run(&mut sim, &looks);
        assert_eq!(sim.state.outcome(), outcome, "{files}");
    }
    assert_eq!(
        voided(&sim),
        ["step after: with.n: 1 → 2", "step after: with.n: 1 → 3"]
    );
    let confirmed = sim.events.iter().find_map(|event| match &event.event {
        EventKind::GateApproved { confirmed, .. } => *confirmed,
        _ => None,
    });
    assert_eq!(confirmed, Some(Digest::of_bytes(b"3")));
    folds(&sim);
}

#[test]
fn a_policy_that_changed_meanwhile_is_the_one_that_counts() {
    let two_gates = || {
        let mut made = guarded(Some(two_leads()));
        let mut other = gate("other", &[]);
        other.gate = asking(&[]);
        made.steps.push(other);
        made
    };
    let mut sim = Sim::new(two_gates(), 2);
    let looks = Looks::of(&["noon"]);
    run(&mut sim, &looks);
    let stricter = policy(3, &["bob", "cy", "dan"]);
    sim.files = Some(Files {
        policy: serde_json::to_value(&stricter).expect("JSON"),
        ..changed("policy")
    });
    sim.vote_of("go", "bob", Vote::Approve);
    sim.vote_of("go", "cy", Vote::Approve);
    sim.vote_of("other", "bob", Vote::Approve);
    run(&mut sim, &looks);
    sim.files = None;
    for (gate, who, waiting) in [
        ("go", "bob", 2),
        ("go", "cy", 2),
        ("go", "dan", 1),
        // Cast before another policy came into force, the first vote here counts no more than these.
        ("other", "cy", 1),
        ("other", "dan", 1),
        ("other", "bob", 1),
        ("other", "cy", 1),
        ("other", "dan", 0),
    ] {
        sim.vote_of(gate, who, Vote::Approve);
        run(&mut sim, &looks);
        assert_eq!(sim.state.open_gates().len(), waiting, "{gate} {who}");
    }
    assert_eq!(voided(&sim)[1], "another policy came into force");
    assert_eq!(sim.state.outcome(), Some(Outcome::Succeeded));
    folds(&sim);
}

#[test]
fn votes_that_change_while_it_is_looked_at_again_are_judged_again() {
    // Withdrawn while the look is under way; then given again, which asks for a fresh look.
    let mut sim = Sim::new(guarded(Some(two_leads())), 2);
    let looks = Looks::of(&["noon"]);
    run(&mut sim, &looks);
    sim.vote_of("go", "bob", Vote::Approve);
    sim.vote_of("go", "cy", Vote::Approve);
    sim.settle_decisions();
    assert!(!sim.state.waits_only_for_gates(), "a look is under way");
    sim.vote_of("go", "cy", Vote::Withdraw);
    run(&mut sim, &looks);
    assert!(sim.state.waits_only_for_gates());
    sim.vote_of("go", "cy", Vote::Approve);
    run(&mut sim, &looks);
    assert_eq!(
        story(&sim.events),
        "open +bob +cy look ~cy seen +cy look seen survey approved after succeeded"
    );
    folds(&sim);
}

#[test]
fn a_vote_that_lapses_during_the_look_does_not_open_the_gate() {
    let mut leads = two_leads();
    leads
        .rules
        .get_mut(&Risk::Low)
        .expect("a rule")
        .vote_expires = Some(secs(60));
    let mut sim = Sim::new(guarded(Some(leads)), 2);
    let looks = Looks::of(&["noon"]);
    run(&mut sim, &looks);
    sim.vote_of("go", "bob", Vote::Approve);
    sim.advance(50);
    sim.vote_of("go", "cy", Vote::Approve);
    sim.settle_decisions();
    sim.advance(10);
    run(&mut sim, &looks);
    assert_eq!(story(&sim.events), "open +bob +cy look seen");
    let judged = sim.state.judge(&id("go"), sim.now).expect("open");
    assert_eq!(judged.verdict, Verdict::Pending);
    sim.vote_of("go", "bob", Vote::Approve);
    run(&mut sim, &looks);
    assert_eq!(sim.state.outcome(), Some(Outcome::Succeeded));
    folds(&sim);
}

#[test]
fn a_crash_loses_what_was_under_way_and_it_is_done_again() {
    let mut sim = Sim::new(guarded(Some(two_leads())), 2);
    let looks = Looks::of(&["noon"]);
    run(&mut sim, &looks);
    sim.vote_of("go", "bob", Vote::Approve);
    sim.vote_of("go", "cy", Vote::Approve);
    run(&mut sim, &looks);
    let names: Vec<&str> = sim.events.iter().map(|e| e.event.name()).collect();
    let first = names
        .iter()
        .position(|n| *n == "gate_read_started")
        .expect("a look");
    let last = names
        .iter()
        .position(|n| *n == "gate_approved")
        .expect("approved");
    for cut in first..last {
        let plan = guarded(Some(two_leads()));
        let mut again = Sim::resumed(plan, 2, &sim.events[..=cut]);
        run(&mut again, &looks);
        let told = story(&again.events);
        assert!(
            told.ends_with("resumed look seen survey approved after succeeded"),
            "{told}"
        );
        folds(&again);
    }
}

#[test]
fn a_freeze_holds_a_gate_whose_votes_suffice() {
    let mut leads = two_leads();
    // The runs of these tests begin at 1970-01-01T00:16:40Z.
    leads.freezes.push(PlanFreeze {
        name: "new year".into(),
        from: "1969-12-31".into(),
        to: "1970-01-01T01:00".into(),
    });
    let mut sim = Sim::new(guarded(Some(leads)), 2);
    let looks = Looks::of(&["noon"]);
    let script = |step: &StepId, _: bool, _: u32| match step.as_str() {
        "before" | "go" => looks.next(),
        _ => Ok(json!({})),
    };
    sim.run(&script, &mut |_| 0);
    sim.vote_of("go", "bob", Vote::Approve);
    sim.vote_of("go", "cy", Vote::Approve);
    let wake = sim.settle_decisions();
    let hour = Timestamp::from_unix_millis(3_600_000);
    assert_eq!(wake, Some(hour));
    assert!(sim.state.waits_only_for_gates());
    let held = sim.state.open_gates().remove(0).held.expect("held");
    assert!(held.reason.contains("new year"), "{held:?}");
    assert_eq!(held.until, Some(hour));
    run(&mut sim, &looks);
    assert_eq!(
        story(&sim.events),
        "open +bob +cy held look seen survey approved after succeeded"
    );
    folds(&sim);
}

fn level(role: &str, channel: Option<&str>, after: u64) -> PlanEscalation {
    PlanEscalation {
        after: PlanDelay::Time(secs(after)),
        role: role.into(),
        members: vec!["bob".into(), "cy".into()],
        channel: channel.map(str::to_owned),
        respond_within: PlanDelay::Time(secs(60)),
    }
}

fn chained(channels: [Option<&str>; 2], expires: u64, on_expiry: OnExpiry) -> Plan {
    let mut leads = two_leads();
    leads.escalation = vec![
        level("on-call", channels[0], 0),
        level("team-lead", channels[1], 60),
    ];
    let rule = leads.rules.get_mut(&Risk::Low).expect("a rule");
    (rule.expires, rule.on_expiry) = (Some(secs(expires)), on_expiry);
    guarded(Some(leads))
}

#[test]
fn nobody_answers() {
    let (none, both) = ([None, None], [Some("ops"), Some("mail")]);
    let cases = [
        (
            none,
            300,
            OnExpiry::Deny,
            "open tell1 tell2 expired expired",
            300,
        ),
        (
            both,
            300,
            OnExpiry::Deny,
            "open tell1 told1 tell2 told2 expired expired",
            300,
        ),
        (none, 30, OnExpiry::Deny, "open tell1 expired expired", 30),
        // The rest of the chain is told when the question lapses, and has its time to answer.
        (
            none,
            30,
            OnExpiry::Escalate,
            "open tell1 tell2 expired expired",
            90,
        ),
        (
            both,
            30,
            OnExpiry::Escalate,
            "open tell1 told1 tell2 told2 expired expired",
            90,
        ),
        (
            none,
            100,
            OnExpiry::Escalate,
            "open tell1 tell2 expired expired",
            120,
        ),
        (
            none,
            300,
            OnExpiry::Escalate,
            "open tell1 tell2 expired expired",
            300,
        ),
        (none, 300, OnExpiry::Park, "open tell1 tell2 parked", 300),
    ];
    for (channels, expires, on_expiry, expected, seconds) in cases {
        let mut sim = Sim::new(chained(channels, expires, on_expiry), 1);
        let begun = sim.now;
        run(&mut sim, &Looks::of(&["noon"]));
        assert_eq!(story(&sim.events), expected, "{on_expiry:?} {expires}");
        assert_eq!(
            sim.now.since(begun),
            Duration::from_secs(seconds),
            "{expected}"
        );
        folds(&sim);
    }
}

#[test]
fn a_parked_gate_waits_without_a_limit_and_can_still_be_passed() {
    let mut sim = Sim::new(chained([None, None], 30, OnExpiry::Park), 1);
    let looks = Looks::of(&["noon"]);
    run(&mut sim, &looks);
    let open = sim.state.open_gates().remove(0);
    assert!(open.parked && open.expires_at.is_none() && open.next_escalation.is_none());
    assert!(sim.state.waits_only_for_gates());
    sim.advance(1_000_000);
    sim.vote_of("go", "bob", Vote::Approve);
    sim.vote_of("go", "cy", Vote::Approve);
    run(&mut sim, &looks);
    assert_eq!(sim.state.outcome(), Some(Outcome::Succeeded));
    folds(&sim);
}

#[test]
fn a_message_of_the_chain_says_whom_it_is_for_and_may_fail_or_be_lost() {
    let mut sim = Sim::new(chained([Some("ops"), None], 300, OnExpiry::Deny), 1);
    let looks = Looks::of(&["noon"]);
    sim.settle_decisions();
    sim.finish(0, looks.next());
    sim.settle_decisions();
    let target = Target {
        step: id("go"),
        call: CallKind::Notice(1),
    };
    assert_eq!(sim.running, [(target.clone(), false)]);
    assert_eq!(sim.state.uses_of(&target), Some("notify"));
    assert!(!sim.state.waits_only_for_gates(), "a message is being sent");
    let next = sim
        .state
        .open_gates()
        .remove(0)
        .next_escalation
        .expect("a level");
    assert_eq!((next.0, next.1.as_str()), (2, "team-lead"));
    // Sent again after a crash, and a failure to send fails nothing.
    let mut sim = Sim::resumed(sim.state.plan().as_ref().clone(), 1, &sim.events);
    sim.settle_decisions();
    assert_eq!(sim.running, [(target, false)]);
    sim.finish(0, Err(failure(FailureKind::Unavailable)));
    assert!(sim.state.waits_only_for_gates());
    run(&mut sim, &looks);
    assert_eq!(
        story(&sim.events),
        "open tell1 resumed tell1 untold1 tell2 expired expired"
    );
    folds(&sim);
}

#[test]
fn what_is_under_way_for_a_gate_is_stopped_when_the_run_ends() {
    let mut sim = Sim::new(chained([Some("ops"), None], 300, OnExpiry::Deny), 2);
    let looks = Looks::of(&["noon"]);
    sim.settle_decisions();
    sim.finish(0, looks.next());
    sim.settle_decisions();
    sim.vote_of("go", "bob", Vote::Approve);
    sim.vote_of("go", "cy", Vote::Approve);
    sim.settle_decisions();
    let calls: Vec<CallKind> = sim.running.iter().map(|(t, _)| t.call).collect();
    assert_eq!(calls, [CallKind::Notice(1), CallKind::Read(0)]);
    assert_eq!(sim.state.uses_of(&sim.running[1].0), Some("look"));
    sim.cancel();
    sim.settle_decisions();
    assert!(sim.running.iter().all(|(_, stopped)| *stopped));
    run(&mut sim, &looks);
    assert_eq!(sim.state.outcome(), Some(Outcome::Cancelled));
    folds(&sim);
}

#[test]
fn a_look_that_takes_too_long_is_stopped_and_voids() {
    let mut made = guarded(Some(two_leads()));
    made.steps[0].timeout = Some(secs(10));
    let mut sim = Sim::new(made, 2);
    let looks = Looks::of(&["noon"]);
    run(&mut sim, &looks);
    sim.vote_of("go", "bob", Vote::Approve);
    sim.vote_of("go", "cy", Vote::Approve);
    let wake = sim.settle_decisions().expect("the look has a limit");
    sim.now = wake;
    sim.settle_decisions();
    assert!(sim.running[0].1, "it is stopped");
    run(&mut sim, &looks);
    let told = voided(&sim);
    assert!(
        told[0].contains("took longer than its timeout of 10s"),
        "{told:?}"
    );
}

fn emergency(plan: Plan) -> Sim {
    let EventKind::RunCreated {
        runbook,
        environment,
        plan_digest,
        actor,
        version,
        ..
    } = created()
    else {
        unreachable!("a run is created");
    };
    let first = EventKind::RunCreated {
        runbook,
        environment,
        plan_digest,
        actor,
        version,
        on_behalf_of: Some("max".into()),
        changed_by: None,
        emergency: Some(Emergency {
            reason: "fire".into(),
            review: "board".into(),
            review_by: Timestamp::from_unix_millis(9_000_000),
        }),
    };
    Sim::created(plan, 1, first)
}

fn with_input(default: Option<Value>) -> Plan {
    let mut made = guarded(Some(two_leads()));
    let input = PlanGateInput {
        ty: Ty::Int,
        default,
        description: None,
        rule: None,
    };
    let asked = made.steps[1].gate.as_mut().expect("a gate");
    asked.inputs.insert("batch".into(), input);
    made
}

fn batch(value: Value) -> Ballot {
    let mut ballot = Ballot::plain(Vote::Approve, digest(), None);
    ballot.inputs.insert("batch".into(), value);
    ballot
}

#[test]
fn an_emergency_passes_gates_at_once_unless_they_must_be_filled_in() {
    let looks = Looks::of(&["noon"]);
    let mut sim = emergency(with_input(Some(json!(5))));
    run(&mut sim, &looks);
    assert_eq!(story(&sim.events), "open approved after succeeded");
    let outputs = &sim.state.node(&id("go")).expect("a gate").outputs;
    assert_eq!(outputs["inputs"], json!({ "batch": 5 }));
    assert_eq!(outputs["approved_by"], json!([]));
    folds(&sim);

    let mut sim = emergency(with_input(None));
    run(&mut sim, &looks);
    assert!(sim.state.waits_only_for_gates());
    sim.vote("go", Vote::Approve);
    run(&mut sim, &looks);
    assert_eq!(sim.state.outcome(), None, "it was not filled in");
    sim.cast("go", "eve", batch(json!(7)));
    run(&mut sim, &looks);
    assert_eq!(
        story(&sim.events),
        "open +ana +eve approved after succeeded"
    );
    let outputs = &sim.state.node(&id("go")).expect("a gate").outputs;
    assert_eq!(outputs["inputs"], json!({ "batch": 7 }));
    folds(&sim);
}

#[test]
fn an_emergency_run_is_reviewed_once_by_somebody_else() {
    let review = |sim: &mut Sim, who: &str| {
        let event = RunEvent {
            run: sim.events[0].run,
            seq: EventSeq(sim.events.len() as u64 + 1),
            at: sim.now,
            event: EventKind::RunReviewed {
                actor: person(who),
                verdict: ReviewVerdict::Accept,
                comment: "it burnt".into(),
                signed: None,
            },
        };
        let applied = sim.state.apply(&event);
        if applied.is_ok() {
            sim.events.push(event);
        }
        applied.map_err(|e| e.reason)
    };
    let looks = Looks::of(&["noon"]);
    let mut sim = emergency(guarded(Some(two_leads())));
    assert!(review(&mut sim, "bob").is_err(), "it has not ended");
    let mut sim = emergency(guarded(Some(two_leads())));
    run(&mut sim, &looks);
    for starter in ["ana", "max"] {
        assert!(review(&mut sim, starter).is_err(), "{starter} started it");
    }
    assert_eq!(review(&mut sim, "bob"), Ok(()));
    assert!(sim.state.is_reviewed());
    assert!(review(&mut sim, "cy").is_err(), "once");
    let mut sim = Sim::new(plan(vec![], vec![]), 1);
    run(&mut sim, &looks);
    assert!(review(&mut sim, "bob").is_err(), "no emergency");
}

#[test]
fn approvals_must_agree_on_what_they_fill_in_and_fit_its_type() {
    let looks = Looks::of(&["noon"]);
    let mut sim = Sim::new(with_input(Some(json!(5))), 2);
    run(&mut sim, &looks);
    sim.cast("go", "bob", batch(json!(7)));
    sim.cast("go", "cy", batch(json!("many")));
    sim.cast("go", "cy", Ballot::plain(Vote::Approve, digest(), None));
    run(&mut sim, &looks);
    assert_eq!(sim.state.outcome(), None);
    let judged = sim.state.judge(&id("go"), sim.now).expect("open");
    assert!(
        judged
            .ignored
            .iter()
            .any(|(at, why)| *at == 1 && why.contains("`batch`"))
    );
    // The default is what bob says now, too.
    sim.cast("go", "bob", batch(json!(5)));
    run(&mut sim, &looks);
    let outputs = &sim.state.node(&id("go")).expect("a gate").outputs;
    assert_eq!(outputs["inputs"], json!({ "batch": 5 }));
    folds(&sim);
}

#[test]
fn a_cleanup_that_changes_something_needs_a_gate_that_was_passed() {
    let cleanup = |policy: Option<PlanPolicy>, risk: Risk| {
        let mut made = guarded(policy);
        made.runbook.risk = risk;
        let look = PlanStep {
            action: action("look", Effect::Read),
            ..step("y", &[])
        };
        let tell = PlanStep {
            action: action("notify", Effect::Idempotent),
            ..step("w", &[])
        };
        made.finally = vec![step("z", &[]), look, tell];
        made
    };
    let cases = [
        (cleanup(Some(two_leads()), Risk::Low), Vote::Reject, false),
        (cleanup(Some(two_leads()), Risk::Low), Vote::Approve, true),
        (cleanup(Some(two_leads()), Risk::High), Vote::Approve, false),
        (cleanup(None, Risk::Low), Vote::Reject, true),
    ];
    for (made, vote, runs) in cases {
        let mut sim = Sim::new(made, 2);
        let looks = Looks::of(&["noon"]);
        run(&mut sim, &looks);
        for who in ["bob", "cy"] {
            if !sim.state.open_gates().is_empty() {
                sim.vote_of("go", who, vote);
                run(&mut sim, &looks);
            }
        }
        let story = sim.story();
        assert_eq!(story.contains(&"+z".to_owned()), runs, "{story:?}");
        assert!(story.contains(&"+y".to_owned()) && story.contains(&"+w".to_owned()));
        let skipped = sim.events.iter().any(|event| {
            let EventKind::StepSkipped { step, reason } = &event.event else {
                return false;
            };
            step.as_str() == "z" && *reason == SkipReason::NotApproved
        });
        assert_eq!(skipped, !runs);
        folds(&sim);
    }
    let mut sim = emergency(cleanup(Some(two_leads()), Risk::High));
    run(&mut sim, &Looks::of(&["noon"]));
    assert!(sim.story().contains(&"+z".to_owned()));
}

#[test]
fn the_author_and_those_who_started_the_run_are_excluded() {
    let with_author = EventKind::RunCreated {
        runbook: "test".into(),
        environment: "local".into(),
        plan_digest: digest(),
        actor: person("ci"),
        version: "0".into(),
        on_behalf_of: Some("bob".into()),
        changed_by: Some(LastChange {
            commit: None,
            author: "Cy <cy@example.org>".into(),
            person: Some("cy".into()),
        }),
        emergency: None,
    };
    let mut sim = Sim::created(guarded(Some(two_leads())), 1, with_author);
    run(&mut sim, &Looks::of(&["noon"]));
    let electorate = sim.state.electorate(&id("go")).expect("open");
    let excluded: Vec<&str> = electorate.excluded.iter().map(String::as_str).collect();
    assert_eq!(excluded, ["bob", "ci", "cy"]);
    assert!(sim.state.electorate(&id("after")).is_none());
}

#[test]
fn every_instance_of_a_loop_asks_for_itself() {
    let mut made = guarded(Some(two_leads()));
    made.steps[1].for_each = Some(PlanForEach {
        items: Expr::Value(json!(["x", "y"])),
        item: Ty::Any,
        max_parallel: 2,
        max_failures: crate::model::MaxFailures::Count(0),
    });
    let mut sim = Sim::new(made, 2);
    let looks = Looks::of(&["noon"]);
    let script = |step: &StepId, _: bool, _: u32| match step.as_str() {
        "after" => Ok(json!({})),
        _ => looks.next(),
    };
    sim.run(&script, &mut |_| 0);
    for gate in ["go[x]", "go[y]"] {
        assert_eq!(sim.state.outcome(), None);
        sim.vote_of(gate, "bob", Vote::Approve);
        sim.vote_of(gate, "cy", Vote::Approve);
        sim.run(&script, &mut |_| 0);
    }
    assert_eq!(sim.state.outcome(), Some(Outcome::Succeeded));
    folds(&sim);
}

#[test]
fn events_that_cannot_be_are_refused() {
    let mut sim = Sim::new(chained([Some("ops"), None], 300, OnExpiry::Park), 2);
    sim.settle_decisions();
    sim.finish(0, Looks::of(&["noon"]).next());
    sim.settle_decisions();
    sim.vote_of("go", "bob", Vote::Approve);
    let go = || id("go");
    let held = Hold {
        until: None,
        reason: "r".into(),
    };
    let cases = [
        (
            EventKind::GateApproved {
                step: go(),
                confirmed: None,
            },
            "its votes do not suffice",
        ),
        (
            EventKind::GateExpired { step: go() },
            "the question has not lapsed",
        ),
        (
            EventKind::GateParked { step: go() },
            "the question has not lapsed",
        ),
        (
            EventKind::GateVoided {
                step: go(),
                differences: vec![],
            },
            "nothing is different",
        ),
        (
            EventKind::GateReadStarted {
                step: go(),
                read: id("after"),
            },
            "it shows nothing of `after`",
        ),
        (
            EventKind::GateRead {
                step: go(),
                read: id("before"),
                outputs: json!({}),
                failure: None,
            },
            "`before` is not being asked",
        ),
        (
            EventKind::GateNotified {
                step: go(),
                level: 2,
                failure: None,
            },
            "level 2 is not being told",
        ),
        (
            EventKind::GateEscalated {
                step: go(),
                level: 3,
                role: "r".into(),
                channel: None,
                respond_by: None,
            },
            "level 2 was expected",
        ),
        (
            EventKind::GateHeld {
                step: id("after"),
                until: held.until,
                reason: held.reason,
            },
            "it is not an open gate",
        ),
        (
            EventKind::GateSurveyed {
                step: go(),
                plan_digest: None,
                differences: vec![],
                policy: json!({ "no": "policy" }),
            },
            "its policy cannot be read",
        ),
        (
            EventKind::StepSkipped {
                step: id("after"),
                reason: SkipReason::NotApproved,
            },
            "it needs no approval",
        ),
    ];
    for (event, expected) in cases {
        let name = event.name();
        let event = RunEvent {
            run: sim.events[0].run,
            seq: EventSeq(sim.events.len() as u64 + 1),
            at: sim.now,
            event,
        };
        let refused = sim.state.clone().apply(&event).expect_err(name);
        assert!(
            refused.reason.contains(expected) || refused.reason.contains("may start now"),
            "{name}: {refused}"
        );
    }
    assert!(matches!(
        sim.state.node(&go()).expect("a gate").status,
        NodeStatus::Gate { .. }
    ));
}

#[test]
fn the_clock_of_a_run_stands_still_while_a_gate_is_looked_at_again() {
    let mut made = guarded(Some(two_leads()));
    made.timeout = Some(secs(60));
    made.steps.last_mut().expect("after").rollback = undo();
    let mut sim = Sim::new(made, 2);
    let looks = Looks::of(&["noon"]);
    run(&mut sim, &looks);
    sim.advance(1_000);
    sim.vote_of("go", "bob", Vote::Approve);
    sim.vote_of("go", "cy", Vote::Approve);
    sim.settle_decisions();
    sim.advance(1_000);
    run(&mut sim, &looks);
    assert_eq!(sim.state.outcome(), Some(Outcome::Succeeded));
}

#[test]
fn a_send_back_that_cannot_be_carried_out_does_not_keep_the_gate_closed() {
    let mut sim = Sim::new(guarded(Some(two_leads())), 2);
    let looks = Looks::of(&["noon"]);
    run(&mut sim, &looks);
    let ballot = Ballot {
        to: Some(id("after")),
        ..Ballot::plain(Vote::SendBack, digest(), None)
    };
    sim.cast("go", "bob", ballot);
    run(&mut sim, &looks);
    assert!(sim.state.waits_only_for_gates());
    let judged = sim.state.judge(&id("go"), sim.now).expect("open");
    assert_eq!(judged.verdict, Verdict::Pending);
    assert_eq!(judged.ignored.len(), 1, "{judged:?}");
    sim.vote_of("go", "cy", Vote::Approve);
    sim.vote_of("go", "dan", Vote::Approve);
    run(&mut sim, &looks);
    assert_eq!(sim.state.outcome(), Some(Outcome::Succeeded));
    folds(&sim);
}
