"""What groups have of their own is on disk; of many, only those in use have it in memory too."""

from __future__ import annotations

import math

import pytest

from master.broker.lanes import absent as absent_room
from master.broker.lanes import groups as groups_room
from master.broker.lanes.group_limits import Limits
from master.broker.lanes.groups import Groups
from master.changes import GroupRecord
from master.observe import diagnosis
from queue_manager.wire.records import GroupLimit
from tests import memory_store
from tests.unit.master.desk import Desk, tasks

MANY = 200
FEW = 8


@pytest.fixture(autouse=True)
def few_in_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(groups_room, "LANES", FEW)
    monkeypatch.setattr(absent_room, "OWN", FEW)
    monkeypatch.setattr(groups_room, "_FEW", 4)
    monkeypatch.setattr(memory_store, "OWN_GROUPS", FEW)
    monkeypatch.setattr("master.turn.read_ahead.SOUGHT", 4)


def name(number: int) -> str:
    return f"g{number:03}"


def groups(desk: Desk) -> Groups:
    assert desk.run.groups is not None
    return desk.run.groups


def settle(desk: Desk) -> None:
    """Turns, while one follows the other at once."""
    for _ in range(10 * MANY):
        desk.refill()
        if not (desk.broker.more_low or groups(desk).seeks_tracked(desk.now)):
            return
    raise AssertionError("turns without end")


def with_limits(own: GroupLimit, each: int = 1) -> Desk:
    """As many groups, with a limit of its own each."""
    desk = Desk(per_group=GroupLimit(at_once=1))
    for number in range(MANY):
        desk.broker.set_limits(desk.run, {name(number): own})
        desk.commit()
    for number in range(MANY):
        desk.stage(each, group=name(number))
    desk.commit()
    return desk


@pytest.mark.parametrize("restarts", [False, True])
def test_of_many_groups_with_limits_few_are_in_memory_and_all_of_them_hold(restarts: bool) -> None:
    desk = with_limits(GroupLimit(at_once=2), each=4)
    assert len(groups(desk).limits.own) <= 4 * FEW
    if restarts:
        desk = desk.restarted()
    session = desk.session(free=10**6)
    given: list[int] = []
    for _ in range(2):
        held = []
        settle(desk)
        while (lease := desk.broker.lease(session, desk.now)) is not None:
            held.append(lease)
            settle(desk)
        by_group = {str(lease.lane.group) for lease in held}
        assert (len(held), len(by_group)) == (2 * MANY, MANY), "two at once of each"
        given += [task for lease in held for task in tasks(lease)]
        for lease in held:
            desk.done(lease)
        desk.commit()
    assert len(set(given)) == 4 * MANY
    settle(desk)
    assert len(groups(desk).limits.own) <= 4 * FEW


def test_a_pause_that_a_task_asked_for_is_kept_on_disk() -> None:
    desk = Desk(per_group=GroupLimit(at_once=1))
    for number in range(MANY):
        desk.broker.pause(desk.run, name(number), 60.0 + number % 7, desk.now, desk.wall)
        desk.stage(1, group=name(number))
        desk.commit()
    settle(desk)
    known = groups(desk)
    assert (
        max(len(known.limits.own), len(known.limits.starts), len(known.absent.pauses)) <= 10 * FEW
    )
    session = desk.session(free=10**6)
    desk.later(59.0)
    settle(desk)
    assert desk.broker.lease(session, desk.now) is None
    desk.later(8.0)
    settle(desk)
    given = []
    while (lease := desk.broker.lease(session, desk.now)) is not None:
        given += tasks(lease)
        desk.done(lease)
        desk.commit()
        settle(desk)
    assert len(given) == MANY


def test_tracked_tasks_of_groups_that_pause_wait_and_are_found_when_that_is_over() -> None:
    desk = Desk(per_group=GroupLimit(at_once=1))
    for number in range(MANY):
        desk.broker.pause(desk.run, name(number), 60.0, desk.now, desk.wall)
        desk.stage(1, group=name(number), delay_s=5.0)
        desk.commit()
    session = desk.session(free=10**6)
    desk.later(6.0)
    settle(desk)
    assert desk.broker.lease(session, desk.now) is None
    assert len(groups(desk).limits.own) <= 4 * FEW
    given = []
    for _ in range(3):
        desk.later(30.0)
        settle(desk)
        while (lease := desk.broker.lease(session, desk.now)) is not None:
            given += tasks(lease)
            desk.done(lease)
            desk.commit()
            settle(desk)
    assert sorted(given) == list(range(1, MANY + 1))


def test_a_group_that_comes_back_starts_no_earlier_than_a_longer_limit_says() -> None:
    """When it started last is not known to the second, but never held for earlier than it was."""
    desk = with_limits(GroupLimit(every_s=5.0))
    session = desk.session(free=10**6)
    settle(desk)
    started: dict[str, float] = {}
    for _ in range(3 * MANY):
        settle(desk)
        while (lease := desk.broker.lease(session, desk.now)) is not None:
            started[str(lease.lane.group)] = desk.now
            desk.done(lease)
            desk.commit()
        if len(started) == MANY:
            break
        desk.later(0.25)
    desk.later(6.0)
    group = name(0)
    assert groups(desk).unknown([group]) == [group], "nothing of it is in memory"
    own = desk.store.own_groups(1, [group])
    desk.broker.know_groups(desk.run, own, desk.wall)
    desk.broker.set_limits(desk.run, {group: GroupLimit(every_s=500.0)})
    desk.submit(1, group=group)
    while desk.broker.lease(session, desk.now) is None:
        desk.later(5.0)
        settle(desk)
    assert started[group] + 500.0 <= desk.now <= started[group] + 600.0


def test_what_holds_back_groups_without_a_lane_is_told() -> None:
    """A group that pauses and has no lane made `status` fail."""
    desk = Desk(per_group=GroupLimit(every_s=50.0))
    for number in range(6 * FEW):
        desk.stage(2, group=name(number))
    desk.commit()
    session = desk.session(free=10**6)
    settle(desk)
    while (lease := desk.broker.lease(session, desk.now)) is not None:
        desk.done(lease)
        desk.commit()
        settle(desk)
    assert set(groups(desk).known()) - set(groups(desk).lanes)
    limit = GroupLimit(every_s=50.0)
    (told,) = diagnosis._held_by_groups(desk.run, limit, desk.now)
    assert "the next may start in 50.0 s" in str(told)


def test_a_group_that_got_a_pause_without_a_lane_stays_in_memory_until_that_is_over() -> None:
    """On disk its limit would say that it has let the group start."""
    limits = Limits(GroupLimit(at_once=1))
    limits.keep("a", 100.0)
    limits.set("a", GroupRecord(GroupLimit(every_s=60.0)), -math.inf)
    assert not limits.may_leave("a", 159.0)
    assert limits.may_leave("a", 160.0)
