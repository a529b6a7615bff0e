//! Finds values in bytes and writes their names instead.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;
use std::ops::Range;

use aho_corasick::{AhoCorasick, AhoCorasickKind, MatchKind};
use secrecy::{ExposeSecret as _, SecretString};

use super::patterns::{self, Pattern};
use super::wrapped::Joined;
use crate::base::{ErrorChain, Map, Value};
use crate::event::Failure;

/// Forms of so many bytes in all get the faster and larger kind of search table, some 20 MiB at most.
const FAST_BYTES: usize = 64 * 1024;
/// A text this long may have been cut by the handler that kept its first bytes, in the middle of a secret.
const MAY_BE_CUT: usize = 4 * 1024;
/// So many bytes of the beginning of a form at the end of such a text are taken for it.
const CUT_SECRET: usize = 8;

/// The first two bytes of forms, as a set of 65,536 bits: nearly every byte of a stream is asked for.
struct Starts(Box<[u64]>);

impl Default for Starts {
    fn default() -> Self {
        Self(vec![0; 1 << 10].into_boxed_slice())
    }
}

impl Starts {
    fn place(pair: [u8; 2]) -> (usize, u64) {
        let number = u16::from_be_bytes(pair);
        (usize::from(number >> 6), 1 << (number & 63))
    }

    fn add(&mut self, pair: [u8; 2]) {
        let (word, bit) = Self::place(pair);
        self.0[word] |= bit;
    }

    fn holds(&self, pair: [u8; 2]) -> bool {
        let (word, bit) = Self::place(pair);
        self.0[word] & bit != 0
    }
}

