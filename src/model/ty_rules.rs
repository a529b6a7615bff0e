//! What types mean to each other: reading them from JSON Schema, fitting, looking inside.

use super::ty::{ObjectTy, Ty};
use crate::base::Value;

/// Why a path does not lead to a type.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LookupProblem {
    /// Which segment of the path, from 0.
    pub segment: usize,
    /// What is wrong there.
    pub kind: LookupProblemKind,
}

/// The ways a path goes wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LookupProblemKind {
    /// No such key; these are known.
    UnknownKey(Vec<String>),
    /// A list is indexed by numbers from 0.
    NotAnIndex,
    /// A value of this type has nothing inside.
    NothingInside(Ty),
}

impl Ty {
    /// The type that a JSON Schema describes: of an action's inputs, outputs, or a part of them.
    ///
    /// An optional (nullable) value has the type of its value. A schema of several unlike kinds is
    /// [`Ty::Any`]. An object is open only when its schema says so (`additionalProperties`).
    pub fn from_schema(schema: &Value) -> Self {
        let Some(schema) = schema.as_object() else {
            return Self::Any;
        };
        if let Some(variants) = ["anyOf", "oneOf"]
            .iter()
            .find_map(|key| schema.get(*key)?.as_array())
        {
            return one_of(variants);
        }
        match schema.get("format").and_then(Value::as_str) {
            Some("duration") => return Self::Duration,
            Some("size") => return Self::Size,
            Some("timestamp" | "date-time") => return Self::Timestamp,
            Some("service") => return Self::Service,
            Some("connection") => return Self::Connection,
            Some("secret") => return Self::Secret,
            _ => {}
        }
        if let Some(text) = schema.get("const").and_then(Value::as_str) {
            return Self::Enum(vec![text.to_owned()]);
        }
        if let Some(values) = schema.get("enum").and_then(Value::as_array) {
            let names: Vec<String> = values
                .iter()
                .filter_map(|v| v.as_str().map(str::to_owned))
                .collect();
            if names.len() == values.iter().filter(|v| !v.is_null()).count() && !names.is_empty() {
                return Self::Enum(names);
            }
        }
        let kind = match schema.get("type") {
            Some(Value::String(kind)) => kind.as_str(),
            Some(Value::Array(kinds)) => {
                let mut kinds = kinds
                    .iter()
                    .filter_map(Value::as_str)
                    .filter(|k| *k != "null");
                match (kinds.next(), kinds.next()) {
                    (Some(one), None) => one,
                    _ => return Self::Any,
                }
            }
            _ if schema.contains_key("properties") => "object",
            _ => return Self::Any,
        };
        match kind {
            "string" => Self::String,
            "integer" => Self::Int,
            "number" => Self::Float,
            "boolean" => Self::Bool,
            "array" => Self::List(Box::new(
                schema.get("items").map_or(Self::Any, Self::from_schema),
            )),
            "object" => object(schema),
            _ => Self::Any,
        }
    }

    /// The type of a literal value, as far as the value shows it.
    pub fn of_value(value: &Value) -> Self {
        match value {
            Value::Null => Self::Any,
            Value::Bool(_) => Self::Bool,
            Value::Number(number) if number.is_f64() => Self::Float,
            Value::Number(_) => Self::Int,
            Value::String(_) => Self::String,
            Value::Array(items) => Self::List(Box::new(match items.split_first() {
                Some((first, rest)) => {
                    let ty = Self::of_value(first);
                    if rest.iter().all(|item| Self::of_value(item) == ty) {
                        ty
                    } else {
                        Self::Any
                    }
                }
                None => Self::Any,
            })),
            Value::Object(map) => Self::Object(ObjectTy {
                fields: map
                    .iter()
                    .map(|(key, value)| (key.clone(), Self::of_value(value)))
                    .collect(),
                required: map.keys().cloned().collect(),
                open: false,
            }),
        }
    }

    /// Whether values are carried as JSON text.
    pub fn is_text(&self) -> bool {
        matches!(
            self,
            Self::String
                | Self::Duration
                | Self::Timestamp
                | Self::Enum(_)
                | Self::Service
                | Self::Connection
                | Self::Secret
        )
    }

