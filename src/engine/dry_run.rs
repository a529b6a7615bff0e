//! `exec --dry-run`: performs the `read` steps for real and shows what the others would do.

use std::sync::Arc;

use serde_json::{Value, json};

use super::caller::{Caller, Job};
use super::dry_scope::{Frame, Left, Seen};
use super::error::EngineError;
use super::progress;
use super::start::EngineParts;
use crate::base::{AttemptNo, Map, RunId, StepId};
use crate::event::{Failure, FailureKind};
use crate::handler::{BoxFuture, Preview, StepError, Stop};
use crate::model::Effect;
use crate::plan::{
    MAX_INSTANCES, Plan, PlanAction, PlanBlock, PlanForEach, PlanPart, PlanStep, PlanUnless, graph,
    instance_keys,
};
use crate::run::{CallKind, Target};

/// Waiting is left out: nothing was done that needs the time.
const WAIT: &str = "wait";
/// A gate.
const APPROVAL: &str = "approval";
/// How long a call may take whose step has no `timeout`.
const LIMIT: std::time::Duration = std::time::Duration::from_secs(60);

/// What a dry run says of one step, of an instance of a loop, or of a loop or sub-runbook as a whole,
/// which then stands before what belongs to it.
#[derive(Debug, Clone, PartialEq)]
pub struct DryRunStep {
    /// The step's full id.
    pub step: StepId,
    /// Its name for people.
    pub name: Option<String>,
    /// The action.
    pub uses: String,
    /// Which list of its own runbook it stands in.
    pub part: PlanPart,
    /// The inputs, as far as they are known. Secrets are markers.
    pub inputs: Value,
    /// Whether something was left out that comes before it, so that it may find things otherwise.
    pub as_now: bool,
    /// What was found.
    pub verdict: DryRunVerdict,
}

impl DryRunStep {
    /// Whether a real run would fail here too: it read, it did not find what must be, and nothing that
    /// comes before it was left out.
    pub fn failed(&self) -> bool {
        !self.as_now
            && matches!(
                self.verdict,
                DryRunVerdict::Failed(_) | DryRunVerdict::Unmet { .. }
            )
    }
}

/// What a dry run found of a step.
#[derive(Debug, Clone, PartialEq)]
pub enum DryRunVerdict {
    /// A `read` step, performed: its outputs.
    Performed {
        /// Outputs.
        outputs: Value,
        /// The `until` that does not hold yet: a run would ask again.
        waits_for: Option<String>,
    },
    /// A `read` step, performed, whose `verify` does not hold.
    Unmet {
        /// Outputs.
        outputs: Value,
        /// The condition.
        verify: String,
    },
    /// A `read` step or a probe that failed, or an expression without a value.
    Failed(Failure),
    /// Not performed: what it would do.
    Would(Preview),
    /// It would wait for approval with this message.
    Gate(String),
    /// Its `when` is false.
    Skipped(String),
    /// Its `unless` holds.
    AlreadySo {
        /// The condition.
        condition: String,
        /// What the probe gave; null without a probe.
        outputs: Value,
    },
    /// A loop with these instances.
    Loop(Vec<String>),
    /// A sub-runbook.
    Runbook(String),
}

/// Walks the plan once, in order, without a journal. Nothing but `read` steps is performed.
///
/// A step whose inputs or condition use what a step gave that was not performed is `Unknown`, with
/// the reason; it is never left out.
///
/// # Errors
/// [`EngineError`] when a worker of ours ended without a word.
pub async fn dry_run(parts: &EngineParts, plan: Plan) -> Result<Vec<DryRunStep>, EngineError> {
    let plan = Arc::new(plan);
    // Its own id, so that two dry runs at once do not share log files.
    let run = RunId::from_parts(0, parts.clock.random());
    let mut scope = plan.scope();
    scope.set("run", run_value(parts, run, &plan), crate::plan::run_ty());
    let mut walk = Walk {
        caller: Caller::new(parts, run, &plan),
        plan: Arc::clone(&plan),
        parts,
        found: Vec::new(),
    };
    let mut frame = Frame::new(scope, None, false);
    let lists = [
        (&plan.steps, PlanPart::Steps),
        (&plan.verify, PlanPart::Verify),
        (&plan.finally, PlanPart::Finally),
    ];
    let walked = walk.lists(&mut frame, lists).await;
    // What performed steps gave is in their outputs; nothing of a dry run is kept.
    let _ = std::fs::remove_dir_all(parts.layout.run_logs(run));
    walked?;
    Ok(walk.found)
}

