-- Rows are inserted, and only small columns of them are changed. A block is one row, and so are the
-- outcomes of a range of a lease. docs/design.md says what each of these choices gains. Wide columns
-- stand last, so a query of the other columns does not read them. The columns are the fields of
-- records (`tables.py`). A change here needs a migration (`migration.py`).

-- Each value is a number, except `delivered_behind`, MessagePack of [[seq, place], ...], and
-- `accepted`, MessagePack of [[block, time], ...].
CREATE TABLE meta (
    name  TEXT PRIMARY KEY,
    value INTEGER NOT NULL
) WITHOUT ROWID;

-- Each commit keeps the counts from `tasks` to `last_seq`, so opening counts nothing. x'90' is an
-- empty array of MessagePack.
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
    options        BLOB NOT NULL,
    pruned         INTEGER NOT NULL DEFAULT 0,
    last_dead      INTEGER NOT NULL DEFAULT 0,
    arguments      BLOB NOT NULL DEFAULT x'90',
    predecessors   BLOB NOT NULL DEFAULT x'90',
    waits_for      BLOB NOT NULL DEFAULT x'90',
    uploaded       INTEGER NOT NULL DEFAULT 0,
    died           INTEGER NOT NULL DEFAULT 0,
    failed         INTEGER NOT NULL DEFAULT 0,
    busy_s         REAL NOT NULL DEFAULT 0,
    told_done      INTEGER NOT NULL DEFAULT 0,
    told_died      INTEGER NOT NULL DEFAULT 0,
    told_failed    INTEGER NOT NULL DEFAULT 0,
    told_busy_s    REAL NOT NULL DEFAULT 0,
    traceparent    TEXT NOT NULL DEFAULT ''
);
CREATE UNIQUE INDEX runs_key ON runs (key) WHERE key IS NOT NULL;
-- A start reads this index, so a hundred thousand ended runs cost nothing. 2^62 is a closed collect
-- cursor (NOBODY_COLLECTS).
CREATE INDEX runs_open ON runs (id)
    WHERE state = 'active' OR (state != 'pruned' AND collected < 4611686018427387904);
CREATE INDEX runs_ended ON runs (id) WHERE state NOT IN ('active', 'pruned');
CREATE INDEX runs_of_job ON runs (job, id) WHERE state NOT IN ('active', 'pruned');
CREATE INDEX runs_of_state ON runs (state, id) WHERE state NOT IN ('active', 'pruned');
CREATE INDEX runs_of_job_and_state ON runs (job, state, id)
    WHERE state NOT IN ('active', 'pruned');
CREATE INDEX runs_old ON runs (ended_at)
    WHERE state NOT IN ('active', 'pruned') AND collected = 4611686018427387904;
-- How many ended runs each job has, and how many dead letters, is read in this index alone.
CREATE INDEX runs_counted ON runs (state, job, dead) WHERE state NOT IN ('active', 'pruned');
-- The runs that have one version of uploaded code: the last of them takes it along.
CREATE INDEX runs_code ON runs (version) WHERE uploaded = 1 AND state != 'pruned';

-- What a search looks at: job, key and arguments of each ended run, with small letters. Very long ones
-- are not here. A run that was retried keeps its row.
CREATE TABLE texts (
    run  INTEGER PRIMARY KEY,
    text BLOB NOT NULL
);

-- Code that clients have sent, by version. files: MessagePack of the files by their paths.
CREATE TABLE code (
    version TEXT PRIMARY KEY,
    files   BLOB NOT NULL
);

-- open: 0 once every task has ended or is tracked, for good. It becomes 0 some commits later,
-- so 1 promises nothing. It makes ended blocks leave the indexes of waiting blocks soon.
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

-- Groups that have waiting tasks, the most urgent first. A search takes one step for each group.
CREATE INDEX blocks_groups ON blocks (run, priority DESC, grp)
    WHERE open = 1 AND grp IS NOT NULL;

-- block 0: the outcome is a result that a stock client put without a lease.
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

-- Tracked tasks: those that were retried, delayed or lost, or that are dead letters. Most tasks have
-- no row here. seq: of a dead letter, its number among those of outcomes; else 0. retries:
-- MessagePack of the notes of its retries. tries: how many tries have ended; fate, ended_at, took_s
-- and the texts tell of the last of them.
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
    seq      INTEGER NOT NULL,
    worker   TEXT NOT NULL,
    error    TEXT NOT NULL,
    evidence TEXT NOT NULL,
    printed  TEXT NOT NULL,
    raised   BLOB NOT NULL,
    retries  BLOB NOT NULL DEFAULT x'90',
    failure  INTEGER NOT NULL DEFAULT 0,
    tries    INTEGER NOT NULL DEFAULT 0,
    fate     TEXT NOT NULL DEFAULT '',
    ended_at REAL NOT NULL DEFAULT 0,
    took_s   REAL,
    PRIMARY KEY (run, task)
) WITHOUT ROWID;
CREATE INDEX strays_block ON strays (block, position);
CREATE INDEX strays_waiting ON strays (run, grp, due_at, task, delay_s) WHERE state = 'waiting';
CREATE INDEX strays_due ON strays (run, due_at, task, grp)
    WHERE state = 'waiting' AND grp IS NOT NULL;
CREATE INDEX strays_dead ON strays (run, block, grp) WHERE state = 'dead';
CREATE INDEX strays_letters ON strays (run, seq) WHERE state = 'dead';
CREATE INDEX strays_failures ON strays (run, failure, seq) WHERE state = 'dead';
CREATE INDEX strays_of_failure ON strays (run, failure, task) WHERE state = 'dead';

