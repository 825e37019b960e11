"""The broker: tasks are leased once at a time, settled once, and never lost."""

from __future__ import annotations

import random
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from master import run as run_module
from master.broker import Broker
from master.changes import QUEUE_RUN, Changes
from master.lease import Lease, Session
from master.run import Run
from master.store.sqlite import SqliteStore
from queue_manager import codec
from queue_manager.records import NewBlock, RunOptions

from .conftest import block

NOW, WALL = 100.0, 1_000_000.0


class Desk:
    """A broker without a store: commits always succeed."""

    def __init__(self, job: str = "", **options: Any) -> None:
        self.broker = Broker(1, job, random.Random(1))
        self.run = self.new_run(**options)

    def new_run(self, job: str = "job", **options: Any) -> Run:
        run = self.broker.start_run(job, [], None, RunOptions(**options), WALL)
        self.broker.committed()
        return run

    def session(self, slots: int = 1, *, stock: bool = False) -> Session:
        session = Session(len(self.broker.sessions) + 1, slots, stock=stock)
        self.broker.add_session(session)
        return session

    def submit(self, count: int, run: Run | None = None, **fields: Any) -> None:
        self.broker.submit(run or self.run, block(count, **fields), NOW, WALL, True)
        self.broker.committed()

    def lease(self, session: Session, now: float = NOW) -> Lease:
        lease = self.broker.lease(session, now)
        assert lease is not None
        return lease

    def done(self, lease: Lease, start: int, stop: int) -> bool:
        return self.broker.done(lease.session, lease.number, start, stop, b"", 0.0)

    def fail(self, lease: Lease, position: int, **fields: Any) -> bool:
        return self.broker.fail(lease.session, lease.number, position, "bad", NOW, WALL, **fields)


def counts(run: Run) -> dict[str, int]:
    names = ("tasks", "waiting", "leased", "delayed", "done", "dead")
    return {name: n for name in names if (n := getattr(run, name))}


def numbers(lease: Lease) -> list[int]:
    return [lease.first + p for start, stop in lease.open for p in range(start, stop)]


# --- leases ---


def test_a_task_is_leased_only_after_its_commit() -> None:
    desk = Desk()
    session = desk.session()
    desk.broker.submit(desk.run, block(3), NOW, WALL, True)
    assert desk.broker.lease(session, NOW) is None
    assert desk.run.waiting == 0
    desk.broker.committed()
    assert numbers(desk.lease(session)) == [1]


def test_the_first_lease_is_one_task_and_leases_grow_with_short_tasks() -> None:
    desk = Desk()
    session = desk.session()
    desk.submit(1_000)
    sizes = []
    for _ in range(4):
        lease = desk.lease(session)
        ((start, stop),) = lease.open
        sizes.append(stop - start)
        desk.broker.done(session, lease.number, start, stop, b"", 0.0001 * (stop - start))
    assert sizes == [1, 4, 16, 64]


def test_a_lease_aims_at_less_than_a_tenth_of_a_second_of_work() -> None:
    desk = Desk()
    session = desk.session()
    desk.submit(1_024)
    for _ in range(8):
        lease = desk.lease(session)
        ((start, stop),) = lease.open
        desk.broker.done(session, lease.number, start, stop, b"", 0.01 * (stop - start))
    assert 5 <= desk.run.size <= 10


@pytest.mark.parametrize("took_s", [0.0, 5e-324, -1.0, float("inf")])
def test_a_strange_duration_does_not_stop_the_broker(took_s: float) -> None:
    desk = Desk()
    session = desk.session()
    desk.submit(4)
    lease = desk.lease(session)
    assert desk.broker.done(session, lease.number, 0, 1, b"", took_s)
    assert desk.lease(session)


def test_the_end_of_a_run_is_shared_out() -> None:
    desk = Desk()
    sessions = [desk.session() for _ in range(4)]
    desk.submit(16)
    desk.run.size = 1_000
    sizes = [len(numbers(desk.lease(session))) for session in sessions]
    assert sizes == [4, 3, 3, 2]


