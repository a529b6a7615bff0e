//! Rules: what a protected environment demands. Somebody is asked before anything is changed, and the
//! policy says who.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;

use super::approval::APPROVAL;
use super::checker::CheckedRunbook;
use super::codes;
use super::rules::effect_of;
use crate::base::{Diagnostic, Diagnostics, Severity, SourceFile, Span};
use crate::model::{
    ActionCatalog, Effect, Environment, Policy, Risk, Rollback, Step, StepOnFailure,
    has_nothing_to_undo,
};

/// Whether gates are demanded in an environment: its own file says so, or the policy, which cannot
/// take protection away.
pub fn is_protected(environment: &Environment, policy: Option<&Policy>) -> bool {
    environment.protected
        || policy
            .and_then(|policy| policy.environments.get(&environment.name.value))
            .and_then(|own| own.protected.as_ref())
            .is_some_and(|protected| protected.value)
}

/// A protected environment without a policy lets nobody approve.
pub fn check_protection(
    environment: &Environment,
    policy: Option<&Policy>,
    diags: &mut Diagnostics,
) {
    if policy.is_some() || !environment.protected {
        return;
    }
    let name = &environment.name;
    diags.push(
        Diagnostic::error(
            codes::NO_POLICY,
            format!(
                "`{}` is protected, but no policy says who may approve",
                name.value
            ),
        )
        .at(&environment.source, name.span, "protected")
        .help("write runbooks/policy.yaml with people, roles and the risk table"),
    );
}

/// Says where a runbook does not ask by itself before it changes something in a protected environment,
/// and for which risk the policy has no rule. Nothing to say of any other environment.
pub fn check_demands(
    checked: &CheckedRunbook,
    environment: &Environment,
    policy: Option<&Policy>,
    catalog: &ActionCatalog,
    diags: &mut Diagnostics,
) {
    if !is_protected(environment, policy) {
        return;
    }
    let demands = Demands::of(checked, catalog);
    if let Some(policy) = policy {
        demands.check_rules(checked, policy, &environment.name.value, diags);
    }
    if let Some(unguarded) = &demands.unguarded {
        diags.push(unguarded.finding(&demands, &environment.name.value));
    }
}

/// The highest risk of a runbook and of those that it runs.
pub(crate) fn plan_risk(checked: &CheckedRunbook) -> Risk {
    let bodies = Bodies::of(checked);
    let risks = bodies.0.iter().map(|body| body.runbook().risk.value);
    risks.max().unwrap_or_default()
}

/// What the policy of a protected environment demands of a runbook.
pub(crate) struct Demands<'c> {
    /// The highest risk of the runbook and of those that it runs.
    pub(crate) risk: Risk,
    /// The risks that the policy must have rules for, each with the gate that asks for it; `None`: the
    /// gate that the plan gets.
    needed: BTreeMap<Risk, Option<Place<'c>>>,
    /// The first step, in file order, that could change something before anybody was asked; the plan
    /// then gets a gate before all of its steps.
    pub(crate) unguarded: Option<Unguarded<'c>>,
    /// Whether a gate of the runbooks has what it takes, wherever it stands.
    has_gate: bool,
}

/// A step in the file of its runbook.
#[derive(Clone, Copy)]
struct Place<'c> {
    checked: &'c CheckedRunbook,
    step: &'c Step,
}

impl<'c> Place<'c> {
    fn source(&self) -> &'c Arc<SourceFile> {
        &self.checked.runbook().source
    }

    /// Whether the step, or a runbook that it runs, leaves something behind.
    fn changes(&self, catalog: &ActionCatalog) -> bool {
        match self.step.action.runbook() {
            None => changes(self.step, catalog),
            Some(name) => {
                let called = self.checked.called(name);
                called.is_none_or(|called| {
                    called.interface().manifest.effect != Effect::Read || undoes(called)
                })
            }
        }
    }

    fn id_span(&self) -> Span {
        self.step.id.span
    }
}

/// A step that nothing holds back, with the steps that call the runbook it stands in: outermost first,
/// itself last.
pub(crate) struct Unguarded<'c> {
    way: Vec<Place<'c>>,
}

