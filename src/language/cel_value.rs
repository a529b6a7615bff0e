//! Values between JSON and CEL, by type.

use std::collections::HashMap;
use std::sync::Arc;

use cel::objects::{Key, Map as CelMap};
use cel::{ExecutionError, Value as CelValue};
use chrono::{DateTime, FixedOffset};

use crate::base::{Value, parse_duration, parse_size};
use crate::model::Ty;

/// A JSON value as CEL sees it: a duration text of type duration becomes a CEL duration, and so on.
///
/// # Errors
/// A sentence fragment when a text is not what its type says.
pub(super) fn from_json(value: &Value, ty: &Ty) -> Result<CelValue, String> {
    match (value, ty) {
        (Value::String(text), Ty::Duration) => parse_duration(text)
            .and_then(|d| chrono::Duration::from_std(d).map_err(|e| e.to_string()))
            .map(CelValue::Duration),
        (Value::String(text), Ty::Timestamp) => DateTime::<FixedOffset>::parse_from_rfc3339(text)
            .map(CelValue::Timestamp)
            .map_err(|_| format!("`{text}` is not a timestamp")),
        (Value::String(text), Ty::Size) => size(text),
        (Value::Number(number), Ty::Float) => {
            Ok(CelValue::Float(number.as_f64().unwrap_or(f64::NAN)))
        }
        (Value::Null, _) => Ok(CelValue::Null),
        (Value::Bool(value), _) => Ok(CelValue::Bool(*value)),
        (Value::Number(number), _) => Ok(if let Some(int) = number.as_i64() {
            CelValue::Int(int)
        } else if let Some(uint) = number.as_u64() {
            CelValue::UInt(uint)
        } else {
            CelValue::Float(number.as_f64().unwrap_or(f64::NAN))
        }),
        (Value::String(text), _) => Ok(CelValue::String(Arc::new(text.clone()))),
        (Value::Array(items), ty) => {
            let item_ty = match ty {
                Ty::List(item) => item,
                _ => &Ty::Any,
            };
            items
                .iter()
                .map(|item| from_json(item, item_ty))
                .collect::<Result<Vec<_>, _>>()
                .map(|items| CelValue::List(Arc::new(items)))
        }
        (Value::Object(map), ty) => map
            .iter()
            .map(|(key, value)| {
                let field_ty = match ty {
                    Ty::Map(item) => item,
                    Ty::Object(object) => object.fields.get(key).unwrap_or(&Ty::Any),
                    _ => &Ty::Any,
                };
                from_json(value, field_ty).map(|value| (Key::from(key.as_str()), value))
            })
            .collect::<Result<HashMap<_, _>, _>>()
            .map(|map| CelValue::Map(CelMap { map: Arc::new(map) })),
    }
}

/// `duration("1h30m")`, with days, unlike CEL's own.
pub(super) fn duration(text: Arc<String>) -> Result<CelValue, ExecutionError> {
    from_json(&Value::String(text.to_string()), &Ty::Duration)
        .map_err(|why| ExecutionError::function_error("duration", why))
}

/// `bytes("64MiB")`: a size as a number.
pub(super) fn bytes(text: Arc<String>) -> Result<CelValue, ExecutionError> {
    size(&text).map_err(|why| ExecutionError::function_error("bytes", why))
}

fn size(text: &str) -> Result<CelValue, String> {
    parse_size(text).map(|bytes| i64::try_from(bytes).map_or(CelValue::UInt(bytes), CelValue::Int))
}

/// What a result is, for messages.
pub(super) fn kind_name(value: &CelValue) -> String {
    match value {
        CelValue::Null => "null".to_owned(),
        CelValue::Int(_) | CelValue::UInt(_) | CelValue::Float(_) => "a number".to_owned(),
        other => format!("a {}", other.type_of()),
    }
}
