"""A `Store` that keeps nothing on disk: what is left is our path without the store."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from pathlib import Path

from master.changes import (
    QUEUE_RUN,
    BlockRecord,
    Changes,
    LoadedRun,
    OutcomeRecord,
    RunRecord,
    WaitingBlock,
)
from queue_manager.records import ResultBlock, RunOptions


class NullStore:
    """The verbs of `master.store.Store`, in memory. Its blocks are never half done."""

    def __init__(self, folder: Path) -> None:
        self.epoch = self.next_block = self.next_seq = 1
        self.delivered = (0, 0)
        self._runs: dict[int, RunRecord] = {}
        self._blocks: dict[int, BlockRecord] = {}
        self._lanes: dict[tuple[int, int], list[int]] = {}
        self._outcomes: dict[int, list[OutcomeRecord]] = {}
        self._seqs: dict[int, list[int]] = {}

    def load(self) -> list[LoadedRun]:
        record = RunRecord(QUEUE_RUN, "", [], None, RunOptions(), "active", False, 0.0, None)
        return [LoadedRun(record, 0, 0, 0, 0, {}, [], 0)]

    def commit(self, changes: Changes) -> None:
        for block in changes.blocks:
            self._blocks[block.id] = block
            self._lanes.setdefault((block.run, block.priority), []).append(block.id)
        for outcome in changes.outcomes:
            self._outcomes.setdefault(outcome.run, []).append(outcome)
            self._seqs.setdefault(outcome.run, []).append(outcome.seq)
        self._runs.update(changes.runs)

    def read_waiting(
        self, run: int, priority: int, after: int, tasks: int
    ) -> tuple[list[WaitingBlock], int]:
        lane = self._lanes.get((run, priority), [])
        found: list[WaitingBlock] = []
        for number in lane[bisect_right(lane, after) :]:
            block = self._blocks[number]
            found.append(WaitingBlock(block.id, block.first, [(0, block.count)]))
            tasks -= block.count
            if tasks <= 0:
                break
        return found, found[-1].id if found else 0

    def read_body(self, block: int) -> bytes:
        return self._blocks[block].body

    def taken_keys(self, run: int, keys: Sequence[str]) -> set[str]:
        return set()

    def find_run(self, key: str) -> int | None:
        return next((run.id for run in self._runs.values() if run.key == key), None)

    def read_outcomes(
        self, run: int, after: int, most_bytes: int
    ) -> tuple[list[OutcomeRecord], dict[int, bytes]]:
        outcomes = self._outcomes.get(run, [])
        found: list[OutcomeRecord] = []
        bodies: dict[int, bytes] = {}
        for index in range(bisect_right(self._seqs.get(run, []), after), len(outcomes)):
            outcome = outcomes[index]
            found.append(outcome)
            most_bytes -= len(outcome.results)
            if outcome.first not in bodies:
                body = bodies[outcome.first] = self._blocks[outcome.block].body
                most_bytes -= len(body)
            if most_bytes <= 0:
                break
        return found, bodies

    def read_last_outcomes(
        self, run: int, most: int
    ) -> tuple[list[OutcomeRecord], dict[int, bytes]]:
        found = self._outcomes.get(run, [])[-most:]
        return found, {o.first: self._blocks[o.block].body for o in found}

    def count_results(self, run: int, after: int) -> int:
        return sum(o.stop - o.start for o in self._outcomes.get(run, []) if o.seq > after)

    def read_results(
        self, run: int, after: int, most_bytes: int
    ) -> tuple[list[ResultBlock], int, bool]:
        return [], after, True

    def close(self) -> None:
        pass
