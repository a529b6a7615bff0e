//! Rules: a role has members, and a key has one owner.

use std::collections::{BTreeMap, BTreeSet};

use crate::base::{Diagnostic, Diagnostics, bare_ssh_key};
use crate::check::codes;
use crate::model::Policy;

pub(super) fn check(policy: &Policy, diags: &mut Diagnostics) {
    // A rule that needs an empty role is an error of its own.
    let own = policy.environments.values().flat_map(|own| &own.risk);
    let needed: BTreeSet<&str> = policy
        .risk
        .iter()
        .chain(own)
        .flat_map(|(_, rule)| &rule.quorum)
        .map(|quorum| quorum.value.role.as_str())
        .collect();
    for (name, role) in &policy.roles {
        if role.members.is_empty() && !needed.contains(name.as_str()) {
            diags.push(
                Diagnostic::warning(codes::EMPTY_ROLE, format!("nobody has the role `{name}`"))
                    .at(&policy.source, role.span, "no members")
                    .help("add somebody to `members`, or take the role out"),
            );
        }
    }
    let mut owners = BTreeMap::new();
    for (name, person) in &policy.people {
        for key in &person.ssh_keys {
            // What is no key, the decoder says.
            let Ok(bare) = bare_ssh_key(key) else {
                continue;
            };
            let (owner, first) = *owners.entry(bare).or_insert((name, key.span));
            if owner != name {
                diags.push(
                    Diagnostic::error(
                        codes::SHARED_KEY,
                        format!("one key belongs to both `{owner}` and `{name}`"),
                    )
                    .at(&policy.source, key.span, "the same key")
                    .at(
                        &policy.source,
                        first,
                        format!("already the key of `{owner}`"),
                    )
                    .help("a signature must tell who voted: give each person a key of their own"),
                );
            }
        }
    }
}
