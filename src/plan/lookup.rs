//! Finding the planned step behind an id of a run, at any depth.

use super::types::{Expr, Plan, PlanBlock, PlanForEach, PlanStep};
use crate::base::{StepId, Value};
use crate::model::Ty;

/// Which list of a runbook a step stands in.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum PlanPart {
    /// `steps`.
    #[default]
    Steps,
    /// `verify`.
    Verify,
    /// `finally`.
    Finally,
}

impl Plan {
    /// The planned step of a full id. Of a loop's instance: the loop's.
    pub fn step(&self, id: &StepId) -> Option<&PlanStep> {
        self.step_in_part(id).map(|(step, _)| step)
    }

    /// The planned step of a full id, and in which list of its own runbook it stands.
    pub fn step_in_part(&self, id: &StepId) -> Option<(&PlanStep, PlanPart)> {
        let mut lists = [&self.steps, &self.verify, &self.finally];
        let mut segments = id.as_str().split('/').peekable();
        while let Some(segment) = segments.next() {
            let written = segment.split('[').next().unwrap_or_default();
            let found = named(lists, written)?;
            if segments.peek().is_none() {
                return Some(found);
            }
            let block = found.0.block.as_deref()?;
            lists = [&block.steps, &block.verify, &block.finally];
        }
        None
    }
}

impl PlanBlock {
    /// Its steps with the list they stand in, in the order in which the lists run.
    pub fn parts(&self) -> impl Iterator<Item = (&PlanStep, PlanPart)> {
        in_parts([&self.steps, &self.verify, &self.finally])
    }
}

impl PlanForEach {
    /// The items, when the plan knows them already.
    pub fn known_items(&self) -> Option<&[Value]> {
        match &self.items {
            Expr::Value(Value::Array(items)) => Some(items),
            _ => None,
        }
    }

    /// The type of an item: what declares the list knows better than the value, to which a duration
    /// is a text.
    pub fn item_ty(&self, item: &Value) -> Ty {
        match &self.item {
            Ty::Any => Ty::of_value(item),
            declared => declared.clone(),
        }
    }
}

fn in_parts<'a>(
    lists: [&'a Vec<PlanStep>; 3],
) -> impl Iterator<Item = (&'a PlanStep, PlanPart)> + 'a {
    let parts = [PlanPart::Steps, PlanPart::Verify, PlanPart::Finally];
    lists
        .into_iter()
        .zip(parts)
        .flat_map(|(list, part)| list.iter().map(move |step| (step, part)))
}

fn named<'a>(lists: [&'a Vec<PlanStep>; 3], written: &str) -> Option<(&'a PlanStep, PlanPart)> {
    in_parts(lists).find(|(step, _)| step.id.as_str() == written)
}

/// The keys of a loop's instances: the items' own texts when all of them can stand in an id and no two
/// are the same, else their places in the list.
pub fn instance_keys(items: &[Value]) -> Vec<String> {
    let mut seen = std::collections::BTreeSet::new();
    let own: Option<Vec<String>> = items
        .iter()
        .map(|item| {
            let text = match item {
                Value::String(text) => text.clone(),
                Value::Number(number) => number.to_string(),
                Value::Bool(yes) => yes.to_string(),
                Value::Null | Value::Array(_) | Value::Object(_) => return None,
            };
            (StepId::is_key(&text) && seen.insert(text.clone())).then_some(text)
        })
        .collect();
    own.unwrap_or_else(|| (0..items.len()).map(|at| at.to_string()).collect())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn keys_are_the_items_when_they_can_be() {
        let keys = |items: Value| instance_keys(items.as_array().expect("a list"));
        assert_eq!(keys(json!(["api", "worker-1"])), ["api", "worker-1"]);
        assert_eq!(keys(json!([3, true, "x.y"])), ["3", "true", "x.y"]);
        assert_eq!(keys(json!(["a", "a"])), ["0", "1"]);
        assert_eq!(keys(json!(["a", "a b"])), ["0", "1"]);
        assert_eq!(keys(json!(["1", 1])), ["0", "1"]);
        assert_eq!(keys(json!([{"a": 1}, "b"])), ["0", "1"]);
        assert!(keys(json!([])).is_empty());
    }
}
