"""The embedded store: one SQLite file (WAL, synchronous=FULL), written by one thread.

Why rows are blocks, and statements insert many of them at once: docs/design.md, "The store".
"""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec

from queue_manager.errors import StoreError
from queue_manager.records import DeadLetter, Ended, ResultBlock

from ..changes import (
    Changes,
    LoadedRun,
    OutcomeRecord,
    WaitingBlock,
)
from .file import lock, open_database
from .loading import load
from .writing import set_meta, write

_ROW_BYTES = 256
"""What a row counts for in a page beside its payloads: a page of tiny rows takes time too."""


class SqliteStore:
    """A `Store` in a folder of its own. Raises StoreBusyError when another master has it."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._lock = lock(folder)
        self._path = folder / "queue.sqlite3"
        try:
            self._db = open_database(self._path)
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
            write(self._db, changes)
            self._db.execute("COMMIT")
        except (sqlite3.Error, OverflowError, ValueError) as error:
            with contextlib.suppress(sqlite3.Error):
                self._db.execute("ROLLBACK")
            raise StoreError(f"can't write to {self._path}: {error}") from error

    # --- reading ---

    def load(self) -> list[LoadedRun]:
        return load(self._db)

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

    def _next_epoch(self) -> int:
        epoch = self._meta("epoch") + 1
        set_meta(self._db, "epoch", epoch)
        return epoch
