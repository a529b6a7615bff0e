CREATE TABLE meta (
    format_version INTEGER NOT NULL
) STRICT;
CREATE TABLE runs (
    id TEXT PRIMARY KEY NOT NULL,
    runbook TEXT NOT NULL,
    environment TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    actor TEXT NOT NULL,
    plan_digest TEXT NOT NULL,
    status TEXT NOT NULL,
    outcome TEXT,
    finished_at INTEGER,
    last_seq INTEGER NOT NULL,
    owner TEXT,
    audited_seq INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX runs_unfinished ON runs (id) WHERE status <> 'finished';
CREATE INDEX runs_to_audit ON runs (id) WHERE last_seq > audited_seq;
CREATE TABLE texts (
    run_id TEXT PRIMARY KEY NOT NULL REFERENCES runs (id),
    plan_json TEXT NOT NULL,
    source TEXT NOT NULL
) STRICT;
CREATE TABLE events (
    run_id TEXT NOT NULL REFERENCES runs (id),
    seq INTEGER NOT NULL,
    at INTEGER NOT NULL,
    kind TEXT NOT NULL,
    json TEXT NOT NULL,
    PRIMARY KEY (run_id, seq)
) STRICT, WITHOUT ROWID;
CREATE TABLE requests (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    run_id TEXT NOT NULL REFERENCES runs (id),
    at INTEGER NOT NULL,
    actor TEXT NOT NULL,
    json TEXT NOT NULL
) STRICT;
CREATE INDEX requests_of_run ON requests (run_id, id);
