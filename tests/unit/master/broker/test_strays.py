"""Strays of a lane: those that are due first in memory, the others on disk."""

from __future__ import annotations

from typing import Any

from master.broker.strays import Stray, Strays
from master.broker.window import Range
from master.changes import TrackedRecord, TrackedState


def stray(task: int, due_at: float = 0.0, priority: int = 0) -> Stray:
    return Stray(task, 1, task - 1, priority, due_at=due_at)


def record(task: int, due_at: float = 0.0, **fields: Any) -> TrackedRecord:
    return TrackedRecord(1, task, 1, task - 1, TrackedState.WAITING, 1, 0, due_at=due_at, **fields)


def taken(strays: Strays) -> list[int]:
    found = []
    while strays.first is not None:
        found.append(strays.take().task)
    return found


def test_a_stray_is_a_range_of_one_task_in_its_block() -> None:
    assert Stray(task=12, block=3, position=2, priority=0).range == Range(3, 10, 2, 3)


def test_those_that_are_ready_come_by_priority_and_then_by_age() -> None:
    strays = Strays()
    for one in (stray(5), stray(2), stray(9, priority=3), stray(1)):
        assert strays.admit(one)
        if one.task != 1:
            strays.make_ready(one)
    assert strays.ready_count == 3
    assert taken(strays) == [9, 2, 5]
    assert (strays.ready_count, list(strays.here)) == (0, [1])


def test_one_that_is_removed_is_passed_over_ready_or_not() -> None:
    strays = Strays()
    ones = [stray(n) for n in (1, 2, 3)]
    for one in ones:
        strays.admit(one)
    strays.make_ready(ones[0])
    strays.make_ready(ones[1])
    for task in (1, 3, 77):
        strays.remove(task)
    assert strays.ready_count == 1
    assert [one.gone for one in ones] == [True, False, True]
    assert taken(strays) == [2]


def test_one_that_is_apart_is_ready_but_not_among_those_that_are_taken() -> None:
    strays = Strays()
    one = stray(1)
    strays.admit(one)
    strays.set_apart(one)
    assert (strays.ready_count, strays.first) == (1, None)
    strays.remove(1)
    assert (strays.ready_count, strays.apart, one.gone) == (0, set(), True)


# --- memory ---


def test_the_last_due_go_to_disk_when_there_are_too_many_also_of_those_that_are_ready() -> None:
    strays = Strays(most=2)
    apart, *ready = (stray(n, due_at=float(n)) for n in (7, 1, 2, 5, 6))
    late = stray(9, due_at=9.0)
    strays.admit(apart)
    strays.set_apart(apart)
    for one in ready:
        strays.admit(one)
        strays.make_ready(one)
    assert not strays.admit(late)
    assert sorted(strays.here) == [1, 2, 5]
    assert [one.gone for one in (*ready, apart)] == [False, False, False, True, True]
    assert (strays.ready_count, len(strays.ready), strays.apart) == (3, 3, set())
    assert (strays.more, strays.end) == (True, (5.0, 5))
    assert not strays.admit(stray(8, due_at=5.5))


def test_behind_the_end_a_stray_waits_on_disk_alone() -> None:
    strays = Strays(more=True, end=(5.0, 10))
    assert not strays.admit(stray(11, due_at=5.0))
    assert not strays.admit(stray(1, due_at=6.0))
    assert strays.admit(stray(10, due_at=5.0))
    assert strays.admit(stray(99, due_at=4.0))
    strays.end = None
    assert not strays.admit(stray(3, due_at=0.0))


def test_a_refill_brings_what_is_neither_leased_nor_here() -> None:
    strays = Strays(more=True)
    strays.here[1] = stray(1)
    found = strays.refill([record(n, float(n)) for n in (1, 2, 3)], (3.0, 3), {2})
    assert [one.task for one in found] == [3]
    assert (sorted(strays.here), strays.more, strays.end) == ([1, 3], True, (3.0, 3))
    strays.refill([], None, set())
    assert (strays.more, strays.end) == (False, None)


def test_a_stray_from_disk_has_all_that_was_recorded() -> None:
    found = Stray.recorded(
        TrackedRecord(1, 12, 3, 2, TrackedState.WAITING, 1, 4, 2.0, 77.0, "e", "v", 5, "g", 9)
    )
    assert found == Stray(12, 3, 2, 5, "g", 1, 4, 77.0)


def test_others_are_read_when_few_are_here() -> None:
    strays = Strays(most=4)
    for n in (1, 2):
        strays.admit(stray(n))
    assert not strays.low
    strays.more = True
    assert strays.low
    strays.here[3] = stray(3)
    assert not strays.low


def test_a_restart_reads_all_of_them_anew() -> None:
    strays = Strays()
    ones = [stray(n) for n in (1, 2, 3)]
    for one in ones:
        strays.admit(one)
    strays.make_ready(ones[0])
    strays.set_apart(ones[1])
    strays.end = (1.0, 1)
    strays.restart()
    assert all(one.gone for one in ones)
    assert (strays.here, strays.ready_count, strays.apart) == ({}, 0, set())
    assert (strays.more, strays.end, strays.first) == (True, None, None)


def test_cleared_strays_are_gone_and_none_is_expected() -> None:
    strays, one = Strays(more=True), stray(1)
    strays.here[1] = one
    strays.clear()
    assert one.gone
    assert (strays.here, strays.more) == ({}, False)


def test_all_come_once_in_the_order_of_their_delays_with_little_memory() -> None:
    disk = {n: float((n * 7) % 30) for n in range(1, 31)}
    strays, found = Strays(most=3), []
    for n, due_at in disk.items():
        strays.admit(stray(n, due_at))
        assert len(strays.here) <= 6
    while strays.here or strays.more:
        if strays.low:
            behind = sorted(
                (d, n) for n, d in disk.items() if strays.end is None or (d, n) > strays.end
            )
            some = behind[:3]
            last = some[-1] if len(behind) > 3 else None
            strays.refill([record(n, d) for d, n in some], last, set())
        first = min(strays.here.values(), key=lambda s: s.due)
        strays.remove(first.task)
        found.append(first.task)
    assert found == sorted(disk, key=lambda n: (disk[n], n))


def test_those_that_are_set_apart_take_no_room_of_the_others() -> None:
    """They wait for a worker without neighbours; what is due behind them must not wait for that."""
    strays = Strays(most=2)
    strays.more = True
    for one in strays.refill([record(1), record(2)], (0.0, 2), set()):
        strays.set_apart(one)
    assert strays.low
    assert strays.starved
    strays.refill([record(3), record(4)], (0.0, 4), set())
    assert not strays.low
    assert not strays.starved


def test_those_that_are_set_apart_are_bounded_too() -> None:
    strays = Strays(most=2)
    for number in range(1, 500):
        if strays.admit(one := stray(number, due_at=number)):
            strays.set_apart(one)
    assert len(strays.here) < 100
    assert strays.apart == set(strays.here)
    assert strays.more
