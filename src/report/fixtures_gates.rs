//! A plan for a protected environment, for the tests of this room.

use serde_json::json;

use super::fixtures::{action, id, restart_plan, seconds, step};
use crate::model::{Effect, OnExpiry, Risk, Ty};
use crate::plan::{
    Expr, Plan, PlanCalendar, PlanEmergency, PlanFreeze, PlanGate, PlanGateInput, PlanPolicy,
    PlanQuorum, PlanRule, PlanWindow,
};

/// The example in a protected environment: its own gate asks for more than its risk, and one more is
/// demanded.
pub(crate) fn protected_plan() -> Plan {
    let gate = |risk, demanded| PlanGate {
        risk,
        inputs: Default::default(),
        reads: Vec::new(),
        on_expiry: None,
        demanded,
    };
    let member = |name: &str| name.to_owned();
    let rule = |count, role: &str, members: &[&str], hours: u64| PlanRule {
        quorum: vec![PlanQuorum {
            count,
            role: role.to_owned(),
            members: members.iter().map(|name| member(name)).collect(),
        }],
        expires: Some(seconds(hours * 3600)),
        vote_expires: None,
        on_expiry: OnExpiry::Park,
    };
    let mut plan = restart_plan();
    plan.environment.name = "production".to_owned();
    plan.environment.protected = true;
    plan.policy = Some(Box::new(PlanPolicy {
        file: "runbooks/policy.yaml".to_owned(),
        rules: [
            (
                plan.runbook.risk,
                rule(1, "team-lead", &["ada", "grace"], 24),
            ),
            (Risk::High, rule(2, "review", &["ada", "grace", "lin"], 8)),
        ]
        .into(),
        people: Default::default(),
        require_signatures: true,
        self_approval: false,
        exclude_author: true,
        windows: vec![PlanWindow {
            name: "nightly".to_owned(),
            days: Vec::new(),
            from: 0,
            to: 60,
        }],
        freezes: vec![PlanFreeze {
            name: "year end".to_owned(),
            from: "2026-12-20".to_owned(),
            to: "2027-01-04".to_owned(),
        }],
        calendar: PlanCalendar {
            time_zone: "UTC".to_owned(),
            business_days: vec![1, 2, 3, 4, 5],
            business_hours: (540, 1020),
            holidays: Vec::new(),
        },
        escalation: Vec::new(),
        emergency: Some(PlanEmergency {
            members: vec![member("sam")],
            review: "review".to_owned(),
            reviewers: vec![member("ada")],
            review_within: seconds(72 * 3600),
        }),
    }));
    let go = plan.steps.iter_mut().find(|step| step.id.as_str() == "go");
    if let Some(go) = go {
        let mut own = gate(Risk::High, false);
        own.reads = vec![id("before")];
        own.on_expiry = Some(OnExpiry::Escalate);
        own.inputs.insert(
            "window".to_owned(),
            PlanGateInput {
                ty: Ty::Duration,
                default: Some(json!("10m")),
                description: Some("How long it may take".to_owned()),
                rule: None,
            },
        );
        go.gate = Some(Box::new(own));
    }
    let mut root = step("approval", "approval", &[]);
    root.name = Some("Demanded by the policy".to_owned());
    let message = Expr::Value(json!("Run service-restart in production?"));
    root.action = action("approval", Effect::Read, &[("message", message)]);
    root.gate = Some(Box::new(gate(plan.runbook.risk, true)));
    for step in plan.steps.iter_mut().filter(|step| step.needs.is_empty()) {
        step.needs.push(id("approval"));
    }
    plan.steps.insert(0, root);
    plan
}
