//! Tables of the rules of votes.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use serde_json::json;

use super::verdict::{CastVote, Electorate, Judgement, Verdict, verdict, verdict_where};
use crate::base::{Digest, HumanDuration, Map, StepId, Timestamp};
use crate::event::{Actor, Vote};
use crate::model::{OnExpiry, Risk};
use crate::plan::{PlanCalendar, PlanPolicy, PlanQuorum, PlanRule};

/// A policy whose high risk demands these, `(count, role, members)`.
pub(super) fn policy(quorum: &[(u32, &str, &[&str])]) -> PlanPolicy {
    let quorum = quorum.iter().map(|(count, role, members)| PlanQuorum {
        count: *count,
        role: (*role).to_owned(),
        members: members.iter().map(|name| (*name).to_owned()).collect(),
    });
    let rule = PlanRule {
        quorum: quorum.collect(),
        expires: None,
        vote_expires: None,
        on_expiry: OnExpiry::Deny,
    };
    PlanPolicy {
        file: "policy.yaml".to_owned(),
        rules: BTreeMap::from([(Risk::High, rule)]),
        people: BTreeMap::new(),
        require_signatures: false,
        self_approval: false,
        exclude_author: false,
        windows: Vec::new(),
        freezes: Vec::new(),
        calendar: PlanCalendar {
            time_zone: "UTC".to_owned(),
            business_days: vec![1, 2, 3, 4, 5],
            business_hours: (9 * 60, 17 * 60),
            holidays: Vec::new(),
        },
        escalation: Vec::new(),
        emergency: None,
    }
}

pub(super) fn the_plan() -> Digest {
    Digest::of_bytes(b"the plan")
}

pub(super) fn at(seconds: i64) -> Timestamp {
    Timestamp::from_unix_millis(seconds * 1000)
}

/// A vote in round 2, about the plan, at second 0.
pub(super) fn cast(name: &str, vote: Vote) -> CastVote {
    CastVote {
        vote,
        actor: Actor {
            name: name.to_owned(),
            host: "box".to_owned(),
            verified: true,
        },
        comment: None,
        plan_digest: the_plan(),
        at: at(0),
        round: 2,
        to: None,
        inputs: Map::new(),
        id: None,
    }
}

fn yes(name: &str) -> CastVote {
    cast(name, Vote::Approve)
}

fn filled(name: &str, window: &str) -> CastVote {
    let inputs = json!({ "window": window });
    CastVote {
        inputs: inputs.as_object().cloned().expect("an object"),
        ..yes(name)
    }
}

fn back(name: &str, to: &str) -> CastVote {
    CastVote {
        to: Some(StepId::new(to).expect("valid")),
        ..cast(name, Vote::SendBack)
    }
}

fn with_id(vote: CastVote, id: &str) -> CastVote {
    let id = Some(id.to_owned());
    CastVote { id, ..vote }
}

fn judge_at(policy: Option<&PlanPolicy>, votes: &[CastVote], now: i64) -> Judgement {
    let excluded = BTreeSet::from(["eve".to_owned()]);
    let electorate = Electorate {
        policy,
        risk: Risk::High,
        excluded: &excluded,
        plan_digest: the_plan(),
        round: 2,
    };
    verdict(&electorate, votes, at(now))
}

fn judge(policy: &PlanPolicy, votes: &[CastVote]) -> Judgement {
    judge_at(Some(policy), votes, 0)
}

/// Two of one role and one of another; ada has both.
fn both() -> PlanPolicy {
    policy(&[
        (2, "architects", &["ada", "bob", "cem", "eve"]),
        (1, "dba", &["ada", "dan"]),
    ])
}

fn said(judgement: &Judgement) -> String {
    let lacks: Vec<String> = judgement.lacks.iter().map(ToString::to_string).collect();
    match &judgement.verdict {
        Verdict::Pending => lacks.join(" + "),
        Verdict::Approved => "approved".to_owned(),
        Verdict::Rejected => "rejected".to_owned(),
        Verdict::SentBack { to } => format!("back to {to}"),
    }
}

