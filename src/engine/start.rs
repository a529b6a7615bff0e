//! Starting and resuming runs.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;

use super::caller::Caller;
use super::control::{Control, RunHandle};
use super::dispatcher::Dispatcher;
use super::error::EngineError;
use super::owner::is_alive;
use super::progress;
use super::survey::Surroundings;
use crate::base::{Clock, EventSeq, RunId};
use crate::event::{Actor, Emergency, EventKind, LastChange, RunEvent};
use crate::handler::HandlerRegistry;
use crate::plan::Plan;
use crate::run::{Limits, RunState};
use crate::secrets::SecretAccess;
use crate::store::{EngineOwner, NewRun, RunStore, StateLayout};

/// Told of events after they became durable. Must not block.
pub type OnDurable = Arc<dyn Fn(&[RunEvent]) + Send + Sync>;

/// What an engine is made of.
#[derive(Clone)]
pub struct EngineParts {
    /// The journal and its index.
    pub store: Arc<dyn RunStore>,
    /// The handlers.
    pub registry: Arc<HandlerRegistry>,
    /// Where the values of secrets are read.
    pub secrets: Arc<SecretAccess>,
    /// Time.
    pub clock: Arc<dyn Clock>,
    /// Root of the runbook repository.
    pub root: Arc<PathBuf>,
    /// Where state is kept.
    pub layout: StateLayout,
    /// This process.
    pub owner: EngineOwner,
    /// Who starts and resumes runs.
    pub actor: Actor,
    /// Version of this program.
    pub version: String,
    /// How long children may take to end after TERM.
    pub grace: Duration,
    /// For followers such as the audit trail.
    pub on_durable: OnDurable,
    /// What a gate looks at again before it lets the run go on; `None`: nothing of it ever changes.
    pub surroundings: Option<Arc<dyn Surroundings>>,
}

/// What is to be known of a run from its start on, beside its plan.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Start {
    /// The person that a bot or a schedule starts it for.
    pub on_behalf_of: Option<String>,
    /// Who changed the runbook's file last.
    pub changed_by: Option<LastChange>,
    /// Why its gates are passed without approval. Whether that is allowed is the caller's to find out.
    pub emergency: Option<Emergency>,
}

/// What a person chose for this driving of a run.
#[derive(Debug, Clone, Copy, Default)]
pub struct RunOptions {
    /// Bounds.
    pub limits: Limits,
    /// Leave the run when it waits only for gates.
    pub detach: bool,
}

/// Starts and resumes runs.
#[derive(Clone)]
pub struct Engine {
    parts: EngineParts,
}

impl Engine {
    /// Puts the parts together.
    pub fn new(parts: EngineParts) -> Self {
        Self { parts }
    }

    /// Creates a run of a plan, durably, and starts to drive it. `source` is the runbook file.
    ///
    /// # Errors
    /// [`EngineError::Journal`] when the run could not be made durable; then nothing was started.
    pub async fn start(
        &self,
        plan: Plan,
        source: String,
        start: Start,
        options: RunOptions,
    ) -> Result<RunHandle, EngineError> {
        let parts = &self.parts;
        let now = parts.clock.now();
        let millis = u64::try_from(now.unix_millis()).unwrap_or(0);
        let run = RunId::from_parts(millis, parts.clock.random());
        let plan = Arc::new(plan);
        let (plan_json, plan_digest) = plan.sealed();
        let mut state = new_state(run, &plan)?;
        let first = RunEvent {
            run,
            seq: EventSeq(1),
            at: now,
            event: EventKind::RunCreated {
                runbook: plan.runbook.name.clone(),
                environment: plan.environment.name.clone(),
                plan_digest,
                actor: parts.actor.clone(),
                version: parts.version.clone(),
                on_behalf_of: start.on_behalf_of,
                changed_by: start.changed_by,
                emergency: start.emergency,
            },
        };
        state.apply(&first)?;
        let record = NewRun {
            id: run,
            runbook: plan.runbook.name.clone(),
            environment: plan.environment.name.clone(),
            created_at: now,
            actor: parts.actor.clone(),
            plan_json,
            plan_digest,
            source,
        };
        parts
            .store
            .create_run(record, first.clone(), parts.owner.clone())
            .await?;
        Ok(self.drive(state, Vec::new(), first, options))
    }

