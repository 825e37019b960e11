"""A lane: where the tasks of a run wait that have no group, or those of one limited group."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

from .pace import Pace, is_short
from .tracked import Tracked, TrackedTasks
from .window import Range, Window


@dataclass(slots=True, eq=False)
class Lane:
    """Ranges of blocks in a window, tracked tasks by themselves.

    group: None for the tasks without one. The other fields are those of a limited group:

    leased: how many of its tasks are. started_at: when its pause began, that is when one of them
    started last, as far as is known, or was due to (monotonic). pace: its starts, where pauses are
    short.
    entry: its entry in the rotation of the lanes that may start now, 0 when it is not in there;
    entry_priority: with which priority.
    pause_entry: its entry among the pauses, 0 when it has none; paused_until: when that pause ends
    (monotonic).
    needs_refill: whether it is among the lanes to be read ahead; refill_priority: with which
    priority.
    counted: how many of its tasks in the window, and of its ready tracked tasks, `Groups` has
    counted; held_back: how many of those in the window, as it might not start a task.
    """

    group: str | None = None
    window: Window = field(default_factory=Window)
    tracked: TrackedTasks = field(default_factory=TrackedTasks)
    leased: int = 0
    started_at: float = -math.inf
    entry: int = 0
    entry_priority: int = 0
    pause_entry: int = 0
    paused_until: float = 0.0
    needs_refill: bool = False
    refill_priority: int = 0
    counted: tuple[int, int] = (0, 0)
    held_back: int = 0
    pace: Pace | None = None

    def started(self, now: float, every_s: float) -> None:
        """One of its tasks starts (monotonic)."""
        self.leased += 1
        if not is_short(every_s):
            self.started_at, self.pace = now, None
            return
        if self.pace is None:
            self.pace = Pace()
        self.started_at = self.pace.started(now, every_s)

    def settle(self, every_s: float) -> None:
        """It is about to go, and its starts with it: only when its pause began stays known."""
        if self.pace is not None and is_short(every_s):
            self.started_at = self.pace.settled(self.started_at, every_s)
        self.pace = None

    @property
    def ready(self) -> bool:
        """Whether a task could be taken from memory."""
        return bool(self.window.loaded) or self.tracked.first is not None

    @property
    def priority(self) -> int:
        """The highest priority that is ready. Call only when something is."""
        task = self.tracked.first
        if not self.window.loaded:
            assert task is not None
            return task.priority
        priority = self.window.priority
        return priority if task is None else max(priority, task.priority)

    def take(self, most: int) -> tuple[Range, int, Tracked | None]:
        """Take ready tasks: (range, priority, the tracked task if it is one). Only when `ready`.

        A tracked task goes first among its priority, and alone.
        """
        task = self.tracked.first
        if task is not None and (not self.window.loaded or task.priority >= self.window.priority):
            self.tracked.take()
            return task.range, task.priority, task
        found, priority = self.window.take(most)
        return found, priority, None

    @property
    def low(self) -> bool:
        """Whether something of it should be read from disk."""
        return self.window.low or self.tracked.low

    @property
    def empty_in_memory(self) -> bool:
        """Whether nothing of it is in memory, and something may be on disk."""
        return (self.window.more_on_disk and not self.window.loaded) or self.tracked.empty_in_memory

    @property
    def disk_priority(self) -> int:
        """The highest priority of blocks that wait on disk; that of tracked tasks is not known."""
        cursor = self.window.disk_cursor
        return cursor.priority if self.window.more_on_disk and cursor is not None else 0

    @property
    def in_memory(self) -> int:
        """How many of its tasks are in memory."""
        return self.window.loaded + len(self.tracked.in_memory)

    def clear(self) -> None:
        """Nothing waits any more."""
        self.window.clear()
        self.tracked.clear()
