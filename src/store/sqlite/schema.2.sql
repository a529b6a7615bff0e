CREATE TABLE obligations (
    run_id TEXT PRIMARY KEY NOT NULL REFERENCES runs (id),
    reason TEXT NOT NULL,
    review TEXT NOT NULL,
    due_at INTEGER NOT NULL,
    closed_at INTEGER,
    verdict TEXT
) STRICT, WITHOUT ROWID;
CREATE INDEX obligations_open ON obligations (run_id) WHERE closed_at IS NULL;
