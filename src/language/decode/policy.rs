//! A policy file.

use std::sync::Arc;

use indexmap::IndexMap;

use super::environment::named;
use super::fields::{Field, Fields};
use super::head::open_file;
use super::keys::{PERSON, POLICY, RISK, RISK_RULE, ROLE};
use super::reader::Reader;
use crate::base::{Diagnostics, SourceFile, Spanned};
use crate::model::{
    AuditRule, Policy, PolicyCalendar, PolicyPerson, PolicyRole, Quorum, Risk, RiskRule,
};

/// Reads a policy.
///
/// Every mistake is added to `diags`. `Some` does not mean that there is none, but that every
/// name in it could be read. Ask [`Diagnostics::has_errors`] before anything runs.
pub fn decode_policy(source: &Arc<SourceFile>, diags: &mut Diagnostics) -> Option<Policy> {
    let (mut reader, mut fields) = open_file(source, diags, "policy", &POLICY)?;
    let (r, f) = (&mut reader, &mut fields);
    let people = named(r, f.take("people"), "person", &PERSON, |r, mut f, span| {
        let person = PolicyPerson {
            span,
            name: r.text(f.take("name")),
            contact: r.text(f.take("contact")),
            ssh_keys: r.texts(f.take("ssh_keys")).unwrap_or_default(),
        };
        f.done();
        Some(person)
    });
    let roles = named(r, f.take("roles"), "role", &ROLE, |r, mut f, span| {
        let members = r.texts(f.take("members"));
        f.done();
        Some(PolicyRole {
            span,
            members: members?,
        })
    });
    let risk = f
        .take("risk")
        .map_or(Some(Vec::new()), |field| read_risks(r, field));
    fields.done();
    Some(Policy {
        source: Arc::clone(source),
        people: people?,
        roles: roles?,
        risk: risk?,
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
    })
}

fn read_risks(r: &mut Reader<'_>, field: Field) -> Option<Vec<(Spanned<Risk>, RiskRule)>> {
    let mut f = r.object(Some(field), &RISK)?;
    let mut rules = Vec::new();
    let mut good = true;
    for (word, risk) in [
        ("low", Risk::Low),
        ("medium", Risk::Medium),
        ("high", Risk::High),
    ] {
        let Some(field) = f.take(word) else { continue };
        let span = field.key_span;
        match r
            .object(Some(field), &RISK_RULE)
            .and_then(|f| read_rule(r, f))
        {
            Some(rule) => rules.push((Spanned::new(risk, span), rule)),
            None => good = false,
        }
    }
    f.done();
    good.then_some(rules)
}

fn read_rule(r: &mut Reader<'_>, mut f: Fields) -> Option<RiskRule> {
    let role = r.text(f.take("role"));
    let quorum = r.int(f.take("quorum"));
    f.done();
    let role = role?;
    let good = r.name(&role, "name of a role", role.span);
    let span = role.span;
    good.then(|| RiskRule {
        span,
        quorum: vec![Spanned::new(
            Quorum {
                count: quorum.unwrap_or(1),
                role: role.value,
            },
            span,
        )],
        expiry: None,
        vote_expiry: None,
        on_expiry: None,
    })
}
