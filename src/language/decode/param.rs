//! The parameters of a runbook.

use indexmap::IndexMap;

use super::fields::{Field, Fields};
use super::keys::{INPUT_TYPES, ITEM_TYPES, ObjectSpec, PARAM, Shape, TYPES};
use super::reader::Reader;
use super::secret::read_source;
use crate::base::{Diagnostic, Spanned};
use crate::language::codes;
use crate::language::params::{check_param_value, coerce, compile_pattern};
use crate::model::{Param, Ty, YamlValue, YamlValueKind};

/// Reads all parameters; `None` when one of them could not be read.
pub(super) fn read_params(
    r: &mut Reader<'_>,
    field: Option<Field>,
) -> Option<IndexMap<String, Param>> {
    match field {
        None => Some(IndexMap::new()),
        Some(field) => read_declared(r, field, "name of a parameter", &PARAM),
    }
}

/// Reads what is declared with a name and a type; `None` when one of them could not be read.
pub(super) fn read_declared(
    r: &mut Reader<'_>,
    field: Field,
    what: &str,
    spec: &'static ObjectSpec,
) -> Option<IndexMap<String, Param>> {
    let mut declared = IndexMap::new();
    let mut good = true;
    for (name, (name_span, value)) in r.map(Some(field))? {
        good &= r.identifier(&name, what, name_span);
        let example = "{ type: string }";
        let read = Fields::open(r, value, spec, &name, example)
            .and_then(|fields| read_param(r, fields, name_span));
        match read {
            Some(param) => {
                declared.insert(name, param);
            }
            None => good = false,
        }
    }
    good.then_some(declared)
}

fn read_param(
    r: &mut Reader<'_>,
    mut fields: Fields,
    name_span: crate::base::Span,
) -> Option<Param> {
    let f = &mut fields;
    let ty = read_type(r, f);
    let default = f.take("default").map(|field| field.value);
    let description = r.text(f.take("description"));
    match &ty {
        Some(ty) => refuse_foreign_keys(r, f, ty),
        // Whether these belong here depends on the type, and that is already reported.
        None => ["values", "items"]
            .into_iter()
            .for_each(|key| drop(f.take(key))),
    }
    let pattern = r.text(f.take("pattern"));
    let pattern = pattern.filter(|pattern| pattern_compiles(r, pattern));
    let min = f.take("min").map(|field| field.value);
    let max = f.take("max").map(|field| field.value);
    fields.done();
    let mut param = Param {
        name_span,
        ty: ty?,
        default,
        description,
        pattern,
        min,
        max,
    };
    check_bounds(r, &mut param);
    check_default(r, &param);
    Some(param)
}

fn read_type(r: &mut Reader<'_>, f: &mut Fields) -> Option<Spanned<Ty>> {
    let field = f.take("type")?;
    let span = field.value.span;
    let types = match field.key.shape {
        Shape::InputType => INPUT_TYPES,
        _ => TYPES,
    };
    if types == INPUT_TYPES && is_secret(&field.value) {
        r.bad_value(
            &field,
            "an approver cannot fill in a secret",
            "votes are on record for everybody to read; take the secret from `secrets:` of the environment",
        );
        return None;
    }
    let name = r.word(&field.value, "type", types)?;
    if name != "enum" {
        let message = format!("`values` has no meaning for `type: {name}`");
        f.refuse(
            r,
            "values",
            &message,
            "write `type: enum`, or take `values` out",
        );
    }
    if name != "list" && name != "map" {
        let message = format!("`items` has no meaning for `type: {name}`");
        f.refuse(
            r,
            "items",
            &message,
            "write `type: list` or `type: map`, or take `items` out",
        );
    }
    let ty = match name.as_str() {
        "enum" => {
            need(r, f, "enum", "values");
            let values = r.texts(f.take("values"))?;
            Ty::Enum(values.into_iter().map(|value| value.value).collect())
        }
        "list" | "map" => {
            need(r, f, &name, "items");
            let items = f.take("items")?;
            let item = simple_type(&r.word(&items.value, "items", ITEM_TYPES)?)?;
            if name == "list" {
                Ty::List(Box::new(item))
            } else {
                Ty::Map(Box::new(item))
            }
        }
        other => simple_type(other)?,
    };
    Some(Spanned::new(ty, span))
}

