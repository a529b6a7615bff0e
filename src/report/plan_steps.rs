//! The steps of a plan as text: one paragraph each, what a step calls indented below it.

use std::cell::RefCell;
use std::rc::Rc;

use super::gate_text::GatePolicy;
use super::plan_text::{assignment, expr_text, inputs, is_gate};
use super::style::{Paint, Style, Symbol};
use super::text::{clip, count, human, one_line, pad, value_text, width};
use crate::base::{HumanDuration, StepId};
use crate::model::{Backoff, Effect, MaxFailures, OnFailure, StepOnFailure};
use crate::plan::{
    Crossings, Plan, PlanAction, PlanBlock, PlanForEach, PlanRetry, PlanRollback, PlanStep,
    PlanUnless, PointOfNoReturn, instance_keys,
};

/// Columns that a sub-runbook's steps stand to the right of what calls them.
const STEP_IN: usize = 5;
/// Instances whose ids are shown.
const INSTANCES: usize = 20;

/// What all steps of one runbook share on the page.
pub(super) struct Page<'a> {
    crossings: Rc<RefCell<Crossings<'a>>>,
    policy: GatePolicy<'a>,
    style: Style,
    /// The step that calls this runbook.
    caller: Option<StepId>,
    /// What needs no word, because the runbook says it for all its steps.
    usual: Vec<StepOnFailure>,
    /// Width of the column of ids.
    ids: usize,
    /// Columns to the left.
    left: usize,
    /// What the numbers begin with.
    above: String,
}

impl<'a> Page<'a> {
    /// The page of a plan's own steps.
    pub(super) fn of(plan: &'a Plan, style: Style) -> Self {
        let usual = match plan.on_failure {
            OnFailure::Rollback => StepOnFailure::Rollback,
            OnFailure::Stop => StepOnFailure::Stop,
        };
        let steps = plan.steps.iter().chain(&plan.verify).chain(&plan.finally);
        Self {
            crossings: Rc::new(RefCell::new(plan.crossings())),
            policy: GatePolicy(plan),
            style,
            caller: None,
            usual: vec![usual],
            ids: id_column(steps),
            left: 0,
            above: String::new(),
        }
    }

    /// The page of a sub-runbook. There a failure that does not go on is the caller's to judge.
    fn inside(&self, step: &PlanStep, block: &PlanBlock, number: &str) -> Self {
        Self {
            crossings: Rc::clone(&self.crossings),
            policy: self.policy,
            style: self.style,
            caller: Some(self.path(step)),
            usual: vec![StepOnFailure::Stop, StepOnFailure::Rollback],
            ids: id_column(block.parts().map(|(step, _)| step)),
            left: self.left + STEP_IN,
            above: format!("{number}."),
        }
    }

    /// The id of a step as a run knows it.
    fn path(&self, step: &PlanStep) -> StepId {
        match &self.caller {
            Some(caller) => caller.inside(&step.id),
            None => step.id.clone(),
        }
    }

    pub(super) fn steps(&self, steps: &[PlanStep], first: usize) -> String {
        let mut out = String::new();
        for (i, step) in steps.iter().enumerate() {
            let above = i.checked_sub(1).and_then(|i| steps.get(i));
            out.push_str(&self.step(step, above, &format!("{}{}", self.above, first + i)));
        }
        out
    }

