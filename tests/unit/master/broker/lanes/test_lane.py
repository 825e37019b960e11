"""Lanes of limited groups: who may start a task, in turns, and how little of each is in memory."""

from __future__ import annotations

from typing import Any

import pytest

from master.broker.lanes import groups as groups_module
from master.broker.lanes.groups import GROUP_TASKS, Groups
from master.broker.lanes.lane import Lane
from master.broker.lanes.tracked import Tracked
from master.broker.lanes.window import WINDOW_TASKS, Range
from master.changes import Place, WaitingBlock
from queue_manager.wire.records import GroupLimit

NOW = 100.0


def one(block: int) -> Range:
    return Range(block, block, 0, 1)


def groups(at_once: int | None = None, every_s: float = 0.0) -> Groups:
    return Groups(GroupLimit(at_once, every_s))


def filled(groups: Groups, *names: str, tasks: int = 3) -> None:
    """So many tasks of each group, in one block."""
    for name in names:
        block = len(groups.lanes) + 1
        groups.admit(groups.lane(name), 0, Range(block, 1, 0, tasks), NOW)


def start(groups: Groups, now: float = NOW) -> str | None:
    """Start a task of the lane whose turn it is."""
    lane = groups.best
    if lane is None:
        return None
    lane.take(1)
    groups.started(lane, now)
    return lane.group


def starts(groups: Groups, count: int, now: float = NOW) -> str:
    return "".join(start(groups, now) or "-" for _ in range(count))


# --- one lane ---


def test_a_tracked_task_goes_first_among_its_priority_and_alone() -> None:
    lane = Lane()
    lane.window.admit(1, Range(1, 1, 0, 5))
    for task, priority in ((8, 1), (9, 0), (7, 2)):
        tracked = Tracked(task, 2, 0, priority)
        lane.tracked.admit(tracked)
        lane.tracked.make_ready(tracked)
    found = []
    while lane.ready:
        before = lane.priority
        taken, priority, tracked = lane.take(4)
        assert priority == before
        found.append((taken.stop - taken.start, priority, tracked and tracked.task))
    assert found == [(1, 2, 7), (1, 1, 8), (4, 1, None), (1, 1, None), (1, 0, 9)]


def test_a_lane_is_low_when_its_window_or_its_tracked_tasks_are() -> None:
    for part in ("window", "tracked"):
        lane = Lane()
        assert not lane.low
        getattr(lane, part).more_on_disk = True
        assert lane.low


# --- limits ---


def test_at_once_is_how_many_tasks_of_a_group_are_leased_at_most() -> None:
    some = groups(at_once=2)
    filled(some, "a", "b")
    assert starts(some, 5) == "abab-"
    lane = some.lane("a")
    lane.leased -= 1
    some.look(lane, NOW)
    assert starts(some, 2) == "a-"


def test_every_s_is_the_least_time_between_two_starts_of_a_group() -> None:
    some = groups(every_s=5.0)
    filled(some, "a")
    assert starts(some, 2) == "a-"
    assert some.next_due == NOW + 5.0
    some.wake(NOW + 4.9)
    assert start(some, NOW + 4.9) is None
    some.wake(NOW + 5.0)
    assert starts(some, 2, NOW + 5.0) == "a-"
    assert some.next_due == NOW + 10.0


def test_both_limits_hold_together() -> None:
    some = groups(at_once=1, every_s=5.0)
    filled(some, "a")
    assert starts(some, 1) == "a"
    some.wake(NOW + 5.0)
    assert start(some, NOW + 5.0) is None
    lane = some.lane("a")
    lane.leased -= 1
    some.look(lane, NOW + 5.0)
    assert start(some, NOW + 5.0) == "a"


def test_a_pause_that_is_over_while_a_lane_is_full_asks_for_no_timer() -> None:
    some = groups(at_once=1, every_s=5.0)
    filled(some, "a")
    starts(some, 1)
    some.wake(NOW + 5.0)
    assert some.next_due is None


def test_no_lane_starts_before_it_is_known_when_it_last_did() -> None:
    some = groups(every_s=5.0)
    some.limits.started_before = NOW
    filled(some, "a")
    assert some.best is None
    some.wake(NOW + 5.0)
    assert start(some, NOW + 5.0) == "a"


# --- turns ---


def test_groups_take_turns_within_a_priority_and_a_higher_one_goes_first() -> None:
    some = groups()
    filled(some, "a", "b", "c")
    some.admit(some.lane("c"), 5, one(9), NOW)
    assert starts(some, 8) == "cabcabca"


def test_a_group_keeps_its_turn_when_more_of_its_tasks_come() -> None:
    some = groups()
    filled(some, "a", "b")
    for block in range(10, 14):
        some.admit(some.lane("a"), 0, one(block), NOW)
        some.admit(some.lane("b"), 0, one(block + 10), NOW)
        some.admit(some.lane("a"), 0, one(block + 20), NOW)
        assert starts(some, 1) == ("a" if block % 2 == 0 else "b")


