//! The store's face: hands writes to the writer thread, reads by itself.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use rusqlite::Connection;

use super::error::{OpError, unavailable};
use super::open;
use super::read::{self, TextColumn};
use super::write::{self, EncodedAppend};
use super::writer::Writer;
use crate::base::{EventSeq, RunId, Timestamp};
use crate::event::{Actor, RunEvent, RunStatus};
use crate::handler::BoxFuture;
use crate::store::lookup::{MIN_PREFIX, Wanted};
use crate::store::{
    EngineOwner, FindRunError, Journal, NewRun, Obligation, Request, RequestKind, RunFilter,
    RunRecord, RunStore, StateLayout, StoreError,
};

/// Runs, events and requests in `state.db` of a state directory.
///
/// Several processes may have the same one open. Dropping it waits until every queued write is
/// answered.
pub struct SqliteStore {
    path: PathBuf,
    // Dropped before the writer, so that the writer's connection is the last one and tidies up.
    read: Mutex<Connection>,
    writer: Option<Writer>,
}

impl fmt::Debug for SqliteStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SqliteStore")
            .field("path", &self.path)
            .field("writes", &self.writer.is_some())
            .finish_non_exhaustive()
    }
}

impl SqliteStore {
    /// Opens the store of a state directory, creating both (the directory with mode 0700) when
    /// they are missing. Something is written and flushed, so success proves that the disk takes writes.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`] when the directory is read-only, full or no directory;
    /// [`StoreError::Corrupt`] when `state.db` is not a database of this program;
    /// [`StoreError::TooNew`] when a newer version of this program wrote it.
    pub fn open(state_dir: &Path) -> Result<Self, StoreError> {
        let layout = StateLayout::new(state_dir);
        let connections = open::for_writing(&layout)?;
        let path = layout.state_db();
        Ok(Self {
            read: Mutex::new(connections.read),
            writer: Some(Writer::spawn(connections.write, path.clone())?),
            path,
        })
    }

    /// Opens the store for commands that only read; it works in a read-only directory too. A
    /// directory in which nothing was ever stored reads as an empty store. Every writing method fails.
    ///
    /// # Errors
    /// As [`Self::open`], except that nothing needs to be writable.
    pub fn open_read_only(state_dir: &Path) -> Result<Self, StoreError> {
        let layout = StateLayout::new(state_dir);
        Ok(Self {
            read: Mutex::new(open::for_reading(&layout)?),
            writer: None,
            path: layout.state_db(),
        })
    }

    fn read<T>(
        &self,
        query: impl FnOnce(&Connection) -> Result<T, OpError>,
    ) -> Result<T, StoreError> {
        // A panic while reading leaves nothing half done in a read-only connection.
        let conn = self.read.lock().unwrap_or_else(PoisonError::into_inner);
        query(&conn).map_err(|error| error.into_store("read", &self.path))
    }

    pub(super) fn write<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Connection) -> Result<T, OpError> + Send + 'static,
    ) -> BoxFuture<'static, Result<T, StoreError>> {
        match &self.writer {
            Some(writer) => writer.submit(work),
            None => ready(Err(unavailable(
                "write to",
                &self.path,
                "it was opened for reading only",
            ))),
        }
    }

    fn encode(
        &self,
        events: &[RunEvent],
        status: RunStatus,
    ) -> Result<Option<EncodedAppend>, StoreError> {
        EncodedAppend::new(events, status).map_err(|error| error.into_store("write to", &self.path))
    }
}

fn ready<T: Send + 'static>(answer: T) -> BoxFuture<'static, T> {
    Box::pin(std::future::ready(answer))
}

impl Journal for SqliteStore {
    fn append(
        &self,
        events: Vec<RunEvent>,
        status: RunStatus,
    ) -> BoxFuture<'static, Result<(), StoreError>> {
        match self.encode(&events, status) {
            Ok(Some(append)) => self.write(move |conn| write::append(conn, &append)),
            Ok(None) => ready(Ok(())),
            Err(error) => ready(Err(error)),
        }
    }

    fn events_after(&self, run: RunId, after: EventSeq) -> Result<Vec<RunEvent>, StoreError> {
        self.read(|conn| read::events_after(conn, run, after))
    }
}

