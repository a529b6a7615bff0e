//! Rules: every gate can be opened, also when one of those who may approve starts the run.

use std::collections::{BTreeSet, HashSet};

use crate::base::{Code, Diagnostic, Diagnostics, Severity, Span, Spanned, can_fill};
use crate::check::codes;
use crate::model::{Policy, PolicyEnvironment, Risk, RiskRule};

/// More people than this in one rule are not tried one by one.
const MOST_PLACES: u32 = 200;

type Places<'p> = Vec<(u32, BTreeSet<&'p str>)>;

pub(super) fn check(policy: &Policy, diags: &mut Diagnostics) {
    let mut told = Told::default();
    let base = Setting::of(policy, None);
    for (risk, rule) in &policy.risk {
        base.judge(risk, rule, &mut told, diags);
    }
    for (name, own) in &policy.environments {
        let setting = Setting::of(policy, Some((name, own)));
        let inherited = policy
            .risk
            .iter()
            .filter(|(risk, _)| own.risk.iter().all(|(known, _)| known.value != risk.value));
        let inherited = inherited.filter(|_| setting.switches() != base.switches());
        for (risk, rule) in own.risk.iter().chain(inherited) {
            setting.judge(risk, rule, &mut told, diags);
        }
    }
}

/// What was said of a rule (by its place) or a person is not said again of another environment.
#[derive(Default)]
struct Told(HashSet<(Code, Span)>);

impl Told {
    fn push(&mut self, finding: Diagnostic, at: Span, diags: &mut Diagnostics) {
        if self.0.insert((finding.code, at)) {
            diags.push(finding);
        }
    }
}

/// What holds in an environment, or for all.
struct Setting<'p> {
    policy: &'p Policy,
    /// ` in NAME`, for messages.
    place: String,
    self_approval: bool,
    exclude_author: bool,
    require_signatures: bool,
}

