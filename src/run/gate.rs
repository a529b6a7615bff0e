//! What is known of an open gate beside its votes.

use std::collections::BTreeMap;

use super::policy::Hold;
use crate::base::{Digest, EventSeq, Timestamp, Value};
use crate::event::{Difference, Failure};
use crate::plan::PlanPolicy;

/// A gate from its opening on.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Gate {
    /// Which round of votes it is in, from 1; votes of no other round count.
    pub(super) round: u32,
    pub(super) opened_at: Timestamp,
    /// Checks that began before this event are out of date: a vote, a void or a hold came after them.
    pub(super) since: EventSeq,
    /// Its `read` steps asked again, one for each of `gate.reads`.
    pub(super) looks: Vec<Look>,
    /// Of these `read` steps: what a void found, which the voters of this round have seen.
    pub(super) known: Vec<Option<Value>>,
    /// What the files gave when they were read again last, and when.
    pub(super) survey: Option<(EventSeq, Survey)>,
    /// What a void said of the files, which the voters of this round have seen.
    pub(super) known_survey: Option<Survey>,
    /// How often the policy in force had changed when this round began.
    pub(super) policies: u32,
    /// What keeps it closed although its votes suffice.
    pub(super) held: Option<Hold>,
    /// How many levels of the escalation chain were told.
    pub(super) level: u32,
    /// When each level is due, and then when the answer to the last is.
    pub(super) due: Vec<Timestamp>,
    /// When the answer of the level that was told last is due.
    pub(super) respond_by: Option<Timestamp>,
    /// Whether that level was told because the question had lapsed.
    pub(super) late: bool,
    /// Messages of levels that are being sent.
    pub(super) notices: BTreeMap<u32, Notice>,
    /// Whether the question lapsed and the run is left until somebody votes.
    pub(super) parked: bool,
    /// Votes whose inputs do not fit, by position, with the reason; they count for nothing.
    pub(super) flawed: BTreeMap<usize, String>,
}

/// A `read` step that is asked again.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Look {
    /// The call under way: the event that is its intent, and its time.
    pub(super) under_way: Option<(EventSeq, Timestamp)>,
    /// What the last call gave, and the event that was its intent.
    pub(super) found: Option<(EventSeq, Result<Value, Failure>)>,
}

/// What reading the files again gave.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Survey {
    /// The digest of the plan that they give; `None` when they give none.
    pub(super) plan_digest: Option<Digest>,
    pub(super) differences: Vec<Difference>,
    /// The policy, when it is another one than that in force.
    pub(super) policy: Option<Box<PlanPolicy>>,
}

impl Survey {
    /// Whether it says nothing that the other does not say.
    pub(super) fn is_known(&self, known: Option<&Self>) -> bool {
        known.is_some_and(|known| match (self.plan_digest, known.plan_digest) {
            (Some(now), Some(then)) => now == then,
            (None, None) => self.differences == known.differences,
            _ => false,
        })
    }
}

/// A message that is being sent.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Notice {
    /// Whether the process that sent it is gone.
    pub(super) lost: bool,
    /// When the answer is due.
    pub(super) respond_by: Option<Timestamp>,
}

impl Gate {
    pub(super) fn new(round: u32, reads: usize, opened_at: Timestamp, seq: EventSeq) -> Self {
        Self {
            round,
            opened_at,
            since: seq,
            looks: vec![Look::default(); reads],
            known: vec![None; reads],
            survey: None,
            known_survey: None,
            policies: 0,
            held: None,
            level: 0,
            due: Vec::new(),
            respond_by: None,
            late: false,
            notices: BTreeMap::new(),
            parked: false,
            flawed: BTreeMap::new(),
        }
    }

    /// What a `read` step gave when it was asked again, unless that is out of date.
    pub(super) fn fresh(&self, n: usize) -> Option<&Result<Value, Failure>> {
        let (at, found) = self.looks.get(n)?.found.as_ref()?;
        (*at > self.since).then_some(found)
    }

    /// What the files gave, unless that is out of date.
    pub(super) fn surveyed(&self) -> Option<&Survey> {
        let (at, survey) = self.survey.as_ref()?;
        (*at > self.since).then_some(survey)
    }

    /// The calls for it that a living process has under way.
    pub(super) fn reading(&self) -> impl Iterator<Item = (usize, Timestamp)> {
        let under_way = |(n, look): (usize, &Look)| Some((n, look.under_way?.1));
        self.looks.iter().enumerate().filter_map(under_way)
    }

    /// Whether a call for it is under way or to be made again.
    pub(super) fn is_busy(&self) -> bool {
        !self.notices.is_empty() || self.reading().next().is_some()
    }

    /// It is closed, and nobody waits for what is under way.
    pub(super) fn end_calls(&mut self) {
        self.notices.clear();
        for look in &mut self.looks {
            look.under_way = None;
        }
    }

    /// The process is gone: what it was about to find out is asked again.
    pub(super) fn lose(&mut self, seq: EventSeq) {
        self.since = seq;
        for look in &mut self.looks {
            look.under_way = None;
        }
        for notice in self.notices.values_mut() {
            notice.lost = true;
        }
    }
}
