//! A policy file.

use std::sync::Arc;
use std::time::Duration;

use indexmap::IndexMap;

use super::calendar::{read_calendar, read_freeze, read_window};
use super::environment::named;
use super::fields::{Field, Fields};
use super::gate::read_on_expiry;
use super::head::open_file;
use super::keys::{
    AUDIT, EMERGENCY, ESCALATION, LEVEL, ObjectSpec, PERSON, POLICY, POLICY_ENVIRONMENT, REVIEWS,
    RISK, RISK_RULE, ROLE,
};
use super::reader::Reader;
use crate::base::{Diagnostics, SourceFile, Spanned};
use crate::language::codes;
use crate::model::{
    AuditRule, EmergencyRule, EscalationLevel, Policy, PolicyEnvironment, PolicyPerson, PolicyRole,
    Quorum, ResponseTime, Risk, RiskRule, RunbookSeverity, YamlValue, YamlValueKind,
};

const RISKS: [(&str, Risk); 3] = [
    ("low", Risk::Low),
    ("medium", Risk::Medium),
    ("high", Risk::High),
];

const SEVERITIES: [(&str, RunbookSeverity); 4] = [
    ("P0", RunbookSeverity::P0),
    ("P1", RunbookSeverity::P1),
    ("P2", RunbookSeverity::P2),
    ("P3", RunbookSeverity::P3),
];

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
            ssh_keys: r.ssh_keys(f.take("ssh_keys")).unwrap_or_default(),
        };
        f.done();
        Some(person)
    });
    let roles = named(r, f.take("roles"), "role", &ROLE, |r, mut f, span| {
        let members = r.texts(f.take("members"));
        f.done();
        let members = members?;
        r.distinct(&members, "members");
        Some(PolicyRole { span, members })
    });
    let risk = read_risks(r, f.take("risk"));
    let self_approval = r.flag(f.take("self_approval"));
    let exclude_author = r.flag(f.take("exclude_author"));
    let require_signatures = r.flag(f.take("require_signatures"));
    let environments = named(
        r,
        f.take("environments"),
        "environment",
        &POLICY_ENVIRONMENT,
        |r, mut f, span| {
            let environment = PolicyEnvironment {
                span,
                protected: r.flag(f.take("protected")),
                risk: read_risks(r, f.take("risk"))?,
                self_approval: r.flag(f.take("self_approval")),
                exclude_author: r.flag(f.take("exclude_author")),
                require_signatures: r.flag(f.take("require_signatures")),
            };
            f.done();
            Some(environment)
        },
    );
    let calendar = read_calendar(r, f.take("calendar"));
    let windows = each(r, f.take("windows"), &super::keys::WINDOW, read_window);
    let freezes = each(r, f.take("freezes"), &super::keys::FREEZE, read_freeze);
    let escalation = read_escalation(r, f.take("escalation"));
    let emergency = match f.take("emergency") {
        None => Some(None),
        Some(field) => read_emergency(r, field).map(Some),
    };
    let reviews = read_reviews(r, f.take("reviews"));
    let audit = read_audit(r, f.take("audit"));
    fields.done();
    Some(Policy {
        source: Arc::clone(source),
        people: people?,
        roles: roles?,
        risk: risk?,
        self_approval,
        exclude_author,
        require_signatures,
        environments: environments?,
        calendar,
        windows: windows?,
        freezes: freezes?,
        escalation: escalation?,
        emergency: emergency?,
        reviews,
        audit: audit?,
    })
}

