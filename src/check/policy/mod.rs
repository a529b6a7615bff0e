//! Rules for policies: what is named exists, every gate can be opened by others than its starter, and
//! hours, chains and emergencies make sense together.

mod calendar;
mod emergency;
mod escalation;
mod names;
mod people;
mod place;
mod quorum;

pub use place::PolicyPlace;

use crate::base::Diagnostics;
use crate::model::Policy;

/// Checks a policy file by itself.
pub fn check_policy(policy: &Policy, diags: &mut Diagnostics) {
    names::check(policy, diags);
    people::check(policy, diags);
    quorum::check(policy, diags);
    calendar::check_order(policy, diags);
    escalation::check(policy, diags);
    emergency::check(policy, diags);
}

/// Checks that the environments that a policy names are among those of its repository: a misspelt one
/// would protect nothing.
pub fn check_policy_environments<'a>(
    policy: &Policy,
    known: impl Iterator<Item = &'a str> + Clone,
    diags: &mut Diagnostics,
) {
    place::check_names(policy, &known, diags);
}

/// Checks a policy against what the environments of its repository say, and the day; beside
/// [`check_policy`] and [`check_policy_environments`].
pub fn check_policy_place(policy: &Policy, place: &PolicyPlace<'_>, diags: &mut Diagnostics) {
    place::check(policy, place, diags);
    calendar::check_now(policy, place.now, diags);
}
