//! Frames: what a run, a loop or a sub-runbook holds while it is open.

use super::node::Stage;

/// The frame of the run's own runbook.
pub(super) const ROOT: usize = 0;

/// The children of the run, of a loop or of a sub-runbook. They lie side by side in the state's list.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Frame {
    /// The loop or calling step; `None` for the run itself.
    pub(super) node: Option<usize>,
    /// Its first child.
    pub(super) first: usize,
    /// How many children it has.
    pub(super) len: usize,
    /// The runbook whose steps they are; `None` when they are instances of a loop.
    pub(super) body: Option<usize>,
    /// How far it has come.
    pub(super) at: Progress,
    /// Children of the present stage that are not settled.
    pub(super) unsettled: usize,
    /// Children that run, wait between attempts or polls, wait as gates, or are open themselves.
    pub(super) at_work: usize,
    /// Children of `steps` and `verify` that have not begun.
    pub(super) waiting: usize,
    /// Why nothing of `steps` and `verify` starts any more.
    pub(super) cut: Option<Cut>,
    /// Whether its running steps are to be ended.
    pub(super) stop: bool,
    /// Whether the whole run ends, so that its `finally` must wait for the rollback.
    pub(super) run_ends: bool,
    /// Of a loop: instances whose turn has come, and those that failed.
    pub(super) launched: usize,
    pub(super) settled: usize,
    pub(super) failures: usize,
    /// In a rollback: children that are not released.
    pub(super) unreleased: usize,
    /// Milliseconds that gates had waited when it was opened.
    pub(super) paused_before: u64,
}

/// How far a frame has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Progress {
    /// A stage runs.
    In(Stage),
    /// It was ended with the run before its `finally`, which is owed.
    Owing,
    /// Everything of it has ended.
    Over,
}

/// Why a frame was ended before its time. The first cause stays.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Cut {
    /// This child failed, and the frame does not tolerate it.
    Failed(usize),
    /// The time of the sub-runbook was up.
    TimedOut,
    /// What it is a part of ended.
    Above,
}

impl Frame {
    pub(super) fn children(&self) -> std::ops::Range<usize> {
        self.first..self.first + self.len
    }

    pub(super) fn is_loop(&self) -> bool {
        self.body.is_none()
    }
}