#[test]
fn votes_amount_to_this() {
    let no = |name| cast(name, Vote::Reject);
    let taken_back = |name| cast(name, Vote::Withdraw);
    let table: &[(&[CastVote], &str, &[usize])] = &[
        (
            &[],
            "2 more of architects (ada, bob, cem) + 1 more of dba (ada, dan)",
            &[],
        ),
        // ada fills the place that others leave.
        (&[yes("ada")], "2 more of architects (bob, cem)", &[0]),
        (
            &[yes("ada"), yes("bob")],
            "1 more of architects (cem)",
            &[0, 1],
        ),
        (
            &[yes("ada"), yes("bob"), yes("cem")],
            "approved",
            &[0, 1, 2],
        ),
        (
            &[yes("dan"), yes("bob"), yes("ada")],
            "approved",
            &[0, 1, 2],
        ),
        (
            &[yes("ada"), yes("ada"), yes("ada")],
            "2 more of architects (bob, cem)",
            &[2],
        ),
        (&[yes("bob"), no("dan"), yes("ada")], "rejected", &[1]),
        (&[no("dan"), no("bob"), yes("ada")], "rejected", &[0, 1]),
        (&[back("dan", "b"), no("bob")], "rejected", &[1]),
        (
            &[back("dan", "b"), back("bob", "a"), back("ada", "b")],
            "back to b",
            &[0, 2],
        ),
        // The last word of a person counts.
        (
            &[no("ada"), yes("ada"), yes("bob"), yes("dan")],
            "approved",
            &[1, 2, 3],
        ),
        (
            &[yes("ada"), yes("bob"), yes("dan"), taken_back("bob")],
            "1 more of architects (bob, cem)",
            &[0, 2],
        ),
        (
            &[taken_back("bob"), yes("ada"), yes("bob"), yes("dan")],
            "approved",
            &[1, 2, 3],
        ),
        // Those who may not vote neither open nor close it.
        (
            &[no("eve"), no("mallory"), no("Ada"), no("ada ")],
            "2 more of architects (ada, bob, cem) + 1 more of dba (ada, dan)",
            &[],
        ),
        (
            &[yes("eve"), yes("bob"), yes("dan")],
            "1 more of architects (ada, cem)",
            &[1, 2],
        ),
    ];
    for (votes, wanted, counted) in table {
        let judgement = judge(&both(), votes);
        assert_eq!(said(&judgement), *wanted, "{votes:?}");
        assert_eq!(judgement.counted, *counted, "{votes:?}");
    }
}

