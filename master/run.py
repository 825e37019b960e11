"""One run inside the broker: its counts, and where its ready tasks wait. No policy of leasing."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from typing import NamedTuple

from queue_manager.records import BLOCK_TASKS, RunOptions

from .changes import RunRecord, RunState

WINDOW_TASKS = 10_000
AIM_S = 0.075
"""A lease should last about that long: 50 to 100 ms of work."""

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
        if self.on_disk == 0 and self.loaded < WINDOW_TASKS:
            self.ready.append(found)
            self.loaded += size
            self.last = found.block
        else:
            self.on_disk += size

    @property
    def wants_refill(self) -> bool:
        """Whether tasks on disk should be read ahead."""
        return self.on_disk > 0 and self.loaded < WINDOW_TASKS // 2


@dataclass(slots=True)
class Run:
    """One execution of a job, as the broker knows it.

    tasks, done, dead, leased, delayed: counts of tasks. last_seq: newest outcome on disk.
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
    collect_errors: int = 0
    tasks: int = 0
    accepted: int = 0
    done: int = 0
    dead: int = 0
    leased: int = 0
    delayed: int = 0
    last_seq: int = 0
    lanes: dict[int, Lane] = field(default_factory=dict)
    alone: deque[Stray] = field(default_factory=deque)
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
            found = self.lanes[priority] = Lane()
            self.lanes = dict(sorted(self.lanes.items(), reverse=True))
        return found

    def take(self, most: int) -> tuple[Range, int, Stray | None]:
        """Take ready tasks: (range, priority, the stray if it is one). Call only when `ready`.

        A stray goes first among its priority, and alone.
        """
        for priority, lane in self.lanes.items():
            stray = self.alone[0] if self.alone else None
            if stray is not None and stray.priority >= priority:
                break
            if lane.ready:
                return lane.take(most), priority, None
        stray = self.alone.popleft()
        return stray.range, stray.priority, stray

    def learn(self, tasks: int, took_s: float) -> None:
        """Adapt the size of a lease to how long tasks take."""
        pace_s = took_s / tasks
        self.pace_s = pace_s if self.pace_s is None else (self.pace_s + pace_s) / 2
        aim = int(AIM_S / self.pace_s) if self.pace_s > 0 else BLOCK_TASKS
        self.size = max(1, min(aim, self.size * _GROWTH, BLOCK_TASKS))

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
        )
