//! Votes through the remote: each signed vote is a commit on a branch of its own, so that two voters
//! can never be in each other's way.

use std::path::Path;

use git2::{Commit, Oid, Repository, Signature, Time};

use super::merge;
use super::transport::{Remote, RemoteError, absolute};
use crate::audit::repository::{BRANCH, TrailRepository};
use crate::base::RunId;
use crate::event::{SignedVote, VoteStatement};

/// Below it: `RUN/VOTE`.
const THERE: &str = "refs/heads/votes";
const HERE: &str = "refs/votes";
const STATEMENT: &str = "statement";
const SIGNATURE: &str = "signature";

/// A longer statement or signature is none.
const MAX_SIZE: usize = 256 * 1024;

/// A vote as it came through the remote. Nothing of it is believed until its signature is checked.
#[derive(Debug, Clone, PartialEq)]
pub struct RemoteVote {
    /// What it says.
    pub statement: VoteStatement,
    /// The text and its signature.
    pub signed: SignedVote,
}

/// Sends a signed vote to the remote. Sending it again changes nothing.
///
/// # Errors
/// [`RemoteError::NotAVote`] when the text is no statement, else why the remote did not take it.
pub fn cast_vote(path: &Path, remote: &Remote, signed: &SignedVote) -> Result<(), RemoteError> {
    let statement: VoteStatement =
        serde_json::from_str(&signed.statement).map_err(RemoteError::NotAVote)?;
    let path = absolute(path)?;
    let trail = TrailRepository::open(&path)?;
    let failed = |error| RemoteError::from(merge::failed(&path, error));
    let commit = write(trail.git(), &statement, signed).map_err(failed)?;
    let refspec = format!("{commit}:{THERE}/{}/{}", statement.run, statement.id);
    remote
        .git(
            &path,
            "send a vote to",
            &["push", "--quiet", remote.url(), &refspec],
        )
        .map(drop)
}

/// The votes about a run that the remote has and `known` does not know (by their ids), in the order
/// of their ids. What is no vote, or a vote about something else, is passed over.
///
/// # Errors
/// [`RemoteError`] when the remote could not be asked.
pub fn fetch_votes(
    path: &Path,
    remote: &Remote,
    run: RunId,
    mut known: impl FnMut(&str) -> bool,
) -> Result<Vec<RemoteVote>, RemoteError> {
    let path = absolute(path)?;
    let prefix = format!("{THERE}/{run}/");
    let listed = remote.list(&path, &format!("{prefix}*"))?;
    let new: Vec<&str> = listed
        .iter()
        .filter_map(|(name, _)| name.strip_prefix(&prefix))
        .filter(|id| !known(id))
        .collect();
    if new.is_empty() {
        return Ok(Vec::new());
    }
    let trail = TrailRepository::open(&path)?;
    let refspecs: Vec<String> = new
        .iter()
        .map(|id| format!("+{prefix}{id}:{HERE}/{run}/{id}"))
        .collect();
    remote.fetch(&path, &refspecs)?;
    let votes = new.iter().filter_map(|id| {
        let found = read(trail.git(), &format!("{HERE}/{run}/{id}"))?;
        (found.statement.run == run && found.statement.id == *id).then_some(found)
    });
    Ok(votes.collect())
}

/// Makes the repository at `path` hold the remote's trail as it is now, and nothing else.
///
/// # Errors
/// [`RemoteError`] when the remote could not be asked, or holds no trail.
pub fn mirror(path: &Path, remote: &Remote) -> Result<(), RemoteError> {
    let path = absolute(path)?;
    TrailRepository::open(&path)?;
    remote.fetch(&path, &[format!("+{BRANCH}:{BRANCH}")])
}

/// Equal votes give equal commits.
fn write(
    git: &Repository,
    statement: &VoteStatement,
    signed: &SignedVote,
) -> Result<Oid, git2::Error> {
    let mut tree = git.treebuilder(None)?;
    for (name, text) in [
        (STATEMENT, &signed.statement),
        (SIGNATURE, &signed.signature),
    ] {
        tree.insert(name, git.blob(text.as_bytes())?, 0o100_644)?;
    }
    let tree = git.find_tree(tree.write()?)?;
    let seconds = statement.at.unix_millis().div_euclid(1_000);
    let who = Signature::new(
        &statement.voter,
        &format!("{}@vote", statement.voter),
        &Time::new(seconds, 0),
    )?;
    let said = statement.vote.map_or("reviews", |vote| vote.verb());
    let gate = statement
        .gate
        .as_ref()
        .map_or_else(|| "the run".to_owned(), |gate| format!("\"{gate}\""));
    let message = format!(
        "{} {said} {gate}\n\nRun-Id: {}\nPlan-Digest: {}\n",
        statement.voter, statement.run, statement.plan_digest
    );
    git.commit(None, &who, &who, &message, &tree, &[])
}

fn read(git: &Repository, name: &str) -> Option<RemoteVote> {
    let commit = git.find_reference(name).ok()?.peel_to_commit().ok()?;
    let text = |file| text_of(git, &commit, file);
    let signed = SignedVote {
        statement: text(STATEMENT)?,
        signature: text(SIGNATURE)?,
    };
    let statement = serde_json::from_str(&signed.statement).ok()?;
    Some(RemoteVote { statement, signed })
}

fn text_of(git: &Repository, commit: &Commit<'_>, file: &str) -> Option<String> {
    let entry = commit.tree().ok()?.get_name(file)?.id();
    let blob = git.find_blob(entry).ok()?;
    (blob.size() <= MAX_SIZE)
        .then(|| String::from_utf8(blob.content().to_vec()).ok())
        .flatten()
}
