"""Groups of one run that wait on disk alone: what of them may be there, and where to look next.

There may be as many groups as tasks, so only those in use have a lane. The others are found by two
searches: for blocks, the most urgent first and by name; for tracked tasks, by when they are due.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

_FIRST = (-math.inf, 0)


@dataclass(slots=True)
class Hidden:
    """What groups without a lane may have on disk.

    more: whether there may be blocks behind `place`, as (priority, group); None: from the first on.
    again: whether to search once more from the first on when that search is over, not before
    `again_at` (monotonic). top: the highest priority that there may be.
    due_from: tracked tasks may be there behind that place, as (due_at, task); due_at: when to
    search for them (monotonic). tracked_again_at: when to search for them once more from the first
    on (monotonic).
    """

    more: bool = False
    place: tuple[int, str] | None = None
    again: bool = False
    again_at: float = math.inf
    top: float = -math.inf
    due_from: tuple[float, int] = _FIRST
    due_at: float = math.inf
    tracked_again_at: float = math.inf

    @property
    def anything(self) -> bool:
        """Whether a group without a lane may have something on disk."""
        return self.more or self.again or min(self.due_at, self.tracked_again_at) < math.inf

    def everything(self) -> None:
        """Nothing is known: search for everything."""
        self.leave(None)
        self.all_tracked()

    def all_tracked(self) -> None:
        """Tracked tasks of any group may be there."""
        self.due_from, self.due_at = _FIRST, 0.0

    def leave(self, priority: int | None) -> None:
        """Tasks of a group without a lane wait on disk. priority: None is any."""
        rank = math.inf if priority is None else priority
        if not self.more or self.place is None or rank > self.place[0]:
            self.more, self.place = True, None
            self.top = max(self.top, rank)
        else:  # the search goes on, so that every group is found
            self.again, self.again_at = True, 0.0

    def leave_tracked(self, due: tuple[float, int], at: float) -> None:
        """A tracked task of such a group waits on disk. at: when it is due (monotonic)."""
        before = due[0], due[1] - 1
        self.due_from = min(self.due_from, before) if self.due_at < math.inf else before
        self.due_at = min(self.due_at, at)

    def look_again(self, at: float) -> None:
        """Once this search is over, begin anew, not before a time (monotonic)."""
        self.again_at = min(self.again_at, at) if self.again else at
        self.again = True

    def looked(self, last: tuple[int, str] | None, over: bool) -> None:
        """The search for blocks has come so far."""
        if last is not None:
            self.place, self.top = last, last[0]
        if over:
            self.more, self.place, self.top = False, None, -math.inf

    def wake(self, now: float) -> None:
        """Begin a search that is due. One that was begun goes to its end first."""
        if self.tracked_again_at <= now < self.due_at:
            self.tracked_again_at = math.inf
            self.all_tracked()
        if self.again and not self.more and now >= self.again_at:
            self.again, self.again_at = False, math.inf
            self.more, self.place, self.top = True, None, math.inf

    @property
    def next_due(self) -> float:
        """When a search is due by itself (monotonic)."""
        again_at = self.again_at if self.again and not self.more else math.inf
        return min(self.due_at, self.tracked_again_at, again_at)

    def clear(self) -> None:
        """Nothing waits any more."""
        self.more = self.again = False
        self.place, self.again_at, self.top = None, math.inf, -math.inf
        self.due_from, self.due_at, self.tracked_again_at = _FIRST, math.inf, math.inf