def test_runs_take_turns() -> None:
    desk = Desk()
    session = desk.session()
    other = desk.new_run("other")
    desk.submit(10)
    desk.submit(10, other)
    order = [desk.lease(session).run.id for _ in range(6)]
    assert order == [desk.run.id, other.id] * 3


def test_a_higher_priority_goes_first_within_a_run() -> None:
    desk = Desk()
    session = desk.session()
    for priority in (0, 5, -3, 5):
        desk.submit(1, priority=priority)
    assert [numbers(desk.lease(session))[0] for _ in range(4)] == [2, 4, 1, 3]


def test_strays_go_by_priority_too_and_before_others_of_theirs() -> None:
    desk = Desk()
    session = desk.session()
    desk.submit(2, priority=1)
    desk.submit(1, priority=9)
    high = desk.lease(session)
    low = desk.lease(session)
    assert (numbers(high), numbers(low)) == ([3], [1])
    desk.fail(low, 0, delay_s=0.0)
    desk.fail(high, 0, delay_s=0.0)
    desk.broker.committed()
    desk.broker.wake(NOW)
    assert [numbers(desk.lease(session))[0] for _ in range(3)] == [3, 1, 2]


def test_a_stock_session_takes_one_task_of_the_stock_job_only() -> None:
    desk = Desk(job="square")
    stock = desk.session(0, stock=True)
    desk.submit(10)
    assert desk.broker.lease(stock, NOW) is None
    square = desk.new_run("square")
    square.size = 100
    desk.submit(10, square)
    assert numbers(desk.lease(stock)) == [1]


def test_a_session_gets_nothing_of_a_job_that_it_lacks() -> None:
    desk = Desk()
    lacking, able = desk.session(), desk.session()
    desk.submit(2)
    lease = desk.lease(lacking)
    desk.broker.release(lacking, lease.number, 0, 1, "no numpy")
    desk.broker.committed()
    assert desk.broker.lease(lacking, NOW) is None
    assert numbers(desk.lease(able)) == [1]


def test_numbers_of_leases_grow_from_one_start_of_the_master_to_the_next() -> None:
    first, second = Desk(), Desk()
    second.broker = Broker(2, "", random.Random(1))
    second.run = second.new_run()
    first.submit(1)
    second.submit(1)
    assert first.lease(first.session()).number < second.lease(second.session()).number


# --- outcomes ---


def test_an_outcome_is_taken_once() -> None:
    desk = Desk()
    desk.submit(1)
    lease = desk.lease(desk.session())
    assert desk.done(lease, 0, 1)
    assert not desk.done(lease, 0, 1)
    assert not desk.fail(lease, 0)
    assert desk.broker.refused == 2
    assert counts(desk.run) == {"tasks": 1, "done": 1}


def test_an_outcome_of_another_sessions_lease_is_refused() -> None:
    desk = Desk()
    desk.submit(1)
    lease = desk.lease(desk.session())
    stranger = desk.session()
    assert not desk.broker.done(stranger, lease.number, 0, 1, b"", 0.0)
    assert counts(desk.run) == {"tasks": 1, "leased": 1}


@pytest.mark.parametrize(("start", "stop"), [(0, 3), (1, 1), (2, 1), (-1, 1), (1, 9)])
def test_an_outcome_outside_of_its_lease_is_refused(start: int, stop: int) -> None:
    desk = Desk()
    desk.submit(8)
    desk.run.size = 4
    lease = desk.lease(desk.session())
    assert desk.done(lease, 1, 2)
    assert not desk.done(lease, start, stop)
    assert lease.open == [(0, 1), (2, 4)]


