//! The repeat sweep against real handlers: every `idempotent` step and every undo is performed twice,
//! and what can be seen after the second time must be what could be seen after the first.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::runtime::Handle;
use tokio::sync::watch;

use super::case::PreparedCase;
use super::driver::{End, simulate};
use super::steps::{PlanSteps, without_keys};
use super::story::story;
use super::sweep::{SweepFinding, SweepReport};
use super::world::{Answer, Called, World, failure};
use crate::base::{Clock, RunId, StepId, Value};
use crate::engine::environment_view;
use crate::event::{Failure, FailureKind, Stream};
use crate::handler::{
    EnvironmentView, HandlerRegistry, LogSink, LogWriter, StepContext, Stop, StopSignal,
};
use crate::language::TestCase;
use crate::model::Effect;
use crate::plan::PlanAction;
use crate::run::{CallKind, IllegalTransition, Target};

/// Limit of a call whose step has none.
const LIMIT: Duration = Duration::from_secs(60);

/// Longest real pause: between polls the time is real, but nobody waits an hour for a vote.
const LONGEST_PAUSE: Duration = Duration::from_secs(1);

/// How long a program may take to end when its time is up.
const GRACE: Duration = Duration::from_secs(5);

/// What real handlers need.
#[derive(Debug, Clone)]
pub struct RealParts {
    /// The handlers.
    pub registry: Arc<HandlerRegistry>,
    /// Root of the repository.
    pub root: Arc<PathBuf>,
    /// A directory of its own, thrown away afterwards.
    pub state_dir: Arc<PathBuf>,
    /// Time.
    pub clock: Arc<dyn Clock>,
    /// Where handlers run. The sweep itself must not run on it.
    pub runtime: Handle,
}

/// Runs a case with real handlers, each repeatable call performed twice.
///
/// # Errors
/// [`IllegalTransition`]: a bug of the core.
pub fn real_repeat_sweep(
    prepared: &PreparedCase,
    parts: &RealParts,
) -> Result<SweepReport, IllegalTransition> {
    let steps = PlanSteps::new(&prepared.plan);
    let mut world = RealWorld {
        case: &prepared.case,
        steps: &steps,
        parts,
        environment: Arc::new(environment_view(&prepared.plan)),
        runbook: Arc::from(prepared.plan.runbook.name.as_str()),
        probes: BTreeMap::new(),
        wrong: Vec::new(),
        calls: 0,
        taken: Duration::ZERO,
    };
    let ran = simulate(&prepared.setup(), &mut world, &[])?;
    let mut wrong = world.wrong;
    if let (End::Finished(outcome), Some(expected)) = (&ran.end, &prepared.case.expect.outcome)
        && outcome.as_str() != expected.value.as_str()
    {
        wrong.push(format!(
            "with real handlers the run ends `{}` instead of `{}`",
            outcome.as_str(),
            expected.value.as_str()
        ));
    }
    let outcome = match &ran.end {
        End::Finished(outcome) => outcome.as_str(),
        _ => "none",
    };
    let story = story(&ran.events);
    Ok(SweepReport {
        kind: "repeat sweep with real handlers",
        runs: world.calls,
        findings: wrong
            .into_iter()
            .map(|message| SweepFinding {
                rule: "repeat",
                message,
                scenario: "performed twice by its handler".to_owned(),
                times: 1,
                story: story.clone(),
            })
            .collect(),
        outcomes: BTreeMap::from([(outcome.to_owned(), 1)]),
    })
}

struct RealWorld<'a> {
    case: &'a TestCase,
    steps: &'a PlanSteps<'a>,
    parts: &'a RealParts,
    environment: Arc<EnvironmentView>,
    runbook: Arc<str>,
    /// The inputs with which the probe of a step was asked.
    probes: BTreeMap<StepId, Value>,
    wrong: Vec<String>,
    calls: usize,
    /// Time that calls took and that the virtual clock has not passed yet.
    taken: Duration,
}

/// Real handlers print; the sweep looks at what they give.
struct Nowhere;

impl LogWriter for Nowhere {
    fn write(&self, _: Stream, _: &[u8]) {}
}

impl World for RealWorld<'_> {
    fn answer(&mut self, called: &Called<'_>) -> Answer {
        let begin = Instant::now();
        let result = match self.steps.action(&called.target.step, called.target.call) {
            Some(action) => self.perform(called, action),
            None => Err(failure(FailureKind::Invalid, Some("there is no such call"))),
        };
        let takes = begin.elapsed();
        self.taken += takes;
        Answer { result, takes }
    }

    fn pass(&mut self, time: Duration) {
        // A call has taken its time already; what is left is waiting for polls, retries and votes.
        let taken = time.min(self.taken);
        self.taken -= taken;
        let pause = (time - taken).min(LONGEST_PAUSE);
        self.parts.runtime.block_on(tokio::time::sleep(pause));
    }
}

