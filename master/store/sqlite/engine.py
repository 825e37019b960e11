"""The embedded store: one SQLite file (WAL, synchronous=FULL), written by one thread.

Owns the connection, its transactions, and the one line that says what went wrong in it.
docs/design.md, "The store", says why rows are blocks, and why a statement inserts many of them.
"""

from __future__ import annotations

import contextlib
import secrets
import sqlite3
from collections.abc import Collection, Iterator
from pathlib import Path

from queue_manager.errors import StoreError, UnstorableError
from queue_manager.ranges import Ranges
from queue_manager.wire.failures import FailureFilter
from queue_manager.wire.records import DeadLetter

from ...changes import Changes, GroupRecord, LoadedRun, Place, QuotaCounts, RunState
from ...reads import (
    DuePage,
    GroupPage,
    OutcomePage,
    PruneStep,
    ReadAnswer,
    ReadRequest,
    ResultPage,
    TaskRecord,
    TrackedPage,
    WaitingPage,
)
from ...scheduled import ScheduleRecord
from . import ageing, clock, dropping
from .dropping import NUMBERS, next_number
from .guard import DAMAGE, damaged, reads
from .keys import Keys, Step
from .overview import Overview
from .read import batch as reading
from .read import chosen, groups, loading, results, waiting
from .read.groups import own_groups
from .schema.file import CHECKPOINT_PAGES, SOON_PAGES, lock, open_database
from .schema.rows import get_meta, one, set_meta
from .writing import add_note, read_delivered, write

_CLOSE_AT = 256
"""How many blocks are touched before the store looks which of them have ended. So a block whose
outcomes come close together is looked at once."""

_NUMBERED = "commit"
"""The name of the number of the last commit that has no block and no outcome."""

_IDENTITY = "store"
"""The name of the number that tells this store from others, also after its folder was emptied."""

_UNSTORABLE = (
    sqlite3.IntegrityError,
    sqlite3.DataError,
    sqlite3.InterfaceError,
    sqlite3.ProgrammingError,
    OverflowError,
    ValueError,
)
"""Errors that are the fault of what is to be written, not of the disk."""


