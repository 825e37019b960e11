"""Since when the task of a run waits that has waited longest, as far as the memory tells.

The most urgent tasks of a run are in memory, 10,000 without a group. Of those that wait on disk
behind them nobody knows without a search.
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterable
from itertools import islice

from ..broker.runs.run import Run
from ..tally.tally import Tally

MOST_LANES = 4_096
"""How many lanes of a run are looked at. It has hardly more in memory."""

_PRIORITIES = 64


_SPARING = 50
"""The runs are looked at anew after this many times the time that it takes: a run with 4,096 groups
takes a millisecond or more, and a page asks each second."""

_SHORT_S = 0.002
"""What takes less is done each time."""


class Waits:
    """Since when the tasks of runs wait. What it took long to find is told for a while."""

    def __init__(self) -> None:
        self._since: dict[int, float | None] = {}
        self._after = 0.0

    def since(self, runs: Iterable[Run], tally: Tally) -> dict[int, float]:
        """By run, as `waits_since`; without runs of which no task waits."""
        waiting = [run for run in runs if run.waiting > 0]
        began = time.monotonic()
        if began >= self._after:
            self._since = {run.id: waits_since(run, tally) for run in waiting}
            ended = time.monotonic()
            took_s = ended - began
            self._after = ended + _SPARING * took_s if took_s > _SHORT_S else 0.0
        found = {run.id: self._since.get(run.id) for run in waiting}
        return {run: since for run, since in found.items() if since is not None}


def waits_since(run: Run, tally: Tally) -> float | None:
    """When that task was accepted, or its delay was over (monotonic s). None: no lane has one."""
    oldest, due_at = math.inf, math.inf
    for lane in islice(run.lanes, MOST_LANES):
        window, tracked = lane.window, lane.tracked
        for priority in window.order[-_PRIORITIES:]:
            oldest = min(oldest, window.ready[priority][0].block)
        if tracked.first is not None:
            due_at = min(due_at, tracked.first.due_at)
        for number in islice(tracked.quarantined, _PRIORITIES):
            due_at = min(due_at, tracked.in_memory[number].due_at)
    accepted_at = math.inf if oldest == math.inf else tally.accepted.of(int(oldest))
    since = min(accepted_at, due_at - tally.behind_s)
    return None if since == math.inf else since
