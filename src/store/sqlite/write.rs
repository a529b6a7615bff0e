//! The writing operations. Each runs inside a transaction of the writer thread.

use rusqlite::{Connection, OptionalExtension, params};

use super::convert::{from_json, int, to_json, to_name};
use super::error::OpError;
use crate::base::{EventSeq, RunId, Timestamp};
use crate::event::{Actor, Outcome, RunEvent, RunStatus};
use crate::store::lookup::Append;
use crate::store::{EngineOwner, NewRun, RequestKind, StoreError};

/// An append whose events are encoded already, by the caller's thread.
pub(super) struct EncodedAppend {
    head: Append,
    status: String,
    events: Vec<EncodedEvent>,
}

struct EncodedEvent {
    seq: i64,
    at: i64,
    kind: &'static str,
    json: String,
}

impl EncodedAppend {
    /// `None` when there is nothing to append.
    pub(super) fn new(events: &[RunEvent], status: RunStatus) -> Result<Option<Self>, OpError> {
        let Some(head) = Append::check(events)? else {
            return Ok(None);
        };
        let events = events
            .iter()
            .map(|event| {
                Ok(EncodedEvent {
                    seq: int(event.seq.0),
                    at: event.at.unix_millis(),
                    kind: event.event.name(),
                    json: to_json("an event", event)?,
                })
            })
            .collect::<Result<_, OpError>>()?;
        Ok(Some(Self {
            head,
            status: to_name("a status", &status)?,
            events,
        }))
    }
}

pub(super) fn append(conn: &Connection, append: &EncodedAppend) -> Result<(), OpError> {
    let head = &append.head;
    let run = head.run.to_string();
    let outcome = head.finished.map(|(outcome, _)| Outcome::as_str(outcome));
    let finished_at = head.finished.map(|(_, at)| at.unix_millis());
    let moved = conn
        .prepare_cached(
            "UPDATE runs SET status = ?3, last_seq = ?4, outcome = coalesce(?5, outcome), \
             finished_at = coalesce(?6, finished_at) WHERE id = ?1 AND last_seq = ?2",
        )?
        .execute(params![
            run,
            int(head.before.0),
            append.status,
            int(head.last.0),
            outcome,
            finished_at
        ])?;
    if moved == 0 {
        return Err(if exists(conn, &run)? {
            StoreError::Conflict {
                run: head.run,
                seq: head.before.next(),
            }
        } else {
            StoreError::UnknownRun(head.run)
        }
        .into());
    }
    if let Some((at, verdict)) = head.reviewed {
        conn.prepare_cached(
            "UPDATE obligations SET closed_at = ?2, verdict = ?3 WHERE run_id = ?1",
        )?
        .execute(params![
            run,
            at.unix_millis(),
            to_name("a verdict", &verdict)?
        ])?;
    }
    insert_events(conn, &run, &append.events)
}

fn insert_events(conn: &Connection, run: &str, events: &[EncodedEvent]) -> Result<(), OpError> {
    let mut insert = conn.prepare_cached(
        "INSERT INTO events (run_id, seq, at, kind, json) VALUES (?1, ?2, ?3, ?4, ?5)",
    )?;
    for event in events {
        insert.execute(params![run, event.seq, event.at, event.kind, event.json])?;
    }
    Ok(())
}

fn exists(conn: &Connection, run: &str) -> Result<bool, OpError> {
    Ok(conn
        .prepare_cached("SELECT 1 FROM runs WHERE id = ?1")?
        .exists([run])?)
}

