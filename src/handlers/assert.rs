//! `assert`: end the run when something is not as it must be.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::base::Value;
use crate::event::FailureKind;
use crate::handler::{Preview, PreviewContext, StepContext, StepError, TypedHandler};
use crate::model::{ActionExample, Effect};

/// Compares a value.
pub(super) struct Assert;

/// Inputs.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Input {
    /// The value to look at: usually exactly one reference, which keeps its type.
    that: Value,
    /// What it must be equal to. Default `true`.
    #[serde(default = "yes")]
    equals: Value,
    /// What to say when it is not.
    #[serde(default)]
    message: Option<String>,
}

fn yes() -> Value {
    Value::Bool(true)
}

/// No outputs: that it succeeded is all there is to say.
#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct Output {}

impl TypedHandler for Assert {
    type Input = Input;
    type Output = Output;

    const NAME: &'static str = "assert";
    const SUMMARY: &'static str = "Fail unless a value is what it must be";
    const DESCRIPTION: &'static str = "\
Succeeds when `that` equals `equals` (by default `true`), and fails with `message` otherwise. \
Numbers are equal when their values are (1 and 1.0), texts letter by letter; a text never equals a \
number. For anything beyond equality use `verify:` with a condition on the step itself.";
    const EFFECT: Effect = Effect::Read;

    fn examples() -> Vec<ActionExample> {
        vec![ActionExample {
            title: "Something must have been counted zero times".to_owned(),
            yaml: "\
id: clean
uses: assert
with:
  that: \"{{ params.errors }}\"
  equals: 0
  message: the log has errors
"
            .to_owned(),
        }]
    }

    async fn run(&self, ctx: StepContext, input: Input) -> Result<Output, StepError> {
        if same(&input.that, &input.equals) {
            // `that: true` as it is written says nothing: the condition is the step's `verify`.
            if input.that != Value::Bool(true) {
                ctx.log.line(format_args!("holds: {}", input.that));
            }
            return Ok(Output {});
        }
        let found = format!("found {}, expected {}", input.that, input.equals);
        let mut error = match input.message {
            Some(message) => {
                let mut error = StepError::new(FailureKind::Verify, message);
                error.0.error.causes.push(found);
                error
            }
            None => StepError::new(FailureKind::Verify, found),
        };
        if input.that.is_string() && !input.equals.is_string() {
            error = error.hint(
                "the value is a text: write `that` as exactly one reference, so that it keeps its type",
            );
        }
        Err(error)
    }

    fn preview(&self, _ctx: &PreviewContext, input: &Input) -> Preview {
        let verdict = if same(&input.that, &input.equals) {
            "holds"
        } else {
            "does not hold"
        };
        Preview::Exact(format!(
            "check that {} equals {}: {verdict}",
            input.that, input.equals
        ))
    }
}

/// Whether `assert` takes two values as equal.
pub(crate) fn same(a: &Value, b: &Value) -> bool {
    match (a, b) {
        (Value::Number(a), Value::Number(b)) => a == b || a.as_f64() == b.as_f64(),
        _ => a == b,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::handler::testing::TestStep;
    use crate::handler::typed;

    #[tokio::test]
    async fn compares_by_value_and_type() {
        let step = TestStep::new();
        for (with, holds) in [
            (json!({"that": true}), true),
            (json!({"that": false}), false),
            (json!({"that": "true"}), false),
            (json!({"that": 0, "equals": 0.0}), true),
            (json!({"that": "0", "equals": 0}), false),
            (json!({"that": null, "equals": null}), true),
            (json!({"that": [1, "a"], "equals": [1, "a"]}), true),
        ] {
            let result = typed(Assert).run(step.ctx.clone(), with.clone()).await;
            assert_eq!(result.is_ok(), holds, "{with}");
        }
        let error = typed(Assert)
            .run(
                step.ctx.clone(),
                json!({"that": 3, "equals": 0, "message": "the log has errors"}),
            )
            .await
            .expect_err("fails");
        assert_eq!(error.0.sort, FailureKind::Verify);
        assert_eq!(error.to_string(), "the log has errors: found 3, expected 0");
    }
}
