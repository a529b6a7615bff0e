//! Rules: a chain has time to be told before the question lapses, and `escalate` has somebody to tell.

use std::time::Duration;

use crate::base::{Diagnostic, Diagnostics, Spanned, format_duration};
use crate::check::codes;
use crate::model::{
    EscalationLevel, OnExpiry, Policy, ResponseTime, Risk, RiskRule, RunbookSeverity,
};

pub(super) fn check(policy: &Policy, diags: &mut Diagnostics) {
    let own = policy.environments.values().flat_map(|own| &own.risk);
    let rules: Vec<&(Spanned<Risk>, RiskRule)> = policy.risk.iter().chain(own).collect();
    for (risk, rule) in &rules {
        let escalates = rule.on_expiry.as_ref();
        let escalates = escalates.filter(|on| on.value == OnExpiry::Escalate);
        if let Some(on_expiry) = escalates.filter(|_| policy.escalation.is_empty()) {
            diags.push(
                Diagnostic::warning(
                    codes::NO_CHAIN,
                    format!(
                        "`{}` escalates, but there is nobody to tell",
                        risk.value.as_str()
                    ),
                )
                .at(
                    &policy.source,
                    on_expiry.span,
                    "no `escalation` in this policy",
                )
                .help("say who is told: `escalation: { P1: [{ role: on-call, channel: ops }] }`"),
            );
        }
    }
    // With `escalate` the rest of the chain is told after the lapse, and a parked question stands.
    let denying = rules.iter().filter(|(_, rule)| {
        let on_expiry = rule.on_expiry.as_ref().map(|on| on.value);
        on_expiry.unwrap_or_default() == OnExpiry::Deny
    });
    let shortest = denying
        .filter_map(|(risk, rule)| Some((risk, rule.expiry.as_ref()?)))
        .min_by_key(|(_, expiry)| expiry.value);
    let Some((risk, expiry)) = shortest else {
        return;
    };
    for (severity, levels) in &policy.escalation {
        let takes = length(severity.value, levels);
        if takes > expiry.value {
            diags.push(
                Diagnostic::warning(
                    codes::LATE_LEVEL,
                    format!(
                        "the chain of `{:?}` takes {}, but a question of `{}` risk lapses after {}",
                        severity.value,
                        format_duration(takes),
                        risk.value.as_str(),
                        format_duration(expiry.value)
                    ),
                )
                .at(
                    &policy.source,
                    severity.span,
                    "the last of it has no time to answer",
                )
                .at(&policy.source, expiry.span, "lapses")
                .help(
                    "shorten `respond_within`, lengthen `expiry`, or write `on_expiry: escalate`",
                ),
            );
        }
    }
}

/// How long a chain takes at least: a level that has until a business day may be short.
fn length(severity: RunbookSeverity, levels: &[EscalationLevel]) -> Duration {
    let levels = levels.iter().map(|level| match &level.respond_within {
        Some(own) => match own.value {
            ResponseTime::Time(time) => time,
            ResponseTime::NextBusinessDay => Duration::ZERO,
        },
        None => match severity {
            RunbookSeverity::P0 => Duration::from_secs(15 * 60),
            RunbookSeverity::P1 => Duration::from_secs(60 * 60),
            RunbookSeverity::P2 => Duration::from_secs(4 * 60 * 60),
            RunbookSeverity::P3 => Duration::ZERO,
        },
    });
    levels.fold(Duration::ZERO, Duration::saturating_add)
}
