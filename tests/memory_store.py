"""A `Store` of plain dicts: what the verbs mean, without a file.

It takes part in the contract suite, and simulations use it where a real one would be slow.
"""

from __future__ import annotations

import copy
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from master.changes import (
    OWN_GROUPS,
    QUEUE_RUN,
    BlockRecord,
    BlockState,
    Changes,
    Delivered,
    GroupRecord,
    LoadedRun,
    OutcomeRecord,
    Place,
    QuotaCounts,
    RunCounts,
    RunRecord,
    RunState,
    TrackedRecord,
    TrackedState,
    WaitingBlock,
)
from master.reads import (
    DuePage,
    GroupPage,
    OutcomePage,
    PruneStep,
    ReadAnswer,
    ReadRequest,
    ResultPage,
    TaskRecord,
    TrackedPage,
    WaitingPage,
)
from master.store.contract import Store
from master.store.sqlite.clock import LEAST_SET_S, SLACK_S
from queue_manager.errors import StoreError, UnstorableError
from queue_manager.ranges import both
from queue_manager.wire.records import (
    BLOCK_TASKS,
    DeadLetter,
    Ended,
    ResultBlock,
)

ROW_BYTES = 256
PLACES = 2 * BLOCK_TASKS


@dataclass(slots=True)
class Kept:
    """All that is on the disk that there is not. Order of insertion is that of numbers."""

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
    runs: dict[int, RunRecord] = field(default_factory=dict)
    counts: dict[int, RunCounts] = field(default_factory=dict)
    blocks: dict[int, BlockRecord] = field(default_factory=dict)
    outcomes: dict[int, OutcomeRecord] = field(default_factory=dict)
    tracked: dict[tuple[int, int], TrackedRecord] = field(default_factory=dict)
    keys: set[tuple[int, str]] = field(default_factory=set)
    dropping: set[int] = field(default_factory=set)
    quotas: dict[tuple[int, str], QuotaCounts] = field(default_factory=dict)
    own: dict[tuple[int, str], GroupRecord] = field(default_factory=dict)
    by_run: dict[int, list[int]] = field(default_factory=dict)
    seqs_of_run: dict[int, list[int]] = field(default_factory=dict)
    seqs_of_block: dict[int, list[int]] = field(default_factory=dict)
    tasks_of_block: dict[int, set[int]] = field(default_factory=dict)


