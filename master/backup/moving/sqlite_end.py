"""A store in a folder as one end of a move. A new one has another name until it is whole."""

from __future__ import annotations

import contextlib
import os
import sqlite3
from array import array
from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path

from queue_manager.errors import StoreError

from ...store.sqlite.filter import SLICES, Filter, places
from ...store.sqlite.schema.file import lock, open_database
from ..copied import sync
from ..restoring import put_aside
from ..source import FILE
from .ends import OWN, TABLES
from .hashing import Row

_HASH_BYTES = 16
_BATCH = 2_000


class SqliteEnd:
    """The store of a folder, held by its lock.

    folder: of the store. new: it is written, into a new file. replace: also where there is a store,
    which is then kept beside it.

    Raises:
        StoreBusyError: a master has the folder.
        StoreError: there is no store, or there is one where none should be.
    """

    def __init__(self, folder: Path, *, new: bool, replace: bool = False) -> None:
        self._folder, self._is_new = folder, new
        path = folder / FILE
        if not new and not path.exists():
            raise StoreError(f"there is no store in {folder}")
        self._path = folder / f".{FILE}.moved" if new else path
        with self._checked():
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._lock = lock(folder)
        try:
            if new and not replace and path.exists() and not _is_empty(path):
                raise StoreError(f"{folder} has a store: give another folder, or --replace")
            self._drop()
            with self._checked():
                self._db = open_database(self._path)
                if new:
                    self._db.execute("PRAGMA synchronous = OFF")
                    self._db.execute("DELETE FROM runs")
        except BaseException:
            self.close()
            raise

    @property
    def epoch(self) -> int:
        """How often a master has begun on it."""
        row = self._db.execute("SELECT value FROM meta WHERE name = 'epoch'").fetchone()
        return int(row[0]) if row else 0

    def count(self, table: str) -> int:
        """How many rows a table has."""
        if table == "keys":
            fresh = f"(SELECT TOTAL(LENGTH(hashes)) / {_HASH_BYTES} FROM fresh_keys)"
            query = f"SELECT COUNT(*) + {fresh} FROM keys"
        else:
            query = f"SELECT COUNT(*) FROM {table}"
        with self._checked():
            return int(self._db.execute(query).fetchone()[0])

    def rows(self, table: str) -> Iterator[Row]:
        """All rows of a table."""
        with self._checked():
            columns = ", ".join(TABLES[table].split())
            rows: Iterator[Row] = self._db.execute(f"SELECT {columns} FROM {table}")
            if table == "meta":
                rows = (row for row in rows if row[0] not in OWN)
            yield from rows
            if table == "keys":
                yield from self._fresh_keys()

    def _fresh_keys(self) -> Iterator[Row]:
        """The keys that are not in the tree yet. A row may have some that are."""
        moved = dict(self._db.execute("SELECT slice, row FROM moved_keys"))
        query = "SELECT id, run, hashes FROM fresh_keys WHERE run NOT IN (SELECT run FROM dropping)"
        for row, run, hashes in self._db.execute(query):
            for at in range(0, len(hashes), _HASH_BYTES):
                if moved.get(hashes[at], 0) < row:
                    yield run, hashes[at : at + _HASH_BYTES]

    def write(self, table: str, rows: Iterable[Row]) -> None:
        """Write all rows of a table."""
        names = TABLES[table].split()
        marks = ", ".join("?" * len(names))
        statement = f"INSERT INTO {table} ({', '.join(names)}) VALUES ({marks})"
        found = Filter()
        rows = _noted(found, rows) if table == "keys" else rows
        with self._checked():
            waiting = iter(rows)
            while batch := list(islice(waiting, _BATCH)):
                self._db.execute("BEGIN")
                self._db.executemany(statement, batch)
                self._db.execute("COMMIT")
            if table == "keys":
                parts = ((number, 0, found.part(number)) for number in range(SLICES))
                self._db.executemany("INSERT INTO moved_keys VALUES (?, ?, ?)", parts)

    def finish(self, epoch: int) -> None:
        """The new file is the store."""
        with self._checked():
            self._db.execute("INSERT OR REPLACE INTO meta VALUES ('epoch', ?)", (epoch,))
            self._db.close()
            with open(self._path, "rb") as file:
                os.fsync(file.fileno())
            put_aside(self._folder, "before-migrate")
            self._path.replace(self._folder / FILE)
            sync(self._folder)

    def close(self) -> None:
        """Let the folder go."""
        with contextlib.suppress(sqlite3.Error, AttributeError):
            self._db.close()
        self._drop()
        self._lock.close()

    def _drop(self) -> None:
        if self._is_new:
            for end in ("", "-wal", "-shm"):
                with contextlib.suppress(OSError):
                    Path(f"{self._path}{end}").unlink()

    @contextlib.contextmanager
    def _checked(self) -> Iterator[None]:
        try:
            yield
        except (sqlite3.Error, OSError) as error:
            raise StoreError(f"can't use {self._path}: {error}") from error


def _is_empty(path: Path) -> bool:
    with contextlib.closing(sqlite3.connect(path)) as db:
        try:
            query = "SELECT EXISTS (SELECT 1 FROM runs WHERE id > 0 OR tasks > 0)"
            return not db.execute(query).fetchone()[0]
        except sqlite3.Error:
            return False


def _noted(found: Filter, rows: Iterable[Row]) -> Iterator[Row]:
    """The keys, as the filter takes them."""
    for run, value in rows:
        bits = array("I", [int.from_bytes(value[:4], "big")])
        found.add(places(run, bits))
        yield run, value
