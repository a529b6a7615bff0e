//! The loop around the pure core: one dispatcher drives one run and linearises all that happens to it.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::time::Instant;

use super::caller::{Caller, Job};
use super::control::{Ask, RunEnd};
use super::error::EngineError;
use super::progress::ProgressSender;
use super::start::{EngineParts, RunOptions};
use super::survey::{self, Surveyed};
use super::votes::{Incoming, NotHeard, hear};
use super::worker::{Call, Returned};
use crate::base::{AttemptNo, RunId, StepId, Timestamp, Value};
use crate::event::{EventKind, RunEvent};
use crate::handler::Stop;
use crate::run::{
    CallKind, Command, Finished, NodeStatus, Phase, RunState, Target, decide, settle,
};
use crate::store::RequestKind;

/// How often we look whether another process asked for something.
const LOOK_FOR_REQUESTS: Duration = Duration::from_millis(200);

/// A call that is to be made once its intent is durable.
struct Due {
    target: Target,
    attempt: AttemptNo,
    inputs: Value,
    idempotency_key: Option<String>,
}

pub(super) struct Dispatcher {
    parts: EngineParts,
    caller: Caller,
    run: RunId,
    state: RunState,
    options: RunOptions,
    progress: ProgressSender,
    asks: mpsc::UnboundedReceiver<Ask>,
    returned: mpsc::UnboundedReceiver<Returned>,
    return_to: mpsc::UnboundedSender<Returned>,
    calls: HashMap<Target, Call>,
    surveyed: mpsc::UnboundedReceiver<Surveyed>,
    survey_to: mpsc::UnboundedSender<Surveyed>,
    /// The gates for which the files are read again, and whether something happened at the gate since
    /// then that makes the answer worthless.
    surveys: HashMap<StepId, bool>,
    /// Events that are applied but not durable yet.
    pending: Vec<RunEvent>,
    /// The last request that was looked at; later than the last applied one when some were dropped.
    looked_at: u64,
    store_version: Option<u64>,
    next_look: Instant,
    killed: bool,
    /// A step's output could not be kept: nothing new may start.
    log_failure: Option<EngineError>,
}

impl Dispatcher {
    pub(super) fn new(
        parts: EngineParts,
        caller: Caller,
        run: RunId,
        state: RunState,
        options: RunOptions,
        progress: ProgressSender,
        asks: mpsc::UnboundedReceiver<Ask>,
    ) -> Self {
        let (return_to, returned) = mpsc::unbounded_channel();
        let (survey_to, surveyed) = mpsc::unbounded_channel();
        Self {
            looked_at: state.last_request(),
            parts,
            caller,
            run,
            state,
            options,
            progress,
            asks,
            returned,
            return_to,
            calls: HashMap::new(),
            surveyed,
            survey_to,
            surveys: HashMap::new(),
            pending: Vec::new(),
            store_version: None,
            next_look: Instant::now(),
            killed: false,
            log_failure: None,
        }
    }

    /// Drives the run until it is over, waits and may be left, or cannot go on.
    pub(super) async fn run(mut self) -> Result<RunEnd, EngineError> {
        let mut end = self.drive().await;
        if end.is_err() {
            self.end_calls().await;
        }
        // Whatever happened: let go of the run, so that another process may take it over.
        let released = self
            .parts
            .store
            .release_run(self.run, self.parts.owner.clone())
            .await;
        if end.is_ok()
            && let Err(error) = released
        {
            end = Err(error.into());
        }
        end
    }

    async fn drive(&mut self) -> Result<RunEnd, EngineError> {
        // A vote may have come while no process drove the run.
        self.look_for_requests()?;
        loop {
            let wake = self.step_forward().await?;
            if let Some(end) = self.end() {
                return Ok(end);
            }
            if self.calls.is_empty()
                && let Some(error) = self.log_failure.take()
            {
                return Err(error);
            }
            self.wait(wake).await?;
        }
    }

    fn end(&self) -> Option<RunEnd> {
        if let Some(outcome) = self.state.outcome() {
            return Some(RunEnd::Finished(outcome));
        }
        if !self.calls.is_empty() {
            return None;
        }
        if self.killed {
            return Some(RunEnd::Killed);
        }
        if let Some(step) = self.state.interrupted() {
            return Some(RunEnd::Interrupted(step.clone()));
        }
        if !self.surveys.is_empty() || !self.state.waits_only_for_gates() {
            return None;
        }
        let gates = self.state.open_gates();
        // Nobody sits and waits for a gate that nobody answered in time.
        let left = self.options.detach || gates.iter().all(|gate| gate.parked);
        left.then_some(RunEnd::Waiting(gates))
    }

