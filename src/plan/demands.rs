//! What the policy demands of a plan: overrides of the environment applied, roles replaced by their
//! members, and only what has to do with this plan.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::policy::{
    PlanCalendar, PlanDelay, PlanEmergency, PlanEscalation, PlanFreeze, PlanPerson, PlanPolicy,
    PlanQuorum, PlanRule, PlanWindow,
};
use crate::base::{HumanDuration, Spanned};
use crate::model::{
    EscalationLevel, Policy, PolicyCalendar, PolicyEnvironment, ResponseTime, Risk, RiskRule,
    RunbookSeverity,
};

const MINUTE: u64 = 60;
const HOUR: u64 = 60 * MINUTE;
/// How long reviewers of an emergency run have when the policy does not say.
const REVIEW_WITHIN: Duration = Duration::from_secs(72 * HOUR);

/// The part of a policy that concerns a plan with gates of these risks.
pub(super) fn resolve(
    policy: &Policy,
    environment: &str,
    severity: Option<RunbookSeverity>,
    risks: impl Iterator<Item = Risk>,
) -> PlanPolicy {
    let own = policy.environments.get(environment);
    let mut resolved = PlanPolicy {
        file: policy.source.path.clone(),
        rules: risks
            .filter_map(|risk| Some((risk, rule(policy, find_rule(policy, own, risk)?))))
            .collect(),
        people: BTreeMap::new(),
        require_signatures: switch(
            policy,
            own,
            |p| &p.require_signatures,
            |o| &o.require_signatures,
        ),
        self_approval: switch(policy, own, |p| &p.self_approval, |o| &o.self_approval),
        exclude_author: switch(policy, own, |p| &p.exclude_author, |o| &o.exclude_author),
        windows: windows(policy, environment),
        freezes: freezes(policy, environment),
        calendar: calendar(&policy.calendar),
        escalation: severity.map_or_else(Vec::new, |severity| escalation(policy, severity)),
        emergency: emergency(policy),
    };
    resolved.people = people(policy, &resolved);
    resolved
}

fn find_rule<'p>(
    policy: &'p Policy,
    own: Option<&'p PolicyEnvironment>,
    risk: Risk,
) -> Option<&'p RiskRule> {
    let own = own.into_iter().flat_map(|own| &own.risk);
    let mut rules = own.chain(&policy.risk);
    rules.find(|(of, _)| of.value == risk).map(|(_, rule)| rule)
}

type Switch = Option<Spanned<bool>>;

/// What the environment says, else what is said for all; no by default.
fn switch(
    policy: &Policy,
    own: Option<&PolicyEnvironment>,
    of_all: fn(&Policy) -> &Switch,
    of_own: fn(&PolicyEnvironment) -> &Switch,
) -> bool {
    let own = own.and_then(|own| of_own(own).as_ref());
    own.or(of_all(policy).as_ref())
        .is_some_and(|switch| switch.value)
}

fn rule(policy: &Policy, rule: &RiskRule) -> PlanRule {
    let limit = |limit: &Option<Spanned<Duration>>| limit.as_ref().map(|l| HumanDuration(l.value));
    PlanRule {
        quorum: rule
            .quorum
            .iter()
            .map(|quorum| PlanQuorum {
                count: quorum.value.count,
                role: quorum.value.role.clone(),
                members: members(policy, [quorum.value.role.as_str()]),
            })
            .collect(),
        expires: limit(&rule.expiry),
        vote_expires: limit(&rule.vote_expiry),
        on_expiry: rule
            .on_expiry
            .as_ref()
            .map_or_else(Default::default, |o| o.value),
    }
}

/// The login names of all that have one of the roles, sorted, each once.
fn members<'r>(policy: &Policy, roles: impl IntoIterator<Item = &'r str>) -> Vec<String> {
    let roles = roles.into_iter().filter_map(|role| policy.roles.get(role));
    let names = roles.flat_map(|role| role.members.iter().map(|m| m.value.clone()));
    names.collect::<BTreeSet<_>>().into_iter().collect()
}

/// None are written: all protected environments are meant.
fn is_meant(environments: &[Spanned<String>], environment: &str) -> bool {
    environments.is_empty() || environments.iter().any(|e| e.value == environment)
}

fn windows(policy: &Policy, environment: &str) -> Vec<PlanWindow> {
    let windows = policy.windows.iter();
    windows
        .filter(|window| is_meant(&window.environments, environment))
        .map(|window| PlanWindow {
            name: window.name.value.clone(),
            days: days(&window.days),
            from: window.hours.value.0,
            to: window.hours.value.1,
        })
        .collect()
}

