//! The socket for providers, and the list of them.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use regex::Regex;

use super::process::ProcessProvider;
use super::report::{
    DrainReport, HealthReport, LogReport, RestartReport, ResumeReport, StartReport, StatusReport,
    StopReport,
};
use crate::base::{Timestamp, Value, did_you_mean};
use crate::event::FailureKind;
use crate::handler::{BoxFuture, EnvironmentView, Preview, PreviewContext, StepContext, StepError};
use crate::handlers::http::HttpClients;
use crate::model::ProviderManifest;

/// The result of one verb.
pub(crate) type Answer<'a, T> = BoxFuture<'a, Result<T, StepError>>;

/// A service of the environment that a step names.
#[derive(Debug, Clone)]
pub(crate) struct Target {
    /// Its name.
    pub(crate) name: String,
    /// Its keys, as the provider's schema wants them.
    pub(crate) config: Value,
}

/// What is to be read from a log.
#[derive(Debug, Clone)]
pub(crate) struct LogQuery {
    /// From when on; default: since the last start.
    pub(crate) since: Option<Timestamp>,
    /// What counts; default: every line.
    pub(crate) pattern: Option<Regex>,
    /// Most lines given back.
    pub(crate) limit: usize,
}

/// A verb whose effect is to be shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum VerbShown {
    /// `service.status`.
    Status,
    /// `service.start`.
    Start,
    /// `service.stop`, with the step's own grace time.
    Stop(Option<Duration>),
    /// `service.restart`, with the step's own grace time.
    Restart(Option<Duration>),
    /// `service.health`.
    Health,
    /// `service.logs`.
    Logs,
    /// `service.drain`, with its limit.
    Drain(Duration),
    /// `service.resume`.
    Resume,
}

/// Starts and stops services of one kind. Every verb may be called at any time, by several
/// processes at once.
pub(crate) trait ServiceProvider: Send + Sync {
    /// What it declares about itself.
    fn manifest(&self) -> ProviderManifest;

    /// How the service stands.
    fn status<'a>(&'a self, ctx: &'a StepContext, target: &'a Target) -> Answer<'a, StatusReport>;

    /// Starts it unless it is up.
    fn start<'a>(&'a self, ctx: &'a StepContext, target: &'a Target) -> Answer<'a, StartReport>;

    /// Stops it if it is up. `grace` overrides how long it may take before it is killed.
    fn stop<'a>(
        &'a self,
        ctx: &'a StepContext,
        target: &'a Target,
        grace: Option<Duration>,
    ) -> Answer<'a, StopReport>;

    /// Stops it if it is up, then starts it.
    fn restart<'a>(
        &'a self,
        ctx: &'a StepContext,
        target: &'a Target,
        grace: Option<Duration>,
    ) -> Answer<'a, RestartReport>;

    /// Asks its health probe once. An unhealthy service is an answer, not an error.
    fn health<'a>(&'a self, ctx: &'a StepContext, target: &'a Target) -> Answer<'a, HealthReport>;

    /// Reads its log.
    fn logs<'a>(
        &'a self,
        ctx: &'a StepContext,
        target: &'a Target,
        query: LogQuery,
    ) -> Answer<'a, LogReport>;

    /// Asks it to take no new work, and waits until what it has is done.
    fn drain<'a>(
        &'a self,
        ctx: &'a StepContext,
        target: &'a Target,
        timeout: Duration,
    ) -> Answer<'a, DrainReport>;

    /// What a verb would do as the service stands now. Changes nothing and asks nobody.
    fn preview(&self, ctx: &PreviewContext, target: &Target, verb: VerbShown) -> Preview;

    /// Takes a drain back.
    fn resume<'a>(&'a self, ctx: &'a StepContext, target: &'a Target) -> Answer<'a, ResumeReport>;
}

/// The providers by name. Cheap to clone.
#[derive(Clone)]
pub(in crate::handlers) struct Providers(Arc<BTreeMap<String, Arc<dyn ServiceProvider>>>);

impl Providers {
    /// Those of this binary.
    pub(in crate::handlers) fn builtin(clients: &HttpClients) -> Self {
        let all: [Arc<dyn ServiceProvider>; 1] = [Arc::new(ProcessProvider::new(clients))];
        Self(Arc::new(
            all.into_iter()
                .map(|provider| (provider.manifest().name, provider))
                .collect(),
        ))
    }

    /// What they declare.
    pub(in crate::handlers) fn manifests(&self) -> Vec<ProviderManifest> {
        self.0
            .values()
            .map(|provider| provider.manifest())
            .collect()
    }

    /// What a verb would do to the service that a step names.
    pub(super) fn preview(&self, ctx: &PreviewContext, service: &str, verb: VerbShown) -> Preview {
        match self.find(&ctx.environment, service) {
            Ok((provider, target)) => provider.preview(ctx, &target, verb),
            Err(error) => Preview::Unknown(error.to_string()),
        }
    }

    /// The service that a step names, with its provider.
    pub(super) fn find(
        &self,
        environment: &EnvironmentView,
        service: &str,
    ) -> Result<(&dyn ServiceProvider, Target), StepError> {
        let Some(view) = environment.services.get(service) else {
            let known = environment.services.keys().map(String::as_str);
            let error = StepError::new(
                FailureKind::Invalid,
                format!(
                    "environment `{}` has no service `{service}`",
                    environment.name
                ),
            );
            return Err(match did_you_mean(service, known) {
                Some(near) => error.hint(format!("did you mean `{near}`?")),
                None => error.hint("name it in the environment's `services`"),
            });
        };
        let provider = self.0.get(&view.provider).ok_or_else(|| {
            StepError::new(
                FailureKind::Invalid,
                format!(
                    "service `{service}` has the provider `{}`, which this program does not know",
                    view.provider
                ),
            )
            .hint(format!(
                "known providers: {}",
                self.0.keys().cloned().collect::<Vec<_>>().join(", ")
            ))
        })?;
        let target = Target {
            name: service.to_owned(),
            config: view.config.clone(),
        };
        Ok((provider.as_ref(), target))
    }
}
