//! Two trails become one: every run is in one folder, so the union is always defined, and a run that
//! both sides have must go on in one of them where the other ends.

use std::path::PathBuf;
use std::str::FromStr as _;

use git2::{Commit, ObjectType, Oid, Repository, Tree};

use crate::audit::error::AuditError;
use crate::base::RunId;

/// Levels above the folder of a run: `runs/2026/11/24/ID`.
const RUN_LEVEL: usize = 5;

/// Why two trees are no union.
pub(super) enum Clash {
    /// Both have this run, and they disagree.
    Run(RunId),
    /// Git failed, or the tree is no trail.
    Git(git2::Error),
}

impl From<git2::Error> for Clash {
    fn from(error: git2::Error) -> Self {
        Self::Git(error)
    }
}

/// The union of two trails, and how many run folders of `theirs` are new or longer in it.
pub(super) fn union(
    git: &Repository,
    ours: &Tree<'_>,
    theirs: &Tree<'_>,
) -> Result<(Oid, usize), Clash> {
    let mut union = Union { git, taken: 0 };
    let tree = union.trees(ours, theirs, 0)?;
    Ok((tree, union.taken))
}

struct Union<'r> {
    git: &'r Repository,
    taken: usize,
}

impl Union<'_> {
    fn trees(&mut self, ours: &Tree<'_>, theirs: &Tree<'_>, level: usize) -> Result<Oid, Clash> {
        if ours.id() == theirs.id() {
            return Ok(ours.id());
        }
        let mut builder = self.git.treebuilder(Some(ours))?;
        for entry in theirs {
            let name = entry.name_bytes();
            let mine = ours.get_name_bytes(name).map(|mine| mine.id());
            let merged = match mine {
                Some(mine) if mine == entry.id() => continue,
                Some(mine) => {
                    let (Ok(mine), Ok(their)) =
                        (self.git.find_tree(mine), self.git.find_tree(entry.id()))
                    else {
                        return Err(no_trail(entry.name_bytes()));
                    };
                    if level + 1 == RUN_LEVEL {
                        self.longer(&mine, &their, entry.name_bytes())?
                    } else {
                        self.trees(&mine, &their, level + 1)?
                    }
                }
                None => {
                    self.taken += self.runs_below(entry.id(), entry.kind(), level + 1)?;
                    entry.id()
                }
            };
            builder.insert(PathBuf::from(os(name)), merged, entry.filemode())?;
        }
        Ok(builder.write()?)
    }

    /// Of two records of one run, the one that goes on where the other ends.
    fn longer(&mut self, ours: &Tree<'_>, theirs: &Tree<'_>, name: &[u8]) -> Result<Oid, Clash> {
        let (mine, their) = (self.events(ours)?, self.events(theirs)?);
        if mine.starts_with(&their) && mine != their {
            return Ok(ours.id());
        }
        if their.starts_with(&mine) && mine != their {
            self.taken += 1;
            return Ok(theirs.id());
        }
        let run = std::str::from_utf8(name).map(RunId::from_str);
        Err(match run {
            Ok(Ok(run)) => Clash::Run(run),
            _ => no_trail(name),
        })
    }

    fn events(&self, run: &Tree<'_>) -> Result<Vec<u8>, Clash> {
        match run.get_name("events.jsonl") {
            Some(entry) => Ok(self.git.find_blob(entry.id())?.content().to_vec()),
            None => Ok(Vec::new()),
        }
    }

    fn runs_below(
        &self,
        id: Oid,
        kind: Option<ObjectType>,
        level: usize,
    ) -> Result<usize, git2::Error> {
        if level == RUN_LEVEL || kind != Some(ObjectType::Tree) {
            return Ok(usize::from(level == RUN_LEVEL));
        }
        let tree = self.git.find_tree(id)?;
        let mut runs = 0;
        for entry in &tree {
            runs += self.runs_below(entry.id(), entry.kind(), level + 1)?;
        }
        Ok(runs)
    }
}

fn os(name: &[u8]) -> std::ffi::OsString {
    use std::os::unix::ffi::OsStringExt as _;
    std::ffi::OsString::from_vec(name.to_vec())
}

fn no_trail(name: &[u8]) -> Clash {
    Clash::Git(git2::Error::from_str(&format!(
        "`{}` is not what a trail holds there",
        String::from_utf8_lossy(name)
    )))
}

/// What the commit says that joins two trails.
pub(super) fn message(theirs: &Commit<'_>, taken: usize) -> String {
    let runs = match taken {
        1 => "1 run".to_owned(),
        n => format!("{n} runs"),
    };
    format!(
        "Join the trail of another host ({runs})\n\nMerged-From: {}\n",
        theirs.id()
    )
}

/// As an error of the trail.
pub(super) fn failed(path: &std::path::Path, error: git2::Error) -> AuditError {
    AuditError::git("join", path, error)
}
