"""The limited groups of one run: which of their lanes may start a task, and which goes first."""

from __future__ import annotations

import heapq
import math
from collections.abc import Iterable, Iterator

from queue_manager.wire.records import GroupLimit

from .absent import AbsentGroups
from .group_limits import Limits
from .lane import Lane
from .tracked import TrackedTasks
from .window import WINDOW_TASKS, Range, Window

GROUP_TASKS = 64
"""How many tasks of a group are in memory at most."""

LANES = 4_096
"""How many lanes of a run stay in memory, about 1.3 kB each, beside those with tasks leased."""

_REFILLS = 256
"""How many lanes are read ahead in one go. Each takes a read from disk."""

_FEW = 256
"""While fewer lanes may start a task, others are sought on disk."""

_SPARE = 64
"""How many entries of pauses may be out of date, beside one for each lane."""


class Groups:
    """The lanes of the limited groups of one run, and which of them may start a task.

    They take turns within a priority. A lane that may not start holds little in memory and asks
    for nothing from disk, so that it never takes the room of the others.

    limits: what holds back the groups. absent: the groups without a lane; hidden: where on disk
    these may be found. loaded: tasks in all windows; held_back: those of lanes that may not start
    one; ready_tracked: tracked tasks whose delay is over.
    """

    def __init__(self, limit: GroupLimit) -> None:
        self.limits = Limits(limit)
        self.absent = AbsentGroups(self.limits)
        self.hidden = self.absent.hidden
        self.lanes: dict[str, Lane] = {}
        self.loaded = self.held_back = self.ready_tracked = 0
        self._stay = 0
        self._rotation: list[tuple[int, int, Lane]] = []
        self._paused: list[tuple[float, int, Lane]] = []
        self._to_refill: list[tuple[int, int, Lane]] = []
        self._entries = 0

    def lane(self, group: str) -> Lane:
        """The lane of a group, made when it is new."""
        found = self.lanes.get(group)
        if found is None:
            most = max(1, min(GROUP_TASKS, WINDOW_TASKS // (len(self.lanes) + 1)))
            started_at, more_on_disk = self.absent.come(group)
            found = Lane(group, Window(most), TrackedTasks(most), started_at=started_at)
            found.window.more_on_disk = found.tracked.more_on_disk = more_on_disk
            self.lanes[group] = found
        return found

    # --- groups without a lane ---

    def known(self) -> list[str]:
        """The groups that have a lane, or wait for a pause to end. All other groups may start."""
        return [*self.lanes, *self.absent.waiting]

    def takes(self, group: str, priority: int) -> bool:
        """Whether tasks of a group may come into memory: there is room, or they are urgent.

        If not, they wait on disk alone.
        """
        if group in self.lanes:
            return True
        if self.limits.unknown(group):
            return False  # it is found on disk, with what it has of its own
        if len(self.lanes) < LANES:
            return True
        best = self.best
        return best is None or priority > best.priority

    def unknown(self, groups: Iterable[str]) -> list[str]:
        """The groups among these that may have something of their own on disk alone."""
        unknown = self.limits.unknown
        return [group for group in groups if group not in self.lanes and unknown(group)]

    def seeks(self) -> bool:
        """Whether to search the disk for groups with blocks."""
        if not self.hidden.more:
            return False
        best = self.best
        return self.few or (best is not None and best.priority < self.hidden.top)

    @property
    def few(self) -> bool:
        """Whether more groups may come into memory, since few lanes may start a task."""
        if self.best is None and not self._to_refill:
            return True
        return len(self._rotation) + len(self._to_refill) < _FEW and len(self.lanes) < LANES

    def seeks_tracked(self, now: float) -> bool:
        """Whether to search the disk for groups with tracked tasks that are due."""
        return self.hidden.due_at <= now and self.few

    def found(self, group: str, now: float, tracked: bool) -> None:
        """A group may have something on disk. tracked: a tracked task that is due."""
        if group not in self.lanes and self.absent.wants_lane(group, now, tracked):
            lane = self.lane(group)
            lane.window.more_on_disk = lane.tracked.more_on_disk = True
            self.look(lane, now)

    def make_room(self, now: float, wall: float) -> None:
        """Drop lanes that may not start a task when there are too many: the disk has it all.

        Of the lanes that may start one, the least urgent go when these alone are too many.
        """
        self.absent.make_room(now, self.lanes)
        slack = LANES // 8
        self._stay = min(self._stay, len(self.lanes))
        if len(self.lanes) <= max(LANES, self._stay) + slack:
            return
        free = [
            lane for lane in self.lanes.values() if not lane.leased and not lane.tracked.quarantined
        ]
        wanted = [lane for lane in free if lane.entry or lane.needs_refill]
        for lane in free:
            if not (lane.entry or lane.needs_refill):
                self._leave(lane, now, wall)
        if len(wanted) > LANES + slack:
            wanted.sort(key=lambda lane: (self._priority(lane), -lane.entry))
            for lane in wanted[: len(wanted) - LANES]:
                self._leave(lane, now, wall)
        self._stay = len(self.lanes)

    @staticmethod
    def _priority(lane: Lane) -> int:
        return lane.priority if lane.ready else lane.disk_priority

    def _leave(self, lane: Lane, now: float, wall: float) -> None:
        group = lane.group or ""
        window, tracked = lane.window, lane.tracked
        lane.settle(self.limits.of(group).every_s)
        next_at = self.next_at(lane)
        if next_at > now:
            waits = window.more_on_disk or tracked.more_on_disk or bool(lane.in_memory)
            self.absent.pause(group, lane.started_at, next_at, waits)
        else:
            self.limits.keep(group, lane.started_at)
            if window.more_on_disk or window.loaded:
                self.hidden.leave(self._priority(lane))
            self._leave_tracked(tracked, now, wall)
        lane.clear()
        self._count(lane, True)
        lane.entry = lane.pause_entry = 0
        lane.needs_refill = False
        del self.lanes[group]

    def _leave_tracked(self, tracked: TrackedTasks, now: float, wall: float) -> None:
        if tracked.more_on_disk and tracked.disk_cursor is None:
            self.hidden.all_tracked()
        elif tracked.more_on_disk and tracked.disk_cursor is not None:
            due_at, task = tracked.disk_cursor
            self.hidden.leave_tracked((due_at, task + 1), now + max(0.0, due_at - wall))
        for one in tracked.in_memory.values():
            self.hidden.leave_tracked(one.due, now + max(0.0, one.due_at - wall))

    # --- who may start ---

    @property
    def best(self) -> Lane | None:
        """The lane whose task should start next."""
        rotation = self._rotation
        while rotation and (rotation[0][2].entry != rotation[0][1] or not rotation[0][2].ready):
            _, entry, lane = heapq.heappop(rotation)
            if lane.entry == entry:
                lane.entry = 0
        return rotation[0][2] if rotation else None

    @property
    def startable(self) -> int:
        """How many lanes may start a task. A few too many: some have left the rotation since."""
        return 0 if self.best is None else len(self._rotation)

    def next_at(self, lane: Lane) -> float:
        """When the next task of a lane may start (monotonic)."""
        return self.limits.next_at(lane.group or "", lane.started_at)

    def next_start(self, group: str) -> float:
        """When the next task of a group may start, whether it has a lane or not (monotonic)."""
        lane = self.lanes.get(group)
        if lane is not None:
            return self.next_at(lane)
        return self.limits.next_at(group, self.limits.started_at(group))

    def may_start(self, lane: Lane, now: float) -> bool:
        """Whether the limit of a lane lets one more task start."""
        at_once = self.limits.of(lane.group or "").at_once
        return self.next_at(lane) <= now and (at_once is None or lane.leased < at_once)

    def may_wait(self, lane: Lane) -> bool:
        """Whether its task may wait in a worker: nothing of its group runs or pauses meanwhile."""
        limit = self.limits.of(lane.group or "")
        return limit.at_once == 1 and not limit.every_s

    def started(self, lane: Lane, now: float) -> None:
        """A task of the lane was leased."""
        lane.started(now, self.limits.of(lane.group or "").every_s)
        lane.entry = 0  # its next entry is the last one in the rotation
        self.look(lane, now)

    def admit(self, lane: Lane, priority: int, found: Range, now: float) -> None:
        """Tasks of a new block wait; on disk alone when there is no room in memory."""
        if self._has_room(priority):
            lane.window.admit(priority, found)
        else:
            lane.window.leave(priority, found)
        self.look(lane, now)

    def look(self, lane: Lane, now: float) -> None:
        """Something about a lane has changed: enter it where it belongs now."""
        may_start = self.may_start(lane, now)
        others = self.held_back - lane.held_back
        if not may_start and others + lane.window.loaded > WINDOW_TASKS // 2:
            lane.window.unload()  # groups that may start need the room meanwhile
        self._count(lane, may_start)
        if not may_start:
            lane.entry = 0
            self._pause(lane, now)
            return
        if not lane.ready:
            lane.entry = 0
        elif not lane.entry or lane.entry_priority != lane.priority:
            self._enter_rotation(lane)
        priority = lane.disk_priority
        if lane.low and (not lane.needs_refill or priority > lane.refill_priority):
            lane.needs_refill, lane.refill_priority = True, priority
            heapq.heappush(self._to_refill, (-priority, self._next_entry(), lane))
        if not (lane.in_memory or lane.low or lane.leased) and self._has(lane):
            del self.lanes[lane.group or ""]  # there may be as many groups as tasks
            lane.settle(self.limits.of(lane.group or "").every_s)
            self.limits.keep(lane.group or "", lane.started_at)

    def _count(self, lane: Lane, may_start: bool) -> None:
        loaded, ready = lane.window.loaded, lane.tracked.ready_count
        held_back = 0 if may_start else loaded
        self.held_back += held_back - lane.held_back
        lane.held_back = held_back
        self.loaded += loaded - lane.counted[0]
        self.ready_tracked += ready - lane.counted[1]
        lane.counted = loaded, ready

    def _enter_rotation(self, lane: Lane) -> None:
        lane.entry, lane.entry_priority = self._next_entry(), lane.priority
        heapq.heappush(self._rotation, (-lane.priority, lane.entry, lane))

    def _next_entry(self) -> int:
        self._entries += 1
        return self._entries

    def look_at(self, group: str, now: float) -> None:
        """A limit or pause of a group has changed. The group may have no lane."""
        lane = self.lanes.get(group)
        if lane is not None:
            self.look(lane, now)
        elif not self.absent.pause_changed(group) and self.hidden.anything:
            self.hidden.look_again(0.0)

    def _pause(self, lane: Lane, now: float) -> None:
        """Look at a lane when its pause is over; once more then, if the pause has become longer."""
        next_at = self.next_at(lane)
        if next_at <= now or (lane.pause_entry and lane.paused_until <= next_at):
            return
        lane.pause_entry, lane.paused_until = self._next_entry(), next_at
        heapq.heappush(self._paused, (next_at, lane.pause_entry, lane))
        if len(self._paused) > 2 * len(self.lanes) + _SPARE:  # pauses that have become shorter
            self._paused = [entry for entry in self._paused if entry[2].pause_entry == entry[1]]
            heapq.heapify(self._paused)

    def _has(self, lane: Lane) -> bool:
        return self.lanes.get(lane.group or "") is lane

    def wake(self, now: float) -> None:
        """Pauses that are over end."""
        self.hidden.wake(now)
        for group in self.absent.ended_pauses(now):
            self.look(self.lane(group), now)
        while self._paused and self._paused[0][0] <= now:
            _, entry, lane = heapq.heappop(self._paused)
            if lane.pause_entry == entry:
                lane.pause_entry = 0
                self.look(lane, now)

    def limit_changed(self, now: float) -> None:
        """The run has another limit. It also sets the length of the pauses that have begun."""
        for lane in list(self.lanes.values()):
            self.look(lane, now)
        self.absent.sort_pauses()
        # Groups on disk alone might start under the limit before this one; nothing else is known.
        self.limits.forgotten_at = max(self.limits.forgotten_at, self.limits.left_at)
        if self.hidden.anything:
            self.hidden.leave(None)

    @property
    def next_due(self) -> float | None:
        """When the next pause is over (monotonic)."""
        due = min(self.absent.next_pause, self.hidden.next_due if self.few else math.inf)
        if self._paused:
            due = min(due, self._paused[0][0])
        return due if due < math.inf else None

    # --- the disk ---

    def lanes_to_refill(self) -> Iterator[Lane]:
        """Lanes that may start and have too little in memory, while there is room.

        Entries of lanes that have gone don't count: as many may come as go, again and again.
        """
        left = _REFILLS
        while left and self.more_to_refill:
            *_, lane = heapq.heappop(self._to_refill)
            if lane.needs_refill and self._has(lane) and lane.low:
                left -= 1
                yield lane
            lane.needs_refill = False

    @property
    def more_to_refill(self) -> bool:
        """Whether `lanes_to_refill` has more to give."""
        return bool(self._to_refill) and self._has_room(-self._to_refill[0][0])

    def _has_room(self, priority: int) -> bool:
        """Whether tasks of a priority may come into memory: there is room, or they go first."""
        if self.loaded < WINDOW_TASKS:
            return True
        best = self.best
        return best is not None and priority > best.priority

    def clear(self) -> None:
        """Nothing waits any more. Pauses go on: tasks may be tried again."""
        for lane in self.lanes.values():
            lane.settle(self.limits.of(lane.group or "").every_s)
            self.limits.started_before = max(self.limits.started_before, lane.started_at)
            lane.clear()
        self.absent.clear()
        self.lanes.clear()
        self.loaded = self.held_back = self.ready_tracked = 0
        self._rotation.clear()
        self._paused.clear()
        self._to_refill.clear()
