//! The order of the rules, and what they share.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::sync::Arc;

use super::for_each::LoopScope;
use super::reference::{Place, StepReference, User};
use super::runbooks::Runbooks;
use super::sub_runbook::{Callees, Interface};
use super::texts::Texts;
use super::{action, approval, graph, param, polling, rules};
use crate::base::{Dag, Diagnostics, SourceFile, Span};
use crate::model::{
    Action, ActionCatalog, ActionManifest, Environment, Rollback, Runbook, Step, Ty, Unless,
};

/// A runbook that kept every rule, with the runbooks that it runs: the only thing a plan can be made
/// of. Cheap to clone.
#[derive(Debug, Clone)]
pub struct CheckedRunbook(Arc<Checked>);

#[derive(Debug)]
struct Checked {
    runbook: Runbook,
    texts: Texts,
    needs: Vec<Vec<usize>>,
    verify_needs: Vec<Vec<usize>>,
    written_as_text: HashSet<Span>,
    item_types: HashMap<Span, Ty>,
    used_secrets: BTreeSet<String>,
    interface: Arc<Interface>,
    called: BTreeMap<String, CheckedRunbook>,
    /// Name of the environment that it was checked for.
    environment: Option<String>,
}

impl CheckedRunbook {
    /// The runbook.
    pub fn runbook(&self) -> &Runbook {
        &self.0.runbook
    }

    /// What each of `steps` needs, as positions in `steps`, in the order written.
    pub fn needs(&self) -> &[Vec<usize>] {
        &self.0.needs
    }

    /// What each of `verify` needs, as positions in `verify`, in the order written.
    pub fn verify_needs(&self) -> &[Vec<usize>] {
        &self.0.verify_needs
    }

    /// A runbook that one of its steps runs.
    pub fn called(&self, name: &str) -> Option<&Self> {
        self.0.called.get(name)
    }

    /// The secrets of the environment that its own expressions use; not those of the runbooks it runs.
    pub fn used_secrets(&self) -> &BTreeSet<String> {
        &self.0.used_secrets
    }

    /// Whether the names of services and connections were held against this environment.
    pub(crate) fn is_checked_for(&self, environment: &Environment) -> bool {
        self.0.environment.as_ref() == Some(&environment.name.value)
    }

    pub(crate) fn texts(&self) -> &Texts {
        &self.0.texts
    }

    pub(crate) fn interface(&self) -> &Interface {
        &self.0.interface
    }

    /// Whether a lone reference gives a number or boolean to an input that wants text.
    pub(crate) fn is_written_as_text(&self, span: Span) -> bool {
        self.0.written_as_text.contains(&span)
    }

    /// The type of the items of the `for_each` at this place, as far as something declares it.
    pub(crate) fn item_ty(&self, span: Span) -> Ty {
        self.0.item_types.get(&span).cloned().unwrap_or_default()
    }
}

/// Checks a runbook that stands alone; one that runs others goes through [`Runbooks::check`].
/// Without an environment, names of services, secrets and variables are not looked at.
///
/// `None` when any finding in this file is an error, the decoder's included; warnings alone do not
/// stop a run.
pub fn check(
    runbook: Runbook,
    environment: Option<&Environment>,
    catalog: &ActionCatalog,
    diags: &mut Diagnostics,
) -> Option<CheckedRunbook> {
    let mut runbooks = Runbooks::default();
    let name = runbook.name.value.clone();
    runbooks.insert(&name, Some(runbook));
    runbooks.check(&name, environment, catalog, diags)
}

