//! Rules for templates: they can be read, refer to what exists, and fit the input that they fill.

use super::checker::Checker;
use super::codes;
use super::condition::expr_finding;
use super::input::{InputCheck, Subject, TextIs, TextSite};
use super::item;
use super::reference::User;
use super::shell;
use crate::base::{Diagnostic, Diagnostics, Value};
use crate::language::Template;
use crate::model::{Action, Escape, ObjectTy, Ty, YamlValue, YamlValueKind};

impl<'a> Checker<'a> {
    /// The inputs of an action, literals and templates alike.
    pub(super) fn check_with(
        &mut self,
        action: &'a Action,
        templates: bool,
        user: User,
        diags: &mut Diagnostics,
    ) {
        let Some(manifest) = self.manifest(&action.uses.value) else {
            // The action is unknown; its templates can be looked at all the same.
            if templates {
                self.check_value(&action.with, user, diags);
            }
            return;
        };
        let subject = Subject::of(action);
        let mut check = InputCheck {
            subject: &subject,
            source: self.source(),
            environment: self.environment,
            diags,
        };
        check.run(&manifest.input, &action.with, &mut |diags, site| {
            if templates {
                let errors = diags.error_count();
                let is = self.check_text(&site, user, diags);
                if diags.error_count() == errors {
                    self.check_written_items(&subject, &site, diags);
                }
                is
            } else {
                TextIs::Literal
            }
        });
    }

    /// A text that stands under a key of its own, outside `with`.
    pub(super) fn check_named(
        &mut self,
        name: &str,
        schema: &Value,
        value: &YamlValue,
        user: User,
        diags: &mut Diagnostics,
    ) {
        let subject = Subject::Step;
        InputCheck {
            subject: &subject,
            source: self.source(),
            environment: self.environment,
            diags,
        }
        .run_named(name, schema, value, &mut |diags, site| {
            self.check_text(&site, user, diags)
        });
    }

    /// A value that no schema describes, such as an output; gives its type.
    pub(super) fn check_value(
        &mut self,
        value: &YamlValue,
        user: User,
        diags: &mut Diagnostics,
    ) -> Ty {
        match &value.kind {
            YamlValueKind::Literal(literal) => Ty::of_value(literal),
            YamlValueKind::Text {
                text,
                content_offset,
            } => {
                let site = TextSite {
                    schema: &Value::Bool(true),
                    text,
                    content_offset: *content_offset,
                    span: value.span,
                    path: None,
                };
                match self.read_text(&site, user, diags) {
                    Read::Literal => Ty::String,
                    Read::Template(_, given) => given.unwrap_or_default(),
                    Read::Broken => Ty::Any,
                }
            }
            YamlValueKind::List(items) => {
                let types = items.iter().map(|item| self.check_value(item, user, diags));
                Ty::List(Box::new(common(types.collect())))
            }
            YamlValueKind::Map(map) => {
                let fields: std::collections::BTreeMap<String, Ty> = map
                    .iter()
                    .map(|(key, (_, item))| (key.clone(), self.check_value(item, user, diags)))
                    .collect();
                Ty::Object(ObjectTy {
                    required: fields.keys().cloned().collect(),
                    fields,
                    open: false,
                })
            }
        }
    }

    /// Parses a text and resolves what it refers to; the type is that of its value, when it has one.
    pub(super) fn read_text(
        &mut self,
        site: &TextSite<'_>,
        user: User,
        diags: &mut Diagnostics,
    ) -> Read {
        if !Template::is_in(site.text) {
            return Read::Literal;
        }
        let source = self.source();
        let at = site.at(source);
        let template = match self.texts.template(site.text) {
            Ok(template) => template,
            Err(error) => {
                diags.push(expr_finding(codes::TEMPLATE_SYNTAX, error, at));
                return Read::Broken;
            }
        };
        let mut types = Vec::new();
        let mut secret = false;
        let places = at.places();
        for reference in template.references() {
            let span = places.of(&reference.range);
            let ty = self.resolve(reference, user, span, diags);
            if let Some(ty) = &ty
                && self.is_secret(reference, ty)
            {
                secret = true;
                let inspected = template.inspected_places().contains(&reference.range);
                self.check_secret(reference, inspected, site, user, span, diags);
            }
            types.push(ty);
        }
        item::check(&template, &types, &places, at, diags);
        let given = match (template.whole(), types.as_mut_slice()) {
            (Some(_), [ty]) => ty.take(),
            (Some(_), _) => None,
            (None, _) if secret => Some(Ty::Secret),
            (None, _) => Some(Ty::String),
        };
        Read::Template(template, given)
    }

    fn check_text(&mut self, site: &TextSite<'_>, user: User, diags: &mut Diagnostics) -> TextIs {
        let (template, given) = match self.read_text(site, user, diags) {
            Read::Literal => return TextIs::Literal,
            Read::Broken => return TextIs::Template,
            Read::Template(template, given) => (template, given),
        };
        let source = self.source();
        let at = site.at(source);
        if escape_of(site.schema) == Escape::Shell {
            shell::check(&template, at, diags);
        }
        let Some(given) = given else {
            return TextIs::Template;
        };
        let wanted = Ty::from_schema(site.schema);
        if template.whole().is_some() && wanted == Ty::String && is_number(&given) {
            self.written_as_text.insert(site.span);
        }
        if !wanted.accepts(&given) {
            let span = match template.whole() {
                Some(whole) => at.place(Some(&whole.range)),
                None => site.span,
            };
            let help = match (&wanted, template.whole()) {
                (Ty::Service, Some(_)) => "declare the parameter with `type: service`".to_owned(),
                (Ty::Secret, _) => SECRET_HELP.to_owned(),
                (_, None) => format!(
                    "a helper, and a text with other things around the expression, give text; for {wanted}, write one reference alone"
                ),
                _ => format!("give it a value of type {wanted}"),
            };
            diags.push(
                Diagnostic::error(
                    codes::WRONG_TYPE,
                    format!(
                        "the input `{}` wants {wanted}, but this is {given}",
                        site.name()
                    ),
                )
                .at(source, span, format!("of type {given}"))
                .help(help),
            );
        }
        TextIs::Template
    }
}

/// What a text turned out to be.
pub(super) enum Read {
    Literal,
    /// With the type of its value; `None` when a finding says why it has none.
    Template(Template, Option<Ty>),
    /// It cannot be read, which was said.
    Broken,
}

/// What to write where a secret is wanted.
pub(super) const SECRET_HELP: &str =
    "give a secret: `{{ secrets.NAME }}`, or a parameter with `type: secret`";

/// The one type that all have, if they have one.
pub(super) fn common(types: Vec<Ty>) -> Ty {
    let mut types = types.into_iter();
    match types.next() {
        Some(first) if types.all(|ty| ty == first) => first,
        _ => Ty::Any,
    }
}

/// How values are escaped in a place, by its schema.
pub(crate) fn escape_of(schema: &Value) -> Escape {
    match schema.get("x-escape").and_then(Value::as_str) {
        Some("shell") => Escape::Shell,
        Some("url") => Escape::Url,
        Some("json") => Escape::Json,
        _ => Escape::None,
    }
}

/// Scalars that are no text, but can be written as such.
fn is_number(ty: &Ty) -> bool {
    matches!(ty, Ty::Int | Ty::Float | Ty::Bool | Ty::Size)
}