/// Knows the forms of some secrets. Cheap to ask when it knows none.
#[derive(Default)]
pub struct Redactor {
    finder: Option<AhoCorasick>,
    /// Sorted, so that the beginning of a form is found quickly.
    forms: Vec<Pattern>,
    starts: Starts,
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
        let all: usize = forms.iter().map(|form| form.len()).sum();
        let finder = AhoCorasick::builder()
            .match_kind(MatchKind::Standard)
            .kind((all <= FAST_BYTES).then_some(AhoCorasickKind::DFA))
            .build(forms.iter().map(|form| form.as_slice()));
        let mut starts = Starts::default();
        for pair in forms.iter().filter_map(|form| form.first_chunk()) {
            starts.add(*pair);
        }
        Self {
            // The forms of some secrets of at most 64 KiB never exceed what it can count.
            finder: finder.ok().filter(|_| !forms.is_empty()),
            starts,
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

    /// The places that are to be redacted, merged where they overlap or go on, each with what is written
    /// there.
    /// `joined` is what [`Self::joined`] gives.
    pub(super) fn places(
        &self,
        bytes: &[u8],
        joined: Option<&Joined>,
    ) -> Vec<(Range<usize>, &str)> {
        let mut found = Vec::new();
        self.find(bytes, |range, form| found.push((range, form)));
        if let Some(joined) = joined {
            self.find(&joined.bytes, |range, form| {
                found.push((joined.original_range(range), form));
            });
        }
        found.sort_by_key(|(range, _)| (range.start, std::cmp::Reverse(range.end)));
        let mut merged: Vec<(Range<usize>, &str)> = Vec::new();
        for (range, form) in found {
            let label = self.labels[form].as_str();
            match merged.last_mut() {
                Some((last, of))
                    if range.start < last.end || (range.start == last.end && *of == label) =>
                {
                    last.end = last.end.max(range.end);
                }
                _ => merged.push((range, label)),
            }
        }
        merged
    }

    fn find(&self, bytes: &[u8], mut found: impl FnMut(Range<usize>, usize)) {
        // The first search may skip ahead, the overlapping one looks at each byte.
        if let Some(finder) = &self.finder
            && let Some(first) = finder.find(bytes)
        {
            // A form that ends later may begin earlier.
            let from = first.start().saturating_sub(self.longest);
            for each in finder.find_overlapping_iter(&bytes[from..]) {
                let range = each.start() + from..each.end() + from;
                found(range, each.pattern().as_usize());
            }
        }
    }

    /// The bytes with line breaks of encoded texts looked through; `None` when there are none. `before`
    /// encoded letters stand directly before the bytes.
    pub(super) fn joined(&self, bytes: &[u8], before: usize) -> Option<Joined> {
        self.finder.as_ref()?;
        Joined::of(bytes, before)
    }

    /// Where the longest end begins that may be the beginning of a form; the length when there is none.
    pub(super) fn beginning(&self, bytes: &[u8], joined: Option<&Joined>) -> usize {
        let plain = self.beginning_in(bytes);
        match joined {
            None => plain,
            Some(joined) => {
                let begins = self.beginning_in(&joined.bytes);
                if begins < joined.bytes.len() {
                    plain.min(joined.original(begins))
                } else {
                    plain
                }
            }
        }
    }

    fn beginning_in(&self, bytes: &[u8]) -> usize {
        let from = bytes.len().saturating_sub(self.longest.saturating_sub(1));
        (from..bytes.len())
            .find(|&at| {
                let end = &bytes[at..];
                if let Some(start) = end.first_chunk()
                    && !self.starts.holds(*start)
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
        let bytes = text.as_bytes();
        let joined = self.joined(bytes, 0);
        let places = self.places(bytes, joined.as_ref());
        let end = self.end_before_cut(bytes, joined.as_ref());
        if places.is_empty() && end == bytes.len() {
            return Cow::Borrowed(text);
        }
        let mut out = Vec::with_capacity(bytes.len());
        let mut at = 0;
        for (range, label) in places {
            out.extend_from_slice(&bytes[at..range.start]);
            out.extend_from_slice(label.as_bytes());
            at = range.end;
        }
        if at < end {
            out.extend_from_slice(&bytes[at..end]);
        }
        Cow::Owned(String::from_utf8_lossy(&out).into_owned())
    }

    /// Where a text ends without the beginning of a secret that was cut off after it.
    fn end_before_cut(&self, bytes: &[u8], joined: Option<&Joined>) -> usize {
        if self.is_empty() || bytes.len() < MAY_BE_CUT {
            return bytes.len();
        }
        let begins = self.beginning(bytes, joined);
        if bytes.len() - begins < CUT_SECRET {
            return bytes.len();
        }
        begins
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
            Value::Array(items) => {
                self.lines(items);
                items.iter_mut().for_each(|item| self.value(item));
            }
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

    /// A secret of several lines may be spread over the items of a list, where a short last line would
    /// not be known by itself.
    fn lines(&self, items: &mut Vec<Value>) {
        let texts: Option<Vec<&str>> = items.iter().map(Value::as_str).collect();
        let Some(texts) = texts.filter(|texts| texts.len() > 1) else {
            return;
        };
        if let Cow::Owned(clean) = self.text(&texts.join("\n")) {
            *items = clean.split('\n').map(Value::from).collect();
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
    fn a_secret_spread_over_the_items_of_a_list_is_found() {
        let secrets = BTreeMap::from([("key".to_owned(), SecretString::from("first line\nabc"))]);
        let mut value = json!({ "lines": ["a", "first line", "abc", "b"] });
        Redactor::new(&secrets).value(&mut value);
        assert!(!value.to_string().contains("abc"), "{value}");
        assert_eq!(value["lines"][0], "a");
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
    fn a_secret_that_a_limit_cut_goes_too() {
        let mut text = "x".repeat(MAY_BE_CUT);
        text.push_str("first lin");
        assert_eq!(redactor().text(&text), "x".repeat(MAY_BE_CUT));
    }

    #[test]
    fn an_encoded_secret_is_found_over_line_breaks() {
        let secret = "s3cr3t-".repeat(30);
        let redactor = Redactor::new(&BTreeMap::from([(
            "a".to_owned(),
            SecretString::from(secret.as_str()),
        )]));
        let engine = base64::engine::general_purpose::STANDARD;
        for before in ["", "x", "xy", "some words before it: "] {
            let encoded = base64::Engine::encode(&engine, format!("{before}{secret}."));
            for width in [60, 64, 76] {
                let lines: Vec<&str> = (0..encoded.len().div_ceil(width))
                    .map(|n| &encoded[n * width..encoded.len().min((n + 1) * width)])
                    .collect();
                for end in ["\n", "\r\n"] {
                    let clean = redactor.text(&lines.join(end)).into_owned();
                    let rest = clean.replace("[redacted a]", "");
                    // What is left encodes what stands around it.
                    assert!(rest.len() <= 36 && clean.len() > rest.len(), "{clean}");
                }
            }
        }
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
