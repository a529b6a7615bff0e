//! What the policy demands: its rules in the plan, who may start a run, and what the digest covers.

use std::time::Duration;

use super::policy_fixture::*;
use super::tests::plan_of as unprotected;
use super::{Given, Plan, PlanDelay, PlanFreeze, PlanPerson, PlanQuorum, PlanWindow};
use crate::base::{HumanDuration, SourceFile, Span};
use crate::check::fixture::environment;
use crate::model::{
    EmergencyRule, EscalationLevel, OnExpiry, Policy, PolicyEnvironment, PolicyFreeze,
    PolicyWindow, ResponseTime, Risk, RunbookSeverity,
};

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
