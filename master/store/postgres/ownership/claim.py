"""The active master's hold on the schema: its lock and its epoch.

Owns the writer's connection from take-over to release. Knows nothing of what is written.
"""

from __future__ import annotations

import contextlib
import random
import threading
import time
from collections.abc import Callable, Iterator

import psycopg

from queue_manager.errors import OwnershipLostError, StoreError

from ..link.connection import Connection, close, cut
from .lease import LEASE_S
from .me import PATIENCE_S, SQL, Me
from .roster import beat, one


class Claim:
    """This master is the active one, of this epoch.

    The engine's writer thread uses `writer` and `reclaim`. All else may be called by any thread.

    Attributes:
        me: this master. epoch: its number as the owner, which grows with each take-over.
        writer: the connection that holds the lock, in autocommit. It has no limit of time.
        lost: why this master is not the active one any more; empty while it is.
        on_lost: called once with that line, by whichever thread finds out.
        on_release: called before the schema is given up: no beat may come after that.
    """

    def __init__(self, me: Me, writer: Connection, epoch: int) -> None:
        self.me, self.epoch = me, epoch
        self.writer: Connection | None = writer
        self.lost = ""
        self.on_lost: Callable[[str], None] = lambda why: None
        self.on_release: Callable[[], None] = lambda: None
        self._mutex = threading.Lock()
        self._over = threading.Event()
        self._writing_since = time.monotonic()
        self._is_writing = True
        self._is_hurried = False

    @property
    def connection(self) -> Connection:
        """The writer's. Raises OwnershipLostError when there is none any more."""
        writer = self.writer
        if writer is None:
            raise OwnershipLostError(self.lost or "this master has released the queue")
        return writer

    def connect(self, what: str, patience_s: float | None = None) -> Connection:
        """One more connection of this master, such as its reader's. Raises StoreError."""
        return self.me.connect(what, self.epoch, patience_s)

    def check(self) -> None:
        """Raise OwnershipLostError if this master is not the active one any more."""
        if self.lost:
            raise OwnershipLostError(self.lost)

    def fenced_off(self) -> OwnershipLostError:
        """The error after a commit that the fence has refused."""
        self.lose("another master has taken over: the database refused a commit of this one")
        return OwnershipLostError(self.lost)

    def lose(self, why: str) -> None:
        """Note that this master is not the active one any more. Only the first reason counts.

        A thread that waits for the writer's connection gets an error.
        """
        with self._mutex:
            if self.lost or self._over.is_set():
                return
            self.lost = why
        self._over.set()
        cut(self.writer)
        self.on_lost(why)

    def can_write(self, now: float) -> bool:
        """Whether the lock is held, or was a moment ago: what the lease tells the others."""
        return self._is_writing or now - self._writing_since < LEASE_S

    def reclaim(self) -> Connection:
        """A new writer's connection that holds the lock, after the old one was lost.

        Waits for as long as the server is away. The engine says so in the log.

        Raises:
            OwnershipLostError: another master has taken over, or this one has given up.
            StoreError: `hasten` was called, and the server is away.
        """
        close(self.writer)
        self.writer = None
        self._writing_since, self._is_writing = time.monotonic(), False
        for pause_s in _pauses():
            self.check()
            try:
                found = self._retaken()
            except OwnershipLostError:
                raise
            except (StoreError, psycopg.Error):
                found = None
            if found is not None:
                return self._is_back(found)
            if self._is_hurried:
                raise StoreError("the database is away, and this master ends")
            if self._over.wait(pause_s):
                self.check()
                raise OwnershipLostError("this master has released the queue")
        raise AssertionError  # the pauses have no end

    def hasten(self) -> None:
        """This master ends: a server that is away is waited for no longer."""
        self._is_hurried = True

    def _is_back(self, writer: Connection) -> Connection:
        with self._mutex:
            self.writer = writer
        if self._over.is_set():
            close(writer)
            self.check()
            raise OwnershipLostError("this master has released the queue")
        self._writing_since, self._is_writing = time.monotonic(), True
        return writer

    def _retaken(self) -> Connection | None:
        """A connection with the lock; None if somebody else has it at the moment."""
        writer = self.me.connect("", self.epoch, PATIENCE_S)
        try:
            self._compare(writer)
            if not one(writer, "lock", self.me, self.epoch):
                # The server has not noticed yet that the old connection is dead.
                values = {**self.me.values(self.epoch), "session": self.me.session(self.epoch)}
                writer.execute(SQL["end_own"], values)
                if not one(writer, "lock", self.me, self.epoch):
                    close(writer)
                    return None
            self._compare(writer)
        except BaseException:
            close(writer)
            raise
        writer.patience_s = None
        return writer

    def _compare(self, connection: Connection) -> None:
        epoch = one(connection, "epoch", self.me, self.epoch)
        if epoch != self.epoch:
            self.lose(f"another master has taken over: epoch {epoch}, this one had {self.epoch}")
            self.check()

    def release(self) -> None:
        """Give the schema up in good order: a standby takes it at once. Nothing is raised.

        The writer thread has ended, or does nothing any more.
        """
        self.on_release()
        with self._mutex:
            self._over.set()
            writer, self.writer = self.writer, None
        if writer is None or self.lost:
            close(writer)
            return
        with contextlib.suppress(psycopg.Error):
            writer.patience_s = PATIENCE_S
            values = self.me.values(self.epoch)
            with writer.pipeline():
                writer.execute("SET synchronous_commit = off")  # nobody waits for a disk
                writer.execute(SQL["unlock"], values)
                writer.execute(SQL["leave"], values)
                writer.execute(SQL["tell"], values)
        close(writer)


def take(me: Me, writer: Connection) -> Claim:
    """Become the owner, with a connection that has the lock. Raises psycopg.Error."""
    values = me.values(None)
    with writer.transaction():
        row = writer.execute(SQL["take"], values).fetchone()
        assert row is not None
        epoch: int = row[0]
        beat(writer, me, epoch)
        writer.execute(SQL["forget"], values)
    writer.execute(SQL["call_session"], {"session": me.session(epoch)})
    writer.patience_s = None
    return Claim(me, writer, epoch)


def _pauses() -> Iterator[float]:
    """Seconds between attempts: 0.05 to 0.5, with jitter."""
    pause_s = 0.05
    while True:
        yield pause_s * random.uniform(0.5, 1.0)
        pause_s = min(2 * pause_s, 0.5)
