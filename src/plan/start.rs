//! Whether a run may start at all: a gate that nobody but the starter could pass is said before the
//! run, and not in the night.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use super::policy::{PlanPolicy, PlanQuorum, PlanRule};
use super::types::Plan;
use crate::base::{StepId, can_fill};
use crate::model::Risk;

/// Why a run that is started so could never come past a gate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StartRefusal {
    /// The first gate that it could never pass; inside a sub-runbook its path.
    pub gate: StepId,
    /// Which rule it is subject to.
    pub risk: Risk,
    /// What it takes: `2 of team-lead (ada, grace), 1 of dba (lin)`.
    pub takes: String,
    /// Who of those may not vote in this run, or cannot, each with the reason.
    pub excluded: Vec<String>,
    /// What would help, each a whole sentence.
    pub advice: Vec<String>,
}

impl fmt::Display for StartRefusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "the gate `{}` (risk {}) could never be passed: it takes {}",
            self.gate,
            self.risk.as_str(),
            self.takes
        )?;
        match self.excluded.is_empty() {
            true => Ok(()),
            false => write!(f, ", but {}", self.excluded.join(", ")),
        }
    }
}

impl std::error::Error for StartRefusal {}

/// Why somebody who has the role may not vote in this run, or cannot.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Bar {
    Starter,
    OnBehalf,
    Author,
    NoKey,
}

impl Bar {
    fn says(self, name: &str) -> String {
        match self {
            Self::Starter => format!("{name} starts the run"),
            Self::OnBehalf => format!("the run is started for {name}"),
            Self::Author => format!("{name} changed the runbook last"),
            Self::NoKey => format!("{name} has no SSH key in the policy, and votes must be signed"),
        }
    }
}

impl PlanQuorum {
    /// `2 of team-lead (ada, grace)`.
    pub fn told(&self) -> String {
        let members = match self.members.is_empty() {
            true => "nobody has this role".to_owned(),
            false => self.members.join(", "),
        };
        format!("{} of {} ({members})", self.count, self.role)
    }
}

impl PlanRule {
    /// All that it takes: `2 of team-lead (ada, grace), 1 of dba (lin)`.
    pub fn told(&self) -> String {
        let told: Vec<String> = self.quorum.iter().map(PlanQuorum::told).collect();
        told.join(", ")
    }
}

impl Plan {
    /// Why a run of this plan must not be started: one of its gates could never be passed, because too
    /// few distinct people may vote when the starter, whoever it is started for and the author of the
    /// runbook's last change may not, or because too few of them have keys to sign with. `None`: nothing
    /// stands against it, or no policy demands anything.
    ///
    /// An emergency run passes its gates without votes; do not ask for it.
    pub fn start_refusal(
        &self,
        starter: &str,
        on_behalf_of: Option<&str>,
        author: Option<&str>,
    ) -> Option<StartRefusal> {
        let policy = self.policy.as_deref()?;
        let bars = bars(policy, starter, on_behalf_of, author);
        let mut first_of: BTreeMap<Risk, usize> = BTreeMap::new();
        let gates = self.gates();
        for (at, (_, gate)) in gates.iter().enumerate() {
            first_of.entry(self.gate_risk(gate)).or_insert(at);
        }
        let refused = first_of.iter().find(|(risk, _)| {
            let rule = policy.rules.get(risk);
            !rule.is_some_and(|rule| can_pass(rule, &bars))
        });
        let (&risk, &at) = refused?;
        Some(refusal(policy, risk, gates[at].0.clone(), &bars))
    }
}

/// Who may not vote, or cannot, by login name.
fn bars<'a>(
    policy: &'a PlanPolicy,
    starter: &'a str,
    on_behalf_of: Option<&'a str>,
    author: Option<&'a str>,
) -> BTreeMap<&'a str, Bar> {
    let mut bars = BTreeMap::new();
    if policy.require_signatures {
        let keyless = policy.people.iter().filter(|(_, p)| p.ssh_keys.is_empty());
        bars.extend(keyless.map(|(name, _)| (name.as_str(), Bar::NoKey)));
    }
    if let Some(author) = author.filter(|_| policy.exclude_author) {
        bars.insert(author, Bar::Author);
    }
    if !policy.self_approval {
        bars.extend(on_behalf_of.map(|name| (name, Bar::OnBehalf)));
        bars.insert(starter, Bar::Starter);
    }
    bars
}

/// Whether enough distinct people may vote. A rule that asks nobody opens no gate; the decoder refuses
/// it, a plan on disk may say it.
fn can_pass(rule: &PlanRule, bars: &BTreeMap<&str, Bar>) -> bool {
    let places = rule.quorum.iter().map(|quorum| {
        let members = quorum.members.iter().map(String::as_str);
        let may = members.filter(|name| !bars.contains_key(name));
        (quorum.count.max(1), may.collect())
    });
    let places: Vec<(u32, BTreeSet<&str>)> = places.collect();
    !places.is_empty() && can_fill(&places)
}

fn refusal(
    policy: &PlanPolicy,
    risk: Risk,
    gate: StepId,
    bars: &BTreeMap<&str, Bar>,
) -> StartRefusal {
    let Some(rule) = policy.rules.get(&risk) else {
        return StartRefusal {
            gate,
            risk,
            takes: "a rule that the policy does not have".to_owned(),
            excluded: Vec::new(),
            advice: vec![format!(
                "Add the risk `{}` to {}.",
                risk.as_str(),
                policy.file
            )],
        };
    };
    let named: BTreeSet<&str> = rule
        .quorum
        .iter()
        .flat_map(|quorum| quorum.members.iter().map(String::as_str))
        .collect();
    let barred: Vec<(&str, Bar)> = named
        .iter()
        .filter_map(|name| Some((*name, *bars.get(name)?)))
        .collect();
    let has = |wanted: &[Bar]| barred.iter().any(|(_, bar)| wanted.contains(bar));
    let mut advice = Vec::new();
    if has(&[Bar::Starter, Bar::OnBehalf]) {
        advice.push("Let somebody start it who is not needed to approve it.".to_owned());
    }
    if has(&[Bar::Author]) {
        advice.push("Let somebody else look the runbook through and change it last.".to_owned());
    }
    if has(&[Bar::NoKey]) {
        advice.push(format!(
            "Add their public keys to {}: `people: NAME: ssh_keys`.",
            policy.file
        ));
    }
    let roles: BTreeSet<&str> = rule.quorum.iter().map(|q| q.role.as_str()).collect();
    let roles: Vec<&str> = roles.into_iter().collect();
    advice.push(format!(
        "Or give the role to more people in {}: {}.",
        policy.file,
        roles.join(", ")
    ));
    StartRefusal {
        gate,
        risk,
        takes: rule.told(),
        excluded: barred.iter().map(|(name, bar)| bar.says(name)).collect(),
        advice,
    }
}
