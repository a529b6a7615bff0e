//! A plan as text for people: what will run, in which order, with which inputs, and how it is undone.

use super::style::{Paint, Style, Symbol};
use super::text::{Cell, Table, clip, count, human, one_line, pad, value_text, width};
use crate::base::{Digest, HumanDuration, Value};
use crate::model::{Backoff, Effect, OnCancel, OnFailure, Risk, RunbookSeverity, StepOnFailure};
use crate::plan::{Expr, Plan, PlanAction, PlanRetry, PlanRollback, PlanStep, PointOfNoReturn};

/// The action of a gate; the engine itself performs it.
pub(crate) const APPROVAL: &str = "approval";

/// The whole plan. `digest` is what votes are bound to; people see its first digits.
pub fn plan_text(plan: &Plan, digest: &Digest, style: Style) -> String {
    let mut out = header(plan, digest, style);
    let on_failure = match plan.on_failure {
        OnFailure::Rollback => StepOnFailure::Rollback,
        OnFailure::Stop => StepOnFailure::Stop,
    };
    let page = Page {
        plan,
        style,
        on_failure,
        ids: id_column(plan),
    };
    out.push('\n');
    out.push_str(&style.paint(Paint::Bold, &steps_heading(plan)));
    out.push('\n');
    out.push_str(&page.steps(&plan.steps, 1));
    if !plan.finally.is_empty() {
        let heading = "Finally, whatever happened";
        out.push_str(&format!("\n{}\n", style.paint(Paint::Bold, heading)));
        out.push_str(&page.steps(&plan.finally, plan.steps.len() + 1));
    }
    out.push_str(&outputs(plan, style));
    if has_template(plan) {
        let legend = "~ marks what is filled in when the step starts";
        out.push_str(&format!("\n{}\n", style.paint(Paint::Dim, legend)));
    }
    out
}

/// Risk as a word.
pub(crate) fn risk_word(risk: Risk) -> &'static str {
    match risk {
        Risk::Low => "low",
        Risk::Medium => "medium",
        Risk::High => "high",
    }
}

fn severity_word(severity: RunbookSeverity) -> &'static str {
    match severity {
        RunbookSeverity::P0 => "P0",
        RunbookSeverity::P1 => "P1",
        RunbookSeverity::P2 => "P2",
        RunbookSeverity::P3 => "P3",
    }
}

fn header(plan: &Plan, digest: &Digest, style: Style) -> String {
    let runbook = &plan.runbook;
    let name = style.paint(Paint::Bold, &one_line(&runbook.name, style));
    let title = runbook.title.as_deref().map_or(String::new(), |title| {
        let room = style.width.saturating_sub(width(&runbook.name) + 2);
        format!("  {}", clip(&one_line(title, style), room, style))
    });
    let mut table = Table::new(2);
    let mut fact = |key: &str, value: String, paint: Paint| {
        table.row(vec![
            Cell::new(key, style).paint(Paint::Dim),
            Cell::new(&value, style).paint(paint),
        ]);
    };
    fact("file", runbook.file.clone(), Paint::Plain);
    let environment = &plan.environment;
    if environment.protected {
        fact(
            "environment",
            format!("{} (protected)", environment.name),
            Paint::Care,
        );
    } else {
        fact("environment", environment.name.clone(), Paint::Plain);
    }
    let severity = runbook.severity.map_or(String::new(), |severity| {
        format!(", answers {}", severity_word(severity))
    });
    let paint = match runbook.risk {
        Risk::Low => Paint::Plain,
        Risk::Medium => Paint::Care,
        Risk::High => Paint::Bad,
    };
    fact(
        "risk",
        format!("{}{severity}", risk_word(runbook.risk)),
        paint,
    );
    if let Some(owner) = &runbook.owner {
        fact("owner", owner.clone(), Paint::Plain);
    }
    let objectives: Vec<String> = [("RTO", runbook.rto), ("RPO", runbook.rpo)]
        .into_iter()
        .filter_map(|(word, limit)| limit.map(|limit| format!("{word} {limit}")))
        .collect();
    if !objectives.is_empty() {
        fact("objectives", objectives.join(", "), Paint::Plain);
    }
    fact("on failure", on_failure_text(plan), Paint::Plain);
    let crossings = plan.points_of_no_return();
    if !crossings.is_empty() {
        fact(
            "no return",
            format!("after {}", PointOfNoReturn::list(&crossings)),
            Paint::Care,
        );
    }
    fact("digest", format!("sha256:{}", digest.short()), Paint::Plain);
    format!(
        "{name}{title}\n{}{}",
        table.render(style),
        params(plan, style)
    )
}

