"""What a standard-library client says of the tasks that it took, by the order of its calls alone.

A round is k takes in a row, then k puts in a row: only then it is certain which result is of which
task, and all of them are recorded, in their order, in one commit. Nothing else settles a task. The
rules are those of docs/protocol.md, "Rounds".
"""

from __future__ import annotations

import logging
from dataclasses import replace
from functools import partial
from typing import Literal

from queue_manager import codec

from ..broker.leases.lease import Lease
from ..changes import Mishap
from ..observe.failures import FailureLog
from ..turn.turn import Turn
from .sessions import Round, StockSession, StockSessions, Taken

log = logging.getLogger("quartermaster.master")

Ack = Literal["put", "next"]

SKIPPED = "took another task without a result"
UNEVEN = "put fewer results than it had taken tasks: nobody can tell which one is of which task"
REFUSED = "went on after its result was refused"
TOO_MUCH = "holds too much: put results after fewer tasks"

ROUND_TASKS = 1_024
"""So many tasks may be taken before the first put."""

HELD_BYTES, ALL_HELD_BYTES = 16 * 1024 * 1024, 64 * 1024 * 1024
"""Results that wait for the others of their round: of one client, and of all together."""

PATIENCE_S = 30.0
"""How long a client may ask in vain while it owes results; then it will not put any."""


class Rounds:
    """The rounds of all clients. `next`: a get settles the task before it, without a result."""

    def __init__(
        self, turn: Turn, sessions: StockSessions, failures: FailureLog, ack: Ack = "put"
    ) -> None:
        self._turn = turn
        self._sessions = sessions
        self._failures = failures
        self._ack = ack

    def took(self, stock: StockSession, lease: Lease) -> None:
        """A task was given to a client. Not staged: leases are given behind the commit."""
        ((position, _),) = lease.open
        taken = (*stock.round.taken, Taken(lease, position))
        stock.round = replace(stock.round, taken=taken, asks_since=None)

    def asks(self, stock: StockSession, now: float) -> float | None:
        """A client asks for a task. Returns for how long it may do so in vain, None for ever."""
        if not stock.round.taken or stock.round.refused or self._ack == "next":
            return None
        if stock.round.asks_since is None:
            stock.round = replace(stock.round, asks_since=now)
            return PATIENCE_S
        return max(0.0, stock.round.asks_since + PATIENCE_S - now)

    # --- what is staged ---

    def next(self, stock: StockSession, now: float, wall: float) -> None:
        """Stage what it means for the round that its client asks for another task."""
        of = stock.round
        if not of.taken:
            return
        if of.refused:
            missing = len(of.taken) - len(of.held) if of.refused == "value" else 0
            self._give_up(stock, missing, REFUSED, REFUSED, now, wall)
        elif of.held:
            log.warning("%s %s; they are offered again", stock.peer.name, UNEVEN)
            self._give_up(stock, len(of.taken) - len(of.held), SKIPPED, UNEVEN, now, wall)
        elif self._ack == "next":
            self._settle(stock, (codec.NOTHING,) * len(of.taken), now)
        elif self._waited(of, now) or len(of.taken) >= ROUND_TASKS:
            self._give_up(stock, len(of.taken), SKIPPED, SKIPPED, now, wall)

    def put(self, stock: StockSession, results: bytes, now: float, wall: float) -> str:
        """Stage a result that a client has put. Returns why not, one line; empty if it was."""
        of = stock.round
        if not of.taken or of.by_task_done:
            self._turn.undo.keep(stock)
            stock.puts_without += 1
            self._turn.broker.deliver(results)
            return ""
        return self._hold(stock, replace(of, asks_since=None, refused=""), results, now, wall)

    def refused(self, stock: StockSession, why: Literal["store", "value"]) -> None:
        """A put raised an error at the client. Not staged: nothing of it was.

        A client that goes on with another task has dropped that result: its next get gives the
        round up, before the next task could be mixed up with it. Nobody is charged for the store.
        """
        if stock.round.taken:
            stock.round = replace(stock.round, refused=why)

    def task_done(self, stock: StockSession, now: float, wall: float) -> None:
        """Stage a `task_done`: nothing where a round has results, else a result that is none."""
        of = stock.round
        if of.taken and (of.by_task_done or not of.held):
            self._hold(stock, replace(of, by_task_done=True), codec.NOTHING, now, wall)

    def consume(self, stock: StockSession, lease: Lease, now: float) -> None:
        """Stage that a stop value was taken: it is done, and has no result."""
        for position, stop in list(lease.open):
            args = (lease.number, position, stop, codec.NOTHING, now - lease.since)
            self._turn.broker.done(stock.session, *args)

    # --- inside ---

    def _hold(self, stock: StockSession, of: Round, results: bytes, now: float, wall: float) -> str:
        held = (*of.held, results)
        if len(held) == len(of.taken):
            self._settle(stock, held, now)
            return ""
        size = len(results)
        if of.held_bytes + size > HELD_BYTES or self._sessions.held_bytes + size > ALL_HELD_BYTES:
            self._give_up(stock, len(of.taken), TOO_MUCH, TOO_MUCH, now, wall)
            return f"this connection {TOO_MUCH} (its tasks are offered again)"
        of = replace(of, held=held, held_bytes=of.held_bytes + size)
        self._sessions.set_round(stock, of)
        return ""

    def _settle(self, stock: StockSession, results: tuple[bytes, ...], now: float) -> None:
        """Record a result for each task of the round, in their order."""
        taken = stock.round.taken
        took_s = (now - taken[0].lease.since) / len(taken)
        self._sessions.set_round(stock, Round())
        for (lease, position), result in zip(taken, results, strict=True):
            args = (lease.number, position, position + 1, result, took_s)
            self._turn.broker.done(stock.session, *args)

    def _give_up(
        self, stock: StockSession, charged: int, error: str, note: str, now: float, wall: float
    ) -> None:
        """The first tasks of the round failed, the others go back; its results are of nobody."""
        taken = stock.round.taken
        self._sessions.set_round(stock, Round())
        self._turn.undo.keep(stock)
        stock.note = note
        for lease, position in taken[:charged]:
            self._fail(stock, lease, position, error, now, wall)
        for lease, position in reversed(taken[charged:]):  # each goes back to the head of the line
            self._turn.broker.release(stock.session, lease.number, position, position + 1, "")

    def _fail(
        self, stock: StockSession, lease: Lease, position: int, error: str, now: float, wall: float
    ) -> None:
        broker = self._turn.broker
        took_s = now - lease.since
        of = (stock.session, lease.number, position, Mishap(error))
        if broker.fail(*of, now, wall, took_s=took_s):
            attempts = broker.staged_attempts(lease, position)
            told = f"{stock.peer.name} {error}"
            note = partial(self._failures.note, lease, position, told, attempts)
            self._turn.undo.when_committed(note)

    @staticmethod
    def _waited(of: Round, now: float) -> bool:
        return of.asks_since is not None and now - of.asks_since >= PATIENCE_S