def test_a_failed_task_is_retried_alone_after_a_delay_and_its_neighbours_are_not_charged() -> None:
    desk = Desk(attempts=3)
    session = desk.session()
    desk.submit(4)
    desk.run.size = 4
    lease = desk.lease(session)
    desk.fail(lease, 1)
    assert desk.done(lease, 0, 1)
    assert desk.done(lease, 2, 4)
    desk.broker.committed()
    assert counts(desk.run) == {"tasks": 4, "done": 3, "delayed": 1}
    due = desk.broker.next_due
    assert due is not None
    assert NOW <= due <= NOW + 1.0
    desk.broker.wake(due)
    again = desk.lease(session, due)
    assert numbers(again) == [2]
    assert again.stray is not None
    assert again.stray.attempts == 1


def test_a_task_is_a_dead_letter_after_its_last_attempt_and_at_once_when_rejected() -> None:
    desk = Desk(attempts=2)
    session = desk.session()
    desk.submit(2)
    desk.fail(desk.lease(session), 0, reject=True, evidence="why")
    assert desk.broker.changes.strays[desk.run.id, 1].state == "dead"
    assert desk.broker.changes.strays[desk.run.id, 1].evidence == "why"
    for _ in range(2):
        desk.fail(desk.lease(session), 1, delay_s=0.0)
        desk.broker.committed()
        desk.broker.wake(NOW)
    assert counts(desk.run) == {"tasks": 2, "dead": 2}


def test_what_goes_back_is_not_charged_and_comes_first() -> None:
    desk = Desk(attempts=1)
    session = desk.session()
    desk.submit(4)
    lease = desk.lease(session)
    desk.broker.release(session, lease.number, 0, 1, "")
    assert not desk.broker.changes.urgent
    desk.broker.committed()
    assert numbers(desk.lease(session)) == [1]


def test_a_dropped_sessions_tasks_are_offered_at_once_alone_and_not_charged() -> None:
    desk = Desk(attempts=1)
    session, other = desk.session(), desk.session()
    desk.submit(4)
    desk.run.size = 4
    lease = desk.lease(session)
    held = numbers(lease)
    desk.broker.drop_session(session, NOW, WALL)
    desk.broker.committed()
    assert desk.run.leased == 0
    again = [desk.lease(other) for _ in held]
    assert [numbers(lease) for lease in again] == [[n] for n in held]
    assert all(lease.stray is not None and lease.stray.attempts == 0 for lease in again)
    assert not desk.done(lease, 0, 1)


def test_the_last_loss_makes_a_dead_letter_that_says_so() -> None:
    desk = Desk(losses=2)
    desk.submit(1)
    for _ in range(2):
        session = desk.session()
        desk.lease(session)
        desk.broker.drop_session(session, NOW, WALL)
        record = desk.broker.changes.strays[desk.run.id, 1]
        desk.broker.committed()
    assert record.state == "dead"
    assert "2 times" in record.error
    assert counts(desk.run) == {"tasks": 1, "dead": 1}


def test_a_delayed_task_waits_for_its_time() -> None:
    desk = Desk()
    session = desk.session()
    desk.submit(2, delay_s=5.0)
    assert counts(desk.run) == {"tasks": 2, "delayed": 2}
    desk.broker.wake(NOW + 4.9)
    assert desk.broker.lease(session, NOW + 4.9) is None
    desk.broker.wake(NOW + 5.0)
    assert counts(desk.run) == {"tasks": 2, "waiting": 2}
    assert numbers(desk.lease(session)) == [1]


@pytest.mark.parametrize(
    ("jump_s", "left_s"),
    [(0.0, 60.0), (-86_400.0, 60.0), (20.0, 40.0), (86_400.0, 0.0)],
    ids=["same", "back", "later", "forward"],
)
def test_a_delay_that_is_read_from_disk_is_never_longer_than_it_was(
    tmp_path: Path, jump_s: float, left_s: float
) -> None:
    store = SqliteStore(tmp_path)
    desk = Desk()
    desk.broker.submit(desk.run, block(1, delay_s=60.0), NOW, WALL, True)
    desk.broker.exhaust(desk.run)
    store.commit(desk.broker.changes)
    restored = Broker(2, "", random.Random(1))
    for loaded in store.load():
        restored.restore(loaded, 5.0, WALL + jump_s)
    restored.committed()
    assert restored.next_due == pytest.approx(5.0 + left_s)
    assert counts(restored.runs[desk.run.id]) == {"tasks": 1, "delayed": 1}
    store.close()


