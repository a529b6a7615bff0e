//! Rule: an emergency run is reviewed by others than those who start such runs.

use std::collections::BTreeSet;

use crate::base::{Diagnostic, Diagnostics};
use crate::check::codes;
use crate::model::Policy;

pub(super) fn check(policy: &Policy, diags: &mut Diagnostics) {
    let Some(emergency) = &policy.emergency else {
        return;
    };
    let members = |role: &str| -> BTreeSet<&str> {
        let role = policy.roles.get(role);
        let members = role.into_iter().flat_map(|role| &role.members);
        members.map(|member| member.value.as_str()).collect()
    };
    let starters: BTreeSet<&str> = emergency
        .roles
        .iter()
        .flat_map(|role| members(&role.value))
        .collect();
    let reviewers = members(&emergency.review.value);
    if reviewers.is_empty() || !reviewers.is_subset(&starters) {
        return;
    }
    let review = &emergency.review;
    let label = match reviewers.len() {
        1 => "nobody could review a run of this one person",
        _ => "all of them may start emergency runs",
    };
    diags.push(
        Diagnostic::warning(
            codes::OWN_REVIEW,
            format!(
                "emergency runs are reviewed only by people who may start them: `{}`",
                review.value
            ),
        )
        .at(&policy.source, review.span, label)
        .help("name a role with somebody who cannot start emergency runs"),
    );
}