fn run_value(parts: &EngineParts, run: RunId, plan: &Plan) -> Value {
    json!({
        "id": run.to_string(),
        "runbook": plan.runbook.name,
        "environment": plan.environment.name,
        "actor": parts.actor.name,
        "outcome": crate::event::Outcome::Succeeded.as_str(),
        "started_at": parts.clock.now().to_string(),
    })
}

struct Walk<'a> {
    caller: Caller,
    plan: Arc<Plan>,
    parts: &'a EngineParts,
    found: Vec<DryRunStep>,
}

/// A step in its place.
struct Place<'p> {
    id: StepId,
    step: &'p PlanStep,
    part: PlanPart,
    as_now: bool,
}

type Walked<T> = Result<T, EngineError>;

impl Walk<'_> {
    /// The lists of a runbook; what comes later sees what was left out before.
    async fn lists(
        &mut self,
        frame: &mut Frame,
        lists: [(&Vec<PlanStep>, PlanPart); 3],
    ) -> Walked<()> {
        for (list, part) in lists {
            for at in graph(list).order() {
                let step = &list[*at];
                let as_now = match part {
                    PlanPart::Steps => frame.needs_left_out(&step.needs),
                    PlanPart::Verify | PlanPart::Finally => frame.any_left_out(),
                };
                let id = frame.id_of(&step.id);
                let place = Place {
                    id,
                    step,
                    part,
                    as_now,
                };
                let seen = self.step(frame, &place).await?;
                frame.saw(&step.id, step.ty(&self.plan), seen);
            }
        }
        Ok(())
    }

    fn tell(&mut self, place: &Place<'_>, inputs: Value, verdict: DryRunVerdict) {
        self.found.push(DryRunStep {
            step: place.id.clone(),
            name: place.step.name.clone(),
            uses: place.step.action.uses.clone(),
            part: place.part,
            inputs,
            as_now: place.as_now,
            verdict,
        });
    }

    /// A step, perhaps a loop.
    async fn step(&mut self, frame: &Frame, place: &Place<'_>) -> Walked<Seen> {
        let Some(each) = &place.step.for_each else {
            return self.one(frame, place).await;
        };
        if let Some(when) = &place.step.when
            && !Frame::is_of_one_instance(when)
            && let Some(seen) = self.judged_when(frame, place, when)
        {
            return Ok(seen);
        }
        self.each(frame, place, each).await
    }

    /// Tells of a `when` that is false or not known; `None` when it holds.
    fn judged_when(&mut self, frame: &Frame, place: &Place<'_>, when: &str) -> Option<Seen> {
        match frame.holds(when, None) {
            Ok(true) => None,
            Ok(false) => {
                let verdict = DryRunVerdict::Skipped(when.to_owned());
                self.tell(place, Value::Null, verdict);
                Some(Seen::skipped(place.as_now))
            }
            Err(Left::Out(why)) => {
                let mut text = format!("whether it runs: {why} (when: {when})");
                if let Ok(inputs) = frame.render(&place.step.action.with)
                    && place.step.block.is_none()
                    && place.step.for_each.is_none()
                {
                    text.push_str(&format!(
                        "\n{}",
                        self.preview(&place.step.action, &inputs).text()
                    ));
                }
                self.tell(
                    place,
                    Value::Null,
                    DryRunVerdict::Would(Preview::Unknown(text)),
                );
                Some(Seen::left_out())
            }
            Err(Left::Wrong(error)) => Some(self.wrong(place, "when", when, error)),
        }
    }

    /// An expression without a value: a run would fail here too.
    fn wrong(&mut self, place: &Place<'_>, key: &str, text: &str, error: String) -> Seen {
        let failure = StepError::new(
            FailureKind::Invalid,
            format!("`{key}` cannot be computed: `{text}`: {error}"),
        );
        self.tell(place, Value::Null, DryRunVerdict::Failed(failure.0));
        Seen::left_out()
    }

    async fn each(&mut self, frame: &Frame, place: &Place<'_>, each: &PlanForEach) -> Walked<Seen> {
        let items = match frame.render(&each.items) {
            Ok(Value::Array(items)) if items.len() <= MAX_INSTANCES => items,
            Ok(other) => {
                let what = match &other {
                    Value::Array(items) => format!("it has {} items", items.len()),
                    _ => "it is no list".to_owned(),
                };
                let error = format!("{what}; it must be a list of at most {MAX_INSTANCES}");
                return Ok(self.wrong(place, "for_each", &source_of(each), error));
            }
            Err(Left::Out(why)) => {
                let text = format!("the list comes from {}: {why}", source_of(each));
                self.tell(
                    place,
                    Value::Null,
                    DryRunVerdict::Would(Preview::Unknown(text)),
                );
                return Ok(Seen::left_out());
            }
            Err(Left::Wrong(error)) => {
                return Ok(self.wrong(place, "for_each", &source_of(each), error));
            }
        };
        let keys = instance_keys(&items);
        self.tell(place, Value::Null, DryRunVerdict::Loop(keys.clone()));
        let mut outputs = Vec::new();
        let mut whole = Seen::performed(Value::Null, place.as_now);
        let mut failures = 0;
        for (index, (item, key)) in items.iter().zip(&keys).enumerate() {
            let Some(id) = place.id.instance(key) else {
                continue;
            };
            let own = frame.with_item(item, each.item_ty(item), index);
            let instance = Place {
                id,
                step: place.step,
                part: place.part,
                as_now: place.as_now,
            };
            let seen = self.one(&own, &instance).await?;
            whole.left_out |= seen.left_out;
            whole.known &= seen.known || seen.skipped || seen.failed;
            failures += usize::from(seen.failed);
            if seen.known {
                outputs.push(seen.outputs);
            }
        }
        if failures > each.max_failures.allowed(items.len()) {
            return Ok(Seen::failed(whole.left_out));
        }
        whole.outputs = Value::Array(outputs);
        Ok(whole)
    }

    /// A step that is no loop, or one instance of a loop.
    async fn one(&mut self, frame: &Frame, place: &Place<'_>) -> Walked<Seen> {
        let step = place.step;
        if let Some(when) = &step.when
            && (step.for_each.is_none() || Frame::is_of_one_instance(when))
            && let Some(seen) = self.judged_when(frame, place, when)
        {
            return Ok(seen);
        }
        if let Some(unless) = &step.unless
            && let Some(seen) = self.judged_unless(frame, place, unless).await?
        {
            return Ok(seen);
        }
        let inputs = match frame.render(&step.action.with) {
            Ok(inputs) => inputs,
            Err(Left::Out(why)) => {
                let text = match step.action.uses.as_str() {
                    APPROVAL => format!("a gate; its message {why}"),
                    _ => why,
                };
                self.tell(
                    place,
                    Value::Null,
                    DryRunVerdict::Would(Preview::Unknown(text)),
                );
                return Ok(Seen::left_out());
            }
            Err(Left::Wrong(error)) => return Ok(self.wrong(place, "with", "", error)),
        };
        if let Some(block) = &step.block {
            return self.block(frame, place, block, inputs).await;
        }
        if step.action.uses == APPROVAL {
            let message = inputs["message"].as_str().unwrap_or_default().to_owned();
            self.tell(place, inputs, DryRunVerdict::Gate(message));
            return Ok(Seen::unknown(place.as_now));
        }
        if step.action.effect != Effect::Read || step.action.uses == WAIT {
            let preview = match self.preview(&step.action, &inputs) {
                Preview::Exact(text) if frame.may_differ(&step.action.with) => {
                    Preview::Predicted(text)
                }
                preview => preview,
            };
            self.tell(place, inputs, DryRunVerdict::Would(preview));
            return Ok(match step.action.effect {
                Effect::Read => Seen::unknown(place.as_now),
                _ => Seen::left_out(),
            });
        }
        let result = self
            .call(place, CallKind::Action, &step.action, inputs.clone())
            .await?;
        Ok(self.performed(frame, place, inputs, result))
    }

    /// Tells of an `unless` that holds, failed, or is not known; `None` when there is work to do.
    async fn judged_unless(
        &mut self,
        frame: &Frame,
        place: &Place<'_>,
        unless: &PlanUnless,
    ) -> Walked<Option<Seen>> {
        let text = &unless.condition;
        let mut outputs = Value::Null;
        if let Some(probe) = &unless.probe {
            let inputs = match frame.render(&probe.with) {
                Ok(inputs) => inputs,
                Err(Left::Out(why)) => return Ok(Some(self.unless_unknown(frame, place, &why))),
                Err(Left::Wrong(error)) => {
                    return Ok(Some(self.wrong(place, "unless", "with", error)));
                }
            };
            match self.call(place, CallKind::Probe, probe, inputs).await? {
                Ok(found) => outputs = found,
                Err(mut failure) => {
                    let message = &mut failure.error.message;
                    *message = format!("the probe of `unless` failed: {message}");
                    self.tell(place, Value::Null, DryRunVerdict::Failed(failure));
                    return Ok(Some(Seen::left_out()));
                }
            }
        }
        let ty = unless
            .probe
            .as_ref()
            .map(|p| self.plan.action_ty(p).clone());
        let own = ty.map(|ty| (&outputs, ty));
        Ok(match frame.holds(text, own) {
            Ok(true) => {
                let verdict = DryRunVerdict::AlreadySo {
                    condition: text.clone(),
                    outputs: outputs.clone(),
                };
                self.tell(place, Value::Null, verdict);
                Some(Seen::skipped(place.as_now))
            }
            Ok(false) => None,
            Err(Left::Out(why)) => Some(self.unless_unknown(frame, place, &why)),
            Err(Left::Wrong(error)) => Some(self.wrong(place, "unless", text, error)),
        })
    }

    fn unless_unknown(&mut self, frame: &Frame, place: &Place<'_>, why: &str) -> Seen {
        let mut text = format!("whether it is so already: {why}");
        if let (Ok(inputs), None) = (frame.render(&place.step.action.with), &place.step.block) {
            let preview = self.preview(&place.step.action, &inputs);
            text.push_str(&format!("\n{}", preview.text()));
        }
        self.tell(
            place,
            Value::Null,
            DryRunVerdict::Would(Preview::Unknown(text)),
        );
        Seen::left_out()
    }

    /// The steps of a sub-runbook, with its own names.
    fn block<'w>(
        &'w mut self,
        frame: &'w Frame,
        place: &'w Place<'w>,
        block: &'w PlanBlock,
        inputs: Value,
    ) -> BoxFuture<'w, Walked<Seen>> {
        Box::pin(async move {
            let mut inner = frame.of_block(&place.id, block, &inputs, place.as_now);
            self.tell(place, inputs, DryRunVerdict::Runbook(block.runbook.clone()));
            let lists = [
                (&block.steps, PlanPart::Steps),
                (&block.verify, PlanPart::Verify),
                (&block.finally, PlanPart::Finally),
            ];
            self.lists(&mut inner, lists).await?;
            let mut outputs = Map::new();
            let mut known = true;
            for (name, expr) in &block.outputs {
                match inner.render(expr) {
                    Ok(value) => {
                        outputs.insert(name.clone(), value);
                    }
                    Err(_) => known = false,
                }
            }
            Ok(Seen {
                outputs: Value::Object(outputs),
                known,
                skipped: false,
                failed: false,
                left_out: inner.any_left_out(),
            })
        })
    }

    fn preview(&self, action: &PlanAction, inputs: &Value) -> Preview {
        match self.parts.registry.get(&action.uses) {
            Some(handler) => handler.preview(&self.caller.preview_context(), inputs),
            None => Preview::Unknown(format!("this program has no action `{}`", action.uses)),
        }
    }

    async fn call(
        &self,
        place: &Place<'_>,
        call: CallKind,
        action: &PlanAction,
        inputs: Value,
    ) -> Walked<Result<Value, Failure>> {
        let (progress, _) = progress::channel();
        let (return_to, mut returned) = tokio::sync::mpsc::unbounded_channel();
        let job = Job {
            target: Target {
                step: place.id.clone(),
                call,
            },
            attempt: AttemptNo::FIRST,
            uses: action.uses.clone(),
            inputs,
            idempotency_key: None,
        };
        let at_work = self.caller.call(job, progress, return_to);
        let limit = place.step.timeout.map_or(LIMIT, |limit| limit.0);
        let ended = tokio::select! {
            ended = returned.recv() => ended,
            () = tokio::time::sleep(limit) => {
                if let Some(at_work) = at_work {
                    at_work.stop(Stop::Gently);
                }
                returned.recv().await
            }
        };
        ended
            .map(|returned| returned.result)
            .ok_or_else(|| EngineError::Panicked("a worker ended without a word".to_owned()))
    }

    /// Judges a performed step by the same conditions as a real run, but lets the walk go on.
    fn performed(
        &mut self,
        frame: &Frame,
        place: &Place<'_>,
        inputs: Value,
        result: Result<Value, Failure>,
    ) -> Seen {
        let step = place.step;
        let raw = match result {
            Ok(raw) => raw,
            Err(failure) => {
                self.tell(place, inputs, DryRunVerdict::Failed(failure));
                return Seen::failed(place.as_now);
            }
        };
        let own_ty = self.plan.action_ty(&step.action).clone();
        let mut waits_for = None;
        if let Some(until) = &step.until {
            match frame.holds(until, Some((&raw, own_ty.clone()))) {
                Ok(true) => {}
                Ok(false) => waits_for = Some(until.clone()),
                Err(left) => return self.unjudged(place, inputs, "until", until, left),
            }
        }
        let outputs = match frame.published(step, &raw, &own_ty) {
            Ok(outputs) => outputs,
            Err((name, left)) => return self.unjudged(place, inputs, "outputs", &name, left),
        };
        if let (Some(verify), None) = (&step.verify, &waits_for) {
            let ty = step.outputs_ty(&self.plan);
            match frame.holds(verify, Some((&outputs, ty))) {
                Ok(true) => {}
                Ok(false) => {
                    let verdict = DryRunVerdict::Unmet {
                        outputs: outputs.clone(),
                        verify: verify.clone(),
                    };
                    self.tell(place, inputs, verdict);
                    return Seen::performed(outputs, place.as_now);
                }
                Err(left) => return self.unjudged(place, inputs, "verify", verify, left),
            }
        }
        let verdict = DryRunVerdict::Performed {
            outputs: outputs.clone(),
            waits_for,
        };
        self.tell(place, inputs, verdict);
        Seen::performed(outputs, place.as_now)
    }

    /// A performed step whose own expression has no value: unknown when a run would have one.
    fn unjudged(
        &mut self,
        place: &Place<'_>,
        inputs: Value,
        key: &str,
        text: &str,
        left: Left,
    ) -> Seen {
        match left {
            Left::Out(why) => {
                let unknown = Preview::Unknown(format!("`{key}` {why}"));
                self.tell(place, inputs, DryRunVerdict::Would(unknown));
                Seen::unknown(place.as_now)
            }
            Left::Wrong(error) => self.wrong(place, key, text, error),
        }
    }
}

/// Where a loop has its list from, as it is written.
fn source_of(each: &PlanForEach) -> String {
    let references: Vec<String> = each
        .items
        .references()
        .iter()
        .map(|reference| format!("`{reference}`"))
        .collect();
    match references.as_slice() {
        [] => "the runbook itself".to_owned(),
        all => all.join(", "),
    }
}
