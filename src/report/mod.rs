//! Floor 6, a face: data turned into text. Everything returns a `String` or writes to a given writer.
//!
//! Nothing that a step, a file or a person wrote reaches a terminal with its control characters.

mod diagnostics;
mod excerpt;
#[cfg(test)]
mod fixtures;
mod graph;
mod lines;
mod next;
mod plan_text;
mod style;
mod terminal;
mod text;
mod timeline;

pub use diagnostics::{
    diagnostics_compact, diagnostics_json, diagnostics_summary, diagnostics_text,
};
pub use graph::{graph_dot, graph_mermaid, graph_svg, graph_text};
pub use next::{NextCommand, Places, next_command};
pub use plan_text::plan_text;
pub use style::Style;
pub use terminal::{RunView, ViewOptions};
pub use timeline::{
    CancelRow, Finish, GateRow, Origin, StepRow, StepStatus, Timeline, UndoRow, UndoStatus, VoteRow,
};
