//! Finds values in bytes and writes their names instead.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::ops::Range;

use aho_corasick::{AhoCorasick, MatchKind};
use secrecy::{ExposeSecret as _, SecretString};

use super::patterns::{self, Pattern};
use crate::base::{ErrorChain, Map, Value};
use crate::event::Failure;

/// Knows the forms of some secrets. Cheap to ask when it knows none.
#[derive(Default)]
pub struct Redactor {
    finder: Option<AhoCorasick>,
    /// Sorted, so that the beginning of a form is found quickly.
    forms: Vec<Pattern>,
    /// The first two bytes of any form, as a set of bits.
    starts: BTreeSet<[u8; 2]>,
    /// What is written for the form at this position of the finder.
    labels: Vec<String>,
    longest: usize,
}

impl Redactor {
    /// A redactor of these secrets, by name.
    pub fn new(secrets: &BTreeMap<String, SecretString>) -> Self {
        let mut forms: Vec<(Pattern, String)> = Vec::new();
        for (name, value) in secrets {
            for pattern in patterns::of(value.expose_secret()) {
                forms.push((pattern, format!("[redacted {name}]")));
            }
        }
        forms.sort_by(|(a, _), (b, _)| a.as_slice().cmp(b.as_slice()));
        forms.dedup_by(|(a, _), (b, _)| a == b);
        let (forms, labels): (Vec<Pattern>, Vec<String>) = forms.into_iter().unzip();
        let finder = AhoCorasick::builder()
            .match_kind(MatchKind::Standard)
            .build(forms.iter().map(|form| form.as_slice()));
        Self {
            // The forms of some secrets of at most 64 KiB never exceed what it can count.
            finder: finder.ok().filter(|_| !forms.is_empty()),
            starts: forms
                .iter()
                .filter_map(|form| form.first_chunk().copied())
                .collect(),
            longest: forms.iter().map(|form| form.len()).max().unwrap_or(0),
            forms,
            labels,
        }
    }

    /// Whether it knows no secret.
    pub fn is_empty(&self) -> bool {
        self.finder.is_none()
    }

    /// Length of the longest form.
    pub(super) fn longest(&self) -> usize {
        self.longest
    }

    /// The places that are to be redacted, merged where they overlap, each with what is written there.
    pub(super) fn places(&self, bytes: &[u8]) -> Vec<(Range<usize>, &str)> {
        let Some(finder) = &self.finder else {
            return Vec::new();
        };
        let mut found: Vec<_> = finder
            .find_overlapping_iter(bytes)
            .map(|found| (found.range(), found.pattern().as_usize()))
            .collect();
        found.sort_by_key(|(range, _)| (range.start, std::cmp::Reverse(range.end)));
        let mut merged: Vec<(Range<usize>, &str)> = Vec::new();
        for (range, form) in found {
            match merged.last_mut() {
                Some((last, _)) if range.start < last.end => last.end = last.end.max(range.end),
                _ => merged.push((range, &self.labels[form])),
            }
        }
        merged
    }

    /// Where the longest end begins that may be the beginning of a form; the length when there is none.
    pub(super) fn beginning(&self, bytes: &[u8]) -> usize {
        let from = bytes.len().saturating_sub(self.longest.saturating_sub(1));
        (from..bytes.len())
            .find(|&at| {
                let end = &bytes[at..];
                if let Some(start) = end.first_chunk::<2>()
                    && !self.starts.contains(start)
                {
                    return false;
                }
                let next = self.forms.partition_point(|form| form.as_slice() < end);
                // Forms that are this very end are whole; what begins with it is longer.
                self.forms[next..]
                    .iter()
                    .take_while(|form| form.starts_with(end))
                    .any(|form| form.len() > end.len())
            })
            .unwrap_or(bytes.len())
    }

