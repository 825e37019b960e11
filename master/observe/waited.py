"""Since when the task of a run waits that has waited longest, as far as the memory tells.

The most urgent tasks of a run are in memory, 10,000 without a group. Of those that wait on disk
behind them nobody knows without a search.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice

from ..broker.lanes.lane import Lane
from ..broker.runs.run import Run
from ..tally.tally import Tally

MOST_LANES = 4_096
"""How many lanes of a run are looked at. It has hardly more in memory."""

_PRIORITIES = 64


def waits_since(run: Run, tally: Tally) -> float | None:
    """When that task was accepted, or its delay was over (monotonic s). None: no task waits."""
    if run.waiting <= 0:
        return None
    lanes = islice(run.lanes, MOST_LANES)
    return min((since for lane in lanes for since in _of_lane(lane, tally)), default=None)


def _of_lane(lane: Lane, tally: Tally) -> Iterator[float]:
    window, tracked = lane.window, lane.tracked
    for priority in window.order[-_PRIORITIES:]:
        yield tally.accepted.of(window.ready[priority][0].block)
    if tracked.first is not None:
        yield tracked.first.due_at - tally.behind_s
    for number in islice(tracked.quarantined, _PRIORITIES):
        yield tracked.in_memory[number].due_at - tally.behind_s
