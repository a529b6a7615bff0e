//! Pushing, and joining what other hosts pushed. Never forced: a remote only ever grows.

use std::path::Path;

use git2::{Oid, Signature, Time};

use super::merge::{self, Clash};
use super::transport::{Remote, RemoteError, SEEN, absolute};
use crate::audit::repository::{BRANCH, NewCommit, TrailRepository};
use crate::audit::ssh::SigningKey;

/// How often another host may push between our look and our push.
const MAX_RACES: usize = 20;

/// What pushing did.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct PushReport {
    /// Commits that the remote did not have.
    pub pushed: usize,
    /// Commits of other hosts that came here.
    pub fetched: usize,
    /// Whether the two trails had to be joined by a commit.
    pub merged: bool,
}

/// Makes the trail at `path` and the remote the same, each with what the other had. `host` names
/// this one in a joining commit, and `key` signs it.
///
/// # Errors
/// [`RemoteError`]; then the remote is as it was, and the trail has at most learned what the remote has.
pub fn push(
    path: &Path,
    remote: &Remote,
    host: &str,
    key: Option<&SigningKey>,
) -> Result<PushReport, RemoteError> {
    let path = absolute(path)?;
    let trail = TrailRepository::open(&path)?;
    let push = Push {
        path: &path,
        trail: &trail,
        remote,
        host,
        key,
    };
    let mut report = PushReport::default();
    for _ in 0..MAX_RACES {
        let theirs = push.look()?;
        let Some(ours) = push.join(theirs, &mut report)? else {
            return Ok(report);
        };
        if theirs == Some(ours) {
            return Ok(report);
        }
        let refspec = format!("{ours}:{BRANCH}");
        let pushed = remote.git(
            &path,
            "push to",
            &["push", "--quiet", remote.url(), &refspec],
        );
        match pushed {
            Ok(_) => {
                report.pushed = push.ahead(ours, theirs)?;
                push.remember(ours)?;
                return Ok(report);
            }
            // Somebody else was faster: look again. Anything else is said.
            Err(_) if push.tip_of_remote()? != theirs => {}
            Err(error) => return Err(error),
        }
    }
    Err(RemoteError::Busy {
        url: remote.url().to_owned(),
    })
}

struct Push<'a> {
    path: &'a Path,
    trail: &'a TrailRepository,
    remote: &'a Remote,
    host: &'a str,
    key: Option<&'a SigningKey>,
}

impl Push<'_> {
    fn failed(&self, error: git2::Error) -> RemoteError {
        merge::failed(self.path, error).into()
    }

    fn tip_of_remote(&self) -> Result<Option<Oid>, RemoteError> {
        let listed = self.remote.list(self.path, BRANCH)?;
        let tip = listed.into_iter().find(|(name, _)| name == BRANCH);
        tip.map(|(_, object)| Oid::from_str(&object).map_err(|error| self.failed(error)))
            .transpose()
    }

    /// The remote's tip, fetched; notices that what it had is gone.
    fn look(&self) -> Result<Option<Oid>, RemoteError> {
        let git = self.trail.git();
        let seen = git.refname_to_id(SEEN).ok();
        let theirs = self.tip_of_remote()?;
        if let Some(theirs) = theirs
            && seen != Some(theirs)
        {
            self.remote
                .fetch(self.path, &[format!("+{BRANCH}:refs/runbook/incoming")])?;
        }
        let is_kept = match (seen, theirs) {
            (None, _) => true,
            (Some(_), None) => false,
            (Some(seen), Some(theirs)) => {
                seen == theirs
                    || git
                        .graph_descendant_of(theirs, seen)
                        .map_err(|error| self.failed(error))?
            }
        };
        if let (Some(seen), false) = (seen, is_kept) {
            return Err(RemoteError::Rewritten {
                url: self.remote.url().to_owned(),
                before: seen.to_string(),
            });
        }
        if let Some(theirs) = theirs {
            self.remember(theirs)?;
        }
        Ok(theirs)
    }

    fn remember(&self, tip: Oid) -> Result<(), RemoteError> {
        self.trail
            .git()
            .reference(SEEN, tip, true, "seen")
            .map(drop)
            .map_err(|error| self.failed(error))
    }

    /// Takes over what the remote has. Gives the commit that it should have; `None`: neither side has any.
    fn join(
        &self,
        theirs: Option<Oid>,
        report: &mut PushReport,
    ) -> Result<Option<Oid>, RemoteError> {
        let failed = |error| self.failed(error);
        let git = self.trail.git();
        // Nobody of us appends meanwhile.
        let _lock = self.trail.lock()?;
        let ours = self.trail.tip()?;
        let Some(theirs) = theirs else {
            return Ok(ours.map(|tip| tip.id()));
        };
        let their_tip = git.find_commit(theirs).map_err(failed)?;
        let Some(ours) = ours else {
            git.reference(BRANCH, theirs, false, "take over")
                .map_err(failed)?;
            report.fetched += self.ahead(theirs, None)?;
            return Ok(Some(theirs));
        };
        let (mine, their) = (ours.id(), theirs);
        if mine == their || git.graph_descendant_of(mine, their).map_err(failed)? {
            return Ok(Some(mine));
        }
        // Also a remote that only went on must not say anything else of what is here.
        let (tree, taken) = merge::union(
            git,
            &ours.tree().map_err(failed)?,
            &their_tip.tree().map_err(failed)?,
        )
        .map_err(|clash| match clash {
            Clash::Git(error) => self.failed(error),
            Clash::Run(run) => RemoteError::Diverged {
                url: self.remote.url().to_owned(),
                run,
            },
        })?;
        let joined = if git.graph_descendant_of(their, mine).map_err(failed)? {
            if tree != their_tip.tree_id() {
                return Err(self.failed(git2::Error::from_str(
                    "the remote lacks something that it had; see: runbook audit verify --remote",
                )));
            }
            their
        } else {
            report.merged = true;
            let at = ours.time().seconds().max(their_tip.time().seconds());
            let email = format!("runbook@{}", self.host);
            let who = || Signature::new("runbook", &email, &Time::new(at, 0)).map_err(failed);
            let new = NewCommit {
                files: Vec::new(),
                message: &merge::message(&their_tip, taken),
                author: who()?,
                committer: who()?,
                key: self.key,
            };
            let tree = git.find_tree(tree).map_err(failed)?;
            self.trail.commit(&new, &tree, &[&ours, &their_tip])?
        };
        report.fetched += self.ahead(their, Some(mine))?;
        git.reference_matching(BRANCH, joined, true, mine, "join")
            .map_err(failed)?;
        Ok(Some(joined))
    }

    /// How many commits `new` has that `old` has not.
    fn ahead(&self, new: Oid, old: Option<Oid>) -> Result<usize, RemoteError> {
        let count = || -> Result<usize, git2::Error> {
            let mut walk = self.trail.git().revwalk()?;
            walk.push(new)?;
            if let Some(old) = old {
                walk.hide(old)?;
            }
            Ok(walk.count())
        };
        count().map_err(|error| self.failed(error))
    }
}
