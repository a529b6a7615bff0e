//! Gates of a protected environment: whose votes are heard, what is looked at again, who is told.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::Command;
use std::sync::{Arc, Mutex, mpsc};
use std::time::Duration;

use serde_json::json;

use super::driving::doing;
use super::support::{World, options, wait_for};
use crate::audit::SigningKey;
use crate::base::{Digest, HumanDuration, Map, RunId, StepId, Timestamp};
use crate::engine::{Engine, RunEnd, RunHandle, Start, Surroundings};
use crate::event::{
    Actor, Ballot, Emergency, EventKind, LastChange, Outcome, Progress, SignedVote, VOTE_NAMESPACE,
    Vote, VoteStatement,
};
use crate::model::{OnExpiry, Risk};
use crate::plan::{
    Plan, PlanCalendar, PlanDelay, PlanEscalation, PlanGate, PlanPerson, PlanPolicy, PlanQuorum,
    PlanRule,
};
use crate::run::testing::{gate, plan};
use crate::store::RequestKind;

/// One of the leads must approve; `ana` starts the run.
fn policy() -> PlanPolicy {
    let members = ["ada", "grace"].map(str::to_owned).to_vec();
    let quorum = vec![PlanQuorum {
        count: 1,
        role: "lead".to_owned(),
        members: members.clone(),
    }];
    let rule = PlanRule {
        quorum,
        expires: None,
        vote_expires: None,
        on_expiry: OnExpiry::Deny,
    };
    PlanPolicy {
        file: "runbooks/policy.yaml".to_owned(),
        rules: [Risk::Low, Risk::Medium, Risk::High]
            .map(|risk| (risk, rule.clone()))
            .into(),
        people: members
            .into_iter()
            .map(|name| (name, PlanPerson::default()))
            .collect(),
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

fn guarded_by(policy: PlanPolicy) -> Plan {
    let mut go = gate("ok", &[]);
    go.gate = Some(Box::new(PlanGate {
        risk: Risk::Medium,
        inputs: BTreeMap::new(),
        reads: Vec::new(),
        on_expiry: None,
        demanded: false,
    }));
    let mut made = plan(
        vec![go, doing("after", &["ok"], "test.write", "echo")],
        vec![],
    );
    made.environment.protected = true;
    made.policy = Some(Box::new(policy));
    made
}

fn ok() -> StepId {
    StepId::new("ok").expect("valid")
}

fn actor(name: &str) -> Actor {
    Actor {
        name: name.to_owned(),
        host: "elsewhere".to_owned(),
        verified: false,
    }
}

fn says(handle: &RunHandle, name: &str, vote: Vote, round: u32) {
    let ballot = Ballot {
        round,
        ..Ballot::plain(vote, handle.plan.digest(), None)
    };
    handle.control.vote(ok(), actor(name), ballot);
}

fn count(world: &World, run: RunId, kind: &str) -> usize {
    let kinds = world.kinds(run);
    kinds.iter().filter(|k| *k == &format!("{kind} ok")).count()
}

/// Files whose plan is said by a test, once for each look.
struct Files {
    looks: Mutex<mpsc::Receiver<Result<Plan, String>>>,
    began: tokio::sync::mpsc::UnboundedSender<()>,
}

impl Surroundings for Files {
    fn plan_now(&self, _plan: &Plan) -> Result<Plan, String> {
        let _ = self.began.send(());
        let looks = self.looks.lock().expect("one look at a time");
        looks.recv().expect("the test says what is there")
    }
}

/// What the test holds of [`Files`].
struct Shelf {
    put: mpsc::Sender<Result<Plan, String>>,
    began: tokio::sync::mpsc::UnboundedReceiver<()>,
}

fn files(world: &mut World) -> Shelf {
    let (put, looks) = mpsc::channel();
    let (began, seen) = tokio::sync::mpsc::unbounded_channel();
    world.parts.surroundings = Some(Arc::new(Files {
        looks: Mutex::new(looks),
        began,
    }));
    Shelf { put, began: seen }
}

async fn succeeds(handle: RunHandle) {
    assert_eq!(
        handle.join().await.expect("drives"),
        RunEnd::Finished(Outcome::Succeeded)
    );
}

#[tokio::test]
async fn votes_are_confirmed_against_the_files_as_they_are_now() {
    let mut world = World::new();
    let shelf = files(&mut world);
    let made = guarded_by(policy());
    let handle = world.start(made.clone(), false).await;
    let run = handle.run;
    shelf.put.send(Ok(made.clone())).expect("read");
    says(&handle, "ada", Vote::Approve, 1);
    succeeds(handle).await;
    let confirmed = world.events(run).into_iter().find_map(|e| match e.event {
        EventKind::GateApproved { confirmed, .. } => confirmed,
        _ => None,
    });
    assert_eq!(confirmed, Some(made.digest()));
    assert_eq!(count(&world, run, "gate_surveyed"), 1);
}

#[tokio::test]
async fn a_policy_that_was_weakened_for_a_while_opens_no_gate() {
    let mut world = World::new();
    let shelf = files(&mut world);
    let strict = |count: u32| {
        let mut made = guarded_by(policy());
        if let Some(policy) = &mut made.policy {
            for rule in policy.rules.values_mut() {
                rule.quorum[0].count = count;
            }
        }
        made
    };
    let mut handle = world.start(strict(2), false).await;
    let run = handle.run;
    says(&handle, "ada", Vote::Approve, 1);
    says(&handle, "grace", Vote::Approve, 1);
    shelf.put.send(Ok(strict(1))).expect("read");
    wait_for(&mut handle, "gate_voided", "ok").await;
    // The file is as it was, and one vote suffices only for the weak one that is in force.
    shelf.put.send(Ok(strict(2))).expect("read");
    says(&handle, "ada", Vote::Approve, 2);
    wait_for(&mut handle, "gate_voided", "ok").await;
    shelf.put.send(Ok(strict(2))).expect("read");
    says(&handle, "ada", Vote::Approve, 3);
    says(&handle, "grace", Vote::Approve, 3);
    succeeds(handle).await;
    assert_eq!(count(&world, run, "gate_voided"), 2);
}

#[tokio::test]
async fn files_that_changed_void_the_votes_and_a_new_policy_rules_from_then_on() {
    let mut world = World::new();
    let shelf = files(&mut world);
    let made = guarded_by(policy());
    let mut stricter = made.clone();
    if let Some(policy) = &mut stricter.policy {
        for rule in policy.rules.values_mut() {
            rule.quorum[0].members = vec!["grace".to_owned()];
        }
    }
    let mut handle = world.start(made, false).await;
    let run = handle.run;
    shelf.put.send(Ok(stricter.clone())).expect("read");
    says(&handle, "ada", Vote::Approve, 1);
    wait_for(&mut handle, "gate_voided", "ok").await;
    let told = world.events(run).into_iter().find_map(|e| match e.event {
        EventKind::GateSurveyed {
            differences,
            policy,
            ..
        } => Some((differences, policy)),
        _ => None,
    });
    let (differences, found) = told.expect("surveyed");
    assert!(!differences.is_empty());
    assert_eq!(
        found["rules"]["medium"]["quorum"][0]["members"],
        json!(["grace"])
    );
    // ada has no say any more; grace has.
    says(&handle, "ada", Vote::Approve, 2);
    shelf.put.send(Ok(stricter)).expect("read");
    says(&handle, "grace", Vote::Approve, 2);
    succeeds(handle).await;
    assert_eq!(count(&world, run, "gate_voided"), 1);
}

#[tokio::test]
async fn files_that_give_no_plan_void_the_votes_with_the_reason() {
    let mut world = World::new();
    let shelf = files(&mut world);
    let mut handle = world.start(guarded_by(policy()), false).await;
    shelf
        .put
        .send(Err("`job.yaml` is gone".to_owned()))
        .expect("read");
    says(&handle, "ada", Vote::Approve, 1);
    let voided = wait_for(&mut handle, "gate_voided", "ok").await;
    match voided.event {
        EventKind::GateVoided { differences, .. } => {
            assert!(differences[0].told().contains("`job.yaml` is gone"));
        }
        other => panic!("{other:?}"),
    }
    says(&handle, "ada", Vote::Reject, 2);
    assert_eq!(
        handle.join().await.expect("drives"),
        RunEnd::Finished(Outcome::Rejected)
    );
}

/// A look that panics answers as well, or the gate would wait for ever.
struct Broken;

impl Surroundings for Broken {
    fn plan_now(&self, _plan: &Plan) -> Result<Plan, String> {
        panic!("planted")
    }
}

#[tokio::test]
async fn a_look_that_panics_is_a_look_that_fails() {
    let mut world = World::new();
    world.parts.surroundings = Some(Arc::new(Broken));
    let mut handle = world.start(guarded_by(policy()), false).await;
    says(&handle, "ada", Vote::Approve, 1);
    let voided = wait_for(&mut handle, "gate_voided", "ok").await;
    assert!(format!("{voided:?}").contains("bug of runbook"));
    says(&handle, "ada", Vote::Reject, 2);
    handle.join().await.expect("drives");
}

#[tokio::test]
async fn a_vote_that_comes_while_the_files_are_read_is_applied_at_once() {
    let mut world = World::new();
    let mut shelf = files(&mut world);
    let made = guarded_by(policy());
    let mut handle = world.start(made.clone(), false).await;
    let run = handle.run;
    says(&handle, "ada", Vote::Approve, 1);
    shelf.began.recv().await.expect("looks");
    wait_for(&mut handle, "vote_cast", "ok").await;
    // The files are being read; the vote is taken back all the same.
    says(&handle, "ada", Vote::Withdraw, 1);
    wait_for(&mut handle, "vote_cast", "ok").await;
    assert_eq!(count(&world, run, "gate_approved"), 0);
    shelf.put.send(Ok(made.clone())).expect("read");
    // What that look found is of no use: the next vote asks for another.
    says(&handle, "grace", Vote::Approve, 1);
    shelf.began.recv().await.expect("looks again");
    shelf.put.send(Ok(made)).expect("read");
    succeeds(handle).await;
    assert_eq!(count(&world, run, "gate_surveyed"), 1);
}

#[tokio::test]
async fn a_run_is_not_left_while_its_files_are_read() {
    let mut world = World::new();
    let shelf = files(&mut world);
    let made = guarded_by(policy());
    let handle = world.start(made.clone(), true).await;
    let run = handle.run;
    assert!(matches!(
        handle.join().await.expect("drives"),
        RunEnd::Waiting(_)
    ));
    let kind = RequestKind::Vote {
        gate: Some(ok()),
        ballot: Ballot::plain(Vote::Approve, made.digest(), None),
    };
    let (store, clock) = (&world.parts.store, &world.parts.clock);
    let asked = store.add_request(run, clock.now(), actor("grace"), kind);
    asked.await.expect("durable");
    let engine = Engine::new(world.parts.clone());
    let resumed = engine.resume(run, options(true)).await.expect("resumes");
    shelf.put.send(Ok(made)).expect("read");
    succeeds(resumed).await;
}

/// A key of its own for a person of the policy.
fn key(world: &World, name: &str) -> SigningKey {
    let path: PathBuf = world.dir.path().join(name);
    let made = Command::new("ssh-keygen")
        .args(["-q", "-t", "ed25519", "-N", "", "-C", name, "-f"])
        .arg(&path)
        .status()
        .expect("ssh-keygen starts");
    assert!(made.success());
    SigningKey::read(&path).expect("a key")
}

fn with_key(mut policy: PlanPolicy, name: &str, key: &SigningKey) -> PlanPolicy {
    let person = policy.people.entry(name.to_owned()).or_default();
    person.ssh_keys = vec![key.public().expect("public")];
    policy.require_signatures = true;
    policy
}

fn statement(handle: &RunHandle, voter: &str, id: &str) -> VoteStatement {
    VoteStatement {
        format: 1,
        id: id.to_owned(),
        run: handle.run,
        runbook: handle.plan.runbook.name.clone(),
        environment: handle.plan.environment.name.clone(),
        gate: Some(ok()),
        round: 1,
        plan_digest: handle.plan.digest(),
        vote: Some(Vote::Approve),
        verdict: None,
        to: None,
        inputs: Map::new(),
        comment: None,
        voter: voter.to_owned(),
        at: Timestamp::from_unix_millis(1_800_000_000_000),
    }
}

/// The vote that carries a statement, as its voter would send it.
fn signed(statement: &VoteStatement, key: &SigningKey) -> Ballot {
    let text = statement.text().expect("text");
    let signature = key.sign(VOTE_NAMESPACE, text.as_bytes()).expect("signs");
    Ballot {
        vote: statement.vote.unwrap_or(Vote::Approve),
        comment: statement.comment.clone(),
        plan_digest: statement.plan_digest,
        round: statement.round,
        to: statement.to.clone(),
        inputs: statement.inputs.clone(),
        id: Some(statement.id.clone()),
        signed: Some(Box::new(SignedVote {
            statement: text,
            signature,
        })),
    }
}

async fn warning(handle: &mut RunHandle) -> String {
    while let Some(progress) = handle.progress.recv().await {
        if let Progress::Warning { text } = progress {
            return text;
        }
    }
    panic!("nobody was warned");
}

#[tokio::test]
async fn a_good_signature_makes_the_vote_that_of_the_person_of_the_policy() {
    let world = World::new();
    let ada = key(&world, "ada");
    let handle = world
        .start(guarded_by(with_key(policy(), "ada", &ada)), false)
        .await;
    let run = handle.run;
    let ballot = signed(&statement(&handle, "ada", "v1"), &ada);
    // Whoever carries it: what counts is who signed.
    handle.control.vote(ok(), actor("courier"), ballot.clone());
    succeeds(handle).await;
    let cast = world.events(run).into_iter().find_map(|e| match e.event {
        EventKind::VoteCast { actor, signed, .. } => Some((actor, signed)),
        _ => None,
    });
    let (who, kept) = cast.expect("on record");
    assert_eq!((who.name.as_str(), who.verified), ("ada", true));
    assert_eq!(who.host, "elsewhere");
    assert_eq!(kept, ballot.signed);
}

#[tokio::test]
async fn a_forged_vote_is_not_recorded_and_somebody_is_told() {
    let world = World::new();
    let (ada, mallory) = (key(&world, "ada"), key(&world, "mallory"));
    let mut handle = world
        .start(guarded_by(with_key(policy(), "ada", &ada)), false)
        .await;
    let run = handle.run;
    let good = statement(&handle, "ada", "v1");
    let mut cases: Vec<(Ballot, &str)> = vec![
        (
            signed(&good, &mallory),
            "claims to be ada's, but its signature is wrong",
        ),
        (
            signed(&statement(&handle, "mallory", "v1"), &mallory),
            "mallory's, whom the policy does not name",
        ),
        // grace has no key.
        (
            signed(&statement(&handle, "grace", "v1"), &mallory),
            "claims to be grace's, but its signature is wrong",
        ),
    ];
    let changed = |change: &dyn Fn(&mut Ballot)| {
        let mut ballot = signed(&good, &ada);
        change(&mut ballot);
        ballot
    };
    let text = |change: &dyn Fn(&mut SignedVote)| {
        changed(&|ballot| {
            if let Some(signed) = ballot.signed.as_deref_mut() {
                change(signed);
            }
        })
    };
    cases.extend([
        (changed(&|b| b.vote = Vote::Reject), "signed another vote"),
        (changed(&|b| b.round = 2), "signed another round"),
        (
            changed(&|b| b.plan_digest = Digest::of_bytes(b"other")),
            "signed another plan",
        ),
        (
            changed(&|b| b.comment = Some("sure".to_owned())),
            "signed another comment",
        ),
        (
            changed(&|b| b.inputs = [("window".to_owned(), json!("1h"))].into_iter().collect()),
            "signed another inputs",
        ),
        (
            changed(&|b| b.to = StepId::new("after").ok()),
            "signed another step to go back to",
        ),
        (
            changed(&|b| b.id = Some("v2".to_owned())),
            "signed another id",
        ),
        (changed(&|b| b.id = None), "signed another id"),
        (
            text(&|s| s.statement = s.statement.replace("\"v1\"", "\"v1\" ")),
            "its signature is wrong",
        ),
        (text(&|s| s.statement = "hello".to_owned()), "is no vote"),
        (
            text(&|s| s.signature = "hello".to_owned()),
            "its signature is wrong",
        ),
    ]);
    let elsewhere = |change: &dyn Fn(&mut VoteStatement)| {
        let mut other = good.clone();
        change(&mut other);
        signed(&other, &ada)
    };
    cases.extend([
        (
            elsewhere(&|s| s.run = RunId::from_parts(1, 1)),
            "signed another run",
        ),
        (
            elsewhere(&|s| s.gate = StepId::new("after").ok()),
            "signed another gate",
        ),
        (
            elsewhere(&|s| s.environment = "elsewhere".to_owned()),
            "signed another environment",
        ),
        (elsewhere(&|s| s.format = 2), "signed another format"),
    ]);
    for (ballot, words) in cases {
        handle.control.vote(ok(), actor("ada"), ballot);
        let told = warning(&mut handle).await;
        assert!(told.starts_with("a vote for gate `ok`"), "{told}");
        assert!(told.contains(words), "{words}: {told}");
    }
    assert_eq!(count(&world, run, "vote_cast"), 0);
    handle.control.vote(ok(), actor("ada"), signed(&good, &ada));
    succeeds(handle).await;
}

#[tokio::test]
async fn an_unsigned_vote_is_unverified_whatever_it_says_and_a_replayed_one_is_dropped() {
    let world = World::new();
    let ada = key(&world, "ada");
    let mut handle = world
        .start(guarded_by(with_key(policy(), "ada", &ada)), false)
        .await;
    let run = handle.run;
    let first = signed(&statement(&handle, "ada", "v1"), &ada);
    let unsigned = Ballot {
        signed: None,
        ..first.clone()
    };
    let liar = Actor {
        verified: true,
        ..actor("ada")
    };
    handle.control.vote(ok(), liar, unsigned);
    let cast = wait_for(&mut handle, "vote_cast", "ok").await;
    let verified = match cast.event {
        EventKind::VoteCast { actor, .. } => actor.verified,
        other => panic!("{other:?}"),
    };
    assert!(!verified);
    // It took the id first, and keeps nobody out by that.
    let mut no = statement(&handle, "ada", "v1");
    no.vote = Some(Vote::Withdraw);
    let withdraw = signed(&no, &ada);
    for ballot in [withdraw.clone(), withdraw, {
        let mut again = statement(&handle, "ada", "v2");
        again.vote = Some(Vote::Reject);
        signed(&again, &ada)
    }] {
        handle.control.vote(ok(), actor("ada"), ballot);
    }
    assert_eq!(
        handle.join().await.expect("drives"),
        RunEnd::Finished(Outcome::Rejected)
    );
    assert_eq!(
        count(&world, run, "vote_cast"),
        3,
        "one of them was a replay"
    );
}

#[tokio::test]
async fn whoever_is_next_in_the_chain_is_told_and_a_message_that_fails_stops_nothing() {
    let world = World::new();
    let mut policy = policy();
    let level = |role: &str, channel: &str| PlanEscalation {
        after: PlanDelay::Time(HumanDuration(Duration::ZERO)),
        role: role.to_owned(),
        members: vec!["ada".to_owned()],
        channel: Some(channel.to_owned()),
        respond_within: PlanDelay::Time(HumanDuration(Duration::ZERO)),
    };
    policy.escalation = vec![level("on-call", "ops"), level("lead", "broken")];
    let made = guarded_by(policy);
    let mut handle = world.start(made, false).await;
    let run = handle.run;
    wait_for(&mut handle, "gate_notified", "ok").await;
    wait_for(&mut handle, "gate_notified", "ok").await;
    says(&handle, "ada", Vote::Approve, 1);
    succeeds(handle).await;
    let mut told: Vec<(u32, bool)> = world
        .events(run)
        .iter()
        .filter_map(|e| match &e.event {
            EventKind::GateNotified { level, failure, .. } => Some((*level, failure.is_some())),
            _ => None,
        })
        .collect();
    told.sort_unstable();
    assert_eq!(told, [(1, false), (2, true)]);
    let log = world.parts.layout.run_logs(run).join("ok.notice-1.log");
    let said = std::fs::read_to_string(log).expect("a log");
    assert!(
        said.contains(&format!("key {run}/ok/notice-1/round-1")),
        "{said}"
    );
}

#[tokio::test]
async fn what_is_known_at_the_start_is_in_the_first_event_and_an_emergency_waits_for_nobody() {
    let world = World::new();
    let start = Start {
        on_behalf_of: Some("lin".to_owned()),
        changed_by: Some(LastChange {
            commit: None,
            author: "ana".to_owned(),
            person: None,
        }),
        emergency: Some(Emergency {
            reason: "the site is down".to_owned(),
            review: "lead".to_owned(),
            review_by: Timestamp::from_unix_millis(1_900_000_000_000),
        }),
    };
    let engine = Engine::new(world.parts.clone());
    let source = "runbook: v1\n".to_owned();
    let handle = engine
        .start(guarded_by(policy()), source, start.clone(), options(false))
        .await
        .expect("starts");
    let run = handle.run;
    succeeds(handle).await;
    let first = world.events(run).into_iter().next().expect("an event");
    match first.event {
        EventKind::RunCreated {
            on_behalf_of,
            changed_by,
            emergency,
            ..
        } => assert_eq!(
            Start {
                on_behalf_of,
                changed_by,
                emergency
            },
            start
        ),
        other => panic!("{other:?}"),
    }
    assert_eq!(count(&world, run, "gate_approved"), 1);
    assert_eq!(count(&world, run, "vote_cast"), 0);
}