/// Creates a run with its first events. One that nobody drives is one that was put back, so the audit
/// trail has it.
pub(super) fn create_run(
    conn: &Connection,
    run: &NewRun,
    first: &EncodedAppend,
    owner: Option<&EngineOwner>,
) -> Result<(), OpError> {
    let conflict = || StoreError::Conflict {
        run: run.id,
        seq: first.head.before.next(),
    };
    let id = run.id.to_string();
    if first.head.run != run.id || first.head.before != EventSeq(0) || exists(conn, &id)? {
        return Err(conflict().into());
    }
    conn.prepare_cached(
        "INSERT INTO runs (id, runbook, environment, created_at, actor, plan_digest, status, \
         outcome, finished_at, last_seq, owner, audited_seq) \
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12)",
    )?
    .execute(params![
        id,
        run.runbook,
        run.environment,
        run.created_at.unix_millis(),
        to_json("an actor", &run.actor)?,
        run.plan_digest.to_string(),
        first.status,
        first.head.finished.map(|(outcome, _)| outcome.as_str()),
        first.head.finished.map(|(_, at)| at.unix_millis()),
        int(first.head.last.0),
        owner.map(|owner| to_json("an owner", owner)).transpose()?,
        match owner {
            Some(_) => 0,
            None => int(first.head.last.0),
        },
    ])?;
    if first.head.last_request > 0 {
        let id = int(first.head.last_request);
        let moved = conn.execute(
            "UPDATE sqlite_sequence SET seq = max(seq, ?1) WHERE name = 'requests'",
            [id],
        )?;
        if moved == 0 {
            conn.execute(
                "INSERT INTO sqlite_sequence (name, seq) VALUES ('requests', ?1)",
                [id],
            )?;
        }
    }
    conn.prepare_cached("INSERT INTO texts (run_id, plan_json, source) VALUES (?1, ?2, ?3)")?
        .execute(params![id, run.plan_json, run.source])?;
    if let Some(emergency) = &first.head.emergency {
        conn.prepare_cached(
            "INSERT INTO obligations (run_id, reason, review, due_at, closed_at, verdict) \
             VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
        )?
        .execute(params![
            id,
            emergency.reason,
            emergency.review,
            emergency.review_by.unix_millis(),
            first.head.reviewed.map(|(at, _)| at.unix_millis()),
            first
                .head
                .reviewed
                .map(|(_, verdict)| to_name("a verdict", &verdict))
                .transpose()?
        ])?;
    }
    insert_events(conn, &id, &first.events)
}

pub(super) fn add_request(
    conn: &Connection,
    run: RunId,
    at: Timestamp,
    actor: &Actor,
    kind: &RequestKind,
) -> Result<u64, OpError> {
    let id = run.to_string();
    if !exists(conn, &id)? {
        return Err(StoreError::UnknownRun(run).into());
    }
    conn.prepare_cached("INSERT INTO requests (run_id, at, actor, json) VALUES (?1, ?2, ?3, ?4)")?
        .execute(params![
            id,
            at.unix_millis(),
            to_json("an actor", actor)?,
            to_json("a request", kind)?
        ])?;
    super::convert::uint("a request", conn.last_insert_rowid())
}

pub(super) fn claim_run(
    conn: &Connection,
    run: RunId,
    owner: &EngineOwner,
    replace: Option<&EngineOwner>,
) -> Result<EngineOwner, OpError> {
    let id = run.to_string();
    let present: Option<String> = conn
        .prepare_cached("SELECT owner FROM runs WHERE id = ?1")?
        .query_row([&id], |row| row.get(0))
        .optional()?
        .ok_or(StoreError::UnknownRun(run))?;
    let present: Option<EngineOwner> = present
        .map(|json| from_json(&format!("run {id}"), &json))
        .transpose()?;
    match present {
        Some(present) if Some(&present) != replace => Ok(present),
        _ => {
            conn.prepare_cached("UPDATE runs SET owner = ?2 WHERE id = ?1")?
                .execute(params![id, to_json("an owner", owner)?])?;
            Ok(owner.clone())
        }
    }
}

pub(super) fn release_run(
    conn: &Connection,
    run: RunId,
    owner: &EngineOwner,
) -> Result<(), OpError> {
    conn.prepare_cached("UPDATE runs SET owner = NULL WHERE id = ?1 AND owner = ?2")?
        .execute(params![run.to_string(), to_json("an owner", owner)?])?;
    Ok(())
}

pub(super) fn set_audited(conn: &Connection, run: RunId, seq: EventSeq) -> Result<(), OpError> {
    let moved = conn
        .prepare_cached("UPDATE runs SET audited_seq = ?2 WHERE id = ?1")?
        .execute(params![run.to_string(), int(seq.0)])?;
    if moved == 0 {
        return Err(StoreError::UnknownRun(run).into());
    }
    Ok(())
}
