//! Gates: opened, voted on, looked at again, escalated, closed.

use super::apply::{Refused, millis};
use crate::base::{AttemptNo, Digest, EventSeq, Map, StepId, Timestamp, Value};
use crate::event::{Difference, Failure, Vote};
use crate::run::confirm::gate_outputs;
use crate::run::gate::{Gate, Notice, Survey};
use crate::run::node::{Halt, NodeStatus};
use crate::run::policy::{CastVote, Electorate, Hold, Judgement, Verdict, escalations};
use crate::run::state::RunState;

impl RunState {
    pub(super) fn gate(&self, step: &StepId) -> Result<usize, Refused> {
        let i = self.find(step)?;
        match self.nodes[i].status {
            NodeStatus::Gate { .. } => Ok(i),
            _ => Err("it is not an open gate".to_owned()),
        }
    }

    pub(super) fn gate_opened(
        &mut self,
        step: &StepId,
        message: &str,
        expires_at: Option<Timestamp>,
        at: Timestamp,
    ) -> Result<(), Refused> {
        let i = self.find(step)?;
        self.may_start(i)?;
        if !self.is_ready(i) {
            return Err("what it needs is not settled".to_owned());
        }
        self.begin(i, NodeStatus::Gate { expires_at });
        if self.open_gates == 0 {
            self.paused_since = Some(at);
        }
        self.open_gates += 1;
        let round = self.rounds.get(step).map_or(1, |last| last + 1);
        self.rounds.insert(step.clone(), round);
        let reads = self
            .step(i)
            .gate
            .as_ref()
            .map_or(0, |gate| gate.reads.len());
        let mut gate = Gate::new(round, reads, at, self.seq());
        gate.due = self.policy().map_or_else(Vec::new, |p| escalations(p, at));
        gate.policies = self.policies;
        let node = &mut self.nodes[i];
        node.attempt = AttemptNo::FIRST;
        node.started_at = Some(at);
        node.inputs = serde_json::json!({ "message": message });
        node.gate = Some(Box::new(gate));
        Ok(())
    }

    pub(super) fn close_gate(&mut self, i: usize, at: Timestamp) {
        self.open_gates -= 1;
        if self.open_gates == 0
            && let Some(since) = self.paused_since.take()
        {
            self.paused_ms += millis(at.since(since));
        }
        let node = &mut self.nodes[i];
        if let Some(gate) = &mut node.gate {
            gate.end_calls();
        }
        node.duration_ms = node.started_at.map_or(0, |since| millis(at.since(since)));
    }

    pub(super) fn refuse_gate(
        &mut self,
        step: &StepId,
        at: Timestamp,
        halt: Halt,
    ) -> Result<(), Refused> {
        let i = self.gate(step)?;
        if matches!(halt, Halt::Expired { .. }) && !self.has_lapsed(i, at) {
            return Err("the question has not lapsed".to_owned());
        }
        self.close_gate(i, at);
        if self.is_cleanup(i) {
            self.fail_for_good(i);
        } else {
            // A person's no, or nobody's yes, ends the run wherever the gate stands.
            self.set_halt(halt);
            self.leave(i, NodeStatus::Failed);
        }
        Ok(())
    }

    fn has_lapsed(&self, i: usize, at: Timestamp) -> bool {
        match self.nodes[i].status {
            NodeStatus::Gate { expires_at } => expires_at.is_some_and(|lapses| at >= lapses),
            _ => false,
        }
    }

    /// The position of the event that is being applied.
    fn seq(&self) -> EventSeq {
        self.last_seq.next()
    }

    /// An open gate with what is known of it.
    fn at_gate(&mut self, step: &StepId) -> Result<(usize, &mut Gate), Refused> {
        let i = self.gate(step)?;
        let gate = self.nodes[i].gate.as_deref_mut();
        gate.map(|gate| (i, gate))
            .ok_or_else(|| "it was never opened".to_owned())
    }

