//! Ids as newtypes, so that a run id can never be passed where a step id is meant.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use ulid::Ulid;

/// A text that is not a valid id, and why.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is not a valid {what}: {reason}")]
pub struct InvalidId {
    /// What was being parsed: `run id` or `step id`.
    pub what: &'static str,
    /// The text as given.
    pub text: String,
    /// Why it was refused.
    pub reason: &'static str,
}

/// Identifies one run: a ULID, so ids sort by creation time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RunId(Ulid);

impl RunId {
    /// Builds an id from milliseconds since the Unix epoch and 80 random bits.
    ///
    /// The caller supplies both, because this floor knows neither a clock nor randomness.
    pub fn from_parts(unix_millis: u64, random: u128) -> Self {
        Self(Ulid::from_parts(unix_millis, random))
    }

    /// The creation time in milliseconds since the Unix epoch.
    pub fn unix_millis(self) -> u64 {
        self.0.timestamp_ms()
    }
}

impl fmt::Display for RunId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0.to_string())
    }
}

impl FromStr for RunId {
    type Err = InvalidId;

    fn from_str(text: &str) -> Result<Self, InvalidId> {
        Ulid::from_string(&text.to_ascii_uppercase())
            .map(Self)
            .map_err(|_| InvalidId {
                what: "run id",
                text: text.to_owned(),
                reason: "a run id has 26 characters of 0-9 and A-Z without I, L, O and U",
            })
    }
}

impl Serialize for RunId {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for RunId {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?
            .parse()
            .map_err(serde::de::Error::custom)
    }
}

/// Identifies a step. As written in a runbook: `[a-z][a-z0-9_]*`, at most 64 characters; no hyphen,
/// because `steps.a-b` is a subtraction in CEL.
///
/// In a run it is a path: a step of a sub-runbook is named below the step that called it
/// (`deploy/restart`), and an instance of a loop by its key (`restart[api]`, `deploy[api]/restart`).
/// Cheap to clone.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct StepId(Arc<str>);

impl StepId {
    /// Longest permitted id, in characters.
    pub const MAX_LEN: usize = 64;

    /// Checks the spelling and builds the id.
    ///
    /// # Errors
    /// [`InvalidId`] when the text is empty, too long, or has other characters.
    pub fn new(text: &str) -> Result<Self, InvalidId> {
        match identifier_problem(text) {
            None => Ok(Self(Arc::from(text))),
            Some(reason) => Err(InvalidId {
                what: "step id",
                text: text.to_owned(),
                reason,
            }),
        }
    }

    /// Most characters of a whole path.
    pub const MAX_PATH: usize = 1024;

    /// Reads an id as a run knows it: a path of ids and keys.
    ///
    /// # Errors
    /// [`InvalidId`] when a part of it is spelled wrongly.
    pub fn parse(text: &str) -> Result<Self, InvalidId> {
        let problem = if text.len() > Self::MAX_PATH {
            Some("it is longer than 1024 characters")
        } else {
            text.split('/').find_map(segment_problem)
        };
        match problem {
            None => Ok(Self(Arc::from(text))),
            Some(reason) => Err(InvalidId {
                what: "step id",
                text: text.to_owned(),
                reason,
            }),
        }
    }

    /// The id of a step of the sub-runbook that this step calls.
    #[must_use]
    pub fn inside(&self, local: &Self) -> Self {
        Self(Arc::from(format!("{self}/{local}")))
    }

    /// The id of an instance of this loop; `None` when the key cannot stand in an id
    /// (`[A-Za-z0-9_.-]`, 1 to 64 characters).
    #[must_use]
    pub fn instance(&self, key: &str) -> Option<Self> {
        Self::is_key(key).then(|| Self(Arc::from(format!("{self}[{key}]"))))
    }

    /// Whether a text can be the key of an instance.
    pub fn is_key(text: &str) -> bool {
        key_problem(text).is_none()
    }

    /// What tells an instance from the others of its loop; `None` for anything else.
    pub fn key(&self) -> Option<&str> {
        let (_, key) = self.0.strip_suffix(']')?.rsplit_once('[')?;
        Some(key)
    }

    /// The last part of the path, with its key: `deploy/restart[api]` → `restart[api]`.
    pub fn last(&self) -> &str {
        self.0.rsplit('/').next().unwrap_or_default()
    }

    /// The id as its own runbook writes it: `deploy[api]/restart[1]` → `restart`.
    pub fn written(&self) -> &str {
        self.last().split('[').next().unwrap_or_default()
    }

    /// What it is a part of: the loop of an instance, the calling step of a sub-runbook's step.
    #[must_use]
    pub fn parent(&self) -> Option<Self> {
        let cut = match self.0.strip_suffix(']') {
            Some(_) => self.0.rfind('[')?,
            None => self.0.rfind('/')?,
        };
        Some(Self(Arc::from(&self.0[..cut])))
    }