fn is_secret(value: &YamlValue) -> bool {
    matches!(&value.kind, YamlValueKind::Text { text, .. } if text == "secret")
}

fn need(r: &mut Reader<'_>, f: &Fields, ty: &str, key: &str) {
    let Some(spec) = PARAM.get(key) else { return };
    if f.place(key).is_none() {
        r.error(
            codes::MISSING_KEY,
            format!("`type: {ty}` needs the key `{key}`"),
            f.head,
            "the key is missing here",
            &format!("add e.g. `{key}: {}`", spec.example),
        );
    }
}

fn simple_type(name: &str) -> Option<Ty> {
    Some(match name {
        "string" => Ty::String,
        "int" => Ty::Int,
        "float" => Ty::Float,
        "bool" => Ty::Bool,
        "duration" => Ty::Duration,
        "size" => Ty::Size,
        "timestamp" => Ty::Timestamp,
        "service" => Ty::Service,
        "connection" => Ty::Connection,
        "secret" => Ty::Secret,
        _ => return None,
    })
}

fn refuse_foreign_keys(r: &mut Reader<'_>, f: &mut Fields, ty: &Ty) {
    if !matches!(ty, Ty::String) {
        f.refuse(
            r,
            "pattern",
            "`pattern` is for `type: string` only",
            "take it out",
        );
    }
    if !matches!(ty, Ty::Int | Ty::Float | Ty::Duration | Ty::Size) {
        for name in ["min", "max"] {
            let message = format!("`{name}` is for `int`, `float`, `duration` and `size` only");
            f.refuse(r, name, &message, "take it out");
        }
    }
}

fn pattern_compiles(r: &mut Reader<'_>, pattern: &Spanned<String>) -> bool {
    match compile_pattern(pattern) {
        Ok(_) => true,
        Err(reason) => {
            r.error(
                codes::BAD_VALUE,
                format!("`pattern` is not a regular expression: {reason}"),
                pattern.span,
                "this value",
                "write e.g. `pattern: \"[a-z]+\"`",
            );
            false
        }
    }
}

fn check_bounds(r: &mut Reader<'_>, param: &mut Param) {
    let ty = &param.ty.value;
    for (name, bound) in [("min", &mut param.min), ("max", &mut param.max)] {
        let Some(value) = bound else { continue };
        if let Err(reason) = coerce(&value.to_json(), ty) {
            r.error(
                codes::BAD_VALUE,
                format!("`{name}` does not fit `type: {ty}`: {reason}"),
                value.span,
                "this value",
                "write it as a value of the parameter would be written",
            );
            // An unreadable bound would refuse every value as well.
            *bound = None;
        }
    }
}

fn check_default(r: &mut Reader<'_>, param: &Param) {
    let Some(default) = &param.default else {
        return;
    };
    if param.ty.value == Ty::Secret {
        read_source(r, default);
        return;
    }
    let problem = if holds_template(default) {
        Some("it is a literal, and templates are not rendered here".to_owned())
    } else {
        check_param_value(param, &default.to_json()).err()
    };
    if let Some(reason) = problem {
        let span = crate::language::yaml::first_line(&r.source.text, default.span);
        r.diags.push(
            Diagnostic::error(
                codes::BAD_DEFAULT,
                format!("the default does not fit its parameter: {reason}"),
            )
            .at(r.source, span, "this default")
            .at(r.source, param.ty.span, "the type")
            .help("change the default, or what the parameter permits"),
        );
    }
}

pub(super) fn holds_template(value: &YamlValue) -> bool {
    match &value.kind {
        YamlValueKind::Literal(_) => false,
        YamlValueKind::Text { text, .. } => text.contains("{{"),
        YamlValueKind::List(items) => items.iter().any(holds_template),
        YamlValueKind::Map(map) => map.values().any(|(_, value)| holds_template(value)),
    }
}
