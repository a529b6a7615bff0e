//! What a policy and a gate say arrives in the model.

use std::time::Duration;

use crate::base::{Diagnostics, SourceFile};
use crate::language::{decode_policy, decode_runbook};
use crate::model::{GateAsk, OnExpiry, Policy, ResponseTime, Risk, RunbookSeverity, Ty};

fn policy(text: &str) -> Policy {
    let source = SourceFile::new("runbooks/policy.yaml", format!("policy: v1\n{text}"));
    let mut diags = Diagnostics::new();
    let read = decode_policy(&source, &mut diags);
    assert!(diags.is_empty(), "{diags:?}");
    read.expect("a policy")
}

fn hours(n: u64) -> Duration {
    Duration::from_secs(n * 3600)
}

#[test]
fn the_short_and_the_long_form_of_a_rule_are_one() {
    let read = policy(
        "risk:\n  high: { quorum: [2 of lead, 1 of dba] }\n  low: { role: lead }\n  medium: { role: lead, quorum: 2, expiry: 24h, vote_expiry: 8h, on_expiry: escalate }\n",
    );
    let told: Vec<_> = read
        .risk
        .iter()
        .map(|(risk, rule)| {
            let quorum = rule.quorum.iter();
            let quorum: Vec<_> = quorum
                .map(|q| (q.value.count, q.value.role.as_str()))
                .collect();
            (risk.value, quorum)
        })
        .collect();
    let expected = [
        (Risk::Low, vec![(1, "lead")]),
        (Risk::Medium, vec![(2, "lead")]),
        (Risk::High, vec![(2, "lead"), (1, "dba")]),
    ];
    assert_eq!(told, expected);
    let rule = &read.risk[1].1;
    assert_eq!(rule.expiry.as_ref().map(|e| e.value), Some(hours(24)));
    assert_eq!(rule.vote_expiry.as_ref().map(|e| e.value), Some(hours(8)));
    assert_eq!(
        rule.on_expiry.as_ref().map(|e| e.value),
        Some(OnExpiry::Escalate)
    );
    // The place of an entry is the entry, so that a finding points at it.
    let entry = read.risk[2].1.quorum[1].span;
    assert_eq!(&read.source.text[entry.start..entry.end()], "1 of dba");
}

#[test]
fn what_differs_in_an_environment_is_kept_apart() {
    let read = policy(
        "require_signatures: false\nenvironments:\n  production: { protected: true, require_signatures: true, risk: { low: { role: lead } } }\n",
    );
    let own = &read.environments["production"];
    assert_eq!(own.protected.as_ref().map(|p| p.value), Some(true));
    assert_eq!(own.require_signatures.as_ref().map(|p| p.value), Some(true));
    assert_eq!(own.self_approval, None);
    assert_eq!(own.risk.len(), 1);
    assert_eq!(read.require_signatures.map(|p| p.value), Some(false));
    assert_eq!(read.exclude_author, None);
}

#[test]
fn days_and_hours_are_numbers() {
    let read = policy(
        "calendar: { time_zone: America/New_York, business_days: [mon, sun], business_hours: 08:30-16:00, holidays: [2026-12-25] }\n\
         windows:\n  - { name: nightly, environments: [production], days: [tue], hours: \"22:00-04:00\" }\n  - { name: late, hours: \"00:00-24:00\" }\n\
         freezes: [{ name: fair, from: 2026-12-20T18:00, to: 2027-01-04 }]\n",
    );
    let calendar = &read.calendar;
    assert_eq!(
        calendar.time_zone.as_ref().map(|z| z.value.as_str()),
        Some("America/New_York")
    );
    let days: Vec<u8> = calendar.business_days.iter().map(|d| d.value).collect();
    assert_eq!(days, [1, 7]);
    assert_eq!(
        calendar.business_hours.as_ref().map(|h| h.value),
        Some((510, 960))
    );
    assert_eq!(calendar.holidays[0].value.to_string(), "2026-12-25");
    let [nightly, late] = &read.windows[..] else {
        panic!("two windows");
    };
    assert_eq!(nightly.hours.value, (22 * 60, 4 * 60));
    assert_eq!(nightly.days[0].value, 2);
    assert_eq!(nightly.environments[0].value, "production");
    assert_eq!(late.hours.value, (0, 1440));
    assert!(late.days.is_empty() && late.environments.is_empty());
    let freeze = &read.freezes[0];
    assert_eq!(freeze.from.value, "2026-12-20T18:00");
    assert_eq!(freeze.to.value, "2027-01-04");
}

