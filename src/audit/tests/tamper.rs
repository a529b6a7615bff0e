//! Every way that we know of to make the trail say something else, and the words in which `verify`
//! finds it. Whoever forges here recomputes what can be recomputed without a key: the chain, the
//! trailers, the ids of the commits.

use serde_json::json;

use super::forge::{By, Snapshot, Trail, keys, plan, retell, signed, statement};
use crate::audit::{Finding, Signer, VerifyOptions, verify_trail};
use crate::base::{Digest, EventSeq, RunId};
use crate::event::SignedVote;
use crate::store::samples::run_id;

fn one() -> RunId {
    run_id(1)
}

fn messages(findings: &[Finding]) -> Vec<String> {
    findings.iter().map(ToString::to_string).collect()
}

fn edit_bytes(bytes: &mut Vec<u8>, from: &str, to: &str) {
    let text = String::from_utf8(bytes.clone()).expect("text");
    assert!(text.contains(from), "{from} is not in {text}");
    *bytes = text.replace(from, to).into_bytes();
}

/// What is changed in the history; by whom it is signed then; what verify says.
macro_rules! tampered {
    ($($name:ident, $by:expr, $change:expr => $message:expr;)+) => {
        $(#[test] fn $name() {
            let trail = Trail::new();
            let mut history = trail.history();
            let change: fn(&mut Vec<Snapshot>) = $change;
            change(&mut history);
            trail.replace(&history, $by);
            let report = trail.verify(&Trail::options());
            let found = messages(&report.findings);
            assert!(found.iter().any(|text| text.contains($message)), "{found:#?}");
            if $by == By::Host {
                // Whoever has the host's key signs anything; the contents give it away all the same.
                assert!(trail.stock_believes());
                assert!(!found.iter().any(|text| text.contains("signature is not one")), "{found:#?}");
            } else {
                assert!(!trail.stock_believes(), "stock git agrees that it is not signed well");
            }
            assert!(trail.stock_sound(), "the objects themselves are in order");
        })+
    };
}

