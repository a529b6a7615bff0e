//! The engine's loop without the engine: the pure core on a virtual clock, nothing performed.
//!
//! Everything that is due next is derived from the events, so that a run can be cut after any event
//! and gone on with, as after a crash.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use super::steps::without_keys;
use super::votes::{TESTER, actor};
use super::world::{Called, SecondLook, World, failure};
use crate::base::{AttemptNo, Digest, EventSeq, RunId, StepId, Timestamp, Value};
use crate::event::{Ballot, EventKind, Failure, FailureKind, Outcome, RunEvent};
use crate::language::{TestCancel, TestVote};
use crate::plan::Plan;
use crate::run::{
    CallKind, Command, Finished, IllegalTransition, Limits, RunState, Target, decide, settle,
};

/// Most events of a simulated run; more is a run that never ends.
const MAX_EVENTS: usize = 100_000;

/// The instant at which simulated runs begin: 2026-01-01T00:00:00Z.
pub(super) const BEGIN: Timestamp = Timestamp::from_unix_millis(1_767_225_600_000);

/// What is simulated.
#[derive(Debug, Clone)]
pub(super) struct Setup {
    /// The plan.
    pub(super) plan: Arc<Plan>,
    /// Its digest, to which the votes are bound.
    pub(super) digest: Digest,
    /// Votes at gates.
    pub(super) votes: Vec<TestVote>,
    /// When it is cancelled.
    pub(super) cancel: Option<Cancel>,
    /// How much may run at once.
    pub(super) limits: Limits,
}

/// When somebody cancels.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Cancel {
    /// As the case says.
    Case(TestCancel),
    /// Instead of the event at this position, which then comes after it if it still comes.
    BeforeEvent(u64),
}

/// A call that was made.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Made {
    /// What for.
    pub(super) target: Target,
    /// Which attempt.
    pub(super) attempt: AttemptNo,
    /// The rendered inputs.
    pub(super) inputs: Value,
    /// How many events there were then, the intent included.
    pub(super) after: usize,
}

/// How a simulated run came to rest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum End {
    /// It is over.
    Finished(Outcome),
    /// It waits at these gates.
    Waiting(Vec<StepId>),
    /// A person must say whether this step ran.
    Interrupted(StepId),
    /// It was cut.
    Cut,
    /// It would go on for ever.
    Endless,
    /// Nothing is due, and yet it is not over.
    Idle,
}

/// A simulated run.
#[derive(Debug, Clone)]
pub(super) struct Ran {
    /// Its events.
    pub(super) events: Vec<RunEvent>,
    /// The calls that were made, in order; with those of an earlier part only when they were given.
    pub(super) made: Vec<Made>,
    /// How it came to rest.
    pub(super) end: End,
}

struct Pending {
    target: Target,
    due: Timestamp,
    result: Result<Value, Failure>,
}

struct Driver<'a> {
    setup: &'a Setup,
    world: &'a mut dyn World,
    state: RunState,
    events: Vec<RunEvent>,
    now: Timestamp,
    pending: Vec<Pending>,
    made: Vec<Made>,
    answered: HashMap<Target, usize>,
    opened: HashMap<StepId, (Timestamp, usize)>,
    cancelled: bool,
}

/// What a step of the loop led to.
enum Flow {
    On,
    /// The picture changed under the commands that are left.
    Again,
}

impl Ran {
    /// The run as it stood when it had so many events: what a crash leaves.
    pub(super) fn until(&self, cut: usize) -> Self {
        Self {
            events: self.events[..cut.min(self.events.len())].to_vec(),
            made: self
                .made
                .iter()
                .filter(|made| made.after <= cut)
                .cloned()
                .collect(),
            end: End::Cut,
        }
    }
}

