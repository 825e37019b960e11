"""What a store of plain dicts keeps in the place of a file."""

from __future__ import annotations

import itertools
from dataclasses import dataclass, field, replace

from master.changes import (
    BlockRecord,
    Changes,
    Delivered,
    GroupRecord,
    OutcomeRecord,
    QuotaCounts,
    RunCounts,
    RunRecord,
    TrackedRecord,
    TrackedState,
)
from master.history import Rows
from master.scheduled import ScheduleRecord
from master.tries import TryRecord
from queue_manager.errors import StoreError
from queue_manager.wire.records import DeadLetter
from tests.memory_groups import Groups


@dataclass(slots=True)
class Kept:
    """All that would be on disk. The order of insertion is that of numbers."""

    identity: int = field(default_factory=itertools.count(1).__next__)
    epoch: int = 0
    delivered: Delivered = field(default_factory=Delivered)
    next_run: int = 1
    next_block: int = 1
    next_seq: int = 1
    workers: set[str] = field(default_factory=set)
    clock: tuple[int, float] = (0, 0.0)
    clock_since: float | None = None
    clock_seen: float = 0.0
    clock_off: float = 0.0
    accepted: list[tuple[int, float]] = field(default_factory=list)
    runs: dict[int, RunRecord] = field(default_factory=dict)
    counts: dict[int, RunCounts] = field(default_factory=dict)
    blocks: dict[int, BlockRecord] = field(default_factory=dict)
    outcomes: dict[int, OutcomeRecord] = field(default_factory=dict)
    tracked: dict[tuple[int, int], TrackedRecord] = field(default_factory=dict)
    tries: dict[tuple[int, int], list[TryRecord]] = field(default_factory=dict)
    keys: set[tuple[int, str]] = field(default_factory=set)
    dropping: set[int] = field(default_factory=set)
    quotas: dict[tuple[int, str], QuotaCounts] = field(default_factory=dict)
    code: dict[str, dict[str, bytes]] = field(default_factory=dict)
    schedules: dict[str, ScheduleRecord] = field(default_factory=dict)
    history: Rows = field(default_factory=dict)
    failures: Groups = field(default_factory=Groups)
    own: dict[tuple[int, str], GroupRecord] = field(default_factory=dict)
    by_run: dict[int, list[int]] = field(default_factory=dict)
    seqs_of_run: dict[int, list[int]] = field(default_factory=dict)
    seqs_of_block: dict[int, list[int]] = field(default_factory=dict)
    tasks_of_block: dict[int, set[int]] = field(default_factory=dict)

    def add_tasks(self, changes: Changes) -> None:
        """Keep new blocks and outcomes."""
        for block in changes.blocks:
            self.blocks[block.id] = block
            self.by_run.setdefault(block.run, []).append(block.id)
            self.keys.update((block.run, key) for key in block.keys or ())
            self.next_block = max(self.next_block, block.id + 1)
        for block in changes.grown.values():
            if block.id in self.blocks:
                self.blocks[block.id] = block
        for outcome in changes.outcomes:
            self.outcomes[outcome.seq] = outcome
            self.seqs_of_run.setdefault(outcome.run, []).append(outcome.seq)
            self.seqs_of_block.setdefault(outcome.block, []).append(outcome.seq)
            self.next_seq = max(self.next_seq, outcome.seq + 1)

    def revive(self, changes: Changes) -> None:
        """Have dead letters wait again."""
        for run, revivals in changes.revived.items():
            for note, tasks in revivals:
                for key, record in self.tracked.items():
                    is_meant = tasks is None or record.task in tasks
                    if record.run != run or record.state != "dead" or not is_meant:
                        continue
                    self.failures.leave([record])
                    again = replace(record, state=TrackedState.WAITING, attempts=0, losses=0)
                    again = replace(again, delay_s=0.0, due_at=note.at, seq=0, failure=0)
                    self.tracked[key] = replace(again, retries=[*record.retries, note][-4:])
        if changes.revived:
            self.failures.renew(self.tracked.values())

    def blocks_of(self, run: int) -> list[BlockRecord]:
        """The blocks of a run in the order of their numbers."""
        numbers = self.by_run.get(run, [])
        return [self.blocks[number] for number in sorted(numbers)]

    def tracked_of(self, block: BlockRecord) -> list[TrackedRecord]:
        """The tracked tasks of a block in their order."""
        tasks = sorted(self.tasks_of_block.get(block.id, ()))
        return [self.tracked[block.run, task] for task in tasks]

    def dead_of(self, block: BlockRecord) -> list[DeadLetter]:
        """The dead letters of a block."""
        return [letter_of(s) for s in self.tracked_of(block) if s.state == "dead"]

    def outcomes_of(self, block: BlockRecord) -> list[OutcomeRecord]:
        """The outcomes of a block in the order of its tasks."""
        seqs = self.seqs_of_block.get(block.id, [])
        return sorted((self.outcomes[seq] for seq in seqs), key=lambda o: o.start)

    def outcomes_behind(self, run: int, after: int) -> list[OutcomeRecord]:
        """The outcomes of a run behind a sequence number."""
        seqs = sorted(self.seqs_of_run.get(run, []))
        outcomes = (self.outcomes.get(seq) for seq in seqs if seq > after)
        return [outcome for outcome in outcomes if outcome is not None]

    def waiting_ranges(self, block: BlockRecord) -> list[tuple[int, int]]:
        """The ranges of a block whose tasks neither ended nor are tracked."""
        ended = [(o.start, o.stop) for o in self.outcomes_of(block)]
        ended += [(s.position, s.position + 1) for s in self.tracked_of(block)]
        ranges, at = [], 0
        for start, stop in [*sorted(ended), (block.count, block.count)]:
            if start > at:
                ranges.append((at, start))
            at = max(at, stop)
        return ranges

    def body(self, block: int) -> bytes:
        """The payloads of a block."""
        if block not in self.blocks:
            raise StoreError(f"there is no block {block} in the store")
        return self.blocks[block].body


def letter_of(record: TrackedRecord) -> DeadLetter:
    """A tracked task in the form of a dead letter."""
    *names, died_at = DeadLetter.__struct_fields__
    assert died_at == "died_at"
    return DeadLetter(*(getattr(record, name) for name in names), record.due_at)
