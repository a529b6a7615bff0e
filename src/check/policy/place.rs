//! Rules that need the environments of the repository: those that the policy names exist, protected
//! ones have rules, and escalations reach somebody.

use crate::base::{Diagnostic, Diagnostics, Severity, Spanned, Timestamp, did_you_mean};
use crate::check::{codes, is_protected};
use crate::model::{Environment, Policy};

/// Where a policy holds.
#[derive(Debug, Clone)]
pub struct PolicyPlace<'a> {
    /// The environments of the repository; `None`: one that cannot be read, which is said elsewhere.
    pub environments: Vec<Option<&'a Environment>>,
    /// The moment of the check; rules have no clock.
    pub now: Timestamp,
}

pub(super) fn check(policy: &Policy, place: &PolicyPlace<'_>, diags: &mut Diagnostics) {
    let there = place.environments.iter().flatten().copied();
    let protected: Vec<&Environment> = there.filter(|e| is_protected(e, Some(policy))).collect();
    for environment in &protected {
        check_rules(policy, environment, diags);
    }
    // One that cannot be read may have any channel.
    let all_read = place.environments.iter().all(Option::is_some);
    if !protected.is_empty() && all_read {
        check_channels(policy, &protected, diags);
    }
}

pub(super) fn check_names<'a>(
    policy: &Policy,
    known: &(impl Iterator<Item = &'a str> + Clone),
    diags: &mut Diagnostics,
) {
    let own = policy.environments.iter();
    let own = own.map(|(name, own)| Spanned::new(name.clone(), own.span));
    let windows = policy.windows.iter().flat_map(|w| &w.environments);
    let freezes = policy.freezes.iter().flat_map(|f| &f.environments);
    for name in own.chain(windows.chain(freezes).cloned()) {
        if known.clone().any(|known| known == name.value) {
            continue;
        }
        let finding = Diagnostic::error(
            codes::POLICY_ENVIRONMENT,
            format!("there is no environment `{}`", name.value),
        )
        .at(&policy.source, name.span, "unknown environment");
        diags.push(match did_you_mean(&name.value, known.clone()) {
            Some(near) => finding.help(format!("did you mean `{near}`?")),
            None => finding.help(format!(
                "write it to runbooks/environments/{}.yaml; there are: {}",
                name.value,
                known.clone().collect::<Vec<_>>().join(", ")
            )),
        });
    }
}

/// That some risks have no rule is said of the runbooks that have them; without any rule nobody can do
/// anything.
fn check_rules(policy: &Policy, environment: &Environment, diags: &mut Diagnostics) {
    let name = &environment.name;
    let own = policy.environments.get(&name.value);
    if policy.risk.is_empty() && own.is_none_or(|own| own.risk.is_empty()) {
        diags.push(
            Diagnostic::error(
                codes::NO_RISK_TABLE,
                format!(
                    "`{}` is protected, but the policy has no `risk` table",
                    name.value
                ),
            )
            .at(
                &environment.source,
                name.span,
                "nobody could approve anything here",
            )
            .help(format!(
                "say who may approve, in {}: `risk: {{ low: {{ role: developer }} }}`",
                policy.source.path
            )),
        );
    }
}

fn check_channels(policy: &Policy, protected: &[&Environment], diags: &mut Diagnostics) {
    for level in policy.escalation.iter().flat_map(|(_, levels)| levels) {
        let Some(channel) = &level.channel else {
            continue;
        };
        let has = |environment: &&&Environment| {
            let connection = environment.connections.get(&channel.value);
            connection.is_some_and(|connection| connection.kind.value == "notify")
        };
        let without: Vec<String> = protected
            .iter()
            .filter(|environment| !has(environment))
            .map(|environment| format!("`{}`", environment.name.value))
            .collect();
        if without.is_empty() {
            continue;
        }
        let mut finding = Diagnostic::error(
            codes::UNKNOWN_CHANNEL,
            format!(
                "nobody would be told: there is no channel `{}`",
                channel.value
            ),
        )
        .at(
            &policy.source,
            channel.span,
            format!("no connection of kind `notify` in {}", without.join(", ")),
        );
        if without.len() < protected.len() {
            finding.severity = Severity::Warning;
        }
        let known = protected
            .iter()
            .flat_map(|environment| &environment.connections);
        let known = known.filter(|(_, connection)| connection.kind.value == "notify");
        diags.push(match did_you_mean(&channel.value, known.map(|(n, _)| n.as_str())) {
            Some(near) if near != channel.value => finding.help(format!("did you mean `{near}`?")),
            _ => finding.help(format!(
                "add it to the environment: `connections: {{ {}: {{ kind: notify, to: terminal }} }}`",
                channel.value
            )),
        });
    }
}
