//! Between Rust values and the columns of the tables.

use rusqlite::Row;
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::error::OpError;
use crate::base::{EventSeq, RunId, Timestamp, Value};
use crate::store::{RequestKind, RunRecord};

/// The columns that [`record`] reads, in its order.
pub(super) const RECORD_COLUMNS: &str = "id, runbook, environment, created_at, actor, plan_digest, \
     status, outcome, finished_at, last_seq, owner, audited_seq";

/// A value as JSON text.
pub(super) fn to_json<T: Serialize>(what: &str, value: &T) -> Result<String, OpError> {
    serde_json::to_string(value).map_err(|error| damaged(what, error))
}

/// A value from JSON text.
pub(super) fn from_json<T: DeserializeOwned>(what: &str, text: &str) -> Result<T, OpError> {
    serde_json::from_str(text).map_err(|error| damaged(what, error))
}

/// The wire name of an enum without fields.
pub(super) fn to_name<T: Serialize>(what: &str, value: &T) -> Result<String, OpError> {
    match serde_json::to_value(value) {
        Ok(Value::String(name)) => Ok(name),
        Ok(other) => Err(damaged(what, format!("`{other}` is not a name"))),
        Err(error) => Err(damaged(what, error)),
    }
}

pub(super) fn from_name<T: DeserializeOwned>(what: &str, name: String) -> Result<T, OpError> {
    serde_json::from_value(Value::String(name)).map_err(|error| damaged(what, error))
}

/// A request from its JSON. In format 1 the fields of a ballot stood beside the gate.
pub(super) fn request_kind(what: &str, text: &str) -> Result<RequestKind, OpError> {
    let mut value: Value = from_json(what, text)?;
    if let Some(fields) = value.as_object_mut()
        && fields.get("kind").is_some_and(|kind| kind == "vote")
        && !fields.contains_key("ballot")
    {
        let ballot: crate::base::Map<String, Value> = ["vote", "comment", "plan_digest"]
            .into_iter()
            .filter_map(|key| Some((key.to_owned(), fields.remove(key)?)))
            .collect();
        fields.insert("ballot".to_owned(), ballot.into());
    }
    serde_json::from_value(value).map_err(|error| damaged(what, error))
}

pub(super) fn damaged(
    what: &str,
    source: impl Into<Box<dyn std::error::Error + Send + Sync>>,
) -> OpError {
    OpError::Damaged {
        what: what.to_owned(),
        source: source.into(),
    }
}

/// A number for SQLite, whose integers are signed.
pub(super) fn int(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

/// A number from SQLite.
pub(super) fn uint(what: &str, number: i64) -> Result<u64, OpError> {
    u64::try_from(number).map_err(|error| damaged(what, error))
}

pub(super) fn run_id(text: &str) -> Result<RunId, OpError> {
    text.parse().map_err(|error| damaged("a run id", error))
}

/// A run from a row with [`RECORD_COLUMNS`].
pub(super) fn record(row: &Row<'_>) -> Result<RunRecord, OpError> {
    let id = row.get::<_, String>(0)?;
    let what = format!("run {id}");
    let outcome: Option<String> = row.get(7)?;
    let owner: Option<String> = row.get(10)?;
    Ok(RunRecord {
        id: run_id(&id)?,
        runbook: row.get(1)?,
        environment: row.get(2)?,
        created_at: Timestamp::from_unix_millis(row.get(3)?),
        actor: from_json(&what, &row.get::<_, String>(4)?)?,
        plan_digest: from_name(&what, row.get(5)?)?,
        status: from_name(&what, row.get(6)?)?,
        outcome: outcome.map(|name| from_name(&what, name)).transpose()?,
        finished_at: row
            .get::<_, Option<i64>>(8)?
            .map(Timestamp::from_unix_millis),
        last_seq: EventSeq(uint(&what, row.get(9)?)?),
        owner: owner.map(|json| from_json(&what, &json)).transpose()?,
        audited_seq: EventSeq(uint(&what, row.get(11)?)?),
    })
}
