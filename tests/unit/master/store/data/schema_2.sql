-- Insert only, but for small columns: a row a block and a row the outcomes of a lease's range. What
-- each of these choices gains is in docs/design.md. The wide columns stand last, so that what
-- reads the others reads none of them. A change here is a migration, too (`migration.py`).

CREATE TABLE meta (
    name  TEXT PRIMARY KEY,
    value INTEGER NOT NULL
) WITHOUT ROWID;

-- The counts from `tasks` to `last_seq` are kept with each commit: opening counts nothing.
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
    version        TEXT NOT NULL,
    cancelled      INTEGER NOT NULL,
    tasks          INTEGER NOT NULL DEFAULT 0,
    accepted       INTEGER NOT NULL DEFAULT 0,
    done           INTEGER NOT NULL DEFAULT 0,
    dead           INTEGER NOT NULL DEFAULT 0,
    strays         INTEGER NOT NULL DEFAULT 0,
    last_seq       INTEGER NOT NULL DEFAULT 0,
    words          BLOB NOT NULL,
    options        BLOB NOT NULL
);
CREATE UNIQUE INDEX runs_key ON runs (key) WHERE key IS NOT NULL;

-- open: 0 once every task has ended or strayed, which is for good. It is set some commits later, so
-- 1 promises nothing; but what has ended soon leaves the indexes of what waits.
CREATE TABLE blocks (
    id       INTEGER PRIMARY KEY,
    run      INTEGER NOT NULL,
    priority INTEGER NOT NULL,
    first    INTEGER NOT NULL,
    count    INTEGER NOT NULL,
    open     INTEGER NOT NULL,
    grp      TEXT,
    keys     BLOB,
    body     BLOB NOT NULL
);
CREATE INDEX blocks_run ON blocks (run, first, count);
CREATE INDEX blocks_plain ON blocks (run, priority DESC, id, first, count)
    WHERE open = 1 AND grp IS NULL;
CREATE INDEX blocks_grouped ON blocks (run, grp, priority DESC, id, first, count)
    WHERE open = 1 AND grp IS NOT NULL;

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
CREATE INDEX outcomes_run ON outcomes (run);

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
    grp      TEXT,
    lease    INTEGER NOT NULL,
    worker   TEXT NOT NULL,
    error    TEXT NOT NULL,
    evidence TEXT NOT NULL,
    printed  TEXT NOT NULL,
    PRIMARY KEY (run, task)
) WITHOUT ROWID;
CREATE INDEX strays_block ON strays (block, position);
CREATE INDEX strays_waiting ON strays (run, grp, due_at, task, delay_s) WHERE state = 'waiting';
CREATE INDEX strays_dead ON strays (run, block, grp) WHERE state = 'dead';

-- The keys of tasks as 16 bytes of a hash, first those of a commit in a row, one after the other.
CREATE TABLE fresh_keys (
    id     INTEGER PRIMARY KEY,
    run    INTEGER NOT NULL,
    hashes BLOB NOT NULL
);
CREATE INDEX fresh_keys_run ON fresh_keys (run);

-- Up to which of those rows the keys of each slice have been moved into `keys`, and a filter of all
-- that are there. A row goes when all slices have got so far.
CREATE TABLE moved_keys (
    slice  INTEGER PRIMARY KEY,
    row    INTEGER NOT NULL,
    filter BLOB NOT NULL
);

-- The shorter the row, the fewer pages it spoils.
CREATE TABLE keys (
    run  INTEGER NOT NULL,
    hash BLOB NOT NULL,
    PRIMARY KEY (run, hash)
) WITHOUT ROWID;

-- Workers that were connected at the last commit.
CREATE TABLE workers (
    id TEXT PRIMARY KEY
) WITHOUT ROWID;

-- Runs that were forgotten or pruned, and whose rows are not all gone.
CREATE TABLE dropping (
    run INTEGER PRIMARY KEY
);
