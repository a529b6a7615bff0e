//! How earlier runs of a runbook went.

use serde::Serialize;

use crate::base::{RunId, Timestamp};
use crate::event::Outcome;
use crate::store::RunRecord;

/// The record of a runbook in an environment: runs that are over, but the one that is looked at.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct PastRuns {
    /// How many.
    pub runs: usize,
    /// How many of them succeeded, without exceptions.
    pub succeeded: usize,
    /// Their share, 0 to 1; `None` without runs.
    pub success_rate: Option<f64>,
    /// The middle one of the durations of those that succeeded, from start to end, with all waiting.
    pub median_ms: Option<u64>,
    /// The duration that 95 of 100 of them did not exceed (nearest rank).
    pub p95_ms: Option<u64>,
    /// The last one that ended.
    pub last: Option<PastRun>,
    /// When it was last rehearsed; none is on record yet.
    pub last_drill: Option<Timestamp>,
}

/// A run that is over.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct PastRun {
    /// Id.
    pub run: RunId,
    /// When it ended.
    pub ended_at: Timestamp,
    /// How.
    pub outcome: Outcome,
}

/// Sums up the runs that are over.
pub fn past_runs(runs: &[RunRecord], without: RunId) -> PastRuns {
    let over: Vec<(&RunRecord, Outcome, Timestamp)> = runs
        .iter()
        .filter(|run| run.id != without)
        .filter_map(|run| Some((run, run.outcome?, run.finished_at?)))
        .collect();
    let mut took: Vec<u64> = over
        .iter()
        .filter(|(_, outcome, _)| *outcome == Outcome::Succeeded)
        .map(|(run, _, end)| end.since(run.created_at).as_millis() as u64)
        .collect();
    took.sort_unstable();
    let last = over.iter().max_by_key(|(run, _, end)| (*end, run.id));
    PastRuns {
        runs: over.len(),
        succeeded: took.len(),
        success_rate: (!over.is_empty()).then(|| took.len() as f64 / over.len() as f64),
        median_ms: nearest_rank(&took, 50),
        p95_ms: nearest_rank(&took, 95),
        last: last.map(|(run, outcome, end)| PastRun {
            run: run.id,
            ended_at: *end,
            outcome: *outcome,
        }),
        last_drill: None,
    }
}

/// The smallest value that so many percent of the sorted values do not exceed.
fn nearest_rank(sorted: &[u64], percent: usize) -> Option<u64> {
    let rank = (sorted.len() * percent).div_ceil(100);
    sorted.get(rank.checked_sub(1)?).copied()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::report::fixtures::{self, record};

    #[test]
    fn counts_what_is_over_and_measures_what_succeeded() {
        let mut runs = Vec::new();
        for n in 1..=20_u64 {
            let mut run = record(&fixtures::success());
            run.id = RunId::from_parts(n, 0);
            run.finished_at = Some(run.created_at.plus(Duration::from_secs(n)));
            runs.push(run);
        }
        runs[19].outcome = Some(Outcome::Failed);
        runs[18].finished_at = None;
        runs[18].outcome = None;
        let past = past_runs(&runs, RunId::from_parts(1, 0));
        // 2 s to 18 s succeeded, 20 s failed; 1 is left out, 19 goes on.
        assert_eq!((past.runs, past.succeeded), (18, 17));
        assert_eq!(past.median_ms, Some(10_000));
        assert_eq!(past.p95_ms, Some(18_000));
        let last = past.last.expect("a run");
        assert_eq!(last.outcome, Outcome::Failed);
        assert_eq!(past_runs(&[], RunId::from_parts(1, 0)), PastRuns::default());
    }
}
