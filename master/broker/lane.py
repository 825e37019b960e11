"""A lane: where the tasks of a run wait that have no group, or those of one limited group."""

from __future__ import annotations

import heapq
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field

from queue_manager.records import GroupLimit

from .strays import Stray, Strays
from .window import WINDOW_TASKS, Range, Window

GROUP_TASKS = 64
_REFILLS = 256
"""How many lanes are read ahead in one go: each is a question to the disk."""


@dataclass(slots=True, eq=False)
class Lane:
    """Plain tasks in a window, strays by themselves. group: None for tasks without one.

    Of a limited group: leased: how many of its tasks are. next_at: when the next may start
    (monotonic). turn: its entry among those that may start now, 0 when it is not among them;
    turn_priority: with which priority. counted: how many of its plain tasks in memory, and of its
    ready strays, its run has counted.
    """

    group: str | None = None
    window: Window = field(default_factory=Window)
    strays: Strays = field(default_factory=Strays)
    leased: int = 0
    next_at: float = 0.0
    turn: int = 0
    turn_priority: int = 0
    cooling: bool = False
    hungry: bool = False
    counted: tuple[int, int] = (0, 0)

    @property
    def ready(self) -> bool:
        """Whether a task could be taken from memory."""
        return bool(self.window.loaded) or self.strays.first is not None

    @property
    def priority(self) -> int:
        """The highest priority that is ready. Call only when something is."""
        stray = self.strays.first
        if not self.window.loaded:
            assert stray is not None
            return stray.priority
        plain = self.window.priority
        return plain if stray is None else max(plain, stray.priority)

    def take(self, most: int) -> tuple[Range, int, Stray | None]:
        """Take ready tasks: (range, priority, the stray if it is one). Call only when `ready`.

        A stray goes first among its priority, and alone.
        """
        stray = self.strays.first
        if stray is not None and (not self.window.loaded or stray.priority >= self.window.priority):
            self.strays.take()
            return stray.range, stray.priority, stray
        found, priority = self.window.take(most)
        return found, priority, None

    @property
    def low(self) -> bool:
        """Whether something of it should be read from disk."""
        return self.window.low or self.strays.low

    @property
    def starved(self) -> bool:
        """Whether nothing of it is in memory, and something may be on disk."""
        window, strays = self.window, self.strays
        return (window.more and not window.loaded) or (strays.more and not strays.here)

    @property
    def here(self) -> int:
        """How many of its tasks are in memory."""
        return self.window.loaded + len(self.strays.here)

    def clear(self) -> None:
        """Nothing waits any more."""
        self.window.clear()
        self.strays.clear()


class Groups:
    """The lanes of the limited groups of one run, and which of them may start a task.

    They take turns within a priority. A lane that may not start holds little in memory and asks
    for nothing from disk, so that it never takes the room of the others. not_before: no lane
    starts a task earlier, for when it last did is not known (monotonic).
    """

    def __init__(self, limit: GroupLimit) -> None:
        self.limit = limit
        self.not_before = 0.0
        self.lanes: dict[str, Lane] = {}
        self.loaded = self.ready_strays = 0
        self._turns: list[tuple[int, int, Lane]] = []
        self._cooling: list[tuple[float, int, Lane]] = []
        self._hungry: deque[Lane] = deque()
        self._count = 0

    def lane(self, group: str) -> Lane:
        """The lane of a group, made when it is new."""
        found = self.lanes.get(group)
        if found is None:
            most = max(1, min(GROUP_TASKS, WINDOW_TASKS // (len(self.lanes) + 1)))
            found = Lane(group, Window(most), Strays(most), next_at=self.not_before)
            self.lanes[group] = found
        return found

    # --- who may start ---

    @property
    def best(self) -> Lane | None:
        """The lane whose task should start next."""
        turns = self._turns
        while turns and (turns[0][2].turn != turns[0][1] or not turns[0][2].ready):
            _, turn, lane = heapq.heappop(turns)
            if lane.turn == turn:
                lane.turn = 0
        return turns[0][2] if turns else None

    def may_start(self, lane: Lane, now: float) -> bool:
        """Whether the limit allows one more."""
        at_once = self.limit.at_once
        return lane.next_at <= now and (at_once is None or lane.leased < at_once)

    def started(self, lane: Lane, now: float) -> None:
        """A task of the lane was leased."""
        lane.leased += 1
        lane.next_at = now + self.limit.every_s
        lane.turn = 0  # to the end of the line
        self.look(lane, now)

    def admit(self, lane: Lane, priority: int, found: Range, now: float) -> None:
        """Tasks of a new block wait; on disk alone when many of other groups are in memory."""
        if self.loaded < WINDOW_TASKS:
            lane.window.admit(priority, found)
        else:
            lane.window.leave(priority, found)
        self.look(lane, now)

    def look(self, lane: Lane, now: float) -> None:
        """Something about a lane has changed: find its place anew, or leave it where it is."""
        may_start = self.may_start(lane, now)
        others = self.loaded - lane.counted[0]
        if not may_start and others + lane.window.loaded > WINDOW_TASKS // 2:
            lane.window.unload()  # others need the room meanwhile
        loaded, ready = lane.window.loaded, lane.strays.ready_count
        self.loaded += loaded - lane.counted[0]
        self.ready_strays += ready - lane.counted[1]
        lane.counted = loaded, ready
        if not may_start:
            lane.turn = 0
            if lane.next_at > now and not lane.cooling:
                lane.cooling = True
                self._count += 1
                heapq.heappush(self._cooling, (lane.next_at, self._count, lane))
            return
        if not lane.ready:
            lane.turn = 0
        elif not lane.turn or lane.turn_priority != lane.priority:
            self._count += 1
            lane.turn, lane.turn_priority = self._count, lane.priority
            heapq.heappush(self._turns, (-lane.priority, self._count, lane))
        if lane.low and not lane.hungry:
            lane.hungry = True
            self._hungry.append(lane)
        if not (lane.here or lane.low or lane.leased) and self._has(lane):
            del self.lanes[lane.group or ""]  # there may be as many groups as tasks

    def _has(self, lane: Lane) -> bool:
        return self.lanes.get(lane.group or "") is lane

    def wake(self, now: float) -> None:
        """Pauses that are over end."""
        while self._cooling and self._cooling[0][0] <= now:
            _, _, lane = heapq.heappop(self._cooling)
            lane.cooling = False
            self.look(lane, now)

    @property
    def next_due(self) -> float | None:
        """When the next pause is over (monotonic)."""
        return self._cooling[0][0] if self._cooling else None

    # --- the disk ---

    def hungry(self) -> Iterator[Lane]:
        """Lanes that may start and have too little in memory, while there is room."""
        for _ in range(min(_REFILLS, len(self._hungry))):
            if self.loaded >= WINDOW_TASKS:
                return
            lane = self._hungry.popleft()
            lane.hungry = False
            if self._has(lane) and lane.low:
                yield lane

    @property
    def more_hungry(self) -> bool:
        """Whether `hungry` has more to give."""
        return bool(self._hungry) and self.loaded < WINDOW_TASKS

    def clear(self) -> None:
        """Nothing waits any more."""
        for lane in self.lanes.values():
            lane.clear()
        self.lanes.clear()
        self.loaded = self.ready_strays = 0
        self._turns.clear()
        self._cooling.clear()
        self._hungry.clear()
