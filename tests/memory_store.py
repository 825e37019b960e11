"""A `Store` of plain dicts: what the verbs mean, without a file.

It takes part in the contract suite, and simulations use it where a real one would be slow.
"""

from __future__ import annotations

import copy
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import replace

from bench.rig.nothing_ages import NothingAges
from master.changes import (
    OWN_GROUPS,
    QUEUE_RUN,
    BlockState,
    Changes,
    GroupRecord,
    LoadedRun,
    Place,
    QuotaCounts,
    RunCounts,
    RunRecord,
    RunState,
    TrackedRecord,
    WaitingBlock,
)
from master.failures import FailurePage, GroupsSought, NewestPage, NewestSought
from master.history import HistoryRecord, add, rows_of
from master.reads import (
    DuePage,
    GroupPage,
    OutcomePage,
    ReadAnswer,
    ReadRequest,
    ResultPage,
    RunPage,
    RunsEnded,
    RunsSought,
    TaskRecord,
    TrackedPage,
    WaitingPage,
)
from master.scheduled import ScheduleRecord
from master.store.contract import Store
from master.task_lists import TasksFound, TasksSought
from master.tries import TryRecord
from queue_manager.errors import StoreError, UnstorableError
from queue_manager.ranges import Ranges, both
from queue_manager.wire.failures import FailureFilter
from queue_manager.wire.records import DeadLetter
from tests import (
    memory_clock,
    memory_failures,
    memory_history,
    memory_lists,
    memory_results,
    memory_tries,
)
from tests.memory_kept import Kept


