//! Deriving the trail from the journal, run by run, with the journal's cursor.

use std::path::Path;

use git2::{Signature, Time};
use pollster::block_on;

use super::chain;
use super::error::AuditError;
use super::files;
use super::message::{Story, story};
use super::renderer::ReportRenderer;
use super::repository::{NewCommit, TrailRepository};
use super::ssh::SigningKey;
use crate::base::{EventSeq, RunId, Timestamp};
use crate::event::{Actor, RunEvent};
use crate::store::{RunFilter, RunRecord, RunStore};

/// How many of the newest runs are looked up, to notice that the trail was put back to an older state.
const LOOKED_UP: u32 = 8;

/// How often another program may move the branch under us before we give up.
const MAX_RACES: usize = 100;

/// Run ids are shown at least so long: the ten characters of the time.
const MIN_SHORT: usize = 10;

/// The audit trail, opened for writing.
pub struct AuditTrail {
    repository: TrailRepository,
    compared: bool,
    key: Option<SigningKey>,
}

/// Where the contents of the trail come from.
pub(super) struct Origin<'a> {
    pub(super) store: &'a dyn RunStore,
    pub(super) logs_root: &'a Path,
    pub(super) renderer: &'a dyn ReportRenderer,
}

impl AuditTrail {
    /// Opens the bare repository at `path`, creating it (with a lock file beside it) when it is
    /// missing. The folder that it lies in must exist.
    ///
    /// # Errors
    /// [`AuditError`] when it cannot be created, or is no Git repository.
    pub fn open(path: &Path) -> Result<Self, AuditError> {
        Ok(Self {
            repository: TrailRepository::open(path)?,
            compared: false,
            key: None,
        })
    }

    /// Signs every commit from here on with the key of this host.
    #[must_use]
    pub fn signed_by(mut self, key: Option<SigningKey>) -> Self {
        self.key = key;
        self
    }

    /// Brings every run of the journal that the trail lags behind up to date, one commit for each
    /// run, and moves the cursor. Returns the number of commits.
    ///
    /// The first call also notices that the trail was deleted or put back to an older state, and
    /// derives again what it lacks. `logs_root` holds a log folder for each run. Blocks for disk writes.
    ///
    /// # Errors
    /// The first [`AuditError`]; the other runs were brought up to date all the same, and a later
    /// call goes on with what is left.
    pub fn catch_up(
        &mut self,
        store: &dyn RunStore,
        logs_root: &Path,
        renderer: &dyn ReportRenderer,
    ) -> Result<usize, AuditError> {
        let origin = Origin {
            store,
            logs_root,
            renderer,
        };
        self.catch_up_where(&origin, |_| Ok(true))
    }

    /// As [`Self::catch_up`], after looking at every run of the journal: what the trail lacks of any of
    /// them is derived again.
    ///
    /// # Errors
    /// As of [`Self::catch_up`].
    pub fn restore(
        &mut self,
        store: &dyn RunStore,
        logs_root: &Path,
        renderer: &dyn ReportRenderer,
    ) -> Result<usize, AuditError> {
        self.set_cursors_back(store)?;
        self.compared = true;
        self.catch_up(store, logs_root, renderer)
    }

    /// As [`Self::catch_up`], for the runs that `wanted` picks.
    pub(super) fn catch_up_where(
        &mut self,
        origin: &Origin<'_>,
        mut wanted: impl FnMut(&RunRecord) -> Result<bool, AuditError>,
    ) -> Result<usize, AuditError> {
        if !self.compared {
            self.compare(origin.store)?;
            self.compared = true;
        }
        let mut commits = 0;
        let mut failed = None;
        for run in origin.store.runs_to_audit()? {
            let written = wanted(&run).and_then(|wanted| {
                if wanted {
                    self.record(origin, run.id)
                } else {
                    Ok(false)
                }
            });
            match written {
                Ok(committed) => commits += usize::from(committed),
                Err(error) => failed = failed.or(Some(error)),
            }
        }
        failed.map_or(Ok(commits), Err)
    }

    /// Sets the cursor back for runs that the trail has less of than the cursor says.
    fn compare(&self, store: &dyn RunStore) -> Result<(), AuditError> {
        let newest = store.runs(&RunFilter {
            limit: Some(LOOKED_UP),
            ..RunFilter::default()
        })?;
        let unfinished = store.runs(&RunFilter {
            unfinished: true,
            ..RunFilter::default()
        })?;
        let mut behind = false;
        for run in newest.iter().chain(&unfinished) {
            behind = behind || self.recorded(run)? < run.audited_seq;
        }
        if !behind {
            return Ok(());
        }
        self.set_cursors_back(store)
    }

    fn set_cursors_back(&self, store: &dyn RunStore) -> Result<(), AuditError> {
        // Oldest first: should we be killed on the way, the newest still tell that work is left.
        for run in store.runs(&RunFilter::default())?.iter().rev() {
            let recorded = self.recorded(run)?;
            if recorded < run.audited_seq {
                block_on(store.set_audited(run.id, recorded))?;
            }
        }
        Ok(())
    }

