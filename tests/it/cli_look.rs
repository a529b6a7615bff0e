//! What the commands that run nothing say: lists, findings, plans, graphs, descriptions.

use std::collections::BTreeMap;

use insta::assert_snapshot;
use regex::Regex;
use serde_json::Value;

use crate::support::{DEPLOY, TestEnv};

fn deploy() -> TestEnv {
    TestEnv::with_runbook("deploy", DEPLOY)
}

#[test]
fn list() {
    assert_snapshot!(deploy().run(["list"]), @r"
    RUNBOOK  TITLE                       RISK  STEPS  OWNER
    deploy   Put a new version in place  low       5  platform-team

    1 runbook; see one with: runbook show NAME
    ");
}

#[test]
fn list_for_programs() {
    assert_snapshot!(deploy().run(["list", "--output", "json"]), @r#"{"description":"Records what runs, asks, and puts the version in place.","file":"runbooks/deploy.yaml","name":"deploy","owner":"platform-team","params":[{"default":"v1","description":"Version to put in place","name":"version","required":false,"type":"string"}],"risk":"low","severity":"P2","steps":5,"title":"Put a new version in place","valid":true}"#);
}

#[test]
fn list_outside_a_repository() {
    let env = TestEnv::new();
    assert_snapshot!(env.run(["list"]), @r"
    ------- stderr
    error: no runbooks/ folder in [ROOT] or any folder above it
      next: runbook init
    [exit status: 2]
    ");
}

#[test]
fn show_gives_the_text_as_it_is_written() {
    let output = deploy().run(["show", "deploy"]);
    assert_eq!(output.stdout, DEPLOY);
    assert_eq!(output.code, Some(0));
}

#[test]
fn show_of_an_unknown_runbook_suggests_the_one_that_was_meant() {
    assert_snapshot!(deploy().run(["show", "depoly"]), @r"
    ------- stderr
    error: there is no runbook `depoly`
      next: did you mean `deploy`?
    [exit status: 2]
    ");
}

#[test]
fn check_finds_nothing() {
    assert_snapshot!(deploy().run(["check"]), @"3 files checked, nothing found");
}

#[test]
fn check_shows_every_error_of_every_file() {
    let env = deploy();
    env.write(
        "runbooks/first.yaml",
        r#"runbook: v1
name: first
title: Two mistakes
steps:
  - id: one
    uses: shel
    with: { script: "true" }
  - id: two
    uses: shell
    with: { script: "echo {{ steps.on.outputs.stdout }}" }
"#,
    );
    env.write(
        "runbooks/second.yaml",
        r#"runbook: v1
name: second
title: A cycle
steps:
  - id: one
    needs: [two]
    uses: shell
    with: { script: "true" }
  - id: two
    needs: [one]
    uses: shell
    with: { script: "true" }
"#,
    );
    env.write(
        "runbooks/environments/other.yaml",
        "environment: v2\nname: other\n",
    );
    assert_snapshot!("check_shows_every_error_of_every_file", env.run(["check"]));
}

#[test]
fn check_gives_programs_one_finding_with_its_place() {
    let env = TestEnv::with_runbook(
        "one",
        "runbook: v1\nname: one\ntitle: One\nsteps:\n  - id: a\n    uses: shell\n    whith: {}\n",
    );
    let output = env.run(["check", "one", "--output", "json"]);
    assert_eq!(output.code, Some(3), "{output}");
    assert_snapshot!("check_gives_programs_one_finding_with_its_place", output);
}

#[test]
fn plan() {
    assert_snapshot!(
        "plan",
        deploy().run(["plan", "deploy", "--param", "version=v2"])
    );
}

#[test]
fn plan_refuses_an_unknown_parameter() {
    assert_snapshot!(deploy().run(["plan", "deploy", "--param", "verison=v2"]), @r"
    ------- stderr
    error[RB0405]

      × the runbook `deploy` has no parameter `verison`
       ╭─[runbooks/deploy.yaml:2:7]
     1 │ runbook: v1
     2 │ name: deploy
       ·       ───┬──
       ·          ╰── this runbook
     3 │ title: Put a new version in place
       ╰────
      help: did you mean `version`?

      for more: runbook explain RB0405

    1 error in runbooks/deploy.yaml
    [exit status: 3]
    ");
}

#[test]
fn plan_refuses_an_unknown_environment() {
    assert_snapshot!(deploy().run(["plan", "deploy", "--env", "lokal"]), @r"
    ------- stderr
    error: there is no environment `lokal`
      next: did you mean `local`?
    [exit status: 2]
    ");
}

/// The digest that the plan of `deploy` has.
fn digest(env: &TestEnv, version: &str) -> String {
    let output = env.run(["plan", "deploy", "--param", &format!("version={version}")]);
    assert_eq!(output.code, Some(0), "{output}");
    let found = Regex::new("digest +(sha256:[0-9a-f]+)").expect("a pattern");
    found.captures(&output.stdout).expect("a digest")[1].to_owned()
}

#[test]
fn the_digest_names_what_will_run_and_not_how_it_is_written() {
    let env = deploy();
    let before = digest(&env, "v1");
    assert_eq!(digest(&deploy(), "v1"), before, "another folder");
    env.write("runbooks/deploy.yaml", &format!("{DEPLOY}# a comment\n"));
    assert_eq!(digest(&env, "v1"), before, "a comment");
    assert_ne!(digest(&env, "v2"), before, "another parameter");
    env.write(
        "runbooks/deploy.yaml",
        &DEPLOY.replace("echo left", "echo lift"),
    );
    assert_ne!(digest(&env, "v1"), before, "another script");
}

#[test]
fn plan_for_programs_is_canonical() {
    let plan = |env: TestEnv| env.run(["plan", "deploy", "--output", "json"]);
    let output = plan(deploy());
    assert_eq!(output.stdout, plan(deploy()).stdout, "stable");
    assert_eq!(output.stdout.lines().count(), 1, "{output}");
    let value: BTreeMap<String, Value> = serde_json::from_str(&output.stdout).expect("JSON");
    insta::assert_json_snapshot!("plan_for_programs", value);
}

#[test]
fn graph_for_the_terminal() {
    assert_snapshot!(deploy().run(["graph", "deploy"]), @r"
    ●    before  Record what runs
    │
    ◇    go      approval
    │
    ●    put     Put it in place  ↺ shell
    ├─╮
    │ ●  left    shell
    │
    ●    right   shell

    finally, whatever happened
    ○  tell  shell
    ");
}

#[test]
fn graph_for_graphviz() {
    let output = deploy().run(["graph", "deploy", "--format", "dot"]);
    assert_snapshot!("graph_for_graphviz", output);
}

#[test]
fn graph_for_mermaid() {
    let output = deploy().run(["graph", "deploy", "--format", "mermaid"]);
    assert_snapshot!("graph_for_mermaid", output);
}

#[test]
fn graph_as_a_picture_is_well_formed_and_whole() {
    let output = deploy().run(["graph", "deploy", "--format", "svg"]);
    assert_eq!(output.code, Some(0), "{output}");
    let tag = Regex::new("<(/?)([a-z]+)([^<>]*?)(/?)>").expect("a pattern");
    let mut open = Vec::new();
    for found in tag.captures_iter(&output.stdout) {
        let (closes, name, is_empty) = (&found[1] == "/", found[2].to_owned(), &found[4] == "/");
        if closes {
            assert_eq!(open.pop(), Some(name), "{output}");
        } else if !is_empty {
            open.push(name);
        }
    }
    assert_eq!(open, Vec::<String>::new(), "{output}");
    let between = tag.replace_all(&output.stdout, "");
    assert!(!between.contains(['<', '>', '&']), "{between}");
    for step in ["before", "go", "put", "left", "right", "tell"] {
        assert!(
            output.stdout.contains(&format!("<title>{step}: ")),
            "{step}"
        );
    }
}

#[test]
fn actions_list() {
    assert_snapshot!("actions_list", deploy().run(["actions", "list"]));
}

#[test]
fn actions_describe() {
    assert_snapshot!(
        "actions_describe",
        deploy().run(["actions", "describe", "shell"])
    );
}

#[test]
fn an_unknown_action_suggests_the_one_that_was_meant() {
    assert_snapshot!(deploy().run(["actions", "describe", "shel"]), @r"
    ------- stderr
    error: there is no action `shel`
      next: did you mean `shell`?
    [exit status: 2]
    ");
}

#[test]
fn explain() {
    assert_snapshot!("explain", TestEnv::new().run(["explain", "RB0103"]));
}

#[test]
fn explain_an_unknown_code() {
    assert_snapshot!(TestEnv::new().run(["explain", "RB9999"]), @r"
    ------- stderr
    error: there is no code `RB9999`
      next: codes look like RB0103; a finding ends with its code
    [exit status: 2]
    ");
}

#[test]
fn schema_is_the_one_of_the_repository() {
    let current = concat!(env!("CARGO_MANIFEST_DIR"), "/schemas/policy.schema.json");
    let output = TestEnv::new().run(["schema", "policy"]);
    assert_eq!(output.code, Some(0), "{output}");
    let current = std::fs::read_to_string(current).expect("the schema");
    assert_eq!(output.stdout, current);
    let title = serde_json::from_str::<Value>(&current).expect("JSON")["title"].clone();
    assert_eq!(title, "Policy");
}

#[test]
fn completions_begin_as_bash_wants_them() {
    let output = TestEnv::new().run(["completions", "bash"]);
    assert_eq!(output.stdout.lines().next(), Some("_runbook() {"));
}
