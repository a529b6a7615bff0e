//! What the simulated handlers give: scripted results, defaults for the rest.

use std::time::Duration;

use super::defaults::default_outputs;
use super::steps::{PlanSteps, without_keys};
use crate::base::{AttemptNo, ErrorChain, Map, StepId, Timestamp, Value, parse_duration};
use crate::event::{Failure, FailureKind};
use crate::handlers::asserted_equal;
use crate::language::{Scripts, TestCase, TestReply};
use crate::model::ActionCatalog;
use crate::run::{CallKind, Target};

/// How long a call takes when nothing else is said.
const TAKES: Duration = Duration::from_millis(1);

/// A call of a handler.
#[derive(Debug, Clone)]
pub(super) struct Called<'a> {
    /// What for.
    pub(super) target: &'a Target,
    /// Which attempt.
    pub(super) attempt: AttemptNo,
    /// How many calls for this target have ended before, as the journal knows it: a call that was
    /// lost in a crash does not count, so that the same answer is given when it is made again.
    pub(super) answered: usize,
    /// Of a gate that looks again: what at.
    pub(super) again: Option<&'a SecondLook>,
    /// The rendered inputs.
    pub(super) inputs: &'a Value,
    /// What tells the other side that two calls are one.
    pub(super) idempotency_key: Option<&'a str>,
    /// When.
    pub(super) now: Timestamp,
}

/// A `read` step that a gate asks again.
#[derive(Debug, Clone)]
pub(super) struct SecondLook {
    /// That step.
    pub(super) step: StepId,
    /// How often it has answered.
    pub(super) answered: usize,
    /// When it was asked first.
    pub(super) first_at: Option<Timestamp>,
}

/// What a call gives.
#[derive(Debug, Clone)]
pub(super) struct Answer {
    /// Outputs or failure.
    pub(super) result: Result<Value, Failure>,
    /// How long it takes.
    pub(super) takes: Duration,
}

/// Everything outside of the engine.
pub(super) trait World {
    /// Performs a call.
    fn answer(&mut self, called: &Called<'_>) -> Answer;

    /// Lets time pass. The virtual clock has moved already.
    fn pass(&mut self, _time: Duration) {}
}

/// Answers from the script of a case.
#[derive(Debug)]
pub(super) struct ScriptedWorld<'a> {
    case: &'a TestCase,
    steps: &'a PlanSteps<'a>,
    catalog: &'a ActionCatalog,
}

impl<'a> ScriptedWorld<'a> {
    /// The world of a case.
    pub(super) fn new(
        case: &'a TestCase,
        steps: &'a PlanSteps<'a>,
        catalog: &'a ActionCatalog,
    ) -> Self {
        Self {
            case,
            steps,
            catalog,
        }
    }

    fn outputs(&self, called: &Called<'_>, scripted: Option<&TestReply>) -> Value {
        let action = self.steps.action(&called.target.step, called.target.call);
        let schema = action.and_then(|action| self.catalog.get(&action.uses));
        let mut outputs = schema.map_or_else(
            || Value::Object(Map::new()),
            |manifest| default_outputs(&manifest.output, called.inputs, called.now),
        );
        let given = scripted.and_then(|reply| reply.outputs.as_ref());
        if let (Value::Object(all), Some(Value::Object(given))) =
            (&mut outputs, given.map(|given| given.to_json()))
        {
            all.extend(given);
        }
        outputs
    }
}

impl ScriptedWorld<'_> {
    /// The next reply of the step that is asked again, or the last; without a script the same as before.
    fn look_again(&mut self, called: &Called<'_>, again: &SecondLook) -> Answer {
        let target = Target {
            step: again.step.clone(),
            call: CallKind::Action,
        };
        let last = || {
            let (_, replies) = self.case.steps.get(script_key(self.case, &target)?)?;
            Some(
                replies
                    .iter()
                    .map(|reply| reply.times.unwrap_or(1) as usize)
                    .sum::<usize>(),
            )
        };
        let none_left = reply(self.case, &target, again.answered).is_none();
        let answered = match last().filter(|_| none_left) {
            Some(replies) => replies.saturating_sub(1),
            None => again.answered,
        };
        let answer = self.answer(&Called {
            target: &target,
            answered,
            again: None,
            now: again.first_at.unwrap_or(called.now),
            ..called.clone()
        });
        // It takes no time, so that a run in which a crash makes it be repeated is not a longer one.
        Answer {
            takes: Duration::ZERO,
            ..answer
        }
    }
}

