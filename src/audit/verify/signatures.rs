//! Signatures of commits: whose they are, and that nobody left them off.

use std::collections::HashSet;

use git2::{Commit, Oid, Repository};

use super::report::{Place, Verification, VerifyOptions};
use crate::audit::ssh::{GIT_NAMESPACE, SshError, verify};
use crate::base::RunId;

/// What is known of the signatures so far, the oldest commit first.
pub(super) struct Signatures {
    keys: Vec<String>,
    required: bool,
    only: Option<RunId>,
    /// Commits that are signed or have an ancestor that is.
    begun: HashSet<Oid>,
    /// Commits without a signature before anything was signed, and what they are about.
    before: Vec<(Oid, Vec<Oid>, Option<RunId>)>,
    /// Well signed commits and their parents.
    good: Vec<(Oid, Vec<Oid>)>,
    unchecked: usize,
}

impl Signatures {
    pub(super) fn new(options: &VerifyOptions) -> Self {
        let keys = options.signers.iter().flat_map(|signer| &signer.keys);
        Self {
            keys: keys.cloned().collect(),
            required: options.require_signatures,
            only: options.run,
            begun: HashSet::new(),
            before: Vec::new(),
            good: Vec::new(),
            unchecked: 0,
        }
    }

    pub(super) fn look(
        &mut self,
        git: &Repository,
        commit: &Commit<'_>,
        run: Option<RunId>,
        report: &mut Verification,
    ) {
        let id = commit.id();
        let wanted = self.only.is_none() || self.only == run;
        let mut place = Place {
            report,
            run,
            commit: Some(id),
        };
        let parents: Vec<Oid> = commit.parent_ids().collect();
        let after_signed = parents.iter().any(|parent| self.begun.contains(parent));
        let Ok((signature, content)) = git.extract_signature(&id, None) else {
            if after_signed {
                self.begun.insert(id);
                if wanted {
                    place.broken("it is not signed, but a commit before it is");
                }
            } else {
                self.before.push((id, parents, run));
            }
            return;
        };
        self.begun.insert(id);
        if self.keys.is_empty() {
            self.unchecked += 1;
            return;
        }
        let armoured = String::from_utf8_lossy(&signature);
        match verify(&self.keys, GIT_NAMESPACE, &content, &armoured) {
            Ok(_) => {
                place.report.signed_commits += usize::from(wanted);
                self.good.push((id, parents));
            }
            Err(_) if !wanted => {}
            Err(SshError::BadSignature(_)) => place.broken("its signature is no SSH signature"),
            Err(_) => place.broken(
                "its signature is not one of the allowed signers' over what it says: it was changed, \
                 or somebody else signed it",
            ),
        }
    }

    /// Commits from before the first signature are covered by it, since it covers their digests.
    pub(super) fn finish(self, report: &mut Verification) {
        let all = Place {
            report,
            run: None,
            commit: None,
        };
        let mut all = all;
        if self.unchecked > 0 {
            let n = self.unchecked;
            all.note(format!(
                "{n} commits are signed, and no signer is known: name them with --policy or \
                 --allowed-signers"
            ));
            if self.required {
                all.broken("signatures are required, and no signer is known");
            }
        }
        let mut covered: HashSet<Oid> = HashSet::new();
        for (_, parents) in &self.good {
            covered.extend(parents);
        }
        let mut last_covered = None;
        for (id, parents, run) in self.before.iter().rev() {
            if covered.contains(id) {
                covered.extend(parents);
                last_covered = last_covered.or(Some(*id));
            } else if self.required && (self.only.is_none() || self.only == *run) {
                let mut place = Place {
                    report: all.report,
                    run: *run,
                    commit: Some(*id),
                };
                place.broken("it is not signed, and no signed commit follows it");
            }
        }
        if let Some(last) = last_covered {
            let mut place = Place {
                report,
                run: None,
                commit: Some(last),
            };
            place.note(
                "it and those before it are not signed; the signature after them covers them",
            );
        }
    }
}