# --- the end of a run, and of a turn ---


def test_a_run_ends_with_its_last_task_in_the_same_changes() -> None:
    desk = Desk()
    session = desk.session()
    desk.submit(1)
    desk.broker.exhaust(desk.run)
    desk.broker.finish_runs(WALL)
    desk.broker.committed()
    assert desk.run.active
    desk.done(desk.lease(session), 0, 1)
    desk.broker.finish_runs(WALL + 5)
    record = desk.broker.changes.runs[desk.run.id]
    assert desk.broker.changes.outcomes
    assert (record.state, record.ended_at) == ("done", WALL + 5)


def test_a_run_with_a_dead_letter_has_failed() -> None:
    desk = Desk(attempts=1)
    desk.submit(1)
    desk.broker.exhaust(desk.run)
    desk.fail(desk.lease(desk.session()), 0)
    desk.broker.finish_runs(WALL)
    assert desk.run.state == "failed"


def test_the_queue_run_never_ends() -> None:
    broker = Broker(1, "", random.Random(1))
    run = broker.runs[QUEUE_RUN] = Run(QUEUE_RUN, "", [], None, RunOptions(), 0.0)
    broker.exhaust(run)
    broker.finish_runs(WALL)
    assert run.active


def test_a_roll_back_restores_counts_leases_runs_and_sessions() -> None:
    desk = Desk()
    session, dropped = desk.session(), desk.session(3)
    desk.submit(16)
    desk.run.size = 4
    lease, lost = desk.lease(session), desk.lease(dropped)
    before = counts(desk.run), list(lease.open), list(lost.open), set(desk.broker.sessions)
    desk.done(lease, 0, 1)
    desk.fail(lease, 2)
    desk.broker.release(session, lease.number, 1, 2, "")
    desk.broker.drop_session(dropped, NOW, WALL)
    desk.broker.submit(desk.run, block(2), NOW, WALL, True)
    desk.broker.submit(desk.run, block(2, delay_s=1.0), NOW, WALL, True)
    other = desk.broker.start_run("other", [], None, RunOptions(), WALL)
    desk.broker.exhaust(desk.run)
    desk.broker.rolled_back()
    after = counts(desk.run), list(lease.open), list(lost.open), set(desk.broker.sessions)
    assert after == before
    assert other.id not in desk.broker.runs
    assert not desk.run.exhausted
    assert desk.broker.next_due is None
    assert desk.broker.changes == Changes()
    assert [len(numbers(held)) for held in (lease, lost)] == [4, 3]
    assert desk.done(lease, 0, 4)
    assert desk.broker.done(dropped, lost.number, *lost.open[0], b"", 0.0)


def test_what_was_asked_for_after_the_commit_is_not_done_after_a_roll_back() -> None:
    broker = Desk().broker
    acts: list[str] = []
    broker.when_committed(lambda: acts.append("rolled back"))
    broker.rolled_back()
    broker.when_committed(lambda: acts.append("committed"))
    broker.committed()
    assert acts == ["committed"]


def test_progress_is_kept_until_it_was_written() -> None:
    desk = Desk()
    desk.broker.collected(desk.run, 7, 1)
    desk.broker.delivered(3, 0)
    desk.broker.committed()  # a turn that had nothing to write
    assert not desk.broker.changes.urgent
    desk.broker.add_progress()
    desk.broker.rolled_back()
    desk.broker.add_progress()
    assert desk.broker.changes.runs[desk.run.id].collected == 7
    assert desk.broker.changes.delivered == (3, 0)
    desk.broker.committed()
    assert not desk.broker.progress


# --- memory ---