    fn step(&self, step: &PlanStep, above: Option<&PlanStep>, number: &str) -> String {
        let style = self.style;
        let gate = is_gate(step);
        let (symbol, paint) = if gate {
            (style.symbol(Symbol::Gate), Paint::Care)
        } else {
            (" ", Paint::Name)
        };
        let id = style.paint(paint, &pad(step.id.as_str(), self.ids));
        let numbers = number.len().max(4);
        let lead = self.left + numbers + 3 + self.ids.max(step.id.as_str().len()) + 2;
        let title = match (&step.name, gate) {
            (Some(name), true) => format!("GATE: {name}"),
            (None, true) => "GATE: waits for approval".to_owned(),
            (Some(name), false) => name.clone(),
            (None, false) => step.action.uses.clone(),
        };
        let title = clip(
            &one_line(&title, style),
            style.width.saturating_sub(lead),
            style,
        );
        let title_paint = if gate { Paint::Care } else { Paint::Bold };
        let mut out = format!(
            "{}{number:>4} {} {id}  {}\n",
            " ".repeat(self.left),
            style.paint(paint, symbol),
            style.paint(title_paint, &title)
        );
        let mut line = |key: &str, text: &str, paint: Paint| {
            out.push_str(&self.detail(key, text, paint));
        };
        line("", &self.action_line(step), Paint::Plain);
        if let Some(needs) = unusual_needs(step, above) {
            line("needs", &needs, Paint::Plain);
        }
        if let Some(each) = &step.for_each {
            for (key, text) in self.each(step, each) {
                line(key, &text, Paint::Template);
            }
        }
        for (key, condition) in [
            ("when", &step.when),
            ("until", &step.until),
            ("verify", &step.verify),
        ] {
            if let Some(condition) = condition {
                line(key, condition, Paint::Template);
            }
        }
        if step.until.is_some() {
            line("every", &step.every.to_string(), Paint::Plain);
        }
        if let Some(retry) = &step.retry {
            line("retry", &retry_text(retry), Paint::Plain);
        }
        if !self.usual.contains(&step.on_failure) {
            line("on failure", step_on_failure(step.on_failure), Paint::Care);
        }
        if let Some(unless) = &step.unless {
            out.push_str(&self.unless(unless));
        }
        out.push_str(&self.inputs(&step.action, self.left + 9));
        if let Some(key) = &step.idempotency_key {
            out.push_str(&assignment("idempotency key", key, self.left + 9, style));
        }
        for (name, expr) in &step.outputs {
            out.push_str(&assignment(
                &format!("output {name}"),
                expr,
                self.left + 9,
                style,
            ));
        }
        match &step.block {
            Some(block) => out.push_str(&self.block(step, block, number)),
            None if gate => {
                for (key, text) in self.policy.gate(step) {
                    out.push_str(&self.detail(key, &text, Paint::Care));
                }
                out.push_str(&self.lets_through(step));
            }
            None => out.push_str(&self.undo(step)),
        }
        out
    }

    /// A loop's list, its limits, and its instances as far as they are known.
    fn each(&self, step: &PlanStep, each: &PlanForEach) -> Vec<(&'static str, String)> {
        let mut limits = vec![match each.max_parallel {
            0 | 1 => "one at a time".to_owned(),
            n => format!("{n} at once"),
        }];
        match each.max_failures {
            MaxFailures::Count(0) => {}
            MaxFailures::Count(n) => limits.push(format!("{n} may fail")),
            MaxFailures::Percent(n) => limits.push(format!("{n}% may fail")),
        }
        let limits = limits.join(", ");
        let Some(items) = each.known_items() else {
            let list = expr_text(&each.items, self.style);
            return vec![("for each", format!("{list}, {limits}"))];
        };
        let total = count(items.len(), "instance");
        let mut lines = vec![("for each", format!("{total}, {limits}"))];
        let keys = instance_keys(items);
        for (key, item) in keys.iter().zip(items).take(INSTANCES) {
            let id = format!("{}[{key}]", step.id);
            let value = value_text(item, self.style);
            lines.push((
                "",
                if value == *key {
                    format!("  {id}")
                } else {
                    format!("  {id}  {value}")
                },
            ));
        }
        if keys.len() > INSTANCES {
            lines.push(("", format!("  and {} more", keys.len() - INSTANCES)));
        }
        lines
    }

    fn unless(&self, unless: &PlanUnless) -> String {
        let Some(probe) = &unless.probe else {
            return self.detail("unless", &unless.condition, Paint::Template);
        };
        let text = format!("{} says {}", probe.uses, unless.condition);
        self.detail("unless", &text, Paint::Template) + &self.inputs(probe, self.left + 11)
    }

    /// What a gate holds back that no rollback undoes.
    fn lets_through(&self, step: &PlanStep) -> String {
        let mut crossings = self.crossings.borrow_mut();
        let crossings = crossings.after(&self.path(step));
        if crossings.is_empty() {
            return String::new();
        }
        let text = format!(
            "{}, which cannot be undone",
            PointOfNoReturn::list(crossings.into_iter())
        );
        self.detail("lets through", &text, Paint::Care)
    }

