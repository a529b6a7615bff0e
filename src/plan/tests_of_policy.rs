//! What the policy demands: its rules in the plan, gates and what they show, the gate at the root, who
//! may start a run, and what the digest covers.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use indexmap::IndexMap;
use proptest::prelude::*;
use serde_json::json;

use super::tests::plan_of as unprotected;
use super::{
    Expr, Given, Plan, PlanDelay, PlanFreeze, PlanPerson, PlanQuorum, PlanStep, PlanWindow, build,
    differences,
};
use crate::base::{Diagnostics, HumanDuration, SourceFile, Span, Spanned, StepId};
use crate::check::fixture::{catalog, check_texts, environment, line};
use crate::check::{CheckedRunbook, check_demands};
use crate::model::{
    AuditRule, Effect, EmergencyRule, Environment, EscalationLevel, GateAsk, OnExpiry, Policy,
    PolicyCalendar, PolicyEnvironment, PolicyFreeze, PolicyPerson, PolicyRole, PolicyWindow,
    Quorum, ResponseTime, Risk, RiskRule, RunbookSeverity, StepOnFailure, has_nothing_to_undo,
};

fn at<T>(value: T) -> Spanned<T> {
    Spanned::new(value, Span::default())
}

fn texts(names: &[&str]) -> Vec<Spanned<String>> {
    names.iter().map(|name| at((*name).to_owned())).collect()
}

fn hours(n: u64) -> Duration {
    Duration::from_secs(n * 3600)
}

fn person(key: Option<&str>) -> PolicyPerson {
    PolicyPerson {
        span: Span::default(),
        name: Some(at("A Name".to_owned())),
        contact: Some(at("mail@example.org".to_owned())),
        ssh_keys: texts(key.as_slice()),
    }
}

fn role(members: &[&str]) -> PolicyRole {
    PolicyRole {
        span: Span::default(),
        members: texts(members),
    }
}

fn rule(quorum: &[(u32, &str)]) -> RiskRule {
    RiskRule {
        span: Span::default(),
        quorum: quorum
            .iter()
            .map(|(count, role)| {
                at(Quorum {
                    count: *count,
                    role: (*role).to_owned(),
                })
            })
            .collect(),
        expiry: None,
        vote_expiry: None,
        on_expiry: None,
    }
}

/// Low: a developer. Medium: a team lead. High: two of the review and a database administrator.
fn policy() -> Policy {
    let people = [
        ("ada", Some("ssh-ed25519 AAAAada ada@home")),
        ("grace", Some("ssh-ed25519  AAAAgrace")),
        ("lin", None),
        ("sam", None),
        ("zoe", None),
    ];
    let roles: [(&str, &[&str]); 5] = [
        ("developer", &["lin", "ada", "grace"]),
        ("team-lead", &["grace", "ada"]),
        ("review", &["lin", "ada", "grace"]),
        ("dba", &["lin"]),
        ("on-call", &["sam", "ada"]),
    ];
    let mut medium = rule(&[(1, "team-lead")]);
    medium.expiry = Some(at(hours(24)));
    medium.vote_expiry = Some(at(hours(8)));
    medium.on_expiry = Some(at(OnExpiry::Park));
    Policy {
        source: SourceFile::new("runbooks/policy.yaml", "policy: v1\n"),
        people: people
            .into_iter()
            .map(|(name, key)| (name.to_owned(), person(key)))
            .collect(),
        roles: roles
            .into_iter()
            .map(|(name, members)| (name.to_owned(), role(members)))
            .collect(),
        risk: vec![
            (at(Risk::Low), rule(&[(1, "developer")])),
            (at(Risk::Medium), medium),
            (at(Risk::High), rule(&[(2, "review"), (1, "dba")])),
        ],
        self_approval: None,
        exclude_author: None,
        require_signatures: None,
        environments: IndexMap::new(),
        calendar: PolicyCalendar {
            time_zone: None,
            business_days: Vec::new(),
            business_hours: None,
            holidays: Vec::new(),
        },
        windows: Vec::new(),
        freezes: Vec::new(),
        escalation: Vec::new(),
        emergency: None,
        reviews: Vec::new(),
        audit: AuditRule::default(),
    }
}

fn protected() -> Environment {
    Environment {
        protected: true,
        ..environment()
    }
}

fn checked_of(texts: &[(&str, &str)]) -> CheckedRunbook {
    let (checked, findings) = check_texts(texts);
    let findings: Vec<String> = findings.iter().map(line).collect();
    checked.unwrap_or_else(|| panic!("{}", findings.join("\n")))
}

