//! What is to become of an open gate: who may vote, what the votes amount to, and whether what was
//! approved is still what is there.

use std::collections::BTreeSet;

use super::eval::{self, Fresh, Place};
use super::gate::{Gate, Survey};
use super::node::{Node, NodeKind, NodeStatus, Stage};
use super::policy::{CastVote, Electorate, Hold, Judgement, Verdict, hold, verdict, verdict_where};
use super::state::RunState;
use crate::base::{Digest, Map, StepId, Timestamp, Value};
use crate::event::{Difference, Vote};
use crate::language::ExprError;
use crate::model::{Effect, OnExpiry, Risk, has_nothing_to_undo};
use crate::plan::{PlanGate, PlanGateInput, PlanPolicy, PlanRule};

/// What an open gate is about to do.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Turn {
    /// It waits for votes.
    Waits,
    /// Somebody who may vote said no.
    Rejected,
    /// Somebody who may vote sent the run back.
    SentBack(StepId),
    /// The votes suffice, but nothing may be released now.
    Held(Hold),
    /// The votes suffice; these of its `read` steps are to be asked again. None: all were asked, and
    /// some have not answered.
    Look(Vec<usize>),
    /// The votes suffice; the files are to be read again.
    Survey,
    /// What was approved is not what is there.
    Differs(Vec<Difference>),
    /// It opens.
    Opens {
        /// The plan that the files give now.
        confirmed: Option<Digest>,
    },
}

impl RunState {
    /// The policy that the run is subject to: that of its plan, or a later one that a gate was voided for.
    pub fn policy(&self) -> Option<&PlanPolicy> {
        let later = self.later_policy.as_deref();
        later.or(self.plan.policy.as_deref())
    }

    /// Who may not vote, whatever roles they have.
    pub(super) fn excluded_by(&self, policy: Option<&PlanPolicy>) -> BTreeSet<String> {
        let Some(policy) = policy else {
            return BTreeSet::new();
        };
        let starters = self.starters.iter().filter(|_| !policy.self_approval);
        let author = self.author.iter().filter(|_| policy.exclude_author);
        starters.chain(author).cloned().collect()
    }

    fn gate_of(&self, i: usize) -> Option<&Gate> {
        self.nodes[i].gate.as_deref()
    }

    /// What a gate asks, as its plan says; of a plan stored by an older version nothing.
    pub(super) fn asks(&self, i: usize) -> Option<&PlanGate> {
        self.step(i).gate.as_deref()
    }

    pub(super) fn risk_of(&self, i: usize) -> Risk {
        self.asks(i).map_or(self.plan.runbook.risk, |ask| ask.risk)
    }

    pub(super) fn rule_of(&self, i: usize) -> Option<&PlanRule> {
        self.policy()?.rules.get(&self.risk_of(i))
    }

    pub(super) fn on_expiry(&self, i: usize) -> OnExpiry {
        let own = self.asks(i).and_then(|ask| ask.on_expiry);
        own.or_else(|| Some(self.rule_of(i)?.on_expiry))
            .unwrap_or_default()
    }

