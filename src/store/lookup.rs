//! What every store does the same way, without touching any data.

use super::traits::StoreError;
use crate::base::{EventSeq, RunId, Timestamp};
use crate::event::{Emergency, EventKind, Outcome, ReviewVerdict, RunEvent};

/// Characters of a run id.
pub(super) const ID_LEN: usize = 26;

/// No prefix shown is shorter than this. The first ten characters are the time in milliseconds, so
/// one of eight names a quarter of a second: a command that was shown works tomorrow as well, however
/// many runs have come since.
pub(super) const MIN_PREFIX: usize = 8;

/// How many candidates an ambiguous prefix names.
pub(super) const MAX_MATCHES: usize = 10;

/// What a person typed for a run.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Wanted {
    /// The newest one.
    Latest,
    /// Those whose id starts so (upper case).
    Prefix(String),
    /// Nothing that could be the start of an id.
    Nothing,
}

impl Wanted {
    pub(super) fn parse(text: &str) -> Self {
        let text = text.trim();
        if text.eq_ignore_ascii_case("latest") {
            return Self::Latest;
        }
        let possible = (1..=ID_LEN).contains(&text.len())
            && text.bytes().all(|byte| byte.is_ascii_alphanumeric());
        if possible {
            Self::Prefix(text.to_ascii_uppercase())
        } else {
            Self::Nothing
        }
    }
}

/// The prefix length that tells `id` from its neighbours in the order of all ids.
pub(super) fn telling_len(id: &str, neighbours: impl IntoIterator<Item = String>) -> usize {
    neighbours
        .into_iter()
        .map(|other| shared_len(id, &other) + 1)
        .max()
        .unwrap_or(MIN_PREFIX)
        .clamp(MIN_PREFIX, ID_LEN)
}

fn shared_len(a: &str, b: &str) -> usize {
    a.bytes().zip(b.bytes()).take_while(|(a, b)| a == b).count()
}

/// The events of one append, checked: of one run, with dense positions.
pub(super) struct Append {
    pub(super) run: RunId,
    pub(super) before: EventSeq,
    pub(super) last: EventSeq,
    pub(super) finished: Option<(Outcome, Timestamp)>,
    /// The emergency that it opens an obligation for.
    pub(super) emergency: Option<Emergency>,
    /// The review that closes one.
    pub(super) reviewed: Option<(Timestamp, ReviewVerdict)>,
    /// The largest id of a request that they name; 0 when they name none.
    pub(super) last_request: u64,
}

impl Append {
    /// `None` when there is nothing to append.
    pub(super) fn check(events: &[RunEvent]) -> Result<Option<Self>, StoreError> {
        let Some(first) = events.first() else {
            return Ok(None);
        };
        let conflict = |event: &RunEvent| StoreError::Conflict {
            run: event.run,
            seq: event.seq,
        };
        let before = first.seq.0.checked_sub(1).ok_or_else(|| conflict(first))?;
        let mut last = EventSeq(before);
        let mut last_request = 0;
        let (mut finished, mut emergency, mut reviewed) = (None, None, None);
        for event in events {
            if event.run != first.run || event.seq != last.next() {
                return Err(conflict(event));
            }
            last = event.seq;
            match &event.event {
                EventKind::RunFinished { outcome, .. } => finished = Some((*outcome, event.at)),
                EventKind::VoteCast { request, .. }
                | EventKind::CancelRequested { request, .. } => {
                    last_request = last_request.max(request.unwrap_or(0));
                }
                EventKind::RunCreated {
                    emergency: Some(why),
                    ..
                } => emergency = Some(why.clone()),
                EventKind::RunReviewed { verdict, .. } => reviewed = Some((event.at, *verdict)),
                _ => {}
            }
        }
        Ok(Some(Self {
            run: first.run,
            before: EventSeq(before),
            last,
            finished,
            emergency,
            reviewed,
            last_request,
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_possible_prefixes_are_looked_up() {
        assert_eq!(Wanted::parse("Latest "), Wanted::Latest);
        assert_eq!(Wanted::parse("01jb"), Wanted::Prefix("01JB".to_owned()));
        for text in ["", "01-", "%", "ü", &"0".repeat(27)] {
            assert_eq!(Wanted::parse(text), Wanted::Nothing, "{text}");
        }
    }

    #[test]
    fn a_prefix_is_as_long_as_its_nearest_neighbour_demands() {
        let near = |others: &[&str]| {
            telling_len(
                "01JABCDEF0",
                others.iter().map(|o| (*o).to_owned()).collect::<Vec<_>>(),
            )
        };
        assert_eq!(near(&[]), 8);
        assert_eq!(near(&["00ZZZZZZZZ"]), 8);
        assert_eq!(near(&["01JABC0000", "01JABCDEFZ"]), 10);
    }
}