tampered! {
    an_event_is_changed, By::Host, |history| {
        let last = history.last_mut().expect("commits");
        edit_bytes(last.file(run_id(2), "events.jsonl").expect("there"), "go on?", "go off?");
    } => "the chain breaks at event 3: it names";

    an_event_is_dropped, By::Host, |history| {
        let last = history.last_mut().expect("commits");
        let mut events = last.events(run_id(2));
        events.remove(4);
        last.set_events(run_id(2), &events);
    } => "line 5 holds event 6";

    events_change_places, By::Host, |history| {
        let last = history.last_mut().expect("commits");
        let mut events = last.events(run_id(2));
        events.swap(4, 5);
        for (event, seq) in events.iter_mut().zip(1..) {
            event["seq"] = seq.into();
        }
        last.set_events(run_id(2), &events);
    } => "event 5 `step_succeeded` of step `restart` cannot happen here";

    an_event_is_put_in, By::Host, |history| {
        let last = history.last_mut().expect("commits");
        let mut events = last.events(run_id(2));
        let copy = events[5].clone();
        events.insert(5, copy);
        for (event, seq) in events.iter_mut().zip(1..) {
            event["seq"] = seq.into();
        }
        last.set_events(run_id(2), &events);
    } => "event 7 `step_succeeded` of step `restart` cannot happen here";

    an_event_of_another_run_is_put_in, By::Host, |history| {
        retell(history, one(), |event, seq| if seq == EventSeq(5) {
            event["run"] = run_id(2).to_string().into();
        });
    } => "event 5 is of run";

    the_end_is_told_otherwise_with_all_digests_recomputed, By::Nobody, |history| {
        retell(history, one(), |event, _| if event["event"]["kind"] == "step_succeeded" {
            event["event"]["outputs"] = json!({"pid": 1});
        });
    } => "it is not signed, and no signed commit follows it";

    it_is_retold_and_signed_by_somebody_else, By::Mallory, |history| {
        retell(history, one(), |event, _| if event["event"]["kind"] == "step_succeeded" {
            event["event"]["outputs"] = json!({"pid": 1});
        });
    } => "its signature is not one of the allowed signers'";

    it_is_retold_under_the_old_signatures, By::Copied, |history| {
        retell(history, one(), |event, _| if event["event"]["kind"] == "step_succeeded" {
            event["event"]["outputs"] = json!({"pid": 1});
        });
    } => "its signature is not one of the allowed signers'";

    what_was_on_record_is_rewritten, By::Host, |history| {
        let count = history.len();
        retell(&mut history[count - 2..], one(), |event, seq| if seq == EventSeq(2) {
            event["event"]["message"] = "harmless?".into();
        });
    } => "it rewrites what was on record";

    a_gate_opens_without_having_been_there, By::Host, |history| {
        let last = history.last_mut().expect("commits");
        let mut events = last.events(run_id(2));
        events.remove(1);
        for (event, seq) in events.iter_mut().zip(1..) {
            event["seq"] = seq.into();
        }
        last.set_events(run_id(2), &events);
    } => "cannot happen here";

    a_log_is_swapped, By::Host, |history| {
        let last = history.last_mut().expect("commits");
        *last.file(run_id(2), "logs/restart.log").expect("there") = b"all is well\n".to_vec();
    } => "`logs/restart.log` is not what the step printed";

    a_log_passes_for_cut, By::Host, |history| {
        let last = history.last_mut().expect("commits");
        *last.file(run_id(2), "logs/restart.log").expect("there") =
            b"[the first 90000 of 90002 bytes are cut]\nok".to_vec();
    } => "`logs/restart.log` is not what the step printed";

    a_log_is_removed, By::Host, |history| {
        for snapshot in history.iter_mut() {
            snapshot.files.remove(&Snapshot::path(one(), "logs/restart.log"));
        }
    } => "`logs/restart.log` is missing";

    a_log_is_made_up, By::Host, |history| {
        let last = history.last_mut().expect("commits");
        last.files.insert(Snapshot::path(run_id(2), "logs/other.log"), b"x".to_vec());
    } => "`logs/other.log` belongs to no attempt";

    the_runbook_is_edited_in_the_tree, By::Host, |history| {
        let last = history.last_mut().expect("commits");
        *last.file(one(), "runbook.yaml").expect("there") = b"runbook: v1\nname: nice\n".to_vec();
    } => "which is not of the run it names";

    the_runbook_is_edited_by_its_own_run, By::Host, |history| {
        let last = &mut history[2];
        *last.file(one(), "runbook.yaml").expect("there") = b"runbook: v1\nname: nice\n".to_vec();
    } => "runbook.yaml`, which never changes";

    the_runbook_was_never_what_it_was, By::Host, |history| {
        for snapshot in history.iter_mut() {
            if let Some(file) = snapshot.file(one(), "runbook.yaml") {
                *file = b"runbook: v1\nname: nice\n".to_vec();
            }
        }
        retell(history, one(), |_, _| {});
    } => "`runbook.yaml` is another text than the plan was made of";

    the_plan_was_never_what_it_was, By::Host, |history| {
        for snapshot in history.iter_mut() {
            if let Some(file) = snapshot.file(one(), "plan.json") {
                edit_bytes(file, "\"self_approval\":false", "\"self_approval\":true");
            }
        }
        retell(history, one(), |_, _| {});
    } => "`plan.json` is another plan than the one that ran";

    the_plan_is_edited_in_words_that_its_digest_leaves_out, By::Host, |history| {
        for snapshot in history.iter_mut() {
            if let Some(file) = snapshot.file(one(), "plan.json") {
                edit_bytes(file, "\"file\":\"test.yaml\"", "\"file\":\"nice.yaml\"");
            }
        }
    } => "the chain breaks at event 1: it names";

    the_plan_and_everything_that_names_it_are_edited, By::Host, |history| {
        let mut other = plan();
        other.policy.as_mut().expect("a policy").self_approval = true;
        let digest = other.digest();
        for snapshot in history.iter_mut() {
            if let Some(file) = snapshot.file(one(), "plan.json") {
                *file = other.canonical_json().into_bytes();
            }
            if snapshot.message.contains(&format!("Run-Id: {}", one())) {
                snapshot.trailer("Plan-Digest", &digest.to_string());
            }
        }
        retell(history, one(), |event, _| if event["event"].get("plan_digest").is_some() {
            let mut other = plan();
            other.policy.as_mut().expect("a policy").self_approval = true;
            event["event"]["plan_digest"] = other.digest().to_string().into();
        });
    } => "event 3: what ada signed is about another plan than the vote on record";

    a_commit_is_dated_back, By::Host, |history| {
        history[2].seconds -= 3_600;
    } => "its author time is -3600 seconds off the time of its last event";

    a_commit_and_its_events_are_dated_back, By::Mallory, |history| {
        for snapshot in history.iter_mut() {
            snapshot.seconds -= 3_600;
        }
        retell(history, one(), |event, _| {
            let at = event["at"].as_str().expect("a time").replace("T03:", "T02:");
            event["at"] = at.into();
        });
    } => "its signature is not one of the allowed signers'";

    the_author_is_somebody_else, By::Host, |history| {
        history[1].author = ("mallory".to_owned(), "mallory@box".to_owned());
    } => "its author is `mallory <mallory@box>`, but `ada <ada@box>` did what it records";

    the_committer_is_somebody_else, By::Host, |history| {
        history[1].committer = ("mallory".to_owned(), "mallory@box".to_owned());
    } => "its committer is `mallory <mallory@box>`, not `runbook`";

    a_trailer_lies_about_the_outcome, By::Host, |history| {
        history[2].trailer("Outcome", "failed");
    } => "its trailer `Outcome` says `failed`, its contents say `succeeded`";

    a_trailer_lies_about_the_events, By::Host, |history| {
        history[1].trailer("Last-Seq", "9");
    } => "its trailer `Last-Seq` says `9`, its contents say `4`";

    a_trailer_lies_about_the_chain, By::Host, |history| {
        history[1].trailer("Chain-Head", &Digest::of_bytes(b"x").to_string());
    } => "its trailer `Chain-Head` says";

    a_trailer_is_made_up, By::Host, |history| {
        history[1].message.push_str("Emergency: of course\n");
    } => "its trailer `Emergency` is not borne out by its contents";

    a_commit_touches_another_run, By::Host, |history| {
        let last = history.last_mut().expect("commits");
        last.file(one(), "report.md").expect("there").push(b'!');
    } => "report.md`, which is not of the run it names";

    a_later_commit_removes_a_run, By::Host, |history| {
        let last = history.last_mut().expect("commits");
        last.files.retain(|path, _| !path.contains(&one().to_string()));
    } => "which is not of the run it names";

    a_run_removes_its_own_vote, By::Host, |history| {
        history[2].files.remove(&Snapshot::path(one(), "approvals/go-3.json"));
        history[3].files.remove(&Snapshot::path(one(), "approvals/go-3.json"));
    } => "it removes `runs/2026/11/23/";

    a_file_is_made_executable, By::Host, |history| {
        let path = Snapshot::path(run_id(2), "runbook.yaml");
        history.last_mut().expect("commits").executable = Some(path);
    } => "runbook.yaml` is no plain file";

    a_file_is_hidden_among_the_others, By::Host, |history| {
        let path = Snapshot::path(run_id(2), "hidden");
        history.last_mut().expect("commits").files.insert(path, b"x".to_vec());
    } => "hidden` is no file of a run";

    a_file_is_put_outside_of_the_runs, By::Host, |history| {
        history.last_mut().expect("commits").files.insert("README.md".to_owned(), b"x".to_vec());
    } => "it changes `README.md`, which is not of the run it names";

    a_run_is_put_on_another_day, By::Host, |history| {
        for snapshot in history.iter_mut() {
            let moved = snapshot.files.iter().map(|(path, bytes)| {
                (path.replace("/11/23/", "/11/22/"), bytes.clone())
            }).collect();
            snapshot.files = moved;
        }
    } => "its first event is of another day";

    a_run_is_told_in_one_commit_after_the_fact, By::Nobody, |history| {
        history.drain(..2);
    } => "it is not signed, and no signed commit follows it";

    a_vote_is_changed_in_its_file_alone, By::Host, |history| {
        for snapshot in history.iter_mut().skip(1) {
            edit_bytes(snapshot.file(one(), "approvals/go-3.json").expect("there"), "looks good", "fine");
        }
    } => "`approvals/go-3.json` says something else than event 3";

    a_statement_is_changed_in_its_file_alone, By::Host, |history| {
        for snapshot in history.iter_mut().skip(1) {
            snapshot.file(one(), "approvals/go-3.statement").expect("there").push(b' ');
        }
    } => "`approvals/go-3.statement` says something else than event 3";

    a_vote_has_no_file, By::Host, |history| {
        for snapshot in history.iter_mut() {
            snapshot.files.remove(&Snapshot::path(one(), "approvals/go-3.json"));
        }
    } => "`approvals/go-3.json` is missing";

    a_vote_is_a_file_without_an_event, By::Host, |history| {
        let path = Snapshot::path(run_id(2), "approvals/go-4.json");
        history.last_mut().expect("commits").files.insert(path, b"{}".to_vec());
    } => "`approvals/go-4.json` belongs to no vote among its events";
}

