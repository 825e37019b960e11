"""A lease in the supervisor: which of its tasks still need an outcome.

This module knows nothing of slots or the network.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import msgspec

from queue_manager.ranges import Ranges
from queue_manager.wire.records import Lease


@dataclass(eq=False)
class OpenLease:
    """One lease and the part of it that is left.

    given: the lease as the master sent it. since: monotonic time when it came, and later when a
    slot got it. took_s: the sum of the times of its outcomes. version: the version of the job's
    code, known when a slot gets the lease. folder: the folder of that code, if it is not the
    worker's own. environment: the folder of the environment that its job asks for. left: the tasks
    that still need an outcome. ending: tasks that an async slot has to cancel and that have not
    ended yet. hinted_at: when the log last said that its import or `setup` takes long. alone: its
    tasks run, and are reported, one at a time.
    """

    given: Lease
    since: float
    row: int = 0
    version: str = ""
    folder: str = ""
    environment: str = ""
    took_s: float = 0.0
    left: Ranges = field(default_factory=list)
    ending: Ranges = field(default_factory=list)
    hinted_at: float = -math.inf
    alone: bool = False

    def __post_init__(self) -> None:
        self.left = [(self.given.start, self.given.stop)]

    def split(self, ranges: Ranges, now: float) -> list[OpenLease]:
        """Make a lease of the same number for each of these ranges, as if it had come now."""
        lease = self.given
        return [
            OpenLease(msgspec.structs.replace(lease, start=start, stop=stop), now)
            for start, stop in ranges
        ]

    @property
    def count(self) -> int:
        """How many tasks are left."""
        return sum(stop - start for start, stop in self.left)

    @property
    def weight(self) -> int:
        """How many tasks are left, or were cancelled and have not ended yet."""
        return self.count + sum(stop - start for start, stop in self.ending)

    def has(self, position: int) -> bool:
        """Whether a task still needs an outcome."""
        return any(start <= position < stop for start, stop in self.left)

    def settle(self, start: int, stop: int) -> bool:
        """Take a range out. If not all of it is left, take nothing and return False."""
        for index, (low, high) in enumerate(self.left):
            if low <= start < stop <= high:
                rest = [(low, start), (stop, high)]
                self.left[index : index + 1] = [(a, b) for a, b in rest if a < b]
                return True
        return False

    def cut(self, position: int) -> Ranges:
        """Take out all tasks at or behind `position`, and return their ranges."""
        gone = [(max(a, position), b) for a, b in self.left if b > position]
        self.left = [(a, min(b, position)) for a, b in self.left if a < position]
        return gone
