//! What `exec --dry-run` found, step by step.

use serde_json::{Value, json};

use super::style::{Paint, Style, Symbol};
use super::text::{clip, one_line, value_text};
use crate::engine::{DryRunStep, DryRunVerdict};
use crate::handler::Preview;

/// The findings for people: what was performed, what would be done, in the order of the plan.
pub fn dry_run_text(steps: &[DryRunStep], style: Style) -> String {
    let mut out = style.paint(Paint::Bold, "Dry run: only steps that read were performed.");
    out.push('\n');
    for step in steps {
        let (symbol, paint, label, text) = words(&step.verdict, style);
        let name = step.name.as_deref().unwrap_or(&step.uses);
        let head = format!(
            "{} {}  {}",
            style.symbol(symbol),
            step.step,
            one_line(name, style)
        );
        let room = style.width.saturating_sub(label.len() + 4);
        out.push_str(&format!(
            "{}  {}\n",
            clip(&head, room, style),
            style.paint(paint, label)
        ));
        for line in text.lines() {
            let line = format!("    {}", one_line(line, style));
            out.push_str(&clip(&line, style.width, style));
            out.push('\n');
        }
    }
    out
}

fn words(verdict: &DryRunVerdict, style: Style) -> (Symbol, Paint, &'static str, String) {
    match verdict {
        DryRunVerdict::Performed { outputs, holds } => {
            let label = if *holds {
                "performed"
            } else {
                "performed; does not hold yet"
            };
            (Symbol::Good, Paint::Good, label, value_text(outputs, style))
        }
        DryRunVerdict::Failed(failure) => {
            let mut text = failure.error.to_string();
            if let Some(hint) = &failure.hint {
                text.push_str(&format!("\nnext: {hint}"));
            }
            (Symbol::Bad, Paint::Bad, "performed, failed", text)
        }
        DryRunVerdict::Would(Preview::Exact(text)) => {
            (Symbol::Step, Paint::Care, "would do exactly", text.clone())
        }
        DryRunVerdict::Would(Preview::Predicted(text)) => {
            (Symbol::Step, Paint::Care, "would probably do", text.clone())
        }
        DryRunVerdict::Would(Preview::Unknown(text)) => (
            Symbol::Care,
            Paint::Care,
            "unknown before the run",
            text.clone(),
        ),
        DryRunVerdict::Gate(message) => (
            Symbol::Gate,
            Paint::Care,
            "would wait for approval",
            message.clone(),
        ),
        DryRunVerdict::Skipped(condition) => (
            Symbol::Skipped,
            Paint::Dim,
            "would be skipped",
            format!("when: {condition}"),
        ),
    }
}

/// One step for programs.
pub fn dry_run_json(step: &DryRunStep) -> Value {
    let (verdict, detail) = match &step.verdict {
        DryRunVerdict::Performed { outputs, holds } => {
            ("performed", json!({ "outputs": outputs, "holds": holds }))
        }
        DryRunVerdict::Failed(failure) => ("failed", json!({ "failure": failure })),
        DryRunVerdict::Would(preview) => ("would", json!(preview)),
        DryRunVerdict::Gate(message) => ("gate", json!({ "message": message })),
        DryRunVerdict::Skipped(condition) => ("skipped", json!({ "when": condition })),
    };
    json!({
        "step": step.step,
        "name": step.name,
        "uses": step.uses,
        "inputs": step.inputs,
        "verdict": verdict,
        "detail": detail,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::StepId;

    fn found(verdict: DryRunVerdict) -> DryRunStep {
        DryRunStep {
            step: StepId::new("restart").expect("valid"),
            name: Some("Restart\u{1b}[2J it".to_owned()),
            uses: "service.restart".to_owned(),
            inputs: json!({ "service": "api" }),
            verdict,
        }
    }

    #[test]
    fn every_step_says_how_sure_it_is_and_nothing_moves_the_cursor() {
        let steps = [
            found(DryRunVerdict::Performed {
                outputs: json!({ "running": true }),
                holds: false,
            }),
            found(DryRunVerdict::Would(Preview::Exact(
                "kill -TERM 7".to_owned(),
            ))),
            found(DryRunVerdict::Would(Preview::Unknown(
                "needs `before`".to_owned(),
            ))),
            found(DryRunVerdict::Gate("go on?".to_owned())),
            found(DryRunVerdict::Skipped("1 > 2".to_owned())),
        ];
        let text = dry_run_text(&steps, Style::plain(80));
        for words in [
            "performed; does not hold yet",
            "would do exactly\n    kill -TERM 7",
            "unknown before the run",
            "would wait for approval\n    go on?",
            "would be skipped\n    when: 1 > 2",
        ] {
            assert!(text.contains(words), "{words} in:\n{text}");
        }
        assert!(!text.contains('\u{1b}'));
        assert_eq!(dry_run_json(&steps[1])["verdict"], "would");
    }
}