#[test]
fn votes_that_do_not_count_say_why() {
    let mut policy = both();
    policy.require_signatures = true;
    let high = policy.rules.get_mut(&Risk::High).expect("there");
    high.vote_expires = Some(HumanDuration(Duration::from_secs(60)));
    let unsigned = |vote: CastVote| CastVote {
        actor: Actor {
            verified: false,
            ..vote.actor.clone()
        },
        ..vote
    };
    let other_plan = CastVote {
        plan_digest: Digest::of_bytes(b"x"),
        ..yes("ada")
    };
    let other_round = CastVote {
        round: 1,
        ..yes("ada")
    };
    let early = CastVote {
        at: at(-60),
        ..yes("cem")
    };
    let table: Vec<(CastVote, &str)> = vec![
        (other_plan, "another plan"),
        (
            other_round,
            "about round 1 of the gate, which is in round 2",
        ),
        (
            yes("mallory"),
            "none of the roles that may vote here (architects, dba)",
        ),
        (yes("eve"), "whoever started it or changed its runbook last"),
        (unsigned(yes("bob")), "no good signature of `bob`"),
        // Of nobody's making: it cannot take back what bob signed.
        (with_id(yes("bob"), "1"), ""),
        (unsigned(cast("bob", Vote::Withdraw)), "no good signature"),
        (
            with_id(cast("bob", Vote::Reject), "1"),
            "(id 1) is on record already",
        ),
        (early, "it lapsed at 1970-01-01T00:00:00.000Z"),
        (yes("ada"), "`ada` voted again later"),
        (cast("ada", Vote::Withdraw), ""),
        (filled("dan", "5m"), "fills in other values"),
        (
            with_id(cast("ada", Vote::SendBack), "1"),
            "does not say from which step",
        ),
    ];
    let votes: Vec<CastVote> = table.iter().map(|(vote, _)| vote.clone()).collect();
    let judgement = judge(&policy, &votes);
    assert_eq!(judgement.counted, [5]);
    assert_eq!(judgement.lapses_at, Some(at(60)));
    for (i, (_, why)) in table.iter().enumerate() {
        let reason = judgement.ignored.iter().find(|(at, _)| *at == i);
        match reason {
            Some((_, reason)) => assert!(!why.is_empty() && reason.contains(why), "{i}: {reason}"),
            None => assert!(why.is_empty(), "{i} should be ignored"),
        }
    }
    let said_no = judge(&both(), &[yes("ada"), cast("bob", Vote::Reject)]);
    assert_eq!(said_no.ignored, [(0, "`bob` rejected".to_owned())]);
    let sent = judge(&both(), &[back("bob", "a"), yes("ada")]);
    assert_eq!(
        sent.ignored,
        [(1, "`bob` sent the run back to `a`".to_owned())]
    );
}

#[test]
fn approvals_must_agree_on_what_is_filled_in() {
    let two = policy(&[(2, "dba", &["ada", "bob", "cem", "dan"])]);
    let apart = judge(&two, &[filled("ada", "5m"), filled("bob", "10m")]);
    assert_eq!(said(&apart), "1 more of dba (bob, cem, dan)");
    assert_eq!(apart.counted, [0]);
    let agreed = judge(
        &two,
        &[
            filled("ada", "5m"),
            filled("bob", "10m"),
            filled("cem", "10m"),
        ],
    );
    assert_eq!(
        (said(&agreed).as_str(), &agreed.counted[..]),
        ("approved", &[1, 2][..])
    );
    assert_eq!(agreed.inputs["window"], "10m");
    let changed_mind = judge(
        &two,
        &[
            filled("ada", "5m"),
            filled("bob", "10m"),
            filled("ada", "10m"),
        ],
    );
    assert_eq!(changed_mind.inputs["window"], "10m");
    // Both would do: the first that did.
    let votes = [
        filled("ada", "5m"),
        filled("bob", "10m"),
        filled("cem", "10m"),
        filled("dan", "5m"),
    ];
    assert_eq!(judge(&two, &votes).inputs["window"], "10m");
}

#[test]
fn a_vote_lapses_to_the_millisecond_and_a_veto_does_not() {
    let mut policy = policy(&[(1, "dba", &["ada", "bob"])]);
    let high = policy.rules.get_mut(&Risk::High).expect("there");
    high.vote_expires = Some(HumanDuration(Duration::from_secs(60)));
    let before = judge_at(Some(&policy), &[yes("ada")], 59);
    assert_eq!(
        (said(&before).as_str(), before.lapses_at),
        ("approved", Some(at(60)))
    );
    let after = judge_at(Some(&policy), &[yes("ada")], 60);
    assert_eq!(said(&after), "1 more of dba (ada, bob)");
    // What was said before a vote that lapsed does not come back.
    let renewed = CastVote {
        at: at(30),
        ..yes("ada")
    };
    let twice = judge_at(Some(&policy), &[yes("ada"), renewed.clone()], 89);
    assert_eq!(
        (said(&twice).as_str(), twice.lapses_at),
        ("approved", Some(at(90)))
    );
    for (votes, wanted) in [
        ([yes("bob"), cast("ada", Vote::Reject)], "rejected"),
        ([yes("bob"), back("ada", "x")], "back to x"),
    ] {
        let judgement = judge_at(Some(&policy), &votes, 1_000_000);
        assert_eq!(
            (said(&judgement).as_str(), judgement.lapses_at),
            (wanted, None)
        );
    }
}

