-- The tables of a new schema: those of SQLite's `schema.sql`, with the same columns, so a store can be
-- copied from one engine to the other. docs/design.md says what each choice gains. Texts are compared
-- byte by byte, as SQLite does. A change here needs a step in `migration.py`.

-- Numbers and bytes under names. The newest ones are in `turns`.
CREATE TABLE meta (
    name   text COLLATE "C" PRIMARY KEY,
    number bigint,
    bytes  bytea
);

-- A row for each commit: what it has changed of `meta` and of the counts of active runs, as MessagePack.
-- Rows that were updated in each commit would leave a dead version each time, which stays as long as
-- any session holds an old snapshot. Now and then the newest values go into `meta` and `runs`, and
-- these rows are deleted. A commit whose answer was lost is looked up here.
CREATE TABLE turns (
    number  bigint PRIMARY KEY,
    epoch   bigint NOT NULL,
    content bytea NOT NULL
);

-- The counts from `tasks` to `last_seq` are those of the last fold, or of the end of the run. '\x90' is an
-- empty array of MessagePack.
CREATE TABLE runs (
    id             bigint PRIMARY KEY,
    job            text COLLATE "C" NOT NULL,
    key            text COLLATE "C",
    state          text COLLATE "C" NOT NULL,
    exhausted      bigint NOT NULL,
    started_at     double precision NOT NULL,
    ended_at       double precision,
    collected      bigint NOT NULL,
    collect_errors bigint NOT NULL,
    collected_into bigint NOT NULL,
    version        text COLLATE "C" NOT NULL,
    cancelled      bigint NOT NULL,
    tasks          bigint NOT NULL DEFAULT 0,
    accepted       bigint NOT NULL DEFAULT 0,
    done           bigint NOT NULL DEFAULT 0,
    dead           bigint NOT NULL DEFAULT 0,
    strays         bigint NOT NULL DEFAULT 0,
    last_seq       bigint NOT NULL DEFAULT 0,
    words          bytea NOT NULL,
    options        bytea NOT NULL,
    pruned         bigint NOT NULL DEFAULT 0,
    last_dead      bigint NOT NULL DEFAULT 0,
    arguments      bytea NOT NULL DEFAULT '\x90',
    predecessors   bytea NOT NULL DEFAULT '\x90',
    waits_for      bytea NOT NULL DEFAULT '\x90',
    uploaded       bigint NOT NULL DEFAULT 0,
    died           bigint NOT NULL DEFAULT 0,
    failed         bigint NOT NULL DEFAULT 0,
    busy_s         double precision NOT NULL DEFAULT 0,
    told_done      bigint NOT NULL DEFAULT 0,
    told_died      bigint NOT NULL DEFAULT 0,
    told_failed    bigint NOT NULL DEFAULT 0,
    told_busy_s    double precision NOT NULL DEFAULT 0,
    traceparent    text COLLATE "C" NOT NULL DEFAULT ''
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
    run  bigint PRIMARY KEY,
    text bytea NOT NULL
);

-- Code that clients have sent, by version. files: MessagePack of the files by their paths.
CREATE TABLE code (
    version text COLLATE "C" PRIMARY KEY,
    files   bytea NOT NULL
);

-- open: 0 once every task has ended or is tracked, for good. It becomes 0 some commits later,
-- so 1 promises nothing. It makes ended blocks leave the indexes of waiting blocks soon.
CREATE TABLE blocks (
    id       bigint PRIMARY KEY,
    run      bigint NOT NULL,
    priority bigint NOT NULL,
    first    bigint NOT NULL,
    count    bigint NOT NULL,
    open     bigint NOT NULL,
    grp      text COLLATE "C",
    keys     bytea,
    body     bytea NOT NULL
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
    seq     bigint PRIMARY KEY,
    run     bigint NOT NULL,
    block   bigint NOT NULL,
    first   bigint NOT NULL,
    start   bigint NOT NULL,
    stop    bigint NOT NULL,
    results bytea NOT NULL
);
CREATE INDEX outcomes_block ON outcomes (block, start, stop);
CREATE INDEX outcomes_run ON outcomes (run, seq);

