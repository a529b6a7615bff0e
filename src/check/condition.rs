//! Rules for CEL conditions: they can be read, refer to what exists, and give true or false.

use super::checker::Checker;
use super::codes;
use super::reference::User;
use super::texts::TextAt;
use crate::base::{Diagnostic, Diagnostics, Spanned};
use crate::language::{Condition, Gives, Side};
use crate::model::Ty;

impl Checker<'_> {
    pub(super) fn check_condition(
        &mut self,
        written: &Spanned<String>,
        user: User,
        diags: &mut Diagnostics,
    ) {
        let source = self.source();
        let at = TextAt {
            source,
            text: &written.value,
            content_offset: None,
            span: written.span,
        };
        let condition = match self.texts.condition(&written.value) {
            Ok(condition) => condition,
            Err(error) => {
                let mut finding = Diagnostic::error(
                    codes::CONDITION_SYNTAX,
                    error.message.as_str(),
                )
                .at(source, at.place(error.range.as_ref()), "here");
                finding.help = error.help;
                diags.push(finding);
                return;
            }
        };
        let mut types = Vec::new();
        for reference in condition.references() {
            let span = at.place(Some(&reference.range));
            let ty = self.resolve(reference, user, span, diags);
            if let Some(ty) = &ty
                && self.is_secret(reference, ty)
            {
                diags.push(super::secrets::in_condition(reference).at(source, span, "a secret"));
                return;
            }
            types.push(ty);
        }
        self.check_types(&condition, &types, at, diags);
        let gives = match condition.gives() {
            Gives::Other(what) => what.to_owned(),
            Gives::Reference(_) => match types.as_slice() {
                [Some(ty)] if !matches!(ty, Ty::Bool | Ty::Any) => format!("a value of type {ty}"),
                _ => return,
            },
            Gives::Bool | Gives::Unknown => return,
        };
        diags.push(
            Diagnostic::error(
                codes::NOT_A_CONDITION,
                format!("this condition gives {gives}, but it must give true or false"),
            )
            .at(source, written.span, "not true or false")
            .help(format!(
                "compare it with something, e.g. `{} == ...`",
                written.value.trim()
            )),
        );
    }

    /// Values are compared with their like, and only true or false is used as such.
    fn check_types(
        &self,
        condition: &Condition,
        types: &[Option<Ty>],
        at: TextAt<'_>,
        diags: &mut Diagnostics,
    ) {
        let references = condition.references();
        let ty = |side: Side| match side {
            Side::Reference(position) => types.get(position)?.as_ref(),
            Side::Of(ty) => Some(ty),
            Side::Unknown => None,
        };
        for comparison in condition.comparisons() {
            let (Some(left), Some(right)) = (ty(comparison.left), ty(comparison.right)) else {
                continue;
            };
            let (Some(one), Some(other)) = (family(left), family(right)) else {
                continue;
            };
            if one == other {
                continue;
            }
            let place =
                [comparison.left, comparison.right]
                    .into_iter()
                    .find_map(|side| match side {
                        Side::Reference(position) => references.get(position),
                        _ => None,
                    });
            diags.push(
                Diagnostic::error(
                    codes::UNLIKE_VALUES,
                    format!("{one} is compared with {other}"),
                )
                .at(
                    self.source(),
                    at.place(place.map(|r| &r.range)),
                    "compared here",
                )
                .help(unlike_help(left, right)),
            );
        }
        for &position in condition.truths() {
            let (Some(Some(ty)), Some(reference)) = (types.get(position), references.get(position))
            else {
                continue;
            };
            if !matches!(ty, Ty::Bool | Ty::Any) {
                diags.push(
                    Diagnostic::error(
                        codes::NOT_A_CONDITION,
                        format!("`{reference}` is of type {ty}, but it is used as true or false"),
                    )
                    .at(
                        self.source(),
                        at.place(Some(&reference.range)),
                        "not true or false",
                    )
                    .help(format!(
                        "compare it with something, e.g. `{reference} == ...`"
                    )),
                );
            }
        }
    }
}

/// What values of a type can be compared with; `None` when that is not known.
fn family(ty: &Ty) -> Option<&'static str> {
    match ty {
        Ty::Any => None,
        Ty::Int | Ty::Float | Ty::Size => Some("a number"),
        Ty::String | Ty::Enum(_) | Ty::Service | Ty::Connection | Ty::Secret => Some("text"),
        Ty::Bool => Some("true or false"),
        Ty::Duration => Some("a duration"),
        Ty::Timestamp => Some("a timestamp"),
        Ty::List(_) => Some("a list"),
        Ty::Map(_) | Ty::Object(_) => Some("a map"),
    }
}

fn unlike_help(left: &Ty, right: &Ty) -> &'static str {
    let either = |wanted: fn(&Ty) -> bool| wanted(left) || wanted(right);
    if either(|ty| matches!(ty, Ty::Duration)) {
        "write a duration as duration(\"2s\")"
    } else if either(|ty| matches!(ty, Ty::Timestamp)) {
        "write a time as timestamp(\"2026-11-23T03:00:00Z\")"
    } else if either(|ty| matches!(ty, Ty::Size)) {
        "write a size as bytes(\"64MiB\")"
    } else if either(|ty| matches!(ty, Ty::String)) {
        "convert text with int(...) or double(...); a number has no quotes"
    } else {
        "compare values of one type"
    }
}