impl RealWorld<'_> {
    fn perform(&mut self, called: &Called<'_>, action: &PlanAction) -> Result<Value, Failure> {
        let target = called.target;
        if target.call == CallKind::Probe {
            self.probes
                .insert(target.step.clone(), called.inputs.clone());
        }
        let first = self.call(called, action, called.inputs)?;
        let twice = match target.call {
            CallKind::Probe | CallKind::Read(_) | CallKind::Notice(_) => false,
            CallKind::Action => action.effect == Effect::Idempotent,
            CallKind::Undo => action.effect != Effect::Once,
        };
        if !twice {
            return Ok(first);
        }
        let seen_first = self.probe(called);
        let second = match self.call(called, action, called.inputs) {
            Ok(second) => second,
            Err(failure) => {
                let message = format!(
                    "{} may be repeated, but fails the second time: {}",
                    target, failure.error
                );
                self.wrong.push(message);
                return Ok(first);
            }
        };
        let seen_second = self.probe(called);
        self.compare(target, &action.uses, "gives", &first, &second);
        if let (Some(first), Some(second)) = (seen_first, seen_second) {
            self.compare(target, "", "leaves", &first, &second);
        }
        Ok(second)
    }

    /// What the probe of the step sees now.
    fn probe(&mut self, called: &Called<'_>) -> Option<Value> {
        let step = &called.target.step;
        let inputs = self.probes.get(step)?.clone();
        let action = self.steps.action(step, CallKind::Probe)?;
        self.call(called, action, &inputs).ok()
    }

    fn compare(&mut self, target: &Target, uses: &str, verb: &str, first: &Value, second: &Value) {
        let path = without_keys(&target.step);
        let may_vary: Vec<&str> = self
            .case
            .varies
            .iter()
            .filter(|(id, _)| **id == target.step || id.as_str() == path)
            .flat_map(|(_, (_, names))| names.iter().map(|name| name.value.as_str()))
            .collect();
        let differing: Vec<String> = first
            .as_object()
            .into_iter()
            .flatten()
            .filter(|(name, value)| {
                !may_vary.contains(&name.as_str())
                    && !self.tells_time(uses, name)
                    && second.get(name.as_str()) != Some(value)
            })
            .map(|(name, value)| {
                let now = second.get(name.as_str()).unwrap_or(&Value::Null);
                format!("`{name}` is {now} after {value}")
            })
            .collect();
        if !differing.is_empty() {
            self.wrong.push(format!(
                "{} may be repeated, but {verb} something else the second time: {}; if that is right, name \
                 it under `varies`",
                target,
                differing.join(", ")
            ));
        }
    }

    /// Durations and points in time differ from call to call, and `changed` says just that nothing was to do.
    fn tells_time(&self, uses: &str, output: &str) -> bool {
        if output == "changed" {
            return true;
        }
        let handler = self.parts.registry.get(uses);
        let format = handler.and_then(|handler| {
            handler
                .manifest()
                .output
                .pointer(&format!("/properties/{output}/format"))?
                .as_str()
        });
        matches!(format, Some("duration" | "date-time"))
    }

    fn call(
        &mut self,
        called: &Called<'_>,
        action: &PlanAction,
        inputs: &Value,
    ) -> Result<Value, Failure> {
        self.calls += 1;
        let Some(handler) = self.parts.registry.get(&action.uses).cloned() else {
            let message = format!("this program has no action `{}`", action.uses);
            return Err(failure(FailureKind::Invalid, Some(&message)));
        };
        let (stop, stopped) = watch::channel(Stop::No);
        let run = RunId::from_parts(u64::try_from(called.now.unix_millis()).unwrap_or(0), 0);
        let step = &called.target.step;
        let context = StepContext {
            run,
            runbook: Arc::clone(&self.runbook),
            step: step.clone(),
            attempt: called.attempt,
            idempotency_key: called
                .idempotency_key
                .map_or_else(|| format!("{run}/{step}"), str::to_owned),
            environment: Arc::clone(&self.environment),
            root: Arc::clone(&self.parts.root),
            state_dir: Arc::clone(&self.parts.state_dir),
            log: LogSink::new(Arc::new(Nowhere)),
            stop: StopSignal::new(stopped),
            clock: Arc::clone(&self.parts.clock),
            grace: GRACE,
        };
        let limit = self
            .steps
            .get(step)
            .and_then(|known| known.step.timeout)
            .map_or(LIMIT, |timeout| timeout.0);
        let inputs = inputs.clone();
        self.parts.runtime.block_on(async move {
            let call = handler.run(context, inputs);
            tokio::pin!(call);
            match tokio::time::timeout(limit, &mut call).await {
                Ok(result) => result.map_err(|error| error.0),
                Err(_) => {
                    // Whoever listens has until the grace time is over.
                    let _ = stop.send(Stop::Gently);
                    if tokio::time::timeout(GRACE, &mut call).await.is_err() {
                        let _ = stop.send(Stop::Now);
                        let _ = tokio::time::timeout(GRACE, &mut call).await;
                    }
                    Err(failure(
                        FailureKind::Timeout,
                        Some("took longer than its timeout"),
                    ))
                }
            }
        })
    }
}