fn freezes(policy: &Policy, environment: &str) -> Vec<PlanFreeze> {
    let freezes = policy.freezes.iter();
    freezes
        .filter(|freeze| is_meant(&freeze.environments, environment))
        .map(|freeze| PlanFreeze {
            name: freeze.name.value.clone(),
            from: freeze.from.value.clone(),
            to: freeze.to.value.clone(),
        })
        .collect()
}

fn days(days: &[Spanned<u8>]) -> Vec<u8> {
    let days: BTreeSet<u8> = days.iter().map(|day| day.value).collect();
    days.into_iter().collect()
}

fn calendar(calendar: &PolicyCalendar) -> PlanCalendar {
    let zone = calendar.time_zone.as_ref();
    let holidays: BTreeSet<String> = calendar
        .holidays
        .iter()
        .map(|day| day.value.to_string())
        .collect();
    PlanCalendar {
        time_zone: zone.map_or_else(|| "UTC".to_owned(), |zone| zone.value.clone()),
        business_days: match calendar.business_days.is_empty() {
            true => (1..=5).collect(),
            false => days(&calendar.business_days),
        },
        business_hours: calendar
            .business_hours
            .as_ref()
            .map_or((9 * 60, 17 * 60), |hours| hours.value),
        holidays: holidays.into_iter().collect(),
    }
}

fn escalation(policy: &Policy, severity: RunbookSeverity) -> Vec<PlanEscalation> {
    let chain = policy
        .escalation
        .iter()
        .find(|(of, _)| of.value == severity);
    let mut after = PlanDelay::Time(HumanDuration(Duration::ZERO));
    let levels = chain.into_iter().flat_map(|(_, levels)| levels);
    levels
        .map(|level| {
            let respond_within = respond_within(level, severity);
            PlanEscalation {
                after: std::mem::replace(&mut after, respond_within),
                role: level.role.value.clone(),
                members: members(policy, [level.role.value.as_str()]),
                channel: level.channel.as_ref().map(|channel| channel.value.clone()),
                respond_within,
            }
        })
        .collect()
}

fn respond_within(level: &EscalationLevel, severity: RunbookSeverity) -> PlanDelay {
    let seconds = |n| PlanDelay::Time(HumanDuration(Duration::from_secs(n)));
    match (&level.respond_within, severity) {
        (Some(own), _) => match own.value {
            ResponseTime::Time(time) => PlanDelay::Time(HumanDuration(time)),
            ResponseTime::NextBusinessDay => PlanDelay::NextBusinessDay,
        },
        (None, RunbookSeverity::P0) => seconds(15 * MINUTE),
        (None, RunbookSeverity::P1) => seconds(HOUR),
        (None, RunbookSeverity::P2) => seconds(4 * HOUR),
        (None, RunbookSeverity::P3) => PlanDelay::NextBusinessDay,
    }
}

fn emergency(policy: &Policy) -> Option<PlanEmergency> {
    let emergency = policy.emergency.as_ref()?;
    let within = emergency.review_within.as_ref();
    Some(PlanEmergency {
        members: members(
            policy,
            emergency.roles.iter().map(|role| role.value.as_str()),
        ),
        review: emergency.review.value.clone(),
        reviewers: members(policy, [emergency.review.value.as_str()]),
        review_within: HumanDuration(within.map_or(REVIEW_WITHIN, |within| within.value)),
    })
}

/// Everybody whom the resolved rules name.
fn people(policy: &Policy, resolved: &PlanPolicy) -> BTreeMap<String, PlanPerson> {
    let of_rules = resolved.rules.values().flat_map(|rule| &rule.quorum);
    let of_emergency = resolved.emergency.iter();
    let names = of_rules
        .flat_map(|quorum| &quorum.members)
        .chain(resolved.escalation.iter().flat_map(|level| &level.members))
        .chain(of_emergency.flat_map(|e| e.members.iter().chain(&e.reviewers)));
    names
        .collect::<BTreeSet<_>>()
        .into_iter()
        .map(|name| (name.clone(), person(policy, name)))
        .collect()
}

fn person(policy: &Policy, name: &str) -> PlanPerson {
    let Some(person) = policy.people.get(name) else {
        return PlanPerson::default();
    };
    let keys: BTreeSet<String> = person.ssh_keys.iter().map(|key| bare(&key.value)).collect();
    PlanPerson {
        name: person.name.as_ref().map(|name| name.value.clone()),
        contact: person.contact.as_ref().map(|contact| contact.value.clone()),
        ssh_keys: keys.into_iter().collect(),
    }
}

/// A public key without its comment (OpenSSH form: type, key, comment): another comment is no other key.
fn bare(key: &str) -> String {
    let parts: Vec<&str> = key.split_whitespace().take(2).collect();
    parts.join(" ")
}
