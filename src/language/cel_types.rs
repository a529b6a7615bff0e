//! The types of a condition, as far as they are known before the run.

use std::collections::HashMap;
use std::ops::Range;

use cel::common::ast::{
    CallExpr, ComprehensionExpr, EntryExpr, Expr, IdedExpr, LiteralValue, SourceInfo, operators,
};

use super::cel_function::{Kind, function};
use super::cel_syntax::written_name;
use super::scope::{ExprError, ExprErrorKind, Reference};
use crate::model::{LookupProblemKind, Ty};

/// What is known of the types of a condition.
#[derive(Debug)]
pub struct Typed {
    /// Its result.
    pub result: Ty,
    /// What cannot be right, with its place.
    pub problems: Vec<ExprError>,
}

/// A walk over a parsed condition that gives every part its type.
pub(super) struct Typing<'a> {
    pub(super) text: &'a str,
    pub(super) source: &'a SourceInfo,
    pub(super) references: &'a [Reference],
    /// Which part of the tree is which reference.
    pub(super) nodes: &'a HashMap<u64, usize>,
    /// The types of the references, where they are known.
    pub(super) types: &'a [Option<Ty>],
    pub(super) bound: Vec<(String, Ty)>,
    pub(super) problems: Vec<ExprError>,
}

impl Typing<'_> {
    /// The type of a part; problems inside it are noted. Recursion is bounded by the parser's limits.
    pub(super) fn of(&mut self, tree: &IdedExpr) -> Ty {
        if let Expr::Select(select) = &tree.expr
            && select.test
        {
            if !self.nodes.contains_key(&tree.id) {
                self.of(&select.operand);
            }
            return Ty::Bool;
        }
        if let Some(position) = self.nodes.get(&tree.id) {
            let known = self.types.get(*position).cloned().flatten();
            return known.unwrap_or_default();
        }
        match &tree.expr {
            Expr::Literal(literal) => match literal {
                LiteralValue::Boolean(_) => Ty::Bool,
                LiteralValue::Int(_) | LiteralValue::UInt(_) => Ty::Int,
                LiteralValue::Double(_) => Ty::Float,
                LiteralValue::String(_) => Ty::String,
                LiteralValue::Bytes(_) | LiteralValue::Null => Ty::Any,
            },
            Expr::Ident(name) => {
                let bound = self.bound.iter().rev().find(|(known, _)| known == name);
                bound.map(|(_, ty)| ty.clone()).unwrap_or_default()
            }
            Expr::Select(select) => {
                let operand = self.of(&select.operand);
                self.field(tree, &operand, &select.field)
            }
            Expr::List(list) => {
                let mut items: Vec<Ty> = list.elements.iter().map(|item| self.of(item)).collect();
                items.dedup();
                let one = match items.as_slice() {
                    [one] => one.clone(),
                    _ => Ty::Any,
                };
                Ty::List(Box::new(one))
            }
            Expr::Map(map) => {
                for entry in &map.entries {
                    if let EntryExpr::MapEntry(pair) = &entry.expr {
                        self.of(&pair.key);
                        self.of(&pair.value);
                    }
                }
                Ty::Map(Box::default())
            }
            Expr::Comprehension(of) => self.comprehension(of),
            Expr::Call(call) => self.call(tree, call),
            Expr::Struct(_) | Expr::Unspecified => Ty::Any,
        }
    }

    fn comprehension(&mut self, of: &ComprehensionExpr) -> Ty {
        let range = self.of(&of.iter_range);
        let (one, two) = match range {
            Ty::List(item) if of.iter_var2.is_some() => (Ty::Int, *item),
            Ty::List(item) => (*item, Ty::Any),
            Ty::Map(item) => (Ty::String, *item),
            Ty::Object(_) => (Ty::String, Ty::Any),
            Ty::Any => (Ty::Any, Ty::Any),
            other => {
                self.note(
                    ExprErrorKind::NotAList,
                    format!("only a list or a map has items, but this is {other}"),
                    self.range(&of.iter_range),
                );
                (Ty::Any, Ty::Any)
            }
        };
        let accumulated = self.of(&of.accu_init);
        let before = self.bound.len();
        self.bound.push((of.iter_var.clone(), one));
        if let Some(second) = &of.iter_var2 {
            self.bound.push((second.clone(), two));
        }
        self.bound.push((of.accu_var.clone(), accumulated));
        self.of(&of.loop_step);
        let result = self.of(&of.result);
        self.bound.truncate(before);
        result
    }

    fn field(&mut self, tree: &IdedExpr, operand: &Ty, field: &str) -> Ty {
        let path = [field.to_owned()];
        match operand.lookup(&path) {
            Ok(ty) => ty.clone(),
            Err(problem) => {
                let message = match problem.kind {
                    LookupProblemKind::UnknownKey(known) if known.is_empty() => {
                        format!("there is no `{field}` here")
                    }
                    LookupProblemKind::UnknownKey(known) => {
                        format!("there is no `{field}` here; known are {}", known.join(", "))
                    }
                    LookupProblemKind::NotAnIndex => {
                        format!("a list has no `{field}`; its items have numbers, as in `x[0]`")
                    }
                    LookupProblemKind::NothingInside(ty) => {
                        format!("there is no `{field}` inside a value of type {ty}")
                    }
                };
                self.note(ExprErrorKind::NoField, message, self.range(tree));
                Ty::Any
            }
        }
    }

    fn call(&mut self, tree: &IdedExpr, call: &CallExpr) -> Ty {
        let parts: Vec<&IdedExpr> = call
            .target
            .as_deref()
            .into_iter()
            .chain(&call.args)
            .collect();
        let types: Vec<Ty> = parts.iter().map(|part| self.of(part)).collect();
        match (call.func_name.as_str(), parts.as_slice(), types.as_slice()) {
            (
                operators::EQUALS
                | operators::NOT_EQUALS
                | operators::LESS
                | operators::LESS_EQUALS
                | operators::GREATER
                | operators::GREATER_EQUALS,
                [left, right],
                [one, other],
            ) => {
                self.comparison(tree, [left, right], one, other);
                Ty::Bool
            }
            (operators::IN, [left, _], [one, list]) => {
                match list {
                    Ty::List(item) => self.comparison(tree, [left, left], one, item),
                    Ty::Any | Ty::Map(_) | Ty::Object(_) => {}
                    other => self.note(
                        ExprErrorKind::NotAList,
                        format!("`in` wants a list or a map on its right, but this is {other}"),
                        self.range(parts[1]),
                    ),
                }
                Ty::Bool
            }
            (operators::LOGICAL_AND | operators::LOGICAL_OR | operators::LOGICAL_NOT, _, _) => {
                for (part, ty) in parts.iter().zip(&types) {
                    self.truth(part, ty);
                }
                Ty::Bool
            }
            (operators::CONDITIONAL, [asked, _, _], [ty, yes, no]) => {
                self.truth(asked, ty);
                if yes == no { yes.clone() } else { Ty::Any }
            }
            (operators::INDEX, _, [of, _]) => match of {
                Ty::List(item) | Ty::Map(item) => item.as_ref().clone(),
                _ => Ty::Any,
            },
            (operators::ADD | operators::SUBSTRACT, [_, _], [one, other]) => {
                self.sum(tree, call.func_name == operators::ADD, one, other)
            }
            (operators::MULTIPLY | operators::DIVIDE | operators::MODULO, [_, _], [one, other]) => {
                self.numbers(tree, one, other)
            }
            (operators::NEGATE, [_], [one]) => match Kind::of(one) {
                None | Some(Kind::Number) => one.clone(),
                Some(kind) => self.operands(tree, format!("{} has no negative", kind.name()), ""),
            },
            (name, _, _) => match function(written_name(name)) {
                Some(_) => self.arguments(call, &parts, &types),
                None => Ty::Any,
            },
        }
    }

    fn comparison(&mut self, tree: &IdedExpr, sides: [&IdedExpr; 2], left: &Ty, right: &Ty) {
        let (Some(one), Some(other)) = (Kind::of(left), Kind::of(right)) else {
            return;
        };
        if one == other {
            return;
        }
        let reference = sides
            .iter()
            .find_map(|side| Some(self.references[*self.nodes.get(&side.id)?].range.clone()));
        let place = reference.or_else(|| self.range(tree));
        let message = format!("{} is compared with {}", one.name(), other.name());
        self.note(ExprErrorKind::Unlike, message, place);
        self.help(unlike_help(left, right));
    }

    fn truth(&mut self, part: &IdedExpr, ty: &Ty) {
        if matches!(ty, Ty::Bool | Ty::Any) {
            return;
        }
        let written = self.range(part).and_then(|range| self.text.get(range));
        let written = written.unwrap_or("this");
        let message = format!("`{written}` is of type {ty}, but it is used as true or false");
        let help = format!("compare it with something, e.g. `{written} == ...`");
        self.note(ExprErrorKind::NotBool, message, self.range(part));
        self.help(&help);
    }

    /// `+` and `-`: numbers, texts, lists, durations and times.
    fn sum(&mut self, tree: &IdedExpr, add: bool, one: &Ty, other: &Ty) -> Ty {
        let (Some(left), Some(right)) = (Kind::of(one), Kind::of(other)) else {
            return Ty::Any;
        };
        match (left, right) {
            (Kind::Number, Kind::Number) => self.numbers(tree, one, other),
            (Kind::Text, Kind::Text) if add => Ty::String,
            (Kind::List, Kind::List) if add => one.clone(),
            (Kind::Duration, Kind::Duration) => Ty::Duration,
            (Kind::Timestamp, Kind::Duration) => Ty::Timestamp,
            (Kind::Duration, Kind::Timestamp) if add => Ty::Timestamp,
            (Kind::Timestamp, Kind::Timestamp) if !add => Ty::Duration,
            _ => {
                let sign = if add { "+" } else { "-" };
                self.operands(
                    tree,
                    format!("`{sign}` cannot join {} and {}", left.name(), right.name()),
                    unlike_help(one, other),
                )
            }
        }
    }

    /// Two numbers; whole ones and those with a fraction do not mix.
    fn numbers(&mut self, tree: &IdedExpr, one: &Ty, other: &Ty) -> Ty {
        match (Kind::of(one), Kind::of(other)) {
            (None, _) | (_, None) => Ty::Any,
            (Some(Kind::Number), Some(Kind::Number)) => {
                let (left, right) = (*one == Ty::Float, *other == Ty::Float);
                if left == right {
                    return if left { Ty::Float } else { Ty::Int };
                }
                self.operands(
                    tree,
                    "a whole number is reckoned with one that has a fraction".to_owned(),
                    "write `2.0` instead of `2`, or convert with double(...)",
                )
            }
            (Some(left), Some(right)) => self.operands(
                tree,
                format!(
                    "this wants two numbers, found {} and {}",
                    left.name(),
                    right.name()
                ),
                "",
            ),
        }
    }

    fn operands(&mut self, tree: &IdedExpr, message: String, help: &str) -> Ty {
        self.note(ExprErrorKind::Operands, message, self.range(tree));
        if !help.is_empty() {
            self.help(help);
        }
        Ty::Any
    }

    fn arguments(&mut self, call: &CallExpr, parts: &[&IdedExpr], types: &[Ty]) -> Ty {
        let Some(function) = function(written_name(&call.func_name)) else {
            return Ty::Any;
        };
        for ((part, ty), takes) in parts.iter().zip(types).zip(function.takes) {
            let Some(kind) = Kind::of(ty) else { continue };
            if takes.is_empty() || takes.contains(&kind) {
                continue;
            }
            let names: Vec<&str> = takes.iter().map(|kind| kind.name()).collect();
            let message = format!(
                "`{}` wants {}, but this is {}",
                function.name,
                names.join(" or "),
                kind.name()
            );
            self.note(ExprErrorKind::Arguments, message, self.range(part));
            self.help(&format!("write {}", function.usage));
        }
        function.gives.clone()
    }

    fn note(&mut self, kind: ExprErrorKind, message: String, range: Option<Range<usize>>) {
        let mut problem = ExprError::new(message).kind(kind);
        problem.range = range;
        self.problems.push(problem);
    }

    fn help(&mut self, help: &str) {
        if let Some(last) = self.problems.last_mut() {
            last.help = Some(help.to_owned());
        }
    }

    /// Where a part is written, from its first word to its last.
    fn range(&self, tree: &IdedExpr) -> Option<Range<usize>> {
        if let Some(position) = self.nodes.get(&tree.id) {
            return Some(self.references[*position].range.clone());
        }
        let own = self.source.offset_for(tree.id).map(|(start, last)| {
            let end = last as usize + 1;
            // The place of a selection is its dot.
            let field = match &tree.expr {
                Expr::Select(select) => self.text.get(end..).and_then(|rest| {
                    let name = rest.trim_start().strip_prefix(select.field.as_str())?;
                    Some(rest.len() - name.len())
                }),
                _ => None,
            };
            start as usize..end + field.unwrap_or(0)
        });
        let mut parts: Vec<&IdedExpr> = Vec::new();
        match &tree.expr {
            Expr::Call(call) => parts.extend(call.target.as_deref().into_iter().chain(&call.args)),
            Expr::Select(select) => parts.push(&select.operand),
            Expr::List(list) => parts.extend(&list.elements),
            Expr::Comprehension(of) => parts.push(&of.iter_range),
            _ => {}
        }
        let whole = parts.iter().filter_map(|part| self.range(part)).chain(own);
        let whole =
            whole.reduce(|one, other| one.start.min(other.start)..one.end.max(other.end))?;
        self.text.get(whole.clone()).map(|_| whole)
    }
}

fn unlike_help(left: &Ty, right: &Ty) -> &'static str {
    let either = |wanted: fn(&Ty) -> bool| wanted(left) || wanted(right);
    if either(|ty| matches!(ty, Ty::Duration)) {
        "write a duration as duration(\"2s\")"
    } else if either(|ty| matches!(ty, Ty::Timestamp)) {
        "write a time as timestamp(\"2026-11-23T03:00:00Z\")"
    } else if either(|ty| matches!(ty, Ty::Size)) {
        "write a size as bytes(\"64MiB\")"
    } else if either(|ty| matches!(ty, Ty::String)) {
        "convert text with int(...) or double(...), and a number with string(...)"
    } else {
        "use values of one type"
    }
}