    /// How deep it lies below the steps of the run's own runbook; 0 for those.
    pub fn depth(&self) -> usize {
        self.0.matches(['/', '[']).count()
    }

    /// The id as part of a file name.
    pub fn file_stem(&self) -> String {
        self.0.replace('/', ".")
    }

    /// The id as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Why `text` cannot be an identifier of the language (step id, parameter, variable), if so.
    pub fn problem(text: &str) -> Option<&'static str> {
        identifier_problem(text)
    }
}

fn segment_problem(segment: &str) -> Option<&'static str> {
    let Some((id, rest)) = segment.split_once('[') else {
        return identifier_problem(segment);
    };
    match rest.strip_suffix(']') {
        Some(key) => identifier_problem(id).or_else(|| key_problem(key)),
        None => Some("a `[` is not closed"),
    }
}

fn key_problem(key: &str) -> Option<&'static str> {
    let good = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '.' | '-');
    let right = !key.is_empty() && key.len() <= StepId::MAX_LEN && key.chars().all(good);
    (!right).then_some("between `[` and `]` stands a key of letters, digits, `_`, `.` and `-`")
}

fn identifier_problem(text: &str) -> Option<&'static str> {
    if text.is_empty() {
        return Some("it is empty");
    }
    if text.len() > StepId::MAX_LEN {
        return Some("it is longer than 64 characters");
    }
    if !text.starts_with(|c: char| c.is_ascii_lowercase()) {
        return Some("it must start with a lower-case letter");
    }
    if text.contains('-') {
        return Some("a hyphen would be a minus in conditions; use `_`");
    }
    if !text
        .chars()
        .all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_')
    {
        return Some("only lower-case letters, digits and `_` are allowed");
    }
    None
}

impl fmt::Display for StepId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl AsRef<str> for StepId {
    fn as_ref(&self) -> &str {
        &self.0
    }
}

impl std::borrow::Borrow<str> for StepId {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl FromStr for StepId {
    type Err = InvalidId;

    fn from_str(text: &str) -> Result<Self, InvalidId> {
        Self::parse(text)
    }
}

impl Serialize for StepId {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for StepId {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Self::parse(&text).map_err(serde::de::Error::custom)
    }
}

/// The number of an attempt at a step; the first is 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct AttemptNo(pub u32);

impl AttemptNo {
    /// The first attempt.
    pub const FIRST: Self = Self(1);

    /// The attempt after this one.
    pub fn next(self) -> Self {
        Self(self.0.saturating_add(1))
    }
}

impl fmt::Display for AttemptNo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// The position of an event in its run; the first is 1, and there are no gaps.
#[derive(
    Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct EventSeq(pub u64);

impl EventSeq {
    /// The position after this one.
    pub fn next(self) -> Self {
        Self(self.0 + 1)
    }
}

impl fmt::Display for EventSeq {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn run_ids_parse_in_any_case_and_sort_by_time() {
        let early = RunId::from_parts(1_000, 7);
        let late = RunId::from_parts(2_000, 1);
        assert!(early < late);
        assert_eq!(early.to_string().to_lowercase().parse(), Ok(early));
        assert_eq!(late.unix_millis(), 2_000);
        assert!("not-an-id".parse::<RunId>().is_err());
    }

    #[test]
    fn step_ids_say_why_they_are_refused() {
        assert!(StepId::new("before_2").is_ok());
        for (text, reason) in [
            ("", "empty"),
            ("9a", "start with"),
            ("a-b", "minus"),
            ("aB", "lower-case"),
            (&"a".repeat(65), "longer"),
        ] {
            let problem = StepId::problem(text).unwrap_or_default();
            assert!(problem.contains(reason), "{text}: {problem}");
        }
    }

    #[test]
    fn paths_are_built_read_and_taken_apart() {
        let id = |text: &str| StepId::new(text).expect("valid");
        let deploy = id("deploy").instance("api-1.eu").expect("a key");
        let restart = deploy.inside(&id("restart"));
        assert_eq!(restart.as_str(), "deploy[api-1.eu]/restart");
        assert_eq!(StepId::parse(restart.as_str()), Ok(restart.clone()));
        assert_eq!(restart.written(), "restart");
        assert_eq!(restart.depth(), 2);
        assert_eq!(restart.last(), "restart");
        assert_eq!(restart.key(), None);
        assert_eq!(deploy.key(), Some("api-1.eu"));
        assert_eq!(deploy.last(), "deploy[api-1.eu]");
        assert_eq!(restart.file_stem(), "deploy[api-1.eu].restart");
        assert_eq!(restart.parent(), Some(deploy.clone()));
        assert_eq!(deploy.parent(), Some(id("deploy")));
        assert_eq!(id("deploy").parent(), None);
        assert_eq!(id("deploy").instance("a/b"), None);
        for bad in ["a//b", "a[", "a[]", "a[b]c", "a/../b", "A/b", "a[b/c]"] {
            assert!(StepId::parse(bad).is_err(), "{bad}");
        }
    }
}
