//! `exec` from start to end, and what is on record of it afterwards.

use insta::assert_snapshot;
use runbook::event::{EventKind, Outcome, RollbackResult, RunEvent};

use crate::support::{DEPLOY, Output, TestEnv, job};

/// The steps that an event of this name is about, in order.
fn steps_of(events: &[RunEvent], name: &str) -> Vec<String> {
    events
        .iter()
        .filter(|event| event.event.name() == name)
        .filter_map(|event| Some(event.event.step()?.to_string()))
        .collect()
}

/// Outcome and rollback of a run that is over.
fn ending(events: &[RunEvent]) -> (Outcome, RollbackResult) {
    match events.last().map(|event| &event.event) {
        Some(EventKind::RunFinished {
            outcome, rollback, ..
        }) => (*outcome, *rollback),
        other => panic!("the last event is {other:?}"),
    }
}

fn exec(env: &TestEnv) -> Output {
    env.run(["exec", "job", "--output", "json"])
}

#[test]
fn success_is_told_line_by_line_and_summed_up() {
    let env = TestEnv::with_runbook("deploy", DEPLOY);
    let output = env.run(["exec", "deploy", "--yes"]);
    assert_eq!(output.code, Some(0), "{output}");
    for words in [
        "deploy on local · run ",
        "▶ before  Record what runs",
        "before | before",
        "✓ before  Record what runs",
        "Deploy v1?",
        "put    | put v1",
        "finally",
        "tell   | succeeded",
    ] {
        assert!(output.stderr.contains(words), "{words}\n{output}");
    }
    for words in [
        "✓ deploy succeeded in ",
        "every step succeeded or was skipped by its condition",
        "  version  v1\n",
        "git -C .runbook/audit.git log --grep=",
        "  look back   runbook status ",
    ] {
        assert!(output.stdout.contains(words), "{words}\n{output}");
    }
    assert_eq!(env.read("marker"), "put v1\n");
}

#[test]
fn quiet_leaves_only_the_summary() {
    let env = TestEnv::with_runbook("deploy", DEPLOY);
    let output = env.run(["exec", "deploy", "--yes", "--quiet"]);
    assert_eq!(output.code, Some(0), "{output}");
    assert_eq!(output.stderr, "");
    assert!(output.stdout.contains("✓ deploy succeeded"), "{output}");
}

#[test]
fn programs_get_the_events_of_the_journal() {
    let env = TestEnv::with_runbook("deploy", DEPLOY);
    let output = env.run(["exec", "deploy", "--yes", "--output", "json"]);
    assert_eq!(output.code, Some(0), "{output}");
    assert_eq!(output.stderr, "");
    let events = output.events();
    let positions: Vec<u64> = events.iter().map(|event| event.seq.0).collect();
    let dense: Vec<u64> = (1..).take(events.len()).collect();
    assert_eq!(positions, dense);
    assert!(events.iter().all(|event| event.run == events[0].run));
    assert_eq!(events[0].event.name(), "run_created");
    assert_eq!(ending(&events), (Outcome::Succeeded, RollbackResult::None));
    assert_eq!(
        steps_of(&events, "step_succeeded").len(),
        5,
        "all but the gate"
    );
}

