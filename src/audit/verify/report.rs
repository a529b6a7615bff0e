//! What is asked of a verification, and what came of it.

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;

use git2::Oid;

use crate::base::RunId;

/// Hex digits of a commit in messages: what stock git shows of a large repository.
const SHORT: usize = 10;

/// What a trail is held to, beside itself.
#[derive(Debug, Clone, Default)]
pub struct VerifyOptions {
    /// Only this run, and the commits about it.
    pub run: Option<RunId>,
    /// A commit (its full id) that was the head of this trail once.
    pub against: Option<String>,
    /// A repository whose every commit this trail must have.
    pub remote: Option<PathBuf>,
    /// Whose signatures of commits count.
    pub signers: Vec<Signer>,
    /// Whether commits must be signed. Without it a trail that was never signed passes.
    pub require_signatures: bool,
    /// The public keys of the people of today's policy, by login name.
    pub people: Option<BTreeMap<String, Vec<String>>>,
}

/// Somebody whose signature of a commit counts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Signer {
    /// The name of the host or person.
    pub name: String,
    /// Public keys in OpenSSH form.
    pub keys: Vec<String>,
}

/// Something that is not as it must be, or that is worth knowing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// The run that it is about.
    pub run: Option<RunId>,
    /// The commit that it is about, 40 hex digits.
    pub commit: Option<String>,
    /// What is wrong, in words.
    pub message: String,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let commit = self
            .commit
            .as_ref()
            .map(|commit| format!("commit {}", commit.get(..SHORT).unwrap_or(commit)));
        let run = self.run.map(|run| format!("run {run}"));
        let place: Vec<String> = commit.into_iter().chain(run).collect();
        match place.is_empty() {
            true => f.write_str(&self.message),
            false => write!(f, "{}: {}", place.join(", "), self.message),
        }
    }
}

/// What came of a verification.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Verification {
    /// The newest commit; `None` for a trail without any.
    pub head: Option<String>,
    /// Commits that were looked at.
    pub commits: usize,
    /// Those of them with a good signature of a known signer.
    pub signed_commits: usize,
    /// Runs whose contents were looked at.
    pub runs: usize,
    /// Their events.
    pub events: usize,
    /// Their votes and reviews.
    pub votes: usize,
    /// Those of them with a good signature.
    pub signed_votes: usize,
    /// What is broken, the oldest commit first, then run by run. None: all is proven.
    pub findings: Vec<Finding>,
    /// What is worth knowing and breaks nothing.
    pub notes: Vec<Finding>,
}

impl Verification {
    /// Takes over what a part of the work found; the head stays.
    pub(super) fn add(&mut self, part: Self) {
        self.commits += part.commits;
        self.signed_commits += part.signed_commits;
        self.runs += part.runs;
        self.events += part.events;
        self.votes += part.votes;
        self.signed_votes += part.signed_votes;
        self.findings.extend(part.findings);
        self.notes.extend(part.notes);
    }
}

/// Collects findings for one place.
pub(super) struct Place<'a> {
    pub(super) report: &'a mut Verification,
    pub(super) run: Option<RunId>,
    pub(super) commit: Option<Oid>,
}

impl Place<'_> {
    pub(super) fn broken(&mut self, message: impl Into<String>) {
        let finding = self.finding(message.into());
        self.report.findings.push(finding);
    }

    pub(super) fn note(&mut self, message: impl Into<String>) {
        let finding = self.finding(message.into());
        self.report.notes.push(finding);
    }

    fn finding(&self, message: String) -> Finding {
        Finding {
            run: self.run,
            commit: self.commit.map(|commit| commit.to_string()),
            message,
        }
    }
}