    /// Whether a value of type `other` can be used where this type is wanted.
    ///
    /// Where text is wanted every scalar can be written as text. A text may hold a duration, a
    /// service name and so on: its value is looked at when it is known.
    pub fn accepts(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Any, _) | (_, Self::Any) => true,
            (Self::String, given) => {
                given.is_text()
                    || matches!(given, Self::Int | Self::Float | Self::Bool | Self::Size)
            }
            (Self::Int, Self::Int | Self::Size)
            | (Self::Float, Self::Float | Self::Int | Self::Size)
            | (Self::Bool, Self::Bool)
            | (Self::Duration, Self::Duration | Self::String)
            | (Self::Size, Self::Size | Self::Int | Self::String)
            | (Self::Timestamp, Self::Timestamp | Self::String)
            | (Self::Service, Self::Service | Self::String | Self::Enum(_))
            | (Self::Connection, Self::Connection | Self::String | Self::Enum(_))
            | (Self::Enum(_), Self::String) => true,
            (Self::Secret, Self::Secret) => true,
            (Self::Enum(wanted), Self::Enum(given)) => given.iter().any(|g| wanted.contains(g)),
            (Self::List(wanted), Self::List(given)) | (Self::Map(wanted), Self::Map(given)) => {
                wanted.accepts_inside(given)
            }
            (Self::Map(wanted), Self::Object(given)) => given
                .fields
                .values()
                .all(|field| wanted.accepts_inside(field)),
            (Self::Object(wanted), Self::Map(given)) => wanted
                .fields
                .values()
                .all(|field| field.accepts_inside(given)),
            (Self::Object(wanted), Self::Object(given)) => {
                let has = |name: &String| given.open || given.fields.contains_key(name);
                wanted.required.iter().all(has)
                    && given.fields.iter().all(|(name, ty)| {
                        wanted
                            .fields
                            .get(name)
                            .map_or(wanted.open, |field| field.accepts_inside(ty))
                    })
            }
            _ => false,
        }
    }

    /// Inside a list or map nothing is written as text, so a number does not become one.
    fn accepts_inside(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::String, given) => matches!(given, Self::Any) || given.is_text(),
            (wanted, given) => wanted.accepts(given),
        }
    }

    /// The type at a path inside this type.
    ///
    /// # Errors
    /// [`LookupProblem`] with the segment that leads nowhere.
    pub fn lookup(&self, path: &[String]) -> Result<&Self, LookupProblem> {
        static ANY: Ty = Ty::Any;
        let mut ty = self;
        for (segment, name) in path.iter().enumerate() {
            let problem = |kind| Err(LookupProblem { segment, kind });
            ty = match ty {
                Self::Any => return Ok(&ANY),
                Self::Map(item) => item,
                Self::List(item) if name.bytes().all(|b| b.is_ascii_digit()) => item,
                Self::List(_) => return problem(LookupProblemKind::NotAnIndex),
                Self::Object(object) => match object.fields.get(name) {
                    Some(field) => field,
                    None if object.open => return Ok(&ANY),
                    None => {
                        let known = object.fields.keys().cloned().collect();
                        return problem(LookupProblemKind::UnknownKey(known));
                    }
                },
                scalar => return problem(LookupProblemKind::NothingInside(scalar.clone())),
            };
        }
        Ok(ty)
    }
}

fn one_of(variants: &[Value]) -> Ty {
    let mut types = variants
        .iter()
        .filter(|v| v.get("type").and_then(Value::as_str) != Some("null"))
        .map(Ty::from_schema);
    let Some(first) = types.next() else {
        return Ty::Any;
    };
    types.fold(first, |all, ty| match (all, ty) {
        (Ty::Enum(mut names), Ty::Enum(more)) => {
            names.extend(more);
            Ty::Enum(names)
        }
        (all, ty) if all == ty => all,
        _ => Ty::Any,
    })
}

