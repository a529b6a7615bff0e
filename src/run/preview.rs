//! What a step is about to be given, as far as it is known: for people who decide before it starts.

use super::eval::{self, Place};
use super::state::RunState;
use crate::base::{Map, StepId, Value};
use crate::language::{Reference, Scope, Template};
use crate::model::Ty;
use crate::plan::Expr;

impl RunState {
    /// The value of an expression of a step, by its full id. What is not known yet stays as it is
    /// written, `{{ steps.x.outputs.y }}`, in the middle of what is known. Of a step whose sub-runbook
    /// has not begun, `params` are what its caller would give it now. Secrets are markers.
    pub fn preview(&self, step: &StepId, expr: &Expr) -> Value {
        let names = Names {
            state: self,
            place: self.get(step).map(|i| Place::of(self, i)),
            given: match self.get(step) {
                Some(_) => None,
                None => self.given_by_caller(step),
            },
        };
        names.value(expr)
    }

    /// What `params` of a sub-runbook that has not begun would be.
    fn given_by_caller(&self, step: &StepId) -> Option<Value> {
        let mut caller = step.parent()?;
        while self.plan_step(&caller).is_none_or(|c| c.block.is_none()) {
            caller = caller.parent()?;
        }
        let with = &self.plan_step(&caller)?.action.with;
        Some(self.preview(&caller, with))
    }
}

/// What the names in an expression mean.
struct Names<'a> {
    state: &'a RunState,
    /// Where the step stands; none when what it is a part of has not begun.
    place: Option<Place>,
    /// Then: its parameters.
    given: Option<Value>,
}

impl Names<'_> {
    fn value(&self, expr: &Expr) -> Value {
        match expr {
            Expr::Value(value) => value.clone(),
            Expr::List(items) => items.iter().map(|item| self.value(item)).collect(),
            Expr::Map(map) => {
                let known = map
                    .iter()
                    .map(|(key, item)| (key.clone(), self.value(item)));
                Value::Object(known.collect::<Map<_, _>>())
            }
            Expr::Template { text, escape } => match self.known(expr) {
                Some(value) => value,
                None => Value::String(by_piece(text, |piece| {
                    let piece = Expr::Template {
                        text: piece.to_owned(),
                        escape: *escape,
                    };
                    let value = self.known(&piece)?;
                    Some(match value {
                        Value::String(text) => text,
                        other => other.to_string(),
                    })
                })),
            },
        }
    }

    /// The value, if everything in it is known now and stays so.
    fn known(&self, expr: &Expr) -> Option<Value> {
        let references = expr.references();
        let changes = |r: &Reference| {
            let path: Vec<&str> = r.path.iter().map(String::as_str).collect();
            matches!(path.as_slice(), ["run"] | ["run", "outcome", ..])
        };
        if references.iter().any(changes) {
            return None;
        }
        match self.place {
            Some(place) => eval::render(self.state, place, expr, None).ok(),
            None => expr.render(&self.scope()).ok(),
        }
    }

    fn scope(&self) -> Scope {
        let plan = self.state.plan();
        let mut scope = Scope::new();
        if let Some(given) = &self.given {
            scope.set("params", given.clone(), Ty::Any);
        }
        let (vars, ty) = plan.vars_scope();
        scope.set("vars", vars, ty);
        let (secrets, ty) = plan.secrets_scope();
        scope.set("secrets", secrets, ty);
        scope
    }
}

/// The text with each `{{ … }}` that has a value replaced by it. Blocks (`{{#if …}}`) stay.
fn by_piece(text: &str, value: impl Fn(&str) -> Option<String>) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(start) = rest.find("{{") {
        let (before, from) = rest.split_at(start);
        out.push_str(before);
        let close = if from.starts_with("{{{") { "}}}" } else { "}}" };
        let Some(end) = from.find(close).map(|end| end + close.len()) else {
            rest = from;
            break;
        };
        let piece = &from[..end];
        let simple = Template::parse(piece).is_ok_and(|piece| piece.whole().is_some());
        match value(piece).filter(|_| simple) {
            Some(value) => out.push_str(&value),
            None => out.push_str(piece),
        }
        rest = &from[end..];
    }
    out.push_str(rest);
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_known_is_replaced() {
        let known = |piece: &str| (piece == "{{ params.x }}").then(|| "5".to_owned());
        for (text, expected) in [
            ("a {{ params.x }} b", "a 5 b"),
            (
                "{{ params.x }} {{ steps.a.outputs.y }}",
                "5 {{ steps.a.outputs.y }}",
            ),
            ("{{#if params.x}}1{{/if}}", "{{#if params.x}}1{{/if}}"),
            ("no end {{ params.x", "no end {{ params.x"),
            ("plain", "plain"),
        ] {
            assert_eq!(by_piece(text, known), expected);
        }
    }
}
