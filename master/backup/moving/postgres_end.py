"""A schema of a PostgreSQL database as one end of a move. A move into it is one transaction."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterable, Iterator
from typing import Any

import msgspec
import psycopg
from psycopg import sql

from queue_manager import __version__
from queue_manager.errors import StoreBusyError, StoreError

from ...store.postgres.address import Address
from ...store.postgres.link.connection import Connection, one_line
from ...store.postgres.ownership.me import SQL, Me
from ...store.postgres.ownership.roster import ensure_tables, one
from ...store.postgres.plain_text import kept, register
from ...store.postgres.schema.migration import prepare
from ...store.postgres.turns import Content, Newest
from ...store.relational.tables import COUNTS
from ..restoring import LEAPS
from .ends import OWN, TABLES
from .hashing import Row

_RAISE_EPOCH = "UPDATE owner SET epoch = epoch + %s RETURNING epoch"
_TYPES = """
SELECT a.attname::text, a.atttypid::bigint FROM pg_attribute a
  WHERE a.attrelid = %s::regclass AND a.attnum > 0 AND NOT a.attisdropped
"""
_READ = 200
"""So many rows are read at a time: a block may have 64 KiB."""

_TASKS = TABLES["runs"].split().index("tasks")
_LIVES_S = 5.0
_LOCK_S = 2.0


class PostgresEnd:
    """The store of a schema, held by the lock that its active master would have.

    new: it is written. replace: also where there is a store, which is then gone.

    Raises:
        StoreBusyError: a master uses the schema.
        StoreError: there is no store, or there is one where none should be; or the server is away.
    """

    def __init__(self, address: Address, *, new: bool, replace: bool = False) -> None:
        self._address = address
        self._me = Me(address, "migrate-store", "", __version__)
        self._db: Connection = self._me.connect("", None, None)
        try:
            with self._checked():
                self._hold(new)
                register(self._db.adapters)
                self._begin(new, replace)
        except BaseException:
            self.close()
            raise

    def _hold(self, new: bool) -> None:
        if new:
            ensure_tables(self._db, self._me)
        elif not one(self._db, "exists", self._me, None):
            raise StoreError(f"there is no store in {self._address.shown}")
        values = self._me.values(None)
        masters = [row for row in self._db.execute(SQL["roster"]) if row[6] < _LIVES_S]
        if masters or not self._lock(values):
            names = ", ".join(sorted({str(master[1]) for master in masters})) or "a master"
            raise StoreBusyError(f"{self._address.shown} is in use by {names}: stop all masters")

    def _lock(self, values: dict[str, object]) -> bool:
        """Take the lock. A session that has just ended may have it for a moment."""
        until = time.monotonic() + _LOCK_S
        while True:
            row = self._db.execute(SQL["lock"], values).fetchone()
            if row is not None and row[0]:
                return True
            if time.monotonic() > until:
                return False
            time.sleep(0.05)

    def _begin(self, new: bool, replace: bool) -> None:
        there = self._one("SELECT to_regclass('meta') IS NOT NULL")
        if not new and not there:
            raise StoreError(f"there is no store in {self._address.shown}")
        self._db.execute("BEGIN")
        prepare(self._db, self._address.schema, self._address.shown)
        self._load()
        if new:
            if self._is_used() and not replace:
                raise StoreError(
                    f"{self._address.shown} has a store: name another one, or --replace"
                )
            self._empty()

    def _load(self) -> None:
        """Read what is in `meta` and in `turns`."""
        meta = self._db.execute("SELECT name, COALESCE(number, 0), bytes FROM meta").fetchall()
        turns = self._db.execute("SELECT number, content FROM turns ORDER BY number").fetchall()
        self._meta = {name: number if data is None else data for name, number, data in meta}
        self._newest = Newest()
        self._newest.load(self._meta, turns)

    def _is_used(self) -> bool:
        if self._one("SELECT EXISTS (SELECT 1 FROM runs WHERE id > 0)"):
            return True
        return any(row[_TASKS] for row in self.rows("runs"))

    def _empty(self) -> None:
        names = sql.SQL(", ").join(map(sql.Identifier, [*TABLES, "turns"]))
        version = self._meta["schema_version"]
        self._db.execute(sql.SQL("TRUNCATE {}").format(names))
        query = "INSERT INTO meta (name, number) VALUES ('schema_version', %s)"
        self._db.execute(query, (version,))

    @property
    def epoch(self) -> int:
        """How often a master has begun on it."""
        with self._checked():
            return int(self._one("SELECT epoch FROM owner") or 0)

    def count(self, table: str) -> int:
        """How many rows a table has."""
        with self._checked():
            return int(self._one(f"SELECT COUNT(*) FROM {table}"))

    def rows(self, table: str) -> Iterator[Row]:
        """All rows of a table."""
        with self._checked():
            if table == "meta":
                yield from self._metas()
                return
            columns = ", ".join(TABLES[table].split())
            with self._db.cursor(f"move_{table}", binary=True) as cursor:
                cursor.itersize = _READ
                cursor.execute(f"SELECT {columns} FROM {table}".encode())
                for row in cursor:
                    yield self._counted(row) if table == "runs" else row

    def _metas(self) -> Iterator[Row]:
        """The numbers and bytes as of the last commit."""
        names = set(self._meta) | set(self._newest.unfolded.kept)
        yield from ((name, self._newest.kept(name)) for name in sorted(names - OWN))

    def _counted(self, row: Row) -> Row:
        """The row of a run with its counts as of the last commit."""
        counts = self._newest.unfolded.counts.get(row[0])
        if counts is None:
            return row
        found = dict(zip(TABLES["runs"].split(), row, strict=True))
        found.update(zip(COUNTS.names, counts, strict=True))
        return list(found.values())

    def write(self, table: str, rows: Iterable[Row]) -> None:
        """Write all rows of a table."""
        names = "name number bytes" if table == "meta" else TABLES[table]
        if table == "meta":
            rows = ((n, None, v) if isinstance(v, bytes) else (n, v, None) for n, v in rows)
        columns = names.split()
        # As text, each byte of a payload would be two characters.
        statement = f"COPY {table} ({', '.join(columns)}) FROM STDIN (FORMAT BINARY)"
        with self._checked():
            types = dict(self._db.execute(_TYPES, (table,)).fetchall())
            with self._db.cursor() as cursor, cursor.copy(statement.encode()) as copy:
                copy.set_types([types[column] for column in columns])
                for row in rows:
                    copy.write_row([kept(v) if isinstance(v, str) else v for v in row])
        if table == "meta":
            self._load()

    def finish(self, epoch: int) -> None:
        """What was written is the store."""
        with self._checked():
            self._db.execute(
                "SELECT setval(pg_get_serial_sequence('failures', 'id'),"
                " GREATEST((SELECT MAX(id) FROM failures), 1))"
            )
            query = (
                "INSERT INTO owner (epoch, name, address, since) VALUES (%s, '', '', now())"
                " ON CONFLICT (one) DO UPDATE SET epoch = GREATEST(owner.epoch, excluded.epoch)"
            )
            self._db.execute(query, (epoch,))
            self._db.execute("COMMIT")

    def raise_numbers(self) -> None:
        """Make all numbers greater that are never to be given twice (`restoring.LEAPS`)."""
        with self._checked():
            kept = {}
            for name, (highest, leap) in LEAPS.items():
                number = max(self._one(highest) or 0, self._newest.kept(name) or 0)
                kept[name] = int(number) + leap
            del kept["epoch"]
            leap = LEAPS["epoch"][1]
            (epoch,) = self._db.execute(_RAISE_EPOCH, (leap,)).fetchone() or (0,)
            content = msgspec.msgpack.encode(Content(dict(kept), {}))
            row = (self._newest.number + 1, epoch, content)
            self._db.execute("INSERT INTO turns (number, epoch, content) VALUES (%s, %s, %s)", row)
            self._db.execute("COMMIT")

    def close(self) -> None:
        """Let the schema go. What has not been finished is undone."""
        with contextlib.suppress(psycopg.Error):
            self._db.close()

    def _one(self, query: str) -> Any:
        row = self._db.execute(query.encode()).fetchone()
        return row and row[0]

    @contextlib.contextmanager
    def _checked(self) -> Iterator[None]:
        try:
            yield
        except psycopg.Error as error:
            raise StoreError(f"can't use {self._address.shown}: {one_line(error)}") from error
