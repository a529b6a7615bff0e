//! Who says what at a gate, and what is signed.

use serde::{Deserialize, Serialize};

use super::kind::EventKind;
use crate::base::{Digest, Map, RunId, StepId, Timestamp, Value, canonical_text};

/// A person or program that did something.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Actor {
    /// Login name; of a verified one the name in the policy.
    pub name: String,
    /// Host it acted from.
    pub host: String,
    /// Whether a signature proved who it is. The operating system's word alone is `false`.
    pub verified: bool,
}

/// What is said at a gate.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Vote {
    /// Go on.
    Approve,
    /// Do not. One veto of somebody who may vote ends it.
    Reject,
    /// My earlier vote is taken back.
    Withdraw,
    /// Undo what came after an earlier step, and start again from there.
    SendBack,
}

impl Vote {
    /// The wire name.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Approve => "approve",
            Self::Reject => "reject",
            Self::Withdraw => "withdraw",
            Self::SendBack => "send_back",
        }
    }

    /// What somebody does, before the name of the gate: `approves`.
    pub fn verb(self) -> &'static str {
        match self {
            Self::Approve => "approves",
            Self::Reject => "rejects",
            Self::Withdraw => "takes back the vote at",
            Self::SendBack => "sends the run back at",
        }
    }
}

/// What a voter says, before it is an event.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Ballot {
    /// What is said.
    pub vote: Vote,
    /// Why.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub comment: Option<String>,
    /// The plan that the voter saw.
    pub plan_digest: Digest,
    /// The round of the gate that the voter saw.
    #[serde(default = "first_round")]
    pub round: u32,
    /// Of [`Vote::SendBack`]: the step to start again from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub to: Option<StepId>,
    /// What the gate asked to be filled in, with defaults.
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    pub inputs: Map<String, Value>,
    /// Made by the voter; a second vote with the same id is the same vote.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    /// What the voter signed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub signed: Option<Box<SignedVote>>,
}

impl Ballot {
    /// A plain vote in the first round of a gate.
    pub fn plain(vote: Vote, plan_digest: Digest, comment: Option<String>) -> Self {
        Self {
            vote,
            comment,
            plan_digest,
            round: first_round(),
            to: None,
            inputs: Map::new(),
            id: None,
            signed: None,
        }
    }

    /// The ballot that a signed statement stands for, and its gate; `None` when it is a review. Whether
    /// the signature is good is for the caller to check.
    pub fn of_statement(statement: VoteStatement, signed: SignedVote) -> Option<(StepId, Self)> {
        let ballot = Self {
            vote: statement.vote?,
            comment: statement.comment,
            plan_digest: statement.plan_digest,
            round: statement.round,
            to: statement.to,
            inputs: statement.inputs,
            id: Some(statement.id),
            signed: Some(Box::new(signed)),
        };
        Some((statement.gate?, ballot))
    }

    /// The event that records it.
    pub fn cast(self, step: StepId, actor: Actor, request: Option<u64>) -> EventKind {
        EventKind::VoteCast {
            step,
            vote: self.vote,
            actor,
            comment: self.comment,
            plan_digest: self.plan_digest,
            request,
            round: self.round,
            to: self.to,
            inputs: self.inputs,
            id: self.id,
            signed: self.signed,
        }
    }
}

/// Votes without a round are of the first.
pub(super) fn first_round() -> u32 {
    1
}

/// A text and its signature, as they came from the voter.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct SignedVote {
    /// The exact text that was signed: [`VoteStatement::text`].
    pub statement: String,
    /// An armoured SSH signature (`-----BEGIN SSH SIGNATURE-----`; OpenSSH PROTOCOL.sshsig) of it,
    /// namespace [`VOTE_NAMESPACE`].
    pub signature: String,
}

/// The namespace of the signatures of votes and reviews.
pub const VOTE_NAMESPACE: &str = "runbook-approval";

/// What a voter signs. It names the run, the gate, the round and the plan, so that it is of no use
/// anywhere else.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct VoteStatement {
    /// Version of this form: 1.
    pub format: u32,
    /// Made by the voter (a ULID); the same id is the same vote.
    pub id: String,
    /// The run.
    pub run: RunId,
    /// Its runbook, for people.
    pub runbook: String,
    /// Its environment, for people.
    pub environment: String,
    /// The approval step; absent in a review of an emergency run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gate: Option<StepId>,
    /// The round of the gate.
    pub round: u32,
    /// Digest of the run's plan.
    pub plan_digest: Digest,
    /// What is said; of a review see `verdict`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub vote: Option<Vote>,
    /// What a review says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub verdict: Option<ReviewVerdict>,
    /// The step to start again from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub to: Option<StepId>,
    /// What the gate asked to be filled in.
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    pub inputs: Map<String, Value>,
    /// Why.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub comment: Option<String>,
    /// The voter's name in the policy.
    pub voter: String,
    /// The voter's clock.
    pub at: Timestamp,
}

impl VoteStatement {
    /// The text that is signed: canonical JSON and a line feed.
    ///
    /// # Errors
    /// None in practice: everything in it has a JSON form.
    pub fn text(&self) -> Result<String, serde_json::Error> {
        canonical_text(self, |_, _| false).map(|text| text + "\n")
    }
}

/// What a review of an emergency run says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ReviewVerdict {
    /// It was right.
    Accept,
    /// It was not.
    Object,
}

impl ReviewVerdict {
    /// What it says of the run: `accepted`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Accept => "accepted",
            Self::Object => "objected to",
        }
    }
}

/// Break-glass: the gates of the run are passed without approval, and somebody reviews it afterwards.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Emergency {
    /// Why.
    pub reason: String,
    /// The role whose members may review it.
    pub review: String,
    /// Until when.
    pub review_by: Timestamp,
}

/// The last change of a file in its Git repository.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LastChange {
    /// The commit; `None` when the file has changes that are not committed.
    pub commit: Option<String>,
    /// Author as Git has it: `name <email>`; of an uncommitted change whoever starts the run.
    pub author: String,
    /// The person of the policy with that e-mail address, name or login name.
    pub person: Option<String>,
}

/// One thing that is not as it was.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Difference {
    /// What: `step restart: with.grace`, `policy: rules.high.quorum`, `before: outputs.pid`.
    pub what: String,
    /// As it was; empty when it is new.
    pub before: String,
    /// As it is; empty when it is gone.
    pub after: String,
}
