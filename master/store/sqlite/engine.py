"""The embedded store: one SQLite file (WAL, synchronous=FULL), written by one thread.

Owns the connection, its transactions, and the one line that says what went wrong in it.
docs/design.md, "The store", says why rows are blocks, and why a statement inserts many of them.
"""

from __future__ import annotations

import contextlib
import secrets
import sqlite3
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Concatenate, ParamSpec, TypeVar

from queue_manager.errors import StoreError, UnstorableError

from ...changes import Changes, RunState
from ...reads import ReadAnswer, ReadRequest, StoreSize
from ..relational.damage import DAMAGE, damaged
from ..relational.database import Database
from ..relational.read import batch as reading
from ..relational.read import waiting
from ..relational.store import RelationalStore, touched_by
from ..relational.upkeep import clock
from ..relational.upkeep.dropping import NUMBERS, next_number
from ..relational.writing import add_note, read_delivered, write
from . import space
from .database import SqliteDatabase
from .keys import Keys, Step
from .schema.file import CHECKPOINT_PAGES, SOON_PAGES, lock, open_database

_CLOSE_AT = 256
"""How many blocks are touched before the store looks which of them have ended. So a block whose
outcomes come close together is looked at once."""

_NUMBERED = "commit"
"""The name of the number of the last commit that has no block and no outcome."""

_IDENTITY = "store"
"""The name of the number that tells this store from others, also after its folder was emptied."""

P = ParamSpec("P")
T = TypeVar("T")

_UNSTORABLE = (
    sqlite3.IntegrityError,
    sqlite3.DataError,
    sqlite3.InterfaceError,
    sqlite3.ProgrammingError,
    OverflowError,
    ValueError,
)
"""Errors that are the fault of what is to be written, not of the disk."""


class SqliteStore(RelationalStore):
    """A `Store` in a folder of its own.

    identity, epoch, delivered, workers and the next numbers are as of the opening. Every verb may
    raise StoreError. Opening may also raise StoreBusyError: another master has the folder.
    """

    trouble = ""

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
        self._db.create_function("add_note", 2, add_note, deterministic=True)
        db = self._database = SqliteDatabase(self._db)
        self.identity = db.number(_IDENTITY)
        if not self.identity:
            self.identity = 1 + secrets.randbelow(2**53 - 1)
            db.keep({_IDENTITY: self.identity})
        self.epoch = db.number("epoch") + 1
        db.keep({"epoch": self.epoch})
        self.delivered = read_delivered(db)
        self.next_run, self.next_block, self.next_seq = (next_number(db, *n) for n in NUMBERS)
        self.clock_seen = clock.seen(db)
        self._numbered = db.number(_NUMBERED)
        self.workers = {worker for (worker,) in db.rows("workers")}

    def commit(self, changes: Changes) -> None:
        touched = self._touched | touched_by(changes)
        is_due = len(touched) >= _CLOSE_AT
        step = self._write(changes, touched if is_due else set())
        pruned = {run.id for run in changes.runs.values() if run.state is RunState.PRUNED}
        self._touched = set() if is_due else touched
        try:
            if step is None:
                raise MemoryError  # nobody knows what the commit did to the keys
            self._database.keys.written(step, changes.forgotten | pruned)
        except Exception:  # the commit is on disk, and so the keys are read from there again
            self._database.keys = Keys(self._db)

    def _write(self, changes: Changes, ended: set[int]) -> Step | None:
        """Commit in one transaction. None: it took place, and something failed after it."""
        step = None
        self._numbered += 1  # never used again, whatever becomes of this commit
        self._checkpoint_at(SOON_PAGES if changes.revived else CHECKPOINT_PAGES)
        try:
            with self._transaction():
                has_number = changes.blocks or changes.outcomes or changes.grown
                write(self._database, changes, {} if has_number else {_NUMBERED: self._numbered})
                step = self._database.keys.write((b.run, b.keys) for b in changes.blocks if b.keys)
                if ended:
                    waiting.close_blocks(self._database, ended)
        except StoreError:
            raise
        except Exception:  # it may have come before or after COMMIT
            if not self._has(changes):
                raise
            return None
        return step

    def _has(self, changes: Changes) -> bool:
        """Whether changes are on disk. Blocks and outcomes have numbers; other changes get one.

        A block that has grown has more tasks than before.

        If the commit of a new run was taken for failed by mistake, the run would be refused, and
        would begin at the next start nevertheless.
        """
        return self._reads(_has, changes, self._numbered)

    def read(self, request: ReadRequest) -> ReadAnswer:
        return self._reads(reading.read, request)

    def shrink(self, pages: int) -> bool:
        try:
            return space.shrink(self._db, pages)
        except sqlite3.Error as error:
            raise StoreError(f"can't write to {self._path}: {error}") from error

    def size(self) -> StoreSize:
        try:
            return space.size(self._path)
        except OSError as error:
            raise StoreError(f"can't look at {self._path}: {error}") from error

    def hasten(self) -> None:
        """The disk is there, or a verb fails at once."""

    def close(self) -> None:
        with contextlib.suppress(sqlite3.Error, AttributeError):
            self._db.close()
        self._lock.close()

    # --- inside ---

    def _reads(
        self, verb: Callable[Concatenate[Database, P], T], *args: P.args, **kw: P.kwargs
    ) -> T:
        try:
            return verb(self._database, *args, **kw)
        except (sqlite3.Error, OverflowError, UnicodeError) as error:
            raise StoreError(f"can't read {self._path}: {error}") from error
        except DAMAGE as error:
            raise StoreError(f"can't read {self._path}: {damaged(error)}") from error

    def _writes(
        self, verb: Callable[Concatenate[Database, P], T], *args: P.args, **kw: P.kwargs
    ) -> T:
        with self._transaction():
            return verb(self._database, *args, **kw)

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


def _has(db: Database, changes: Changes, numbered: int) -> bool:
    if changes.blocks:
        return db.one("has_block", block=changes.blocks[0].id) is not None
    if changes.outcomes:
        return db.one("has_outcome", seq=changes.outcomes[0].seq) is not None
    if changes.grown:
        (block, *_) = changes.grown.values()
        count: int | None = db.one("count_of_block", block=block.id)
        return count == block.count
    return db.number(_NUMBERED) == numbered