fn object(schema: &crate::base::Map<String, Value>) -> Ty {
    let properties = schema.get("properties").and_then(Value::as_object);
    let additional = schema.get("additionalProperties");
    if properties.is_none_or(|p| p.is_empty())
        && let Some(item) = additional
        && item != &Value::Bool(false)
    {
        return Ty::Map(Box::new(Ty::from_schema(item)));
    }
    Ty::Object(ObjectTy {
        fields: properties
            .into_iter()
            .flatten()
            .map(|(name, schema)| (name.clone(), Ty::from_schema(schema)))
            .collect(),
        required: schema
            .get("required")
            .and_then(Value::as_array)
            .into_iter()
            .flatten()
            .filter_map(|name| name.as_str().map(str::to_owned))
            .collect(),
        open: additional.is_some_and(|a| a != &Value::Bool(false)),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::{ByteSize, HumanDuration};
    use schemars::JsonSchema;
    use serde::{Deserialize, Serialize};
    use serde_json::json;
    use std::collections::BTreeMap;

    #[derive(JsonSchema, Serialize, Deserialize)]
    #[serde(rename_all = "snake_case")]
    enum Level {
        /// Documented variants become `oneOf`.
        Low,
        High,
    }

    #[derive(JsonSchema, Serialize, Deserialize)]
    struct Sample {
        pid: Option<u32>,
        name: String,
        wait: Option<HumanDuration>,
        limit: ByteSize,
        ratio: f64,
        tags: Vec<String>,
        headers: BTreeMap<String, String>,
        level: Level,
        body: Value,
        part: Option<Box<Part>>,
    }

    #[derive(JsonSchema, Serialize, Deserialize)]
    struct Part {
        ok: bool,
    }

    #[test]
    fn reads_what_schemars_writes() {
        let settings =
            schemars::generate::SchemaSettings::draft2020_12().with(|s| s.inline_subschemas = true);
        let schema = Value::from(settings.into_generator().into_root_schema_for::<Sample>());
        let ty = Ty::from_schema(&schema);
        let at = |path: &str| {
            let path: Vec<String> = path.split('.').map(str::to_owned).collect();
            ty.lookup(&path).map(ToString::to_string)
        };
        for (path, expected) in [
            ("pid", "int"),
            ("name", "string"),
            ("wait", "duration"),
            ("limit", "size"),
            ("ratio", "float"),
            ("tags", "list of string"),
            ("tags.0", "string"),
            ("headers", "map of string"),
            ("headers.accept", "string"),
            ("level", "one of high, low"),
            ("body.any.thing", "any"),
            ("part.ok", "bool"),
        ] {
            assert_eq!(at(path).as_deref(), Ok(expected), "{path}");
        }
        let problem = at("nam").expect_err("unknown");
        assert_eq!(problem.segment, 0);
        assert!(matches!(&problem.kind, LookupProblemKind::UnknownKey(known) if known.len() == 10));
        assert_eq!(
            at("part.ok.x").map_err(|p| (p.segment, p.kind)),
            Err((2, LookupProblemKind::NothingInside(Ty::Bool)))
        );
        assert_eq!(
            at("tags.first").map_err(|p| p.kind),
            Err(LookupProblemKind::NotAnIndex)
        );
    }

    #[test]
    fn hand_written_schemas() {
        for (schema, expected) in [
            (json!(true), Ty::Any),
            (json!({}), Ty::Any),
            (json!({"type": "string", "format": "service"}), Ty::Service),
            (
                json!({"type": "string", "format": "connection"}),
                Ty::Connection,
            ),
            (
                json!({"type": "string", "format": "date-time"}),
                Ty::Timestamp,
            ),
            (json!({"type": ["string", "integer"]}), Ty::Any),
            (
                json!({"anyOf": [{"type": "integer"}, {"type": "null"}]}),
                Ty::Int,
            ),
            (json!({"enum": ["a", null]}), Ty::Enum(vec!["a".to_owned()])),
            (
                json!({"type": "object", "additionalProperties": true}),
                Ty::Map(Box::new(Ty::Any)),
            ),
            (json!({"type": "object"}), Ty::Object(ObjectTy::default())),
        ] {
            assert_eq!(Ty::from_schema(&schema), expected, "{schema}");
        }
    }

    #[test]
    fn what_fits_where() {
        let list = |ty| Ty::List(Box::new(ty));
        let names = |n: &[&str]| Ty::Enum(n.iter().map(|s| (*s).to_owned()).collect());
        let object = |json: Value| Ty::of_value(&json);
        for (wanted, given, fits) in [
            (Ty::String, Ty::Int, true),
            (Ty::String, Ty::Duration, true),
            (Ty::String, list(Ty::String), false),
            (Ty::Int, Ty::String, false),
            (Ty::Int, Ty::Float, false),
            (Ty::Int, Ty::Size, true),
            (Ty::Float, Ty::Int, true),
            (Ty::Bool, Ty::String, false),
            (Ty::Duration, Ty::String, true),
            (Ty::Duration, Ty::Int, false),
            (Ty::Service, Ty::String, true),
            (Ty::Service, Ty::Connection, false),
            (names(&["a", "b"]), names(&["b", "c"]), true),
            (names(&["a"]), names(&["c"]), false),
            (names(&["a"]), Ty::Int, false),
            (list(Ty::String), list(Ty::Int), false),
            (list(Ty::String), list(Ty::Service), true),
            (list(Ty::Int), list(Ty::String), false),
            (list(Ty::Int), Ty::Int, false),
            (
                Ty::Map(Box::new(Ty::String)),
                object(json!({"a": "x"})),
                true,
            ),
            (Ty::Map(Box::new(Ty::Int)), object(json!({"a": "x"})), false),
            (object(json!({"a": 1})), object(json!({"a": 2})), true),
            (object(json!({"a": 1})), object(json!({})), false),
            (
                object(json!({"a": 1})),
                object(json!({"a": 1, "b": 1})),
                false,
            ),
            (Ty::Any, Ty::Int, true),
            (Ty::Int, Ty::Any, true),
        ] {
            assert_eq!(wanted.accepts(&given), fits, "{wanted:?} <- {given:?}");
        }
    }
}
