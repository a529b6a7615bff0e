//! Rule: polling has an end.

use std::sync::Arc;

use super::codes;
use crate::base::{Diagnostic, Diagnostics, SourceFile};
use crate::model::Step;

pub(super) fn check(step: &Step, source: &Arc<SourceFile>, diags: &mut Diagnostics) {
    if let (Some(until), None) = (&step.until, &step.timeout) {
        diags.push(
            Diagnostic::error(
                codes::UNTIL_NEEDS_TIMEOUT,
                format!("the step `{}` could poll for ever", step.id.value),
            )
            .at(source, until.span, "polled until this holds")
            .help("say how long to wait at most, e.g. `timeout: 60s`"),
        );
    }
}
