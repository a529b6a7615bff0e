//! What `exec --dry-run` found, step by step.

use serde_json::{Value, json};

use super::style::{Paint, Style, Symbol};
use super::text::{clip, count, one_line, value_text, width};
use crate::engine::{DryRunStep, DryRunVerdict};
use crate::plan::PlanPart;

/// Lines of one preview that are shown.
const LINES: usize = 60;

/// The findings for people: what was performed, what would be done, in the order of the plan, what
/// belongs to a loop or sub-runbook below it.
pub fn dry_run_text(steps: &[DryRunStep], style: Style) -> String {
    let mut out = style.paint(
        Paint::Bold,
        "Dry run: only steps that read were performed; the others show what they would do.",
    );
    out.push('\n');
    let mut part = PlanPart::Steps;
    for step in steps {
        let depth = step.step.depth();
        if depth == 0 && step.part != part {
            part = step.part;
            let heading = match part {
                PlanPart::Steps => "steps",
                PlanPart::Verify => "verify, at the end of the steps",
                PlanPart::Finally => "finally, whatever happened",
            };
            out.push_str(&format!("{}\n", style.paint(Paint::Dim, heading)));
        }
        out.push_str(&entry(step, depth, style));
    }
    out.push_str(&closing(steps, style));
    out
}

fn entry(step: &DryRunStep, depth: usize, style: Style) -> String {
    let indent = "  ".repeat(depth);
    let found = words(step, style);
    let name = step.name.as_deref().unwrap_or(&step.uses);
    let id = match step.step.key() {
        Some(key) => format!("[{key}]"),
        None => step.step.last().to_owned(),
    };
    let head = format!(
        "{indent}{} {id}  {}",
        style.symbol(found.symbol),
        one_line(name, style)
    );
    let room = style.width.saturating_sub(width(&found.label) + 2);
    let mut out = format!(
        "{}  {}\n",
        clip(&head, room, style),
        style.paint(found.paint, &found.label)
    );
    let lines = found.text.lines().count();
    for line in found.text.lines().take(LINES) {
        let line = format!("{indent}    {}", one_line(line, style));
        out.push_str(&clip(&line, style.width, style));
        out.push('\n');
    }
    if lines > LINES {
        let more = format!("{indent}    and {}", count(lines - LINES, "more line"));
        out.push_str(&format!("{}\n", style.paint(Paint::Dim, &more)));
    }
    out
}

/// How many steps are of which certainty, and what that means for a run.
fn closing(steps: &[DryRunStep], style: Style) -> String {
    let mut counts: Vec<(&str, usize)> = Vec::new();
    for step in steps {
        let word = match &step.verdict {
            DryRunVerdict::Loop(_) | DryRunVerdict::Runbook(_) => continue,
            DryRunVerdict::Performed { .. }
            | DryRunVerdict::Unmet { .. }
            | DryRunVerdict::Failed(_) => "performed",
            DryRunVerdict::Would(preview) => preview.label(),
            DryRunVerdict::Gate(_) => "at a gate",
            DryRunVerdict::Skipped(_) | DryRunVerdict::AlreadySo { .. } => "skipped",
        };
        match counts.iter_mut().find(|(known, _)| *known == word) {
            Some((_, n)) => *n += 1,
            None => counts.push((word, 1)),
        }
    }
    let counts: Vec<String> = counts
        .iter()
        .map(|(word, n)| format!("{n} {word}"))
        .collect();
    let mut out = format!("\n{}\n", style.paint(Paint::Dim, &counts.join(", ")));
    let failed: Vec<&str> = steps
        .iter()
        .filter(|step| step.failed())
        .map(|step| step.step.as_str())
        .collect();
    if let Some(first) = failed.first() {
        let text = format!(
            "{} a run would fail at `{first}` as things are now",
            style.symbol(Symbol::Bad)
        );
        out.push_str(&format!("{}\n", style.paint(Paint::Bad, &text)));
    }
    out
}

/// A finding in words.
struct Found {
    symbol: Symbol,
    paint: Paint,
    label: String,
    text: String,
}

fn words(step: &DryRunStep, style: Style) -> Found {
    let now = if step.as_now {
        ", as things are now"
    } else {
        ""
    };
    let found = |symbol, paint, label: &str, text: String| Found {
        symbol,
        paint,
        label: label.to_owned(),
        text,
    };
    let read = |symbol, paint, label: &str, text: String| {
        found(symbol, paint, &format!("performed{now}{label}"), text)
    };
    match &step.verdict {
        DryRunVerdict::Performed {
            outputs,
            waits_for: None,
        } => read(Symbol::Good, Paint::Good, "", value_text(outputs, style)),
        DryRunVerdict::Performed {
            outputs,
            waits_for: Some(until),
        } => read(
            Symbol::Again,
            Paint::Care,
            "; does not hold yet",
            format!("{}\nuntil: {until}", value_text(outputs, style)),
        ),
        DryRunVerdict::Unmet { outputs, verify } => read(
            Symbol::Bad,
            Paint::Bad,
            "; does not hold",
            format!("{}\nverify: {verify}", value_text(outputs, style)),
        ),
        DryRunVerdict::Failed(failure) => {
            let mut text = failure.error.to_string();
            if let Some(hint) = &failure.hint {
                text.push_str(&format!("\nnext: {hint}"));
            }
            read(Symbol::Bad, Paint::Bad, ", failed", text)
        }
        DryRunVerdict::Would(preview) => {
            let (symbol, paint) = match preview.label() {
                "exact" => (Symbol::Step, Paint::Name),
                "predicted" => (Symbol::Step, Paint::Care),
                _ => (Symbol::Care, Paint::Care),
            };
            found(symbol, paint, preview.label(), preview.text().to_owned())
        }
        DryRunVerdict::Gate(message) => found(
            Symbol::Gate,
            Paint::Care,
            "would wait for approval",
            message.clone(),
        ),
        DryRunVerdict::Skipped(condition) => found(
            Symbol::Skipped,
            Paint::Dim,
            &format!("would be skipped{now}"),
            format!("when: {condition}"),
        ),
        DryRunVerdict::AlreadySo { condition, .. } => found(
            Symbol::Skipped,
            Paint::Dim,
            &format!("would be skipped{now}"),
            format!("already so: {condition}"),
        ),
        DryRunVerdict::Loop(keys) if keys.is_empty() => found(
            Symbol::Skipped,
            Paint::Dim,
            "no instances: the list is empty",
            String::new(),
        ),
        DryRunVerdict::Loop(keys) => found(
            Symbol::Step,
            Paint::Name,
            &count(keys.len(), "instance"),
            String::new(),
        ),
        DryRunVerdict::Runbook(_) => found(
            Symbol::Step,
            Paint::Name,
            "sub-runbook",
            inputs_line(&step.inputs, style),
        ),
    }
}

