//! Written durations, times, sizes and patterns in conditions, read before the run.

use std::ops::Range;

use cel::common::ast::{CallExpr, Expr, IdedExpr, LiteralValue, SourceInfo};

use super::params::pattern_problem;
use super::scope::{ExprError, ExprErrorKind};
use crate::base::{Timestamp, parse_duration, parse_size};

/// Reads the texts that are written out in a call.
///
/// # Errors
/// [`ExprError`] at the text; at the mistake inside it for a pattern.
pub(super) fn check(
    name: &str,
    call: &CallExpr,
    text: &str,
    source: &SourceInfo,
) -> Result<(), ExprError> {
    let Some(last) = call.args.last() else {
        return Ok(());
    };
    let Expr::Literal(LiteralValue::String(literal)) = &last.expr else {
        return Ok(());
    };
    let (literal, place) = (literal.inner(), place(last, source));
    let read = match name {
        "duration" => parse_duration(literal).map(drop),
        "bytes" => parse_size(literal).map(drop),
        "timestamp" => literal
            .parse::<Timestamp>()
            .map(drop)
            .map_err(|error| error.to_string()),
        "matches" => {
            let Some((why, inside)) = pattern_problem(literal) else {
                return Ok(());
            };
            let exact = place
                .clone()
                .zip(inside)
                .and_then(|(place, inside)| within(text, place, literal, inside));
            let mut error = ExprError::new(format!("the pattern cannot be read: {why}"))
                .kind(ExprErrorKind::Pattern)
                .help("in a condition, write patterns as r\"...\", where a backslash is one");
            error.range = exact.or(place);
            return Err(error);
        }
        _ => Ok(()),
    };
    read.map_err(|why| {
        let mut error = ExprError::new(why).kind(ExprErrorKind::Literal);
        error.range = place;
        error
    })
}

fn place(tree: &IdedExpr, source: &SourceInfo) -> Option<Range<usize>> {
    let (start, last) = source.offset_for(tree.id)?;
    Some(start as usize..last as usize + 1)
}

/// The place of a part of a literal, when the literal stands in the condition letter by letter.
fn within(
    text: &str,
    place: Range<usize>,
    literal: &str,
    inside: Range<usize>,
) -> Option<Range<usize>> {
    let written = text.get(place.clone())?;
    let quotes = written.trim_start_matches(['r', 'R']);
    let opening = written.len() - quotes.len() + 1;
    let body = written.get(opening..written.len().checked_sub(1)?)?;
    (body == literal).then(|| {
        let start = place.start + opening;
        start + inside.start..start + inside.end
    })
}
