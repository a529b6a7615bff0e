//! Expressions of a plan: what they refer to, and their value.

use super::types::Expr;
use crate::base::{Map, Value};
use crate::language::{ExprError, Reference, Scope, Template};

impl Expr {
    /// Its value, once everything that it refers to has one.
    ///
    /// # Errors
    /// [`ExprError`] when a reference has no value, or its value cannot stand in that place.
    pub fn render(&self, scope: &Scope) -> Result<Value, ExprError> {
        match self {
            Self::Value(value) => Ok(value.clone()),
            Self::Template { text, escape } => Template::parse(text)?.render(scope, *escape),
            Self::List(items) => items
                .iter()
                .map(|item| item.render(scope))
                .collect::<Result<Vec<_>, _>>()
                .map(Value::Array),
            Self::Map(map) => map
                .iter()
                .map(|(key, item)| item.render(scope).map(|value| (key.clone(), value)))
                .collect::<Result<Map<_, _>, _>>()
                .map(Value::Object),
        }
    }

    /// What it refers to. A template that cannot be parsed refers to nothing; rendering it fails.
    pub fn references(&self) -> Vec<Reference> {
        let mut found = Vec::new();
        self.collect(&mut found);
        found
    }

    fn collect(&self, found: &mut Vec<Reference>) {
        match self {
            Self::Value(_) => {}
            Self::Template { text, .. } => {
                if let Ok(template) = Template::parse(text) {
                    found.extend_from_slice(template.references());
                }
            }
            Self::List(items) => items.iter().for_each(|item| item.collect(found)),
            Self::Map(map) => map.values().for_each(|item| item.collect(found)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Escape, Ty};
    use serde_json::json;
    use std::collections::BTreeMap;

    #[test]
    fn renders_every_part_in_its_place() {
        let template = |text: &str, escape| Expr::Template {
            text: text.to_owned(),
            escape,
        };
        let expr = Expr::Map(BTreeMap::from([
            (
                "run".to_owned(),
                template("ls {{ steps.a.outputs.dir }}", Escape::Shell),
            ),
            (
                "list".to_owned(),
                Expr::List(vec![
                    Expr::Value(json!(1)),
                    template("{{ steps.a.outputs.n }}", Escape::None),
                ]),
            ),
        ]));
        let mut scope = Scope::new();
        scope.set(
            "steps",
            json!({"a": {"outputs": {"dir": "x y", "n": 2}}}),
            Ty::Any,
        );
        assert_eq!(
            expr.render(&scope),
            Ok(json!({"run": "ls 'x y'", "list": [1, 2]}))
        );
        let mut paths: Vec<String> = expr.references().iter().map(Reference::to_string).collect();
        paths.sort();
        assert_eq!(paths, ["steps.a.outputs.dir", "steps.a.outputs.n"]);
        assert!(expr.render(&Scope::new()).is_err());
    }
}
