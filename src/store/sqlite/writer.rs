//! The one thread that writes, and its group commit.

use std::path::{Path, PathBuf};
use std::sync::{Arc, mpsc};
use std::thread::JoinHandle;

use rusqlite::Connection;
use tokio::sync::oneshot;

use super::error::{OpError, shared_error, unavailable};
use crate::handler::BoxFuture;
use crate::store::StoreError;

/// Most requests in one transaction, so that the first of them does not wait for ever.
const MAX_BATCH: usize = 1024;

const WRITE: &str = "write to";

/// What the whole transaction came to: nothing else in it is on disk when it failed.
type Committed = Result<(), Arc<rusqlite::Error>>;

/// A queued request.
trait Job: Send {
    /// Does the work inside the transaction; `false`: what it did is to be taken back.
    fn run(&mut self, conn: &Connection) -> bool;

    /// Answers, once it is known what became of the transaction.
    fn answer(self: Box<Self>, committed: &Committed, path: &Path);
}

struct Request<T, F> {
    work: Option<F>,
    result: Option<Result<T, OpError>>,
    reply: oneshot::Sender<Result<T, StoreError>>,
}

impl<T, F> Job for Request<T, F>
where
    T: Send,
    F: FnOnce(&Connection) -> Result<T, OpError> + Send,
{
    fn run(&mut self, conn: &Connection) -> bool {
        self.result = self.work.take().map(|work| work(conn));
        matches!(self.result, Some(Ok(_)))
    }

    fn answer(self: Box<Self>, committed: &Committed, path: &Path) {
        let answer = match (self.result, committed) {
            (Some(Err(error)), _) => Err(error.into_store(WRITE, path)),
            (_, Err(error)) => Err(shared_error(error, WRITE, path)),
            (Some(Ok(value)), Ok(())) => Ok(value),
            (None, Ok(())) => Err(StoreError::Closed),
        };
        // Who asked may have stopped waiting; the work is done all the same.
        let _ = self.reply.send(answer);
    }
}

/// The owner's end of the writer thread. Dropping it lets the queue run empty, then joins.
#[derive(Debug)]
pub(super) struct Writer {
    queue: Option<mpsc::Sender<Box<dyn Job>>>,
    thread: Option<JoinHandle<()>>,
}

impl Writer {
    /// Starts the thread on a connection that is ready to write.
    pub(super) fn spawn(conn: Connection, path: PathBuf) -> Result<Self, StoreError> {
        let (queue, jobs) = mpsc::channel();
        let at = path.clone();
        let thread = std::thread::Builder::new()
            .name("store-writer".to_owned())
            .spawn(move || serve(&conn, &jobs, &path))
            .map_err(|error| unavailable(WRITE, &at, error))?;
        Ok(Self {
            queue: Some(queue),
            thread: Some(thread),
        })
    }

    /// Queues work now; the future waits until it is on disk.
    pub(super) fn submit<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Connection) -> Result<T, OpError> + Send + 'static,
    ) -> BoxFuture<'static, Result<T, StoreError>> {
        let (reply, answer) = oneshot::channel();
        let job = Box::new(Request {
            work: Some(work),
            result: None,
            reply,
        });
        // When the thread is gone the job is dropped, and with it the sender of the answer.
        if let Some(queue) = &self.queue {
            let _ = queue.send(job);
        }
        Box::pin(async move { answer.await.unwrap_or(Err(StoreError::Closed)) })
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        self.queue = None;
        if let Some(thread) = self.thread.take() {
            // A panic of the thread has been reported by its hook, and every waiting future sees `Closed`.
            let _ = thread.join();
        }
    }
}

