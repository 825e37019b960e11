"""Results of the queue run on their way to stock clients: oldest first, each to one of them.

A delivery counts once the client has spoken again or has gone in good order; one that ends in a
reset before that comes again. What is delivered is on disk before the next is given.
"""

from __future__ import annotations

import heapq
import logging
from collections import deque
from typing import Any, NamedTuple

from queue_manager import codec
from queue_manager.errors import QueueError

from .changes import QUEUE_RUN, OutcomeRecord
from .turn import Turn

log = logging.getLogger("quartermaster.master")

_PAGE_BYTES = 256 * 1024


class Item(NamedTuple):
    """One result: its place among all, and its value."""

    seq: int
    place: int
    value: Any


class Delivery:
    """What of the queue run's results nobody has read yet.

    available: how many of them could be taken now.
    """

    def __init__(self, turn: Turn) -> None:
        self._turn = turn
        seq, self._skip = turn.store.delivered
        self._read_to = seq - 1
        self._buffer: deque[Item] = deque()
        self._back: list[Item] = []
        self._out: dict[object, Item] = {}
        self.available = turn.store.count_results(QUEUE_RUN, self._read_to) - self._skip

    def arrived(self, count: int) -> None:
        """So many results came to be on disk."""
        self.available += count

    def take(self, reader: object) -> Item | None:
        """The next result, for a reader that has none on its way; None when there is none."""
        if self._back:
            item = heapq.heappop(self._back)
        else:
            if not self._buffer:
                self._read_ahead()
            if not self._buffer:
                return None
            item = self._buffer.popleft()
        self._out[reader] = item
        self.available -= 1
        return item

    def confirm(self, reader: object) -> None:
        """The reader has what was sent to it, if anything was."""
        if self._out.pop(reader, None) is not None:
            self._turn.broker.delivered(*self._first_undelivered())
            self._turn.wake()

    def give_back(self, reader: object) -> bool:
        """The reader may not have got it: it is offered again. False: nothing was on its way."""
        item = self._out.pop(reader, None)
        if item is None:
            return False
        heapq.heappush(self._back, item)
        self.available += 1
        return True

    def _first_undelivered(self) -> tuple[int, int]:
        open_items = [*self._out.values(), *self._back[:1], *list(self._buffer)[:1]]
        return min(((i.seq, i.place) for i in open_items), default=(self._read_to + 1, 0))

    def _read_ahead(self) -> None:
        run = self._turn.broker.runs[QUEUE_RUN]
        while not self._buffer:
            outcomes, _ = self._turn.read_outcomes(run, self._read_to, _PAGE_BYTES)
            if not outcomes:
                return
            for outcome in outcomes:
                values = self._values(outcome)
                for index in range(self._skip, len(values)):
                    self._buffer.append(Item(outcome.seq, index, values[index]))
                self._skip = 0
                self._read_to = outcome.seq

    def _values(self, outcome: OutcomeRecord) -> list[Any]:
        try:
            return codec.decode_batch(outcome.results)
        except QueueError as error:
            log.error("results of tasks from %d on can't be read: %s", outcome.first, error)
            self.available -= outcome.stop - outcome.start - self._skip
            return []
