//! Floor 6, a face: data turned into text. Everything returns a `String` or writes to a given writer.
//!
//! Nothing that a step, a file or a person wrote reaches a terminal with its control characters.

mod actions;
mod diagnostics;
mod dry_run;
mod excerpt;
#[cfg(test)]
mod fixtures;
#[cfg(test)]
mod fixtures_gates;
#[cfg(test)]
mod fixtures_nested;
mod gate_text;
mod graph;
mod inbox;
mod json;
mod lack;
mod lines;
mod live;
mod markdown;
mod nested;
mod next;
mod outcome;
mod page;
mod plain;
mod plan_steps;
mod plan_text;
mod review;
mod review_record;
mod review_steps;
mod review_text;
#[cfg(test)]
mod robustness;
mod rows;
mod sarif;
mod standing;
mod style;
mod summary;
mod tables;
mod terminal;
mod test_results;
#[cfg(test)]
mod tests_nested;
mod text;
mod timeline;
mod waiting;

pub use actions::{action_json, action_text, actions_table, provider_text};
pub use diagnostics::{
    diagnostics_compact, diagnostics_json, diagnostics_summary, diagnostics_text,
};
pub use dry_run::{dry_run_json, dry_run_text};
pub use graph::{graph_dot, graph_mermaid, graph_svg, graph_text};
pub use inbox::{
    InboxGate, InboxReview, inbox_gate_json, inbox_text, obligation_json, obligations_text,
};
pub use json::{write_event, write_json_line, write_progress};
pub use lack::who_is_missing;
pub use markdown::report_markdown;
pub use next::{NextCommand, Places, next_command};
pub use plan_text::plan_text;
pub use review::{
    REVIEW_FORMAT, Review, ReviewChanges, ReviewCommand, ReviewDone, ReviewGate, ReviewInput,
    ReviewInputAsked, ReviewQuorum, ReviewRollback, ReviewRun, ReviewVote, was_approved,
};
pub use review_record::{PastRun, PastRuns, past_runs};
pub use review_steps::{ReviewStep, ReviewUndo, ReviewUndone, ReviewValue};
pub use review_text::review_text;
pub use rows::{GateRow, RowKind, StepRow, StepStatus, Tally, UndoRow, UndoStatus, VoteRow};
pub use sarif::diagnostics_sarif;
pub use standing::{StandingError, standing, with_vote};
pub use style::Style;
pub use summary::summary;
pub use tables::{
    Alive, RunStatusView, RunbookEntry, run_json, runbook_json, runbooks_table, runs_table,
    status_json, status_text,
};
pub use terminal::{RunView, ViewOptions};
pub use test_results::{test_result_json, test_results_junit, test_results_text};
pub use text::{safe_text, shell_word};
pub use timeline::{CancelRow, Finish, Origin, ResumeRow, Timeline};
pub use waiting::{ignored_vote, waits_for};
