//! `for_each`, `max_parallel` and `max_failures`.

use super::fields::{Field, Fields};
use super::reader::{Reader, describe};
use crate::base::{Spanned, Value};
use crate::language::codes;
use crate::model::{ForEach, MaxFailures, YamlValueKind};

/// Reads the loop of a step; `Some(None)` when it is none, `None` when it could not be read.
pub(super) fn read_for_each(r: &mut Reader<'_>, f: &mut Fields) -> Option<Option<ForEach>> {
    if f.place("for_each").is_none() {
        for key in ["max_parallel", "max_failures"] {
            f.refuse(
                r,
                key,
                &format!("`{key}` has no meaning without `for_each`"),
                "add `for_each:` with a list such as `\"{{ params.services }}\"`, or take it out",
            );
        }
        return Some(None);
    }
    let items = f.take("for_each").and_then(|field| read_items(r, field));
    let max_parallel = f.take("max_parallel").and_then(|field| {
        let span = field.value.span;
        r.int(Some(field)).map(|count| Spanned::new(count, span))
    });
    let max_failures = f
        .take("max_failures")
        .and_then(|field| read_max_failures(r, &field));
    Some(Some(ForEach {
        items: items?,
        max_parallel,
        max_failures,
    }))
}

fn read_items(r: &mut Reader<'_>, field: Field) -> Option<crate::model::YamlValue> {
    match &field.value.kind {
        YamlValueKind::List(_) => return Some(field.value),
        YamlValueKind::Text { text, .. } if text.contains("{{") => return Some(field.value),
        YamlValueKind::Text { text, .. } => {
            let help = if text.trim().contains(['.', '[']) {
                format!("in braces it is a reference: `for_each: \"{{{{ {text} }}}}\"`")
            } else {
                format!(
                    "write a list `[{text}]`, or a reference such as `\"{{{{ params.services }}}}\"`"
                )
            };
            let message = format!(
                "`for_each` wants a list or a template that gives one, found {}",
                describe(&field.value)
            );
            r.error(
                codes::WRONG_TYPE,
                message,
                field.value.span,
                "this is text",
                &help,
            );
        }
        _ => {
            let example = format!("for_each: {}", field.key.example);
            r.wrong_type(
                &field.value,
                "for_each",
                "a list or a template that gives one",
                &example,
            );
        }
    }
    None
}

fn read_max_failures(r: &mut Reader<'_>, field: &Field) -> Option<Spanned<MaxFailures>> {
    const MOST: u64 = 1000;
    let read = match &field.value.kind {
        YamlValueKind::Literal(Value::Number(number)) => number
            .as_u64()
            .filter(|count| *count <= MOST)
            .and_then(|count| u32::try_from(count).ok())
            .map(MaxFailures::Count),
        YamlValueKind::Text { text, .. } => percent(text).map(MaxFailures::Percent),
        _ => {
            r.wrong_type(
                &field.value,
                "max_failures",
                "a number or a share",
                "max_failures: 10%",
            );
            return None;
        }
    };
    if read.is_none() {
        let message = format!(
            "`max_failures` must be a whole number from 0 to {MOST}, or a share from 0% to 100%"
        );
        r.bad_value(
            field,
            message,
            "write e.g. `max_failures: 2` or `max_failures: 10%`",
        );
    }
    read.map(|read| Spanned::new(read, field.value.span))
}

/// `10%` → 10; no sign, no leading zero, as the schema has it.
fn percent(text: &str) -> Option<u32> {
    let digits = text.strip_suffix('%')?;
    let number: u32 = digits.parse().ok()?;
    (number <= 100 && number.to_string() == digits).then_some(number)
}
