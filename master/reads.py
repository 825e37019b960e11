"""What a turn asks the store for, all at once, and what the store answers. No rows, no SQL."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field

from .changes import (
    BlockState,
    GroupRecord,
    LoadedRun,
    OutcomeRecord,
    QuotaCounts,
    TrackedRecord,
)


@dataclass(slots=True)
class ReadRequest:
    """What some steps of a turn need to know before they are staged.

    task_keys: of each run, keys that may be taken. groups: of each run, groups that may have
    something of their own. quotas: as (run, name). blocks: of each block, the first position and
    the one behind the last, as in `Store.read_blocks`. bodies: blocks whose payloads are needed.
    runs: by number. run_keys: runs by key.
    """

    task_keys: dict[int, list[str]] = field(default_factory=dict)
    groups: dict[int, set[str]] = field(default_factory=dict)
    quotas: set[tuple[int, str]] = field(default_factory=set)
    blocks: dict[int, tuple[int, int]] = field(default_factory=dict)
    bodies: set[int] = field(default_factory=set)
    runs: set[int] = field(default_factory=set)
    run_keys: set[str] = field(default_factory=set)

    def __bool__(self) -> bool:
        return bool(
            self.task_keys
            or self.groups
            or self.quotas
            or self.blocks
            or self.bodies
            or self.runs
            or self.run_keys
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
        """Ask how a part of a block stands; of two parts, the answer holds what is between, too."""
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


@dataclass(frozen=True, slots=True)
class ReadAnswer:
    """What is on disk of what was asked for. The answer leaves out whatever does not exist.

    taken_keys: by run; a run of which no key is taken is there too. quotas: also those that have
    counted nothing. runs: also pruned ones. run_keys: the run of each key.
    """

    taken_keys: dict[int, set[str]] = field(default_factory=dict)
    groups: dict[int, dict[str, GroupRecord]] = field(default_factory=dict)
    quotas: dict[tuple[int, str], QuotaCounts] = field(default_factory=dict)
    blocks: dict[int, BlockState] = field(default_factory=dict)
    bodies: dict[int, bytes] = field(default_factory=dict)
    runs: dict[int, LoadedRun] = field(default_factory=dict)
    run_keys: dict[str, LoadedRun] = field(default_factory=dict)


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
