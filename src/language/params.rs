//! Values of parameters: read from `--param` texts, brought into canonical form, and checked.

use std::ops::Range;
use std::time::Duration;

use regex::{Regex, RegexBuilder};

use crate::base::{
    Map, Timestamp, Value, did_you_mean, format_duration, parse_duration, parse_size,
};
use crate::model::{ObjectTy, Param, Ty, YamlValue};

/// Reads the text of `--param name=text` as a value of a type, in the form of [`coerce`].
///
/// A list is `a,b` or JSON, a map is `k=v,l=w` or JSON.
///
/// # Errors
/// A sentence fragment that says what is wrong, with an example.
pub fn parse_param(text: &str, ty: &Ty) -> Result<Value, String> {
    let trimmed = text.trim();
    let value = match ty {
        Ty::String | Ty::Enum(_) | Ty::Service | Ty::Connection | Ty::Secret => Value::from(text),
        Ty::Duration | Ty::Size | Ty::Timestamp => Value::from(trimmed),
        Ty::Any => json(trimmed).unwrap_or_else(|_| Value::from(text)),
        Ty::Int => match trimmed.parse::<i64>() {
            Ok(number) => Value::from(number),
            Err(_) => return Err(format!("`{text}` is not a whole number; write e.g. `3`")),
        },
        Ty::Float => match trimmed.parse::<f64>() {
            Ok(number) if number.is_finite() => Value::from(number),
            _ => return Err(format!("`{text}` is not a number; write e.g. `0.5`")),
        },
        Ty::Bool => match trimmed {
            "true" => Value::Bool(true),
            "false" => Value::Bool(false),
            _ => return Err(format!("`{text}` is neither `true` nor `false`")),
        },
        Ty::List(_) if trimmed.starts_with('[') => json(trimmed)?,
        Ty::List(item) => {
            let items = parts(text).map(|part| parse_param(part, item));
            Value::Array(items.collect::<Result<_, _>>()?)
        }
        Ty::Map(_) | Ty::Object(_) if trimmed.starts_with('{') => json(trimmed)?,
        Ty::Map(item) => Value::Object(pairs(text, |_| Ok(item))?),
        Ty::Object(object) => Value::Object(pairs(text, |key| {
            object
                .fields
                .get(key)
                .ok_or_else(|| unknown_field(key, object))
        })?),
    };
    coerce(&value, ty)
}

fn json(text: &str) -> Result<Value, String> {
    serde_json::from_str(text).map_err(|error| format!("it is not valid JSON: {error}"))
}

fn parts(text: &str) -> impl Iterator<Item = &str> {
    let text = text.trim();
    text.split(',')
        .map(str::trim)
        .filter(move |_| !text.is_empty())
}

fn pairs<'t>(
    text: &str,
    item: impl Fn(&str) -> Result<&'t Ty, String>,
) -> Result<Map<String, Value>, String> {
    let mut map = Map::new();
    for part in parts(text) {
        let Some((key, value)) = part.split_once('=') else {
            return Err(format!("`{part}` is not `key=value`; write e.g. `a=1,b=2`"));
        };
        let key = key.trim();
        let value = parse_param(value, item(key)?)?;
        if map.insert(key.to_owned(), value).is_some() {
            return Err(format!("the key `{key}` stands twice"));
        }
    }
    Ok(map)
}