class MemoryStore:
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

    def count_ended(self, before: int) -> int:
        return sum(run.id < before for run in self._ended_runs())

    def old_runs(self, ended_by: float, limit: int) -> list[int]:
        ends = [(run.ended_at or 0.0, run.id) for run in self._ended_runs() if not _is_open(run)]
        return [run for ended_at, run in sorted(ends) if ended_at <= ended_by][:limit]

    def _ended_runs(self) -> list[RunRecord]:
        return [r for r in self._kept.runs.values() if r.state not in ("active", "pruned")]

    def commit(self, changes: Changes) -> None:
        if self.full:
            raise StoreError("can't write: database or disk is full")
        self._check(changes)
        kept = self._kept
        self._write_tasks(changes)
        for key, stray in kept.tracked.items():
            if stray.state == "dead" and stray.run in changes.revived:
                due_at = changes.revived[stray.run]
                again = replace(stray, state=TrackedState.WAITING, attempts=0, losses=0)
                kept.tracked[key] = replace(again, delay_s=0.0, due_at=due_at)
        for stray in changes.tracked.values():
            kept.tracked[stray.run, stray.task] = stray
            kept.tasks_of_block.setdefault(stray.block, set()).add(stray.task)
        self._write_runs(changes)
        for worker, is_here in changes.workers.items():
            (kept.workers.add if is_here else kept.workers.discard)(worker)
        kept.quotas |= changes.quotas
        kept.own |= changes.groups
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

    def _write_tasks(self, changes: Changes) -> None:
        kept = self._kept
        for block in changes.blocks:
            kept.blocks[block.id] = block
            kept.by_run.setdefault(block.run, []).append(block.id)
            kept.keys.update((block.run, key) for key in block.keys or ())
            kept.next_block = max(kept.next_block, block.id + 1)
        for outcome in changes.outcomes:
            kept.outcomes[outcome.seq] = outcome
            kept.seqs_of_run.setdefault(outcome.run, []).append(outcome.seq)
            kept.seqs_of_block.setdefault(outcome.block, []).append(outcome.seq)
            kept.next_seq = max(kept.next_seq, outcome.seq + 1)

    def _write_runs(self, changes: Changes) -> None:
        kept = self._kept
        for run in changes.forgotten:
            kept.runs.pop(run, None)
            kept.counts.pop(run, None)
        kept.dropping |= changes.forgotten
        for run, record in changes.runs.items():
            kept.next_run = max(kept.next_run, run + 1)
            if run not in changes.forgotten:
                kept.runs[run] = copy.copy(record)
                kept.dropping |= {run} if record.state == "pruned" else set()
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
        )

    # --- what waits ---

    def read_waiting(
        self, run: int, group: str | None, after: Place | None, tasks: int
    ) -> WaitingPage:
        found: list[WaitingBlock] = []
        count = 0
        blocks = [b for b in self._blocks_of(run) if b.group == group]
        for block in sorted(blocks, key=lambda b: (-b.priority, b.id)):
            place = Place(block.priority, block.id)
            if (after is not None and not after.before(place)) or not (r := self._ranges(block)):
                continue
            if found and count >= tasks:
                return WaitingPage(found, Place(found[-1].priority, found[-1].id))
            found.append(WaitingBlock(block.id, block.first, block.priority, r))
            count += sum(stop - start for start, stop in r)
        return WaitingPage(found, None)

    def read_tracked(
        self, run: int, group: str | None, after: tuple[float, int] | None, limit: int
    ) -> TrackedPage:
        behind = sorted(
            ((s.due_at, s.task), s)
            for s in self._waiting_tracked(run)
            if s.group == group and (after is None or (s.due_at, s.task) > after)
        )
        found = [replace(stray, evidence="", printed="") for _, stray in behind[:limit]]
        has_more = found and len(behind) > limit
        return TrackedPage(found, behind[limit - 1][0] if has_more else None)

    def next_groups(self, run: int, after: tuple[int, str] | None, limit: int) -> GroupPage:
        blocks = [b for b in self._blocks_of(run) if b.group is not None and self._ranges(b)]
        order = sorted({(-b.priority, str(b.group)) for b in blocks})
        if after is not None:
            order = [one for one in order if one > (-after[0], after[1])]
        found = [(-priority, group) for priority, group in order[:limit]]
        return GroupPage(found, len(found) < limit)

    def due_groups(self, run: int, after: tuple[float, int], due_by: float, limit: int) -> DuePage:
        strays = [s for s in self._waiting_tracked(run) if s.group is not None]
        behind = sorted((s.due_at, s.task, s.group or "") for s in strays)
        behind = [one for one in behind if one[:2] > after]
        due = [one for one in behind[:limit] if one[0] <= due_by]
        last = due[-1][:2] if due else after
        later = behind[len(due)][0] if len(due) < len(behind) else None
        return DuePage([one[2] for one in due], last, later)

    def _waiting_tracked(self, run: int) -> list[TrackedRecord]:
        strays = self._kept.tracked.values()
        return [s for s in strays if s.run == run and s.state == "waiting"]

    def own_groups(self, run: int, groups: Collection[str] | None = None) -> dict[str, GroupRecord]:
        own = {group: g for (r, group), g in self._kept.own.items() if r == run}
        return {group: g for group, g in own.items() if groups is None or group in groups}

    def set_clock(self, boot: int, behind_s: float, wall: float | None = None) -> None:
        kept = self._kept
        before, was_s = kept.clock
        same = bool(boot) and boot == before
        set_s = behind_s - was_s if same else kept.clock_off
        if same and abs(set_s) < LEAST_SET_S:
            return
        if same:
            self._move_delays(set_s)
        since = wall
        if wall is not None and abs(set_s) >= LEAST_SET_S and kept.clock_since is not None:
            self._move_ends(set_s, wall - set_s if same else kept.clock_seen + SLACK_S)
            since = kept.clock_since + set_s
        kept.clock, kept.clock_off = (boot, behind_s), 0.0
        if wall is not None:
            kept.clock_since, kept.clock_seen = since, wall

    def note_clock(self, wall: float, off_s: float) -> None:
        self._kept.clock_seen, self._kept.clock_off = wall, off_s

    def _move_delays(self, set_s: float) -> None:
        for key, stray in self._kept.tracked.items():
            if stray.state == "waiting":
                self._kept.tracked[key] = replace(stray, due_at=stray.due_at + set_s)
        for (run, group), own in self._kept.own.items():
            due_at = own.due_at + set_s * (own.delay_s > 0)
            self._kept.own[run, group] = replace(own, due_at=due_at)

    def _move_ends(self, set_s: float, until: float) -> None:
        since = self._kept.clock_since
        if since is None:
            return

        def moved(at: float | None) -> float | None:
            return at + set_s if at is not None and since <= at <= until else at

        for number, run in self._kept.runs.items():
            if number != QUEUE_RUN:
                started_at = moved(run.started_at) or 0.0
                self._kept.runs[number] = replace(
                    run, started_at=started_at, ended_at=moved(run.ended_at)
                )
        for key, stray in self._kept.tracked.items():
            if stray.run == QUEUE_RUN and stray.state == "dead":
                self._kept.tracked[key] = replace(stray, due_at=moved(stray.due_at) or 0.0)

    def cap_delays(self, wall: float) -> None:
        for key, stray in self._kept.tracked.items():
            if stray.state == "waiting":
                due_at = min(stray.due_at, max(wall, wall + stray.delay_s))
                self._kept.tracked[key] = replace(stray, due_at=due_at)
        for (run, group), own in list(self._kept.own.items()):
            due_at = min(own.due_at, wall + own.delay_s)
            self._kept.own[run, group] = replace(own, due_at=due_at)
            if own.limit is None and own.due_at <= wall:
                del self._kept.own[run, group]

    def read_blocks(self, parts: Mapping[int, tuple[int, int]]) -> dict[int, BlockState]:
        there = {block: part for block, part in parts.items() if block in self._kept.blocks}
        return {block: self._state(block, part) for block, part in there.items()}

    def _state(self, block: int, part: tuple[int, int]) -> BlockState:
        b = self._kept.blocks[block]
        strays = [
            replace(s, evidence="", printed="")
            for s in self._tracked_of(b)
            if s.state == "waiting" and part[0] <= s.position < part[1]
        ]
        waiting = both(self._ranges(b), [part])
        return BlockState(b.id, b.run, b.first, b.count, b.priority, b.group, waiting, strays)

    def read_body(self, block: int) -> bytes:
        if block not in self._kept.blocks:
            raise StoreError(f"there is no block {block} in the store")
        return self._kept.blocks[block].body

    def taken_keys(self, run: int, keys: Sequence[str]) -> set[str]:
        return {key for key in keys if (run, key) in self._kept.keys}

    def quota(self, run: int, name: str) -> QuotaCounts:
        return self._kept.quotas.get((run, name), QuotaCounts())

    def quotas(self, run: int, limit: int) -> dict[str, QuotaCounts]:
        found = {name: q for (r, name), q in sorted(self._kept.quotas.items()) if r == run}
        return dict(list(found.items())[:limit])

    def find_run(self, key: str) -> int | None:
        return next((run.id for run in self._kept.runs.values() if run.key == key), None)

    # --- what has ended ---

    def read_outcomes(self, run: int, after: int, limit_bytes: int) -> OutcomePage:
        found: list[OutcomeRecord] = []
        bodies: dict[int, bytes] = {}
        size = 0
        for outcome in self._outcomes_of(run, after):
            found.append(outcome)
            size += len(outcome.results) + ROW_BYTES
            if outcome.block and outcome.first not in bodies:
                bodies[outcome.first] = self.read_body(outcome.block)
                size += len(bodies[outcome.first])
            if size >= limit_bytes:
                break
        return OutcomePage(found, bodies)

    def read_last_outcomes(self, run: int, limit: int) -> OutcomePage:
        found = self._outcomes_of(run, -1)[-limit:]
        return OutcomePage(found, {o.first: self.read_body(o.block) for o in found if o.block})

    def read_results(
        self, run: int, after: int, limit_bytes: int, dead: bool = False
    ) -> ResultPage:
        found: list[ResultBlock] = []
        last, size = after, 0
        number, into = divmod(after, PLACES)
        for block in self._blocks_of(run):
            start = into if block.id == number else 0
            if block.id < number or (block.id == number and not into):
                continue
            if dead and not self._dead(block):
                continue
            if size >= limit_bytes:
                return ResultPage(found, last, complete=False)
            result, stop = self._result_block(block, start, limit_bytes - size, dead)
            last = block.id * PLACES + (stop or 0)
            size += ROW_BYTES
            if result.ended or result.dead:
                found.append(result)
                size += len(result.body) + sum(len(key) for key in result.keys or ())
                size += sum(len(e.results) + ROW_BYTES for e in result.ended)
                texts = [d.error + d.evidence + d.printed for d in result.dead]
                size += sum(len(text) + ROW_BYTES for text in texts)
            if stop is not None:
                return ResultPage(found, last, complete=False)
        return ResultPage(found, last, complete=True)

    def _result_block(
        self, block: BlockRecord, into: int, limit_bytes: int, only_dead: bool
    ) -> tuple[ResultBlock, int | None]:
        stop = None
        ended: list[Ended] = []
        for o in [] if only_dead else self._ended(block):
            if o.start < into:
                continue
            if ended and limit_bytes <= 0:
                stop = o.start
                break
            ended.append(Ended(o.seq, o.first, o.start, o.stop, o.results))
            limit_bytes -= len(o.results) + ROW_BYTES
        tasks = range(block.first + into, block.first + (block.count if stop is None else stop))
        told = [s for s in self._tracked_of(block) if s.state == "dead" or not only_dead]
        dead = [letter for letter in self._dead(block) if letter.task in tasks]
        attempts = {s.task: s.attempts for s in told if s.task in tasks}
        found = ResultBlock(block.first, block.count, block.body, block.keys, ended, dead, attempts)
        return found, stop

    def read_task(self, run: int, task: int) -> TaskRecord | None:
        for b in self._blocks_of(run):
            if b.first <= task < b.first + b.count:
                at = task - b.first
                key = None if b.keys is None else b.keys[at]
                outcome = next((o for o in self._ended(b) if o.start <= at < o.stop), None)
                stray = self._kept.tracked.get((run, task))
                return TaskRecord(run, b.id, at, b.body, key, b.group, b.priority, outcome, stray)
        return None

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
        del self._kept.by_run.get(run, [])[:rows]
        if not self._kept.by_run.get(run):
            self._kept.own = {k: g for k, g in self._kept.own.items() if k[0] != run}
            self._kept.quotas = {k: q for k, q in self._kept.quotas.items() if k[0] != run}
            self._kept.dropping.discard(run)
            self._kept.seqs_of_run.pop(run, None)
        return True

    def mark(self, at: float, seq: int, keep_s: float) -> int:
        return 0

    def prune_queue(self, seq: int, died_by: float, after: int, limit: int) -> PruneStep:
        return PruneStep({}, [], after, True)

    prune_letters = prune_queue

    def shrink(self, pages: int) -> bool:
        return False

    def close(self) -> None:
        pass

    # --- inside ---

    def _blocks_of(self, run: int) -> list[BlockRecord]:
        numbers = self._kept.by_run.get(run, [])
        return [self._kept.blocks[number] for number in sorted(numbers)]

    def _tracked_of(self, block: BlockRecord) -> list[TrackedRecord]:
        tasks = sorted(self._kept.tasks_of_block.get(block.id, ()))
        return [self._kept.tracked[block.run, task] for task in tasks]

    def _dead(self, block: BlockRecord) -> list[DeadLetter]:
        return [
            DeadLetter(s.task, s.attempts, s.losses, s.error, s.evidence, s.worker, s.printed)
            for s in self._tracked_of(block)
            if s.state == "dead"
        ]

    def _ended(self, block: BlockRecord) -> list[OutcomeRecord]:
        seqs = self._kept.seqs_of_block.get(block.id, [])
        return sorted((self._kept.outcomes[seq] for seq in seqs), key=lambda o: o.start)

    def _outcomes_of(self, run: int, after: int) -> list[OutcomeRecord]:
        seqs = sorted(self._kept.seqs_of_run.get(run, []))
        found = (self._kept.outcomes.get(seq) for seq in seqs if seq > after)
        return [outcome for outcome in found if outcome is not None]

    def _ranges(self, block: BlockRecord) -> list[tuple[int, int]]:
        ended = [(o.start, o.stop) for o in self._ended(block)]
        ended += [(s.position, s.position + 1) for s in self._tracked_of(block)]
        ranges, at = [], 0
        for start, stop in [*sorted(ended), (block.count, block.count)]:
            if start > at:
                ranges.append((at, start))
            at = max(at, stop)
        return ranges


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
