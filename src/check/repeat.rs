//! Rules: what must happen at most once is not repeated.

use super::approval::APPROVAL;
use super::codes;
use super::rules::Whole;
use crate::base::{Diagnostic, Diagnostics};
use crate::model::Effect;

pub(super) fn check(whole: &Whole<'_>, diags: &mut Diagnostics) {
    let runbook = whole.runbook;
    for step in runbook
        .steps
        .iter()
        .chain(&runbook.verify)
        .chain(&runbook.finally)
    {
        let retried = step.retry.as_ref().filter(|retry| retry.attempts > 1);
        if (retried.is_none() && step.until.is_none())
            || step.action.uses.value == APPROVAL
            || whole.effect(step) != Some(Effect::Once)
        {
            continue;
        }
        let uses = &step.action.uses;
        if let Some(until) = &step.until {
            diags.push(
                Diagnostic::warning(
                    codes::POLL_ONCE,
                    format!(
                        "`{}` must happen at most once, but is repeated until a condition holds",
                        step.id.value
                    ),
                )
                .at(&runbook.source, until.span, "repeated until this holds")
                .at(&runbook.source, uses.span, "its effect is `once`")
                .help("if it only looks, say so: `effect: { is: read, reason: ... }`"),
            );
        }
        // A key lets the other side see that two calls are one.
        if let Some(retry) = retried
            && step.idempotency_key.is_none()
        {
            diags.push(
                Diagnostic::warning(
                    codes::RETRY_ONCE,
                    format!(
                        "`{}` must happen at most once, but is tried up to {} times",
                        step.id.value, retry.attempts
                    ),
                )
                .at(
                    &runbook.source,
                    step.retry.as_ref().map_or(uses.span, |retry| retry.span),
                    "tried again after a failure",
                )
                .at(&runbook.source, uses.span, "its effect is `once`")
                .help(
                    "a failed attempt may have done its work; if doing it twice does no harm, say \
                     so: `effect: { is: idempotent, reason: ... }`",
                ),
            );
        }
    }
}
