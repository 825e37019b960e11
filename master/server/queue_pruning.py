"""Deletes old results and dead letters of the queue run. The run itself never ends.

Owns when they go. Marks tell which results were there at which time. The store owns the rows.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

from ..changes import QUEUE_RUN
from ..stock.delivery import Delivery
from ..turn.turn import Turn

MARKS = 64
"""How many marks are kept. Results are pruned late by at most a 64th of the time they are kept."""

_EVERY_S = 5.0


class QueuePruning:
    """Deletes results and dead letters of the queue run, read or not, after `keep_s` seconds.

    on_letters: is told the tasks whose dead letters were deleted.
    """

    def __init__(self, turn: Turn, delivery: Delivery, keep_s: float) -> None:
        self._turn = turn
        self._delivery = delivery
        self._keep_s = keep_s
        self.on_letters: Callable[[Sequence[int]], None] = lambda tasks: None
        self._mark_at = -math.inf
        self._seq = self._after = 0
        self._died_by = 0.0
        self._verbs = [turn.store.prune_queue, turn.store.prune_letters]
        self._todo = list(self._verbs[:0])

    def tick(self, now: float, wall: float) -> None:
        """Every now and then, mark the newest result, and find out which results are too old."""
        if now < self._mark_at:
            return
        self._mark_at = now + max(_EVERY_S, self._keep_s / MARKS)
        broker = self._turn.broker
        self._seq = self._turn.store.mark(wall, broker.next_seq - 1, self._keep_s)
        self._died_by = wall - self._keep_s
        self._after, self._todo = 0, [verb for verb in self._verbs if self._has_some(verb)]

    def _has_some(self, verb: object) -> bool:
        return verb is self._verbs[1] or self._seq > 0

    def step(self, rows: int) -> bool:
        """Look at about so many rows. False: there is nothing to do before the next mark."""
        if not self._todo:
            return False
        step = self._todo[0](self._seq, self._died_by, self._after, rows)
        self._after = step.last
        if step.complete:
            self._after = 0
            del self._todo[0]
        if step.letters:
            run = self._turn.broker.runs[QUEUE_RUN]
            count = len(step.letters)
            run.dead, run.pruned = run.dead - count, run.pruned + count
            self.on_letters(step.letters)
        self._delivery.pruned(step.results)
        return True
