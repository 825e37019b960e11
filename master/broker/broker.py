"""The state machine of tasks and leases. No sockets, no SQL, no threads, no clock: time comes in.

It thinks in blocks. A turn stages what came (`submit`, `done`, `fail`, ...) into `changes`; the
caller makes them durable and calls `committed`, or `rolled_back`. New tasks become visible, and
counts of ended runs final, only then.
"""

from __future__ import annotations

import random
from collections.abc import Mapping
from functools import partial

from queue_manager.wire.records import NewBlock

from ..changes import QUEUE_RUN, BlockRecord, QuotaCounts, TrackedState
from .lease import Lease, Session
from .lifecycle import Lifecycle
from .run import Run
from .strays import Stray
from .window import Range

FIRST_BACKOFF_S = 1.0
LONGEST_BACKOFF_S = 300.0


class Broker(Lifecycle):
    """All runs, sessions and leases of one master.

    Args:
        epoch: grows with each start of the master; a lease's number carries it.
        stock_job: the job whose `work` runs the queue run's tasks, and whose runs stock clients
            work for; empty is none.
        rng: for jitter.
    """

    def __init__(self, epoch: int, stock_job: str, rng: random.Random) -> None:
        super().__init__(epoch, stock_job)
        self._rng = rng

    # --- tasks come ---

    def submit(self, run: Run, block: NewBlock, now: float, wall: float, from_tasks: bool) -> None:
        """Stage new tasks of a run. The caller has dropped those whose key is taken."""
        record = BlockRecord(
            self.next_block,
            run.id,
            run.tasks + 1,
            block.count,
            block.body,
            block.keys,
            block.group if run.groups is not None else None,
            block.priority,
            from_tasks,
        )
        self.next_block += 1
        accepted = block.count if from_tasks and block.keys is None else 0
        self.undo.keep(run)
        run.tasks += block.count
        run.accepted += accepted
        self.changes.blocks.append(record)
        if block.keys is not None:
            self.changes.keys.setdefault(run.id, set()).update(block.keys)
        if block.delay_s > 0:
            self._submit_delayed(run, record, block.delay_s, now, wall)
        else:  # until it is on disk nobody may lease it
            run.staged += block.count
            self.undo.when_committed(partial(self._admit, run, record))

    def count_quotas(self, run: Run, counts: Mapping[str, QuotaCounts], passed: int) -> None:
        """Stage how quotas of a run stand now.

        passed: tasks of `tasks()` without a key that were dropped: a restarted runner skips them.
        """
        for name, found in counts.items():
            self.changes.quotas[run.id, name] = found
        if passed:
            self.undo.keep(run)
            run.accepted += passed

    def _submit_delayed(
        self, run: Run, block: BlockRecord, delay_s: float, now: float, wall: float
    ) -> None:
        strays = [
            Stray(
                block.first + at, block.id, at, block.priority, block.group, due_at=wall + delay_s
            )
            for at in range(block.count)
        ]
        for stray in strays:
            self._stray(run, stray, TrackedState.WAITING, delay_s=delay_s)
        run.strays += block.count
        self.undo.when_committed(partial(self._wait_all, run, strays, now + delay_s))

    def _admit(self, run: Run, block: BlockRecord) -> None:
        run.staged -= block.count
        if run.active:
            found = Range(block.id, block.first, 0, block.count)
            run.admit(block.group, block.priority, found, self._now)

    # --- outcomes ---

    def done(
        self, session: Session, number: int, start: int, stop: int, results: bytes, took_s: float
    ) -> bool:
        """Stage results. False: not this session's lease (any more); counted as refused."""
        lease = self._settle(session, number, start, stop)
        if lease is None:
            return False
        run, count = lease.run, stop - start
        self.undo.keep(run)
        run.leased -= count
        run.done += count
        self._outcome(run, lease.block, lease.first, start, stop, results)
        if lease.stray is not None:
            run.strays -= 1
            run.strays_out -= 1
            self._stray(run, lease.stray, TrackedState.DONE, number)
        run.learn(count, took_s)
        return True

    def fail(
        self,
        session: Session,
        number: int,
        position: int,
        error: str,
        now: float,
        wall: float,
        *,
        evidence: str = "",
        printed: str = "",
        reject: bool = False,
        delay_s: float | None = None,
        whole_group: bool = False,
    ) -> bool:
        """Stage a charged attempt of one task. False as in `done`.

        whole_group: nothing of its limited group starts for `delay_s` either.
        """
        lease = self._settle(session, number, position, position + 1)
        if lease is None:
            return False
        run, stray = lease.run, self._stray_of(lease, position)
        stray.attempts += 1
        stray.due_at = wall
        run.leased -= 1
        if whole_group and delay_s is not None and stray.group is not None:
            self.pause(run, stray.group, delay_s, now, wall)
        tell = partial(self._stray, error=error, evidence=evidence, printed=printed)
        if reject or stray.attempts >= run.options.attempts:
            self._bury(run)
            tell(run, stray, TrackedState.DEAD, number, worker=session.name)
            return True
        if delay_s is None:
            ceiling = min(LONGEST_BACKOFF_S, FIRST_BACKOFF_S * 2 ** (stray.attempts - 1))
            delay_s = self._rng.uniform(0, ceiling)
        stray.due_at = wall + delay_s
        tell(run, stray, TrackedState.WAITING, number, worker=session.name, delay_s=delay_s)
        self.undo.when_committed(partial(self._wait, run, stray, now + delay_s))
        return True

    def staged_attempts(self, lease: Lease, position: int) -> int:
        """How many attempts of a task were charged, with the one that this turn has staged."""
        staged = self.changes.tracked.get((lease.run.id, lease.first + position))
        return 0 if staged is None else staged.attempts

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
        """Tasks go back uncharged. lacks: why the session can't run the job. False: see `done`.

        unstarted: none of them has begun; a limited group does not pause for what never was.
        """
        lease = self._settle(session, number, start, stop)
        if lease is None:
            return False
        if lacks:
            session.lacks[lease.run.job] = lacks
        if unstarted and lease.limited:
            self.undo.when_committed(partial(self._never_started, lease))
        self._give_back(lease, start, stop)
        return True

    def deliver(self, results: bytes) -> None:
        """Stage a result that a stock client put without a lease, for whoever reads."""
        self._outcome(self.runs[QUEUE_RUN], 0, 0, 0, 1, results)

    # --- sessions end ---

    def drop_session(self, session: Session, now: float, wall: float) -> None:
        """A session has ended: what it held is offered again at once, uncharged but counted."""
        if not self._leave(session):
            return
        for lease in list(session.leases.values()):
            for start, stop in list(lease.open):
                self._cut(lease, start, stop)
                for position in range(start, stop):
                    self._lose(lease, position, now, wall)

    def _lose(self, lease: Lease, position: int, now: float, wall: float) -> None:
        run, stray = lease.run, self._stray_of(lease, position)
        stray.losses += 1
        stray.due_at = wall
        run.leased -= 1
        who = lease.session.name or "its client"
        if stray.losses >= run.options.losses:
            self._bury(run)
            error = f"its lease was lost {stray.losses} times (worker, host or connection ended)"
            self._stray(run, stray, TrackedState.DEAD, lease.number, error=error, worker=who)
            return
        error = f"its lease was lost: {who} ended"
        self._stray(run, stray, TrackedState.WAITING, lease.number, error=error, worker=who)
        self.undo.when_committed(partial(self._wait, run, stray, now))

    def _stray_of(self, lease: Lease, position: int) -> Stray:
        """The task as a stray, which it is from now on."""
        run, stray = lease.run, lease.stray
        self.undo.keep(run)
        if stray is None:
            group = lease.lane.group if lease.limited else None
            task = lease.first + position
            stray = Stray(task, lease.block, position, lease.priority, group)
            run.strays += 1
        else:
            run.strays_out -= 1
        self.undo.keep(stray)
        return stray

    def _bury(self, run: Run) -> None:
        self.undo.keep(run)
        run.dead += 1
        run.strays -= 1

    # --- the end of a turn ---

    def committed(self) -> None:
        """The staged changes are on disk: make them visible."""
        changes = self._keep()
        try:
            self.undo.committed()
        finally:
            for outcome in changes.outcomes:
                run = self.runs.get(outcome.run)  # None: cancelled and forgotten in the same turn
                if run is not None:
                    run.last_seq = max(run.last_seq, outcome.seq)
            for run_id, record in changes.runs.items():
                if record.state != "active" and run_id in self.runs:
                    self._shelve(self.runs[run_id])
