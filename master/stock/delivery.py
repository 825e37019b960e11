"""Results of the queue run on their way to stock clients: oldest first, each to one of them.

A delivery counts once the client has spoken again or has gone in good order; one that ends in a
reset before that comes again. What is delivered is on disk before the next is given, so after a
crash only what was on its way comes a second time.
"""

from __future__ import annotations

import heapq
from collections import deque
from collections.abc import Mapping
from typing import Any, NamedTuple

from queue_manager import codec
from queue_manager.wire.stock.opcodes import SERVED_ITEM

from ..broker.runs.run import Run
from ..changes import QUEUE_RUN, Delivered, OutcomeRecord
from ..turn.turn import Turn

_PAGE_BYTES = 256 * 1024
_UNREAD = object()


class Item(NamedTuple):
    """One result: its place among all, and its value, which may be a `codec.Undecodable`."""

    seq: int
    place: int
    value: Any


class Delivery:
    """What of the queue run's results nobody has read yet.

    available: how many of them could be taken now.
    """

    def __init__(self, turn: Turn) -> None:
        self._turn = turn
        seq, self._skip, behind, left = turn.store.delivered
        self._read_to = seq - 1
        self._buffer: deque[Item] = deque()
        self._back = [Item(*at, _UNREAD) for at in sorted(behind)]  # sorted is a heap
        self._out: dict[object, Item] = {}
        self.available = left + len(self._back)

    def arrived(self, count: int) -> None:
        """So many results came to be on disk."""
        self.available += count

    def take(self, reader: object) -> Item | None:
        """The next result, for a reader that has none on its way; None when there is none.

        Raises StoreError when it can't be read: nothing was taken.
        """
        item = self._take_back()
        if item is None:
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
            self._turn.broker.delivered(self._how_far)
            self._turn.gather(reader)

    def give_back(self, reader: object) -> bool:
        """The reader may not have got it: it is offered again. False: nothing was on its way."""
        item = self._out.pop(reader, None)
        if item is None:
            return False
        heapq.heappush(self._back, item)
        self.available += 1
        return True

    def _how_far(self) -> Delivered:
        """There are never more behind than clients that were reading at one time."""
        behind = tuple(sorted((i.seq, i.place) for i in (*self._out.values(), *self._back)))
        left = self.available - len(self._back)
        if self._buffer:
            return Delivered(self._buffer[0].seq, self._buffer[0].place, behind, left)
        return Delivered(self._read_to + 1, self._skip, behind, left)

    def pruned(self, results: Mapping[int, int]) -> None:
        """Results that nobody has read were deleted, so many of each outcome: they are too old."""
        if not results:
            return
        before = len(self._buffer) + len(self._back)
        self._buffer = deque(item for item in self._buffer if item.seq not in results)
        self._back = [item for item in self._back if item.seq not in results]
        heapq.heapify(self._back)
        self.available -= before - len(self._buffer) - len(self._back)
        for seq, count in results.items():
            if seq > self._read_to:
                skip = self._skip if seq == self._read_to + 1 else 0
                self.available -= count - skip
                self._skip -= skip
        self._turn.broker.delivered(self._how_far)
        self._turn.wake()

    def _take_back(self) -> Item | None:
        """The first of those that came back, or were on their way when the master crashed."""
        while self._back:
            seq, place, value = self._back[0]
            if value is _UNREAD:
                found, _ = self._turn.read_outcomes(self._run, seq - 1, 1)
                values = _values(found[0]) if found and found[0].seq == seq else []
                if place >= len(values):
                    self.available -= 1
                    heapq.heappop(self._back)
                    continue
                value = values[place]
            heapq.heappop(self._back)
            return Item(seq, place, value)
        return None

    @property
    def _run(self) -> Run:
        return self._turn.broker.runs[QUEUE_RUN]

    def _read_ahead(self) -> None:
        while not self._buffer:
            outcomes, _ = self._turn.read_outcomes(self._run, self._read_to, _PAGE_BYTES)
            if not outcomes:
                return
            for outcome in outcomes:
                if not outcome.readable:
                    self._read_to = outcome.seq
                    continue
                values = _values(outcome)
                skip = self._skip if outcome.seq == self._read_to + 1 else 0
                for index in range(skip, len(values)):
                    self._buffer.append(Item(outcome.seq, index, values[index]))
                self._skip = 0
                self._read_to = outcome.seq


def _values(outcome: OutcomeRecord) -> list[Any]:
    return codec.decode_each(outcome.results, 0, outcome.stop - outcome.start, SERVED_ITEM)
