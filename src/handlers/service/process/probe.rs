//! Health probes and addresses.

use std::time::{Duration, Instant};

use reqwest::Url;
use tokio::net::TcpStream;

use super::config::{HealthConfig, ProbeKind, ProcessConfig};
use super::home::{Home, Record};
use crate::base::HumanDuration;
use crate::event::FailureKind;
use crate::handler::{StepContext, StepError, Stop};
use crate::handlers::http::{HttpClients, parse_url, request_failure};
use crate::handlers::service::report::HealthReport;
use crate::handlers::system::{ChildSpec, directory_of, run_child, step_environment};

/// What a probe found, besides how long it took.
struct Finding {
    healthy: bool,
    status: Option<u16>,
    detail: String,
}

impl Finding {
    fn unhealthy(detail: impl Into<String>) -> Self {
        Self {
            healthy: false,
            status: None,
            detail: detail.into(),
        }
    }
}

/// A running service, as probes and drains see it.
pub(super) struct Subject<'a> {
    pub(super) ctx: &'a StepContext,
    pub(super) name: &'a str,
    pub(super) config: &'a ProcessConfig,
    pub(super) home: &'a Home,
    pub(super) clients: &'a HttpClients,
}

impl Subject<'_> {
    /// Where it listens, if that is known.
    pub(super) fn address(&self, record: &Record) -> Option<String> {
        record
            .address
            .clone()
            .or_else(|| self.config.address.clone())
    }

    /// A URL from a path at the service's address, or a whole URL.
    pub(super) fn url(&self, record: &Record, written: &str) -> Result<Url, StepError> {
        let address = self.address(record);
        if !written.starts_with('/') {
            return parse_url(&self.expand(written, address.as_deref()));
        }
        match address {
            Some(address) => parse_url(&format!("http://{address}{written}")),
            None => Err(StepError::new(
                FailureKind::Invalid,
                format!(
                    "the address of service `{}` is not known, so `{written}` cannot be asked",
                    self.name
                ),
            )
            .hint("give the service `address` or `address_file`, or write a whole URL")),
        }
    }

    /// Replaces `${SERVICE_DIR}`, `${SERVICE_NAME}` and, once known, `${SERVICE_ADDRESS}`.
    pub(super) fn expand(&self, text: &str, address: Option<&str>) -> String {
        let mut text = text
            .replace("${SERVICE_DIR}", &self.home.folder().to_string_lossy())
            .replace("${SERVICE_NAME}", self.name);
        if let Some(address) = address {
            text = text.replace("${SERVICE_ADDRESS}", address);
        }
        text
    }

    /// A program of this service; `argv` is never empty.
    pub(super) fn child(&self, argv: &[String], address: Option<&str>) -> ChildSpec {
        let mut words = argv.iter().map(|word| self.expand(word, address));
        let mut environment: Vec<(String, String)> = vec![
            (
                "SERVICE_DIR".to_owned(),
                self.home.folder().to_string_lossy().into_owned(),
            ),
            ("SERVICE_NAME".to_owned(), self.name.to_owned()),
        ];
        if let Some(address) = address {
            environment.push(("SERVICE_ADDRESS".to_owned(), address.to_owned()));
        }
        environment.extend(
            self.config
                .environment
                .iter()
                .map(|(key, value)| (key.clone(), self.expand(value, address))),
        );
        ChildSpec {
            program: words.next().unwrap_or_default(),
            args: words.collect(),
            directory: directory_of(self.ctx, self.config.directory.as_deref()),
            environment,
        }
    }

    /// Asks the probe once.
    pub(super) async fn probe(
        &self,
        record: &Record,
        health: &HealthConfig,
    ) -> Result<HealthReport, StepError> {
        let kind = health.kind().map_err(|message| {
            StepError::new(
                FailureKind::Invalid,
                format!("service `{}`: {message}", self.name),
            )
        })?;
        let begin = Instant::now();
        let limit = health.timeout.0;
        let asked = async {
            match kind {
                ProbeKind::Http(written) => self.ask_http(record, written, limit).await,
                ProbeKind::Tcp(written) => Ok(self.ask_tcp(record, written).await),
                ProbeKind::Command(argv) => self.ask_command(record, argv).await,
            }
        };
        let late = || Finding::unhealthy(format!("no answer within {}", health.timeout));
        let finding = tokio::select! {
            answer = tokio::time::timeout(limit, asked) => answer.unwrap_or_else(|_| Ok(late()))?,
            () = self.ctx.stop.reached(Stop::Gently) => {
                return Err(StepError::new(
                    FailureKind::Cancelled,
                    format!("stopped while probing service `{}`", self.name),
                ));
            }
        };
        Ok(HealthReport {
            healthy: finding.healthy,
            latency: HumanDuration(begin.elapsed()),
            status: finding.status,
            detail: finding.detail,
        })
    }

    async fn ask_http(
        &self,
        record: &Record,
        written: &str,
        limit: Duration,
    ) -> Result<Finding, StepError> {
        let url = self.url(record, written)?;
        let client = self.clients.client(&url, false)?;
        Ok(match client.get(url.clone()).send().await {
            Ok(answer) => Finding {
                healthy: answer.status().is_success(),
                status: Some(answer.status().as_u16()),
                detail: format!("{url} answered {}", answer.status()),
            },
            Err(error) => {
                Finding::unhealthy(request_failure("GET", &url, &error, Some(limit)).to_string())
            }
        })
    }

    async fn ask_tcp(&self, record: &Record, written: &str) -> Finding {
        let place = self.expand(written, self.address(record).as_deref());
        match TcpStream::connect(&place).await {
            Ok(_) => Finding {
                healthy: true,
                status: None,
                detail: format!("{place} accepts connections"),
            },
            Err(error) => Finding::unhealthy(format!("{place}: {error}")),
        }
    }

    async fn ask_command(&self, record: &Record, argv: &[String]) -> Result<Finding, StepError> {
        let mut spec = self.child(argv, self.address(record).as_deref());
        spec.environment.extend(step_environment(self.ctx));
        let ended = run_child(self.ctx, &spec).await?;
        Ok(Finding {
            healthy: ended.status.success(),
            status: None,
            detail: format!("`{}` ended with {}", spec.program, ended.how()),
        })
    }
}
