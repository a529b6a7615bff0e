//! Steps of a plan, those of the runbooks inside too.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::rc::Rc;
use std::time::Duration;

use indexmap::IndexMap;
use serde_json::json;

use super::for_each::Loop;
use super::gates;
use super::inputs::Resolver;
use super::types::{Expr, PlanAction, PlanRetry, PlanRollback, PlanStep, PlanUnless};
use crate::base::{Diagnostics, HumanDuration, StepId};
use crate::check::{CheckedRunbook, MAX_PLANNED_STEPS, VARIABLES, too_many_steps};
use crate::language::Scope;
use crate::model::{
    Action, ActionCatalog, ActionManifest, Effect, Environment, OnFailure, Retry, Risk, Rollback,
    SecretSource, Step, StepOnFailure, Ty, Unless, YamlValue, YamlValueKind,
};

/// Pause between two polls when `every` is not written.
const EVERY: Duration = Duration::from_secs(1);

/// Makes steps, of one runbook after the other.
pub(super) struct Builder<'a> {
    catalog: &'a ActionCatalog,
    /// The runbook at hand, and what is known while its steps are made.
    pub(super) resolver: Resolver<'a>,
    lines: HashMap<&'a str, Rc<Lines>>,
    pub(super) built: Built,
    /// The risk of the plan.
    risk: Risk,
    /// How many steps there are so far, known instances of loops counted.
    planned: u64,
    /// How often the step at hand is there: the product of the known loops around it.
    pub(super) times: u64,
}

/// What the steps of a plan have in common.
#[derive(Default)]
pub(super) struct Built {
    /// Types of the outputs of the actions met so far.
    pub(super) action_outputs: BTreeMap<String, Ty>,
    /// Secrets that runbooks inside name themselves.
    pub(super) secrets: BTreeMap<String, SecretSource>,
    /// Secrets of the environment that are used.
    pub(super) used_secrets: BTreeSet<String>,
}

impl<'a> Builder<'a> {
    pub(super) fn new(
        checked: &'a CheckedRunbook,
        environment: &'a Environment,
        catalog: &'a ActionCatalog,
        scope: Scope,
        hidden: BTreeSet<String>,
        risk: Risk,
        diags: &'a mut Diagnostics,
    ) -> Self {
        let mut builder = Self {
            catalog,
            resolver: Resolver {
                checked,
                environment,
                scope,
                hidden,
                in_instance: false,
                diags,
            },
            lines: HashMap::new(),
            built: Built::default(),
            risk,
            planned: 0,
            times: 1,
        };
        builder.enter();
        builder
    }

    /// Notes what the runbook at hand adds to the whole.
    pub(super) fn enter(&mut self) {
        let checked = self.resolver.checked;
        let runbook = checked.runbook();
        let used = checked.used_secrets().iter().cloned();
        self.built.used_secrets.extend(used);
        self.lines
            .entry(runbook.name.value.as_str())
            .or_insert_with(|| Rc::new(Lines::new(&runbook.source.text)));
    }

    pub(super) fn done(self) -> Built {
        self.built
    }

    pub(super) fn steps(&mut self) -> Vec<PlanStep> {
        let checked = self.resolver.checked;
        self.list(&checked.runbook().steps, checked.needs())
    }

    pub(super) fn verify(&mut self) -> Vec<PlanStep> {
        let checked = self.resolver.checked;
        self.list(&checked.runbook().verify, checked.verify_needs())
    }

    fn list(&mut self, steps: &'a [Step], needs: &[Vec<usize>]) -> Vec<PlanStep> {
        let mut planned = Vec::with_capacity(steps.len());
        for (step, needs) in steps.iter().zip(needs) {
            let needs = needs.iter().map(|n| steps[*n].id.value.clone()).collect();
            planned.extend(self.step(step, needs));
        }
        gates::note_reads(&mut planned);
        planned
    }

    pub(super) fn finally(&mut self) -> Vec<PlanStep> {
        let steps = &self.resolver.checked.runbook().finally;
        let mut planned = Vec::with_capacity(steps.len());
        for (at, step) in steps.iter().enumerate() {
            let above = at.checked_sub(1).map(|above| steps[above].id.value.clone());
            planned.extend(self.step(step, above.into_iter().collect()));
        }
        planned
    }

    /// `None` when the plan has become too large, which is said once, or nothing more can be said.
    fn step(&mut self, step: &'a Step, needs: Vec<StepId>) -> Option<PlanStep> {
        if self.planned > MAX_PLANNED_STEPS || self.resolver.diags.is_full() {
            return None;
        }
        let times = self.times;
        let known_items = self.for_each(step);
        if let Some(items) = &known_items.items {
            self.times = times.saturating_mul(items.len().max(1) as u64);
        }
        let planned = self
            .count(step)
            .then(|| self.counted_step(step, needs, known_items));
        self.times = times;
        planned
    }

