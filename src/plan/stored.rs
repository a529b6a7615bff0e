//! A plan as text and as a digest.

use std::collections::HashMap;

use super::types::{PLAN_FORMAT, Plan, PlanStep};
use crate::base::{Dag, Digest, Omit, StepId, Value, canonical_text};

/// A stored plan that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum PlanError {
    /// The text is not a plan.
    #[error("this is not a plan")]
    Json(#[source] serde_json::Error),
    /// It was written by a newer version of this program.
    #[error(
        "the plan has format {found}, and this program knows formats up to {PLAN_FORMAT}; use a newer `runbook`"
    )]
    Newer {
        /// The format of the plan.
        found: u64,
    },
    /// It has no format number.
    #[error("this is not a plan: it has no `format`")]
    NoFormat,
}

impl Plan {
    /// The plan as canonical JSON: equal plans give equal bytes.
    pub fn canonical_json(&self) -> String {
        self.text(|_, _| false)
    }

    /// [`Self::canonical_json`] and [`Self::digest`].
    pub fn sealed(&self) -> (String, Digest) {
        (self.canonical_json(), self.digest())
    }

    /// Reads a plan back.
    ///
    /// # Errors
    /// [`PlanError`] when it is not a plan, or one of a newer format.
    pub fn from_json(text: &str) -> Result<Self, PlanError> {
        let value: Value = serde_json::from_str(text).map_err(PlanError::Json)?;
        let found = value
            .get("format")
            .and_then(Value::as_u64)
            .ok_or(PlanError::NoFormat)?;
        if found > u64::from(PLAN_FORMAT) {
            return Err(PlanError::Newer { found });
        }
        serde_json::from_value(value).map_err(PlanError::Json)
    }

    /// What votes are bound to: SHA-256 over the canonical JSON of what will run.
    ///
    /// Left out is what only describes: title, owner, file and source of the runbook, name and line of a step,
    /// and the file of a runbook inside.
    pub fn digest(&self) -> Digest {
        Digest::of_bytes(self.text(only_describes).as_bytes())
    }

    /// What the digest is of, as a value.
    pub(super) fn digested(&self) -> Value {
        serde_json::from_str(&self.text(only_describes)).unwrap_or_default()
    }

    fn text(&self, omit: Omit) -> String {
        #[expect(
            clippy::expect_used,
            reason = "a plan has only text keys, and its numbers are finite since the decoder refuses others"
        )]
        canonical_text(self, omit).expect("a plan is JSON")
    }
}

/// Fields that say something to people and change nothing.
fn only_describes(name: &'static str, field: &'static str) -> bool {
    matches!(
        (name, field),
        ("PlanRunbook", "title" | "owner" | "file" | "source")
            | ("PlanStep", "name" | "line")
            | ("PlanBlock", "file")
            | ("PlanPolicy", "file")
            | ("PlanPerson", "name" | "contact")
            | ("PlanGateInput", "description")
    )
}

/// The graph of `steps`, `verify` or `finally` of a plan, by position; needs in order, each once.
///
/// A plan that was built has no circles; a damaged one is given without edges, so that its steps can
/// still be shown.
pub fn graph(steps: &[PlanStep]) -> Dag {
    let index: HashMap<&StepId, usize> = steps
        .iter()
        .enumerate()
        .map(|(at, step)| (&step.id, at))
        .collect();
    let needs = steps
        .iter()
        .map(|step| {
            let known = step.needs.iter().filter_map(|need| index.get(need));
            let mut needs: Vec<usize> = known.copied().collect();
            needs.sort_unstable();
            needs.dedup();
            needs
        })
        .collect();
    Dag::new(needs).unwrap_or_else(|_| Dag::new(vec![Vec::new(); steps.len()]).unwrap_or_default())
}
