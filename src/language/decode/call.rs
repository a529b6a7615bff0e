//! `uses: runbook.NAME`: which keys such a step cannot have.

use super::fields::Fields;
use super::reader::Reader;

/// The keys that a step which runs another runbook cannot have, each with what to do instead.
pub(in crate::language) const CALL_REFUSES: &[(&str, &str)] = &[
    ("retry", "write it on the steps of the other runbook"),
    ("until", "write it on a step of the other runbook"),
    ("every", "write it on a step of the other runbook"),
    (
        "rollback",
        "take it out: what the other runbook's own steps did is undone by their own `rollback`",
    ),
    ("effect", "write it on the steps of the other runbook"),
    ("template", "write it on the steps of the other runbook"),
    (
        "idempotency_key",
        "write it on the steps of the other runbook",
    ),
    (
        "environment",
        "give a parameter, and write `environment` on a step of the other runbook",
    ),
    (
        "secrets",
        "write it on the step of the other runbook that publishes the secret",
    ),
];

/// Refuses the keys that belong to the steps inside.
pub(super) fn refuse_keys(r: &mut Reader<'_>, f: &mut Fields, runbook: &str) {
    for (key, help) in CALL_REFUSES {
        if f.knows(key) {
            let message = format!("a step that runs the runbook `{runbook}` has no `{key}`");
            f.refuse(r, key, &message, help);
        }
    }
}
