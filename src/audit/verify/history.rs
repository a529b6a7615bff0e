//! The walk over the whole history, oldest commit first.

use std::collections::HashMap;
use std::path::Path;

use git2::{Commit, ErrorCode, Oid, Repository, Sort, Tree};

use super::report::{Place, Verification, VerifyOptions};
use super::signatures::Signatures;
use super::{anchor, commit, contents, merge, tree};
use crate::audit::error::AuditError;
use crate::audit::repository::BRANCH;
use crate::base::RunId;
use crate::store::RunStore;

/// Where a plain clone has what the repository has as [`BRANCH`].
const REMOTE_BRANCH: &str = "refs/remotes/origin/main";

/// Looks at everything in the trail at `path` and collects what is broken. Nothing is changed. With
/// the store at hand both are compared.
///
/// # Errors
/// [`AuditError`] when the repository cannot be opened, or the store not be read. What is damaged
/// inside the repository is among the findings.
pub fn verify_trail(
    path: &Path,
    options: &VerifyOptions,
    store: Option<&dyn RunStore>,
) -> Result<Verification, AuditError> {
    let failed = |error| AuditError::git("open", path, error);
    let git = Repository::open(path).map_err(failed)?;
    let mut report = Verification::default();
    let tip = tip(&git).map_err(failed)?;
    if git.is_shallow() {
        whole(&mut report).broken("the history is cut off (a shallow clone): clone all of it");
    }
    if let Some(tip) = tip {
        report.head = Some(tip.to_string());
        // Two halves that know nothing of each other, each with a handle of its own: Git's are not shared.
        let (history, contents) = std::thread::scope(|scope| {
            let contents = scope.spawn(|| {
                part(path, "the newest tree cannot be read", |git, report| {
                    runs(git, tip, options, report)
                })
            });
            let history = part(path, "the history cannot be read", |git, report| {
                walk(git, tip, options, report)
            });
            (history, contents.join())
        });
        report.add(history);
        match contents {
            Ok(contents) => report.add(contents),
            Err(_) => whole(&mut report).broken("the newest tree could not be looked at"),
        }
    }
    anchor::check(&git, tip, options, &mut report);
    if let Some(store) = store {
        anchor::compare(&git, tip, options, store, &mut report)?;
    }
    Ok(report)
}

/// What one half of the work finds.
fn part(
    path: &Path,
    unreadable: &str,
    look: impl FnOnce(&Repository, &mut Verification) -> Result<(), git2::Error>,
) -> Verification {
    let mut report = Verification::default();
    let looked = Repository::open(path).and_then(|git| look(&git, &mut report));
    if let Err(error) = looked {
        whole(&mut report).broken(format!("{unreadable}: {}", error.message()));
    }
    report
}

/// The whole trail as the place of a finding.
pub(super) fn whole(report: &mut Verification) -> Place<'_> {
    Place {
        report,
        run: None,
        commit: None,
    }
}

/// The newest commit of the trail, if there is one.
pub(in crate::audit) fn tip(git: &Repository) -> Result<Option<Oid>, git2::Error> {
    for name in [BRANCH, REMOTE_BRANCH] {
        match git.refname_to_id(name) {
            Ok(tip) => return Ok(Some(tip)),
            Err(error) if error.code() == ErrorCode::NotFound => {}
            Err(error) => return Err(error),
        }
    }
    Ok(None)
}

fn walk(
    git: &Repository,
    tip: Oid,
    options: &VerifyOptions,
    report: &mut Verification,
) -> Result<(), git2::Error> {
    let mut order = git.revwalk()?;
    order.set_sorting(Sort::TOPOLOGICAL | Sort::REVERSE)?;
    order.push(tip)?;
    let mut signatures = Signatures::new(options);
    let mut known = HashMap::new();
    for id in order {
        let id = id?;
        let commit = git.find_commit(id)?;
        let run = match one(git, &commit, &mut known, options, report) {
            Ok(run) => run,
            Err(error) => {
                let message = format!("it cannot be read: {}", error.message());
                at(report, id, None).broken(message);
                None
            }
        };
        if wanted(options, run) {
            report.commits += 1;
        }
        signatures.look(git, &commit, run, report);
    }
    signatures.finish(report);
    Ok(())
}

fn wanted(options: &VerifyOptions, run: Option<RunId>) -> bool {
    options.run.is_none() || options.run == run
}

fn at(report: &mut Verification, commit: Oid, run: Option<RunId>) -> Place<'_> {
    Place {
        report,
        run,
        commit: Some(commit),
    }
}

/// Looks at one commit, and says which run it is about.
fn one(
    git: &Repository,
    commit: &Commit<'_>,
    known: &mut commit::Known,
    options: &VerifyOptions,
    report: &mut Verification,
) -> Result<Option<RunId>, git2::Error> {
    let before = (report.findings.len(), report.notes.len());
    let run = match commit.parent_count() {
        0 | 1 => {
            let parent: Option<Tree<'_>> = match commit.parent_count() {
                0 => None,
                _ => Some(commit.parent(0)?.tree()?),
            };
            let changes = tree::changes(git, parent.as_ref(), Some(&commit.tree()?))?;
            commit::check(git, commit, &changes, known, report)?
        }
        2 => {
            merge::check(git, commit, &mut at(report, commit.id(), None))?;
            None
        }
        n => {
            let message = format!("it has {n} parents; a merge of two trails has two");
            at(report, commit.id(), None).broken(message);
            None
        }
    };
    if !wanted(options, run) {
        // Another run's troubles are not asked for.
        report.findings.truncate(before.0);
        report.notes.truncate(before.1);
    }
    Ok(run)
}

/// What is in the folders of the runs now.
fn runs(
    git: &Repository,
    tip: Oid,
    options: &VerifyOptions,
    report: &mut Verification,
) -> Result<(), git2::Error> {
    let tree = git.find_commit(tip)?.tree()?;
    for (path, id) in tree::folders(git, &tree)? {
        let Some(run) = commit::run_of(&path) else {
            whole(report).broken(format!("`{path}` is no folder of a run"));
            continue;
        };
        if !wanted(options, Some(run)) {
            continue;
        }
        report.runs += 1;
        let mut place = Place {
            report,
            run: Some(run),
            commit: None,
        };
        let checked = git
            .find_tree(id)
            .and_then(|folder| contents::check(git, &folder, &path, run, options, &mut place));
        if let Err(error) = checked {
            place.broken(format!("its folder cannot be read: {}", error.message()));
        }
    }
    if let Some(run) = options.run
        && report.runs == 0
    {
        whole(report).broken(format!("the trail has no run {run}"));
    }
    Ok(())
}
