//! Rule: a condition can be true and can be false.

use super::checker::Checker;
use super::codes;
use super::texts::TextAt;
use crate::base::{Diagnostic, Diagnostics};
use crate::language::Condition;
use crate::model::Ty;

/// What `steps.ID.status` can be.
const STATUSES: [&str; 7] = [
    "succeeded",
    "skipped",
    "failed",
    "interrupted",
    "pending",
    "waiting",
    "running",
];

/// What `run.outcome` can be.
const OUTCOMES: [&str; 8] = [
    "succeeded",
    "completed_with_exceptions",
    "failed",
    "rolled_back",
    "stuck",
    "rejected",
    "expired",
    "cancelled",
];

impl Checker<'_> {
    /// `types`: of the condition's references, by position.
    pub(super) fn check_constant(
        &mut self,
        condition: &Condition,
        types: &[Option<Ty>],
        at: TextAt<'_>,
        diags: &mut Diagnostics,
    ) {
        let references = condition.references();
        let values = |path: &[String]| {
            let position = references.iter().position(|r| r.path == path)?;
            possible(path, types.get(position)?.as_ref()?)
        };
        let Some(holds) = condition.constant(&values) else {
            return;
        };
        self.constants.insert(at.span, holds);
        let (word, label) = if holds {
            ("true", "always true")
        } else {
            ("false", "never true")
        };
        let known = references.iter().find_map(|reference| {
            Some(format!(
                "`{reference}` is one of {}",
                values(&reference.path)?.join(", ")
            ))
        });
        diags.push(
            Diagnostic::warning(
                codes::CONSTANT_CONDITION,
                format!("this condition is {word} in every run"),
            )
            .at(at.source, at.span, label)
            .help(known.unwrap_or_else(|| {
                "mend it, or take it out; what should not run needs no step".to_owned()
            })),
        );
    }
}

/// The only values that a reference can have, if they are few.
fn possible(path: &[String], ty: &Ty) -> Option<Vec<String>> {
    let owned = |names: &[&str]| names.iter().map(|&name| name.to_owned()).collect();
    let parts: Vec<&str> = path.iter().map(String::as_str).collect();
    match (parts.as_slice(), ty) {
        (["steps", _, "status"], _) => Some(owned(&STATUSES)),
        (["run", "outcome"], _) => Some(owned(&OUTCOMES)),
        (_, Ty::Enum(names)) => Some(names.clone()),
        _ => None,
    }
}