/// The objects of a list; `None` when one of them could not be read.
fn each<T>(
    r: &mut Reader<'_>,
    field: Option<Field>,
    spec: &'static ObjectSpec,
    read: impl Fn(&mut Reader<'_>, Fields) -> Option<T>,
) -> Option<Vec<T>> {
    let Some(field) = field else {
        return Some(Vec::new());
    };
    let (name, example) = (field.key.name, field.key.example);
    let items = r.list(Some(field))?;
    let read: Vec<Option<T>> = items
        .into_iter()
        .map(|item| Fields::open(r, item, spec, name, example).and_then(|fields| read(r, fields)))
        .collect();
    read.into_iter().collect()
}

/// The keys of an object that is keyed by a fixed set of words; `None` when one could not be read.
fn by_word<K: Copy, T>(
    r: &mut Reader<'_>,
    field: Option<Field>,
    spec: &'static ObjectSpec,
    words: &[(&str, K)],
    read: impl Fn(&mut Reader<'_>, Field) -> Option<T>,
) -> Option<Vec<(Spanned<K>, T)>> {
    let Some(field) = field else {
        return Some(Vec::new());
    };
    let mut f = r.object(Some(field), spec)?;
    let mut found = Vec::new();
    let mut good = true;
    for (word, meaning) in words {
        let Some(field) = f.take(word) else { continue };
        let span = field.key_span;
        match read(r, field) {
            Some(value) => found.push((Spanned::new(*meaning, span), value)),
            None => good = false,
        }
    }
    f.done();
    good.then_some(found)
}

fn read_risks(r: &mut Reader<'_>, field: Option<Field>) -> Option<Vec<(Spanned<Risk>, RiskRule)>> {
    by_word(r, field, &RISK, &RISKS, |r, field| {
        let f = r.object(Some(field), &RISK_RULE)?;
        read_rule(r, f)
    })
}

fn read_rule(r: &mut Reader<'_>, mut f: Fields) -> Option<RiskRule> {
    let span = f.head;
    let lists = f
        .value("quorum")
        .is_some_and(|value| matches!(value.kind, YamlValueKind::List(_)));
    let quorum = match lists {
        true => {
            f.refuse(
                r,
                "role",
                "`role` has no meaning beside a list as `quorum`",
                "take it out: each entry names its role, such as `2 of team-lead`",
            );
            let field = f.take("quorum")?;
            if matches!(&field.value.kind, YamlValueKind::List(items) if items.is_empty()) {
                // Nothing to meet would be met by nobody's vote.
                r.bad_value(
                    &field,
                    "`quorum` is an empty list",
                    "say who must approve: `quorum: [2 of team-lead]`",
                );
            }
            let items = r.list(Some(field)).filter(|items| !items.is_empty());
            items.and_then(|items| {
                let read: Vec<_> = items.iter().map(|item| read_quorum(r, item)).collect();
                read.into_iter().collect::<Option<Vec<_>>>()
            })
        }
        false => read_short_rule(r, &mut f),
    };
    let expiry = r.time(f.take("expiry"));
    let vote_expiry = r.time(f.take("vote_expiry"));
    let on_expiry = read_on_expiry(r, f.take("on_expiry"));
    f.done();
    Some(RiskRule {
        span,
        quorum: quorum?,
        expiry,
        vote_expiry,
        on_expiry,
    })
}

/// `role` with a number as `quorum`.
fn read_short_rule(r: &mut Reader<'_>, f: &mut Fields) -> Option<Vec<Spanned<Quorum>>> {
    if f.place("role").is_none() {
        r.error(
            codes::MISSING_KEY,
            "a risk rule needs the key `role`",
            f.head,
            "the key is missing here",
            "say who may approve: `role: team-lead`, or `quorum: [2 of architecture-review, 1 of dba]`",
        );
    }
    let role = r.text(f.take("role"));
    let count = match f.take("quorum") {
        None => Some(1),
        Some(field) => r.int_between(field, 1, 100),
    };
    let role = role?;
    let good = r.name(&role, "name of a role", role.span);
    let count = count?;
    good.then(|| {
        let quorum = Quorum {
            count,
            role: role.value,
        };
        vec![Spanned::new(quorum, role.span)]
    })
}

/// `2 of team-lead`.
fn read_quorum(r: &mut Reader<'_>, value: &YamlValue) -> Option<Spanned<Quorum>> {
    let YamlValueKind::Text { text, .. } = &value.kind else {
        let wanted = "how many of which role";
        r.wrong_type(value, "quorum", wanted, "quorum: [2 of team-lead]");
        return None;
    };
    let parts = text.split_once(" of ");
    let read = parts.and_then(|(count, role)| {
        let count = count
            .parse::<u32>()
            .ok()
            .filter(|n| n.to_string() == count)?;
        Some((count, role.to_owned()))
    });
    let Some((count, role)) = read.filter(|(count, _)| (1..=100).contains(count)) else {
        r.error(
            codes::BAD_VALUE,
            format!("`quorum` has an entry that cannot be read: `{text}`"),
            value.span,
            "this value",
            "write a number from 1 to 100 and a role: `2 of team-lead`",
        );
        return None;
    };
    let good = r.name(&role, "name of a role", value.span);
    good.then(|| Spanned::new(Quorum { count, role }, value.span))
}

fn read_escalation(
    r: &mut Reader<'_>,
    field: Option<Field>,
) -> Option<Vec<(Spanned<RunbookSeverity>, Vec<EscalationLevel>)>> {
    by_word(r, field, &ESCALATION, &SEVERITIES, |r, field| {
        each(r, Some(field), &LEVEL, |r, mut f| {
            let span = f.head;
            let role = r.role(f.take("role"));
            let channel = match f.take("channel") {
                None => Some(None),
                Some(field) => r.named_thing(field, "name of a connection").map(Some),
            };
            let respond_within = f.take("respond_within").and_then(|f| read_response(r, f));
            f.done();
            Some(EscalationLevel {
                span,
                role: role?,
                channel: channel?,
                respond_within,
            })
        })
    })
}

fn read_response(r: &mut Reader<'_>, field: Field) -> Option<Spanned<ResponseTime>> {
    const DAY: &str = "next_business_day";
    match &field.value.kind {
        YamlValueKind::Text { text, .. } if text == DAY => Some(Spanned::new(
            ResponseTime::NextBusinessDay,
            field.value.span,
        )),
        YamlValueKind::Text { text, .. } if !text.starts_with(|c: char| c.is_ascii_digit()) => {
            let message = format!("`respond_within` cannot be `{text}`");
            r.bad_value(
                &field,
                message,
                "write a duration such as `15m`, or `next_business_day`",
            );
            None
        }
        _ => r.time(Some(field)).map(|time| time.map(ResponseTime::Time)),
    }
}

fn read_emergency(r: &mut Reader<'_>, field: Field) -> Option<EmergencyRule> {
    let mut f = r.object(Some(field), &EMERGENCY)?;
    let span = f.head;
    let roles = r.names(f.take("roles"), "name of a role");
    let review = r.role(f.take("review"));
    let review_within = r.time(f.take("review_within"));
    f.done();
    Some(EmergencyRule {
        span,
        roles: roles?,
        review: review?,
        review_within,
    })
}

fn read_reviews(
    r: &mut Reader<'_>,
    field: Option<Field>,
) -> Vec<(Spanned<Risk>, Spanned<Duration>)> {
    by_word(r, field, &REVIEWS, &RISKS, |r, field| r.time(Some(field))).unwrap_or_default()
}

fn read_audit(r: &mut Reader<'_>, field: Option<Field>) -> Option<AuditRule> {
    let Some(field) = field else {
        return Some(AuditRule::default());
    };
    let mut f = r.object(Some(field), &AUDIT)?;
    let remote = r.text(f.take("remote"));
    let mut signers = IndexMap::new();
    let mut good = true;
    if let Some(field) = f.take("signers") {
        let (key, key_span) = (field.key, field.key_span);
        for (name, (span, value)) in r.map(Some(field))? {
            good &= r.name(&name, "name of a signer", span);
            let field = Field {
                key,
                key_span,
                value,
            };
            if matches!(&field.value.kind, YamlValueKind::List(keys) if keys.is_empty()) {
                let help = "write the public key that it signs with, or take the signer out";
                r.bad_value(&field, format!("the signer `{name}` has no key"), help);
                good = false;
                continue;
            }
            match r.ssh_keys(Some(field)) {
                Some(keys) => drop(signers.insert(name, keys)),
                None => good = false,
            }
        }
    }
    let require_signatures = r.boolean(f.take("require_signatures")).unwrap_or(false);
    f.done();
    good.then_some(AuditRule {
        remote,
        signers,
        require_signatures,
    })
}
