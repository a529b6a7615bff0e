//! Carrying the trail elsewhere and back: export, restore, prune, and the chain by stock programs.

use std::path::Path;
use std::process::Command;

use super::forge::{By, LOG, SOURCE, Trail, keys};
use super::*;
use crate::audit::{
    VerifyOptions, export, prune, recorded_logs, restore_store, unbundle, verify_trail,
};
use crate::store::StoreError;

/// All that a store has of its runs, but who drives them.
fn dump(store: &dyn RunStore) -> String {
    let mut text = String::new();
    for mut run in store.runs(&RunFilter::default()).expect("reads") {
        run.owner = None;
        let events = store.events_after(run.id, EventSeq(0)).expect("reads");
        let lines: Vec<String> = events
            .iter()
            .map(|event| serde_json::to_string(event).expect("encodes"))
            .collect();
        let (plan, source) = (store.plan_json(run.id), store.source(run.id));
        text += &format!(
            "{run:?}\n{}\n{}\n{}\n",
            lines.join("\n"),
            plan.expect("reads"),
            source.expect("reads")
        );
    }
    text + &format!("{:?}", store.obligations(false).expect("reads"))
}

fn sh(folder: &Path, script: &str) -> String {
    let output = Command::new("sh")
        .args(["-c", script])
        .current_dir(folder)
        .env("GIT_CONFIG_GLOBAL", "/dev/null")
        .env("GIT_CONFIG_NOSYSTEM", "1")
        .output()
        .expect("sh runs");
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{script}: {errors}");
    String::from_utf8(output.stdout).expect("text")
}

#[test]
fn a_lost_store_comes_back_from_the_trail_and_a_lost_trail_from_the_store() {
    let trail = Trail::new();
    let before = dump(&trail.store);
    for store in [
        Box::new(MemoryStore::new()) as Box<dyn RunStore>,
        Box::new(SqliteStore::open(trail.place.dir.path()).expect("opens")),
    ] {
        let restored = restore_store(&trail.path(), store.as_ref()).expect("restored");
        assert_eq!((restored.added.len(), restored.present), (2, 0));
        assert_eq!(dump(store.as_ref()), before);
        let again = restore_store(&trail.path(), store.as_ref()).expect("nothing to do");
        assert_eq!((again.added.len(), again.present), (0, 2));
        assert_eq!(
            trail.place.catch_up(store.as_ref()).expect("nothing to do"),
            0
        );
    }
    let tree = trail.place.git(&["rev-parse", "main^{tree}"]);
    std::fs::remove_dir_all(trail.path()).expect("deletes");
    let commits = AuditTrail::open(&trail.path()).expect("opens").restore(
        &trail.store,
        &trail.place.logs(),
        &Lines,
    );
    assert_eq!(commits.expect("derived"), 2);
    assert_eq!(trail.place.git(&["rev-parse", "main^{tree}"]), tree);
}

#[test]
fn a_store_that_says_otherwise_is_left_alone() {
    let trail = Trail::new();
    let behind = MemoryStore::new();
    let run = run_id(1);
    let first = trail.store.events_after(run, EventSeq(0)).expect("reads")[0].clone();
    let mut new = new_run(run);
    new.source = SOURCE.to_owned();
    block_on(behind.create_run(new, first, owner(1))).expect("created");
    let error = restore_store(&trail.path(), &behind).expect_err("it has less");
    assert!(error.to_string().contains("with fewer events"), "{error}");
    assert_eq!(behind.runs(&RunFilter::default()).expect("reads").len(), 1);
    let other = MemoryStore::new();
    full_run(&other, run);
    let error = restore_store(&trail.path(), &other).expect_err("it differs");
    assert!(matches!(error, AuditError::Diverged { .. }), "{error:?}");
    let missing = other.plan_json(run_id(2));
    assert!(matches!(missing, Err(StoreError::UnknownRun(_))));
}