impl RunStore for SqliteStore {
    fn create_run(
        &self,
        run: NewRun,
        first: RunEvent,
        owner: EngineOwner,
    ) -> BoxFuture<'static, Result<(), StoreError>> {
        match self.encode(&[first], RunStatus::Running) {
            Ok(Some(first)) => {
                self.write(move |conn| write::create_run(conn, &run, &first, Some(&owner)))
            }
            Ok(None) => ready(Ok(())),
            Err(error) => ready(Err(error)),
        }
    }

    fn import_run(
        &self,
        run: NewRun,
        events: Vec<RunEvent>,
        status: RunStatus,
    ) -> BoxFuture<'static, Result<(), StoreError>> {
        match self.encode(&events, status) {
            Ok(Some(all)) => self.write(move |conn| write::create_run(conn, &run, &all, None)),
            Ok(None) => ready(Err(StoreError::Conflict {
                run: run.id,
                seq: EventSeq(1),
            })),
            Err(error) => ready(Err(error)),
        }
    }

    fn run(&self, id: RunId) -> Result<Option<RunRecord>, StoreError> {
        self.read(|conn| read::run(conn, id))
    }

    fn plan_json(&self, id: RunId) -> Result<String, StoreError> {
        self.read(|conn| read::text(conn, id, TextColumn::Plan))
    }

    fn source(&self, id: RunId) -> Result<String, StoreError> {
        self.read(|conn| read::text(conn, id, TextColumn::Source))
    }

    fn find_run(&self, text: &str) -> Result<RunId, FindRunError> {
        let Some(latest) = self.read(read::latest)? else {
            return Err(FindRunError::Empty);
        };
        let mut matches = match Wanted::parse(text) {
            Wanted::Latest => return Ok(latest),
            Wanted::Prefix(prefix) => self.read(|conn| read::with_prefix(conn, &prefix))?,
            Wanted::Nothing => Vec::new(),
        };
        match (matches.pop(), matches.is_empty()) {
            (None, _) => Err(FindRunError::Unknown(text.to_owned())),
            (Some(only), true) => Ok(only),
            (Some(oldest), false) => {
                matches.push(oldest);
                Err(FindRunError::Ambiguous {
                    prefix: text.to_owned(),
                    matches,
                })
            }
        }
    }

    fn prefix_len(&self, runs: &[RunId]) -> Result<usize, StoreError> {
        self.read(|conn| {
            runs.iter().try_fold(MIN_PREFIX, |longest, run| {
                Ok(longest.max(read::prefix_len(conn, *run)?))
            })
        })
    }

    fn runs(&self, filter: &RunFilter) -> Result<Vec<RunRecord>, StoreError> {
        self.read(|conn| read::runs(conn, filter))
    }

    fn add_request(
        &self,
        run: RunId,
        at: Timestamp,
        actor: Actor,
        kind: RequestKind,
    ) -> BoxFuture<'static, Result<u64, StoreError>> {
        self.write(move |conn| write::add_request(conn, run, at, &actor, &kind))
    }

    fn requests_after(&self, run: RunId, after: u64) -> Result<Vec<Request>, StoreError> {
        self.read(|conn| read::requests_after(conn, run, after))
    }

    fn data_version(&self) -> Result<u64, StoreError> {
        self.read(read::data_version)
    }

    fn claim_run(
        &self,
        run: RunId,
        owner: EngineOwner,
        replace: Option<EngineOwner>,
    ) -> BoxFuture<'static, Result<EngineOwner, StoreError>> {
        self.write(move |conn| write::claim_run(conn, run, &owner, replace.as_ref()))
    }

    fn release_run(
        &self,
        run: RunId,
        owner: EngineOwner,
    ) -> BoxFuture<'static, Result<(), StoreError>> {
        self.write(move |conn| write::release_run(conn, run, &owner))
    }

    fn set_audited(&self, run: RunId, seq: EventSeq) -> BoxFuture<'static, Result<(), StoreError>> {
        self.write(move |conn| write::set_audited(conn, run, seq))
    }

    fn runs_to_audit(&self) -> Result<Vec<RunRecord>, StoreError> {
        self.read(read::runs_to_audit)
    }

    fn obligations(&self, open_only: bool) -> Result<Vec<Obligation>, StoreError> {
        self.read(|conn| read::obligations(conn, open_only))
    }
}
