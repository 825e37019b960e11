"""The store in PostgreSQL: a schema that one master owns, written and read by two connections.

Owns what happens at the opening and at the end. docs/design.md, "PostgreSQL", says what a commit
is.
"""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Concatenate, ParamSpec, TypeVar

import psycopg

from queue_manager.errors import StoreError

from ...changes import Changes, RunState
from ...reads import ReadAnswer, ReadRequest, StoreSize
from ..relational.database import Database
from ..relational.read import batch as reading
from ..relational.read import waiting
from ..relational.store import RelationalStore, touched_by
from ..relational.upkeep import clock
from ..relational.upkeep.dropping import NUMBERS, next_number
from ..relational.writing import read_delivered, write
from .database import PostgresDatabase
from .link.connection import Connection, one_line
from .link.reader import Reader
from .link.trouble import Trouble
from .link.writer import Writer
from .ownership.claim import Claim
from .schema.migration import prepare
from .schema.settings import warn_of_settings
from .turns import FOLDED, Newest

P = ParamSpec("P")
T = TypeVar("T")

_CLOSE_AT = 256
"""How many blocks are touched before the store looks which of them have ended."""

_IDENTITY = "store"
"""The name of the number that tells this store from others."""

_OPENING_S = 60.0
"""How long a reading may take at the start, of a store that nobody has pruned for long."""

_SIZE_S = 10.0
"""How long a size is told before it is asked for again: the server looks at each of its files."""


class PostgresStore(RelationalStore):
    """A `Store` in a schema of a database.

    claim: the ownership of it. Its `connection` has the schema as its search path.

    Every verb may raise StoreError. Those that return at once raise it when the database is away;
    `commit` and `read` wait for the database then.
    """

    def __init__(self, claim: Claim) -> None:
        address = claim.me.address
        self._claim = claim
        self._trouble = Trouble()
        self._touched: set[int] = set()
        self._size = (0.0, StoreSize())
        try:
            prepare(claim.connection, address.schema, address.shown)
            self._newest = _newest(claim.connection)
            warn_of_settings(claim.connection)
        except psycopg.Error as error:
            raise StoreError(f"can't use {address.shown}: {one_line(error)}") from error
        self._writer = Writer(claim, self._newest, self._trouble)
        self._reader = Reader(partial(claim.connect, "reader"), self._newest, self._trouble)
        try:
            self._begin()
        except BaseException:
            self.close()
            raise

    def _begin(self) -> None:
        self.epoch = self._claim.epoch
        self.identity = self._writer.write(_identity)
        self.delivered = self._writer.write(read_delivered)
        self.next_run, self.next_block, self.next_seq = self._reads(_numbers)
        self.clock_seen = self._reads(clock.seen)
        self.workers = {worker for (worker,) in self._reads(_workers)}

    @property
    def trouble(self) -> str:
        """Why the database can't be reached now; empty: it can."""
        return self._trouble.line

    # --- the state ---

    def commit(self, changes: Changes) -> Awaitable[None] | None:
        touched = self._touched | touched_by(changes)
        ended = touched if len(touched) >= _CLOSE_AT else set()

        def written(db: PostgresDatabase) -> None:
            write(db, changes, {})
            db.add_keys((block.run, block.keys) for block in changes.blocks if block.keys)
            gone = {run.id for run in changes.runs.values() if run.state is not RunState.ACTIVE}
            db.write_counts(db.leave_turns(gone | changes.forgotten))
            if ended:
                waiting.close_blocks(db, ended)

        try:
            asyncio.get_running_loop()
        except RuntimeError:
            self._writer.write(written)
            self._touched = touched - ended
            return None
        return self._commit(written, touched - ended)

    async def _commit(self, written: Callable[[PostgresDatabase], None], touched: set[int]) -> None:
        await self._writer.commit(written)
        self._touched = touched

    def read(self, request: ReadRequest) -> ReadAnswer | Awaitable[ReadAnswer]:
        def read(db: PostgresDatabase) -> ReadAnswer:
            return reading.read(db, request)

        try:
            return self._reader.read(read)
        except StoreError:
            if self._reader.is_there:
                raise
        return self._reader.read_when_there(read)

    def size(self) -> StoreSize:
        asked, size = self._size
        if not asked or time.monotonic() - asked > _SIZE_S:
            size = StoreSize(self._reads(_size), 0, None)
            self._size = time.monotonic(), size
        return size

    def shrink(self, pages: int) -> bool:
        """The server uses free space again by itself (autovacuum)."""
        return False

    def hasten(self) -> None:
        self._trouble.ending.set()
        self._claim.hasten()
        self._writer.hasten()

    def close(self) -> None:
        self._reader.close()
        self._claim.release()

    # --- inside ---

    def _reads(
        self, verb: Callable[Concatenate[Database, P], T], *args: P.args, **kw: P.kwargs
    ) -> T:
        return self._reader.read(lambda db: verb(db, *args, **kw))

    def _writes(
        self, verb: Callable[Concatenate[Database, P], T], *args: P.args, **kw: P.kwargs
    ) -> T:
        return self._writer.write(lambda db: verb(db, *args, **kw), verb)


def _newest(connection: Connection) -> Newest:
    """What `meta` and `turns` have."""
    newest = Newest()
    db = PostgresDatabase(connection, newest)
    db.patience_s = _OPENING_S
    found = db.rows("kept_values")
    meta = {name: some if number is None else number for name, number, some in found}
    newest.load(meta, db.rows("turns_behind", number=meta.get(FOLDED, 0)))
    return newest


def _identity(db: Database) -> int:
    identity = db.number(_IDENTITY)
    if not identity:
        identity = 1 + secrets.randbelow(2**53 - 1)
        db.keep({_IDENTITY: identity})
    return identity


def _numbers(db: Database) -> list[int]:
    return [next_number(db, *number) for number in NUMBERS]


def _workers(db: Database) -> list[tuple[str, ...]]:
    return list(db.rows("workers"))


def _size(db: Database) -> int:
    size: int = db.one("size")
    return size
