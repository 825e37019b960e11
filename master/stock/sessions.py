"""Connections of standard-library clients: the one lease of each, and how it is settled."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass

from queue_manager.peer import Peer

from ..broker.lease import Lease, Session
from ..changes import QUEUE_RUN, Changes
from ..turn import Step, Turn


@dataclass(slots=True)
class StockSession:
    """A standard-library connection. taken: tasks since its last put; lease: the open one.

    puts_without: how many results it put without a lease, so that `status` can name who takes and
    puts on different connections. note: what it did wrong last.
    """

    peer: Peer
    session: Session
    since: float
    taken: int = 0
    lease: Lease | None = None
    puts_without: int = 0
    note: str = ""


@dataclass(slots=True)
class Waiting:
    """A client that waits in `get`. timer: when its time-out ends."""

    stock: StockSession
    timer: asyncio.TimerHandle | None

    def stop(self) -> None:
        """It does not wait any more."""
        if self.timer is not None:
            self.timer.cancel()


@dataclass(slots=True)
class Joining:
    """A client that waits in `join` until the tasks up to `last_task` have ended.

    open: how many have not. dead: how many are dead letters: they wait again when they are retried.
    """

    last_task: int
    open: int
    dead: int

    def look(self, changes: Changes) -> bool:
        """Whether all of them have ended, after what a turn has changed."""
        if QUEUE_RUN in changes.revived:
            self.open, self.dead = self.open + self.dead, 0
        for outcome in changes.outcomes:
            if outcome.run == QUEUE_RUN and outcome.block:
                last = min(outcome.first + outcome.stop - 1, self.last_task)
                self.open -= max(0, last + 1 - (outcome.first + outcome.start))
        died = sum(
            stray.run == QUEUE_RUN and stray.state == "dead" and stray.task <= self.last_task
            for stray in changes.strays.values()
        )
        self.open, self.dead = self.open - died, self.dead + died
        return self.open <= 0


class StockSessions:
    """The connections of standard-library clients, made when they first call a queue."""

    def __init__(self, turn: Turn, next_id: Callable[[], int]) -> None:
        self._turn = turn
        self._next_id = next_id
        self.all: dict[Peer, StockSession] = {}

    def of(self, peer: Peer) -> StockSession:
        """The session of a connection."""
        stock = self.all.get(peer)
        if stock is None:
            session = Session(self._next_id(), 0, stock=True)
            stock = self.all[peer] = StockSession(peer, session, time.monotonic())
            self._turn.broker.add_session(session)
        return stock

    def drop(self, peer: Peer) -> None:
        """A connection has ended: its lease is offered again at once."""
        stock = self.all.pop(peer, None)
        if stock is not None:
            session = stock.session
            drop = self._turn.broker.drop_session
            self._turn.post(
                Step(lambda now, wall: drop(session, now, wall), waits=True, of=peer, lasting=True)
            )


def settle(turn: Turn, stock: StockSession, results: bytes, now: float) -> None:
    """Record a result for the open lease of a connection, if it has one."""
    lease = stock.lease
    turn.broker.change(stock, lease=None, taken=0)
    if lease is not None:
        ((position, stop),) = lease.open
        turn.broker.done(stock.session, lease.number, position, stop, results, now - lease.since)
