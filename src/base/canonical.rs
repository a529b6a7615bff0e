//! Canonical JSON straight from what is to be written, without a tree of values in between: a plan of
//! ten thousand steps would be held twice.

use std::borrow::Cow;
use std::fmt::Display;
use std::ops::Range;

use serde::Serialize;
use serde::ser::{self, Error as _};

type Error = serde_json::Error;

/// Which fields are left out: name of the struct, name of the field.
pub type Omit = fn(&'static str, &'static str) -> bool;

/// The canonical JSON text ([`super::canonical_json`]) of anything that serde can write, without the
/// fields that `omit` names.
///
/// # Errors
/// When a map has a key that is no text, or an implementation of `Serialize` refuses.
pub fn canonical_text<T: Serialize + ?Sized>(value: &T, omit: Omit) -> Result<String, Error> {
    let mut writer = Writer {
        out: Vec::new(),
        scratch: Vec::new(),
        omit,
    };
    value.serialize(&mut writer)?;
    String::from_utf8(writer.out).map_err(Error::custom)
}

struct Writer {
    out: Vec<u8>,
    scratch: Vec<u8>,
    omit: Omit,
}

impl Writer {
    fn plain(&mut self, text: &str) {
        self.out.extend_from_slice(text.as_bytes());
    }

    fn display(&mut self, value: impl Display) {
        use std::io::Write as _;
        // Writing to a vector cannot fail.
        let _ = write!(self.out, "{value}");
    }

    fn text(&mut self, text: &str) {
        // Most texts need no escape; the others are serde's business.
        if text.bytes().all(|b| b >= b' ' && b != b'"' && b != b'\\') {
            self.out.push(b'"');
            self.plain(text);
            self.out.push(b'"');
        } else {
            self.display(super::Value::from(text));
        }
    }

    fn object(&mut self, name: &'static str) -> Object<'_> {
        self.out.push(b'{');
        Object {
            writer: self,
            name,
            entries: Vec::new(),
            sorted: true,
            wrapped: false,
        }
    }

    fn array(&mut self) -> Array<'_> {
        self.out.push(b'[');
        Array {
            writer: self,
            empty: true,
            wrapped: false,
        }
    }

    /// `{"variant":` of an externally tagged enum; the closing brace is its end's.
    fn tag(&mut self, variant: &str) {
        self.out.push(b'{');
        self.text(variant);
        self.out.push(b':');
    }
}

/// An object under way. Entries are written as they come and put in order at the end.
struct Object<'a> {
    writer: &'a mut Writer,
    name: &'static str,
    entries: Vec<(Cow<'static, str>, Range<usize>)>,
    sorted: bool,
    /// Whether it is the content of a variant, whose brace must be closed too.
    wrapped: bool,
}

impl Object<'_> {
    fn entry<T: Serialize + ?Sized>(
        &mut self,
        key: Cow<'static, str>,
        value: &T,
    ) -> Result<(), Error> {
        if let Some((last, _)) = self.entries.last() {
            self.sorted &= *last < key;
            self.writer.out.push(b',');
        }
        let start = self.writer.out.len();
        self.writer.text(&key);
        self.writer.out.push(b':');
        value.serialize(&mut *self.writer)?;
        let end = self.writer.out.len();
        self.entries.push((key, start..end));
        Ok(())
    }

    fn close(mut self) {
        if !self.sorted
            && let Some((_, first)) = self.entries.first()
        {
            let start = first.start;
            self.entries.sort_by(|(a, _), (b, _)| a.cmp(b));
            let Writer { out, scratch, .. } = self.writer;
            scratch.clear();
            for (at, (_, range)) in self.entries.iter().enumerate() {
                if at > 0 {
                    scratch.push(b',');
                }
                scratch.extend_from_slice(&out[range.clone()]);
            }
            out.truncate(start);
            out.append(scratch);
        }
        self.writer.out.push(b'}');
        if self.wrapped {
            self.writer.out.push(b'}');
        }
    }
}

impl ser::SerializeStruct for Object<'_> {
    type Ok = ();
    type Error = Error;

    fn serialize_field<T: Serialize + ?Sized>(
        &mut self,
        key: &'static str,
        value: &T,
    ) -> Result<(), Error> {
        if (self.writer.omit)(self.name, key) {
            return Ok(());
        }
        self.entry(Cow::Borrowed(key), value)
    }

    fn end(self) -> Result<(), Error> {
        self.close();
        Ok(())
    }
}

impl ser::SerializeStructVariant for Object<'_> {
    type Ok = ();
    type Error = Error;

    fn serialize_field<T: Serialize + ?Sized>(
        &mut self,
        key: &'static str,
        value: &T,
    ) -> Result<(), Error> {
        self.entry(Cow::Borrowed(key), value)
    }

    fn end(self) -> Result<(), Error> {
        self.close();
        Ok(())
    }
}

/// A map under way: keys and values come one after the other.
struct Entries<'a> {
    object: Object<'a>,
    key: Option<String>,
}

