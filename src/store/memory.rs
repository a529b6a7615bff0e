//! The store in memory, for simulations and tests: the same contract, gone with the process.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::lookup::{Append, MAX_MATCHES, MIN_PREFIX, Wanted, telling_len};
use super::traits::{
    EngineOwner, FindRunError, Journal, NewRun, Obligation, Request, RequestKind, RunFilter,
    RunRecord, RunStore, StoreError,
};
use crate::base::{EventSeq, RunId, Timestamp};
use crate::event::{Actor, RunEvent, RunStatus};
use crate::handler::BoxFuture;

/// Runs, events and requests in memory.
#[derive(Debug, Default)]
pub struct MemoryStore {
    data: Mutex<Data>,
}

#[derive(Debug, Default)]
struct Data {
    runs: BTreeMap<RunId, Entry>,
    requests: Vec<Request>,
    last_request: u64,
    version: u64,
}

#[derive(Debug)]
struct Entry {
    record: RunRecord,
    plan_json: String,
    source: String,
    events: Vec<RunEvent>,
    obligation: Option<Obligation>,
}

impl MemoryStore {
    /// An empty store.
    pub fn new() -> Self {
        Self::default()
    }

    fn data(&self) -> MutexGuard<'_, Data> {
        // Every operation checks first and then changes, so a panic leaves nothing half done.
        self.data.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn write<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut Data) -> Result<T, StoreError>,
    ) -> BoxFuture<'static, Result<T, StoreError>> {
        let mut data = self.data();
        let answer = work(&mut data);
        data.version += u64::from(answer.is_ok());
        Box::pin(std::future::ready(answer))
    }
}

impl Data {
    fn entry(&self, run: RunId) -> Result<&Entry, StoreError> {
        self.runs.get(&run).ok_or(StoreError::UnknownRun(run))
    }

    fn entry_mut(&mut self, run: RunId) -> Result<&mut Entry, StoreError> {
        self.runs.get_mut(&run).ok_or(StoreError::UnknownRun(run))
    }

    /// A run that nobody drives is one that was put back, so the audit trail has it.
    fn create(
        &mut self,
        run: NewRun,
        events: Vec<RunEvent>,
        status: RunStatus,
        owner: Option<EngineOwner>,
    ) -> Result<(), StoreError> {
        let conflict = || StoreError::Conflict {
            run: run.id,
            seq: events.first().map_or(EventSeq(1), |event| event.seq),
        };
        let append = Append::check(&events)?.ok_or_else(conflict)?;
        if append.run != run.id || append.before != EventSeq(0) || self.runs.contains_key(&run.id) {
            return Err(conflict());
        }
        let obligation = append.emergency.map(|emergency| Obligation {
            run: run.id,
            runbook: run.runbook.clone(),
            environment: run.environment.clone(),
            actor: run.actor.clone(),
            reason: emergency.reason,
            review: emergency.review,
            opened_at: run.created_at,
            due_at: emergency.review_by,
            closed: append.reviewed,
        });
        let record = RunRecord {
            id: run.id,
            runbook: run.runbook,
            environment: run.environment,
            created_at: run.created_at,
            actor: run.actor,
            plan_digest: run.plan_digest,
            status,
            outcome: append.finished.map(|(outcome, _)| outcome),
            finished_at: append.finished.map(|(_, at)| at),
            last_seq: append.last,
            audited_seq: match owner {
                Some(_) => EventSeq(0),
                None => append.last,
            },
            owner,
        };
        self.last_request = self.last_request.max(append.last_request);
        let entry = Entry {
            record,
            plan_json: run.plan_json,
            source: run.source,
            events,
            obligation,
        };
        self.runs.insert(run.id, entry);
        Ok(())
    }

    fn neighbours(&self, run: RunId) -> impl Iterator<Item = String> {
        let before = self.runs.range(..run).next_back();
        let after = self.runs.range(run..).find(|(id, _)| **id != run);
        before
            .into_iter()
            .chain(after)
            .map(|(id, _)| id.to_string())
    }
}

impl Journal for MemoryStore {
    fn append(
        &self,
        events: Vec<RunEvent>,
        status: RunStatus,
    ) -> BoxFuture<'static, Result<(), StoreError>> {
        self.write(|data| {
            let Some(append) = Append::check(&events)? else {
                return Ok(());
            };
            let entry = data.entry_mut(append.run)?;
            if entry.record.last_seq != append.before {
                return Err(StoreError::Conflict {
                    run: append.run,
                    seq: append.before.next(),
                });
            }
            entry.record.status = status;
            entry.record.last_seq = append.last;
            if let Some((outcome, at)) = append.finished {
                entry.record.outcome = Some(outcome);
                entry.record.finished_at = Some(at);
            }
            if let Some(obligation) = &mut entry.obligation
                && append.reviewed.is_some()
            {
                obligation.closed = append.reviewed;
            }
            entry.events.extend(events);
            Ok(())
        })
    }

    fn events_after(&self, run: RunId, after: EventSeq) -> Result<Vec<RunEvent>, StoreError> {
        let data = self.data();
        let events = data.runs.get(&run).map_or(&[][..], |entry| &entry.events);
        Ok(events
            .iter()
            .filter(|event| event.seq > after)
            .cloned()
            .collect())
    }
}