#[test]
fn chains_emergencies_reviews_and_the_trail_are_read() {
    let key = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJdD7y3aLq454yWBdwLWbieU1ebz9/cu7/QEXn9OIeZJ";
    let read = policy(&format!(
        "people: {{ ada: {{ name: Ada, contact: a@b.c, ssh_keys: [{key} x] }} }}\n\
         escalation:\n  P3: [{{ role: lead, respond_within: next_business_day }}]\n  P0: [{{ role: lead, channel: ops, respond_within: 15m }}, {{ role: boss }}]\n\
         emergency: {{ roles: [lead], review: boss, review_within: 24h }}\n\
         reviews: {{ high: 90d }}\n\
         audit: {{ remote: ../audit.git, signers: {{ host1: [{key}] }}, require_signatures: true }}\n"
    ));
    assert_eq!(read.people["ada"].ssh_keys[0].value, format!("{key} x"));
    let severities: Vec<_> = read.escalation.iter().map(|(s, _)| s.value).collect();
    assert_eq!(severities, [RunbookSeverity::P0, RunbookSeverity::P3]);
    let first = &read.escalation[0].1;
    assert_eq!(
        first[0].channel.as_ref().map(|c| c.value.as_str()),
        Some("ops")
    );
    assert_eq!(
        first[0].respond_within.as_ref().map(|t| t.value),
        Some(ResponseTime::Time(Duration::from_secs(900)))
    );
    assert!(first[1].channel.is_none() && first[1].respond_within.is_none());
    let routine = &read.escalation[1].1[0];
    assert_eq!(
        routine.respond_within.as_ref().map(|t| t.value),
        Some(ResponseTime::NextBusinessDay)
    );
    let emergency = read.emergency.expect("one");
    assert_eq!(emergency.roles[0].value, "lead");
    assert_eq!(emergency.review.value, "boss");
    assert_eq!(emergency.review_within.map(|t| t.value), Some(hours(24)));
    assert_eq!(read.reviews[0].0.value, Risk::High);
    assert_eq!(read.reviews[0].1.value, hours(90 * 24));
    assert_eq!(
        read.audit.remote.map(|r| r.value),
        Some("../audit.git".to_owned())
    );
    assert_eq!(read.audit.signers["host1"][0].value, key);
    assert!(read.audit.require_signatures);
}

/// The gates of a runbook with one step.
fn gate(with: &str) -> (Option<Box<GateAsk>>, Vec<String>, Diagnostics) {
    let text = format!("runbook: v1\nname: a\nsteps:\n  - {{ id: go, {with} }}\n");
    let mut diags = Diagnostics::new();
    let read = decode_runbook(&SourceFile::new("a.yaml", text), &mut diags);
    let step = read.map(|mut runbook| runbook.steps.remove(0));
    let left = step.as_ref().map(|step| match &step.action.with.kind {
        crate::model::YamlValueKind::Map(map) => map.keys().cloned().collect(),
        _ => Vec::new(),
    });
    (
        step.and_then(|step| step.gate),
        left.unwrap_or_default(),
        diags,
    )
}

#[test]
fn what_a_gate_asks_does_not_stay_in_its_inputs() {
    let (found, left, diags) = gate(
        "uses: approval, with: { risk: high, message: m, inputs: { window: { type: duration, default: 10m } }, on_expiry: park }",
    );
    assert!(diags.is_empty(), "{diags:?}");
    let found = found.expect("a gate");
    assert_eq!(left, ["message"]);
    assert_eq!(found.risk.map(|r| r.value), Some(Risk::High));
    assert_eq!(found.on_expiry.map(|o| o.value), Some(OnExpiry::Park));
    assert_eq!(found.inputs["window"].ty.value, Ty::Duration);

    let (plain, left, diags) = gate("uses: approval, with: { message: m }");
    assert!(diags.is_empty() && left == ["message"]);
    let plain = plain.expect("a gate");
    assert!(plain.risk.is_none() && plain.inputs.is_empty() && plain.on_expiry.is_none());

    // Another action may have an input of that name.
    let (none, left, _) = gate("uses: file.write, with: { risk: high }");
    assert!(none.is_none());
    assert_eq!(left, ["risk"]);
}

/// Whatever stands in a policy, it is read or refused.
#[test]
fn odd_policies_are_refused_and_nothing_panics() {
    for text in [
        "",
        "\n",
        "# only words\n",
        "policy:",
        "policy: v1\npeople: []",
        "[]",
        "policy",
        "policy: v2",
        "policy: {}",
        "policy: v1\nrisk: { low: [] }",
        "policy: v1\nrisk: { low: { quorum: 0.5, role: a } }",
        "policy: v1\nwindows: { a: b }",
        "policy: v1\nfreezes: [null]",
        "policy: v1\nwindows: [{ name: a, hours: \"-\" }]",
        "policy: v1\nwindows: [{ name: a, hours: \"ä:ö-00:00\" }]",
        "policy: v1\ncalendar: { holidays: [2026-02-31] }",
        "policy: v1\naudit: { signers: [a] }",
        "policy: v1\nemergency: { roles: [], review: a }",
        "policy: v1\npeople: { ada: { ssh_keys: [\" \"] } }",
        "policy: v1\nrisk: { low: { quorum: [\"99999999999999999999 of a\"] } }",
    ] {
        let mut diags = Diagnostics::new();
        decode_policy(&SourceFile::new("policy.yaml", text), &mut diags);
        assert!(diags.has_errors(), "{text:?}");
    }
}
