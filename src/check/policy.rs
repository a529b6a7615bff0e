//! Rules for policies: every role and person that is named exists.

use super::codes;
use crate::base::{Diagnostic, Diagnostics, Spanned, did_you_mean};
use crate::model::Policy;

/// Checks a policy file.
pub fn check_policy(policy: &Policy, diags: &mut Diagnostics) {
    let mut unknown = |what: &str, name: &Spanned<String>, known: Vec<&str>| {
        let finding = Diagnostic::error(
            codes::UNKNOWN_PERSON,
            format!("the policy has no {what} `{}`", name.value),
        )
        .at(&policy.source, name.span, format!("unknown {what}"));
        diags.push(match did_you_mean(&name.value, known.iter().copied()) {
            Some(near) => finding.help(format!("did you mean `{near}`?")),
            None if what == "role" => finding.help("declare it under `roles:`"),
            None => finding.help("declare it under `people:`"),
        });
    };
    for role in policy.roles.values() {
        for member in &role.members {
            if !policy.people.contains_key(&member.value) {
                let known = policy.people.keys().map(String::as_str).collect();
                unknown("person", member, known);
            }
        }
    }
    for (_, rule) in &policy.risk {
        for quorum in &rule.quorum {
            if !policy.roles.contains_key(&quorum.value.role) {
                let known = policy.roles.keys().map(String::as_str).collect();
                let role = Spanned::new(quorum.value.role.clone(), quorum.span);
                unknown("role", &role, known);
            }
        }
    }
    for (risk, rule) in &policy.risk {
        for quorum in &rule.quorum {
            let Some(role) = policy.roles.get(&quorum.value.role) else {
                continue;
            };
            if (role.members.len() as u64) < u64::from(quorum.value.count) {
                diags.push(
                    Diagnostic::error(
                        codes::UNKNOWN_PERSON,
                        format!(
                            "{} people must approve, but the role `{}` has {}",
                            quorum.value.count,
                            quorum.value.role,
                            role.members.len()
                        ),
                    )
                    .at(&policy.source, risk.span, "this could never be approved")
                    .at(&policy.source, role.span, "the role")
                    .help("lower `quorum`, or add members to the role"),
                );
            }
        }
    }
}
