//! Reading CEL: limits, syntax errors in our words, and the walk that finds references and types.

use cel::common::ast::{EntryExpr, Expr, IdedExpr, LiteralValue, SourceInfo, operators};

use super::condition::{Comparison, Side};
use super::scope::{ExprError, Reference};
use crate::base::did_you_mean;
use crate::model::Ty;

/// Longest condition in bytes.
pub const MAX_CONDITION_BYTES: usize = 4 * 1024;
/// Most brackets open at once: the library's parser calls itself for each.
pub(super) const MAX_DEPTH: usize = 24;
/// Most operators and dots: a long chain of them is a deep tree, and the library walks it recursively.
const MAX_OPERATORS: usize = 200;

/// The functions of conditions: CEL's own, and `bytes("64MiB")` for sizes.
pub(super) const FUNCTIONS: [&str; 30] = [
    "size",
    "contains",
    "startsWith",
    "endsWith",
    "matches",
    "string",
    "int",
    "uint",
    "double",
    "bool",
    "type",
    "dyn",
    "duration",
    "timestamp",
    "bytes",
    "has",
    "all",
    "exists",
    "exists_one",
    "map",
    "filter",
    "getFullYear",
    "getMonth",
    "getDayOfMonth",
    "getDayOfWeek",
    "getHours",
    "getMinutes",
    "getSeconds",
    "getMilliseconds",
    "getDayOfYear",
];

/// Our `duration` also reads days, and our `bytes` reads sizes; CEL's own functions of these names
/// cannot be replaced, so calls are renamed to names that no one can write.
pub(super) const RENAMED: [(&str, &str); 2] = [("duration", "@duration"), ("bytes", "@bytes")];

/// Refuses what could overflow the stack of a recursive parser, before it sees it.
pub(super) fn refuse_hostile(text: &str) -> Result<(), ExprError> {
    if text.trim().is_empty() {
        return Err(ExprError::new("the condition is empty"));
    }
    if text.len() > MAX_CONDITION_BYTES {
        return Err(ExprError::new(format!(
            "this condition has {} bytes; at most {MAX_CONDITION_BYTES} are allowed",
            text.len()
        )));
    }
    let mut depth = 0usize;
    let mut operators = 0usize;
    let mut quote = None;
    for (at, c) in text.char_indices() {
        match (quote, c) {
            (Some(open), close) if open == close => quote = None,
            (Some(_), _) => continue,
            (None, '"' | '\'') => quote = Some(c),
            (None, '(' | '[' | '{') => {
                depth += 1;
                operators += 1;
            }
            (None, ')' | ']' | '}') => depth = depth.saturating_sub(1),
            (None, '.' | '+' | '-' | '*' | '/' | '%' | '!' | '?' | '<' | '>' | '=' | '&' | '|') => {
                operators += 1;
            }
            (None, _) => {}
        }
        if depth > MAX_DEPTH || operators > MAX_OPERATORS {
            return Err(ExprError::new(if depth > MAX_DEPTH {
                format!("this condition is nested deeper than {MAX_DEPTH} levels")
            } else {
                format!("this condition has more than {MAX_OPERATORS} operators and dots")
            })
            .at(at..at + c.len_utf8()));
        }
    }
    Ok(())
}

pub(super) fn syntax_error(errors: &cel::ParseErrors, text: &str) -> ExprError {
    let problem = ExprError::new("this is not a condition");
    // People write `when: "{{ params.force }}"`.
    if let Some(at) = text.find("{{") {
        return problem
            .at(at..at + 2)
            .help("a condition is no template: leave out the braces, e.g. `params.force`");
    }
    let Some(first) = errors.errors.first() else {
        return problem;
    };
    let told = first.msg.lines().next().unwrap_or_default();
    let quoted = told.split('\'').nth(1).unwrap_or_default();
    let message = if told.contains("<EOF>") {
        "this condition ends too early".to_owned()
    } else if told.contains("recursion") {
        "this condition is nested too deep".to_owned()
    } else if quoted.is_empty() {
        "this is not a condition".to_owned()
    } else {
        format!("this is not a condition: `{quoted}` cannot stand here")
    };
    let (line, column) = first.pos;
    let line_start: usize = text
        .split_inclusive('\n')
        .take(usize::try_from(line - 1).unwrap_or(0))
        .map(str::len)
        .sum();
    let start = text[line_start..]
        .char_indices()
        .nth(usize::try_from(column - 1).unwrap_or(0))
        .map_or(text.len(), |(i, _)| line_start + i);
    let width = text[start..]
        .chars()
        .take_while(|c| c.is_alphanumeric() || *c == '_')
        .map(char::len_utf8)
        .sum::<usize>();
    let end = text.len().min(start + width.max(1));
    let error = ExprError::new(message)
        .help("conditions are CEL, e.g. `outputs.count > 3 && params.force`");
    match text.get(start..end) {
        Some(_) => error.at(start..end),
        None => error.at(start..text.len()),
    }
}

