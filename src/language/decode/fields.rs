//! Maps with known keys: what is unknown, later or missing is said here, for every kind of object.

use indexmap::IndexMap;

use super::keys::{KeySpec, ObjectSpec, Presence, Shape};
use super::reader::Reader;
use crate::base::{Diagnostic, Span, did_you_mean};
use crate::language::codes;
use crate::model::{YamlValue, YamlValueKind};

/// The keys of an object that are still to be read.
pub(super) struct Fields {
    spec: &'static ObjectSpec,
    map: IndexMap<String, (Span, YamlValue)>,
    /// Where the object is written.
    pub(super) span: Span,
    /// Where it begins: its first key, or itself when it is empty.
    pub(super) head: Span,
}

/// A key with its value.
pub(super) struct Field {
    /// Its row of the table.
    pub(super) key: &'static KeySpec,
    /// Where the key is written.
    pub(super) key_span: Span,
    /// The value.
    pub(super) value: YamlValue,
}

impl Fields {
    /// Takes a map apart. Unknown, later and missing keys are reported at once.
    pub(super) fn open(
        reader: &mut Reader<'_>,
        value: YamlValue,
        spec: &'static ObjectSpec,
        name: &str,
        example: &str,
    ) -> Option<Self> {
        let span = value.span;
        let YamlValueKind::Map(map) = value.kind else {
            reader.wrong_type(&value, name, "a map", &format!("{name}: {example}"));
            return None;
        };
        let head = map.first().map_or(span, |(_, (span, _))| *span);
        let fields = Self {
            spec,
            map,
            span,
            head,
        };
        fields.report_unknown(reader);
        fields.report_missing(reader);
        Some(fields)
    }

    fn report_unknown(&self, reader: &mut Reader<'_>) {
        for (name, (span, _)) in &self.map {
            if self.spec.get(name).is_some() {
                continue;
            }
            if self.spec.is_later(name) {
                reader.error(
                    codes::NOT_YET,
                    format!("`{name}` in {} is not supported yet", self.spec.what),
                    *span,
                    "this version does not have it",
                    "take it out, or use a later version of this program",
                );
            } else if !self.spec.open {
                let known = || self.spec.present().map(|key| key.name);
                let permitted = known().collect::<Vec<_>>().join(", ");
                let help = match did_you_mean(name, known()) {
                    Some(near) => format!("did you mean `{near}`? Permitted here: {permitted}"),
                    None => format!("permitted here: {permitted}"),
                };
                reader.error(
                    codes::UNKNOWN_KEY,
                    format!("{} has no key `{name}`", self.spec.what),
                    *span,
                    "unknown key",
                    &help,
                );
            }
        }
    }

    fn report_missing(&self, reader: &mut Reader<'_>) {
        for key in self.spec.present() {
            // A missing format line has its own words, said before.
            let judged = key.presence == Presence::Required && !matches!(key.shape, Shape::Format);
            if judged && !self.map.contains_key(key.name) {
                reader.error(
                    codes::MISSING_KEY,
                    format!("{} needs the key `{}`", self.spec.what, key.name),
                    self.head,
                    "the key is missing here",
                    &format!("add e.g. `{}: {}`: {}", key.name, key.example, key.doc),
                );
            }
        }
    }

    /// Whether the table has a row for a key.
    pub(super) fn knows(&self, name: &str) -> bool {
        self.spec.get(name).is_some()
    }

    /// Takes a key out.
    pub(super) fn take(&mut self, name: &str) -> Option<Field> {
        debug_assert!(
            self.spec.get(name).is_some(),
            "`{name}` is not in the table of {}",
            self.spec.what
        );
        // Most keys are not written, and what is written is a handful: a look at each beats a hash.
        let at = self.map.keys().position(|key| key == name)?;
        let (_, (key_span, value)) = self.map.swap_remove_index(at)?;
        Some(Field {
            key: self.spec.get(name)?,
            key_span,
            value,
        })
    }

    /// Where a key that is still here is written.
    pub(super) fn place(&self, name: &str) -> Option<Span> {
        self.map.get(name).map(|(span, _)| *span)
    }

    /// The value of a key that is still here.
    pub(super) fn value(&self, name: &str) -> Option<&YamlValue> {
        self.map.get(name).map(|(_, value)| value)
    }

    /// What is left, in file order: the keys that somebody else judges.
    ///
    /// Only for open objects, whose own keys are taken before.
    pub(super) fn rest(self) -> YamlValue {
        debug_assert!(self.spec.open, "{} is closed", self.spec.what);
        YamlValue {
            kind: YamlValueKind::Map(self.map),
            span: self.span,
        }
    }

    /// Ends the reading of a closed object.
    pub(super) fn done(self) {
        let forgotten = self.map.keys().find(|name| self.spec.get(name).is_some());
        debug_assert!(
            forgotten.is_none(),
            "{forgotten:?} of {} is never read",
            self.spec.what
        );
    }

    /// Says that a key does not go together with the others.
    pub(super) fn refuse(
        &mut self,
        reader: &mut Reader<'_>,
        name: &str,
        message: &str,
        help: &str,
    ) {
        if let Some(field) = self.take(name) {
            let diagnostic = Diagnostic::error(codes::KEY_CONFLICT, message)
                .at(reader.source, field.key_span, "this key")
                .help(help);
            reader.diags.push(diagnostic);
        }
    }
}
