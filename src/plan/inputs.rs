//! Inputs as expressions: what is known now is rendered and checked now, the rest stays a template.

use std::collections::BTreeSet;

use super::types::Expr;
use crate::base::{Diagnostic, Diagnostics, Span, Value, did_you_mean};
use crate::check::{
    CheckedRunbook, InputCheck, Subject, TextAt, TextIs, codes, escape_of, schema_for,
};
use crate::language::{Reference, Scope, Template};
use crate::model::{Action, ActionManifest, Environment, Escape, Ty, YamlValue, YamlValueKind};

/// An empty expression that makes a lone reference part of a text, so that its value is written as text.
const AS_TEXT: &str = "{{!text}}";

/// What is known when the plan is made, and where findings go.
pub(super) struct Resolver<'a> {
    /// The runbook whose steps are made.
    pub(super) checked: &'a CheckedRunbook,
    pub(super) environment: &'a Environment,
    /// `params` and `vars`; `item` and `index` while an instance is checked.
    pub(super) scope: Scope,
    /// Parameters without a value before the run: secrets, and what only the run gives to a runbook inside.
    pub(super) hidden: BTreeSet<String>,
    /// Whether `item` and `index` have values, because an instance of a loop is checked.
    pub(super) in_instance: bool,
    pub(super) diags: &'a mut Diagnostics,
}

impl Resolver<'_> {
    /// Holds inputs that became known against what the action declares.
    pub(super) fn check_inputs(
        &mut self,
        action: &Action,
        manifest: &ActionManifest,
        known: &YamlValue,
    ) {
        InputCheck {
            subject: &Subject::of(action),
            source: &self.checked.runbook().source,
            environment: Some(self.environment),
            diags: self.diags,
        }
        .run(&manifest.input, known, &mut |_, _| TextIs::Template);
    }

    /// A value that no schema describes: `outputs:`.
    pub(super) fn free(&mut self, value: &YamlValue) -> Expr {
        self.typed(value, &Value::Bool(true))
    }

    /// A value in the form that a schema wants.
    pub(super) fn typed(&mut self, value: &YamlValue, schema: &Value) -> Expr {
        if !self.renders(value) {
            return self.expression(value, schema, true);
        }
        let known = self.known(value, schema, true);
        self.expression(&known, schema, true)
    }

    /// Whether anything in a value can be rendered now. Else the value stays as `check` has seen it.
    pub(super) fn renders(&self, value: &YamlValue) -> bool {
        match &value.kind {
            YamlValueKind::Literal(_) => false,
            YamlValueKind::Text { text, .. } => {
                let template = self.checked.texts().known_template(text);
                template.is_some_and(|template| self.is_all_known(template))
            }
            YamlValueKind::List(items) => items.iter().any(|item| self.renders(item)),
            YamlValueKind::Map(map) => map.values().any(|(_, item)| self.renders(item)),
        }
    }

    fn is_all_known(&self, template: &Template) -> bool {
        let mut references = template.references().iter();
        references.all(|reference| self.is_known_now(reference))
    }

    fn is_known_now(&self, reference: &Reference) -> bool {
        match (reference.root(), reference.path.get(1)) {
            ("vars", _) => true,
            ("params", Some(name)) => !self.hidden.contains(name),
            ("params", None) => self.hidden.is_empty(),
            ("item" | "index", _) => self.in_instance,
            _ => false,
        }
    }

    /// The value with everything rendered that can be; what is left of kind `Text` is a template.
    pub(super) fn known(
        &mut self,
        value: &YamlValue,
        schema: &Value,
        templates: bool,
    ) -> YamlValue {
        let schema = schema_for(schema, value);
        let kind = match &value.kind {
            YamlValueKind::Literal(_) => return value.clone(),
            YamlValueKind::Text {
                text,
                content_offset,
            } => {
                return self.known_text(text, *content_offset, value, schema, templates);
            }
            YamlValueKind::List(items) => {
                let item_schema = schema.get("items").unwrap_or(&Value::Bool(true));
                let items = items.iter();
                YamlValueKind::List(
                    items
                        .map(|item| self.known(item, item_schema, templates))
                        .collect(),
                )
            }
            YamlValueKind::Map(map) => YamlValueKind::Map(
                map.iter()
                    .map(|(key, (span, item))| {
                        let item = self.known(item, field_schema(schema, key), templates);
                        (key.clone(), (*span, item))
                    })
                    .collect(),
            ),
        };
        YamlValue {
            kind,
            span: value.span,
        }
    }

    fn known_text(
        &mut self,
        text: &str,
        content_offset: Option<usize>,
        value: &YamlValue,
        schema: &Value,
        templates: bool,
    ) -> YamlValue {
        let literal = |text: &str| from_json(&Value::String(text.to_owned()), value.span);
        let template = match self.checked.texts().known_template(text) {
            Some(template) if templates => template,
            _ => return literal(text),
        };
        if !self.is_all_known(template) {
            return value.clone();
        }
        match template.render(&self.scope, escape_of(schema)) {
            Ok(rendered) => from_json(&wanted_form(rendered, schema), value.span),
            Err(error) => {
                let at = TextAt {
                    source: &self.checked.runbook().source,
                    text,
                    content_offset,
                    span: value.span,
                };
                let missing = template
                    .references()
                    .iter()
                    .find(|r| r.root() == "vars" && self.scope.lookup(&r.path).is_none());
                let code = match missing {
                    Some(_) => codes::UNKNOWN_VAR,
                    None => codes::VALUE_NOT_ALLOWED,
                };
                let mut finding = Diagnostic::error(code, error.message).at(
                    at.source,
                    at.place(error.range.as_ref()),
                    "rendered with these parameters and variables",
                );
                let near = missing.and_then(|reference| {
                    let known = self.environment.vars.keys().map(String::as_str);
                    did_you_mean(reference.path.get(1)?, known)
                });
                finding.help = error
                    .help
                    .or_else(|| near.map(|near| format!("did you mean `vars.{near}`?")));
                self.diags.push(finding);
                // Left as it is, so that no second finding follows from the first.
                value.clone()
            }
        }
    }

    /// The value as an expression. A text is one too when it is a template, unless `templates` says
    /// that none of them is.
    pub(super) fn expression(&self, value: &YamlValue, schema: &Value, templates: bool) -> Expr {
        let schema = schema_for(schema, value);
        match &value.kind {
            YamlValueKind::Literal(literal) => Expr::Value(literal.clone()),
            YamlValueKind::Text { text, .. }
                if !templates || self.checked.texts().known_template(text).is_none() =>
            {
                Expr::Value(Value::String(text.clone()))
            }
            YamlValueKind::Text { text, .. } => Expr::Template {
                text: if self.checked.is_written_as_text(value.span) {
                    format!("{AS_TEXT}{text}")
                } else {
                    text.clone()
                },
                escape: escape_of(schema),
            },
            YamlValueKind::List(items) => {
                let item_schema = schema.get("items").unwrap_or(&Value::Bool(true));
                let items: Vec<Expr> = items
                    .iter()
                    .map(|item| self.expression(item, item_schema, templates))
                    .collect();
                if items.iter().all(is_value) {
                    let values = items.into_iter().filter_map(into_value);
                    Expr::Value(Value::Array(values.collect()))
                } else {
                    Expr::List(items)
                }
            }
            YamlValueKind::Map(map) => {
                let fields: std::collections::BTreeMap<String, Expr> = map
                    .iter()
                    .map(|(key, (_, item))| {
                        let item = self.expression(item, field_schema(schema, key), templates);
                        (key.clone(), item)
                    })
                    .collect();
                if fields.values().all(is_value) {
                    let values = fields.into_iter();
                    let values = values.filter_map(|(key, item)| Some((key, into_value(item)?)));
                    Expr::Value(Value::Object(values.collect()))
                } else {
                    Expr::Map(fields)
                }
            }
        }
    }
}