pub(super) fn lower_first(text: &str) -> String {
    let mut chars = text.chars();
    chars
        .next()
        .map(|first| first.to_lowercase().chain(chars).collect())
        .unwrap_or_default()
}

fn position(side: &Side) -> Option<usize> {
    match side {
        Side::Reference(position) => Some(*position),
        _ => None,
    }
}

/// A walk over a parsed condition: limits, references, what is compared.
pub(super) struct Walk<'a> {
    text: &'a str,
    source: &'a SourceInfo,
    pub(super) references: Vec<Reference>,
    pub(super) comparisons: Vec<Comparison>,
    pub(super) truths: Vec<usize>,
    bound: Vec<String>,
}

impl<'a> Walk<'a> {
    pub(super) fn new(text: &'a str, source: &'a SourceInfo) -> Self {
        Self {
            text,
            source,
            references: Vec::new(),
            comparisons: Vec::new(),
            truths: Vec::new(),
            bound: Vec::new(),
        }
    }

    pub(super) fn expression(
        &mut self,
        tree: &mut IdedExpr,
        depth: usize,
    ) -> Result<(), ExprError> {
        if depth > MAX_OPERATORS + MAX_DEPTH {
            return Err(ExprError::new("this condition has too many operators"));
        }
        if let Some((path, end)) = self.path(tree) {
            self.reference(path, tree, end);
            return Ok(());
        }
        let depth = depth + 1;
        match &mut tree.expr {
            Expr::Call(call) => {
                let place = self.source.offset_for(tree.id);
                self.function(&mut call.func_name, place)?;
                if let Some(target) = &mut call.target {
                    self.expression(target, depth)?;
                }
                let mut sides = Vec::with_capacity(call.args.len());
                for argument in &mut call.args {
                    let next = self.references.len();
                    self.expression(argument, depth)?;
                    sides.push(self.side(argument, next));
                }
                self.note_types(&call.func_name, &sides);
            }
            Expr::Comprehension(loop_) => {
                self.expression(&mut loop_.iter_range, depth)?;
                self.expression(&mut loop_.accu_init, depth)?;
                let before = self.bound.len();
                self.bound.push(loop_.iter_var.clone());
                self.bound.extend(loop_.iter_var2.clone());
                self.bound.push(loop_.accu_var.clone());
                self.expression(&mut loop_.loop_cond, depth)?;
                self.expression(&mut loop_.loop_step, depth)?;
                self.expression(&mut loop_.result, depth)?;
                self.bound.truncate(before);
            }
            Expr::List(list) => {
                for element in &mut list.elements {
                    self.expression(element, depth)?;
                }
            }
            Expr::Map(map) => self.entries(&mut map.entries, depth)?,
            Expr::Struct(map) => self.entries(&mut map.entries, depth)?,
            Expr::Select(select) => self.expression(&mut select.operand, depth)?,
            Expr::Ident(_) | Expr::Literal(_) | Expr::Unspecified => {}
        }
        Ok(())
    }

    /// What is known of a value; `next` is the position that its reference got, if it is one.
    fn side(&self, tree: &IdedExpr, next: usize) -> Side {
        match &tree.expr {
            Expr::Literal(literal) => match literal {
                LiteralValue::Boolean(_) => Side::Of(&Ty::Bool),
                LiteralValue::Double(_) | LiteralValue::Int(_) | LiteralValue::UInt(_) => {
                    Side::Of(&Ty::Float)
                }
                LiteralValue::String(_) => Side::Of(&Ty::String),
                LiteralValue::Bytes(_) | LiteralValue::Null => Side::Unknown,
            },
            Expr::Call(call) => match call.func_name.as_str() {
                "@duration" => Side::Of(&Ty::Duration),
                "timestamp" => Side::Of(&Ty::Timestamp),
                "size" | "int" | "double" | "@bytes" => Side::Of(&Ty::Float),
                "string" => Side::Of(&Ty::String),
                operators::INDEX if self.references.len() == next + 1 => match self.path(tree) {
                    Some(_) => Side::Reference(next),
                    None => Side::Unknown,
                },
                _ => Side::Unknown,
            },
            Expr::Ident(_) => self.reference_side(next),
            Expr::Select(select) if !select.test && self.path(tree).is_some() => {
                self.reference_side(next)
            }
            _ => Side::Unknown,
        }
    }

