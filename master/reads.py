"""What the master asks the store for, and the records of the answers. No rows, no SQL."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field
from typing import NamedTuple

from queue_manager.wire.failures import FailureFilter
from queue_manager.wire.records import ResultBlock

from .changes import (
    BlockState,
    GroupRecord,
    LoadedRun,
    OutcomeRecord,
    Place,
    QuotaCounts,
    RunRecord,
    TrackedRecord,
    WaitingBlock,
)


@dataclass(frozen=True, slots=True)
class LettersSought:
    """A page of the dead letters of a run that a filter chooses.

    only: its ranges of tasks are in order and apart. after: the place of the page before, 0 for the
    first page. until: letters with a greater `seq` are none of these. limit_bytes: about how much
    is looked at for the page, whether it is chosen or not.
    """

    run: int
    only: FailureFilter
    after: int
    until: int
    limit_bytes: int


class LetterPage(NamedTuple):
    """Dead letters that a filter chooses, as (task, group).

    A letter that was tried again and has died again is in no later page. place: the next page
    begins behind it. complete: there is nothing behind it.
    """

    letters: list[tuple[int, str | None]]
    place: int
    complete: bool


@dataclass(slots=True)
class ReadRequest:
    """What some steps of a turn need to know before they are staged.

    task_keys: by run, keys that may be taken. groups: by run, groups that may have something of
    their own. quotas: as (run, name). blocks: by block, the part that is needed: its first
    position, and the one behind its last. The rest of a block doesn't make reading slower.
    bodies: blocks whose payloads are needed. runs: by number. run_keys: runs by key. code: versions
    of uploaded code. letters: pages of dead letters.
    """

    task_keys: dict[int, list[str]] = field(default_factory=dict)
    groups: dict[int, set[str]] = field(default_factory=dict)
    quotas: set[tuple[int, str]] = field(default_factory=set)
    blocks: dict[int, tuple[int, int]] = field(default_factory=dict)
    bodies: set[int] = field(default_factory=set)
    runs: set[int] = field(default_factory=set)
    run_keys: set[str] = field(default_factory=set)
    code: set[str] = field(default_factory=set)
    letters: set[LettersSought] = field(default_factory=set)

    def __bool__(self) -> bool:
        return bool(
            self.task_keys
            or self.groups
            or self.quotas
            or self.blocks
            or self.bodies
            or self.runs
            or self.run_keys
            or self.code
            or self.letters
        )

    def add_task_keys(self, run: int, keys: Collection[str]) -> None:
        """Ask which of these keys the run has already."""
        if keys:
            self.task_keys.setdefault(run, []).extend(keys)

    def add_groups(self, run: int, groups: Collection[str]) -> None:
        """Ask what these groups of a run have of their own."""
        if groups:
            self.groups.setdefault(run, set()).update(groups)

    def add_block(self, block: int, low: int, high: int) -> None:
        """Ask how a part of a block stands. Two parts become one, with all that is between them."""
        known = self.blocks.get(block)
        self.blocks[block] = (
            (low, high) if known is None else (min(low, known[0]), max(high, known[1]))
        )

    def add(self, other: ReadRequest) -> None:
        """Ask also for what another request asks for."""
        for run, keys in other.task_keys.items():
            self.add_task_keys(run, keys)
        for run, groups in other.groups.items():
            self.add_groups(run, groups)
        for block, part in other.blocks.items():
            self.add_block(block, *part)
        self.quotas |= other.quotas
        self.bodies |= other.bodies
        self.runs |= other.runs
        self.run_keys |= other.run_keys
        self.code |= other.code
        self.letters |= other.letters


@dataclass(frozen=True, slots=True)
class ReadAnswer:
    """What is on disk of what was asked for. The answer leaves out whatever does not exist.

    taken_keys: by run, also for runs of which no key is taken. quotas: also those that have
    counted nothing. runs: also pruned ones. run_keys: the run of each key. code: the files of each
    version.
    """

    taken_keys: dict[int, set[str]] = field(default_factory=dict)
    groups: dict[int, dict[str, GroupRecord]] = field(default_factory=dict)
    quotas: dict[tuple[int, str], QuotaCounts] = field(default_factory=dict)
    blocks: dict[int, BlockState] = field(default_factory=dict)
    bodies: dict[int, bytes] = field(default_factory=dict)
    runs: dict[int, LoadedRun] = field(default_factory=dict)
    run_keys: dict[str, LoadedRun] = field(default_factory=dict)
    code: dict[str, dict[str, bytes]] = field(default_factory=dict)
    letters: dict[LettersSought, LetterPage] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class TaskRecord:
    """One task with all that the store has of it.

    outcome: holds its result. tracked: how it stands, if it has a row of its own.
    """

    run: int
    block: int
    position: int
    body: bytes
    key: str | None
    group: str | None
    priority: int
    outcome: OutcomeRecord | None
    tracked: TrackedRecord | None


@dataclass(frozen=True, slots=True)
class PruneStep:
    """What a step of pruning the queue run has deleted.

    results: how many results, by the sequence number of their outcome. letters: the numbers of
    the tasks that were dead letters. last: where the next step goes on. complete: there is
    nothing behind it.
    """

    results: dict[int, int]
    letters: list[int]
    last: int
    complete: bool


@dataclass(frozen=True, slots=True)
class RunsSought:
    """A page of ended runs, the newest first, without pruned ones.

    after: the page has runs with smaller numbers. is_back: it has those with greater numbers, the
    oldest first. limit: how many runs at most. job, state: only such runs; empty: any. text: only
    runs that have it in their job, key or arguments, or that have this number. Letters of ASCII are
    the same in either case. look: how many runs are looked at for that, at most.
    """

    after: int
    limit: int
    is_back: bool = False
    job: str = ""
    state: str = ""
    text: str = ""
    look: int = 10_000

    def has_text(self, record: RunRecord) -> bool:
        """Whether a run has the text that is sought."""
        if not self.text or self.text == str(record.id):
            return True
        sought = lowered(self.text)
        return any(sought in text for text in texts_of(record))


def texts_of(record: RunRecord) -> list[bytes]:
    """The texts by which a run is found, as `lowered` has them."""
    return [
        lowered(text)
        for text in (record.job, record.key or "", *record.args, *record.arguments.shown)
    ]


def lowered(text: str) -> bytes:
    """A text as a search compares it: letters of ASCII are the same in either case."""
    return text.encode("utf-8", "replace").lower()


class RunPage(NamedTuple):
    """Ended runs. place: the next page is behind this number. complete: nothing is behind it."""

    runs: list[LoadedRun]
    place: int
    complete: bool


class WaitingPage(NamedTuple):
    """Blocks that have waiting tasks, in the order of their places.

    next_place: the next page begins behind it. None: there is nothing behind these blocks.
    """

    blocks: list[WaitingBlock]
    next_place: Place | None


class TrackedPage(NamedTuple):
    """Tracked tasks that wait, in the order in which they are due.

    next_place: (due_at, task), behind which the next page begins. None: there is nothing behind
    these tasks.
    """

    tasks: list[TrackedRecord]
    next_place: tuple[float, int] | None


class GroupPage(NamedTuple):
    """Groups that may have waiting blocks, as (priority, group).

    complete: there is nothing behind them.
    """

    groups: list[tuple[int, str]]
    complete: bool


class DuePage(NamedTuple):
    """Groups of tracked tasks whose delay is over.

    place: (due_at, task) of the last of these tasks, behind which the next page begins.
    next_due_at: when the task behind it is due. None: there is no such task.
    """

    groups: list[str]
    place: tuple[float, int]
    next_due_at: float | None


class OutcomePage(NamedTuple):
    """Outcomes, the oldest first.

    bodies: the payloads of their blocks, by the number of each block's first task.
    """

    outcomes: list[OutcomeRecord]
    bodies: dict[int, bytes]


class ResultPage(NamedTuple):
    """Ended tasks, in their order.

    place: the next page begins behind it. complete: there is nothing behind it.
    """

    blocks: list[ResultBlock]
    place: int
    complete: bool


class RunsEnded(NamedTuple):
    """How many runs of a job have ended in one state, and how many dead letters they have."""

    state: str
    job: str
    runs: int
    dead: int


class StoreSize(NamedTuple):
    """How many bytes a store takes: its main file, its log of what was written last (WAL).

    free_bytes: how many its disk has left. None: nobody knows.
    """

    file_bytes: int = 0
    wal_bytes: int = 0
    free_bytes: int | None = None
