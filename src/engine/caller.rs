//! Everything that is the same for every call of a run: puts a handler, its context and its log together.

use std::path::PathBuf;
use std::sync::Arc;

use tokio::sync::mpsc;

use super::log::StepLog;
use super::progress::ProgressSender;
use super::secrets::StepSecrets;
use super::start::EngineParts;
use super::worker::{self, Call, Returned, Spec};
use crate::base::{AttemptNo, ErrorChain, RunId, Value};
use crate::event::{Failure, FailureKind};
use crate::handler::{
    EnvironmentView, LogSink, PreviewContext, ServiceView, StepContext, Stop, StopSignal,
};
use crate::plan::Plan;
use crate::run::Target;
use crate::secrets::SecretKeeper;

/// What is to be called.
pub(super) struct Job {
    pub(super) target: Target,
    pub(super) attempt: AttemptNo,
    pub(super) uses: String,
    /// The rendered inputs. Secrets are markers.
    pub(super) inputs: Value,
    /// The step's own key, if it has one.
    pub(super) idempotency_key: Option<String>,
}

/// Calls handlers for one run.
pub(super) struct Caller {
    parts: EngineParts,
    run: RunId,
    runbook: Arc<str>,
    environment: Arc<EnvironmentView>,
    secrets: Option<Arc<SecretKeeper>>,
    state_dir: Arc<PathBuf>,
}

impl Caller {
    pub(super) fn new(parts: &EngineParts, run: RunId, plan: &Plan) -> Self {
        Self {
            run,
            runbook: Arc::from(plan.runbook.name.as_str()),
            environment: Arc::new(environment_view(plan)),
            secrets: (!plan.secrets.is_empty()).then(|| {
                let access = Arc::clone(&parts.secrets);
                Arc::new(SecretKeeper::new(access, plan.secrets.clone()))
            }),
            state_dir: Arc::new(parts.layout.root().to_path_buf()),
            parts: parts.clone(),
        }
    }

    /// Starts a call; its end arrives on `return_to`, also when there is no such handler.
    pub(super) fn call(
        &self,
        job: Job,
        progress: ProgressSender,
        return_to: mpsc::UnboundedSender<Returned>,
    ) -> Option<Call> {
        let Job {
            target,
            attempt,
            uses,
            inputs,
            idempotency_key,
        } = job;
        let Some(handler) = self.parts.registry.get(&uses).cloned() else {
            // The dispatcher holds the other end.
            let _ = return_to.send(Returned {
                target,
                result: Err(no_handler(&uses)),
                log: Ok(None),
            });
            return None;
        };
        let stem = target.step.file_stem();
        let name = match target.call.tag() {
            None => format!("{stem}.log"),
            Some(tag) => format!("{stem}.{tag}.log"),
        };
        let path = self.parts.layout.run_logs(self.run).join(name);
        let log = StepLog::new(target.step.clone(), path, progress, self.secrets.clone());
        let (_, never) = tokio::sync::watch::channel(Stop::No);
        let context = StepContext {
            run: self.run,
            runbook: Arc::clone(&self.runbook),
            step: target.step.clone(),
            attempt,
            idempotency_key: idempotency_key
                .unwrap_or_else(|| crate::run::idempotency_key(self.run, &target, 0)),
            environment: Arc::clone(&self.environment),
            root: Arc::clone(&self.parts.root),
            state_dir: Arc::clone(&self.state_dir),
            log: LogSink::new(log.clone()),
            stop: StopSignal::new(never),
            clock: Arc::clone(&self.parts.clock),
            grace: self.parts.grace,
        };
        let spec = Spec {
            target,
            handler,
            context,
            inputs,
            secrets: self.secrets.clone().map(StepSecrets),
            log,
        };
        Some(worker::spawn(spec, return_to))
    }

    /// What handlers may look at to say what they would do.
    pub(super) fn preview_context(&self) -> PreviewContext {
        PreviewContext {
            environment: Arc::clone(&self.environment),
            root: Arc::clone(&self.parts.root),
            state_dir: Arc::clone(&self.state_dir),
            grace: self.parts.grace,
        }
    }
}

fn no_handler(uses: &str) -> Failure {
    Failure {
        sort: FailureKind::Invalid,
        error: ErrorChain::new(format!("this program has no action `{uses}`")),
        hint: Some("see what it has with: runbook actions list".to_owned()),
        log_tail: Vec::new(),
    }
}

/// The environment of a plan as handlers see it.
pub(crate) fn environment_view(plan: &Plan) -> EnvironmentView {
    EnvironmentView {
        name: plan.environment.name.clone(),
        services: plan
            .environment
            .services
            .iter()
            .map(|(name, s)| {
                let view = ServiceView {
                    provider: s.provider.clone(),
                    config: s.config.clone(),
                };
                (name.clone(), view)
            })
            .collect(),
        connections: plan
            .environment
            .connections
            .iter()
            .map(|(name, c)| {
                let view = ServiceView {
                    provider: c.kind.clone(),
                    config: c.config.clone(),
                };
                (name.clone(), view)
            })
            .collect(),
    }
}
