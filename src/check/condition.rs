//! Rules for CEL conditions: they can be read, refer to what exists, and give true or false.

use super::checker::Checker;
use super::codes;
use super::reference::User;
use super::texts::TextAt;
use crate::base::{Code, Diagnostic, Diagnostics, Spanned};
use crate::language::{ExprError, ExprErrorKind};
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
                diags.push(expr_finding(codes::CONDITION_SYNTAX, error, at));
                return;
            }
        };
        let mut types = Vec::new();
        let places = at.places();
        for reference in condition.references() {
            let span = places.of(&reference.range);
            let ty = self.resolve(reference, user, span, diags);
            if let Some(ty) = &ty
                && self.is_secret(reference, ty)
            {
                diags.push(super::secrets::in_condition(reference).at(source, span, "a secret"));
                return;
            }
            types.push(ty);
        }
        let typed = condition.types(&types);
        let sound = typed.problems.is_empty();
        for problem in typed.problems {
            diags.push(expr_finding(codes::CONDITION_SYNTAX, problem, at));
        }
        if sound {
            self.check_constant(&condition, &types, at, diags);
        }
        if matches!(typed.result, Ty::Bool | Ty::Any) || !sound {
            return;
        }
        diags.push(
            Diagnostic::error(
                codes::NOT_A_CONDITION,
                format!(
                    "this condition gives a value of type {}, but it must give true or false",
                    typed.result
                ),
            )
            .at(source, written.span, "not true or false")
            .help(format!(
                "compare it with something, e.g. `{} == ...`",
                written.value.trim()
            )),
        );
    }
}

/// The finding for an expression that breaks a rule; `syntax` is the code when none has its own.
pub(super) fn expr_finding(syntax: Code, error: ExprError, at: TextAt<'_>) -> Diagnostic {
    let code = match error.kind {
        ExprErrorKind::Other => syntax,
        ExprErrorKind::UnknownFunction => codes::UNKNOWN_FUNCTION,
        ExprErrorKind::Arguments => codes::WRONG_ARGUMENTS,
        ExprErrorKind::Pattern => codes::BAD_PATTERN,
        ExprErrorKind::Literal => codes::BAD_LITERAL,
        ExprErrorKind::Operands => codes::BAD_OPERANDS,
        ExprErrorKind::Unlike => codes::UNLIKE_VALUES,
        ExprErrorKind::NotBool => codes::NOT_A_CONDITION,
        ExprErrorKind::NoField => codes::UNKNOWN_OUTPUT,
        ExprErrorKind::NotAList => codes::NO_ITEMS,
    };
    let mut finding = Diagnostic::error(code, error.message).at(
        at.source,
        at.place(error.range.as_ref()),
        "here",
    );
    finding.help = error.help;
    finding
}
