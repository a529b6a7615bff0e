//! An environment file.

use std::sync::Arc;

use indexmap::IndexMap;

use super::fields::{Field, Fields};
use super::head::{file_name, open_file};
use super::keys::{CONNECTION, ENVIRONMENT, ObjectSpec, SERVICE};
use super::reader::Reader;
use super::secret::read_source;
use crate::base::{Diagnostics, SourceFile, Span, Spanned};
use crate::model::{Connection, Environment, SecretSource, Service};

/// Reads an environment.
///
/// Every mistake is added to `diags`. `Some` does not mean that there is none, but that every
/// name in it could be read. Ask [`Diagnostics::has_errors`] before anything runs.
pub fn decode_environment(
    source: &Arc<SourceFile>,
    diags: &mut Diagnostics,
) -> Option<Environment> {
    let (mut reader, mut fields) = open_file(source, diags, "environment", &ENVIRONMENT)?;
    let (r, f) = (&mut reader, &mut fields);
    let name = file_name(r, f, "name of an environment");
    let description = r.text(f.take("description"));
    let protected = r.boolean(f.take("protected"));
    let vars = r.values(f.take("vars"), "name of a variable");
    let secrets = read_secrets(r, f.take("secrets"));
    let services = named(
        r,
        f.take("services"),
        "service",
        &SERVICE,
        |r, mut f, name_span| {
            let provider = r.text(f.take("provider"))?;
            Some(Service {
                name_span,
                provider,
                config: f.rest(),
            })
        },
    );
    let connections = named(
        r,
        f.take("connections"),
        "connection",
        &CONNECTION,
        |r, mut f, name_span| {
            let kind = r.one_of(f.take("kind"), |word| Some(word.to_owned()))?;
            Some(Connection {
                name_span,
                kind,
                config: f.rest(),
            })
        },
    );
    fields.done();
    Some(Environment {
        source: Arc::clone(source),
        name: name?,
        description,
        protected: protected.unwrap_or(false),
        vars: vars?,
        secrets: secrets?,
        services: services?,
        connections: connections?,
    })
}

/// `secrets`; `None` when one of them could not be read.
fn read_secrets(
    r: &mut Reader<'_>,
    field: Option<Field>,
) -> Option<IndexMap<String, Spanned<SecretSource>>> {
    let Some(field) = field else {
        return Some(IndexMap::new());
    };
    let mut out = IndexMap::new();
    let mut good = true;
    for (name, (span, value)) in r.map(Some(field))? {
        good &= r.identifier(&name, "name of a secret", span);
        match read_source(r, &value) {
            Some(source) => {
                out.insert(name, Spanned::new(source, value.span));
            }
            None => good = false,
        }
    }
    good.then_some(out)
}

/// A map of names to objects; `None` when one of them could not be read.
pub(super) fn named<T>(
    r: &mut Reader<'_>,
    field: Option<Field>,
    what: &str,
    spec: &'static ObjectSpec,
    read: impl Fn(&mut Reader<'_>, Fields, Span) -> Option<T>,
) -> Option<IndexMap<String, T>> {
    let Some(field) = field else {
        return Some(IndexMap::new());
    };
    let example = field.key.example;
    let mut out = IndexMap::new();
    let mut good = true;
    for (name, (span, value)) in r.map(Some(field))? {
        good &= r.name(&name, &format!("name of a {what}"), span);
        let item = Fields::open(r, value, spec, &name, example).and_then(|f| read(r, f, span));
        match item {
            Some(item) => {
                out.insert(name, item);
            }
            None => good = false,
        }
    }
    good.then_some(out)
}