impl World for ScriptedWorld<'_> {
    fn answer(&mut self, called: &Called<'_>) -> Answer {
        if let Some(again) = called.again {
            return self.look_again(called, again);
        }
        let reply = reply(self.case, called.target, called.answered);
        let action = self.steps.action(&called.target.step, called.target.call);
        let uses = action.map_or("", |action| action.uses.as_str());
        let takes = reply
            .and_then(|reply| reply.takes)
            .or_else(|| waited(uses, called.inputs))
            .unwrap_or(TAKES);
        let result = match reply.and_then(|reply| Some((reply, reply.fails.as_ref()?))) {
            Some((reply, sort)) => Err(failure(sort.value, reply.message.as_deref())),
            None if uses == "assert" && reply.is_none() => {
                asserted(called.inputs).map(|()| self.outputs(called, None))
            }
            None => Ok(self.outputs(called, reply)),
        };
        Answer { result, takes }
    }
}

/// The scripts of one kind of call.
pub(super) fn scripts(case: &TestCase, call: CallKind) -> &Scripts {
    match call {
        CallKind::Action | CallKind::Read(_) | CallKind::Notice(_) => &case.steps,
        CallKind::Probe => &case.probes,
        CallKind::Undo => &case.undo,
    }
}

/// The key under which a target is scripted: its own id, or its path without the keys of loops.
pub(super) fn script_key<'a>(case: &'a TestCase, target: &Target) -> Option<&'a StepId> {
    let scripts = scripts(case, target.call);
    scripts
        .get_key_value(&target.step)
        .or_else(|| {
            let path = StepId::parse(&without_keys(&target.step)).ok()?;
            scripts.get_key_value(&path)
        })
        .map(|(id, _)| id)
}

fn reply<'a>(case: &'a TestCase, target: &Target, answered: usize) -> Option<&'a TestReply> {
    let (_, replies) = scripts(case, target.call).get(script_key(case, target)?)?;
    let mut before = 0;
    for (at, reply) in replies.iter().enumerate() {
        let last = at + 1 == replies.len();
        match reply.times {
            None if last => return Some(reply),
            times => before += times.unwrap_or(1) as usize,
        }
        if answered < before {
            return Some(reply);
        }
    }
    None
}

/// A scripted failure.
pub(super) fn failure(sort: FailureKind, message: Option<&str>) -> Failure {
    Failure {
        sort,
        error: ErrorChain::new(message.unwrap_or("failed, as the test says")),
        hint: None,
        log_tail: Vec::new(),
    }
}

/// `wait` lets as much time pass as it is told to.
fn waited(uses: &str, inputs: &Value) -> Option<Duration> {
    match uses {
        "wait" => parse_duration(inputs.get("duration")?.as_str()?).ok(),
        _ => None,
    }
}

/// `assert` has no effect, so it is judged as it is in a run.
fn asserted(inputs: &Value) -> Result<(), Failure> {
    let that = inputs.get("that").unwrap_or(&Value::Null);
    let equals = inputs.get("equals").unwrap_or(&Value::Bool(true));
    if asserted_equal(that, equals) {
        return Ok(());
    }
    let message = inputs.get("message").and_then(Value::as_str);
    let mut failure = failure(
        FailureKind::Verify,
        message.or(Some("the assertion does not hold")),
    );
    failure
        .error
        .causes
        .push(format!("found {that}, expected {equals}"));
    Err(failure)
}
