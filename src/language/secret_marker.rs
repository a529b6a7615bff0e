//! The text that stands for a secret until a handler is called.
//!
//! A marker is readable text between two invisible separators (U+2063), so that plans, journals and
//! screens can show it as it is. Where a value would be escaped, the marker notes how, and the real
//! value is escaped when it is put in: the result is the same as if the value had been there from the
//! beginning.

use std::borrow::Cow;
use std::collections::BTreeSet;
use std::ops::Range;

use super::escape::{escape_url_host, escape_url_start, escape_value, json_inner};
use crate::base::Value;
use crate::model::Escape;

/// Begins and ends a marker.
const EDGE: char = '\u{2063}';
/// What a marker begins with.
const HEAD: &str = "\u{2063}[secret ";
/// What a marker ends with.
const TAIL: &str = "]\u{2063}";

/// What an expression sees in place of a secret's value. `name` is that of `Plan.secrets`.
pub fn marker(name: &str) -> String {
    format!("{HEAD}{name}{TAIL}")
}

/// How the real value is escaped when it is put in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Deferred {
    /// As one word, or a part of one, for a POSIX shell.
    Shell,
    /// As a part of a URL.
    Url,
    /// As the beginning of a URL: a whole `http://host` is left as it is.
    UrlStart,
    /// As the host of a URL.
    UrlHost,
    /// As a part of a JSON text inside its quotes.
    Json,
}

impl Deferred {
    const ALL: [Self; 5] = [
        Self::Shell,
        Self::Url,
        Self::UrlStart,
        Self::UrlHost,
        Self::Json,
    ];

    fn name(self) -> &'static str {
        match self {
            Self::Shell => "shell",
            Self::Url => "url",
            Self::UrlStart => "url_start",
            Self::UrlHost => "url_host",
            Self::Json => "json",
        }
    }

    fn apply(self, text: String) -> Result<String, String> {
        let value = Value::String(text);
        match self {
            Self::Shell => escape_value(&value, Escape::Shell),
            Self::Url => escape_value(&value, Escape::Url),
            Self::UrlStart => escape_url_start(&value),
            Self::UrlHost => escape_url_host(&value),
            Self::Json => Ok(json_inner(value.as_str().unwrap_or_default())),
        }
    }
}

/// A marker in a text.
struct Found<'a> {
    range: Range<usize>,
    name: &'a str,
    escapes: Vec<Deferred>,
}

/// The next marker at or after a place.
fn find(text: &str, from: usize) -> Option<Found<'_>> {
    let mut at = from;
    loop {
        let start = at + text.get(at..)?.find(HEAD)?;
        let inner = start + HEAD.len();
        let end = inner + text[inner..].find(EDGE)?;
        if let Some(found) = read(&text[inner..end]) {
            let (name, escapes) = found;
            return Some(Found {
                range: start..end + EDGE.len_utf8(),
                name,
                escapes,
            });
        }
        at = inner;
    }
}

/// What stands between a marker's head and its last separator.
fn read(inner: &str) -> Option<(&str, Vec<Deferred>)> {
    let mut parts = inner.strip_suffix(']')?.split(" | ");
    let name = parts.next()?;
    let escapes = parts
        .map(|part| Deferred::ALL.into_iter().find(|kind| kind.name() == part))
        .collect::<Option<_>>()?;
    Some((name, escapes))
}

/// Whether a text holds a marker.
pub fn has_marker(text: &str) -> bool {
    text.contains(HEAD) && find(text, 0).is_some()
}

/// Escapes a text that may hold markers: what is known now by `literal`, and the markers are told to
/// be escaped later.
pub(crate) fn escape_around(
    text: &str,
    deferred: Deferred,
    literal: impl Fn(&str) -> Result<String, String>,
) -> Result<String, String> {
    let mut out = String::new();
    let mut at = 0;
    while let Some(found) = find(text, at) {
        if found.range.start > at {
            out.push_str(&literal(&text[at..found.range.start])?);
        }
        let marked = &text[found.range.clone()];
        out.push_str(marked.strip_suffix(TAIL).unwrap_or(marked));
        out.push_str(" | ");
        out.push_str(deferred.name());
        out.push_str(TAIL);
        at = found.range.end;
    }
    if at == 0 || at < text.len() {
        out.push_str(&literal(&text[at..])?);
    }
    Ok(out)
}

/// Tells the markers in a JSON text that they stand inside its quotes.
pub(crate) fn mark_json(text: String) -> String {
    if !has_marker(&text) {
        return text;
    }
    // The text is escaped already; only the markers are still to be told.
    escape_around(&text, Deferred::Json, |text| Ok(text.to_owned())).unwrap_or(text)
}

