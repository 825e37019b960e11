"""Filters of dead letters: what is no filter, and what somebody is told who has chosen none."""

from __future__ import annotations

import pytest

from master.server.choosing import checked, what_there_is
from queue_manager.errors import RefusedError
from queue_manager.wire.failures import FailureFilter
from queue_manager.wire.records import DeadLetter

TRACE = 'Traceback (most recent call last):\n  File "/j/a.py", line {}, in work\n'


def letter(task: int, error: str = "ValueError: no", line: int = 3, at: float = 0.0) -> DeadLetter:
    return DeadLetter(task, 1, 0, error, TRACE.format(line), f"box{task % 2}/1", died_at=at)


def test_the_ranges_of_a_filter_are_put_in_order() -> None:
    given = FailureFilter(tasks=((5, 7), (-3, 2), (9, 4), (6, 2**70), (1, 3)))
    assert checked(given).tasks == ((1, 3), (5, 2**62))


@pytest.mark.parametrize(
    "only",
    [
        FailureFilter(since=float("nan")),
        FailureFilter(until=float("inf")),
        FailureFilter(tasks=((5, 5),)),
        FailureFilter(tasks=((-5, 1),)),
        FailureFilter(tasks=((2**62, 2**63),)),
    ],
)
def test_a_filter_of_nothing_is_refused_and_is_not_one_of_everything(only: FailureFilter) -> None:
    with pytest.raises(RefusedError):
        checked(only)


def test_who_has_chosen_none_is_told_which_there_are() -> None:
    letters = [letter(1, at=60.0), letter(2, line=5), letter(3, at=61.0), letter(4, "bad\x1b[2J")]
    assert what_there_is(letters, 4) == (
        "there are ValueError@a.py:3 (tasks 1, 3), ValueError@a.py:5 (task 2), other@a.py:3"
        " (task 4), reported by box1/1, box0/1; they died from 1970-01-01T00:00:00Z to"
        " 1970-01-01T00:01:01Z"
    )
    many = [letter(n, f"E{n}: no") for n in range(1, 9)]
    told = what_there_is(many, 1_000)
    assert told.startswith("the first 8 of 1,000 are E1@a.py:3 (task 1), E2@a.py:3 (task 2), ")
    assert "E5@a.py:3 (task 5) and 3 more, reported by box1/1, box0/1; they died" in told
    same = what_there_is([letter(n) for n in range(1, 9)], 8)
    assert "ValueError@a.py:3 (tasks 1, 2, 3, 4, 5 and 3 more)" in same
    assert what_there_is([], 0) == "it has no dead letters"
