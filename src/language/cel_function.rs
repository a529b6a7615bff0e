//! The functions of conditions: what they take, what they give, and their words for people.

use crate::model::Ty;

/// A kind of value that an argument may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Text,
    Number,
    Bool,
    Duration,
    Timestamp,
    List,
    Map,
}

impl Kind {
    /// The kind of a type's values; `None` when it is not known.
    pub(super) fn of(ty: &Ty) -> Option<Self> {
        match ty {
            Ty::Any => None,
            Ty::Int | Ty::Float | Ty::Size => Some(Self::Number),
            Ty::String | Ty::Enum(_) | Ty::Service | Ty::Connection | Ty::Secret => {
                Some(Self::Text)
            }
            Ty::Bool => Some(Self::Bool),
            Ty::Duration => Some(Self::Duration),
            Ty::Timestamp => Some(Self::Timestamp),
            Ty::List(_) => Some(Self::List),
            Ty::Map(_) | Ty::Object(_) => Some(Self::Map),
        }
    }

    /// With its article.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Text => "text",
            Self::Number => "a number",
            Self::Bool => "true or false",
            Self::Duration => "a duration",
            Self::Timestamp => "a timestamp",
            Self::List => "a list",
            Self::Map => "a map",
        }
    }
}

/// How a function is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Style {
    /// `size(x)`.
    Call,
    /// `x.contains(y)`.
    Method,
    /// Either.
    Both,
    /// A macro of the language, which the parser takes apart: it is never seen as a call.
    Macro,
}

/// A function that a condition may call.
#[derive(Debug)]
pub struct Function {
    /// Its name.
    pub name: &'static str,
    /// How it is called, with its kinds of values, such as `size(VALUE) → number`.
    pub usage: &'static str,
    /// What it does: Markdown, one line.
    pub doc: &'static str,
    /// A condition that calls it.
    pub example: &'static str,
    pub(super) style: Style,
    /// The kinds of each value, the one before the dot first; empty for any.
    pub(super) takes: &'static [&'static [Kind]],
    /// How many of the last ones may be left out.
    pub(super) optional: usize,
    pub(super) gives: Ty,
}

const ANY: &[Kind] = &[];
const TEXT: &[Kind] = &[Kind::Text];
const TIME: &[Kind] = &[Kind::Timestamp];
const TIME_OR_LENGTH: &[Kind] = &[Kind::Timestamp, Kind::Duration];
const NUMERIC: &[Kind] = &[Kind::Number, Kind::Text];
const COUNTED: &[Kind] = &[Kind::Text, Kind::List, Kind::Map];

macro_rules! functions {
    ($($name:literal $style:ident ($($takes:ident),*) $optional:literal $gives:ident, $usage:literal, $doc:literal, $example:literal;)*) => {
        /// Every function of conditions.
        pub(super) static TABLE: &[Function] = &[$(Function {
            name: $name,
            usage: $usage,
            doc: $doc,
            example: $example,
            style: Style::$style,
            takes: &[$($takes),*],
            optional: $optional,
            gives: Ty::$gives,
        }),*];

        /// Their names.
        pub(super) const FUNCTIONS: &[&str] = &[$($name),*];
    };
}