-- Tracked tasks: those that were retried, delayed or lost, or that are dead letters. Most tasks have
-- no row here. seq: of a dead letter, its number among those of outcomes; else 0. retries:
-- MessagePack of the notes of its retries. tries: how many tries have ended; fate, ended_at, took_s
-- and the texts tell of the last of them.
CREATE TABLE strays (
    run      bigint NOT NULL,
    task     bigint NOT NULL,
    block    bigint NOT NULL,
    position bigint NOT NULL,
    priority bigint NOT NULL,
    state    text COLLATE "C" NOT NULL,
    attempts bigint NOT NULL,
    losses   bigint NOT NULL,
    delay_s  double precision NOT NULL,
    due_at   double precision NOT NULL,
    grp      text COLLATE "C",
    lease    bigint NOT NULL,
    seq      bigint NOT NULL,
    worker   text COLLATE "C" NOT NULL,
    error    text COLLATE "C" NOT NULL,
    evidence text COLLATE "C" NOT NULL,
    printed  text COLLATE "C" NOT NULL,
    raised   bytea NOT NULL,
    retries  bytea NOT NULL DEFAULT '\x90',
    failure  bigint NOT NULL DEFAULT 0,
    tries    bigint NOT NULL DEFAULT 0,
    fate     text COLLATE "C" NOT NULL DEFAULT '',
    ended_at double precision NOT NULL DEFAULT 0,
    took_s   double precision,
    PRIMARY KEY (run, task)
);
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
    run      bigint NOT NULL,
    task     bigint NOT NULL,
    place    bigint NOT NULL,
    number   bigint NOT NULL,
    fate     text COLLATE "C" NOT NULL,
    ended_at double precision NOT NULL,
    took_s   double precision,
    worker   text COLLATE "C" NOT NULL,
    error    text COLLATE "C" NOT NULL,
    evidence text COLLATE "C" NOT NULL,
    printed  text COLLATE "C" NOT NULL,
    raised   bytea NOT NULL
);
CREATE UNIQUE INDEX tries_task ON tries (run, task, place);

-- Groups of dead letters, by what was raised and where. They are counted in each commit that has
-- letters come or go. workers: MessagePack of how many each worker has reported.
CREATE TABLE failures (
    id        bigint GENERATED BY DEFAULT AS IDENTITY PRIMARY KEY,
    run       bigint NOT NULL,
    exception text COLLATE "C" NOT NULL,
    place     text COLLATE "C" NOT NULL,
    count     bigint NOT NULL,
    first_at  double precision NOT NULL,
    last_at   double precision NOT NULL,
    last_seq  bigint NOT NULL,
    task      bigint NOT NULL,
    error     text COLLATE "C" NOT NULL,
    workers   bytea NOT NULL
);
CREATE UNIQUE INDEX failures_names ON failures (run, exception, place);
CREATE INDEX failures_newest ON failures (last_seq);
CREATE INDEX failures_of_run ON failures (run, last_seq);

-- The keys of tasks as 16 bytes of a hash.
CREATE TABLE keys (
    run  bigint NOT NULL,
    hash bytea NOT NULL,
    PRIMARY KEY (run, hash)
);

-- What a group of a run has of its own: a limit (none if every_s is NULL), and a pause that a task
-- asked for.
CREATE TABLE own_groups (
    run     bigint NOT NULL,
    grp     text COLLATE "C" NOT NULL,
    at_once bigint,
    every_s double precision,
    delay_s double precision NOT NULL,
    due_at  double precision NOT NULL,
    PRIMARY KEY (run, grp)
);

-- How many tasks of a run that name a quota were accepted and dropped.
CREATE TABLE quotas (
    run      bigint NOT NULL,
    name     text COLLATE "C" NOT NULL,
    accepted bigint NOT NULL,
    dropped  bigint NOT NULL,
    PRIMARY KEY (run, name)
);

