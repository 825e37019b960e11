"""Groups that merely wait are on disk alone: few have a lane, and all of them have their turn."""

from __future__ import annotations

import math
from collections.abc import Iterator

import pytest

from master.broker.lanes import group_limits as limits_room
from master.broker.lanes import groups as groups_room
from master.broker.lanes import past as past_room
from master.broker.lanes.groups import Groups
from master.broker.lanes.hidden import Hidden
from master.broker.lanes.past import Past
from master.broker.leases.lease import Session
from queue_manager.wire.records import GroupLimit
from tests.unit.master.desk import Desk, tasks

MANY = 300
LANES = 16


@pytest.fixture(autouse=True)
def few_lanes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(groups_room, "LANES", LANES)
    monkeypatch.setattr(groups_room, "_FEW", 4)
    monkeypatch.setattr("master.turn.read_ahead.SOUGHT", 4)


def filled(count: int, limit: GroupLimit, each: int = 1, priority: int = 0) -> Desk:
    """So many groups with so many tasks each."""
    desk = Desk(per_group=limit)
    for number in range(count):
        desk.stage(each, group=f"g{number:03}", priority=priority)
    desk.commit()
    return desk


def groups(desk: Desk) -> Groups:
    found = desk.run.groups
    assert found is not None
    return found


def settle(desk: Desk) -> None:
    """Turns, while one follows the other at once."""
    for _ in range(3 * MANY):
        desk.refill()
        if not desk.broker.more_low:
            return
    raise AssertionError("turns without end")


@pytest.mark.parametrize("restarts", [False, True])
def test_of_many_groups_few_have_a_lane_and_every_task_is_done(restarts: bool) -> None:
    desk = filled(MANY, GroupLimit(at_once=1), each=2)
    assert len(groups(desk).lanes) <= LANES * 2
    if restarts:
        desk = desk.restarted()
    session = desk.session(free=10**6)
    done: list[int] = []
    most = 0
    while True:
        settle(desk)
        most = max(most, len(groups(desk).lanes))
        lease = desk.broker.lease(session, desk.now)
        if lease is None:
            break
        done += tasks(lease)
        desk.done(lease)
        desk.commit()
    assert sorted(done) == list(range(1, 2 * MANY + 1))
    assert most <= LANES * 2
    settle(desk)
    assert not groups(desk).lanes
    assert not groups(desk).hidden.anything


def worked_off(desk: Desk, session: Session) -> Iterator[str]:
    """The group of each task that may start now, once it is done."""
    while (lease := desk.broker.lease(session, desk.now)) is not None:
        desk.done(lease)
        desk.commit()
        settle(desk)
        yield str(lease.lane.group)


def test_a_group_without_a_lane_keeps_its_pause() -> None:
    desk = filled(60, GroupLimit(every_s=5.0), each=2)
    session = desk.session(free=10**6)
    started: dict[str, list[float]] = {}
    for _ in range(100):
        settle(desk)
        for group in worked_off(desk, session):
            started.setdefault(group, []).append(desk.now)
        desk.later(0.5)
    assert len(started) == 60
    assert all(len(times) == 2 and times[1] - times[0] >= 5.0 for times in started.values())
    assert all(times[1] - times[0] < 6.0 for times in started.values()), "nobody waits longer"
    assert not groups(desk).limits.starts, "a pause that is over is forgotten"


def test_pauses_of_any_number_of_groups_take_bounded_memory_and_all_of_them_hold(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(limits_room, "STARTS", 16)
    monkeypatch.setattr(past_room, "MOST", 4)
    desk = filled(MANY, GroupLimit(every_s=30.0), each=2)
    session = desk.session(free=10**6)
    started: dict[str, list[float]] = {}
    most = pauses = 0
    for _ in range(80):
        settle(desk)
        for group in worked_off(desk, session):
            started.setdefault(group, []).append(desk.now)
            known = groups(desk)
            most = max(most, len(known.limits.starts), len(known.limits.past._sets))
            pauses = max(pauses, len(known.absent.pauses), len(known.absent.waiting))
        desk.later(1.0)
    assert most <= 16 + 2 * LANES
    assert pauses <= 3 * (16 + 2 * LANES) + groups_room._SPARE
    assert len(started) == MANY
    assert all(len(times) == 2 for times in started.values())
    gaps = [second - first for first, second in started.values()]
    assert min(gaps) >= 30.0
    assert max(gaps) < 40.0
    assert not groups(desk).limits.past._sets, "a pause that is over is forgotten"


def test_starts_that_nobody_has_by_name_are_told_late_and_never_early() -> None:
    past = Past()
    started = {f"group {n}": float(n) for n in range(40_000)}
    for first in range(0, 40_000, 10_000):
        past.add({f"group {n}": float(n) for n in range(first, first + 10_000)})
    assert all(past.started_at(group) >= at for group, at in started.items())
    others = [past.started_at(f"another {n}") for n in range(10_000)]
    assert sum(at > -math.inf for at in others) < 100
    assert past.forget(19_999.0) == 19_999.0
    assert past.started_at("group 39999") == 39_999.0
    assert sum(past.started_at(f"group {n}") > -math.inf for n in range(20_000)) < 200


def test_an_urgent_group_comes_first_however_many_wait() -> None:
    desk = filled(MANY, GroupLimit(at_once=1))
    desk.submit(1, group="urgent", priority=5)
    settle(desk)
    assert tasks(desk.lease(desk.session(free=9))) == [MANY + 1]


def test_after_a_restart_the_most_urgent_groups_are_found_first() -> None:
    desk = filled(MANY, GroupLimit(at_once=1))
    desk.submit(1, group="zz urgent", priority=5)
    again = desk.restarted()
    settle(again)
    assert tasks(again.lease(again.session(free=9))) == [MANY + 1]


def test_delayed_tasks_of_many_groups_are_on_disk_until_they_are_due() -> None:
    desk = Desk(per_group=GroupLimit(at_once=1))
    for number in range(MANY):
        desk.stage(1, group=f"g{number:03}", delay_s=10.0 + number % 7)
    desk.commit()
    session = desk.session(free=10**6)
    settle(desk)
    assert len(groups(desk).lanes) <= 2 * LANES
    assert desk.broker.next_due is not None
    desk.later(9.0)
    settle(desk)
    assert desk.broker.lease(session, desk.now) is None
    done: list[int] = []
    desk.later(9.0)
    while True:
        settle(desk)
        lease = desk.broker.lease(session, desk.now)
        if lease is None:
            break
        done += tasks(lease)
        desk.done(lease)
        desk.commit()
    assert sorted(done) == list(range(1, MANY + 1))


def test_a_look_for_groups_begins_anew_for_what_is_more_urgent() -> None:
    hidden = Hidden()
    assert not hidden.anything
    hidden.leave(0)
    hidden.looked((0, "m"), over=False)
    hidden.leave(0)
    assert (hidden.place, hidden.again) == ((0, "m"), True), "every group has its turn first"
    hidden.leave(3)
    assert hidden.place is None
    hidden.looked((0, "z"), over=True)
    assert (hidden.more, hidden.anything) == (False, True)
    hidden.wake(1.0)
    assert (hidden.more, hidden.place, hidden.again) == (True, None, False)
