"""One run inside the broker: its counts, and where its ready tasks wait. No policy of leasing."""

from __future__ import annotations

import heapq
from bisect import bisect_left, insort
from collections import deque
from dataclasses import dataclass, field
from typing import NamedTuple

from queue_manager.records import BLOCK_TASKS, RunOptions

from .changes import LoadedRun, RunRecord, RunState

WINDOW_TASKS = 10_000
AIM_S = 0.075
"""A lease should last about that long: 50 to 100 ms of work."""

LEAST_S = 0.001
"""A fair share that takes less than that costs more to hand out than to work on."""

_LEAST_TASKS = 64
_GROWTH = 4


class Range(NamedTuple):
    """Tasks `start` to `stop` of a block; first: number of the block's first task."""

    block: int
    first: int
    start: int
    stop: int


@dataclass(slots=True)
class Stray:
    """A task that left the plain way; it is leased alone from then on."""

    task: int
    block: int
    position: int
    priority: int
    attempts: int = 0
    losses: int = 0

    @property
    def range(self) -> Range:
        """The one task, as a range of its block."""
        return Range(self.block, self.task - self.position, self.position, self.position + 1)


@dataclass(slots=True)
class Lane:
    """The waiting tasks of one priority: a window of them here, the rest on disk behind it.

    last: the newest block that was taken into the window.
    """

    ready: deque[Range] = field(default_factory=deque)
    loaded: int = 0
    on_disk: int = 0
    last: int = 0

    def take(self, most: int) -> Range:
        """Take up to so many tasks from the front."""
        found = self.ready[0]
        size = found.stop - found.start
        if size > most:
            self.ready[0] = found._replace(start=found.start + most)
            found = found._replace(stop=found.start + most)
        else:
            self.ready.popleft()
        self.loaded -= found.stop - found.start
        return found

    def put_back(self, found: Range) -> None:
        """Tasks that were leased wait again, in front."""
        self.ready.appendleft(found)
        self.loaded += found.stop - found.start

    def admit(self, found: Range) -> None:
        """A new block on disk: into the window if there is room and nothing waits before it."""
        size = found.stop - found.start
        if self.on_disk == 0 and self.loaded + size <= WINDOW_TASKS:
            self.ready.append(found)
            self.loaded += size
            self.last = found.block
        else:
            self.on_disk += size

    @property
    def room(self) -> int:
        """How many tasks to read ahead; the last block that is found may be a whole one."""
        return WINDOW_TASKS - BLOCK_TASKS - self.loaded

    @property
    def empty(self) -> bool:
        """Whether none of its tasks waits."""
        return not self.ready and self.on_disk == 0

    @property
    def wants_refill(self) -> bool:
        """Whether tasks on disk should be read ahead."""
        return self.on_disk > 0 and self.loaded < WINDOW_TASKS // 2


@dataclass(slots=True)
class Run:
    """One execution of a job, as the broker knows it.

    tasks, done, dead, leased, delayed: counts of tasks. last_seq: newest outcome on disk.
    lanes: of the priorities that have waiting tasks, order: these priorities, lowest first.
    newest: the newest block that was in a window. alone: the strays, as a heap.
    """

    id: int
    job: str
    words: list[str]
    key: str | None
    options: RunOptions
    started_at: float
    state: RunState = "active"
    exhausted: bool = False
    ended_at: float | None = None
    collected: int = 0
    collected_into: int = 0
    collect_errors: int = 0
    tasks: int = 0
    accepted: int = 0
    done: int = 0
    dead: int = 0
    leased: int = 0
    delayed: int = 0
    last_seq: int = 0
    lanes: dict[int, Lane] = field(default_factory=dict)
    order: list[int] = field(default_factory=list)
    newest: int = 0
    alone: list[tuple[int, int, Stray]] = field(default_factory=list)
    size: int = 1
    pace_s: float | None = None

    @property
    def waiting(self) -> int:
        """Tasks that could be leased now, on disk too."""
        return self.tasks - self.done - self.dead - self.leased - self.delayed

    @property
    def active(self) -> bool:
        """Whether it has not ended."""
        return self.state == "active"

    @property
    def ready(self) -> bool:
        """Whether a lease could be given from memory."""
        return bool(self.alone) or any(lane.ready for lane in self.lanes.values())

    def lane(self, priority: int) -> Lane:
        """The lane of a priority, made when it is new."""
        found = self.lanes.get(priority)
        if found is None:
            # None of its older blocks waits on disk, else its lane would still be here.
            found = self.lanes[priority] = Lane(last=self.newest)
            insort(self.order, priority)
        return found

    def admit(self, priority: int, found: Range) -> None:
        """Tasks of a new block wait from now on."""
        self.lane(priority).admit(found)
        self.newest = max(self.newest, found.block)

    def put_back(self, priority: int, found: Range) -> None:
        """Tasks that were leased wait again, in front."""
        self.lane(priority).put_back(found)

    def put_alone(self, stray: Stray) -> None:
        """A stray waits: the highest priority first, then the oldest task."""
        heapq.heappush(self.alone, (-stray.priority, stray.task, stray))

    def drop_if_empty(self, priority: int) -> None:
        """Forget a lane without waiting tasks: priorities may be as many as tasks."""
        if self.lanes[priority].empty:
            del self.lanes[priority]
            del self.order[bisect_left(self.order, priority)]

    def take(self, most: int) -> tuple[Range, int, Stray | None]:
        """Take ready tasks: (range, priority, the stray if it is one). Call only when `ready`.

        A stray goes first among its priority, and alone.
        """
        priority = next((p for p in reversed(self.order) if self.lanes[p].ready), None)
        if self.alone and (priority is None or -self.alone[0][0] >= priority):
            *_, stray = heapq.heappop(self.alone)
            return stray.range, stray.priority, stray
        assert priority is not None
        found = self.lanes[priority].take(most)
        self.drop_if_empty(priority)
        return found, priority, None

    @property
    def least(self) -> int:
        """How many tasks a fair share is never cut below."""
        return int(min(_LEAST_TASKS, LEAST_S / self.pace_s)) if self.pace_s else 0

    def learn(self, tasks: int, took_s: float) -> None:
        """Adapt the size of a lease to how long tasks take."""
        pace_s = took_s / tasks
        self.pace_s = pace_s if self.pace_s is None else (self.pace_s + pace_s) / 2
        most = min(self.size * _GROWTH, BLOCK_TASKS)
        too_long = self.pace_s * most > AIM_S
        self.size = most if not too_long else max(1, min(int(AIM_S / self.pace_s), most))

    @classmethod
    def loaded(cls, loaded: LoadedRun) -> Run:
        """A run as the store has it; where its tasks wait is not known yet."""
        record = loaded.record
        return cls(
            record.id,
            record.job,
            record.words,
            record.key,
            record.options,
            record.started_at,
            state=record.state,
            exhausted=record.exhausted,
            ended_at=record.ended_at,
            collected=record.collected,
            collected_into=record.collected_into,
            collect_errors=record.collect_errors,
            tasks=loaded.tasks,
            accepted=loaded.accepted,
            done=loaded.done,
            dead=loaded.dead,
            last_seq=loaded.last_seq,
        )

    def record(self) -> RunRecord:
        """What is durable of it."""
        return RunRecord(
            self.id,
            self.job,
            self.words,
            self.key,
            self.options,
            self.state,
            self.exhausted,
            self.started_at,
            self.ended_at,
            self.collected,
            self.collect_errors,
            self.collected_into,
        )