    /// Decides until nothing more is to be recorded, makes it durable, then acts. Gives the time to wake.
    async fn step_forward(&mut self) -> Result<Option<Timestamp>, EngineError> {
        let mut due: Vec<Due> = Vec::new();
        let mut stops: Vec<Target> = Vec::new();
        let mut surveys: Vec<StepId> = Vec::new();
        let wake = loop {
            if self.killed || self.log_failure.is_some() {
                break None;
            }
            let now = self.parts.clock.now();
            let mut wake = None;
            let mut recorded = false;
            surveys.clear();
            for command in decide(&self.state, self.options.limits, now) {
                match command {
                    Command::Record(event) => {
                        self.record(event, now)?;
                        recorded = true;
                    }
                    Command::Call {
                        target,
                        intent,
                        inputs,
                        idempotency_key,
                    } => {
                        self.record(intent, now)?;
                        recorded = true;
                        due.push(Due {
                            attempt: self.attempt(&target),
                            target,
                            inputs,
                            idempotency_key,
                        });
                    }
                    Command::Stop { target } => stops.push(target),
                    Command::Survey { gate } => surveys.push(gate),
                    Command::WakeAt(at) => wake = Some(at),
                }
            }
            if !recorded {
                break wake;
            }
        };
        self.flush().await?;
        for target in stops {
            if let Some(call) = self.calls.get(&target) {
                call.stop(Stop::Gently);
            }
        }
        for due in due {
            self.call(due);
        }
        for gate in surveys {
            self.survey(gate);
        }
        Ok(wake)
    }

    fn attempt(&self, target: &Target) -> AttemptNo {
        self.state.node(&target.step).map_or(AttemptNo(0), |node| {
            if target.call == CallKind::Undo {
                node.undo_attempt
            } else {
                node.attempt
            }
        })
    }

    fn record(&mut self, event: EventKind, at: Timestamp) -> Result<(), EngineError> {
        let event = RunEvent {
            run: self.run,
            seq: self.state.last_seq().next(),
            at,
            event,
        };
        self.state.apply(&event)?;
        if let EventKind::VoteCast { step, .. }
        | EventKind::GateHeld { step, .. }
        | EventKind::GateVoided { step, .. } = &event.event
            && let Some(outdated) = self.surveys.get_mut(step)
        {
            *outdated = true;
        }
        self.pending.push(event);
        Ok(())
    }

    /// Makes pending events durable and tells the watchers.
    async fn flush(&mut self) -> Result<(), EngineError> {
        if self.pending.is_empty() {
            return Ok(());
        }
        let status = self.state.status();
        self.parts
            .store
            .append(self.pending.clone(), status)
            .await?;
        let events = std::mem::take(&mut self.pending);
        (self.parts.on_durable)(&events);
        for event in events {
            self.progress.event(event);
        }
        Ok(())
    }

    async fn wait(&mut self, wake: Option<Timestamp>) -> Result<(), EngineError> {
        let now = self.parts.clock.now();
        // A busy run must look for requests too, so the next look is an instant, not a pause.
        let until = match wake {
            Some(at) => self.next_look.min(Instant::now() + at.since(now)),
            None => self.next_look,
        };
        tokio::select! {
            biased;
            Some(ask) = self.asks.recv() => self.asked(ask)?,
            Some(first) = self.returned.recv() => {
                self.take(first)?;
                // Ends that arrived together share one flush.
                while let Ok(next) = self.returned.try_recv() {
                    self.take(next)?;
                }
            }
            Some(surveyed) = self.surveyed.recv() => self.looked_around(surveyed)?,
            () = tokio::time::sleep_until(until) => {}
        }
        if Instant::now() >= self.next_look {
            self.look_for_requests()?;
            self.next_look = Instant::now() + LOOK_FOR_REQUESTS;
        }
        Ok(())
    }

    fn take(&mut self, returned: Returned) -> Result<(), EngineError> {
        self.calls.remove(&returned.target);
        let now = self.parts.clock.now();
        let log = match returned.log {
            Ok(log) => log,
            Err((path, source)) => {
                self.log_failure.get_or_insert(EngineError::Log {
                    step: returned.target.step.to_string(),
                    path,
                    source,
                });
                None
            }
        };
        let finished = Finished {
            target: returned.target,
            result: returned.result,
            log,
        };
        if let Some(event) = settle(&self.state, finished, now) {
            self.record(event, now)?;
        }
        Ok(())
    }

    fn asked(&mut self, ask: Ask) -> Result<(), EngineError> {
        let now = self.parts.clock.now();
        match ask {
            Ask::Cancel { actor, reason } => self.record(
                EventKind::CancelRequested {
                    actor,
                    reason,
                    request: None,
                },
                now,
            ),
            Ask::Kill => {
                self.killed = true;
                for call in self.calls.values() {
                    call.stop(Stop::Now);
                }
                Ok(())
            }
            Ask::Vote {
                step,
                actor,
                ballot,
            } => self.voted(Incoming {
                step,
                actor,
                ballot,
                request: None,
            }),
        }
    }

