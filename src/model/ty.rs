//! The types of the language (design §4), for parameters, inputs and outputs.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};

/// A type. The stored form is part of the plan, so that conditions mean the same after an upgrade.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", content = "of", rename_all = "snake_case")]
pub enum Ty {
    /// Not known before the run.
    #[default]
    Any,
    /// Text.
    String,
    /// 64-bit integer.
    Int,
    /// 64-bit float; an integer is accepted.
    Float,
    /// `true` or `false`.
    Bool,
    /// `10s`; carried as text, compared as a duration in conditions.
    Duration,
    /// `64MiB`; carried as a number of bytes.
    Size,
    /// RFC 3339; carried as text, compared as a timestamp in conditions.
    Timestamp,
    /// One of some texts.
    Enum(Vec<String>),
    /// A list of one type.
    List(Box<Ty>),
    /// Keys unknown before the run, values of one type.
    Map(Box<Ty>),
    /// Known keys.
    Object(ObjectTy),
    /// The name of a service of the environment.
    Service,
    /// The name of a connection of the environment.
    Connection,
    /// Text that must not be published; its value is a marker until a handler is called.
    Secret,
}

/// An object type with known keys.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ObjectTy {
    /// The keys and their types.
    pub fields: BTreeMap<String, Ty>,
    /// Keys that are always there.
    pub required: Vec<String>,
    /// Whether other keys may appear.
    pub open: bool,
}

impl fmt::Display for Ty {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Any => f.write_str("any"),
            Self::String => f.write_str("string"),
            Self::Int => f.write_str("int"),
            Self::Float => f.write_str("float"),
            Self::Bool => f.write_str("bool"),
            Self::Duration => f.write_str("duration"),
            Self::Size => f.write_str("size"),
            Self::Timestamp => f.write_str("timestamp"),
            Self::Enum(names) => write!(f, "one of {}", names.join(", ")),
            Self::List(item) => write!(f, "list of {item}"),
            Self::Map(item) => write!(f, "map of {item}"),
            Self::Object(_) => f.write_str("map"),
            Self::Service => f.write_str("service"),
            Self::Connection => f.write_str("connection"),
            Self::Secret => f.write_str("secret"),
        }
    }
}
