//! A protected environment: what plans, drawings and findings say of the gates that are demanded there.

use insta::assert_snapshot;

use crate::support::TestEnv;

const JOB: &str = "\
runbook: v1
name: job
title: Put a file in place
risk: medium
params:
  what: { type: string, default: a note, description: What is written }
steps:
  - id: look
    uses: shell
    with: { script: date, outputs: [] }
    effect: { is: read, reason: it only looks }
  - id: put
    uses: shell
    with: { script: \"echo {{ params.what }} >> marker\" }
    rollback: { uses: shell, with: { script: rm marker } }
";

const POLICY: &str = "\
policy: v1
people:
  ada: { name: Ada Example }
  grace: { name: Grace Example }
roles:
  developer: { members: [ada, grace] }
  team-lead: { members: [ada, grace] }
risk:
  low: { role: developer }
  medium: { role: team-lead }
";

fn protected() -> TestEnv {
    let env = TestEnv::with_runbook("job", JOB);
    env.write(
        "runbooks/environments/production.yaml",
        "environment: v1\nname: production\nprotected: true\n",
    );
    env.write("runbooks/policy.yaml", POLICY);
    env
}

#[test]
fn the_plan_gets_a_gate_and_says_who_opens_it() {
    let env = protected();
    let output = env.run(["plan", "job", "--env", "production"]);
    assert_eq!(output.code, Some(0), "{output}");
    assert_snapshot!("protected_plan", output);
    let open = env.run(["plan", "job"]);
    assert!(!open.stdout.contains("GATE"), "{open}");
    let json = env.run(["plan", "job", "--env", "production", "--output", "json"]);
    let plan: serde_json::Value = serde_json::from_str(&json.stdout).expect("JSON");
    assert_eq!(plan["steps"][0]["gate"]["demanded"], true, "{json}");
    let drawing = env.run(["graph", "job", "--env", "production"]);
    assert_snapshot!("protected_graph", drawing);
}

#[test]
fn check_says_so_before_the_run() {
    let env = protected();
    let output = env.run(["check", "--env", "production"]);
    assert_eq!(output.code, Some(0), "a note: {output}");
    let words = "`put` would change `production` before anybody has certainly approved";
    assert!(output.stdout.contains("note[RB0832]"), "{output}");
    assert!(output.stdout.contains(words), "{output}");
    let local = env.run(["check"]);
    assert!(!local.stdout.contains("RB0832"), "{local}");
}

#[test]
fn a_protected_environment_without_a_policy_plans_and_checks_nothing() {
    let env = protected();
    std::fs::remove_file(env.root().join("runbooks/policy.yaml")).expect("it is there");
    for output in [
        env.run(["plan", "job", "--env", "production"]),
        env.run(["exec", "job", "--env", "production", "--yes"]),
        env.run(["check"]),
    ] {
        assert_eq!(output.code, Some(3), "{output}");
        assert!(
            format!("{}{}", output.stdout, output.stderr).contains("RB0830"),
            "{output}"
        );
    }
    assert_eq!(env.run(["plan", "job"]).code, Some(0), "local needs none");
    assert!(!env.root().join("marker").exists());
}

#[test]
fn a_broken_policy_stops_every_plan() {
    let env = protected();
    env.write("runbooks/policy.yaml", &format!("{POLICY}unknown_key: 1\n"));
    for environment in ["local", "production"] {
        let output = env.run(["plan", "job", "--env", environment]);
        assert_eq!(output.code, Some(3), "{output}");
        assert!(output.stderr.contains("unknown_key"), "{output}");
    }
}

#[test]
fn a_risk_without_a_rule_is_said_before_the_run() {
    let env = protected();
    env.write("runbooks/job.yaml", &JOB.replace("medium", "high"));
    let output = env.run(["plan", "job", "--env", "production"]);
    assert_eq!(output.code, Some(3), "{output}");
    assert!(output.stderr.contains("RB0831"), "{output}");
}

#[test]
fn the_digest_follows_what_the_policy_demands() {
    let env = protected();
    let digest = || {
        let output = env.run(["plan", "job", "--env", "production"]);
        let line = output.stdout.lines().find(|line| line.contains("digest"));
        line.expect("a digest").to_owned()
    };
    let before = digest();
    let renamed = POLICY.replace("Ada Example", "Ada Other");
    env.write("runbooks/policy.yaml", &format!("# a comment\n{renamed}"));
    assert_eq!(digest(), before, "a comment and a name");
    let other = POLICY.replace("low: { role: developer }", "low: { role: team-lead }");
    env.write("runbooks/policy.yaml", &other);
    assert_eq!(digest(), before, "a rule that no gate asks for");
    let more = POLICY
        .replace("people:\n", "people:\n  lin: { name: Lin Example }\n")
        .replace(
            "team-lead: { members: [ada, grace] }",
            "team-lead: { members: [ada, grace, lin] }",
        );
    env.write("runbooks/policy.yaml", &more);
    assert_ne!(digest(), before, "who may approve");
}
