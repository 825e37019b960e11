"""Transactions, one at a time, on the connection that owns the database.

Owns what becomes of one whose connection breaks: it waits for the database, and looks the commit up
by its number, so nobody guesses. Knows nothing of what is written.
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any, NamedTuple, TypeVar

import psycopg
from psycopg import errors

from queue_manager.errors import StoreError

from ..database import PostgresDatabase
from ..failing import is_broken, unwritten
from ..ownership.claim import Claim
from ..turns import Newest, Turn
from .connection import close, one_line
from .pipeline import Call
from .trouble import Trouble

T = TypeVar("T")
Write = Callable[[PostgresDatabase], T]

WHO = "writer"

_TRIES = 4
"""How often a transaction is tried whose connection broke before it was committed. One that breaks
the server each time must not be tried for ever."""

_PATIENCE_S = 5.0
"""How long a transaction may take for which the loop waits."""

_TOLD_S = 1.5
"""How long a commit is on its way before the database counts as away. A network that drops what it
gets closes nothing."""

_LAST_S = 3.0
"""How long a commit may take when the master ends."""


class _Unsure(NamedTuple):
    """A transaction of `write` whose answer was lost. what: as given there. result: of it."""

    turn: Turn
    what: object
    result: Any


class Writer:
    """Transactions that are numbered. newest: the values as of the last commit."""

    def __init__(self, claim: Claim, newest: Newest, trouble: Trouble) -> None:
        self._claim = claim
        self._newest = newest
        self._trouble = trouble
        self._number = newest.number
        self._db = PostgresDatabase(claim.connection, newest)
        self._away = ""
        self._last = 0
        self._mutex = threading.Lock()
        self._unsure: _Unsure | None = None
        self._owed: dict[object, Any] = {}

    async def commit(self, write: Write[T]) -> T:
        """Have a transaction while the loop goes on. It waits for a database that is away.

        Raises StoreError; nothing of the transaction is on disk then.
        """
        number = self._next()
        for _ in range(_TRIES):
            if self._away:
                await asyncio.to_thread(self._reconnect)
            turn = Turn(self._newest, number)
            done: list[T] = []
            try:
                calls = self._write(turn, write, done)
                ended = self._db.pipeline.run(calls)
                self._note_end()
                await self._answered(ended)
            except Exception as error:
                self._fail(error)
            else:
                self._succeed(turn)
                return done[0]
            await asyncio.to_thread(self._reconnect)
            is_there = await asyncio.to_thread(self._has, number)
            if done and is_there:
                turn.taken()
                self._last = number
                return done[0]
        raise StoreError(f"the connection broke in each of {_TRIES} tries: {self._trouble.last}")

    async def _answered(self, ended: Awaitable[object]) -> None:
        """Wait for the end of a commit. One that takes long is told of: the database is away."""
        line = f"the database is away: it has not answered a commit for {_TOLD_S:g} s"
        tell = partial(self._trouble.begin, WHO, line, before_s=_TOLD_S)
        late = asyncio.get_running_loop().call_later(_TOLD_S, tell)
        try:
            await ended
        finally:
            late.cancel()

    def hasten(self) -> None:
        """The master ends: a server that does not answer is waited for a moment alone."""
        self._note_end()

    def _note_end(self) -> None:
        if self._trouble.ending.is_set():
            self._db.pipeline.give_up_in(_LAST_S)

    def write(self, write: Write[T], what: object = None) -> T:
        """Have a transaction, and wait for it. It does not wait for a database that is away.

        what: names a transaction that is called again after an error. If the lost one took place,
        the next one of that name has its result, and does nothing.

        Raises StoreError.
        """
        if self._away:
            raise StoreError(self._away)
        if what in self._owed:
            owed: T = self._owed.pop(what)
            return owed
        turn = Turn(self._newest, self._next())
        done: list[T] = []
        try:
            self._db.pipeline.run_now(self._write(turn, write, done), _PATIENCE_S)
        except Exception as error:
            self._fail(error)
            self._unsure = _Unsure(turn, what, done[0]) if done else None
            threading.Thread(target=self._come_back, name="writer", daemon=True).start()
            raise StoreError(self._away) from error
        self._succeed(turn)
        return done[0]

    def _next(self) -> int:
        self._number = max(self._number, self._newest.number) + 1
        return self._number  # never used again, whatever becomes of this transaction

    def _write(self, turn: Turn, write: Write[T], done: list[T]) -> list[Call]:
        """The calls of a transaction. done: gets what `write` returns."""
        db = self._db
        db.begin(turn)
        done.append(write(db))
        if turn.is_fold_due:
            _fold(db, turn)
        values = {"number": turn.number, "epoch": self._claim.epoch, "content": turn.row()}
        return db.end(db.call("insert_turn", None, values))

    def _succeed(self, turn: Turn) -> None:
        turn.taken()
        self._last = turn.number
        self._db.committed(self._newest)
        self._trouble.end(WHO)

    def _fail(self, error: Exception) -> None:
        """Undo a transaction. It returns if the connection is of no use any more."""
        connection = self._db.pipeline.connection
        if isinstance(error, psycopg.Error) and is_broken(connection, error):
            self._away = f"the database is away: {one_line(error)}"
            self._trouble.begin(WHO, self._away)
            close(connection)
            return
        self._db.leave(self._newest)
        self._trouble.end(WHO)
        if isinstance(error, errors.DivisionByZero):  # the fence: `insert_turn`
            raise self._claim.fenced_off() from error
        raise unwritten(error) from error

    def _reconnect(self) -> None:
        """Connect again. Once this session owns the database, the one before has ended: what it
        has not committed by then it never will.
        """
        with self._mutex:
            while self._away:
                db = PostgresDatabase(self._claim.reclaim(), self._newest)
                with contextlib.suppress(psycopg.Error):  # it has broken again
                    self._compare(db)
                    self._look_up(db)
                    self._db, self._away = db, ""
            self._trouble.end(WHO)

    def _come_back(self) -> None:
        """Connect again though nobody commits. A commit says so if that can't be."""
        with contextlib.suppress(StoreError):
            self._reconnect()

    def _look_up(self, db: PostgresDatabase) -> None:
        """Find out what became of a transaction of `write`."""
        unsure = self._unsure
        if unsure is not None and self._is_there(db, unsure.turn.number):
            unsure.turn.taken()
            self._last = unsure.turn.number
            if unsure.what is not None:
                self._owed[unsure.what] = unsure.result
        self._unsure = None

    def _is_there(self, db: PostgresDatabase, number: int) -> bool:
        return db.one("has_turn", number=number, epoch=self._claim.epoch) is not None

    def _compare(self, db: PostgresDatabase) -> None:
        """Give up if the server lacks a commit that was acknowledged: this master knows more than
        it then, and what it wrote from now on would not fit. It starts again with what is there.

        Raises OwnershipLostError, or psycopg.Error.
        """
        if not self._last or db.one("any_turn", number=self._last) is not None:
            return
        self._claim.lose(
            "the database lacks commits that were acknowledged: it is a replica that lagged, an old"
            " primary or a restored copy"
        )
        self._claim.check()

    def _has(self, number: int) -> bool:
        """Whether a commit took place. Raises StoreError."""
        while True:
            try:
                return self._is_there(self._db, number)
            except psycopg.Error as error:
                self._fail(error)
                self._reconnect()


def _fold(db: PostgresDatabase, turn: Turn) -> None:
    """Write all values that are newer than `meta` and `runs` there."""
    content = turn.fold()
    values = content.kept.values()
    numbers = [value if isinstance(value, int) else None for value in values]
    some = [None if isinstance(value, int) else value for value in values]
    db.run("fold_kept", names=list(content.kept), numbers=numbers, bytes=some)
    db.write_counts(content.counts)
    db.run("drop_turns", number=turn.number)
