//! The verbs, put together.

use std::time::Duration;

use super::config::{DrainConfig, ProcessConfig};
use super::home::{Home, Record};
use super::log_scan::scan;
use super::preview::preview;
use super::probe::Subject;
use crate::base::HumanDuration;
use crate::event::FailureKind;
use crate::handler::{Preview, PreviewContext, StepContext, StepError, Stop};
use crate::handlers::http::HttpClients;
use crate::handlers::service::provider::{Answer, LogQuery, ServiceProvider, Target, VerbShown};
use crate::handlers::service::report::{
    DrainReport, HealthReport, LogReport, RestartReport, ResumeReport, StartReport, StatusReport,
    StopReport,
};
use crate::model::ProviderManifest;

/// Programs on this machine, in sessions of their own.
pub(in crate::handlers::service) struct ProcessProvider {
    clients: HttpClients,
}

/// A service with its keys read and its folder made.
struct Opened {
    config: ProcessConfig,
    home: Home,
}

impl Opened {
    fn new(ctx: &StepContext, target: &Target) -> Result<Self, StepError> {
        let config = ProcessConfig::of(target)?;
        let home = Home::open(ctx, target, &config)?;
        Ok(Self { config, home })
    }
}

impl ProcessProvider {
    /// A provider over shared clients.
    pub(in crate::handlers::service) fn new(clients: &HttpClients) -> Self {
        Self {
            clients: clients.clone(),
        }
    }

    fn subject<'a>(
        &'a self,
        ctx: &'a StepContext,
        target: &'a Target,
        opened: &'a Opened,
    ) -> Subject<'a> {
        Subject {
            ctx,
            name: &target.name,
            config: &opened.config,
            home: &opened.home,
            clients: &self.clients,
        }
    }

    async fn start_now(
        &self,
        ctx: &StepContext,
        target: &Target,
    ) -> Result<StartReport, StepError> {
        let opened = Opened::new(ctx, target)?;
        let subject = self.subject(ctx, target, &opened);
        let _lock = opened.home.lock(ctx).await?;
        if let Some((record, _)) = opened.home.running()? {
            ctx.log.line(format_args!(
                "`{}` is up already (pid {})",
                target.name, record.process.pid
            ));
            return Ok(started(&subject, &record, false));
        }
        subject.prepare().await?;
        let record = subject.launch().await?;
        ctx.log.line(format_args!(
            "started `{}` (pid {})",
            target.name, record.process.pid
        ));
        Ok(started(&subject, &record, true))
    }

    async fn stop_now(
        &self,
        ctx: &StepContext,
        target: &Target,
        grace: Option<Duration>,
    ) -> Result<StopReport, StepError> {
        let opened = Opened::new(ctx, target)?;
        let _lock = opened.home.lock(ctx).await?;
        let report = self.subject(ctx, target, &opened).halt(grace).await?;
        match report.previous_pid {
            Some(pid) => ctx
                .log
                .line(format_args!("stopped `{}` (pid {pid})", target.name)),
            None => ctx.log.line(format_args!("`{}` was down", target.name)),
        }
        Ok(report)
    }

    async fn restart_now(
        &self,
        ctx: &StepContext,
        target: &Target,
        grace: Option<Duration>,
    ) -> Result<RestartReport, StepError> {
        let opened = Opened::new(ctx, target)?;
        let subject = self.subject(ctx, target, &opened);
        let _lock = opened.home.lock(ctx).await?;
        subject.prepare().await?;
        let stopped = subject.halt(grace).await?;
        if ctx.stop.current() >= Stop::Gently {
            return Err(StepError::new(
                FailureKind::Cancelled,
                format!(
                    "stopped after service `{}` was stopped: it is down",
                    target.name
                ),
            ));
        }
        let record = subject.launch().await?;
        let before = stopped
            .previous_pid
            .map_or_else(|| "it was down".to_owned(), |pid| format!("was {pid}"));
        ctx.log.line(format_args!(
            "restarted `{}` (pid {}, {before})",
            target.name, record.process.pid
        ));
        Ok(RestartReport {
            changed: true,
            pid: record.process.pid,
            previous_pid: stopped.previous_pid,
            started_at: record.started_at,
            address: subject.address(&record),
            forced: stopped.forced,
        })
    }

    async fn status_now(
        &self,
        ctx: &StepContext,
        target: &Target,
    ) -> Result<StatusReport, StepError> {
        let opened = Opened::new(ctx, target)?;
        let subject = self.subject(ctx, target, &opened);
        let Some((record, _)) = opened.home.running()? else {
            ctx.log.line(format_args!("`{}` is down", target.name));
            return Ok(StatusReport {
                running: false,
                pid: None,
                started_at: None,
                uptime: None,
                address: None,
                healthy: None,
            });
        };
        let healthy = match &opened.config.health {
            Some(health) => Some(subject.probe(&record, health).await?.healthy),
            None => None,
        };
        ctx.log.line(format_args!(
            "`{}` is up (pid {}) since {}",
            target.name, record.process.pid, record.started_at
        ));
        Ok(StatusReport {
            running: true,
            pid: Some(record.process.pid),
            started_at: Some(record.started_at),
            uptime: Some(HumanDuration(ctx.clock.now().since(record.started_at))),
            address: subject.address(&record),
            healthy,
        })
    }

    async fn health_now(
        &self,
        ctx: &StepContext,
        target: &Target,
    ) -> Result<HealthReport, StepError> {
        let opened = Opened::new(ctx, target)?;
        let Some(health) = &opened.config.health else {
            return Err(StepError::new(
                FailureKind::Invalid,
                format!("service `{}` has no health probe", target.name),
            )
            .hint("give it one, e.g. `health: { http: /health }`"));
        };
        let report = match opened.home.running()? {
            Some((record, _)) => {
                self.subject(ctx, target, &opened)
                    .probe(&record, health)
                    .await?
            }
            None => HealthReport {
                healthy: false,
                latency: HumanDuration::default(),
                status: None,
                detail: format!("service `{}` is down", target.name),
            },
        };
        ctx.log.line(&report.detail);
        Ok(report)
    }

    async fn logs_now(
        &self,
        ctx: &StepContext,
        target: &Target,
        query: LogQuery,
    ) -> Result<LogReport, StepError> {
        let opened = Opened::new(ctx, target)?;
        let record = opened.home.record()?;
        let offset = record.as_ref().map_or(0, |record| record.log_offset);
        let since = query.since.or(record.map(|record| record.started_at));
        let path = opened.home.log().to_owned();
        let found = tokio::task::spawn_blocking(move || scan(&path, offset, &query))
            .await
            .map_err(std::io::Error::other)
            .and_then(|result| result)
            .map_err(|error| {
                StepError::caused(
                    FailureKind::Error,
                    format!("cannot read the log `{}`", opened.home.log().display()),
                    &error,
                )
            })?;
        ctx.log.line(format_args!(
            "{} of {} lines match",
            found.matched, found.lines
        ));
        for line in &found.sample {
            ctx.log.line(format_args!("  {line}"));
        }
        Ok(LogReport {
            since,
            lines: found.lines,
            matched: found.matched,
            sample: found.sample,
        })
    }

    async fn drain_now(
        &self,
        ctx: &StepContext,
        target: &Target,
        timeout: Duration,
    ) -> Result<DrainReport, StepError> {
        let opened = Opened::new(ctx, target)?;
        let drain = drain_of(target, &opened.config)?;
        let Some((record, _)) = opened.home.running()? else {
            ctx.log
                .line(format_args!("`{}` is down: nothing to drain", target.name));
            return Ok(DrainReport {
                drained: true,
                in_flight: 0,
                waited: HumanDuration::default(),
            });
        };
        let subject = self.subject(ctx, target, &opened);
        let report = subject.drain(&record, drain, timeout).await?;
        ctx.log.line(format_args!(
            "{} requests in flight after {}",
            report.in_flight, report.waited
        ));
        Ok(report)
    }

    async fn resume_now(
        &self,
        ctx: &StepContext,
        target: &Target,
    ) -> Result<ResumeReport, StepError> {
        let opened = Opened::new(ctx, target)?;
        let drain = drain_of(target, &opened.config)?;
        let Some((record, _)) = opened.home.running()? else {
            ctx.log.line(format_args!("`{}` is down", target.name));
            return Ok(ResumeReport { changed: false });
        };
        self.subject(ctx, target, &opened)
            .resume(&record, drain)
            .await?;
        Ok(ResumeReport { changed: true })
    }
}

