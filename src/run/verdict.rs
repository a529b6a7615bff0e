//! Votes → verdict. Who may vote is the policy's matter and comes with it; here one yes opens a
//! gate and one no closes it.

use crate::base::{Digest, Timestamp};
use crate::event::{Actor, Vote};

/// A vote as the state keeps it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CastVote {
    /// Yes or no.
    pub vote: Vote,
    /// Who.
    pub actor: Actor,
    /// Why.
    pub comment: Option<String>,
    /// What the voter saw.
    pub plan_digest: Digest,
    /// When.
    pub at: Timestamp,
}

/// What the votes amount to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// Not enough yet.
    Pending,
    /// Go on.
    Approved,
    /// Do not.
    Rejected,
}

/// Judges the votes on a plan. A vote on another plan does not count; one veto ends it.
pub fn verdict(votes: &[CastVote], plan: &Digest) -> Verdict {
    let counted = || votes.iter().filter(|v| v.plan_digest == *plan);
    if counted().any(|v| v.vote == Vote::Reject) {
        Verdict::Rejected
    } else if counted().any(|v| v.vote == Vote::Approve) {
        Verdict::Approved
    } else {
        Verdict::Pending
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cast(vote: Vote, plan: &Digest) -> CastVote {
        CastVote {
            vote,
            actor: Actor {
                name: "ana".into(),
                host: "h".into(),
                verified: false,
            },
            comment: None,
            plan_digest: *plan,
            at: Timestamp::from_unix_millis(0),
        }
    }

    #[test]
    fn one_yes_opens_one_no_closes_and_stale_votes_do_not_count() {
        let plan = Digest::of_bytes(b"plan");
        let other = Digest::of_bytes(b"other");
        assert_eq!(verdict(&[], &plan), Verdict::Pending);
        let yes = cast(Vote::Approve, &plan);
        let no = cast(Vote::Reject, &plan);
        assert_eq!(
            verdict(std::slice::from_ref(&yes), &plan),
            Verdict::Approved
        );
        assert_eq!(
            verdict(&[yes.clone(), no.clone()], &plan),
            Verdict::Rejected
        );
        assert_eq!(verdict(&[no, yes], &plan), Verdict::Rejected);
        let stale = [cast(Vote::Approve, &other), cast(Vote::Reject, &other)];
        assert_eq!(verdict(&stale, &plan), Verdict::Pending);
    }
}