class SqliteStore(Overview):
    """A `Store` in a folder of its own.

    identity, epoch, delivered, workers and the next numbers are as of the opening. Every verb may
    raise StoreError. Opening may also raise StoreBusyError: another master has the folder.
    """

    def __init__(self, folder: Path) -> None:
        self._path = folder / "queue.sqlite3"
        self._touched: set[int] = set()
        self._checkpoint_pages = CHECKPOINT_PAGES
        try:
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._lock = lock(folder)
        except OSError as error:
            raise StoreError(f"can't use {folder}: {error}") from error
        try:
            self._db = open_database(self._path)
            self._begin()
        except BaseException as error:
            self.close()
            if isinstance(error, DAMAGE):
                raise StoreError(f"can't use {self._path}: {damaged(error)}") from error
            if isinstance(error, (sqlite3.Error, OSError)) and not isinstance(error, StoreError):
                raise StoreError(f"can't use {self._path}: {error}") from error
            raise

    def _begin(self) -> None:
        db = self._db
        db.create_function("add_note", 2, add_note, deterministic=True)
        self.identity = get_meta(db, _IDENTITY)
        if not self.identity:
            self.identity = 1 + secrets.randbelow(2**53 - 1)
            set_meta(db, _IDENTITY, self.identity)
        self.epoch = get_meta(db, "epoch") + 1
        set_meta(db, "epoch", self.epoch)
        self.delivered = read_delivered(db)
        self.next_run, self.next_block, self.next_seq = (next_number(db, *n) for n in NUMBERS)
        self.clock_seen = clock.seen(db)
        self._numbered = get_meta(db, _NUMBERED)
        self.workers = {worker for (worker,) in db.execute("SELECT id FROM workers")}
        self._keys = Keys(db)

    # --- the state ---

    @reads
    def load(self) -> list[LoadedRun]:
        return loading.load(self._db)

    @reads
    def load_run(self, run: int) -> LoadedRun | None:
        return loading.load_run(self._db, run)

    @reads
    def ended_runs(self, before: int, limit: int) -> list[LoadedRun]:
        return loading.ended_runs(self._db, before, limit)

    @reads
    def count_ended(self, before: int) -> int:
        return loading.count_ended(self._db, before)

    @reads
    def old_runs(self, ended_by: float, limit: int) -> list[int]:
        return loading.old_runs(self._db, ended_by, limit)

    @reads
    def schedules(self) -> list[ScheduleRecord]:
        return loading.schedules(self._db)

    def commit(self, changes: Changes) -> None:
        touched = self._touched.union(
            (outcome.block for outcome in changes.outcomes),
            (record.block for record in changes.tracked.values()),
        )
        is_due = len(touched) >= _CLOSE_AT
        step = self._write(changes, touched if is_due else set())
        pruned = {run.id for run in changes.runs.values() if run.state is RunState.PRUNED}
        self._touched = set() if is_due else touched
        try:
            if step is None:
                raise MemoryError  # nobody knows what the commit did to the keys
            self._keys.written(step, changes.forgotten | pruned)
        except Exception:  # the commit is on disk, and so the keys are read from there again
            self._keys = Keys(self._db)

    def _write(self, changes: Changes, ended: set[int]) -> Step | None:
        """Commit in one transaction. None: it took place, and something failed after it."""
        step = None
        self._numbered += 1  # never used again, whatever becomes of this commit
        self._checkpoint_at(SOON_PAGES if changes.revived else CHECKPOINT_PAGES)
        try:
            with self._transaction():
                has_number = changes.blocks or changes.outcomes or changes.grown
                write(self._db, changes, {} if has_number else {_NUMBERED: self._numbered})
                step = self._keys.write((b.run, b.keys) for b in changes.blocks if b.keys)
                if ended:
                    waiting.close_blocks(self._db, ended)
        except StoreError:
            raise
        except Exception:  # it may have come before or after COMMIT
            if not self._has(changes):
                raise
            return None
        return step

    @reads
    def _has(self, changes: Changes) -> bool:
        """Whether changes are on disk. Blocks and outcomes have numbers; other changes get one.

        A block that has grown has more tasks than before.

        If the commit of a new run was taken for failed by mistake, the run would be refused, and
        would begin at the next start nevertheless.
        """
        if changes.blocks:
            query, number = "SELECT 1 FROM blocks WHERE id = ?", changes.blocks[0].id
        elif changes.outcomes:
            query, number = "SELECT 1 FROM outcomes WHERE seq = ?", changes.outcomes[0].seq
        elif changes.grown:
            (block, *_) = changes.grown.values()
            count: int | None = one(self._db, "SELECT count FROM blocks WHERE id = ?", block.id)
            return count == block.count
        else:
            return get_meta(self._db, _NUMBERED) == self._numbered
        return self._db.execute(query, (number,)).fetchone() is not None

    @reads
    def read(self, request: ReadRequest) -> ReadAnswer:
        return reading.read(self._db, self._keys, request)

    # --- what waits ---

    @reads
    def read_waiting(
        self, run: int, group: str | None, after: Place | None, tasks: int
    ) -> WaitingPage:
        page, ended = waiting.read_waiting(self._db, run, group, after, tasks)
        self._touched.update(ended)
        return page

    @reads
    def read_tracked(
        self, run: int, group: str | None, after: tuple[float, int] | None, limit: int
    ) -> TrackedPage:
        return waiting.read_tracked(self._db, run, group, after, limit)

    @reads
    def next_groups(self, run: int, after: tuple[int, str] | None, limit: int) -> GroupPage:
        return waiting.next_groups(self._db, run, after, limit)

    @reads
    def due_groups(self, run: int, after: tuple[float, int], due_by: float, limit: int) -> DuePage:
        return waiting.due_groups(self._db, run, after, due_by, limit)

    @reads
    def own_groups(self, run: int, groups: Collection[str] | None = None) -> dict[str, GroupRecord]:
        return own_groups(self._db, run, groups)

    def set_clock(self, boot: int, behind_s: float, wall: float | None = None) -> None:
        with self._transaction():
            clock.set_clock(self._db, boot, behind_s, wall)

    def note_clock(self, wall: float, off_s: float) -> None:
        with self._transaction():
            clock.note_clock(self._db, wall, off_s)

    def cap_delays(self, wall: float) -> None:
        with self._transaction():
            waiting.cap_delays(self._db, wall)

    @reads
    def read_body(self, block: int) -> bytes:
        return results.read_body(self._db, block)

    @reads
    def quotas(self, run: int, limit: int) -> dict[str, QuotaCounts]:
        return groups.quotas(self._db, run, limit)

    # --- what has ended ---

    @reads
    def find_blocks(self, run: int, tasks: Ranges, limit: int) -> list[tuple[int, int, int]]:
        return results.find_blocks(self._db, run, tasks, limit)

    @reads
    def read_outcomes(self, run: int, after: int, limit_bytes: int) -> OutcomePage:
        return results.read_outcomes(self._db, run, after, limit_bytes)

    @reads
    def read_letters(
        self, run: int, after: int, limit_bytes: int, until: int = 2**62
    ) -> tuple[list[DeadLetter], bool]:
        return results.read_letters(self._db, run, after, limit_bytes, until)

    @reads
    def read_last_outcomes(self, run: int, limit: int) -> OutcomePage:
        return results.read_last_outcomes(self._db, run, limit)

    @reads
    def read_results(
        self, run: int, after: int, limit_bytes: int, dead: bool = False
    ) -> ResultPage:
        return results.read_results(self._db, run, after, limit_bytes, dead)

    @reads
    def read_chosen(
        self, run: int, after: int, limit_bytes: int, only: FailureFilter
    ) -> ResultPage:
        return chosen.read_chosen(self._db, run, after, limit_bytes, only)

    @reads
    def read_task(self, run: int, task: int) -> TaskRecord | None:
        return results.read_task(self._db, run, task)

    def find_task(self, run: int, key: str) -> int:
        return results.find_task(self._db, run, key)

    # --- what goes ---

    def drop_some(self, rows: int) -> bool:
        with self._transaction():
            return dropping.drop_some(self._db, rows)

    def mark(self, at: float, seq: int, keep_s: float) -> int:
        with self._transaction():
            return ageing.mark(self._db, at, seq, keep_s)

    def prune_queue(self, seq: int, died_by: float, after: int, limit: int) -> PruneStep:
        with self._transaction():
            return ageing.prune_results(self._db, seq, died_by, after, limit)

    def prune_letters(self, seq: int, died_by: float, after: int, limit: int) -> PruneStep:
        with self._transaction():
            return ageing.prune_letters(self._db, seq, died_by, after, limit)

    def shrink(self, pages: int) -> bool:
        try:
            return dropping.shrink(self._db, pages)
        except sqlite3.Error as error:
            raise StoreError(f"can't write to {self._path}: {error}") from error

    def close(self) -> None:
        with contextlib.suppress(sqlite3.Error, AttributeError):
            self._db.close()
        self._lock.close()

    # --- inside ---

    def _checkpoint_at(self, pages: int) -> None:
        """How long the log (WAL) gets before a commit moves it into the file."""
        if pages != self._checkpoint_pages:
            self._db.execute(f"PRAGMA wal_autocheckpoint = {pages}")
            self._checkpoint_pages = pages

    @contextlib.contextmanager
    def _transaction(self) -> Iterator[None]:
        """All statements in it take effect or none does. Their effect is on disk at the end."""
        try:
            self._db.execute("BEGIN IMMEDIATE")
            yield
            self._db.execute("COMMIT")
        except BaseException as error:
            with contextlib.suppress(sqlite3.Error):
                self._db.execute("ROLLBACK")
            if isinstance(error, _UNSTORABLE):
                raise UnstorableError(f"can't write to {self._path}: {error}") from error
            if isinstance(error, sqlite3.Error):
                raise StoreError(f"can't write to {self._path}: {error}") from error
            raise