    /// A text without the secrets.
    pub fn text<'t>(&self, text: &'t str) -> Cow<'t, str> {
        let places = self.places(text.as_bytes());
        if places.is_empty() {
            return Cow::Borrowed(text);
        }
        let mut out = Vec::with_capacity(text.len());
        let mut at = 0;
        for (range, label) in places {
            out.extend_from_slice(&text.as_bytes()[at..range.start]);
            out.extend_from_slice(label.as_bytes());
            at = range.end;
        }
        out.extend_from_slice(&text.as_bytes()[at..]);
        Cow::Owned(String::from_utf8_lossy(&out).into_owned())
    }

    /// Takes the secrets out of a value, deep; also out of keys, and numbers that are secrets.
    pub fn value(&self, value: &mut Value) {
        if self.is_empty() {
            return;
        }
        match value {
            Value::String(text) => self.string(text),
            Value::Number(number) => {
                let text = number.to_string();
                if let Cow::Owned(clean) = self.text(&text) {
                    *value = Value::String(clean);
                }
            }
            Value::Array(items) => items.iter_mut().for_each(|item| self.value(item)),
            Value::Object(map) => {
                map.values_mut().for_each(|item| self.value(item));
                if map
                    .keys()
                    .any(|key| matches!(self.text(key), Cow::Owned(_)))
                {
                    let entries = std::mem::take(map).into_iter();
                    *map = entries
                        .map(|(key, item)| (self.text(&key).into_owned(), item))
                        .collect::<Map<_, _>>();
                }
            }
            Value::Null | Value::Bool(_) => {}
        }
    }

    /// Takes the secrets out of what is said of a failure.
    pub fn failure(&self, failure: &mut Failure) {
        let ErrorChain { message, causes } = &mut failure.error;
        self.string(message);
        causes.iter_mut().for_each(|text| self.string(text));
        failure.hint.iter_mut().for_each(|text| self.string(text));
        // A form that goes over several lines is found in the whole only.
        let tail = failure.log_tail.join("\n");
        if let Cow::Owned(clean) = self.text(&tail) {
            failure.log_tail = clean.split('\n').map(str::to_owned).collect();
        }
    }

    fn string(&self, text: &mut String) {
        if let Cow::Owned(clean) = self.text(text) {
            *text = clean;
        }
    }
}

impl fmt::Debug for Redactor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Redactor({} forms)", self.forms.len())
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::event::FailureKind;

    fn redactor() -> Redactor {
        Redactor::new(&BTreeMap::from([
            ("db".to_owned(), SecretString::from("hunter2")),
            ("pin".to_owned(), SecretString::from("123456")),
            (
                "key".to_owned(),
                SecretString::from("first line\nsecond line"),
            ),
        ]))
    }

    #[test]
    fn values_are_cleaned_at_every_depth() {
        let mut value = json!({
            "a": ["x hunter2 y", 123_456, 1_234_567, true],
            "hunter2": { "b": "aHVudGVyMg==" },
        });
        redactor().value(&mut value);
        assert_eq!(
            value,
            json!({
                "a": ["x [redacted db] y", "[redacted pin]", "[redacted pin]7", true],
                "[redacted db]": { "b": "[redacted db]" },
            })
        );
    }

    #[test]
    fn failures_are_cleaned_also_over_lines() {
        let mut failure = Failure {
            sort: FailureKind::Error,
            error: ErrorChain {
                message: "cannot log in with hunter2".to_owned(),
                causes: vec!["hunter2 is wrong".to_owned()],
            },
            hint: Some("try hunter2".to_owned()),
            log_tail: vec!["> first line".to_owned(), "second line".to_owned()],
        };
        redactor().failure(&mut failure);
        let text = format!("{failure:?}");
        assert!(
            !text.contains("hunter2") && !text.contains("line"),
            "{text}"
        );
    }

    #[test]
    fn overlapping_secrets_go_together() {
        let redactor = Redactor::new(&BTreeMap::from([
            ("a".to_owned(), SecretString::from("abcdef")),
            ("b".to_owned(), SecretString::from("defghi")),
        ]));
        assert_eq!(redactor.text("xabcdefghix"), "x[redacted a]x");
        assert_eq!(redactor.text("nothing"), "nothing");
        assert!(Redactor::default().is_empty());
    }
}