fn is_value(expr: &Expr) -> bool {
    matches!(expr, Expr::Value(_))
}

fn into_value(expr: Expr) -> Option<Value> {
    match expr {
        Expr::Value(value) => Some(value),
        _ => None,
    }
}

/// Where text is wanted, a number or boolean is written as text.
fn wanted_form(value: Value, schema: &Value) -> Value {
    let scalar = matches!(value, Value::Number(_) | Value::Bool(_));
    if scalar && escape_of(schema) == Escape::None && Ty::from_schema(schema) == Ty::String {
        Value::String(value.to_string())
    } else {
        value
    }
}

fn field_schema<'s>(schema: &'s Value, key: &str) -> &'s Value {
    schema
        .get("properties")
        .and_then(|properties| properties.get(key))
        .or_else(|| schema.get("additionalProperties"))
        .unwrap_or(&Value::Bool(true))
}

/// A JSON value as if it had been written at a place.
fn from_json(value: &Value, span: Span) -> YamlValue {
    let kind = match value {
        Value::Array(items) => {
            YamlValueKind::List(items.iter().map(|item| from_json(item, span)).collect())
        }
        Value::Object(map) => YamlValueKind::Map(
            map.iter()
                .map(|(key, item)| (key.clone(), (span, from_json(item, span))))
                .collect(),
        ),
        scalar => YamlValueKind::Literal(scalar.clone()),
    };
    YamlValue { kind, span }
}