/// Brings a value into the canonical JSON form of a type: a duration as its shortest text, a size
/// as a number of bytes, a timestamp as RFC 3339 in UTC.
///
/// # Errors
/// A sentence fragment that says what is wrong, with an example.
pub fn coerce(value: &Value, ty: &Ty) -> Result<Value, String> {
    match ty {
        Ty::Any => Ok(value.clone()),
        Ty::String | Ty::Service | Ty::Connection | Ty::Secret => {
            text_of(value, ty).map(Value::from)
        }
        Ty::Int => match value.as_i64() {
            Some(number) => Ok(Value::from(number)),
            None => Err(wrong("a whole number", value, "3")),
        },
        Ty::Float => match value.as_f64() {
            Some(number) => Ok(Value::from(number)),
            None => Err(wrong("a number", value, "0.5")),
        },
        Ty::Bool => match value {
            Value::Bool(_) => Ok(value.clone()),
            _ => Err(wrong("a boolean", value, "true")),
        },
        Ty::Duration => match value {
            Value::String(text) => {
                parse_duration(text).map(|duration| Value::from(format_duration(duration)))
            }
            _ => Err(wrong("a duration", value, "30s")),
        },
        Ty::Size => match value {
            Value::String(text) => parse_size(text).map(Value::from),
            _ => match value.as_u64() {
                Some(bytes) => Ok(Value::from(bytes)),
                None => Err(wrong("a size", value, "64MiB")),
            },
        },
        Ty::Timestamp => match value {
            Value::String(text) => match text.parse::<Timestamp>() {
                Ok(at) => Ok(Value::from(at.to_string())),
                Err(error) => Err(error.to_string()),
            },
            _ => Err(wrong("a timestamp", value, "2026-11-23T03:00:00Z")),
        },
        Ty::Enum(names) => {
            let text = text_of(value, ty)?;
            if names.iter().any(|name| name == text) {
                return Ok(value.clone());
            }
            Err(not_among(text, names))
        }
        Ty::List(item) => match value {
            Value::Array(items) => {
                let items = items.iter().enumerate().map(|(index, value)| {
                    coerce(value, item).map_err(|reason| format!("item {}: {reason}", index + 1))
                });
                Ok(Value::Array(items.collect::<Result<_, _>>()?))
            }
            _ => Err(wrong("a list", value, "[a, b]")),
        },
        Ty::Map(item) => entries(value, |_| Ok(item)),
        Ty::Object(object) => coerce_object(value, object),
    }
}

fn coerce_object(value: &Value, object: &ObjectTy) -> Result<Value, String> {
    const OPEN: &Ty = &Ty::Any;
    let map = entries(value, |key| match object.fields.get(key) {
        Some(ty) => Ok(ty),
        None if object.open => Ok(OPEN),
        None => Err(unknown_field(key, object)),
    })?;
    match object
        .required
        .iter()
        .find(|key| map.get(key.as_str()).is_none())
    {
        Some(key) => Err(format!("the key `{key}` is missing")),
        None => Ok(map),
    }
}

fn entries<'t>(
    value: &Value,
    ty_of: impl Fn(&str) -> Result<&'t Ty, String>,
) -> Result<Value, String> {
    let Value::Object(map) = value else {
        return Err(wrong("a map", value, "{ key: value }"));
    };
    let entries = map.iter().map(|(key, value)| {
        let coerced = coerce(value, ty_of(key)?).map_err(|reason| format!("`{key}`: {reason}"))?;
        Ok((key.clone(), coerced))
    });
    Ok(Value::Object(entries.collect::<Result<_, String>>()?))
}

fn text_of<'a>(value: &'a Value, ty: &Ty) -> Result<&'a str, String> {
    value.as_str().ok_or_else(|| match value {
        Value::Number(_) | Value::Bool(_) => {
            format!("wants text, found `{value}`; quote it: \"{value}\"")
        }
        _ => wrong(
            if matches!(ty, Ty::String) {
                "text"
            } else {
                "a name"
            },
            value,
            "api",
        ),
    })
}

fn wrong(wanted: &str, value: &Value, example: &str) -> String {
    let found = match value {
        Value::Null => "nothing".to_owned(),
        Value::Bool(_) | Value::Number(_) => format!("`{value}`"),
        Value::String(text) => format!("the text {:?}", text.chars().take(40).collect::<String>()),
        Value::Array(_) => "a list".to_owned(),
        Value::Object(_) => "a map".to_owned(),
    };
    format!("wants {wanted}, found {found}; write e.g. `{example}`")
}

fn not_among(text: &str, names: &[String]) -> String {
    let permitted = names.join(", ");
    match did_you_mean(text, names.iter().map(String::as_str)) {
        Some(near) => {
            format!("`{text}` is not permitted; did you mean `{near}`? Permitted: {permitted}")
        }
        None => format!("`{text}` is not permitted; permitted: {permitted}"),
    }
}

