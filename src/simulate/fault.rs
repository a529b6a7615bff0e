//! Faults: what is made to go wrong in a sweep.

use std::fmt;
use std::time::Duration;

use super::world::{Answer, Called, World, failure};
use crate::event::FailureKind;
use crate::run::Target;

/// Longer than any run.
const FOR_EVER: Duration = Duration::from_secs(10 * 365 * 24 * 3600);

/// What goes wrong with a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Wrong {
    /// It fails once; later calls are answered as the case says.
    Once,
    /// It fails from then on.
    Always,
    /// It never ends by itself.
    Hangs,
}

/// One fault.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Fault {
    /// Whose call.
    pub(super) target: Target,
    /// Which call, counted from 0.
    pub(super) call: usize,
    /// What is wrong.
    pub(super) wrong: Wrong,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let what = &self.target;
        let call = self.call + 1;
        match (self.wrong, self.call) {
            (Wrong::Once, 0) => write!(f, "{what} fails the first time"),
            (Wrong::Once, _) => write!(f, "{what} fails at call {call}"),
            (Wrong::Always, 0) => write!(f, "{what} fails"),
            (Wrong::Always, _) => write!(f, "{what} fails from call {call} on"),
            (Wrong::Hangs, _) => write!(f, "{what} hangs"),
        }
    }
}

/// A world in which some calls go wrong.
pub(super) struct FaultyWorld<'a, W> {
    pub(super) inner: W,
    pub(super) faults: &'a [Fault],
}

impl<W: World> World for FaultyWorld<'_, W> {
    fn answer(&mut self, called: &Called<'_>) -> Answer {
        let hit = self.faults.iter().find(|fault| {
            fault.target == *called.target
                && match fault.wrong {
                    Wrong::Once => fault.call == called.answered,
                    Wrong::Always | Wrong::Hangs => fault.call <= called.answered,
                }
        });
        let mut answer = self.inner.answer(called);
        match hit.map(|fault| fault.wrong) {
            Some(Wrong::Once | Wrong::Always) => {
                answer.result = Err(failure(
                    FailureKind::Error,
                    Some("failed, as the sweep wants it"),
                ));
            }
            Some(Wrong::Hangs) => answer.takes = FOR_EVER,
            None => {}
        }
        answer
    }
}
