//! A test file against the plan that it tests: what can be known before a case is run.

use std::sync::Arc;

use super::steps::{PlanSteps, without_keys};
use super::world::scripts;
use crate::base::{Diagnostic, Diagnostics, SourceFile, Span, Spanned, StepId, did_you_mean};
use crate::check::codes;
use crate::language::{Condition, StepList, TestCancel, TestCase, TestExpect, coerce};
use crate::model::{ActionCatalog, ObjectTy, Ty, YamlValue, YamlValueKind};
use crate::plan::{Plan, PlanRollback};
use crate::run::CallKind;

/// Checks one case; findings go to `diags`.
pub(super) fn check_case(
    source: &Arc<SourceFile>,
    case: &TestCase,
    plan: &Plan,
    catalog: &ActionCatalog,
    diags: &mut Diagnostics,
) {
    let steps = PlanSteps::new(plan);
    let mut check = CaseCheck {
        source,
        plan,
        catalog,
        steps: &steps,
        diags,
    };
    for call in [CallKind::Action, CallKind::Probe, CallKind::Undo] {
        check.scripts(case, call);
    }
    for vote in &case.votes {
        check.gate(&vote.gate, "a vote needs a gate");
        if let Some(to) = &vote.to {
            check.known(&to.value, to.span);
        }
    }
    if let Some(cancel) = &case.cancel
        && let TestCancel::Before(step) = &cancel.value
    {
        check.known(step, cancel.span);
    }
    for (step, (span, _)) in &case.varies {
        check.known(step, *span);
    }
    check.expect(&case.expect);
}

struct CaseCheck<'a> {
    source: &'a Arc<SourceFile>,
    plan: &'a Plan,
    catalog: &'a ActionCatalog,
    steps: &'a PlanSteps<'a>,
    diags: &'a mut Diagnostics,
}