functions! {
    "duration" Call(TEXT) 0 Duration, "duration(TEXT) → duration",
        "Reads a duration: `500ms`, `2s`, `1h30m`, `1d`.", "outputs.latency < duration(\"2s\")";
    "timestamp" Call(TEXT) 0 Timestamp, "timestamp(TEXT) → timestamp",
        "Reads a time in the form of RFC 3339. Two times differ by a duration: `a - b < duration(\"1h\")`.",
        "outputs.started_at > timestamp(\"2026-11-23T03:00:00Z\")";
    "bytes" Call(TEXT) 0 Size, "bytes(TEXT) → number",
        "Reads a size: `64MiB` is 67108864.", "outputs.free > bytes(\"64MiB\")";
    "matches" Both(TEXT, TEXT) 0 Bool, "TEXT.matches(PATTERN) → bool",
        "Whether a regular expression matches anywhere in the text; `^` and `$` bind it to the ends. A written pattern is compiled by `check`.",
        "outputs.version.matches(\"^v[0-9]+\")";
    "contains" Method(TEXT, TEXT) 0 Bool, "TEXT.contains(TEXT) → bool",
        "Whether a text holds another. For a list, write `x in list`.", "outputs.stdout.contains(\"ready\")";
    "startsWith" Method(TEXT, TEXT) 0 Bool, "TEXT.startsWith(TEXT) → bool",
        "Whether a text begins so.", "params.service.startsWith(\"api\")";
    "endsWith" Method(TEXT, TEXT) 0 Bool, "TEXT.endsWith(TEXT) → bool",
        "Whether a text ends so.", "params.file.endsWith(\".gz\")";
    "size" Both(COUNTED) 0 Int, "size(VALUE) → number",
        "The number of characters of a text, of items of a list, or of keys of a map.", "size(params.services) > 0";
    "has" Macro(ANY) 0 Bool, "has(REFERENCE) → bool",
        "Whether a value is there. The way to ask about an output that may be missing.", "has(outputs.pid) && outputs.pid > 1";
    "all" Macro(ANY) 0 Bool, "LIST.all(NAME, CONDITION) → bool",
        "Whether a condition holds for every item of a list, or every key of a map.", "outputs.nodes.all(n, n.healthy)";
    "exists" Macro(ANY) 0 Bool, "LIST.exists(NAME, CONDITION) → bool",
        "Whether it holds for at least one.", "params.services.exists(s, s == \"api\")";
    "exists_one" Macro(ANY) 0 Bool, "LIST.exists_one(NAME, CONDITION) → bool",
        "Whether it holds for exactly one.", "outputs.nodes.exists_one(n, n.leader)";
    "filter" Macro(ANY) 0 Any, "LIST.filter(NAME, CONDITION) → list",
        "The items for which it holds.", "size(outputs.nodes.filter(n, n.healthy)) >= 2";
    "map" Macro(ANY) 0 Any, "LIST.map(NAME, VALUE) → list",
        "A value made of every item.", "\"api\" in outputs.nodes.map(n, n.name)";
    "string" Call(ANY) 0 String, "string(VALUE) → text",
        "Writes a number, a time or a duration as text.", "string(outputs.port) == \"8080\"";
    "int" Call(INTEGRAL) 0 Int, "int(VALUE) → number",
        "Reads a whole number from text, or cuts a number.", "int(outputs.stdout) > 3";
    "uint" Call(NUMERIC) 0 Int, "uint(VALUE) → number",
        "The same without a sign.", "uint(outputs.stdout) > 3u";
    "double" Call(NUMERIC) 0 Float, "double(VALUE) → number",
        "Makes a number with a fraction, so that it can be reckoned with others of that kind.", "double(outputs.used) / 2.0 < 10.0";
    "bool" Call(TRUTH) 0 Bool, "bool(VALUE) → bool",
        "Reads `true` or `false` from text.", "bool(outputs.stdout)";
    "type" Call(ANY) 0 Any, "type(VALUE)",
        "The type of a value, to be compared with another.", "type(outputs.x) == type(1)";
    "dyn" Call(ANY) 0 Any, "dyn(VALUE)",
        "The same value, of a type that the checker does not look at.", "dyn(outputs.x) == 1";
    "getFullYear" Method(TIME, TEXT) 1 Int, "TIME.getFullYear([ZONE]) → number",
        "The year. The zone is UTC unless another is given, as `\"+02:00\"` or `\"Europe/Berlin\"`.", "run.started_at.getFullYear() > 2025";
    "getMonth" Method(TIME, TEXT) 1 Int, "TIME.getMonth([ZONE]) → number",
        "The month, 0 for January.", "run.started_at.getMonth() == 11";
    "getDayOfMonth" Method(TIME, TEXT) 1 Int, "TIME.getDayOfMonth([ZONE]) → number",
        "The day of the month, from 0.", "run.started_at.getDayOfMonth() == 0";
    "getDayOfWeek" Method(TIME, TEXT) 1 Int, "TIME.getDayOfWeek([ZONE]) → number",
        "The day of the week, 0 for Sunday.", "run.started_at.getDayOfWeek() in [1, 2, 3, 4, 5]";
    "getDayOfYear" Method(TIME, TEXT) 1 Int, "TIME.getDayOfYear([ZONE]) → number",
        "The day of the year, from 0.", "run.started_at.getDayOfYear() > 200";
    "getHours" Method(TIME_OR_LENGTH, TEXT) 1 Int, "TIME.getHours([ZONE]) → number",
        "The hour of a time; all hours of a duration.", "run.started_at.getHours() < 6";
    "getMinutes" Method(TIME_OR_LENGTH, TEXT) 1 Int, "TIME.getMinutes([ZONE]) → number",
        "The minute of a time; all minutes of a duration.", "outputs.latency.getMinutes() < 5";
    "getSeconds" Method(TIME_OR_LENGTH, TEXT) 1 Int, "TIME.getSeconds([ZONE]) → number",
        "The second of a time; all seconds of a duration.", "outputs.latency.getSeconds() < 5";
    "getMilliseconds" Method(TIME_OR_LENGTH, TEXT) 1 Int, "TIME.getMilliseconds([ZONE]) → number",
        "The milliseconds of a time within its second, or of a duration.", "outputs.latency.getMilliseconds() < 500";
}

const TRUTH: &[Kind] = &[Kind::Bool, Kind::Text];
const INTEGRAL: &[Kind] = &[Kind::Number, Kind::Text, Kind::Timestamp];

/// The functions of conditions, for documents and editors.
pub fn functions() -> &'static [Function] {
    TABLE
}

/// The function of a name.
pub(super) fn function(name: &str) -> Option<&'static Function> {
    TABLE.iter().find(|function| function.name == name)
}

impl Function {
    /// The fewest and the most values that it takes, the one before the dot counted.
    pub(super) fn counts(&self) -> (usize, usize) {
        (self.takes.len() - self.optional, self.takes.len())
    }
}
