//! Expectations against what happened; each that does not hold is a finding at its place in the file.

use std::collections::BTreeSet;
use std::sync::Arc;

use serde_json::json;

use super::driver::{End, Ran, elapsed};
use super::facts::Facts;
use crate::base::{Diagnostic, Map, SourceFile, Span, Spanned, StepId, Value, format_duration};
use crate::check::codes;
use crate::event::EventKind;
use crate::language::{Condition, ExprError, Scope, StepList, TestExpect, TestOutcome};
use crate::model::{ObjectTy, Ty};
use crate::plan::Plan;

/// Holds a run against what its case expects.
pub(super) fn judge(
    source: &Arc<SourceFile>,
    expect: &TestExpect,
    plan: &Plan,
    ran: &Ran,
) -> Vec<Diagnostic> {
    let mut judge = Judge {
        source,
        plan,
        ran,
        facts: Facts::of(&ran.events),
        findings: Vec::new(),
    };
    judge.end(expect);
    judge.order(expect.order.as_ref());
    judge.steps(expect);
    judge.outputs(expect);
    judge.conditions(expect);
    judge.duration(expect);
    judge.findings
}

struct Judge<'a> {
    source: &'a Arc<SourceFile>,
    plan: &'a Plan,
    ran: &'a Ran,
    facts: Facts,
    findings: Vec<Diagnostic>,
}

/// How a run ended, in the words of `outcome`; in words of their own when there is none.
fn outcome(end: &End) -> Result<TestOutcome, String> {
    match end {
        End::Finished(outcome) => Ok(TestOutcome::Ended(*outcome)),
        End::Waiting(_) => Ok(TestOutcome::Waiting),
        End::Interrupted(step) => Err(format!("interrupted at `{step}`")),
        End::Cut => Err("cut off".to_owned()),
        End::Endless => Err("still running after 100,000 events".to_owned()),
        End::Idle => Err("neither over nor waiting".to_owned()),
    }
}

