//! Opening the database: creating, checking the format, proving that it can be written.

use std::fs::{DirBuilder, File, OpenOptions};
use std::os::unix::fs::DirBuilderExt;
use std::path::Path;
use std::time::Duration;

use rusqlite::{Connection, ErrorCode, OpenFlags, OptionalExtension, TransactionBehavior};

use super::error::{OpError, unavailable};
use crate::store::{StateLayout, StoreError};

/// Version of the tables and of the events' JSON in them.
const FORMAT: u32 = 2;

/// The tables of format 1, which never change again.
const SCHEMA: &str = include_str!("schema.sql");

/// What each later format adds to the one before it, from format 2 on.
const STEPS: [&str; FORMAT as usize - 1] = [include_str!("schema.2.sql")];

/// How long another process may hold the write lock before we give up.
const BUSY: Duration = Duration::from_secs(10);

const OPEN: &str = "open";

/// The two connections of a store that writes.
pub(super) struct Connections {
    pub(super) write: Connection,
    pub(super) read: Connection,
}

/// Creates what is missing and proves that the database can be written.
pub(super) fn for_writing(layout: &StateLayout) -> Result<Connections, StoreError> {
    let path = layout.state_db();
    let _one_at_a_time = lock_set_up(layout)?;
    let write = connect(
        &path,
        OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_CREATE,
    )
    .map_err(|error| error.into_store(OPEN, &path))?;
    set_up(&write, &path).map_err(|error| error.into_store("write to", &path))?;
    let read = connect(&path, OpenFlags::SQLITE_OPEN_READ_ONLY)
        .map_err(|error| error.into_store(OPEN, &path))?;
    Ok(Connections { write, read })
}

/// SQLite answers "busy" at once, without waiting, when two processes turn on the write-ahead log at
/// the same time. So set-up is one process at a time; the lock dies with its holder.
fn lock_set_up(layout: &StateLayout) -> Result<File, StoreError> {
    let root = layout.root();
    DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(root)
        .map_err(|error| unavailable("create", root, error))?;
    let path = root.join("state.lock");
    let file = OpenOptions::new()
        .create(true)
        .truncate(false)
        .write(true)
        .open(&path)
        .map_err(|error| unavailable("write to", &path, error))?;
    file.lock()
        .map_err(|error| unavailable("lock", &path, error))?;
    Ok(file)
}

fn connect(path: &Path, flags: OpenFlags) -> Result<Connection, OpError> {
    let conn = Connection::open_with_flags(path, flags | OpenFlags::SQLITE_OPEN_NO_MUTEX)?;
    conn.busy_timeout(BUSY)?;
    conn.set_prepared_statement_cache_capacity(64);
    Ok(conn)
}

fn set_up(conn: &Connection, path: &Path) -> Result<(), OpError> {
    // A first read tells whether this is a database at all, before anything is changed.
    let known = format_of(conn, path)?;
    let mode: String = conn.query_row("PRAGMA journal_mode = WAL", [], |row| row.get(0))?;
    if mode != "wal" {
        return Err(StoreError::Unavailable {
            action: OPEN,
            path: path.display().to_string(),
            source: format!(
                "the file system does not allow SQLite's write-ahead log (journal mode is `{mode}`); \
                 put the state directory on a local disk"
            )
            .into(),
        }
        .into());
    }
    conn.execute_batch("PRAGMA synchronous = FULL; PRAGMA foreign_keys = ON")?;
    let transaction = rusqlite::Transaction::new_unchecked(conn, TransactionBehavior::Immediate)?;
    if known.is_none() {
        create(&transaction)?;
        transaction.execute("INSERT INTO meta (format_version) VALUES (?1)", [FORMAT])?;
    } else {
        // Asked again inside the transaction: another process may have migrated it meanwhile.
        migrate(
            &transaction,
            format_of(&transaction, path)?.unwrap_or(FORMAT),
        )?;
        // Writes a page also when nothing changes: a read-only or full disk is found now, not in mid-run.
        transaction.execute("UPDATE meta SET format_version = ?1", [FORMAT])?;
    }
    transaction.commit()?;
    Ok(())
}

