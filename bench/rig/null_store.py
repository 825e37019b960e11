"""A `Store` that keeps nothing on disk. It shows what the rest of our path costs."""

from __future__ import annotations

from bisect import bisect_right, insort
from collections.abc import Collection
from pathlib import Path

from master.changes import (
    QUEUE_RUN,
    BlockRecord,
    Changes,
    Delivered,
    GroupRecord,
    LoadedRun,
    OutcomeRecord,
    Place,
    QuotaCounts,
    RunCounts,
    RunRecord,
    WaitingBlock,
)
from master.failures import FailurePage, GroupsSought, NewestPage, NewestSought
from master.history import HistoryRecord
from master.reads import (
    DuePage,
    GroupPage,
    OutcomePage,
    ReadAnswer,
    ReadRequest,
    ResultPage,
    RunPage,
    RunsSought,
    TaskRecord,
    TrackedPage,
    WaitingPage,
)
from master.task_lists import TasksFound, TasksSought
from master.tries import TryRecord
from queue_manager.ranges import Ranges
from queue_manager.wire.failures import FailureFilter
from queue_manager.wire.records import DeadLetter

from .nothing_ages import NothingAges

_Lane = tuple[int, str | None]


class NullStore(NothingAges):
    """The verbs of `master.store.Store`, in memory. A block is whole, or its tasks have all ended.

    The benchmarks have no tracked tasks, keys, quotas or limits, and never ask for ended tasks.
    """

    def __init__(self, folder: Path) -> None:
        self.identity = self.epoch = self.next_run = self.next_block = self.next_seq = 1
        self.delivered = Delivered()
        self.clock_seen = 0.0
        self.workers: set[str] = set()
        self._runs: dict[int, RunRecord] = {}
        self._counts: dict[int, RunCounts] = {}
        self._blocks: dict[int, BlockRecord] = {}
        self._lanes: dict[_Lane, list[tuple[int, int]]] = {}
        self._outcomes: dict[int, list[OutcomeRecord]] = {}
        self._seqs: dict[int, list[int]] = {}

    def load(self) -> list[LoadedRun]:
        record = RunRecord(QUEUE_RUN, "", [])
        return [LoadedRun(record, RunCounts())]

    def load_run(self, run: int) -> LoadedRun | None:
        record = self._runs.get(run)
        return None if record is None else LoadedRun(record, self._counts[run])

    def ended_runs(self, before: int, limit: int) -> list[LoadedRun]:
        return []

    def find_tasks(self, sought: TasksSought) -> TasksFound:
        return TasksFound([], sought.after, True)

    def find_groups(self, sought: GroupsSought) -> FailurePage:
        return FailurePage([], sought.after, True)

    def find_letters(self, sought: NewestSought) -> NewestPage:
        return NewestPage([], sought.after, True)

    def find_ended(self, sought: RunsSought) -> RunPage:
        return RunPage([], sought.after, True)

    def count_ended(self, before: int) -> int:
        return 0

    def old_runs(self, ended_by: float, limit: int) -> list[int]:
        return []

    def commit(self, changes: Changes) -> None:
        for block in changes.blocks:
            self._blocks[block.id] = block
            lane = self._lanes.setdefault((block.run, block.group), [])
            insort(lane, (-block.priority, block.id))
        self._blocks.update(changes.grown)
        for outcome in changes.outcomes:
            self._outcomes.setdefault(outcome.run, []).append(outcome)
            self._seqs.setdefault(outcome.run, []).append(outcome.seq)
        self._runs.update(changes.runs)
        self._counts.update(changes.counts)

    def read(self, request: ReadRequest) -> ReadAnswer:
        runs = {number: self.load_run(number) for number in request.runs}
        of_keys = {
            run.key: LoadedRun(run, self._counts[run.id])
            for run in self._runs.values()
            if run.key in request.run_keys
        }
        return ReadAnswer(
            taken_keys={run: set() for run in request.task_keys},
            groups={run: {} for run in request.groups},
            quotas=dict.fromkeys(request.quotas, QuotaCounts()),
            bodies={n: self._blocks[n].body for n in request.bodies if n in self._blocks},
            runs={number: run for number, run in runs.items() if run is not None},
            run_keys={key: run for key, run in of_keys.items() if key is not None},
        )

    def read_waiting(
        self, run: int, group: str | None, after: Place | None, tasks: int
    ) -> WaitingPage:
        lane = self._lanes.get((run, group), [])
        begin = 0 if after is None else bisect_right(lane, (-after.priority, after.block))
        blocks: list[WaitingBlock] = []
        for at in range(begin, len(lane)):
            if tasks <= 0:
                return WaitingPage(blocks, Place(blocks[-1].priority, blocks[-1].id))
            b = self._blocks[lane[at][1]]
            blocks.append(WaitingBlock(b.id, b.first, b.priority, [(0, b.count)]))
            tasks -= b.count
        return WaitingPage(blocks, None)

    def read_tracked(
        self, run: int, group: str | None, after: tuple[float, int] | None, limit: int
    ) -> TrackedPage:
        return TrackedPage([], None)

    def next_groups(self, run: int, after: tuple[int, str] | None, limit: int) -> GroupPage:
        return GroupPage([], complete=True)

    def due_groups(self, run: int, after: tuple[float, int], due_by: float, limit: int) -> DuePage:
        return DuePage([], after, None)

    def own_groups(self, run: int, groups: Collection[str] | None = None) -> dict[str, GroupRecord]:
        return {}

    def set_clock(self, boot: int, behind_s: float, wall: float | None = None) -> None:
        pass

    def note_clock(self, wall: float, off_s: float) -> None:
        pass

    def cap_delays(self, wall: float) -> None:
        pass

    def read_body(self, block: int) -> bytes:
        return self._blocks[block].body

    def quotas(self, run: int, limit: int) -> dict[str, QuotaCounts]:
        return {}

    def read_outcomes(self, run: int, after: int, limit_bytes: int) -> OutcomePage:
        outcomes = self._outcomes.get(run, [])
        page: list[OutcomeRecord] = []
        bodies: dict[int, bytes] = {}
        for index in range(bisect_right(self._seqs.get(run, []), after), len(outcomes)):
            outcome = outcomes[index]
            page.append(outcome)
            limit_bytes -= len(outcome.results)
            if outcome.first not in bodies:
                body = bodies[outcome.first] = self._blocks[outcome.block].body
                limit_bytes -= len(body)
            if limit_bytes <= 0:
                break
        return OutcomePage(page, bodies)

    def find_blocks(self, run: int, tasks: Ranges, limit: int) -> list[tuple[int, int, int]]:
        return []

    def read_letters(
        self, run: int, after: int, limit_bytes: int, until: int = 2**62
    ) -> tuple[list[DeadLetter], bool]:
        return [], True

    def read_last_outcomes(self, run: int, limit: int) -> OutcomePage:
        last = self._outcomes.get(run, [])[-limit:]
        return OutcomePage(last, {o.first: self._blocks[o.block].body for o in last})

    def read_results(
        self, run: int, after: int, limit_bytes: int, dead: bool = False
    ) -> ResultPage:
        return ResultPage([], after, complete=True)

    def read_chosen(
        self, run: int, after: int, limit_bytes: int, only: FailureFilter
    ) -> ResultPage:
        return ResultPage([], after, complete=True)

    def read_task(self, run: int, task: int) -> TaskRecord | None:
        return None

    def read_tries(self, run: int, task: int) -> list[TryRecord]:
        return []

    def find_task(self, run: int, key: str) -> int:
        return 0

    def read_history(
        self, run: int, since_at: float, until_at: float, step_s: int
    ) -> list[HistoryRecord]:
        return []

    def last_minute(self) -> float:
        return 0.0

    def prune_history(self, minutes_by: float, all_by: float, rows: int) -> bool:
        return False

    def drop_some(self, rows: int) -> bool:
        return False
