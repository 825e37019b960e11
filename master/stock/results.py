"""The queue of results as standard-library clients see it."""

from __future__ import annotations

from functools import partial
from typing import Any

from queue_manager import codec
from queue_manager.errors import QueueError, StoreError
from queue_manager.server.connection import Peer

from ..changes import QUEUE_RUN, Changes
from ..turn.answer import LATER, Later, StockReply
from ..turn.steps import Publish, Step
from .calls import QueueFace, log
from .rounds import Rounds
from .sessions import StockSession


class ResultQueue(QueueFace):
    """The queue of results: `put` is of the task that was taken, `get` reads the queue run's."""

    def after_commit(self, changes: Changes, now: float) -> None:
        """Give new results to those who wait."""
        for outcome in changes.outcomes:
            if outcome.run == QUEUE_RUN:
                self._delivery.arrived(outcome.readable)
        for peer, waiting in list(self._waiting.items()):
            try:
                item = self._delivery.take(peer)
            except StoreError as error:  # who waits goes on waiting: it is read again by and by
                self._turn.read_later(str(error))
                break
            if item is None:
                break
            del self._waiting[peer]
            waiting.stop()
            self._guard(peer, partial(_hand_over, peer, item.value))

    def ended(self, peer: Peer, reset: bool) -> None:
        if not reset:
            self._delivery.confirm(peer)
        elif self._delivery.give_back(peer):
            self._turn.wake()
        super().ended(peer, reset)

    def _put(self, stock: StockSession, item: Any, block: Any = True, timeout: Any = None) -> None:
        try:
            results = self._encode(item, "the result")
        except (QueueError, TypeError, ValueError):
            self._rounds.refused(stock, "value")
            raise

        reply = PutReply(stock, self._rounds)

        def stage(now: float, wall: float) -> Publish:
            error = self._rounds.put(stock, results, now, wall)
            return partial(_answer_put, reply, error)

        size_bytes = len(results)
        step = Step(stage, reply, of=stock.peer, gathers=True, size_bytes=size_bytes)
        self._turn.post(step)

    def _get(self, stock: StockSession, block: Any = True, timeout: Any = None) -> None:
        self._wait(stock, block, timeout)

    def _gathers(self) -> bool:
        """A turn that gives results writes down what their readers had before: one commit for all.

        Those who wait for a result that is not there yet come together with nobody.
        """
        return self._delivery.available > 0

    def _empty(self, stock: StockSession) -> None:
        stock.peer.answer(self._delivery.available == 0)

    def _qsize(self, stock: StockSession) -> None:
        stock.peer.answer(self._delivery.available)

    def _task_done(self, stock: StockSession) -> None:
        stock.peer.answer(None)  # reading a result has settled it

    _join = _task_done


class PutReply(StockReply):
    """The answer to the put of a result. A put that the store refuses may be tried again."""

    def __init__(self, stock: StockSession, rounds: Rounds) -> None:
        super().__init__(stock.peer)
        self._stock = stock
        self._rounds = rounds

    def give_up(self, error: str) -> None:
        """The round is given up: there is nothing to try again."""
        if self._is_first():
            super()._refuse(error)

    def _refuse(self, error: str) -> None:
        self._rounds.refused(self._stock, "store")
        super()._refuse(error)


def _answer_put(reply: PutReply, error: str) -> Later | None:
    """error: why the round of the result was given up, which is on disk."""
    if not error:
        return None
    reply.give_up(error)
    return LATER


def _hand_over(peer: Peer, value: Any) -> None:
    """Answer a `get`. A result that can't be read is told to its reader, who counts on one."""
    if type(value) is codec.Undecodable:
        log.error("a result of the queue run can't be read: %s", value.error)
        peer.fail(ValueError(f"this result can't be read: {value.error}"))
    else:
        peer.answer(value)
