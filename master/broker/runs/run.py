"""One run inside the broker: its counts, and how large its leases are. No policy of leasing."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, fields, replace
from operator import attrgetter
from typing import TYPE_CHECKING, Any

from queue_manager.wire.records import BLOCK_TASKS, RunOptions

from ...changes import (
    BlockRecord,
    CollectCursor,
    GivenArguments,
    LoadedRun,
    RunCounts,
    RunRecord,
    RunState,
)
from ...history import Counted
from ..lanes.groups import Groups
from ..lanes.lane import Lane
from ..lanes.tracked import Tracked
from ..lanes.window import Range
from .saved import SavedRun

if TYPE_CHECKING:
    from ..leases.lease import BlockLeases
    from .roster import Roster

AIM_S = 0.075
"""How long a lease should last, about: 50 to 100 ms of work."""

RESULTS_BYTES_S = 4 * 1024 * 1024 / AIM_S
"""How many bytes of results take a second: a lease has about 4 MiB of them at most. A worker would
hold hundreds of MB of results if they were made faster than a disk takes them."""

LEAST_S = 0.001
"""A share of tasks that takes less than that costs more to hand out than to work on."""

_GROWTH = 4


@dataclass(slots=True, weakref_slot=True, eq=False)
class Run:
    """One execution of a job, as the broker knows it.

    tasks, done, dead, leased, cancelled: counts of tasks. staged: those that are not on disk yet.
    tracked: tracked tasks that wait or are leased; tracked_leased: the leased ones of them.
    uploaded: a client has sent the code. last_seq: newest outcome on disk. last_dead: newest dead
    letter, also a staged one. pruned: dead letters of the queue run that are gone. died, failed,
    busy_s, told: as in `RunCounts`.
    after, waits_for, traceparent: as in `RunRecord`. A new list takes the place of the one before.
    lane: of the tasks without a group; groups: the lanes of the others, where they are limited.
    leases: of its tasks, by block, so that those of one block are found at once.
    roster: is told when what waits has changed; None before the run is in one.
    tail: the newest block, if it is small and nothing of it was leased: it may grow.
    """

    id: int
    job: str
    args: list[str]
    key: str | None
    options: RunOptions
    started_at: float
    version: str = ""
    state: RunState = RunState.ACTIVE
    exhausted: bool = False
    ended_at: float | None = None
    collect_cursor: CollectCursor = field(default_factory=CollectCursor)
    collect_errors: int = 0
    tasks: int = 0
    accepted: int = 0
    done: int = 0
    dead: int = 0
    cancelled: int = 0
    uploaded: bool = False
    leased: int = 0
    staged: int = 0
    tracked: int = 0
    tracked_leased: int = 0
    last_seq: int = 0
    last_dead: int = 0
    pruned: int = 0
    died: int = 0
    failed: int = 0
    busy_s: float = 0.0
    told: Counted = field(default_factory=Counted)
    arguments: GivenArguments = field(default_factory=GivenArguments)
    after: list[int] = field(default_factory=list)
    waits_for: list[int] = field(default_factory=list)
    traceparent: str = ""
    lane: Lane = field(default_factory=Lane)
    groups: Groups | None = None
    size: int = 1
    pace_s: float | None = None
    leases: dict[int, BlockLeases] = field(default_factory=dict)
    roster: Roster | None = None
    tail: BlockRecord | None = None

    def __post_init__(self) -> None:
        if self.options.per_group is not None:
            self.groups = Groups(self.options.per_group)

    def saved(self) -> SavedRun:
        """What restores all fields that a turn changes, except the collect cursor."""
        return SavedRun.of(self)

    def put_cursor(self, cursor: CollectCursor) -> None:
        """Set how far collecting has come.

        The cursor of a run that goes with its client is never closed, so a master that starts finds
        the run and removes it.
        """
        if self.options.lasting or not cursor.closed:
            self.collect_cursor = cursor

    @property
    def goes_with_client(self) -> bool:
        """Whether it stays as long as its client is there, however long ago it has ended."""
        return not (self.options.lasting or self.collect_cursor.closed)

    @property
    def code(self) -> str:
        """What a worker has or lacks to run it: the job by its name, or one uploaded version.

        Functions of several people may have the same name.
        """
        return self.version if self.uploaded else self.job

    @property
    def unended(self) -> int:
        """Tasks that have not ended."""
        return self.tasks - self.done - self.dead - self.cancelled - self.pruned

    @property
    def counted(self) -> Counted:
        """What is counted of it from its beginning on."""
        return Counted(self.done, self.died, self.failed, self.busy_s)

    @property
    def delayed(self) -> int:
        """Tasks whose delay is not over, and tracked tasks that wait on disk behind these."""
        ready = self.lane.tracked.ready_count
        if self.groups is not None:
            ready += self.groups.ready_tracked
        return self.tracked - self.tracked_leased - ready

    @property
    def waiting(self) -> int:
        """Tasks that could be leased now, in memory or on disk."""
        return self.unended - self.leased - self.staged - self.delayed

    @property
    def active(self) -> bool:
        """Whether it has not ended."""
        return self.state == "active"

    @property
    def pending(self) -> bool:
        """Whether it waits for other runs, and has not begun."""
        return self.active and bool(self.waits_for)

    @property
    def has_runner(self) -> bool:
        """Whether a runner gives its tasks, and no client does."""
        return self.options.feeder in ("runner", "results")

    @property
    def ended_well(self) -> bool:
        """Whether it is over without a dead letter: its `finish()`, which is a part of it, too."""
        over = self.collect_cursor.closed or not self.options.finish
        return self.state == "done" and over

    @property
    def all_args(self) -> list[str]:
        """Its arguments as people see them, those too that were given as values."""
        return [*self.args, *self.arguments.shown]

    @property
    def ready(self) -> bool:
        """Whether a lease could be given from memory."""
        return self.lane.ready or (self.groups is not None and self.groups.best is not None)

    @property
    def lanes(self) -> Iterator[Lane]:
        """Where its tasks wait."""
        yield self.lane
        if self.groups is not None:
            yield from self.groups.lanes.values()

    def known_lane(self, group: str | None) -> Lane | None:
        """The lane of a group. None: its tasks wait on disk alone."""
        if group is None or self.groups is None:
            return self.lane
        return self.groups.lanes.get(group)

    def lane_of(self, group: str | None) -> Lane:
        """The lane of a group."""
        return self.lane if group is None or self.groups is None else self.groups.lane(group)

    def look(self, lane: Lane, now: float) -> None:
        """What waits in a lane, or is leased of it, has changed."""
        if self.groups is not None and lane is not self.lane:
            self.groups.look(lane, now)
        self.attend()

    def attend(self) -> None:
        """What waits has changed, whatever lane it is in."""
        if self.roster is not None:
            self.roster.attend(self)

    def admit(self, group: str | None, priority: int, found: Range, now: float) -> None:
        """Tasks of a new block wait from now on."""
        if group is None or self.groups is None:
            self.lane.window.admit(priority, found)
        elif self.groups.takes(group, priority):
            self.groups.admit(self.groups.lane(group), priority, found, now)
        else:
            self.groups.absent.leave(group, priority)
        self.attend()

    def next_lane(self, at_once: bool, may_wait: bool = True) -> Lane | None:
        """Where the next task is. at_once: a task would start at once, as some groups want.

        may_wait: a task of a group that lets it may wait behind others.
        Within a priority tasks of limited groups go first: there are never many that may start.
        """
        best = None if self.groups is None else self.groups.best
        if best is not None and not at_once and not (may_wait and self.may_wait(best)):
            best = None
        if not self.lane.ready:
            return best
        return self.lane if best is None or self.lane.priority > best.priority else best

    def may_wait(self, lane: Lane) -> bool:
        """Whether a task of a lane may be leased before a slot is free for it."""
        return lane is self.lane or self.groups is None or self.groups.may_wait(lane)

    @property
    def startable(self) -> int:
        """How many limited groups may start a task, about."""
        return 0 if self.groups is None else self.groups.startable

    @property
    def next_to_wait(self) -> Lane | None:
        """Where the next task is, if it is one of a block and may wait behind others."""
        lane = self.next_lane(True)
        if lane is None or lane.tracked.first is not None or not self.may_wait(lane):
            return None
        return lane

    def take(self, lane: Lane, most: int) -> tuple[Range, int, Tracked | None]:
        """Take ready tasks of a lane: (range, priority, the tracked task if it is one)."""
        taken = lane.take(most if lane is self.lane else 1)
        if self.tail is not None and taken[0].block == self.tail.id:
            self.tail = None
        self.attend()
        return taken

    def clear(self) -> None:
        """Nothing of it waits any more."""
        self.lane.clear()
        if self.groups is not None:
            self.groups.clear()

    @property
    def least(self) -> int:
        """The fewest tasks of a fair share."""
        return int(min(BLOCK_TASKS, LEAST_S / self.pace_s)) if self.pace_s else 0

    def learn(self, tasks: int, took_s: float, results_bytes: int = 0) -> None:
        """Adapt the size of a lease to how long tasks take, and their results on their way."""
        pace_s = max(took_s, results_bytes / RESULTS_BYTES_S) / tasks
        self.pace_s = pace_s if self.pace_s is None else (self.pace_s + pace_s) / 2
        most = min(self.size * _GROWTH, BLOCK_TASKS)
        too_long = self.pace_s * most > AIM_S
        self.size = most if not too_long else max(1, min(int(AIM_S / self.pace_s), most))

    @classmethod
    def loaded(cls, loaded: LoadedRun) -> Run:
        """A run as the store has it; its tasks wait on disk."""
        record = zip(_RECORD, _record_of(loaded.record), strict=True)
        counts = zip(_COUNTS, _counts_of(loaded.counts), strict=True)
        run = cls(**dict(record), **dict(counts))
        if run.active and not run.pending:
            run.lane.window.more_on_disk = run.lane.tracked.more_on_disk = True
            if run.groups is not None:
                run.groups.hidden.everything()
        return run

    def record(self) -> RunRecord:
        """The durable part of the run, without its counts."""
        return RunRecord(*_record_of(self))

    def counts(self, last_seq: int) -> RunCounts:
        """The durable part of its counts. last_seq: the newest outcome, also a staged one."""
        return replace(RunCounts(*_counts_of(self)), last_seq=max(last_seq, self.last_seq))


# A run has a field for each field of its records. A new one is copied without another line.
_RECORD = [field.name for field in fields(RunRecord)]
_COUNTS = [field.name for field in fields(RunCounts)]
_record_of: Callable[[Run | RunRecord], tuple[Any, ...]] = attrgetter(*_RECORD)
_counts_of: Callable[[Run | RunCounts], tuple[Any, ...]] = attrgetter(*_COUNTS)