/// Puts another vote on record in run 1, with its files, as if it had been there from the start.
fn revote(trail: &Trail, vote: Option<&SignedVote>, also: impl Fn(&mut serde_json::Value)) {
    let mut history = trail.history();
    let value = vote.map(|vote| serde_json::to_value(vote).expect("encodes"));
    retell(&mut history, one(), |event, seq| {
        if seq == EventSeq(3) {
            let fields = event["event"].as_object_mut().expect("an object");
            match &value {
                Some(value) => fields.insert("signed".to_owned(), value.clone()),
                None => fields.remove("signed"),
            };
            also(event);
        }
    });
    for snapshot in history.iter_mut().skip(1) {
        let mut event = snapshot.events(one())[2].clone();
        event.as_object_mut().expect("an object").remove("prev");
        let json = serde_json::to_vec_pretty(&event).expect("encodes");
        *snapshot.file(one(), "approvals/go-3.json").expect("there") = json;
        for (name, text) in [
            ("approvals/go-3.statement", vote.map(|vote| &vote.statement)),
            ("approvals/go-3.sig", vote.map(|vote| &vote.signature)),
        ] {
            match text {
                Some(text) => {
                    *snapshot.file(one(), name).expect("there") = text.clone().into_bytes()
                }
                None => drop(snapshot.files.remove(&Snapshot::path(one(), name))),
            }
        }
    }
    trail.replace(&history, By::Host);
}