fn unknown_field(key: &str, object: &ObjectTy) -> String {
    let names: Vec<String> = object.fields.keys().cloned().collect();
    not_among(key, &names)
}

/// Compiles the `pattern` of a parameter; the whole text must match it.
///
/// # Errors
/// Why it is not a regular expression, in one line.
pub fn compile_pattern(pattern: &str) -> Result<Regex, String> {
    let short = |error: regex::Error| {
        let text = error.to_string();
        let last = text.lines().last().unwrap_or_default();
        last.trim_start_matches("error: ").to_owned()
    };
    // Compiled alone first, so that a stray `)` cannot close our own group.
    RegexBuilder::new(pattern)
        .size_limit(1 << 20)
        .build()
        .map_err(short)?;
    RegexBuilder::new(&format!(r"\A(?:{pattern})\z"))
        .size_limit(1 << 20)
        .build()
        .map_err(short)
}

/// Why a text is no regular expression, with the place of the mistake in it when that is known.
pub(super) fn pattern_problem(pattern: &str) -> Option<(String, Option<Range<usize>>)> {
    let why = compile_pattern(pattern).err()?;
    let span = match regex_syntax::parse(pattern).err() {
        Some(regex_syntax::Error::Parse(error)) => *error.span(),
        Some(regex_syntax::Error::Translate(error)) => *error.span(),
        _ => return Some((why, None)),
    };
    Some((why, Some(span.start.offset..span.end.offset)))
}

/// What a parameter permits, wherever it is written.
#[derive(Debug, Clone, Copy)]
pub struct ParamRules<'a> {
    /// Its type.
    pub ty: &'a Ty,
    /// A regular expression that the whole text must match.
    pub pattern: Option<&'a str>,
    /// The smallest value.
    pub min: Option<&'a Value>,
    /// The largest value.
    pub max: Option<&'a Value>,
}

/// The rule of a parameter that a value breaks.
#[derive(Debug, Clone, PartialEq)]
pub enum BrokenRule {
    /// The type; what is wrong, with an example. The text may quote the value.
    Form(String),
    /// The pattern cannot be used, and why.
    BadPattern(String),
    /// The pattern.
    Pattern,
    /// It is less than this, the smallest permitted.
    Min(Value),
    /// It is more than this, the largest permitted.
    Max(Value),
}

impl ParamRules<'_> {
    /// Brings a value into the form of the type and holds it against the rules.
    ///
    /// # Errors
    /// The first rule that it breaks.
    pub fn accept(&self, value: &Value) -> Result<Value, BrokenRule> {
        let form = |value| coerce(value, self.ty).map_err(BrokenRule::Form);
        let value = form(value)?;
        if let (Some(pattern), Some(text)) = (self.pattern, value.as_str())
            && !compile_pattern(pattern)
                .map_err(BrokenRule::BadPattern)?
                .is_match(text)
        {
            return Err(BrokenRule::Pattern);
        }
        let size = magnitude(&value, self.ty);
        if let Some(min) = self.min.map(form).transpose()?
            && size < magnitude(&min, self.ty)
        {
            return Err(BrokenRule::Min(min));
        }
        if let Some(max) = self.max.map(form).transpose()?
            && size > magnitude(&max, self.ty)
        {
            return Err(BrokenRule::Max(max));
        }
        Ok(value)
    }
}

/// Brings a value into the form of its parameter's type and checks `pattern`, `min` and `max`.
/// For defaults and given values alike.
///
/// # Errors
/// A sentence fragment that says what is wrong, with an example.
pub fn check_param_value(param: &Param, value: &Value) -> Result<Value, String> {
    let bound = |bound: &Option<YamlValue>| bound.as_ref().map(YamlValue::to_json);
    let (min, max) = (bound(&param.min), bound(&param.max));
    let rules = ParamRules {
        ty: &param.ty,
        pattern: param.pattern.as_ref().map(|pattern| pattern.value.as_str()),
        min: min.as_ref(),
        max: max.as_ref(),
    };
    let shown = || coerce(value, &param.ty).map_or_else(|_| plain(value), |value| plain(&value));
    rules.accept(value).map_err(|broken| match broken {
        BrokenRule::Form(why) | BrokenRule::BadPattern(why) => why,
        BrokenRule::Pattern => format!(
            "`{}` does not match the pattern `{}`",
            shown(),
            rules.pattern.unwrap_or_default()
        ),
        BrokenRule::Min(min) => format!(
            "{} is less than {}, the smallest permitted",
            shown(),
            plain(&min)
        ),
        BrokenRule::Max(max) => format!(
            "{} is more than {}, the largest permitted",
            shown(),
            plain(&max)
        ),
    })
}

