//! A plan as text and as a digest.

use std::collections::HashMap;

use super::types::{PLAN_FORMAT, Plan, PlanStep};
use crate::base::{Dag, Digest, StepId, Value, canonical_json};

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
        canonical_json(&self.to_value())
    }

    /// [`Self::canonical_json`] and [`Self::digest`] at the price of one.
    pub fn sealed(&self) -> (String, Digest) {
        let value = self.to_value();
        let text = canonical_json(&value);
        (text, digest_of(value))
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
    /// Left out is what only describes: title, owner and file of the runbook, name and line of a step,
    /// and the file of a runbook inside.
    pub fn digest(&self) -> Digest {
        digest_of(self.to_value())
    }

    fn to_value(&self) -> Value {
        #[expect(
            clippy::expect_used,
            reason = "a plan has only text keys, and its numbers are finite since the decoder refuses others"
        )]
        serde_json::to_value(self).expect("a plan is JSON")
    }
}

/// The digest of a plan's JSON without what only describes.
fn digest_of(mut value: Value) -> Digest {
    if let Some(about) = value.get_mut("runbook") {
        strip(about, &["title", "owner", "file"]);
    }
    strip_steps(&mut value);
    Digest::of_value(&value)
}

fn strip(value: &mut Value, keys: &[&str]) {
    if let Value::Object(map) = value {
        for key in keys {
            map.remove(*key);
        }
    }
}

/// Takes names and lines out of the steps of a plan or of a block, and of the blocks inside.
/// As deep as runbooks run each other, which is bounded.
fn strip_steps(part: &mut Value) {
    for list in ["steps", "verify", "finally"] {
        let Some(Value::Array(steps)) = part.get_mut(list) else {
            continue;
        };
        for step in steps {
            strip(step, &["name", "line"]);
            if let Some(block) = step.get_mut("block") {
                strip(block, &["file"]);
                strip_steps(block);
            }
        }
    }
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
