"""A lane: where the tasks of a run wait that have no group, or those of one limited group."""

from __future__ import annotations

import heapq
import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from queue_manager.wire.records import GroupLimit

from .hidden import Hidden
from .limits import Limits
from .strays import Due, Stray, Strays
from .window import WINDOW_TASKS, Range, Window

GROUP_TASKS = 64
_REFILLS = 256
"""How many lanes are read ahead in one go: each is a question to the disk."""
LANES = 4_096
"""So many lanes of a run stay in memory, about 1.3 kB each, beside those with tasks leased."""
OWN = 16_384
"""What so many groups of a run have of their own stays in memory, about 0.5 kB each."""
_FEW = 256
"""While fewer lanes may start a task, others are looked for on disk."""

_COOLING = 64
"""So many entries of pauses may be out of date, beside one for each lane."""


@dataclass(slots=True, eq=False)
class Lane:
    """Plain tasks in a window, strays by themselves. group: None for tasks without one.

    Of a limited group: leased: how many of its tasks are. started_at: when one of them started
    last, as far as is known (monotonic). turn: its entry among those that may start now, 0 when it
    is not among them; turn_priority: with which priority. cooling: its entry among the pauses, 0
    when it has none; cooling_at: when that ends (monotonic). hungry: whether it is among those that
    are to be read ahead; hungry_priority: with which priority. counted: how many of its plain tasks
    in memory, and of its ready strays, its run has counted.
    """

    group: str | None = None
    window: Window = field(default_factory=Window)
    strays: Strays = field(default_factory=Strays)
    leased: int = 0
    started_at: float = -math.inf
    turn: int = 0
    turn_priority: int = 0
    cooling: int = 0
    cooling_at: float = 0.0
    hungry: bool = False
    hungry_priority: int = 0
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
        return (self.window.more and not self.window.loaded) or self.strays.starved

    @property
    def disk_priority(self) -> int:
        """The highest priority that waits on disk on the plain way; of strays nobody knows."""
        end = self.window.end
        return end.priority if self.window.more and end is not None else 0

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
    for nothing from disk, so that it never takes the room of the others. limit: the run's.
    """

    def __init__(self, limit: GroupLimit) -> None:
        self.limits = Limits(limit)
        self.lanes: dict[str, Lane] = {}
        self.loaded = self.ready_strays = 0
        self.hidden = Hidden()
        self._pauses: list[tuple[float, str]] = []
        self._wait: set[str] = set()
        self._stay = self._own_stays = 0
        self._turns: list[tuple[int, int, Lane]] = []
        self._cooling: list[tuple[float, int, Lane]] = []
        self._hungry: list[tuple[int, int, Lane]] = []
        self._count = 0

    def lane(self, group: str) -> Lane:
        """The lane of a group, made when it is new."""
        found = self.lanes.get(group)
        if found is None:
            most = max(1, min(GROUP_TASKS, WINDOW_TASKS // (len(self.lanes) + 1)))
            started_at = self.limits.started_at(group)
            found = Lane(group, Window(most), Strays(most), started_at=started_at)
            paused = self.limits.starts.pop(group, None) is not None
            found.window.more = found.strays.more = group in self._wait or (
                self.hidden.anything and not paused
            )
            self._wait.discard(group)
            self.lanes[group] = found
        return found

    # --- groups without a lane ---

    def known(self) -> list[str]:
        """The groups that have a lane, or wait for a pause to be over: the others may start."""
        return [*self.lanes, *self._wait]

    def takes(self, group: str, priority: int) -> bool:
        """Whether tasks of a group may come into memory: while there is room, or they are urgent.

        Those of a group without a lane may always wait on disk alone.
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
        """Those of these that may have something of their own on disk alone."""
        unknown = self.limits.unknown
        return [group for group in groups if group not in self.lanes and unknown(group)]

    def leave(self, group: str, priority: int) -> None:
        """Tasks of a new block of a group without a lane wait on disk alone."""
        if group in self.limits.starts:
            self._wait.add(group)
        else:
            self.hidden.leave(priority)

    def leave_stray(self, group: str, due: Due, due_at: float) -> None:
        """A stray of a group without a lane waits on disk alone. due_at: when it is due."""
        if group in self.limits.starts:
            self._wait.add(group)
        else:
            self.hidden.leave_stray(due, due_at)

    def seeks(self) -> bool:
        """Whether to look on disk for groups with tasks on the plain way."""
        if not self.hidden.more:
            return False
        best = self.best
        return self.few or (best is not None and best.priority < self.hidden.top)

    @property
    def few(self) -> bool:
        """Whether others may come into memory, since few here may start a task."""
        if self.best is None and not self._hungry:
            return True
        return len(self._turns) + len(self._hungry) < _FEW and len(self.lanes) < LANES

    def seeks_strays(self, now: float) -> bool:
        """Whether to look on disk for groups with strays that are due."""
        return self.hidden.due_at <= now and self.few

    def found(self, group: str, now: float, stray: bool) -> None:
        """A group may have something on disk. stray: one that is due."""
        if group in self.lanes:
            return  # it looks for itself
        started_at = self.limits.started_at(group)
        next_at = self.limits.next_at(group, started_at)
        if group in self.limits.starts:
            self._wait.add(group)
        elif next_at > now and stray:
            self._pause(group, started_at, next_at, True)
        elif next_at > now:
            self.hidden.look_again(next_at)
        else:
            lane = self.lane(group)
            lane.window.more = lane.strays.more = True
            self.look(lane, now)

    def _pause(self, group: str, started_at: float, next_at: float, waits: bool) -> None:
        """Keep of a group without a lane no more than when it may start again."""
        self.limits.starts[group] = started_at
        heapq.heappush(self._pauses, (next_at, group))
        if waits:
            self._wait.add(group)

    def make_room(self, now: float, wall: float) -> None:
        """Lanes that may not start a task go when there are too many: the disk has it all.

        Of those that may, the least urgent go when they alone are too many.
        """
        self._leave_own(now)
        self._leave_starts(now)
        slack = LANES // 8
        self._stay = min(self._stay, len(self.lanes))
        if len(self.lanes) <= max(LANES, self._stay) + slack:
            return
        free = [lane for lane in self.lanes.values() if not lane.leased and not lane.strays.apart]
        wanted = [lane for lane in free if lane.turn or lane.hungry]
        for lane in free:
            if not (lane.turn or lane.hungry):
                self._leave(lane, now, wall)
        if len(wanted) > LANES + slack:
            wanted.sort(key=lambda lane: (self._priority(lane), -lane.turn))
            for lane in wanted[: len(wanted) - LANES]:
                self._leave(lane, now, wall)
        self._stay = len(self.lanes)

    def _leave_own(self, now: float) -> None:
        """What groups without a lane have of their own goes when it is too much: it is on disk."""
        limits = self.limits
        stay = len(self.lanes) + min(self._own_stays, len(limits.starts))
        if len(limits.own) > OWN + stay:
            free = [g for g in limits.own if g not in self.lanes and limits.may_leave(g)]
            idle = [g for g in free if g not in limits.starts]
            # Of those that pause the ones that do so longest, which are looked for last.
            pausing = [g for g in free if g in limits.starts]
            pausing.sort(key=limits.paused_until, reverse=True)
            for group in [*idle, *pausing][: max(0, len(free) - OWN // 2)]:
                if group in self._wait:
                    self._wait.remove(group)
                    next_at = limits.paused_until(group)
                    self.hidden.look_again(next_at)
                    self.hidden.strays_again_at = min(self.hidden.strays_again_at, next_at)
                limits.leave(group, now)
            self._own_stays = sum(not limits.may_leave(g) for g in limits.own)
        if len(self._pauses) > 2 * len(limits.starts) + _COOLING:
            self._sort_pauses()

    def _leave_starts(self, now: float) -> None:
        """Groups that pause and are too many are looked for on disk, when that may be over."""
        gone = self.limits.forget_starts(now)
        waiting = self._wait.intersection(gone)
        if waiting:
            self._wait -= waiting
            next_at = min(self.limits.next_at(g, self.limits.started_at(g)) for g in waiting)
            self.hidden.look_again(next_at)
            self.hidden.strays_again_at = min(self.hidden.strays_again_at, next_at)
        if gone:
            self._sort_pauses()

    def _sort_pauses(self) -> None:
        starts = self.limits.starts
        self._pauses = [(self.limits.next_at(group, at), group) for group, at in starts.items()]
        heapq.heapify(self._pauses)

    @staticmethod
    def _priority(lane: Lane) -> int:
        return lane.priority if lane.ready else lane.disk_priority

    def _leave(self, lane: Lane, now: float, wall: float) -> None:
        group = lane.group or ""
        window, strays = lane.window, lane.strays
        next_at = self.next_at(lane)
        waits = bool(window.more or window.loaded or strays.more or strays.here)
        if next_at > now:
            self._pause(group, lane.started_at, next_at, waits)
        else:
            self.limits.keep(group, lane.started_at)
            if window.more or window.loaded:
                self.hidden.leave(self._priority(lane))
            if strays.more and strays.end is None:
                self.hidden.all_strays()
            elif strays.more and strays.end is not None:
                due_at, task = strays.end
                self.hidden.leave_stray((due_at, task + 1), now + max(0.0, due_at - wall))
            for stray in strays.here.values():
                self.hidden.leave_stray(stray.due, now + max(0.0, stray.due_at - wall))
        self.loaded -= lane.counted[0]
        self.ready_strays -= lane.counted[1]
        lane.clear()
        lane.turn = lane.cooling = 0
        lane.hungry = False
        del self.lanes[group]

    def _end_pauses(self, now: float) -> None:
        while self._pauses and self._pauses[0][0] <= now:
            _, group = heapq.heappop(self._pauses)
            started_at = self.limits.starts.get(group)
            if started_at is None:
                continue  # it has a lane again
            next_at = self.limits.next_at(group, started_at)
            if next_at > now:
                heapq.heappush(self._pauses, (next_at, group))
            elif group in self._wait:
                self.look(self.lane(group), now)
            else:
                del self.limits.starts[group]
                self.limits.keep(group, started_at)

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

    def next_at(self, lane: Lane) -> float:
        """When the next task of a lane may start (monotonic)."""
        return self.limits.next_at(lane.group or "", lane.started_at)

    def next_start(self, group: str) -> float:
        """The same of a group that may have no lane."""
        lane = self.lanes.get(group)
        if lane is not None:
            return self.next_at(lane)
        return self.limits.next_at(group, self.limits.started_at(group))

    def may_start(self, lane: Lane, now: float) -> bool:
        """Whether its limit allows one more."""
        at_once = self.limits.of(lane.group or "").at_once
        return self.next_at(lane) <= now and (at_once is None or lane.leased < at_once)

    def started(self, lane: Lane, now: float) -> None:
        """A task of the lane was leased."""
        lane.leased += 1
        lane.started_at = now
        lane.turn = 0  # to the end of the line
        self.look(lane, now)

    def admit(self, lane: Lane, priority: int, found: Range, now: float) -> None:
        """Tasks of a new block wait; on disk alone when many of other groups are in memory."""
        if self._has_room(priority):
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
            self._cool(lane, now)
            return
        if not lane.ready:
            lane.turn = 0
        elif not lane.turn or lane.turn_priority != lane.priority:
            self._count += 1
            lane.turn, lane.turn_priority = self._count, lane.priority
            heapq.heappush(self._turns, (-lane.priority, self._count, lane))
        priority = lane.disk_priority
        if lane.low and (not lane.hungry or priority > lane.hungry_priority):
            lane.hungry, lane.hungry_priority = True, priority
            self._count += 1
            heapq.heappush(self._hungry, (-priority, self._count, lane))
        if not (lane.here or lane.low or lane.leased) and self._has(lane):
            del self.lanes[lane.group or ""]  # there may be as many groups as tasks
            self.limits.keep(lane.group or "", lane.started_at)

    def look_at(self, group: str, now: float) -> None:
        """Something about a group has changed, which may have no lane."""
        lane = self.lanes.get(group)
        started_at = self.limits.starts.get(group)
        if lane is not None:
            self.look(lane, now)
        elif started_at is not None:
            heapq.heappush(self._pauses, (self.limits.next_at(group, started_at), group))
        elif self.hidden.anything:
            self.hidden.look_again(0.0)

    def _cool(self, lane: Lane, now: float) -> None:
        """Look again when its pause is over, or earlier: then it has become longer meanwhile."""
        next_at = self.next_at(lane)
        if next_at <= now or (lane.cooling and lane.cooling_at <= next_at):
            return
        self._count += 1
        lane.cooling, lane.cooling_at = self._count, next_at
        heapq.heappush(self._cooling, (next_at, self._count, lane))
        if len(self._cooling) > 2 * len(self.lanes) + _COOLING:  # pauses that have become shorter
            self._cooling = [entry for entry in self._cooling if entry[2].cooling == entry[1]]
            heapq.heapify(self._cooling)

    def _has(self, lane: Lane) -> bool:
        return self.lanes.get(lane.group or "") is lane

    def wake(self, now: float) -> None:
        """Pauses that are over end."""
        self.hidden.wake(now)
        self._end_pauses(now)
        while self._cooling and self._cooling[0][0] <= now:
            _, entry, lane = heapq.heappop(self._cooling)
            if lane.cooling == entry:
                lane.cooling = 0
                self.look(lane, now)

    def limit_changed(self, now: float) -> None:
        """The run's limit is another one: every pause is as long as that says, also a begun one."""
        for lane in list(self.lanes.values()):
            self.look(lane, now)
        self._sort_pauses()
        # Of groups on disk alone it is known that the limit before this one let them start.
        self.limits.forgotten_at = max(self.limits.forgotten_at, self.limits.left_at)
        if self.hidden.anything:
            self.hidden.leave(None)

    @property
    def next_due(self) -> float | None:
        """When the next pause is over (monotonic)."""
        due = self.hidden.next_due if self.few else math.inf
        if self._cooling:
            due = min(due, self._cooling[0][0])
        if self._pauses:
            due = min(due, self._pauses[0][0])
        return due if due < math.inf else None

    # --- the disk ---

    def hungry(self) -> Iterator[Lane]:
        """Lanes that may start and have too little in memory, while there is room."""
        for _ in range(min(_REFILLS, len(self._hungry))):
            if not self.more_hungry:
                return
            *_, lane = heapq.heappop(self._hungry)
            if lane.hungry and self._has(lane) and lane.low:
                yield lane
            lane.hungry = False

    @property
    def more_hungry(self) -> bool:
        """Whether `hungry` has more to give."""
        return bool(self._hungry) and self._has_room(-self._hungry[0][0])

    def _has_room(self, priority: int) -> bool:
        """Whether tasks of a priority may come into memory: the highest one always, a little."""
        if self.loaded < WINDOW_TASKS:
            return True
        best = self.best
        return best is not None and priority > best.priority

    def clear(self) -> None:
        """Nothing waits any more. Pauses go on: tasks may be tried again."""
        for lane in self.lanes.values():
            self.limits.started_before = max(self.limits.started_before, lane.started_at)
            lane.clear()
        self.limits.clear()
        self.lanes.clear()
        self.loaded = self.ready_strays = 0
        self.hidden.clear()
        self._pauses.clear()
        self._wait.clear()
        self._turns.clear()
        self._cooling.clear()
        self._hungry.clear()
