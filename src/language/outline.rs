//! What may stand where in a file, for editors: the table of keys, seen from outside.

use super::cel_function::FUNCTIONS;
use super::decode::{
    ENVIRONMENT, GATE, INPUT_TYPES, KeySpec, ObjectSpec, POLICY, Presence, RUNBOOK, Shape, TYPES,
    failure_names,
};
use super::helper::HELPERS;

/// The kinds of files of a repository.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum FileKind {
    /// `runbook: v1`.
    Runbook,
    /// `environment: v1`.
    Environment,
    /// `policy: v1`.
    Policy,
}

impl FileKind {
    /// Every kind.
    pub const ALL: [Self; 3] = [Self::Runbook, Self::Environment, Self::Policy];

    /// The first key of such a file.
    pub fn key(self) -> &'static str {
        match self {
            Self::Runbook => "runbook",
            Self::Environment => "environment",
            Self::Policy => "policy",
        }
    }

    /// What the whole file holds.
    pub fn root(self) -> Place {
        static ROOTS: [Shape; 3] = [
            Shape::Object(&RUNBOOK),
            Shape::Object(&ENVIRONMENT),
            Shape::Object(&POLICY),
        ];
        Place(&ROOTS[self as usize])
    }
}

/// A place of a file: what its value may be.
#[derive(Debug, Clone, Copy)]
pub struct Place(&'static Shape);

/// What an editor can do with the value of a place.
#[derive(Debug, Clone, PartialEq)]
pub enum Form {
    /// A map with the keys of [`Place::keys`].
    Object,
    /// A list; [`Place::child`] gives the place of its items.
    List,
    /// A map with names of one's own; [`Place::child`] gives the place of its values.
    Map,
    /// One of some words.
    Words(Vec<&'static str>),
    /// A condition.
    Condition,
    /// The name of an action.
    Uses,
    /// The inputs of the action that stands beside it.
    With,
    /// Any value; texts in it may be templates.
    Any,
    /// Text, a number, a duration: written freely. Says which, for people.
    Scalar(&'static str),
}

/// One key of an object, for people.
#[derive(Debug, Clone, Copy)]
pub struct KeyHelp {
    /// The key.
    pub name: &'static str,
    /// Whether the object needs it.
    pub required: bool,
    /// What it means: Markdown, one line.
    pub doc: &'static str,
    /// A value as it is written.
    pub example: &'static str,
    /// What holds when it is absent, as it is written.
    pub default: Option<&'static str>,
    /// What its value may be.
    pub place: Place,
}

impl From<&'static KeySpec> for KeyHelp {
    fn from(key: &'static KeySpec) -> Self {
        Self {
            name: key.name,
            required: key.presence == Presence::Required,
            doc: key.doc,
            example: key.example,
            default: key.default,
            place: Place(&key.shape),
        }
    }
}

impl Place {
    /// What stands in `with` of an approval beside the inputs that its handler declares.
    pub fn gate() -> Self {
        static GATE_SHAPE: Shape = Shape::Object(&GATE);
        Self(&GATE_SHAPE)
    }

    /// What an editor can do with it.
    pub fn form(self) -> Form {
        match self.0 {
            Shape::Object(_) => Form::Object,
            Shape::List(_) | Shape::NonEmptyList(_) | Shape::Items => Form::List,
            Shape::MapOf(..) => Form::Map,
            Shape::Format => Form::Words(vec!["v1"]),
            Shape::OneOf(words) => Form::Words(words.to_vec()),
            Shape::Failure => Form::Words(failure_names().collect()),
            Shape::Type => Form::Words(TYPES.to_vec()),
            Shape::InputType => Form::Words(INPUT_TYPES.to_vec()),
            Shape::Bool => Form::Words(vec!["true", "false"]),
            Shape::Condition => Form::Condition,
            Shape::Uses | Shape::Action => Form::Uses,
            Shape::With => Form::With,
            Shape::Any => Form::Any,
            Shape::Text => Form::Scalar("text"),
            Shape::Identifier | Shape::Name | Shape::Variable => Form::Scalar("name"),
            Shape::Source => Form::Scalar("source of a secret"),
            Shape::Tolerance => Form::Scalar("number or share"),
            Shape::Either(first, _) => Self(first).form(),
            Shape::StepPath => Form::Scalar("step"),
            Shape::Duration => Form::Scalar("duration"),
            Shape::Date => Form::Scalar("date"),
            Shape::Moment => Form::Scalar("date or local time"),
            Shape::Hours => Form::Scalar("hours"),
            Shape::TimeZone => Form::Scalar("time zone"),
            Shape::Quorum => Form::Scalar("number of a role"),
            Shape::SshKey => Form::Scalar("public key"),
            Shape::Int(..) => Form::Scalar("whole number"),
            Shape::Number(..) => Form::Scalar("number"),
            Shape::Bound => Form::Scalar("number, duration or size"),
        }
    }

    /// The forms that a value may have: one, or each of several.
    pub fn alternatives(self) -> Vec<Self> {
        match self.0 {
            Shape::Either(first, second) => {
                let mut all = Self(first).alternatives();
                all.extend(Self(second).alternatives());
                all
            }
            _ => vec![self],
        }
    }

    /// The keys of an object, in the order in which people write them; none for anything else. Where
    /// it may be one of two objects: those of both, of which none but the common ones is required.
    pub fn keys(self) -> impl Iterator<Item = KeyHelp> {
        let specs = self.specs();
        let mut found: Vec<KeyHelp> = Vec::new();
        for key in specs.iter().copied().flat_map(ObjectSpec::present) {
            if !found.iter().any(|known| known.name == key.name) {
                let everywhere = specs.iter().all(|spec| {
                    let key = spec.get(key.name);
                    key.is_some_and(|key| key.presence == Presence::Required)
                });
                found.push(KeyHelp {
                    required: everywhere,
                    ..KeyHelp::from(key)
                });
            }
        }
        found.into_iter()
    }

    /// One key of an object.
    pub fn key(self, name: &str) -> Option<KeyHelp> {
        self.keys().find(|key| key.name == name)
    }

    /// With its article, what an object is: `a step`.
    pub fn what(self) -> Option<&'static str> {
        self.specs().first().map(|spec| spec.what)
    }

    /// Whether an object may have keys beside those of the table, which somebody else judges.
    pub fn is_open(self) -> bool {
        self.specs().iter().any(|spec| spec.open)
    }

    /// The place below a key of an object, a name of a map, or an item of a list.
    pub fn child(self, name: &str) -> Option<Self> {
        match self.0 {
            Shape::Object(_) | Shape::Either(..) => self.key(name).map(|key| key.place),
            Shape::List(item) | Shape::NonEmptyList(item) | Shape::MapOf(_, item) => {
                Some(Self(item))
            }
            _ => None,
        }
    }

    fn specs(self) -> Vec<&'static ObjectSpec> {
        self.alternatives()
            .into_iter()
            .filter_map(|place| match place.0 {
                Shape::Object(spec) => Some(*spec),
                _ => None,
            })
            .collect()
    }
}

/// The helpers that templates may call.
pub fn template_helpers() -> &'static [&'static str] {
    HELPERS
}

/// The functions that conditions may call.
pub fn condition_functions() -> &'static [&'static str] {
    FUNCTIONS
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_walked_by_keys_names_and_items() {
        let root = FileKind::Runbook.root();
        let step = root.child("steps").and_then(|steps| steps.child("0"));
        let step = step.expect("a step");
        assert_eq!(step.what(), Some("a step"));
        assert_eq!(step.child("uses").map(Place::form), Some(Form::Uses));
        let backoff = step.child("retry").and_then(|retry| retry.child("backoff"));
        assert!(
            matches!(backoff.map(Place::form), Some(Form::Words(words)) if words.contains(&"linear"))
        );
        assert!(step.key("id").expect("a key").required);
        assert!(step.child("nothing").is_none());
        let service = FileKind::Environment.root().child("services");
        assert!(
            service
                .and_then(|s| s.child("api"))
                .expect("a service")
                .is_open()
        );
    }

    #[test]
    fn every_kind_begins_with_its_key() {
        for kind in FileKind::ALL {
            let first = kind.root().keys().next().expect("a key");
            assert_eq!(first.name, kind.key());
        }
    }
}
