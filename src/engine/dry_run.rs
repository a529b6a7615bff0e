//! `exec --dry-run`: performs the `read` steps for real and shows what the others would do.

use std::collections::BTreeSet;
use std::sync::Arc;

use serde_json::Value;

use super::caller::{Caller, Job};
use super::progress;
use super::start::EngineParts;
use crate::base::{AttemptNo, EventSeq, RunId, StepId, Timestamp};
use crate::event::{EventKind, Failure, RunEvent, SkipReason};
use crate::handler::{Preview, Stop};
use crate::model::Effect;
use crate::plan::{Plan, PlanStep};
use crate::run::{Command, Finished, Limits, RunState, Target, decide, settle};

use super::error::EngineError;

/// What a dry run says of one step.
#[derive(Debug, Clone, PartialEq)]
pub struct DryRunStep {
    /// The step.
    pub step: StepId,
    /// Its name for people.
    pub name: Option<String>,
    /// The action.
    pub uses: String,
    /// The inputs, as far as they are known.
    pub inputs: Value,
    /// What was found.
    pub verdict: DryRunVerdict,
}

/// What a dry run found of a step.
#[derive(Debug, Clone, PartialEq)]
pub enum DryRunVerdict {
    /// A `read` step, performed: its outputs, and whether `until` and `verify` hold already.
    Performed {
        /// Outputs.
        outputs: Value,
        /// Whether its conditions hold now.
        holds: bool,
    },
    /// A `read` step that failed.
    Failed(Failure),
    /// Not performed: what it would do.
    Would(Preview),
    /// It would wait for approval with this message.
    Gate(String),
    /// Its `when` is false.
    Skipped(String),
}

/// Walks the plan once, in order, without a journal. Nothing but `read` steps is performed.
///
/// A step whose inputs or condition use what a step gave that was not performed is `Unknown`, with
/// the reason; it is never left out.
///
/// # Errors
/// [`EngineError`] when the plan is damaged.
pub async fn dry_run(parts: &EngineParts, plan: Plan) -> Result<Vec<DryRunStep>, EngineError> {
    let plan = Arc::new(plan);
    // Its own id, so that two dry runs at once do not share log files.
    let run = RunId::from_parts(0, parts.clock.random());
    let mut walk = Walk {
        state: RunState::new(Arc::clone(&plan)).ok_or_else(|| EngineError::Damaged {
            run,
            reason: "the plan's graph is damaged".to_owned(),
        })?,
        parts,
        run,
        found: Vec::new(),
        told: BTreeSet::new(),
        caller: Caller::new(parts, run, &plan),
    };
    walk.record(EventKind::RunCreated {
        runbook: plan.runbook.name.clone(),
        environment: plan.environment.name.clone(),
        plan_digest: plan.digest(),
        actor: parts.actor.clone(),
        version: parts.version.clone(),
    })?;
    while walk.next().await? {}
    // What performed steps gave is in their outputs; nothing of a dry run is kept.
    let _ = std::fs::remove_dir_all(parts.layout.run_logs(run));
    Ok(walk.found)
}

struct Walk<'a> {
    state: RunState,
    parts: &'a EngineParts,
    run: RunId,
    found: Vec<DryRunStep>,
    told: BTreeSet<StepId>,
    caller: Caller,
}