    /// Records a vote at an open gate, at once, whatever is being found out about the gate meanwhile.
    fn voted(&mut self, vote: Incoming) -> Result<(), EngineError> {
        if !self.gate_is_open(&vote.step) {
            return Ok(());
        }
        match hear(&self.state, vote) {
            Ok(cast) => self.record(cast, self.parts.clock.now()),
            Err(NotHeard::Late) => Ok(()),
            Err(NotHeard::Forged(words)) => {
                tracing::warn!(run = %self.run, "{words}");
                self.progress.warning(words);
                Ok(())
            }
        }
    }

    /// Has the files read again for a gate, unless somebody is at it.
    fn survey(&mut self, gate: StepId) {
        if self.surveys.contains_key(&gate) {
            return;
        }
        let mut plan = Arc::clone(self.state.plan());
        let in_force = self.state.policy();
        if in_force != plan.policy.as_deref() {
            // The votes are judged by this policy, so it is this one that must not have changed: also
            // going back to the first one is a change.
            let policy = in_force.cloned().map(Box::new);
            Arc::make_mut(&mut plan).policy = policy;
        }
        self.surveys.insert(gate.clone(), false);
        let surroundings = self.parts.surroundings.clone();
        survey::spawn(surroundings, plan, gate, self.survey_to.clone());
    }

    /// What was found is of use only when nothing happened at the gate since the look began; else the
    /// core asks for another.
    fn looked_around(&mut self, surveyed: Surveyed) -> Result<(), EngineError> {
        let outdated = self.surveys.remove(&surveyed.gate).unwrap_or(true);
        if outdated || self.killed || !self.gate_is_open(&surveyed.gate) {
            return Ok(());
        }
        self.record(surveyed.event, self.parts.clock.now())
    }

    fn gate_is_open(&self, step: &StepId) -> bool {
        self.state
            .node(step)
            .is_some_and(|node| matches!(node.status, NodeStatus::Gate { .. }))
    }

    /// Applies what other processes asked for since the last look.
    fn look_for_requests(&mut self) -> Result<(), EngineError> {
        let version = self.parts.store.data_version()?;
        if self.store_version.replace(version) == Some(version) {
            return Ok(());
        }
        for request in self.parts.store.requests_after(self.run, self.looked_at)? {
            self.looked_at = request.id;
            let now = self.parts.clock.now();
            match request.kind {
                RequestKind::Cancel { reason } if self.state.phase() == Phase::Forward => self
                    .record(
                        EventKind::CancelRequested {
                            actor: request.actor,
                            reason,
                            request: Some(request.id),
                        },
                        now,
                    )?,
                RequestKind::Vote {
                    gate: Some(step),
                    ballot,
                } => self.voted(Incoming {
                    step,
                    actor: request.actor,
                    ballot,
                    request: Some(request.id),
                })?,
                // The gate closed, or the run wound down, before the request was seen.
                RequestKind::Cancel { .. } | RequestKind::Vote { .. } => {}
            }
        }
        Ok(())
    }

    fn call(&mut self, due: Due) {
        let Some(uses) = self.state.uses_of(&due.target).map(str::to_owned) else {
            return;
        };
        let target = due.target.clone();
        let job = Job {
            idempotency_key: due.idempotency_key.or_else(|| self.key_of_notice(&target)),
            target: due.target,
            attempt: due.attempt,
            uses,
            inputs: due.inputs,
        };
        let call = self
            .caller
            .call(job, self.progress.clone(), self.return_to.clone());
        self.calls.extend(call.map(|call| (target, call)));
    }

    /// A gate may open again, and then the same level is told another thing.
    fn key_of_notice(&self, target: &Target) -> Option<String> {
        let CallKind::Notice(level) = target.call else {
            return None;
        };
        let round = self.state.electorate(&target.step)?.round;
        let (run, step) = (self.run, &target.step);
        Some(format!("{run}/{step}/notice-{level}/round-{round}"))
    }

    /// The journal failed: end what runs, so that no child outlives its step, and keep what can be kept.
    async fn end_calls(&mut self) {
        for call in self.calls.values() {
            call.stop(Stop::Gently);
        }
        while !self.calls.is_empty() {
            let Some(returned) = self.returned.recv().await else {
                break;
            };
            if self.take(returned).is_err() {
                break;
            }
        }
        // Best effort: the journal may be back; if not, a resume finds these steps started and asks.
        let _ = self.flush().await;
    }
}
