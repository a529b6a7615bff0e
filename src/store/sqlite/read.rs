//! The reading operations. Each is one statement, so one snapshot.

use rusqlite::{Connection, OptionalExtension, Params, params};

use super::convert::{
    RECORD_COLUMNS, from_json, from_name, int, record, request_kind, run_id, uint,
};
use super::error::OpError;
use crate::base::{EventSeq, RunId, Timestamp};
use crate::event::RunEvent;
use crate::store::lookup::{MAX_MATCHES, telling_len};
use crate::store::{Obligation, Request, RunFilter, RunRecord, StoreError};

pub(super) fn events_after(
    conn: &Connection,
    run: RunId,
    after: EventSeq,
) -> Result<Vec<RunEvent>, OpError> {
    let mut statement = conn.prepare_cached(
        "SELECT seq, json FROM events WHERE run_id = ?1 AND seq > ?2 ORDER BY seq",
    )?;
    let mut rows = statement.query(params![run.to_string(), int(after.0)])?;
    let mut events = Vec::new();
    while let Some(row) = rows.next()? {
        let seq: i64 = row.get(0)?;
        let json = row.get_ref(1)?.as_str().map_err(rusqlite::Error::from)?;
        events.push(from_json(&format!("event {seq} of run {run}"), json)?);
    }
    Ok(events)
}

pub(super) fn run(conn: &Connection, id: RunId) -> Result<Option<RunRecord>, OpError> {
    let sql = format!("SELECT {RECORD_COLUMNS} FROM runs WHERE id = ?1");
    Ok(records(conn, &sql, [id.to_string()])?.pop())
}

/// Runs, newest first.
pub(super) fn runs(conn: &Connection, filter: &RunFilter) -> Result<Vec<RunRecord>, OpError> {
    // Said as a constant, not a parameter, so that SQLite can use the partial index.
    let unfinished = if filter.unfinished {
        " AND status <> 'finished'"
    } else {
        ""
    };
    let sql = format!(
        "SELECT {RECORD_COLUMNS} FROM runs WHERE (?1 IS NULL OR runbook = ?1) \
         AND (?2 IS NULL OR environment = ?2){unfinished} ORDER BY id DESC LIMIT ?3"
    );
    let limit = filter.limit.map_or(-1, i64::from);
    records(
        conn,
        &sql,
        params![filter.runbook, filter.environment, limit],
    )
}

/// Runs that the audit trail lags behind, oldest first.
pub(super) fn runs_to_audit(conn: &Connection) -> Result<Vec<RunRecord>, OpError> {
    let sql = format!("SELECT {RECORD_COLUMNS} FROM runs WHERE last_seq > audited_seq ORDER BY id");
    records(conn, &sql, [])
}

fn records(conn: &Connection, sql: &str, params: impl Params) -> Result<Vec<RunRecord>, OpError> {
    let mut statement = conn.prepare_cached(sql)?;
    let mut rows = statement.query(params)?;
    let mut found = Vec::new();
    while let Some(row) = rows.next()? {
        found.push(record(row)?);
    }
    Ok(found)
}

/// Which of the texts that are kept beside a run.
#[derive(Clone, Copy)]
pub(super) enum TextColumn {
    Plan,
    Source,
}

pub(super) fn text(conn: &Connection, id: RunId, column: TextColumn) -> Result<String, OpError> {
    let sql = match column {
        TextColumn::Plan => "SELECT plan_json FROM texts WHERE run_id = ?1",
        TextColumn::Source => "SELECT source FROM texts WHERE run_id = ?1",
    };
    Ok(conn
        .prepare_cached(sql)?
        .query_row([id.to_string()], |row| row.get(0))
        .optional()?
        .ok_or(StoreError::UnknownRun(id))?)
}

pub(super) fn latest(conn: &Connection) -> Result<Option<RunId>, OpError> {
    let newest: Option<String> = conn
        .prepare_cached("SELECT max(id) FROM runs")?
        .query_row([], |row| row.get(0))?;
    newest.map(|id| run_id(&id)).transpose()
}

