"""Files of earlier releases are brought to this release's schema.

Tables that have changed are renamed. Then the tables of `schema.sql` are made, and filled from the
renamed ones. All this is one transaction, so that a file is never half of each version. Tables that
a version lacks are only made. Whoever changes the schema adds here how version 13 becomes the new
one, and checks the earlier steps against the new tables.
"""

from __future__ import annotations

import contextlib
import logging
import re
import sqlite3
import time
from operator import itemgetter
from pathlib import Path
from typing import NamedTuple

import msgspec

from queue_manager.job.failures import named
from queue_manager.wire.records import DeadLetter, RunOptions

from ....changes import GivenArguments, RunRecord
from ....failures import WORKERS
from ...relational.names import hash_key
from ...relational.read.finding import sought_in
from ..database import STATEMENTS
from ..keys import FilterPart

log = logging.getLogger("quartermaster.master")

_INCREMENTAL = 2

# Version 1 kept the group of every task, but no run had a limit: its tasks wait without a group.
_FROM_1 = """
INSERT INTO meta SELECT * FROM old_meta;
INSERT INTO runs (id, job, key, state, exhausted, started_at, ended_at, collected, collect_errors,
    collected_into, version, cancelled, words, options)
  SELECT id, job, key, state, exhausted, started_at, ended_at, collected, collect_errors,
    collected_into, '', 0, words, options FROM old_runs;
INSERT INTO blocks (id, run, priority, first, count, open, grp, keys, body)
  SELECT id, run, priority, first, count, 1, NULL, keys, body FROM old_blocks ORDER BY id;
INSERT INTO outcomes SELECT * FROM old_outcomes ORDER BY seq;
INSERT INTO strays (run, task, block, position, priority, state, attempts, losses, delay_s, due_at,
    grp, lease, seq, worker, error, evidence, printed, raised)
  SELECT run, task, block, position, priority, state, attempts, losses, delay_s, due_at,
    NULL, 0, 0, '', error, evidence, '', x'' FROM old_strays ORDER BY run, task;
INSERT INTO keys (run, hash) SELECT run, hash_key(key) FROM old_keys ORDER BY 1, 2;
INSERT INTO moved_keys (slice, row, filter)
  SELECT slice_of(hash), 0, key_filter(run, hash) FROM keys GROUP BY 1;

UPDATE runs SET (tasks, accepted) = (c.tasks, c.accepted) FROM
  (SELECT run, SUM(count) AS tasks, SUM(accepted) AS accepted FROM old_blocks GROUP BY run) AS c
  WHERE c.run = runs.id;
UPDATE runs SET done = c.done FROM
  (SELECT run, SUM(stop - start) AS done FROM outcomes WHERE block != 0 GROUP BY run) AS c
  WHERE c.run = runs.id;
UPDATE runs SET last_seq = c.last_seq FROM
  (SELECT run, MAX(seq) AS last_seq FROM outcomes GROUP BY run) AS c
  WHERE c.run = runs.id;
UPDATE runs SET (dead, strays) = (c.dead, c.strays) FROM
  (SELECT run, SUM(state = 'dead') AS dead, SUM(state = 'waiting') AS strays
   FROM strays GROUP BY run) AS c
  WHERE c.run = runs.id;
"""

# Closes the collect cursor of ended runs for which nobody has anything more to do.
_SETTLED = """
UPDATE runs SET collected = 4611686018427387904, collected_into = 0
  WHERE state NOT IN ('active', 'pruned') AND NOT finishes(options)
  AND (state = 'cancelled' OR collected >= last_seq);
"""

_PRUNED = "ALTER TABLE runs ADD COLUMN pruned INTEGER NOT NULL DEFAULT 0;"
_WIDER = """
ALTER TABLE runs ADD COLUMN last_dead INTEGER NOT NULL DEFAULT 0;
ALTER TABLE runs ADD COLUMN arguments BLOB NOT NULL DEFAULT x'90';
ALTER TABLE runs ADD COLUMN predecessors BLOB NOT NULL DEFAULT x'90';
ALTER TABLE runs ADD COLUMN waits_for BLOB NOT NULL DEFAULT x'90';
ALTER TABLE runs ADD COLUMN uploaded INTEGER NOT NULL DEFAULT 0;
"""

_COUNTED = """
ALTER TABLE runs ADD COLUMN died INTEGER NOT NULL DEFAULT 0;
ALTER TABLE runs ADD COLUMN failed INTEGER NOT NULL DEFAULT 0;
ALTER TABLE runs ADD COLUMN busy_s REAL NOT NULL DEFAULT 0;
ALTER TABLE runs ADD COLUMN told_done INTEGER NOT NULL DEFAULT 0;
ALTER TABLE runs ADD COLUMN told_died INTEGER NOT NULL DEFAULT 0;
ALTER TABLE runs ADD COLUMN told_failed INTEGER NOT NULL DEFAULT 0;
ALTER TABLE runs ADD COLUMN told_busy_s REAL NOT NULL DEFAULT 0;
"""

