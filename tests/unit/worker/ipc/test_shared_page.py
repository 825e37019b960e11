"""The board: what one side writes the other sees, and nothing is both started and taken back."""

from __future__ import annotations

from worker.ipc.shared_page import LIMIT, NONE, OPENED, PAGES, POSITION, PREPARING, Board


def test_both_sides_see_the_same_page() -> None:
    """The slot's mapping of the descriptor is the supervisor's memory."""
    ours = Board.create()
    theirs = Board(ours.descriptor)
    ours.pages[PAGES - 1].reset(3, 9)
    theirs.pages[PAGES - 1].numbers[POSITION] = 5
    assert theirs.pages[PAGES - 1].numbers[LIMIT] == 9
    assert ours.pages[PAGES - 1].look().position == 5
    assert ours.pages[0].look().position == 0, "pages do not overlap"


def test_the_running_task_is_not_taken_back() -> None:
    """Tasks behind the running one are; it is not."""
    page = Board.create().pages[0]
    page.reset(2, 10)
    page.numbers[POSITION] = 4
    assert page.lower(2) == 5
    assert page.numbers[LIMIT] == 2


def test_all_is_taken_back_before_the_first_task() -> None:
    """Import and setup start no task."""
    page = Board.create().pages[0]
    page.reset(2, 10)
    page.numbers[POSITION] = PREPARING
    assert page.lower(2) == 2


def test_a_limit_is_never_raised() -> None:
    """What was taken back once stays back."""
    page = Board.create().pages[0]
    page.reset(0, 10)
    page.lower(3)
    page.lower(7)
    assert page.numbers[LIMIT] == 3


def test_a_closed_page_has_nothing_to_take_back_before_its_end() -> None:
    """A lease that has ended, and was not yet reported as over, was started all the same."""
    page = Board.create().pages[0]
    page.reset(0, 10)
    page.close(10)
    assert page.lower(0) == 10
    assert page.look().position == NONE


def test_tasks_in_flight_are_not_taken_back() -> None:
    """An async slot has no one position, only how far it has opened."""
    page = Board.create().pages[0]
    page.reset(0, 10)
    page.numbers[OPENED] = 6
    assert page.lower(0) == 6