/// Runs a plan from its beginning, or on from `earlier` events as after a crash, until it comes to rest.
///
/// # Errors
/// [`IllegalTransition`] when the core contradicts itself, or the earlier events do: a bug.
pub(super) fn simulate(
    setup: &Setup,
    world: &mut dyn World,
    earlier: &[RunEvent],
) -> Result<Ran, IllegalTransition> {
    let mut driver = Driver {
        state: RunState::new(Arc::clone(&setup.plan)).ok_or_else(damaged)?,
        setup,
        world,
        events: Vec::new(),
        now: BEGIN,
        pending: Vec::new(),
        made: Vec::new(),
        answered: HashMap::new(),
        opened: HashMap::new(),
        cancelled: false,
    };
    let first = if earlier.is_empty() {
        EventKind::RunCreated {
            runbook: setup.plan.runbook.name.clone(),
            environment: setup.plan.environment.name.clone(),
            plan_digest: setup.digest,
            actor: actor(TESTER, false),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            on_behalf_of: None,
            changed_by: None,
            emergency: None,
        }
    } else {
        for event in earlier {
            driver.take(event.clone())?;
        }
        driver.now = earlier.last().map_or(BEGIN, |event| event.at);
        EventKind::RunResumed {
            actor: actor(TESTER, false),
            version: env!("CARGO_PKG_VERSION").to_owned(),
        }
    };
    driver.append(first)?;
    let end = driver.drive()?;
    Ok(Ran {
        events: driver.events,
        made: driver.made,
        end,
    })
}

fn damaged() -> IllegalTransition {
    IllegalTransition {
        seq: EventSeq(0),
        event: "run_created",
        step: None,
        reason: "the plan is damaged".to_owned(),
    }
}