#[test]
fn a_dry_run_performs_only_what_reads() {
    let env = TestEnv::with_runbook("deploy", DEPLOY);
    // Where the line is cut depends on how long the duration before it is.
    let shown = env.run(["exec", "deploy", "--dry-run"]).to_string();
    let shown: Vec<&str> = shown
        .lines()
        .map(|line| {
            line.split_once(",\"truncated\"")
                .map_or(line, |(kept, _)| kept)
        })
        .collect();
    assert_snapshot!(shown.join("\n"), @r#"
    Dry run: only steps that read were performed; the others show what they would do.
    ✓ before  Record what runs  performed
        {"duration":"[DURATION]","exit_code":0,"lines":["before"],"stdout":"before"
    ◇ go  approval  would wait for approval
        Deploy v1?
    ● put  Put it in place  exact
        /bin/sh -eu -c
        echo put v1 | tee -a marker
    ✓ left  shell  performed, as things are now
        {"duration":"[DURATION]","exit_code":0,"lines":["left"],"stdout":"left"
    ✓ right  shell  performed, as things are now
        {"duration":"[DURATION]","exit_code":0,"lines":["right"],"stdout":"right"
    finally, whatever happened
    ● tell  shell  predicted
        /bin/sh -eu -c
        echo succeeded

    3 performed, 1 at a gate, 1 exact, 1 predicted
    "#);
    assert!(!env.root().join("marker").exists());
    let runs = env.run(["runs"]);
    assert!(!runs.stdout.contains("deploy"), "{runs}");
}

#[test]
fn parameters_come_from_a_file_and_the_command_line_wins() {
    let env = job(r#"params:
  who: { type: string }
  times: { type: int, default: 1 }
steps:
  - id: greet
    uses: shell
    with: { script: "echo {{ params.who }} {{ params.times }} >> marker" }
"#);
    env.write("values.yaml", "who: it's me\ntimes: 2\n");
    let output = env.run(["exec", "job", "--param-file", "values.yaml"]);
    assert_eq!(output.code, Some(0), "{output}");
    let output = env.run([
        "exec",
        "job",
        "--param-file",
        "values.yaml",
        "--param",
        "times=3",
    ]);
    assert_eq!(output.code, Some(0), "{output}");
    assert_eq!(env.read("marker"), "it's me 2\nit's me 3\n");

    let missing = env.run(["exec", "job"]);
    assert_eq!(missing.code, Some(3), "{missing}");
    assert!(missing.stderr.contains("`who`"), "{missing}");
    let wrong = env.run(["exec", "job", "--param", "who=x", "--param", "times=many"]);
    assert_eq!(wrong.code, Some(3), "{wrong}");
    assert!(wrong.stderr.contains("many"), "{wrong}");
    let absent = env.run(["exec", "job", "--param-file", "vlaues.yaml"]);
    assert_eq!(absent.code, Some(2), "{absent}");
    assert!(
        absent
            .stderr
            .contains("there is no file vlaues.yaml\n  next: "),
        "{absent}"
    );
    assert_eq!(env.read("marker").lines().count(), 2, "nothing more ran");
}

#[test]
fn a_step_whose_condition_is_false_is_skipped_and_that_is_a_success() {
    let env = job(r#"params:
  force: { type: bool, default: false }
steps:
  - id: maybe
    uses: shell
    when: params.force
    with: { script: "echo ran >> marker" }
  - id: after
    uses: shell
    with: { script: "echo after >> marker" }
"#);
    let output = exec(&env);
    assert_eq!(output.code, Some(0), "{output}");
    assert_eq!(steps_of(&output.events(), "step_skipped"), ["maybe"]);
    assert_eq!(env.read("marker"), "after\n");
}

#[test]
fn a_failed_step_is_tried_again() {
    let env = job(r#"steps:
  - id: third
    uses: shell
    with: { script: "echo x >> marker; test $(wc -l < marker) -eq 3" }
    retry: { attempts: 3, delay: 1ms }
"#);
    let output = exec(&env);
    assert_eq!(output.code, Some(0), "{output}");
    let events = output.events();
    assert_eq!(steps_of(&events, "step_failed").len(), 2);
    assert_eq!(steps_of(&events, "step_retry_scheduled").len(), 2);
    assert_eq!(env.read("marker").lines().count(), 3);
}

#[test]
fn a_step_is_polled_until_its_condition_holds() {
    let env = job(r#"steps:
  - id: fourth
    uses: shell
    with: { script: "echo x >> marker; wc -l < marker" }
    effect: { is: idempotent, reason: counting is harmless }
    until: int(outputs.stdout) >= 4
    every: 1ms
    timeout: 30s
"#);
    let output = exec(&env);
    assert_eq!(output.code, Some(0), "{output}");
    assert_eq!(steps_of(&output.events(), "step_polled").len(), 3);
}

#[test]
fn a_step_that_takes_too_long_fails() {
    let env = job(r#"on_failure: stop
steps:
  - id: slow
    uses: shell
    with: { script: "exec sleep 600" }
    timeout: 50ms
"#);
    let output = exec(&env);
    assert_eq!(output.code, Some(1), "{output}");
    assert!(output.stdout.contains(r#""sort":"timeout""#), "{output}");
}

#[test]
fn a_run_that_takes_too_long_is_rolled_back() {
    let env = job(r#"timeout: 300ms
steps:
  - id: put
    uses: shell
    with: { script: "echo put >> marker" }
    rollback:
      uses: shell
      with: { script: "echo away >> marker" }
  - id: slow
    uses: shell
    with: { script: "exec sleep 600" }
"#);
    let output = exec(&env);
    assert_eq!(output.code, Some(5), "{output}");
    assert!(output.stdout.contains(r#""run_timed_out""#), "{output}");
    assert_eq!(env.read("marker"), "put\naway\n");
}

/// Two steps with undos, then one that fails; `finally` comes after.
const FAILING: &str = r#"steps:
  - id: one
    uses: shell
    with: { script: "echo one >> marker" }
    rollback:
      uses: shell
      with: { script: "echo not one >> marker" }
  - id: two
    uses: shell
    with: { script: "echo two >> marker" }
    rollback:
      uses: shell
      with: { script: "echo not two >> marker" }
  - id: bad
    uses: shell
    with: { script: "echo the disk is full >&2; exit 3" }
  - id: never
    uses: shell
    with: { script: "echo never >> marker" }
finally:
  - id: tell
    uses: shell
    with: { script: "echo {{ run.outcome }} >> marker" }
"#;

#[test]
fn a_failure_is_rolled_back_in_reverse_order() {
    let env = job(FAILING);
    let output = exec(&env);
    assert_eq!(output.code, Some(5), "{output}");
    let events = output.events();
    assert_eq!(steps_of(&events, "undo_succeeded"), ["two", "one"]);
    assert_eq!(
        ending(&events),
        (Outcome::RolledBack, RollbackResult::Complete)
    );
    assert_eq!(
        env.read("marker"),
        "one\ntwo\nnot two\nnot one\nrolled_back\n"
    );
}

#[test]
fn a_failure_is_told_with_the_last_lines_and_the_next_command() {
    let env = job(FAILING);
    for quiet in [&[][..], &["--quiet"]] {
        let output = env.finish(env.command().args(["exec", "job"]).args(quiet));
        assert_eq!(output.code, Some(5), "{output}");
        for words in ["✗ bad ", "ended with exit code 3", "│ the disk is full"] {
            assert!(output.stderr.contains(words), "{words}\n{output}");
        }
        for words in ["failed and was rolled back", "runbook logs ", " bad\n"] {
            assert!(output.stdout.contains(words), "{words}\n{output}");
        }
    }
}

#[test]
fn on_failure_stop_leaves_everything_as_it_is() {
    let env = job(&format!("on_failure: stop\n{FAILING}"));
    let output = exec(&env);
    assert_eq!(output.code, Some(1), "{output}");
    assert_eq!(
        ending(&output.events()),
        (Outcome::Failed, RollbackResult::None)
    );
    assert_eq!(env.read("marker"), "one\ntwo\nfailed\n");
}

#[test]
fn a_failed_undo_makes_the_run_stuck_and_says_what_is_left() {
    let env = job(&FAILING.replace("echo not two >> marker", "exit 4"));
    let output = env.run(["exec", "job"]);
    assert_eq!(output.code, Some(6), "{output}");
    for words in ["stuck", "two"] {
        assert!(output.stdout.contains(words), "{words}\n{output}");
    }
    assert_eq!(env.read("marker"), "one\ntwo\nstuck\n", "`finally` always");
}

#[test]
fn a_tolerated_failure_is_never_a_full_success() {
    let env = job(r#"steps:
  - id: bad
    uses: shell
    with: { script: "exit 1" }
    on_failure: continue
  - id: after
    uses: shell
    with: { script: "echo after >> marker" }
"#);
    let output = env.run(["exec", "job"]);
    assert_eq!(output.code, Some(10), "{output}");
    assert!(output.stdout.contains("with exceptions"), "{output}");
    assert_eq!(env.read("marker"), "after\n");
}

#[test]
fn outputs_flow_from_step_to_step_and_out() {
    let env = job(r#"steps:
  - id: measure
    uses: shell
    with:
      script: echo "kib=42" >> "$RUNBOOK_OUTPUT"
      outputs: [kib]
    outputs: { text: "{{ outputs.values.kib }} KiB" }
  - id: use
    uses: shell
    with: { script: "echo {{ steps.measure.outputs.text }} >> marker" }
outputs:
  size: "{{ steps.measure.outputs.text }}"
"#);
    let output = env.run(["exec", "job"]);
    assert_eq!(output.code, Some(0), "{output}");
    assert!(output.stdout.contains("  size  42 KiB\n"), "{output}");
    assert_eq!(env.read("marker"), "42 KiB\n");
}

#[test]
fn what_is_on_record_is_found_again() {
    let env = job(FAILING);
    let first = exec(&env);
    let run = first.events()[0].run.to_string();
    env.write(
        "runbooks/other.yaml",
        &DEPLOY.replace("name: deploy", "name: other"),
    );
    let other = env.run(["exec", "other", "--yes"]);
    assert_eq!(other.code, Some(0), "{other}");

    let runs = env.run(["runs"]).stdout;
    let places = ["other", "job"].map(|name| runs.find(name).expect("listed"));
    assert!(places[0] < places[1], "newest first\n{runs}");
    let runs = env.run(["runs", "job"]).stdout;
    assert!(
        runs.contains("rolled back") && !runs.contains("other"),
        "{runs}"
    );
    let runs = env.run(["runs", "--unfinished"]).stdout;
    assert!(!runs.contains("rolled back"), "{runs}");

    let status = env.run(["status", &run]);
    assert_eq!(status.code, Some(0), "{status}");
    for words in [&*run, "rolled back", "bad", "the disk is full"] {
        assert!(status.stdout.contains(words), "{words}\n{status}");
    }
    let latest = env.run(["status"]).stdout;
    assert!(latest.contains("other on local: succeeded"), "{latest}");

    assert_eq!(env.run(["logs", &run, "bad"]).stdout, "the disk is full\n");
    let logs = env.run(["logs", "latest"]).stdout;
    assert!(logs.contains("== put\nput v1\n== left\nleft\n"), "{logs}");
    let mistyped = env.run(["logs", &run, "bda"]);
    assert_eq!(mistyped.code, Some(2), "{mistyped}");
    assert!(
        mistyped.stderr.contains("did you mean `bad`?"),
        "{mistyped}"
    );

    let story = env.run(["audit", "log", &run]).stdout;
    assert!(
        story.contains("job: ") && !story.contains("other: "),
        "{story}"
    );
    let story = env.run(["audit", "log", "-n", "1"]).stdout;
    assert_eq!(story.lines().count(), 1, "{story}");
    assert!(story.contains("other: succeeded"), "{story}");
}
