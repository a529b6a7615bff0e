//! How the trail gets its `report.md` without knowing how reports look.

use crate::event::RunEvent;
use crate::store::RunRecord;

/// Writes the report of a run for people. Implemented by a room above.
pub trait ReportRenderer: Send + Sync {
    /// Markdown of a run as it stands after `events` (all of them, from the first).
    /// The same arguments must give the same text, so that a trail can be derived again.
    fn report(&self, run: &RunRecord, plan_json: &str, events: &[RunEvent]) -> String;
}
