"""The connection that reads. It comes again by itself when it breaks; nobody waits long for it."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable
from typing import TypeVar

import msgspec
import psycopg

from queue_manager.errors import StoreError

from ...relational.damage import DAMAGE, damaged
from ..database import PostgresDatabase
from ..failing import is_broken
from ..turns import Newest
from .connection import Connection, close, one_line
from .trouble import Trouble

T = TypeVar("T")
Read = Callable[[PostgresDatabase], T]

WHO = "reader"

AGAIN_S = 0.25
"""How long after a connection was not to be had it is tried again."""

_AT_ONCE_S = 0.5
"""How long a reading waits for a new connection after an administrator has ended the last one."""


class Reader:
    """Reads, one after the other. open: makes a connection, or raises StoreError."""

    def __init__(self, open: Callable[[], Connection], newest: Newest, trouble: Trouble) -> None:
        self._open = open
        self._newest = newest
        self._trouble = trouble
        self._there = threading.Event()
        self._db = PostgresDatabase(open(), newest)
        self._there.set()

    def read(self, read: Read[T]) -> T:
        """Read, and wait for it. Raises StoreError: at once if the database is away."""
        for is_last in (False, True):
            if not self._there.wait(0):
                raise StoreError(self._trouble.line or self._trouble.last)
            db = self._db
            try:
                return read(db)
            except psycopg.Error as error:
                db.end_streams()
                self._fail(db, error, is_last)
            except (OverflowError, UnicodeError, ValueError) as error:
                db.end_streams()
                if isinstance(error, msgspec.MsgspecError):
                    raise StoreError(_unread(damaged(error))) from error
                raise StoreError(_unread(str(error))) from error
            except DAMAGE as error:
                db.end_streams()
                raise StoreError(_unread(damaged(error))) from error
        raise AssertionError

    async def read_when_there(self, read: Read[T]) -> T:
        """Read as soon as the database is there. Raises StoreError: the master ends."""
        while not self._there.is_set():
            if self._trouble.ending.is_set():
                raise StoreError(self._trouble.line)
            await asyncio.sleep(0.02)
        return self.read(read)

    @property
    def is_there(self) -> bool:
        """Whether there is a connection."""
        return self._there.is_set()

    def close(self) -> None:
        """Close the connection, and seek no other one."""
        self._trouble.ending.set()
        close(self._db.pipeline.connection)

    def _fail(self, db: PostgresDatabase, error: psycopg.Error, is_last: bool) -> None:
        """A reading has failed. It returns if another connection is there already."""
        connection = db.pipeline.connection
        line = _unread(one_line(error))
        if not is_broken(connection, error):
            raise StoreError(line) from error
        close(connection)
        self._there.clear()
        self._trouble.begin(WHO, line)
        threading.Thread(target=self._reconnect, name="reader", daemon=True).start()
        if is_last or not self._there.wait(_AT_ONCE_S):
            raise StoreError(line) from error

    def _reconnect(self) -> None:
        while not self._trouble.ending.is_set():
            try:
                connection = self._open()
            except StoreError as error:
                self._trouble.begin(WHO, str(error))
                time.sleep(AGAIN_S)
                continue
            self._db = PostgresDatabase(connection, self._newest)
            self._trouble.end(WHO)
            self._there.set()
            return


def _unread(why: str) -> str:
    return f"can't read the database: {why}"
