//! `wait`: let time pass.

use std::time::Instant;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::base::HumanDuration;
use crate::event::FailureKind;
use crate::handler::{Preview, PreviewContext, StepContext, StepError, Stop, TypedHandler};
use crate::model::{ActionExample, Effect};

/// Lets time pass.
pub(super) struct Wait;

/// Inputs.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Input {
    /// How long.
    duration: HumanDuration,
}

/// Outputs.
#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct Output {
    /// How long it was.
    waited: HumanDuration,
}

impl TypedHandler for Wait {
    type Input = Input;
    type Output = Output;

    const NAME: &'static str = "wait";
    const SUMMARY: &'static str = "Let time pass";
    const DESCRIPTION: &'static str = "\
Waits for `duration`. To wait *for something*, ask for it instead, with `until:` and `every:` on \
the step that can see it: that is sooner done and fails when it never comes.";
    const EFFECT: Effect = Effect::Read;

    fn examples() -> Vec<ActionExample> {
        vec![ActionExample {
            title: "Give the caches half a minute".to_owned(),
            yaml: "id: settle\nuses: wait\nwith: { duration: 30s }\n".to_owned(),
        }]
    }

    async fn run(&self, ctx: StepContext, input: Input) -> Result<Output, StepError> {
        let begin = Instant::now();
        tokio::select! {
            () = tokio::time::sleep(input.duration.0) => Ok(Output {
                waited: HumanDuration(begin.elapsed()),
            }),
            () = ctx.stop.reached(Stop::Gently) => Err(StepError::new(
                FailureKind::Cancelled,
                format!("stopped while waiting for {}", input.duration),
            )),
        }
    }

    fn preview(&self, _ctx: &PreviewContext, input: &Input) -> Preview {
        Preview::Exact(format!("wait for {}", input.duration))
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use serde_json::json;

    use super::*;
    use crate::handler::testing::TestStep;
    use crate::handler::typed;

    #[tokio::test]
    async fn waits_and_stops_promptly() {
        let step = TestStep::new();
        let begin = Instant::now();
        typed(Wait)
            .run(step.ctx.clone(), json!({"duration": "20ms"}))
            .await
            .expect("succeeds");
        assert!(begin.elapsed() >= Duration::from_millis(20));
        step.stop.send_replace(Stop::Gently);
        let error = typed(Wait)
            .run(step.ctx.clone(), json!({"duration": "1h"}))
            .await
            .expect_err("stopped");
        assert_eq!(error.0.sort, FailureKind::Cancelled);
    }
}
