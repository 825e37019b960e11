"""What a turn makes durable: the records between broker and store. No rows, no SQL, no logic."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal, NamedTuple

import msgspec

from queue_manager.codec import NOTHING
from queue_manager.wire.records import GroupLimit, RunOptions

QUEUE_RUN = 0
"""The run of the tasks that standard-library clients put; it never ends."""

OWN_GROUPS = 4_096
"""What so many groups of a run have of their own is loaded with it; of more, none at first."""

RunState = Literal["active", "done", "failed", "cancelled", "pruned"]
StrayState = Literal["waiting", "done", "dead"]


@dataclass(frozen=True, slots=True)
class BlockRecord:
    """Consecutive tasks of one run and priority. first: number of its first task.

    from_tasks: `tasks()` gave it (a restarted runner skips as many as were accepted).
    """

    id: int
    run: int
    first: int
    count: int
    body: bytes
    keys: list[str] | None = None
    group: str | None = None
    priority: int = 0
    from_tasks: bool = False


@dataclass(frozen=True, slots=True)
class OutcomeRecord:
    """Results of the tasks at `start` to `stop` of a block; seq only grows."""

    seq: int
    run: int
    block: int
    first: int
    start: int
    stop: int
    results: bytes

    @property
    def readable(self) -> int:
        """How many results there are to read: none of a task that is done without one."""
        return 0 if self.results == NOTHING else self.stop - self.start


@dataclass(frozen=True, slots=True)
class StrayRecord:
    """How a task stands that left the plain way: retried, delayed, lost, or dead.

    delay_s, due_at: not before that delay is over, counted from when it was recorded.
    lease: the one that it was recorded for, 0 if for none: what a worker still holds of that lease
    or an older one was settled. worker: who reported it. printed: the end of what it printed.
    """

    run: int
    task: int
    block: int
    position: int
    state: StrayState
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


@dataclass(frozen=True, slots=True)
class RunRecord:
    """One execution of a job.

    collected: the outcome that `collect()` has reached; collected_into: and how many results of
    the one behind it. version: of the job's code. cancelled: tasks that had not ended when it was.

    A pruned one is what is left of a run with a key: the key is never given a second run.
    """

    id: int
    job: str
    words: list[str]
    key: str | None = None
    options: RunOptions = field(default_factory=RunOptions)
    state: RunState = "active"
    exhausted: bool = False
    started_at: float = 0.0
    ended_at: float | None = None
    collected: int = 0
    collect_errors: int = 0
    collected_into: int = 0
    version: str = ""
    cancelled: int = 0


@dataclass(frozen=True, slots=True)
class RunCounts:
    """How many tasks of a run there are. accepted: from `tasks()`, without a key.

    last_seq: its newest outcome. strays: those that wait (delayed, to be retried, lost). pruned:
    dead letters of the queue run that are gone.
    """

    tasks: int = 0
    accepted: int = 0
    done: int = 0
    dead: int = 0
    strays: int = 0
    last_seq: int = 0
    pruned: int = 0


@dataclass(frozen=True, slots=True)
class Pruned:
    """What a step of pruning the queue run has deleted.

    results: how many results, by the sequence number of their outcome. letters: the numbers
    of the tasks that were dead letters.
    last: where the next step goes on; over: there is nothing behind it.
    """

    results: dict[int, int]
    letters: list[int]
    last: int
    over: bool


@dataclass(frozen=True, slots=True)
class GroupRecord:
    """What a group of a run has of its own.

    limit: in the place of the run's. delay_s, due_at: nothing of it starts before that delay is
    over, which a task asked for, counted from when it was recorded.
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

    seq, place: the next result that nobody was ever given, as its outcome and the place in it.
    behind: those before it that nobody has for certain: they were on their way, or came back.
    left: how many results there are from that next one on, without those of the same commit.
    """

    seq: int = 0
    place: int = 0
    behind: tuple[tuple[int, int], ...] = ()
    left: int = 0


@dataclass(slots=True)
class Changes:
    """All that one turn makes durable, in one transaction.

    runs, counts, strays, quotas and groups replace what was recorded of the same one before.
    keys: of the new tasks, by run. delivered: how far stock clients have read the queue run's
    results. workers: ids of workers that came (True) or left (False).
    revived: runs whose dead letters of before this turn wait again, from that wall time on, with
    no attempts and losses. forgotten: runs that are no more; their rows go in `drop_some`.
    ended: runs that ended in this turn, which their records say, too.
    """

    blocks: list[BlockRecord] = field(default_factory=list)
    outcomes: list[OutcomeRecord] = field(default_factory=list)
    strays: dict[tuple[int, int], StrayRecord] = field(default_factory=dict)
    runs: dict[int, RunRecord] = field(default_factory=dict)
    keys: dict[int, set[str]] = field(default_factory=dict)
    delivered: Delivered | None = None
    counts: dict[int, RunCounts] = field(default_factory=dict)
    workers: dict[str, bool] = field(default_factory=dict)
    revived: dict[int, float] = field(default_factory=dict)
    forgotten: set[int] = field(default_factory=set)
    quotas: dict[tuple[int, str], QuotaCounts] = field(default_factory=dict)
    groups: dict[tuple[int, str], GroupRecord] = field(default_factory=dict)
    ended: set[int] = field(default_factory=set)

    @property
    def urgent(self) -> bool:
        """Whether somebody waits for it."""
        return bool(
            self.blocks
            or self.outcomes
            or self.strays
            or self.runs
            or self.revived
            or self.forgotten
            or self.quotas
            or self.groups
            or any(self.workers.values())
        )


@dataclass(frozen=True, slots=True)
class LoadedRun:
    """A run as the store has it.

    own: what groups have of their own, of an active run with few of those. more_own: groups may
    have something that is not in `own`; they are asked for one by one.
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
    """A block read ahead from the store: the ranges of it that neither ended nor strayed.

    Thousands are made at a time: Python's cyclic collector need not look at each (`gc`).
    """

    id: int
    first: int
    priority: int
    ranges: list[tuple[int, int]]


class BlockState(msgspec.Struct, frozen=True, gc=False):
    """How the tasks of one block stand. waiting: as in `WaitingBlock`. strays: those that wait.

    gc: as in `WaitingBlock`.
    """

    id: int
    run: int
    first: int
    count: int
    priority: int
    group: str | None
    waiting: list[tuple[int, int]]
    strays: list[StrayRecord]


@dataclass(frozen=True, slots=True)
class TaskRecord:
    """One task with all that the store has of it. outcome: the one that holds its result."""

    run: int
    block: int
    position: int
    body: bytes
    key: str | None
    group: str | None
    priority: int
    outcome: OutcomeRecord | None
    stray: StrayRecord | None