impl<'c> Demands<'c> {
    /// Looks at every runbook that takes part once, in time linear in their steps and needs.
    pub(crate) fn of(checked: &'c CheckedRunbook, catalog: &ActionCatalog) -> Self {
        let bodies = Bodies::of(checked);
        let risks = bodies.0.iter().map(|body| body.runbook().risk.value);
        let risk = risks.max().unwrap_or_default();
        let mut needed = BTreeMap::new();
        for &body in &bodies.0 {
            for step in gates(body) {
                let place = Place {
                    checked: body,
                    step,
                };
                needed.entry(gate_risk(step, risk)).or_insert(Some(place));
            }
        }
        let has_gate = needed.keys().next_back().is_some_and(|most| *most >= risk);
        let mut walk = Walk {
            catalog,
            risk,
            clean: HashSet::new(),
            way: Vec::new(),
        };
        let unguarded = walk
            .body(checked)
            .or_else(|| {
                // What cleans up runs only in a run whose changes were approved.
                let mut places = bodies.0.iter().flat_map(|&body| {
                    let steps = body.runbook().finally.iter();
                    steps.map(move |step| Place {
                        checked: body,
                        step,
                    })
                });
                let place = places.find(|place| place.changes(catalog));
                place.filter(|_| !has_gate).map(|place| vec![place])
            })
            .map(|way| Unguarded { way });
        if unguarded.is_some() {
            needed.entry(risk).or_insert(None);
        }
        Self {
            risk,
            needed,
            unguarded,
            has_gate,
        }
    }

    /// The risks that the policy must have rules for.
    pub(crate) fn risks(&self) -> impl Iterator<Item = Risk> + '_ {
        self.needed.keys().copied()
    }

    /// Says which of the rules are missing.
    pub(crate) fn check_rules(
        &self,
        checked: &CheckedRunbook,
        policy: &Policy,
        environment: &str,
        diags: &mut Diagnostics,
    ) {
        let own = policy.environments.get(environment);
        let own = own.into_iter().flat_map(|own| &own.risk);
        let known: HashSet<Risk> = own
            .chain(&policy.risk)
            .map(|(risk, _)| risk.value)
            .collect();
        for (&risk, gate) in self.needed.iter().filter(|(risk, _)| !known.contains(risk)) {
            let word = risk.as_str();
            let finding = Diagnostic::error(
                codes::NO_RULE,
                format!("the policy does not say who may approve the risk `{word}`"),
            );
            let finding = match gate {
                Some(gate) => finding.at(
                    gate.source(),
                    gate.id_span(),
                    format!("nobody could open this gate in `{environment}`"),
                ),
                None => finding.at(
                    &checked.runbook().source,
                    checked.runbook().risk.span,
                    format!("a run in `{environment}` needs an approval of this risk"),
                ),
            };
            diags.push(finding.help(format!(
                "add the rule to {}: `risk: {{ {word}: {{ role: ROLE }} }}`",
                policy.source.path
            )));
        }
    }
}

impl Unguarded<'_> {
    /// Its id as a run knows it, loops without the keys of their instances.
    fn path(&self) -> String {
        let ids: Vec<&str> = self.way.iter().map(|p| p.step.id.value.as_str()).collect();
        ids.join("/")
    }

    /// The finding: a warning where the author asks, but too late or not certainly enough.
    fn finding(&self, demands: &Demands<'_>, environment: &str) -> Diagnostic {
        let word = demands.risk.as_str();
        let asks = demands.needed.values().any(Option::is_some);
        let mut finding = Diagnostic::note(
            codes::GATE_AT_ROOT,
            format!(
                "`{}` would change `{environment}` before anybody has certainly approved",
                self.path()
            ),
        );
        if asks {
            finding.severity = Severity::Warning;
        }
        for (at, place) in self.way.iter().enumerate() {
            let is_last = at + 1 == self.way.len();
            let text = match is_last {
                true => "the first step that no gate holds back",
                false => "runs it",
            };
            finding = finding.at(place.source(), place.id_span(), text);
        }
        let what = match demands.has_gate {
            true => format!("no gate for the risk `{word}` is certainly passed before it"),
            false => format!("no gate asks for the risk `{word}`"),
        };
        finding.help(format!(
            "{what}, so every plan for `{environment}` gets a gate before its first steps; to ask \
             later, put a gate before this step: `uses: approval`, without `when`, `unless`, \
             `for_each` or `on_failure: continue`"
        ))
    }
}

/// A runbook and those that it runs, each once, in the order in which they are met.
struct Bodies<'c>(Vec<&'c CheckedRunbook>);