#[test]
fn a_folder_proves_a_run_on_a_machine_that_knows_nothing() {
    let trail = Trail::new();
    let elsewhere = tempfile::tempdir().expect("another machine");
    let to = elsewhere.path().join("proof");
    let options = Trail::options();
    let exported = export(&trail.path(), run_id(1), &options.signers, &to).expect("exports");
    assert_eq!(exported.head, trail.head());
    assert_eq!(exported.files.len(), 5);
    assert!(
        export(&trail.path(), run_id(1), &[], &to).is_err(),
        "it is not empty"
    );
    assert!(export(&trail.path(), run_id(9), &[], &elsewhere.path().join("x")).is_err());

    // Ours.
    let git = elsewhere.path().join("trail.git");
    unbundle(&to.join("trail.bundle"), &git).expect("takes it apart");
    let against = VerifyOptions {
        run: Some(run_id(1)),
        against: Some(exported.head.clone()),
        ..options
    };
    let report = verify_trail(&git, &against, None).expect("opens");
    assert_eq!((report.findings, report.signed_commits), (vec![], 3));

    // Stock programs, as VERIFY.md says.
    let folder = format!("trail/runs/2026/11/23/{}", run_id(1));
    sh(
        &to,
        "git clone -q --branch main trail.bundle trail 2>&1 && git -C trail bundle verify -q ../trail.bundle 2>&1",
    );
    sh(
        &to,
        "git -C trail fsck --strict 2>&1 && git -C trail -c gpg.ssh.allowedSignersFile=../allowed_signers \
         verify-commit main 2>&1",
    );
    let how_to = std::fs::read_to_string(to.join("VERIFY.md")).expect("reads");
    let part = |from: &str, to: &str| -> String {
        let start = how_to.find(from).expect(from);
        let end = how_to[start..].find(to).expect(to);
        how_to[start..start + end + to.len()].to_owned()
    };
    let chain = part("    h=$(cat", "echo \"sha256:$h\"");
    let head = sh(&to.join(&folder), &chain);
    let wanted = sh(
        &to,
        &format!(
            "git -C trail log -1 --format='%(trailers:key=Chain-Head,valueonly)' -- {}",
            &folder[6..]
        ),
    );
    assert_eq!(head.trim(), wanted.trim());
    let vote = part("    ssh-keygen -Y verify", "go-3.statement");
    assert!(sh(&to.join(&folder), &vote).contains("Good"));
    assert_eq!(
        sh(&to.join(&folder), "cat logs/restart.log").as_bytes(),
        LOG
    );
}

#[test]
fn what_is_no_bundle_is_refused() {
    let dir = tempfile::tempdir().expect("a folder");
    let file = dir.path().join("trail.bundle");
    let zeros = "0".repeat(40);
    for (text, why) in [
        ("nonsense".to_owned(), "it has no head"),
        ("# v3 git bundle\n\n".to_owned(), "does not begin"),
        (
            "# v2 git bundle\n\nPACK".to_owned(),
            "it has no `refs/heads/main`",
        ),
        (
            format!("# v2 git bundle\n{zeros} refs/heads/main\n\nPACK"),
            "",
        ),
    ] {
        std::fs::write(&file, text).expect("writes");
        let error = unbundle(&file, &dir.path().join("x")).expect_err("no bundle");
        assert!(error.to_string().contains(why), "{error}");
    }
}

#[test]
fn pruned_logs_leave_the_proof_intact() {
    let trail = Trail::new();
    let logs = trail.place.logs();
    let ends = at(14_000);
    assert_eq!(prune(&trail.store, &logs, ends, false).expect("prunes"), []);
    let after = at(14_001);
    let would = prune(&trail.store, &logs, after, true).expect("looks");
    assert_eq!(would.len(), 2);
    assert!(logs.join(run_id(1).to_string()).exists(), "it only looked");
    assert_eq!(would[0].bytes, LOG.len() as u64);
    block_on(trail.store.set_audited(run_id(2), EventSeq(3))).expect("set");
    let pruned = prune(&trail.store, &logs, after, false).expect("prunes");
    assert_eq!(pruned, would[..1], "run 2 is not in the trail yet");
    assert!(!logs.join(run_id(1).to_string()).exists());
    let kept = recorded_logs(&trail.path(), run_id(1)).expect("reads");
    assert_eq!(kept, [("restart.log".to_owned(), LOG.to_vec())]);
    assert_eq!(trail.verify(&Trail::options()).findings, []);
}

