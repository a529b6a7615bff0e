//! Rules: polling has an end, and a pause belongs to a polling.

use std::sync::Arc;

use super::codes;
use crate::base::{Diagnostic, Diagnostics, SourceFile};
use crate::model::Step;

pub(super) fn check(step: &Step, source: &Arc<SourceFile>, diags: &mut Diagnostics) {
    match (&step.until, &step.timeout, &step.every) {
        (Some(until), None, _) => diags.push(
            Diagnostic::error(
                codes::UNTIL_NEEDS_TIMEOUT,
                format!("the step `{}` could poll for ever", step.id.value),
            )
            .at(source, until.span, "polled until this holds")
            .help("say how long to wait at most, e.g. `timeout: 60s`"),
        ),
        (None, _, Some(every)) => diags.push(
            Diagnostic::error(
                codes::EVERY_NEEDS_UNTIL,
                format!("the step `{}` has `every` but no `until`", step.id.value),
            )
            .at(source, every.span, "a pause between two polls")
            .help("add the condition to wait for, e.g. `until: outputs.healthy`; for tries after a failure, use `retry`"),
        ),
        _ => {}
    }
}
