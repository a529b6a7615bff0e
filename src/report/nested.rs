//! Rows of loops and sub-runbooks in a table: indented, and few enough to be read.

use std::collections::BTreeSet;

use super::lines::label;
use super::rows::{RowKind, StepRow, StepStatus, UndoStatus};
use crate::base::StepId;

/// The id as it stands in a table: below its loop or caller only what is new, indented.
pub(super) fn tree_id(depth: usize, row: &StepRow) -> String {
    match depth {
        0 => row.id.as_str().to_owned(),
        _ => format!("{}{}", "  ".repeat(depth), row.short_id()),
    }
}

/// The name for people. Instances bear their loop's, which stands above them.
pub(super) fn tree_label(row: &StepRow) -> &str {
    match row.id.key() {
        Some(_) => "",
        None => label(row),
    }
}

/// At most about `most` rows. When there are more: what failed, waits, runs or was undone, then the
/// slowest, and what they belong to.
pub(super) fn worth_showing<'a>(
    all: &[(usize, &'a StepRow)],
    most: usize,
) -> Vec<(usize, &'a StepRow)> {
    if all.len() <= most {
        return all.to_vec();
    }
    let few = 10.min(most);
    let mut order: Vec<usize> = (0..all.len()).collect();
    order.sort_by_key(|i| {
        let row = all[*i].1;
        let trouble = is_trouble(row);
        (!trouble, is_dull(row), std::cmp::Reverse(row.duration))
    });
    let notable = all.iter().filter(|(_, row)| !is_dull(row)).count();
    order.truncate(notable.clamp(few, most));
    let chosen: BTreeSet<usize> = order.into_iter().collect();
    let mut needed: BTreeSet<StepId> = BTreeSet::new();
    for i in &chosen {
        let mut above = all[*i].1.id.parent();
        while let Some(id) = above {
            above = id.parent();
            needed.insert(id);
        }
    }
    all.iter()
        .enumerate()
        .filter(|(i, (_, row))| chosen.contains(i) || needed.contains(&row.id))
        .map(|(_, row)| *row)
        .collect()
}

/// Whether it is what a person looks for first: what failed, what could not be undone, what waits.
fn is_trouble(row: &StepRow) -> bool {
    matches!(&row.undo, Some(undo) if undo.status == UndoStatus::Failed)
        || matches!(
            row.status,
            StepStatus::Failed
                | StepStatus::Rejected
                | StepStatus::Expired
                | StepStatus::Interrupted
                | StepStatus::Waiting
        )
}

/// Whether there is nothing to say of it.
fn is_dull(row: &StepRow) -> bool {
    row.undo.is_none()
        && row.kind == RowKind::Step
        && matches!(
            row.status,
            StepStatus::Succeeded
                | StepStatus::Approved
                | StepStatus::Skipped
                | StepStatus::AlreadySo
                | StepStatus::NotRun
                | StepStatus::Pending
        )
}