/// The names of the secrets whose markers a value holds.
pub fn secret_names(value: &Value) -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    collect(value, &mut names);
    names
}

fn collect(value: &Value, names: &mut BTreeSet<String>) {
    match value {
        Value::String(text) => {
            let mut at = 0;
            while let Some(found) = find(text, at) {
                names.insert(found.name.to_owned());
                at = found.range.end;
            }
        }
        Value::Array(items) => items.iter().for_each(|item| collect(item, names)),
        Value::Object(map) => map.iter().for_each(|(key, item)| {
            collect(&Value::from(key.as_str()), names);
            collect(item, names);
        }),
        _ => {}
    }
}

/// Puts the real values in, deep. Keys of maps are left alone.
///
/// # Errors
/// A sentence fragment when a name has no value, or its value cannot stand in its place (a NUL byte
/// in a shell word). It never holds a value.
pub fn substitute<'v>(
    value: &mut Value,
    lookup: &impl Fn(&str) -> Option<&'v str>,
) -> Result<(), String> {
    match value {
        Value::String(text) => {
            if let Cow::Owned(filled) = substitute_text(text, lookup)? {
                *text = filled;
            }
            Ok(())
        }
        Value::Array(items) => items
            .iter_mut()
            .try_for_each(|item| substitute(item, lookup)),
        Value::Object(map) => map
            .values_mut()
            .try_for_each(|item| substitute(item, lookup)),
        _ => Ok(()),
    }
}

fn substitute_text<'t, 'v>(
    text: &'t str,
    lookup: &impl Fn(&str) -> Option<&'v str>,
) -> Result<Cow<'t, str>, String> {
    if !text.contains(HEAD) {
        return Ok(Cow::Borrowed(text));
    }
    let mut out = String::with_capacity(text.len());
    let mut at = 0;
    while let Some(found) = find(text, at) {
        out.push_str(&text[at..found.range.start]);
        let name = found.name;
        let secret = lookup(name).ok_or_else(|| format!("the secret `{name}` has no value"))?;
        let mut filled = secret.to_owned();
        for escape in found.escapes {
            filled = escape
                .apply(filled)
                .map_err(|why| format!("the secret `{name}` cannot stand here: {why}"))?;
        }
        out.push_str(&filled);
        at = found.range.end;
    }
    out.push_str(&text[at..]);
    Ok(Cow::Owned(out))
}

/// The text as people read it: without the invisible separators of markers.
pub fn readable(text: &str) -> Cow<'_, str> {
    if text.contains(HEAD) {
        Cow::Owned(text.replace(EDGE, ""))
    } else {
        Cow::Borrowed(text)
    }
}

/// Makes sure that a text from outside holds no marker: what a program prints must not pull a secret in.
///
/// Every separator goes, also where it is only a part of a marker: a template could join two texts,
/// each with one half.
pub fn neutralise(text: &str) -> Cow<'_, str> {
    if text.contains(EDGE) {
        Cow::Owned(text.replace(EDGE, ""))
    } else {
        Cow::Borrowed(text)
    }
}

/// Whether a text holds a marker or a part of one: written texts may not.
pub fn is_near_marker(text: &str) -> bool {
    text.contains(EDGE)
}

