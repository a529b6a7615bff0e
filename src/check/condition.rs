//! Rules for CEL conditions: they can be read, refer to what exists, and give true or false.

use super::checker::Checker;
use super::codes;
use super::reference::User;
use super::texts::TextAt;
use crate::base::{Diagnostic, Diagnostics, Spanned};
use crate::language::Gives;
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
            types.push(self.resolve(reference, user, span, diags));
        }
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
}
