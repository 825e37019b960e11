-- Insert only, a row a block and a row the outcomes of a lease's range: what each of these
-- choices gains is in docs/design.md. The wide columns stand last, so that counting reads none.

CREATE TABLE meta (
    name  TEXT PRIMARY KEY,
    value INTEGER NOT NULL
) WITHOUT ROWID;

CREATE TABLE runs (
    id             INTEGER PRIMARY KEY,
    job            TEXT NOT NULL,
    key            TEXT,
    state          TEXT NOT NULL,
    exhausted      INTEGER NOT NULL,
    started_at     REAL NOT NULL,
    ended_at       REAL,
    collected      INTEGER NOT NULL,
    collect_errors INTEGER NOT NULL,
    collected_into INTEGER NOT NULL,
    words          BLOB NOT NULL,
    options        BLOB NOT NULL
);
CREATE UNIQUE INDEX runs_key ON runs (key) WHERE key IS NOT NULL;

-- accepted: tasks without a key that tasks() gave; a restarted runner skips as many.
CREATE TABLE blocks (
    id       INTEGER PRIMARY KEY,
    run      INTEGER NOT NULL,
    priority INTEGER NOT NULL,
    first    INTEGER NOT NULL,
    count    INTEGER NOT NULL,
    accepted INTEGER NOT NULL,
    grp      TEXT,
    keys     BLOB,
    body     BLOB NOT NULL
);
CREATE INDEX blocks_waiting ON blocks (run, priority, id, first, count, accepted);

-- block 0: a result that a stock client put without a lease.
CREATE TABLE outcomes (
    seq     INTEGER PRIMARY KEY,
    run     INTEGER NOT NULL,
    block   INTEGER NOT NULL,
    first   INTEGER NOT NULL,
    start   INTEGER NOT NULL,
    stop    INTEGER NOT NULL,
    results BLOB NOT NULL
);
CREATE INDEX outcomes_block ON outcomes (block, start, stop);
CREATE INDEX outcomes_run ON outcomes (run, seq);

-- Only tasks that left the plain way: retried, delayed, lost, dead.
CREATE TABLE strays (
    run      INTEGER NOT NULL,
    task     INTEGER NOT NULL,
    block    INTEGER NOT NULL,
    position INTEGER NOT NULL,
    priority INTEGER NOT NULL,
    state    TEXT NOT NULL,
    attempts INTEGER NOT NULL,
    losses   INTEGER NOT NULL,
    delay_s  REAL NOT NULL,
    due_at   REAL NOT NULL,
    error    TEXT NOT NULL,
    evidence TEXT NOT NULL,
    PRIMARY KEY (run, task)
) WITHOUT ROWID;
CREATE INDEX strays_block ON strays (block, position);

CREATE TABLE keys (
    run INTEGER NOT NULL,
    key TEXT NOT NULL,
    PRIMARY KEY (run, key)
) WITHOUT ROWID;
