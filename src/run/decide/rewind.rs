//! A run that is sent back to an earlier step.

use super::decider::Decider;
use crate::event::{EventKind, Vote};
use crate::run::node::NodeStatus;
use crate::run::policy::Verdict;

impl Decider<'_> {
    /// Whether the votes at a gate send the run back. A verdict that cannot be carried out is ignored.
    ///
    /// It comes before everything else, so that nothing is started or passed that would be taken back.
    pub(super) fn send_back(&mut self) -> bool {
        let state = self.state;
        if state.open_gates == 0 || state.halt.is_some() {
            return false;
        }
        let asks = |i: &usize| {
            let mut votes = state.nodes[*i].votes.iter();
            votes.any(|vote| vote.vote == Vote::SendBack)
        };
        let wanted = state.active.iter().copied().filter(asks).find_map(|i| {
            let gate = &state.nodes[i].id;
            match state.judged(i, self.now)?.verdict {
                Verdict::SentBack { to } => {
                    let region = state.region(gate, &to).ok()?;
                    Some((gate.clone(), to, region))
                }
                _ => None,
            }
        });
        let Some((step, to, (frame, region))) = wanted else {
            return false;
        };
        for &i in &region {
            self.stop_calls_of_gate(i);
        }
        let steps = state.ids(&state.undoable_of(frame, &region));
        self.record(EventKind::RewindStarted { step, to, steps });
        true
    }

    /// Running work ends, then steps are undone, then they may run again.
    pub(super) fn rewinding(&mut self) {
        let state = self.state;
        if state.is_draining() {
            return self.drain();
        }
        self.slots = self.slots.saturating_sub(state.reads_under_way());
        self.undos();
        if let Some(rewind) = &state.rewind
            && state.undo_left == 0
            && state.undo_goes_on()
        {
            self.record(EventKind::RewindFinished {
                step: rewind.gate.clone(),
                to: rewind.to.clone(),
            });
        }
    }

    /// What runs comes to its end, and what is closed cleans up; everything else stands still.
    fn drain(&mut self) {
        let state = self.state;
        let runs = |i: usize| {
            matches!(
                state.nodes[i].status,
                NodeStatus::Running | NodeStatus::Probing
            )
        };
        let running = state.active.iter().filter(|&&i| runs(i)).count();
        self.slots = self.slots.saturating_sub(running + state.reads_under_way());
        self.ends();
        for &i in &state.active {
            let below = state.is_below_rewound(i);
            let is_cut = state.cut_of(i).is_some();
            if is_cut && !(below && state.nodes[i].lost) {
                self.wind_down(i);
            } else if below || runs(i) {
                self.active_step(i);
            }
        }
        for &(_, i) in &state.ready {
            if self.slots == 0 || self.halting {
                break;
            }
            if state.is_below_rewound(i) {
                self.ready_step(i);
            }
        }
    }
}