impl ser::SerializeMap for Entries<'_> {
    type Ok = ();
    type Error = Error;

    fn serialize_key<T: Serialize + ?Sized>(&mut self, key: &T) -> Result<(), Error> {
        match serde_json::to_value(key)? {
            super::Value::String(key) => {
                self.key = Some(key);
                Ok(())
            }
            _ => Err(Error::custom("a key of a map is no text")),
        }
    }

    fn serialize_value<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), Error> {
        let key = self
            .key
            .take()
            .ok_or_else(|| Error::custom("a value of a map has no key"))?;
        self.object.entry(Cow::Owned(key), value)
    }

    fn end(self) -> Result<(), Error> {
        self.object.close();
        Ok(())
    }
}

/// A list under way.
struct Array<'a> {
    writer: &'a mut Writer,
    empty: bool,
    /// Whether it is the content of a variant, whose brace must be closed too.
    wrapped: bool,
}

impl Array<'_> {
    fn item<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), Error> {
        if !std::mem::replace(&mut self.empty, false) {
            self.writer.out.push(b',');
        }
        value.serialize(&mut *self.writer)
    }

    fn close(self) -> Result<(), Error> {
        self.writer.out.push(b']');
        if self.wrapped {
            self.writer.out.push(b'}');
        }
        Ok(())
    }
}

macro_rules! sequence {
    ($trait:ident, $method:ident) => {
        impl ser::$trait for Array<'_> {
            type Ok = ();
            type Error = Error;

            fn $method<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), Error> {
                self.item(value)
            }

            fn end(self) -> Result<(), Error> {
                self.close()
            }
        }
    };
}

sequence!(SerializeSeq, serialize_element);
sequence!(SerializeTuple, serialize_element);
sequence!(SerializeTupleStruct, serialize_field);
sequence!(SerializeTupleVariant, serialize_field);

macro_rules! shown {
    ($($method:ident: $ty:ty),*) => {
        $(fn $method(self, value: $ty) -> Result<(), Error> {
            self.display(value);
            Ok(())
        })*
    };
}

impl<'a> ser::Serializer for &'a mut Writer {
    type Ok = ();
    type Error = Error;
    type SerializeSeq = Array<'a>;
    type SerializeTuple = Array<'a>;
    type SerializeTupleStruct = Array<'a>;
    type SerializeTupleVariant = Array<'a>;
    type SerializeMap = Entries<'a>;
    type SerializeStruct = Object<'a>;
    type SerializeStructVariant = Object<'a>;

    shown!(
        serialize_bool: bool,
        serialize_i8: i8,
        serialize_i16: i16,
        serialize_i32: i32,
        serialize_i64: i64,
        serialize_u8: u8,
        serialize_u16: u16,
        serialize_u32: u32,
        serialize_u64: u64
    );

    fn serialize_f32(self, value: f32) -> Result<(), Error> {
        self.serialize_f64(f64::from(value))
    }

    fn serialize_f64(self, value: f64) -> Result<(), Error> {
        // What is not finite becomes null, as everywhere in JSON.
        self.display(super::Value::from(value));
        Ok(())
    }

    fn serialize_char(self, value: char) -> Result<(), Error> {
        self.text(value.encode_utf8(&mut [0; 4]));
        Ok(())
    }

    fn serialize_str(self, value: &str) -> Result<(), Error> {
        self.text(value);
        Ok(())
    }

    fn serialize_bytes(self, value: &[u8]) -> Result<(), Error> {
        value.serialize(self)
    }

    fn serialize_none(self) -> Result<(), Error> {
        self.serialize_unit()
    }

    fn serialize_some<T: Serialize + ?Sized>(self, value: &T) -> Result<(), Error> {
        value.serialize(self)
    }

    fn serialize_unit(self) -> Result<(), Error> {
        self.plain("null");
        Ok(())
    }

    fn serialize_unit_struct(self, _name: &'static str) -> Result<(), Error> {
        self.serialize_unit()
    }

    fn serialize_unit_variant(
        self,
        _name: &'static str,
        _index: u32,
        variant: &'static str,
    ) -> Result<(), Error> {
        self.text(variant);
        Ok(())
    }

    fn serialize_newtype_struct<T: Serialize + ?Sized>(
        self,
        _name: &'static str,
        value: &T,
    ) -> Result<(), Error> {
        value.serialize(self)
    }

    fn serialize_newtype_variant<T: Serialize + ?Sized>(
        self,
        _name: &'static str,
        _index: u32,
        variant: &'static str,
        value: &T,
    ) -> Result<(), Error> {
        self.tag(variant);
        value.serialize(&mut *self)?;
        self.out.push(b'}');
        Ok(())
    }

