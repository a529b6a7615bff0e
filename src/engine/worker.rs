//! One call of a handler: context, stop requests, grace, panics.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, watch};

use super::log::StepLog;
use super::secrets::StepSecrets;
use crate::base::{ErrorChain, Value};
use crate::event::{Failure, FailureKind, LogRef};
use crate::handler::{StepContext, StepError, StepHandler, Stop, StopSignal};
use crate::run::Target;

/// How long a handler may take to return after KILL before it is dropped.
const AFTER_KILL: Duration = Duration::from_secs(2);

/// The end of a call, as the dispatcher receives it.
pub(super) struct Returned {
    pub(super) target: Target,
    pub(super) result: Result<Value, Failure>,
    pub(super) log: Result<Option<LogRef>, (String, std::io::Error)>,
}

/// The dispatcher's end of a call.
pub(super) struct Call {
    stop: watch::Sender<Stop>,
}

impl Call {
    /// Asks the handler to end; never less urgently than before.
    pub(super) fn stop(&self, level: Stop) {
        self.stop.send_if_modified(|present| {
            let more = level > *present;
            if more {
                *present = level;
            }
            more
        });
    }
}

/// Everything a call needs. `context.stop` is replaced by the call's own signal.
pub(super) struct Spec {
    pub(super) target: Target,
    pub(super) handler: Arc<dyn StepHandler>,
    pub(super) context: StepContext,
    pub(super) inputs: Value,
    /// The run's secrets, when its plan has any.
    pub(super) secrets: Option<StepSecrets>,
    pub(super) log: Arc<StepLog>,
}

/// Starts the call; its end arrives on `returned`.
pub(super) fn spawn(spec: Spec, returned: mpsc::UnboundedSender<Returned>) -> Call {
    let (stop, receiver) = watch::channel(Stop::No);
    let escalate = stop.clone();
    tokio::spawn(async move {
        let signal = StopSignal::new(receiver);
        let grace = spec.context.grace;
        let context = StepContext {
            stop: signal.clone(),
            ..spec.context
        };
        let handler = spec.handler;
        let inputs = spec.inputs;
        let secrets = spec.secrets.clone();
        // Its own task, so that a panic ends the step and not the engine.
        let mut work = tokio::spawn(async move {
            let (context, inputs) = match secrets {
                None => (context, inputs),
                Some(secrets) => secrets.put_in(context, inputs).await?,
            };
            handler.run(context, inputs).await
        });
        let ended = tokio::select! {
            ended = &mut work => Some(ended),
            () = give_up(&signal, &escalate, grace) => None,
        };
        let mut result = match ended {
            Some(Ok(result)) => result.map_err(|StepError(failure)| failure),
            Some(Err(error)) => Err(broken(format!("the handler failed inside: {error}"))),
            None => {
                work.abort();
                let _ = work.await;
                Err(cancelled())
            }
        };
        if let Some(secrets) = &spec.secrets {
            secrets.take_out(&mut result);
        }
        let path = spec.log.path().display().to_string();
        // The dispatcher outlives its workers, or nobody wants to know.
        let _ = returned.send(Returned {
            target: spec.target,
            result,
            log: spec.log.close().map_err(|error| (path, error)),
        });
    });
    Call { stop }
}

/// Returns when a handler that was asked to end has had its time: grace, then KILL, then a little more.
async fn give_up(signal: &StopSignal, escalate: &watch::Sender<Stop>, grace: Duration) {
    signal.reached(Stop::Gently).await;
    tokio::select! {
        () = signal.reached(Stop::Now) => {}
        () = tokio::time::sleep(grace + AFTER_KILL) => {
            let _ = escalate.send(Stop::Now);
        }
    }
    tokio::time::sleep(AFTER_KILL).await;
}

fn cancelled() -> Failure {
    Failure {
        sort: FailureKind::Cancelled,
        error: ErrorChain::new("it did not end when it was asked to, and was dropped"),
        hint: None,
        log_tail: Vec::new(),
    }
}

fn broken(message: String) -> Failure {
    Failure {
        sort: FailureKind::Error,
        error: ErrorChain::new(message),
        hint: Some("this is a bug of runbook; please report it".to_owned()),
        log_tail: Vec::new(),
    }
}