    pub(super) fn electorate_of(&self, i: usize) -> Option<Electorate<'_>> {
        Some(Electorate {
            // In an emergency whoever is there fills in what the gate asks for.
            policy: self.policy().filter(|_| self.emergency.is_none()),
            risk: self.risk_of(i),
            excluded: &self.excluded,
            plan_digest: self.plan_digest?,
            round: self.gate_of(i)?.round,
        })
    }

    /// Who may vote at a gate that is or was open, and what it takes; `None` for any other step.
    pub fn electorate(&self, gate: &StepId) -> Option<Electorate<'_>> {
        self.electorate_of(self.get(gate)?)
    }

    /// What the votes at a gate that is or was open amount to; `None` for any other step.
    pub fn judge(&self, gate: &StepId, now: Timestamp) -> Option<Judgement> {
        self.judged(self.get(gate)?, now)
    }

    pub(super) fn judged(&self, i: usize, now: Timestamp) -> Option<Judgement> {
        let (electorate, gate) = (self.electorate_of(i)?, self.gate_of(i)?);
        let votes = &self.nodes[i].votes;
        if gate.flawed.is_empty() {
            return Some(self.verdict_at(i, &electorate, votes, now));
        }
        let sound: Vec<usize> = (0..votes.len())
            .filter(|at| !gate.flawed.contains_key(at))
            .collect();
        let those: Vec<_> = sound.iter().map(|&at| votes[at].clone()).collect();
        let mut judgement = self.verdict_at(i, &electorate, &those, now);
        for at in &mut judgement.counted {
            *at = sound[*at];
        }
        for (at, _) in &mut judgement.ignored {
            *at = sound[*at];
        }
        let flawed = gate.flawed.iter().map(|(at, why)| (*at, why.clone()));
        judgement.ignored.extend(flawed);
        judgement.ignored.sort_by_key(|(at, _)| *at);
        Some(judgement)
    }

    /// While the gate is open, a send-back that cannot be carried out counts for nothing.
    fn verdict_at(
        &self,
        i: usize,
        electorate: &Electorate<'_>,
        votes: &[CastVote],
        now: Timestamp,
    ) -> Judgement {
        let node = &self.nodes[i];
        match node.status {
            NodeStatus::Gate { .. } => {
                let can = |to: &StepId| self.can_send_back(&node.id, to);
                verdict_where(electorate, votes, now, &can)
            }
            _ => verdict(electorate, votes, now),
        }
    }

    /// What an open gate is about to do; as of `now`.
    pub(super) fn turn(&self, i: usize, now: Timestamp) -> Turn {
        let Some(gate) = self.gate_of(i) else {
            return Turn::Waits;
        };
        let asks_nothing = || self.asks(i).is_none_or(|ask| !ask.must_be_filled_in());
        if self.emergency.is_some() && asks_nothing() {
            return Turn::Opens { confirmed: None };
        }
        if self.nodes[i].votes.is_empty() {
            return Turn::Waits;
        }
        match self.judged(i, now).map(|judgement| judgement.verdict) {
            None | Some(Verdict::Pending) => Turn::Waits,
            Some(Verdict::Rejected) => Turn::Rejected,
            Some(Verdict::SentBack { to }) => Turn::SentBack(to),
            Some(Verdict::Approved) if self.emergency.is_some() => Turn::Opens { confirmed: None },
            Some(Verdict::Approved) => self.sufficient(i, gate, now),
        }
    }

    /// The votes suffice.
    fn sufficient(&self, i: usize, gate: &Gate, now: Timestamp) -> Turn {
        if let Some(hold) = self.policy().and_then(|policy| hold(policy, now)) {
            return Turn::Held(hold);
        }
        let reads: Vec<(usize, usize)> = self.reads(i).collect();
        if reads.iter().any(|(n, _)| gate.fresh(*n).is_none()) {
            let due = |n: &usize| gate.fresh(*n).is_none() && gate.looks[*n].under_way.is_none();
            return Turn::Look(reads.into_iter().map(|(n, _)| n).filter(due).collect());
        }
        let survey = gate.surveyed();
        if survey.is_none() && self.must_survey() {
            return Turn::Survey;
        }
        let mut differences = self.seen_again(i, gate, &reads);
        let confirmed = survey.and_then(|survey| survey.plan_digest);
        differences.extend(survey.into_iter().flat_map(|s| self.surveyed(gate, s)));
        match differences.is_empty() {
            true => Turn::Opens { confirmed },
            false => Turn::Differs(differences),
        }
    }

    /// What a survey says that the voters of this round do not know.
    fn surveyed(&self, gate: &Gate, survey: &Survey) -> Vec<Difference> {
        let mut differences = Vec::new();
        if gate.policies != self.policies {
            // Another gate was voided for it, so it is in force, and no survey finds it new any more.
            differences.push(plain("another policy came into force".to_owned()));
        }
        if !survey.is_known(gate.known_survey.as_ref()) {
            differences.extend_from_slice(&survey.differences);
        }
        differences
    }

    /// Whether the files are read again before a gate opens: where a policy says who may approve.
    fn must_survey(&self) -> bool {
        self.policy().is_some()
    }

    /// The `read` steps that a gate has asked again: their positions and nodes. One that did not
    /// succeed showed nothing.
    pub(super) fn reads(&self, i: usize) -> impl Iterator<Item = (usize, usize)> {
        let reads = self.asks(i).map_or(&[][..], |ask| &ask.reads);
        reads.iter().enumerate().filter_map(move |(n, id)| {
            let read = eval::step_named(self, Place::of(self, i), id.as_str())?;
            let node = &self.nodes[read];
            let asked = node.kind == NodeKind::Step && node.status == NodeStatus::Succeeded;
            asked.then_some((n, read))
        })
    }

    /// The node of a `read` step of a gate.
    pub(super) fn read_of(&self, i: usize, n: u32) -> Option<usize> {
        let n = usize::try_from(n).ok()?;
        let found = self.reads(i).find(|(at, _)| *at == n);
        found.map(|(_, read)| read)
    }

    /// What a gate asks, with these outputs in place of those on record.
    pub(super) fn message(&self, i: usize, fresh: Fresh<'_>) -> Result<String, ExprError> {
        let with = &self.step(i).action.with;
        let inputs = eval::render_again(self, Place::of(self, i), with, None, fresh)?;
        let asked = inputs.get("message").and_then(Value::as_str);
        let asked = asked.unwrap_or_default();
        Ok(self.plan.gate_message(&self.nodes[i].id, asked))
    }

    /// What is not as it was when the gate's message was shown, and whether `verify` holds.
    fn seen_again(&self, i: usize, gate: &Gate, reads: &[(usize, usize)]) -> Vec<Difference> {
        let mut differences = Vec::new();
        let mut fresh: Vec<(usize, &Value)> = Vec::new();
        for &(n, read) in reads {
            match gate.fresh(n) {
                Some(Ok(outputs)) => fresh.push((read, outputs)),
                Some(Err(failure)) => differences.push(plain(format!(
                    "`{}` could not be asked again: {}",
                    self.step(read).id,
                    failure.error
                ))),
                None => {}
            }
        }
        // What could not be asked is told once; what depends on it is not judged by old values.
        if !differences.is_empty() {
            return differences;
        }
        let shown = self.nodes[i].inputs.get("message").and_then(Value::as_str);
        let shown = shown.unwrap_or_default();
        match self.message(i, &fresh) {
            Ok(message) if message == shown => {}
            Ok(message) => differences.extend(self.told_apart(i, gate, reads, shown, message)),
            Err(error) => differences.push(plain(format!("the message has no value: {error}"))),
        }
        differences.extend(self.not_verified(i, &fresh));
        differences
    }

    /// Which of the values that a message shows are others now.
    fn told_apart(
        &self,
        i: usize,
        gate: &Gate,
        reads: &[(usize, usize)],
        shown: &str,
        message: String,
    ) -> Vec<Difference> {
        let mut differences: Vec<Difference> = Vec::new();
        for reference in self.step(i).action.with.references() {
            let [root, id, outputs, rest @ ..] = reference.path.as_slice() else {
                continue;
            };
            let read = reads.iter().find(|(_, read)| {
                let named = self.step(*read).id.as_str() == id;
                named && root == "steps" && outputs == "outputs"
            });
            let Some(&(n, read)) = read else { continue };
            let before = gate.known[n].as_ref().unwrap_or(&self.nodes[read].outputs);
            let after = match gate.fresh(n) {
                Some(Ok(outputs)) => outputs,
                _ => continue,
            };
            let (before, after) = (told(before, rest), told(after, rest));
            if before != after {
                let what = format!("{id}: {}", reference.path[2..].join("."));
                differences.push(Difference {
                    what,
                    before,
                    after,
                });
            }
        }
        differences.dedup();
        if differences.is_empty() {
            differences.push(Difference {
                what: "message".to_owned(),
                before: clipped(shown),
                after: clipped(&message),
            });
        }
        differences
    }

    fn not_verified(&self, i: usize, fresh: Fresh<'_>) -> Option<Difference> {
        let verify = self.step(i).verify.as_ref()?;
        let place = Place::of(self, i);
        match eval::holds_again(self, place, verify, None, fresh) {
            Ok(true) => None,
            Ok(false) => {
                let seen = eval::looked_at_again(self, place, verify, None, fresh);
                let is = |(name, value): &(String, Value)| format!("`{name}` is {value}");
                let seen: Vec<String> = seen.iter().map(is).collect();
                let seen = clipped(&seen.join(", "));
                Some(plain(format!(
                    "`verify` does not hold: `{verify}` ({seen})"
                )))
            }
            Err(error) => Some(plain(format!(
                "`verify` cannot be computed: `{verify}`: {error}"
            ))),
        }
    }

    /// What the read steps of a gate say as far as its voters know, when a void has told them.
    pub(super) fn known(&self, i: usize) -> Vec<(usize, &Value)> {
        let Some(gate) = self.gate_of(i) else {
            return Vec::new();
        };
        let known = |(n, read): (usize, usize)| Some((read, gate.known[n].as_ref()?));
        self.reads(i).filter_map(known).collect()
    }

    /// Whether a node is part of some `finally`.
    pub(super) fn is_cleanup(&self, i: usize) -> bool {
        let mut at = Some(i);
        while let Some(i) = at {
            if self.nodes[i].stage == Stage::Finally {
                return true;
            }
            at = self.frame_of(i).node;
        }
        false
    }

    /// Whether a step of a `finally` would change something that nobody approved.
    pub(super) fn lacks_approval(&self, i: usize) -> bool {
        let action = &self.step(i).action;
        let passed = self.approved.is_some_and(|r| r >= self.plan.runbook.risk);
        self.plan.policy.is_some()
            && self.emergency.is_none()
            && !passed
            && self.nodes[i].kind == NodeKind::Step
            && action.effect != Effect::Read
            && !has_nothing_to_undo(&action.uses)
            && self.is_cleanup(i)
    }

    /// When nothing but a vote, time or a due check can move a gate.
    pub(super) fn is_gate_quiet(&self, i: usize) -> bool {
        let busy = self.gate_of(i).is_some_and(Gate::is_busy);
        let turn = || self.turn(i, self.clock);
        !busy && matches!(turn(), Turn::Waits | Turn::Held(_))
    }
}