/// Parameters of a sub-runbook on one line.
fn inputs_line(inputs: &Value, style: Style) -> String {
    let given = inputs.as_object().into_iter().flatten();
    let given: Vec<String> = given
        .map(|(name, value)| format!("{name}: {}", value_text(value, style)))
        .collect();
    given.join(", ")
}

/// One step for programs.
pub fn dry_run_json(step: &DryRunStep) -> Value {
    let (verdict, detail) = match &step.verdict {
        DryRunVerdict::Performed { outputs, waits_for } => (
            "performed",
            json!({ "outputs": outputs, "holds": waits_for.is_none(), "until": waits_for }),
        ),
        DryRunVerdict::Unmet { outputs, verify } => (
            "performed",
            json!({ "outputs": outputs, "holds": false, "verify": verify }),
        ),
        DryRunVerdict::Failed(failure) => ("failed", json!({ "failure": failure })),
        DryRunVerdict::Would(preview) => ("would", json!(preview)),
        DryRunVerdict::Gate(message) => ("gate", json!({ "message": message })),
        DryRunVerdict::Skipped(condition) => ("skipped", json!({ "when": condition })),
        DryRunVerdict::AlreadySo { condition, outputs } => (
            "already_so",
            json!({ "unless": condition, "outputs": outputs }),
        ),
        DryRunVerdict::Loop(keys) => ("loop", json!({ "instances": keys })),
        DryRunVerdict::Runbook(name) => ("runbook", json!({ "runbook": name })),
    };
    json!({
        "step": step.step,
        "name": step.name,
        "uses": step.uses,
        "part": match step.part {
            PlanPart::Steps => "steps",
            PlanPart::Verify => "verify",
            PlanPart::Finally => "finally",
        },
        "inputs": step.inputs,
        "as_things_are_now": step.as_now,
        "verdict": verdict,
        "detail": detail,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::StepId;
    use crate::event::FailureKind;
    use crate::handler::{Preview, StepError};

    fn found(id: &str, part: PlanPart, as_now: bool, verdict: DryRunVerdict) -> DryRunStep {
        DryRunStep {
            step: StepId::parse(id).expect("valid"),
            name: Some("Restart\u{1b}[2J it".to_owned()),
            uses: "service.restart".to_owned(),
            part,
            inputs: json!({ "service": "api" }),
            as_now,
            verdict,
        }
    }

    #[test]
    fn every_step_says_how_sure_it_is_and_nothing_moves_the_cursor() {
        use DryRunVerdict as V;
        let steps = PlanPart::Steps;
        let would = |preview| V::Would(preview);
        let performed = |waits_for: Option<&str>| V::Performed {
            outputs: json!({ "healthy": waits_for.is_none() }),
            waits_for: waits_for.map(str::to_owned),
        };
        let failed = StepError::new(FailureKind::Error, "no answer").hint("look at it");
        let all = [
            found("before", steps, false, performed(None)),
            found("seen", steps, false, V::Failed(failed.0)),
            found(
                "fan",
                steps,
                false,
                V::Loop(vec!["api".into(), "db".into()]),
            ),
            found(
                "fan[api]",
                steps,
                false,
                would(Preview::Predicted("send TERM to pid 7\nstart ./api".into())),
            ),
            found(
                "fan[db]",
                steps,
                true,
                V::AlreadySo {
                    condition: "outputs.healthy".into(),
                    outputs: json!({}),
                },
            ),
            found("deploy", steps, true, V::Runbook("deploy".into())),
            found(
                "deploy/put",
                steps,
                true,
                would(Preview::Exact("/bin/sh -eu -c\n./put".into())),
            ),
            found("deploy/none", steps, true, V::Loop(Vec::new())),
            found(
                "use",
                steps,
                true,
                would(Preview::Unknown(
                    "depends on `fan`, which was not performed".into(),
                )),
            ),
            found("go", steps, true, V::Gate("go on?".into())),
            found("odd", steps, true, V::Skipped("1 > 2".into())),
            found(
                "healthy",
                PlanPart::Verify,
                true,
                performed(Some("outputs.healthy")),
            ),
            found(
                "tell",
                PlanPart::Finally,
                true,
                would(Preview::Exact("print: done".into())),
            ),
        ];
        let text = dry_run_text(&all, Style::plain(80));
        assert!(!text.contains('\u{1b}'));
        assert!(text.lines().all(|line| width(line) <= 82), "{text}");
        insta::assert_snapshot!(text);
        assert_eq!(dry_run_json(&all[3])["detail"]["label"], "predicted");
        assert_eq!(dry_run_json(&all[11])["part"], "verify");
    }
}