impl<'c> Bodies<'c> {
    fn of(checked: &'c CheckedRunbook) -> Self {
        let mut seen = HashSet::from([checked.runbook().name.value.as_str()]);
        let mut bodies = vec![checked];
        let mut at = 0;
        while let Some(&body) = bodies.get(at) {
            at += 1;
            for action in body.runbook().calls() {
                let Some(called) = action.runbook().and_then(|name| body.called(name)) else {
                    continue;
                };
                if seen.insert(called.runbook().name.value.as_str()) {
                    bodies.push(called);
                }
            }
        }
        Self(bodies)
    }
}

/// The search for the first step that nothing holds back.
struct Walk<'c, 'w> {
    catalog: &'w ActionCatalog,
    risk: Risk,
    /// Runbooks in which there is none, even when nothing holds back their callers.
    clean: HashSet<&'c str>,
    way: Vec<Place<'c>>,
}

impl<'c> Walk<'c, '_> {
    /// The way to the first one in a runbook whose caller nothing holds back.
    fn body(&mut self, checked: &'c CheckedRunbook) -> Option<Vec<Place<'c>>> {
        let runbook = checked.runbook();
        if !self.clean.insert(runbook.name.value.as_str()) {
            return None;
        }
        let held = held(&runbook.steps, checked.needs(), self.risk);
        for (step, _) in runbook.steps.iter().zip(held).filter(|(_, held)| !held) {
            self.way.push(Place { checked, step });
            match step.action.runbook() {
                Some(name) => {
                    // `check` refused a runbook that calls one which is not there.
                    if let Some(called) = checked.called(name)
                        && let Some(way) = self.body(called)
                    {
                        return Some(way);
                    }
                }
                None if changes(step, self.catalog) => return Some(self.way.clone()),
                None => {}
            }
            self.way.pop();
        }
        None
    }
}

/// Which steps start only after a gate was passed. A step waits for all of its needs, so one gate
/// anywhere before it holds it back, and a skipped step in between waits as well before it is skipped.
fn held(steps: &[Step], needs: &[Vec<usize>], risk: Risk) -> Vec<bool> {
    let mut dependents = vec![Vec::new(); steps.len()];
    for (at, needs) in needs.iter().enumerate() {
        for &need in needs {
            dependents[need].push(at);
        }
    }
    let mut held = vec![false; steps.len()];
    let suffices = |at: &usize| suffices(&steps[*at], risk);
    let mut open: Vec<usize> = (0..steps.len()).filter(suffices).collect();
    while let Some(at) = open.pop() {
        for &next in &dependents[at] {
            if !std::mem::replace(&mut held[next], true) {
                open.push(next);
            }
        }
    }
    held
}

/// Whether what comes after a step starts only when people approved who may approve this risk.
fn suffices(step: &Step, risk: Risk) -> bool {
    let goes_on = |step: &Step| {
        let own = step.on_failure.as_ref().map(|own| own.value);
        own == Some(StepOnFailure::Continue)
    };
    step.action.uses.value == APPROVAL
        && gate_risk(step, risk) >= risk
        && step.when.is_none()
        && step.unless.is_none()
        && step.for_each.is_none()
        && !goes_on(step)
}

/// Whether a step leaves something behind; one whose action is unknown counts as the worst. What
/// undoes it runs without asking anybody, so it counts as well.
fn changes(step: &Step, catalog: &ActionCatalog) -> bool {
    has_undo(step)
        || (!has_nothing_to_undo(&step.action.uses.value)
            && effect_of(step, catalog) != Some(Effect::Read))
}

fn has_undo(step: &Step) -> bool {
    let rollback = step.rollback.as_ref().map(|rollback| &rollback.value);
    matches!(rollback, Some(Rollback::Undo { .. }))
}

/// Whether something in a runbook, or in one that it runs, has an undo.
fn undoes(checked: &CheckedRunbook) -> bool {
    let mut steps = checked.runbook().steps.iter();
    steps.any(|step| {
        let called = step.action.runbook().and_then(|name| checked.called(name));
        has_undo(step) || called.is_some_and(undoes)
    })
}

fn gates(checked: &CheckedRunbook) -> impl Iterator<Item = &Step> {
    let steps = checked.runbook().steps.iter();
    steps.filter(|step| step.action.uses.value == APPROVAL)
}

/// Which rule a gate is subject to: its own risk, else that of the plan.
fn gate_risk(step: &Step, plan: Risk) -> Risk {
    let own = step.gate.as_ref().and_then(|gate| gate.risk.as_ref());
    own.map_or(plan, |own| own.value)
}