fn planned(
    checked: &CheckedRunbook,
    environment: &Environment,
    policy: Option<&Policy>,
) -> Result<Plan, Vec<String>> {
    let given = BTreeMap::new();
    let mut diags = Diagnostics::new();
    build(checked, environment, policy, &given, &catalog(), &mut diags)
        .ok_or_else(|| diags.into_sorted().iter().map(line).collect())
}

fn plan_with(texts: &[(&str, &str)], policy: &Policy) -> Plan {
    planned(&checked_of(texts), &protected(), Some(policy))
        .unwrap_or_else(|found| panic!("{}", found.join("\n")))
}

fn plan_of(text: &str) -> Plan {
    plan_with(&[("a", text)], &policy())
}

/// Says of gates what a decoder of `with` would; by id.
fn asking(text: &str, asks: &[(&str, GateAsk)]) -> CheckedRunbook {
    let mut diags = Diagnostics::new();
    let source = SourceFile::new("runbooks/a.yaml", format!("runbook: v1\nname: a\n{text}"));
    let mut runbook = crate::language::decode_runbook(&source, &mut diags).expect("decodes");
    for step in &mut runbook.steps {
        let ask = asks.iter().find(|(id, _)| step.id.value.as_str() == *id);
        if let Some((_, ask)) = ask {
            step.gate = Some(Box::new(ask.clone()));
        }
    }
    crate::check::check(runbook, Some(&environment()), &catalog(), &mut diags).unwrap_or_else(
        || {
            panic!(
                "{:?}",
                diags.into_sorted().iter().map(line).collect::<Vec<_>>()
            )
        },
    )
}

fn with_risk(risk: Risk) -> GateAsk {
    GateAsk {
        risk: Some(at(risk)),
        ..GateAsk::default()
    }
}

