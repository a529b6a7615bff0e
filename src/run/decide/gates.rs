//! Gates: opened, judged, looked at again before they open, escalated, lapsed.

use std::time::Duration;

use super::command::{CallKind, Command, Target};
use super::decider::Decider;
use crate::base::{HumanDuration, Timestamp, Value};
use crate::event::EventKind;
use crate::model::OnExpiry;
use crate::plan::{PlanDelay, PlanEscalation, PlanPolicy};
use crate::run::confirm::Turn;
use crate::run::gate::Gate;
use crate::run::policy::escalations;
use crate::run::settle::expression;
use crate::run::state::RunState;

impl Decider<'_> {
    pub(super) fn open_gate(&mut self, i: usize) {
        let (state, step) = (self.state, self.state.step(i));
        match state.message(i, &[]) {
            Ok(message) => {
                let rule = state.rule_of(i).and_then(|rule| rule.expires);
                let limit = [step.timeout, rule].into_iter().flatten().map(|t| t.0);
                self.record(EventKind::GateOpened {
                    step: state.nodes[i].id.clone(),
                    message,
                    expires_at: limit.min().map(|limit| self.now.plus(limit)),
                });
            }
            Err(error) => self.fail_untried(i, expression("with", "message", &error)),
        }
    }

    /// An open gate that nothing has ended.
    pub(super) fn gate(&mut self, i: usize, expires_at: Option<Timestamp>) {
        let state = self.state;
        let Some(gate) = state.nodes[i].gate.as_deref() else {
            return;
        };
        let step = state.nodes[i].id.clone();
        let turn = state.turn(i, self.now);
        match turn {
            Turn::Rejected => return self.close(i, EventKind::GateRejected { step }),
            Turn::Opens { confirmed } => {
                return self.close(i, EventKind::GateApproved { step, confirmed });
            }
            // What the other gates of this decision are judged by may be another policy now.
            Turn::Differs(differences) => {
                self.again = true;
                return self.record(EventKind::GateVoided { step, differences });
            }
            _ => {}
        }
        for (&level, notice) in gate.notices.iter().filter(|(_, notice)| notice.lost) {
            self.tell(i, level, notice.respond_by);
        }
        self.stop_late_reads(i, gate);
        if self.lapsed(i, gate, expires_at) {
            return;
        }
        match turn {
            Turn::Held(hold) => {
                if gate.held.as_ref() != Some(&hold) {
                    self.record(EventKind::GateHeld {
                        step,
                        until: hold.until,
                        reason: hold.reason,
                    });
                } else if let Some(until) = hold.until {
                    self.wake_at(until);
                }
            }
            Turn::Look(reads) => reads.into_iter().for_each(|n| self.look(i, n)),
            Turn::Survey => self.commands.push(Command::Survey { gate: step }),
            _ => self.escalate(i, gate),
        }
    }

    /// The end of a gate; nobody needs what was under way for it.
    fn close(&mut self, i: usize, event: EventKind) {
        self.stop_calls_of_gate(i);
        self.record(event);
    }

    pub(super) fn stop_calls_of_gate(&mut self, i: usize) {
        let node = &self.state.nodes[i];
        let Some(gate) = node.gate.as_deref() else {
            return;
        };
        for (n, _) in gate.reading() {
            self.stop(&node.id, read(n));
        }
        for (&level, _) in gate.notices.iter().filter(|(_, notice)| !notice.lost) {
            self.stop(&node.id, CallKind::Notice(level));
        }
    }

    /// Asks a `read` step again, with the inputs that it had.
    fn look(&mut self, i: usize, n: usize) {
        let state = self.state;
        let Some((_, asked)) = state.reads(i).find(|(at, _)| *at == n) else {
            return;
        };
        if self.slots == 0 {
            return;
        }
        let asked = &state.nodes[asked];
        let step = state.nodes[i].id.clone();
        self.call(
            i,
            read(n),
            EventKind::GateReadStarted {
                step,
                read: asked.id.clone(),
            },
            asked.inputs.clone(),
            asked.idempotency_key.clone(),
        );
    }

    fn stop_late_reads(&mut self, i: usize, gate: &Gate) {
        let state = self.state;
        for (n, asked) in state.reads(i) {
            let begun = gate.looks[n].under_way.map(|(_, at)| at);
            if let (Some(begun), Some(timeout)) = (begun, state.step(asked).timeout)
                && self.due(begun.plus(timeout.0))
            {
                self.stop(&state.nodes[i].id, read(n));
            }
        }
    }

    /// What becomes of a question that has lapsed. True when something was recorded for it.
    fn lapsed(&mut self, i: usize, gate: &Gate, expires_at: Option<Timestamp>) -> bool {
        let Some(at) = expires_at else {
            return false;
        };
        if !self.due(at) {
            return false;
        }
        let step = self.state.nodes[i].id.clone();
        match self.state.on_expiry(i) {
            OnExpiry::Deny => self.close(i, EventKind::GateExpired { step }),
            OnExpiry::Park => self.record(EventKind::GateParked { step }),
            OnExpiry::Escalate => {
                // The levels that were told by then have had their time, those to come have not.
                let waits_for = gate
                    .respond_by
                    .filter(|_| gate.late || all_told(self.state, gate));
                if waits_for.is_some_and(|answer| !self.due(answer)) {
                    return false;
                }
                match self
                    .state
                    .policy()
                    .and_then(|p| respond_by(p, gate, self.now))
                {
                    Some(answer) => self.tell(i, gate.level + 1, answer),
                    None => self.close(i, EventKind::GateExpired { step }),
                }
            }
        }
        true
    }

    /// Nobody has answered: the next level of the chain is told when its time has come.
    fn escalate(&mut self, i: usize, gate: &Gate) {
        let next = gate.level as usize;
        let is_due = gate.due.get(next).copied();
        if gate.parked || gate.late || level(self.state, gate.level + 1).is_none() {
            return;
        }
        if is_due.is_some_and(|at| self.due(at)) {
            let answer = gate.due.get(next + 1).copied();
            self.tell(i, gate.level + 1, answer);
        }
    }

    fn tell(&mut self, i: usize, number: u32, respond_by: Option<Timestamp>) {
        let state = self.state;
        let Some(level) = level(state, number) else {
            return;
        };
        let step = state.nodes[i].id.clone();
        let intent = EventKind::GateEscalated {
            step: step.clone(),
            level: number,
            role: level.role.clone(),
            channel: level.channel.clone(),
            respond_by,
        };
        match &level.channel {
            None => self.record(intent),
            // A message waits for nobody, so it takes no place of a step.
            Some(channel) => self.commands.push(Command::Call {
                inputs: notice(state, i, level, number, channel, respond_by),
                target: Target {
                    step,
                    call: CallKind::Notice(number),
                },
                intent,
                idempotency_key: None,
            }),
        }
    }
}

