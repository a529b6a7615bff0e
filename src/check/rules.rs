//! The rules that look at the whole graph, in their order, and what they share.

use std::collections::HashMap;
use std::sync::Arc;

use super::checker::{Checker, StepAt};
use super::uses::{Use, uses};
use super::{
    absent, finally, no_return, objective, redundant, repeat, shadow, timing, undo, unreachable,
};
use crate::base::{Dag, Diagnostics, Severity, Span, Spanned};
use crate::model::{ActionCatalog, Effect, Environment, Risk, Runbook, Step, has_nothing_to_undo};

/// What the rules look at.
pub(super) struct Whole<'a> {
    pub(super) runbook: &'a Runbook,
    pub(super) environment: Option<&'a Environment>,
    pub(super) catalog: &'a ActionCatalog,
    /// The graph of `steps`.
    pub(super) dag: &'a Dag,
    /// The uses of outputs of other steps.
    pub(super) uses: Vec<Use>,
    /// What the conditions give that always give the same, by their places.
    pub(super) constants: &'a HashMap<Span, bool>,
}

/// Whether this file has an error, the decoder's included.
pub(super) fn broken(runbook: &Runbook, diags: &Diagnostics) -> bool {
    diags.iter().any(|finding| {
        finding.severity == Severity::Error
            && finding
                .labels
                .iter()
                .any(|label| Arc::ptr_eq(&label.source, &runbook.source))
    })
}

/// Checks what needs the graph of the steps and the values that they use. Advice on a file that has
/// errors would only hide them.
pub(super) fn check(checker: &mut Checker<'_>, dag: &Dag, diags: &mut Diagnostics) {
    if broken(checker.runbook, diags) {
        return;
    }
    let uses = uses(checker.runbook, &checker.ids, &mut checker.texts);
    let whole = Whole {
        runbook: checker.runbook,
        environment: checker.environment,
        catalog: checker.catalog,
        dag,
        uses,
        constants: &checker.constants,
    };
    for rule in [
        absent::check,
        unreachable::check,
        undo::check,
        no_return::check,
        redundant::check,
        repeat::check,
        timing::check,
        finally::check,
        shadow::check,
        objective::check,
    ] {
        rule(&whole, diags);
    }
}

/// What repeating a step would do, as its action declares it or as it says itself; `None` for an
/// action that is not known.
pub(super) fn effect_of(step: &Step, catalog: &ActionCatalog) -> Option<Effect> {
    let manifest = catalog.get(&step.action.uses.value)?;
    Some(match &step.effect {
        Some(own) => own.value.effect,
        None => manifest.effect,
    })
}

impl<'a> Whole<'a> {
    pub(super) fn step(&self, at: StepAt) -> &'a Step {
        &at.part.steps(self.runbook)[at.index]
    }

    /// What repeating the step would do; nothing for an action that is not known, such as a
    /// sub-runbook, whose own file is checked for itself.
    pub(super) fn effect(&self, step: &Step) -> Option<Effect> {
        effect_of(step, self.catalog)
    }

    /// Whether the step leaves something behind that a rollback would have to undo.
    pub(super) fn changes(&self, step: &Step) -> bool {
        !has_nothing_to_undo(&step.action.uses.value)
            && self
                .effect(step)
                .is_some_and(|effect| effect != Effect::Read)
    }

    /// Whether more than a developer's own call is at stake.
    pub(super) fn is_delicate(&self) -> bool {
        self.runbook.risk.value > Risk::Low || self.environment.is_some_and(|e| e.protected)
    }

    /// What a condition always gives, if it always gives the same.
    pub(super) fn always(&self, condition: Option<&Spanned<String>>) -> Option<bool> {
        self.constants.get(&condition?.span).copied()
    }
}
