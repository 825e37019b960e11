"""The verbs of a store whose state is rows: each is a function of this room over a `Database`."""

from __future__ import annotations

from collections.abc import Collection

from queue_manager.ranges import Ranges
from queue_manager.wire.failures import FailureFilter
from queue_manager.wire.records import DeadLetter

from ...changes import Changes, GroupRecord, LoadedRun, Place, QuotaCounts
from ...reads import (
    DuePage,
    GroupPage,
    OutcomePage,
    PruneStep,
    ResultPage,
    TaskRecord,
    TrackedPage,
    WaitingPage,
)
from ...scheduled import ScheduleRecord
from .overview import Overview
from .read import chosen, loading, results, waiting
from .read import groups as group_rows
from .upkeep import ageing, clock, dropping


class RelationalStore(Overview):
    """A `Store` without what each engine does its way: opening, commits, sizes, closing.

    _touched: blocks of which something has ended since the store looked which blocks have ended.
    """

    _touched: set[int]

    # --- the state ---

    def load(self) -> list[LoadedRun]:
        return self._reads(loading.load)

    def load_run(self, run: int) -> LoadedRun | None:
        return self._reads(loading.load_run, run)

    def ended_runs(self, before: int, limit: int) -> list[LoadedRun]:
        return self._reads(loading.ended_runs, before, limit)

    def count_ended(self, before: int) -> int:
        return self._reads(loading.count_ended, before)

    def old_runs(self, ended_by: float, limit: int) -> list[int]:
        return self._reads(loading.old_runs, ended_by, limit)

    def schedules(self) -> list[ScheduleRecord]:
        return self._reads(loading.schedules)

    # --- what waits ---

    def read_waiting(
        self, run: int, group: str | None, after: Place | None, tasks: int
    ) -> WaitingPage:
        page, ended = self._reads(waiting.read_waiting, run, group, after, tasks)
        self._touched.update(ended)
        return page

    def read_tracked(
        self, run: int, group: str | None, after: tuple[float, int] | None, limit: int
    ) -> TrackedPage:
        return self._reads(waiting.read_tracked, run, group, after, limit)

    def next_groups(self, run: int, after: tuple[int, str] | None, limit: int) -> GroupPage:
        return self._reads(waiting.next_groups, run, after, limit)

    def due_groups(self, run: int, after: tuple[float, int], due_by: float, limit: int) -> DuePage:
        return self._reads(waiting.due_groups, run, after, due_by, limit)

    def own_groups(self, run: int, groups: Collection[str] | None = None) -> dict[str, GroupRecord]:
        return self._reads(group_rows.own_groups, run, groups)

    def set_clock(self, boot: int, behind_s: float, wall: float | None = None) -> None:
        self._writes(clock.set_clock, boot, behind_s, wall)

    def note_clock(self, wall: float, off_s: float) -> None:
        self._writes(clock.note_clock, wall, off_s)

    def cap_delays(self, wall: float) -> None:
        self._writes(waiting.cap_delays, wall)

    def read_body(self, block: int) -> bytes:
        return self._reads(results.read_body, block)

    def quotas(self, run: int, limit: int) -> dict[str, QuotaCounts]:
        return self._reads(group_rows.quotas, run, limit)

    # --- what has ended ---

    def find_blocks(self, run: int, tasks: Ranges, limit: int) -> list[tuple[int, int, int]]:
        return self._reads(results.find_blocks, run, tasks, limit)

    def read_outcomes(self, run: int, after: int, limit_bytes: int) -> OutcomePage:
        return self._reads(results.read_outcomes, run, after, limit_bytes)

    def read_letters(
        self, run: int, after: int, limit_bytes: int, until: int = 2**62
    ) -> tuple[list[DeadLetter], bool]:
        return self._reads(results.read_letters, run, after, limit_bytes, until)

    def read_last_outcomes(self, run: int, limit: int) -> OutcomePage:
        return self._reads(results.read_last_outcomes, run, limit)

    def read_results(
        self, run: int, after: int, limit_bytes: int, dead: bool = False
    ) -> ResultPage:
        return self._reads(results.read_results, run, after, limit_bytes, dead)

    def read_chosen(
        self, run: int, after: int, limit_bytes: int, only: FailureFilter
    ) -> ResultPage:
        return self._reads(chosen.read_chosen, run, after, limit_bytes, only)

    def read_task(self, run: int, task: int) -> TaskRecord | None:
        return self._reads(results.read_task, run, task)

    def find_task(self, run: int, key: str) -> int:
        return self._reads(results.find_task, run, key)

    # --- what goes ---

    def drop_some(self, rows: int) -> bool:
        return self._writes(dropping.drop_some, rows)

    def mark(self, at: float, seq: int, keep_s: float) -> int:
        return self._writes(ageing.mark, at, seq, keep_s)

    def prune_queue(self, seq: int, died_by: float, after: int, limit: int) -> PruneStep:
        return self._writes(ageing.prune_results, seq, died_by, after, limit)

    def prune_letters(self, seq: int, died_by: float, after: int, limit: int) -> PruneStep:
        return self._writes(ageing.prune_letters, seq, died_by, after, limit)


def touched_by(changes: Changes) -> set[int]:
    """The blocks of which a turn's changes may have ended the last task."""
    return {
        *(outcome.block for outcome in changes.outcomes),
        *(record.block for record in changes.tracked.values()),
    }