/// Checks one runbook against what is known of those that it runs.
pub(super) fn check_one(
    runbook: Runbook,
    callees: &Callees,
    environment: Option<&Environment>,
    catalog: &ActionCatalog,
    diags: &mut Diagnostics,
) -> (Arc<Interface>, Option<CheckedRunbook>) {
    let mut checker = Checker {
        runbook: &runbook,
        environment,
        catalog,
        callees,
        texts: Texts::default(),
        outputs: HashMap::new(),
        ids: HashMap::new(),
        used_params: HashSet::new(),
        used_secrets: BTreeSet::new(),
        step_references: Vec::new(),
        written_as_text: HashSet::new(),
        item_types: HashMap::new(),
        constants: HashMap::new(),
        item: None,
        permits_used: BTreeSet::new(),
        item_checks: 0,
    };
    checker.collect_ids();
    param::check_declarations(&runbook, environment, diags);
    for part in Part::ALL {
        for (index, step) in part.steps(&runbook).iter().enumerate() {
            if diags.is_full() {
                break;
            }
            checker.check_step(step, StepAt { part, index }, diags);
        }
    }
    let outputs = checker.check_runbook_outputs(diags);
    let interface = Arc::new(Interface::of(&runbook, outputs, catalog, callees, diags));
    param::check_unused(&runbook, &checker.used_params, diags);
    graph::check_finally_needs(&runbook, diags);
    let [needs, verify_needs] = [Part::Steps, Part::Verify].map(|part| {
        let dag = graph::check_needs(&runbook, part, diags)?;
        graph::check_order(&runbook, part, &dag, &checker.step_references, diags);
        if part == Part::Steps {
            graph::check_gates(&runbook, &dag, diags);
            rules::check(&mut checker, &dag, diags);
        }
        Some(dag)
    });
    let Checker {
        texts,
        written_as_text,
        item_types,
        used_secrets,
        ..
    } = checker;
    let broken = rules::broken(&runbook, diags);
    let called = callees.checked();
    let (false, Some(called)) = (broken, called) else {
        return (interface, None);
    };
    let listed = |dag: Option<Dag>| -> Vec<Vec<usize>> {
        let dag = dag.unwrap_or_default();
        (0..dag.len()).map(|n| dag.needs(n).to_vec()).collect()
    };
    let checked = CheckedRunbook(Arc::new(Checked {
        needs: listed(needs),
        verify_needs: listed(verify_needs),
        runbook,
        texts,
        written_as_text,
        item_types,
        used_secrets,
        interface: Arc::clone(&interface),
        called,
        environment: environment.map(|environment| environment.name.value.clone()),
    }));
    (interface, Some(checked))
}

/// A list of steps of a runbook.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Part {
    Steps,
    Verify,
    Finally,
}

impl Part {
    pub(super) const ALL: [Self; 3] = [Self::Steps, Self::Verify, Self::Finally];

    pub(super) fn steps(self, runbook: &Runbook) -> &[Step] {
        match self {
            Self::Steps => &runbook.steps,
            Self::Verify => &runbook.verify,
            Self::Finally => &runbook.finally,
        }
    }
}

/// Which step: a list, and a position in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct StepAt {
    pub(super) part: Part,
    pub(super) index: usize,
}

/// What the rules share while one runbook is checked.
pub(super) struct Checker<'a> {
    pub(super) runbook: &'a Runbook,
    pub(super) environment: Option<&'a Environment>,
    pub(super) catalog: &'a ActionCatalog,
    /// The runbooks that it runs.
    pub(super) callees: &'a Callees,
    pub(super) texts: Texts,
    pub(super) outputs: HashMap<&'a str, Arc<Ty>>,
    pub(super) ids: HashMap<&'a str, StepAt>,
    pub(super) used_params: HashSet<&'a str>,
    pub(super) used_secrets: BTreeSet<String>,
    pub(super) step_references: Vec<StepReference>,
    pub(super) written_as_text: HashSet<Span>,
    /// The types of the items of loops, by the places of their lists.
    pub(super) item_types: HashMap<Span, Ty>,
    /// What the conditions give that give the same in every run, by their places.
    pub(super) constants: HashMap<Span, bool>,
    /// The loop of the step at hand, if it is one.
    pub(super) item: Option<LoopScope<'a>>,
    /// The names in `secrets:` of the step at hand that it needs.
    pub(super) permits_used: BTreeSet<String>,
    /// How many written items were checked so far.
    pub(super) item_checks: usize,
}

