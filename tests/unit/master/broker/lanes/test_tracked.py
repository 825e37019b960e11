"""Tracked tasks of a lane: those that are due first in memory, the others on disk."""

from __future__ import annotations

from typing import Any

from master.broker.lanes.tracked import Tracked, TrackedTasks
from master.broker.lanes.window import Range
from master.changes import TrackedRecord, TrackedState


def a_task(task: int, due_at: float = 0.0, priority: int = 0) -> Tracked:
    return Tracked(task, 1, task - 1, priority, due_at=due_at)


def record(task: int, due_at: float = 0.0, **fields: Any) -> TrackedRecord:
    return TrackedRecord(1, task, 1, task - 1, TrackedState.WAITING, 1, 0, due_at=due_at, **fields)


def taken(tracked: TrackedTasks) -> list[int]:
    found = []
    while tracked.first is not None:
        found.append(tracked.take().task)
    return found


def test_a_tracked_task_is_a_range_of_one_task_in_its_block() -> None:
    assert Tracked(task=12, block=3, position=2, priority=0).range == Range(3, 10, 2, 3)


def test_those_that_are_ready_come_by_priority_and_then_by_age() -> None:
    tracked = TrackedTasks()
    for one in (a_task(5), a_task(2), a_task(9, priority=3), a_task(1)):
        assert tracked.admit(one)
        if one.task != 1:
            tracked.make_ready(one)
    assert tracked.ready_count == 3
    assert taken(tracked) == [9, 2, 5]
    assert (tracked.ready_count, list(tracked.in_memory)) == (0, [1])


def test_one_that_is_removed_is_passed_over_ready_or_not() -> None:
    tracked = TrackedTasks()
    ones = [a_task(n) for n in (1, 2, 3)]
    for one in ones:
        tracked.admit(one)
    tracked.make_ready(ones[0])
    tracked.make_ready(ones[1])
    for task in (1, 3, 77):
        tracked.remove(task)
    assert tracked.ready_count == 1
    assert [one.gone for one in ones] == [True, False, True]
    assert taken(tracked) == [2]


def test_one_that_is_apart_is_ready_but_not_among_those_that_are_taken() -> None:
    tracked = TrackedTasks()
    one = a_task(1)
    tracked.admit(one)
    tracked.quarantine(one)
    assert (tracked.ready_count, tracked.first) == (1, None)
    tracked.remove(1)
    assert (tracked.ready_count, tracked.quarantined, one.gone) == (0, set(), True)


# --- memory ---


def test_the_last_due_go_to_disk_when_there_are_too_many_also_of_those_that_are_ready() -> None:
    tracked = TrackedTasks(most=2)
    apart, *ready = (a_task(n, due_at=float(n)) for n in (7, 1, 2, 5, 6))
    late = a_task(9, due_at=9.0)
    tracked.admit(apart)
    tracked.quarantine(apart)
    for one in ready:
        tracked.admit(one)
        tracked.make_ready(one)
    assert not tracked.admit(late)
    assert sorted(tracked.in_memory) == [1, 2, 5]
    assert [one.gone for one in (*ready, apart)] == [False, False, False, True, True]
    assert (tracked.ready_count, len(tracked.ready), tracked.quarantined) == (3, 3, set())
    assert (tracked.more_on_disk, tracked.disk_cursor) == (True, (5.0, 5))
    assert not tracked.admit(a_task(8, due_at=5.5))


def test_behind_the_end_a_tracked_task_waits_on_disk_alone() -> None:
    tracked = TrackedTasks(more_on_disk=True, disk_cursor=(5.0, 10))
    assert not tracked.admit(a_task(11, due_at=5.0))
    assert not tracked.admit(a_task(1, due_at=6.0))
    assert tracked.admit(a_task(10, due_at=5.0))
    assert tracked.admit(a_task(99, due_at=4.0))
    tracked.disk_cursor = None
    assert not tracked.admit(a_task(3, due_at=0.0))


