"""What the faults of a chaos have touched so far, and what is still to be undone."""

from __future__ import annotations

import heapq
import time
from collections.abc import Callable
from dataclasses import replace

from .ground.processes import runs, wait_for
from .verdict.evidence import Hit

NOTICE_S = 6.0
"""How long a worker that was frozen or cut off may go on with leases that it has lost: it pauses
5 s at most before it connects again."""

KILL_S = 0.05
"""How long after a signal the diary may still grow, at least: some of it is not read yet."""

DEATH_S = 2.0
"""How long to wait for a killed process and its slots to be gone, at most."""


class Hits:
    """The hits of a chaos, in their order."""

    def __init__(self) -> None:
        self.all: list[Hit] = []
        self._silence = (0.0, -NOTICE_S)

    def note(self, kind: str, lasts_s: float = KILL_S, **what: object) -> int:
        """Note a hit that begins now. Returns its number, for `end_now`."""
        now = time.monotonic()
        begin, end = self._silence
        since = begin if now < end + NOTICE_S else 0.0
        self.all.append(Hit(kind, now, now + lasts_s, since=since, **what))  # type: ignore[arg-type]
        return len(self.all) - 1

    def end_now(self, number: int) -> None:
        """A hit ends now, also if the chaos itself was held up."""
        hit = self.all[number]
        self.all[number] = replace(hit, end=max(hit.end, time.monotonic()))

    def last_until_gone(self, pids: list[int]) -> None:
        """The last hit ends when these processes have: until then they run tasks.

        On a busy machine that takes a while.
        """
        wait_for(lambda: not any(runs(pid) for pid in pids), DEATH_S)
        self.end_now(-1)

    def no_records(self, lasts_s: float) -> None:
        """The master records nothing from now on, for so many seconds."""
        now = time.monotonic()
        begin, end = self._silence
        self._silence = (begin if now < end + NOTICE_S else now, now + lasts_s)


class Later:
    """What is to be undone, and when."""

    def __init__(self) -> None:
        self._waiting: list[tuple[float, int, Callable[[], None]]] = []
        self._count = 0

    def after(self, seconds: float, undo: Callable[[], None]) -> None:
        """Undo something in so many seconds."""
        self._count += 1
        heapq.heappush(self._waiting, (time.monotonic() + seconds, self._count, undo))

    def due(self) -> None:
        """Undo what is due."""
        while self._waiting and self._waiting[0][0] <= time.monotonic():
            heapq.heappop(self._waiting)[2]()

    def all_now(self) -> None:
        """Undo everything."""
        while self._waiting:
            heapq.heappop(self._waiting)[2]()
