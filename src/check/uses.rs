//! Where steps use the outputs of other steps, and whether a missing value would be noticed there.

use std::collections::HashMap;

use super::checker::{Part, StepAt};
use super::texts::{TextAt, Texts};
use crate::base::{Span, Spanned};
use crate::language::Reference;
use crate::model::{Action, Rollback, Runbook, Step, Unless, YamlValue, YamlValueKind};

/// One use of an output.
#[derive(Debug)]
pub(super) struct Use {
    /// Who uses it.
    pub(super) by: StepAt,
    /// Whose output it is; a position in `steps`.
    pub(super) of: usize,
    /// Where.
    pub(super) span: Span,
    /// The reference as text.
    pub(super) text: String,
    /// Whether it stands in a condition, else in a template.
    pub(super) in_condition: bool,
    /// Whether a missing value does no harm there: a `default`, an `if`, a `has(...)`, or a look at the status.
    pub(super) guarded: bool,
}

/// Every use of an output of one of `steps` by another step.
pub(super) fn uses(runbook: &Runbook, ids: &HashMap<&str, StepAt>, texts: &mut Texts) -> Vec<Use> {
    let mut found = Vec::new();
    for part in Part::ALL {
        for (index, step) in part.steps(runbook).iter().enumerate() {
            let mut walk = Walk {
                runbook,
                ids,
                texts,
                by: StepAt { part, index },
                found: &mut found,
            };
            walk.step(step);
        }
    }
    found
}

struct Walk<'a> {
    runbook: &'a Runbook,
    ids: &'a HashMap<&'a str, StepAt>,
    texts: &'a mut Texts,
    by: StepAt,
    found: &'a mut Vec<Use>,
}

impl Walk<'_> {
    fn step(&mut self, step: &Step) {
        for condition in [&step.when, &step.until, &step.verify]
            .into_iter()
            .flatten()
        {
            self.condition(condition);
        }
        match step.unless.as_ref().map(|unless| &unless.value) {
            Some(Unless::Condition(condition)) => self.condition(condition),
            Some(Unless::Probe { action, condition }) => {
                self.action(action, step.template);
                self.condition(condition);
            }
            None => {}
        }
        self.action(&step.action, step.template);
        if let Some(Rollback::Undo { action, .. }) = step.rollback.as_ref().map(|r| &r.value) {
            self.action(action, step.template);
        }
        let loops = step.for_each.as_ref().map(|each| &each.items);
        for value in loops
            .into_iter()
            .chain(&step.idempotency_key)
            .chain(step.environment.values())
            .chain(step.outputs.values())
        {
            self.value(value);
        }
    }

    fn action(&mut self, action: &Action, templates: bool) {
        if templates {
            self.value(&action.with);
        }
    }

    fn value(&mut self, value: &YamlValue) {
        match &value.kind {
            YamlValueKind::Literal(_) => {}
            YamlValueKind::Text {
                text,
                content_offset,
            } => {
                // Nearly all texts end here.
                if text.contains("{{") && text.contains("steps.") {
                    self.template(text, *content_offset, value.span);
                }
            }
            YamlValueKind::List(items) => items.iter().for_each(|item| self.value(item)),
            YamlValueKind::Map(map) => map.values().for_each(|(_, item)| self.value(item)),
        }
    }

    fn template(&mut self, text: &str, content_offset: Option<usize>, span: Span) {
        let Ok(template) = self.texts.template(text) else {
            return;
        };
        let references = template.references();
        let asked: Vec<&str> = references
            .iter()
            .filter(|r| asks(text, r))
            .filter_map(|r| r.path.get(1).map(String::as_str))
            .collect();
        let at = TextAt {
            source: &self.runbook.source,
            text,
            content_offset,
            span,
        };
        for reference in references {
            let guarded = has_default(text, reference)
                || reference
                    .path
                    .get(1)
                    .is_some_and(|id| asked.contains(&id.as_str()));
            self.note(reference, (false, guarded), at);
        }
    }

    fn condition(&mut self, written: &Spanned<String>) {
        let text = written.value.as_str();
        if !text.contains("steps") {
            return;
        }
        let Ok(condition) = self.texts.condition(text) else {
            return;
        };
        let at = TextAt {
            source: &self.runbook.source,
            text,
            content_offset: None,
            span: written.span,
        };
        for reference in condition.references() {
            let guarded = reference.path.get(1).is_some_and(|id| asks_about(text, id));
            self.note(reference, (true, guarded), at);
        }
    }

    fn note(
        &mut self,
        reference: &Reference,
        (in_condition, guarded): (bool, bool),
        at: TextAt<'_>,
    ) {
        let [root, id, field, ..] = reference.path.as_slice() else {
            return;
        };
        if root != "steps" || field != "outputs" {
            return;
        }
        let Some(to) = self.ids.get(id.as_str()) else {
            return;
        };
        if to.part == Part::Steps && *to != self.by {
            self.found.push(Use {
                by: self.by,
                of: to.index,
                span: at.place(Some(&reference.range)),
                text: reference.to_string(),
                in_condition,
                guarded,
            });
        }
    }
}

/// Whether a condition looks at a step's status, or whether it has outputs, before it uses one.
/// `has` of anything deeper fails when there are no outputs at all.
pub(super) fn asks_about(condition: &str, step: &str) -> bool {
    let dense: String = condition.chars().filter(|c| !c.is_whitespace()).collect();
    [
        format!("has(steps.{step}.outputs)"),
        format!("steps.{step}.status"),
    ]
    .iter()
    .any(|sign| dense.contains(sign.as_str()))
}

/// What stands between the start of an expression and a reference in it.
fn lead<'t>(text: &'t str, reference: &Reference) -> &'t str {
    let before = text.get(..reference.range.start).unwrap_or_default();
    let start = before
        .rfind("{{")
        .map(|at| at + 2)
        .max(before.rfind('(').map(|at| at + 1));
    before[start.unwrap_or(0)..].trim()
}

/// Whether it is the first value of `default`.
fn has_default(text: &str, reference: &Reference) -> bool {
    matches!(lead(text, reference), "default" | "~default")
}

/// Whether it is what an `{{#if}}` asks for, where a missing value counts as false.
fn asks(text: &str, reference: &Reference) -> bool {
    matches!(
        lead(text, reference).trim_start_matches('~'),
        "#if" | "#unless" | "#with" | "else if"
    )
}