fn started(subject: &Subject<'_>, record: &Record, changed: bool) -> StartReport {
    StartReport {
        changed,
        pid: record.process.pid,
        started_at: record.started_at,
        address: subject.address(record),
    }
}

fn drain_of<'a>(target: &Target, config: &'a ProcessConfig) -> Result<&'a DrainConfig, StepError> {
    config.drain.as_ref().ok_or_else(|| {
        StepError::new(
            FailureKind::Invalid,
            format!("service `{}` does not say how it is drained", target.name),
        )
        .hint("give it the key `drain`, e.g. `drain: { http: /drain }`")
    })
}

impl ServiceProvider for ProcessProvider {
    fn manifest(&self) -> ProviderManifest {
        ProviderManifest {
            name: "process".to_owned(),
            summary: "A program on this machine, in a session of its own".to_owned(),
            config: ProcessConfig::schema(),
        }
    }

    fn preview(&self, ctx: &PreviewContext, target: &Target, verb: VerbShown) -> Preview {
        preview(ctx, target, verb).unwrap_or_else(|error| Preview::Unknown(error.to_string()))
    }

    fn status<'a>(&'a self, ctx: &'a StepContext, target: &'a Target) -> Answer<'a, StatusReport> {
        Box::pin(self.status_now(ctx, target))
    }

    fn start<'a>(&'a self, ctx: &'a StepContext, target: &'a Target) -> Answer<'a, StartReport> {
        Box::pin(self.start_now(ctx, target))
    }

    fn stop<'a>(
        &'a self,
        ctx: &'a StepContext,
        target: &'a Target,
        grace: Option<Duration>,
    ) -> Answer<'a, StopReport> {
        Box::pin(self.stop_now(ctx, target, grace))
    }

    fn restart<'a>(
        &'a self,
        ctx: &'a StepContext,
        target: &'a Target,
        grace: Option<Duration>,
    ) -> Answer<'a, RestartReport> {
        Box::pin(self.restart_now(ctx, target, grace))
    }

    fn health<'a>(&'a self, ctx: &'a StepContext, target: &'a Target) -> Answer<'a, HealthReport> {
        Box::pin(self.health_now(ctx, target))
    }

    fn logs<'a>(
        &'a self,
        ctx: &'a StepContext,
        target: &'a Target,
        query: LogQuery,
    ) -> Answer<'a, LogReport> {
        Box::pin(self.logs_now(ctx, target, query))
    }

    fn drain<'a>(
        &'a self,
        ctx: &'a StepContext,
        target: &'a Target,
        timeout: Duration,
    ) -> Answer<'a, DrainReport> {
        Box::pin(self.drain_now(ctx, target, timeout))
    }

    fn resume<'a>(&'a self, ctx: &'a StepContext, target: &'a Target) -> Answer<'a, ResumeReport> {
        Box::pin(self.resume_now(ctx, target))
    }
}
