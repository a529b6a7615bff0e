//! What a row of the table of keys says.

use crate::event::FailureKind;

/// The form of a value.
#[derive(Debug, Clone, Copy)]
pub(in crate::language) enum Shape {
    /// Text that is not blank.
    Text,
    /// `v1`.
    Format,
    /// `[a-z][a-z0-9_]*`: a step, parameter or output.
    Identifier,
    /// `[a-z][a-z0-9_-]*`: a runbook, environment, service or connection.
    Name,
    /// A step as a run knows it: `restart`, `restart[api]`, `smoke/check`.
    StepPath,
    /// `[A-Za-z_][A-Za-z0-9_]*`: a variable of a program.
    Variable,
    /// Where a secret is to be had: `env:TOKEN`.
    Source,
    /// `30s`.
    Duration,
    /// `2026-11-01`.
    Date,
    /// `2026-11-01`, or a time of that day: `2026-11-01T18:00`.
    Moment,
    /// `22:00-04:00`.
    Hours,
    /// The name of a time zone of the IANA: `Europe/Berlin`.
    TimeZone,
    /// `2 of team-lead`.
    Quorum,
    /// A public key in OpenSSH's form.
    SshKey,
    /// `true` or `false`.
    Bool,
    /// A whole number in a range.
    Int(u32, u32),
    /// A number in a range.
    Number(f64, f64),
    /// One of some words.
    OneOf(&'static [&'static str]),
    /// One of the names of failures.
    Failure,
    /// A type of a parameter.
    Type,
    /// A type of what an approver fills in.
    InputType,
    /// A CEL expression; a boolean is one too.
    Condition,
    /// The name of an action, or `runbook.NAME`.
    Uses,
    /// The name of an action only.
    Action,
    /// The inputs of the action that `uses` names.
    With,
    /// Any value.
    Any,
    /// A number, or a text such as `10s` or `64MiB`: a bound of a parameter.
    Bound,
    /// A list.
    List(&'static Shape),
    /// A list with at least one item.
    NonEmptyList(&'static Shape),
    /// A map with keys of a form and values of a form.
    MapOf(&'static Shape, &'static Shape),
    /// A map with known keys.
    Object(&'static ObjectSpec),
    /// A list, or a template that gives one.
    Items,
    /// A number from 0, or a share such as `10%`.
    Tolerance,
    /// One of two forms.
    Either(&'static Shape, &'static Shape),
}

/// How a key may appear.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::language) enum Presence {
    /// It must.
    Required,
    /// It may.
    Optional,
    /// It belongs to the language, but not to this version of the program.
    Later,
}

/// One key of an object.
#[derive(Debug, Clone, Copy)]
pub(in crate::language) struct KeySpec {
    /// The key.
    pub(in crate::language) name: &'static str,
    /// The form of its value.
    pub(in crate::language) shape: Shape,
    /// Whether it must be there.
    pub(in crate::language) presence: Presence,
    /// A value as it is written, for errors and editors.
    pub(in crate::language) example: &'static str,
    /// What it means: one line.
    pub(in crate::language) doc: &'static str,
    /// What holds when it is absent, when that can be written as a value.
    pub(in crate::language) default: Option<&'static str>,
}

/// The keys of one kind of object.
#[derive(Debug)]
pub(in crate::language) struct ObjectSpec {
    /// With its article: `a step`.
    pub(in crate::language) what: &'static str,
    /// Its keys, in the order in which people write them.
    pub(in crate::language) keys: &'static [KeySpec],
    /// Whether other keys are permitted, because somebody else judges them.
    pub(in crate::language) open: bool,
    /// What holds between the keys.
    pub(in crate::language) rules: Rules,
}

/// What holds between the keys of an object, beyond each key's own row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::language) enum Rules {
    /// Nothing.
    None,
    /// A step: `every` needs `until`, `max_parallel` needs `for_each`, and `with` fits `uses`.
    Step,
    /// An action with its inputs: `with` fits `uses`.
    Inputs,
    /// `rollback`: an action, or `irreversible: true` with a `reason`.
    Rollback,
    /// A parameter: `values`, `items`, `pattern`, `min` and `max` belong to some types only.
    Param,
    /// A service: the other keys fit `provider`.
    Service,
    /// A risk rule: a `role` with a number, or a list of quorums.
    RiskRule,
    /// A connection: the other keys fit `kind`.
    Connection,
}

impl ObjectSpec {
    /// The row of a key, unless it is a later one.
    pub(in crate::language) fn get(&self, name: &str) -> Option<&'static KeySpec> {
        self.present().find(|key| key.name == name)
    }

    /// The keys that this version knows.
    pub(in crate::language) fn present(&self) -> impl Iterator<Item = &'static KeySpec> {
        let keys = self.keys;
        keys.iter().filter(|key| key.presence != Presence::Later)
    }

    /// Whether the key belongs to a later version.
    pub(in crate::language) fn is_later(&self, name: &str) -> bool {
        self.keys
            .iter()
            .any(|key| key.name == name && key.presence == Presence::Later)
    }
}

pub(super) const fn key(
    name: &'static str,
    shape: Shape,
    example: &'static str,
    doc: &'static str,
) -> KeySpec {
    KeySpec {
        name,
        shape,
        presence: Presence::Optional,
        example,
        doc,
        default: None,
    }
}

pub(super) const fn later(name: &'static str) -> KeySpec {
    KeySpec {
        presence: Presence::Later,
        ..key(name, Shape::Any, "", "")
    }
}

impl KeySpec {
    pub(super) const fn required(self) -> Self {
        Self {
            presence: Presence::Required,
            ..self
        }
    }

    pub(super) const fn default(self, value: &'static str) -> Self {
        Self {
            default: Some(value),
            ..self
        }
    }
}

/// The types that `items` may name.
pub(in crate::language) const ITEM_TYPES: &[&str] = &[
    "string",
    "int",
    "float",
    "bool",
    "duration",
    "size",
    "timestamp",
    "service",
    "connection",
];

/// The types that `type` may name.
pub(in crate::language) const TYPES: &[&str] = &[
    "string",
    "int",
    "float",
    "bool",
    "duration",
    "size",
    "timestamp",
    "enum",
    "list",
    "map",
    "service",
    "connection",
    "secret",
];

/// The types of what an approver fills in: votes are on record, so it is no secret.
pub(in crate::language) const INPUT_TYPES: &[&str] = &[
    "string",
    "int",
    "float",
    "bool",
    "duration",
    "size",
    "timestamp",
    "enum",
    "list",
    "map",
    "service",
    "connection",
];

/// The days of the week as policies write them, Monday first.
pub(in crate::language) const DAYS: &[&str] = &["mon", "tue", "wed", "thu", "fri", "sat", "sun"];

/// The names that `retry.on` may hold.
pub(in crate::language) fn failure_names() -> impl Iterator<Item = &'static str> {
    FailureKind::ALL.into_iter().map(FailureKind::as_str)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_item_types_are_types() {
        assert!(ITEM_TYPES.iter().all(|name| TYPES.contains(name)));
    }

    #[test]
    fn an_approver_fills_in_anything_but_a_secret() {
        let open: Vec<_> = TYPES.iter().filter(|name| **name != "secret").collect();
        assert!(open.into_iter().eq(INPUT_TYPES));
    }
}