def test_a_group_without_ready_tasks_loses_its_turn() -> None:
    some = groups()
    filled(some, "a", "b", tasks=1)
    some.lane("a").window.take(1)
    some.look(some.lane("a"), NOW)
    assert starts(some, 2) == "b-"


# --- memory ---


def test_a_group_has_a_small_window() -> None:
    some = groups()
    for block in range(1, GROUP_TASKS + 20):
        some.admit(some.lane("a"), 0, one(block), NOW)
    assert some.lane("a").window.loaded == GROUP_TASKS
    assert some.lane("a").window.disk_cursor == Place(0, GROUP_TASKS)


def test_a_group_that_has_nothing_is_forgotten_and_one_with_tasks_anywhere_is_not() -> None:
    some = groups(at_once=5)
    for name in ("empty", "leased", "disk", "tracked"):
        some.lane(name)
    some.lane("leased").leased = 1
    some.lane("disk").window.more_on_disk = True
    some.lane("tracked").tracked.admit(Tracked(1, 1, 0, 0))
    for lane in list(some.lanes.values()):
        some.look(lane, NOW)
    assert sorted(some.lanes) == ["disk", "leased", "tracked"]


def test_a_group_that_pauses_is_not_forgotten() -> None:
    """Else its next task would start too early."""
    some = groups(every_s=5.0)
    filled(some, "a", tasks=1)
    starts(some, 1)
    some.lane("a").leased = 0
    some.look(some.lane("a"), NOW)
    filled(some, "a")
    assert some.best is None
    some.lane("a").window.take(9)
    some.wake(NOW + 5.0)
    assert not some.lanes


def test_an_old_lane_does_not_take_the_new_one_of_its_group_along() -> None:
    some = groups()
    old = some.lane("a")
    some.look(old, NOW)
    filled(some, "a")
    some.look(old, NOW)
    assert "a" in some.lanes