# Nobody knows in which minutes that was done, so no row of the history gets it.
_TOLD = "UPDATE runs SET died = dead + pruned, told_done = done, told_died = dead + pruned;"

_RETRIES = "ALTER TABLE strays ADD COLUMN retries BLOB NOT NULL DEFAULT x'90';"

_FAILURE = "ALTER TABLE strays ADD COLUMN failure INTEGER NOT NULL DEFAULT 0;"

# Dead letters get groups. An old file may have more of them than GROUPS in a run.
_GROUPED = """
INSERT INTO failures (run, exception, place, count, first_at, last_at, last_seq, task, error,
    workers)
  SELECT run, raised_by(error, raised), place_of(evidence), COUNT(*), MIN(due_at), MAX(due_at),
    MAX(seq), task, SUBSTR(error, 1, 500), by_worker(worker)
  FROM strays WHERE state = 'dead' GROUP BY 1, 2, 3 ORDER BY MAX(seq);
UPDATE strays SET failure = (SELECT id FROM failures AS f WHERE f.run = strays.run
    AND f.exception = raised_by(error, raised) AND f.place = place_of(evidence))
  WHERE state = 'dead';
"""

# Dead letters of before version 5 get numbers behind all outcomes, in the order of tasks.
_NUMBERED = """
CREATE TEMP TABLE numbered AS SELECT run, task, ROW_NUMBER() OVER (ORDER BY run, task)
    + MAX((SELECT COALESCE(MAX(seq), 0) FROM outcomes),
          (SELECT COALESCE(MAX(value), 0) FROM meta WHERE name = 'next_seq')) AS seq
  FROM strays WHERE state = 'dead';
UPDATE strays SET seq = n.seq FROM numbered AS n WHERE n.run = strays.run AND n.task = strays.task;
UPDATE runs SET last_dead = n.seq FROM
  (SELECT run, MAX(seq) AS seq FROM numbered GROUP BY run) AS n WHERE n.run = runs.id;
INSERT OR REPLACE INTO meta (name, value)
  SELECT 'next_seq', MAX(seq) + 1 FROM numbered HAVING COUNT(*);
DROP TABLE numbered;
"""

_RAISED = (
    """
INSERT INTO strays (run, task, block, position, priority, state, attempts, losses, delay_s, due_at,
    grp, lease, seq, worker, error, evidence, printed, raised)
  SELECT run, task, block, position, priority, state, attempts, losses, delay_s, due_at,
    grp, lease, 0, worker, error, evidence, printed, x'' FROM old_strays ORDER BY run, task;
"""
    + _NUMBERED
)


# Of the runs that have ended. IGNORE leaves out those without a text: theirs is too long.
_SOUGHT = """
INSERT OR IGNORE INTO texts (run, text)
  SELECT id, sought_in(job, key, words, arguments) FROM runs
  WHERE state NOT IN ('active', 'pruned');
"""

_TRACED = "ALTER TABLE runs ADD COLUMN traceparent TEXT NOT NULL DEFAULT '';"

_TRIED = """
ALTER TABLE strays ADD COLUMN tries INTEGER NOT NULL DEFAULT 0;
ALTER TABLE strays ADD COLUMN fate TEXT NOT NULL DEFAULT '';
ALTER TABLE strays ADD COLUMN ended_at REAL NOT NULL DEFAULT 0;
ALTER TABLE strays ADD COLUMN took_s REAL;
"""
_SINCE_10 = _TRACED + _TRIED

_WIDER_SINCE_4 = _WIDER + _COUNTED + _TRACED
_SINCE_9 = _GROUPED + _SOUGHT


class _Step(NamedTuple):
    """How a file of one version becomes one of this release.

    tables: those that have changed since. widened: the SQL that adds columns to others, before the
    schema makes indexes of them and the tables that are missing. fill: the SQL that fills these.
    """

    tables: tuple[str, ...] = ()
    widened: str = ""
    fill: str = ""