fn assert_found(trail: &Trail, message: &str) {
    let found = messages(&trail.verify(&Trail::options()).findings);
    assert!(
        found.iter().any(|text| text.contains(message)),
        "{found:#?}"
    );
}

#[test]
fn what_nobody_touched_is_proven_and_stock_programs_agree() {
    let trail = Trail::new();
    let report = trail.verify(&Trail::options());
    assert_eq!(messages(&report.findings), Vec::<String>::new());
    assert_eq!(messages(&report.notes), Vec::<String>::new());
    assert_eq!((report.commits, report.signed_commits), (4, 4));
    assert_eq!((report.runs, report.events), (2, 14));
    assert_eq!((report.votes, report.signed_votes), (2, 2));
    assert_eq!(report.head, Some(trail.head()));
    assert!(trail.stock_believes() && trail.stock_sound());
    assert!(trail.stock_believes_vote(one()));
    let stored = verify_trail(&trail.path(), &Trail::options(), Some(&trail.store));
    assert_eq!(stored.expect("opens").findings, []);
    let only = VerifyOptions {
        run: Some(one()),
        ..Trail::options()
    };
    let report = trail.verify(&only);
    assert_eq!((report.commits, report.runs, report.events), (3, 1, 7));
    assert_eq!(report.findings, []);
    // Taken apart and put together again it is the same: the forger's tools are sharp.
    let head = trail.head();
    trail.replace(&trail.history(), By::Copied);
    assert_eq!(trail.head(), head);
}

#[test]
fn an_approval_signed_with_another_key() {
    let trail = Trail::new();
    revote(&trail, Some(&signed(&statement(one()), "mallory")), |_| {});
    assert_found(
        &trail,
        "the vote of ada passes for verified, but its signature was not made with a key of that person",
    );
    assert!(!trail.stock_believes_vote(one()), "ssh-keygen agrees");
}

#[test]
fn an_approval_without_any_signature() {
    let trail = Trail::new();
    revote(&trail, None, |_| {});
    assert_found(
        &trail,
        "the vote of ada passes for verified, but has no signature",
    );
}

#[test]
fn an_approval_with_nonsense_for_a_signature() {
    let trail = Trail::new();
    let mut vote = signed(&statement(one()), "ada");
    vote.signature = "-----BEGIN SSH SIGNATURE-----\n".to_owned();
    revote(&trail, Some(&vote), |_| {});
    assert_found(&trail, "passes for verified, but its signature is none");
    assert!(!trail.stock_believes_vote(one()));
}

#[test]
fn an_approval_of_another_run_is_played_again() {
    let trail = Trail::new();
    revote(&trail, Some(&signed(&statement(run_id(2)), "ada")), |_| {});
    assert_found(
        &trail,
        "event 3: what ada signed is about another run than the vote on record",
    );
    assert!(
        trail.stock_believes_vote(one()),
        "the signature itself is good; what it is of is not"
    );
}

