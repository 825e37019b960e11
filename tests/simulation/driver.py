"""The master around the broker, without time of its own: `turn` and `workers` in small."""

from __future__ import annotations

import random
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from functools import partial
from operator import attrgetter
from typing import TYPE_CHECKING, Any, cast

from master.broker import Broker
from master.broker.leases.lease import Lease, Session
from master.broker.leases.recovery import parts_of
from master.broker.runs.run import Run
from master.broker.undo import UndoLog
from master.changes import QUEUE_RUN, Mishap
from master.reads import ReadAnswer, ReadRequest
from master.server.runs.admission import Admission, Admitted
from master.store.contract import Store
from master.turn.known import Known
from master.turn.read_ahead import groups_of, know, seek
from master.turn.turn import Turn
from queue_manager.errors import QueueError, StoreError
from queue_manager.wire.messages import Exchange, Hello, Leases, Revoked, Welcome
from queue_manager.wire.records import Done, Failed, HeldLease, NewBlock, Outcome, RunOptions
from queue_manager.wire.records import Lease as LeaseMessage
from tests.asked import block_states
from tests.memory_store import all_runs

from .judge import Judge
from .truth import check

if TYPE_CHECKING:
    from .workers import Person

STOCK_JOB = "stock"
KNOWN_WORKERS_S = 5.0
RETRY_S = 0.5
LACKS_S = 5.0
CLOSED = "closed"
DOWN = "down"

Answer = Callable[[], object]


class Crashed(Exception):
    """The master is no more."""


@dataclass(slots=True, eq=False)
class Connection:
    """Two queues of messages, and what the master knows of who is at the other end.

    gone: the master has noticed that it ended; late: that takes a while. lease: of a stock client.
    """

    person: Person
    to_master: deque[Any] = field(default_factory=deque)
    to_person: deque[Any] = field(default_factory=deque)
    session: Session | None = None
    worker: str = ""
    draining: bool = False
    sent: int = 0
    gone: bool = False
    late: bool = False
    granted: list[LeaseMessage] = field(default_factory=list)
    lacks_at: float = 0.0
    lease: Lease | None = None

    def saved(self) -> Callable[[], None]:
        """What restores all that a turn changes of it."""
        return partial(self._restore, self.lease)

    def _restore(self, lease: Lease | None) -> None:
        self.lease = lease


@dataclass(slots=True)
class Step:
    """One part of a turn, as in `master.turn.turn`. told: called when it is on disk."""

    stage: Callable[[float, float], Answer | None]
    waits: bool = True
    told: Callable[[], object] | None = None


