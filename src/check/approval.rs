//! Rule: an approval is a question to people; nothing of it can be retried, polled or undone.

use std::sync::Arc;

use super::codes;
use super::sub_runbook::Callees;
use crate::base::{Diagnostic, Diagnostics, SourceFile, Span};
use crate::model::Step;

/// The action that asks people.
pub(crate) const APPROVAL: &str = "approval";

/// A `finally` runs whatever happened and holds nobody up, so nobody is asked in it, also not by a
/// runbook that it runs.
pub(super) fn check_place(
    step: &Step,
    callees: &Callees,
    source: &Arc<SourceFile>,
    diags: &mut Diagnostics,
) {
    let called = step.action.runbook();
    let asks = called.and_then(|name| callees.interface(name));
    let (message, label) = if step.action.uses.value == APPROVAL {
        ("an approval cannot stand under `finally`", "asks a person")
    } else if asks.is_some_and(|callee| callee.asks) {
        (
            "a runbook with an approval cannot run under `finally`",
            "asks a person",
        )
    } else {
        return;
    };
    diags.push(
        Diagnostic::error(codes::ASKS_IN_FINALLY, message)
            .at(source, step.action.uses.span, label)
            .help(
                "`finally` cleans up whatever happened, and must not wait for a person; \
                 ask in `steps`, before what the answer is about",
            ),
    );
}

pub(super) fn check(step: &Step, source: &Arc<SourceFile>, diags: &mut Diagnostics) {
    if step.action.uses.value != APPROVAL {
        return;
    }
    let keys: [(&str, Option<Span>); 5] = [
        ("retry", step.retry.as_ref().map(|s| s.span)),
        ("until", step.until.as_ref().map(|s| s.span)),
        ("rollback", step.rollback.as_ref().map(|s| s.span)),
        (
            "idempotency_key",
            step.idempotency_key.as_ref().map(|key| key.span),
        ),
        ("effect", step.effect.as_ref().map(|s| s.span)),
    ];
    for (key, span) in keys {
        if let Some(span) = span {
            diags.push(
                Diagnostic::error(
                    codes::NOT_FOR_APPROVALS,
                    format!("an approval cannot have `{key}`"),
                )
                .at(source, span, "not possible on an approval")
                .help(
                    "an approval waits for a person; `timeout` says when the question lapses, \
                     and the steps after it have keys of their own",
                ),
            );
        }
    }
}