#[test]
fn an_approval_of_another_gate_round_or_answer_is_played_again() {
    type Change = fn(&mut crate::event::VoteStatement);
    let cases: [(Change, &str); 5] = [
        (
            |said| said.gate = Some(crate::store::samples::step("other")),
            "gate",
        ),
        (|said| said.round = 2, "round"),
        (
            |said| said.vote = Some(crate::event::Vote::Reject),
            "answer",
        ),
        (|said| said.voter = "grace".to_owned(), "voter"),
        (|said| said.plan_digest = Digest::of_bytes(b"other"), "plan"),
    ];
    for (change, what) in cases {
        let trail = Trail::new();
        let mut said = statement(one());
        change(&mut said);
        revote(&trail, Some(&signed(&said, "ada")), |_| {});
        assert_found(
            &trail,
            &format!("what ada signed is about another {what} than"),
        );
    }
}

#[test]
fn words_are_put_into_a_voter_s_mouth() {
    let trail = Trail::new();
    revote(&trail, Some(&signed(&statement(one()), "ada")), |event| {
        event["event"]["comment"] = "at your own risk".into();
    });
    assert_found(&trail, "what ada signed is about another comment");
}

#[test]
fn a_statement_is_edited_under_its_signature() {
    let trail = Trail::new();
    let mut vote = signed(&statement(one()), "ada");
    vote.statement = vote.statement.replace("looks good", "looks fine");
    revote(&trail, Some(&vote), |event| {
        event["event"]["comment"] = "looks fine".into();
    });
    assert_found(
        &trail,
        "its signature was not made with a key of that person, or of another text",
    );
    assert!(!trail.stock_believes_vote(one()));
}

#[test]
fn a_signer_who_left_later_is_a_note() {
    let trail = Trail::new();
    let today = |people: &[(&str, String)]| VerifyOptions {
        people: Some(
            people
                .iter()
                .map(|(name, key)| ((*name).to_owned(), vec![key.clone()]))
                .collect(),
        ),
        ..Trail::options()
    };
    let report = trail.verify(&today(&[("ada", keys().public("ada"))]));
    assert_eq!((report.findings, report.notes), (vec![], vec![]));
    for people in [vec![], vec![("ada", keys().public("mallory"))]] {
        let report = trail.verify(&today(&people));
        assert_eq!(report.findings, []);
        let notes = messages(&report.notes);
        assert_eq!(notes.len(), 2, "{notes:?}");
        assert!(
            notes[0].contains("is not in the policy any more"),
            "{notes:?}"
        );
    }
}

#[test]
fn the_tail_is_cut_off() {
    let trail = Trail::new();
    let head = trail.head();
    let remote = trail.place.dir.path().join("remote.git");
    let copied = std::process::Command::new("cp")
        .arg("-r")
        .args([trail.path(), remote.clone()])
        .status();
    assert!(copied.expect("runs").success());
    let mut history = trail.history();
    history.pop();
    trail.replace(&history, By::Copied);
    let alone = trail.verify(&Trail::options());
    assert_eq!(
        alone.findings,
        [],
        "by itself a shorter trail is a good trail"
    );
    let against = VerifyOptions {
        against: Some(head.clone()),
        ..Trail::options()
    };
    let found = messages(&trail.verify(&against).findings);
    assert!(
        found[0].contains("was its head before and is not in it now"),
        "{found:?}"
    );
    let remote = VerifyOptions {
        remote: Some(remote),
        ..Trail::options()
    };
    let found = messages(&trail.verify(&remote).findings);
    assert!(
        found[0].contains(&format!("has commit {head}, and this trail does not")),
        "{found:?}"
    );
    let stored = verify_trail(&trail.path(), &Trail::options(), Some(&trail.store));
    let found = messages(&stored.expect("opens").findings);
    assert!(
        found[0].contains("it was on record, says the store"),
        "{found:?}"
    );
    // What is derived again is the same, so the noted head is there again.
    trail.catch_up();
    assert_eq!(trail.verify(&against).findings, []);
}

#[test]
fn the_end_of_a_run_is_cut_off() {
    let trail = Trail::new();
    let mut history = trail.history();
    history.truncate(2);
    trail.replace(&history, By::Copied);
    let stored = verify_trail(&trail.path(), &Trail::options(), Some(&trail.store));
    let found = messages(&stored.expect("opens").findings);
    assert!(
        found[0].contains("the trail had 7 of its events, says the store, and has 4 now"),
        "{found:?}"
    );
}

