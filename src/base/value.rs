//! Values as they travel between steps: JSON, with one canonical text.

pub use serde_json::{Map, Value};

use super::canonical::canonical_text;

/// The canonical JSON text of a value: object keys sorted by code point, no white space.
///
/// Two equal values give the same bytes on every machine, so a digest over it is stable.
/// The form follows RFC 8785 except that numbers are printed as `serde_json` does
/// (integers exactly, floats in shortest form).
pub fn canonical_json(value: &Value) -> String {
    #[expect(
        clippy::expect_used,
        reason = "a JSON value has only text keys, so it can be written"
    )]
    canonical_text(value, |_, _| false).expect("a value is JSON")
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn keys_are_sorted_at_every_depth() {
        let value = json!({"b": [ {"z": 1, "a": null} ], "a": "x\n"});
        assert_eq!(
            canonical_json(&value),
            r#"{"a":"x\n","b":[{"a":null,"z":1}]}"#
        );
    }
}
