//! Loops: a list that is known now is counted now, and each of its instances is checked.

use super::steps::{Builder, With};
use super::types::{Expr, PlanForEach};
use crate::base::{Diagnostic, Diagnostics, Value};
use crate::check::{codes, too_many};
use crate::model::{Action, MAX_INSTANCES, MaxFailures, Step, Ty, YamlValue, YamlValueKind};

/// The loop of a step, if it has one.
#[derive(Default)]
pub(super) struct Loop {
    pub(super) plan: Option<PlanForEach>,
    /// The items, when all of them are known now.
    pub(super) items: Option<Vec<Value>>,
}

impl Loop {
    fn item_ty(&self, item: &Value) -> Ty {
        let plan = self.plan.as_ref();
        plan.map_or_else(|| Ty::of_value(item), |plan| plan.item_ty(item))
    }
}

impl<'a> Builder<'a> {
    pub(super) fn for_each(&mut self, step: &'a Step) -> Loop {
        let Some(for_each) = &step.for_each else {
            return Loop::default();
        };
        let items = self.resolver.free(&for_each.items);
        let known = match &items {
            Expr::Value(Value::Array(known)) => self.bounded(known, &for_each.items),
            Expr::Value(other) => {
                let finding = Diagnostic::error(
                    codes::NOT_A_LIST,
                    format!(
                        "`for_each` wants a list, but this is {}",
                        Ty::of_value(other)
                    ),
                );
                let source = &self.resolver.checked.runbook().source;
                let finding = finding
                    .at(source, for_each.items.span, "no list")
                    .help("name a list, or write one: `[a, b]`");
                self.resolver.diags.push(finding);
                None
            }
            Expr::Template { .. } | Expr::List(_) | Expr::Map(_) => None,
        };
        let plan = PlanForEach {
            items,
            item: self.resolver.checked.item_ty(for_each.items.span),
            max_parallel: for_each.max_parallel.as_ref().map_or(1, |n| n.value),
            max_failures: for_each
                .max_failures
                .as_ref()
                .map_or(MaxFailures::default(), |n| n.value),
        };
        Loop {
            plan: Some(plan),
            items: known,
        }
    }

    fn bounded(&mut self, known: &[Value], written: &YamlValue) -> Option<Vec<Value>> {
        if known.len() <= MAX_INSTANCES {
            return Some(known.to_vec());
        }
        let source = &self.resolver.checked.runbook().source;
        let finding = too_many(known.len()).at(source, written.span, "this list");
        self.resolver.diags.push(finding);
        None
    }

    /// Renders the inputs for each item and holds them against what the action declares.
    pub(super) fn check_instances(
        &mut self,
        action: &'a Action,
        with: &With<'a>,
        templates: bool,
        for_each: &Loop,
    ) {
        let Some(items) = &for_each.items else { return };
        if !with.parts().any(names_item) {
            return;
        }
        let Some(manifest) = self.manifest(action) else {
            return;
        };
        self.resolver.in_instance = true;
        for (index, item) in items.iter().enumerate() {
            if self.resolver.diags.is_full() {
                break;
            }
            let ty = for_each.item_ty(item);
            self.resolver.scope.set("item", item.clone(), ty);
            self.resolver
                .scope
                .set("index", Value::from(index), Ty::Int);
            let outer = std::mem::take(self.resolver.diags);
            self.known_inputs(action, manifest, with, templates);
            let found = std::mem::replace(self.resolver.diags, outer);
            self.push_for_item(&found, item);
        }
        self.resolver.in_instance = false;
    }

    fn push_for_item(&mut self, found: &Diagnostics, item: &Value) {
        for finding in found.iter() {
            let mut finding = finding.clone();
            if let Some(label) = finding.labels.first_mut() {
                label.text = format!("with the item {}", short(item));
            }
            self.resolver.diags.push(finding);
        }
    }
}

/// An item as a finding shows it.
fn short(item: &Value) -> String {
    const MOST: usize = 60;
    let text = item
        .as_str()
        .map_or_else(|| item.to_string(), str::to_owned);
    match text.char_indices().nth(MOST) {
        None => format!("`{text}`"),
        Some((at, _)) => format!("`{}…`", &text[..at]),
    }
}

/// Whether a value may refer to the item: a quick look, so that most loops are checked once.
fn names_item(value: &YamlValue) -> bool {
    match &value.kind {
        YamlValueKind::Literal(_) => false,
        YamlValueKind::Text { text, .. } => {
            text.contains("{{") && (text.contains("item") || text.contains("index"))
        }
        YamlValueKind::List(items) => items.iter().any(names_item),
        YamlValueKind::Map(map) => map.values().any(|(_, value)| names_item(value)),
    }
}