def test_priorities_without_waiting_tasks_are_forgotten() -> None:
    desk = Desk()
    session = desk.session()
    for priority in range(50):
        desk.submit(1, priority=priority)
        lease = desk.lease(session)
        desk.done(lease, 0, 1)
        desk.broker.committed()
    assert not desk.run.lanes
    assert not desk.run.order


def test_what_goes_back_to_a_forgotten_priority_is_not_read_from_disk_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(run_module, "WINDOW_TASKS", 8)
    store = SqliteStore(tmp_path)
    desk = Desk()
    session = desk.session()

    def submit() -> None:
        desk.broker.submit(desk.run, block(4, priority=3), NOW, WALL, True)
        store.commit(desk.broker.changes)
        desk.broker.committed()

    submit()
    submit()
    desk.run.size = 4
    first, second = desk.lease(session), desk.lease(session)
    assert not desk.run.lanes
    desk.broker.release(session, first.number, 0, 4, "")
    desk.broker.committed()
    submit()
    submit()  # behind the window, so that it is read from disk
    taken = Counter(numbers(second))
    while desk.run.waiting:
        for run, priority, after, tasks in desk.broker.refills():
            desk.broker.refill(run, priority, *store.read_waiting(run.id, priority, after, tasks))
        taken.update(numbers(desk.lease(session)))
    assert taken == Counter(range(1, 17))
    store.close()


def test_the_window_holds_at_most_10_000_tasks_of_a_priority(tmp_path: Path) -> None:
    store = SqliteStore(tmp_path)
    desk = Desk()
    session = desk.session()
    for first in range(0, 30_000, 1_000):
        desk.broker.submit(desk.run, block(1_000, first), NOW, WALL, True)
    store.commit(desk.broker.changes)
    desk.broker.committed()
    most, taken = 0, 0
    desk.run.size = 1_000
    while desk.run.waiting:
        taken += len(numbers(desk.lease(session)))
        for run, priority, after, tasks in desk.broker.refills():
            desk.broker.refill(run, priority, *store.read_waiting(run.id, priority, after, tasks))
        most = max(most, sum(lane.loaded for lane in desk.run.lanes.values()))
        desk.run.size = 1_000
    assert taken == 30_000
    assert 5_000 < most <= run_module.WINDOW_TASKS
    store.close()


def test_a_wrong_count_of_tasks_on_disk_does_not_keep_the_master_reading() -> None:
    desk = Desk()
    desk.run.lane(0).on_disk = 5
    assert desk.broker.refills()
    desk.broker.refill(desk.run, 0, [], 0)
    assert not desk.broker.refills()


# --- hundreds of small worlds ---