impl Walk<'_> {
    fn now(&self) -> Timestamp {
        self.parts.clock.now()
    }

    fn record(&mut self, event: EventKind) -> Result<(), EngineError> {
        let event = RunEvent {
            run: self.run,
            seq: EventSeq(self.state.last_seq().0 + 1),
            at: self.now(),
            event,
        };
        Ok(self.state.apply(&event)?)
    }

    /// Deals with one step; false when the plan is walked through.
    async fn next(&mut self) -> Result<bool, EngineError> {
        let commands = decide(&self.state, Limits { max_parallel: 1 }, self.now());
        let Some(command) = commands
            .into_iter()
            .find(|c| matches!(c, Command::Record(_) | Command::Call { .. }))
        else {
            return Ok(false);
        };
        match command {
            Command::Call {
                target,
                intent,
                inputs,
                idempotency_key,
            } => {
                self.record(intent)?;
                self.step(target, inputs, idempotency_key).await?;
            }
            Command::Record(EventKind::StepSkipped { step, reason }) => {
                let condition = match &reason {
                    SkipReason::Condition { condition }
                    | SkipReason::AlreadyDone { condition, .. } => condition.clone(),
                    SkipReason::PartEnded | SkipReason::RunEnded => String::new(),
                };
                self.tell(&step, Value::Null, DryRunVerdict::Skipped(condition));
                self.record(EventKind::StepSkipped { step, reason })?;
            }
            Command::Record(EventKind::GateOpened { step, message, .. }) => {
                self.tell(&step, Value::Null, DryRunVerdict::Gate(message));
                self.pass(&step, Value::Null)?;
            }
            // The inputs or the condition could not be computed.
            Command::Record(EventKind::StepFailed { step, failure, .. }) => {
                let text = failure.error.to_string();
                self.tell(
                    &step,
                    Value::Null,
                    DryRunVerdict::Would(Preview::Unknown(text)),
                );
                self.pass(&step, Value::Null)?;
            }
            Command::Record(EventKind::RunFinished { .. }) => return Ok(false),
            Command::Record(other) => self.record(other)?,
            Command::Stop { .. } | Command::WakeAt(_) => {}
        }
        Ok(true)
    }

    fn tell(&mut self, step: &StepId, inputs: Value, verdict: DryRunVerdict) {
        if let Some(planned) = self.state.plan_step(step)
            && self.told.insert(step.clone())
        {
            self.found.push(DryRunStep {
                step: step.clone(),
                name: planned.name.clone(),
                uses: planned.action.uses.clone(),
                inputs,
                verdict,
            });
        }
    }

    /// Lets the walk go past a step that was not performed.
    fn pass(&mut self, step: &StepId, inputs: Value) -> Result<(), EngineError> {
        if self.state.node(step).is_some_and(|n| n.attempt.0 == 0) {
            self.record(EventKind::StepStarted {
                step: step.clone(),
                attempt: AttemptNo::FIRST,
                inputs,
                idempotency_key: None,
            })?;
        }
        self.done(step, Value::Null)
    }

    fn done(&mut self, step: &StepId, outputs: Value) -> Result<(), EngineError> {
        self.record(EventKind::StepSucceeded {
            step: step.clone(),
            attempt: AttemptNo::FIRST,
            outputs,
            duration_ms: 0,
            log: None,
        })
    }

    async fn step(
        &mut self,
        target: Target,
        inputs: Value,
        idempotency_key: Option<String>,
    ) -> Result<(), EngineError> {
        let step = target.step.clone();
        let (uses, effect) = match self.state.plan_step(&step) {
            Some(PlanStep { action, .. }) => (action.uses.clone(), action.effect),
            None => return Ok(()),
        };
        if effect != Effect::Read {
            let preview = match self.parts.registry.get(&uses) {
                Some(handler) => handler.preview(&self.caller.preview_context(), &inputs),
                None => Preview::Unknown(format!("this program has no action `{uses}`")),
            };
            self.tell(&step, inputs, DryRunVerdict::Would(preview));
            return self.done(&step, Value::Null);
        }
        let (progress, _) = progress::channel();
        let (return_to, mut returned) = tokio::sync::mpsc::unbounded_channel();
        let job = Job {
            target: target.clone(),
            attempt: AttemptNo::FIRST,
            uses,
            inputs: inputs.clone(),
            idempotency_key,
        };
        let call = self.caller.call(job, progress, return_to);
        let timeout = self
            .state
            .plan_step(&step)
            .and_then(|s| s.timeout)
            .map_or(std::time::Duration::from_secs(60), |t| t.0);
        let ended = tokio::select! {
            ended = returned.recv() => ended,
            () = tokio::time::sleep(timeout) => {
                if let Some(call) = call {
                    call.stop(Stop::Gently);
                }
                returned.recv().await
            }
        };
        let result = ended.map_or_else(
            || {
                Err(EngineError::Panicked(
                    "a worker ended without a word".to_owned(),
                ))
            },
            |r| Ok(r.result),
        )?;
        self.performed(target, inputs, result)
    }

    /// Judges a performed step by the same rules as a real run, but lets the walk go on.
    fn performed(
        &mut self,
        target: Target,
        inputs: Value,
        result: Result<Value, Failure>,
    ) -> Result<(), EngineError> {
        let step = target.step.clone();
        let raw = result.clone().unwrap_or(Value::Null);
        let finished = Finished {
            target,
            result,
            log: None,
        };
        let (verdict, outputs) = match settle(&self.state, finished, self.now()) {
            Some(EventKind::StepSucceeded { outputs, .. }) => (
                DryRunVerdict::Performed {
                    outputs: outputs.clone(),
                    holds: true,
                },
                outputs,
            ),
            Some(EventKind::StepPolled { failure: None, .. }) => (
                DryRunVerdict::Performed {
                    outputs: raw.clone(),
                    holds: false,
                },
                raw,
            ),
            Some(
                EventKind::StepPolled {
                    failure: Some(failure),
                    ..
                }
                | EventKind::StepFailed { failure, .. },
            ) => (DryRunVerdict::Failed(failure), raw),
            _ => (DryRunVerdict::Would(Preview::Unknown(String::new())), raw),
        };
        self.tell(&step, inputs, verdict);
        self.done(&step, outputs)
    }
}
