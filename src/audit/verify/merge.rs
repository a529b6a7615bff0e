//! A merge of the trails of two hosts: all that either had, and nothing else.

use git2::{Commit, Oid, Repository, Tree};

use super::report::Place;
use super::tree::{bytes, changes, folders};

pub(super) fn check(
    git: &Repository,
    commit: &Commit<'_>,
    place: &mut Place<'_>,
) -> Result<(), git2::Error> {
    let (one, two) = (commit.parent(0)?, commit.parent(1)?);
    let later = one.time().seconds().max(two.time().seconds());
    for time in [commit.author().when(), commit.committer().when()] {
        if time.seconds() != later {
            place.broken("its time is not that of the later of its two parents");
            break;
        }
    }
    if commit.committer().name_bytes() != b"runbook" {
        place.broken("its committer is not `runbook`");
    }
    let (left, right) = (folders(git, &one.tree()?)?, folders(git, &two.tree()?)?);
    let merged = folders(git, &commit.tree()?)?;
    for path in left.keys().chain(right.keys()) {
        if !merged.contains_key(path) {
            place.broken(format!("the merge leaves out `{path}`"));
        }
    }
    for (path, id) in &merged {
        match (left.get(path), right.get(path)) {
            (None, None) => {
                place.broken(format!("the merge adds `{path}`, which neither side has"))
            }
            (Some(side), None) | (None, Some(side)) if side == id => {}
            (Some(side), Some(other)) if side == id || other == id => {
                let shorter = if side == id { other } else { side };
                if shorter != id && !extends(git, *shorter, *id)? {
                    place.broken(format!("the merge drops what one side has in `{path}`"));
                }
            }
            _ => place.broken(format!("the merge changes `{path}`")),
        }
    }
    Ok(())
}

/// Whether the folder of a run has all that an older one of it has: more events, more votes.
fn extends(git: &Repository, older: Oid, newer: Oid) -> Result<bool, git2::Error> {
    let (older, newer): (Tree<'_>, Tree<'_>) = (git.find_tree(older)?, git.find_tree(newer)?);
    for change in changes(git, Some(&older), Some(&newer))? {
        let may_change = change.path == "report.md" || change.path.starts_with("logs/");
        let kept = match (change.old, change.new) {
            (None, _) => true,
            (Some(_), None) => false,
            (Some(_), Some(_)) if change.path == "events.jsonl" => {
                let old = bytes(git, &older, "events.jsonl")?.unwrap_or_default();
                bytes(git, &newer, "events.jsonl")?.is_some_and(|new| new.starts_with(&old))
            }
            (Some(_), Some(_)) => may_change,
        };
        if !kept {
            return Ok(false);
        }
    }
    Ok(true)
}
