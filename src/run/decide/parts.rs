//! Loops and sub-runbooks: how they are opened, what becomes of their parts, and their own ends.

use std::time::Duration;

use super::decider::Decider;
use super::finish::block_outputs;
use super::given::{accepted, kind_of};
use super::wind_down::cancelled;
use crate::base::{ErrorChain, StepId, Value};
use crate::event::{EventKind, Failure, FailureKind, LoopInstance, SkipReason};
use crate::plan::{MAX_INSTANCES, instance_keys};
use crate::run::eval::{self, Place};
use crate::run::frame::{Cut, Frame, Progress};
use crate::run::node::{NodeKind, NodeStatus, Stage};
use crate::run::settle::{expression, published, timed_out};
use crate::run::transition::millis;

impl Decider<'_> {
    /// What is due of everything that is open.
    pub(super) fn parts(&mut self) {
        self.ends();
        if !self.halting {
            self.time_limits();
        }
    }

    /// What follows from ends that are on record.
    pub(super) fn ends(&mut self) {
        self.sweep();
        for &i in &self.state.ending {
            self.end(i);
        }
    }

    /// The turn of these will not come: the loop or sub-runbook failed before.
    fn sweep(&mut self) {
        let state = self.state;
        for &at in &state.sweeps {
            for i in state.frames[at].children() {
                let node = &state.nodes[i];
                if node.stage != Stage::Finally && node.waits() {
                    self.record(EventKind::StepSkipped {
                        step: node.id.clone(),
                        reason: SkipReason::PartEnded,
                    });
                }
            }
        }
    }

    /// The time that gates waited does not count, as for the run.
    fn time_limits(&mut self) {
        let state = self.state;
        if state.paused_since.is_some() {
            return;
        }
        for &i in &state.open {
            let node = &state.nodes[i];
            let (Some(at), Some(begun)) = (node.opened, node.started_at) else {
                continue;
            };
            let frame = &state.frames[at];
            let may = frame.cut.is_none()
                && matches!(frame.at, Progress::In(Stage::Steps | Stage::Verify));
            let Some(timeout) = state.step(i).timeout.filter(|_| may) else {
                continue;
            };
            let waited = Duration::from_millis(state.paused_ms.saturating_sub(frame.paused_before));
            if node.kind == NodeKind::Block && self.due(begun.plus(timeout.0).plus(waited)) {
                // What else is due may change by this, so the driver asks again.
                return self.record(EventKind::StepTimedOut {
                    step: node.id.clone(),
                });
            }
        }
    }

    pub(super) fn expand(&mut self, i: usize) {
        let state = self.state;
        let id = &state.nodes[i].id;
        let Some(for_each) = &state.step(i).for_each else {
            return;
        };
        let items = match eval::render(state, Place::of(state, i), &for_each.items, None) {
            Ok(Value::Array(items)) => items,
            Ok(other) => return self.fail_untried(i, no_list(&other)),
            Err(error) => {
                let items = "the list";
                return self.fail_untried(i, expression("for_each", items, &error));
            }
        };
        if items.len() > MAX_INSTANCES {
            return self.fail_untried(i, too_many(items.len()));
        }
        if is_too_deep(id) {
            return self.fail_untried(i, too_deep());
        }
        self.record(EventKind::StepExpanded {
            step: id.clone(),
            instances: instances(items),
        });
    }

    pub(super) fn open_block(&mut self, i: usize) {
        let id = &self.state.nodes[i].id;
        if is_too_deep(id) {
            return self.fail_untried(i, too_deep());
        }
        let uses = &self.state.step(i).action.uses;
        let given = self
            .inputs(i)
            .map_err(|error| expression("with", uses, &error))
            .and_then(|inputs| accepted(self.state, i, inputs));
        match given {
            Ok(inputs) => self.record(EventKind::StepStarted {
                step: id.clone(),
                attempt: self.state.nodes[i].attempt.next(),
                inputs,
                idempotency_key: None,
            }),
            Err(failure) => self.fail_untried(i, failure),
        }
    }

    /// All parts have ended, so this has.
    fn end(&mut self, i: usize) {
        let state = self.state;
        let node = &state.nodes[i];
        let Some(at) = node.opened else { return };
        let frame = &state.frames[at];
        let duration_ms = node.started_at.map_or(0, |s| millis(self.now.since(s)));
        let result = match frame.cut {
            None => self.outputs(i, at),
            Some(cut) => Err(self.why(i, frame, cut)),
        };
        self.record(match result {
            Ok(outputs) => EventKind::StepSucceeded {
                step: node.id.clone(),
                attempt: node.attempt,
                outputs,
                duration_ms,
                log: None,
            },
            Err(failure) => EventKind::StepFailed {
                step: node.id.clone(),
                attempt: node.attempt,
                failure,
                duration_ms,
                log: None,
            },
        });
    }

    fn outputs(&self, i: usize, at: usize) -> Result<Value, Failure> {
        let state = self.state;
        match &state.step(i).block {
            Some(block) if state.nodes[i].kind == NodeKind::Block => {
                let own = block_outputs(state, Place::inside(at), &block.outputs);
                published(state, i, Value::Object(own))
            }
            _ => {
                let done = |n: &&crate::run::Node| n.status == NodeStatus::Succeeded;
                let all = state.nodes[state.frames[at].children()].iter();
                Ok(all.filter(done).map(|n| n.outputs.clone()).collect())
            }
        }
    }

    /// Why a loop or sub-runbook failed.
    fn why(&self, i: usize, frame: &Frame, cut: Cut) -> Failure {
        let state = self.state;
        match cut {
            Cut::Above if state.is_rewound(i) => {
                cancelled("the run was sent back before it was done")
            }
            Cut::Above if frame.run_ends => cancelled("the run ended before it was done"),
            Cut::Above => cancelled("what it is a part of ended before it was done"),
            Cut::TimedOut => {
                let limit = state.step(i).timeout.map(|t| t.0);
                timed_out(limit, cancelled(""))
            }
            Cut::Failed(child) => {
                let child = &state.nodes[child];
                let (sort, mut causes) = match &child.failure {
                    Some(failure) => (failure.sort, vec![failure.error.message.clone()]),
                    None => (FailureKind::Error, Vec::new()),
                };
                if let Some(failure) = &child.failure {
                    causes.extend(failure.error.causes.iter().cloned());
                }
                let message = if frame.is_loop() {
                    self.failed_instances(frame)
                } else {
                    format!("its step `{}` failed", child.id)
                };
                Failure {
                    sort,
                    error: ErrorChain { message, causes },
                    hint: None,
                    log_tail: Vec::new(),
                }
            }
        }
    }

    fn failed_instances(&self, frame: &Frame) -> String {
        const NAMED: usize = 5;
        let state = self.state;
        let failed: Vec<String> = frame
            .children()
            .map(|i| &state.nodes[i])
            .filter(|n| matches!(n.status, NodeStatus::Failed | NodeStatus::Tolerated))
            .map(|n| format!("`{}`", n.id))
            .collect();
        let mut names = failed
            .iter()
            .take(NAMED)
            .cloned()
            .collect::<Vec<_>>()
            .join(", ");
        if failed.len() > NAMED {
            names.push_str(", …");
        }
        format!(
            "{} of {} instances failed: {names}",
            failed.len(),
            frame.len
        )
    }
}

