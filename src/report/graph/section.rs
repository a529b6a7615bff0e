//! What every drawing shows: nodes with their words, and the edges between them.

use crate::base::{Dag, StepId};
use crate::plan::{Plan, PlanRollback, PlanStep, graph};
use crate::report::plan_text::{expr_text, is_gate};
use crate::report::style::Style;

/// How a node is undone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Undo {
    /// Not at all; nothing was said.
    None,
    /// By this action.
    By(String),
    /// It cannot be undone.
    Irreversible,
}

/// A step as a node.
#[derive(Debug, Clone)]
pub(super) struct Node {
    /// The id as its own runbook writes it.
    pub(super) id: String,
    /// The id in a run, without keys of loops.
    pub(super) full: String,
    /// Of a loop: over what.
    pub(super) each: Option<String>,
    /// The sub-runbook that it calls.
    pub(super) inner: Option<Inner>,
    pub(super) name: Option<String>,
    pub(super) uses: String,
    pub(super) gate: bool,
    /// Whether it is a gate that the policy demands, and the runbook does not have.
    pub(super) demanded: bool,
    pub(super) undo: Undo,
}

/// A sub-runbook: its lists that are not empty, with what they are called.
#[derive(Debug, Clone)]
pub(super) struct Inner {
    pub(super) runbook: String,
    pub(super) sections: Vec<(&'static str, Section)>,
}

impl Node {
    /// The lines of its box: id, title, and what else is to be said.
    pub(super) fn lines(&self) -> Vec<String> {
        let mut lines = vec![self.id.clone(), self.title().to_owned()];
        lines.extend(self.each.clone());
        lines.extend(self.undo_words());
        lines
    }

    /// The name for people, else the action.
    pub(super) fn title(&self) -> &str {
        self.name.as_deref().unwrap_or(&self.uses)
    }

    /// The undo in words, if there is something to say.
    pub(super) fn undo_words(&self) -> Option<String> {
        match &self.undo {
            Undo::None => None,
            Undo::By(uses) => Some(format!("undone by {uses}")),
            Undo::Irreversible => Some("cannot be undone".to_owned()),
        }
    }
}

/// One list of a runbook: its steps, its `verify` or its `finally`.
#[derive(Debug, Clone)]
pub(super) struct Section {
    pub(super) nodes: Vec<Node>,
    pub(super) dag: Dag,
}

/// What the `verify` of a runbook is called in drawings.
pub(super) const VERIFY: &str = "verify, when all steps have ended";
/// What the `finally` of a runbook is called in drawings.
pub(super) const FINALLY: &str = "finally, whatever happened";

impl Section {
    /// The plan's lists that are not empty; its steps always, without a heading.
    pub(super) fn all(plan: &Plan) -> Vec<(&'static str, Self)> {
        let mut all = vec![("", Self::of(&plan.steps, None))];
        all.extend(Self::ends(&plan.verify, &plan.finally, None));
        all
    }

    /// The plan's steps.
    #[cfg(test)]
    pub(super) fn steps(plan: &Plan) -> Self {
        Self::of(&plan.steps, None)
    }

    fn ends(
        verify: &[PlanStep],
        finally: &[PlanStep],
        below: Option<&StepId>,
    ) -> Vec<(&'static str, Self)> {
        [(VERIFY, verify), (FINALLY, finally)]
            .into_iter()
            .filter(|(_, list)| !list.is_empty())
            .map(|(heading, list)| (heading, Self::of(list, below)))
            .collect()
    }

    fn of(steps: &[PlanStep], below: Option<&StepId>) -> Self {
        Self {
            nodes: steps.iter().map(|step| node(step, below)).collect(),
            dag: graph(steps),
        }
    }

    /// Every edge as `(need, step)`.
    pub(super) fn edges(&self) -> impl Iterator<Item = (usize, usize)> + '_ {
        (0..self.dag.len())
            .flat_map(|step| self.dag.needs(step).iter().map(move |need| (*need, step)))
    }
}

fn node(step: &PlanStep, below: Option<&StepId>) -> Node {
    let full = below.map_or_else(|| step.id.clone(), |caller| caller.inside(&step.id));
    let inner = step.block.as_ref().map(|block| {
        let mut sections = vec![("", Section::of(&block.steps, Some(&full)))];
        sections.extend(Section::ends(&block.verify, &block.finally, Some(&full)));
        Inner {
            runbook: block.runbook.clone(),
            sections,
        }
    });
    Node {
        id: step.id.as_str().to_owned(),
        full: full.as_str().to_owned(),
        each: step.for_each.as_ref().map(|each| match each.known_items() {
            Some(items) => format!("for each of {}", items.len()),
            None => format!("for each of {}", expr_text(&each.items, Style::plain(80))),
        }),
        inner,
        name: step.name.clone(),
        uses: step.action.uses.clone(),
        gate: is_gate(step),
        demanded: step.gate.as_ref().is_some_and(|gate| gate.demanded),
        undo: match &step.rollback {
            None => Undo::None,
            Some(PlanRollback::Undo { action, .. }) => Undo::By(action.uses.clone()),
            Some(PlanRollback::Irreversible { .. }) => Undo::Irreversible,
        },
    }
}