    fn serialize_seq(self, _len: Option<usize>) -> Result<Array<'a>, Error> {
        Ok(self.array())
    }

    fn serialize_tuple(self, _len: usize) -> Result<Array<'a>, Error> {
        Ok(self.array())
    }

    fn serialize_tuple_struct(self, _name: &'static str, _len: usize) -> Result<Array<'a>, Error> {
        Ok(self.array())
    }

    fn serialize_tuple_variant(
        self,
        _name: &'static str,
        _index: u32,
        variant: &'static str,
        _len: usize,
    ) -> Result<Array<'a>, Error> {
        self.tag(variant);
        let mut array = self.array();
        array.wrapped = true;
        Ok(array)
    }

    fn serialize_map(self, _len: Option<usize>) -> Result<Entries<'a>, Error> {
        Ok(Entries {
            object: self.object(""),
            key: None,
        })
    }

    fn serialize_struct(self, name: &'static str, _len: usize) -> Result<Object<'a>, Error> {
        Ok(self.object(name))
    }

    fn serialize_struct_variant(
        self,
        name: &'static str,
        _index: u32,
        variant: &'static str,
        _len: usize,
    ) -> Result<Object<'a>, Error> {
        self.tag(variant);
        let mut object = self.object(name);
        object.wrapped = true;
        Ok(object)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, HashMap};

    use proptest::prelude::*;
    use serde_json::{Value, json};

    use super::*;

    fn nothing(_: &'static str, _: &'static str) -> bool {
        false
    }

    /// The same text, written the plain way from a tree.
    fn tree_text(value: &Value) -> String {
        match value {
            Value::Array(items) => {
                let items: Vec<_> = items.iter().map(tree_text).collect();
                format!("[{}]", items.join(","))
            }
            Value::Object(map) => {
                let sorted: BTreeMap<_, _> = map.iter().collect();
                let entries: Vec<_> = sorted
                    .into_iter()
                    .map(|(key, value)| format!("{}:{}", Value::from(&**key), tree_text(value)))
                    .collect();
                format!("{{{}}}", entries.join(","))
            }
            scalar => scalar.to_string(),
        }
    }

    fn agrees<T: Serialize>(value: &T) {
        let tree = serde_json::to_value(value).expect("is JSON");
        assert_eq!(
            canonical_text(value, nothing).expect("is JSON"),
            tree_text(&tree)
        );
    }

    #[derive(Serialize)]
    enum Shape {
        Unit,
        New(u8),
        Pair(u8, &'static str),
        Named { z: i64, a: Option<char> },
    }

    #[derive(Serialize)]
    #[serde(tag = "kind", content = "value", rename_all = "snake_case")]
    enum Adjacent {
        None,
        Some(Vec<f64>),
    }

    #[derive(Serialize)]
    #[serde(tag = "kind")]
    enum Internal {
        Inner { z: (), a: bool },
    }

    #[derive(Serialize)]
    struct Whole {
        z: Vec<Shape>,
        a: (Adjacent, Adjacent),
        m: HashMap<String, Internal>,
        bytes: BTreeMap<&'static str, f32>,
    }

    fn whole() -> Whole {
        Whole {
            z: vec![
                Shape::Unit,
                Shape::New(7),
                Shape::Pair(1, "\"é\n"),
                Shape::Named {
                    z: -3,
                    a: Some('\u{1}'),
                },
                Shape::Named {
                    z: i64::MIN,
                    a: None,
                },
            ],
            a: (
                Adjacent::None,
                Adjacent::Some(vec![1.0, 0.1, -0.0, f64::NAN, 1e300]),
            ),
            m: ["b", "a\"b", "ä", ""]
                .map(|key| (key.to_owned(), Internal::Inner { z: (), a: true }))
                .into(),
            bytes: [("x", 0.5)].into(),
        }
    }

    #[test]
    fn every_shape_of_serde_is_written_as_its_tree_would_be() {
        agrees(&whole());
    }

    #[test]
    fn what_is_omitted_is_omitted_in_that_struct_only() {
        let text = canonical_text(&whole(), |name, field| (name, field) == ("Whole", "z"))
            .expect("is JSON");
        let mut tree = serde_json::to_value(whole()).expect("is JSON");
        tree.as_object_mut().expect("an object").remove("z");
        assert_eq!(text, tree_text(&tree));
        assert!(text.contains("\"z\":null"), "{text}");
    }

    #[test]
    fn keys_that_are_no_texts_are_refused() {
        let map: BTreeMap<Vec<u8>, u8> = [(vec![1], 1)].into();
        assert!(canonical_text(&map, nothing).is_err());
    }

    fn value() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            any::<f64>().prop_map(Value::from),
            ".*".prop_map(Value::from),
        ];
        leaf.prop_recursive(4, 40, 6, |inner| {
            prop_oneof![
                proptest::collection::vec(inner.clone(), 0..6).prop_map(Value::from),
                proptest::collection::vec((".{0,3}", inner), 0..6)
                    .prop_map(|entries| json!(entries.into_iter().collect::<HashMap<_, _>>())),
            ]
        })
    }

    proptest! {
        #[test]
        fn any_value_is_written_as_the_tree_writer_writes_it(value in value()) {
            prop_assert_eq!(
                canonical_text(&value, nothing).expect("is JSON"),
                tree_text(&value)
            );
        }
    }
}