fn read(n: usize) -> CallKind {
    CallKind::Read(u32::try_from(n).unwrap_or(u32::MAX))
}

/// A level of the chain, from 1.
fn level(state: &RunState, number: u32) -> Option<&PlanEscalation> {
    let at = usize::try_from(number).ok()?.checked_sub(1)?;
    state.policy()?.escalation.get(at)
}

fn all_told(state: &RunState, gate: &Gate) -> bool {
    level(state, gate.level + 1).is_none()
}

/// When the answer of the level after the present one is due if it is told now; `None` when there is none.
fn respond_by(policy: &PlanPolicy, gate: &Gate, now: Timestamp) -> Option<Option<Timestamp>> {
    let to_come = policy.escalation.get(gate.level as usize..)?;
    let mut to_come = to_come.to_vec();
    to_come.first_mut()?.after = PlanDelay::Time(HumanDuration(Duration::ZERO));
    let rest = PlanPolicy {
        escalation: to_come,
        ..policy.clone()
    };
    Some(escalations(&rest, now).get(1).copied())
}

/// What the people of a level are sent.
fn notice(
    state: &RunState,
    i: usize,
    level: &PlanEscalation,
    number: u32,
    channel: &str,
    respond_by: Option<Timestamp>,
) -> Value {
    let plan = state.plan();
    let node = &state.nodes[i];
    let (runbook, environment) = (&plan.runbook.name, &plan.environment.name);
    let asked = node.inputs.get("message").and_then(Value::as_str);
    let asked = asked.unwrap_or_default();
    let run = state.run.map(|run| run.to_string()).unwrap_or_default();
    let people = state.policy().map(|policy| &policy.people);
    let contact = |name: &String| people?.get(name)?.contact.clone();
    let to: Vec<String> = level.members.iter().filter_map(contact).collect();
    let answer = respond_by.map(|at| at.to_string());
    let until = answer.as_ref().map(|at| format!(" Please answer by {at}."));
    serde_json::json!({
        "channel": channel,
        "message": format!(
            "{runbook} in {environment} waits for {} at `{}`: {asked}{} See it with: runbook review {run}",
            level.role, node.id, until.unwrap_or_default(),
        ),
        "to": to,
        "fields": {
            "run": run,
            "runbook": runbook,
            "environment": environment,
            "gate": node.id,
            "role": level.role,
            "level": number,
            "respond_by": answer,
        },
    })
}
