//! Reading CEL: limits, syntax errors in our words, and the walk that finds references and types.

use cel::common::ast::{CallExpr, EntryExpr, Expr, IdedExpr, LiteralValue, SourceInfo, operators};

use std::collections::HashMap;

use super::cel_function::{FUNCTIONS, Function, Style, function};
use super::cel_literal;
use super::scope::{ExprError, ExprErrorKind, Reference};
use crate::base::did_you_mean;

/// Longest condition in bytes.
pub const MAX_CONDITION_BYTES: usize = 4 * 1024;
/// Most brackets open at once: the library's parser calls itself for each.
pub(super) const MAX_DEPTH: usize = 24;
/// Most operators and dots: a long chain of them is a deep tree, and the library walks it recursively.
const MAX_OPERATORS: usize = 200;

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

/// The name as people write it of a function that was renamed.
pub(super) fn written_name(name: &str) -> &str {
    RENAMED
        .iter()
        .find(|(_, ours)| *ours == name)
        .map_or(name, |(theirs, _)| theirs)
}

/// A walk over a parsed condition: limits, references, calls.
pub(super) struct Walk<'a> {
    text: &'a str,
    source: &'a SourceInfo,
    pub(super) references: Vec<Reference>,
    /// Which part of the tree is which reference.
    pub(super) nodes: HashMap<u64, usize>,
    bound: Vec<String>,
}

impl<'a> Walk<'a> {
    pub(super) fn new(text: &'a str, source: &'a SourceInfo) -> Self {
        Self {
            text,
            source,
            references: Vec::new(),
            nodes: HashMap::new(),
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
                self.function(call, place)?;
                if let Some(target) = &mut call.target {
                    self.expression(target, depth)?;
                }
                for argument in &mut call.args {
                    self.expression(argument, depth)?;
                }
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

    /// Whether a call is possible; a function of ours gets its other name.
    fn function(&self, call: &mut CallExpr, place: Option<(u32, u32)>) -> Result<(), ExprError> {
        let name = call.func_name.as_str();
        if name.starts_with(['_', '!', '-', '@']) {
            return Ok(());
        }
        // The library's place of a call is its bracket; the name stands before it.
        let range = place.and_then(|(start, _)| {
            let upto = self.text.get(..start as usize + 1)?;
            upto.rfind(name).map(|at| at..at + name.len())
        });
        let refused = |kind, message: String, help: Option<String>| {
            let mut error = ExprError::new(message).kind(kind);
            error.help = help;
            error.range.clone_from(&range);
            Err(error)
        };
        let Some(known) = function(name) else {
            let near = did_you_mean(name, FUNCTIONS.iter().copied());
            return refused(
                ExprErrorKind::UnknownFunction,
                format!("there is no function `{name}`"),
                near.map(|near| format!("did you mean `{near}`?")),
            );
        };
        if let Some(message) = misused(known, call) {
            let help = format!("write {}", known.usage);
            return refused(ExprErrorKind::Arguments, message, Some(help));
        }
        cel_literal::check(known.name, call, self.text, self.source)?;
        if let Some((_, ours)) = RENAMED.iter().find(|(theirs, _)| *theirs == name) {
            (*ours).clone_into(&mut call.func_name);
        }
        Ok(())
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
        self.nodes.insert(tree.id, self.references.len());
        self.references.push(Reference {
            path,
            range: start..end.max(start),
        });
    }
}

/// Why a function cannot be called so.
fn misused(function: &Function, call: &CallExpr) -> Option<String> {
    let name = function.name;
    match (function.style, &call.target) {
        (Style::Macro, _) => {
            return Some(format!("`{name}` is not written like this"));
        }
        (Style::Method, None) => {
            return Some(format!(
                "`{name}` is called on a value, with a dot before it"
            ));
        }
        (Style::Call, Some(_)) => {
            return Some(format!("`{name}` takes its value in the brackets"));
        }
        _ => {}
    }
    let given = call.args.len() + usize::from(call.target.is_some());
    let (least, most) = function.counts();
    if (least..=most).contains(&given) {
        return None;
    }
    let dotted = usize::from(call.target.is_some());
    let wanted = |count: usize| match count - dotted {
        0 => "nothing".to_owned(),
        1 => "one value".to_owned(),
        count => format!("{count} values"),
    };
    let wanted = if least == most {
        wanted(least)
    } else {
        format!("{} or {}", wanted(least), wanted(most))
    };
    Some(format!(
        "`{name}` takes {wanted}, found {}",
        given - dotted.min(given)
    ))
}