impl<'a> Checker<'a> {
    pub(super) fn source(&self) -> &'a Arc<SourceFile> {
        &self.runbook.source
    }

    pub(super) fn step(&self, at: StepAt) -> &'a Step {
        &at.part.steps(self.runbook)[at.index]
    }

    /// What an action or a runbook declares; `None` when nothing is known of it.
    pub(super) fn manifest(&self, uses: &str) -> Option<&'a ActionManifest> {
        match uses.strip_prefix(Action::RUNBOOK) {
            Some(name) => self.callees.interface(name).map(|i| &i.manifest),
            None => self.catalog.get(uses),
        }
    }

    /// The type of an action's outputs; anything for an unknown action.
    pub(super) fn action_outputs(&self, action: &str) -> Arc<Ty> {
        self.outputs.get(action).cloned().unwrap_or_default()
    }

    /// The type of what the action of a step gives; a gate gives what its approver fills in as well.
    pub(super) fn step_outputs(&self, step: &Step) -> Arc<Ty> {
        let declared = self.action_outputs(&step.action.uses.value);
        match &step.gate {
            Some(gate) => Arc::new(gate.outputs_ty(&declared)),
            None => declared,
        }
    }

    fn collect_ids(&mut self) {
        for part in Part::ALL {
            for (index, step) in part.steps(self.runbook).iter().enumerate() {
                let at = StepAt { part, index };
                // The decoder reports two steps with one id.
                self.ids.entry(step.id.value.as_str()).or_insert(at);
                let rollback = match step.rollback.as_ref().map(|r| &r.value) {
                    Some(Rollback::Undo { action, .. }) => Some(action),
                    _ => None,
                };
                let probe = match step.unless.as_ref().map(|u| &u.value) {
                    Some(Unless::Probe { action, .. }) => Some(action),
                    _ => None,
                };
                for action in [Some(&step.action), rollback, probe].into_iter().flatten() {
                    self.collect_outputs(action);
                }
            }
        }
    }

    fn collect_outputs(&mut self, action: &'a Action) {
        let name = action.uses.value.as_str();
        if self.outputs.contains_key(name) {
            return;
        }
        let ty = match action.runbook() {
            Some(runbook) => {
                let interface = self.callees.interface(runbook);
                interface.map(|interface| Arc::clone(&interface.outputs))
            }
            None => {
                let manifest = self.catalog.get(name);
                manifest.map(|manifest| Arc::new(Ty::from_schema(&manifest.output)))
            }
        };
        if let Some(ty) = ty {
            self.outputs.insert(name, ty);
        }
    }

    fn check_step(&mut self, step: &'a Step, at: StepAt, diags: &mut Diagnostics) {
        let user = |place| User {
            step: Some(at),
            place,
        };
        let source = self.source();
        if step.action.runbook().is_none() {
            action::check_known(&step.action, self.catalog, source, diags);
        }
        polling::check(step, source, diags);
        approval::check(step, source, diags);
        if at.part == Part::Finally {
            approval::check_place(step, self.callees, source, diags);
        }
        if at.part == Part::Verify {
            self.check_verify_step(step, diags);
        }
        self.enter_loop(step.for_each.as_ref(), at, diags);
        self.check_with(&step.action, step.template, user(Place::Before), diags);
        self.check_variables(step, at, diags);
        self.check_secret_names(step, diags);
        if let Some(key) = &step.idempotency_key {
            let text = serde_json::json!({ "type": "string" });
            self.check_named("idempotency_key", &text, key, user(Place::Before), diags);
        }
        for (text, place) in [
            (&step.when, Place::Before),
            (&step.until, Place::After),
            (&step.verify, Place::After),
        ] {
            if let Some(text) = text {
                self.check_condition(text, user(place), diags);
            }
        }
        self.check_unless(step, at, diags);
        for value in step.outputs.values() {
            self.check_value(value, user(Place::After), diags);
        }
        if let Some(rollback) = &step.rollback
            && let Rollback::Undo { action, .. } = &rollback.value
        {
            action::check_known(action, self.catalog, source, diags);
            self.check_with(action, step.template, user(Place::Rollback), diags);
        }
        self.item = None;
        self.check_permits(step, diags);
    }

    /// The types of the runbook's outputs.
    fn check_runbook_outputs(&mut self, diags: &mut Diagnostics) -> BTreeMap<String, Ty> {
        let user = User {
            step: None,
            place: Place::End,
        };
        let runbook = self.runbook;
        let outputs = runbook.outputs.iter();
        outputs
            .map(|(name, value)| (name.clone(), self.check_value(value, user, diags)))
            .collect()
    }
}
