"""The embedded store: one SQLite file (WAL, synchronous=FULL), written by one thread.

Why rows are blocks, and statements insert many of them at once: docs/design.md, "The store".
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import sqlite3
from collections.abc import Iterator, Sequence
from importlib import resources
from itertools import chain, islice
from pathlib import Path
from typing import IO, Any

import msgspec

from queue_manager.errors import StoreBusyError, StoreError
from queue_manager.records import DeadLetter, Ended, ResultBlock, RunOptions

from ..changes import (
    QUEUE_RUN,
    Changes,
    LoadedRun,
    OutcomeRecord,
    RunRecord,
    StrayRecord,
    WaitingBlock,
)

SCHEMA_VERSION = 1
CHECKPOINT_PAGES = 4_000
_VARIABLES = 30_000
_ROW_BYTES = 256
"""What a row counts for in a page beside its payloads: a page of tiny rows takes time too."""


class SqliteStore:
    """A `Store` in a folder of its own. Raises StoreBusyError when another master has it."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._lock = _lock(folder)
        self._path = folder / "queue.sqlite3"
        try:
            self._db = _open(self._path)
            self.epoch = self._next_epoch()
        except sqlite3.Error as error:
            self._lock.close()
            raise StoreError(f"can't use {self._path}: {error}") from error
        self.delivered = (self._meta("delivered_seq"), self._meta("delivered_index"))
        self.next_block = self._one("SELECT COALESCE(MAX(id), 0) + 1 FROM blocks")
        self.next_seq = self._one("SELECT COALESCE(MAX(seq), 0) + 1 FROM outcomes")

    # --- writing ---

    def commit(self, changes: Changes) -> None:
        try:
            self._db.execute("BEGIN IMMEDIATE")
            self._write(changes)
            self._db.execute("COMMIT")
        except (sqlite3.Error, OverflowError, ValueError) as error:
            with contextlib.suppress(sqlite3.Error):
                self._db.execute("ROLLBACK")
            raise StoreError(f"can't write to {self._path}: {error}") from error

    def _write(self, changes: Changes) -> None:
        self._insert(
            "INSERT INTO blocks (id, run, priority, first, count, accepted, grp, keys, body)",
            (
                (
                    b.id,
                    b.run,
                    b.priority,
                    b.first,
                    b.count,
                    b.count if b.from_tasks and b.keys is None else 0,
                    b.group,
                    None if b.keys is None else msgspec.msgpack.encode(b.keys),
                    b.body,
                )
                for b in changes.blocks
            ),
        )
        keyed = [b for b in changes.blocks if b.keys]
        keys = ((b.run, key) for b in keyed for key in b.keys or ())
        self._insert("INSERT INTO keys (run, key)", keys)
        self._insert(
            "INSERT INTO outcomes (seq, run, block, first, start, stop, results)",
            (
                (o.seq, o.run, o.block, o.first, o.start, o.stop, o.results)
                for o in changes.outcomes
            ),
        )
        self._insert(
            "INSERT OR REPLACE INTO strays (run, task, block, position, priority, state,"
            " attempts, losses, delay_s, due_at, error, evidence)",
            (_stray_row(stray) for stray in changes.strays.values()),
        )
        self._insert(
            "INSERT OR REPLACE INTO runs (id, job, key, state, exhausted, started_at, ended_at,"
            " collected, collect_errors, words, options)",
            (_run_row(run) for run in changes.runs.values()),
        )
        if changes.delivered is not None:
            self._set_meta("delivered_seq", changes.delivered[0])
            self._set_meta("delivered_index", changes.delivered[1])

    def _insert(self, head: str, rows: Iterator[tuple[Any, ...]]) -> None:
        """One statement for many rows: executemany gives the GIL away at each of them."""
        first = next(rows, None)
        if first is None:
            return
        group = "(" + ",".join("?" * len(first)) + ")"
        most = _VARIABLES // len(first)
        rows = chain([first], rows)
        while some := list(islice(rows, most)):
            values = ",".join([group] * len(some))
            self._db.execute(f"{head} VALUES {values}", list(chain.from_iterable(some)))

    # --- reading ---

    def load(self) -> list[LoadedRun]:
        tasks: dict[int, dict[int, int]] = {}
        total: dict[int, tuple[int, int]] = {}
        for run, priority, count, accepted in self._db.execute(
            "SELECT run, priority, SUM(count), SUM(accepted) FROM blocks GROUP BY run, priority"
        ):
            tasks.setdefault(run, {})[priority] = count
            before = total.get(run, (0, 0))
            total[run] = (before[0] + count, before[1] + accepted)
        done: dict[int, int] = {}
        for run, priority, count in self._db.execute(
            "SELECT b.run, b.priority, SUM(o.stop - o.start) FROM outcomes o"
            " JOIN blocks b ON b.id = o.block GROUP BY b.run, b.priority"
        ):
            done[run] = done.get(run, 0) + count
            tasks[run][priority] -= count
        strays, dead = self._load_strays(tasks)
        last = dict(self._db.execute("SELECT run, MAX(seq) FROM outcomes GROUP BY run"))
        return [
            LoadedRun(
                record,
                *total.get(record.id, (0, 0)),
                done.get(record.id, 0),
                last.get(record.id, 0),
                {p: n for p, n in tasks.get(record.id, {}).items() if n},
                strays.get(record.id, []),
                dead.get(record.id, 0),
            )
            for record in self._load_runs()
        ]

    def _load_strays(
        self, tasks: dict[int, dict[int, int]]
    ) -> tuple[dict[int, list[StrayRecord]], dict[int, int]]:
        strays: dict[int, list[StrayRecord]] = {}
        dead: dict[int, int] = {}
        for row in self._db.execute(
            "SELECT run, task, block, position, state, attempts, losses, delay_s, due_at, '', '',"
            " priority FROM strays WHERE state != 'done'"
        ):
            stray = StrayRecord(*row)
            tasks[stray.run][stray.priority] -= 1
            if stray.state == "dead":
                dead[stray.run] = dead.get(stray.run, 0) + 1
            else:
                strays.setdefault(stray.run, []).append(stray)
        return strays, dead

    def _load_runs(self) -> Iterator[RunRecord]:
        for row in self._db.execute(
            "SELECT id, job, words, key, options, state, exhausted, started_at, ended_at,"
            " collected, collect_errors FROM runs ORDER BY id"
        ):
            run, job, words, key, options, state, exhausted, *rest = row
            yield RunRecord(
                run,
                job,
                msgspec.msgpack.decode(words, type=list[str]),
                key,
                msgspec.msgpack.decode(options, type=RunOptions),
                state,
                bool(exhausted),
                *rest,
            )

    def read_waiting(
        self, run: int, priority: int, after: int, tasks: int
    ) -> tuple[list[WaitingBlock], int]:
        found: list[WaitingBlock] = []
        last, count = 0, 0
        # Blocks that ended are passed over in the engine: after a restart they may be many.
        for block, first, size in self._db.execute(
            "SELECT id, first, count FROM blocks b WHERE run = ? AND priority = ? AND id > ?"
            " AND count > (SELECT TOTAL(stop - start) FROM outcomes WHERE block = b.id)"
            " ORDER BY id",
            (run, priority, after),
        ):
            last = block
            ranges = self._waiting_ranges(block, size)
            if ranges:
                found.append(WaitingBlock(block, first, ranges))
                count += sum(stop - start for start, stop in ranges)
            if count >= tasks:
                break
        return found, last

    def _waiting_ranges(self, block: int, count: int) -> list[tuple[int, int]]:
        ended = list(
            self._db.execute(
                "SELECT start, stop FROM outcomes WHERE block = ?1"
                " UNION SELECT position, position + 1 FROM strays WHERE block = ?1"
                " ORDER BY 1",
                (block,),
            )
        )
        ranges, at = [], 0
        for start, stop in ended:
            if start > at:
                ranges.append((at, start))
            at = max(at, stop)
        if at < count:
            ranges.append((at, count))
        return ranges

    def read_body(self, block: int) -> bytes:
        body: bytes = self._one("SELECT body FROM blocks WHERE id = ?", block)
        return body

    def taken_keys(self, run: int, keys: Sequence[str]) -> set[str]:
        marks = ",".join("?" * len(keys))
        rows = self._db.execute(
            f"SELECT key FROM keys WHERE run = ? AND key IN ({marks})", (run, *keys)
        )
        return {key for (key,) in rows}

    def find_run(self, key: str) -> int | None:
        row = self._db.execute("SELECT id FROM runs WHERE key = ?", (key,)).fetchone()
        return None if row is None else row[0]

    def read_outcomes(
        self, run: int, after: int, most_bytes: int
    ) -> tuple[list[OutcomeRecord], dict[int, bytes]]:
        found: list[OutcomeRecord] = []
        bodies: dict[int, bytes] = {}
        size = 0
        for row in self._db.execute(
            "SELECT seq, run, block, first, start, stop, results FROM outcomes"
            " WHERE run = ? AND seq > ? ORDER BY seq",
            (run, after),
        ):
            outcome = OutcomeRecord(*row)
            found.append(outcome)
            size += len(outcome.results) + _ROW_BYTES
            if outcome.block and outcome.first not in bodies:
                body = bodies[outcome.first] = self.read_body(outcome.block)
                size += len(body)
            if size >= most_bytes:
                break
        return found, bodies

    def read_last_outcomes(
        self, run: int, most: int
    ) -> tuple[list[OutcomeRecord], dict[int, bytes]]:
        rows = self._db.execute(
            "SELECT seq, run, block, first, start, stop, results FROM outcomes"
            " WHERE run = ? ORDER BY seq DESC LIMIT ?",
            (run, most),
        ).fetchall()
        found = [OutcomeRecord(*row) for row in reversed(rows)]
        return found, {o.first: self.read_body(o.block) for o in found if o.block}

    def count_results(self, run: int, after: int) -> int:
        count: int = self._one(
            "SELECT COALESCE(SUM(stop - start), 0) FROM outcomes WHERE run = ? AND seq > ?",
            run,
            after,
        )
        return count

    def read_results(
        self, run: int, after: int, most_bytes: int
    ) -> tuple[list[ResultBlock], int, bool]:
        found: list[ResultBlock] = []
        last, size = after, 0
        for block, first, count, keys in self._db.execute(
            "SELECT id, first, count, keys FROM blocks WHERE run = ? AND id > ? ORDER BY id",
            (run, after),
        ):
            last = block
            size += _ROW_BYTES
            result = self._result_block(block, first, count, keys)
            if result is not None:
                found.append(result)
                size += len(result.body) + sum(len(e.results) + _ROW_BYTES for e in result.ended)
                size += sum(len(d.evidence) + _ROW_BYTES for d in result.dead)
            if size >= most_bytes:
                return found, last, False
        return found, last, True

    def _result_block(
        self, block: int, first: int, count: int, keys: bytes | None
    ) -> ResultBlock | None:
        """What has ended of a block; None when nothing has."""
        ended = [
            Ended(seq, first, start, stop, results)
            for seq, start, stop, results in self._db.execute(
                "SELECT seq, start, stop, results FROM outcomes WHERE block = ? ORDER BY start",
                (block,),
            )
        ]
        strays = self._db.execute(
            "SELECT task, state, attempts, losses, error, evidence FROM strays"
            " WHERE block = ? ORDER BY position",
            (block,),
        ).fetchall()
        dead = [DeadLetter(t, a, ls, e, ev) for t, s, a, ls, e, ev in strays if s == "dead"]
        if not ended and not dead:
            return None
        return ResultBlock(
            first,
            count,
            self.read_body(block),
            None if keys is None else msgspec.msgpack.decode(keys, type=list[str]),
            ended,
            dead,
            {t: a for t, s, a, *_ in strays},
        )

    def close(self) -> None:
        with contextlib.suppress(sqlite3.Error):
            self._db.close()
        self._lock.close()

    # --- inside ---

    def _one(self, query: str, *values: object) -> Any:
        return self._db.execute(query, values).fetchone()[0]

    def _meta(self, name: str) -> int:
        row = self._db.execute("SELECT value FROM meta WHERE name = ?", (name,)).fetchone()
        return 0 if row is None else row[0]

    def _set_meta(self, name: str, value: int) -> None:
        self._db.execute("INSERT OR REPLACE INTO meta (name, value) VALUES (?, ?)", (name, value))

    def _next_epoch(self) -> int:
        epoch = self._meta("epoch") + 1
        self._set_meta("epoch", epoch)
        return epoch