class Driver:
    """One master from its start to its crash.

    shrink: makes the windows of a new run small. crash: "before" or "after" the next commit.
    """

    def __init__(
        self,
        store: Store,
        judge: Judge,
        rng: random.Random,
        now: float,
        wall: float,
        shrink: Callable[[Run], None],
    ) -> None:
        self.store, self.judge, self.shrink, self.rng = store, judge, shrink, rng
        self.wall_behind, self.began_at = wall - now, wall
        self.broker = broker = Broker(store.epoch, STOCK_JOB, random.Random(rng.random()))
        self.undo = UndoLog()
        self.known = Known()
        self.admission = Admission(cast(Turn, self))  # it needs no more than broker and known
        judge.epoch = store.epoch
        judge.in_memory = self._in_memory  # type: ignore[method-assign]
        store.cap_delays(wall)
        for loaded in all_runs(store):
            run = broker.restore(loaded, now, wall)
            shrink(run)
            if run.id == QUEUE_RUN:
                run.job = STOCK_JOB
        broker.next_run, broker.next_block = store.next_run, store.next_block
        broker.next_seq = store.next_seq
        broker.committed()
        broker.await_known_workers(store.workers, KNOWN_WORKERS_S)
        self.hold_until: float | None = None
        self.expected = set(store.workers)
        self.connections: list[Connection] = []
        self.by_worker: dict[str, Connection] = {}
        self.idle: dict[int, Connection] = {}
        self.again: list[Step] = []
        self.requests: list[Step] = []
        self.retry_at: float | None = now
        self.crash = ""
        self.full = self.stuck = False
        self._sessions = 0
        self.seen_refused = 0

    # --- the turn ---

    @property
    def next_wake(self) -> float | None:
        """When a turn happens by itself."""
        if self.stuck:
            return self.retry_at
        dues = [due for due in (self.broker.next_due, self.retry_at) if due is not None]
        return min(dues, default=None)

    def turn(self, now: float, most: int = 0) -> None:
        """most: messages that have come, of each connection at most."""
        wall = now + self.wall_behind
        broker, judge = self.broker, self.judge
        self.retry_at, self.stuck = None, False
        broker.wake(now)
        self._give_up_waiting(now)
        steps = self._heard(most)
        answers = self._stage(steps, now, wall)
        judge.finish()
        broker.finish_runs(wall)
        judge.recorded(broker.changes)
        if broker.changes.must_commit and not self._commit():
            self.again = [step for step in steps if step.waits]
            self.retry_at = now + RETRY_S
            self.stuck = True
            return
        judge.committed(now)
        if self.crash == "after":
            raise Crashed
        broker.committed()
        self.undo.committed()
        self.refill()
        self._hand_out(now)
        for answer in answers:
            answer()
        if broker.more_low:
            self.retry_at = now

    def _give_up_waiting(self, now: float) -> None:
        """Known workers have had time to come."""
        if self.hold_until is None:
            if self.broker.sessions:
                self.hold_until = now + KNOWN_WORKERS_S
        elif now >= self.hold_until:
            self.judge.workers -= self.expected
            self.expected.clear()

    def _heard(self, most: int) -> list[Step]:
        """What is held from before, what was asked for, and some of what has come."""
        steps, self.again = self.again + self.requests, []
        self.requests = []
        for connection in self.rng.sample(self.connections, len(self.connections)):
            if connection.late and self.rng.random() < 0.9:
                continue
            for _ in range(min(most and self.rng.randint(1, most), len(connection.to_master))):
                steps.append(self._step(connection, connection.to_master.popleft()))
        return steps

    def _commit(self) -> bool:
        """Returns False when the disk was full, and all is as before the turn."""
        if self.crash == "before":
            raise Crashed
        self.broker.add_progress()
        try:
            if self.full:
                raise StoreError("can't write: full")
            self.store.commit(self.broker.changes)
        except StoreError:
            self.broker.rolled_back()
            self.undo.rolled_back()
            self.judge.rolled_back()
            return False
        self.judge.saved_workers = self.judge.workers
        return True

    def _stage(self, steps: list[Step], now: float, wall: float) -> list[Answer]:
        answers = []
        for step in list(steps):
            try:
                answer = step.stage(now, wall)
            except QueueError:
                steps.remove(step)
                continue
            if answer is not None:
                answers.append(answer)
            if step.told is not None:
                answers.append(step.told)
        return answers

    def refill(self) -> None:
        """As `Turn.refill`."""
        broker, store = self.broker, self.store
        seek(cast(Broker, broker), store, self.wall(broker.journal.now))
        for run, lane in broker.low_lanes():
            window, tracked = lane.window, lane.tracked
            if window.low:
                blocks, place = store.read_waiting(
                    run.id, lane.group, window.disk_cursor, window.room
                )
                broker.refill(run, lane, blocks, place)
            if tracked.low:
                records, due = store.read_tracked(
                    run.id, lane.group, tracked.disk_cursor, tracked.most
                )
                broker.refill_tracked(run, lane, records, due, self.wall(broker.journal.now))

    def wall(self, now: float) -> float:
        return now + self.wall_behind

    def _in_memory(self, task: Any) -> bool:
        run = self.broker.runs[task.run]
        lane = run.lane if run.groups is None else run.groups.lanes.get(task.group, run.lane)
        if task.group is not None and run.groups is not None and lane is run.lane:
            return False  # the group waits on disk alone
        if task.tracked:
            return not lane.tracked.more_on_disk or task.number in lane.tracked.in_memory
        window = lane.window
        return not window.more_on_disk or any(
            r.block == task.block and r.start <= task.position < r.stop
            for ready in window.ready.values()
            for r in ready
        )

    # --- leases go out ---

    def _hand_out(self, now: float) -> None:
        broker = self.broker
        by_session = {c.session.id: c for c in self.connections if c.session is not None}
        for session, number in broker.superseded:
            self.revoke(by_session.get(session.id), [number])
        broker.superseded.clear()
        # Stock clients first, as their queue follows first.
        for connection in sorted(self.idle.values(), key=lambda c: not _session(c).stock):
            if _session(connection).stock:
                self._give(connection, now)
                self.refill()
        while self.idle and broker.any_ready:
            given = [c for c in list(self.idle.values()) if broker.any_ready and self._give(c, now)]
            was_low = broker.more_low
            self.refill()
            if not given:
                if was_low and not broker.more_low:
                    self.retry_at = now
                break
        for connection in self.connections:
            self._send(connection, 0, 0) if connection.granted else None

    def _give(self, connection: Connection, now: float) -> bool:
        session = _session(connection)
        leases = self.broker.leases(session, now)
        if not leases:
            return False
        for lease in leases:
            self.judge.granted(session, lease, now, bool(self.expected))
            self._grant(connection, lease)
        self._fair(session, leases[0], now)
        session.wanted -= 1
        connection.lease = leases[-1]
        del self.idle[session.id]
        if session.wanted > 0:
            self.idle[session.id] = connection
        return True

    @staticmethod
    def _grant(connection: Connection, lease: Lease) -> None:
        connection.sent += 1
        ((start, stop),) = lease.open
        run = lease.run
        connection.granted.append(
            LeaseMessage(
                lease.number,
                run.id,
                run.job,
                lease.first,
                start,
                stop,
                b"",
                None,
                lease.block,
                "",
                not lease.may_wait,
            )
        )

    def _fair(self, session: Session, lease: Lease, now: float) -> None:
        """Runs take turns; quarantined tasks go before all of them."""
        judge = self.judge
        task = lease.tracked
        if task is not None and task.losses >= max(1, lease.run.options.losses - 2):
            return
        active = [run for run in judge.runs.values() if run.active]
        for run in active:
            if run.id == lease.run.id:
                run.skipped = 0
            else:
                task = judge.ready_for(session, run, now, False)
                run.skipped += task is not None and self._in_memory(task)
                check(run.skipped <= 3 * len(active), "run {} waits for its turn in vain", run.id)

    def _send(self, connection: Connection, seq: int, refused: int) -> None:
        granted, connection.granted = connection.granted, []
        if not connection.gone:
            connection.to_person.append(Leases(seq, granted, refused))

    def revoke(self, connection: Connection | None, numbers: list[int]) -> None:
        if connection is not None and not connection.gone and numbers:
            connection.to_person.append(Revoked(0, numbers))

    # --- what connections say ---

    def connect(self, connection: Connection) -> None:
        self.connections.append(connection)

    def _step(self, connection: Connection, message: Any) -> Step:
        if connection.gone:
            return Step(lambda now, wall: None)
        if isinstance(message, Hello):
            return Step(partial(self._enter, connection, message))
        if message == CLOSED:
            connection.gone = True
            self.connections.remove(connection)
            if self.by_worker.get(connection.worker) is connection:
                del self.by_worker[connection.worker]
            if connection.session is not None:
                self.idle.pop(connection.session.id, None)
            return Step(partial(self._drop, connection))
        if isinstance(message, Exchange):
            return Step(partial(self._exchange, connection, message))
        return Step(partial(connection.person.staged, self, connection, message))

    def new_session(
        self, connection: Connection, slots: int, worker: str = "", tags: Iterable[str] = ()
    ) -> Session:
        self._sessions += 1
        session = Session(self._sessions, slots, stock=not slots, worker=worker)
        session.tags = self.judge.tags[session.id] = frozenset(tags)
        session.name = f"host/{self._sessions}"
        connection.session = session
        return session

    def _enter(self, connection: Connection, hello: Hello, now: float, wall: float) -> Answer:
        broker, judge = self.broker, self.judge
        states = block_states(self.store, parts_of(hello.held))
        for run, groups in groups_of(broker, states.values()).items():
            know(broker, self.store, run, groups, wall)
        session = self.new_session(connection, hello.slots, hello.worker, hello.tags)
        broker.enter(session)
        self.undo.when_committed(partial(self.expected.discard, hello.worker))
        judge.came(hello.worker)
        old = self._newest(connection, hello.worker)
        kept: dict[int, HeldLease] = {}
        if old is not None and old.session is not None:
            kept = broker.resume(old.session, session, hello.held)
            true = judge.taken_over(old.session.id, session.id, hello.held)
            check(_positions(kept) == true, "took over {}, not {}", kept, true)
        rest = [one for one in hello.held if one.number not in kept]
        claimed = broker.claim(session, rest, states, now)
        for one in rest:
            right = judge.claimed(session.id, one)
            told = _positions({0: claimed[one.number]})[0] if one.number in claimed else set()
            check(told == right, "of {} goes on {}, not {}", one, told, right)
        found = kept | claimed
        held = [found[one.number] for one in hello.held if one.number in found]
        return partial(self._welcome, connection, old, held)

    def _newest(self, connection: Connection, worker: str) -> Connection | None:
        known = self.by_worker
        old = known.get(worker)
        known[worker] = connection
        connection.worker = worker
        self.undo.undo_by(
            lambda: known.pop(worker, None) if old is None else known.update({worker: old})
        )
        return old

    def _welcome(
        self, connection: Connection, old: Connection | None, held: list[HeldLease]
    ) -> None:
        if old is not None and old.session is not None:
            old.gone = True
            self.idle.pop(old.session.id, None)
            if old in self.connections:
                self.connections.remove(old)
            old.to_person.append(DOWN)
        if connection.gone:
            return
        connection.to_person.append(Welcome("", 0, held))

    def _drop(self, connection: Connection, now: float, wall: float) -> None:
        session = connection.session
        if session is None or session.id not in self.broker.sessions:
            return
        self.broker.drop_session(session, now, wall)
        self.judge.left(session.worker, session.id, self.broker.sessions.values())
        for task in self.judge.of_session(session.id):
            self.judge.bad_end(task, now, wall, True, False)

    def _exchange(
        self, connection: Connection, message: Exchange, now: float, wall: float
    ) -> Answer:
        refused = 0
        for outcome in message.outcomes:
            refused += not self.outcome(connection, outcome, now, wall)
        self.undo.when_committed(partial(self._ask, connection, message))
        return partial(self._send, connection, message.seq, refused)

    def _ask(self, connection: Connection, message: Exchange) -> None:
        session = _session(connection)
        connection.draining = connection.draining or message.draining
        session.wanted = 0 if connection.draining else session.wanted + message.want
        session.free = message.free - (connection.sent - message.got)
        if session.wanted and not connection.gone:
            self.idle[session.id] = connection
        else:
            self.idle.pop(session.id, None)

    def outcome(self, connection: Connection, outcome: Outcome, now: float, wall: float) -> bool:
        """One outcome: what the broker says of it is what is true."""
        session, judge, broker = _session(connection), self.judge, self.broker
        if isinstance(outcome, Done):
            start, stop = outcome.start, outcome.stop
            lease = session.leases.get(outcome.lease)
            follow = outcome.follow
            admitted = Admitted() if lease is None else self.admit(lease.run, follow)
            if lease is not None and outcome.limits:
                know(broker, self.store, lease.run, outcome.limits, wall)
            said = broker.done(session, outcome.lease, start, stop, b"", outcome.took_s)
            tasks = judge.done(session.id, outcome.lease, start, stop)
            if said and lease is not None:
                self.accept(lease.run, follow, admitted, now, wall, tasks[0].number)
                if lease.run.groups is not None and outcome.limits:  # as `Workers._done`
                    broker.set_limits(lease.run, outcome.limits)
                    judge.limits_set(judge.runs[lease.run.id], outcome.limits)
        elif isinstance(outcome, Failed):
            said, tasks = self._failed(session, outcome, now, wall)
        else:
            lease = session.leases.get(outcome.lease)
            if lease is not None and outcome.lacks:
                connection.lacks_at = now
            start, stop = outcome.start, outcome.stop
            said = broker.release(session, outcome.lease, start, stop, outcome.lacks)
            tasks = judge.settled(session.id, outcome.lease, start, stop)
            for task in tasks:
                judge.let_go(task)
        check(said == bool(tasks), "{} of {} was {}", outcome, session.id, said)
        if not said and not isinstance(outcome, Failed):
            judge.given_up(session.id, outcome.lease, outcome.start, outcome.stop)
        return said

    def _failed(
        self, session: Session, outcome: Failed, now: float, wall: float
    ) -> tuple[bool, list[Any]]:
        at, reject, asked = outcome.position, outcome.reject, outcome.delay_s
        how = {"reject": reject, "delay_s": asked, "whole_group": outcome.whole_group}
        said = self.broker.fail(session, outcome.lease, at, Mishap(), now, wall, **how)  # type: ignore[arg-type]
        tasks = self.judge.settled(session.id, outcome.lease, at, at + 1)
        for task in tasks:
            if outcome.whole_group and asked is not None:
                self.judge.paused(task, asked, now, wall)
            state = self.judge.bad_end(task, now, wall, False, reject)
            if said and state == "waiting":
                record = self.broker.changes.tracked[task.run, task.number]
                delay_s = record.delay_s
                ceiling = min(300.0, 2.0 ** (task.attempts - 1))
                right = delay_s == asked if asked is not None else 0 <= delay_s <= ceiling
                check(right, "{} waits for {} s", task, delay_s)
                self.judge.delayed(task, delay_s, now, wall)
        return said, tasks

    def admit(self, run: Run, blocks: list[NewBlock]) -> Admitted:
        """What is new of some blocks, as the turn prepares it."""
        request, self.known = ReadRequest(), Known()
        self.admission.needs(request, run.id, blocks)
        answer = self.store.read(request)
        assert isinstance(answer, ReadAnswer)
        self.known.add(answer)
        return self.admission.admit(run, blocks)

    def accept(
        self,
        run: Run,
        blocks: list[NewBlock],
        admitted: Admitted,
        now: float,
        wall: float,
        parent: int = 0,
    ) -> None:
        """New tasks; admitted: what is new of them. parent: the task that they follow, if any."""
        true, broker = self.judge.runs[run.id], self.broker
        self.admission.stage(run, admitted, now, wall, from_tasks=not parent)
        right = self.judge.offered(true, blocks, not parent)
        told = [(b.count, b.keys) for b in admitted.blocks]
        check(told == [(b.count, b.keys) for b in right], "{} are new, not {}", told, right)
        blocks = [*broker.changes.blocks, *broker.changes.grown.values()]
        growing = broker.journal.growing.get(run.id)
        blocks += [growing.record] if growing is not None else []
        staged = sorted((b for b in blocks if b.run == run.id), key=attrgetter("first"))
        for block in right:  # some were joined to the block before them
            first = len(true.tasks) + 1
            there = next(one for one in reversed(staged) if one.first <= first)
            self.judge.submitted(true, block, there.id, first - there.first, now, wall, parent)

    def tick(self, now: float) -> None:
        """As `Workers.tick`: who could not run a job is offered it again."""
        for connection in self.connections:
            session = connection.session
            if session is not None and session.lacks and now - connection.lacks_at > LACKS_S:
                session.lacks.clear()
                self.retry_at = now

    def start_run(
        self,
        job: str,
        options: RunOptions,
        key: str | None,
        after: tuple[int, ...],
        wall: float,
    ) -> None:
        """after: runs that there are, none of them cancelled or pruned."""
        others = [self.broker.runs[one] for one in after]
        run = self.broker.start_run(job, [], key, options, wall, after=others)
        self.shrink(run)
        self.judge.started(run.id, job, options, key, after)


def _session(connection: Connection) -> Session:
    assert connection.session is not None
    return connection.session


def _positions(held: dict[int, HeldLease]) -> dict[int, set[int]]:
    return {n: {p for a, b in one.ranges for p in range(a, b)} for n, one in held.items()}
