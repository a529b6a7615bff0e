//! Differences of plans: in words, bounded, and none exactly when the digests are equal.

use proptest::prelude::*;
use serde_json::json;

use super::policy_fixture::*;
use super::{Expr, Plan, differences};
use crate::base::HumanDuration;
use crate::model::Risk;

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn differences_are_empty_exactly_for_equal_digests(one in random_body(true), two in random_body(true), inner in random_body(false), other in random_body(false)) {
        let a = plan_with(&[("a", &one), ("inner", &inner)], &policy());
        let b = plan_with(&[("a", &two), ("inner", &other)], &policy());
        for (a, b) in [(&a, &b), (&b, &a), (&a, &a)] {
            let found = differences(a, b);
            prop_assert_eq!(found.is_empty(), a.digest() == b.digest());
            prop_assert!(found.iter().all(|d| d.what != "the plan is written differently"));
        }
    }
}

fn told(before: &Plan, after: &Plan) -> Vec<String> {
    differences(before, after)
        .iter()
        .map(|d| d.told())
        .collect()
}

#[test]
fn differences_are_told_in_words() {
    let plan = plan_of(GUARDED);
    assert_eq!(told(&plan, &plan), Vec::<String>::new());

    let mut other = plan.clone();
    other.steps[2].action.with = Expr::Value(json!({"service": "worker", "grace": "1m"}));
    other.steps[2].timeout = Some(HumanDuration(hours(1)));
    other.steps.remove(0);
    other.steps[0].needs.clear();
    other
        .environment
        .vars
        .insert("region".to_owned(), json!("us"));
    other
        .environment
        .services
        .get_mut("api")
        .expect("a service")
        .config = json!({"command": ["./b"]});
    other.params.insert(
        "x".to_owned(),
        super::PlanParam {
            ty: crate::model::Ty::Int,
            value: json!(1),
        },
    );
    other.runbook.risk = Risk::High;
    let policy = other.policy.as_mut().expect("a policy");
    policy.require_signatures = true;
    policy.rules.get_mut(&Risk::Medium).expect("a rule").quorum[0].count = 2;
    assert_eq!(
        told(&plan, &other),
        [
            "step look: gone, was service.health",
            "step go: needs: gone, was look",
            "step restart: with.grace: new, 1m",
            "step restart: with.service: api → worker",
            "step restart: timeout: new, 1h",
            "service api.config.command: ./api → ./b",
            "variable region: eu → us",
            "parameter x: new, {\"ty\":{\"type\":\"int\"},\"value\":1}",
            "policy: require_signatures: false → true",
            "policy: rules.medium.quorum[0].count: 1 → 2",
            "runbook.risk: medium → high",
        ]
        .map(|line| line.to_owned())
        .into_iter()
        .collect::<Vec<_>>()
    );
    let mut none = plan.clone();
    none.policy = None;
    assert_eq!(told(&none, &plan), ["a policy applies now"]);
    assert_eq!(told(&plan, &none), ["no policy applies any more"]);
    let mut turned = plan.clone();
    turned.steps.swap(0, 2);
    assert_eq!(
        told(&plan, &turned),
        ["order of each step: look, go, restart → restart, go, look"]
    );
}

#[test]
fn differences_are_bounded_and_each_is_short() {
    let plan = plan_of(GUARDED);
    let mut other = plan.clone();
    for n in 0..200 {
        let value = json!("long\n".repeat(1000));
        other.environment.vars.insert(format!("v{n}"), value);
    }
    let found = differences(&plan, &other);
    assert_eq!(found.len(), 51);
    assert_eq!(found[50].what, "150 more differences");
    assert!(
        found
            .iter()
            .all(|d| d.told().chars().count() < 120 && !d.told().contains('\n'))
    );
}

#[test]
fn a_difference_at_the_end_of_a_long_text_is_shown() {
    let with = |end: &str| {
        let mut plan = plan_of(GUARDED);
        let text = format!("{}{end}", "the same words ".repeat(20));
        plan.environment.vars.insert("long".to_owned(), json!(text));
        plan
    };
    assert_eq!(
        told(&with("as before"), &with("and more")),
        ["variable long: …he same words as before → …he same words and more"]
    );
}

#[test]
fn differences_inside_sub_runbooks_have_their_path() {
    let outer = format!("steps:\n  - {GO}\n  - {{ id: sub, uses: runbook.inner }}\n");
    let with = |service: &str| {
        let inner = format!(
            "steps:\n  - {{ id: do, uses: service.restart, with: {{ service: {service} }} }}\n"
        );
        plan_with(&[("a", &outer), ("inner", &inner)], &policy())
    };
    assert_eq!(
        told(&with("api"), &with("worker")),
        ["step sub/do: with.service: api → worker"]
    );
}
