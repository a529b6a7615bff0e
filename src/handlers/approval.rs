//! `approval`: declared here, performed by the engine, because it waits for people and not for work.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::base::Timestamp;
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
}

impl TypedHandler for Approval {
    type Input = Input;
    type Output = Output;

    const NAME: &'static str = "approval";
    const SUMMARY: &'static str = "Wait until people approve";
    const DESCRIPTION: &'static str = "\
Opens a gate: what comes after it waits until somebody approves, at the prompt of `exec` or from \
anywhere with `runbook approve RUN`. A rejection ends the run; so does the step's `timeout`, which \
never approves. Steps that do not need the gate go on meanwhile.";
    const EFFECT: Effect = Effect::Read;

    fn examples() -> Vec<ActionExample> {
        vec![ActionExample {
            title: "Ask before going on, for at most an hour".to_owned(),
            yaml: "\
id: go
uses: approval
with: { message: Restart the service now? }
timeout: 1h
"
            .to_owned(),
        }]
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
