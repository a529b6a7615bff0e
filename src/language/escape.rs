//! How a value becomes text in a place: plain, shell word, URL part, JSON.

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

use super::secret_marker::{Deferred, escape_around, mark_json};
use crate::base::{Value, canonical_json};
use crate::model::Escape;

/// RFC 3986 `unreserved`: everything else is encoded.
const URL_PART: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'~');

/// A host may be written with its port, and an IPv6 address in brackets (RFC 3986, 3.2).
const URL_HOST: &AsciiSet = &URL_PART.remove(b':').remove(b'[').remove(b']');

/// The text of a value in a place of this kind.
///
/// # Errors
/// A sentence fragment: no value, a list where one word is wanted, a NUL byte in a shell word.
pub(crate) fn escape_value(value: &Value, escape: Escape) -> Result<String, String> {
    match escape {
        Escape::None => plain_text(value),
        Escape::Shell => shell_word(value),
        Escape::Url => match value {
            Value::Array(_) | Value::Object(_) => Err(format!(
                "a {} cannot stand in a URL; loop over it with {{{{#each}}}} or write {{{{json ...}}}}",
                kind_name(value)
            )),
            scalar => encode(&plain_text(scalar)?, Deferred::Url, URL_PART),
        },
        Escape::Json => Ok(json_text(value)),
    }
}

/// The text of a value that stands first in a URL: a whole `http://host` is left as it is.
pub(crate) fn escape_url_start(value: &Value) -> Result<String, String> {
    match value {
        Value::String(text) if text.starts_with("http://") || text.starts_with("https://") => {
            Ok(text.clone())
        }
        Value::String(text) => encode(text, Deferred::UrlStart, URL_PART),
        other => escape_value(other, Escape::Url),
    }
}

/// The text of a value that stands where a URL names its host.
pub(crate) fn escape_url_host(value: &Value) -> Result<String, String> {
    match value {
        Value::String(text) => encode(text, Deferred::UrlHost, URL_HOST),
        other => escape_value(other, Escape::Url),
    }
}

/// Whether what follows a text in a URL is still the host: after `scheme://`, before the path.
pub(crate) fn is_before_host(text: &str) -> bool {
    text.split_once("://")
        .is_some_and(|(_, rest)| !rest.contains(['/', '?', '#']))
}

/// The canonical text of a value; maps and lists as JSON.
pub(crate) fn plain_text(value: &Value) -> Result<String, String> {
    match value {
        Value::Null => Err("it is null; give a fallback with {{default ... \"text\"}}".to_owned()),
        Value::String(text) => Ok(text.clone()),
        Value::Bool(_) | Value::Number(_) => Ok(value.to_string()),
        Value::Array(_) | Value::Object(_) => Ok(json_text(value)),
    }
}

/// The canonical JSON text of a value; markers of secrets in it know that they stand inside quotes.
pub(crate) fn json_text(value: &Value) -> String {
    mark_json(canonical_json(value))
}

/// A text as it stands between the quotes of a JSON text.
pub(crate) fn json_inner(text: &str) -> String {
    let quoted = canonical_json(&Value::from(text));
    quoted[1..quoted.len() - 1].to_owned()
}

fn encode(text: &str, deferred: Deferred, set: &'static AsciiSet) -> Result<String, String> {
    escape_around(text, deferred, |text| {
        Ok(utf8_percent_encode(text, set).to_string())
    })
}

/// One POSIX shell word.
fn shell_word(value: &Value) -> Result<String, String> {
    match value {
        Value::Array(_) => Err(
            "a list is not one shell word; pass its items as words with \
             {{sh ...}}, loop over it with {{#each}}, or write {{json ...}}"
                .to_owned(),
        ),
        Value::Object(_) => {
            Err("a map is not a shell word; name one of its keys, or write {{json ...}}".to_owned())
        }
        scalar => quote(&plain_text(scalar)?),
    }
}

/// Shell words: a scalar as one, a list of scalars as one each.
pub(crate) fn shell_words(value: &Value) -> Result<String, String> {
    match value {
        Value::Array(items) => Ok(items
            .iter()
            .map(shell_word)
            .collect::<Result<Vec<_>, _>>()?
            .join(" ")),
        other => shell_word(other),
    }
}

fn quote(text: &str) -> Result<String, String> {
    escape_around(text, Deferred::Shell, |text| {
        shlex::try_quote(text)
            .map(std::borrow::Cow::into_owned)
            .map_err(|_| "a shell word cannot hold a NUL byte".to_owned())
    })
}

/// `text`, `list`, ... for messages.
pub(crate) fn kind_name(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "bool",
        Value::Number(_) => "number",
        Value::String(_) => "text",
        Value::Array(_) => "list",
        Value::Object(_) => "map",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::json;

    #[test]
    fn every_kind_in_every_place() {
        let text = |value: Value, escape| escape_value(&value, escape);
        let ok = |text: &str| Ok(text.to_owned());
        assert_eq!(text(json!("a b"), Escape::None), ok("a b"));
        assert_eq!(text(json!("a b"), Escape::Shell), ok("'a b'"));
        assert_eq!(text(json!(""), Escape::Shell), ok("''"));
        assert_eq!(text(json!("a b/ü"), Escape::Url), ok("a%20b%2F%C3%BC"));
        assert_eq!(text(json!("a \"b\""), Escape::Json), ok(r#""a \"b\"""#));
        assert_eq!(text(json!(1.5), Escape::None), ok("1.5"));
        assert_eq!(text(json!(true), Escape::Shell), ok("true"));
        assert_eq!(
            text(json!([1, {"b": 1, "a": null}]), Escape::None),
            ok(r#"[1,{"a":null,"b":1}]"#)
        );
        assert_eq!(text(json!(null), Escape::Json), ok("null"));
        for (value, escape, part) in [
            (json!(null), Escape::None, "is null"),
            (json!(["a"]), Escape::Shell, "{{sh ...}}"),
            (json!({}), Escape::Shell, "a map"),
            (json!(["a"]), Escape::Url, "a list cannot stand in a URL"),
            (json!("a\0b"), Escape::Shell, "NUL"),
        ] {
            let error = text(value, escape).expect_err(part);
            assert!(error.contains(part), "{error}");
        }
        assert_eq!(shell_words(&json!(["a b", 1])).as_deref(), Ok("'a b' 1"));
        assert_eq!(
            escape_url_start(&json!("https://h:1/a b")).as_deref(),
            Ok("https://h:1/a b")
        );
        assert_eq!(escape_url_start(&json!("h/x")).as_deref(), Ok("h%2Fx"));
    }

    proptest! {
        #[test]
        fn a_shell_word_reads_back(text in "[^\0]{0,60}", other in "[^\0]{0,20}") {
            let word = escape_value(&json!(text), Escape::Shell).expect("quotable");
            prop_assert_eq!(shlex::split(&word), Some(vec![text.clone()]));
            let words = shell_words(&json!([text, other])).expect("quotable");
            prop_assert_eq!(shlex::split(&words), Some(vec![text, other]));
        }

        #[test]
        fn a_url_part_has_no_special_character_and_reads_back(text in ".{0,60}") {
            let part = escape_value(&json!(text), Escape::Url).expect("text");
            prop_assert!(part.chars().all(|c| c.is_ascii_alphanumeric() || "-._~%".contains(c)));
            prop_assert_eq!(
                percent_encoding::percent_decode_str(&part).decode_utf8_lossy(),
                text
            );
        }
    }
}
