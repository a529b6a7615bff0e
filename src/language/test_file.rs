//! A test file (`test: v1`) as it is written: cases that run a runbook in the simulator.
//!
//! The words of events and outcomes are needed here, so these types lie on this floor.

use std::sync::Arc;
use std::time::Duration;

use indexmap::IndexMap;

use crate::base::{SourceFile, Span, Spanned, StepId};
use crate::event::{FailureKind, Outcome, Vote};
use crate::model::YamlValue;

/// Cases of one runbook.
#[derive(Debug, Clone)]
pub struct TestFile {
    /// The file it came from; every span points into it.
    pub source: Arc<SourceFile>,
    /// `runbook`: the name of what is tested.
    pub runbook: Spanned<String>,
    /// `environment`: whose services and variables are used. Default: that of the command.
    pub environment: Option<Spanned<String>>,
    /// `cases`, in file order; names are different.
    pub cases: Vec<TestCase>,
    /// `sweeps`: which sweeps are run without being asked for.
    pub sweeps: TestSweeps,
}

/// Which sweeps are run without being asked for.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct TestSweeps {
    /// `faults`.
    pub faults: bool,
    /// `repeats`.
    pub repeats: bool,
}

/// One run and what must come of it.
#[derive(Debug, Clone)]
pub struct TestCase {
    /// Where it begins.
    pub span: Span,
    /// `name`.
    pub name: Spanned<String>,
    /// `params`: values for the runbook's parameters, with the places of their names.
    pub params: IndexMap<String, (Span, YamlValue)>,
    /// `votes`, in file order.
    pub votes: Vec<TestVote>,
    /// `steps`: what their actions give.
    pub steps: Scripts,
    /// `probes`: what the probes of `unless` give.
    pub probes: Scripts,
    /// `undo`: what their undoing gives.
    pub undo: Scripts,
    /// `cancel`.
    pub cancel: Option<Spanned<TestCancel>>,
    /// `real`: the repeat sweep uses the real handlers.
    pub real: bool,
    /// `varies`: outputs that may differ when a real handler does the same again.
    pub varies: IndexMap<StepId, (Span, Vec<Spanned<String>>)>,
    /// `expect`.
    pub expect: TestExpect,
}

/// Scripted results by step, each with the place of its name.
pub type Scripts = IndexMap<StepId, (Span, Vec<TestReply>)>;

/// What one or several calls of an action give.
#[derive(Debug, Clone)]
pub struct TestReply {
    /// Where it begins.
    pub span: Span,
    /// `outputs`: name → value; what is left out has a default. Always of kind `Map`.
    pub outputs: Option<YamlValue>,
    /// `fails`: with which sort of failure.
    pub fails: Option<Spanned<FailureKind>>,
    /// `message` of the failure.
    pub message: Option<String>,
    /// `times`: how many calls it answers. Default: one when another reply follows, else all that are left.
    pub times: Option<u32>,
    /// `takes`: how long the call takes.
    pub takes: Option<Duration>,
}

/// A vote at a gate.
#[derive(Debug, Clone)]
pub struct TestVote {
    /// `gate`.
    pub gate: Spanned<StepId>,
    /// `vote`. Default approve.
    pub vote: Vote,
    /// `by`: who. Default: `tester`, or, where a policy says who may vote, as many as are needed.
    pub by: Option<String>,
    /// `to`: of a send-back the step to start again from.
    pub to: Option<Spanned<StepId>>,
    /// `inputs`: what the gate asks to be filled in.
    pub inputs: IndexMap<String, (Span, YamlValue)>,
    /// `after`: how long after the gate opened. Default at once.
    pub after: Duration,
    /// `comment`.
    pub comment: Option<String>,
}

/// When the run is cancelled.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TestCancel {
    /// `after`: so long after it began.
    After(Duration),
    /// `before`: when this step is about to start.
    Before(StepId),
}

/// What is expected of a run's end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TestOutcome {
    /// It is over.
    Ended(Outcome),
    /// It waits at a gate on which nobody votes.
    Waiting,
}

impl TestOutcome {
    /// The words of `outcome`.
    pub const WORDS: [&'static str; 9] = [
        "succeeded",
        "completed_with_exceptions",
        "failed",
        "rolled_back",
        "stuck",
        "rejected",
        "expired",
        "cancelled",
        "waiting",
    ];

    /// Its word.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Ended(outcome) => outcome.as_str(),
            Self::Waiting => "waiting",
        }
    }

    /// The exit code of `runbook exec` after such an end.
    pub fn exit_code(self) -> u8 {
        match self {
            Self::Ended(outcome) => outcome.exit_code(),
            Self::Waiting => 4,
        }
    }

    /// Reads its word.
    pub fn from_word(word: &str) -> Option<Self> {
        const ENDED: [Outcome; 8] = [
            Outcome::Succeeded,
            Outcome::CompletedWithExceptions,
            Outcome::Failed,
            Outcome::RolledBack,
            Outcome::Stuck,
            Outcome::Rejected,
            Outcome::Expired,
            Outcome::Cancelled,
        ];
        let ended = ENDED.into_iter().find(|outcome| outcome.as_str() == word);
        match word {
            "waiting" => Some(Self::Waiting),
            _ => ended.map(Self::Ended),
        }
    }
}

/// A list of steps with its own place.
pub type StepList = Spanned<Vec<Spanned<StepId>>>;

/// What must be true of the run. What is not written is not looked at.
#[derive(Debug, Clone, Default)]
pub struct TestExpect {
    /// Where it begins.
    pub span: Span,
    /// `outcome`.
    pub outcome: Option<Spanned<TestOutcome>>,
    /// `exit_code`.
    pub exit_code: Option<Spanned<u32>>,
    /// `order`: these start, in this order; others may start between them.
    pub order: Option<StepList>,
    /// `skipped`: exactly these are skipped by their condition or their `unless`.
    pub skipped: Option<StepList>,
    /// `not_run`: none of these starts.
    pub not_run: Option<StepList>,
    /// `failed`: exactly these fail for good.
    pub failed: Option<StepList>,
    /// `gates`: exactly these open, in this order.
    pub gates: Option<StepList>,
    /// `undone`: exactly these are undone, in this order.
    pub undone: Option<StepList>,
    /// `outputs`: of the run, by name.
    pub outputs: IndexMap<String, (Span, YamlValue)>,
    /// `that`: conditions over `outcome`, `exit_code`, `steps`, `outputs`, `params`, `duration`.
    pub that: Vec<Spanned<String>>,
    /// `duration.min`.
    pub min: Option<Spanned<Duration>>,
    /// `duration.max`.
    pub max: Option<Spanned<Duration>>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_word_is_an_outcome_and_back() {
        for word in TestOutcome::WORDS {
            assert_eq!(
                TestOutcome::from_word(word).map(TestOutcome::as_str),
                Some(word)
            );
        }
        assert_eq!(TestOutcome::from_word("won"), None);
        assert_eq!(TestOutcome::Waiting.exit_code(), 4);
    }
}
