"""What a turn makes durable: the records between broker and store. No rows, no SQL, no logic."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import NamedTuple

import msgspec

from queue_manager.codec import NOTHING
from queue_manager.wire.failures import RetryNote
from queue_manager.wire.records import NOBODY_COLLECTS, GroupLimit, RunOptions

from .history import Counted, HistoryRecord
from .scheduled import ScheduleRecord
from .tries import Fate

QUEUE_RUN = 0
"""The run of the tasks that standard-library clients put; it never ends."""

CANCELLED = b"C"
"""The results of tasks that were cancelled. No batch of results begins so."""

OWN_GROUPS = 4_096
"""A run is loaded with what its groups have of their own if at most this many have something. If
more have, none of it is loaded at first."""


class RunState(StrEnum):
    """How a run stands. PRUNED: only its row is left, so that its key stays taken."""

    ACTIVE = "active"
    DONE = "done"
    FAILED = "failed"
    CANCELLED = "cancelled"
    PRUNED = "pruned"


class TrackedState(StrEnum):
    """How a tracked task stands. DEAD: it is a dead letter."""

    WAITING = "waiting"
    DONE = "done"
    DEAD = "dead"


@dataclass(frozen=True, slots=True)
class BlockRecord:
    """Consecutive tasks of one run and priority. first: the number of the first task."""

    id: int
    run: int
    first: int
    count: int
    body: bytes
    keys: list[str] | None = None
    group: str | None = None
    priority: int = 0


@dataclass(frozen=True, slots=True)
class OutcomeRecord:
    """Results of the tasks at the positions `start` to `stop` of a block. seq only grows.

    Tasks that were cancelled have one, too: its results are `CANCELLED`.
    """

    seq: int
    run: int
    block: int
    first: int
    start: int
    stop: int
    results: bytes

    @property
    def is_cancelled(self) -> bool:
        """Whether the tasks were cancelled."""
        return self.results == CANCELLED

    @property
    def tasks(self) -> tuple[int, int]:
        """The numbers of the tasks: the first, and the one behind the last."""
        return self.first + self.start, self.first + self.stop

    @property
    def readable(self) -> int:
        """How many results there are to read. A task that is done without a result has none."""
        return 0 if self.results in (NOTHING, CANCELLED) else self.stop - self.start


@dataclass(frozen=True, slots=True)
class TrackedRecord:
    """How a tracked task stands. It was retried, delayed or lost, or it is a dead letter.

    delay_s, due_at: the task waits for this delay, which counts from when the record was made.
    lease: the lease whose outcome was recorded, 0 if there was none. The task is settled for this
    lease and all older ones, also if a worker still holds one of them. worker: who reported the
    outcome. printed: the end of what the task printed. raised: what it raised, as plain data. seq:
    of a dead letter, its place among the outcomes; 0 of all other tasks. retries: how it was tried
    again after it was a dead letter, the newest last. The store alone writes them (`revived`): a
    record that replaces another one leaves those that are there. failure: the number of the group
    of a dead letter, which the store gives it. tries: how many tries have ended, which a retry does
    not set back. fate, ended_at, took_s: of the try that the record tells of, as in `Tried`. A
    record that replaces another one leaves the try of that one to `Store.read_tries`.
    """

    run: int
    task: int
    block: int
    position: int
    state: TrackedState
    attempts: int
    losses: int
    delay_s: float = 0.0
    due_at: float = 0.0
    error: str = ""
    evidence: str = ""
    priority: int = 0
    group: str | None = None
    lease: int = 0
    worker: str = ""
    printed: str = ""
    raised: bytes = b""
    seq: int = 0
    retries: list[RetryNote] = field(default_factory=list)
    failure: int = 0
    tries: int = 0
    fate: Fate = Fate.NONE
    ended_at: float = 0.0
    took_s: float | None = None

    @property
    def has_earlier(self) -> bool:
        """Whether the task was tried before the try that this record tells of."""
        return self.tries > (self.fate is not Fate.NONE)


class Revival(NamedTuple):
    """Dead letters of a run wait again, from the time of the note on, as if for the first time.

    tasks: their numbers; each of them is a dead letter. None: all that the run had before this
    turn. The note goes to what is kept of each of them.
    """

    note: RetryNote
    tasks: frozenset[int] | None = None


class Mishap(NamedTuple):
    """What is told of an attempt that gave no result. The names are those of `TrackedRecord`."""

    error: str = ""
    evidence: str = ""
    printed: str = ""
    raised: bytes = b""


@dataclass(frozen=True, slots=True, order=True)
class CollectCursor:
    """How far `collect()` has come in the results of a run. A cursor that is farther is greater.

    sequence: all results of the outcomes up to this one were collected. offset: how many results
    of the next outcome were collected, too. closed: nobody collects any more: everything
    was collected, or nothing will be.
    """

    closed: bool = field(default=False, kw_only=True)
    sequence: int = 0
    offset: int = 0

    @classmethod
    def at(cls, number: int, offset: int = 0) -> CollectCursor:
        """The cursor that the wire and the disk write as two numbers."""
        if number >= NOBODY_COLLECTS:
            return cls(closed=True)
        return cls(number, offset)

    @property
    def number(self) -> int:
        """The sequence number as the wire and the disk have it: NOBODY_COLLECTS if closed."""
        return NOBODY_COLLECTS if self.closed else self.sequence


class GivenArguments(msgspec.Struct, frozen=True, array_like=True):
    """Arguments that were given as values, not as texts.

    body: a dict of plain data by their names, encoded; empty if there are none. shown: each as a
    text for people, `name=value`, which may be cut.
    """

    body: bytes = b""
    shown: list[str] = []


@dataclass(frozen=True, slots=True)
class RunRecord:
    """One execution of a job.

    args: its arguments as they were given. version: of the job's code. cancelled: how many tasks
    had not ended when the run was cancelled. arguments: those that were given as values. after: the
    runs that it was submitted to wait for. waits_for: those of them that have not ended well yet;
    it has not begun while there are any. uploaded: a client has sent the code,
    which no file of the folder of jobs has. traceparent: of W3C's trace context; empty: none.
    """

    id: int
    job: str
    args: list[str]
    key: str | None = None
    options: RunOptions = field(default_factory=RunOptions)
    state: RunState = RunState.ACTIVE
    exhausted: bool = False
    started_at: float = 0.0
    ended_at: float | None = None
    collect_cursor: CollectCursor = field(default_factory=CollectCursor)
    collect_errors: int = 0
    version: str = ""
    cancelled: int = 0
    arguments: GivenArguments = field(default_factory=GivenArguments)
    after: list[int] = field(default_factory=list)
    waits_for: list[int] = field(default_factory=list)
    uploaded: bool = False
    traceparent: str = ""


@dataclass(frozen=True, slots=True)
class RunCounts:
    """How many tasks of a run there are. accepted: those from `tasks()`, without a key.

    tracked: the tracked tasks that wait. last_seq: the newest outcome. pruned: how many dead
    letters of the queue run are gone. last_dead: the newest dead letter, by its seq. died, failed,
    busy_s: as in `Counted`. told: what of all this is in rows of the history.
    """

    tasks: int = 0
    accepted: int = 0
    done: int = 0
    dead: int = 0
    tracked: int = 0
    last_seq: int = 0
    pruned: int = 0
    last_dead: int = 0
    died: int = 0
    failed: int = 0
    busy_s: float = 0.0
    told: Counted = field(default_factory=Counted)


@dataclass(frozen=True, slots=True)
class GroupRecord:
    """What a group of a run has of its own.

    limit: takes the place of the run's limit. delay_s, due_at: a task asked for this delay, which
    counts from when the record was made. No task of the group starts before its end.
    """

    limit: GroupLimit | None = None
    delay_s: float = 0.0
    due_at: float = 0.0


@dataclass(frozen=True, slots=True)
class QuotaCounts:
    """How many tasks that name a quota its run has accepted, and dropped above it."""

    accepted: int = 0
    dropped: int = 0


class Delivered(NamedTuple):
    """How far stock clients have read the queue run's results.

    seq, place: the first result that nobody was ever given: its outcome, and its place in that.
    behind: earlier results that may not have reached a client: they were on their way, or came
    back. left: how many results there are from that first one on, without those of the same commit.
    """

    seq: int = 0
    place: int = 0
    behind: tuple[tuple[int, int], ...] = ()
    left: int = 0


@dataclass(slots=True)
class Changes:
    """All that one turn makes durable, in one transaction.

    runs, counts, tracked, quotas and groups replace what was recorded of the same one before.
    grown: blocks that are on disk already, with the tasks that were added behind their last, by id.
    keys: the keys of the new tasks, by run. delivered: how far stock clients have read the queue
    run's results. workers: ids of workers that came (True) or left (False).
    revived: by run, which of its dead letters wait again, with no attempts and losses. forgotten:
    runs that are no more; `drop_some` deletes their rows. ended: runs that ended in this turn.
    Their records say so, too. begun: runs that have waited for others, and begin in this turn.
    code: the files of uploaded code by their paths, by version. It is kept as long as a run has
    that version.
    schedules: by name; None removes one. history: what is added to rows of single minutes.
    accepted: when blocks came, as marks (block, UTC epoch in seconds). They replace those before.
    """

    blocks: list[BlockRecord] = field(default_factory=list)
    grown: dict[int, BlockRecord] = field(default_factory=dict)
    outcomes: list[OutcomeRecord] = field(default_factory=list)
    tracked: dict[tuple[int, int], TrackedRecord] = field(default_factory=dict)
    runs: dict[int, RunRecord] = field(default_factory=dict)
    keys: dict[int, set[str]] = field(default_factory=dict)
    delivered: Delivered | None = None
    counts: dict[int, RunCounts] = field(default_factory=dict)
    workers: dict[str, bool] = field(default_factory=dict)
    revived: dict[int, list[Revival]] = field(default_factory=dict)
    forgotten: set[int] = field(default_factory=set)
    quotas: dict[tuple[int, str], QuotaCounts] = field(default_factory=dict)
    groups: dict[tuple[int, str], GroupRecord] = field(default_factory=dict)
    ended: set[int] = field(default_factory=set)
    begun: set[int] = field(default_factory=set)
    code: dict[str, dict[str, bytes]] = field(default_factory=dict)
    schedules: dict[str, ScheduleRecord | None] = field(default_factory=dict)
    history: list[HistoryRecord] = field(default_factory=list)
    accepted: list[tuple[int, float]] | None = None

    @property
    def must_commit(self) -> bool:
        """Whether somebody waits for the commit."""
        return bool(
            self.blocks
            or self.grown
            or self.outcomes
            or self.tracked
            or self.runs
            or self.revived
            or self.forgotten
            or self.quotas
            or self.groups
            or self.schedules
            or self.history
            or any(self.workers.values())
        )


@dataclass(frozen=True, slots=True)
class LoadedRun:
    """A run as the store has it.

    own: what groups have of their own, if the run is active and has few of those. more_own: groups
    may have something that is not in `own`; the broker asks for them one by one.
    """

    record: RunRecord
    counts: RunCounts
    own: dict[str, GroupRecord] = field(default_factory=dict)
    more_own: bool = False


class Place(NamedTuple):
    """Where a block stands among those that wait: the highest priority first, then the oldest."""

    priority: int
    block: int

    def before(self, other: Place) -> bool:
        """Whether it comes before the other."""
        return (-self.priority, self.block) < (-other.priority, other.block)


class WaitingBlock(msgspec.Struct, frozen=True, gc=False):
    """A block read ahead from the store. ranges: its tasks that neither ended nor are tracked.

    gc: thousands are made at a time, and Python's cyclic collector need not look at each of them.
    """

    id: int
    first: int
    priority: int
    ranges: list[tuple[int, int]]


class BlockState(msgspec.Struct, frozen=True, gc=False):
    """How the tasks of one block stand. tracked: the tracked ones that wait.

    waiting: ranges as in `WaitingBlock`. gc: as there.
    """

    id: int
    run: int
    first: int
    count: int
    priority: int
    group: str | None
    waiting: list[tuple[int, int]]
    tracked: list[TrackedRecord]
