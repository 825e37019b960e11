"""What becomes of a task: it is submitted, done, failed, released, lost, cancelled, perhaps dead.

Each is an arrow of "A task" in docs/design.md. `Leasing` leases a task, `Waiting` ends its delay,
and `Lifecycle.retry` has dead letters wait again.
"""

from __future__ import annotations

import random
from collections.abc import Iterable, Mapping
from functools import partial

from queue_manager.job.raised import WORKER_DIED
from queue_manager.ranges import Ranges, joined, within, without
from queue_manager.wire.records import NewBlock

from ..changes import (
    CANCELLED,
    QUEUE_RUN,
    BlockRecord,
    BlockState,
    Mishap,
    QuotaCounts,
    TrackedState,
)
from ..tally.tally import Became
from ..tries import Fate, Tried
from .group_control import GroupControl
from .growing import GrowingBlock
from .journal import Journal
from .lanes.tracked import Tracked
from .leases.lease import Lease, Session
from .leases.leasing import Leasing
from .runs.roster import Roster
from .runs.run import Run
from .waiting import Gone, Waiting

FIRST_BACKOFF_S = 1.0
LONGEST_BACKOFF_S = 300.0


class Tasks:
    """Stages what becomes of tasks. rng: for the jitter of pauses."""

    def __init__(
        self,
        journal: Journal,
        roster: Roster,
        leasing: Leasing,
        waiting: Waiting,
        groups: GroupControl,
        rng: random.Random,
    ) -> None:
        self._journal = journal
        self._roster = roster
        self._leasing = leasing
        self._waiting = waiting
        self._groups = groups
        self._rng = rng
        self._tally = journal.tally

    # --- submitted ---

    def submit(self, run: Run, block: NewBlock, now: float, wall: float, from_tasks: bool) -> None:
        """Stage new tasks of a run. The caller has dropped those whose key is taken.

        from_tasks: `tasks()` gave them. A restarted runner skips as many as were accepted.
        """
        record = BlockRecord(
            self._journal.next_block,
            run.id,
            run.tasks + 1,
            block.count,
            block.body,
            block.keys,
            block.group if run.groups is not None else None,
            block.priority,
        )
        self._journal.keep(run)
        self._tally.new(run.job, block.count)
        run.tasks += block.count
        run.accepted += block.count if from_tasks and block.keys is None else 0
        if block.keys is not None:
            self._journal.changes.keys.setdefault(run.id, set()).update(block.keys)
        if block.delay_s > 0:
            self._journal.record_block(record)
            self._submit_delayed(run, record, block.delay_s, now, wall)
            return
        run.staged += block.count  # nobody may lease it until it is on disk
        growing = self._journal.record_growing(record, run.tail)
        if growing is not None:
            self._journal.when_committed(partial(self._admit, run, growing))

    def _admit(self, run: Run, growing: GrowingBlock) -> None:
        self._waiting.admit(run, growing.record, growing.known)
        run.tail = growing.record if growing.may_grow_on else None

    def _submit_delayed(
        self, run: Run, block: BlockRecord, delay_s: float, now: float, wall: float
    ) -> None:
        tasks = [
            Tracked(
                block.first + at, block.id, at, block.priority, block.group, due_at=wall + delay_s
            )
            for at in range(block.count)
        ]
        for task in tasks:
            self._journal.record_task(run, task, TrackedState.WAITING, delay_s=delay_s)
        run.tracked += block.count
        self._journal.when_committed(partial(self._waiting.track_all, run, tasks, now + delay_s))

    def count_quotas(self, run: Run, counts: Mapping[str, QuotaCounts], passed: int) -> None:
        """Stage how quotas of a run stand now.

        passed: tasks of `tasks()` without a key that were dropped: a restarted runner skips them.
        """
        self._journal.keep(run)
        run.accepted += passed
        for name, found in counts.items():
            self._journal.changes.quotas[run.id, name] = found

    # --- done ---

    def done(
        self, session: Session, number: int, start: int, stop: int, results: bytes, took_s: float
    ) -> bool:
        """Stage results. False: not this session's lease (any more); counted as refused."""
        lease = self._leasing.settle(session, number, start, stop)
        if lease is None:
            return False
        run, count = lease.run, stop - start
        self._journal.keep(run)
        self._tried(lease, "done", count, took_s)
        run.leased -= count
        run.done += count
        run.busy_s += took_s
        self._journal.record_outcome(run, lease.block, lease.first, start, stop, results)
        if lease.tracked is not None:
            run.tracked -= 1
            run.tracked_leased -= 1
            self._done_tracked(session, lease, lease.tracked, took_s)
        run.learn(count, took_s, len(results))
        self._leasing.paces.learn(run)
        return True

    def _done_tracked(self, session: Session, lease: Lease, task: Tracked, took_s: float) -> None:
        self._journal.keep(task)
        task.tries += 1
        tried = Tried(Fate.DONE, self._journal.now + self._tally.behind_s, took_s or None)
        told = (lease.run, task, TrackedState.DONE, lease.number)
        self._journal.record_task(*told, worker=session.name, tried=tried)

    def deliver(self, results: bytes) -> None:
        """Stage a result that a stock client put without a lease, for whoever reads."""
        self._journal.record_outcome(self._roster.runs[QUEUE_RUN], 0, 0, 0, 1, results)

    # --- failed ---

    def fail(
        self,
        session: Session,
        number: int,
        position: int,
        mishap: Mishap,
        now: float,
        wall: float,
        *,
        reject: bool = False,
        delay_s: float | None = None,
        whole_group: bool = False,
        took_s: float = 0.0,
    ) -> bool:
        """Stage a charged attempt of one task. False as in `done`.

        whole_group: nothing of its limited group starts for `delay_s` either. took_s: how long the
        attempt took.
        """
        lease = self._leasing.settle(session, number, position, position + 1)
        if lease is None:
            return False
        run = lease.run
        attempts = 1 + (0 if lease.tracked is None else lease.tracked.attempts)
        is_last = reject or attempts >= run.options.attempts
        self._tried(lease, "dead" if is_last else "failed", 1, took_s)
        task = self._tracked_of(lease, position)
        run.failed += 1
        run.busy_s += took_s
        task.attempts += 1
        task.due_at = wall
        run.leased -= 1
        if whole_group and delay_s is not None and task.group is not None:
            self._groups.pause(run, task.group, delay_s, now, wall)
        tried = Tried(Fate.FAILED, wall, took_s or None)  # 0: a worker that does not tell
        record = partial(self._journal.record_task, worker=session.name, mishap=mishap, tried=tried)
        if is_last:
            _count_dead(run)
            record(run, task, TrackedState.DEAD, number)
            return True
        if delay_s is None:
            delay_s = self._backoff_s(task.attempts)
        task.due_at = wall + delay_s
        record(run, task, TrackedState.WAITING, number, delay_s=delay_s)
        self._journal.when_committed(partial(self._waiting.track, run, task, now + delay_s))
        return True

    def _backoff_s(self, attempts: int) -> float:
        """Exponential back-off with full jitter.

        Source: https://aws.amazon.com/blogs/architecture/exponential-backoff-and-jitter/
        """
        ceiling = min(LONGEST_BACKOFF_S, FIRST_BACKOFF_S * 2 ** (attempts - 1))
        return self._rng.uniform(0, ceiling)

    def staged_attempts(self, lease: Lease, position: int) -> int:
        """How many attempts of a task were charged, with the one that this turn has staged."""
        staged = self._journal.changes.tracked.get((lease.run.id, lease.first + position))
        return 0 if staged is None else staged.attempts

    # --- released ---

    def release(
        self,
        session: Session,
        number: int,
        start: int,
        stop: int,
        lacks: str,
        *,
        unstarted: bool = False,
    ) -> bool:
        """Stage that tasks go back uncharged. False as in `done`.

        lacks: why the session can't run the job. unstarted: none of them has begun, so a limited
        group does not pause for them.
        """
        lease = self._leasing.settle(session, number, start, stop)
        if lease is None:
            return False
        self._tally.ended(lease.run.job, "released", stop - start)
        if lacks:
            session.lacks[lease.run.code] = lacks
        if unstarted and lease.limited:
            self._journal.when_committed(partial(self._leasing.never_started, lease))
        self._waiting.give_back(lease, start, stop)
        return True

    # --- lost ---

    def drop_session(self, session: Session, now: float, wall: float) -> None:
        """Stage that a session has ended: what it held is lost, and offered again at once."""
        if not self._leasing.leave(session):
            return
        for lease in list(session.leases.values()):
            self._tally.lost_lease(lease.run.job)
            for start, stop in list(lease.open):
                self._leasing.cut(lease, start, stop)
                for position in range(start, stop):
                    self._lose(lease, position, now, wall)

    def _lose(self, lease: Lease, position: int, now: float, wall: float) -> None:
        """Stage that a lease of a task ended with its session: uncharged, but counted."""
        run, task = lease.run, self._tracked_of(lease, position)
        task.losses += 1
        task.due_at = wall
        run.leased -= 1
        who = lease.session.name or "its client"
        is_last = task.losses >= run.options.losses
        self._tally.ended(run.job, "dead" if is_last else "lost", 1)
        if is_last:
            _count_dead(run)
            error = f"its lease was lost {task.losses} times (worker, host or connection ended)"
            state, mishap = TrackedState.DEAD, Mishap(error, raised=WORKER_DIED)
        else:
            state, mishap = TrackedState.WAITING, Mishap(f"its lease was lost: {who} ended")
            self._journal.when_committed(partial(self._waiting.track, run, task, now))
        tried = Tried(Fate.LOST, wall, now - lease.since)
        told = (run, task, state, lease.number)
        self._journal.record_task(*told, worker=who, mishap=mishap, tried=tried)

    # --- cancelled ---

    def cancel(self, run: Run, blocks: Iterable[BlockState], wanted: Ranges) -> Ranges:
        """Stage that tasks which wait, or are delayed, are cancelled. What is leased goes on.

        Args:
            run: it goes on with all its other tasks.
            blocks: those with wanted tasks, as they are on disk. What this turn has staged of them
                is left as it is.
            wanted: ranges of task numbers, in order and apart.

        Returns:
            The ranges of task numbers that are cancelled.
        """
        cancelled: Ranges = []
        gone: dict[str | None, Gone] = {}
        self._journal.keep(run)
        for block in blocks:
            ranges = self._unstarted(run, block, wanted)
            for start, stop in ranges:
                place = (block.id, block.first, start, stop)
                self._journal.record_outcome(run, *place, CANCELLED)
                cancelled.append((block.first + start, block.first + stop))
                run.cancelled += stop - start
                self._tally.ended(run.job, "cancelled", stop - start)
            of_group = gone.setdefault(block.group, Gone())
            if ranges:
                of_group.ranges[block.id] = ranges
            waiting = {task.position: task for task in block.tracked}
            for at, _ in within([(at, at + 1) for at in waiting], ranges):
                record = waiting[at]
                of_group.tracked.append(record.task)
                run.tracked -= 1
                task = Tracked.recorded(record)
                self._journal.record_task(run, task, TrackedState.DONE, record.lease)
        if cancelled:
            self._journal.record_run(run)
            self._journal.when_committed(partial(self._waiting.drop, run, gone))
        return cancelled

    def _unstarted(self, run: Run, block: BlockState, wanted: Ranges) -> Ranges:
        """The positions of a block that are wanted and may be cancelled."""
        first = block.first
        tracked = [(task.position, task.position + 1) for task in block.tracked]
        numbers = [(first + a, first + b) for a, b in (*block.waiting, *tracked)]
        waiting = [(a - first, b - first) for a, b in within(numbers, wanted)]
        there = run.leases.get(block.id)
        leased = [] if there is None else [piece for lease in there.leases for piece in lease.open]
        found = without(joined(waiting), [*leased, *self._journal.moved.get(block.id, ())])
        if found and run.tail is not None and run.tail.id == block.id:
            run.tail = None  # a block that has an outcome does not begin to grow
        return found

    # --- counted ---

    def _tried(self, lease: Lease, became: Became, count: int, took_s: float) -> None:
        """Count what became of tasks of a lease. Call it before a tracked one is changed."""
        due_at = None if lease.tracked is None else lease.tracked.due_at
        now = self._journal.now
        self._tally.tried(lease.run.job, became, count, lease.block, due_at, took_s, now)

    # --- off the block path ---

    def _tracked_of(self, lease: Lease, position: int) -> Tracked:
        """The task at a position of a lease, which is tracked by itself from now on.

        Its try has ended. The caller may change it and its run: a roll-back restores both.
        """
        run, task = lease.run, lease.tracked
        self._journal.keep(run)
        if task is None:
            group = lease.lane.group if lease.limited else None
            number = lease.first + position
            task = Tracked(number, lease.block, position, lease.priority, group)
            run.tracked += 1
        else:
            run.tracked_leased -= 1
        self._journal.keep(task)
        task.tries += 1
        return task


def _count_dead(run: Run) -> None:
    run.dead += 1
    run.died += 1
    run.tracked -= 1
