//! Draining and taking it back.

use std::time::{Duration, Instant};

use reqwest::Url;

use super::config::DrainConfig;
use super::home::Record;
use super::probe::Subject;
use crate::base::{HumanDuration, Value};
use crate::event::FailureKind;
use crate::handler::{StepError, Stop};
use crate::handlers::http::request_failure;
use crate::handlers::service::report::DrainReport;

/// Limit of one question.
const QUESTION_TIMEOUT: Duration = Duration::from_secs(10);

impl Subject<'_> {
    /// Asks again and again until nothing is in flight, or the time is over.
    pub(super) async fn drain(
        &self,
        record: &Record,
        drain: &DrainConfig,
        timeout: Duration,
    ) -> Result<DrainReport, StepError> {
        let url = self.url(record, &drain.http)?;
        let begin = Instant::now();
        loop {
            let answer = self.post(&url).await?;
            let in_flight = answer
                .get(&drain.in_flight)
                .and_then(Value::as_u64)
                .ok_or_else(|| {
                    StepError::new(
                        FailureKind::Error,
                        format!("{url} did not say how many requests are in flight: no number `{}` in its answer", drain.in_flight),
                    )
                })?;
            let waited = begin.elapsed();
            if in_flight == 0 || waited >= timeout {
                return Ok(DrainReport {
                    drained: in_flight == 0,
                    in_flight,
                    waited: HumanDuration(waited),
                });
            }
            let pause = drain.interval.0.min(timeout.saturating_sub(waited));
            tokio::select! {
                () = tokio::time::sleep(pause) => {}
                () = self.ctx.stop.reached(Stop::Gently) => return Err(self.stopped()),
            }
        }
    }

    /// Lets it take work again.
    pub(super) async fn resume(
        &self,
        record: &Record,
        drain: &DrainConfig,
    ) -> Result<(), StepError> {
        let Some(written) = &drain.resume else {
            return Err(StepError::new(
                FailureKind::Invalid,
                format!(
                    "service `{}` does not say how a drain is taken back",
                    self.name
                ),
            )
            .hint("give its `drain` the key `resume`, or restart it"));
        };
        let url = self.url(record, written)?;
        self.post(&url).await.map(|_| ())
    }

    /// Posts and gives the answer's JSON, null when it is none.
    async fn post(&self, url: &Url) -> Result<Value, StepError> {
        let failed =
            |error: &reqwest::Error| request_failure("POST", url, error, Some(QUESTION_TIMEOUT));
        let client = self.clients.client(url, false)?;
        let exchange = async {
            let answer = client
                .post(url.clone())
                .timeout(QUESTION_TIMEOUT)
                .send()
                .await
                .map_err(|error| failed(&error))?;
            if !answer.status().is_success() {
                return Err(StepError::new(
                    FailureKind::Unavailable,
                    format!("POST {url} answered {}", answer.status()),
                ));
            }
            let body = answer.bytes().await.map_err(|error| failed(&error))?;
            Ok(serde_json::from_slice(&body).unwrap_or(Value::Null))
        };
        tokio::select! {
            result = exchange => result,
            () = self.ctx.stop.reached(Stop::Gently) => Err(self.stopped()),
        }
    }

    fn stopped(&self) -> StepError {
        StepError::new(
            FailureKind::Cancelled,
            format!("stopped while draining service `{}`", self.name),
        )
    }
}