#[test]
fn an_unsigned_commit_is_added_to_a_signed_trail() {
    let trail = Trail::new();
    let mut history = trail.history();
    let last = history.pop().expect("commits");
    trail.replace(&history, By::Copied);
    let git = trail.git();
    trail.replace(&history, By::Copied);
    let signed_tip = git.refname_to_id("refs/heads/main").expect("a tip");
    // Every commit but the last keeps its signature.
    trail.append(&last, signed_tip, By::Nobody);
    let relaxed = VerifyOptions {
        require_signatures: false,
        ..Trail::options()
    };
    let found = messages(&trail.verify(&relaxed).findings);
    assert!(
        found[0].contains("it is not signed, but a commit before it is"),
        "{found:?}"
    );
    assert!(!trail.stock_believes());
}

#[test]
fn what_was_not_signed_before_is_covered_by_the_first_signature() {
    let trail = Trail::new();
    let history = trail.history();
    let (last, before) = history.split_last().expect("commits");
    trail.replace(before, By::Nobody);
    let tip = trail.git().refname_to_id("refs/heads/main").expect("a tip");
    trail.append(last, tip, By::Host);
    let report = trail.verify(&Trail::options());
    assert_eq!(report.findings, []);
    assert!(messages(&report.notes)[0].contains("the signature after them covers them"));
}

#[test]
fn signatures_without_a_known_signer_are_said_to_prove_nothing() {
    let trail = Trail::new();
    let report = trail.verify(&VerifyOptions::default());
    assert_eq!((report.findings.len(), report.signed_commits), (0, 0));
    assert!(messages(&report.notes)[0].contains("no signer is known"));
    let required = VerifyOptions {
        require_signatures: true,
        signers: vec![Signer {
            name: "other".to_owned(),
            keys: vec![keys().public("mallory")],
        }],
        ..VerifyOptions::default()
    };
    assert_eq!(trail.verify(&required).findings.len(), 4);
}

#[test]
fn an_object_is_damaged() {
    let trail = Trail::new();
    let blob = trail.place.git(&[
        "rev-parse",
        &format!("main:{}", Snapshot::path(one(), "events.jsonl")),
    ]);
    let blob = blob.trim();
    let path = trail
        .path()
        .join("objects")
        .join(&blob[..2])
        .join(&blob[2..]);
    std::fs::remove_file(&path).expect("removes");
    assert_found(&trail, "it cannot be read: object not found");
    assert!(!trail.stock_sound(), "git fsck agrees");
}

#[test]
fn two_trails_are_merged_and_nothing_may_be_lost_on_the_way() {
    let make = |change: fn(&mut Snapshot)| {
        let trail = Trail::new();
        let history = trail.history();
        // One host has run 1, the other has run 2, from the beginning.
        let mut other = history[3].clone();
        other
            .files
            .retain(|path, _| path.contains(&run_id(2).to_string()));
        trail.replace(&[other], By::Host);
        let with = trail.git().refname_to_id("refs/heads/main").expect("a tip");
        trail.replace(&history[..3], By::Host);
        let mut merged = history[3].clone();
        merged.message = "Merge the trail of another host\n".to_owned();
        merged.author = ("runbook".to_owned(), "runbook@box".to_owned());
        merged.committer = merged.author.clone();
        change(&mut merged);
        trail.merge(&merged, with, By::Host);
        trail
    };
    let whole = make(|_| {});
    assert_eq!(whole.verify(&Trail::options()).findings, []);
    assert_eq!(whole.verify(&Trail::options()).commits, 5);
    type Change = fn(&mut Snapshot);
    let cases: [(Change, &str); 4] = [
        (
            |merged| {
                merged
                    .files
                    .retain(|path, _| !path.contains(&one().to_string()))
            },
            "the merge leaves out `runs/",
        ),
        (
            |merged| merged.file(one(), "report.md").expect("there").push(b'!'),
            "the merge changes `runs/",
        ),
        (
            |merged| drop(merged.files.insert("x".to_owned(), b"x".to_vec())),
            "the merge adds `x`",
        ),
        (
            |merged| merged.seconds -= 60,
            "its time is not that of the later of its two parents",
        ),
    ];
    for (change, message) in cases {
        assert_found(&make(change), message);
    }
}