    /// The last event of a run that the trail has.
    fn recorded(&self, run: &RunRecord) -> Result<EventSeq, AuditError> {
        if run.audited_seq == EventSeq(0) {
            return Ok(EventSeq(0));
        }
        let Some(tip) = self.repository.tip()? else {
            return Ok(EventSeq(0));
        };
        let path = format!("{}/events.jsonl", files::folder(run.id, run.created_at));
        let lines = self.repository.file(&tip, &path)?.unwrap_or_default();
        Ok(EventSeq(files::line_count(&lines)))
    }

    /// Commits what the trail lacks of a run. `false`: it lacks nothing.
    fn record(&self, origin: &Origin<'_>, id: RunId) -> Result<bool, AuditError> {
        let Some(record) = origin.store.run(id)? else {
            return Ok(false);
        };
        let mut events = origin.store.events_after(id, EventSeq(0))?;
        // What came in between waits for the next time, so that the record and the events agree.
        events.retain(|event| event.seq <= record.last_seq);
        let Some(last) = events.last() else {
            return Ok(false);
        };
        let committed = self.commit_new(origin, &record, &events)?;
        block_on(origin.store.set_audited(id, last.seq))?;
        Ok(committed)
    }

    fn commit_new(
        &self,
        origin: &Origin<'_>,
        record: &RunRecord,
        events: &[RunEvent],
    ) -> Result<bool, AuditError> {
        let folder = files::folder(record.id, record.created_at);
        let (plan_json, source) = (
            origin.store.plan_json(record.id)?,
            origin.store.source(record.id)?,
        );
        let root = chain::root(plan_json.as_bytes(), source.as_bytes());
        let mut lock = self.repository.lock()?;
        for _ in 0..MAX_RACES {
            let tip = self.repository.tip()?;
            let on_record = match &tip {
                Some(tip) => self
                    .repository
                    .file(tip, &format!("{folder}/events.jsonl"))?,
                None => None,
            };
            let lines = files::extend_lines(
                record.id,
                root,
                on_record.as_deref().unwrap_or_default(),
                events,
            )?;
            let known = on_record.as_deref().map_or(0, files::line_count);
            let new = &events[usize::try_from(known)
                .unwrap_or(usize::MAX)
                .min(events.len())..];
            let Some(newest) = new.last() else {
                return Ok(false);
            };
            let mut contents = changed_files(origin, record, &plan_json, events, new)?;
            if on_record.is_none() {
                contents.push(("runbook.yaml".to_owned(), source.clone().into_bytes()));
                contents.push(("plan.json".to_owned(), plan_json.clone().into_bytes()));
            }
            let told = story(
                record,
                &short_id(origin.store, record.id)?,
                events,
                new,
                chain::head(&lines),
            );
            contents.push(("events.jsonl".to_owned(), lines));
            let commit = NewCommit {
                files: contents
                    .into_iter()
                    .map(|(name, bytes)| (format!("{folder}/{name}"), bytes))
                    .collect(),
                author: self.signature(&told.actor, newest.at)?,
                committer: self.signature(&committer(&told, record), newest.at)?,
                message: &told.message,
                key: self.key.as_ref(),
            };
            if self.repository.append(&mut lock, tip.as_ref(), &commit)? {
                return Ok(true);
            }
        }
        Err(AuditError::Busy {
            path: self.repository.path().display().to_string(),
        })
    }

    fn signature(&self, actor: &Actor, at: Timestamp) -> Result<Signature<'static>, AuditError> {
        let name = identity(&actor.name);
        let email = format!("{name}@{}", identity(&actor.host));
        let seconds = at.unix_millis().div_euclid(1_000);
        Signature::new(&name, &email, &Time::new(seconds, 0))
            .map_err(|error| AuditError::git("sign", self.repository.path(), error))
    }
}

/// This program on the host of the run.
fn committer(told: &Story, record: &RunRecord) -> Actor {
    let host = record
        .owner
        .as_ref()
        .map_or(&told.actor.host, |owner| &owner.host);
    Actor {
        name: "runbook".to_owned(),
        host: host.clone(),
        verified: false,
    }
}

/// Every file of the run's folder that `new` events change, but `events.jsonl` and what never changes.
fn changed_files(
    origin: &Origin<'_>,
    record: &RunRecord,
    plan_json: &str,
    events: &[RunEvent],
    new: &[RunEvent],
) -> Result<Vec<(String, Vec<u8>)>, AuditError> {
    let report = origin.renderer.report(record, plan_json, events);
    let mut changed = vec![("report.md".to_owned(), report.into_bytes())];
    changed.extend(files::approvals(new)?);
    let run_logs = origin.logs_root.join(record.id.to_string());
    changed.extend(files::logs(new, &run_logs));
    Ok(changed)
}

fn short_id(store: &dyn RunStore, id: RunId) -> Result<String, AuditError> {
    let len = store.prefix_len(&[id])?.max(MIN_SHORT);
    Ok(id.to_string().chars().take(len).collect())
}

/// A name that Git takes: no angle brackets, no control characters, not empty, no white space or
/// punctuation at its ends.
pub(super) fn identity(name: &str) -> String {
    let plain: String = name
        .chars()
        .filter(|c| !c.is_control() && !matches!(c, '<' | '>'))
        .collect();
    let plain = plain.trim_matches(|c: char| c.is_whitespace() || c.is_ascii_punctuation());
    if plain.is_empty() {
        "unknown".to_owned()
    } else {
        plain.to_owned()
    }
}