fn plain(value: &Value) -> String {
    value
        .as_str()
        .map_or_else(|| value.to_string(), str::to_owned)
}

/// What bounds compare. Only values of one type meet, so the variants never mix.
#[derive(Debug, PartialEq, PartialOrd)]
enum Magnitude {
    None,
    Whole(i128),
    Real(f64),
    Time(Duration),
}

fn magnitude(value: &Value, ty: &Ty) -> Magnitude {
    match ty {
        Ty::Int | Ty::Size => {
            let whole = value.as_i64().map(i128::from);
            let whole = whole.or_else(|| value.as_u64().map(i128::from));
            whole.map_or(Magnitude::None, Magnitude::Whole)
        }
        Ty::Float => value.as_f64().map_or(Magnitude::None, Magnitude::Real),
        Ty::Duration => value
            .as_str()
            .and_then(|text| parse_duration(text).ok())
            .map_or(Magnitude::None, Magnitude::Time),
        _ => Magnitude::None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn values_take_their_canonical_form() {
        for (value, ty, wanted) in [
            (json!("90s"), Ty::Duration, json!("1m30s")),
            (json!("64KiB"), Ty::Size, json!(65_536)),
            (json!(12), Ty::Size, json!(12)),
            (
                json!("2026-11-23T04:00:00+01:00"),
                Ty::Timestamp,
                json!("2026-11-23T03:00:00.000Z"),
            ),
            (json!(2), Ty::Float, json!(2.0)),
            (
                json!(["1s", "60s"]),
                Ty::List(Box::new(Ty::Duration)),
                json!(["1s", "1m"]),
            ),
            (json!({"a": 1}), Ty::Map(Box::new(Ty::Int)), json!({"a": 1})),
            (
                json!("b"),
                Ty::Enum(vec!["a".into(), "b".into()]),
                json!("b"),
            ),
            (json!([null]), Ty::Any, json!([null])),
        ] {
            assert_eq!(coerce(&value, &ty), Ok(wanted), "{value} as {ty}");
        }
    }

    #[test]
    fn wrong_values_get_a_reason() {
        for (value, ty, reason) in [
            (json!(5), Ty::String, "quote it: \"5\""),
            (json!(null), Ty::String, "found nothing"),
            (json!(1.5), Ty::Int, "wants a whole number, found `1.5`"),
            (json!("x"), Ty::Float, "wants a number"),
            (json!("yes"), Ty::Bool, "wants a boolean"),
            (
                json!(10),
                Ty::Duration,
                "wants a duration, found `10`; write e.g. `30s`",
            ),
            (json!("10"), Ty::Duration, "no unit"),
            (json!(-1), Ty::Size, "wants a size"),
            (json!("today"), Ty::Timestamp, "not a timestamp"),
            (
                json!("fst"),
                Ty::Enum(vec!["fast".into(), "slow".into()]),
                "did you mean `fast`?",
            ),
            (
                json!(["a", 1]),
                Ty::List(Box::new(Ty::String)),
                "item 2: wants text",
            ),
            (
                json!({"k": "x"}),
                Ty::Map(Box::new(Ty::Int)),
                "`k`: wants a whole number",
            ),
            (
                json!([]),
                Ty::Map(Box::new(Ty::Int)),
                "wants a map, found a list",
            ),
        ] {
            let error = coerce(&value, &ty).expect_err("refused");
            assert!(error.contains(reason), "{value} as {ty}: {error}");
        }
    }

    #[test]
    fn objects_know_their_keys() {
        let object = |open| {
            Ty::Object(ObjectTy {
                fields: [("at".to_owned(), Ty::Duration)].into(),
                required: vec!["at".into()],
                open,
            })
        };
        assert_eq!(
            coerce(&json!({"at": "60s"}), &object(false)),
            Ok(json!({"at": "1m"}))
        );
        assert_eq!(
            coerce(&json!({"at": "1s", "b": 1}), &object(true)),
            Ok(json!({"at": "1s", "b": 1}))
        );
        let error = coerce(&json!({"att": "1s"}), &object(false)).expect_err("refused");
        assert!(error.contains("did you mean `at`?"), "{error}");
        let error = coerce(&json!({}), &object(true)).expect_err("refused");
        assert!(error.contains("`at` is missing"), "{error}");
    }

    #[test]
    fn texts_of_the_command_line_are_read() {
        let list = |ty| Ty::List(Box::new(ty));
        for (text, ty, wanted) in [
            ("a b", Ty::String, json!("a b")),
            ("5", Ty::String, json!("5")),
            ("-5", Ty::Int, json!(-5)),
            ("1e3", Ty::Float, json!(1000.0)),
            ("true", Ty::Bool, json!(true)),
            ("120s", Ty::Duration, json!("2m")),
            ("1KiB", Ty::Size, json!(1024)),
            ("512", Ty::Size, json!(512)),
            ("a, b", list(Ty::String), json!(["a", "b"])),
            ("", list(Ty::String), json!([])),
            ("[\"a,b\"]", list(Ty::String), json!(["a,b"])),
            ("1,2", list(Ty::Int), json!([1, 2])),
            (
                "a=1,b=2",
                Ty::Map(Box::new(Ty::Int)),
                json!({"a": 1, "b": 2}),
            ),
            (
                "{\"a\": \"1s\"}",
                Ty::Map(Box::new(Ty::Duration)),
                json!({"a": "1s"}),
            ),
            ("{\"a\": 1}", Ty::Any, json!({"a": 1})),
            ("plain", Ty::Any, json!("plain")),
        ] {
            assert_eq!(parse_param(text, &ty), Ok(wanted), "{text:?} as {ty}");
        }
        for (text, ty, reason) in [
            ("x", Ty::Int, "not a whole number"),
            ("inf", Ty::Float, "not a number"),
            ("yes", Ty::Bool, "neither `true` nor `false`"),
            ("[1", list(Ty::Int), "not valid JSON"),
            ("a", Ty::Map(Box::new(Ty::Int)), "not `key=value`"),
            ("a=1,a=2", Ty::Map(Box::new(Ty::Int)), "stands twice"),
            ("10", Ty::Duration, "no unit"),
        ] {
            let error = parse_param(text, &ty).expect_err("refused");
            assert!(error.contains(reason), "{text:?} as {ty}: {error}");
        }
    }

    #[test]
    fn patterns_match_the_whole_text_and_cannot_escape_their_group() {
        let pattern = compile_pattern("a|bc").expect("valid");
        assert!(pattern.is_match("bc") && pattern.is_match("a"));
        assert!(!pattern.is_match("ab") && !pattern.is_match("xbc") && !pattern.is_match("a\n"));
        for bad in ["(", ")|(", "[", "a{99999999}"] {
            assert!(compile_pattern(bad).is_err(), "{bad}");
        }
    }

    proptest::proptest! {
        #![proptest_config(proptest::prelude::ProptestConfig { failure_persistence: None, ..Default::default() })]

        #[test]
        fn the_canonical_form_is_stable(text in "[0-9a-z.,=:{}\\[\\]\" -]{0,20}") {
            for ty in [Ty::Duration, Ty::Size, Ty::Timestamp, Ty::Float, Ty::Any, Ty::List(Box::new(Ty::Int))] {
                if let Ok(value) = parse_param(&text, &ty) {
                    proptest::prop_assert_eq!(coerce(&value, &ty), Ok(value.clone()));
                }
            }
        }
    }
}