-- Marks tell how old results of the queue run are: at the time `at` there were those up to `seq`.
-- There is a mark for about each day.
CREATE TABLE marks (
    at  double precision PRIMARY KEY,
    seq bigint NOT NULL
);

-- Workers that were connected at the last commit.
CREATE TABLE workers (
    id text COLLATE "C" PRIMARY KEY
);

-- Runs that were forgotten or pruned, and that still have rows.
CREATE TABLE dropping (
    run bigint PRIMARY KEY
);

-- What runs have done in each minute (span_s 60), and in each ten minutes (600). run -1: all runs
-- together. How the run stood at the end is NULL where nobody knows.
CREATE TABLE history (
    run     bigint NOT NULL,
    at      bigint NOT NULL,
    span_s  bigint NOT NULL,
    done    bigint NOT NULL,
    dead    bigint NOT NULL,
    failed  bigint NOT NULL,
    busy_s  double precision NOT NULL,
    waiting bigint,
    leased  bigint,
    delayed bigint,
    workers bigint,
    slots   bigint,
    PRIMARY KEY (run, at, span_s)
);
-- The minutes go after a day.
CREATE INDEX history_minutes ON history (at, run) WHERE span_s = 60;

-- Jobs that run at times. words, waiting: MessagePack.
CREATE TABLE schedules (
    name       text COLLATE "C" PRIMARY KEY,
    expression text COLLATE "C" NOT NULL,
    job        text COLLATE "C" NOT NULL,
    words      bytea NOT NULL,
    zone       text COLLATE "C" NOT NULL,
    missed     text COLLATE "C" NOT NULL,
    overlap    text COLLATE "C" NOT NULL,
    from_file  bigint NOT NULL,
    paused     bigint NOT NULL,
    cursor     double precision NOT NULL,
    waiting    bytea NOT NULL,
    last_slot  double precision NOT NULL,
    last_run   bigint NOT NULL,
    skipped    bigint NOT NULL,
    note       text COLLATE "C" NOT NULL,
    trouble    text COLLATE "C" NOT NULL
);

-- Payloads and results are dense already: compressing them again only takes time.
ALTER TABLE blocks ALTER COLUMN body SET STORAGE EXTERNAL, ALTER COLUMN keys SET STORAGE EXTERNAL;
ALTER TABLE outcomes ALTER COLUMN results SET STORAGE EXTERNAL;
ALTER TABLE turns ALTER COLUMN content SET STORAGE EXTERNAL;
ALTER TABLE code ALTER COLUMN files SET STORAGE EXTERNAL;

-- Where a text of MessagePack ends that begins at a place (from 0).
CREATE FUNCTION text_end(data bytea, at integer) RETURNS integer LANGUAGE sql IMMUTABLE STRICT AS $$
    SELECT CASE
        WHEN get_byte(data, at) < 192 THEN at + 1 + (get_byte(data, at) & 31)
        WHEN get_byte(data, at) = 217 THEN at + 2 + get_byte(data, at + 1)
        WHEN get_byte(data, at) = 218
            THEN at + 3 + get_byte(data, at + 1) * 256 + get_byte(data, at + 2)
        ELSE at + 5 + get_byte(data, at + 2) * 65536 + get_byte(data, at + 3) * 256
            + get_byte(data, at + 4)
    END
$$;

-- The newest four notes of a task, with a new one: an array of MessagePack, whose elements are arrays
-- of a number of 9 bytes and two texts (RetryNote, RETRY_NOTES).
CREATE FUNCTION add_note(notes bytea, new bytea) RETURNS bytea LANGUAGE sql IMMUTABLE STRICT AS $$
    SELECT CASE
        WHEN get_byte(notes, 0) & 15 < 4
            THEN set_byte(notes, 0, get_byte(notes, 0) + 1) || substr(new, 2)
        ELSE substr(notes, 1, 1) || substr(notes, 1 + text_end(notes, text_end(notes, 11)))
            || substr(new, 2)
    END
$$;