/// [`neutralise`], deep, also for the keys of maps.
pub fn neutralise_value(value: &mut Value) {
    match value {
        Value::String(text) => {
            if let Cow::Owned(clean) = neutralise(text) {
                *text = clean;
            }
        }
        Value::Array(items) => items.iter_mut().for_each(neutralise_value),
        Value::Object(map) => {
            map.values_mut().for_each(neutralise_value);
            if map.keys().any(|key| key.contains(EDGE)) {
                *map = std::mem::take(map)
                    .into_iter()
                    .map(|(key, value)| (neutralise(&key).into_owned(), value))
                    .collect();
            }
        }
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;
    use crate::language::{Scope, Template};
    use crate::model::Ty;

    #[test]
    fn a_marker_is_readable_text_between_invisible_separators() {
        assert_eq!(
            marker("params.token"),
            "\u{2063}[secret params.token]\u{2063}"
        );
        assert_eq!(readable(&marker("a")), "[secret a]");
    }

    #[test]
    fn names_are_found_at_every_depth() {
        let value = json!({"a": [format!("x{}y{}", marker("one"), marker("two"))], "b": {"c": marker("three")}});
        let names: Vec<String> = secret_names(&value).into_iter().collect();
        assert_eq!(names, ["one", "three", "two"]);
        assert!(has_marker(&format!("a {}", marker("x"))));
        assert!(!has_marker("[secret x]"));
        assert!(!has_marker("\u{2063}[secret x"));
    }

    #[test]
    fn what_comes_from_outside_pulls_nothing_in() {
        let lookup = |_: &str| Some("hunter2");
        for printed in [
            marker("db"),
            "\u{2063}\u{2063}[secret db]\u{2063}".to_owned(),
            "\u{2063}[secret \u{2063}[secret db]\u{2063}".to_owned(),
            "\u{2063}\u{2063}[secret [secret db]\u{2063}".to_owned(),
            "\u{2063}".to_owned(),
            "\u{2063}[sec".to_owned(),
            "ret db]\u{2063}".to_owned(),
        ] {
            let mut value = json!({ printed.clone(): [printed] });
            neutralise_value(&mut value);
            let before = value.clone();
            substitute(&mut value, &lookup).expect("nothing to put in");
            assert_eq!(value, before);
            assert!(!is_near_marker(&value.to_string()));
            assert!(!value.to_string().contains("hunter2"));
        }
    }

    #[test]
    fn what_cannot_be_put_in_says_so_without_the_value() {
        let mut value = json!(marker("gone"));
        let error = substitute(&mut value, &|_| None).expect_err("no value");
        assert!(error.contains("`gone`"), "{error}");
        let text = escape_value(&json!(marker("nul")), Escape::Shell).expect("a word");
        let mut value = json!(text);
        let error = substitute(&mut value, &|_| Some("hunter\0two")).expect_err("NUL");
        assert!(
            error.contains("NUL") && !error.contains("hunter"),
            "{error}"
        );
    }

    /// A render with the marker, and then the value put in, against a render with the value itself.
    fn agrees(template: &str, secret: &str, escape: Escape) -> Result<(), TestCaseError> {
        let template = Template::parse(template).expect("a template");
        let render = |value: String| {
            let mut scope = Scope::new();
            scope.set(
                "secrets",
                json!({ "s": value, "list": [value.clone(), "x y"] }),
                Ty::Any,
            );
            template.render(&scope, escape)
        };
        let direct = render(secret.to_owned());
        let Ok(mut later) = render(marker("s")) else {
            return Err(TestCaseError::fail("the marker was refused"));
        };
        match (direct, substitute(&mut later, &|_| Some(secret))) {
            (Ok(direct), Ok(())) => prop_assert_eq!(&later, &direct),
            (Err(_), Err(_)) => {}
            (direct, late) => prop_assert!(false, "{:?} against {:?}", direct, late),
        }
        Ok(())
    }

    proptest! {
        #[test]
        fn put_in_late_or_early_is_the_same(
            secret in r#"[a-z'"$%\\ \n\t/é{}&+?#:@-]{1,30}"#,
            around in "[a-z '\\-]{0,5}",
        ) {
            for escape in [Escape::None, Escape::Url, Escape::Json] {
                agrees("{{ secrets.s }}", &secret, escape)?;
                agrees(&format!("{around}{{{{ secrets.s }}}}{around}"), &secret, escape)?;
                agrees("http://{{ secrets.s }}/x/{{ secrets.s }}", &secret, escape)?;
                agrees("a {{ json secrets.s }} b", &secret, escape)?;
            }
            agrees("{{{ secrets.s }}}", &secret, Escape::Shell)?;
            agrees("a {{ json secrets.list }}", &secret, Escape::None)?;
        }

        /// Quoting may differ in form; what a shell reads may not.
        #[test]
        fn a_shell_reads_the_value(secret in r#"[a-z'"$%\\ \n\t/é{}&-]{1,30}"#) {
            for (template, words) in [
                ("x {{ secrets.s }}", 2),
                ("x --p={{ secrets.s }}", 2),
                ("x {{ sh secrets.list }}", 3),
                ("x {{ json secrets.s }}", 2),
            ] {
                let template = Template::parse(template).expect("a template");
                let render = |value: &str| {
                    let mut scope = Scope::new();
                    scope.set("secrets", json!({ "s": value, "list": [value, "x y"] }), Ty::Any);
                    template.render(&scope, Escape::Shell).expect("renders")
                };
                let direct = render(&secret);
                let mut later = render(&marker("s"));
                substitute(&mut later, &|_| Some(secret.as_str())).expect("put in");
                let read = |value: &Value| shlex::split(value.as_str().expect("a text"));
                prop_assert_eq!(read(&later), read(&direct));
                prop_assert_eq!(read(&later).map(|read| read.len()), Some(words));
            }
        }
    }
}