-- Tries of a task before the one that its row in `strays` tells of. place: the number of the try
-- modulo 9. So a try takes the place of the one nine before it, and a task has nine rows at most.
CREATE TABLE tries (
    run      INTEGER NOT NULL,
    task     INTEGER NOT NULL,
    place    INTEGER NOT NULL,
    number   INTEGER NOT NULL,
    fate     TEXT NOT NULL,
    ended_at REAL NOT NULL,
    took_s   REAL,
    worker   TEXT NOT NULL,
    error    TEXT NOT NULL,
    evidence TEXT NOT NULL,
    printed  TEXT NOT NULL,
    raised   BLOB NOT NULL
);
CREATE UNIQUE INDEX tries_task ON tries (run, task, place);

-- Groups of dead letters, by what was raised and where. They are counted in each commit that has
-- letters come or go. workers: MessagePack of how many each worker has reported.
CREATE TABLE failures (
    id        INTEGER PRIMARY KEY AUTOINCREMENT,
    run       INTEGER NOT NULL,
    exception TEXT NOT NULL,
    place     TEXT NOT NULL,
    count     INTEGER NOT NULL,
    first_at  REAL NOT NULL,
    last_at   REAL NOT NULL,
    last_seq  INTEGER NOT NULL,
    task      INTEGER NOT NULL,
    error     TEXT NOT NULL,
    workers   BLOB NOT NULL
);
CREATE UNIQUE INDEX failures_names ON failures (run, exception, place);
CREATE INDEX failures_newest ON failures (last_seq);
CREATE INDEX failures_of_run ON failures (run, last_seq);

-- The keys of tasks as 16 bytes of a hash. At first the keys of a commit are in one row, one after
-- the other.
CREATE TABLE fresh_keys (
    id     INTEGER PRIMARY KEY,
    run    INTEGER NOT NULL,
    hashes BLOB NOT NULL
);
CREATE INDEX fresh_keys_run ON fresh_keys (run);

-- By slice: up to which fresh row its keys were moved into `keys`, and a filter of its keys there. A
-- fresh row is deleted once all slices have passed it.
CREATE TABLE moved_keys (
    slice  INTEGER PRIMARY KEY,
    row    INTEGER NOT NULL,
    filter BLOB NOT NULL
);

-- Short rows change few pages.
CREATE TABLE keys (
    run  INTEGER NOT NULL,
    hash BLOB NOT NULL,
    PRIMARY KEY (run, hash)
) WITHOUT ROWID;

-- What a group of a run has of its own: a limit (none if every_s is NULL), and a pause that a task
-- asked for.
CREATE TABLE own_groups (
    run     INTEGER NOT NULL,
    grp     TEXT NOT NULL,
    at_once INTEGER,
    every_s REAL,
    delay_s REAL NOT NULL,
    due_at  REAL NOT NULL,
    PRIMARY KEY (run, grp)
) WITHOUT ROWID;

-- How many tasks of a run that name a quota were accepted and dropped.
CREATE TABLE quotas (
    run      INTEGER NOT NULL,
    name     TEXT NOT NULL,
    accepted INTEGER NOT NULL,
    dropped  INTEGER NOT NULL,
    PRIMARY KEY (run, name)
) WITHOUT ROWID;

-- Marks tell how old results of the queue run are: at the time `at` there were those up to `seq`.
-- There is a mark for about each day.
CREATE TABLE marks (
    at  REAL PRIMARY KEY,
    seq INTEGER NOT NULL
) WITHOUT ROWID;

-- Workers that were connected at the last commit.
CREATE TABLE workers (
    id TEXT PRIMARY KEY
) WITHOUT ROWID;

-- Runs that were forgotten or pruned, and that still have rows.
CREATE TABLE dropping (
    run INTEGER PRIMARY KEY
);

-- What runs have done in each minute (span_s 60), and in each ten minutes (600). run -1: all runs
-- together. How the run stood at the end is NULL where nobody knows.
CREATE TABLE history (
    run     INTEGER NOT NULL,
    at      INTEGER NOT NULL,
    span_s  INTEGER NOT NULL,
    done    INTEGER NOT NULL,
    dead    INTEGER NOT NULL,
    failed  INTEGER NOT NULL,
    busy_s  REAL NOT NULL,
    waiting INTEGER,
    leased  INTEGER,
    delayed INTEGER,
    workers INTEGER,
    slots   INTEGER,
    PRIMARY KEY (run, at, span_s)
) WITHOUT ROWID;
-- The minutes go after a day.
CREATE INDEX history_minutes ON history (at, run) WHERE span_s = 60;

-- Jobs that run at times. words, waiting: MessagePack.
CREATE TABLE schedules (
    name       TEXT PRIMARY KEY,
    expression TEXT NOT NULL,
    job        TEXT NOT NULL,
    words      BLOB NOT NULL,
    zone       TEXT NOT NULL,
    missed     TEXT NOT NULL,
    overlap    TEXT NOT NULL,
    from_file  INTEGER NOT NULL,
    paused     INTEGER NOT NULL,
    cursor     REAL NOT NULL,
    waiting    BLOB NOT NULL,
    last_slot  REAL NOT NULL,
    last_run   INTEGER NOT NULL,
    skipped    INTEGER NOT NULL,
    note       TEXT NOT NULL,
    trouble    TEXT NOT NULL
) WITHOUT ROWID;
