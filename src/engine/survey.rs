//! A second look at the files, when the votes of a gate suffice: would they still give this plan?

use std::sync::Arc;

use tokio::sync::mpsc;

use crate::base::{Digest, StepId, Value};
use crate::event::{Difference, EventKind};
use crate::plan::{Plan, differences};

/// What surrounds a run and may change while it waits: the files that its plan was made from.
pub trait Surroundings: Send + Sync {
    /// The plan that the files give now, of the same runbook, environment and parameters. Called on a
    /// thread that may block.
    ///
    /// # Errors
    /// Why they give none, in words for the people who are asked to vote again.
    fn plan_now(&self, plan: &Plan) -> Result<Plan, String>;
}

/// The end of a survey.
pub(super) struct Surveyed {
    pub(super) gate: StepId,
    /// `GateSurveyed`.
    pub(super) event: EventKind,
}

/// Looks at the files on a thread of its own; what it finds arrives on `found`.
pub(super) fn spawn(
    surroundings: Option<Arc<dyn Surroundings>>,
    plan: Arc<Plan>,
    gate: StepId,
    found: mpsc::UnboundedSender<Surveyed>,
) {
    tokio::task::spawn_blocking(move || {
        // The guard speaks when the look itself panics, so that no gate waits for an answer that
        // never comes.
        let mut answer = Answer {
            gate,
            found,
            event: None,
        };
        answer.event = Some(survey(surroundings.as_deref(), &plan, &answer.gate));
    });
}

struct Answer {
    gate: StepId,
    found: mpsc::UnboundedSender<Surveyed>,
    event: Option<EventKind>,
}

impl Drop for Answer {
    fn drop(&mut self) {
        let event = self.event.take().unwrap_or_else(|| {
            let why = "the program failed while it read them; this is a bug of runbook";
            surveyed(&self.gate, None, vec![unreadable(why)], Value::Null)
        });
        // The run may have ended meanwhile.
        let _ = self.found.send(Surveyed {
            gate: self.gate.clone(),
            event,
        });
    }
}

fn survey(surroundings: Option<&dyn Surroundings>, plan: &Plan, gate: &StepId) -> EventKind {
    let Some(surroundings) = surroundings else {
        return surveyed(gate, Some(plan.digest()), Vec::new(), Value::Null);
    };
    match surroundings.plan_now(plan) {
        Ok(now) => {
            let policy = match now.policy == plan.policy {
                true => Value::Null,
                false => policy_json(&now),
            };
            let differences = differences(plan, &now);
            surveyed(gate, Some(now.digest()), differences, policy)
        }
        Err(why) => surveyed(gate, None, vec![unreadable(&why)], Value::Null),
    }
}

/// The stored form of a plan's policy; null when it has none.
fn policy_json(plan: &Plan) -> Value {
    plan.policy
        .as_ref()
        .and_then(|policy| serde_json::to_value(policy).ok())
        .unwrap_or(Value::Null)
}

fn unreadable(why: &str) -> Difference {
    Difference {
        what: format!("the files give no plan any more: {why}"),
        before: String::new(),
        after: String::new(),
    }
}

fn surveyed(
    gate: &StepId,
    plan_digest: Option<Digest>,
    differences: Vec<Difference>,
    policy: Value,
) -> EventKind {
    EventKind::GateSurveyed {
        step: gate.clone(),
        plan_digest,
        differences,
        policy,
    }
}