    /// A sub-runbook: its steps, and how they are judged and given back.
    fn block(&self, step: &PlanStep, block: &PlanBlock, number: &str) -> String {
        let style = self.style;
        let page = self.inside(step, block, number);
        let mut out = self.detail("file", &block.file, Paint::Dim);
        let mut first = 1;
        for (heading, steps) in [
            ("", &block.steps),
            ("verify", &block.verify),
            ("finally", &block.finally),
        ] {
            if !heading.is_empty() && !steps.is_empty() {
                let heading = style.paint(Paint::Dim, heading);
                out.push_str(&format!("{}{heading}\n", " ".repeat(page.left + 4)));
            }
            out.push_str(&page.steps(steps, first));
            first += steps.len();
        }
        for (name, expr) in &block.outputs {
            out.push_str(&assignment(
                &format!("gives {name}"),
                expr,
                self.left + 9,
                style,
            ));
        }
        out
    }

    /// Action, effect and limit on one line.
    fn action_line(&self, step: &PlanStep) -> String {
        let dot = self.style.symbol(Symbol::Dot);
        let mut parts = vec![step.action.uses.clone()];
        if !is_gate(step) && step.block.is_none() {
            parts.push(step.action.effect.to_string());
        }
        match is_gate(step) {
            true => parts.extend(self.policy.lapse(step)),
            false => parts.extend(step.timeout.map(|timeout| format!("timeout {timeout}"))),
        }
        parts.join(&format!(" {dot} "))
    }

    fn detail(&self, key: &str, text: &str, paint: Paint) -> String {
        let style = self.style;
        let key = if key.is_empty() {
            String::new()
        } else {
            format!("{} ", style.paint(Paint::Dim, &format!("{key}:")))
        };
        let indent = " ".repeat(self.left + 9);
        let used = self.left + 9 + width(&key);
        let text = clip(
            &one_line(text, style),
            style.width.saturating_sub(used).max(10),
            style,
        );
        format!("{indent}{key}{}\n", style.paint(paint, &text))
    }

    fn inputs(&self, action: &PlanAction, indent: usize) -> String {
        let mut out = String::new();
        inputs(&mut out, &action.with, indent, self.style);
        out
    }

    fn undo(&self, step: &PlanStep) -> String {
        match &step.rollback {
            Some(PlanRollback::Undo {
                action,
                retry,
                timeout,
            }) => {
                let mut text = action.uses.clone();
                let mut limits: Vec<String> = Vec::new();
                if let Some(timeout) = timeout {
                    limits.push(format!("timeout {timeout}"));
                }
                if let Some(retry) = retry {
                    limits.push(retry_text(retry));
                }
                if !limits.is_empty() {
                    text.push_str(&format!(" ({})", limits.join(", ")));
                }
                self.detail("undone by", &text, Paint::Good) + &self.inputs(action, self.left + 11)
            }
            Some(PlanRollback::Irreversible { reason }) => {
                self.detail("cannot be undone", reason, Paint::Care)
            }
            None if step.action.effect == Effect::Read => String::new(),
            None => self.detail("", "nothing undoes it", Paint::Dim),
        }
    }
}

/// The needs, unless they are just the step above.
fn unusual_needs(step: &PlanStep, above: Option<&PlanStep>) -> Option<String> {
    match (step.needs.as_slice(), above) {
        ([], None) => None,
        ([], Some(_)) => Some("nothing, starts at once".to_owned()),
        ([need], Some(above)) if *need == above.id => None,
        (needs, _) => Some(
            needs
                .iter()
                .map(|need| need.as_str())
                .collect::<Vec<_>>()
                .join(", "),
        ),
    }
}

fn step_on_failure(on_failure: StepOnFailure) -> &'static str {
    match on_failure {
        StepOnFailure::Stop => "stop, leave everything as it is",
        StepOnFailure::Rollback => "roll back",
        StepOnFailure::Continue => "go on; the run then ends with exceptions",
    }
}

fn retry_text(retry: &PlanRetry) -> String {
    let delay = human(retry.delay.0);
    let growth = match retry.backoff {
        Backoff::Constant => format!("every {delay}"),
        Backoff::Linear => format!("after {delay} and longer up to {}", short(retry.max_delay)),
        Backoff::Exponential => format!("after {delay} doubling to {}", short(retry.max_delay)),
    };
    let on = if retry.on.is_empty() {
        String::new()
    } else {
        format!(" on {}", retry.on.join(", "))
    };
    format!(
        "up to {} {growth}{on}",
        count(retry.attempts as usize, "attempt")
    )
}

fn short(duration: HumanDuration) -> String {
    human(duration.0)
}

/// Width of the ids, within reason.
fn id_column<'a>(steps: impl Iterator<Item = &'a PlanStep>) -> usize {
    let longest = steps.map(|step| step.id.as_str().len()).max();
    longest.unwrap_or(0).clamp(4, 20)
}
