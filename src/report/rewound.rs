//! What a run that is sent back takes back, as the displays show it.

use std::collections::BTreeSet;

use super::rows::{StepRow, StepStatus};
use super::timeline::Timeline;
use crate::base::StepId;
use crate::plan::{Plan, PlanStep};

/// A step and all of the same list that depends on it.
fn region(plan: &Plan, to: &StepId) -> Vec<StepId> {
    let parent = to.parent();
    let steps: &[PlanStep] = match &parent {
        None => &plan.steps,
        Some(parent) => plan
            .step(parent)
            .and_then(|step| step.block.as_ref())
            .map_or(&[], |block| &block.steps),
    };
    let full = |step: &PlanStep| match &parent {
        Some(parent) => parent.inside(&step.id),
        None => step.id.clone(),
    };
    let mut names: BTreeSet<&StepId> = BTreeSet::new();
    loop {
        let before = names.len();
        let depends = |step: &&PlanStep| {
            full(step) == *to || step.needs.iter().any(|need| names.contains(need))
        };
        let found: Vec<&StepId> = steps.iter().filter(depends).map(|step| &step.id).collect();
        names.extend(found);
        if names.len() == before {
            break;
        }
    }
    let is_in = |step: &&PlanStep| names.contains(&step.id);
    steps.iter().filter(is_in).map(full).collect()
}

impl Timeline {
    /// The run is being sent back: the gates on the way are closed.
    pub(super) fn rewind_started(&mut self, to: &StepId) {
        self.each_rewound(to, |_, row| {
            if row.status == StepStatus::Waiting {
                row.status = StepStatus::Pending;
            }
        });
    }

    /// What was taken back is as if it had never run.
    pub(super) fn rewind_finished(&mut self, to: &StepId) {
        self.each_rewound(to, |plan, row| {
            let fresh = StepRow::of(plan, &row.id);
            let children = std::mem::take(&mut row.children);
            *row = StepRow { children, ..fresh };
        });
    }

    fn each_rewound(&mut self, to: &StepId, change: impl Fn(&Plan, &mut StepRow)) {
        let Some(plan) = self.plan.clone() else {
            return;
        };
        let top = region(&plan, to);
        let mut next: Vec<usize> = top
            .iter()
            .filter_map(|id| self.index.get(id).copied())
            .collect();
        while let Some(row) = next.pop().and_then(|i| self.rows.get_mut(i)) {
            next.extend(&row.children);
            change(&plan, row);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::{AttemptNo, EventSeq, RunId, Timestamp, Value};
    use crate::event::{EventKind, RunEvent};
    use crate::run::testing::{gate, plan, step};

    #[test]
    fn what_is_taken_back_is_shown_as_if_it_had_not_run() {
        let id = |text: &str| StepId::parse(text).expect("an id");
        let plan = plan(
            vec![
                step("a", &[]),
                step("b", &["a"]),
                gate("go", &["b"]),
                step("side", &[]),
            ],
            vec![],
        );
        let done = |name: &str| EventKind::StepSucceeded {
            step: id(name),
            attempt: AttemptNo::FIRST,
            outputs: Value::Null,
            duration_ms: 1,
            log: None,
        };
        let mut timeline = Timeline::new(&plan);
        let mut seq = 0;
        let mut tell = |timeline: &mut Timeline, event| {
            seq += 1;
            timeline.apply(&RunEvent {
                run: RunId::from_parts(1, 1),
                seq: EventSeq(seq),
                at: Timestamp::from_unix_millis(i64::try_from(seq).expect("small")),
                event,
            });
        };
        for name in ["a", "b", "side"] {
            tell(&mut timeline, done(name));
        }
        tell(
            &mut timeline,
            EventKind::GateOpened {
                step: id("go"),
                message: "go?".into(),
                expires_at: None,
            },
        );
        assert_eq!(timeline.open_gates().count(), 1);
        let (step, to) = (id("go"), id("b"));
        let steps = vec![id("b")];
        tell(
            &mut timeline,
            EventKind::RewindStarted {
                step: step.clone(),
                to: to.clone(),
                steps,
            },
        );
        assert_eq!(timeline.open_gates().count(), 0);
        tell(
            &mut timeline,
            EventKind::UndoSucceeded {
                step: id("b"),
                attempt: AttemptNo::FIRST,
                outputs: Value::Null,
                duration_ms: 1,
                log: None,
            },
        );
        tell(&mut timeline, EventKind::RewindFinished { step, to });
        let status = |name: &str| timeline.row(&id(name)).expect("a row").status;
        assert_eq!(status("a"), StepStatus::Succeeded);
        assert_eq!(status("side"), StepStatus::Succeeded);
        assert_eq!(status("b"), StepStatus::Pending);
        assert_eq!(status("go"), StepStatus::Pending);
        assert_eq!(timeline.row(&id("b")).expect("a row").undo, None);
    }
}