/// How many runs have an id with this prefix, and the newest of them.
pub(super) fn with_prefix(conn: &Connection, prefix: &str) -> Result<Vec<RunId>, OpError> {
    // `~` sorts after every character of an id.
    let mut statement = conn.prepare_cached(
        "SELECT id FROM runs WHERE id >= ?1 AND id < ?1 || '~' ORDER BY id DESC LIMIT ?2",
    )?;
    let ids = statement
        .query_map(params![prefix, int(MAX_MATCHES as u64)], |row| {
            row.get::<_, String>(0)
        })?
        .collect::<Result<Vec<_>, _>>()?;
    ids.iter().map(|id| run_id(id)).collect()
}

/// The prefix length that tells `run` from every other run.
pub(super) fn prefix_len(conn: &Connection, run: RunId) -> Result<usize, OpError> {
    let id = run.to_string();
    let (before, after): (Option<String>, Option<String>) = conn
        .prepare_cached(
            "SELECT (SELECT max(id) FROM runs WHERE id < ?1), \
             (SELECT min(id) FROM runs WHERE id > ?1)",
        )?
        .query_row([&id], |row| Ok((row.get(0)?, row.get(1)?)))?;
    Ok(telling_len(&id, before.into_iter().chain(after)))
}

pub(super) fn requests_after(
    conn: &Connection,
    run: RunId,
    after: u64,
) -> Result<Vec<Request>, OpError> {
    let mut statement = conn.prepare_cached(
        "SELECT id, at, actor, json FROM requests WHERE run_id = ?1 AND id > ?2 ORDER BY id",
    )?;
    let mut rows = statement.query(params![run.to_string(), int(after)])?;
    let mut requests = Vec::new();
    while let Some(row) = rows.next()? {
        let id: i64 = row.get(0)?;
        let what = format!("request {id}");
        requests.push(Request {
            id: uint(&what, id)?,
            run,
            at: Timestamp::from_unix_millis(row.get(1)?),
            actor: from_json(&what, &row.get::<_, String>(2)?)?,
            kind: request_kind(&what, &row.get::<_, String>(3)?)?,
        });
    }
    Ok(requests)
}

/// The reviews that emergency runs owe, the most pressing first.
pub(super) fn obligations(conn: &Connection, open_only: bool) -> Result<Vec<Obligation>, OpError> {
    // A file of format 1 that is only read was not migrated; no run of that time was an emergency.
    let kept = conn
        .prepare_cached("SELECT 1 FROM sqlite_schema WHERE name = 'obligations'")?
        .exists([])?;
    if !kept {
        return Ok(Vec::new());
    }
    let open = if open_only {
        " WHERE o.closed_at IS NULL"
    } else {
        ""
    };
    let mut statement = conn.prepare_cached(&format!(
        "SELECT o.run_id, r.runbook, r.environment, r.actor, o.reason, o.review, r.created_at, \
         o.due_at, o.closed_at, o.verdict FROM obligations o JOIN runs r ON r.id = o.run_id{open} \
         ORDER BY o.due_at, o.run_id"
    ))?;
    let mut rows = statement.query([])?;
    let mut owed = Vec::new();
    while let Some(row) = rows.next()? {
        let id: String = row.get(0)?;
        let what = format!("the obligation of run {id}");
        let closed_at: Option<i64> = row.get(8)?;
        let verdict: Option<String> = row.get(9)?;
        let verdict = verdict.map(|name| from_name(&what, name)).transpose()?;
        owed.push(Obligation {
            run: run_id(&id)?,
            runbook: row.get(1)?,
            environment: row.get(2)?,
            actor: from_json(&what, &row.get::<_, String>(3)?)?,
            reason: row.get(4)?,
            review: row.get(5)?,
            opened_at: Timestamp::from_unix_millis(row.get(6)?),
            due_at: Timestamp::from_unix_millis(row.get(7)?),
            closed: closed_at.map(Timestamp::from_unix_millis).zip(verdict),
        });
    }
    Ok(owed)
}

pub(super) fn data_version(conn: &Connection) -> Result<u64, OpError> {
    let version: i64 = conn
        .prepare_cached("PRAGMA data_version")?
        .query_row([], |row| row.get(0))?;
    uint("the data version", version)
}