impl CaseCheck<'_> {
    fn known(&mut self, id: &StepId, span: Span) -> bool {
        if self.steps.get(id).is_some() {
            return true;
        }
        let wanted = without_keys(id);
        let finding = Diagnostic::error(
            codes::TEST_UNKNOWN_STEP,
            format!(
                "the runbook `{}` has no step `{id}`",
                self.plan.runbook.name
            ),
        )
        .at(self.source, span, "no such step");
        let finding = match did_you_mean(&wanted, self.steps.paths()) {
            Some(near) => finding.help(format!("did you mean `{near}`?")),
            None => {
                let all: Vec<&str> = self.steps.paths().collect();
                finding.help(format!("its steps are {}", all.join(", ")))
            }
        };
        self.diags.push(finding);
        false
    }

    fn gate(&mut self, id: &Spanned<StepId>, why: &str) {
        if self.known(id, id.span) && !self.steps.is_gate(id) {
            let finding = Diagnostic::error(
                codes::TEST_CANNOT_HAPPEN,
                format!("`{}` is no gate", id.value),
            )
            .at(self.source, id.span, why)
            .help("a gate is a step with `uses: approval`");
            self.diags.push(finding);
        }
    }

    fn scripts(&mut self, case: &TestCase, call: CallKind) {
        for (id, (span, replies)) in scripts(case, call) {
            if !self.known(id, *span) {
                continue;
            }
            if let Some((why, help)) = self.never_called(id, call) {
                let finding = Diagnostic::error(codes::TEST_CANNOT_HAPPEN, why)
                    .at(self.source, *span, "nothing is called here")
                    .help(help);
                self.diags.push(finding);
                continue;
            }
            let manifest = self
                .steps
                .action(id, call)
                .and_then(|action| self.catalog.get(&action.uses));
            let Some(manifest) = manifest else { continue };
            let ty = Ty::from_schema(&manifest.output);
            let place = format!("`{}`", manifest.name);
            for outputs in replies.iter().filter_map(|reply| reply.outputs.as_ref()) {
                self.value(outputs, &ty, &place);
            }
        }
    }

    /// Why a step has no such call, and what to do.
    fn never_called(&self, id: &StepId, call: CallKind) -> Option<(String, String)> {
        let step = self.steps.get(id)?.step;
        if call == CallKind::Action {
            if self.steps.is_gate(id) {
                let help = format!("vote on it: `votes: [{{ gate: {id} }}]`");
                return Some((
                    format!("`{id}` is a gate, its result cannot be scripted"),
                    help,
                ));
            }
            return step.block.as_ref().map(|block| {
                let inner = block.steps.first().map_or("STEP", |step| step.id.as_str());
                (
                    format!(
                        "`{id}` calls the runbook `{}`, its steps are scripted",
                        block.runbook
                    ),
                    format!("name a step of it: `{id}/{inner}`"),
                )
            });
        }
        if self.steps.action(id, call).is_some() {
            return None;
        }
        Some(match call {
            CallKind::Probe => (
                format!("`{id}` has no `unless` with a probe"),
                "script its action under `steps`".to_owned(),
            ),
            _ => (
                format!("`{id}` has no `rollback` that calls an action"),
                "give the step a rollback in the runbook, or take this out".to_owned(),
            ),
        })
    }

    /// A scripted value against the type that the action declares.
    fn value(&mut self, value: &YamlValue, ty: &Ty, place: &str) {
        if let (Ty::Object(object), YamlValueKind::Map(map)) = (ty, &value.kind) {
            for (name, (span, item)) in map {
                match object.fields.get(name) {
                    Some(field) => self.value(item, field, &format!("{place} `{name}`")),
                    None if object.open => {}
                    None => self.unknown_output(object, name, *span, place),
                }
            }
            return;
        }
        if let (Ty::Map(item), YamlValueKind::Map(map)) = (ty, &value.kind) {
            for (_, field) in map.values() {
                self.value(field, item, place);
            }
            return;
        }
        let json = value.to_json();
        // What is null may be absent; the schema says elsewhere whether it may.
        if json.is_null() || *ty == Ty::Any {
            return;
        }
        let text_for_value = matches!(ty, Ty::Int | Ty::Float | Ty::Bool) && json.is_string();
        let judged = match text_for_value {
            true => Err(format!("{ty} is wanted, found the text {json}")),
            false => coerce(&json, ty).map(|_| ()),
        };
        if let Err(why) = judged {
            let finding = Diagnostic::error(
                codes::TEST_BAD_OUTPUT,
                format!("{place} never gives this: {why}"),
            )
            .at(self.source, value.span, format!("must be of type {ty}"));
            self.diags.push(finding);
        }
    }

    fn unknown_output(&mut self, object: &ObjectTy, name: &str, span: Span, place: &str) {
        let known = || object.fields.keys().map(String::as_str);
        let finding = Diagnostic::error(
            codes::TEST_BAD_OUTPUT,
            format!("{place} has no output `{name}`"),
        )
        .at(self.source, span, "no such output");
        let finding = match did_you_mean(name, known()) {
            Some(near) => finding.help(format!("did you mean `{near}`?")),
            None => {
                let all: Vec<&str> = known().collect();
                finding.help(match all.is_empty() {
                    true => "it has no outputs".to_owned(),
                    false => format!("its outputs are {}", all.join(", ")),
                })
            }
        };
        self.diags.push(finding);
    }

    fn expect(&mut self, expect: &TestExpect) {
        let lists = [
            &expect.order,
            &expect.skipped,
            &expect.not_run,
            &expect.failed,
        ];
        for step in lists.into_iter().flatten().flat_map(|list| &list.value) {
            self.known(step, step.span);
        }
        for gate in expect.gates.iter().flat_map(|list| &list.value) {
            self.gate(gate, "only a gate opens");
        }
        for step in expect.undone.iter().flat_map(|list| &list.value) {
            self.undoable(step);
        }
        self.contradictions(expect);
        for (name, (span, _)) in &expect.outputs {
            self.run_output(name, *span);
        }
        for condition in &expect.that {
            if let Err(error) = Condition::parse(condition) {
                let finding = Diagnostic::error(
                    codes::CONDITION_SYNTAX,
                    format!("`that` cannot be read: {}", error.message),
                )
                .at(self.source, condition.span, "this condition");
                self.diags.push(finding);
            }
        }
    }

    fn undoable(&mut self, id: &Spanned<StepId>) {
        if !self.known(id, id.span) {
            return;
        }
        let Some(known) = self.steps.get(id) else {
            return;
        };
        let undo = matches!(known.step.rollback, Some(PlanRollback::Undo { .. }));
        if !undo || known.in_finally {
            self.cannot(
                id.span,
                format!("`{}` cannot be undone", id.value),
                "it has no rollback",
            );
        }
    }

    fn cannot(&mut self, span: Span, message: String, why: &str) {
        let finding =
            Diagnostic::error(codes::TEST_CANNOT_HAPPEN, message).at(self.source, span, why);
        self.diags.push(finding);
    }

    fn contradictions(&mut self, expect: &TestExpect) {
        if let (Some(outcome), Some(code)) = (&expect.outcome, &expect.exit_code) {
            let right = outcome.value.exit_code();
            if code.value != u32::from(right) {
                let word = outcome.value.as_str();
                self.cannot(
                    code.span,
                    format!(
                        "a run that ends `{word}` never has the exit code {}",
                        code.value
                    ),
                    &format!("it has {right}"),
                );
            }
        }
        let both = |one: &Option<StepList>, other: &Option<StepList>| -> Vec<Spanned<StepId>> {
            let other: Vec<&StepId> = other
                .iter()
                .flat_map(|l| &l.value)
                .map(|s| &s.value)
                .collect();
            let one = one.iter().flat_map(|list| &list.value);
            one.filter(|step| other.contains(&&step.value))
                .cloned()
                .collect()
        };
        for (one, word, other, second) in [
            (&expect.not_run, "not_run", &expect.order, "order"),
            (&expect.not_run, "not_run", &expect.failed, "failed"),
            (&expect.not_run, "not_run", &expect.gates, "gates"),
            (&expect.not_run, "not_run", &expect.undone, "undone"),
            (&expect.skipped, "skipped", &expect.order, "order"),
            (&expect.skipped, "skipped", &expect.failed, "failed"),
        ] {
            for step in both(one, other) {
                self.cannot(
                    step.span,
                    format!("`{}` stands in `{word}` and in `{second}`", step.value),
                    "both cannot be true",
                );
            }
        }
        for step in expect.skipped.iter().flat_map(|list| &list.value) {
            let known = self.steps.get(step).map(|known| known.step);
            if known.is_some_and(|known| known.when.is_none() && known.unless.is_none()) {
                self.cannot(
                    step.span,
                    format!("`{}` is never skipped", step.value),
                    "it has neither `when` nor `unless`",
                );
            }
        }
    }

    fn run_output(&mut self, name: &str, span: Span) {
        if self.plan.outputs.contains_key(name) {
            return;
        }
        let known = self.plan.outputs.keys().map(String::as_str);
        let finding = Diagnostic::error(
            codes::TEST_CANNOT_HAPPEN,
            format!(
                "the runbook `{}` has no output `{name}`",
                self.plan.runbook.name
            ),
        )
        .at(self.source, span, "no such output")
        .suggest(did_you_mean(name, known));
        self.diags.push(finding);
    }
}
