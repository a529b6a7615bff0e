//! What a condition gives whatever the run brings.

use std::sync::Arc;

use cel::common::ast::{Expr, IdedExpr, LiteralValue, operators};

use super::condition::Condition;
use super::scope::Scope;

/// The values that a reference can have, when these are few; by its path.
type Values<'a> = &'a dyn Fn(&[String]) -> Option<Vec<String>>;

impl Condition {
    /// What it gives in every run, if that is always the same. `values` tells the only values that a
    /// reference can have (an enumeration), when these are known.
    ///
    /// Nothing is said of what cannot be proved; a condition that fails gives nothing.
    pub fn constant(&self, values: Values<'_>) -> Option<bool> {
        if self.references.is_empty() {
            return self.holds(&Scope::new()).ok();
        }
        truth(&self.tree, values)
    }
}

fn truth(tree: &IdedExpr, values: Values<'_>) -> Option<bool> {
    match &tree.expr {
        Expr::Literal(LiteralValue::Boolean(value)) => Some(*value.inner()),
        Expr::Call(call) => match (call.func_name.as_str(), call.args.as_slice()) {
            (operators::LOGICAL_AND, [left, right]) => {
                match (truth(left, values), truth(right, values)) {
                    (Some(false), _) | (_, Some(false)) => Some(false),
                    (Some(true), Some(true)) => Some(true),
                    _ => None,
                }
            }
            (operators::LOGICAL_OR, [left, right]) => {
                match (truth(left, values), truth(right, values)) {
                    (Some(true), _) | (_, Some(true)) => Some(true),
                    (Some(false), Some(false)) => Some(false),
                    _ => None,
                }
            }
            (operators::LOGICAL_NOT, [inner]) => truth(inner, values).map(|holds| !holds),
            (operators::CONDITIONAL, [condition, then, otherwise]) => {
                let (then, otherwise) = (truth(then, values), truth(otherwise, values));
                match truth(condition, values) {
                    Some(true) => then,
                    Some(false) => otherwise,
                    None => then.filter(|_| then == otherwise),
                }
            }
            (operators::EQUALS, [left, right]) => equal(left, right, values),
            (operators::NOT_EQUALS, [left, right]) => equal(left, right, values).map(|e| !e),
            (operators::LESS_EQUALS | operators::GREATER_EQUALS, [left, right])
                if same(left, right) =>
            {
                Some(true)
            }
            (operators::LESS | operators::GREATER, [left, right]) if same(left, right) => {
                Some(false)
            }
            (operators::IN, [item, list]) => among(item, list, values),
            _ => None,
        }
        .or_else(|| evaluated(tree)),
        _ => None,
    }
}

fn equal(left: &IdedExpr, right: &IdedExpr, values: Values<'_>) -> Option<bool> {
    if same(left, right) {
        return Some(true);
    }
    let (path, text) = match (path(left), text(right)) {
        (Some(path), Some(text)) => (path, text),
        _ => (path(right)?, text(left)?),
    };
    one_of(&path, &[text], values)
}

fn among(item: &IdedExpr, list: &IdedExpr, values: Values<'_>) -> Option<bool> {
    let Expr::List(list) = &list.expr else {
        return None;
    };
    let texts: Vec<&str> = list.elements.iter().map(text).collect::<Option<_>>()?;
    one_of(&path(item)?, &texts, values)
}

/// Whether every value, or none, of a reference is among these.
fn one_of(path: &[String], texts: &[&str], values: Values<'_>) -> Option<bool> {
    let known = values(path)?;
    let hits = known.iter().filter(|v| texts.contains(&v.as_str())).count();
    match hits {
        0 => Some(false),
        all if all == known.len() => Some(true),
        _ => None,
    }
}

/// Whether both are the same reference.
fn same(left: &IdedExpr, right: &IdedExpr) -> bool {
    path(left).is_some_and(|one| path(right).is_some_and(|other| one == other))
}

fn text(tree: &IdedExpr) -> Option<&str> {
    match &tree.expr {
        Expr::Literal(LiteralValue::String(text)) => Some(text.inner()),
        _ => None,
    }
}

fn path(tree: &IdedExpr) -> Option<Vec<String>> {
    match &tree.expr {
        Expr::Ident(name) => Some(vec![name.clone()]),
        Expr::Select(select) if !select.test => {
            let mut path = path(&select.operand)?;
            path.push(select.field.clone());
            Some(path)
        }
        _ => None,
    }
}

/// What a part without any name in it gives.
fn evaluated(tree: &IdedExpr) -> Option<bool> {
    nameless(tree).then(|| {
        let part = Condition {
            tree: Arc::new(tree.clone()),
            references: Arc::from([]),
            source: Arc::default(),
            nodes: Arc::default(),
        };
        part.holds(&Scope::new()).ok()
    })?
}

fn nameless(tree: &IdedExpr) -> bool {
    match &tree.expr {
        Expr::Literal(_) => true,
        Expr::Call(call) => {
            call.target.as_deref().is_none_or(nameless) && call.args.iter().all(nameless)
        }
        Expr::List(list) => list.elements.iter().all(nameless),
        // Loops bind names of their own; they are not worth the while.
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn proves_what_no_run_can_change() {
        let values = |path: &[String]| {
            (path == ["params", "mode"]).then(|| vec!["fast".to_owned(), "slow".to_owned()])
        };
        for (text, expected) in [
            ("true", Some(true)),
            ("1 > 2", Some(false)),
            ("!('a' in ['a', 'b'])", Some(false)),
            ("duration('1m') == duration('60s')", Some(true)),
            ("[1, 2].exists(x, x > 1)", Some(true)),
            ("params.x == params.x", Some(true)),
            ("params.x != params.x", Some(false)),
            ("params.x < params.x", Some(false)),
            ("params.x >= params.x", Some(true)),
            ("params.x == params.y", None),
            ("params.x || 1 < 2", Some(true)),
            ("params.x && 1 > 2", Some(false)),
            ("params.x && true", None),
            ("params.x ? false : 1 > 2", Some(false)),
            ("params.x ? false : params.y", None),
            ("params.mode == 'fest'", Some(false)),
            ("'fest' != params.mode", Some(true)),
            ("params.mode == 'fast'", None),
            ("params.mode in ['fast', 'slow', 'other']", Some(true)),
            ("params.mode in ['x']", Some(false)),
            ("params.mode in ['fast']", None),
            ("has(params.x) == has(params.x)", None),
            ("int('x') == 1", None),
        ] {
            let condition = Condition::parse(text).expect(text);
            assert_eq!(condition.constant(&values), expected, "{text}");
        }
    }
}