    fn count(&mut self, step: &Step) -> bool {
        let before = self.planned;
        self.planned = before.saturating_add(self.times);
        if self.planned <= MAX_PLANNED_STEPS {
            return true;
        }
        if before <= MAX_PLANNED_STEPS {
            let span = match &step.for_each {
                Some(for_each) => for_each.items.span,
                None => step.id.span,
            };
            let source = &self.resolver.checked.runbook().source;
            let finding = too_many_steps().at(source, span, "here it becomes too many");
            self.resolver.diags.push(finding);
        }
        false
    }

    fn counted_step(&mut self, step: &'a Step, needs: Vec<StepId>, for_each: Loop) -> PlanStep {
        let runbook = self.resolver.checked.runbook();
        let with = with_variables(&step.action, step);
        let mut action = self.action(&step.action, &with, step.template, &for_each);
        if let Some(effect) = &step.effect {
            action.effect = effect.value.effect;
        }
        let called = step.action.runbook();
        let called = called.and_then(|name| self.resolver.checked.called(name));
        let block = called.map(|called| Box::new(self.block(called, &mut action)));
        let timeout = step.timeout.as_ref().map(|d| d.value).or_else(|| {
            let own = called.and_then(|called| called.runbook().timeout.as_ref());
            own.map(|d| d.value)
        });
        let on_failure = match (&step.on_failure, runbook.on_failure.value) {
            (Some(own), _) => own.value,
            (None, OnFailure::Rollback) => StepOnFailure::Rollback,
            (None, OnFailure::Stop) => StepOnFailure::Stop,
        };
        PlanStep {
            gate: gates::of_step(step, self.risk),
            id: step.id.value.clone(),
            name: step.name.as_ref().map(|n| n.value.clone()),
            line: self.line(step.span.start),
            action,
            needs,
            block,
            unless: step
                .unless
                .as_ref()
                .map(|u| self.unless(&u.value, step, &for_each)),
            idempotency_key: step.idempotency_key.as_ref().map(|key| {
                let text = json!({ "type": "string" });
                self.resolver.typed(key, &text)
            }),
            when: step.when.as_ref().map(|c| c.value.clone()),
            until: step.until.as_ref().map(|c| c.value.clone()),
            every: HumanDuration(step.every.as_ref().map_or(EVERY, |d| d.value)),
            retry: step.retry.as_ref().map(|r| plan_retry(&r.value)),
            timeout: timeout.map(HumanDuration),
            on_failure,
            verify: step.verify.as_ref().map(|c| c.value.clone()),
            rollback: step
                .rollback
                .as_ref()
                .map(|r| self.rollback(&r.value, step, &for_each)),
            for_each: for_each.plan,
            outputs: self.outputs_of(&step.outputs),
        }
    }

    fn line(&self, offset: usize) -> u32 {
        let name = self.resolver.checked.runbook().name.value.as_str();
        self.lines.get(name).map_or(1, |lines| lines.line(offset))
    }

