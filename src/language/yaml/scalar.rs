//! Plain scalars after the core schema of YAML 1.2 (§10.3): `no`, `on` and `yes` are text.

use saphyr_parser::ScalarStyle;

use crate::base::{Span, Value};
use crate::model::YamlValueKind;

/// Why a plain scalar that looks like a number cannot be one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum NumberProblem {
    /// Beyond 64 bits.
    TooLarge,
    /// `.inf` or `.nan`: JSON has no such number.
    NotFinite,
    /// `0755`: octal in YAML 1.1, decimal in YAML 1.2.
    LeadingZero,
}

/// Reads a plain scalar.
///
/// # Errors
/// [`NumberProblem`] for a number that would be carried wrongly.
pub(super) fn resolve_plain(text: &str) -> Result<Option<Value>, NumberProblem> {
    match text {
        "" | "~" | "null" | "Null" | "NULL" => return Ok(Some(Value::Null)),
        "true" | "True" | "TRUE" => return Ok(Some(Value::Bool(true))),
        "false" | "False" | "FALSE" => return Ok(Some(Value::Bool(false))),
        _ => {}
    }
    if !text.starts_with(|c: char| c.is_ascii_digit() || matches!(c, '+' | '-' | '.')) {
        return Ok(None);
    }
    let unsigned = text.strip_prefix(['+', '-']).unwrap_or(text);
    if matches!(unsigned, ".inf" | ".Inf" | ".INF") || matches!(text, ".nan" | ".NaN" | ".NAN") {
        return Err(NumberProblem::NotFinite);
    }
    for (prefix, radix) in [("0o", 8), ("0x", 16)] {
        if let Some(digits) = text.strip_prefix(prefix) {
            if digits.is_empty() || !digits.chars().all(|c| c.is_digit(radix)) {
                return Ok(None);
            }
            return i64::from_str_radix(digits, radix)
                .map(|n| Some(Value::from(n)))
                .map_err(|_| NumberProblem::TooLarge);
        }
    }
    if !unsigned.is_empty() && unsigned.bytes().all(|b| b.is_ascii_digit()) {
        if unsigned.len() > 1 && unsigned.starts_with('0') {
            return Err(NumberProblem::LeadingZero);
        }
        return text
            .parse::<i64>()
            .map(|n| Some(Value::from(n)))
            .map_err(|_| NumberProblem::TooLarge);
    }
    if !is_core_float(unsigned) {
        return Ok(None);
    }
    let number = text.parse().ok().and_then(serde_json::Number::from_f64);
    number
        .map(|n| Some(Value::Number(n)))
        .ok_or(NumberProblem::TooLarge)
}

/// `( \. [0-9]+ | [0-9]+ ( \. [0-9]* )? ) ( [eE] [-+]? [0-9]+ )?`
fn is_core_float(text: &str) -> bool {
    let digits = |s: &str| s.bytes().all(|b| b.is_ascii_digit());
    let (mantissa, exponent) = match text.split_once(['e', 'E']) {
        Some((mantissa, exponent)) => (mantissa, Some(exponent)),
        None => (text, None),
    };
    let exponent_ok = exponent.is_none_or(|e| {
        let e = e.strip_prefix(['+', '-']).unwrap_or(e);
        !e.is_empty() && digits(e)
    });
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let some_digit = !whole.is_empty() || !fraction.is_empty();
    exponent_ok && some_digit && digits(whole) && digits(fraction)
}

/// The tree node of a text, with the place of its first letter where the file holds it unchanged.
pub(super) fn text_node(file: &str, text: String, style: ScalarStyle, span: Span) -> YamlValueKind {
    let stands_at = |offset: usize, length: usize| {
        text.get(..length).is_some_and(|wanted| {
            file.get(offset..)
                .is_some_and(|rest| rest.starts_with(wanted))
        })
    };
    let content_offset = match style {
        ScalarStyle::Plain => stands_at(span.start, text.len()).then_some(span.start),
        ScalarStyle::SingleQuoted | ScalarStyle::DoubleQuoted => {
            let start = span.start + 1;
            let quote = file.as_bytes().get(span.start);
            let closing = file.as_bytes().get(start + text.len());
            (stands_at(start, text.len()) && quote == closing).then_some(start)
        }
        ScalarStyle::Literal => {
            let line = text.strip_suffix('\n').unwrap_or(&text);
            (!line.contains('\n') && stands_at(span.start, line.len())).then_some(span.start)
        }
        ScalarStyle::Folded => None,
    };
    YamlValueKind::Text {
        text,
        content_offset,
    }
}

/// The place of a scalar itself: the parser's range also covers an anchor or tag in front of it
/// and, for quoted ones, a comment behind it.
pub(super) fn exact_span(file: &str, span: Span, style: ScalarStyle) -> Span {
    let inside = file.get(span.start..span.end()).unwrap_or_default();
    let mut rest = inside;
    // A scalar itself starts with neither, except that a block's content may.
    while rest.starts_with(['&', '!'])
        && !matches!(style, ScalarStyle::Literal | ScalarStyle::Folded)
    {
        let property = rest.find(char::is_whitespace).unwrap_or(rest.len());
        rest = rest[property..].trim_start();
    }
    let start = span.end() - rest.len();
    let len = match style {
        ScalarStyle::SingleQuoted => quoted_len(rest, b'\''),
        ScalarStyle::DoubleQuoted => quoted_len(rest, b'"'),
        _ => rest.trim_end().len(),
    };
    Span { start, len }
}

fn quoted_len(text: &str, quote: u8) -> usize {
    let bytes = text.as_bytes();
    let mut at = 1;
    while let Some(&byte) = bytes.get(at) {
        match byte {
            b'\\' if quote == b'"' => at += 1,
            b'\'' if quote == b'\'' && bytes.get(at + 1) == Some(&b'\'') => at += 1,
            byte if byte == quote => return at + 1,
            _ => {}
        }
        at += 1;
    }
    text.len()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn only_the_core_schema_is_resolved() {
        for (text, value) in [
            ("", json!(null)),
            ("~", json!(null)),
            ("true", json!(true)),
            ("False", json!(false)),
            ("0", json!(0)),
            ("-12", json!(-12)),
            ("+3", json!(3)),
            ("0o755", json!(493)),
            ("0x1F", json!(31)),
            ("1.5", json!(1.5)),
            (".5", json!(0.5)),
            ("1.", json!(1.0)),
            ("-1e3", json!(-1000.0)),
        ] {
            assert_eq!(resolve_plain(text), Ok(Some(value)), "{text}");
        }
        for text in [
            "no",
            "yes",
            "on",
            "off",
            "y",
            "1.2.3",
            "10s",
            "-",
            "+",
            ".",
            "1e",
            "e5",
            "0x",
            "0o9",
            "2026-11-01",
            "12:30",
            "1_000",
            "-.",
        ] {
            assert_eq!(resolve_plain(text), Ok(None), "{text}");
        }
        for (text, problem) in [
            ("0755", NumberProblem::LeadingZero),
            ("-007", NumberProblem::LeadingZero),
            ("9223372036854775808", NumberProblem::TooLarge),
            ("0xFFFFFFFFFFFFFFFF", NumberProblem::TooLarge),
            ("1e999", NumberProblem::TooLarge),
            ("-.inf", NumberProblem::NotFinite),
            (".nan", NumberProblem::NotFinite),
        ] {
            assert_eq!(resolve_plain(text), Err(problem), "{text}");
        }
    }
}
