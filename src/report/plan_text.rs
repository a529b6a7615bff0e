//! A plan as text for people: what will run, in which order, with which inputs, and how it is undone.

use super::plan_steps::Page;
use super::style::{Paint, Style};
use super::text::{Cell, Table, clip, count, one_line, value_text, width};
use crate::base::{Digest, Value};
use crate::model::{Effect, OnCancel, OnFailure, Risk, RunbookSeverity};
use crate::plan::{Expr, Plan, PlanRollback, PlanStep, PointOfNoReturn};

/// The whole plan. `digest` is what votes are bound to; people see its first digits.
pub fn plan_text(plan: &Plan, digest: &Digest, style: Style) -> String {
    let mut out = header(plan, digest, style);
    let page = Page::of(plan, style);
    let sections = [
        (&plan.steps, steps_heading(plan)),
        (
            &plan.verify,
            "Verify: only when all of it holds is the run a success".to_owned(),
        ),
        (&plan.finally, "Finally, whatever happened".to_owned()),
    ];
    let mut number = 1;
    for (at, (steps, heading)) in sections.into_iter().enumerate() {
        if at == 0 || !steps.is_empty() {
            out.push_str(&format!("\n{}\n", style.paint(Paint::Bold, &heading)));
            out.push_str(&page.steps(steps, number));
            number += steps.len();
        }
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
    risk.as_str()
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
    let paint = match environment.protected {
        true => Paint::Care,
        false => Paint::Plain,
    };
    fact("environment", environment.name.clone(), paint);
    for (key, text) in protection(plan) {
        fact(key, text, Paint::Care);
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
            format!("after {}", PointOfNoReturn::list(crossings.iter())),
            Paint::Care,
        );
    }
    fact("digest", format!("sha256:{}", digest.short()), Paint::Plain);
    format!(
        "{name}{title}\n{}{}{}",
        table.render(style),
        params(plan, style),
        secrets(plan, style)
    )
}

/// What a protected environment and its policy demand of the whole run.
fn protection(plan: &Plan) -> Vec<(&'static str, String)> {
    if !plan.environment.protected {
        return Vec::new();
    }
    let Some(policy) = &plan.policy else {
        return vec![("protected", "yes".to_owned())];
    };
    let demands = format!("yes, gates demanded by {}", policy.file);
    let mut facts = vec![("protected", demands)];
    let names = |names: Vec<&str>| names.join(", ");
    if !policy.windows.is_empty() {
        let windows = policy.windows.iter().map(|w| w.name.as_str()).collect();
        facts.push(("changes", format!("only in: {}", names(windows))));
    }
    if !policy.freezes.is_empty() {
        let freezes = policy.freezes.iter().map(|f| f.name.as_str()).collect();
        facts.push(("no changes", format!("during: {}", names(freezes))));
    }
    if let Some(emergency) = &policy.emergency {
        facts.push((
            "emergency",
            format!(
                "started by {}; reviewed by {} within {}",
                emergency.members.join(", "),
                emergency.review,
                emergency.review_within
            ),
        ));
    }
    facts
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

/// Where its secrets are to be had; never what they are.
fn secrets(plan: &Plan, style: Style) -> String {
    if plan.secrets.is_empty() {
        return String::new();
    }
    let mut table = Table::new(4);
    for (name, source) in &plan.secrets {
        table.row(vec![
            Cell::new(name, style).paint(Paint::Name),
            Cell::new(&format!("from {source}"), style),
        ]);
    }
    let heading = style.paint(Paint::Dim, "secrets, had only when a step needs them");
    format!("  {heading}\n{}", table.render(style))
}

fn steps_heading(plan: &Plan) -> String {
    let (mut steps, mut changing, mut gates, mut calls, mut loops) = (0, 0, 0, 0, 0);
    for (_, step) in all_of(&plan.steps) {
        loops += usize::from(step.for_each.is_some());
        if step.block.is_some() {
            calls += 1;
            continue;
        }
        steps += 1;
        gates += usize::from(is_gate(step));
        changing += usize::from(step.action.effect != Effect::Read && !is_gate(step));
    }
    let mut text = format!("{}, {changing} changing something", count(steps, "step"));
    for (n, noun) in [(gates, "gate"), (calls, "sub-runbook"), (loops, "loop")] {
        if n > 0 {
            text.push_str(&format!(", {}", count(n, noun)));
        }
    }
    text
}

/// The steps with those of their sub-runbooks, each with how deep it lies.
fn all_of(steps: &[PlanStep]) -> Vec<(usize, &PlanStep)> {
    let mut open: Vec<(usize, &PlanStep)> = steps.iter().rev().map(|step| (0, step)).collect();
    let mut all = Vec::new();
    while let Some((depth, step)) = open.pop() {
        all.push((depth, step));
        if let Some(block) = &step.block {
            let inner: Vec<_> = block.parts().map(|(child, _)| (depth + 1, child)).collect();
            open.extend(inner.into_iter().rev());
        }
    }
    all
}

/// Whether a step is a gate.
pub(crate) fn is_gate(step: &PlanStep) -> bool {
    step.is_gate()
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

/// `key: value`, or `key ~ template`; on one line, clipped.
pub(super) fn assignment(key: &str, expr: &Expr, indent: usize, style: Style) -> String {
    let text = expr_text(expr, style);
    assigned(key, &text, contains_template(expr), indent, style)
}

fn assigned(key: &str, text: &str, dynamic: bool, indent: usize, style: Style) -> String {
    let key = one_line(key, style);
    let sign = if dynamic { " ~ " } else { ": " };
    let room = style
        .width
        .saturating_sub(indent + width(&key) + sign.len())
        .max(10);
    let text = clip(text, room, style);
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

/// The inputs, one on each line.
pub(super) fn inputs(out: &mut String, with: &Expr, indent: usize, style: Style) {
    match with {
        Expr::Map(map) => {
            for (key, expr) in map {
                out.push_str(&assignment(key, expr, indent, style));
            }
        }
        Expr::Value(Value::Object(map)) => {
            for (key, value) in map {
                let text = value_text(value, style);
                out.push_str(&assigned(key, &text, false, indent, style));
            }
        }
        Expr::Value(Value::Null) => {}
        other => out.push_str(&assignment("with", other, indent, style)),
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
    let in_step = |(_, step): (usize, &PlanStep)| {
        contains_template(&step.action.with)
            || step.outputs.values().any(contains_template)
            || step
                .for_each
                .as_ref()
                .is_some_and(|each| contains_template(&each.items))
            || step
                .block
                .as_ref()
                .is_some_and(|block| block.outputs.values().any(contains_template))
            || matches!(&step.rollback, Some(PlanRollback::Undo { action, .. }) if contains_template(&action.with))
    };
    [&plan.steps, &plan.verify, &plan.finally]
        .into_iter()
        .flat_map(|list| all_of(list))
        .any(in_step)
        || plan.outputs.values().any(contains_template)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::fixtures::{plan_of, restart_plan, step, template};
    use crate::report::fixtures_gates::protected_plan;
    use serde_json::json;

    #[test]
    fn the_example_reads_well() {
        let digest = Digest::of_bytes(b"plan");
        let text = plan_text(&restart_plan(), &digest, Style::plain(80));
        insta::assert_snapshot!(text);
        assert!(text.lines().all(|line| width(line) <= 80));
    }

    #[test]
    fn a_protected_plan_says_who_opens_its_gates() {
        let plan = protected_plan();
        let text = plan_text(&plan, &Digest::of_bytes(b"plan"), Style::plain(80));
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