class Walk:
    """A broker and its store on a random walk, with what must hold kept beside them."""

    def __init__(self, folder: Path, seed: int) -> None:
        self.folder = folder
        self.dice = random.Random(seed)
        self.now = NOW
        self.wall = WALL
        self.store = SqliteStore(folder)
        self.store._db.execute("PRAGMA synchronous = OFF")  # a hundred times faster
        self.broker = self._broker()
        self.submitted: Counter[int] = Counter()
        self.ended: dict[tuple[int, int], str] = {}
        self.sessions = 0

    # --- steps: what a turn stages ---

    def turn(self) -> None:
        """A turn of random steps, then the commit or its failure, then leases."""
        self.now += self.dice.random()
        self.wall += self.dice.uniform(-50.0, 50.0)  # the wall clock jumps
        self.broker.wake(self.now)
        if not self.active():
            self._start()
        before = self.picture()
        new: Counter[int] = Counter()
        for _ in range(self.dice.randint(1, 4)):
            self.dice.choice(
                [self.submit, self.submit, self.settle, self.settle, self.settle, self.drop_one]
            )(new)
        if self.dice.random() < 0.1:
            self.broker.start_run("b", [], None, self.options(), self.wall)
        if self.dice.random() < 0.05:
            self.broker.exhaust(self.dice.choice(self.active()))
        self.broker.finish_runs(self.wall)
        if self.dice.random() < 0.2:
            self.broker.rolled_back()
            assert self.picture() == before
            return
        changes = self.broker.changes
        self.store.commit(changes)
        self.broker.committed()
        self.note(changes, new)
        if self.dice.random() < 0.1:
            self.connect()
        self.lease_some()

    def submit(self, new: Counter[int]) -> None:
        run = self.dice.choice(self.active())
        if run.exhausted:
            return
        count = self.dice.randint(1, 6)
        delay_s = self.dice.choice([0.0, 0.0, 0.0, 1.5])
        priority = self.dice.choice([0, 0, 0, 5, -2])
        payloads = codec.encode_batch(list(range(count)))
        fresh = NewBlock(count, payloads, None, None, priority, delay_s)
        self.broker.submit(run, fresh, self.now, self.wall, self.dice.random() < 0.5)
        new[run.id] += count

    def settle(self, new: Counter[int]) -> None:
        leases = [lease for s in self.broker.sessions.values() for lease in s.leases.values()]
        if not leases:
            return
        lease = self.dice.choice(leases)
        low, high = self.dice.choice(lease.open)
        start = self.dice.randint(low, high - 1)
        stop = self.dice.randint(start + 1, high)
        session, number = lease.session, lease.number
        kind = self.dice.random()
        if kind < 0.5:
            results = codec.encode_batch(list(range(start, stop)))
            assert self.broker.done(session, number, start, stop, results, 0.001)
            assert not self.broker.done(session, number, start, stop, results, 0.001)
            if self.dice.random() < 0.2 and not lease.run.exhausted:
                self.submit(new)  # what follows a result
        elif kind < 0.8:
            delay_s = self.dice.choice([None, 0.0, 2.0])
            reject = self.dice.random() < 0.1
            assert self.broker.fail(
                session, number, start, "bad", self.now, self.wall, reject=reject, delay_s=delay_s
            )
        else:
            assert self.broker.release(session, number, start, stop, "")

    def drop_one(self, new: Counter[int]) -> None:
        if self.broker.sessions and self.dice.random() < 0.4:
            session = self.dice.choice(list(self.broker.sessions.values()))
            self.broker.drop_session(session, self.now, self.wall)

    # --- between turns ---

    def connect(self) -> None:
        self.sessions += 1
        self.broker.add_session(Session(self.sessions, 2, stock=self.dice.random() < 0.2))

    def lease_some(self) -> None:
        if not self.broker.sessions:
            self.connect()
        for session in list(self.broker.sessions.values()):
            if self.dice.random() < 0.7:
                self.broker.lease(session, self.now)
            for run, priority, after, tasks in self.broker.refills():
                found = self.store.read_waiting(run.id, priority, after, tasks)
                self.broker.refill(run, priority, *found)

    def restart(self) -> None:
        """As after kill -9: what was staged and every lease is gone, the rest is on disk."""
        self.store.close()
        self.store = SqliteStore(self.folder)
        self.store._db.execute("PRAGMA synchronous = OFF")
        self.broker = self._broker()

    def drain(self) -> None:
        """Work until everything has ended."""
        for run in self.active():
            self.broker.exhaust(run)
        for _ in range(10_000):
            self.broker.finish_runs(self.wall)
            changes = self.broker.changes
            self.store.commit(changes)
            self.broker.committed()
            self.note(changes, Counter())
            if not self.active():
                return
            self.now += 1.0
            self.broker.wake(self.now)
            if not any(not s.stock for s in self.broker.sessions.values()):
                self.broker.add_session(Session(1_000_000, 1))
            self.lease_some()
            for session in self.broker.sessions.values():
                for lease in list(session.leases.values()):
                    for start, stop in list(lease.open):
                        results = codec.encode_batch([0] * (stop - start))
                        self.broker.done(session, lease.number, start, stop, results, 0.0)
        raise AssertionError(f"it never ends: {[counts(run) for run in self.active()]}")

    # --- what must hold ---

    def check(self) -> None:
        for run in self.broker.runs.values():
            if run.id == QUEUE_RUN:
                continue
            places = Counter(self.waiting(run))
            leased = [
                number
                for session in self.broker.sessions.values()
                for lease in session.leases.values()
                if lease.run is run
                for number in numbers(lease)
            ]
            delayed = [stray.task for _, _, stray, of in self.broker._delayed if of is run]
            done = [task for (of, task), how in self.ended.items() if (of, how) == (run.id, "done")]
            dead = [task for (of, task), how in self.ended.items() if (of, how) == (run.id, "dead")]
            seen = {
                "tasks": self.submitted[run.id],
                "waiting": sum(places.values()),
                "leased": len(leased),
                "delayed": len(delayed),
                "done": len(done),
                "dead": len(dead),
            }
            assert counts(run) == {name: n for name, n in seen.items() if n}
            for some in (leased, delayed, done, dead):
                places.update(some)
            assert places == Counter(range(1, self.submitted[run.id] + 1))

    def waiting(self, run: Run) -> list[int]:
        found = [stray.task for _, _, stray in run.alone]
        for priority, lane in run.lanes.items():
            here = [r.first + p for r in lane.ready for p in range(r.start, r.stop)]
            assert len(here) == lane.loaded
            behind, _ = self.store.read_waiting(run.id, priority, lane.last, 10**9)
            there = [
                block.first + p for block in behind for a, z in block.ranges for p in range(a, z)
            ]
            if lane.on_disk or there:
                assert len(there) == lane.on_disk
            found += here + there
        return found

    def note(self, changes: Changes, new: Counter[int]) -> None:
        self.submitted.update(new)
        ends = [
            (o.run, o.first + p, "done") for o in changes.outcomes for p in range(o.start, o.stop)
        ]
        ends += [(s.run, s.task, "dead") for s in changes.strays.values() if s.state == "dead"]
        for run, task, how in ends:
            assert (run, task) not in self.ended, "a task has ended twice"
            self.ended[run, task] = how

    def picture(self) -> Any:
        broker = self.broker
        leases = {
            lease.number: (session.id, tuple(lease.open), lease.stray and lease.stray.attempts)
            for session in broker.sessions.values()
            for lease in session.leases.values()
        }
        runs = {run.id: (counts(run), run.accepted, run.record()) for run in broker.runs.values()}
        ready = {run.id: sorted(self.waiting(run)) for run in broker.runs.values()}
        return leases, runs, ready, len(broker._delayed), broker._slots, set(broker.sessions)

    # --- inside ---

    def _broker(self) -> Broker:
        broker = Broker(self.store.epoch, "a", self.dice)
        for loaded in self.store.load():
            broker.restore(loaded, self.now, self.wall)
        broker.next_block, broker.next_seq = self.store.next_block, self.store.next_seq
        broker.committed()
        return broker

    def active(self) -> list[Run]:
        return [run for run in self.broker.runs.values() if run.active and run.id != QUEUE_RUN]

    def _start(self) -> None:
        self.broker.start_run("a", [], None, self.options(), self.wall)
        self.store.commit(self.broker.changes)
        self.broker.committed()

    @staticmethod
    def options() -> RunOptions:
        return RunOptions(attempts=2, losses=3)


@pytest.mark.parametrize("seeds", [range(n, n + 25) for n in range(0, 300, 25)], ids=str)
def test_on_a_random_walk_every_task_is_in_one_place_and_ends_once(
    seeds: range, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(run_module, "WINDOW_TASKS", 12)
    monkeypatch.setattr(run_module, "BLOCK_TASKS", 4)
    for seed in seeds:
        walk = Walk(tmp_path / str(seed), seed)
        try:
            for _ in range(walk.dice.randint(5, 40)):
                if walk.dice.random() < 0.06:
                    walk.restart()
                else:
                    walk.turn()
                walk.check()
            walk.drain()
            walk.check()
            assert sum(walk.submitted.values()) == len(walk.ended)
        except AssertionError as error:
            raise AssertionError(f"seed {seed}: {error}") from error
        finally:
            walk.store.close()