fn on_failure_text(plan: &Plan) -> String {
    let mut text = match plan.on_failure {
        OnFailure::Rollback => "roll back".to_owned(),
        OnFailure::Stop => "stop, leave everything as it is".to_owned(),
    };
    if plan.on_cancel == OnCancel::Rollback {
        text.push_str("; when cancelled: roll back");
    }
    if let Some(timeout) = plan.timeout {
        text.push_str(&format!("; timeout of the run {timeout}"));
    }
    text
}

fn params(plan: &Plan, style: Style) -> String {
    if plan.params.is_empty() {
        return String::new();
    }
    let mut table = Table::new(4);
    for (name, param) in &plan.params {
        table.row(vec![
            Cell::new(name, style).paint(Paint::Name),
            Cell::new(&param.ty.to_string(), style).paint(Paint::Dim),
            Cell::new(&value_text(&param.value, style), style),
        ]);
    }
    let heading = style.paint(Paint::Dim, "parameters");
    format!("  {heading}\n{}", table.render(style))
}

fn steps_heading(plan: &Plan) -> String {
    let gates = plan.steps.iter().filter(|step| is_gate(step)).count();
    let changing = plan
        .steps
        .iter()
        .filter(|step| step.action.effect != Effect::Read && !is_gate(step))
        .count();
    let mut text = format!(
        "{}, {changing} changing something",
        count(plan.steps.len(), "step")
    );
    if gates > 0 {
        text.push_str(&format!(", {}", count(gates, "gate")));
    }
    text
}

/// Whether a step is a gate.
pub(crate) fn is_gate(step: &PlanStep) -> bool {
    step.action.uses == APPROVAL
}

fn id_column(plan: &Plan) -> usize {
    let longest = plan
        .steps
        .iter()
        .chain(&plan.finally)
        .map(|step| step.id.as_str().len())
        .max()
        .unwrap_or(0);
    longest.clamp(4, 20)
}

fn outputs(plan: &Plan, style: Style) -> String {
    if plan.outputs.is_empty() {
        return String::new();
    }
    let mut out = format!("\n{}\n", style.paint(Paint::Bold, "Outputs"));
    for (name, expr) in &plan.outputs {
        out.push_str(&assignment(name, expr, 2, style));
    }
    out
}

/// What all steps of a page share.
struct Page<'a> {
    plan: &'a Plan,
    style: Style,
    on_failure: StepOnFailure,
    ids: usize,
}

