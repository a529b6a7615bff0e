//! Gates: what they show, which changes they hold back, and the gate at the root.

use std::collections::BTreeSet;
use std::time::Duration;

use proptest::prelude::*;
use serde_json::json;

use super::policy_fixture::*;
use super::tests::plan_of as unprotected;
use super::{Expr, Plan, PlanStep};
use crate::base::{Diagnostics, SourceFile, StepId};
use crate::check::check_demands;
use crate::check::fixture::{catalog, environment};
use crate::model::{Effect, GateAsk, OnExpiry, Risk, StepOnFailure, has_nothing_to_undo};

#[test]
fn a_gate_says_what_it_asks_and_which_reads_it_shows() {
    let ask = GateAsk {
        risk: Some(at(Risk::High)),
        inputs: crate::language::decode_runbook(
            &SourceFile::new(
                "runbooks/a.yaml",
                "runbook: v1\nname: a\nparams:\n  window: { type: duration, default: 600s, description: How long, max: 1h }\n  why: { type: string }\nsteps:\n  - { id: x, uses: wait, with: { for: 1s } }\n",
            ),
            &mut Diagnostics::new(),
        )
        .expect("decodes")
        .params,
        on_expiry: Some(at(OnExpiry::Park)),
    };
    let text = "\
steps:
  - { id: unused, uses: service.health, with: { service: api } }
  - { id: shown, uses: service.health, with: { service: api } }
  - { id: each, uses: service.health, for_each: [api, worker], with: { service: \"{{ item }}\" } }
  - { id: wrote, uses: shell, with: { run: date, outputs: [x] } }
  - { id: said, uses: shell, with: { run: date, outputs: [x] }, effect: { is: read, reason: it only prints } }
  - { id: first, uses: approval, timeout: 1h, with: { message: \"{{ steps.shown.status }}\" } }
  - { id: go, uses: approval, timeout: 1h, with: { message: \"{{ params.a }} {{#if steps.shown.outputs.healthy}}up {{ steps.shown.outputs.latency }}{{/if}} {{ steps.wrote.outputs.values.x }} {{ steps.each.outputs }} {{ steps.said.outputs.values.x }} {{ steps.first.outputs }}\" } }
  - { id: do, uses: shell, with: { run: date } }
params: { a: { type: string, default: now } }
";
    let checked = asking(text, &[("go", ask)]);
    let plan = planned(&checked, &protected(), Some(&policy())).expect("a plan");
    let gate = |id: &str| {
        let step = plan
            .steps
            .iter()
            .find(|step| step.id.as_str() == id)
            .expect(id);
        step.gate.clone().expect("a gate")
    };
    let ids = |ids: &[StepId]| ids.iter().map(ToString::to_string).collect::<Vec<_>>();
    let go = gate("go");
    assert_eq!(ids(&go.reads), ["shown", "said"]);
    assert_eq!(go.risk, Risk::High);
    assert_eq!(go.on_expiry, Some(OnExpiry::Park));
    assert_eq!(go.inputs["window"].default, Some(json!("10m")));
    assert_eq!(go.inputs["window"].description.as_deref(), Some("How long"));
    assert_eq!(
        go.inputs["window"]
            .rule
            .as_ref()
            .and_then(|r| r.max.clone()),
        Some(json!("1h"))
    );
    assert_eq!(
        (&go.inputs["why"].default, &go.inputs["why"].rule),
        (&None, &None)
    );
    // A status is no output: nothing is asked again for it.
    assert!(gate("first").reads.is_empty());
    assert_eq!(gate("first").risk, Risk::Low);
    assert!(
        plan.steps
            .iter()
            .all(|step| step.is_gate() == step.gate.is_some())
    );
}

#[test]
fn a_gate_in_a_loop_shows_what_its_list_is_made_of() {
    let mut steps = vec![step("list", Effect::Read, &[]), gate_step("go", &["list"])];
    steps[1].for_each = Some(super::PlanForEach {
        items: Expr::Template {
            text: "{{ steps.list.outputs.lines }}".to_owned(),
            escape: crate::model::Escape::None,
        },
        item: crate::model::Ty::Any,
        max_parallel: 1,
        max_failures: crate::model::MaxFailures::Count(0),
    });
    steps.push(gate_step("judged", &["list"]));
    steps[2].verify =
        Some("size(steps.list.outputs.lines) > 0 && outputs.approved_by != []".to_owned());
    super::gates::note_reads(&mut steps);
    for gate in &steps[1..] {
        let reads = &gate.gate.as_ref().expect("a gate").reads;
        assert_eq!(
            reads.as_slice(),
            [StepId::new("list").expect("an id")],
            "{}",
            gate.id
        );
    }
}

/// A step of a plan made by hand.
fn step(id: &str, effect: Effect, needs: &[&str]) -> PlanStep {
    let plan = unprotected(
        "steps:\n  - { id: x, uses: wait, with: { for: 1s } }\n",
        &[],
    );
    let mut step = plan.expect("a plan").steps.remove(0);
    step.id = StepId::new(id).expect("an id");
    step.action.effect = effect;
    step.needs = needs
        .iter()
        .map(|id| StepId::new(id).expect("an id"))
        .collect();
    step
}

fn gate_step(id: &str, needs: &[&str]) -> PlanStep {
    let plan = unprotected(
        "steps:\n  - { id: x, uses: approval, timeout: 1h, with: { message: Now? } }\n",
        &[],
    );
    let mut gate = plan.expect("a plan").steps.remove(0);
    gate.id = StepId::new(id).expect("an id");
    gate.needs = needs
        .iter()
        .map(|id| StepId::new(id).expect("an id"))
        .collect();
    gate
}

fn demanded(plan: &Plan) -> bool {
    let first = &plan.steps[0];
    first.gate.as_ref().is_some_and(|gate| gate.demanded)
}

#[test]
fn changes_behind_a_gate_that_is_certainly_passed_need_no_other() {
    let inner = format!("steps:\n  - {{ id: do, {DO} }}\n");
    for (steps, wants) in [
        (format!("- {GO}\n  - {{ id: a, {DO} }}"), false),
        (format!("- {{ id: a, {DO} }}\n  - {GO}\n  - {{ id: b, {DO} }}"), true),
        (format!("- {GO}\n  - {{ id: a, {DO} }}\n  - {{ id: b, needs: [], {DO} }}"), true),
        // A skipped step waits for its own needs before it is skipped.
        (format!("- {GO}\n  - {{ id: a, when: \"vars.port > 1\", {DO} }}\n  - {{ id: b, {DO} }}"), false),
        // One gate among many needs holds back what waits for all of them.
        (format!("- {GO}\n  - {{ id: look, needs: [], uses: wait, with: {{ for: 1s }} }}\n  - {{ id: b, needs: [look, go], {DO} }}"), false),
        (format!("- {GO}\n  - {{ id: sub, uses: runbook.inner }}"), false),
        (format!("- {GO}\n  - {{ id: sub, needs: [], uses: runbook.inner }}"), true),
        ("- { id: sub, uses: runbook.gated }".to_owned(), false),
        (format!("- {{ id: sub, uses: runbook.gated }}\n  - {{ id: a, {DO} }}"), true),
        // An undo runs without asking anybody.
        ("- { id: look, uses: wait, with: { for: 1s }, rollback: { uses: service.restart, with: { service: api } } }".to_owned(), true),
        ("- { id: tell, uses: notify, with: { message: hi } }\n  - { id: look, uses: service.health, with: { service: api } }".to_owned(), false),
        (format!("- {}, when: \"vars.port > 1\" }}\n  - {{ id: a, {DO} }}", &GO[..GO.len() - 2]), true),
        (format!("- {}, unless: \"vars.port > 1\" }}\n  - {{ id: a, {DO} }}", &GO[..GO.len() - 2]), true),
        (format!("- {}, for_each: [a] }}\n  - {{ id: a, {DO} }}", &GO[..GO.len() - 2]), true),
        (format!("- {}, on_failure: continue }}\n  - {{ id: a, {DO} }}", &GO[..GO.len() - 2]), true),
        (format!("- {}, on_failure: stop }}\n  - {{ id: a, {DO} }}", &GO[..GO.len() - 2]), false),
    ] {
        let text = format!("steps:\n  {steps}\n");
        let gated = format!("steps:\n  - {GO}\n  - {{ id: do, {DO} }}\n");
        let texts = [("a", text.as_str()), ("inner", &inner), ("gated", &gated)];
        let checked = checked_of(&texts);
        let plan = planned(&checked, &protected(), Some(&policy())).expect("a plan");
        assert_eq!(demanded(&plan), wants, "{text}");
        // The rule that speaks before the run says the same.
        let mut diags = Diagnostics::new();
        check_demands(&checked, &protected(), Some(&policy()), &catalog(), &mut diags);
        assert_eq!(!diags.is_empty(), wants, "{text}");
        let mut none = Diagnostics::new();
        check_demands(&checked, &environment(), Some(&policy()), &catalog(), &mut none);
        assert!(none.is_empty());
    }
}

#[test]
fn a_gate_of_a_lower_risk_than_the_plan_does_not_suffice() {
    let text = format!("steps:\n  - {GO}\n  - {{ id: a, {DO} }}\n");
    for (ask, wants) in [
        (Risk::Low, true),
        (Risk::Medium, false),
        (Risk::High, false),
    ] {
        let checked = asking(&format!("risk: medium\n{text}"), &[("go", with_risk(ask))]);
        let plan = planned(&checked, &protected(), Some(&policy())).expect("a plan");
        assert_eq!(demanded(&plan), wants, "{ask:?}");
        let rules = plan.policy.expect("a policy").rules;
        assert!(rules.contains_key(&ask));
        assert_eq!(
            rules.contains_key(&Risk::Medium),
            wants || ask == Risk::Medium
        );
    }
    // A risky runbook inside raises the whole plan, its gates without a risk of their own too.
    let outer = format!("steps:\n  - {GO}\n  - {{ id: sub, uses: runbook.inner }}\n");
    let inner = format!("risk: high\nsteps:\n  - {{ id: do, {DO} }}\n");
    let plan = plan_with(&[("a", &outer), ("inner", &inner)], &policy());
    assert_eq!(plan.runbook.risk, Risk::High);
    assert!(!demanded(&plan));
    assert_eq!(plan.gate_risk(&plan.steps[0]), Risk::High);
}

#[test]
fn the_demanded_gate_stands_before_all_first_steps() {
    let text = format!("\
params:
  service: {{ type: service, default: api }}
  key: {{ type: secret, default: \"env:KEY\" }}
steps:
  - {{ id: approval, needs: [], {DO} }}
  - {{ id: b, needs: [], uses: shell, with: {{ run: \"echo {{{{ params.service }}}}\" }}, environment: {{ K: \"{{{{ params.key }}}}\" }} }}
  - {{ id: c, needs: [b], {DO} }}
finally:
  - {{ id: approval_2, uses: notify, with: {{ message: done }} }}
");
    let plan = plan_of(&text);
    let gate = &plan.steps[0];
    assert_eq!(gate.id.as_str(), "approval_3");
    assert!(demanded(&plan));
    assert_eq!(
        gate.action.with,
        Expr::Value(json!({"message": "Run a in local with service: api?"}))
    );
    assert_eq!(gate.line, 6);
    let needs: Vec<Vec<&str>> = plan
        .steps
        .iter()
        .map(|s| s.needs.iter().map(StepId::as_str).collect())
        .collect();
    assert_eq!(
        needs,
        [vec![], vec!["approval_3"], vec!["approval_3"], vec!["b"]]
    );
    assert_eq!(plan.gates().len(), 1);
    assert!(plan.action_outputs.contains_key("approval"));
    let back = Plan::from_json(&plan.canonical_json()).expect("a plan");
    assert_eq!(back, plan);
    assert_eq!(super::graph(&plan.steps).order()[0], 0);
}

#[test]
fn cleaning_up_alone_needs_an_approval_too() {
    let text = format!(
        "steps:\n  - {{ id: look, uses: wait, with: {{ for: 1s }} }}\nfinally:\n  - {{ id: clean, {DO} }}\n"
    );
    assert!(demanded(&plan_of(&text)));
    let gated = format!(
        "steps:\n  - {GO}\n  - {{ id: look, uses: wait, with: {{ for: 1s }} }}\nfinally:\n  - {{ id: clean, {DO} }}\n"
    );
    assert!(!demanded(&plan_of(&gated)));
}

/// What the graph must guarantee, told once more: walks every way a run can take. A step may start
/// when all that it needs has ended; every step may end, but a gate only ends here when it is closed
/// for ever, so nothing that starts then was held back by a gate that suffices.
fn reachable_without_approval(plan: &Plan) -> Vec<StepId> {
    fn walk(
        plan: &Plan,
        steps: &[PlanStep],
        outer: Option<&StepId>,
        found: &mut Vec<StepId>,
    ) -> bool {
        let mut ended: BTreeSet<&StepId> = BTreeSet::new();
        loop {
            let ready = |step: &&PlanStep| {
                !ended.contains(&step.id) && step.needs.iter().all(|n| ended.contains(n))
            };
            let closed = |step: &PlanStep| {
                step.is_gate()
                    && plan.gate_risk(step) >= plan.runbook.risk
                    && step.when.is_none()
                    && step.unless.is_none()
                    && step.for_each.is_none()
                    && step.on_failure != StepOnFailure::Continue
            };
            let Some(step) = steps.iter().filter(ready).find(|step| !closed(step)) else {
                break;
            };
            let path = outer.map_or_else(|| step.id.clone(), |outer| outer.inside(&step.id));
            if let Some(block) = &step.block {
                // A block may also be skipped, so what comes after it is reached in any case.
                walk(plan, &block.steps, Some(&path), found);
            } else if step.action.effect != Effect::Read && !has_nothing_to_undo(&step.action.uses)
            {
                found.push(path);
            }
            ended.insert(&step.id);
        }
        ended.len() == steps.len()
    }
    let mut found = Vec::new();
    walk(plan, &plan.steps, None, &mut found);
    found
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn nothing_changes_before_an_approval(outer in random_body(true), inner in random_body(false)) {
        let checked = checked_of(&[("a", &outer), ("inner", &inner)]);
        let open = planned(&checked, &environment(), None).expect("a plan");
        let plan = planned(&checked, &protected(), Some(&policy())).expect("a plan");
        let unguarded = reachable_without_approval(&open);
        prop_assert_eq!(demanded(&plan), !unguarded.is_empty(), "{}", outer);
        prop_assert_eq!(reachable_without_approval(&plan), Vec::<StepId>::new());
    }
}

#[test]
fn ten_thousand_steps_are_guarded_in_linear_time() {
    let mut text = format!("steps:\n  - {GO}\n");
    for n in 0..10_000 {
        let needs = match n {
            0 => "go".to_owned(),
            1 | 2 => format!("s{}", n - 1),
            n => format!("s{}, s{}", n - 1, n / 2),
        };
        text.push_str(&format!("  - {{ id: s{n}, needs: [{needs}], {DO} }}\n"));
    }
    let checked = checked_of(&[("a", &text)]);
    let started = std::time::Instant::now();
    let open = planned(&checked, &environment(), None).expect("a plan");
    let without = started.elapsed();
    let started = std::time::Instant::now();
    let plan = planned(&checked, &protected(), Some(&policy())).expect("a plan");
    println!(
        "without a policy {without:?}, with one {:?}",
        started.elapsed()
    );
    assert_eq!(plan.steps.len(), open.steps.len());
    assert!(!demanded(&plan));
    // Unoptimised and on a busy machine; quadratic behaviour would take minutes.
    assert!(started.elapsed() < Duration::from_secs(30));
}