impl Driver<'_> {
    fn drive(&mut self) -> Result<End, IllegalTransition> {
        let mut idle_rounds = 0;
        loop {
            let before = self.events.len();
            let wake = self.decide_all()?;
            if let Some(outcome) = self.state.outcome() {
                return Ok(End::Finished(outcome));
            }
            if self.events.len() > MAX_EVENTS {
                return Ok(End::Endless);
            }
            idle_rounds = if self.events.len() > before {
                0
            } else {
                idle_rounds + 1
            };
            match self.next(wake)? {
                None => return Ok(self.at_rest()),
                // Time that does not move and a core that does nothing would go on like this for ever.
                Some(_) if idle_rounds > 10_000 => return Ok(End::Idle),
                Some(_) => {}
            }
        }
    }

    fn at_rest(&self) -> End {
        let gates = self.state.open_gates();
        match self.state.interrupted() {
            Some(step) => End::Interrupted(step.clone()),
            None if !gates.is_empty() => End::Waiting(gates.into_iter().map(|g| g.step).collect()),
            None => End::Idle,
        }
    }

    /// Decides to the fixpoint. Gives the time to decide again, if any.
    fn decide_all(&mut self) -> Result<Option<Timestamp>, IllegalTransition> {
        loop {
            let mut wake = None;
            let mut changed = false;
            for command in decide(&self.state, self.setup.limits, self.now) {
                let flow = match command {
                    Command::Record(event) => {
                        changed = true;
                        self.record(event)?
                    }
                    Command::Call {
                        target,
                        intent,
                        inputs,
                        idempotency_key,
                    } => {
                        changed = true;
                        self.call(target, intent, inputs, idempotency_key)?
                    }
                    Command::Stop { target } => {
                        self.stop(&target);
                        Flow::On
                    }
                    Command::Survey { gate } => {
                        changed = true;
                        self.record(EventKind::GateSurveyed {
                            step: gate,
                            plan_digest: Some(self.setup.digest),
                            differences: Vec::new(),
                            policy: Value::Null,
                        })?
                    }
                    Command::WakeAt(at) => {
                        wake = Some(at);
                        Flow::On
                    }
                };
                match flow {
                    Flow::On => {}
                    Flow::Again => break,
                }
            }
            if !changed || self.events.len() > MAX_EVENTS {
                return Ok(wake);
            }
        }
    }

    fn call(
        &mut self,
        target: Target,
        intent: EventKind,
        inputs: Value,
        key: Option<String>,
    ) -> Result<Flow, IllegalTransition> {
        let attempt = match &intent {
            EventKind::StepStarted { attempt, .. }
            | EventKind::StepPollStarted { attempt, .. }
            | EventKind::UndoStarted { attempt, .. } => *attempt,
            _ => AttemptNo(0),
        };
        let again = match &intent {
            EventKind::GateReadStarted { read, .. } => Some(read.clone()),
            _ => None,
        };
        let flow = self.record(intent)?;
        if matches!(flow, Flow::Again) {
            return Ok(flow);
        }
        let answered = |target: &Target| self.answered.get(target).copied().unwrap_or(0);
        let again = again.map(|step| SecondLook {
            answered: answered(&Target {
                step: step.clone(),
                call: CallKind::Action,
            }),
            first_at: self.state.node(&step).and_then(|node| node.started_at),
            step,
        });
        let answer = self.world.answer(&Called {
            target: &target,
            attempt,
            answered: answered(&target),
            again: again.as_ref(),
            inputs: &inputs,
            idempotency_key: key.as_deref(),
            now: self.now,
        });
        self.made.push(Made {
            target: target.clone(),
            attempt,
            inputs,
            after: self.events.len(),
        });
        self.pending.push(Pending {
            target,
            due: self.now.plus(answer.takes),
            result: answer.result,
        });
        Ok(flow)
    }

    fn stop(&mut self, target: &Target) {
        for call in self
            .pending
            .iter_mut()
            .filter(|call| call.target == *target)
        {
            call.due = self.now;
            call.result = Err(failure(
                FailureKind::Cancelled,
                Some("ended when it was asked to"),
            ));
        }
    }

    /// Moves the clock to what is due next, and lets it happen. `None`: nothing is due any more.
    fn next(&mut self, wake: Option<Timestamp>) -> Result<Option<Flow>, IllegalTransition> {
        enum Due {
            Cancel,
            Vote(StepId, usize),
            Call(usize),
            Wake,
        }
        let mut all: Vec<(Timestamp, Due)> = Vec::new();
        if let Some(at) = self.cancel_at() {
            all.push((at, Due::Cancel));
        }
        all.extend(
            self.due_votes()
                .map(|(at, gate, vote)| (at, Due::Vote(gate, vote))),
        );
        let first_call = self
            .pending
            .iter()
            .enumerate()
            .min_by_key(|(_, call)| call.due);
        all.extend(first_call.map(|(at, call)| (call.due, Due::Call(at))));
        all.extend(wake.map(|at| (at, Due::Wake)));
        // The first of those with the earliest time, so the order above is what breaks a tie.
        let Some((at, due)) = all.into_iter().min_by_key(|(at, _)| *at) else {
            return Ok(None);
        };
        if at > self.now {
            self.world.pass(at.since(self.now));
            self.now = at;
        }
        let flow = match due {
            Due::Cancel => self.append_cancel()?,
            Due::Vote(gate, vote) => self.vote(gate, vote)?,
            Due::Call(at) => {
                let call = self.pending.remove(at);
                self.finish(call)?
            }
            Due::Wake => Flow::On,
        };
        Ok(Some(flow))
    }

    fn finish(&mut self, call: Pending) -> Result<Flow, IllegalTransition> {
        let finished = |result| Finished {
            target: call.target.clone(),
            result,
            log: None,
        };
        let Some(event) = settle(&self.state, finished(call.result.clone()), self.now) else {
            return Ok(Flow::On);
        };
        match self.record(event)? {
            Flow::Again => match settle(&self.state, finished(call.result), self.now) {
                Some(event) => self.record(event),
                None => Ok(Flow::On),
            },
            flow => Ok(flow),
        }
    }

    fn cancel_at(&self) -> Option<Timestamp> {
        match &self.setup.cancel {
            Some(Cancel::Case(TestCancel::After(after))) if !self.cancelled => {
                Some(self.state.created_at().plus(*after))
            }
            _ => None,
        }
    }

    /// The next scripted vote of every open gate.
    fn due_votes(&self) -> impl Iterator<Item = (Timestamp, StepId, usize)> {
        self.state.open_gates().into_iter().filter_map(|gate| {
            // Whoever votes sees what became of the votes before.
            let looks = |call: &Pending| {
                call.target.step == gate.step && matches!(call.target.call, CallKind::Read(_))
            };
            if self.pending.iter().any(looks) {
                return None;
            }
            let (opened, cast) = *self.opened.get(&gate.step)?;
            let (at, vote) = self
                .setup
                .votes
                .iter()
                .enumerate()
                .filter(|(_, vote)| names(&vote.gate.value, &gate.step))
                .nth(cast)?;
            Some((opened.plus(vote.after), gate.step, at))
        })
    }

    fn vote(&mut self, gate: StepId, vote: usize) -> Result<Flow, IllegalTransition> {
        let Some(vote) = self.setup.votes.get(vote) else {
            return Ok(Flow::On);
        };
        let by = vote.by.as_deref().unwrap_or(TESTER);
        let verified = self.setup.plan.policy.is_some();
        let inputs = vote.inputs.iter();
        let ballot = Ballot {
            round: self.state.electorate(&gate).map_or(1, |open| open.round),
            to: vote.to.as_ref().map(|to| to.value.clone()),
            inputs: inputs
                .map(|(name, (_, value))| (name.clone(), value.to_json()))
                .collect(),
            ..Ballot::plain(vote.vote, self.setup.digest, vote.comment.clone())
        };
        self.record(ballot.cast(gate, actor(by, verified), None))
    }

    /// Records an event, or the cancelling that the setup wants to come before it.
    fn record(&mut self, event: EventKind) -> Result<Flow, IllegalTransition> {
        if !self.cancelled && self.cancels_before(&event) {
            return self.append_cancel();
        }
        self.append(event)?;
        Ok(Flow::On)
    }

    fn cancels_before(&self, event: &EventKind) -> bool {
        match &self.setup.cancel {
            Some(Cancel::BeforeEvent(seq)) => self.events.len() as u64 + 1 >= *seq,
            Some(Cancel::Case(TestCancel::Before(step))) => match event {
                EventKind::StepStarted { step: started, .. }
                | EventKind::StepProbeStarted { step: started, .. }
                | EventKind::StepExpanded { step: started, .. }
                | EventKind::GateOpened { step: started, .. } => names(step, started),
                _ => false,
            },
            _ => false,
        }
    }

    fn append_cancel(&mut self) -> Result<Flow, IllegalTransition> {
        self.append(EventKind::CancelRequested {
            actor: actor(TESTER, false),
            reason: None,
            request: None,
        })?;
        Ok(Flow::Again)
    }

    fn append(&mut self, event: EventKind) -> Result<(), IllegalTransition> {
        self.take(RunEvent {
            run: RunId::from_parts(1_767_225_600_000, 0),
            seq: EventSeq(self.events.len() as u64 + 1),
            at: self.now,
            event,
        })
    }

    fn take(&mut self, event: RunEvent) -> Result<(), IllegalTransition> {
        self.state.apply(&event)?;
        match &event.event {
            EventKind::CancelRequested { .. } => self.cancelled = true,
            EventKind::GateOpened { step, .. } => {
                self.opened.insert(step.clone(), (event.at, 0));
            }
            EventKind::VoteCast { step, .. } => {
                if let Some((_, cast)) = self.opened.get_mut(step) {
                    *cast += 1;
                }
            }
            // A second look is one more answer of the step that is looked at.
            EventKind::GateRead { step, read, .. } => {
                let target = Target {
                    step: read.clone(),
                    call: CallKind::Action,
                };
                let reads = self
                    .state
                    .plan_step(step)
                    .and_then(|gate| gate.gate.as_ref());
                let at = reads.and_then(|gate| {
                    let local = |id: &StepId| read.as_str().rsplit('/').next() == Some(id.as_str());
                    gate.reads.iter().position(local)
                });
                let call = Target {
                    step: step.clone(),
                    call: CallKind::Read(at.and_then(|at| u32::try_from(at).ok()).unwrap_or(0)),
                };
                *self.answered.entry(target).or_default() += 1;
                *self.answered.entry(call).or_default() += 1;
            }
            other => {
                if let Some(target) = answered(other) {
                    *self.answered.entry(target).or_default() += 1;
                }
            }
        }
        self.events.push(event);
        Ok(())
    }
}

/// Whether a written id means this step of a run: itself, or every instance of it.
pub(super) fn names(written: &StepId, step: &StepId) -> bool {
    written == step || written.as_str() == without_keys(step)
}

/// The target whose call an event ends.
pub(super) fn answered(event: &EventKind) -> Option<Target> {
    let (step, call) = match event {
        EventKind::StepPolled { step, .. } | EventKind::StepSucceeded { step, .. } => {
            (step, CallKind::Action)
        }
        EventKind::StepFailed { step, attempt, .. } if attempt.0 > 0 => (step, CallKind::Action),
        EventKind::StepProbed { step, .. } => (step, CallKind::Probe),
        EventKind::UndoSucceeded { step, .. } => (step, CallKind::Undo),
        EventKind::UndoFailed { step, attempt, .. } if attempt.0 > 0 => (step, CallKind::Undo),
        _ => return None,
    };
    Some(Target {
        step: step.clone(),
        call,
    })
}

/// From the first event to the last.
pub(super) fn elapsed(events: &[RunEvent]) -> Duration {
    match (events.first(), events.last()) {
        (Some(first), Some(last)) => last.at.since(first.at),
        _ => Duration::ZERO,
    }
}