fn serve(conn: &Connection, jobs: &mpsc::Receiver<Box<dyn Job>>, path: &Path) {
    while let Ok(first) = jobs.recv() {
        let mut batch = vec![first];
        batch.extend(jobs.try_iter().take(MAX_BATCH - 1));
        let committed = commit(conn, &mut batch).map_err(Arc::new);
        for job in batch {
            job.answer(&committed, path);
        }
    }
    // Best effort: what is not moved into the main file now is moved by whoever opens it next.
    let _ = conn.query_row("PRAGMA wal_checkpoint(PASSIVE)", [], |_| Ok(()));
}

/// One transaction for all; a request that fails takes back only its own work.
fn commit(conn: &Connection, batch: &mut [Box<dyn Job>]) -> rusqlite::Result<()> {
    execute(conn, "BEGIN IMMEDIATE")?;
    let done = run_all(conn, batch).and_then(|()| execute(conn, "COMMIT"));
    if done.is_err() && !conn.is_autocommit() {
        // The first error is the one to tell; a failed rollback adds nothing.
        let _ = execute(conn, "ROLLBACK");
    }
    done
}

fn run_all(conn: &Connection, batch: &mut [Box<dyn Job>]) -> rusqlite::Result<()> {
    for job in batch {
        execute(conn, "SAVEPOINT request")?;
        if !job.run(conn) {
            // On a full disk SQLite may have rolled the whole transaction back: then this fails,
            // and every request of the batch is told.
            execute(conn, "ROLLBACK TO request")?;
        }
        execute(conn, "RELEASE request")?;
    }
    Ok(())
}

fn execute(conn: &Connection, sql: &str) -> rusqlite::Result<()> {
    conn.prepare_cached(sql)?.execute([]).map(|_| ())
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Probe {
        work: fn(&Connection) -> bool,
        answers: mpsc::Sender<bool>,
    }

    impl Job for Probe {
        fn run(&mut self, conn: &Connection) -> bool {
            (self.work)(conn)
        }

        fn answer(self: Box<Self>, committed: &Committed, _path: &Path) {
            self.answers.send(committed.is_ok()).expect("listening");
        }
    }

    fn batch(works: &[fn(&Connection) -> bool]) -> (Connection, rusqlite::Result<()>) {
        let conn = Connection::open_in_memory().expect("opens");
        conn.execute_batch("CREATE TABLE t (n INTEGER)")
            .expect("creates");
        let (answers, _kept) = mpsc::channel();
        let mut jobs: Vec<Box<dyn Job>> = works
            .iter()
            .map(|work| -> Box<dyn Job> {
                Box::new(Probe {
                    work: *work,
                    answers: answers.clone(),
                })
            })
            .collect();
        let done = commit(&conn, &mut jobs);
        (conn, done)
    }

    fn numbers(conn: &Connection) -> Vec<i64> {
        conn.prepare("SELECT n FROM t ORDER BY n")
            .and_then(|mut s| s.query_map([], |row| row.get(0))?.collect())
            .expect("reads")
    }

    fn insert(conn: &Connection, n: i64) {
        conn.execute("INSERT INTO t VALUES (?1)", [n])
            .expect("inserts");
    }

    #[test]
    fn a_request_that_fails_takes_back_only_its_own_work() {
        let (conn, done) = batch(&[
            |conn| {
                insert(conn, 1);
                true
            },
            |conn| {
                insert(conn, 2);
                false
            },
            |conn| {
                insert(conn, 3);
                true
            },
        ]);
        done.expect("commits");
        assert_eq!(numbers(&conn), [1, 3]);
    }

    #[test]
    fn a_lost_transaction_fails_the_whole_batch_and_the_next_one_works() {
        let (conn, done) = batch(&[
            |conn| {
                insert(conn, 1);
                true
            },
            |conn| {
                // What SQLite does by itself when the disk is full.
                execute(conn, "ROLLBACK").expect("rolls back");
                false
            },
        ]);
        assert!(done.is_err());
        assert!(conn.is_autocommit());
        assert!(numbers(&conn).is_empty());
        commit(&conn, &mut []).expect("works again");
    }
}
