//! A policy made by hand, and short ways to a plan that is subject to it.

use std::collections::BTreeMap;
use std::time::Duration;

use indexmap::IndexMap;
use proptest::prelude::*;

use super::{Plan, build};
use crate::base::{Diagnostics, SourceFile, Span, Spanned};
use crate::check::CheckedRunbook;
use crate::check::fixture::{catalog, check_texts, environment, line};
use crate::model::{
    AuditRule, Environment, GateAsk, OnExpiry, Policy, PolicyCalendar, PolicyPerson, PolicyRole,
    Quorum, Risk, RiskRule,
};

pub(super) fn at<T>(value: T) -> Spanned<T> {
    Spanned::new(value, Span::default())
}

pub(super) fn texts(names: &[&str]) -> Vec<Spanned<String>> {
    names.iter().map(|name| at((*name).to_owned())).collect()
}

pub(super) fn hours(n: u64) -> Duration {
    Duration::from_secs(n * 3600)
}

pub(super) fn person(key: Option<&str>) -> PolicyPerson {
    PolicyPerson {
        span: Span::default(),
        name: Some(at("A Name".to_owned())),
        contact: Some(at("mail@example.org".to_owned())),
        ssh_keys: texts(key.as_slice()),
    }
}

pub(super) fn role(members: &[&str]) -> PolicyRole {
    PolicyRole {
        span: Span::default(),
        members: texts(members),
    }
}

pub(super) fn rule(quorum: &[(u32, &str)]) -> RiskRule {
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
pub(super) fn policy() -> Policy {
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

pub(super) fn protected() -> Environment {
    Environment {
        protected: true,
        ..environment()
    }
}

pub(super) fn checked_of(texts: &[(&str, &str)]) -> CheckedRunbook {
    let (checked, findings) = check_texts(texts);
    let findings: Vec<String> = findings.iter().map(line).collect();
    checked.unwrap_or_else(|| panic!("{}", findings.join("\n")))
}

pub(super) fn planned(
    checked: &CheckedRunbook,
    environment: &Environment,
    policy: Option<&Policy>,
) -> Result<Plan, Vec<String>> {
    let given = BTreeMap::new();
    let mut diags = Diagnostics::new();
    build(checked, environment, policy, &given, &catalog(), &mut diags)
        .ok_or_else(|| diags.into_sorted().iter().map(line).collect())
}

pub(super) fn plan_with(texts: &[(&str, &str)], policy: &Policy) -> Plan {
    planned(&checked_of(texts), &protected(), Some(policy))
        .unwrap_or_else(|found| panic!("{}", found.join("\n")))
}

pub(super) fn plan_of(text: &str) -> Plan {
    plan_with(&[("a", text)], &policy())
}

/// Says of gates what a decoder of `with` would; by id.
pub(super) fn asking(text: &str, asks: &[(&str, GateAsk)]) -> CheckedRunbook {
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

pub(super) fn with_risk(risk: Risk) -> GateAsk {
    GateAsk {
        risk: Some(at(risk)),
        ..GateAsk::default()
    }
}

pub(super) const GUARDED: &str = "\
risk: medium
steps:
  - { id: look, uses: service.health, with: { service: api } }
  - { id: go, uses: approval, timeout: 1h, with: { message: \"Healthy: {{ steps.look.outputs.healthy }}?\" } }
  - { id: restart, uses: service.restart, with: { service: api }, rollback: { uses: wait, with: { for: 1s } } }
";

pub(super) const GO: &str = "{ id: go, uses: approval, timeout: 1h, with: { message: Now? } }";
pub(super) const DO: &str = "uses: service.restart, with: { service: api }";

pub(super) fn random_body(with_call: bool) -> impl Strategy<Value = String> {
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
