//! What every drawing shows: nodes with their words, and the edges between them.

use crate::base::Dag;
use crate::plan::{Plan, PlanRollback, PlanStep, graph};
use crate::report::plan_text::is_gate;

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
    pub(super) id: String,
    pub(super) name: Option<String>,
    pub(super) uses: String,
    pub(super) gate: bool,
    pub(super) undo: Undo,
}

impl Node {
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

/// The steps or the `finally` steps of a plan.
#[derive(Debug, Clone)]
pub(super) struct Section {
    pub(super) nodes: Vec<Node>,
    pub(super) dag: Dag,
}

impl Section {
    /// The plan's steps.
    pub(super) fn steps(plan: &Plan) -> Self {
        Self::of(&plan.steps)
    }

    /// The plan's `finally` steps.
    pub(super) fn finally(plan: &Plan) -> Self {
        Self::of(&plan.finally)
    }

    fn of(steps: &[PlanStep]) -> Self {
        Self {
            nodes: steps.iter().map(node).collect(),
            dag: graph(steps),
        }
    }

    /// Every edge as `(need, step)`.
    pub(super) fn edges(&self) -> impl Iterator<Item = (usize, usize)> + '_ {
        (0..self.dag.len())
            .flat_map(|step| self.dag.needs(step).iter().map(move |need| (*need, step)))
    }
}

fn node(step: &PlanStep) -> Node {
    Node {
        id: step.id.as_str().to_owned(),
        name: step.name.clone(),
        uses: step.action.uses.clone(),
        gate: is_gate(step),
        undo: match &step.rollback {
            None => Undo::None,
            Some(PlanRollback::Undo { action, .. }) => Undo::By(action.uses.clone()),
            Some(PlanRollback::Irreversible { .. }) => Undo::Irreversible,
        },
    }
}