    fn reference_side(&self, next: usize) -> Side {
        // A bound variable is no reference.
        if self.references.len() == next + 1 {
            Side::Reference(next)
        } else {
            Side::Unknown
        }
    }

    fn note_types(&mut self, function: &str, sides: &[Side]) {
        match (function, sides) {
            (
                operators::EQUALS
                | operators::NOT_EQUALS
                | operators::LESS
                | operators::LESS_EQUALS
                | operators::GREATER
                | operators::GREATER_EQUALS,
                [left, right],
            ) => self.comparisons.push(Comparison {
                left: *left,
                right: *right,
            }),
            (operators::LOGICAL_AND | operators::LOGICAL_OR | operators::LOGICAL_NOT, sides) => {
                self.truths.extend(sides.iter().filter_map(position));
            }
            (operators::CONDITIONAL, [condition, ..]) => {
                self.truths.extend(position(condition));
            }
            _ => {}
        }
    }

    fn entries(
        &mut self,
        entries: &mut [cel::common::ast::IdedEntryExpr],
        depth: usize,
    ) -> Result<(), ExprError> {
        for entry in entries {
            match &mut entry.expr {
                EntryExpr::StructField(field) => self.expression(&mut field.value, depth)?,
                EntryExpr::MapEntry(pair) => {
                    self.expression(&mut pair.key, depth)?;
                    self.expression(&mut pair.value, depth)?;
                }
            }
        }
        Ok(())
    }

    fn function(&self, name: &mut String, place: Option<(u32, u32)>) -> Result<(), ExprError> {
        if let Some((_, ours)) = RENAMED.iter().find(|(theirs, _)| theirs == name) {
            (*ours).clone_into(name);
            return Ok(());
        }
        if name.starts_with(['_', '!', '-', '@']) || FUNCTIONS.contains(&name.as_str()) {
            return Ok(());
        }
        let mut error = ExprError::new(format!("there is no function `{name}`"));
        error.help = did_you_mean(name, FUNCTIONS).map(|near| format!("did you mean `{near}`?"));
        // The library's place of a call is its bracket; the name stands before it.
        error.range = place.and_then(|(start, _)| {
            let start = usize::try_from(start).ok()?;
            let upto = self.text.get(..start + 1)?;
            upto.rfind(name.as_str()).map(|at| at..at + name.len())
        });
        Err(error)
    }

    /// The dotted path that a tree spells, root first, and where its last part was written.
    /// An index with a constant text is a part like any other; with a constant number too.
    fn path(&self, tree: &IdedExpr) -> Option<(Vec<String>, usize)> {
        let at = |id: u64| {
            self.source
                .offset_for(id)
                .map_or((0, 0), |(a, b)| (a as usize, b as usize))
        };
        match &tree.expr {
            Expr::Ident(name) => Some((vec![name.clone()], at(tree.id).1 + 1)),
            Expr::Select(select) => {
                let (mut path, end) = self.path(&select.operand)?;
                path.push(select.field.clone());
                let dot = self.text.get(end..).and_then(|t| t.find(&select.field));
                Some((path, dot.map_or(end, |i| end + i + select.field.len())))
            }
            Expr::Call(call) if call.func_name == operators::INDEX && call.args.len() == 2 => {
                let (mut path, _) = self.path(&call.args[0])?;
                match &call.args[1].expr {
                    Expr::Literal(LiteralValue::String(key)) => path.push(key.inner().to_owned()),
                    Expr::Literal(LiteralValue::Int(index)) => {
                        path.push(index.inner().to_string());
                    }
                    _ => return None,
                }
                let end = at(call.args[1].id).1 + 1;
                let close = self.text.get(end..).and_then(|t| t.find(']'));
                Some((path, close.map_or(end, |i| end + i + 1)))
            }
            _ => None,
        }
    }

    fn reference(&mut self, path: Vec<String>, tree: &IdedExpr, end: usize) {
        // Names with `@` are made by the library's macros.
        if path[0].starts_with('@') || self.bound.contains(&path[0]) {
            return;
        }
        let mut root = tree;
        loop {
            root = match &root.expr {
                Expr::Select(select) => &select.operand,
                Expr::Call(call) if !call.args.is_empty() => &call.args[0],
                _ => break,
            };
        }
        let start = self
            .source
            .offset_for(root.id)
            .map_or(0, |(start, _)| start as usize);
        self.references.push(Reference {
            path,
            range: start..end.max(start),
        });
    }
}
