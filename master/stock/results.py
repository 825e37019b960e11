"""The queue of results as standard-library clients see it."""

from __future__ import annotations

from functools import partial
from typing import Any

from queue_manager import codec
from queue_manager.errors import QueueError, StoreError
from queue_manager.server.connection import Peer

from ..changes import QUEUE_RUN, Changes
from ..turn.turn import Answer, Step
from .calls import QueueFace, log
from .sessions import StockSession


class ResultQueue(QueueFace):
    """The queue of results: `put` is of the task that was taken, `get` reads the queue run's."""

    def turned(self, changes: Changes, now: float) -> None:
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

        def stage(now: float, wall: float) -> Answer:
            error = self._rounds.put(stock, results, now, wall)
            if error:
                return partial(self._refuse, stock.peer, error)
            return partial(stock.peer.answer, None)

        def refuse(error: str) -> None:
            self._rounds.refused(stock, "store")
            self._refuse(stock.peer, error)

        self._turn.post(Step(stage, refuse, of=stock.peer))

    def _get(self, stock: StockSession, block: Any = True, timeout: Any = None) -> None:
        self._wait(stock, block, timeout)

    def _empty(self, stock: StockSession) -> None:
        stock.peer.answer(self._delivery.available == 0)

    def _qsize(self, stock: StockSession) -> None:
        stock.peer.answer(self._delivery.available)

    def _task_done(self, stock: StockSession) -> None:
        stock.peer.answer(None)  # reading a result has settled it

    _join = _task_done


def _hand_over(peer: Peer, value: Any) -> None:
    """Answer a `get`. A result that can't be read is told to its reader, who counts on one."""
    if type(value) is codec.Undecodable:
        log.error("a result of the queue run can't be read: %s", value.error)
        peer.fail(ValueError(f"this result can't be read: {value.error}"))
    else:
        peer.answer(value)
