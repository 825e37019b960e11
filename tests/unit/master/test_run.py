"""A run's waiting tasks: lanes by priority, a window of each, strays beside them."""

from __future__ import annotations

import pytest

from master.run import WINDOW_TASKS, Lane, Range, Run, Stray
from queue_manager.records import BLOCK_TASKS, RunOptions


def new_run() -> Run:
    return Run(1, "job", [], None, RunOptions(), 0.0)


def tasks(found: Range) -> list[int]:
    return list(range(found.first + found.start, found.first + found.stop))


def test_a_lane_gives_its_tasks_in_order_in_the_size_that_is_asked_for() -> None:
    lane = Lane()
    lane.admit(Range(1, 1, 0, 5))
    lane.admit(Range(2, 6, 0, 2))
    assert [tasks(lane.take(3)) for _ in range(3)] == [[1, 2, 3], [4, 5], [6, 7]]
    assert lane.empty


def test_what_is_put_back_comes_first() -> None:
    lane = Lane()
    lane.admit(Range(1, 1, 0, 4))
    taken = lane.take(2)
    lane.put_back(taken)
    assert lane.loaded == 4
    assert tasks(lane.take(9)) == [1, 2]


def test_a_block_that_does_not_fit_the_window_stays_on_disk_and_all_behind_it() -> None:
    lane = Lane()
    lane.admit(Range(1, 1, 0, WINDOW_TASKS))
    lane.admit(Range(2, WINDOW_TASKS + 1, 0, 7))
    lane.take(WINDOW_TASKS)
    lane.admit(Range(3, WINDOW_TASKS + 8, 0, 1))
    assert (lane.loaded, lane.on_disk, lane.last) == (0, 8, 1)


def test_a_lane_is_read_ahead_when_its_window_is_half_empty_and_disk_has_more() -> None:
    lane = Lane()
    lane.admit(Range(1, 1, 0, WINDOW_TASKS))
    lane.take(WINDOW_TASKS // 2 + 1)
    assert not lane.wants_refill
    lane.on_disk = 1
    assert lane.wants_refill
    lane.put_back(Range(1, 1, 0, 1))
    assert not lane.wants_refill


def test_reading_ahead_leaves_room_for_the_last_block_to_be_a_whole_one() -> None:
    lane = Lane(loaded=100)
    assert lane.loaded + (lane.room - 1) + BLOCK_TASKS <= WINDOW_TASKS


def test_waiting_is_what_is_in_no_other_place() -> None:
    run = new_run()
    run.tasks, run.done, run.dead, run.leased, run.delayed = 100, 10, 1, 5, 4
    assert run.waiting == 80


def test_a_run_is_ready_with_a_task_in_a_window_or_a_stray_but_not_with_tasks_on_disk() -> None:
    run = new_run()
    assert not run.ready
    run.lane(0).on_disk = 3
    assert not run.ready
    run.put_alone(Stray(1, 1, 0, 0))
    assert run.ready
    run.take(1)
    run.admit(2, Range(5, 9, 0, 1))
    assert run.ready


def test_an_emptied_window_lets_lower_priorities_go_on() -> None:
    run = new_run()
    run.lane(9).on_disk = 3
    run.admit(0, Range(1, 1, 0, 1))
    assert run.take(1)[1] == 0


def test_a_lane_made_anew_begins_behind_all_blocks_that_were_in_a_window() -> None:
    run = new_run()
    run.admit(0, Range(4, 1, 0, 1))
    run.take(1)
    assert not run.lanes
    run.admit(1, Range(6, 2, 0, 1))
    run.put_back(0, Range(4, 1, 0, 1))
    assert run.lanes[0].last == 6


def test_a_stray_is_a_range_of_one_task_in_its_block() -> None:
    assert Stray(task=12, block=3, position=2, priority=0).range == Range(3, 10, 2, 3)


@pytest.mark.parametrize("took_s", [1.0, 1e-9])
def test_the_size_of_a_lease_follows_the_pace_within_its_bounds(took_s: float) -> None:
    run = new_run()
    for _ in range(10):
        run.learn(1, took_s)
    assert run.size == (1 if took_s == 1.0 else BLOCK_TASKS)


def test_one_slow_task_makes_the_next_leases_shorter() -> None:
    run = new_run()
    for _ in range(10):
        run.learn(100, 0.001)
    run.learn(1, 1.0)
    assert run.size == 1