def test_a_refill_brings_what_is_neither_leased_nor_here() -> None:
    tracked = TrackedTasks(more_on_disk=True)
    tracked.in_memory[1] = a_task(1)
    found = tracked.refill([record(n, float(n)) for n in (1, 2, 3)], (3.0, 3), {2})
    assert [one.task for one in found] == [3]
    assert (sorted(tracked.in_memory), tracked.more_on_disk, tracked.disk_cursor) == (
        [1, 3],
        True,
        (3.0, 3),
    )
    tracked.refill([], None, set())
    assert (tracked.more_on_disk, tracked.disk_cursor) == (False, None)


def test_a_tracked_task_from_disk_has_all_that_was_recorded() -> None:
    found = Tracked.recorded(
        TrackedRecord(1, 12, 3, 2, TrackedState.WAITING, 1, 4, 2.0, 77.0, "e", "v", 5, "g", 9)
    )
    assert found == Tracked(12, 3, 2, 5, "g", 1, 4, 77.0, tries=5)


def test_others_are_read_when_few_are_here() -> None:
    tracked = TrackedTasks(most=4)
    for n in (1, 2):
        tracked.admit(a_task(n))
    assert not tracked.low
    tracked.more_on_disk = True
    assert tracked.low
    tracked.in_memory[3] = a_task(3)
    assert not tracked.low


def test_a_restart_reads_all_of_them_anew() -> None:
    tracked = TrackedTasks()
    ones = [a_task(n) for n in (1, 2, 3)]
    for one in ones:
        tracked.admit(one)
    tracked.make_ready(ones[0])
    tracked.quarantine(ones[1])
    tracked.disk_cursor = (1.0, 1)
    tracked.restart()
    assert all(one.gone for one in ones)
    assert (tracked.in_memory, tracked.ready_count, tracked.quarantined) == ({}, 0, set())
    assert (tracked.more_on_disk, tracked.disk_cursor, tracked.first) == (True, None, None)


def test_cleared_tracked_tasks_are_gone_and_none_is_expected() -> None:
    tracked, one = TrackedTasks(more_on_disk=True), a_task(1)
    tracked.in_memory[1] = one
    tracked.clear()
    assert one.gone
    assert (tracked.in_memory, tracked.more_on_disk) == ({}, False)


def test_all_come_once_in_the_order_of_their_delays_with_little_memory() -> None:
    disk = {n: float((n * 7) % 30) for n in range(1, 31)}
    tracked, found = TrackedTasks(most=3), []
    for n, due_at in disk.items():
        tracked.admit(a_task(n, due_at))
        assert len(tracked.in_memory) <= 6
    while tracked.in_memory or tracked.more_on_disk:
        if tracked.low:
            behind = sorted(
                (d, n)
                for n, d in disk.items()
                if tracked.disk_cursor is None or (d, n) > tracked.disk_cursor
            )
            some = behind[:3]
            last = some[-1] if len(behind) > 3 else None
            tracked.refill([record(n, d) for d, n in some], last, set())
        first = min(tracked.in_memory.values(), key=lambda s: s.due)
        tracked.remove(first.task)
        found.append(first.task)
    assert found == sorted(disk, key=lambda n: (disk[n], n))


def test_those_that_are_quarantine_take_no_room_of_the_others() -> None:
    """They wait for a worker without neighbours; what is due behind them must not wait for that."""
    tracked = TrackedTasks(most=2)
    tracked.more_on_disk = True
    for one in tracked.refill([record(1), record(2)], (0.0, 2), set()):
        tracked.quarantine(one)
    assert tracked.low
    assert tracked.empty_in_memory
    tracked.refill([record(3), record(4)], (0.0, 4), set())
    assert not tracked.low
    assert not tracked.empty_in_memory


def test_those_that_are_quarantine_are_bounded_too() -> None:
    tracked = TrackedTasks(most=2)
    for number in range(1, 500):
        if tracked.admit(one := a_task(number, due_at=number)):
            tracked.quarantine(one)
    assert len(tracked.in_memory) < 100
    assert tracked.quarantined == set(tracked.in_memory)
    assert tracked.more_on_disk
