"""The state machine of tasks and leases. No sockets, no SQL, no threads, no clock: time comes in.

It thinks in blocks. A turn stages what came (`submit`, `done`, `fail`, ...) into `changes`; the
caller makes them durable and calls `committed`, or `rolled_back`. New tasks become visible, and
counts of ended runs final, only then.
"""

from __future__ import annotations

import heapq
import random
from collections import deque
from functools import partial

from queue_manager.records import BLOCK_TASKS, NewBlock, RunOptions

from .changes import QUEUE_RUN, BlockRecord, LoadedRun, WaitingBlock
from .lease import Lease, Session
from .run import Range, Run, Stray
from .staging import Staging

FIRST_BACKOFF_S = 1.0
LONGEST_BACKOFF_S = 300.0


class Broker(Staging):
    """All runs, sessions and leases of one master.

    Args:
        epoch: grows with each start of the master; a lease's number carries it.
        stock_job: the job whose `work` runs the queue run's tasks, and whose runs stock clients
            work for; empty is none.
        rng: for jitter.
    """

    def __init__(self, epoch: int, stock_job: str, rng: random.Random) -> None:
        super().__init__()
        self.runs: dict[int, Run] = {}
        self.sessions: dict[int, Session] = {}
        self.stock_job = stock_job
        self.next_run = self.next_block = 1
        self.refused = 0
        self._rng = rng
        self._next_lease = (epoch << 32) + 1
        self._turns: deque[Run] = deque()
        self._slots = 0

    # --- runs ---

    def restore(self, loaded: LoadedRun, now: float, wall: float) -> Run:
        """Take over a run as the store has it. now: monotonic seconds; wall: UTC epoch."""
        run = Run.loaded(loaded)
        self._add(run)
        for priority, count in loaded.waiting.items():
            run.lane(priority).on_disk = count
        for stray in loaded.strays:
            found = Stray(
                stray.task,
                stray.block,
                stray.position,
                stray.priority,
                stray.attempts,
                stray.losses,
            )
            # The wall clock may have jumped: a delay never gets longer than it was.
            left_s = min(stray.due_at - wall, stray.delay_s)
            run.delayed += 1
            self._delay(run, found, now + max(left_s, 0.0))
        return run

    def start_run(
        self, job: str, words: list[str], key: str | None, options: RunOptions, wall: float
    ) -> Run:
        """Stage a new run."""
        run = Run(self.next_run, job, words, key, options, started_at=wall)
        self.next_run += 1
        self._add(run)
        self._undo_by(partial(self.runs.pop, run.id))
        self._undo_by(partial(self._turns.remove, run))
        self._record(run)
        return run

    def exhaust(self, run: Run) -> None:
        """Stage that `tasks()` of the run has no more to give."""
        self.change(run, exhausted=True)
        self._record(run)

    def finish_runs(self, wall: float) -> None:
        """Stage the end of the runs whose tasks have all ended."""
        for run in {r.id: r for r in self._touched()}.values():
            ended = run.exhausted and run.tasks == run.done + run.dead
            if ended and run.active and run.id != QUEUE_RUN:
                self.change(run, state="failed" if run.dead else "done", ended_at=wall)
                self._record(run)

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
            block.group,
            block.priority,
            from_tasks,
        )
        self.next_block += 1
        accepted = block.count if from_tasks and block.keys is None else 0
        self.change(run, tasks=run.tasks + block.count, accepted=run.accepted + accepted)
        self.changes.blocks.append(record)
        if block.keys is not None:
            self.changes.keys.setdefault(run.id, set()).update(block.keys)
        # Until it is on disk nobody may lease it: count it as delayed.
        self.change(run, delayed=run.delayed + block.count)
        if block.delay_s > 0:
            for position in range(block.count):
                stray = Stray(record.first + position, record.id, position, block.priority)
                self._stray(run, stray, "waiting", block.delay_s, wall)
                self._delay(run, stray, now + block.delay_s)

    # --- leases ---

    def add_session(self, session: Session) -> None:
        """A session may hold leases from now on."""
        self.sessions[session.id] = session
        self._slots += session.slots

    def drop_session(self, session: Session, now: float, wall: float) -> None:
        """A session has ended: what it held is offered again at once, uncharged but counted."""
        if self.sessions.pop(session.id, None) is None:
            return
        self._slots -= session.slots
        self._undo_by(partial(self.add_session, session))
        for lease in list(session.leases.values()):
            for start, stop in list(lease.open):
                self._cut(lease, start, stop)
                for position in range(start, stop):
                    self._lose(lease, position, now, wall)

    @property
    def any_ready(self) -> bool:
        """Whether some lease could be given."""
        return any(run.ready for run in self._turns)

    def wake(self, now: float) -> None:
        """Delays that are over end."""
        while self._delayed and self._delayed[0][0] <= now:
            _, _, stray, run = heapq.heappop(self._delayed)
            if run.active:
                run.delayed -= 1
                run.put_alone(stray)

    @property
    def next_due(self) -> float | None:
        """When the next delay is over (monotonic)."""
        return self._delayed[0][0] if self._delayed else None

    def lease(self, session: Session, now: float) -> Lease | None:
        """Give one lease to a session, or None when nothing is ready for it. Runs take turns."""
        for _ in range(len(self._turns)):
            run = self._turns[0]
            self._turns.rotate(-1)
            if run.ready and self._may_take(session, run):
                return self._give(session, run, now)
        return None

    def refills(self) -> list[tuple[Run, int, int, int]]:
        """Lanes that should be read ahead: (run, priority, behind which block, how many tasks)."""
        return [
            (run, priority, lane.last, lane.room)
            for run in self._turns
            for priority, lane in run.lanes.items()
            if lane.wants_refill
        ]

    def refill(self, run: Run, priority: int, blocks: list[WaitingBlock], last: int) -> None:
        """Take blocks from disk into the window. last: the newest one that was looked at."""
        lane = run.lane(priority)
        for block in blocks:
            for start, stop in block.ranges:
                lane.ready.append(Range(block.id, block.first, start, stop))
                lane.loaded += stop - start
                lane.on_disk -= stop - start
        lane.last = max(lane.last, last)
        run.newest = max(run.newest, lane.last)
        if last == 0:  # nothing behind it: never ask for ever after a count that is wrong
            lane.on_disk = 0
            run.drop_if_empty(priority)

    # --- outcomes ---

    def done(
        self, session: Session, number: int, start: int, stop: int, results: bytes, took_s: float
    ) -> bool:
        """Stage results. False: not this session's lease (any more); counted as refused."""
        lease = self._settle(session, number, start, stop)
        if lease is None:
            return False
        run, count = lease.run, stop - start
        self.change(run, leased=run.leased - count, done=run.done + count)
        self._outcome(run, lease.block, lease.first, start, stop, results)
        if lease.stray is not None:
            self._stray(run, lease.stray, "done")
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
        reject: bool = False,
        delay_s: float | None = None,
    ) -> bool:
        """Stage a charged attempt of one task. False as in `done`."""
        lease = self._settle(session, number, position, position + 1)
        if lease is None:
            return False
        run, stray = lease.run, self._stray_of(lease, position)
        stray.attempts += 1
        self.change(run, leased=run.leased - 1)
        if reject or stray.attempts >= run.options.attempts:
            self._bury(run, stray, error, evidence)
            return True
        if delay_s is None:
            ceiling = min(LONGEST_BACKOFF_S, FIRST_BACKOFF_S * 2 ** (stray.attempts - 1))
            delay_s = self._rng.uniform(0, ceiling)
        self.change(run, delayed=run.delayed + 1)
        self._stray(run, stray, "waiting", delay_s, wall, error, evidence)
        self._delay(run, stray, now + delay_s)
        return True

    def staged_attempts(self, lease: Lease, position: int) -> int:
        """How many attempts of a task were charged, with the one that this turn has staged."""
        staged = self.changes.strays.get((lease.run.id, lease.first + position))
        return 0 if staged is None else staged.attempts

    def release(self, session: Session, number: int, start: int, stop: int, lacks: str) -> bool:
        """Tasks go back uncharged. lacks: why the session can't run the job. False: see `done`."""
        lease = self._settle(session, number, start, stop)
        if lease is None:
            return False
        run = lease.run
        self.change(run, leased=run.leased - (stop - start))
        if lacks:
            session.lacks[run.job] = lacks
        if lease.stray is not None:
            self.when_committed(partial(run.put_alone, lease.stray))
        else:
            found = Range(lease.block, lease.first, start, stop)
            self.when_committed(partial(run.put_back, lease.priority, found))
        return True

    def deliver(self, results: bytes) -> None:
        """Stage a result that a stock client put without a lease, for whoever reads."""
        self._outcome(self.runs[QUEUE_RUN], 0, 0, 0, 1, results)

    # --- the end of a turn ---

    def committed(self) -> None:
        """The staged changes are on disk: make them visible."""
        changes = self._keep()
        strays = {(s.run, s.block) for s in changes.strays.values()} if changes.strays else set()
        for block in changes.blocks:
            if (block.run, block.id) in strays:
                continue  # delayed from the start: each waits by itself
            run = self.runs[block.run]
            run.delayed -= block.count
            run.admit(block.priority, Range(block.id, block.first, 0, block.count))
        for outcome in changes.outcomes:
            run = self.runs[outcome.run]
            run.last_seq = max(run.last_seq, outcome.seq)
        for run_id, record in changes.runs.items():
            if record.state != "active":
                self._forget(self.runs[run_id])

    # --- inside ---

    def _add(self, run: Run) -> None:
        self.runs[run.id] = run
        self.next_run = max(self.next_run, run.id + 1)
        if run.active:
            self._turns.append(run)

    def _forget(self, run: Run) -> None:
        if run in self._turns:
            self._turns.remove(run)
        run.lanes.clear()
        run.order.clear()

    def _touched(self) -> list[Run]:
        changes = self.changes
        ids = {o.run for o in changes.outcomes} | {r for r, _ in changes.strays} | set(changes.runs)
        return [self.runs[run] for run in ids]

    def _may_take(self, session: Session, run: Run) -> bool:
        if session.stock:
            return run.id == QUEUE_RUN or run.job == self.stock_job
        return bool(run.job) and run.job not in session.lacks

    def _give(self, session: Session, run: Run, now: float) -> Lease:
        share = max(-(-run.waiting // max(1, self._slots)), run.least)
        most = 1 if session.stock else max(1, min(run.size, share, BLOCK_TASKS))
        found, priority, stray = run.take(most)
        lease = Lease(
            self._next_lease,
            session,
            run,
            found.block,
            found.first,
            [(found.start, found.stop)],
            priority,
            stray,
            now,
        )
        self._next_lease += 1
        session.leases[lease.number] = lease
        run.leased += found.stop - found.start
        return lease

    def _settle(self, session: Session, number: int, start: int, stop: int) -> Lease | None:
        lease = session.leases.get(number)
        if lease is None or not self._cut(lease, start, stop):
            self.refused += 1
            return None
        return lease

    def _cut(self, lease: Lease, start: int, stop: int) -> bool:
        before = list(lease.open)
        if not lease.cut(start, stop):
            return False
        self._undo_by(partial(lease.reopen, before))
        return True

    def _lose(self, lease: Lease, position: int, now: float, wall: float) -> None:
        run, stray = lease.run, self._stray_of(lease, position)
        stray.losses += 1
        self.change(run, leased=run.leased - 1)
        why = f"its lease was lost {stray.losses} times (worker, host or connection ended)"
        if stray.losses >= run.options.losses:
            self._bury(run, stray, why, "")
            return
        self._stray(run, stray, "waiting", 0.0, wall)
        self.when_committed(partial(run.put_alone, stray))

    def _stray_of(self, lease: Lease, position: int) -> Stray:
        stray = lease.stray
        if stray is None:
            stray = Stray(lease.first + position, lease.block, position, lease.priority)
        self._undo_by(partial(self._charge, stray, stray.attempts, stray.losses))
        return stray

    @staticmethod
    def _charge(stray: Stray, attempts: int, losses: int) -> None:
        stray.attempts, stray.losses = attempts, losses

    def _bury(self, run: Run, stray: Stray, error: str, evidence: str) -> None:
        self.change(run, dead=run.dead + 1)
        self._stray(run, stray, "dead", error=error, evidence=evidence)
