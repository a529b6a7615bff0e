//! Rules for templates: they can be read, refer to what exists, and fit the input that they fill.

use super::checker::Checker;
use super::codes;
use super::input::{InputCheck, Subject, TextIs, TextSite};
use super::reference::User;
use super::shell;
use super::texts::TextAt;
use crate::base::{Diagnostic, Diagnostics, Value};
use crate::model::{Action, Escape, Ty, YamlValue, YamlValueKind};

impl<'a> Checker<'a> {
    /// The inputs of an action, literals and templates alike.
    pub(super) fn check_with(
        &mut self,
        action: &'a Action,
        templates: bool,
        user: User,
        diags: &mut Diagnostics,
    ) {
        let Some(manifest) = self.catalog.get(&action.uses.value) else {
            // The action is unknown; its templates can be looked at all the same.
            if templates {
                self.check_free_value(&action.with, user, diags);
            }
            return;
        };
        let subject = Subject::action(&action.uses.value);
        let mut check = InputCheck {
            subject: &subject,
            source: self.source(),
            environment: self.environment,
            diags,
        };
        check.run(&manifest.input, &action.with, &mut |diags, site| {
            if templates {
                self.check_text(&site, user, diags)
            } else {
                TextIs::Literal
            }
        });
    }

    /// A value that no schema describes: `outputs:`.
    pub(super) fn check_free_value(
        &mut self,
        value: &YamlValue,
        user: User,
        diags: &mut Diagnostics,
    ) {
        match &value.kind {
            YamlValueKind::Literal(_) => {}
            YamlValueKind::Text {
                text,
                content_offset,
            } => {
                let site = TextSite {
                    schema: &Value::Bool(true),
                    text,
                    content_offset: *content_offset,
                    span: value.span,
                    name: String::new(),
                };
                self.check_text(&site, user, diags);
            }
            YamlValueKind::List(items) => {
                for item in items {
                    self.check_free_value(item, user, diags);
                }
            }
            YamlValueKind::Map(map) => {
                for (_, item) in map.values() {
                    self.check_free_value(item, user, diags);
                }
            }
        }
    }

    fn check_text(&mut self, site: &TextSite<'_>, user: User, diags: &mut Diagnostics) -> TextIs {
        let source = self.source();
        let at = TextAt {
            source,
            text: site.text,
            content_offset: site.content_offset,
            span: site.span,
        };
        let template = match self.texts.template(site.text) {
            Ok(template) if template.is_literal() => return TextIs::Literal,
            Ok(template) => template,
            Err(error) => {
                let mut finding = Diagnostic::error(codes::TEMPLATE_SYNTAX, error.message.as_str())
                    .at(source, at.place(error.range.as_ref()), "here");
                finding.help = error.help;
                diags.push(finding);
                return TextIs::Template;
            }
        };
        let mut types = Vec::new();
        let places = at.places();
        for reference in template.references() {
            let span = places.of(&reference.range);
            types.push(self.resolve(reference, user, span, diags));
        }
        if escape_of(site.schema) == Escape::Shell {
            shell::check(&template, at, diags);
        }
        let given = match (template.whole(), types.as_slice()) {
            (Some(_), [Some(ty)]) => ty.clone(),
            (Some(_), _) => return TextIs::Template,
            (None, _) => Ty::String,
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
                (_, None) => format!(
                    "a text with other things around the expression is text; for {wanted}, write the expression alone"
                ),
                _ => format!("give it a value of type {wanted}"),
            };
            diags.push(
                Diagnostic::error(
                    codes::WRONG_TYPE,
                    format!(
                        "the input `{}` wants {wanted}, but this is {given}",
                        site.name
                    ),
                )
                .at(source, span, format!("of type {given}"))
                .help(help),
            );
        }
        TextIs::Template
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
