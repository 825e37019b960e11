"""The undo log: fields come back, acts run in their order, and one that fails holds up no other."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import pytest

from master.broker.undo import UndoLog


class Count:
    """A record with one field. saves: how often its field was saved."""

    def __init__(self, number: int) -> None:
        self.number = number
        self.saves = 0

    def saved(self) -> Callable[[], None]:
        self.saves += 1
        return partial(self._restore, self.number)

    def _restore(self, number: int) -> None:
        self.number = number


def test_fields_are_saved_once_in_a_turn_and_come_back() -> None:
    log, count = UndoLog(), Count(1)
    for _ in range(5):
        log.keep(count)
        count.number += 1
    assert count.saves == 1
    log.rolled_back()
    assert count.number == 1


def test_fields_of_a_committed_turn_stay_and_are_saved_anew_in_the_next() -> None:
    log, count = UndoLog(), Count(1)
    log.keep(count)
    count.number = 2
    log.committed()
    log.rolled_back()
    assert count.number == 2
    log.keep(count)
    count.number = 3
    log.rolled_back()
    assert count.number == 2


def test_the_newest_change_is_undone_first() -> None:
    log, order = UndoLog(), list[int]()
    for number in (1, 2, 3):
        log.undo_by(partial(order.append, number))
    log.rolled_back()
    assert order == [3, 2, 1]


def test_an_act_waits_for_the_commit_and_is_done_once() -> None:
    log, done = UndoLog(), list[str]()
    log.when_committed(partial(done.append, "rolled back"))
    log.rolled_back()
    log.when_committed(partial(done.append, "committed"))
    assert not done
    log.committed()
    log.committed()
    assert done == ["committed"]


@pytest.mark.parametrize("end", ["committed", "rolled_back"])
def test_an_act_that_fails_holds_up_no_other(end: str) -> None:
    log, done = UndoLog(), list[int]()

    def fail() -> None:
        raise ValueError("bad")

    for add in (log.undo_by, log.when_committed):
        add(partial(done.append, 1))
        add(fail)
        add(partial(done.append, 2))
    with pytest.raises(ExceptionGroup):
        getattr(log, end)()
    assert sorted(done) == [1, 2]


def test_the_mark_moves_with_each_change_also_of_what_was_saved_before() -> None:
    log, count = UndoLog(), Count(1)
    marks = [log.mark]
    for stage in (partial(log.keep, count), partial(log.keep, count)):
        stage()
        marks.append(log.mark)
    for add in (log.undo_by, log.when_committed):
        add(lambda: None)
        marks.append(log.mark)
    assert len(set(marks)) == len(marks)