def _lock(folder: Path) -> IO[str]:
    """Hold the folder for this process; the kernel lets go of it however the process ends."""
    lock = open(folder / "lock", "a+")  # noqa: SIM115 - held as long as the store
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        lock.seek(0)
        holder = lock.read().strip() or "another process"
        lock.close()
        raise StoreBusyError(f"{folder} is in use by {holder}") from error
    lock.seek(0)
    lock.truncate()
    lock.write(f"the master with process id {os.getpid()}")
    lock.flush()
    return lock


def _open(path: Path) -> sqlite3.Connection:
    db = sqlite3.connect(path, isolation_level=None, cached_statements=256)
    db.execute("PRAGMA journal_mode = WAL")
    db.execute("PRAGMA synchronous = FULL")
    db.execute(f"PRAGMA wal_autocheckpoint = {CHECKPOINT_PAGES}")
    db.execute("PRAGMA temp_store = MEMORY")
    version = db.execute("PRAGMA user_version").fetchone()[0]
    if version == 0:
        schema = resources.files(__package__).joinpath("schema.sql").read_text("utf-8")
        options = msgspec.msgpack.encode(RunOptions()).hex()
        db.executescript(
            f"BEGIN; {schema}"
            "INSERT INTO runs (id, job, state, exhausted, started_at, collected, collect_errors,"
            f" words, options) VALUES ({QUEUE_RUN}, '', 'active', 0, 0, 0, 0, x'90', x'{options}');"
            f"PRAGMA user_version = {SCHEMA_VERSION}; COMMIT;"
        )
    elif version != SCHEMA_VERSION:
        db.close()
        raise StoreError(
            f"{path} has schema {version}, this release knows {SCHEMA_VERSION}:"
            " use the release that wrote it"
        )
    return db


def _run_row(run: RunRecord) -> tuple[Any, ...]:
    return (
        run.id,
        run.job,
        run.key,
        run.state,
        int(run.exhausted),
        run.started_at,
        run.ended_at,
        run.collected,
        run.collect_errors,
        msgspec.msgpack.encode(run.words),
        msgspec.msgpack.encode(run.options),
    )


def _stray_row(stray: StrayRecord) -> tuple[Any, ...]:
    return (
        stray.run,
        stray.task,
        stray.block,
        stray.position,
        stray.priority,
        stray.state,
        stray.attempts,
        stray.losses,
        stray.delay_s,
        stray.due_at,
        stray.error,
        stray.evidence,
    )
