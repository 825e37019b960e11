"""A histogram: how many values lie between bounds, and their sum."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence

TASK_BOUNDS_S = (
    *(0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5),
    *(1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0, 900.0, 3600.0, 10800.0),
)
"""The bounds of what tasks take, in seconds: 5 ms to 3 h."""

WORK_BOUNDS_S = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0)
"""The bounds of what the master itself takes, in seconds: a commit, a delay of its loop."""

LONGEST_S = 1e8
"""A longer time is counted as this: a stranger's number must not spoil a sum for good."""


class Histogram:
    """Counts of values.

    bounds: in order. counts: how many values are at most the bound at the same place and above the
    one before; the last count, which has no bound, is of those above all bounds. sum_s: of all
    values, in seconds.
    """

    __slots__ = ("bounds", "counts", "sum_s")

    def __init__(self, bounds: Sequence[float]) -> None:
        self.bounds = bounds
        self.counts = [0] * (len(bounds) + 1)
        self.sum_s = 0.0

    def observe(self, value_s: float, count: int = 1) -> None:
        """Count a value, of so many things at once. A value below 0 counts as 0."""
        if not 0.0 <= value_s <= LONGEST_S:
            value_s = LONGEST_S if value_s > 0.0 else 0.0
        self.counts[bisect_left(self.bounds, value_s)] += count
        self.sum_s += value_s * count
