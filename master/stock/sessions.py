"""Connections of standard-library clients: what each has taken and put, and what it waits for."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Literal, NamedTuple

from queue_manager.server.connection import Peer

from ..broker.leases.lease import Lease, Session
from ..changes import QUEUE_RUN, Changes
from ..turn.answer import StockReply
from ..turn.steps import Step
from ..turn.turn import Turn


class Taken(NamedTuple):
    """A task that a client took: its lease, and its position in the lease's block."""

    lease: Lease
    position: int


@dataclass(frozen=True, slots=True)
class Round:
    """Tasks that a client took in a row, and the results that it has put since.

    held: the results, which wait for the others. by_task_done: they are calls of `task_done`.
    asks_since: since when it asks for more in vain (monotonic). refused: why its last put raised an
    error: the store's, or that of its value; a put that is tried again makes up for it.
    """

    taken: tuple[Taken, ...] = ()
    held: tuple[bytes, ...] = ()
    held_bytes: int = 0
    by_task_done: bool = False
    asks_since: float | None = None
    refused: Literal["", "store", "value"] = ""


@dataclass(slots=True)
class StockSession:
    """A standard-library connection.

    puts_without: how many results it put without a lease, so that `status` can name who takes and
    puts on different connections. note: what it did wrong last.
    """

    peer: Peer
    session: Session
    since: float
    round: Round = field(default_factory=Round)
    puts_without: int = 0
    note: str = ""

    def saved(self) -> Callable[[], None]:
        """What restores all that a turn changes of it."""
        return partial(self._restore, self.round, self.puts_without, self.note)

    def _restore(self, of: Round, puts_without: int, note: str) -> None:
        self.round, self.puts_without, self.note = of, puts_without, note

    @property
    def lease(self) -> Lease | None:
        """The oldest that it owes a result for."""
        return self.round.taken[0].lease if self.round.taken else None


@dataclass(slots=True)
class Waiting:
    """A client that waits in `get`. timers: when its time-out ends, and when patience does.

    asked: what its asking means for its round is on disk; before that it gets nothing.
    """

    stock: StockSession
    asked: bool = True
    timers: list[asyncio.TimerHandle] = field(default_factory=list)

    def has_asked(self) -> None:
        """What its asking means is on disk."""
        self.asked = True

    def stop(self) -> None:
        """It does not wait any more."""
        for timer in self.timers:
            timer.cancel()


@dataclass(slots=True)
class Joining:
    """A client that waits in `join` until the tasks up to `last_task` have ended.

    reply: its answer. open: how many have not. dead: how many are dead letters; those wait again
    when they are retried.
    """

    reply: StockReply
    last_task: int
    open: int
    dead: int

    def look(self, changes: Changes, unended: int) -> bool:
        """Whether all of them have ended, after what a turn has changed.

        unended: of all tasks of the queue run; dead letters may have been deleted as too old.
        """
        for _, tasks in changes.revived.get(QUEUE_RUN, ()):
            again = self.dead if tasks is None else sum(task <= self.last_task for task in tasks)
            self.open, self.dead = self.open + again, self.dead - again
        for outcome in changes.outcomes:
            if outcome.run == QUEUE_RUN and outcome.block:
                last = min(outcome.first + outcome.stop - 1, self.last_task)
                self.open -= max(0, last + 1 - (outcome.first + outcome.start))
        died = sum(
            stray.run == QUEUE_RUN and stray.state == "dead" and stray.task <= self.last_task
            for stray in changes.tracked.values()
        )
        self.open, self.dead = self.open - died, self.dead + died
        return self.open <= 0 or not unended

    def pruned(self, tasks: Sequence[int]) -> None:
        """Dead letters have been deleted."""
        self.dead -= sum(task <= self.last_task for task in tasks)


class StockSessions:
    """The connections of standard-library clients, made when they first call a queue.

    held_bytes: of the results of all rounds that are not whole.
    """

    def __init__(self, turn: Turn, next_id: Callable[[], int]) -> None:
        self._turn = turn
        self._next_id = next_id
        self.all: dict[Peer, StockSession] = {}
        self.held_bytes = 0

    def saved(self) -> Callable[[], None]:
        """What restores the size of the results that are held."""
        return partial(self._restore, self.held_bytes)

    def _restore(self, held_bytes: int) -> None:
        self.held_bytes = held_bytes

    def of(self, peer: Peer) -> StockSession:
        """The session of a connection."""
        stock = self.all.get(peer)
        if stock is None:
            session = Session(self._next_id(), 0, stock=True)
            stock = self.all[peer] = StockSession(peer, session, time.monotonic())
            self._turn.broker.add_session(session)
        return stock

    def drop(self, peer: Peer) -> None:
        """A connection has ended: its tasks are offered again at once."""
        stock = self.all.pop(peer, None)
        if stock is not None:
            step = Step(
                partial(self._drop, stock), retry_on_store_error=True, of=peer, lasting=True
            )
            self._turn.post(step)

    def set_round(self, stock: StockSession, of: Round) -> None:
        """Stage how a round stands."""
        self._turn.undo.keep(self)
        self._turn.undo.keep(stock)
        self.held_bytes += of.held_bytes - stock.round.held_bytes
        stock.round = of

    def _drop(self, stock: StockSession, now: float, wall: float) -> None:
        self.set_round(stock, Round())
        self._turn.broker.drop_session(stock.session, now, wall)
