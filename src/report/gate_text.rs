//! What a gate of a plan takes, in words: who, how long, what is filled in, what is asked again.

use super::style::Style;
use super::text::value_text;
use crate::model::OnExpiry;
use crate::plan::{Plan, PlanGateInput, PlanStep};

/// The gates of a plan under its policy.
#[derive(Clone, Copy)]
pub(super) struct GatePolicy<'a>(pub(super) &'a Plan);

impl GatePolicy<'_> {
    /// When the question lapses, and what then happens if that is not the end of it.
    pub(super) fn lapse(&self, gate: &PlanStep) -> Option<String> {
        let policy = self.0.policy.as_ref();
        let rule = policy.and_then(|policy| policy.rules.get(&self.0.gate_risk(gate)));
        let limits = [gate.timeout, rule.and_then(|rule| rule.expires)];
        let after = limits.into_iter().flatten().min()?;
        let own = gate.gate.as_ref().and_then(|ask| ask.on_expiry);
        let then = match own.or(rule.map(|rule| rule.on_expiry)) {
            None | Some(OnExpiry::Deny) => "",
            Some(OnExpiry::Escalate) => ", then the rest of the escalation is told",
            Some(OnExpiry::Park) => ", then waits without a limit",
        };
        Some(format!("lapses after {after}{then}"))
    }

    /// Its further lines, each with its heading.
    pub(super) fn gate(&self, gate: &PlanStep) -> Vec<(&'static str, String)> {
        let mut lines = Vec::new();
        let ask = gate.gate.as_deref();
        if ask.is_some_and(|ask| ask.demanded) {
            lines.push((
                "demanded by the policy",
                "no gate of the runbook holds back every change".to_owned(),
            ));
        }
        let risk = self.0.gate_risk(gate);
        if let Some(policy) = &self.0.policy {
            let rule = policy.rules.get(&risk);
            let mut takes = rule.map_or_else(|| "nobody".to_owned(), |rule| rule.told());
            if policy.require_signatures {
                takes.push_str(", signed");
            }
            lines.push((
                "approved by",
                format!("{takes}, for risk {}", risk.as_str()),
            ));
            if let Some(expires) = rule.and_then(|rule| rule.vote_expires) {
                lines.push(("each vote", format!("counts for {expires}")));
            }
            let mut not = Vec::new();
            if !policy.self_approval {
                not.push("whoever starts the run");
            }
            if policy.exclude_author {
                not.push("whoever changed the runbook last");
            }
            if !not.is_empty() {
                lines.push(("not by", not.join(", ")));
            }
        }
        let Some(ask) = ask else { return lines };
        for (name, input) in &ask.inputs {
            lines.push(("fills in", filled_in(name, input)));
        }
        if !ask.reads.is_empty() {
            let reads: Vec<&str> = ask.reads.iter().map(|read| read.as_str()).collect();
            lines.push(("asked again before it opens", reads.join(", ")));
        }
        lines
    }
}

fn filled_in(name: &str, input: &PlanGateInput) -> String {
    let default = match &input.default {
        Some(value) => format!(", default {}", value_text(value, Style::plain(80))),
        None => String::new(),
    };
    let what = match &input.description {
        Some(text) => format!("  {text}"),
        None => String::new(),
    };
    format!("{name} ({}{default}){what}", input.ty)
}
