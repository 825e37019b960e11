"""The broker with more than it has in memory: the rest comes from disk, in order and once."""

from __future__ import annotations

import pytest

from master.broker.lanes import window as window_module
from master.changes import TrackedRecord, TrackedState
from queue_manager.wire.records import BLOCK_TASKS, GroupLimit
from tests.unit.master.desk import Desk, counts, tasks


def test_what_does_not_fit_the_window_comes_from_disk_by_priority_and_age() -> None:
    desk = Desk()
    desk.run.lane.window.most = 4
    session = desk.session()
    for number in range(1, 13):
        desk.submit(1, priority=number % 2)
    assert desk.run.lane.window.loaded <= 4
    desk.run.size = 1
    found = []
    while lease := desk.broker.lease(session, desk.now):
        desk.refill()
        assert desk.run.lane.window.loaded <= 4
        found += tasks(lease)
    assert found == [1, 3, 5, 7, 9, 11, 2, 4, 6, 8, 10, 12]


def test_the_window_holds_at_most_10_000_tasks_of_a_run() -> None:
    desk = Desk()
    session = desk.session()
    for number in range(30):
        desk.stage(1_000, priority=number % 3)
    desk.commit()
    most, taken = 0, 0
    while desk.run.waiting:
        desk.run.size = BLOCK_TASKS
        most = max(most, desk.run.lane.window.loaded)
        taken += len(tasks(desk.lease(session)))
        desk.refill()
    assert taken == 30_000
    assert 5_000 < most <= window_module.WINDOW_TASKS


def test_what_goes_back_is_had_once_though_its_block_is_read_from_disk_again() -> None:
    desk = Desk()
    desk.run.lane.window.most = 8
    session = desk.session()
    desk.submit(4, priority=3)
    desk.submit(4, priority=3)
    desk.run.size = 4
    first, second = desk.lease(session), desk.lease(session)
    desk.release(first)
    desk.commit()
    desk.submit(4, priority=3)
    desk.submit(4, priority=3)
    found = tasks(second)
    while desk.run.waiting:
        found += tasks(desk.lease(session))
        desk.refill()
    assert sorted(found) == list(range(1, 17))


def test_tracked_tasks_that_do_not_fit_the_memory_come_from_disk_when_they_are_due() -> None:
    desk = Desk()
    desk.run.lane.tracked.most = 2
    session = desk.session()
    for number in range(12):
        desk.submit(1, delay_s=float(12 - number))
    assert len(desk.run.lane.tracked.in_memory) <= 4
    assert counts(desk.run) == {"tasks": 12, "delayed": 12}
    found = []
    for _ in range(12):
        desk.later(1.0)
        found += desk.leases(session)
    assert found == [[n] for n in range(12, 0, -1)]


def test_groups_that_do_not_fit_the_memory_all_have_their_turn() -> None:
    before = Desk(per_group=GroupLimit(at_once=1))
    for number in range(600):
        before.stage(2, group=f"g{number}")
    before.commit()
    desk = before.restarted()
    session = desk.session(free=10_000)
    found: list[list[int]] = []
    while some := desk.leases(session, 1_000):
        found += some
        while desk.broker.more_low:
            desk.refill()
    assert len(found) == 600
    assert counts(desk.run) == {"tasks": 1_200, "waiting": 600, "leased": 600}


def test_tracked_tasks_in_memory_stay_few_however_many_are_lost_at_once() -> None:
    desk = Desk()
    desk.run.lane.tracked.most = 4
    sessions = [desk.session() for _ in range(4)]
    for _ in sessions:
        desk.submit(16)
    for session in sessions:
        desk.run.size = 16
        desk.broker.attendance._slots = 1
        assert len(tasks(desk.lease(session))) == 16
    for session in sessions:
        desk.drop(session)
    desk.commit()
    tracked = desk.run.lane.tracked
    assert len(tracked.in_memory) <= 2 * tracked.most
    assert len(tracked.ready) <= 2 * tracked.most
    assert sorted(desk.drain(desk.session())) == list(range(1, 65))


def test_delays_of_what_waits_on_disk_alone_take_no_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("master.broker.waiting._DELAYS", 8)
    desk = Desk()
    desk.broker.waiting._most_delayed = 8
    desk.run.lane.tracked.most = 2
    for number in range(100):
        desk.submit(1, delay_s=float(100 - number))
    assert len(desk.broker.waiting._delayed) <= 8
    desk.later(101.0)
    assert sorted(desk.drain(desk.session())) == list(range(1, 101))


def test_what_is_due_now_by_the_wall_clock_is_ready_now_and_not_by_a_rounding_later() -> None:
    """Wall time has steps of 0.2 µs: sums of both clocks must not make a delay of one of them."""
    desk = Desk()
    desk.submit(1)
    for tick in range(100):
        now, wall = 11_912.762 + tick / 1000, 1_700_011_912.762 + tick / 1000
        desk.broker.wake(now)
        desk.run.clear()
        record = TrackedRecord(1, 1, 1, 0, TrackedState.WAITING, 0, 0, due_at=wall)
        desk.broker.refill_tracked(desk.run, desk.run.lane, [record], None, wall)
        assert desk.run.lane.tracked.ready_count == 1
        assert desk.broker.next_due is None