impl PlanGate {
    /// Whether it asks for something that has no default.
    pub(super) fn must_be_filled_in(&self) -> bool {
        self.inputs.values().any(|input| input.default.is_none())
    }

    /// What was filled in, with defaults, in the form of its types.
    ///
    /// # Errors
    /// What is wrong with it, in words; it never quotes a value.
    pub(super) fn filled_in(
        &self,
        state: &RunState,
        given: &Map<String, Value>,
    ) -> Result<Map<String, Value>, String> {
        if let Some(name) = given.keys().find(|name| !self.inputs.contains_key(*name)) {
            return Err(format!("the gate does not ask for `{name}`"));
        }
        let mut all = Map::new();
        for (name, input) in &self.inputs {
            let PlanGateInput {
                ty, default, rule, ..
            } = input;
            let Some(value) = given.get(name).or(default.as_ref()) else {
                return Err(format!("it does not fill in `{name}`"));
            };
            let environment = &state.plan.environment;
            let value = super::decide::fitting(ty, rule.as_ref(), value, environment)
                .map_err(|rule| format!("it fills in `{name}` badly: {rule}"))?;
            all.insert(name.clone(), value);
        }
        Ok(all)
    }
}

/// What the steps after a gate may refer to.
pub(super) fn gate_outputs(
    node: &Node,
    judgement: &Judgement,
    inputs: Map<String, Value>,
    at: Timestamp,
) -> Value {
    let counted = judgement.counted.iter().filter_map(|&n| node.votes.get(n));
    let yes: Vec<_> = counted.filter(|v| v.vote == Vote::Approve).collect();
    let comment = yes.iter().rev().find_map(|v| v.comment.clone());
    serde_json::json!({
        "approved_by": yes.iter().map(|v| v.actor.name.clone()).collect::<Vec<_>>(),
        "comment": comment,
        "approved_at": at.to_string(),
        "inputs": inputs,
    })
}

fn plain(what: String) -> Difference {
    Difference {
        what,
        before: String::new(),
        after: String::new(),
    }
}

/// A value in a difference.
fn told(value: &Value, path: &[String]) -> String {
    let mut at = Some(value);
    for key in path {
        at = at.and_then(|value| match value {
            Value::Array(items) => items.get(key.parse::<usize>().ok()?),
            value => value.get(key),
        });
    }
    match at {
        None | Some(Value::Null) => String::new(),
        Some(Value::String(text)) => clipped(text),
        Some(other) => clipped(&other.to_string()),
    }
}

fn clipped(text: &str) -> String {
    const MOST: usize = 200;
    match text.char_indices().nth(MOST) {
        None => text.to_owned(),
        Some((end, _)) => format!("{}…", &text[..end]),
    }
}