fn create(conn: &Connection) -> Result<(), OpError> {
    conn.execute_batch(SCHEMA)?;
    migrate(conn, 1)
}

fn migrate(conn: &Connection, from: u32) -> Result<(), OpError> {
    let done = usize::try_from(from)
        .unwrap_or(usize::MAX)
        .saturating_sub(1);
    for step in STEPS.iter().skip(done) {
        conn.execute_batch(step)?;
    }
    Ok(())
}

/// The format, or `None` for an empty database.
fn format_of(conn: &Connection, path: &Path) -> Result<Option<u32>, OpError> {
    let tables: u32 = conn.query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0))?;
    if tables == 0 {
        return Ok(None);
    }
    let ours: bool = conn
        .prepare("SELECT 1 FROM sqlite_schema WHERE type = 'table' AND name = 'meta'")?
        .exists([])?;
    let found: Option<u32> = if ours {
        conn.query_row("SELECT format_version FROM meta", [], |row| row.get(0))
            .optional()?
    } else {
        None
    };
    match found {
        Some(1..=FORMAT) => Ok(found),
        Some(found) if found > FORMAT => Err(StoreError::TooNew {
            path: path.display().to_string(),
            found,
            known: FORMAT,
        }
        .into()),
        _ => Err(StoreError::Corrupt {
            what: format!("`{}`", path.display()),
            source: "it is a database of another program, or its format is unknown".into(),
        }
        .into()),
    }
}

/// Opens what is there, writing nothing. Where nothing was ever stored, an empty store.
pub(super) fn for_reading(layout: &StateLayout) -> Result<Connection, StoreError> {
    let path = layout.state_db();
    open_to_read(&path).map_err(|error| error.into_store(OPEN, &path))
}

fn open_to_read(path: &Path) -> Result<Connection, OpError> {
    match std::fs::metadata(path) {
        Ok(_) => {}
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            let conn = Connection::open_in_memory()?;
            create(&conn)?;
            return Ok(conn);
        }
        Err(error) => return Err(unavailable(OPEN, path, error).into()),
    }
    match checked(connect(path, OpenFlags::SQLITE_OPEN_READ_ONLY)?, path) {
        Err(OpError::Sql(error)) if cannot_share(&error) && !has_wal(path) => {
            // The directory is read-only, so SQLite cannot make the index that readers of a
            // write-ahead log share. Without a log nobody is writing, and the file alone is complete.
            let uri = immutable_uri(path);
            let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_URI;
            checked(connect(Path::new(&uri), flags)?, path)
        }
        other => other,
    }
}

fn checked(conn: Connection, path: &Path) -> Result<Connection, OpError> {
    if format_of(&conn, path)?.is_none() {
        // Another process has created the file this moment, or died doing so; there is nothing in it.
        let empty = Connection::open_in_memory()?;
        create(&empty)?;
        return Ok(empty);
    }
    Ok(conn)
}

fn cannot_share(error: &rusqlite::Error) -> bool {
    matches!(
        error.sqlite_error_code(),
        Some(ErrorCode::CannotOpen | ErrorCode::ReadOnly)
    )
}

fn has_wal(path: &Path) -> bool {
    let mut wal = path.as_os_str().to_owned();
    wal.push("-wal");
    std::fs::metadata(wal).is_ok_and(|wal| wal.len() > 0)
}

fn immutable_uri(path: &Path) -> String {
    use std::os::unix::ffi::OsStrExt;
    const KEPT: &percent_encoding::AsciiSet = &percent_encoding::NON_ALPHANUMERIC.remove(b'/');
    let escaped = percent_encoding::percent_encode(path.as_os_str().as_bytes(), KEPT);
    format!("file:{escaped}?immutable=1")
}