impl RunStore for MemoryStore {
    fn create_run(
        &self,
        run: NewRun,
        first: RunEvent,
        owner: EngineOwner,
    ) -> BoxFuture<'static, Result<(), StoreError>> {
        self.write(|data| data.create(run, vec![first], RunStatus::Running, Some(owner)))
    }

    fn import_run(
        &self,
        run: NewRun,
        events: Vec<RunEvent>,
        status: RunStatus,
    ) -> BoxFuture<'static, Result<(), StoreError>> {
        self.write(|data| data.create(run, events, status, None))
    }

    fn run(&self, id: RunId) -> Result<Option<RunRecord>, StoreError> {
        Ok(self.data().runs.get(&id).map(|entry| entry.record.clone()))
    }

    fn plan_json(&self, id: RunId) -> Result<String, StoreError> {
        Ok(self.data().entry(id)?.plan_json.clone())
    }

    fn source(&self, id: RunId) -> Result<String, StoreError> {
        Ok(self.data().entry(id)?.source.clone())
    }

    fn find_run(&self, text: &str) -> Result<RunId, FindRunError> {
        let data = self.data();
        let Some((latest, _)) = data.runs.last_key_value() else {
            return Err(FindRunError::Empty);
        };
        let matches: Vec<RunId> = match Wanted::parse(text) {
            Wanted::Latest => return Ok(*latest),
            Wanted::Nothing => Vec::new(),
            Wanted::Prefix(prefix) => data
                .runs
                .keys()
                .rev()
                .filter(|id| id.to_string().starts_with(&prefix))
                .take(MAX_MATCHES)
                .copied()
                .collect(),
        };
        match matches.as_slice() {
            [] => Err(FindRunError::Unknown(text.to_owned())),
            [only] => Ok(*only),
            _ => Err(FindRunError::Ambiguous {
                prefix: text.to_owned(),
                matches,
            }),
        }
    }

    fn prefix_len(&self, runs: &[RunId]) -> Result<usize, StoreError> {
        let data = self.data();
        Ok(runs
            .iter()
            .map(|run| telling_len(&run.to_string(), data.neighbours(*run)))
            .max()
            .unwrap_or(MIN_PREFIX))
    }

    fn runs(&self, filter: &RunFilter) -> Result<Vec<RunRecord>, StoreError> {
        let wanted = |record: &&RunRecord| {
            filter
                .runbook
                .as_ref()
                .is_none_or(|name| *name == record.runbook)
                && filter
                    .environment
                    .as_ref()
                    .is_none_or(|name| *name == record.environment)
                && !(filter.unfinished && record.status == RunStatus::Finished)
        };
        let limit = filter.limit.map_or(usize::MAX, |limit| {
            usize::try_from(limit).unwrap_or(usize::MAX)
        });
        Ok(self
            .data()
            .runs
            .values()
            .rev()
            .map(|entry| &entry.record)
            .filter(wanted)
            .take(limit)
            .cloned()
            .collect())
    }

    fn add_request(
        &self,
        run: RunId,
        at: Timestamp,
        actor: Actor,
        kind: RequestKind,
    ) -> BoxFuture<'static, Result<u64, StoreError>> {
        self.write(|data| {
            data.entry(run)?;
            let id = data.last_request + 1;
            data.last_request = id;
            data.requests.push(Request {
                id,
                run,
                at,
                actor,
                kind,
            });
            Ok(id)
        })
    }

    fn requests_after(&self, run: RunId, after: u64) -> Result<Vec<Request>, StoreError> {
        Ok(self
            .data()
            .requests
            .iter()
            .filter(|request| request.run == run && request.id > after)
            .cloned()
            .collect())
    }

    fn data_version(&self) -> Result<u64, StoreError> {
        Ok(self.data().version)
    }

    fn claim_run(
        &self,
        run: RunId,
        owner: EngineOwner,
        replace: Option<EngineOwner>,
    ) -> BoxFuture<'static, Result<EngineOwner, StoreError>> {
        self.write(|data| {
            let present = &mut data.entry_mut(run)?.record.owner;
            match present {
                Some(present) if Some(&*present) != replace.as_ref() => Ok(present.clone()),
                _ => {
                    *present = Some(owner.clone());
                    Ok(owner)
                }
            }
        })
    }

    fn release_run(
        &self,
        run: RunId,
        owner: EngineOwner,
    ) -> BoxFuture<'static, Result<(), StoreError>> {
        self.write(|data| {
            if let Some(entry) = data.runs.get_mut(&run)
                && entry.record.owner.as_ref() == Some(&owner)
            {
                entry.record.owner = None;
            }
            Ok(())
        })
    }

    fn set_audited(&self, run: RunId, seq: EventSeq) -> BoxFuture<'static, Result<(), StoreError>> {
        self.write(|data| {
            data.entry_mut(run)?.record.audited_seq = seq;
            Ok(())
        })
    }

    fn runs_to_audit(&self) -> Result<Vec<RunRecord>, StoreError> {
        Ok(self
            .data()
            .runs
            .values()
            .map(|entry| &entry.record)
            .filter(|record| record.last_seq > record.audited_seq)
            .cloned()
            .collect())
    }

    fn obligations(&self, open_only: bool) -> Result<Vec<Obligation>, StoreError> {
        let data = self.data();
        let mut owed: Vec<Obligation> = data
            .runs
            .values()
            .filter_map(|entry| entry.obligation.clone())
            .filter(|obligation| !(open_only && obligation.closed.is_some()))
            .collect();
        owed.sort_by_key(|obligation| (obligation.due_at, obligation.run));
        Ok(owed)
    }
}