impl Page<'_> {
    fn steps(&self, steps: &[PlanStep], first: usize) -> String {
        let mut out = String::new();
        for (i, step) in steps.iter().enumerate() {
            let above = i.checked_sub(1).and_then(|i| steps.get(i));
            out.push_str(&self.step(step, above, first + i));
        }
        out
    }

    fn step(&self, step: &PlanStep, above: Option<&PlanStep>, number: usize) -> String {
        let style = self.style;
        let gate = is_gate(step);
        let (symbol, paint) = if gate {
            (style.symbol(Symbol::Gate), Paint::Care)
        } else {
            (" ", Paint::Name)
        };
        let id = style.paint(paint, &pad(step.id.as_str(), self.ids));
        let lead = 4 + 1 + 1 + 1 + self.ids.max(step.id.as_str().len()) + 2;
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
            "{number:>4} {} {id}  {}\n",
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
        if step.on_failure != self.on_failure {
            line("on failure", step_on_failure(step.on_failure), Paint::Care);
        }
        out.push_str(&self.inputs(&step.action, 9));
        for (name, expr) in &step.outputs {
            out.push_str(&assignment(&format!("output {name}"), expr, 9, style));
        }
        if gate {
            let crossings = self.plan.crossed_after(&step.id);
            if !crossings.is_empty() {
                let text = format!(
                    "{}, which cannot be undone",
                    PointOfNoReturn::list(&crossings)
                );
                out.push_str(&self.detail("lets through", &text, Paint::Care));
            }
        } else {
            out.push_str(&self.undo(step));
        }
        out
    }

    /// Action, effect and limit on one line.
    fn action_line(&self, step: &PlanStep) -> String {
        let dot = self.style.symbol(Symbol::Dot);
        let mut parts = vec![step.action.uses.clone()];
        if !is_gate(step) {
            parts.push(step.action.effect.to_string());
        }
        if let Some(timeout) = step.timeout {
            parts.push(if is_gate(step) {
                format!("lapses after {timeout}")
            } else {
                format!("timeout {timeout}")
            });
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
        let indent = " ".repeat(9);
        let used = 9 + width(&key);
        let text = clip(
            &one_line(text, style),
            style.width.saturating_sub(used).max(10),
            style,
        );
        format!("{indent}{key}{}\n", style.paint(paint, &text))
    }

    fn inputs(&self, action: &PlanAction, indent: usize) -> String {
        entries(&action.with)
            .iter()
            .map(|(key, expr)| assignment(key, expr, indent, self.style))
            .collect()
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
                self.detail("undone by", &text, Paint::Good) + &self.inputs(action, 11)
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

/// `key: value`, or `key ~ template`; on one line, clipped.
fn assignment(key: &str, expr: &Expr, indent: usize, style: Style) -> String {
    let key = one_line(key, style);
    let dynamic = contains_template(expr);
    let sign = if dynamic { " ~ " } else { ": " };
    let room = style
        .width
        .saturating_sub(indent + width(&key) + sign.len())
        .max(10);
    let text = clip(&expr_text(expr, style), room, style);
    let paint = if dynamic {
        Paint::Template
    } else {
        Paint::Plain
    };
    format!(
        "{}{}{}{}\n",
        " ".repeat(indent),
        style.paint(Paint::Dim, &key),
        sign,
        style.paint(paint, &text)
    )
}

/// The inputs by name.
fn entries(with: &Expr) -> Vec<(String, Expr)> {
    match with {
        Expr::Map(map) => map.iter().map(|(k, v)| (k.clone(), v.clone())).collect(),
        Expr::Value(Value::Object(map)) => map
            .iter()
            .map(|(k, v)| (k.clone(), Expr::Value(v.clone())))
            .collect(),
        Expr::Value(Value::Null) => Vec::new(),
        other => vec![("with".to_owned(), other.clone())],
    }
}

/// An expression on one line; templates as they are written.
pub(crate) fn expr_text(expr: &Expr, style: Style) -> String {
    match expr {
        Expr::Value(value) => value_text(value, style),
        Expr::Template { text, .. } => one_line(text, style),
        Expr::List(items) => {
            let items: Vec<String> = items.iter().map(|item| expr_text(item, style)).collect();
            format!("[{}]", items.join(", "))
        }
        Expr::Map(map) => {
            let items: Vec<String> = map
                .iter()
                .map(|(key, value)| {
                    format!("{}: {}", one_line(key, style), expr_text(value, style))
                })
                .collect();
            format!("{{{}}}", items.join(", "))
        }
    }
}

fn contains_template(expr: &Expr) -> bool {
    match expr {
        Expr::Value(_) => false,
        Expr::Template { .. } => true,
        Expr::List(items) => items.iter().any(contains_template),
        Expr::Map(map) => map.values().any(contains_template),
    }
}

fn has_template(plan: &Plan) -> bool {
    let in_step = |step: &PlanStep| {
        contains_template(&step.action.with)
            || step.outputs.values().any(contains_template)
            || matches!(&step.rollback, Some(PlanRollback::Undo { action, .. }) if contains_template(&action.with))
    };
    plan.steps.iter().chain(&plan.finally).any(in_step)
        || plan.outputs.values().any(contains_template)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::fixtures::{plan_of, restart_plan, step, template};
    use serde_json::json;

    #[test]
    fn the_example_reads_well() {
        let digest = Digest::of_bytes(b"plan");
        let text = plan_text(&restart_plan(), &digest, Style::plain(80));
        insta::assert_snapshot!(text);
        assert!(text.lines().all(|line| width(line) <= 80));
    }

    #[test]
    fn unusual_needs_scripts_and_hostile_inputs_stay_on_their_line() {
        let mut a = step("a", "shell", &[]);
        a.action = crate::report::fixtures::action(
            "shell",
            Effect::Once,
            &[
                ("script", template("set -e\necho {{ params.x }}\n\x1b[2J")),
                ("literal", Expr::Value(json!("{{ not a template }}"))),
                (
                    "list",
                    Expr::List(vec![Expr::Value(json!(1)), template("{{ vars.y }}")]),
                ),
            ],
        );
        let mut plan = plan_of(vec![
            a,
            step("b", "shell", &[]),
            step("c", "shell", &["a", "b"]),
        ]);
        plan.environment.protected = true;
        plan.runbook.title = Some("long ".repeat(40));
        let text = plan_text(&plan, &Digest::of_bytes(b"plan"), Style::plain(80));
        insta::assert_snapshot!(text);
        assert!(!text.contains('\x1b'));
        let colored = Style {
            color: true,
            unicode: false,
            width: 80,
        };
        assert!(plan_text(&plan, &Digest::of_bytes(b"plan"), colored).is_ascii());
    }
}
