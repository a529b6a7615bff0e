//! The order of the rules, and what they share.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use super::reference::{Place, StepReference, User};
use super::texts::Texts;
use super::{action, approval, graph, param, polling, rules};
use crate::base::{Diagnostics, SourceFile, Span};
use crate::model::{ActionCatalog, Environment, Rollback, Runbook, Step, Ty};

/// A runbook that kept every rule: the only thing a plan can be made of.
#[derive(Debug)]
pub struct CheckedRunbook {
    runbook: Runbook,
    texts: Texts,
    needs: Vec<Vec<usize>>,
    written_as_text: HashSet<Span>,
}

impl CheckedRunbook {
    /// The runbook.
    pub fn runbook(&self) -> &Runbook {
        &self.runbook
    }

    /// What each of `steps` needs, as positions in `steps`, in the order written.
    pub fn needs(&self) -> &[Vec<usize>] {
        &self.needs
    }

    pub(crate) fn texts(&self) -> &Texts {
        &self.texts
    }

    /// Whether a lone reference gives a number or boolean to an input that wants text.
    pub(crate) fn is_written_as_text(&self, span: Span) -> bool {
        self.written_as_text.contains(&span)
    }
}

/// Checks a runbook. Without an environment, names of services and variables are not looked at.
///
/// `None` when any finding in this file is an error, the decoder's included; warnings alone do not
/// stop a run.
pub fn check(
    runbook: Runbook,
    environment: Option<&Environment>,
    catalog: &ActionCatalog,
    diags: &mut Diagnostics,
) -> Option<CheckedRunbook> {
    let mut checker = Checker {
        runbook: &runbook,
        environment,
        catalog,
        texts: Texts::default(),
        outputs: HashMap::new(),
        ids: HashMap::new(),
        used_params: HashSet::new(),
        step_references: Vec::new(),
        written_as_text: HashSet::new(),
        constants: HashMap::new(),
    };
    checker.collect_ids();
    param::check_declarations(&runbook, environment, diags);
    for (finally, list) in [(false, &runbook.steps), (true, &runbook.finally)] {
        for (index, step) in list.iter().enumerate() {
            if diags.is_full() {
                break;
            }
            checker.check_step(step, StepAt { finally, index }, diags);
        }
    }
    checker.check_runbook_outputs(diags);
    param::check_unused(&runbook, &checker.used_params, diags);
    let needs = graph::check_needs(&runbook, diags);
    if let Some(dag) = &needs {
        graph::check_order(&runbook, dag, &checker.step_references, diags);
        graph::check_gates(&runbook, dag, diags);
        rules::check(&mut checker, dag, diags);
    }
    let (texts, written_as_text) = (checker.texts, checker.written_as_text);
    if rules::broken(&runbook, diags) {
        return None;
    }
    let dag = needs.unwrap_or_default();
    let needs = (0..dag.len()).map(|n| dag.needs(n).to_vec()).collect();
    Some(CheckedRunbook {
        runbook,
        texts,
        needs,
        written_as_text,
    })
}

/// Which step: a position in `steps` or in `finally`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct StepAt {
    pub(super) finally: bool,
    pub(super) index: usize,
}

/// What the rules share while one runbook is checked.
pub(super) struct Checker<'a> {
    pub(super) runbook: &'a Runbook,
    pub(super) environment: Option<&'a Environment>,
    pub(super) catalog: &'a ActionCatalog,
    pub(super) texts: Texts,
    pub(super) outputs: HashMap<&'a str, Arc<Ty>>,
    pub(super) ids: HashMap<&'a str, StepAt>,
    pub(super) used_params: HashSet<&'a str>,
    pub(super) step_references: Vec<StepReference>,
    pub(super) written_as_text: HashSet<Span>,
    /// What the conditions give that give the same in every run, by their places.
    pub(super) constants: HashMap<Span, bool>,
}

impl<'a> Checker<'a> {
    pub(super) fn source(&self) -> &'a Arc<SourceFile> {
        &self.runbook.source
    }

    pub(super) fn step(&self, at: StepAt) -> &'a Step {
        if at.finally {
            &self.runbook.finally[at.index]
        } else {
            &self.runbook.steps[at.index]
        }
    }

    /// The type of an action's outputs; anything for an unknown action.
    pub(super) fn action_outputs(&self, action: &str) -> Arc<Ty> {
        self.outputs.get(action).cloned().unwrap_or_default()
    }

    fn collect_ids(&mut self) {
        for (finally, list) in [(false, &self.runbook.steps), (true, &self.runbook.finally)] {
            for (index, step) in list.iter().enumerate() {
                let at = StepAt { finally, index };
                // The decoder reports two steps with one id.
                self.ids.entry(step.id.value.as_str()).or_insert(at);
                let rollback = match step.rollback.as_ref().map(|r| &r.value) {
                    Some(Rollback::Undo { action, .. }) => Some(action),
                    _ => None,
                };
                for action in [Some(&step.action), rollback].into_iter().flatten() {
                    let name = action.uses.value.as_str();
                    if !self.outputs.contains_key(name)
                        && let Some(manifest) = self.catalog.get(name)
                    {
                        let ty = Arc::new(Ty::from_schema(&manifest.output));
                        self.outputs.insert(name, ty);
                    }
                }
            }
        }
    }

    fn check_step(&mut self, step: &'a Step, at: StepAt, diags: &mut Diagnostics) {
        let user = |place| User {
            step: Some(at),
            place,
        };
        let source = self.source();
        action::check_known(&step.action, self.catalog, source, diags);
        polling::check(step, source, diags);
        approval::check(step, source, diags);
        self.check_with(&step.action, step.template, user(Place::Before), diags);
        for (text, place) in [
            (&step.when, Place::Before),
            (&step.until, Place::After),
            (&step.verify, Place::After),
        ] {
            if let Some(text) = text {
                self.check_condition(text, user(place), diags);
            }
        }
        for value in step.outputs.values() {
            self.check_free_value(value, user(Place::After), diags);
        }
        if let Some(rollback) = &step.rollback
            && let Rollback::Undo { action, .. } = &rollback.value
        {
            action::check_known(action, self.catalog, source, diags);
            self.check_with(action, step.template, user(Place::Rollback), diags);
        }
    }

    fn check_runbook_outputs(&mut self, diags: &mut Diagnostics) {
        let user = User {
            step: None,
            place: Place::End,
        };
        let runbook = self.runbook;
        for value in runbook.outputs.values() {
            self.check_free_value(value, user, diags);
        }
    }
}
