"""The tasks of a lane that left the plain way and wait: delayed, retried, lost.

In memory are those that are due first; behind them the disk goes on.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass, field
from functools import partial

from ..changes import TrackedRecord
from .window import WINDOW_TASKS, Range

Due = tuple[float, int]
"""(due_at in wall seconds, number of the task)."""


_APART = 64
"""At least so many that are set apart take no room of the others in memory."""


@dataclass(slots=True)
class Stray:
    """A task that left the plain way; it is leased alone from then on.

    due_at: wall time at which its delay is over. gone: it does not wait here any more.
    is_ready: it is among those whose delay is over.
    """

    task: int
    block: int
    position: int
    priority: int
    group: str | None = None
    attempts: int = 0
    losses: int = 0
    due_at: float = 0.0
    gone: bool = False
    is_ready: bool = False

    def __lt__(self, other: Stray) -> bool:
        """In a heap two of the same task may meet: all but one of them are gone."""
        return False

    def saved(self) -> Callable[[], None]:
        """What restores all that a turn changes of it."""
        return partial(self._restore, self.attempts, self.losses, self.due_at)

    def _restore(self, attempts: int, losses: int, due_at: float) -> None:
        self.attempts, self.losses, self.due_at = attempts, losses, due_at

    @property
    def range(self) -> Range:
        """The one task, as a range of its block."""
        return Range(self.block, self.task - self.position, self.position, self.position + 1)

    @property
    def due(self) -> Due:
        """Its place among those that wait."""
        return self.due_at, self.task

    @classmethod
    def recorded(cls, record: TrackedRecord) -> Stray:
        """As the store has it."""
        return cls(
            record.task,
            record.block,
            record.position,
            record.priority,
            record.group,
            record.attempts,
            record.losses,
            record.due_at,
        )


@dataclass(slots=True)
class Strays:
    """Strays that wait. most: so many in memory, roughly.

    here: those in memory. ready: the ones whose delay is over, as a heap: the highest priority
    first, then the oldest. apart: tasks whose delay is over too, but that are taken by themselves.
    more: others wait on disk, all of them due behind `end` (None: all).
    """

    most: int = WINDOW_TASKS // 2
    here: dict[int, Stray] = field(default_factory=dict)
    ready: list[tuple[int, int, Stray]] = field(default_factory=list)
    apart: set[int] = field(default_factory=set)
    more: bool = False
    end: Due | None = None
    ready_count: int = 0

    def admit(self, stray: Stray) -> bool:
        """A stray waits. False: on disk alone, for many are due before it."""
        if self.more and (self.end is None or stray.due > self.end):
            return False
        stray.gone = False
        self.here[stray.task] = stray
        if self._crowd > 2 * self.most:
            self._trim()
        return not stray.gone

    def make_ready(self, stray: Stray) -> None:
        """The delay of one that waits here is over."""
        heapq.heappush(self.ready, (-stray.priority, stray.task, stray))
        stray.is_ready = True
        self.ready_count += 1

    def set_apart(self, stray: Stray) -> None:
        """The delay of one that waits here is over, and `remove` takes it."""
        self.apart.add(stray.task)
        self.ready_count += 1

    @property
    def first(self) -> Stray | None:
        """The next that is ready."""
        while self.ready and self.ready[0][2].gone:
            heapq.heappop(self.ready)
        return self.ready[0][2] if self.ready else None

    def take(self) -> Stray:
        """Take the next that is ready. Call only when there is one."""
        *_, stray = heapq.heappop(self.ready)
        self.ready_count -= 1
        del self.here[stray.task]
        stray.gone, stray.is_ready = True, False
        return stray

    def remove(self, task: int) -> None:
        """A task does not wait any more; where it was is not looked at."""
        stray = self.here.pop(task, None)
        if stray is not None:
            stray.gone = True
            if task in self.apart:
                self.apart.remove(task)
                self.ready_count -= 1
            else:
                self.ready_count -= stray.is_ready
                stray.is_ready = False

    # --- the disk ---

    @property
    def low(self) -> bool:
        """Whether others should be read from disk."""
        return self.more and self._crowd <= self.most // 2

    @property
    def starved(self) -> bool:
        """Whether none is in memory but what is set apart, and others may be on disk."""
        return self.more and not self._crowd

    @property
    def _crowd(self) -> int:
        """How many count for the room in memory.

        What is set apart may wait long for a worker of its own: what is due behind it must not
        wait on disk for that.
        """
        return len(self.here) - self._spared

    @property
    def _spared(self) -> int:
        return min(len(self.apart), max(self.most, _APART))

    def refill(
        self, records: Iterable[TrackedRecord], last: Due | None, leased: Collection[int]
    ) -> list[Stray]:
        """Take strays from disk; those that are new here, delayed or not."""
        found = []
        for record in records:
            if record.task not in leased and record.task not in self.here:
                stray = self.here[record.task] = Stray.recorded(record)
                found.append(stray)
        self.more = last is not None
        self.end = last
        return found

    def restart(self) -> None:
        """All of them are read from disk anew."""
        self.clear()
        self.more = True

    def clear(self) -> None:
        """Nothing waits any more."""
        for stray in self.here.values():
            stray.gone, stray.is_ready = True, False
        self.here.clear()
        self.ready.clear()
        self.apart.clear()
        self.ready_count, self.more, self.end = 0, False, None

    def _trim(self) -> None:
        """The last half, by when they are due, waits on disk alone.

        Also what is ready: with a worker thousands may be lost at once.
        """
        all_here = sorted(self.here.values(), key=lambda stray: stray.due)
        kept = self.most + self._spared
        for stray in all_here[kept:]:
            stray.gone, stray.is_ready = True, False
            del self.here[stray.task]
            self.apart.discard(stray.task)
        self.ready = [entry for entry in self.ready if not entry[2].gone]
        heapq.heapify(self.ready)
        self.ready_count = len(self.ready) + len(self.apart)
        self.more, self.end = True, all_here[kept - 1].due