    pub(super) fn vote_cast(&mut self, step: &StepId, mut vote: CastVote) -> Result<(), Refused> {
        let seq = self.seq();
        let i = self.gate(step)?;
        let mut flaw = None;
        if let Some(asked) = self.asks(i)
            && vote.vote == Vote::Approve
        {
            match asked.filled_in(self, &vote.inputs) {
                Ok(inputs) => vote.inputs = inputs,
                Err(why) => flaw = Some(why),
            }
        }
        // A vote that can change nothing does not make what is known out of date.
        let may_vote = |e: Electorate<'_>| {
            let of_now = vote.round == e.round && vote.plan_digest == e.plan_digest;
            of_now && e.refusal(&vote.actor).is_none()
        };
        let counts = flaw.is_none() && self.electorate_of(i).is_some_and(may_vote);
        let node = &mut self.nodes[i];
        let again = vote.id.is_some()
            && node
                .votes
                .iter()
                .any(|cast| cast.id == vote.id && cast.actor.name == vote.actor.name);
        if let Some(gate) = &mut node.gate {
            if counts && !again {
                gate.since = seq;
            }
            if let Some(why) = flaw {
                gate.flawed.insert(node.votes.len(), why);
            }
        }
        node.votes.push(vote);
        Ok(())
    }

    /// Nobody passes a gate whom the policy did not allow: the verdict is found again from the votes.
    pub(super) fn gate_approved(&mut self, step: &StepId, at: Timestamp) -> Result<(), Refused> {
        let i = self.gate(step)?;
        let judgement = self.judged(i, at).ok_or("it was never opened")?;
        let nobody = Map::new();
        let given = match judgement.verdict {
            Verdict::Approved => given(&judgement, &self.nodes[i].votes),
            _ if self.emergency.is_some() => &nobody,
            _ => return Err("its votes do not suffice".to_owned()),
        };
        let inputs = match self.asks(i) {
            Some(asked) => asked.filled_in(self, given)?,
            None => Map::new(),
        };
        self.nodes[i].outputs = gate_outputs(&self.nodes[i], &judgement, inputs, at);
        self.approved = self.approved.max(Some(self.risk_of(i)));
        self.close_gate(i, at);
        self.settle_node(i, NodeStatus::Succeeded);
        Ok(())
    }

    fn position(&self, i: usize, read: &StepId) -> Result<usize, Refused> {
        let found = self
            .reads(i)
            .find(|(_, node)| self.nodes[*node].id == *read);
        found
            .map(|(n, _)| n)
            .ok_or_else(|| format!("it shows nothing of `{read}`"))
    }

    pub(super) fn gate_read_started(
        &mut self,
        step: &StepId,
        read: &StepId,
        at: Timestamp,
    ) -> Result<(), Refused> {
        let seq = self.seq();
        let i = self.gate(step)?;
        self.may_start(i)?;
        let n = self.position(i, read)?;
        let (_, gate) = self.at_gate(step)?;
        if gate.looks[n].under_way.is_some() {
            return Err(format!("`{read}` is being asked already"));
        }
        gate.looks[n].under_way = Some((seq, at));
        gate.held = None;
        Ok(())
    }

    pub(super) fn gate_read(
        &mut self,
        step: &StepId,
        read: &StepId,
        found: Result<Value, Failure>,
    ) -> Result<(), Refused> {
        let i = self.gate(step)?;
        let n = self.position(i, read)?;
        let (_, gate) = self.at_gate(step)?;
        let under_way = gate.looks[n].under_way.take();
        let (seq, _) = under_way.ok_or_else(|| format!("`{read}` is not being asked"))?;
        gate.looks[n].found = Some((seq, found));
        Ok(())
    }

    pub(super) fn gate_surveyed(
        &mut self,
        step: &StepId,
        plan_digest: Option<Digest>,
        differences: &[Difference],
        policy: &Value,
    ) -> Result<(), Refused> {
        let policy = match policy {
            Value::Null => None,
            stored => match serde_json::from_value(stored.clone()) {
                Ok(policy) => Some(Box::new(policy)),
                Err(error) => return Err(format!("its policy cannot be read: {error}")),
            },
        };
        let seq = self.seq();
        let (_, gate) = self.at_gate(step)?;
        gate.held = None;
        let survey = Survey {
            plan_digest,
            differences: differences.to_vec(),
            policy,
        };
        gate.survey = Some((seq, survey));
        Ok(())
    }

    pub(super) fn gate_held(&mut self, step: &StepId, hold: Hold) -> Result<(), Refused> {
        let seq = self.seq();
        let (_, gate) = self.at_gate(step)?;
        if gate.held.as_ref() == Some(&hold) {
            return Err("it is held already".to_owned());
        }
        gate.held = Some(hold);
        gate.since = seq;
        Ok(())
    }

    /// A new round begins, and its voters know what was found.
    pub(super) fn gate_voided(
        &mut self,
        step: &StepId,
        differences: &[Difference],
    ) -> Result<(), Refused> {
        let seq = self.seq();
        let i = self.gate(step)?;
        if differences.is_empty() {
            return Err("nothing is different".to_owned());
        }
        let (_, gate) = self.at_gate(step)?;
        for n in 0..gate.looks.len() {
            if let Some(Ok(outputs)) = gate.fresh(n) {
                gate.known[n] = Some(outputs.clone());
            }
        }
        let survey = gate.surveyed().cloned();
        if survey.is_some() {
            gate.known_survey.clone_from(&survey);
        }
        gate.round += 1;
        gate.since = seq;
        gate.held = None;
        let round = gate.round;
        self.rounds.insert(step.clone(), round);
        if let Some(policy) = survey.and_then(|survey| survey.policy) {
            self.later_policy = Some(policy);
            self.policies += 1;
            self.excluded = self.excluded_by(self.policy());
            self.plan_escalations();
        }
        let policies = self.policies;
        self.at_gate(step)?.1.policies = policies;
        // A message that has no value any more stays as it was; the difference says so.
        if let Ok(message) = self.message(i, &self.known(i)) {
            self.nodes[i].inputs = serde_json::json!({ "message": message });
        }
        Ok(())
    }

    /// The chain is that of the policy in force.
    fn plan_escalations(&mut self) {
        let open: Vec<usize> = self.active.iter().copied().collect();
        for i in open {
            let opened = self.nodes[i].gate.as_ref().map(|gate| gate.opened_at);
            let due = match (opened, self.policy()) {
                (Some(at), Some(policy)) => escalations(policy, at),
                _ => Vec::new(),
            };
            if let Some(gate) = &mut self.nodes[i].gate {
                gate.due = due;
            }
        }
    }

    pub(super) fn gate_escalated(
        &mut self,
        step: &StepId,
        level: u32,
        channel: bool,
        respond_by: Option<Timestamp>,
        at: Timestamp,
    ) -> Result<(), Refused> {
        let i = self.gate(step)?;
        self.may_start(i)?;
        let chain = self.policy().map_or(0, |policy| policy.escalation.len());
        let late = self.has_lapsed(i, at);
        let (_, gate) = self.at_gate(step)?;
        let again = gate.notices.get(&level).is_some_and(|notice| notice.lost);
        if !again {
            if level != gate.level + 1 || level as usize > chain {
                return Err(format!("level {} was expected", gate.level + 1));
            }
            gate.level = level;
            gate.respond_by = respond_by;
            gate.late = late;
        }
        if channel {
            let lost = false;
            gate.notices.insert(level, Notice { lost, respond_by });
        } else {
            gate.notices.remove(&level);
        }
        Ok(())
    }

    pub(super) fn gate_notified(&mut self, step: &StepId, level: u32) -> Result<(), Refused> {
        let (_, gate) = self.at_gate(step)?;
        match gate.notices.get(&level) {
            Some(notice) if !notice.lost => {
                gate.notices.remove(&level);
                Ok(())
            }
            _ => Err(format!("level {level} is not being told")),
        }
    }

    pub(super) fn gate_parked(&mut self, step: &StepId, at: Timestamp) -> Result<(), Refused> {
        let i = self.gate(step)?;
        if !self.has_lapsed(i, at) {
            return Err("the question has not lapsed".to_owned());
        }
        let (_, gate) = self.at_gate(step)?;
        gate.parked = true;
        self.nodes[i].status = NodeStatus::Gate { expires_at: None };
        Ok(())
    }
}

/// What was filled in by those who approved.
fn given<'a>(judgement: &'a Judgement, votes: &'a [CastVote]) -> &'a Map<String, Value> {
    let counted = judgement.counted.iter().filter_map(|&at| votes.get(at));
    let mut yes = counted.filter(|vote| vote.vote == Vote::Approve);
    match yes.next_back() {
        Some(vote) if judgement.inputs.is_empty() => &vote.inputs,
        _ => &judgement.inputs,
    }
}
