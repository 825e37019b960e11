"""Tracked tasks that wait in a lane: tasks handled by themselves, as they were delayed or tried.

The tasks that are due first are in memory; the disk goes on behind them.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass, field
from functools import partial

from ...changes import TrackedRecord
from .window import WINDOW_TASKS, Range

Due = tuple[float, int]
"""(due_at in wall seconds, number of the task)."""


_QUARANTINED = 64
"""How many tasks in quarantine at least take no room of the others in memory."""


@dataclass(slots=True)
class Tracked:
    """A task that left the block path: it is leased alone, and recorded by itself.

    due_at: wall time at which its delay is over. gone: it does not wait in memory any more.
    is_ready: its delay is over, and it is in the heap of ready tasks. reason: of its last retry.
    tries: how many tries have ended, which a retry does not set back.
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
    reason: str = ""
    tries: int = 0

    def __lt__(self, other: Tracked) -> bool:
        """Two of the same task may meet in a heap: all but one of them are gone."""
        return False

    def saved(self) -> Callable[[], None]:
        """Returns what restores all that a turn changes of it."""
        return partial(self._restore, self.attempts, self.losses, self.due_at, self.tries)

    def _restore(self, attempts: int, losses: int, due_at: float, tries: int) -> None:
        self.attempts, self.losses, self.due_at, self.tries = attempts, losses, due_at, tries

    @property
    def range(self) -> Range:
        """The one task, as a range of its block."""
        return Range(self.block, self.task - self.position, self.position, self.position + 1)

    @property
    def due(self) -> Due:
        """Its place among those that wait."""
        return self.due_at, self.task

    @classmethod
    def recorded(cls, record: TrackedRecord) -> Tracked:
        """A tracked task as the store has it."""
        return cls(
            record.task,
            record.block,
            record.position,
            record.priority,
            record.group,
            record.attempts,
            record.losses,
            record.due_at,
            reason=record.retries[-1].reason if record.retries else "",
            # An earlier release did not count them.
            tries=max(record.tries, record.attempts + record.losses),
        )


@dataclass(slots=True)
class TrackedTasks:
    """The tracked tasks of a lane that wait. most: about how many may be in memory.

    in_memory: by their number. ready: those whose delay is over, as a heap: the highest priority
    first, then the oldest. quarantined: those whose delay is over, but that are in quarantine.
    more_on_disk: others wait on disk, all of them due behind `disk_cursor` (None: from the first).
    ready_count: how many are ready or quarantined.
    """

    most: int = WINDOW_TASKS // 2
    in_memory: dict[int, Tracked] = field(default_factory=dict)
    ready: list[tuple[int, int, Tracked]] = field(default_factory=list)
    quarantined: set[int] = field(default_factory=set)
    more_on_disk: bool = False
    disk_cursor: Due | None = None
    ready_count: int = 0

    def admit(self, task: Tracked) -> bool:
        """A task waits. False: on disk alone, for many are due before it."""
        if self.more_on_disk and (self.disk_cursor is None or task.due > self.disk_cursor):
            return False
        task.gone = False
        self.in_memory[task.task] = task
        if self._crowd > 2 * self.most:
            self._trim()
        return not task.gone

    def make_ready(self, task: Tracked) -> None:
        """The delay of a task in memory is over."""
        heapq.heappush(self.ready, (-task.priority, task.task, task))
        task.is_ready = True
        self.ready_count += 1

    def quarantine(self, task: Tracked) -> None:
        """The delay of a task in memory is over, and it is taken with `remove`."""
        self.quarantined.add(task.task)
        self.ready_count += 1

    @property
    def first(self) -> Tracked | None:
        """The next that is ready."""
        while self.ready and self.ready[0][2].gone:
            heapq.heappop(self.ready)
        return self.ready[0][2] if self.ready else None

    def take(self) -> Tracked:
        """Take the next that is ready. Call only when there is one."""
        *_, task = heapq.heappop(self.ready)
        self.ready_count -= 1
        del self.in_memory[task.task]
        task.gone, task.is_ready = True, False
        return task

    def remove(self, number: int) -> None:
        """A task does not wait any more, wherever it is."""
        task = self.in_memory.pop(number, None)
        if task is not None:
            task.gone = True
            if number in self.quarantined:
                self.quarantined.remove(number)
                self.ready_count -= 1
            else:
                self.ready_count -= task.is_ready
                task.is_ready = False

    # --- the disk ---

    @property
    def low(self) -> bool:
        """Whether others should be read from disk."""
        return self.more_on_disk and self._crowd <= self.most // 2

    @property
    def empty_in_memory(self) -> bool:
        """Whether others may be on disk, and in memory there is none but those in quarantine."""
        return self.more_on_disk and not self._crowd

    @property
    def _crowd(self) -> int:
        """How many count for the room in memory.

        A task in quarantine may wait long for its worker. What is due behind it must not wait on
        disk for that.
        """
        return len(self.in_memory) - self._spared

    @property
    def _spared(self) -> int:
        return min(len(self.quarantined), max(self.most, _QUARANTINED))

    def refill(
        self, records: Iterable[TrackedRecord], last: Due | None, leased: Collection[int]
    ) -> list[Tracked]:
        """Take tasks from disk. Returns those that were not in memory, delayed or not."""
        found = []
        for record in records:
            if record.task not in leased and record.task not in self.in_memory:
                task = self.in_memory[record.task] = Tracked.recorded(record)
                found.append(task)
        self.more_on_disk = last is not None
        self.disk_cursor = last
        return found

    def will_read(self, due: Due) -> bool:
        """Whether what the disk has from this place on is read sooner or later."""
        return self.more_on_disk and (self.disk_cursor is None or self.disk_cursor < due)

    def restart(self) -> None:
        """All tasks are read from disk anew."""
        self.clear()
        self.more_on_disk = True

    def clear(self) -> None:
        """Nothing waits any more."""
        for task in self.in_memory.values():
            task.gone, task.is_ready = True, False
        self.in_memory.clear()
        self.ready.clear()
        self.quarantined.clear()
        self.ready_count, self.more_on_disk, self.disk_cursor = 0, False, None

    def _trim(self) -> None:
        """Leave the half that is due last on disk alone, ready tasks included.

        Thousands may be lost at once with a worker.
        """
        by_due = sorted(self.in_memory.values(), key=lambda task: task.due)
        kept = self.most + self._spared
        for task in by_due[kept:]:
            task.gone, task.is_ready = True, False
            del self.in_memory[task.task]
            self.quarantined.discard(task.task)
        self.ready = [entry for entry in self.ready if not entry[2].gone]
        heapq.heapify(self.ready)
        self.ready_count = len(self.ready) + len(self.quarantined)
        self.more_on_disk, self.disk_cursor = True, by_due[kept - 1].due
