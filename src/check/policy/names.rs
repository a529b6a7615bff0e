//! Rule: every role and person that is named exists.

use crate::base::{Diagnostic, Diagnostics, Spanned, did_you_mean};
use crate::check::codes;
use crate::model::Policy;

pub(super) fn check(policy: &Policy, diags: &mut Diagnostics) {
    for member in policy.roles.values().flat_map(|role| &role.members) {
        if !policy.people.contains_key(&member.value) {
            let known = policy.people.keys().map(String::as_str);
            diags.push(unknown(policy, "person", member, known));
        }
    }
    for role in roles_named(policy) {
        if !policy.roles.contains_key(&role.value) {
            let known = policy.roles.keys().map(String::as_str);
            diags.push(unknown(policy, "role", &role, known));
        }
    }
}

/// The places where roles are named.
fn roles_named(policy: &Policy) -> Vec<Spanned<String>> {
    let own = policy.environments.values().flat_map(|own| &own.risk);
    let rules = policy.risk.iter().chain(own);
    let quorums = rules.flat_map(|(_, rule)| &rule.quorum);
    let levels = policy.escalation.iter().flat_map(|(_, levels)| levels);
    let emergency = policy.emergency.iter();
    quorums
        .map(|quorum| Spanned::new(quorum.value.role.clone(), quorum.span))
        .chain(levels.map(|level| level.role.clone()))
        .chain(emergency.flat_map(|e| e.roles.iter().chain([&e.review]).cloned()))
        .collect()
}

fn unknown<'a>(
    policy: &Policy,
    what: &str,
    name: &Spanned<String>,
    known: impl Iterator<Item = &'a str>,
) -> Diagnostic {
    let finding = Diagnostic::error(
        codes::UNKNOWN_PERSON,
        format!("the policy has no {what} `{}`", name.value),
    )
    .at(&policy.source, name.span, format!("unknown {what}"));
    match did_you_mean(&name.value, known) {
        Some(near) => finding.help(format!("did you mean `{near}`?")),
        None if what == "role" => finding.help("declare it under `roles:`"),
        None => finding.help("declare it under `people:`"),
    }
}
