"""A master that stands by: it looks at the active one until it can take over.

Runs in a thread of its own. Opens a writer's connection only to take over.
"""

from __future__ import annotations

import contextlib
import logging
import threading
import time

import psycopg

from queue_manager.errors import StoreError
from queue_manager.wire.masters import MasterStatus

from ..link.connection import Connection, close, one_line
from ..schema.migration import check_version
from .claim import Claim, take
from .lease import Lease, Look, Verdict
from .me import PATIENCE_S, SQL, Me
from .roster import Company, beat, ensure_tables, one, read_roster
from .watch import BEAT_S, Watch

log = logging.getLogger("quartermaster.master")

LOOK_S = 0.25
_TAKE_S = 0.5
"""How long a lock is tried whose session is about to end."""

_AGAIN_S = 0.02
_AGAIN_TOLD_S = 60.0
"""How long after a line about the database it comes once more, for whoever reads the end alone."""


class Standby:
    """Waits for the ownership. `wait` runs in one thread, `stop` in any.

    told: what the log was told last about the server; masters: as they were read last.
    """

    def __init__(self, me: Me) -> None:
        self._me = me
        self._ended = threading.Event()
        self._lease = Lease()
        self._company = Company(me)
        self._connection: Connection | None = None
        self._beat_at = 0.0
        self._told, self._told_at = "", 0.0
        self._other_key, self._key_told_at = "", 0.0
        self._is_new = True
        self.masters: list[MasterStatus] = []

    @property
    def sees_another(self) -> bool:
        """Whether another master is the active one, as far as this one knows."""
        return not self._told and any(master.role == "active" for master in self.masters)

    def stop(self) -> None:
        """Have `wait` return without a claim, within a look."""
        self._ended.set()

    def wait(self) -> tuple[Claim, Watch] | None:
        """Wait until this master is the active one. None: it was stopped.

        A server that is away is waited for; the log says so each minute. The watch has not begun.
        """
        while not self._ended.is_set():
            try:
                claim = self._step()
            except (psycopg.Error, StoreError) as error:
                self._lose_connection(one_line(error))
                self._ended.wait(LOOK_S)
                continue
            if claim is not None:
                return claim, self._watch(claim)
        self._leave()
        return None

    def _step(self) -> Claim | None:
        """Look once, act, and wait until the next look or the word of one who leaves."""
        connection = self._connected()
        now = time.monotonic()
        if now - self._beat_at >= BEAT_S:
            beat(connection, self._me, None)
            rows = read_roster(connection, self._me)
            self._company.note(rows, now)
            self.masters = [status for _, status in rows]
            self._beat_at = now
            self._compare_keys(connection, now)
        row = connection.execute(SQL["look"], self._me.values(None)).fetchone()
        assert row is not None
        look = Look(*row)
        verdict = self._lease.judge(look, time.monotonic())
        if verdict is not Verdict.WAIT and not self._other_key:
            claim = self._take(look, verdict)
            if claim is not None:
                return claim
        for _ in connection.notifies(timeout=LOOK_S, stop_after=1):
            pass
        return None

    def _compare_keys(self, connection: Connection, now: float) -> None:
        """Find out whether the active master has another authkey. The clients of that one could
        not use this one: so this one takes nothing over until somebody starts it again.
        """
        row = connection.execute(SQL["other_keys"], self._me.values(None)).fetchone()
        if row is not None:
            self._other_key = str(row[0])
        if self._other_key and now - self._key_told_at > _AGAIN_TOLD_S:
            self._key_told_at = now
            log.error(
                "the authkey of %s is another one: this master takes nothing over; give it the key"
                " of the others (QUEUE_AUTHKEY or QUEUE_AUTHKEY_FILE), and start it again",
                self._other_key,
            )

    def _connected(self) -> Connection:
        if self._connection is None:
            connection = self._me.connect("watch", None, PATIENCE_S)
            self._connection = connection
            ensure_tables(connection, self._me)
            address = self._me.address  # who can't read the store must not take it
            check_version(connection, address.schema, address.shown)
            connection.execute("SET synchronous_commit = off")
            connection.execute(f"LISTEN {self._me.channel}")
            if not self._is_new:
                self._lease.reconnected(time.monotonic())
            if self._told:
                log.info("the database is back")
            self._told, self._is_new, self._beat_at = "", False, 0.0
        return self._connection

    def _lose_connection(self, why: str) -> None:
        close(self._connection)
        self._connection = None
        now = time.monotonic()
        if not self._told or now - self._told_at > _AGAIN_TOLD_S:
            self._told, self._told_at = why, now
            log.warning("%s; this master waits for the database", why)

    def _take(self, look: Look, verdict: Verdict) -> Claim | None:
        """Try to become the owner. None: another one was faster, or still has the lock."""
        writer = self._me.connect("", None, PATIENCE_S)
        try:
            if verdict is Verdict.END:
                log.warning("the active master has not been seen for 3 s: ending its session")
                session = {"pid": look.holder, "start": look.held_since}
                writer.execute(SQL["end_session"], session)
            if self._lock(writer):
                return take(self._me, writer)
        except BaseException:
            close(writer)
            raise
        close(writer)
        return None

    def _lock(self, writer: Connection) -> bool:
        until = time.monotonic() + _TAKE_S
        while not one(writer, "lock", self._me, None):
            if time.monotonic() > until or self._ended.wait(_AGAIN_S):
                return False
        return True

    def _watch(self, claim: Claim) -> Watch:
        """The watch of the active master, on this connection, under its new name."""
        connection, self._connection = self._connection, None
        session = {"session": self._me.watch_session(claim.epoch)}
        try:
            assert connection is not None
            connection.execute("UNLISTEN *")
            connection.execute(SQL["call_session"], session)
        except psycopg.Error:
            close(connection)
            connection = None
        return Watch(claim, connection, self._company)

    def _leave(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            with contextlib.suppress(psycopg.Error):
                connection.execute(SQL["leave"], self._me.values(None))
        close(connection)