    /// Takes over a run that no living process drives, and goes on with its recorded plan.
    ///
    /// # Errors
    /// [`EngineError::Held`] when a living process drives it, [`EngineError::Finished`] when it is over,
    /// [`EngineError::Damaged`] when its record makes no sense.
    pub async fn resume(&self, run: RunId, options: RunOptions) -> Result<RunHandle, EngineError> {
        let parts = &self.parts;
        let record = parts.store.run(run)?.ok_or(EngineError::Unknown(run))?;
        if let Some(outcome) = record.outcome {
            return Err(EngineError::Finished { run, outcome });
        }
        let dead = match record.owner {
            Some(owner) if is_alive(&owner, &parts.owner.host) => {
                return Err(EngineError::Held { run, owner });
            }
            owner => owner,
        };
        let holder = parts
            .store
            .claim_run(run, parts.owner.clone(), dead)
            .await?;
        if holder != parts.owner {
            return Err(EngineError::Held { run, owner: holder });
        }
        match self.take_over(run, options).await {
            Ok(handle) => Ok(handle),
            Err(error) => {
                // The first error is the one to tell.
                let _ = parts.store.release_run(run, parts.owner.clone()).await;
                Err(error)
            }
        }
    }

    async fn take_over(&self, run: RunId, options: RunOptions) -> Result<RunHandle, EngineError> {
        let parts = &self.parts;
        let damaged = |reason: String| EngineError::Damaged { run, reason };
        let plan = Plan::from_json(&parts.store.plan_json(run)?)
            .map_err(|error| damaged(error.to_string()))?;
        let mut state = new_state(run, &Arc::new(plan))?;
        let history = parts.store.events_after(run, EventSeq(0))?;
        for event in &history {
            state
                .apply(event)
                .map_err(|error| damaged(error.to_string()))?;
        }
        if let Some(outcome) = state.outcome() {
            return Err(EngineError::Finished { run, outcome });
        }
        let resumed = RunEvent {
            run,
            seq: state.last_seq().next(),
            at: parts.clock.now(),
            event: EventKind::RunResumed {
                actor: parts.actor.clone(),
                version: parts.version.clone(),
            },
        };
        state.apply(&resumed)?;
        parts
            .store
            .append(vec![resumed.clone()], state.status())
            .await?;
        Ok(self.drive(state, history, resumed, options))
    }

    /// Drives on after `first`, which is durable already.
    fn drive(
        &self,
        state: RunState,
        history: Vec<RunEvent>,
        first: RunEvent,
        options: RunOptions,
    ) -> RunHandle {
        let run = first.run;
        let plan = Arc::clone(state.plan());
        let (progress, receiver) = progress::channel();
        let (asks, ask_receiver) = mpsc::unbounded_channel();
        (self.parts.on_durable)(std::slice::from_ref(&first));
        progress.event(first);
        let caller = Caller::new(&self.parts, run, &plan);
        let dispatcher = Dispatcher::new(
            self.parts.clone(),
            caller,
            run,
            state,
            options,
            progress,
            ask_receiver,
        );
        RunHandle {
            run,
            plan,
            history,
            progress: receiver,
            control: Control(asks),
            task: tokio::spawn(dispatcher.run()),
        }
    }
}

fn new_state(run: RunId, plan: &Arc<Plan>) -> Result<RunState, EngineError> {
    RunState::new(Arc::clone(plan)).ok_or_else(|| EngineError::Damaged {
        run,
        reason: "its plan has a cycle, an unknown need or an id twice".to_owned(),
    })
}