#[test]
fn without_a_policy_one_yes_opens_and_one_no_closes() {
    let table: &[(&[CastVote], &str)] = &[
        (&[], "1 more of anybody"),
        (&[yes("eve")], "approved"),
        (&[yes("anyone"), cast("other", Vote::Reject)], "rejected"),
        (&[yes("a"), cast("a", Vote::Withdraw)], "1 more of anybody"),
        (&[cast("a", Vote::Reject), yes("a")], "approved"),
        (&[back("a", "x")], "back to x"),
        (
            &[CastVote {
                round: 1,
                ..yes("a")
            }],
            "1 more of anybody",
        ),
    ];
    for (votes, wanted) in table {
        assert_eq!(said(&judge_at(None, votes, 0)), *wanted, "{votes:?}");
    }
    let first = judge_at(None, &[filled("a", "5m"), filled("b", "10m")], 0);
    assert_eq!(first.inputs["window"], "5m");
}

#[test]
fn what_a_policy_does_not_say_is_never_approved() {
    let mut none = both();
    none.rules.clear();
    let empty = policy(&[]);
    let zero = policy(&[(0, "dba", &["ada"])]);
    let votes = [
        yes("ada"),
        yes("bob"),
        yes("cem"),
        yes("dan"),
        cast("ada", Vote::Reject),
    ];
    for (policy, votes, wanted) in [
        (
            &none,
            &votes[..],
            "1 more of nobody: the policy has no rule for gates of risk high",
        ),
        (
            &empty,
            &votes[..],
            "1 more of nobody: the policy has no rule for gates of risk high",
        ),
        (&zero, &[], "1 more of dba (ada)"),
        (&zero, &votes[..1], "approved"),
    ] {
        assert_eq!(said(&judge(policy, votes)), wanted);
    }
}

#[test]
fn what_is_missing_can_be_given_by_those_who_are_named() {
    // Greedily ada would be taken as the dba, and nobody could give what is missing then.
    let policy = policy(&[(1, "dba", &["ada", "bob"]), (1, "boss", &["ada"])]);
    assert_eq!(said(&judge(&policy, &[yes("ada")])), "1 more of dba (bob)");
    // Too few are left: it says so by naming nobody.
    let policy = self::policy(&[(3, "dba", &["ada", "eve"])]);
    assert_eq!(said(&judge(&policy, &[yes("ada")])), "2 more of dba");
}

#[test]
fn a_send_back_to_where_the_run_cannot_go_is_no_approval_either() {
    let policy = policy(&[(1, "dba", &["ada", "bob"])]);
    let excluded = BTreeSet::new();
    let electorate = Electorate {
        policy: Some(&policy),
        risk: Risk::High,
        excluded: &excluded,
        plan_digest: the_plan(),
        round: 2,
    };
    let refuse = |to: &StepId| match to.as_str() {
        "here" => Ok(()),
        _ => Err(format!("`{to}` cannot be undone")),
    };
    let judge = |votes: &[CastVote]| verdict_where(&electorate, votes, at(0), &refuse);
    assert_eq!(
        said(&judge(&[yes("ada"), back("ada", "here")])),
        "back to here"
    );
    let refused = judge(&[yes("ada"), back("ada", "there")]);
    assert_eq!(said(&refused), "1 more of dba (ada, bob)");
    assert_eq!(
        refused.ignored,
        [
            (0, "`ada` voted again later".to_owned()),
            (1, "`there` cannot be undone".to_owned())
        ]
    );
    assert_eq!(
        said(&judge(&[yes("bob"), back("ada", "there")])),
        "approved"
    );
}
