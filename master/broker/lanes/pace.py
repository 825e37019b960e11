"""When the next task of a group may start, if its pauses are so short that lateness would count.

A turn, a timer or a busy processor makes each start a little late. If each pause counted from the
start before it, a group with 100 starts in a second would have 70. So a pause counts from when the
task was due, and starts that are late are made up for. In any `every_s * n` seconds, about a
second, no more than n tasks start, as without lateness, and no two within half a pause.
"""

from __future__ import annotations

import math
from collections import deque
from dataclasses import dataclass, field

SHORTEST_S, LONGEST_S = 1 / 256, 0.1
"""In pauses between these late starts are made up for. Others are the least time between two
starts: lateness counts for little in longer ones, and the starts of a second would be too many to
remember with shorter ones.
"""

SPARE = 1.01
"""Leases travel to their slots in different times. So many times the pause is what counts here."""

LATE_S = 0.2
"""What is later than this is lost."""


def is_short(every_s: float) -> bool:
    """Whether late starts are made up for."""
    return SHORTEST_S <= every_s < LONGEST_S


def pause_s(every_s: float) -> float:
    """The time from one start to the next."""
    return every_s * SPARE if is_short(every_s) else every_s


@dataclass(slots=True)
class Pace:
    """The starts of one group, of the last second. All times are monotonic seconds.

    due: when the last start was due. starts: the times of these starts.
    """

    due: float = -math.inf
    starts: deque[float] = field(default_factory=deque)

    def started(self, now: float, every_s: float) -> float:
        """A task starts. Returns when its pause began."""
        pause, count = pause_s(every_s), round_down(1 / every_s)
        was_due = max(self.due + pause, now - LATE_S) if self.starts else now
        self.due = min(now, was_due)
        self.starts.append(now)
        while len(self.starts) > count:
            self.starts.popleft()
        next_at = max(self.due + pause, now + pause / 2)
        if len(self.starts) == count:
            next_at = max(next_at, self.starts[0] + count * pause)
        return next_at - pause

    def settled(self, started_at: float, every_s: float) -> float:
        """When the last pause began, for who does not know the starts before it."""
        pause = pause_s(every_s)
        began = (at + n * pause for n, at in enumerate(reversed(self.starts)))
        return max(started_at, max(began, default=started_at))


def round_down(count: float) -> int:
    """1 / 0.01 may be a little less than 100."""
    return int(count + 1e-9)