#[test]
fn a_trail_of_before_the_chain_goes_on_and_says_so() {
    let trail = Trail::new();
    let mut history = trail.history();
    for snapshot in &mut history {
        for run in [run_id(1), run_id(2)] {
            if let Some(lines) = snapshot.file(run, "events.jsonl") {
                let text = String::from_utf8(lines.clone()).expect("text");
                let bare = text.lines().map(|line| format!("{{{}\n", &line[82..]));
                *lines = bare.collect::<String>().into_bytes();
            }
        }
        let message = snapshot.message.lines();
        let message = message.filter(|line| !line.starts_with("Chain-Head"));
        snapshot.message = message.map(|line| format!("{line}\n")).collect();
    }
    // Run 1 was at its vote when the new version came.
    history.truncate(2);
    trail.replace(&history, By::Host);
    trail.catch_up();
    let report = trail.verify(&Trail::options());
    assert_eq!(report.findings, []);
    let notes: Vec<String> = report.notes.iter().map(ToString::to_string).collect();
    assert_eq!(notes.len(), 1, "{notes:?}");
    assert!(
        notes[0].contains("its first 4 events are not chained (written by an earlier version)")
    );
}

/// Not a test of behaviour: prints what verifying costs.
/// `cargo test --release --lib what_verifying_costs -- --ignored --nocapture`
#[test]
#[ignore = "a measurement, not a check"]
fn what_verifying_costs() {
    let place = Place::new();
    let store = MemoryStore::new();
    let template = Trail::new();
    for n in 1..=1_000 {
        let run = run_id(n);
        let record = template
            .store
            .run(run_id(1))
            .expect("reads")
            .expect("there");
        let mut events = Vec::new();
        let seven = template.store.events_after(run_id(1), EventSeq(0));
        for mut event in seven.expect("reads") {
            event.run = run;
            if let EventKind::VoteCast { actor, signed, .. } = &mut event.event {
                actor.verified = false;
                *signed = None;
            }
            // Retries make twenty of them.
            if let EventKind::StepSucceeded { log, .. } = &mut event.event {
                *log = None;
            }
            let last = matches!(event.event, EventKind::RunFinished { .. });
            while last && events.len() < 19 {
                let mut filler: RunEvent = event.clone();
                filler.event = EventKind::RunResumed {
                    actor: record.actor.clone(),
                    version: "0.1.0".to_owned(),
                };
                events.push(filler);
            }
            events.push(event);
        }
        for (event, seq) in events.iter_mut().zip(1..) {
            event.seq = EventSeq(seq);
        }
        let mut new = new_run(run);
        new.created_at = events[0].at;
        new.plan_json = template.store.plan_json(run_id(1)).expect("reads");
        new.plan_digest = record.plan_digest;
        new.source = SOURCE.to_owned();
        block_on(store.create_run(new, events[0].clone(), owner(1))).expect("created");
        block_on(store.append(events[1..].to_vec(), RunStatus::Finished)).expect("appended");
    }
    let start = std::time::Instant::now();
    AuditTrail::open(&place.trail())
        .expect("opens")
        .signed_by(Some(keys().key("host")))
        .catch_up(&store, &place.logs(), &Lines)
        .expect("recorded");
    println!(
        "1,000 runs of 20 events recorded and signed: {:?}",
        start.elapsed()
    );
    let start = std::time::Instant::now();
    let report = verify_trail(&place.trail(), &Trail::options(), None).expect("opens");
    println!("verified: {:?}", start.elapsed());
    println!(
        "{} commits ({} signed), {} events, findings: {:?}",
        report.commits,
        report.signed_commits,
        report.events,
        report.findings.first()
    );
}