impl<'p> Setting<'p> {
    fn of(policy: &'p Policy, own: Option<(&String, &'p PolicyEnvironment)>) -> Self {
        let switch = |of_own: Option<&Spanned<bool>>, of_all: &Option<Spanned<bool>>| {
            of_own.or(of_all.as_ref()).is_some_and(|s| s.value)
        };
        let of_own = own.map(|(_, own)| own);
        Self {
            policy,
            place: own.map_or_else(String::new, |(name, _)| format!(" in `{name}`")),
            self_approval: switch(
                of_own.and_then(|own| own.self_approval.as_ref()),
                &policy.self_approval,
            ),
            exclude_author: switch(
                of_own.and_then(|own| own.exclude_author.as_ref()),
                &policy.exclude_author,
            ),
            require_signatures: switch(
                of_own.and_then(|own| own.require_signatures.as_ref()),
                &policy.require_signatures,
            ),
        }
    }

    fn switches(&self) -> [bool; 3] {
        [
            self.self_approval,
            self.exclude_author,
            self.require_signatures,
        ]
    }

    /// The people of each entry of a rule; `None` when a role is unknown, which is said elsewhere.
    fn places(&self, rule: &RiskRule) -> Option<Places<'p>> {
        let places = rule.quorum.iter().map(|quorum| {
            let role = self.policy.roles.get(&quorum.value.role)?;
            let members = role.members.iter().map(|member| member.value.as_str());
            let known = members.filter(|name| self.policy.people.contains_key(*name));
            Some((quorum.value.count, known.collect()))
        });
        places.collect()
    }

    fn judge(
        &self,
        risk: &Spanned<Risk>,
        rule: &RiskRule,
        told: &mut Told,
        diags: &mut Diagnostics,
    ) {
        let Some(mut places) = self.places(rule) else {
            return;
        };
        if !can_fill(&places) {
            let finding = self.unfillable(risk, rule, &places);
            return told.push(finding, rule.span, diags);
        }
        if self.require_signatures {
            let without = self.drop_keyless(&mut places);
            let unmet = !can_fill(&places);
            for name in without {
                if let Some((finding, at)) = self.keyless(name, risk, unmet) {
                    told.push(finding, at, diags);
                }
            }
            if unmet {
                return;
            }
        }
        if let Some(finding) = self.hangs_on_few(risk, rule, &places) {
            told.push(finding, rule.span, diags);
        }
    }

    /// Takes out who could not sign; says who that is.
    fn drop_keyless(&self, places: &mut Places<'p>) -> BTreeSet<&'p str> {
        let people = &self.policy.people;
        let keyless = |name: &&str| people.get(*name).is_some_and(|p| p.ssh_keys.is_empty());
        let all = voters(places);
        let without: BTreeSet<&str> = all.into_iter().filter(keyless).collect();
        for (_, members) in places.iter_mut() {
            members.retain(|name| !without.contains(name));
        }
        without
    }

    fn keyless(&self, name: &str, risk: &Spanned<Risk>, unmet: bool) -> Option<(Diagnostic, Span)> {
        let person = self.policy.people.get(name)?;
        let message = format!(
            "`{name}` has no key, but only signed votes count{}",
            self.place
        );
        let mut finding = Diagnostic::warning(codes::NO_KEY, message).at(
            &self.policy.source,
            person.span,
            "no `ssh_keys`",
        );
        if unmet {
            finding.severity = Severity::Error;
            finding = finding.at(
                &self.policy.source,
                risk.span,
                "without this vote it could never be approved",
            );
        }
        let finding = finding.help(
            "add the line of the person's `.pub` file to `ssh_keys`; a pair is made with: ssh-keygen -t ed25519",
        );
        Some((finding, person.span))
    }

    fn unfillable(&self, risk: &Spanned<Risk>, rule: &RiskRule, places: &Places<'p>) -> Diagnostic {
        let word = risk.value.as_str();
        let short = rule
            .quorum
            .iter()
            .zip(places)
            .find(|(_, (count, people))| (*count as usize) > people.len());
        let finding = match short {
            Some((quorum, (count, people))) => {
                let role = &quorum.value.role;
                let finding = Diagnostic::error(
                    codes::UNMET_QUORUM,
                    format!(
                        "`{word}` needs {count} of `{role}`, but {} that role",
                        match people.len() {
                            0 => "nobody has".to_owned(),
                            1 => "only one person has".to_owned(),
                            n => format!("only {n} people have"),
                        }
                    ),
                )
                .at(
                    &self.policy.source,
                    quorum.span,
                    "this could never be approved",
                );
                match self.policy.roles.get(role) {
                    Some(role) => finding.at(&self.policy.source, role.span, "the role"),
                    None => finding,
                }
            }
            None => Diagnostic::error(
                codes::UNMET_QUORUM,
                format!(
                    "`{word}` needs more people than there are: each fills one place, and all who \
                     may are {}",
                    list(&voters(places))
                ),
            )
            .at(
                &self.policy.source,
                rule.span,
                "this could never be approved",
            ),
        };
        finding.help("ask for fewer people, or give more people the role")
    }

    /// Those who may not vote in a run: whoever started it, whoever changed the runbook last.
    fn excluded(&self) -> usize {
        usize::from(!self.self_approval) + usize::from(self.exclude_author)
    }

    fn hangs_on_few(
        &self,
        risk: &Spanned<Risk>,
        rule: &RiskRule,
        places: &Places<'p>,
    ) -> Option<Diagnostic> {
        let (word, place) = (risk.value.as_str(), &self.place);
        let source = &self.policy.source;
        let wanted: u32 = places
            .iter()
            .fold(0, |sum, (count, _)| sum.saturating_add(*count));
        let enough = wanted as usize + self.excluded();
        let safe = places.iter().all(|(_, people)| people.len() >= enough);
        if self.excluded() == 0 || safe || wanted > MOST_PLACES {
            return None;
        }
        let all = voters(places);
        if all.len() == 1 && !self.self_approval {
            let only = list(&all);
            return Some(
                Diagnostic::error(
                    codes::ONLY_THE_STARTER,
                    format!("only {only} may approve `{word}`{place}, but never in a run of their own"),
                )
                .at(source, rule.span, format!("nobody could open the gates of {only}"))
                .help("give somebody else the role as well; if one person is to decide alone, write `self_approval: true`"),
            );
        }
        let needed: BTreeSet<&str> = all
            .iter()
            .copied()
            .filter(|name| !can_fill(&without(places, &[name])))
            .collect();
        let why = match (self.self_approval, self.exclude_author) {
            (false, false) => "started the run",
            (true, _) => "changed the runbook last",
            (false, true) => "started the run or changed the runbook last",
        };
        if !needed.is_empty() {
            let names = list(&needed);
            return Some(
                Diagnostic::warning(
                    codes::NEEDS_SOMEBODY,
                    format!("`{word}` cannot be approved{place} without {names}"),
                )
                .at(
                    source,
                    rule.span,
                    format!("nobody can open its gates when one of them {why}").replace(
                        "one of them",
                        if needed.len() == 1 {
                            &names
                        } else {
                            "one of them"
                        },
                    ),
                )
                .help("give more people the role, or ask for fewer of them"),
            );
        }
        if self.excluded() < 2 {
            return None;
        }
        let pairs = all
            .iter()
            .enumerate()
            .flat_map(|(at, one)| all.iter().skip(at + 1).map(move |other| [*one, *other]));
        let [one, other] = pairs
            .into_iter()
            .find(|pair| !can_fill(&without(places, pair)))?;
        Some(
            Diagnostic::warning(
                codes::NEEDS_SOMEBODY,
                format!("`{word}` cannot be approved{place} without one of `{one}` and `{other}`"),
            )
            .at(
                source,
                rule.span,
                "nobody can open its gates when one of them started the run and the other changed the runbook last",
            )
            .help("give more people the role, or ask for fewer of them"),
        )
    }
}

fn voters<'p>(places: &Places<'p>) -> BTreeSet<&'p str> {
    let people = places.iter().flat_map(|(_, people)| people.iter());
    people.copied().collect()
}

fn without<'p>(places: &Places<'p>, gone: &[&str]) -> Places<'p> {
    let mut left = places.clone();
    for (_, people) in &mut left {
        people.retain(|name| !gone.contains(name));
    }
    left
}

/// `a`, `b` and `c`.
fn list(names: &BTreeSet<&str>) -> String {
    let mut quoted: Vec<String> = names
        .iter()
        .take(6)
        .map(|name| format!("`{name}`"))
        .collect();
    if names.len() > quoted.len() {
        quoted.push(format!("{} more", names.len() - quoted.len()));
    }
    match quoted.split_last() {
        Some((last, [])) => last.clone(),
        Some((last, rest)) => format!("{} and {last}", rest.join(", ")),
        None => "nobody".to_owned(),
    }
}
