//! The actions: they find the provider and pass on.

use std::time::Duration;

use regex::RegexBuilder;
use schemars::JsonSchema;
use serde::Deserialize;

use super::provider::{LogQuery, Providers, VerbShown};
use super::report::{
    DrainReport, HealthReport, LogReport, RestartReport, ResumeReport, StartReport, StatusReport,
    StopReport,
};
use crate::base::{HumanDuration, Timestamp, parse_duration};
use crate::event::FailureKind;
use crate::handler::{Preview, PreviewContext, StepContext, StepError, TypedHandler};
use crate::model::{ActionExample, Effect};

/// Most bytes that a compiled pattern may take.
const PATTERN_LIMIT: usize = 1024 * 1024;

/// Inputs of the actions that need only the service.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::handlers) struct ServiceInput {
    /// A service of the environment.
    #[schemars(extend("format" = "service"))]
    service: String,
}

/// Inputs of `service.stop` and `service.restart`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::handlers) struct StopInput {
    /// A service of the environment.
    #[schemars(extend("format" = "service"))]
    service: String,
    /// How long it may take to end before it is killed. Default: the service's own `grace`.
    #[serde(default)]
    grace: Option<HumanDuration>,
}

/// Inputs of `service.drain`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::handlers) struct DrainInput {
    /// A service of the environment.
    #[schemars(extend("format" = "service"))]
    service: String,
    /// How long to wait for the work in flight. Default 30s.
    #[serde(default = "half_a_minute")]
    timeout: HumanDuration,
}

fn half_a_minute() -> HumanDuration {
    HumanDuration(Duration::from_secs(30))
}

/// Inputs of `service.logs`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::handlers) struct LogsInput {
    /// A service of the environment.
    #[schemars(extend("format" = "service"))]
    service: String,
    /// From when on: a timestamp, or a duration back from now. Default: since the last start.
    #[serde(default)]
    since: Option<String>,
    /// Regular expression; lines that match it are counted. Default: every line.
    #[serde(default)]
    pattern: Option<String>,
    /// Most lines given back, at most 1000. Default 20.
    #[serde(default = "twenty")]
    #[schemars(range(max = 1000))]
    limit: u16,
}

fn twenty() -> u16 {
    20
}

/// Declares an action that passes on to a provider.
macro_rules! service_action {
    (
        $action:ident, $name:literal, $effect:ident, $input:ident => $report:ident,
        summary: $summary:literal, description: $description:literal, example: $title:literal, $yaml:literal,
        run: |$provider:ident, $ctx:ident, $target:ident, $given:ident| $call:expr,
        preview: |$shown:ident| $verb:expr
    ) => {
        #[doc = $summary]
        pub(in crate::handlers) struct $action(pub(in crate::handlers) Providers);

        impl TypedHandler for $action {
            type Input = $input;
            type Output = $report;

            const NAME: &'static str = $name;
            const SUMMARY: &'static str = $summary;
            const DESCRIPTION: &'static str = $description;
            const EFFECT: Effect = Effect::$effect;

            fn examples() -> Vec<ActionExample> {
                vec![ActionExample {
                    title: $title.to_owned(),
                    yaml: $yaml.to_owned(),
                }]
            }

            async fn run(&self, ctx: StepContext, $given: $input) -> Result<$report, StepError> {
                let ($provider, target) = self.0.find(&ctx.environment, &$given.service)?;
                let ($ctx, $target) = (&ctx, &target);
                $call.await
            }

            fn preview(&self, ctx: &PreviewContext, $shown: &$input) -> Preview {
                self.0.preview(ctx, &$shown.service, $verb)
            }
        }
    };
}

service_action! {
    Status, "service.status", Read, ServiceInput => StatusReport,
    summary: "See whether a service is up",
    description: "\
Tells whether the service runs, since when, under which pid and address, and what its health probe \
says. A service that is down is an answer, not a failure.",
    example: "Record the state before touching it",
        "id: before\nuses: service.status\nwith: { service: api }\n",
    run: |provider, ctx, target, input| provider.status(ctx, target),
    preview: |input| VerbShown::Status
}

service_action! {
    Start, "service.start", Idempotent, ServiceInput => StartReport,
    summary: "Start a service unless it is up",
    description: "\
Starts the service and waits until it can be reached, or has died. A service that is up already is \
left alone: `changed` is false. When the start fails, nothing of it is left running, and the last \
lines of its log are shown.",
    example: "Make sure that it is up",
        "id: up\nuses: service.start\nwith: { service: api }\ntimeout: 2m\n",
    run: |provider, ctx, target, input| provider.start(ctx, target),
    preview: |input| VerbShown::Start
}

service_action! {
    Stop, "service.stop", Idempotent, StopInput => StopReport,
    summary: "Stop a service if it is up",
    description: "\
Asks the service to end, and kills it when it has not ended within `grace`. A service that is down \
already is left alone: `changed` is false.",
    example: "Stop it, and undo that by starting it",
        "id: down\nuses: service.stop\nwith: { service: api, grace: 20s }\nrollback:\n  uses: service.start\n  with: { service: api }\n",
    run: |provider, ctx, target, input| provider.stop(ctx, target, input.grace.map(|grace| grace.0)),
    preview: |input| VerbShown::Stop(input.grace.map(|grace| grace.0))
}

