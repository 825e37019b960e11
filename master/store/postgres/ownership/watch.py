"""The watch of the active master: a thread that renews its lease and reads who the others are.

It has a connection of its own, so a long commit delays no beat.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

import psycopg

from queue_manager.errors import StoreError
from queue_manager.wire.masters import MasterStatus

from ..link.connection import Connection, close
from .claim import Claim
from .lease import LEASE_S
from .me import PATIENCE_S
from .roster import COMPANY_S, Company, Row, beat, read_roster

BEAT_S = 1.0
_RETRY_S = 0.2
_ALONE_S = 0.25
"""How often a master that knows of no other looks for one.

It may lose the database at any time, and has to know then that somebody else goes on."""


class Watch:
    """Renews the lease of a claim until `stop`.

    connection: that of the standby, which goes on; None: a new one. company: whom the standby has
    seen.
    """

    def __init__(self, claim: Claim, connection: Connection | None, company: Company) -> None:
        self._claim, self._connection, self._company = claim, connection, company
        claim.on_release = self.stop
        self._ended = threading.Event()
        self._renewed = self._read = time.monotonic()
        self._roster: list[Row] = []
        self._thread = threading.Thread(target=self._run, name="watch", daemon=True)
        self._clock: Callable[[], float] = time.monotonic

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def stop(self) -> None:
        """End, so that no beat comes after the claim's release. Waits for one under way."""
        self._ended.set()
        if self._thread.ident is not None:  # it has begun
            self._thread.join(PATIENCE_S)

    def masters(self) -> list[MasterStatus]:
        """All masters as they were read last, the active one first."""
        age_s = self._clock() - self._read
        return [
            MasterStatus(m.name, m.address, m.active, m.since, m.lag_s + age_s, m.version)
            for _, m in self._roster
        ]

    def look(self, now: float) -> None:
        """Give the claim up if the lease has run out and another master lives, which takes over.

        One that was there a minute before counts, also if it has left since. Else those who are
        connected here would stay with a master that can't write, while another one that has just
        come back can.

        now: monotonic seconds. Whoever calls this does not wait for the database. A master that is
        alone waits instead: nobody else would go on.
        """
        late_s = now - self._renewed
        if late_s < LEASE_S:
            return
        others = self._others(LEASE_S)
        # The roster knows two masters by one name apart, the company does not.
        maybe = others or self._others(COMPANY_S) or self._company.names
        if maybe:
            stands = "stands by" if others else "may stand by"
            self._claim.lose(
                f"it has not reached the database for {late_s:.1f} s, and {maybe[0]} {stands}"
            )

    def _others(self, seen_s: float) -> list[str]:
        """The names of the masters that were seen so many seconds before the last reading."""
        me = self._claim.me.instance
        return [m.name for key, m in self._roster if key != me and m.lag_s <= seen_s]

    def _run(self) -> None:
        while not self._ended.is_set():
            try:
                self._beat()
                self._rest()
            except (psycopg.Error, StoreError):
                close(self._connection)
                self._connection = None
                self._ended.wait(_RETRY_S)
        close(self._connection)

    def _rest(self) -> None:
        """Wait until the next beat. A master that knows of no other looks for one meanwhile."""
        until = self._clock() + BEAT_S
        while (left_s := until - self._clock()) > 0:
            alone = not self._others(LEASE_S)
            if self._ended.wait(min(left_s, _ALONE_S) if alone else left_s):
                return
            if alone and self._connection is not None:
                self._read_roster(self._connection)

    def _read_roster(self, connection: Connection) -> None:
        self._roster = read_roster(connection, self._claim.me)
        self._read = self._clock()
        self._company.note(self._roster, self._read)

    def _beat(self) -> None:
        claim = self._claim
        if self._connection is None:
            self._connection = claim.connect("watch", PATIENCE_S)
            # A beat need not be on disk: it is worth nothing after a crash of the server.
            self._connection.execute("SET synchronous_commit = off")
        began = self._clock()
        if not claim.can_write(began):
            return  # only the writer is cut off: let another master try
        epoch = beat(self._connection, claim.me, claim.epoch)
        if epoch != claim.epoch:
            claim.lose(f"another master has taken over: epoch {epoch}, this one had {claim.epoch}")
            self._ended.set()
            return
        self._renewed = began
        self._read_roster(self._connection)
