//! `approval`: declared here, performed by the engine, because it waits for people and not for work.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::base::{Map, Timestamp, Value};
use crate::event::FailureKind;
use crate::handler::{Preview, PreviewContext, StepContext, StepError, TypedHandler};
use crate::model::{ActionExample, Effect};

/// The gate.
pub(super) struct Approval;

/// Inputs.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Input {
    /// What the approver is asked.
    message: String,
    /// Which rule of the policy says who may approve. Default: the runbook's risk.
    #[serde(default)]
    #[schemars(with = "Option<Risk>")]
    #[expect(
        dead_code,
        reason = "declared for editors; it is read from the file, not from here"
    )]
    risk: Option<Value>,
    /// What the approver fills in: names with a type, as parameters have it.
    #[serde(default)]
    #[schemars(with = "Option<Map<String, Value>>")]
    #[expect(
        dead_code,
        reason = "declared for editors; it is read from the file, not from here"
    )]
    inputs: Option<Value>,
    /// What happens when nobody approves in time. Default: as the policy says, else `deny`.
    #[serde(default)]
    #[schemars(with = "Option<OnExpiry>")]
    #[expect(
        dead_code,
        reason = "declared for editors; it is read from the file, not from here"
    )]
    on_expiry: Option<Value>,
}

/// The words of `risk`.
#[derive(JsonSchema)]
#[serde(rename_all = "snake_case")]
#[expect(dead_code, reason = "only its schema is used")]
enum Risk {
    Low,
    Medium,
    High,
}

/// The words of `on_expiry`.
#[derive(JsonSchema)]
#[serde(rename_all = "snake_case")]
#[expect(dead_code, reason = "only its schema is used")]
enum OnExpiry {
    /// The run ends.
    Deny,
    /// The rest of the escalation chain is told, then the run ends.
    Escalate,
    /// The run is left waiting.
    Park,
}

/// Outputs, written by the engine.
#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct Output {
    /// Login names of those who approved.
    approved_by: Vec<String>,
    /// What the last of them said.
    comment: Option<String>,
    /// When the gate opened.
    #[schemars(with = "String", extend("format" = "date-time"))]
    approved_at: Timestamp,
    /// What the approver filled in, with the names and types of the input `inputs`.
    inputs: Map<String, Value>,
}

impl TypedHandler for Approval {
    type Input = Input;
    type Output = Output;

    const NAME: &'static str = "approval";
    const SUMMARY: &'static str = "Wait until people approve";
    const DESCRIPTION: &'static str = "\
Opens a gate: what comes after it waits until people approve, at the prompt of `exec` or from \
anywhere with `runbook approve RUN`. In a protected environment the policy says who may, by `risk`. \
A rejection ends the run; so does the step's `timeout`, which never approves. What the approver \
fills in under `inputs` has its types in the steps that follow: `steps.ID.outputs.inputs.NAME`. Steps \
that do not need the gate go on meanwhile.";
    const EFFECT: Effect = Effect::Read;

    fn examples() -> Vec<ActionExample> {
        vec![
            ActionExample {
                title: "Ask before going on, for at most an hour".to_owned(),
                yaml: "\
id: go
uses: approval
with: { message: Restart the service now? }
timeout: 1h
"
                .to_owned(),
            },
            ActionExample {
                title: "Let the approver say for how long, and wait for as long as it takes"
                    .to_owned(),
                yaml: "\
id: go
uses: approval
with:
  message: Take the service out of the pool?
  risk: high
  inputs:
    window: { type: duration, default: 10m, description: How long it may take }
  on_expiry: park
timeout: 1h
"
                .to_owned(),
            },
        ]
    }

    async fn run(&self, _ctx: StepContext, _input: Input) -> Result<Output, StepError> {
        Err(StepError::new(
            FailureKind::Invalid,
            "`approval` is performed by the engine and cannot be called as a handler",
        ))
    }

    fn preview(&self, _ctx: &PreviewContext, input: &Input) -> Preview {
        Preview::Exact(format!("wait for approval: {}", input.message))
    }
}