/// One instance for each item, with keys that people recognise where the items allow it.
fn instances(items: Vec<Value>) -> Vec<LoopInstance> {
    let keys = instance_keys(&items);
    keys.into_iter()
        .zip(items)
        .map(|(key, item)| LoopInstance { key, item })
        .collect()
}

/// Whether the id of a part could not be read back.
fn is_too_deep(id: &StepId) -> bool {
    id.as_str().len() + StepId::MAX_LEN + "[]".len() > StepId::MAX_PATH
}

fn invalid(message: String) -> Failure {
    Failure {
        sort: FailureKind::Invalid,
        error: ErrorChain::new(message),
        hint: None,
        log_tail: Vec::new(),
    }
}

fn too_deep() -> Failure {
    let most = StepId::MAX_PATH;
    invalid(format!(
        "loops and sub-runbooks are nested too deep: an id would be longer than {most} characters"
    ))
}

fn too_many(count: usize) -> Failure {
    Failure {
        hint: Some("split the list, or loop inside the program that the step runs".to_owned()),
        ..invalid(format!(
            "`for_each` gives {count} items, and a loop has at most {MAX_INSTANCES}"
        ))
    }
}

fn no_list(value: &Value) -> Failure {
    let what = kind_of(value);
    invalid(format!("`for_each` must give a list, but it gives {what}"))
}
