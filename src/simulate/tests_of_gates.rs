//! Gates under a policy, simulated: who votes, second looks, sweeps.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::tests::{catalog, messages, prepared};
use super::{CaseResult, PreparedCase, fault_sweep};
use crate::base::StepId;
use crate::model::{OnExpiry, Risk};
use crate::plan::{PlanCalendar, PlanGate, PlanPolicy, PlanQuorum, PlanRule};

const GUARDED: &str = "\
steps:
  - id: look
    uses: service.status
    with: { service: api }
  - id: go
    uses: approval
    with: { message: \"running: {{ steps.look.outputs.running }}\" }
    needs: [look]
    timeout: 1h
  - id: change
    uses: service.restart
    with: { service: api }
    needs: [go]
    rollback: { uses: service.start, with: { service: api } }
finally:
  - id: clean
    uses: service.start
    with: { service: worker }
";

fn policy() -> PlanPolicy {
    let quorum = |count, role: &str, members: &[&str]| PlanQuorum {
        count,
        role: role.to_owned(),
        members: members.iter().map(|name| (*name).to_owned()).collect(),
    };
    PlanPolicy {
        file: "policy.yaml".into(),
        rules: BTreeMap::from([(
            Risk::Low,
            PlanRule {
                quorum: vec![
                    quorum(2, "lead", &["ana", "bob", "cy"]),
                    quorum(1, "dba", &["bob", "dan"]),
                ],
                expires: None,
                vote_expires: None,
                on_expiry: OnExpiry::Deny,
            },
        )]),
        people: BTreeMap::new(),
        require_signatures: true,
        self_approval: false,
        exclude_author: false,
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

/// The case under a policy; `demanded`: as if the policy had put the gate there.
fn guarded(case: &str, demanded: bool) -> PreparedCase {
    let all = prepared(GUARDED, case).unwrap_or_else(|found| panic!("{found:#?}"));
    let mut prepared = all.into_iter().next().expect("a case");
    let plan = Arc::make_mut(&mut prepared.plan);
    plan.policy = Some(Box::new(policy()));
    plan.steps[1].gate = Some(Box::new(PlanGate {
        risk: Risk::Low,
        inputs: BTreeMap::new(),
        reads: vec![StepId::parse("look").expect("an id")],
        on_expiry: None,
        demanded,
    }));
    prepared
}

fn run(case: &str) -> CaseResult {
    guarded(case, false).run(&catalog()).expect("a sound core")
}

fn findings(result: &CaseResult) -> Vec<&str> {
    result.findings.iter().map(|f| f.message.as_str()).collect()
}

#[test]
fn votes_are_cast_by_people_of_the_policy() {
    for (case, outcome) in [
        // Nobody is named: as many as are needed.
        ("votes: [{ gate: go }]", "succeeded"),
        ("votes: [{ gate: go, vote: reject }]", "rejected"),
        (
            "votes: [{ gate: go, by: ana }, { gate: go, by: bob }]",
            "expired",
        ),
        (
            "votes: [{ gate: go, by: ana }, { gate: go, by: bob }, { gate: go, by: dan }]",
            "succeeded",
        ),
        (
            "votes: [{ gate: go, by: ana }, { gate: go, by: ana, vote: withdraw }, { gate: go, by: bob }, { gate: go, by: dan }]",
            "expired",
        ),
        ("votes: [{ gate: go, by: tester, vote: reject }]", "expired"),
    ] {
        let result = run(&format!(
            "  - {{ name: a, {case}, expect: {{ outcome: {outcome} }} }}\n"
        ));
        assert_eq!(findings(&result), Vec::<&str>::new(), "{case}");
    }
}

#[test]
fn a_second_reply_is_what_the_gate_sees_when_it_looks_again() {
    let same = "  - { name: a, votes: [{ gate: go }], \
                steps: { look: { outputs: { running: true } } }, expect: { outcome: succeeded } }\n";
    assert_eq!(findings(&run(same)), Vec::<&str>::new());
    let other = "  - { name: a, votes: [{ gate: go }], \
                 steps: { look: [{ outputs: { running: true } }, { outputs: { running: false } }] }, \
                 expect: { outcome: expired } }\n";
    let result = run(other);
    assert_eq!(findings(&result), Vec::<&str>::new());
    let told: Vec<&str> = result.story.iter().map(|line| line.text.as_str()).collect();
    let void =
        "go has no votes any more, because something changed: look: outputs.running: true → false";
    assert!(told.contains(&void), "{told:#?}");
    let again = other
        .replace("[{ gate: go }]", "[{ gate: go }, { gate: go }]")
        .replace("expired", "succeeded");
    assert_eq!(findings(&run(&again)), Vec::<&str>::new());
}

#[test]
fn a_gate_that_the_policy_demands_is_approved_when_the_case_says_nothing() {
    let case = "  - { name: a, expect: { outcome: succeeded } }\n";
    let result = guarded(case, true).run(&catalog()).expect("a sound core");
    assert_eq!(findings(&result), Vec::<&str>::new());
    let result = run("  - { name: a, expect: { outcome: expired } }\n");
    assert_eq!(findings(&result), Vec::<&str>::new());
}

#[test]
fn the_fault_sweep_passes_with_a_policy() {
    for demanded in [true, false] {
        let votes = if demanded {
            ""
        } else {
            "votes: [{ gate: go }], "
        };
        let case = format!("  - {{ name: a, {votes}expect: {{}} }}\n");
        let report = fault_sweep(&guarded(&case, demanded), &catalog()).expect("a sound core");
        assert_eq!(messages(&report), Vec::<String>::new());
        for outcome in ["succeeded", "rejected", "expired", "cancelled"] {
            assert!(
                report.outcomes.contains_key(outcome),
                "{:?}",
                report.outcomes
            );
        }
    }
}