_STEPS = {
    1: _Step(
        ("meta", "runs", "blocks", "outcomes", "strays", "keys"),
        fill=_FROM_1 + _SETTLED + _NUMBERED + _TOLD + _SINCE_9,
    ),
    2: _Step(("strays",), _PRUNED + _WIDER_SINCE_4, _SETTLED + _RAISED + _TOLD + _SINCE_9),
    3: _Step(("strays",), _PRUNED + _WIDER_SINCE_4, _SETTLED + _RAISED + _TOLD + _SINCE_9),
    4: _Step(("strays",), _WIDER_SINCE_4, _RAISED + _TOLD + _SINCE_9),
    5: _Step((), _COUNTED + _RETRIES + _FAILURE + _SINCE_10, _TOLD + _SINCE_9),  # schedules, too
    6: _Step((), _COUNTED + _RETRIES + _FAILURE + _SINCE_10, _TOLD + _SINCE_9),
    7: _Step((), _RETRIES + _FAILURE + _SINCE_10, _SINCE_9),
    8: _Step((), _FAILURE + _SINCE_10, _SINCE_9),  # indexes of runs, too
    9: _Step((), _FAILURE + _SINCE_10, _SINCE_9),
    10: _Step((), _SINCE_10, _SOUGHT),
    11: _Step((), _TRIED, _SOUGHT),  # an index of dead letters, too
    12: _Step((), _TRIED),  # the table of tries, too
}
"""By version."""


def can_migrate(version: int) -> bool:
    """Whether a file of this version is of an earlier release."""
    return version in _STEPS


def _finishes(options: bytes) -> bool:
    return msgspec.msgpack.decode(options, type=RunOptions).finish


def _raised_by(error: str, raised: bytes) -> str:
    return named(DeadLetter(0, 0, 0, error, "", raised=raised))[0]


def _place_of(evidence: str) -> str:
    return named(DeadLetter(0, 0, 0, "", evidence))[1]


def _sought_in(job: str, key: str | None, words: bytes, arguments: bytes) -> bytes | None:
    args = msgspec.msgpack.decode(words, type=list[str])
    given = msgspec.msgpack.decode(arguments, type=GivenArguments)
    return sought_in(RunRecord(0, job, args, key, arguments=given))


class _ByWorker:
    """How many letters each worker has reported, of the first 32 workers, as MessagePack."""

    def __init__(self) -> None:
        self._counts: dict[str, int] = {}

    def step(self, worker: str) -> None:
        if worker in self._counts or len(self._counts) < WORKERS:
            self._counts[worker] = self._counts.get(worker, 0) + 1

    def finalize(self) -> bytes:
        return msgspec.msgpack.encode(self._counts)


def migrate(db: sqlite3.Connection, path: Path, version: int, schema: str, target: int) -> None:
    """Bring a file from `version` to `target`, whose tables `schema` makes."""
    log.info("%s has schema %d: bringing it to %d", path, version, target)
    began = time.monotonic()
    tables, widened, fill = _STEPS[version]
    db.create_function("hash_key", 1, hash_key, deterministic=True)
    db.create_function("slice_of", 1, itemgetter(0), deterministic=True)
    db.create_aggregate("key_filter", 2, FilterPart)  # type: ignore[arg-type]
    db.create_function("finishes", 1, _finishes, deterministic=True)
    db.create_function("raised_by", 2, _raised_by, deterministic=True)
    db.create_function("place_of", 1, _place_of, deterministic=True)
    db.create_function("sought_in", 4, _sought_in, deterministic=True)
    db.create_aggregate("by_worker", 1, _ByWorker)  # type: ignore[arg-type]
    indexes = db.execute(
        "SELECT name FROM sqlite_master WHERE type = 'index' AND sql IS NOT NULL"
    ).fetchall()
    script = [
        "BEGIN IMMEDIATE;",
        *(f"DROP INDEX {name};" for (name,) in indexes if tables),
        *(f"ALTER TABLE {table} RENAME TO old_{table};" for table in tables),
        widened,
        re.sub(r"^CREATE ((?:UNIQUE )?\w+) ", r"CREATE \1 IF NOT EXISTS ", schema, flags=re.M),
        fill,
        f"{STATEMENTS.text('close_blocks', {'which': ''})};" * bool(tables),
        *(f"DROP TABLE old_{table};" for table in tables),
        f"PRAGMA user_version = {target}; COMMIT;",
    ]
    try:
        db.executescript("\n".join(script))
    except BaseException:
        with contextlib.suppress(sqlite3.Error):
            db.execute("ROLLBACK")
        raise
    log.info("%s has schema %d now, after %.1f s", path, target, time.monotonic() - began)


def give_space_back(db: sqlite3.Connection, path: Path) -> None:
    """Make the file able to shrink. A file of schema 1 has to be written anew for that, once.

    It takes as much space again. So it is a step by itself, at this opening or at a later one.
    """
    if db.execute("PRAGMA auto_vacuum").fetchone()[0] == _INCREMENTAL:
        return
    log.info("writing %s anew, so that it can shrink from now on", path)
    try:
        db.execute("PRAGMA auto_vacuum = INCREMENTAL")
        db.execute("VACUUM")
        db.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
    except sqlite3.OperationalError as error:
        log.warning("%s can't be written anew (%s) and does not shrink yet", path, error)
