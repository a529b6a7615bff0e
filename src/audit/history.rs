//! Reading the trail: what its commits say.

use std::path::Path;

use git2::{Commit, ErrorCode, Repository, Sort};

use super::error::AuditError;
use super::repository::BRANCH;
use super::verify::{folders, run_of, tip};
use crate::base::{Digest, EventSeq, RunId, Timestamp};

/// Which commits to list.
#[derive(Debug, Clone, Default)]
pub struct AuditFilter {
    /// Only of this run.
    pub run: Option<RunId>,
    /// At most so many, newest first.
    pub limit: Option<usize>,
}

/// A commit of the trail. What its trailers do not say, or say wrongly, is `None`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuditEntry {
    /// The commit's id, 40 hex digits.
    pub commit: String,
    /// When the last of its events was recorded, in whole seconds.
    pub at: Timestamp,
    /// First line of the message.
    pub subject: String,
    /// Who did it: `name <email>`.
    pub author: String,
    /// The run.
    pub run: Option<RunId>,
    /// Runbook name.
    pub runbook: Option<String>,
    /// Environment name.
    pub environment: Option<String>,
    /// Digest of the plan.
    pub plan_digest: Option<Digest>,
    /// The last event of the run that the commit holds.
    pub last_seq: Option<EventSeq>,
    /// How the run ended, in the words of the journal, when the commit holds its end.
    pub outcome: Option<String>,
}

/// The commits of the trail at `path`, newest first. A trail that does not exist yet is empty.
///
/// # Errors
/// [`AuditError::Git`] when it cannot be read.
pub fn log(path: &Path, filter: &AuditFilter) -> Result<Vec<AuditEntry>, AuditError> {
    if !path.exists() {
        return Ok(Vec::new());
    }
    read(path, filter).map_err(|error| AuditError::git("read", path, error))
}

fn read(path: &Path, filter: &AuditFilter) -> Result<Vec<AuditEntry>, git2::Error> {
    let git = Repository::open_bare(path)?;
    let tip = match git.refname_to_id(BRANCH) {
        Ok(tip) => tip,
        Err(error) if error.code() == ErrorCode::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(error),
    };
    let mut walk = git.revwalk()?;
    // By parents alone: clocks may jump back, the order of the commits does not.
    walk.set_sorting(Sort::TOPOLOGICAL)?;
    walk.push(tip)?;
    let mut entries = Vec::new();
    for id in walk {
        if filter.limit.is_some_and(|limit| entries.len() >= limit) {
            break;
        }
        let entry = entry(&git.find_commit(id?)?);
        if filter.run.is_none() || entry.run == filter.run {
            entries.push(entry);
        }
    }
    Ok(entries)
}

/// The logs of a run as the trail keeps them: file name and text, by name.
///
/// # Errors
/// [`AuditError`] when the trail cannot be read.
pub fn recorded_logs(path: &Path, run: RunId) -> Result<Vec<(String, Vec<u8>)>, AuditError> {
    let read = || -> Result<Vec<(String, Vec<u8>)>, git2::Error> {
        let git = Repository::open_bare(path)?;
        let Some(found) = folder_of(&git, run)? else {
            return Ok(Vec::new());
        };
        let folder = git.find_tree(found.1)?;
        let Some(logs) = folder.get_name("logs") else {
            return Ok(Vec::new());
        };
        let mut all = Vec::new();
        for entry in &git.find_tree(logs.id())? {
            let name = String::from_utf8_lossy(entry.name_bytes()).into_owned();
            all.push((name, git.find_blob(entry.id())?.content().to_vec()));
        }
        Ok(all)
    };
    if !path.exists() {
        return Ok(Vec::new());
    }
    read().map_err(|error| AuditError::git("read", path, error))
}

/// The folder of a run in the newest tree, by path and tree.
pub(super) fn folder_of(
    git: &Repository,
    run: RunId,
) -> Result<Option<(String, git2::Oid)>, git2::Error> {
    let Some(tip) = tip(git)? else {
        return Ok(None);
    };
    let folders = folders(git, &git.find_commit(tip)?.tree()?)?;
    Ok(folders
        .into_iter()
        .find(|(path, _)| run_of(path) == Some(run)))
}

fn entry(commit: &Commit<'_>) -> AuditEntry {
    let message = String::from_utf8_lossy(commit.message_bytes());
    let trailer = |key: &str| {
        let trailers = git2::message_trailers_strs(&message).ok()?;
        let found = trailers.iter().find(|(name, _)| *name == key);
        found.map(|(_, value)| value.to_owned())
    };
    AuditEntry {
        commit: commit.id().to_string(),
        at: Timestamp::from_unix_millis(commit.time().seconds().saturating_mul(1_000)),
        subject: message.lines().next().unwrap_or_default().to_owned(),
        author: commit.author().to_string(),
        run: trailer("Run-Id").and_then(|text| text.parse().ok()),
        runbook: trailer("Runbook"),
        environment: trailer("Environment"),
        plan_digest: trailer("Plan-Digest").and_then(|text| text.parse().ok()),
        last_seq: trailer("Last-Seq").and_then(|text| Some(EventSeq(text.parse().ok()?))),
        outcome: trailer("Outcome"),
    }
}
