"""The shared page: each side sees what the other writes; no task is both started and taken back."""

from __future__ import annotations

from worker.ipc.shared_page import LIMIT, NONE, OPENED, POSITION, PREPARING, ROWS, SharedPage


def test_both_sides_see_the_same_page() -> None:
    """The slot's mapping of the descriptor is the supervisor's memory."""
    ours = SharedPage.create()
    theirs = SharedPage(ours.descriptor)
    ours.rows[ROWS - 1].reset(3, 9)
    theirs.rows[ROWS - 1].numbers[POSITION] = 5
    assert theirs.rows[ROWS - 1].numbers[LIMIT] == 9
    assert ours.rows[ROWS - 1].look().position == 5
    assert ours.rows[0].look().position == 0, "rows do not overlap"


def test_the_running_task_is_not_taken_back() -> None:
    """Tasks behind the running one are; it is not."""
    row = SharedPage.create().rows[0]
    row.reset(2, 10)
    row.numbers[POSITION] = 4
    assert row.lower(2) == 5
    assert row.numbers[LIMIT] == 2


def test_all_is_taken_back_before_the_first_task() -> None:
    """Import and setup start no task."""
    row = SharedPage.create().rows[0]
    row.reset(2, 10)
    row.numbers[POSITION] = PREPARING
    assert row.lower(2) == 2


def test_a_limit_is_never_raised() -> None:
    """What was taken back once stays back."""
    row = SharedPage.create().rows[0]
    row.reset(0, 10)
    row.lower(3)
    row.lower(7)
    assert row.numbers[LIMIT] == 3


def test_a_closed_page_has_nothing_to_take_back_before_its_end() -> None:
    """A lease that has ended, and was not yet reported as over, was started all the same."""
    row = SharedPage.create().rows[0]
    row.reset(0, 10)
    row.close(10)
    assert row.lower(0) == 10
    assert row.look().position == NONE


def test_tasks_in_flight_are_not_taken_back() -> None:
    """An async slot has no one position, only how far it has opened."""
    row = SharedPage.create().rows[0]
    row.reset(0, 10)
    row.numbers[OPENED] = 6
    assert row.lower(0) == 6