    /// What an action of a handler or a runbook declares.
    pub(super) fn manifest(&self, action: &Action) -> Option<&'a ActionManifest> {
        match action.runbook() {
            Some(name) => {
                let called = self.resolver.checked.called(name)?;
                Some(&called.interface().manifest)
            }
            None => self.catalog.get(&action.uses.value),
        }
    }

    /// An action of a step; it is checked for each known instance.
    fn action(
        &mut self,
        action: &'a Action,
        with: &With<'a>,
        templates: bool,
        for_each: &Loop,
    ) -> PlanAction {
        let errors = self.resolver.diags.error_count();
        let planned = self.planned_action(action, with, templates);
        if self.resolver.diags.error_count() == errors {
            self.check_instances(action, with, templates, for_each);
        }
        planned
    }

    fn planned_action(
        &mut self,
        action: &'a Action,
        with: &With<'a>,
        templates: bool,
    ) -> PlanAction {
        let name = action.uses.value.as_str();
        let Some(manifest) = self.manifest(action) else {
            // `check` refused it; without a manifest it must count as the worst.
            return PlanAction {
                uses: name.to_owned(),
                with: self.resolver.free(with.inputs),
                effect: Effect::Once,
            };
        };
        if !self.built.action_outputs.contains_key(name) {
            let called = action.runbook();
            let called = called.and_then(|name| self.resolver.checked.called(name));
            let ty = match called {
                Some(called) => called.interface().outputs.as_ref().clone(),
                None => Ty::from_schema(&manifest.output),
            };
            self.built.action_outputs.insert(name.to_owned(), ty);
        }
        // What `check` has seen in full need not be checked again, nor copied.
        let as_checked = action.runbook().is_none()
            && with.variables.is_none()
            && self
                .resolver
                .checked
                .is_checked_for(self.resolver.environment)
            && !(templates && self.resolver.renders(with.inputs));
        let with = if as_checked {
            self.resolver
                .expression(with.inputs, &manifest.input, templates)
        } else {
            let known = self.known_inputs(action, manifest, with, templates);
            self.resolver.expression(&known, &manifest.input, true)
        };
        PlanAction {
            uses: name.to_owned(),
            with,
            effect: manifest.effect,
        }
    }

    /// The inputs with everything rendered that can be, held against what the action declares.
    pub(super) fn known_inputs(
        &mut self,
        action: &Action,
        manifest: &ActionManifest,
        with: &With<'a>,
        templates: bool,
    ) -> YamlValue {
        let mut known = self.resolver.known(with.inputs, &manifest.input, templates);
        if let Some(variables) = &with.variables {
            // `template: false` is about the inputs that are written as such.
            let variables = self.resolver.known(variables, &manifest.input, true);
            merge(&mut known, variables);
        }
        self.resolver.check_inputs(action, manifest, &known);
        if let Some(called) = action.runbook()
            && let Some(called) = self.resolver.checked.called(called)
        {
            self.check_params(called, &known);
        }
        known
    }

    fn unless(&mut self, unless: &'a Unless, step: &'a Step, for_each: &Loop) -> PlanUnless {
        match unless {
            Unless::Condition(condition) => PlanUnless {
                probe: None,
                condition: condition.value.clone(),
            },
            Unless::Probe { action, condition } => PlanUnless {
                probe: Some(self.action(action, &With::of(action), step.template, for_each)),
                condition: condition.value.clone(),
            },
        }
    }

    fn rollback(
        &mut self,
        rollback: &'a Rollback,
        step: &'a Step,
        for_each: &Loop,
    ) -> PlanRollback {
        match rollback {
            Rollback::Undo {
                action,
                retry,
                timeout,
            } => PlanRollback::Undo {
                action: self.action(action, &With::of(action), step.template, for_each),
                retry: retry.as_ref().map(plan_retry),
                timeout: timeout.map(HumanDuration),
            },
            Rollback::Irreversible { reason } => PlanRollback::Irreversible {
                reason: reason.clone(),
            },
        }
    }

    pub(super) fn outputs_of(
        &mut self,
        outputs: &IndexMap<String, YamlValue>,
    ) -> BTreeMap<String, Expr> {
        outputs
            .iter()
            .map(|(name, value)| (name.clone(), self.resolver.free(value)))
            .collect()
    }
}

/// The inputs of an action as they are written.
pub(super) struct With<'a> {
    inputs: &'a YamlValue,
    /// `{ environment: ... }` of the step, in the form of inputs.
    variables: Option<YamlValue>,
}

impl<'a> With<'a> {
    fn of(action: &'a Action) -> Self {
        Self {
            inputs: &action.with,
            variables: None,
        }
    }

    /// Every value that is written.
    pub(super) fn parts(&self) -> impl Iterator<Item = &YamlValue> {
        std::iter::once(self.inputs).chain(&self.variables)
    }
}

fn with_variables<'a>(action: &'a Action, step: &'a Step) -> With<'a> {
    let mut with = With::of(action);
    if let Some(first) = step.environment.values().next() {
        let span = first.span;
        let variables = step.environment.iter();
        let variables = YamlValue {
            kind: YamlValueKind::Map(
                variables
                    .map(|(name, value)| (name.clone(), (value.span, value.clone())))
                    .collect(),
            ),
            span,
        };
        let map = IndexMap::from([(VARIABLES.to_owned(), (span, variables))]);
        with.variables = Some(YamlValue {
            kind: YamlValueKind::Map(map),
            span,
        });
    }
    with
}

/// Adds the keys of one map to another, maps inside too. `check` refused a key that is in both.
fn merge(into: &mut YamlValue, from: YamlValue) {
    let (YamlValueKind::Map(into), YamlValueKind::Map(from)) = (&mut into.kind, from.kind) else {
        return;
    };
    for (key, (span, value)) in from {
        match into.get_mut(&key) {
            Some((_, inside)) => merge(inside, value),
            None => {
                into.insert(key, (span, value));
            }
        }
    }
}

fn plan_retry(retry: &Retry) -> PlanRetry {
    PlanRetry {
        attempts: retry.attempts,
        delay: HumanDuration(retry.delay),
        backoff: retry.backoff,
        max_delay: HumanDuration(retry.max_delay),
        jitter: retry.jitter,
        on: retry.on.clone(),
    }
}

/// Line numbers by binary search: counting from the top for each step would be quadratic.
struct Lines(Vec<usize>);

impl Lines {
    fn new(text: &str) -> Self {
        Self(text.match_indices('\n').map(|(at, _)| at).collect())
    }

    fn line(&self, offset: usize) -> u32 {
        let before = self.0.partition_point(|newline| *newline < offset);
        u32::try_from(before + 1).unwrap_or(u32::MAX)
    }
}
