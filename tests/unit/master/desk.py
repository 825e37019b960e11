"""A broker on a store in memory, without a turn: what a room of it does, one step at a time."""

from __future__ import annotations

import random
from typing import Any

from master.broker import Broker
from master.broker.leases.lease import Lease, Session
from master.broker.leases.recovery import parts_of
from master.broker.runs.run import Run
from master.changes import Changes, Mishap
from master.turn.read_ahead import seek
from queue_manager import codec
from queue_manager.wire.records import HeldLease, NewBlock, RunOptions
from tests.asked import block_states
from tests.memory_store import MemoryStore, all_runs

NOW, WALL = 100.0, 1_000_000.0


def block(count: int, first: int = 1, **fields: Any) -> NewBlock:
    """A block of tasks whose payloads are the numbers from `first` on."""
    return NewBlock(count, codec.encode_batch(list(range(first, first + count))), **fields)


class Desk:
    """Broker and store; time stands still until it is moved. run: the first run."""

    def __init__(self, job: str = "", before: Desk | None = None, **options: Any) -> None:
        self.store = MemoryStore() if before is None else before.store.reopen()
        self.now, self.wall = (NOW, WALL) if before is None else (before.now, before.wall)
        self._sessions = 0
        self.broker = Broker(self.store.epoch, job, random.Random(1))
        self.broker.wake(self.now)
        for loaded in all_runs(self.store):
            self.broker.restore(loaded, self.now, self.wall)
        self.broker.next_run = self.store.next_run
        self.broker.next_block = self.store.next_block
        self.broker.next_seq = self.store.next_seq
        marks = self.store.accepted_marks()
        self.broker.tally.begin(marks, self.store.next_block, self.now, self.wall)
        self.broker.committed()
        self.run = self.broker.runs[1] if 1 in self.broker.runs else self.new_run(**options)
        self.refill()

    def restarted(self) -> Desk:
        """As after kill -9 of the master."""
        return Desk(self.broker.stock_job, self)

    # --- turns ---

    def commit(self) -> Changes:
        """The end of a turn."""
        broker, changes = self.broker, self.broker.changes
        broker.finish_runs(self.wall)
        broker.add_progress()
        self.store.commit(changes)
        broker.committed()
        self.refill()
        return changes

    def refill(self) -> None:
        """As the turn does it."""
        seek(self.broker, self.store, self.wall)
        for run, lane in self.broker.low_lanes():
            window, tracked = lane.window, lane.tracked
            if window.low:
                found = self.store.read_waiting(run.id, lane.group, window.disk_cursor, window.room)
                self.broker.refill(run, lane, *found)
            if tracked.low:
                some = self.store.read_tracked(
                    run.id, lane.group, tracked.disk_cursor, tracked.most
                )
                self.broker.refill_tracked(run, lane, *some, self.wall)

    def later(self, wait_s: float) -> None:
        """Time passes, and a turn is taken."""
        self.now += wait_s
        self.wall += wait_s
        self.broker.wake(self.now)
        self.commit()

    # --- what comes ---

    def new_run(self, job: str = "job", key: str | None = None, **options: Any) -> Run:
        run = self.broker.start_run(job, [], key, RunOptions(**options), self.wall)
        self.commit()
        return run

    def session(self, slots: int = 1, **fields: Any) -> Session:
        """A session that has come; it wants whatever there is."""
        self._sessions += 1
        session = Session(self._sessions, slots, **({"wanted": 9, "free": 9} | fields))
        self.broker.enter(session)
        self.commit()
        return session

    def stage(self, count: int, run: Run | None = None, **fields: Any) -> None:
        self.broker.submit(run or self.run, block(count, **fields), self.now, self.wall, True)

    def submit(self, count: int, run: Run | None = None, **fields: Any) -> None:
        self.stage(count, run, **fields)
        self.commit()

    def submit_changes(self, count: int) -> Changes:
        """Submit, and see what goes to disk."""
        self.stage(count)
        return self.commit()

    def lease(self, session: Session) -> Lease:
        lease = self.broker.lease(session, self.now)
        assert lease is not None, "nothing for it"
        return lease

    def leases(self, session: Session, most: int = 99) -> list[list[int]]:
        """The tasks of the next leases, as many as it gets."""
        found = []
        while len(found) < most and (lease := self.broker.lease(session, self.now)):
            found.append(tasks(lease))
        return found

    def drain(self, session: Session) -> list[int]:
        """All that one session gets when it does its tasks one lease after the other."""
        found: list[int] = []
        while lease := self.broker.lease(session, self.now):
            found += tasks(lease)
            self.done(lease)
            self.commit()
        return found

    def done(self, lease: Lease, start: int | None = None, stop: int | None = None) -> bool:
        """A result of a range of a lease, of all that is open when none is named."""
        ranges = list(lease.open) if start is None or stop is None else [(start, stop)]
        return all(
            self.broker.done(
                lease.session, lease.number, a, b, codec.encode_batch([0] * max(0, b - a)), 0.0
            )
            for a, b in ranges
        )

    def fail(self, lease: Lease, position: int | None = None, **fields: Any) -> bool:
        position = lease.open[0][0] if position is None else position
        told = {name: fields.pop(name) for name in Mishap._fields if name in fields}
        mishap = Mishap(**{"error": "bad", **told})
        return self.broker.fail(
            lease.session, lease.number, position, mishap, self.now, self.wall, **fields
        )

    def release(self, lease: Lease, lacks: str = "", **fields: Any) -> bool:
        (start, stop), *_ = lease.open
        return self.broker.release(lease.session, lease.number, start, stop, lacks, **fields)

    def drop(self, session: Session) -> None:
        self.broker.drop_session(session, self.now, self.wall)

    def claim(self, session: Session, *held: HeldLease) -> list[HeldLease]:
        """What is recognized of what a new session says that it holds."""
        states = block_states(self.store, parts_of(held))
        return list(self.broker.claim(session, held, states, self.now).values())


def tasks(lease: Lease) -> list[int]:
    """The tasks of a lease that are not settled."""
    return [lease.first + p for start, stop in lease.open for p in range(start, stop)]


def held(lease: Lease, *ranges: tuple[int, int]) -> HeldLease:
    """What a worker says of a lease in its hello."""
    return HeldLease(lease.number, lease.run.id, lease.block, list(ranges or lease.open))


def counts(run: Run) -> dict[str, int]:
    """Its counts of tasks, but those that are 0."""
    names = ("tasks", "waiting", "leased", "delayed", "staged", "done", "dead", "cancelled")
    return {name: n for name in names if (n := getattr(run, name))}