class MemoryStore(NothingAges):
    """The verbs of `master.store.Store`. full: commits fail while it is set.

    commits: how many there were since it was opened.
    """

    def __init__(self, kept: Kept | None = None) -> None:
        self._kept = kept or Kept()
        self._kept.runs.setdefault(QUEUE_RUN, RunRecord(QUEUE_RUN, "", []))
        self._kept.epoch += 1
        self.full = False
        self.commits = 0
        kept = self._kept
        self.identity = kept.identity
        self.epoch, self.delivered, self.workers = kept.epoch, kept.delivered, set(kept.workers)
        self.next_run, self.next_block = kept.next_run, kept.next_block
        self.clock_seen = kept.clock_seen
        self.next_seq = kept.next_seq

    def reopen(self) -> MemoryStore:
        """As after a restart: what was committed, in the next epoch."""
        return MemoryStore(self._kept)

    # --- the state ---

    def load(self) -> list[LoadedRun]:
        runs = [run for _, run in sorted(self._kept.runs.items())]
        return [self._loaded(run) for run in runs if run.state == "active" or _is_open(run)]

    def _loaded(self, run: RunRecord) -> LoadedRun:
        is_limited = run.options.per_group is not None
        own = self.own_groups(run.id) if is_limited and run.state == "active" else {}
        more = is_limited and (run.state != "active" or len(own) > OWN_GROUPS)
        counts = self._kept.counts.get(run.id, RunCounts())
        return LoadedRun(run, counts, {} if more else own, more)

    def load_run(self, run: int) -> LoadedRun | None:
        found = self._kept.runs.get(run)
        return None if found is None else self._loaded(found)

    def ended_runs(self, before: int, limit: int) -> list[LoadedRun]:
        ended = sorted(self._ended_runs(), key=lambda run: -run.id)
        return [self._loaded(run) for run in ended if run.id < before][:limit]

    def find_ended(self, sought: RunsSought) -> RunPage:
        sign = 1 if sought.is_back else -1
        behind = sorted(sign * run.id for run in self._ended_runs())
        behind = [number for number in behind if number > sign * sought.after]
        runs: list[LoadedRun] = []
        place, looked = sought.after, 0
        for number in (sign * n for n in behind):
            record = self._kept.runs[number]
            if sought.job not in ("", record.job) or sought.state not in ("", record.state):
                continue
            if len(runs) == sought.limit or (sought.text and looked == sought.look):
                return RunPage(runs, place, complete=False)
            place, looked = number, looked + 1
            if sought.has_text(record):
                runs.append(self._loaded(record))
        return RunPage(runs, place, complete=True)

    def count_ended(self, before: int) -> int:
        return sum(run.id < before for run in self._ended_runs())

    def old_runs(self, ended_by: float, limit: int) -> list[int]:
        ends = [(run.ended_at or 0.0, run.id) for run in self._ended_runs() if not _is_open(run)]
        return [run for ended_at, run in sorted(ends) if ended_at <= ended_by][:limit]

    def schedules(self) -> list[ScheduleRecord]:
        return [record for _, record in sorted(self._kept.schedules.items())]

    def _ended_runs(self) -> list[RunRecord]:
        return [r for r in self._kept.runs.values() if r.state not in ("active", "pruned")]

    def commit(self, changes: Changes) -> None:
        if self.full:
            raise StoreError("can't write: database or disk is full")
        self._check(changes)
        kept = self._kept
        kept.add_tasks(changes)
        kept.revive(changes)
        groups = kept.failures.count(changes.tracked.values())
        for record in changes.tracked.values():
            before = kept.tracked.get((record.run, record.task))
            notes = [] if before is None else before.retries
            if before is not None:
                memory_tries.keep(kept, before, record)
            kept.tracked[record.run, record.task] = replace(
                record, retries=notes, failure=groups.get((record.run, record.task), 0)
            )
            kept.tasks_of_block.setdefault(record.block, set()).add(record.task)
            kept.next_seq = max(kept.next_seq, record.seq + 1)
        self._write_runs(changes)
        for worker, is_here in changes.workers.items():
            (kept.workers.add if is_here else kept.workers.discard)(worker)
        for name, schedule in changes.schedules.items():
            if schedule is None:
                kept.schedules.pop(name, None)
            else:
                kept.schedules[name] = schedule
        kept.quotas |= changes.quotas
        kept.own |= changes.groups
        for row in rows_of(changes.history).values():
            add(kept.history, row)
        kept.accepted = kept.accepted if changes.accepted is None else changes.accepted
        new = sum(o.readable for o in changes.outcomes if o.run == QUEUE_RUN)
        delivered = changes.delivered or kept.delivered
        kept.delivered = delivered._replace(left=delivered.left + new)
        self.commits += 1

    def _check(self, changes: Changes) -> None:
        """Everything that can fail, before anything is changed."""
        kept = self._kept
        run_keys = {
            run.key: run.id
            for run in kept.runs.values()
            if run.id not in changes.forgotten and run.id not in changes.runs
        }
        _no_doubles([b.id for b in changes.blocks], kept.blocks)
        _no_doubles([o.seq for o in changes.outcomes], kept.outcomes)
        _no_doubles([(b.run, key) for b in changes.blocks for key in b.keys or ()], kept.keys)
        runs = [run for run in changes.runs.values() if run.id not in changes.forgotten]
        _no_doubles([run.key for run in runs if run.key is not None], run_keys)
        if any(abs(b.priority) >= 2**63 for b in changes.blocks):
            raise UnstorableError("can't write: an integer is too large")
        if QUEUE_RUN in changes.forgotten:
            raise UnstorableError("can't write: the queue run can't be forgotten")

    def _write_runs(self, changes: Changes) -> None:
        kept = self._kept
        for run in changes.forgotten:
            kept.runs.pop(run, None)
            kept.counts.pop(run, None)
        kept.dropping |= changes.forgotten
        kept.failures.forget(changes.forgotten)
        for run, record in changes.runs.items():
            kept.next_run = max(kept.next_run, run + 1)
            if run not in changes.forgotten:
                kept.runs[run] = copy.copy(record)
                if record.state == "pruned":
                    kept.dropping.add(run)
                    kept.failures.forget([run])
        kept.code |= changes.code
        if kept.code:
            used = {r.version for r in kept.runs.values() if r.uploaded and r.state != "pruned"}
            kept.code = {version: kept.code[version] for version in kept.code.keys() & used}
        kept.counts.update({r: c for r, c in changes.counts.items() if r in kept.runs})

    def read(self, request: ReadRequest) -> ReadAnswer:
        runs = {number: self.load_run(number) for number in request.runs}
        of_keys = {key: self.find_run(key) for key in request.run_keys}
        kept = self._kept
        return ReadAnswer(
            {run: self.taken_keys(run, keys) for run, keys in request.task_keys.items()},
            {run: self.own_groups(run, groups) for run, groups in request.groups.items()},
            {(run, name): self.quota(run, name) for run, name in request.quotas},
            self.read_blocks(request.blocks),
            {n: kept.blocks[n].body for n in request.bodies if n in kept.blocks},
            {number: run for number, run in runs.items() if run is not None},
            {k: self._loaded(kept.runs[n]) for k, n in of_keys.items() if n is not None},
            {version: kept.code[version] for version in request.code if version in kept.code},
            {sought: memory_results.choose_letters(kept, sought) for sought in request.letters},
        )

    # --- what is told of it ---

    def accepted_marks(self) -> list[tuple[int, float]]:
        return list(self._kept.accepted)

    def runs_ended(self) -> list[RunsEnded]:
        counts: dict[tuple[str, str], list[int]] = {}
        for run, record in self._kept.runs.items():
            if record.state not in ("active", "pruned"):
                found = counts.setdefault((record.state, record.job), [0, 0])
                found[0] += 1
                found[1] += self._kept.counts.get(run, RunCounts()).dead
        return [RunsEnded(*of, *count) for of, count in sorted(counts.items())]

    # --- what waits ---

    def read_waiting(
        self, run: int, group: str | None, after: Place | None, tasks: int
    ) -> WaitingPage:
        found: list[WaitingBlock] = []
        count = 0
        blocks = [b for b in self._kept.blocks_of(run) if b.group == group]
        for block in sorted(blocks, key=lambda b: (-b.priority, b.id)):
            place = Place(block.priority, block.id)
            ranges = self._kept.waiting_ranges(block)
            if (after is not None and not after.before(place)) or not ranges:
                continue
            if found and count >= tasks:
                return WaitingPage(found, Place(found[-1].priority, found[-1].id))
            found.append(WaitingBlock(block.id, block.first, block.priority, ranges))
            count += sum(stop - start for start, stop in ranges)
        return WaitingPage(found, None)

    def read_tracked(
        self, run: int, group: str | None, after: tuple[float, int] | None, limit: int
    ) -> TrackedPage:
        behind = sorted(
            ((s.due_at, s.task), s)
            for s in self._waiting_tracked(run)
            if s.group == group and (after is None or (s.due_at, s.task) > after)
        )
        found = [
            replace(record, evidence="", printed="", raised=b"") for _, record in behind[:limit]
        ]
        has_more = found and len(behind) > limit
        return TrackedPage(found, behind[limit - 1][0] if has_more else None)

    def next_groups(self, run: int, after: tuple[int, str] | None, limit: int) -> GroupPage:
        blocks = [
            b
            for b in self._kept.blocks_of(run)
            if b.group is not None and self._kept.waiting_ranges(b)
        ]
        order = sorted({(-b.priority, str(b.group)) for b in blocks})
        if after is not None:
            order = [one for one in order if one > (-after[0], after[1])]
        found = [(-priority, group) for priority, group in order[:limit]]
        return GroupPage(found, len(found) < limit)

    def due_groups(self, run: int, after: tuple[float, int], due_by: float, limit: int) -> DuePage:
        records = [s for s in self._waiting_tracked(run) if s.group is not None]
        behind = sorted((s.due_at, s.task, s.group or "") for s in records)
        behind = [one for one in behind if one[:2] > after]
        due = [one for one in behind[:limit] if one[0] <= due_by]
        last = due[-1][:2] if due else after
        later = behind[len(due)][0] if len(due) < len(behind) else None
        return DuePage([one[2] for one in due], last, later)

    def _waiting_tracked(self, run: int) -> list[TrackedRecord]:
        records = self._kept.tracked.values()
        return [s for s in records if s.run == run and s.state == "waiting"]

    def own_groups(self, run: int, groups: Collection[str] | None = None) -> dict[str, GroupRecord]:
        own = {group: g for (r, group), g in self._kept.own.items() if r == run}
        return {group: g for group, g in own.items() if groups is None or group in groups}

    def read_blocks(self, parts: Mapping[int, tuple[int, int]]) -> dict[int, BlockState]:
        there = {block: part for block, part in parts.items() if block in self._kept.blocks}
        return {block: self._state(block, part) for block, part in there.items()}

    def _state(self, block: int, part: tuple[int, int]) -> BlockState:
        b = self._kept.blocks[block]
        records = [
            replace(s, evidence="", printed="", raised=b"")
            for s in self._kept.tracked_of(b)
            if s.state == "waiting" and part[0] <= s.position < part[1]
        ]
        waiting = both(self._kept.waiting_ranges(b), [part])
        return BlockState(b.id, b.run, b.first, b.count, b.priority, b.group, waiting, records)

    def read_body(self, block: int) -> bytes:
        return self._kept.body(block)

    def taken_keys(self, run: int, keys: Sequence[str]) -> set[str]:
        return {key for key in keys if (run, key) in self._kept.keys}

    def quota(self, run: int, name: str) -> QuotaCounts:
        return self._kept.quotas.get((run, name), QuotaCounts())

    def quotas(self, run: int, limit: int) -> dict[str, QuotaCounts]:
        found = {name: q for (r, name), q in sorted(self._kept.quotas.items()) if r == run}
        return dict(list(found.items())[:limit])

    def find_run(self, key: str) -> int | None:
        return next((run.id for run in self._kept.runs.values() if run.key == key), None)

    # --- the clock ---

    def set_clock(self, boot: int, behind_s: float, wall: float | None = None) -> None:
        memory_clock.set_clock(self._kept, boot, behind_s, wall)

    def note_clock(self, wall: float, off_s: float) -> None:
        memory_clock.note_clock(self._kept, wall, off_s)

    def cap_delays(self, wall: float) -> None:
        memory_clock.cap_delays(self._kept, wall)

    # --- what has ended ---

    def find_blocks(self, run: int, tasks: Ranges, limit: int) -> list[tuple[int, int, int]]:
        blocks = [
            (b.id, b.first, b.count)
            for b in self._kept.blocks_of(run)
            if both([(b.first, b.first + b.count)], tasks)
        ]
        return sorted(blocks, key=lambda block: block[1])[:limit]

    def read_outcomes(self, run: int, after: int, limit_bytes: int) -> OutcomePage:
        return memory_results.read_outcomes(self._kept, run, after, limit_bytes)

    def read_letters(
        self, run: int, after: int, limit_bytes: int, until: int = 2**62
    ) -> tuple[list[DeadLetter], bool]:
        return memory_results.read_letters(self._kept, run, after, limit_bytes, until)

    def read_last_outcomes(self, run: int, limit: int) -> OutcomePage:
        return memory_results.read_last_outcomes(self._kept, run, limit)

    def read_results(
        self, run: int, after: int, limit_bytes: int, dead: bool = False
    ) -> ResultPage:
        return memory_results.read_results(self._kept, run, after, limit_bytes, dead)

    def read_chosen(
        self, run: int, after: int, limit_bytes: int, only: FailureFilter
    ) -> ResultPage:
        return memory_results.read_chosen(self._kept, run, after, limit_bytes, only)

    def read_task(self, run: int, task: int) -> TaskRecord | None:
        return memory_results.read_task(self._kept, run, task)

    def read_tries(self, run: int, task: int) -> list[TryRecord]:
        return memory_tries.read_tries(self._kept, run, task)

    def find_task(self, run: int, key: str) -> int:
        return memory_results.find_task(self._kept, run, key)

    def find_tasks(self, sought: TasksSought) -> TasksFound:
        return memory_lists.find_tasks(self._kept, sought)

    def find_groups(self, sought: GroupsSought) -> FailurePage:
        return memory_failures.find_groups(self._kept, sought)

    def find_letters(self, sought: NewestSought) -> NewestPage:
        return memory_failures.find_letters(self._kept, sought)

    # --- the history ---

    def read_history(
        self, run: int, since_at: float, until_at: float, step_s: int
    ) -> list[HistoryRecord]:
        return memory_history.read_history(self._kept, run, since_at, until_at, step_s)

    def last_minute(self) -> float:
        return memory_history.last_minute(self._kept)

    def prune_history(self, minutes_by: float, all_by: float, rows: int) -> bool:
        return memory_history.prune_history(self._kept, minutes_by, all_by)

    # --- what goes ---

    def drop_some(self, rows: int) -> bool:
        if not self._kept.dropping:
            return False
        run = min(self._kept.dropping)
        for number in self._kept.by_run.get(run, [])[:rows]:
            block = self._kept.blocks.pop(number)
            for key in block.keys or ():
                self._kept.keys.discard((run, key))
            for seq in self._kept.seqs_of_block.pop(number, []):
                del self._kept.outcomes[seq]
            for task in self._kept.tasks_of_block.pop(number, ()):
                del self._kept.tracked[run, task]
                self._kept.tries.pop((run, task), None)
        del self._kept.by_run.get(run, [])[:rows]
        if not self._kept.by_run.get(run):
            self._kept.own = {k: g for k, g in self._kept.own.items() if k[0] != run}
            self._kept.history = {k: h for k, h in self._kept.history.items() if k[0] != run}
            self._kept.quotas = {k: q for k, q in self._kept.quotas.items() if k[0] != run}
            self._kept.dropping.discard(run)
            self._kept.seqs_of_run.pop(run, None)
        return True


def _no_doubles(new: Sequence[object], taken: Iterable[object]) -> None:
    if len(set(new)) < len(new) or not set(new).isdisjoint(taken):
        raise UnstorableError("can't write: UNIQUE constraint failed")


def _is_open(run: RunRecord) -> bool:
    """Whether somebody has still something to do for an ended run."""
    return run.state is not RunState.PRUNED and not run.collect_cursor.closed


def all_runs(store: Store) -> list[LoadedRun]:
    """Also the runs that a start leaves on disk, as if somebody had asked for each of them."""
    found = {loaded.record.id: loaded for loaded in store.load()}
    for number in range(1, store.next_run):
        loaded = store.load_run(number)
        if loaded is not None:
            found.setdefault(number, loaded)
    return [found[number] for number in sorted(found)]