const GUARDED: &str = "\
risk: medium
steps:
  - { id: look, uses: service.health, with: { service: api } }
  - { id: go, uses: approval, timeout: 1h, with: { message: \"Healthy: {{ steps.look.outputs.healthy }}?\" } }
  - { id: restart, uses: service.restart, with: { service: api }, rollback: { uses: wait, with: { for: 1s } } }
";

#[test]
fn an_unprotected_plan_has_no_policy_and_a_protected_one_resolves_it() {
    let mut policy = policy();
    let open = planned(
        &checked_of(&[("a", GUARDED)]),
        &environment(),
        Some(&policy),
    );
    assert_eq!(open.expect("a plan").policy, None);

    policy.exclude_author = Some(at(true));
    let mut own = PolicyEnvironment {
        span: Span::default(),
        protected: Some(at(true)),
        risk: Vec::new(),
        self_approval: Some(at(true)),
        exclude_author: Some(at(false)),
        require_signatures: None,
    };
    policy.environments.insert("local".to_owned(), own.clone());
    let plan = planned(
        &checked_of(&[("a", GUARDED)]),
        &environment(),
        Some(&policy),
    );
    let plan = plan.expect("a plan");
    assert!(plan.environment.protected);
    let resolved = plan.policy.expect("a policy");
    assert_eq!(resolved.file, "runbooks/policy.yaml");
    assert!(resolved.self_approval && !resolved.exclude_author && !resolved.require_signatures);
    // Only the rule that a gate of this plan asks for, and only the people whom it names.
    assert_eq!(resolved.rules.keys().collect::<Vec<_>>(), [&Risk::Medium]);
    let medium = &resolved.rules[&Risk::Medium];
    let leads = PlanQuorum {
        count: 1,
        role: "team-lead".to_owned(),
        members: vec!["ada".to_owned(), "grace".to_owned()],
    };
    assert_eq!(medium.quorum, [leads]);
    assert_eq!(medium.told(), "1 of team-lead (ada, grace)");
    assert_eq!(medium.expires, Some(HumanDuration(hours(24))));
    assert_eq!(medium.vote_expires, Some(HumanDuration(hours(8))));
    assert_eq!(medium.on_expiry, OnExpiry::Park);
    assert_eq!(resolved.people.keys().collect::<Vec<_>>(), ["ada", "grace"]);
    assert_eq!(resolved.people["ada"].ssh_keys, ["ssh-ed25519 AAAAada"]);
    assert_eq!(resolved.people["grace"].ssh_keys, ["ssh-ed25519 AAAAgrace"]);
    assert_eq!(resolved.calendar.time_zone, "UTC");
    assert_eq!(resolved.calendar.business_days, [1, 2, 3, 4, 5]);
    assert_eq!(resolved.calendar.business_hours, (540, 1020));
    assert_eq!(resolved.emergency, None);

    // Rules of the environment replace those of the same risk; protection cannot be taken away.
    own.risk = vec![(at(Risk::Medium), rule(&[(2, "developer")]))];
    own.protected = Some(at(false));
    policy.environments.insert("local".to_owned(), own);
    let plan = plan_with(&[("a", GUARDED)], &policy);
    let resolved = plan.policy.expect("a policy");
    assert_eq!(
        resolved.rules[&Risk::Medium].told(),
        "2 of developer (ada, grace, lin)"
    );
    assert_eq!(resolved.rules[&Risk::Medium].expires, None);
}

#[test]
fn hours_escalation_and_emergency_of_this_environment_are_taken() {
    let mut policy = policy();
    let window = |name: &str, environments: &[&str]| PolicyWindow {
        name: at(name.to_owned()),
        environments: texts(environments),
        days: vec![at(2), at(1), at(2)],
        hours: at((1320, 240)),
    };
    policy.windows = vec![
        window("nightly", &["local"]),
        window("elsewhere", &["production"]),
        window("all", &[]),
    ];
    let freeze = |name: &str, environments: &[&str]| PolicyFreeze {
        name: at(name.to_owned()),
        environments: texts(environments),
        from: at("2026-12-20".to_owned()),
        to: at("2027-01-04T06:00".to_owned()),
    };
    policy.freezes = vec![freeze("year end", &[]), freeze("other", &["staging"])];
    let level = |role: &str, within: Option<ResponseTime>| EscalationLevel {
        span: Span::default(),
        role: at(role.to_owned()),
        channel: (role == "on-call").then(|| at("ops".to_owned())),
        respond_within: within.map(at),
    };
    policy.escalation = vec![
        (at(RunbookSeverity::P3), vec![level("dba", None)]),
        (
            at(RunbookSeverity::P1),
            vec![
                level("on-call", None),
                level("team-lead", Some(ResponseTime::Time(hours(2)))),
                level("dba", Some(ResponseTime::NextBusinessDay)),
            ],
        ),
    ];
    policy.emergency = Some(EmergencyRule {
        span: Span::default(),
        roles: texts(&["on-call", "dba"]),
        review: at("review".to_owned()),
        review_within: None,
    });
    let severe = format!("severity: P1\n{GUARDED}");
    let resolved = plan_with(&[("a", &severe)], &policy)
        .policy
        .expect("a policy");
    assert_eq!(
        resolved.windows[0],
        PlanWindow {
            name: "nightly".to_owned(),
            days: vec![1, 2],
            from: 1320,
            to: 240
        }
    );
    let names: Vec<&str> = resolved.windows.iter().map(|w| w.name.as_str()).collect();
    assert_eq!(names, ["nightly", "all"]);
    assert_eq!(
        resolved.freezes,
        [PlanFreeze {
            name: "year end".to_owned(),
            from: "2026-12-20".to_owned(),
            to: "2027-01-04T06:00".to_owned()
        }]
    );
    let time = |n| PlanDelay::Time(HumanDuration(hours(n)));
    let levels: Vec<_> = resolved
        .escalation
        .iter()
        .map(|l| {
            (
                l.role.as_str(),
                l.after,
                l.respond_within,
                l.channel.as_deref(),
            )
        })
        .collect();
    assert_eq!(
        levels,
        [
            ("on-call", time(0), time(1), Some("ops")),
            ("team-lead", time(1), time(2), None),
            ("dba", time(2), PlanDelay::NextBusinessDay, None),
        ]
    );
    assert_eq!(resolved.escalation[0].members, ["ada", "sam"]);
    let emergency = resolved.emergency.expect("an emergency rule");
    assert_eq!(emergency.members, ["ada", "lin", "sam"]);
    assert_eq!(emergency.reviewers, ["ada", "grace", "lin"]);
    assert_eq!(emergency.review_within, HumanDuration(hours(72)));
    let people: Vec<&String> = resolved.people.keys().collect();
    assert_eq!(people, ["ada", "grace", "lin", "sam"], "zoe has no role");
    let calm = plan_with(&[("a", GUARDED)], &policy)
        .policy
        .expect("a policy");
    assert_eq!(calm.escalation, [], "without a severity nobody is told");
}

#[test]
fn default_response_times_follow_the_severity() {
    let mut policy = policy();
    let level = EscalationLevel {
        span: Span::default(),
        role: at("dba".to_owned()),
        channel: None,
        respond_within: None,
    };
    for (severity, word, expected) in [
        (
            RunbookSeverity::P0,
            "P0",
            PlanDelay::Time(HumanDuration(Duration::from_secs(900))),
        ),
        (
            RunbookSeverity::P1,
            "P1",
            PlanDelay::Time(HumanDuration(hours(1))),
        ),
        (
            RunbookSeverity::P2,
            "P2",
            PlanDelay::Time(HumanDuration(hours(4))),
        ),
        (RunbookSeverity::P3, "P3", PlanDelay::NextBusinessDay),
    ] {
        policy.escalation = vec![(at(severity), vec![level.clone()])];
        let text = format!("severity: {word}\n{GUARDED}");
        let plan = plan_with(&[("a", &text)], &policy);
        let resolved = plan.policy.expect("a policy");
        assert_eq!(resolved.escalation[0].respond_within, expected, "{word}");
    }
}

#[test]
fn a_protected_environment_needs_a_policy_with_the_rules_it_asks_for() {
    let checked = checked_of(&[("a", GUARDED)]);
    let found = planned(&checked, &protected(), None).expect_err("no policy");
    assert_eq!(found.len(), 1, "{found:?}");
    assert!(
        found[0].starts_with("RB0830 local | `local` is protected"),
        "{found:?}"
    );
    let mut few = policy();
    few.risk.remove(1);
    let found = planned(&checked, &protected(), Some(&few)).expect_err("no rule");
    assert_eq!(found.len(), 1, "{found:?}");
    assert!(found[0].starts_with("RB0831 go | "), "{found:?}");
    let reads = checked_of(&[(
        "a",
        "risk: medium\nsteps:\n  - { id: look, uses: service.health, with: { service: api } }\n",
    )]);
    let plan = planned(&reads, &protected(), Some(&few)).expect("nothing asks for the rule");
    assert!(plan.policy.expect("a policy").rules.is_empty());
}

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

const GO: &str = "{ id: go, uses: approval, timeout: 1h, with: { message: Now? } }";
const DO: &str = "uses: service.restart, with: { service: api }";

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

fn random_body(with_call: bool) -> impl Strategy<Value = String> {
    proptest::collection::vec((0u8..if with_call { 6 } else { 5 }, any::<u16>()), 1..9).prop_map(|kinds| {
        let mut text = String::from("steps:\n");
        for (at, (kind, bits)) in kinds.iter().enumerate() {
            let needs: Vec<String> = (0..at).filter(|n| bits >> (n % 16) & 1 == 1).map(|n| format!("s{n}")).collect();
            let what = match kind {
                0 => "uses: wait, with: { for: 1s }".to_owned(),
                1 => DO.to_owned(),
                2 | 3 => "uses: approval, timeout: 1h, with: { message: Now? }".to_owned(),
                4 => "uses: approval, timeout: 1h, with: { message: Now? }, when: \"vars.port > 1\"".to_owned(),
                _ => "uses: runbook.inner".to_owned(),
            };
            text.push_str(&format!("  - {{ id: s{at}, needs: [{}], {what} }}\n", needs.join(", ")));
        }
        text
    })
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

#[test]
fn the_digest_covers_what_the_policy_demands_and_nothing_that_only_describes() {
    let digest = |policy: &Policy| plan_with(&[("a", GUARDED)], policy).digest();
    let base = digest(&policy());
    let mut changed = policy();
    changed.source = SourceFile::new("elsewhere.yaml", "# a comment\npolicy: v1\n");
    for person in changed.people.values_mut() {
        person.name = None;
        person.contact = Some(at("other@example.org".to_owned()));
        for key in &mut person.ssh_keys {
            key.value.push_str(" another comment");
        }
    }
    changed.roles.insert("unused".to_owned(), role(&["zoe"]));
    changed.risk[2].1 = rule(&[(1, "dba")]);
    changed
        .roles
        .get_mut("team-lead")
        .expect("a role")
        .members
        .reverse();
    changed.people.reverse();
    assert_eq!(
        digest(&changed),
        base,
        "a rule that no gate asks for does not matter either"
    );

    let changes: [fn(&mut Policy); 9] = [
        |p| {
            p.roles
                .get_mut("team-lead")
                .expect("a role")
                .members
                .truncate(1)
        },
        |p| p.risk[1].1.quorum[0].value.count = 2,
        |p| p.risk[1].1.expiry = None,
        |p| p.risk[1].1.on_expiry = None,
        |p| p.self_approval = Some(at(true)),
        |p| p.exclude_author = Some(at(true)),
        |p| p.require_signatures = Some(at(true)),
        |p| p.people.get_mut("ada").expect("ada").ssh_keys.clear(),
        |p| p.calendar.time_zone = Some(at("Europe/Berlin".to_owned())),
    ];
    for (number, change) in changes.into_iter().enumerate() {
        let mut policy = policy();
        change(&mut policy);
        assert_ne!(digest(&policy), base, "change {number}");
    }
}

#[test]
fn a_plan_of_an_older_version_has_neither_gates_nor_a_policy() {
    let plan = unprotected(GUARDED, &[] as &[(&str, Given)]).expect("a plan");
    let mut value: serde_json::Value = serde_json::from_str(&plan.canonical_json()).expect("JSON");
    for step in value["steps"].as_array_mut().expect("steps") {
        step.as_object_mut().expect("a step").remove("gate");
    }
    let old = Plan::from_json(&value.to_string()).expect("decodes");
    assert_eq!(old.policy, None);
    let gates = old.gates();
    assert_eq!(gates.len(), 1);
    assert_eq!(old.gate_risk(gates[0].1), Risk::Medium);
    assert_eq!(old.start_refusal("ada", None, None), None);
}

#[test]
fn a_gate_that_only_the_starter_could_pass_is_refused_before_the_run() {
    let mut policy = policy();
    let plan = plan_with(&[("a", GUARDED)], &policy);
    assert_eq!(plan.start_refusal("ada", None, None), None, "grace may");
    let refusal = plan.start_refusal("bot", Some("grace"), None);
    assert_eq!(refusal, None, "ada may");
    let refusal = plan
        .start_refusal("ada", Some("grace"), None)
        .expect("nobody is left");
    assert_eq!(
        refusal.to_string(),
        "the gate `go` (risk medium) could never be passed: it takes 1 of team-lead (ada, grace), \
         but ada starts the run, the run is started for grace"
    );
    assert_eq!(refusal.advice.len(), 2, "{:?}", refusal.advice);
    assert_eq!(
        plan.start_refusal("ada", None, Some("grace")),
        None,
        "authors may vote"
    );

    policy.exclude_author = Some(at(true));
    let plan = plan_with(&[("a", GUARDED)], &policy);
    let refusal = plan
        .start_refusal("ada", None, Some("grace"))
        .expect("nobody is left");
    assert_eq!(
        refusal.excluded,
        ["ada starts the run", "grace changed the runbook last"]
    );

    policy.self_approval = Some(at(true));
    let plan = plan_with(&[("a", GUARDED)], &policy);
    assert_eq!(plan.start_refusal("ada", Some("ada"), Some("grace")), None);
}

#[test]
fn a_person_fills_one_place_and_signs_with_a_key() {
    let mut policy = policy();
    // Two of (ada, grace, lin) and one of (lin): all three are needed, and lin for the second.
    let text = GUARDED.replace("medium", "high");
    let plan = plan_with(&[("a", &text)], &policy);
    assert_eq!(plan.start_refusal("sam", None, None), None);
    for starter in ["ada", "grace", "lin"] {
        assert!(
            plan.start_refusal(starter, None, None).is_some(),
            "{starter}"
        );
    }
    policy.require_signatures = Some(at(true));
    let plan = plan_with(&[("a", &text)], &policy);
    let refusal = plan
        .start_refusal("sam", None, None)
        .expect("lin cannot sign");
    assert_eq!(
        refusal.excluded,
        ["lin has no SSH key in the policy, and votes must be signed"]
    );
    assert!(
        refusal.advice[0].contains("people: NAME: ssh_keys"),
        "{:?}",
        refusal.advice
    );
    policy.people.get_mut("lin").expect("lin").ssh_keys = texts(&["ssh-ed25519 AAAAlin"]);
    let plan = plan_with(&[("a", &text)], &policy);
    assert_eq!(plan.start_refusal("sam", None, None), None);
    let person = &plan.policy.as_ref().expect("a policy").people["lin"];
    assert_eq!(
        person,
        &PlanPerson {
            name: Some("A Name".to_owned()),
            contact: Some("mail@example.org".to_owned()),
            ssh_keys: vec!["ssh-ed25519 AAAAlin".to_owned()],
        }
    );
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