service_action! {
    Restart, "service.restart", Idempotent, StopInput => RestartReport,
    summary: "Restart a service, or start it if it is down",
    description: "\
Prepares the new start first, so that a failed preparation leaves the old one running; then stops \
the service as `service.stop` does, and starts it as `service.start` does.

The effect is `idempotent`, because after a crash in the middle a second restart ends in the same \
state: one fresh process. It costs a second interruption.",
    example: "Restart it",
        "id: restart\nuses: service.restart\nwith: { service: api, grace: 20s }\ntimeout: 2m\n",
    run: |provider, ctx, target, input| provider.restart(ctx, target, input.grace.map(|grace| grace.0)),
    preview: |input| VerbShown::Restart(input.grace.map(|grace| grace.0))
}

service_action! {
    Health, "service.health", Read, ServiceInput => HealthReport,
    summary: "Ask a service's health probe",
    description: "\
Asks the probe that the environment names for the service, once. An unhealthy service, or one that \
is down, is an answer (`healthy: false`) and not a failure: poll it with `until:`, or fail on it \
with `verify:`.",
    example: "Wait until it is healthy and quick",
        "id: healthy\nuses: service.health\nwith: { service: api }\nuntil: outputs.healthy && outputs.latency < duration(\"2s\")\nevery: 500ms\ntimeout: 60s\n",
    run: |provider, ctx, target, input| provider.health(ctx, target),
    preview: |input| VerbShown::Health
}

service_action! {
    Logs, "service.logs", Read, LogsInput => LogReport,
    summary: "Count and show lines of a service's log",
    description: "\
Reads what the service wrote to its log since its last start, or since a point in time, counts the \
lines that match `pattern` and gives the last of them. A point in time needs lines that begin with \
an RFC 3339 timestamp; a line without one belongs to the line above it.",
    example: "No errors since the restart",
        "id: errors\nuses: service.logs\nwith: { service: api, pattern: ' (ERROR|FATAL) ' }\nverify: outputs.matched == 0\n",
    run: |provider, ctx, target, input| {
        let query = log_query(ctx, &input);
        async { provider.logs(ctx, target, query?).await }
    },
    preview: |input| VerbShown::Logs
}

service_action! {
    Drain, "service.drain", Idempotent, DrainInput => DrainReport,
    summary: "Let a service finish its work and take no more",
    description: "\
Asks the service, as its `drain` key says, to take no new work, and waits until nothing is in \
flight. Work that takes longer than `timeout` is an answer (`drained: false`) and not a failure: \
decide with `verify:`. A service that is down counts as drained. `service.resume` takes it back.",
    example: "Drain it, and undo that",
        "id: drain\nuses: service.drain\nwith: { service: api, timeout: 20s }\nverify: outputs.drained\nrollback:\n  uses: service.resume\n  with: { service: api }\n",
    run: |provider, ctx, target, input| provider.drain(ctx, target, input.timeout.0),
    preview: |input| VerbShown::Drain(input.timeout.0)
}

service_action! {
    Resume, "service.resume", Idempotent, ServiceInput => ResumeReport,
    summary: "Let a drained service take work again",
    description: "\
Takes a `service.drain` back. A service that is down is left alone: `changed` is false.",
    example: "Take work again",
        "id: resume\nuses: service.resume\nwith: { service: api }\n",
    run: |provider, ctx, target, input| provider.resume(ctx, target),
    preview: |input| VerbShown::Resume
}

fn log_query(ctx: &StepContext, input: &LogsInput) -> Result<LogQuery, StepError> {
    let invalid = |message: String| StepError::new(FailureKind::Invalid, message);
    let since = match &input.since {
        None => None,
        Some(text) => Some(parse_since(text, ctx.clock.now()).map_err(invalid)?),
    };
    let pattern = input
        .pattern
        .as_deref()
        .map(|text| RegexBuilder::new(text).size_limit(PATTERN_LIMIT).build())
        .transpose()
        .map_err(|error| invalid(format!("`pattern` is no regular expression: {error}")))?;
    Ok(LogQuery {
        since,
        pattern,
        limit: usize::from(input.limit.min(1000)),
    })
}

fn parse_since(text: &str, now: Timestamp) -> Result<Timestamp, String> {
    if let Ok(at) = text.parse() {
        return Ok(at);
    }
    let back = parse_duration(text).map_err(|_| {
        format!(
            "`since` is `{text}`; write a timestamp such as `2026-11-23T03:00:00Z`, or a duration such as `10m`"
        )
    })?;
    let millis = i64::try_from(back.as_millis()).unwrap_or(i64::MAX);
    Ok(Timestamp::from_unix_millis(
        now.unix_millis().saturating_sub(millis),
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn since_is_a_point_or_a_distance() {
        let now: Timestamp = "2026-11-23T03:00:00Z".parse().expect("valid");
        for (text, at) in [
            ("2026-11-23T02:00:00Z", "2026-11-23T02:00:00.000Z"),
            ("90s", "2026-11-23T02:58:30.000Z"),
        ] {
            let since = parse_since(text, now).expect(text);
            assert_eq!(since.to_string(), at);
        }
        assert!(parse_since("yesterday", now).is_err());
    }
}