impl Judge<'_> {
    fn wrong(&mut self, span: Span, message: impl Into<String>, happened: impl Into<String>) {
        let finding =
            Diagnostic::error(codes::EXPECTATION_FAILED, message).at(self.source, span, happened);
        self.findings.push(finding);
    }

    fn end(&mut self, expect: &TestExpect) {
        let happened = outcome(&self.ran.end);
        let word = match &happened {
            Ok(outcome) => outcome.as_str().to_owned(),
            Err(words) => words.clone(),
        };
        if let Some(expected) = &expect.outcome
            && happened.as_ref() != Ok(&expected.value)
        {
            let why = self.last_failure().unwrap_or_default();
            self.wrong(
                expected.span,
                format!("the run should end `{}`", expected.value.as_str()),
                format!("it is {word}{why}"),
            );
        } else if let (None, Err(words)) = (&expect.outcome, &happened) {
            self.wrong(
                expect.span,
                "the run should come to an end",
                format!("it is {words}"),
            );
        }
        if let Some(expected) = &expect.exit_code {
            let code = happened.map(TestOutcome::exit_code).ok();
            if code.map(u32::from) != Some(expected.value) {
                let found = code.map_or("none".to_owned(), |code| code.to_string());
                self.wrong(
                    expected.span,
                    format!("the exit code should be {}", expected.value),
                    format!("it is {found}: the run is {word}"),
                );
            }
        }
    }

    /// Why the run did not go on, in words to follow another text.
    fn last_failure(&self) -> Option<String> {
        self.ran
            .events
            .iter()
            .rev()
            .find_map(|event| match &event.event {
                EventKind::StepFailed { step, failure, .. } => {
                    Some(format!(": `{step}` failed: {}", failure.error))
                }
                EventKind::GateOpened { step, .. } if matches!(self.ran.end, End::Waiting(_)) => {
                    Some(format!(": nobody votes at `{step}`"))
                }
                _ => None,
            })
    }

    fn order(&mut self, expected: Option<&StepList>) {
        let Some(expected) = expected else { return };
        let mut from = 0;
        let mut before: Option<&StepId> = None;
        for step in &expected.value {
            let started = &self.facts.started;
            let found = started.iter().skip(from).position(|s| *s == step.value);
            if let Some(at) = found {
                from += at + 1;
                before = Some(&step.value);
                continue;
            }
            let happened = match (started.contains(&step.value), before) {
                (false, _) => "it does not start at all".to_owned(),
                (true, before) => format!(
                    "it starts before `{}`; the order is {}",
                    before.map_or("", StepId::as_str),
                    listed(started)
                ),
            };
            let message = match before {
                Some(before) => format!("`{}` should start after `{before}`", step.value),
                None => format!("`{}` should start", step.value),
            };
            return self.wrong(step.span, message, happened);
        }
    }

    fn steps(&mut self, expect: &TestExpect) {
        if let Some(expected) = &expect.skipped {
            let found: Vec<StepId> = self.facts.skipped.iter().cloned().collect();
            self.same_set(expected, &found, "skipped");
        }
        if let Some(expected) = &expect.failed {
            let found = self.facts.failed.clone();
            self.same_set(expected, &found, "failed");
        }
        if let Some(expected) = &expect.gates {
            let found = self.facts.gates.clone();
            self.same_list(expected, &found, "gates that open");
        }
        if let Some(expected) = &expect.undone {
            let found = self.facts.undone.clone();
            self.same_list(expected, &found, "steps that are undone");
        }
        for step in expect.not_run.iter().flat_map(|steps| &steps.value) {
            if self.facts.started.contains(&step.value) {
                self.wrong(
                    step.span,
                    format!("`{}` should not run", step.value),
                    "it starts",
                );
            }
        }
    }

    fn same_set(&mut self, expected: &StepList, found: &[StepId], what: &str) {
        let wanted: BTreeSet<&StepId> = expected.value.iter().map(|step| &step.value).collect();
        for step in &expected.value {
            if !found.contains(&step.value) {
                let happened = self.what_became_of(&step.value);
                self.wrong(
                    step.span,
                    format!("`{}` should be {what}", step.value),
                    happened,
                );
            }
        }
        let more: Vec<StepId> = found
            .iter()
            .filter(|step| !wanted.contains(step))
            .cloned()
            .collect();
        if !more.is_empty() {
            let (message, happened) = match wanted.is_empty() {
                true => (format!("no step should be {what}"), listed(&more)),
                false => (
                    format!("no other step should be {what}"),
                    format!("so is {}", listed(&more)),
                ),
            };
            self.wrong(expected.span, message, happened);
        }
    }

    fn same_list(&mut self, expected: &StepList, found: &[StepId], what: &str) {
        let wanted: Vec<StepId> = expected.value.iter().map(|s| s.value.clone()).collect();
        if wanted != found {
            self.wrong(
                expected.span,
                format!("the {what} should be {}", listed(&wanted)),
                format!("they are {}", listed(found)),
            );
        }
    }

    fn what_became_of(&self, step: &StepId) -> String {
        let facts = &self.facts;
        let word = if facts.succeeded.contains(step) {
            "it succeeds"
        } else if facts.failed.contains(step) {
            "it fails"
        } else if facts.skipped.contains(step) {
            "it is skipped"
        } else if facts.started.contains(step) {
            "it starts and does not end"
        } else {
            "its turn never comes"
        };
        word.to_owned()
    }

    fn outputs(&mut self, expect: &TestExpect) {
        let outputs = self
            .facts
            .finished
            .as_ref()
            .map(|finish| finish.outputs.clone())
            .unwrap_or_default();
        for (name, (_, expected)) in &expect.outputs {
            let (wanted, found) = (expected.to_json(), outputs.get(name));
            if found != Some(&wanted) {
                let happened = match found {
                    Some(found) => format!("it is {found}"),
                    None => "there is none: a run has outputs when it succeeds".to_owned(),
                };
                self.wrong(
                    expected.span,
                    format!("the output `{name}` should be {wanted}"),
                    happened,
                );
            }
        }
    }

    fn conditions(&mut self, expect: &TestExpect) {
        if expect.that.is_empty() {
            return;
        }
        let scope = self.scope();
        for condition in &expect.that {
            let judged = Condition::parse(condition).and_then(|parsed| parsed.holds(&scope));
            match judged {
                Ok(true) => {}
                Ok(false) => {
                    let known = self.known(condition, &scope);
                    self.wrong(
                        condition.span,
                        format!("`{}` should hold", condition.value),
                        known,
                    );
                }
                Err(ExprError { message, .. }) => self.wrong(
                    condition.span,
                    format!("`{}` cannot be judged", condition.value),
                    message,
                ),
            }
        }
    }

    /// The values that a condition refers to.
    fn known(&self, condition: &Spanned<String>, scope: &Scope) -> String {
        let parsed = Condition::parse(condition);
        let references = parsed.iter().flat_map(|c| c.references().iter());
        let values: Vec<String> = references
            .filter_map(|r| Some(format!("{r} is {}", scope.lookup(&r.path)?)))
            .collect();
        match values.is_empty() {
            true => "it does not".to_owned(),
            false => values.join(", "),
        }
    }

    fn scope(&self) -> Scope {
        let mut scope = self.plan.scope();
        let (word, code) = match outcome(&self.ran.end) {
            Ok(outcome) => (
                outcome.as_str().to_owned(),
                Value::from(outcome.exit_code()),
            ),
            Err(words) => (words, Value::Null),
        };
        scope.set("outcome", json!(word), Ty::String);
        scope.set("exit_code", code, Ty::Int);
        let duration = format_duration(elapsed(&self.ran.events));
        scope.set("duration", json!(duration), Ty::Duration);
        let outputs = self.facts.finished.as_ref().map(|f| f.outputs.clone());
        scope.set(
            "outputs",
            Value::Object(outputs.unwrap_or_default()),
            Ty::Any,
        );
        let (steps, types) = self.step_values();
        scope.set("steps", Value::Object(steps), types);
        scope
    }

    fn step_values(&self) -> (Map<String, Value>, Ty) {
        let mut steps: Map<String, Value> = Map::new();
        for event in &self.ran.events {
            let Some(step) = event.event.step() else {
                continue;
            };
            let entry = steps
                .entry(step.to_string())
                .or_insert_with(|| json!({ "status": "pending", "attempts": 0, "undone": false }));
            match &event.event {
                EventKind::StepStarted { attempt, .. } => {
                    entry["status"] = json!("running");
                    entry["attempts"] = json!(attempt.0);
                }
                EventKind::GateOpened { .. } => entry["status"] = json!("waiting"),
                EventKind::StepSucceeded {
                    outputs,
                    duration_ms,
                    ..
                } => {
                    entry["status"] = json!("succeeded");
                    entry["outputs"] = outputs.clone();
                    let taken = std::time::Duration::from_millis(*duration_ms);
                    entry["duration"] = json!(format_duration(taken));
                }
                EventKind::GateApproved { .. } => entry["status"] = json!("succeeded"),
                EventKind::StepFailed { failure, .. } => {
                    entry["status"] = json!("failed");
                    entry["failure"] = json!(failure.sort.as_str());
                    entry["message"] = json!(failure.error.to_string());
                }
                EventKind::GateRejected { .. } | EventKind::GateExpired { .. } => {
                    entry["status"] = json!("failed");
                }
                EventKind::StepSkipped { .. } => entry["status"] = json!("skipped"),
                EventKind::StepInterrupted { .. } => entry["status"] = json!("interrupted"),
                EventKind::UndoSucceeded { .. } => entry["undone"] = json!(true),
                _ => {}
            }
        }
        let own = self
            .plan
            .steps
            .iter()
            .chain(&self.plan.verify)
            .chain(&self.plan.finally);
        let types = ObjectTy {
            fields: own
                .map(|step| {
                    let ty = match step.ty(self.plan) {
                        Ty::Object(ty) => Ty::Object(ObjectTy { open: true, ..ty }),
                        other => other,
                    };
                    (step.id.to_string(), ty)
                })
                .collect(),
            required: Vec::new(),
            open: true,
        };
        (steps, Ty::Object(types))
    }

    fn duration(&mut self, expect: &TestExpect) {
        let taken = elapsed(&self.ran.events);
        let words = format!("it takes {}", format_duration(taken));
        if let Some(min) = expect.min.as_ref().filter(|min| taken < min.value) {
            let message = format!(
                "the run should take at least {}",
                format_duration(min.value)
            );
            self.wrong(min.span, message, words.clone());
        }
        if let Some(max) = expect.max.as_ref().filter(|max| taken > max.value) {
            let message = format!("the run should take at most {}", format_duration(max.value));
            self.wrong(max.span, message, words);
        }
    }
}

fn listed(steps: &[StepId]) -> String {
    match steps.is_empty() {
        true => "none".to_owned(),
        false => {
            let names: Vec<&str> = steps.iter().map(StepId::as_str).collect();
            names.join(", ")
        }
    }
}