def test_a_lane_that_may_not_start_gives_room_when_much_is_in_memory(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(groups_module, "WINDOW_TASKS", 10)
    some = groups(at_once=1)
    filled(some, "a", tasks=4)
    starts(some, 1)
    assert some.lane("a").window.loaded == 3
    filled(some, "b", tasks=4)
    some.look(some.lane("a"), NOW)
    assert some.lane("a").window.loaded == 3  # b may start, and has room of its own
    starts(some, 1)
    assert (some.lane("b").window.loaded, some.loaded) == (0, 3)
    assert some.lane("b").window.disk_cursor == Place(0, 1)


def test_the_room_of_lanes_that_may_not_start_is_counted_as_they_come_and_go(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(groups_module, "WINDOW_TASKS", 10)
    some = groups(at_once=1)
    for name in "abcd":  # one after the other is held back, and goes on
        filled(some, name, tasks=5)
        starts(some, 1)
        lane = some.lane(name)
        assert (lane.window.loaded, some.held_back) == (4, 4)
        lane.leased -= 1
        some.look(lane, NOW)
        assert some.held_back == 0
        lane.window.clear()
        some.look(lane, NOW)
        assert some.loaded == 0


def test_new_tasks_stay_on_disk_while_others_fill_the_memory(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(groups_module, "WINDOW_TASKS", 4)
    some = groups()
    filled(some, "a", tasks=4)
    filled(some, "b", tasks=4)
    assert (some.lane("b").window.loaded, some.lane("b").window.more_on_disk) == (0, True)
    assert list(some.lanes_to_refill()) == []
    starts(some, 4)
    assert [lane.group for lane in some.lanes_to_refill()] == ["b"]


def test_tracked_tasks_that_wait_for_their_time_take_no_room_of_other_groups() -> None:
    some = groups()
    lane = some.lane("late")
    for task in range(9):
        lane.tracked.admit(Tracked(task, 1, task, 0))
    some.look(lane, NOW)
    assert some.loaded == 0


def test_lanes_that_have_gone_do_not_keep_the_others_from_being_read(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """As many may come and go in each turn as are read in it."""
    monkeypatch.setattr(groups_module, "_REFILLS", 2)
    some = groups()
    for name in ("old", "older", "oldest", "new"):
        some.found(name, NOW, False)
    for name in ("old", "older", "oldest"):
        del some.lanes[name]
    assert [lane.group for lane in some.lanes_to_refill()] == ["new"]


def test_a_lane_is_read_ahead_once_it_may_start(monkeypatch: pytest.MonkeyPatch) -> None:
    some = groups(every_s=5.0)
    lane = some.lane("a")
    lane.window.more_on_disk, lane.started_at = True, NOW
    some.look(lane, NOW)
    assert list(some.lanes_to_refill()) == []
    some.wake(NOW + 5.0)
    some.look(lane, NOW + 5.0)
    assert list(some.lanes_to_refill()) == [lane]
    assert list(some.lanes_to_refill()) == []
    some.look(lane, NOW + 5.0)
    assert list(some.lanes_to_refill()) == [lane]


def test_only_so_many_lanes_are_read_ahead_in_one_go(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(groups_module, "_REFILLS", 3)
    some = groups()
    for name in "abcde":
        some.lane(name).window.more_on_disk = True
        some.look(some.lane(name), NOW)
    assert [lane.group for lane in some.lanes_to_refill()] == ["a", "b", "c"]
    assert [lane.group for lane in some.lanes_to_refill()] == ["d", "e"]


def test_counts_of_what_is_in_memory_follow_the_lanes() -> None:
    some = groups()
    filled(some, "a", "b")
    lane = some.lane("a")
    tracked = Tracked(7, 9, 0, 0)
    lane.tracked.admit(tracked)
    lane.tracked.make_ready(tracked)
    some.look(lane, NOW)
    assert (some.loaded, some.ready_tracked) == (6, 1)
    assert starts(some, 3) == "aba"
    assert (some.loaded, some.ready_tracked) == (4, 0)
    lane.window.refill([WaitingBlock(30, 30, 0, [(0, 2)])], None, {30: []})
    some.look(lane, NOW)
    assert some.loaded == 6
    some.clear()
    assert (some.loaded, some.ready_tracked, some.best, some.next_due) == (0, 0, None, None)
    assert not some.lanes


@pytest.mark.parametrize("lanes", [1, 1_000, 20_000])
def test_many_groups_have_smaller_windows(lanes: int) -> None:
    some: Any = groups()
    some.lanes = dict.fromkeys(range(lanes - 1))
    most = some.lane("new").window.most
    assert most == max(1, min(GROUP_TASKS, WINDOW_TASKS // lanes))


# --- pauses and priorities outlast what is in memory ---


def test_a_pause_goes_on_when_nothing_waits_any_more() -> None:
    """A run that has ended may be retried: its groups still may not start too soon."""
    some = groups(every_s=5.0)
    filled(some, "a")
    starts(some, 1)
    some.clear()
    filled(some, "a")
    assert start(some, NOW + 4.9) is None
    some.wake(NOW + 5.0)
    assert start(some, NOW + 5.0) == "a"


@pytest.mark.parametrize(("every_s", "after_s"), [(2.0, 2.0), (0.0, 0.0), (9.0, 9.0)])
def test_a_changed_limit_holds_for_a_pause_that_has_begun(every_s: float, after_s: float) -> None:
    some = groups(every_s=5.0)
    filled(some, "a")
    starts(some, 1)
    some.limits.limit = GroupLimit(None, every_s)
    some.limit_changed(NOW)
    some.wake(NOW + after_s - 0.01)
    assert (some.best is None) is (after_s > 0.0)
    some.wake(NOW + after_s)
    assert start(some, NOW + after_s) == "a"


def test_the_most_urgent_groups_come_into_memory_though_it_is_full() -> None:
    """Else 10,000 tasks of other groups would run before them."""
    some = groups()
    filled(some, *(f"g{n}" for n in range(200)), tasks=GROUP_TASKS)
    assert some.loaded >= WINDOW_TASKS
    some.admit(some.lane("low"), 0, one(901), NOW)
    some.admit(some.lane("high"), 7, one(902), NOW)
    assert some.lane("low").in_memory == 0
    assert start(some) == "high"


def test_lanes_on_disk_are_read_with_the_most_urgent_first(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(groups_module, "_REFILLS", 2)
    some = groups()
    for name, priority in {"a": 0, "b": 3, "c": -1, "d": 9, "e": 3}.items():
        lane = some.lane(name)
        lane.window.more_on_disk, lane.window.disk_cursor = True, Place(priority, 0)
        some.look(lane, NOW)
    assert [lane.group for lane in some.lanes_to_refill()] == ["d", "b"]
    some.lane("c").window.disk_cursor = Place(11, 0)
    some.look(some.lane("c"), NOW)
    assert [lane.group for lane in some.lanes_to_refill()] == ["c", "e"]


def test_a_lane_on_disk_that_is_more_urgent_than_all_in_memory_is_read_though_it_is_full() -> None:
    some = groups()
    filled(some, *(f"g{n}" for n in range(200)), tasks=GROUP_TASKS)
    for name, priority in {"same": 0, "high": 1}.items():
        lane = some.lane(name)
        lane.window.more_on_disk, lane.window.disk_cursor = True, Place(priority, 0)
        some.look(lane, NOW)
    assert some.more_to_refill
    assert [lane.group for lane in some.lanes_to_refill()] == ["high"]
    assert not some.more_to_refill
