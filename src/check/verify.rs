//! Rule: what proves a recovery only reads.

use super::checker::Checker;
use super::codes;
use crate::base::{Diagnostic, Diagnostics};
use crate::model::{Effect, Step};

impl Checker<'_> {
    pub(super) fn check_verify_step(&self, step: &Step, diags: &mut Diagnostics) {
        let name = &step.action.uses.value;
        let Some(manifest) = self.manifest(name) else {
            return;
        };
        let (effect, span) = match &step.effect {
            Some(own) => (own.value.effect, own.span),
            None => (manifest.effect, step.action.uses.span),
        };
        if effect == Effect::Read {
            return;
        }
        diags.push(
            Diagnostic::error(
                codes::VERIFY_CHANGES,
                format!(
                    "`verify` may only look, but the step `{}` has the effect `{effect}`",
                    step.id.value
                ),
            )
            .at(self.source(), span, "this changes something")
            .help(match step.action.runbook() {
                Some(_) => "every step of the other runbook must have the effect `read`",
                None => "move it to `steps`; if it only reads, say so: `effect: { is: read, reason: ... }`",
            }),
        );
    }
}
